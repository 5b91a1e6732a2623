//! Depthwise convolution.
//!
//! Each channel is convolved separately with `m` filters; nothing is summed over channels:
//!
//! ```text
//! Y[y, x, m c + j] = b[m c + j] + sum over i, k of X[s y + i - p, s x + k - p, c] K[i, k, c, j]
//! ```
//!
//! It is a convolution with one group per channel, whose kernel is stored by channel. So the gradients are those of a
//! convolution: `dX[., ., c]` is the sum over `j` of `dY[., ., m c + j]` correlated with the rotated kernel, and
//! `dK[i, k, c, j]` the sum over pixels of `X[s y + i - p, s x + k - p, c] dY[y, x, m c + j]`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::activation_kind::ActivationKind;
use super::built_in::{BorderValue, BuiltInLayer, ExplicitBorder};
use super::conv2d::{Conv2D, Convolution, are_ones, glorot, kernel_and_bias, one, ones, yes};
use super::padding::Padding;
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Fused, Fusible, Op, OpConfig};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A depthwise convolution, `[height, width, channels]` to `[height, width, channels * depth_multiplier]`. Output channel
/// `c * depth_multiplier + j` is filter `j` over input channel `c`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("features", [28, 28, 8])
///     .add(DepthwiseConv2D::new([3, 3]).strides([2, 2]).padding(Padding::Same).depth_multiplier(2))
///     .build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [14, 14, 16]);
/// assert_eq!(network.weights()[0].shape(), [3, 3, 8, 2]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct DepthwiseConv2D {
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride.
    #[serde(default = "ones")]
    pub strides: [usize; 2],
    /// The padding.
    #[serde(default)]
    pub padding: Padding,
    /// Number of filters per channel.
    #[serde(default = "one")]
    pub depth_multiplier: usize,
    /// Vertical and horizontal dilation.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation_rate: [usize; 2],
    /// The activation.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether to add a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The initializer of the kernel.
    #[serde(default = "glorot")]
    pub depthwise_initializer: Initializer,
}

impl DepthwiseConv2D {
    /// A depthwise convolution with Keras's defaults: stride 1, no padding, one filter per channel, bias, no activation.
    pub fn new(kernel_size: [usize; 2]) -> Self {
        Self {
            kernel_size,
            strides: ones(),
            padding: Padding::Valid,
            depth_multiplier: 1,
            dilation_rate: ones(),
            activation: ActivationKind::Linear,
            use_bias: true,
            depthwise_initializer: glorot(),
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

    /// Sets the number of filters per channel.
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

    /// The equivalent convolution with one group per channel.
    pub(super) fn grouped(&self, channels: usize) -> Result<Conv2D, String> {
        let filters = channels.checked_mul(self.depth_multiplier).filter(|&filters| filters > 0);
        let filters = filters.ok_or_else(|| format!("{} filters for each channel", self.depth_multiplier))?;
        Ok(Conv2D {
            use_bias: self.use_bias,
            ..Conv2D::new(filters, self.kernel_size)
                .strides(self.strides)
                .padding(self.padding)
                .dilation_rate(self.dilation_rate)
                .groups(channels)
                .activation(self.activation)
        })
    }

    /// The specification of the kernel under this name.
    pub(super) fn kernel(&self, name: &'static str, channels: usize) -> WeightSpec {
        let [rows, columns] = self.kernel_size;
        let shape = vec![rows, columns, channels, self.depth_multiplier];
        WeightSpec { name, shape, initializer: self.depthwise_initializer, trainable: true }
    }
}

/// The shape of a layer's weight in other formats: there the kernel of a depthwise convolution (row, column, channel,
/// multiplier) is (row, column, 1, filter), with the same values in the same order.
pub(crate) fn shape_in_groups(layer: &Layer, weight: &Weight) -> Vec<usize> {
    let depthwise = match layer {
        Layer::DepthwiseConv2D(_) => true,
        Layer::SeparableConv2D(_) => weight.name().ends_with("/depthwise_kernel"),
        _ => false,
    };
    match *weight.shape() {
        [rows, columns, channels, multiplier] if depthwise => vec![rows, columns, 1, channels * multiplier],
        ref shape => shape.to_vec(),
    }
}

impl LayerSpec for DepthwiseConv2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.grouped(one_image(inputs)?[2])?.output_shape(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let (channels, initializer) = (inputs[0].channels(), self.depthwise_initializer);
        let shape = self.kernel("kernel", channels).shape;
        kernel_and_bias(shape, channels * self.depth_multiplier, self.use_bias, initializer)
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

impl FusingSpec for DepthwiseConv2D {
    /// As for a convolution, except max pooling, which is only fused where sums run over channels.
    fn fusible(&self) -> Fusible {
        let grouped = Conv2D { use_bias: self.use_bias, ..Conv2D::new(1, self.kernel_size) };
        Fusible { max_pooling: false, ..grouped.fusible() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let input = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let shape = self.grouped(input[2]).and_then(|conv| conv.shape(input));
        Box::new(Convolution::new(config, fused, shape.expect("the shape rule has accepted this input"), self.use_bias))
    }
}

/// Keras's options of depthwise kernels and biases that only affect training. Keras 2 also writes options of a plain
/// kernel, which have no effect.
pub(super) const DEPTHWISE_TRAINING_OPTIONS: [&str; 8] = [
    "bias_initializer",
    "depthwise_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "depthwise_constraint",
    "bias_constraint",
    "kernel_regularizer",
    "kernel_constraint",
];

impl BuiltInLayer for DepthwiseConv2D {
    const KERAS_CLASSES: &'static [&'static str] = &["DepthwiseConv2D"];
    const KERAS_ALIASES: &'static [&'static str] = &["DepthwiseConvolution2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        config.must_be("groups", &[Value::from(1)])?;
        config.ignore(&["kernel_initializer", "filters"]);
        let [depth_multiplier] = config.sizes_or("depth_multiplier", [1])?;
        let conv = Self {
            use_bias: config.flag("use_bias", true)?,
            depthwise_initializer: Initializer::from_keras(config, "depthwise_initializer"),
            ..Self::new(config.sizes("kernel_size")?)
                .strides(config.sizes_or("strides", [1, 1])?)
                .padding(Padding::from_keras(config)?)
                .depth_multiplier(depth_multiplier)
                .dilation_rate(config.sizes_or("dilation_rate", [1, 1])?)
                .activation(ActivationKind::from_keras(config)?)
        };
        config.note(&DEPTHWISE_TRAINING_OPTIONS);
        Ok(conv.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding.to_keras()?,
            "depth_multiplier": self.depth_multiplier,
            "data_format": "channels_last",
            "dilation_rate": self.dilation_rate,
            "activation": self.activation.to_keras()?,
            "use_bias": self.use_bias,
            "depthwise_initializer": self.depthwise_initializer.to_keras(),
        }))
    }

