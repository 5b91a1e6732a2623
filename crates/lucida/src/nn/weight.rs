//! The weights of a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Initializer;

/// The specification of one of a layer's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its name within the layer, as in Keras: `kernel`, `bias`, `gamma`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its initializer.
    pub initializer: Initializer,
    /// Whether gradient descent updates it. (The moving statistics of a batch normalization are not trainable.)
    pub trainable: bool,
}

/// A weight: a named tensor. Clones share its values until one of them is changed, so cloning a network is cheap.
#[derive(Debug, Clone)]
pub struct Weight {
    name: String,
    shape: Vec<usize>,
    values: Arc<Vec<f32>>,
    trainable: bool,
    version: u64,
}

/// Versions are unique within the process, so that a plan that has packed a weight can cheaply check whether it is
/// unchanged, even when it is given another network.
fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Weight {
    /// A weight of zeros.
    pub(crate) fn zeros(name: String, shape: Vec<usize>, trainable: bool) -> Self {
        let len = shape.iter().product();
        Self { name, shape, values: Arc::new(vec![0.0; len]), trainable, version: next_version() }
    }

    /// `layer/weight`, as in `conv2d_1/kernel`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape; a kernel's is (row, column, channel, filter).
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Its values, mutable. Plans detect the change and repack them; clones keep the old values.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.version = next_version();
        Arc::make_mut(&mut self.values).as_mut_slice()
    }

    /// Whether gradient descent updates it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_values_until_one_changes() {
        let mut weight = Weight::zeros("dense/kernel".to_owned(), vec![2, 3], true);
        let clone = weight.clone();
        assert_eq!(clone.values().as_ptr(), weight.values().as_ptr());
        weight.values_mut()[0] = 1.0;
        assert_eq!((clone.values()[0], weight.values()[0]), (0.0, 1.0));
        assert_ne!(clone.version(), weight.version());
    }
}
