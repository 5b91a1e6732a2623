//! Known networks.

mod mnist_cnn;

pub use mnist_cnn::mnist_cnn;