    fn explicit_border(&self) -> Option<ExplicitBorder> {
        let without = || self.clone().padding(Padding::Valid).into();
        let border = |padding| ExplicitBorder { padding, value: BorderValue::Zero, without: without() };
        self.padding.explicit().map(border)
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let image = layer.shapes[0];
        let grouped = self.grouped(image.channels()).expect("the shape rule has accepted this input");
        layer.result("Conv", layer.inputs_and_weights(), grouped.onnx_attributes(image));
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        Some(&mut self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Activation, BatchNormalization};
    use crate::nn::testing::{check_layer, refuses};
    use crate::nn::{Network, Plan, PlanBuilder};

    #[test]
    fn gradients() {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit([[2, 1], [0, 2]])] {
            check_layer(DepthwiseConv2D::new([3, 3]).padding(padding), &[[6, 5, 3].into()]);
            check_layer(DepthwiseConv2D::new([3, 2]).padding(padding).strides([2, 1]), &[[7, 5, 17].into()]);
            let spread = DepthwiseConv2D::new([3, 3]).padding(padding).dilation_rate([2, 2]);
            check_layer(spread.depth_multiplier(2).without_bias(), &[[6, 7, 3].into()]);
        }
        check_layer(DepthwiseConv2D::new([3, 3]).depth_multiplier(4), &[[5, 5, 1].into()]);
        check_layer(DepthwiseConv2D::new([2, 2]).activation(ActivationKind::Tanh), &[[4, 5, 4].into()]);
    }

    #[test]
    fn a_normalization_and_a_relu_are_computed_along() {
        let layers = [
            DepthwiseConv2D::new([3, 3]).depth_multiplier(2).without_bias().into(),
            BatchNormalization::default().into(),
            Activation::new(ActivationKind::Relu).into(),
        ];
        let mut network = Network::sequential("block", [6, 7, 9], layers, 3).unwrap();
        for weight in network.weights_mut().iter_mut().filter(|weight| !weight.name().ends_with("kernel")) {
            weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = 0.3 + (i % 5) as f32 * 0.2);
        }
        let run = |builder: PlanBuilder| {
            let mut plan = builder.build().unwrap();
            plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i * 37 % 19) as f32 / 9.0 - 1.0);
            plan.forward(&network).unwrap();
            let last = plan.output(0).to_vec();
            (plan.profile().len(), last)
        };
        let (steps, fused) = run(Plan::builder(&network).output("activation"));
        // Layers whose outputs are requested cannot be fused.
        let wanted =
            Plan::builder(&network).output("activation").output("depthwise_conv2d").output("batch_normalization");
        let (more, apart) = run(wanted);
        assert_eq!((steps, more), (1, 3));
        assert!(fused.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(fused.contains(&0.0) && fused.iter().any(|&value| value > 0.1));
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(DepthwiseConv2D::new([3, 3]), &[[2, 9, 4].into()], &["3x3", "(2, 9, 4)"]);
        refuses(DepthwiseConv2D::new([3, 3]).depth_multiplier(0), &[[9, 9, 1].into()], &["0 filters"]);
        refuses(DepthwiseConv2D::new([3, 3]).depth_multiplier(usize::MAX), &[[9, 9, 2].into()], &["filters"]);
    }
}
