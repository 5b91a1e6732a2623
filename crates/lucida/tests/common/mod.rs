//! Shared helpers for tests with recorded values.
#![allow(dead_code)] // each test program uses a part of this module

pub(crate) mod hostile;

use std::path::PathBuf;

use lucida::data::{Dataset, Preprocessing};
use lucida::nn::applications;
use lucida::train::{TrainConfig, Trainer};
use lucida::weights::Model;
use safetensors::SafeTensors;

/// A network trained to classify these digits.
pub(crate) fn digit_reader(digits: &dyn Dataset, epochs: usize, seed: u64) -> Model {
    let mut model = Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        ..Model::new(applications::mnist_cnn(seed).unwrap())
    };
    let config = TrainConfig { epochs, batch_size: 128, seed, ..TrainConfig::default() };
    Trainer::new(config).fit(&mut model, digits, None).unwrap();
    model
}

/// Path of a file in the shared folder; `None`, with a message, if it does not exist.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no ../shared/{name} next to this checkout");
    None
}

/// Recorded tensors.
pub(crate) struct Expected {
    bytes: Vec<u8>,
}

impl Expected {
    /// Opens a file of `../shared/golden`.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let path = shared(&format!("golden/{name}"))?;
        Some(Self { bytes: std::fs::read(path).unwrap() })
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.bytes).unwrap().names().into_iter().map(str::to_owned).collect()
    }

    /// Returns an entry of the file's metadata.
    pub(crate) fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        header.metadata().as_ref().and_then(|entries| entries.get(key)).cloned().unwrap_or_default()
    }

    /// Returns a tensor's shape and values.
    pub(crate) fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("no tensor {name:?}"));
        let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (tensor.shape().to_vec(), values.collect())
    }

    /// Returns the shape and values of a byte tensor.
    pub(crate) fn bytes(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("no tensor {name:?}"));
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    /// Returns a tensor's values.
    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        self.get(name).1
    }
}

/// Keeps the first `channels` channels of values with `all` channels.
pub(crate) fn first_channels(values: &[f32], all: usize, channels: usize) -> Vec<f32> {
    values.chunks_exact(all).flat_map(|pixel| &pixel[..channels]).copied().collect()
}

/// `max|a - b| / max|b|`.
pub(crate) fn difference(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().all(|value| value.is_finite()));
    let scale = expected.iter().fold(0.0_f64, |most, &value| most.max(f64::from(value).abs()));
    let most = got.iter().zip(expected).fold(0.0_f64, |most, (&a, &b)| most.max((f64::from(a) - f64::from(b)).abs()));
    most / scale
}

/// Asserts `max|a - b| <= 1e-3 max|b|`.
pub(crate) fn agree(what: &str, got: &[f32], expected: &[f32]) {
    let difference = difference(got, expected);
    eprintln!("{what}: relative difference {difference:.1e}");
    assert!(difference <= 1e-3, "{what}: {difference:e}");
}
