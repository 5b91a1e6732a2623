//! TensorFlow.js layers models: `model.json`, without the weight files.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use lucida::weights::tfjs::{inspect, load_model, load_weights};

fuzz_target!(|bytes: &[u8]| common::read_all(
    bytes,
    |path| inspect(path),
    |path| load_model(path),
    |path, network| load_weights(path, network)
));
