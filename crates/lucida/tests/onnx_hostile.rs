//! Damaged ONNX files: an error or a harmless success, soon, in little memory; never a panic or a hang. Files that are made
//! to do harm are in the unit tests of `weights::onnx`.

#[path = "common/hostile.rs"]
mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use hostile::{Random, extreme_numbers, flip_bytes, read_all, rounds};
use lucida::nn::Network;
use lucida::nn::zoo::{self, Options, Start};
use lucida::weights::{self, Model, onnx};

const FILES: [&str; 4] = ["residual.onnx", "pooled.onnx", "keras_tf.onnx", "keras_tf_gray.onnx"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/files")).join(name)
}

fn network(path: &Path) -> Network {
    weights::load_model(path).unwrap().network
}

/// The files of others, and one of our own, whose metadata are read as well.
fn files(folder: &Path) -> Vec<PathBuf> {
    let own = folder.join("own.onnx");
    onnx::save_model(
        &Model::new(zoo::lenet5(&Options { start: Start::Random(1), ..Default::default() }).unwrap()),
        &own,
    )
    .unwrap();
    FILES.iter().map(|name| file(name)).chain([own]).collect()
}

#[test]
fn files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.onnx");
    for file in files(folder.path()) {
        let (bytes, network) = (fs::read(&file).unwrap(), network(&file));
        let mut random = Random(1);
        for _ in 0..rounds(50) {
            let len = random.below(bytes.len());
            fs::write(&path, &bytes[..len]).unwrap();
            let (model, loaded) = read_all(&path, &network);
            // What comes after the graph and the version of its operators may be missing; nothing else.
            let harmless = len + 64 > bytes.len();
            assert!(harmless || (model.is_err() && loaded.is_err()), "{} cut to {len}", file.display());
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, file) in (2..).zip(files(folder.path())) {
        flip_bytes(&file, &folder.path().join("flipped.onnx"), &network(&file), 4096, seed);
    }
}

#[test]
fn extreme_numbers_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, file) in (20..).zip(files(folder.path())) {
        extreme_numbers(&file, &folder.path().join("extreme.onnx"), &network(&file), seed);
    }
}
