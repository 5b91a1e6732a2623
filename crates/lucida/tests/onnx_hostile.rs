//! Damaged ONNX files result in an error or are read without harm, in bounded time and memory; never in a panic or a hang.
//! Malicious files are tested in the unit tests of `weights::onnx`.

mod common;

use std::path::{Path, PathBuf};

use common::hostile::{cut_anywhere, extreme_numbers, flipped_bytes};
use lucida::nn::Network;
use lucida::nn::applications::{self, InitialWeights, Options};
use lucida::weights::{self, Model, onnx};

const FILES: [&str; 4] = ["residual.onnx", "pooled.onnx", "keras_tf.onnx", "keras_tf_gray.onnx"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/files")).join(name)
}

fn network(path: &Path) -> Network {
    weights::load_model(path).unwrap().network
}

/// Third-party files, and one of our own, whose metadata is read as well.
fn files(folder: &Path) -> Vec<PathBuf> {
    let own = folder.join("own.onnx");
    onnx::save_model(
        &Model::new(
            applications::lenet5(&Options { initial_weights: InitialWeights::Random(1), ..Default::default() })
                .unwrap(),
        ),
        &own,
    )
    .unwrap();
    FILES.iter().map(|name| file(name)).chain([own]).collect()
}

#[test]
fn files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(folder.path()) {
        cut_anywhere(std::slice::from_ref(&file), &network(&file), |path, len, whole, model, loaded| {
            // Only what follows the graph and the operator set version may be missing.
            let harmless = len + 64 > whole;
            assert!(harmless || (model.is_err() && loaded.is_err()), "{} cut to {len}", path.display());
        });
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(folder.path()) {
        flipped_bytes(std::slice::from_ref(&file), &network(&file));
    }
}

#[test]
fn extreme_numbers_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(folder.path()) {
        extreme_numbers(std::slice::from_ref(&file), &network(&file));
    }
}
