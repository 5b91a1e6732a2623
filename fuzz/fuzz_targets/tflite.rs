//! LiteRT models, with their metadata archive.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use lucida::weights::tflite::{inspect, load_model, load_weights};

fuzz_target!(|bytes: &[u8]| common::read_all(
    bytes,
    |path| inspect(path),
    |path| load_model(path),
    |path, network| load_weights(path, network)
));
