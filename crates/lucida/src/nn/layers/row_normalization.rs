//! Shared code of layer, RMS and unit normalization: the last axes of a sample are a row, which is normalized by its own
//! moments.

use lucida_kernels::ops::{
    RowNorm, RowNormBackward, normalize_rows, normalize_rows_backward, normalize_rows_gradients,
    normalize_rows_workspace,
};
use lucida_kernels::{Buffer, Cpu};

use crate::nn::Weight;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::KerasConfig;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// Number of axes in Keras's option `axis`, which must be the last ones.
///
/// # Errors
/// A message if they are not.
pub(super) fn trailing_axes(config: &mut KerasConfig) -> Result<usize, String> {
    let rank = config.input().sizes().len();
    let axes = config.axes("axis")?.unwrap_or_else(|| vec![rank.saturating_sub(1)]);
    let trailing: Vec<usize> = (rank - axes.len()..rank).collect();
    if axes.is_empty() || axes != trailing {
        let counted: Vec<usize> = axes.iter().map(|axis| axis + 1).collect();
        return Err(format!("axis {counted:?} is not supported, only the last axes"));
    }
    Ok(axes.len())
}

/// A normalization of rows prepared to compute.
pub(super) struct RowNormalization {
    cpu: Cpu,
    norm: RowNorm,
    /// Whether the first weight is a scale per value of a row, and the last an offset.
    scale: bool,
    center: bool,
    /// Relevance propagation: the variance is treated as a constant.
    fixed: bool,
    factors: Buffer,
    shifts: Buffer,
    /// The moments of each row.
    stats: Buffer,
    sums: Buffer,
    products: Buffer,
    workspace: Buffer,
}

impl RowNormalization {
    /// A normalization over the last `axes` axes, without scale and offset. `centered` normalizes by mean and variance,
    /// instead of the mean square.
    pub(super) fn new(config: &OpConfig, axes: usize, epsilon: f32, centered: bool) -> Self {
        let sizes = config.output.sizes();
        let len: usize = sizes[sizes.len() - axes..].iter().product();
        let rows = config.batch * config.output.len() / len;
        let row = || Buffer::zeroed(len);
        let workspace = if config.gradients.weights { normalize_rows_workspace(config.cpu, len) } else { 0 };
        let mut factors = row();
        factors.fill(1.0);
        Self {
            cpu: config.cpu,
            norm: RowNorm { len, epsilon, centered },
            scale: false,
            center: false,
            fixed: matches!(config.rule, BackwardRule::Relevance { .. }),
            factors,
            shifts: row(),
            stats: Buffer::zeroed(2 * rows),
            sums: row(),
            products: row(),
            workspace: Buffer::zeroed(workspace),
        }
    }

    /// Adds a scale, and an offset, per value of a row: the layer's weights.
    pub(super) fn with_weights(self, scale: bool, center: bool) -> Self {
        Self { scale, center, ..self }
    }

    /// Uses the same scale for all values.
    pub(super) fn with_factor(mut self, factor: f32) -> Self {
        self.factors.fill(factor);
        self
    }
}

impl Op for RowNormalization {
    fn set_weights(&mut self, weights: &[Weight]) {
        if let Some(gamma) = weights.first().filter(|_| self.scale) {
            self.factors.copy_from_slice(gamma.values());
        }
        if let Some(beta) = weights.last().filter(|_| self.center) {
            self.shifts.copy_from_slice(beta.values());
        }
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let weights = [&self.factors[..], &self.shifts[..]];
        normalize_rows(self.cpu, self.norm, pass.inputs.get(0), weights, output, &mut self.stats);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// Over the values of a row, with `h = (x - m) / sqrt(v + epsilon)` and `g = gamma dy`,
    ///
    /// ```text
    /// dx = (g - mean(g) - h mean(g h)) / sqrt(v + epsilon)
    /// ```
    ///
    /// or, if not centered, without `mean(g)`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Self { cpu, norm, fixed, factors, stats, .. } = self;
        let of_forward = RowNormBackward { input: pass.inputs.get(0), scale: factors, stats, fixed: *fixed };
        normalize_rows_backward(*cpu, *norm, pass.grad_output, of_forward, grad_input, accumulate);
    }

    /// `dgamma = sum(dy h)`, `dbeta = sum(dy)` over the rows.
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let Self { cpu, norm, stats, sums, products, workspace, .. } = self;
        let passes = (pass.grad_output, pass.inputs.get(0));
        normalize_rows_gradients(*cpu, *norm, passes, stats, [sums, products], workspace);
        if let Some(gamma) = gradients.first_mut().filter(|gamma| self.scale && !gamma.is_empty()) {
            gamma.copy_from_slice(products);
        }
        if let Some(beta) = gradients.last_mut().filter(|beta| self.center && !beta.is_empty()) {
            beta.copy_from_slice(sums);
        }
    }
}
