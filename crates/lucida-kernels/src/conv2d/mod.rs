//! Two-dimensional convolution: forward pass, input gradient and kernel gradient.
//!
//! What deep learning calls a convolution is a cross-correlation: with input `X` (height, width, channel), kernel `K` (row,
//! column, channel, filter) and strides `s`,
//!
//! ```text
//! Y[y, x, f] = b[f] + sum over i, j, c of X[s y + i - p, s x + j - q, c] K[i, j, c, f]
//! ```
//!
//! where `p` and `q` are the zero padding at the top and left. With a dilation `d`, tap `i` is over row `s y + d i - p`;
//! with groups, a filter is only over the channels of its group, and there is one product per group. All three passes are
//! matrix products whose left-hand side is a matrix of patches that is never materialized (see [`crate::gemm`]):
//!
//! - forward: patches of `X` times `K`;
//! - input gradient: patches of `dY` times `K` rotated by 180 degrees, with channels and filters exchanged. With a stride
//!   `s` the input pixels fall into `s x s` classes by their position modulo the stride, each of which is reached only by
//!   the taps of one class: one pass per class, without the multiplications by inserted zeros of the textbook method;
//! - kernel gradient: `dK[i, j, c, f] = sum over pixels of X[s y + i - p, s x + j - q, c] dY[y, x, f]`, the transposed
//!   product.
//!
//! With padding, a band of the image that fits the L2 cache is first copied with zero padding, by the thread that uses it:
//! the copy costs one read and write per input value, against `9 x filters` multiplications, and keeps padding out of the
//! micro-kernels.
//!
//! Most 3x3 convolutions with stride one run the [`winograd`] algorithm instead, with a quarter of the multiplications, and
//! the input gradient for few channels is a different product ([`col2im`]); [`algorithm`] chooses when a convolution is
//! prepared.
//!
//! A depthwise convolution has no matrix product ([`depthwise`]), and a transposed convolution is the input gradient of a
//! convolution, used as a forward pass ([`transpose`]).
//!
//! A dense layer is the 1x1 convolution of a 1x1 image.

mod algorithm;
mod backward;
mod band;
mod col2im;
mod depthwise;
mod depthwise_gradient;
mod depthwise_square;
mod introspect;
mod kernel_gradient;
#[cfg(test)]
mod measure;
mod pass;
mod passes;
mod shape;
mod small_channel;
mod small_channel_gradient;
mod switches;
#[cfg(test)]
mod tests;
mod transpose;
mod winograd;

use crate::buffer::with_scratch;
use crate::channel_map::ChannelMap;
use crate::cpu::Cpu;
use crate::ops::Pointwise;
use algorithm::{Algorithm, Algorithms};
use backward::{BackwardClass, backward_classes};
use band::Window;
use col2im::Col2ImPass;
use depthwise::DepthwisePass;
use depthwise_gradient::DepthwiseGradient;
use kernel_gradient::KernelGradient;
use pass::{Added, ConvEpilogue, Pass, Target};
use passes::{Correlation, KernelPass};
pub use shape::{Conv2dGradients, Conv2dShape};
use switches::{Source, Switches, sum_open};
pub use transpose::Conv2dTranspose;
use winograd::{WinogradKernelGradient, WinogradPass};

/// A convolution prepared for one shape, one maximum batch size and one processor: its weights are packed, its scratch
/// memory is allocated.
#[derive(Debug)]
pub struct Conv2d {
    cpu: Cpu,
    shape: Conv2dShape,
    forward: Correlation,
    backward: Option<Correlation>,
    /// For each pass of the direct input gradient, the taps of the kernel it uses.
    classes: Vec<BackwardClass>,
    kernel_gradient: Option<KernelPass>,
    /// If the convolution is followed by max pooling: which pixel of each window held the maximum.
    switches: Option<Switches>,
    /// Floats of scratch memory that the most demanding pass needs.
    workspace_len: usize,
}

impl Conv2d {
    /// Prepares a convolution for up to `batch` images.
    ///
    /// # Panics
    /// When a size is zero.
    pub fn new(cpu: Cpu, shape: Conv2dShape, batch: usize, gradients: Conv2dGradients) -> Self {
        let shape = shape.with_near_windows();
        check_sizes(&shape, batch);
        Self::with_algorithms(cpu, shape, batch, gradients, Algorithms::choose(cpu, &shape, batch, gradients), false)
    }

    /// As [`new`](Self::new), but without Winograd: equal patches then give bitwise equal sums. With Winograd the rounding
    /// depends on the position of a pixel in its tile, so that a different one of several equal values may become the
    /// maximum.
    ///
    /// # Panics
    /// When a size is zero.
    pub fn direct(cpu: Cpu, shape: Conv2dShape, batch: usize, gradients: Conv2dGradients) -> Self {
        let shape = shape.with_near_windows();
        check_sizes(&shape, batch);
        Self::with_algorithms(cpu, shape, batch, gradients, Algorithms::exact(cpu, &shape), false)
    }

