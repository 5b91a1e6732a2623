//! A small network for digits.

use crate::Result;
use crate::nn::layers::{ActivationKind, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Padding};
use crate::nn::{Layer, Network};

/// Three convolutions of 24, 48 and 64 filters, each followed by a pooling, then two dense layers with dropout between:
/// 113,514 parameters for digits of 28x28 pixels.
///
/// # Errors
/// None in practice: the layers are compatible.
pub fn mnist_cnn(seed: u64) -> Result<Network> {
    let conv = |filters| -> Layer {
        Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu).into()
    };
    let pool = || -> Layer { MaxPooling2D::default().into() };
    let layers = [
        conv(24),
        pool(),
        conv(48),
        pool(),
        conv(64),
        pool(),
        Flatten::new().into(),
        Dense::new(128).activation(ActivationKind::Relu).into(),
        Dropout::new(0.25).into(),
        Dense::new(10).activation(ActivationKind::Softmax).into(),
    ];
    Network::sequential("mnist_cnn", [28, 28, 1], layers, seed)
}
