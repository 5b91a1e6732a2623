//! The pickles in NumPy object arrays, which are the weights in a `.keras` archive.
#![no_main]

mod npz;

use libfuzzer_sys::fuzz_target;

/// The start of a file with one object, up to its pickle; the header has 118 bytes.
const HEADER: &[u8] = b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }";

fuzz_target!(|bytes: &[u8]| {
    let mut array = HEADER.to_vec();
    array.resize(10 + 117, b' ');
    array.push(b'\n');
    array.extend_from_slice(bytes);
    npz::read_all(&array);
});