    /// A convolution fused with a 2x2 max pooling with stride two; an odd last row or column is dropped. Outputs and output
    /// gradients are those of the pooling, and with a ReLU the backward passes include it as well. `exact` excludes
    /// Winograd, as in [`direct`](Self::direct).
    ///
    /// # Panics
    /// When a size is zero, there is no window, or there is more than one group.
    pub fn pooled(cpu: Cpu, shape: Conv2dShape, batch: usize, gradients: Conv2dGradients, exact: bool) -> Self {
        assert_eq!(shape.groups, 1, "groups of a convolution that ends in a maximum");
        let shape = Conv2dShape { output: shape.output.map(|pixels| pixels / 2 * 2), ..shape }.with_near_windows();
        check_sizes(&shape, batch);
        let algorithms = match exact {
            true => Algorithms::exact(cpu, &shape),
            false => Algorithms::choose(cpu, &shape, batch, gradients),
        };
        Self::with_algorithms(cpu, shape, batch, gradients, algorithms, true)
    }

    /// As [`new`](Self::new), with the given algorithms.
    fn with_algorithms(
        cpu: Cpu,
        shape: Conv2dShape,
        batch: usize,
        gradients: Conv2dGradients,
        algorithms: Algorithms,
        pool: bool,
    ) -> Self {
        let Conv2dShape { height, width, channels, filters, kernel, strides, dilation, groups, padding, output } =
            shape;
        let window = Window {
            source: [height, width, channels],
            strides,
            taps: kernel,
            dilation,
            groups,
            padding: [padding[0] as isize, padding[1] as isize],
            output,
            pooled: false,
        };
        let forward = match algorithms.forward {
            Algorithm::Direct | Algorithm::Col2Im if pool => {
                Correlation::Direct(vec![Pass::pooled(cpu, window, filters, batch)])
            }
            Algorithm::Direct | Algorithm::Col2Im => {
                let target = Target { offset: 0, row: output[1] * filters, column: filters, image: shape.output_len() };
                Correlation::Direct(vec![Pass::new(cpu, window, target, filters, batch)])
            }
            Algorithm::Winograd => Correlation::Winograd(WinogradPass::forward(cpu, &shape, batch)),
            Algorithm::Depthwise => Correlation::Depthwise(vec![DepthwisePass::forward(cpu, &shape, window)]),
        };
        let direct = gradients.input && algorithms.backward_input == Algorithm::Direct;
        let classes = if direct { backward_classes(&shape, pool) } else { Vec::new() };
        let backward = gradients.input.then(|| match algorithms.backward_input {
            Algorithm::Direct => {
                let pass = |class: &BackwardClass| Pass::new(cpu, class.window, class.target, channels, batch);
                Correlation::Direct(classes.iter().map(pass).collect())
            }
            Algorithm::Winograd => Correlation::Winograd(WinogradPass::backward(cpu, &shape, batch)),
            Algorithm::Col2Im => Correlation::Col2Im(Box::new(Col2ImPass::new(cpu, &shape, pool))),
            Algorithm::Depthwise => Correlation::Depthwise(DepthwisePass::backward(cpu, &shape)),
        });
        let kernel_gradient = gradients.kernel.then(|| match algorithms.backward_kernel {
            Algorithm::Direct | Algorithm::Col2Im => {
                KernelPass::Direct(KernelGradient::new(cpu, window, filters, batch, pool))
            }
            Algorithm::Winograd => KernelPass::Winograd(WinogradKernelGradient::new(cpu, &shape, batch)),
            Algorithm::Depthwise => KernelPass::Depthwise(DepthwiseGradient::new(cpu, &shape, window, batch)),
        });
        let workspace_len = backward
            .iter()
            .chain([&forward])
            .map(|pass| pass.workspace_len(cpu, batch))
            .chain(kernel_gradient.as_ref().map(|pass| pass.workspace_len(cpu)))
            .max()
            .unwrap_or(0);
        let switches = pool.then(|| Switches::new(cpu, output, filters, batch));
        Self { cpu, shape, forward, backward, classes, kernel_gradient, switches, workspace_len }
    }

    /// Floats of the result for one image.
    fn result_len(&self) -> usize {
        self.switches.as_ref().map_or(self.shape.output_len(), |switches| switches.place().len())
    }

