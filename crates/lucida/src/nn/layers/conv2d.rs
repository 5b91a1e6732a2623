//! Convolution.
//!
//! Each output pixel is a weighted sum over a window of the input: with input `X`, kernel `K`, bias `b`, strides `s` and
//! padding `p`
//!
//! ```text
//! Y[y, x, f] = b[f] + sum over i, j, c of X[s y + i - p, s x + j - p, c] K[i, j, c, f]
//! ```
//!
//! With a dilation `d` the window has gaps: `d i` and `d j` replace `i` and `j`. With `g` groups the channels and the
//! filters are split into `g` parts each, in order, and a filter sums only over the channels of its own part.
//!
//! The sum is linear in `X` and in `K`, so each gradient is again a sum of products of the gradient of the output: with the
//! kernel (for the input) or with the input (for the kernel).

use lucida_kernels::ops::{Pointwise, sum_rows_workspace};
use lucida_kernels::{Buffer, Conv2dGradients, Conv2dShape, ConvFinish};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::activation_kind::ActivationKind;
use super::built_in::{BorderValue, BuiltInLayer, ExplicitBorder};
use super::few_filters::FewFilters;
use super::padding::{Padding, dilated, onnx_window, resolve_convolution};
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxLayer};
use crate::nn::op::{
    Backward, BackwardNeeds, ChannelAffine, Forward, Fused, Fusible, Op, OpConfig, OpStats, ReluBefore,
};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A 2D convolution, `[height, width, channels]` to `[height, width, filters]`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("features", [28, 28, 1])
///     .add(Conv2D::new(16, [3, 3]).strides([2, 2]).padding(Padding::Same).activation(ActivationKind::Relu))
///     .build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [14, 14, 16]);
/// assert_eq!(network.weights()[0].shape(), [3, 3, 1, 16]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Conv2D {
    /// Output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride.
    #[serde(default = "ones")]
    pub strides: [usize; 2],
    /// The padding.
    #[serde(default)]
    pub padding: Padding,
    /// Vertical and horizontal dilation.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation_rate: [usize; 2],
    /// Number of groups, each with its own filters: the kernel has `channels / groups` channels.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// The activation.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether to add a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The initializer of the kernel.
    #[serde(default = "glorot")]
    pub kernel_initializer: Initializer,
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn is_one(number: &usize) -> bool {
    *number == 1
}

pub(super) fn ones() -> [usize; 2] {
    [1, 1]
}

pub(super) fn are_ones(pair: &[usize; 2]) -> bool {
    *pair == [1, 1]
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn glorot() -> Initializer {
    Initializer::GlorotUniform
}

impl Conv2D {
    /// A convolution with Keras's defaults: stride 1, no padding, bias, no activation.
    pub fn new(filters: usize, kernel_size: [usize; 2]) -> Self {
        Self {
            filters,
            kernel_size,
            strides: ones(),
            padding: Padding::Valid,
            dilation_rate: ones(),
            groups: 1,
            activation: ActivationKind::Linear,
            use_bias: true,
            kernel_initializer: glorot(),
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

    /// Sets the dilation: the distance between taps in rows and columns.
    pub fn dilation_rate(self, dilation_rate: [usize; 2]) -> Self {
        Self { dilation_rate, ..self }
    }

    /// Sets the number of groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Sets the activation.
    pub fn activation(self, activation: ActivationKind) -> Self {
        Self { activation, ..self }
    }

    /// Removes the bias.
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }

    /// The ONNX attributes for an image of this shape.
    pub(super) fn onnx_attributes(&self, image: &Shape) -> OnnxAttributes {
        let reach = dilated(self.kernel_size, self.dilation_rate).unwrap_or(self.kernel_size);
        let mut attributes = onnx_window(image, reach, self.strides, self.padding);
        attributes[0] = ("kernel_shape", OnnxAttribute::ints(self.kernel_size));
        attributes.extend(onnx_dilations_and_groups(self.dilation_rate, self.groups));
        attributes
    }

    pub(super) fn shape(&self, input: [usize; 3]) -> Result<Conv2dShape, String> {
        if self.filters == 0 {
            return Err("a convolution of 0 filters".into());
        }
        self.activation.check()?;
        check_groups(self.groups, input[2], self.filters)?;
        let reach = dilated(self.kernel_size, self.dilation_rate)?;
        let (padding, output) = resolve_convolution(input, reach, self.strides, self.padding)?;
        Ok(Conv2dShape {
            height: input[0],
            width: input[1],
            channels: input[2],
            filters: self.filters,
            kernel: self.kernel_size,
            strides: self.strides,
            dilation: self.dilation_rate,
            groups: self.groups,
            padding,
            output,
        })
    }
}

impl LayerSpec for Conv2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let shape = self.shape(one_image(inputs)?)?;
        Ok(Shape::image(shape.output[0], shape.output[1], shape.filters))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let [rows, columns] = self.kernel_size;
        let shape = vec![rows, columns, inputs[0].channels() / self.groups, self.filters];
        kernel_and_bias(shape, self.filters, self.use_bias, self.kernel_initializer)
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        let Self { kernel_size: size, strides, dilation_rate: dilation, padding, .. } = *self;
        Extent::Windows { size, strides, dilation, padding }
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }
}

