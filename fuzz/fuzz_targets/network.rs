//! Descriptions of networks in JSON, as in safetensors files and checkpoints: the outputs of valid networks are the same on
//! this machine's instruction set and in scalar code.
#![no_main]

#[path = "../../crates/lucida/tests/random_networks/mod.rs"]
#[allow(dead_code, reason = "the other target makes descriptions")]
mod random_networks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(description) = serde_json::from_slice(bytes) {
        random_networks::try_network(&description);
    }
});
