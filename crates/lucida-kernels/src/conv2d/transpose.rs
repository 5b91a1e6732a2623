//! Transposed convolution: the input gradient of a convolution, as a layer.
//!
//! Consider the convolution that maps this layer's output to its input. The forward pass of this layer is that
//! convolution's input gradient, the input gradient is its forward pass, and the kernel gradient is its kernel gradient
//! with both operands exchanged. So a [`Conv2d`] computes everything.

use super::algorithm::Algorithms;
use super::pass::ConvEpilogue;
use super::switches::Source;
use super::{Conv2d, Conv2dGradients, Conv2dShape, check_sizes};
use crate::buffer::with_scratch;
use crate::cpu::Cpu;
use crate::ops::Pointwise;

/// A transposed convolution prepared for one shape, one maximum batch size and one processor.
#[derive(Debug)]
pub struct Conv2dTranspose {
    /// The convolution from the output to the input.
    conv: Conv2d,
}

impl Conv2dTranspose {
    /// Prepares the layer for up to `batch` images. `shape` is that of the convolution from the output to the input: its
    /// height, width and channels are those of the output, its filters are the channels of the input. `exact` excludes
    /// Winograd, as in [`Conv2d::direct`].
    ///
    /// # Panics
    /// When a size is zero.
    pub fn new(cpu: Cpu, shape: Conv2dShape, batch: usize, gradients: Conv2dGradients, exact: bool) -> Self {
        check_sizes(&shape, batch);
        // The same choice as for a convolution with these gradients: without gradients it does not depend on the batch
        // size.
        let algorithms = match exact {
            true => Algorithms::exact(cpu, &shape),
            false => Algorithms::choose(cpu, &shape, batch, gradients),
        };
        let gradients = Conv2dGradients { input: true, ..gradients };
        Self { conv: Conv2d::with_algorithms(cpu, shape, batch, gradients, algorithms, false) }
    }

    /// Packs a kernel of shape (row, column, output channel of a group, input channel) for the following passes.
    ///
    /// # Panics
    /// When `kernel` has a wrong length.
    pub fn set_kernel(&mut self, kernel: &[f32]) {
        self.conv.set_kernel(kernel);
    }

    /// Computes the output from the input, both (batch, height, width, channel), with the bias and a ReLU when `relu`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(&mut self, batch: usize, input: &[f32], bias: Option<&[f32]>, relu: bool, output: &mut [f32]) {
        assert!(bias.is_none_or(|bias| bias.len() == self.conv.shape.channels), "bias length");
        let finish = ConvEpilogue { bias, activation: relu.then_some(Pointwise::Relu), ..ConvEpilogue::default() };
        self.conv.backward(batch, input, output, finish);
    }

    /// Computes the gradient of the input from the gradient of the output (before any activation), and adds it to
    /// `grad_input` when `accumulate`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn backward_input(&mut self, batch: usize, grad_output: &[f32], grad_input: &mut [f32], accumulate: bool) {
        let Conv2d { cpu, shape, forward, workspace_len, .. } = &self.conv;
        assert_eq!(grad_output.len(), batch * shape.input_len(), "output gradient length");
        assert_eq!(grad_input.len(), batch * shape.output_len(), "input gradient length");
        let finish = ConvEpilogue { accumulate, ..ConvEpilogue::default() };
        with_scratch(*workspace_len, |workspace| {
            forward.run(*cpu, batch, Source::plain(grad_output), grad_input, finish, workspace);
        });
    }

    /// Computes the gradient of the kernel from the input and the gradient of the output (before any activation).
    ///
    /// # Panics
    /// When a length does not fit, or the layer was not prepared for this pass.
    pub fn backward_kernel(&mut self, batch: usize, input: &[f32], grad_output: &[f32], grad_kernel: &mut [f32]) {
        self.conv.backward_kernel(batch, grad_output, input, grad_kernel);
    }

    /// Names of the algorithms: forward, input gradient, kernel gradient; `None` for a pass that was not prepared.
    pub fn algorithms(&self) -> [Option<&'static str>; 3] {
        let [forward, backward, kernel] = self.conv.algorithms();
        [backward, forward, kernel]
    }

    /// Multiplications and additions of a pass for one image, by the definition of convolution.
    pub fn operations(&self) -> f64 {
        self.conv.operations()
    }
}
