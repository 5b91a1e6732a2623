//! Shared by the targets for NumPy arrays in `.keras` archives: builds valid archives, so that the fuzzer's bytes reach the
//! parser of the array.

use std::io::{Cursor, Write};

use lucida::weights::keras_zip::{inspect, load_model, load_weights};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

#[path = "common.rs"]
mod common;

/// The description of a network with one dense layer.
const CONFIG: &[u8] = include_bytes!("pickle.json");

/// Reads a model whose weights are this `.npy` file.
pub fn read_all(array: &[u8]) {
    let weights = archive(&[("layers/dense.npy", array)]);
    let model = archive(&[("config.json", CONFIG), ("model.weights.npz", &weights)]);
    common::read_all(
        &model,
        |path| inspect(path),
        |path| load_model(path),
        |path, network| load_weights(path, network),
    );
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, options).expect("memory");
        archive.write_all(content).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}
