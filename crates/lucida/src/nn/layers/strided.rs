//! Shared code of layers that move values: each copies a strided view of the input.

use lucida_kernels::{Cpu, StridedView, gather, scatter};

use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// A strided copy prepared to compute.
pub(super) struct StridedOp {
    cpu: Cpu,
    view: StridedView,
}

impl StridedOp {
    /// Copies a view of the input with these axes, the slowest first: (size, stride in values), starting at value `offset`.
    pub(super) fn new(config: &OpConfig, offset: usize, axes: &[(usize, isize)]) -> Self {
        Self { cpu: config.cpu, view: StridedView::new(offset, axes) }
    }
}

impl Op for StridedOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        gather(self.cpu, &self.view, pass.batch, pass.inputs.get(0), output);
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        scatter(self.cpu, &self.view, pass.batch, pass.grad_output, grad_input, accumulate);
    }
}
