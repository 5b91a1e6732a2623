//! Layers for sequences: Keras's `Conv1D`, `MaxPooling1D` and so on.
//!
//! A sequence `[length, channels]` is an image `[1, length, channels]`, and a layer for sequences is the layer for images
//! with windows of one row. So they are all one wrapper around the layer for images, and share its kernels and gradients;
//! only shapes and Keras's options differ. Weights have Keras's shapes, without the axis of rows:
//! `[length, inputs, filters]`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activation_kind::ActivationKind;
use super::built_in::{BuiltInLayer, ExplicitBorder};
use super::padding::{Padding, dilated};
use super::spec::{Extent, FusingSpec, LayerSpec, one_input};
use super::{
    AveragePooling2D, Conv2D, Conv2DTranspose, Cropping2D, DepthwiseConv2D, GlobalAveragePooling2D, GlobalMaxPooling2D,
    Layer, MaxPooling2D, SeparableConv2D, UpSampling2D, ZeroPadding2D,
};
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Fused, Fusible, Op, OpConfig};
use crate::nn::{Shape, WeightSpec};

/// A layer for sequences, `[length, channels]` to `[length, channels]`: a layer for images, applied to images of one row.
/// Its windows, strides, and padding have one row: `[1, length]`.
///
/// ```
/// use lucida::nn::layers::{Conv1D, Conv2D, GlobalMaxPooling1D, GlobalMaxPooling2D};
/// use lucida::prelude::*;
///
/// let network = Sequential::new("sequences", [64, 4])
///     .add(Conv1D::new(Conv2D::new(16, [1, 5]).strides([1, 2])))
///     .add(GlobalMaxPooling1D::new(GlobalMaxPooling2D::new()))
///     .build(42)?;
/// assert_eq!(network.nodes()[1].shape().sizes(), [30, 16]);
/// assert_eq!(network.weights()[0].shape(), [5, 4, 16]);
/// assert_eq!(network.output()?.shape().sizes(), [16]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OneDimensional<L> {
    /// The layer that is applied to images of one row.
    pub layer: L,
}

impl<L> OneDimensional<L> {
    /// Applies a layer for images to sequences.
    pub fn new(layer: L) -> Self {
        Self { layer }
    }
}

/// A sequence as an image of one row.
fn image(input: &Shape) -> Result<Shape, String> {
    match *input.sizes() {
        [length, channels] => Ok(Shape::image(1, length, channels)),
        _ => Err(format!("takes a sequence (length, channels), got {input}")),
    }
}

/// An image of one row as a sequence; vectors are unchanged.
fn sequence(output: &Shape) -> Result<Shape, String> {
    match *output.sizes() {
        [1, length, channels] => Ok([length, channels].into()),
        [features] => Ok(Shape::flat(features)),
        _ => Err(format!("makes {output} of a sequence, which has one row: use windows and borders of one row")),
    }
}

/// The inputs as images; the shape rule has accepted them.
fn images(inputs: &[Shape]) -> Vec<Shape> {
    inputs.iter().map(|input| image(input).expect("the shape rule accepts sequences only")).collect()
}

/// The configuration of the layer for images.
fn with_images<T>(config: &OpConfig, prepare: impl FnOnce(&OpConfig) -> T) -> T {
    let inputs = images(config.inputs);
    let output = image(config.output).unwrap_or_else(|_| config.output.clone());
    prepare(&OpConfig { inputs: &inputs, output: &output, ..config.clone() })
}

impl<L: ImageLayer> LayerSpec for OneDimensional<L> {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = image(one_input(inputs)?)?;
        let output = sequence(&self.layer.output_shape(std::slice::from_ref(&input))?)?;
        let of_rows = |weight: &WeightSpec| weight.shape.len() == 4 && weight.shape[0] != 1;
        match self.layer.weights(&[input]).iter().find(|weight| of_rows(weight)) {
            Some(weight) => Err(format!("has a {} of {} rows, a sequence has one", weight.name, weight.shape[0])),
            None => Ok(output),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let mut weights = self.layer.weights(&images(inputs));
        for weight in weights.iter_mut().filter(|weight| weight.shape.len() == 4) {
            weight.shape.remove(0);
        }
        weights
    }

    fn activation(&self) -> ActivationKind {
        self.layer.activation()
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        self.layer.extent(&images(inputs))
    }

