//! NumPy arrays in a `.keras` archive, with their headers.
#![no_main]

mod npz;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| npz::read_all(bytes));
