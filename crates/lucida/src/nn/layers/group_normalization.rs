//! Group normalization (Wu and He, 2018): splits the channels of an image into groups, normalizes each to mean zero and
//! variance one over all pixels, then scales and shifts it by learned amounts.
//!
//! ```text
//! y = gamma (x - m) / sqrt(v + epsilon) + beta
//! ```
//!
//! One group per channel is instance normalization (Ulyanov, Vedaldi and Lempitsky, 2016); a single group is layer
//! normalization with scales per channel. Relevance propagation treats `v` as a constant, as for
//! [`LayerNormalization`](super::LayerNormalization).

use lucida_kernels::ops::{affine, block_moments, block_workspace, combine, gradient_moments};
use lucida_kernels::{Buffer, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, FusingSpec, LayerSpec, one_input};
use crate::files::decimal;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// Group normalization of the channels (the last axis); the shape is unchanged.
///
/// ```
/// use lucida::nn::layers::GroupNormalization;
/// use lucida::prelude::*;
///
/// // Instance normalization, as style transfer networks have it: each channel by itself.
/// let norm = GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() };
/// let network = Sequential::new("style", [64, 64, 3])
///     .add(Conv2D::new(32, [9, 9]).padding(Padding::Same))
///     .add(norm)
///     .build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [64, 64, 32]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupNormalization {
    /// The number of groups; `None` for one per channel.
    #[serde(default)]
    pub groups: Option<usize>,
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Whether to add an offset, `beta`, per channel.
    #[serde(default = "yes")]
    pub center: bool,
    /// Whether to multiply by a scale, `gamma`, per channel.
    #[serde(default = "yes")]
    pub scale: bool,
}

fn epsilon() -> f32 {
    1e-3
}

fn yes() -> bool {
    true
}

impl GroupNormalization {
    /// This number of groups, with Keras's defaults: epsilon 1e-3, with scale and offset.
    pub fn new(groups: usize) -> Self {
        Self { groups: Some(groups), ..Self::per_channel() }
    }

    /// Instance normalization: one group per channel, with Keras's defaults.
    pub fn per_channel() -> Self {
        Self { groups: None, epsilon: epsilon(), center: true, scale: true }
    }
}

impl LayerSpec for GroupNormalization {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(format!("epsilon {} is invalid", self.epsilon));
        }
        let groups = self.groups.unwrap_or(input.channels());
        if groups == 0 || !input.channels().is_multiple_of(groups) || input.len() == 0 {
            return Err(format!("{groups} groups do not divide the channels of {input}"));
        }
        Ok(input.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = vec![inputs[0].channels()];
        let spec = |name, initializer| WeightSpec { name, shape: shape.clone(), initializer, trainable: true };
        let gamma = self.scale.then(|| spec("gamma", Initializer::Ones));
        let beta = self.center.then(|| spec("beta", Initializer::Zeros));
        gamma.into_iter().chain(beta).collect()
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Whole
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }
}

impl FusingSpec for GroupNormalization {
    fn fusible(&self) -> Fusible {
        Fusible { relu: true, ..Fusible::default() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let channels = config.output.channels();
        let row = || Buffer::zeroed(channels);
        let rows = || Buffer::zeroed(config.batch * channels);
        Box::new(Grouped {
            cpu: config.cpu,
            config: *self,
            relu: fused.relu(),
            channels,
            width: channels / self.groups.unwrap_or(channels),
            pixels: config.output.len() / channels,
            fixed: matches!(config.rule, BackwardRule::Relevance { .. }),
            gamma: vec![1.0; channels],
            beta: vec![0.0; channels],
            means: rows(),
            inverses: rows(),
            variance: row(),
            factor: row(),
            shift: row(),
            sums: row(),
            products: row(),
            coefficients: [row(), row(), row()],
            workspace: Buffer::zeroed(block_workspace(config.cpu, channels)),
        })
    }
}

/// Group normalization prepared to compute. Rows have one value per channel.
struct Grouped {
    cpu: Cpu,
    config: GroupNormalization,
    /// Whether a ReLU is fused.
    relu: bool,
    channels: usize,
    /// Number of channels per group.
    width: usize,
    pixels: usize,
    /// Relevance propagation: the variance is treated as a constant.
    fixed: bool,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    /// For each sample and channel, the mean of its group and `1 / sqrt(v + epsilon)`.
    means: Buffer,
    inverses: Buffer,
    variance: Buffer,
    factor: Buffer,
    shift: Buffer,
    /// The sum of the gradient, and of the gradient times `x - m`, of a sample.
    sums: Buffer,
    products: Buffer,
    coefficients: [Buffer; 3],
    workspace: Buffer,
}

impl Grouped {
    /// Merges mean and variance of each channel into those of its group: the variance of a group is the mean of its
    /// channels' variances plus the variance of their means.
    fn join(width: usize, epsilon: f32, means: &mut [f32], variances: &[f32], inverses: &mut [f32]) {
        let groups = means.chunks_exact_mut(width).zip(variances.chunks_exact(width));
        for ((means, variances), inverses) in groups.zip(inverses.chunks_exact_mut(width)) {
            let count = width as f64;
            let mean = means.iter().map(|&mean| f64::from(mean)).sum::<f64>() / count;
            let part = |(&m, &v): (&f32, &f32)| f64::from(v) + (f64::from(m) - mean).powi(2);
            let variance = means.iter().zip(variances).map(part).sum::<f64>() / count;
            inverses.fill((variance + f64::from(epsilon)).sqrt().recip() as f32);
            means.fill(mean as f32);
        }
    }

