//! Separable convolution.
//!
//! A depthwise convolution `D`, followed by a 1x1 convolution `P` over the resulting channels, with nothing in between:
//!
//! ```text
//! M[y, x, m c + j] = sum over i, k of X[s y + i - p, s x + k - p, c] D[i, k, c, j]
//! Y[y, x, f]       = b[f] + sum over q of M[y, x, q] P[q, f]
//! ```
//!
//! The gradient is propagated through the second and then through the first: `dP` is the product of `M`, kept from the
//! forward pass, with `dY`; `dM` that of `dY` with `P`; `dD` and `dX` are those of a depthwise convolution with the output
//! gradient `dM`.

use lucida_kernels::ops::sum_rows_workspace;
use lucida_kernels::{Buffer, Conv2dGradients, Conv2dShape};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::activation_kind::ActivationKind;
use super::built_in::{BorderValue, BuiltInLayer, ExplicitBorder};
use super::conv2d::{Conv2D, are_ones, bias_gradient, glorot, one, ones, yes};
use super::depthwise_conv2d::{DEPTHWISE_TRAINING_OPTIONS, DepthwiseConv2D};
use super::padding::Padding;
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig, OpStats};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A depthwise convolution followed by a 1x1 convolution, `[height, width, channels]` to `[height, width, filters]`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("features", [28, 28, 8]).add(SeparableConv2D::new(16, [3, 3])).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [26, 26, 16]);
/// let shapes: Vec<_> = network.weights().iter().map(|weight| weight.shape().to_vec()).collect();
/// assert_eq!(shapes, [vec![3, 3, 8, 1], vec![1, 1, 8, 16], vec![16]]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct SeparableConv2D {
    /// Output channels.
    pub filters: usize,
    /// Height and width of the depthwise kernel.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride.
    #[serde(default = "ones")]
    pub strides: [usize; 2],
    /// The padding.
    #[serde(default)]
    pub padding: Padding,
    /// Number of depthwise filters per input channel.
    #[serde(default = "one")]
    pub depth_multiplier: usize,
    /// Vertical and horizontal dilation of the depthwise kernel.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation_rate: [usize; 2],
    /// The activation.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether to add a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The initializer of the depthwise kernel.
    #[serde(default = "glorot")]
    pub depthwise_initializer: Initializer,
    /// The initializer of the 1x1 kernel.
    #[serde(default = "glorot")]
    pub pointwise_initializer: Initializer,
}

impl SeparableConv2D {
    /// A separable convolution with Keras's defaults: stride 1, no padding, bias, no activation.
    pub fn new(filters: usize, kernel_size: [usize; 2]) -> Self {
        Self {
            filters,
            kernel_size,
            strides: ones(),
            padding: Padding::Valid,
            depth_multiplier: 1,
            dilation_rate: ones(),
            activation: ActivationKind::Linear,
            use_bias: true,
            depthwise_initializer: glorot(),
            pointwise_initializer: glorot(),
        }
    }

    /// Sets the strides.
    pub fn strides(self, strides: [usize; 2]) -> Self {
        Self { strides, ..self }
    }

    /// Sets the padding.
    pub fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Sets the number of depthwise filters per input channel.
    pub fn depth_multiplier(self, depth_multiplier: usize) -> Self {
        Self { depth_multiplier, ..self }
    }

    /// Sets the dilation: the distance between taps in rows and columns.
    pub fn dilation_rate(self, dilation_rate: [usize; 2]) -> Self {
        Self { dilation_rate, ..self }
    }

    /// Sets the activation.
    pub fn activation(self, activation: ActivationKind) -> Self {
        Self { activation, ..self }
    }

    /// Removes the bias.
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }

    /// The depthwise convolution.
    fn depthwise(&self) -> DepthwiseConv2D {
        DepthwiseConv2D {
            use_bias: false,
            depthwise_initializer: self.depthwise_initializer,
            ..DepthwiseConv2D::new(self.kernel_size)
                .strides(self.strides)
                .padding(self.padding)
                .depth_multiplier(self.depth_multiplier)
                .dilation_rate(self.dilation_rate)
        }
    }

    /// The 1x1 convolution.
    fn pointwise(&self) -> Conv2D {
        let pointwise = Conv2D::new(self.filters, [1, 1]).activation(self.activation);
        Conv2D { use_bias: self.use_bias, kernel_initializer: self.pointwise_initializer, ..pointwise }
    }

    /// The shapes of both convolutions.
    fn shapes(&self, input: [usize; 3]) -> Result<[Conv2dShape; 2], String> {
        let first = self.depthwise().grouped(input[2])?.shape(input)?;
        let second = self.pointwise().shape([first.output[0], first.output[1], first.filters])?;
        Ok([first, second])
    }
}

