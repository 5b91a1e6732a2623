//! Batch normalization (Ioffe and Szegedy, 2015): normalizes each channel to mean zero and variance one, then scales and
//! shifts it by learned amounts.
//!
//! In training the mean `m` and the variance `v` are those of the batch, and moving averages of both are updated; in
//! inference the moving averages are used:
//!
//! ```text
//! y = gamma (x - m) / sqrt(v + epsilon) + beta
//! ```
//!
//! In distributed training the batch is that of all processes, which sum their statistics.

use lucida_kernels::ops::{affine, channel_workspace, combine, gradient_moments, moments};
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, FusingSpec, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, ChannelAffine, Forward, Fused, Fusible, Op, OpConfig};
use crate::nn::{Initializer, Shape, Shard, Weight, WeightSpec};

/// Batch normalization of each channel (the last axis); the shape is unchanged.
///
/// ```
/// use lucida::prelude::*;
///
/// // The activation follows the normalization, which makes a bias pointless.
/// let network = Sequential::new("block", [28, 28, 3])
///     .add(Conv2D::new(16, [3, 3]).padding(Padding::Same).without_bias())
///     .add(BatchNormalization { momentum: 0.9, ..BatchNormalization::default() })
///     .add(Activation::new(ActivationKind::Relu))
///     .build(42)?;
/// let (all, trainable) = network.parameters();
/// assert_eq!(all - trainable, 2 * 16, "the moving means and variances");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BatchNormalization {
    /// The fraction of the moving averages that is kept in each step.
    #[serde(default = "momentum")]
    pub momentum: f32,
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Whether to add an offset, `beta`.
    #[serde(default = "yes")]
    pub center: bool,
    /// Whether to multiply by a scale, `gamma`.
    #[serde(default = "yes")]
    pub scale: bool,
}

fn momentum() -> f32 {
    0.99
}

fn epsilon() -> f32 {
    1e-3
}

fn yes() -> bool {
    true
}

impl Default for BatchNormalization {
    /// Keras's defaults: momentum 0.99, epsilon 1e-3, with scale and offset.
    fn default() -> Self {
        Self { momentum: momentum(), epsilon: epsilon(), center: true, scale: true }
    }
}

impl BatchNormalization {
    /// Folds the four parameters of each channel into a factor and a shift: gamma and beta are the first of `weights`, if
    /// present.
    fn fold(&self, weights: &[Weight], mean: &[f32], variance: &[f32], factor: &mut [f32], shift: &mut [f32]) {
        let gamma = self.scale.then(|| weights[0].values());
        let beta = self.center.then(|| weights[usize::from(self.scale)].values());
        for c in 0..mean.len() {
            let inverse = (variance[c] + self.epsilon).sqrt().recip();
            factor[c] = gamma.map_or(1.0, |gamma| gamma[c]) * inverse;
            shift[c] = beta.map_or(0.0, |beta| beta[c]) - mean[c] * factor[c];
        }
    }
}

impl LayerSpec for BatchNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if !(self.epsilon > 0.0 && (0.0..=1.0).contains(&self.momentum)) {
            return Err(format!("epsilon {} and momentum {} are invalid", self.epsilon, self.momentum));
        }
        Ok(one_input(inputs)?.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let spec = |name, initializer, trainable| WeightSpec {
            name,
            shape: vec![inputs[0].channels()],
            initializer,
            trainable,
        };
        let mut weights = Vec::new();
        if self.scale {
            weights.push(spec("gamma", Initializer::Ones, true));
        }
        if self.center {
            weights.push(spec("beta", Initializer::Zeros, true));
        }
        weights.push(spec("moving_mean", Initializer::Zeros, false));
        weights.push(spec("moving_variance", Initializer::Ones, false));
        weights
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }

    fn channel_affine(&self) -> Option<Box<dyn ChannelAffine>> {
        Some(Box::new(*self))
    }
}

impl ChannelAffine for BatchNormalization {
    /// For fixed statistics: `gamma / sqrt(v + epsilon)` and `beta - m gamma / sqrt(v + epsilon)`.
    fn factor_and_shift(&self, weights: &[Weight], factor: &mut [f32], shift: &mut [f32]) {
        let [.., mean, variance] = weights else { return };
        self.fold(weights, mean.values(), variance.values(), factor, shift);
    }
}

