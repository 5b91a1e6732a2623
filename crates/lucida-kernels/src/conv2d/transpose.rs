//! Transposed convolution: the pass back to the input of a convolution, as a layer of its own.
//!
//! With the convolution that takes its output to its input, `Y` is what the gradient `X` would give back: forward is that
//! pass, the gradient of the input is the forward pass of the gradient, and the gradient of the kernel is the same product
//! with both sides exchanged. So there is nothing to compute here that a [`Conv2d`] cannot.

use super::algorithm::Algorithms;
use super::pass::ConvEpilogue;
use super::switches::Source;
use super::{Conv2d, Conv2dGradients, Conv2dShape, check_sizes};
use crate::buffer::with_scratch;
use crate::cpu::Cpu;
use crate::ops::Pointwise;

/// A transposed convolution prepared for one shape, one largest batch and one processor.
#[derive(Debug)]
pub struct Conv2dTranspose {
    /// From the output to the input.
    conv: Conv2d,
}

impl Conv2dTranspose {
    /// Prepares it for up to `batch` images. `shape` is that of the convolution from the output to the input: its height,
    /// width and channels are those of the output, its filters the channels of the input. `exact` as in
    /// [`Conv2d::direct`].
    ///
    /// # Panics
    /// When a size is zero.
    pub fn new(cpu: Cpu, shape: Conv2dShape, batch: usize, gradients: Conv2dGradients, exact: bool) -> Self {
        check_sizes(&shape, batch);
        // Chosen as for a convolution with these gradients, so that without any it does not depend on the batch.
        let algorithms = match exact {
            true => Algorithms::exact(cpu, &shape),
            false => Algorithms::choose(cpu, &shape, batch, gradients),
        };
        let gradients = Conv2dGradients { input: true, ..gradients };
        Self { conv: Conv2d::with_algorithms(cpu, shape, batch, gradients, algorithms, false) }
    }

    /// Packs a kernel of shape (row, column, output channel of a group, input channel) for the passes to come.
    ///
    /// # Panics
    /// When `kernel` has another length.
    pub fn set_kernel(&mut self, kernel: &[f32]) {
        self.conv.set_kernel(kernel);
    }

    /// The output from the input, both (batch, height, width, channel), then the bias and ReLU if asked for.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(&mut self, batch: usize, input: &[f32], bias: Option<&[f32]>, relu: bool, output: &mut [f32]) {
        assert!(bias.is_none_or(|bias| bias.len() == self.conv.shape.channels), "bias length");
        let finish = ConvEpilogue { bias, activation: relu.then_some(Pointwise::Relu), ..ConvEpilogue::default() };
        self.conv.backward(batch, input, output, finish);
    }

    /// The gradient of the input from that of the output (before any activation); added to `grad_input` when
    /// `accumulate`.
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

    /// The gradient of the kernel from the input and the gradient of the output (before any activation).
    ///
    /// # Panics
    /// When a length does not fit, or it was not prepared for this.
    pub fn backward_kernel(&mut self, batch: usize, input: &[f32], grad_output: &[f32], grad_kernel: &mut [f32]) {
        self.conv.backward_kernel(batch, grad_output, input, grad_kernel);
    }

    /// The names of the algorithms: forward, back to the input, back to the kernel; none for a pass that it was not
    /// prepared for.
    pub fn algorithms(&self) -> [Option<&'static str>; 3] {
        let [forward, backward, kernel] = self.conv.algorithms();
        [backward, forward, kernel]
    }

    /// Multiplications and additions of a pass by the definition, for one image.
    pub fn operations(&self) -> f64 {
        self.conv.operations()
    }
}
