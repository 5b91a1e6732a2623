//! Networks of random layers, whose kinds and configurations the bytes choose: the outputs are the same on this machine's
//! instruction set and in scalar code.
#![no_main]

#[path = "../../crates/lucida/tests/random_networks/mod.rs"]
mod random_networks;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let description = random_networks::description(&mut |count| bytes.int_in_range(0..=count - 1).unwrap_or(0));
    random_networks::try_network(&description);
});
