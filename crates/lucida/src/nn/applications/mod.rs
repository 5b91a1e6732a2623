//! Well-known networks: as functions, and as a table ([`ALL`], [`find`]) for listing and building them by name.

mod alexnet;
mod architecture;
mod basic_cnn;
mod convnext_keras;
mod densenet;
mod densenet_keras;
mod efficientnet;
mod efficientnet_v2;
mod inception_resnet_v2;
mod inception_v3;
mod inception_v3_torch;
mod keras;
mod lenet5;
mod mnist_cnn;
mod mobilenet;
mod mobilenet_v2;
mod mobilenet_v3;
pub(crate) mod modules;
mod nasnet;
mod options;
mod resnet;
mod resnet_keras;
mod squeezenet;
mod table;
mod torchvision;
mod unet;
mod vgg;
mod xception;

pub use alexnet::alexnet;
pub use architecture::{Architecture, PixelFormat, Publisher};
pub use basic_cnn::basic_cnn;
pub use densenet::densenet121;
pub use inception_v3::inception_v3;
pub use inception_v3_torch::inception_v3_torch;
pub use lenet5::lenet5;
pub use mnist_cnn::mnist_cnn;
pub use options::{InitialWeights, Options};
pub use resnet::{resnet18, resnet34, resnet50, resnet101, resnet152};
pub use squeezenet::{squeezenet1_0, squeezenet1_1};
pub(crate) use table::find_of;
pub use table::{ALL, find};
pub(crate) use vgg::vgg16_start;
pub use vgg::{vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn};

pub use convnext_keras::{
    convnext_base_keras, convnext_large_keras, convnext_small_keras, convnext_tiny_keras, convnext_xlarge_keras,
};
pub use densenet_keras::{densenet121_keras, densenet169_keras, densenet201_keras};
pub use efficientnet::{
    efficientnet_b0, efficientnet_b1, efficientnet_b2, efficientnet_b3, efficientnet_b4, efficientnet_b5,
    efficientnet_b6, efficientnet_b7,
};
pub use efficientnet_v2::{
    efficientnet_v2_b0, efficientnet_v2_b1, efficientnet_v2_b2, efficientnet_v2_b3, efficientnet_v2_l,
    efficientnet_v2_m, efficientnet_v2_s,
};
pub use inception_resnet_v2::inception_resnet_v2;
pub use mobilenet::mobilenet;
pub use mobilenet_v2::mobilenet_v2;
pub use mobilenet_v3::{mobilenet_v3_large, mobilenet_v3_small};
pub use nasnet::{nasnet_large, nasnet_mobile};
pub use resnet_keras::{resnet50_keras, resnet50v2, resnet101_keras, resnet101v2, resnet152_keras, resnet152v2};
pub use unet::unet;
pub use xception::xception;

#[cfg(test)]
mod tests;