impl LayerSpec for SeparableConv2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [_, second] = self.shapes(one_image(inputs)?)?;
        Ok(Shape::image(second.output[0], second.output[1], second.filters))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let channels = inputs[0].channels();
        let mut weights = vec![self.depthwise().kernel("depthwise_kernel", channels)];
        weights.extend(self.pointwise().weights(&[Shape::image(1, 1, channels * self.depth_multiplier)]));
        weights[1].name = "pointwise_kernel";
        weights
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        self.depthwise().extent(inputs)
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }
}

impl FusingSpec for SeparableConv2D {
    fn fusible(&self) -> Fusible {
        Fusible { relu: true, ..Fusible::default() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let input = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let [first, second] = self.shapes(input).expect("the shape rule has accepted this input");
        Box::new(Separable::new(config, fused.relu(), first, second, self.use_bias))
    }
}

/// A separable convolution prepared to compute.
struct Separable {
    depthwise: lucida_kernels::Conv2d,
    pointwise: lucida_kernels::Conv2d,
    use_bias: bool,
    relu: bool,
    grad_weights: bool,
    /// The values between the two convolutions, and their gradient.
    between: Buffer,
    grad_between: Buffer,
    /// Whether the gradient of the weights has already computed that gradient for the gradient of the input.
    has_gradient: bool,
    workspace: Buffer,
}

impl Separable {
    fn new(config: &OpConfig, relu: bool, first: Conv2dShape, second: Conv2dShape, use_bias: bool) -> Self {
        let (cpu, batch, wanted) = (config.cpu, config.batch, config.gradients);
        let any = wanted.inputs || wanted.weights;
        let gradients = |input: bool| Conv2dGradients { input, kernel: wanted.weights };
        let prepare = match config.exact {
            true => lucida_kernels::Conv2d::direct,
            false => lucida_kernels::Conv2d::new,
        };
        let workspace = if wanted.weights { sum_rows_workspace(cpu, second.filters) } else { 0 };
        Self {
            depthwise: prepare(cpu, first, batch, gradients(wanted.inputs)),
            pointwise: prepare(cpu, second, batch, gradients(any)),
            use_bias,
            relu,
            grad_weights: wanted.weights,
            between: Buffer::zeroed(batch * first.output_len()),
            grad_between: Buffer::zeroed(if any { batch * first.output_len() } else { 0 }),
            has_gradient: false,
            workspace: Buffer::zeroed(workspace),
        }
    }

    /// Number of values between the convolutions in a batch.
    fn between_len(&self, batch: usize) -> usize {
        batch * self.depthwise.shape().output_len()
    }

    /// Computes the gradient of the values between the convolutions, unless it has already been computed.
    fn back_to_between(&mut self, pass: &Backward) {
        if !self.has_gradient {
            let len = self.between_len(pass.batch);
            self.pointwise.backward_input(pass.batch, pass.grad_output, &mut self.grad_between[..len], false);
            self.has_gradient = true;
        }
    }
}

impl Op for Separable {
    fn set_weights(&mut self, weights: &[Weight]) {
        let [depthwise, pointwise, ..] = weights else { return };
        self.depthwise.set_kernel(depthwise.values());
        self.pointwise.set_kernel(pointwise.values());
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let len = self.between_len(pass.batch);
        let between = &mut self.between[..len];
        self.depthwise.forward(pass.batch, pass.inputs.get(0), None, false, between);
        let bias = self.use_bias.then(|| pass.weights[2].values());
        self.pointwise.forward(pass.batch, between, bias, self.relu, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.grad_weights, output: false }
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        self.back_to_between(pass);
        let len = self.between_len(pass.batch);
        self.depthwise.backward_input(pass.batch, &self.grad_between[..len], grad_input, accumulate);
        self.has_gradient = false;
    }

    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let [depthwise, pointwise, bias @ ..] = gradients else { return };
        self.has_gradient = false;
        let len = self.between_len(pass.batch);
        if !pointwise.is_empty() {
            self.pointwise.backward_kernel(pass.batch, &self.between[..len], pass.grad_output, pointwise);
        }
        if !depthwise.is_empty() {
            self.back_to_between(pass);
            let grad_between = &self.grad_between[..len];
            self.depthwise.backward_kernel(pass.batch, pass.inputs.get(0), grad_between, depthwise);
        }
        bias_gradient(&self.pointwise, pass, bias, &mut self.workspace);
    }