impl FusingSpec for BatchNormalization {
    fn fusible(&self) -> Fusible {
        Fusible { relu: true, ..Fusible::default() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let channels = config.output.channels();
        let row = || Buffer::zeroed(channels);
        Box::new(Normalization {
            cpu: config.cpu,
            config: *self,
            training: config.training,
            relu: fused.relu(),
            grad_weights: config.gradients.weights,
            mean: row(),
            variance: row(),
            factor: row(),
            shift: row(),
            sums: row(),
            products: row(),
            coefficients: [row(), row(), row()],
            workspace: Buffer::zeroed(channel_workspace(config.cpu, channels)),
            count: 0.0,
        })
    }
}

/// Batch normalization prepared to compute. All buffers have one value per channel.
struct Normalization {
    cpu: Cpu,
    config: BatchNormalization,
    training: bool,
    relu: bool,
    grad_weights: bool,
    mean: Buffer,
    variance: Buffer,
    /// `gamma / sqrt(v + epsilon)`
    factor: Buffer,
    /// `beta - m gamma / sqrt(v + epsilon)`
    shift: Buffer,
    /// The sum of the gradient, and of the gradient times `x - m`.
    sums: Buffer,
    products: Buffer,
    coefficients: [Buffer; 3],
    workspace: Buffer,
    /// Number of values per channel in the batch, over all processes.
    count: f32,
}

impl Normalization {
    fn fold(&mut self, weights: &[Weight]) {
        let Self { config, mean, variance, factor, shift, .. } = self;
        config.fold(weights, mean, variance, factor, shift);
    }

    /// Merges mean and variance of one process's part into those of the whole batch.
    fn join(&mut self, shard: Shard<'_>) {
        let channels = self.mean.len();
        let count = if shard.counts { f64::from(self.count) } else { 0.0 };
        let mut sums = vec![count; 1 + 2 * channels];
        let (means, squares) = sums[1..].split_at_mut(channels);
        for c in 0..channels {
            let mean = f64::from(self.mean[c]);
            means[c] = count * mean;
            squares[c] = count * (f64::from(self.variance[c]) + mean * mean);
        }
        shard.group.sum(&mut sums);
        let count = sums[0];
        self.count = count as f32;
        let (means, squares) = sums[1..].split_at(channels);
        for c in 0..channels {
            let mean = means[c] / count;
            self.mean[c] = mean as f32;
            self.variance[c] = (squares[c] / count - mean * mean).max(0.0) as f32;
        }
    }

    /// Adds up the sums over the parts of all processes.
    fn join_gradients(&mut self, shard: Shard<'_>) {
        let channels = self.sums.len();
        let mut sums: Vec<f64> = self.sums.iter().chain(self.products.iter()).map(|&value| f64::from(value)).collect();
        shard.group.sum(&mut sums);
        let (of_sums, of_products) = sums.split_at(channels);
        for c in 0..channels {
            self.sums[c] = of_sums[c] as f32;
            self.products[c] = of_products[c] as f32;
        }
    }

    fn gradient_sums(&mut self, pass: &Backward) {
        let Self { cpu, mean, sums, products, workspace, .. } = self;
        gradient_moments(*cpu, pass.grad_output, pass.inputs.get(0), mean, sums, products, workspace);
    }
}

impl Op for Normalization {
    fn set_weights(&mut self, weights: &[Weight]) {
        if !self.training {
            let [.., mean, variance] = weights else { return };
            self.mean.copy_from_slice(mean.values());
            self.variance.copy_from_slice(variance.values());
            self.fold(weights);
        }
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let input = pass.inputs.get(0);
        if self.training {
            moments(self.cpu, input, &mut self.mean, &mut self.variance, &mut self.workspace);
            self.count = (input.len() / self.mean.len()) as f32;
            if let Some(shard) = pass.shard {
                self.join(shard);
            }
            self.fold(pass.weights);
        }
        affine(self.cpu, input, &self.factor, &self.shift, self.relu, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.training || self.grad_weights, output: false }
    }

    /// With fixed statistics `dx = dy gamma / sqrt(v + epsilon)`. In training mean and variance depend on `x` too: over the
    /// `n` values of a channel, with `s = gamma / sqrt(v + epsilon)`,
    ///
    /// ```text
    /// dx = s (dy - sum(dy) / n - (x - m) sum(dy (x - m)) / (n (v + epsilon)))
    /// ```
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let input = if self.training { pass.inputs.get(0) } else { pass.grad_output };
        let channels = self.mean.len();
        if self.training {
            self.gradient_sums(pass);
            if let Some(shard) = pass.shard {
                self.join_gradients(shard);
            }
        }
        let count = self.count;
        let [of_grad, of_input, constant] = &mut self.coefficients;
        for c in 0..channels {
            let factor = self.factor[c];
            of_grad[c] = factor;
            if self.training {
                let slope = factor * self.products[c] / (count * (self.variance[c] + self.config.epsilon));
                of_input[c] = -slope;
                constant[c] = slope * self.mean[c] - factor * self.sums[c] / count;
            }
        }
        // Samples that do not count contribute neither to mean and variance, nor to their gradients.
        if self.training && pass.shard.is_some_and(|shard| !shard.counts) {
            [&mut *of_grad, of_input, constant].into_iter().for_each(|row| row.fill(0.0));
        }
        let factors = (&of_grad[..], &of_input[..], &constant[..]);
        combine(self.cpu, pass.grad_output, input, factors, grad_input, accumulate);
    }

