//! Descriptions of networks in JSON, as safetensors files and checkpoints have them: what can be built runs alike on every
//! instruction set.
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