impl FusingSpec for Conv2D {
    fn fusible(&self) -> Fusible {
        Fusible {
            relu: true,
            activation: true,
            max_pooling: self.groups == 1,
            // The shift replaces a bias.
            affine: !self.use_bias,
            residual: true,
            padding: true,
            relu_before: ReluBefore::WholeGradient,
            linear_gradient: true,
        }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let input = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let shape = self.shape(input).expect("the shape rule has accepted this input");
        match FewFilters::of(config, &fused, shape, self.use_bias) {
            Some(few) => Box::new(few),
            None => Box::new(Convolution::new(config, fused, shape, self.use_bias)),
        }
    }
}

/// Rejects groups that do not divide channels and filters.
pub(super) fn check_groups(groups: usize, channels: usize, filters: usize) -> Result<(), String> {
    if groups > 0 && channels.is_multiple_of(groups) && filters.is_multiple_of(groups) {
        return Ok(());
    }
    Err(format!("{groups} groups do not divide {channels} channels and {filters} filters"))
}

/// The ONNX attributes that most convolutions omit.
pub(super) fn onnx_dilations_and_groups(dilation_rate: [usize; 2], groups: usize) -> OnnxAttributes {
    let mut attributes = Vec::new();
    if dilation_rate != [1, 1] {
        attributes.push(("dilations", OnnxAttribute::ints(dilation_rate)));
    }
    if groups != 1 {
        attributes.push(("group", OnnxAttribute::Int(groups as i64)));
    }
    attributes
}

/// The weights of convolutions and dense layers.
pub(super) fn kernel_and_bias(
    shape: Vec<usize>,
    units: usize,
    use_bias: bool,
    initializer: Initializer,
) -> Vec<WeightSpec> {
    let mut weights = vec![WeightSpec { name: "kernel", shape, initializer, trainable: true }];
    if use_bias {
        let bias = WeightSpec { name: "bias", shape: vec![units], initializer: Initializer::Zeros, trainable: true };
        weights.push(bias);
    }
    weights
}

/// A convolution, or a dense layer (the 1x1 convolution of a 1x1 image), prepared to compute.
pub(super) struct Convolution {
    kernel: lucida_kernels::Conv2d,
    use_bias: bool,
    activation: Option<Pointwise>,
    /// Whether input 1 is added.
    residual: bool,
    grad_weights: bool,
    relu_before: bool,
    folded: Option<Folded>,
    workspace: Buffer,
}

/// The shape of a convolution whose input does not include its zero padding.
fn with_border(shape: Conv2dShape, [[top, bottom], [left, right]]: [[usize; 2]; 2]) -> Conv2dShape {
    Conv2dShape {
        height: shape.height - top - bottom,
        width: shape.width - left - right,
        padding: [shape.padding[0] + top, shape.padding[1] + left],
        ..shape
    }
}

/// A fused scale and shift per filter, with fixed weights.
struct Folded {
    affine: Box<dyn ChannelAffine>,
    factor: Vec<f32>,
    shift: Vec<f32>,
}

impl Convolution {
    pub(super) fn new(config: &OpConfig, fused: Fused, shape: Conv2dShape, use_bias: bool) -> Self {
        let shape = fused.padding.map_or(shape, |border| with_border(shape, border));
        let wanted = config.gradients;
        let gradients = Conv2dGradients { input: wanted.inputs, kernel: wanted.weights };
        let workspace = if wanted.weights { sum_rows_workspace(config.cpu, shape.filters) } else { 0 };
        let (cpu, batch, exact) = (config.cpu, config.batch, config.exact);
        let kernel = match fused.max_pooling {
            true => lucida_kernels::Conv2d::pooled(cpu, shape, batch, gradients, exact),
            false if exact => lucida_kernels::Conv2d::direct(cpu, shape, batch, gradients),
            false => lucida_kernels::Conv2d::new(cpu, shape, batch, gradients),
        };
        Self {
            kernel,
            use_bias,
            activation: fused.activation,
            residual: fused.residual,
            grad_weights: wanted.weights,
            relu_before: fused.relu_before && wanted.inputs,
            folded: fused.affine.map(|affine| Folded {
                affine,
                factor: vec![0.0; shape.filters],
                shift: vec![0.0; shape.filters],
            }),
            workspace: Buffer::zeroed(workspace),
        }
    }
}