    /// `dgamma = sum(dy (x - m)) / sqrt(v + epsilon)`, `dbeta = sum(dy)`.
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        self.gradient_sums(pass);
        let mut gradients = gradients.iter_mut();
        if self.config.scale
            && let Some(gamma) = gradients.next()
        {
            for (c, value) in gamma.iter_mut().enumerate() {
                *value = self.products[c] / (self.variance[c] + self.config.epsilon).sqrt();
            }
        }
        if self.config.center
            && let Some(beta) = gradients.next().filter(|beta| !beta.is_empty())
        {
            beta.copy_from_slice(&self.sums);
        }
    }

    fn update_statistics(&mut self, weights: &mut [Weight]) {
        if !self.training {
            return;
        }
        let [.., mean, variance] = weights else { return };
        let keep = self.config.momentum;
        let update = |weight: &mut Weight, batch: &[f32]| {
            for (moving, new) in weight.values_mut().iter_mut().zip(batch) {
                *moving = keep * *moving + (1.0 - keep) * new;
            }
        };
        update(mean, &self.mean);
        update(variance, &self.variance);
    }
}

impl BuiltInLayer for BatchNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &["BatchNormalization"];
    const KERAS_ALIASES: &'static [&'static str] = &["BatchNormalizationV1", "SyncBatchNormalization"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.last_axis("axis")?;
        config.must_be("renorm", &[Value::from(false)])?;
        config.must_be("virtual_batch_size", &[])?;
        config.ignore(&["renorm_clipping", "renorm_momentum", "fused", "synchronized", "adjustment"]);
        config.ignore(&["beta_initializer", "gamma_initializer"]);
        config.ignore(&["moving_mean_initializer", "moving_variance_initializer"]);
        config.note(&["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"]);
        let norm = Self {
            momentum: config.number("momentum", momentum())?,
            epsilon: config.number("epsilon", epsilon())?,
            center: config.flag("center", true)?,
            scale: config.flag("scale", true)?,
        };
        Ok(norm.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "axis": -1,
            "momentum": decimal(self.momentum),
            "epsilon": decimal(self.epsilon),
            "center": self.center,
            "scale": self.scale,
        }))
    }

    /// ONNX requires a scale and an offset.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let channels = layer.shapes[0].channels();
        let mut inputs = layer.inputs_and_weights();
        let first = layer.inputs.len();
        if !self.scale {
            inputs.insert(first, layer.filled("gamma", 1.0, channels));
        }
        if !self.center {
            inputs.insert(first + 1, layer.filled("beta", 0.0, channels));
        }
        let epsilon = ("epsilon", OnnxAttribute::Float(self.epsilon));
        let momentum = ("momentum", OnnxAttribute::Float(self.momentum));
        layer.result("BatchNormalization", inputs, vec![epsilon, momentum]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients() {
        check_layer(BatchNormalization::default(), &[[3, 4, 5].into()]);
        check_layer(BatchNormalization { scale: false, ..Default::default() }, &[[2, 2, 17].into()]);
        check_layer(BatchNormalization { center: false, ..Default::default() }, &[[7].into()]);
        refuses(BatchNormalization { epsilon: f32::NAN, ..Default::default() }, &[[7].into()], &["NaN"]);
    }

    #[test]
    fn normalizes_the_batch_in_training() {
        let input: Vec<f32> = (0..6 * 2).map(|i| (i * i % 7) as f32 * if i % 2 == 0 { 1.0 } else { 30.0 }).collect();
        let output =
            run_training(BatchNormalization { epsilon: 1e-9, ..Default::default() }, &[2].into(), &input, 6, 0);
        for channel in 0..2 {
            let values: Vec<f32> = output.iter().skip(channel).step_by(2).copied().collect();
            let mean = values.iter().sum::<f32>() / 6.0;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 6.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
    }
}