    /// The sizes that it was prepared for.
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// Packs a kernel of shape (row, column, channel of a group, filter) for the following passes.
    ///
    /// # Panics
    /// When `kernel` has a wrong length.
    pub fn set_kernel(&mut self, kernel: &[f32]) {
        let Conv2dShape { filters, kernel: [_, columns], .. } = self.shape;
        let (channels, group_filters) = (self.shape.group_channels(), self.shape.group_filters());
        assert_eq!(kernel.len(), self.shape.kernel_len(), "kernel length");
        match &mut self.forward {
            Correlation::Direct(passes) => {
                for (group, matrix) in passes[0].matrices.iter_mut().enumerate() {
                    matrix.pack(self.cpu, kernel, |k| k * filters + group * group_filters, 1);
                }
            }
            Correlation::Depthwise(passes) => passes.iter_mut().for_each(|pass| pass.set_kernel(kernel, columns)),
            Correlation::Winograd(passes) => passes.iter_mut().for_each(|pass| pass.set_kernel(self.cpu, kernel)),
            Correlation::Col2Im(_) => unreachable!("only a pass back to the input"),
        }
        let passes = match &mut self.backward {
            Some(Correlation::Direct(passes)) => passes,
            Some(Correlation::Winograd(passes)) => {
                return passes.iter_mut().for_each(|pass| pass.set_kernel(self.cpu, kernel));
            }
            Some(Correlation::Col2Im(pass)) => return pass.set_kernel(self.cpu, kernel),
            Some(Correlation::Depthwise(passes)) => {
                return passes.iter_mut().for_each(|pass| pass.set_kernel(kernel, columns));
            }
            None => return,
        };
        for (pass, class) in passes.iter_mut().zip(&self.classes) {
            for (group, matrix) in pass.matrices.iter_mut().enumerate() {
                let row = |k: usize| {
                    let [i, j] = class.tap(k / group_filters);
                    (i * columns + j) * channels * filters + group * group_filters + k % group_filters
                };
                matrix.pack(self.cpu, kernel, row, filters);
            }
        }
    }