impl Op for Convolution {
    fn set_weights(&mut self, weights: &[Weight]) {
        let [kernel, rest @ ..] = weights else { return };
        self.kernel.set_kernel(kernel.values());
        if let Some(Folded { affine, factor, shift }) = &mut self.folded {
            affine.factor_and_shift(rest, factor, shift);
        }
    }

    /// Scale, shift or bias, residual and activation are applied to the sums while they are in registers.
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let (scale, bias) = match &self.folded {
            Some(folded) => (Some(&folded.factor[..]), Some(&folded.shift[..])),
            None => (None, self.use_bias.then(|| pass.weights[1].values())),
        };
        let residual = self.residual.then(|| pass.inputs.get(1));
        let finish = ConvFinish { scale, bias, residual, activation: self.activation };
        self.kernel.forward_finished(pass.batch, pass.inputs.get(0), finish, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.grad_weights || self.relu_before, output: false }
    }

    /// `dX` is the full convolution of `dY` with the kernel rotated by 180 degrees:
    /// `dX[y, x, c] = sum over i, j, f of dY[y - i + p, x - j + p, f] K[i, j, f, c]` for stride 1.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let (batch, grad_output) = (pass.batch, pass.grad_output);
        if let Some(map) = pass.linear_gradient {
            let (input, relu) = (pass.inputs.get(0), self.relu_before);
            self.kernel.backward_input_mapped(batch, grad_output, input, map, relu, grad_input, accumulate);
        } else if self.relu_before {
            self.kernel.backward_input_through_relu(batch, grad_output, pass.inputs.get(0), grad_input, accumulate);
        } else {
            self.kernel.backward_input(batch, grad_output, grad_input, accumulate);
        }
    }

    fn set_timed(&mut self, timed: bool) {
        self.kernel.set_timed(timed);
    }

    fn stats(&self) -> OpStats {
        let [forward, backward_input, backward_weights] = self.kernel.algorithms();
        let (operations, product_rates) = (self.kernel.operations(), self.kernel.product_rates());
        OpStats { forward, backward_input, backward_weights, operations, product_rates }
    }

    /// `dK` is the correlation of the input with `dY`,
    /// `dK[i, j, c, f] = sum over y, x of X[s y + i - p, s x + j - p, c] dY[y, x, f]`, and `db[f]` is the sum of
    /// `dY[., ., f]`.
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        weight_gradients(&mut self.kernel, pass, gradients, &mut self.workspace);
    }
}

/// The gradients of a kernel and, if there is one, of a bias.
pub(super) fn weight_gradients(
    convolution: &mut lucida_kernels::Conv2d,
    pass: &Backward,
    gradients: &mut [Vec<f32>],
    workspace: &mut [f32],
) {
    let [kernel, bias @ ..] = gradients else { return };
    if !kernel.is_empty() {
        convolution.backward_kernel(pass.batch, pass.inputs.get(0), pass.grad_output, kernel);
    }
    bias_gradient(convolution, pass, bias, workspace);
}

/// The gradient of a bias, if there is one.
pub(super) fn bias_gradient(
    convolution: &lucida_kernels::Conv2d,
    pass: &Backward,
    bias: &mut [Vec<f32>],
    workspace: &mut [f32],
) {
    if let Some(bias) = bias.first_mut().filter(|bias| !bias.is_empty()) {
        convolution.backward_bias(pass.batch, pass.grad_output, bias, workspace);
    }
}

/// Keras's options of kernels and biases that only affect training.
pub(super) const TRAINING_OPTIONS: [&str; 6] = [
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
];

