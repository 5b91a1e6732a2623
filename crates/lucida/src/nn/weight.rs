//! The weights of a network.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Initializer;

/// What a layer says about one of its weights before it exists.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its name within the layer, as Keras has it: `kernel`, `bias`, `gamma`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it starts.
    pub initializer: Initializer,
    /// Whether gradient descent changes it. (The moving statistics of a batch normalization are not trainable.)
    pub trainable: bool,
}

/// One weight: a named tensor.
#[derive(Debug, Clone)]
pub struct Weight {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
    trainable: bool,
    version: u64,
}

/// Versions are unique in the process, so that a plan that has packed a weight can tell at a glance whether it is still
/// the same, even when it is handed another network.
fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Weight {
    /// A weight of zeros.
    pub(crate) fn zeros(name: String, shape: Vec<usize>, trainable: bool) -> Self {
        let len = shape.iter().product();
        Self { name, shape, values: vec![0.0; len], trainable, version: next_version() }
    }

    /// `layer/weight`, as in `conv2d_1/kernel`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape; a kernel's is (row, column, channel, filter).
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values, the last axis first.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Its values, to change. Plans notice and pack them anew.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.version = next_version();
        &mut self.values
    }

    /// Whether gradient descent changes it.
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    pub(crate) fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }

    /// Changes whenever the values may have changed.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}
