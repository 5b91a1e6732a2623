//! Safetensors: Lucida's own models and plain files of tensors.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use lucida::weights::safetensors::{inspect, load_model, load_weights};

fuzz_target!(|bytes: &[u8]| common::read_all(
    bytes,
    |path| inspect(path),
    |path| load_model(path),
    |path, network| load_weights(path, network)
));