    /// Computes the gradient sums of a sample.
    fn gradient_sums(&mut self, pass: &Backward, sample: usize) {
        let range = sample * self.pixels * self.channels..(sample + 1) * self.pixels * self.channels;
        let Self { cpu, means, sums, products, workspace, channels, .. } = self;
        let mean = &means[sample * *channels..][..*channels];
        gradient_moments(
            *cpu,
            &pass.grad_output[range.clone()],
            &pass.inputs.get(0)[range],
            mean,
            sums,
            products,
            workspace,
        );
    }
}

impl Op for Grouped {
    fn set_weights(&mut self, weights: &[Weight]) {
        if let Some(gamma) = weights.first().filter(|_| self.config.scale) {
            self.gamma.copy_from_slice(gamma.values());
        }
        if let Some(beta) = weights.last().filter(|_| self.config.center) {
            self.beta.copy_from_slice(beta.values());
        }
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let (channels, len) = (self.channels, self.pixels * self.channels);
        let input = pass.inputs.get(0);
        for sample in 0..pass.batch {
            let x = &input[sample * len..][..len];
            let means = &mut self.means[sample * channels..][..channels];
            let inverses = &mut self.inverses[sample * channels..][..channels];
            block_moments(self.cpu, x, means, &mut self.variance, &mut self.workspace);
            Self::join(self.width, self.config.epsilon, means, &self.variance, inverses);
            for c in 0..channels {
                self.factor[c] = self.gamma[c] * inverses[c];
                self.shift[c] = self.beta[c] - means[c] * self.factor[c];
            }
            affine(self.cpu, x, &self.factor, &self.shift, self.relu, &mut output[sample * len..][..len]);
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// Over the `n` values of a group, with `h = (x - m) / sqrt(v + epsilon)` and `g = gamma dy`,
    ///
    /// ```text
    /// dx = (g - sum(g) / n - h sum(g h) / n) / sqrt(v + epsilon)
    /// ```
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let (channels, len) = (self.channels, self.pixels * self.channels);
        let count = (self.pixels * self.width) as f64;
        for sample in 0..pass.batch {
            self.gradient_sums(pass, sample);
            let [of_grad, of_input, constant] = &mut self.coefficients;
            let row = sample * channels;
            for start in (0..channels).step_by(self.width) {
                let group = start..start + self.width;
                let total = |sums: &[f32]| -> f64 {
                    group.clone().map(|c| f64::from(self.gamma[c]) * f64::from(sums[c])).sum()
                };
                let inverse = f64::from(self.inverses[row + start]);
                let mean = f64::from(self.means[row + start]);
                let of_mean = inverse * total(&self.sums) / count;
                let slope = if self.fixed { 0.0 } else { inverse.powi(3) * total(&self.products) / count };
                for c in group {
                    of_grad[c] = self.gamma[c] * inverse as f32;
                    of_input[c] = -slope as f32;
                    constant[c] = (slope * mean - of_mean) as f32;
                }
            }
            let range = sample * len..(sample + 1) * len;
            let (grad, input) = (&pass.grad_output[range.clone()], &pass.inputs.get(0)[range.clone()]);
            let factors = (&of_grad[..], &of_input[..], &constant[..]);
            combine(self.cpu, grad, input, factors, &mut grad_input[range], accumulate);
        }
    }

    /// `dgamma = sum(dy h)`, `dbeta = sum(dy)` over pixels and samples.
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
        for sample in 0..pass.batch {
            self.gradient_sums(pass, sample);
            let inverses = &self.inverses[sample * self.channels..][..self.channels];
            if let Some(gamma) = gradients.first_mut().filter(|gamma| self.config.scale && !gamma.is_empty()) {
                let parts = self.products.iter().zip(inverses);
                gamma.iter_mut().zip(parts).for_each(|(sum, (product, inverse))| *sum += product * inverse);
            }
            if let Some(beta) = gradients.last_mut().filter(|beta| self.config.center && !beta.is_empty()) {
                beta.iter_mut().zip(self.sums.iter()).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}

impl BuiltInLayer for GroupNormalization {
    const KERAS_CLASSES: &'static [&'static str] = &["GroupNormalization"];
    /// The layer of TensorFlow Addons.
    const KERAS_ALIASES: &'static [&'static str] = &["InstanceNormalization"];

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.last_axis("axis")?;
        config.ignore(&["beta_initializer", "gamma_initializer"]);
        config.note(&["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"]);
        let groups = match config.get("groups") {
            _ if class == "InstanceNormalization" => None,
            None => Some(32),
            Some(value) if *value == -1 => None,
            Some(value) => {
                let groups = value.as_u64().and_then(|groups| usize::try_from(groups).ok());
                Some(groups.ok_or_else(|| format!("groups is {}, not a whole number", short(value)))?)
            }
        };
        let norm = Self {
            groups,
            epsilon: config.number("epsilon", epsilon())?,
            center: config.flag("center", true)?,
            scale: config.flag("scale", true)?,
        };
        Ok(norm.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "groups": self.groups.map_or(json!(-1), |groups| json!(groups)),
            "axis": -1,
            "epsilon": decimal(self.epsilon),
            "center": self.center,
            "scale": self.scale,
        }))
    }

    /// An instance normalization with groups as channels, followed by scale and offset, as PyTorch exports it.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let channels = shape.channels();
        let groups = self.groups.unwrap_or(channels);
        let epsilon = vec![("epsilon", OnnxAttribute::Float(self.epsilon))];
        if groups == channels && shape.as_image().is_some() {
            let mut inputs = layer.inputs_and_weights();
            if !self.scale {
                inputs.insert(1, layer.filled("gamma", 1.0, channels));
            }
            if !self.center {
                inputs.push(layer.filled("beta", 0.0, channels));
            }
            return layer.result("InstanceNormalization", inputs, epsilon);
        }
        let reshape = |layer: &mut OnnxLayer, label: &str, input: String, sizes: Vec<i64>| {
            let target = layer.constant(&format!("{label}_shape"), &[sizes.len()], OnnxValues::Ints(sizes));
            layer.intermediate(label, "Reshape", vec![input, target], vec![])
        };
        let grouped = reshape(layer, "grouped", layer.input(), vec![0, groups as i64, -1]);
        let (ones, zeros) = (layer.filled("ones", 1.0, groups), layer.filled("zeros", 0.0, groups));
        let normalized = layer.intermediate("normalized", "InstanceNormalization", vec![grouped, ones, zeros], epsilon);
        let sizes = match shape.as_image() {
            Some([height, width, channels]) => vec![0, channels as i64, height as i64, width as i64],
            None => vec![0, channels as i64],
        };
        let mut last = reshape(layer, "restored", normalized, sizes);
        for (index, op) in ["Mul", "Add"].into_iter().enumerate() {
            if [self.scale, self.center][index] {
                let weight = layer.channels_first_weight(if index == 1 { layer.weights.len() - 1 } else { 0 });
                last = layer.intermediate(["scaled", "shifted"][index], op, vec![last, weight], vec![]);
            }
        }
        layer.result("Identity", vec![last], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        check_layer(GroupNormalization::new(2), &[[3, 4, 6].into()]);
        check_layer(GroupNormalization { center: false, ..GroupNormalization::per_channel() }, &[[3, 4, 5].into()]);
        check_layer(GroupNormalization { scale: false, ..GroupNormalization::new(1) }, &[[3, 4, 5].into()]);
        check_layer(GroupNormalization::new(3), &[[12].into()]);
        refuses(GroupNormalization::new(4), &[[3, 4, 5].into()], &["4 groups", "(3, 4, 5)"]);
        let bad = GroupNormalization { epsilon: f32::NAN, ..GroupNormalization::new(1) };
        refuses(bad, &[[3, 4, 5].into()], &["NaN"]);
    }
}