    fn keeps_sign(&self) -> bool {
        self.layer.keeps_sign()
    }

    fn only_resamples(&self) -> bool {
        self.layer.only_resamples()
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        with_images(config, |config| self.layer.prepare(config))
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        self.layer.fusing().map(|_| self as &dyn FusingSpec)
    }
}

impl<L: ImageLayer> FusingSpec for OneDimensional<L> {
    /// 2x2 windows need two rows, so max pooling is not fused.
    fn fusible(&self) -> Fusible {
        let fusible = self.layer.fusing().map(FusingSpec::fusible).unwrap_or_default();
        Fusible { max_pooling: false, ..fusible }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let layer = self.layer.fusing().expect("only a layer that fuses says what is fusible");
        with_images(config, |config| layer.prepare_fused(config, fused))
    }
}

/// A layer for images that Keras also has for sequences.
pub(crate) trait ImageLayer: BuiltInLayer {
    /// Keras's classes for sequences.
    const CLASSES: &'static [&'static str];
    /// Aliases of these classes.
    const ALIASES: &'static [&'static str];
    /// Options of the class for images that the class for sequences lacks.
    const LACKS: &'static [&'static str];

    /// The layer, if it is of this type.
    fn of(layer: Layer) -> Option<Self>;

    /// For a convolution: its padding, and the number of pixels that its kernel covers.
    fn border_mut(&mut self) -> Option<(&mut Padding, usize)> {
        None
    }
}

macro_rules! layers_of_sequences {
    ($($name:ident: $kind:ident, $classes:tt, $aliases:tt, lacks $lacks:tt $({ $($border:item)* })?;)*) => {
        $(
            #[doc = concat!("[`", stringify!($kind), "`] for sequences `[length, channels]`.")]
            pub type $name = OneDimensional<$kind>;

            impl ImageLayer for $kind {
                const CLASSES: &'static [&'static str] = &$classes;
                const ALIASES: &'static [&'static str] = &$aliases;
                const LACKS: &'static [&'static str] = &$lacks;

                fn of(layer: Layer) -> Option<Self> {
                    match layer {
                        Layer::$kind(layer) => Some(layer),
                        _ => None,
                    }
                }

                $($($border)*)?
            }
        )*

        impl Layer {
            /// Whether it is a layer for sequences.
            pub(crate) fn is_one_dimensional(&self) -> bool {
                matches!(self, $(Self::$name(_))|*)
            }
        }
    };
}

layers_of_sequences! {
    Conv1D: Conv2D, ["Conv1D"], ["Convolution1D"], lacks [] {
        fn border_mut(&mut self) -> Option<(&mut Padding, usize)> {
            reach(self.kernel_size, self.dilation_rate).map(|reach| (&mut self.padding, reach))
        }
    };
    DepthwiseConv1D: DepthwiseConv2D, ["DepthwiseConv1D"], [], lacks [];
    SeparableConv1D: SeparableConv2D, ["SeparableConv1D"], ["SeparableConvolution1D"], lacks [] {
        fn border_mut(&mut self) -> Option<(&mut Padding, usize)> {
            reach(self.kernel_size, self.dilation_rate).map(|reach| (&mut self.padding, reach))
        }
    };
    Conv1DTranspose: Conv2DTranspose, ["Conv1DTranspose"], ["Convolution1DTranspose"], lacks [];
    MaxPooling1D: MaxPooling2D, ["MaxPooling1D"], ["MaxPool1D"], lacks [];
    AveragePooling1D: AveragePooling2D, ["AveragePooling1D"], ["AvgPool1D"], lacks [];
    GlobalAveragePooling1D: GlobalAveragePooling2D, ["GlobalAveragePooling1D"], ["GlobalAvgPool1D"], lacks [];
    GlobalMaxPooling1D: GlobalMaxPooling2D, ["GlobalMaxPooling1D"], ["GlobalMaxPool1D"], lacks [];
    ZeroPadding1D: ZeroPadding2D, ["ZeroPadding1D"], [], lacks ["data_format"];
    Cropping1D: Cropping2D, ["Cropping1D"], [], lacks ["data_format"];
    UpSampling1D: UpSampling2D, ["UpSampling1D"], [], lacks ["data_format", "interpolation"];
}

fn reach(kernel_size: [usize; 2], dilation_rate: [usize; 2]) -> Option<usize> {
    dilated(kernel_size, dilation_rate).ok().map(|reach| reach[1])
}