    /// Computes `output = input * kernel + bias`, followed by a ReLU when `relu`.
    ///
    /// `input` is (batch, height, width, channel), `output` (batch, height, width, filter), and `bias` has one float per
    /// filter.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(&mut self, batch: usize, input: &[f32], bias: Option<&[f32]>, relu: bool, output: &mut [f32]) {
        let activation = relu.then_some(Pointwise::Relu);
        self.forward_finished(batch, input, ConvFinish { bias, activation, ..ConvFinish::default() }, output);
    }

    /// As [`forward`](Self::forward), with everything that can be applied to the sums while they are in registers.
    ///
    /// # Panics
    /// When a length does not fit, or if a pooled convolution is given anything but a scale, a bias and a ReLU.
    pub fn forward_finished(&mut self, batch: usize, input: &[f32], finish: ConvFinish, output: &mut [f32]) {
        let ConvFinish { scale, bias, residual, activation } = finish;
        assert_eq!(input.len(), batch * self.shape.input_len(), "input length");
        assert_eq!(output.len(), batch * self.result_len(), "output length");
        for each in scale.iter().chain(&bias) {
            assert_eq!(each.len(), self.shape.filters, "bias or scale length");
        }
        assert!(residual.is_none_or(|residual| residual.len() == output.len()), "residual length");
        assert!(self.switches.as_ref().is_none_or(|switches| switches.hold(batch)), "a batch of {batch} images");
        let pooled = residual.is_none() && matches!(activation, None | Some(Pointwise::Relu));
        assert!(pooled || self.switches.is_none(), "{activation:?} or a residual before maxima");
        let sink = self.switches.as_mut().map(Switches::sink);
        let finish = ConvEpilogue { scale, bias, residual, activation, pool: sink.as_ref(), ..ConvEpilogue::default() };
        with_scratch(self.workspace_len, |workspace| {
            self.forward.run(self.cpu, batch, Source::plain(input), output, finish, workspace);
        });
    }

    /// Computes the gradient of the input from the gradient of the output (before any activation), and adds it to
    /// `grad_input` when `accumulate`.
    ///
    /// # Panics
    /// When a length does not fit, or the convolution was not prepared for this pass.
    pub fn backward_input(&mut self, batch: usize, grad_output: &[f32], grad_input: &mut [f32], accumulate: bool) {
        self.backward(batch, grad_output, grad_input, ConvEpilogue { accumulate, ..ConvEpilogue::default() });
    }

    /// As [`backward_input`](Self::backward_input), followed by the backward pass of the ReLU that produced `input`: the
    /// whole gradient, including accumulated values, is set to zero where `input` is not positive.
    ///
    /// # Panics
    /// As for [`backward_input`](Self::backward_input).
    pub fn backward_input_through_relu(
        &mut self,
        batch: usize,
        grad_output: &[f32],
        input: &[f32],
        grad_input: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(input.len(), grad_input.len(), "input length");
        let finish = ConvEpilogue { accumulate, gate: Some(input), ..ConvEpilogue::default() };
        self.backward(batch, grad_output, grad_input, finish);
    }

    /// As [`backward_input`](Self::backward_input), plus `input` mapped by `map`; with `through_relu` the sum is set to
    /// zero where `input`, the output of a ReLU, is not positive.
    ///
    /// # Panics
    /// As for [`backward_input`](Self::backward_input), and when the map has a different number of channels.
    #[allow(clippy::too_many_arguments)]
    pub fn backward_input_mapped(
        &mut self,
        batch: usize,
        grad_output: &[f32],
        input: &[f32],
        map: &ChannelMap,
        through_relu: bool,
        grad_input: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(input.len(), grad_input.len(), "input length");
        assert_eq!(map.channels(), self.shape.channels, "channels of the map");
        let added = Some(Added { map, features: input, gate: through_relu });
        self.backward(batch, grad_output, grad_input, ConvEpilogue { accumulate, added, ..ConvEpilogue::default() });
    }

    fn backward(&mut self, batch: usize, grad_output: &[f32], grad_input: &mut [f32], finish: ConvEpilogue) {
        let backward = self.backward.as_ref().expect("prepared for the gradient of the input");
        assert_eq!(grad_output.len(), batch * self.result_len(), "output gradient length");
        assert_eq!(grad_input.len(), batch * self.shape.input_len(), "input gradient length");
        let source = Source { values: grad_output, switches: self.switches.as_ref() };
        with_scratch(self.workspace_len, |workspace| {
            backward.run(self.cpu, batch, source, grad_input, finish, workspace);
        });
    }

    /// Computes the gradient of the kernel from the input and the gradient of the output (before any activation).
    ///
    /// # Panics
    /// When a length does not fit, or the convolution was not prepared for this pass.
    pub fn backward_kernel(&mut self, batch: usize, input: &[f32], grad_output: &[f32], grad_kernel: &mut [f32]) {
        assert_eq!(input.len(), batch * self.shape.input_len(), "input length");
        assert_eq!(grad_output.len(), batch * self.result_len(), "output gradient length");
        assert_eq!(grad_kernel.len(), self.shape.kernel_len(), "kernel gradient length");
        let grad_output = Source { values: grad_output, switches: self.switches.as_ref() };
        let pass = self.kernel_gradient.as_mut().expect("prepared for the gradient of the kernel");
        with_scratch(self.workspace_len, |workspace| match pass {
            KernelPass::Direct(pass) => pass.run(self.cpu, batch, input, grad_output, grad_kernel, workspace),
            KernelPass::Depthwise(pass) => {
                pass.run(self.cpu, batch, input, grad_output.values, grad_kernel, workspace);
            }
            KernelPass::Winograd(passes) => {
                for (number, pass) in passes.iter_mut().enumerate() {
                    pass.run(self.cpu, batch, input, grad_output, grad_kernel, number > 0, workspace);
                }
            }
        });
    }

    /// Computes the gradient of the bias from the gradient of the output.
    ///
    /// # Panics
    /// When a length does not fit, or `workspace` is shorter than [`sum_rows_workspace`](crate::ops::sum_rows_workspace).
    pub fn backward_bias(&self, batch: usize, grad_output: &[f32], grad_bias: &mut [f32], workspace: &mut [f32]) {
        assert_eq!(grad_output.len(), batch * self.result_len(), "output gradient length");
        assert_eq!(grad_bias.len(), self.shape.filters, "bias gradient length");
        match &self.switches {
            Some(switches) => sum_open(self.cpu, grad_output, switches, grad_bias, workspace),
            None => crate::ops::sum_rows(self.cpu, grad_output, grad_bias, workspace),
        }
    }
}

/// Operations applied to the sums of a convolution: `f(scale s + bias + residual)`, where `f` is an activation.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConvFinish<'a> {
    /// One factor per filter, as in a normalization with fixed statistics.
    pub scale: Option<&'a [f32]>,
    /// One float per filter.
    pub bias: Option<&'a [f32]>,
    /// Added to the sums; as long as the output.
    pub residual: Option<&'a [f32]>,
    /// The activation.
    pub activation: Option<Pointwise>,
}

fn check_sizes(shape: &Conv2dShape, batch: usize) {
    let Conv2dShape { height, width, channels, filters, kernel, strides, dilation, groups, output, .. } = *shape;
    let pairs = [kernel, strides, dilation, output, [height, width], [channels, filters]];
    let zero = batch == 0 || groups == 0 || pairs.iter().any(|pair| pair.contains(&0));
    assert!(!zero, "a convolution of size zero: {shape:?}, batch {batch}");
    let whole = channels.is_multiple_of(groups) && filters.is_multiple_of(groups);
    assert!(whole, "{groups} groups of {channels} channels and {filters} filters");
}
