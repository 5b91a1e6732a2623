//! Known networks: as functions, and as a table ([`ALL`], [`find`]) from which programs can list and build them by name.

mod alexnet;
mod architecture;
mod basic_cnn;
mod densenet;
mod inception_v3;
mod inception_v3_torch;
mod lenet5;
mod mnist_cnn;
pub(crate) mod modules;
mod options;
mod resnet;
mod squeezenet;
mod torchvision;
mod vgg;

pub use alexnet::alexnet;
pub use architecture::{ALL, Architecture, PixelFormat, find};
pub use basic_cnn::basic_cnn;
pub use densenet::densenet121;
pub use inception_v3::inception_v3;
pub use inception_v3_torch::inception_v3_torch;
pub use lenet5::lenet5;
pub use mnist_cnn::mnist_cnn;
pub use options::{InitialWeights, Options};
pub use resnet::{resnet18, resnet34, resnet50, resnet101, resnet152};
pub use squeezenet::{squeezenet1_0, squeezenet1_1};
pub(crate) use vgg::vgg16_start;
pub use vgg::{vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn};

#[cfg(test)]
mod tests;
