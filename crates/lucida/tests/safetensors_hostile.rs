//! Damaged and malicious safetensors files, Lucida's own and plain ones, result in an error or are read without harm, in
//! bounded time and memory; never in a panic or a hang.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::hostile::{cut_anywhere, extreme_numbers, flipped_bytes, read_all};
use lucida::nn::Network;
use lucida::nn::layers::{Activation, ActivationKind, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D};
use lucida::weights::{Model, safetensors};
use serde_json::{Value, json};

fn network() -> Network {
    let layers = [
        Conv2D::new(4, [3, 3]).into(),
        BatchNormalization::default().into(),
        Activation::new(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    Network::sequential("small", [6, 7, 3], layers, 1).unwrap()
}

/// Writes a file with this header, followed by `bytes` zeros.
fn write(path: &Path, header: &str, bytes: usize) {
    let start = (header.len() as u64).to_le_bytes();
    fs::write(path, [&start[..], header.as_bytes(), &vec![0; bytes]].concat()).unwrap();
}

/// A model of our own, and the same tensors with PyTorch's names and layout.
fn files(folder: &Path) -> [PathBuf; 2] {
    let [own, plain] = ["own.safetensors", "plain.safetensors"].map(|name| folder.join(name));
    safetensors::save_model(&Model::new(network()), &own).unwrap();
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in [
        ("conv2d.weight", &[4, 3, 3, 3][..]),
        ("conv2d.bias", &[4]),
        ("batch_normalization.weight", &[4]),
        ("batch_normalization.bias", &[4]),
        ("batch_normalization.running_mean", &[4]),
        ("batch_normalization.running_var", &[4]),
        ("dense.weight", &[3, 16]),
        ("dense.bias", &[3]),
    ] {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(name.into(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    write(&plain, &Value::from(header).to_string(), at);
    for path in [&own, &plain] {
        read_all(path, &network()).1.unwrap_or_else(|problem| panic!("{problem}"));
    }
    [own, plain]
}

#[test]
fn files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    cut_anywhere(&files(folder.path()), &network(), |path, len, whole, model, loaded| {
        assert!(model.is_err() && loaded.is_err(), "{} cut to {len} of {whole} bytes", path.display());
    });
}

#[test]
fn flipped_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    flipped_bytes(&files(folder.path()), &network());
}

#[test]
fn extreme_numbers_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    extreme_numbers(&files(folder.path()), &network());
}

#[test]
fn headers_made_to_do_harm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let tensor = |shape: &str, from: u64, to: u64| {
        format!(r#"{{"dense/kernel":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{from},{to}]}}}}"#)
    };
    let refused = |header: &str, expected: &str| {
        write(&path, header, 8);
        let (model, loaded) = read_all(&path, &network());
        assert!(model.is_err());
        let message = loaded.unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        assert!(message.len() < 1000, "{} bytes of message", message.len());
    };
    // Terabytes, sizes that overflow, and offsets outside of the file or in reverse order.
    refused(&tensor("1099511627776", 0, 4_398_046_511_104), "cut short or damaged");
    refused(&tensor("4611686018427387904,4,4", 0, 8), "cannot be read: overflow");
    refused(&tensor("2", u64::MAX - 7, u64::MAX), "cannot be read");
    refused(&tensor("2", 8, 0), "cannot be read");
    refused(&tensor("-2", 0, 8), "cannot be read");
    refused(&tensor("0,18446744073709551615", 0, 0), "cut short or damaged");
    // Excessive counts.
    refused(&tensor(&["1"; 1_000_000].join(","), 0, 4), "1000000 axes");
    let many = |entry: &str| (0..60_000).map(|index| format!(r#""{index}":{entry}"#)).collect::<Vec<_>>().join(",");
    let none = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    refused(&format!("{{{}}}", many(none)), "tensors and texts of the header: 60000 is over the limit");
    refused(&format!(r#"{{"__metadata__":{{{}}}}}"#, many(r#""""#)), "60000 is over the limit");
    refused(&format!(r#"{{"a":{}}}"#, "[".repeat(1_000_000)), "cannot be read");
    refused(&format!(r#"{{"a":{none},"a":{none}}}"#), "");
    refused(&format!("{{{}}}", " ".repeat(9 << 20)), "announce a header");
    // A description whose parsed form takes much more memory than its text.
    let entry = format!(r#"{{"version":1,"network":[{}]}}"#, vec![r#"{"a":1}"#; 700_000].join(","));
    write(&path, &json!({ "__metadata__": { "lucida": entry } }).to_string(), 0);
    let message = read_all(&path, &network()).0.unwrap_err().to_string();
    assert!(message.contains("bytes of JSON are over the limit"), "{message}");
}
