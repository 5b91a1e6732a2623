//! Damaged LiteRT files result in an error or are read without harm, in bounded time and memory; never in a panic or a hang.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::hostile::{extreme_numbers, flipped_bytes, random, read_all, rounds};
use lucida::nn::Network;
use lucida::weights;

const FILES: [&str; 4] =
    ["digits_int8.tflite", "digits_dynamic.tflite", "unet_int8.tflite", "pointwise_float32.tflite"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tflite/files")).join(name)
}

fn network(path: &Path) -> Network {
    weights::load_model(path).unwrap().network
}

#[test]
fn files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tflite");
    for name in FILES {
        let (bytes, network) = (fs::read(file(name)).unwrap(), network(&file(name)));
        // The metadata archive follows the model.
        let end = bytes.windows(4).position(|bytes| bytes == b"PK\x03\x04").unwrap_or(bytes.len());
        for len in (0..end).step_by(if name == FILES[0] { 1 } else { 97 }) {
            fs::write(&path, &bytes[..len]).unwrap();
            let (model, loaded) = read_all(&path, &network);
            assert!(model.is_err() && loaded.is_err(), "{name} cut to {len} of {}", bytes.len());
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    for file in FILES.map(file) {
        flipped_bytes(std::slice::from_ref(&file), &network(&file));
    }
}

#[test]
fn extreme_numbers_do_no_harm() {
    for file in FILES.map(file) {
        extreme_numbers(std::slice::from_ref(&file), &network(&file));
    }
}

/// Vectors and tables that share the same bytes: a small file can request a lot of memory.
#[test]
fn offsets_to_the_same_bytes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.tflite");
    let mut random = random(11);
    for name in FILES {
        let (bytes, network) = (fs::read(file(name)).unwrap(), network(&file(name)));
        for _ in 0..rounds(100) {
            // Changes words that may be offsets or lengths.
            let mut damaged = bytes.clone();
            for _ in 0..4 {
                let at = 4 * random.below(bytes.len() / 4);
                let value = random.below(bytes.len()) as u32;
                damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            fs::write(&path, damaged).unwrap();
            let _ = read_all(&path, &network);
        }
    }
}

#[test]
fn a_table_that_is_listed_again_and_again_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.tflite");
    let count = 1_000_000_u32;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.extend(20_u32.to_le_bytes());
    bytes.extend(b"TFL3");
    // Fields of the root table: only the third one, the subgraphs, is present.
    bytes.extend([10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    bytes.extend(12_i32.to_le_bytes());
    bytes.extend(4_u32.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    (0..count).for_each(|index| bytes.extend((4 * (count - index)).to_le_bytes()));
    // A table without fields.
    bytes.extend((-4_i32).to_le_bytes());
    bytes.extend([4, 0, 4, 0]);
    fs::write(&path, bytes).unwrap();
    let (model, _) = read_all(&path, &network(&file(FILES[0])));
    let message = model.unwrap_err().to_string();
    assert!(message.contains("again and again"), "{message}");
}
