//! Single operations in many configurations against what Keras, PyTorch and ONNX Runtime compute: the output, and the
//! gradients of the inputs and the weights, in every instruction set of this machine.

mod activations;
#[path = "../common/mod.rs"]
mod common;
mod convolution;
mod geometry;
mod harness;
mod merge;
mod normalization;
mod softmax;
