//! Compares single operations in many configurations with Keras, PyTorch and ONNX Runtime: the output, and the gradients of
//! inputs and weights, on every instruction set of this machine.

mod activations;
#[path = "../common/mod.rs"]
mod common;
mod convolution;
mod geometry;
mod harness;
mod merge;
mod normalization;
mod softmax;
