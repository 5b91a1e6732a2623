//! The pickles in a `.keras` archive whose weights are NumPy's arrays. The archive around them is in order, so that the
//! bytes of the fuzzer reach the pickle.
#![no_main]

mod common;

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use lucida::weights::keras_zip::{inspect, load_model, load_weights};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// The description of a network of one dense layer.
const CONFIG: &[u8] = include_bytes!("pickle.json");
/// An array of one object, up to its pickle: the header has 118 bytes.
const HEADER: &[u8] = b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }";

fuzz_target!(|bytes: &[u8]| {
    let mut array = HEADER.to_vec();
    array.resize(10 + 117, b' ');
    array.push(b'\n');
    array.extend_from_slice(bytes);
    let weights = archive(&[("layers/dense.npy", &array)]);
    let model = archive(&[("config.json", CONFIG), ("model.weights.npz", &weights)]);
    common::read_all(&model, inspect, load_model, load_weights);
});

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, options).expect("memory");
        archive.write_all(content).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}