impl BuiltInLayer for Conv2D {
    const KERAS_CLASSES: &'static [&'static str] = &["Conv2D"];
    const KERAS_ALIASES: &'static [&'static str] = &["Convolution2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let [filters] = config.sizes("filters")?;
        config.channels_last()?;
        let [groups] = config.sizes_or("groups", [1])?;
        let conv = Self {
            use_bias: config.flag("use_bias", true)?,
            kernel_initializer: Initializer::from_keras(config, "kernel_initializer"),
            ..Self::new(filters, config.sizes("kernel_size")?)
                .strides(config.sizes_or("strides", [1, 1])?)
                .padding(Padding::from_keras(config)?)
                .dilation_rate(config.sizes_or("dilation_rate", [1, 1])?)
                .groups(groups)
                .activation(ActivationKind::from_keras(config)?)
        };
        config.note(&TRAINING_OPTIONS);
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
            "groups": self.groups,
            "activation": self.activation.to_keras()?,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer.to_keras(),
        }))
    }

    fn explicit_border(&self) -> Option<ExplicitBorder> {
        let without = || self.clone().padding(Padding::Valid).into();
        let border = |padding| ExplicitBorder { padding, value: BorderValue::Zero, without: without() };
        self.padding.explicit().map(border)
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let attributes = self.onnx_attributes(layer.shapes[0]);
        layer.result("Conv", layer.inputs_and_weights(), attributes);
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
        for padding in [Padding::Valid, Padding::Same] {
            check_layer(Conv2D::new(5, [3, 3]).padding(padding), &[[6, 5, 3].into()]);
            check_layer(Conv2D::new(4, [2, 3]).padding(padding).strides([2, 1]), &[[6, 7, 2].into()]);
            check_layer(Conv2D::new(18, [1, 1]).padding(padding).without_bias(), &[[3, 3, 17].into()]);
            check_layer(Conv2D::new(3, [5, 5]).padding(padding).strides([3, 2]), &[[9, 8, 1].into()]);
        }
        check_layer(Conv2D::new(3, [1, 2]).padding(Padding::Explicit([[1, 0], [2, 3]])), &[[3, 4, 2].into()]);
        let wide = Padding::Explicit([[2, 1], [0, 2]]);
        check_layer(Conv2D::new(4, [3, 3]).padding(wide), &[[6, 5, 3].into()]);
        check_layer(Conv2D::new(4, [3, 3]).padding(wide).strides([2, 2]), &[[6, 5, 3].into()]);
        check_layer(Conv2D::new(4, [3, 3]).activation(ActivationKind::Tanh), &[[5, 5, 2].into()]);
    }

    #[test]
    fn gradients_with_dilation_and_groups() {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit([[2, 1], [0, 3]])] {
            check_layer(Conv2D::new(3, [3, 2]).padding(padding).dilation_rate([2, 3]), &[[7, 6, 2].into()]);
            check_layer(Conv2D::new(6, [3, 3]).padding(padding).groups(2), &[[5, 4, 4].into()]);
            let all = Conv2D::new(4, [2, 3]).padding(padding).strides([2, 2]).dilation_rate([2, 2]).groups(2);
            check_layer(all, &[[7, 8, 2].into()]);
        }
        check_layer(Conv2D::new(6, [3, 3]).groups(3).without_bias(), &[[5, 4, 3].into()]);
    }

    #[test]
    fn a_plain_convolution_is_stored_as_before() {
        let plain = serde_json::to_value(Conv2D::new(4, [3, 3])).unwrap();
        assert!(plain.get("groups").is_none() && plain.get("dilation_rate").is_none(), "{plain}");
        let other = Conv2D::new(4, [3, 3]).groups(2).dilation_rate([2, 1]);
        let stored = serde_json::to_value(&other).unwrap();
        assert_eq!(serde_json::from_value::<Conv2D>(stored).unwrap(), other);
    }

    #[test]
    fn shapes() {
        let shape = |layer: Conv2D, input: [usize; 3]| layer.output_shape(&[input.into()]).unwrap();
        assert_eq!(shape(Conv2D::new(24, [3, 3]).padding(Padding::Same), [28, 28, 1]), [28, 28, 24].into());
        assert_eq!(shape(Conv2D::new(32, [3, 3]).strides([2, 2]), [150, 150, 3]), [74, 74, 32].into());
        assert_eq!(shape(Conv2D::new(8, [3, 3]).strides([2, 2]).padding(Padding::Same), [7, 8, 3]), [4, 4, 8].into());
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Conv2D::new(8, [3, 3]), &[[2, 9, 4].into()], &["3x3", "(2, 9, 4)"]);
        refuses(Conv2D::new(8, [3, 3]), &[[9].into()], &["an image", "(9)"]);
        refuses(Conv2D::new(0, [3, 3]), &[[9, 9, 1].into()], &["0 filters"]);
        refuses(Conv2D::new(1, [3, 3]).strides([0, 1]), &[[9, 9, 1].into()], &["[0, 1]"]);
        refuses(Conv2D::new(1, [3, 3]).dilation_rate([4, 4]), &[[9, 8, 1].into()], &["9x9", "(9, 8, 1)"]);
        refuses(Conv2D::new(1, [3, 3]).dilation_rate([0, 1]), &[[9, 8, 1].into()], &["dilation", "[0, 1]"]);
        refuses(Conv2D::new(4, [3, 3]).groups(2), &[[9, 8, 3].into()], &["2 groups", "3 channels"]);
        refuses(Conv2D::new(4, [3, 3]).groups(0), &[[9, 8, 3].into()], &["0 groups"]);
        refuses(Conv2D::new(1, [3, 3]).dilation_rate([usize::MAX, 2]), &[[9, 8, 1].into()], &["does not fit"]);
    }
}
