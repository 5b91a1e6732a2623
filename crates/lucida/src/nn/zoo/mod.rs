//! Known networks: as functions, and as a table ([`ALL`], [`find`]) from which programs can list and build them by name.

mod architecture;
mod basic_cnn;
mod inception_v3;
mod lenet5;
mod mnist_cnn;
mod vgg;

pub use architecture::{ALL, Architecture, Options, Pixels, Start, find};
pub use basic_cnn::basic_cnn;
pub use inception_v3::inception_v3;
pub use lenet5::lenet5;
pub use mnist_cnn::mnist_cnn;
pub(crate) use vgg::vgg16_start;
pub use vgg::{vgg16, vgg19};

#[cfg(test)]
mod tests;