/// Options that are a size per axis.
const SIZES: [&str; 6] = ["kernel_size", "strides", "dilation_rate", "pool_size", "size", "output_padding"];
/// Options that are numbers of pixels on each side of each axis.
const SIDES: [&str; 2] = ["padding", "cropping"];

/// Converts Keras's options of a layer for sequences to those of the layer for images.
fn for_images(options: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut options = options.clone();
    for (name, value) in &mut options {
        let bad = || format!("{name} is {}, expected one axis", short(value));
        let numbers: Vec<Value> = match &*value {
            Value::Array(values) => values.clone(),
            value if value.is_u64() => vec![value.clone()],
            _ => continue,
        };
        *value = match numbers.as_slice() {
            [size] if SIZES.contains(&&**name) => {
                let one = u64::from(name != "output_padding");
                json!([one, size])
            }
            [both] if SIDES.contains(&&**name) => json!([[0, 0], [both, both]]),
            [before, after] if SIDES.contains(&&**name) => json!([[0, 0], [before, after]]),
            _ if SIZES.contains(&&**name) || SIDES.contains(&&**name) => return Err(bad()),
            _ => continue,
        };
    }
    Ok(options)
}

/// The padding of a causal convolution: only before the sequence, so that no output depends on later values.
fn causal_border<L: ImageLayer>(layer: &mut L) -> Option<(&mut Padding, Padding)> {
    let (padding, reach) = layer.border_mut()?;
    Some((padding, Padding::Explicit([[0, 0], [reach.checked_sub(1)?, 0]])))
}

/// The layer without its padding, if it is a causal convolution.
fn without_causal_border<L: ImageLayer + Clone>(layer: &L) -> Option<L> {
    let mut layer = layer.clone();
    let (padding, causal) = causal_border(&mut layer)?;
    let is_causal = *padding == causal;
    *padding = Padding::Valid;
    is_causal.then_some(layer)
}