    fn set_timed(&mut self, timed: bool) {
        self.pointwise.set_timed(timed);
    }

    /// The algorithms are those of the 1x1 convolution, which dominates the time.
    fn stats(&self) -> OpStats {
        let [forward, backward_input, backward_weights] = self.pointwise.algorithms();
        let operations = self.depthwise.operations() + self.pointwise.operations();
        OpStats { forward, backward_input, backward_weights, operations, product_rates: self.pointwise.product_rates() }
    }
}

impl BuiltInLayer for SeparableConv2D {
    const KERAS_CLASSES: &'static [&'static str] = &["SeparableConv2D"];
    const KERAS_ALIASES: &'static [&'static str] = &["SeparableConvolution2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let [filters] = config.sizes("filters")?;
        config.channels_last()?;
        config.must_be("groups", &[Value::from(1)])?;
        config.ignore(&["kernel_initializer"]);
        let [depth_multiplier] = config.sizes_or("depth_multiplier", [1])?;
        let conv = Self {
            use_bias: config.flag("use_bias", true)?,
            depthwise_initializer: Initializer::from_keras(config, "depthwise_initializer"),
            pointwise_initializer: Initializer::from_keras(config, "pointwise_initializer"),
            ..Self::new(filters, config.sizes("kernel_size")?)
                .strides(config.sizes_or("strides", [1, 1])?)
                .padding(Padding::from_keras(config)?)
                .depth_multiplier(depth_multiplier)
                .dilation_rate(config.sizes_or("dilation_rate", [1, 1])?)
                .activation(ActivationKind::from_keras(config)?)
        };
        config.note(&DEPTHWISE_TRAINING_OPTIONS);
        config.note(&["pointwise_regularizer", "pointwise_constraint"]);
        Ok(conv.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding.to_keras()?,
            "data_format": "channels_last",
            "dilation_rate": self.dilation_rate,
            "depth_multiplier": self.depth_multiplier,
            "activation": self.activation.to_keras()?,
            "use_bias": self.use_bias,
            "depthwise_initializer": self.depthwise_initializer.to_keras(),
            "pointwise_initializer": self.pointwise_initializer.to_keras(),
        }))
    }

    fn explicit_border(&self) -> Option<ExplicitBorder> {
        let without = || self.clone().padding(Padding::Valid).into();
        let border = |padding| ExplicitBorder { padding, value: BorderValue::Zero, without: without() };
        self.padding.explicit().map(border)
    }

    /// ONNX has no such operator: exported as two convolutions.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let image = layer.shapes[0];
        let grouped = self.depthwise().grouped(image.channels()).expect("the shape rule has accepted this input");
        let mut weights = layer.weights.clone();
        let inputs = vec![layer.input(), weights.remove(0)];
        let between = layer.intermediate("depthwise", "Conv", inputs, grouped.onnx_attributes(image));
        weights.insert(0, between);
        layer.result("Conv", weights, self.pointwise().onnx_attributes(image));
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        Some(&mut self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit([[2, 1], [0, 2]])] {
            check_layer(SeparableConv2D::new(5, [3, 3]).padding(padding), &[[6, 5, 3].into()]);
            let wide = SeparableConv2D::new(4, [2, 3]).padding(padding).strides([2, 1]).depth_multiplier(2);
            check_layer(wide.without_bias(), &[[7, 5, 2].into()]);
        }
        let spread = SeparableConv2D::new(3, [2, 2]).dilation_rate([2, 3]).activation(ActivationKind::Tanh);
        check_layer(spread, &[[5, 6, 2].into()]);
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(SeparableConv2D::new(8, [3, 3]), &[[2, 9, 4].into()], &["3x3", "(2, 9, 4)"]);
        refuses(SeparableConv2D::new(0, [3, 3]), &[[9, 9, 1].into()], &["0 filters"]);
    }
}