impl<L: ImageLayer + Clone> BuiltInLayer for OneDimensional<L>
where
    Layer: From<Self>,
{
    const KERAS_CLASSES: &'static [&'static str] = L::CLASSES;
    const KERAS_ALIASES: &'static [&'static str] = L::ALIASES;

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let input = image(config.input())?;
        let mut options = for_images(config.options())?;
        let causal = options.get("padding").and_then(Value::as_str) == Some("causal");
        if causal {
            options.insert("padding".into(), "valid".into());
        }
        let mut notes = Vec::new();
        let mut of_images = KerasConfig::new(&options, &input, &mut notes).of_keras_2(config.is_keras_2());
        of_images.ignore(&["dtype"]);
        let layer = L::from_keras(L::KERAS_CLASSES[0], &mut of_images)?;
        of_images.nothing_left()?;
        config.ignore_all();
        notes.into_iter().for_each(|note| config.add_note(note));
        let mut layer = Self::new(L::of(layer).ok_or("is of another kind than its class")?);
        if causal {
            let (padding, border) = causal_border(&mut layer.layer).ok_or("padding causal is not supported")?;
            *padding = border;
        }
        Ok(layer.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        let causal = without_causal_border(&self.layer);
        let mut config = causal.as_ref().unwrap_or(&self.layer).to_keras()?;
        if let Some(options) = config.as_object_mut() {
            options.retain(|name, _| !L::LACKS.contains(&&**name));
            for (name, value) in options.iter_mut().filter(|(_, value)| value.is_array()) {
                if SIDES.contains(&&**name) || name == "size" {
                    *value = value[1].clone();
                } else if SIZES.contains(&&**name) {
                    *value = json!([value[1]]);
                }
            }
        }
        if causal.is_some() {
            config["padding"] = "causal".into();
        }
        Ok(config)
    }

    fn explicit_border(&self) -> Option<ExplicitBorder> {
        if without_causal_border(&self.layer).is_some() {
            return None;
        }
        let ExplicitBorder { padding, value, without } = self.layer.explicit_border()?;
        let without = Self::new(L::of(without)?).into();
        Some(ExplicitBorder { padding, value, without })
    }

    /// In a graph a sequence is an image of one row.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        self.layer.to_onnx(layer);
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        self.layer.activation_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    const PADDINGS: [Padding; 3] = [Padding::Valid, Padding::Same, Padding::Explicit([[0, 0], [2, 0]])];

    #[test]
    fn gradients_of_convolutions() {
        for padding in PADDINGS {
            let conv = Conv2D::new(4, [1, 3]).padding(padding);
            check_layer(Conv1D::new(conv.clone().strides([1, 2])), &[[9, 3].into()]);
            check_layer(Conv1D::new(conv.groups(2).dilation_rate([1, 2])), &[[9, 4].into()]);
            let depthwise = DepthwiseConv2D::new([1, 3]).padding(padding).depth_multiplier(2);
            check_layer(DepthwiseConv1D::new(depthwise), &[[8, 3].into()]);
            let separable = SeparableConv2D::new(5, [1, 3]).padding(padding).activation(ActivationKind::Tanh);
            check_layer(SeparableConv1D::new(separable), &[[7, 3].into()]);
            let transpose = Conv2DTranspose::new(3, [1, 4]).padding(padding).strides([1, 2]);
            check_layer(Conv1DTranspose::new(transpose), &[[5, 2].into()]);
        }
    }

    #[test]
    fn gradients_of_what_has_no_weights() {
        let input = [[8, 3].into()];
        check_layer(MaxPooling1D::new(MaxPooling2D::new([1, 3]).strides([1, 2]).padding(Padding::Same)), &input);
        check_layer(AveragePooling1D::new(AveragePooling2D::new([1, 2])), &input);
        check_layer(GlobalAveragePooling1D::new(GlobalAveragePooling2D::new()), &input);
        check_layer(GlobalMaxPooling1D::new(GlobalMaxPooling2D::keeping_dims()), &input);
        check_layer(ZeroPadding1D::new(ZeroPadding2D { padding: [[0, 0], [1, 2]] }), &input);
        check_layer(Cropping1D::new(Cropping2D::new([[0, 0], [1, 2]])), &input);
        check_layer(UpSampling1D::new(UpSampling2D::new([1, 2])), &input);
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Conv1D::new(Conv2D::new(4, [1, 3])), &[[5, 5, 3].into()], &["a sequence", "(5, 5, 3)"]);
        refuses(Conv1D::new(Conv2D::new(4, [1, 9])), &[[5, 3].into()], &["1x9"]);
        let rows = Conv2D::new(4, [3, 3]).padding(Padding::Same);
        refuses(Conv1D::new(rows), &[[5, 3].into()], &["kernel of 3 rows"]);
        refuses(UpSampling1D::new(UpSampling2D::new([2, 2])), &[[5, 3].into()], &["one row"]);
    }

    #[test]
    fn options_are_those_of_keras() {
        let round_trip = |class: &str, options: Value| {
            let mut notes = Vec::new();
            let input = Shape::from([9, 4]);
            let mut config = KerasConfig::new(options.as_object().unwrap(), &input, &mut notes);
            Layer::from_keras(class, &mut config).unwrap().and_then(|layer| layer.to_keras())
        };
        for (class, options) in [
            ("Conv1D", json!({ "filters": 4, "kernel_size": [3], "strides": [2], "padding": "causal" })),
            ("Conv1D", json!({ "filters": 4, "kernel_size": [3], "dilation_rate": [2], "groups": 2 })),
            ("SeparableConv1D", json!({ "filters": 4, "kernel_size": [3], "depth_multiplier": 2 })),
            ("Conv1DTranspose", json!({ "filters": 4, "kernel_size": [3], "output_padding": [1], "strides": [2] })),
            ("MaxPooling1D", json!({ "pool_size": [2], "strides": [1], "padding": "same" })),
            ("ZeroPadding1D", json!({ "padding": [1, 2] })),
            ("Cropping1D", json!({ "cropping": [0, 2] })),
            ("UpSampling1D", json!({ "size": 3 })),
        ] {
            let written = round_trip(class, options.clone()).unwrap();
            for (name, value) in options.as_object().unwrap() {
                assert_eq!(&written[name], value, "{class} {name}");
            }
        }
        let causal = json!({ "kernel_size": [3], "padding": "causal" });
        assert!(round_trip("DepthwiseConv1D", causal).unwrap_err().contains("causal is not supported"));
        let planar = json!({ "filters": 4, "kernel_size": [3, 3] });
        assert!(round_trip("Conv1D", planar).unwrap_err().contains("kernel_size is [3,3]"));
    }
}
