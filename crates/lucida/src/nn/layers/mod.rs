//! The kinds of layers.
//!
//! Each is one file that shows the layer's mechanics whole, in this order: configuration, shape rule, forward, backward to
//! the input, backward to the weights, what it is in the files of Keras and ONNX, tests. The names, the defaults and the
//! conventions are Keras's.
//!
//! A layer is a description (its configuration, which can be stored as JSON): a [`LayerSpec`]. To compute, it is
//! prepared for an [`OpConfig`](super::OpConfig) and becomes an [`Op`](super::Op), which owns whatever it needs in
//! addition to its inputs and outputs: packed weights, workspace, masks.

mod activation;
mod activation_kind;
mod activation_onnx;
mod adaptive_pooling;
mod add;
mod alpha_dropout;
mod average;
mod batch_normalization;
mod built_in;
mod channel_shuffle;
mod concatenate;
mod conv2d;
mod conv2d_transpose;
mod cropping;
mod custom;
mod dense;
mod depth_to_space;
mod depthwise_conv2d;
mod divide;
mod dropout;
mod few_filters;
mod flatten;
mod gaussian_dropout;
mod gaussian_noise;
mod global_pooling;
mod glu;
mod group_normalization;
mod input;
mod layer_normalization;
mod layer_scale;
mod local_response_normalization;
mod mat_mul;
mod maximum;
mod merge;
mod minimum;
mod multiply;
mod noise;
mod one_dimensional;
mod pad;
mod padding;
mod permute;
mod pooling;
mod power;
mod prelu;
mod resample;
mod rescaling;
mod reshape;
mod resize;
mod resizing;
mod rms_normalization;
mod row_normalization;
mod select;
mod separable_conv2d;
mod slice;
mod softmax;
mod spatial_dropout;
mod spec;
mod stochastic_depth;
mod strided;
mod subtract;
mod take;
mod unit_normalization;
mod zero_padding;

use built_in::BuiltInLayer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

pub use activation::Activation;
pub(crate) use activation::{ActivationOp, augments};
pub use activation_kind::ActivationKind;
pub use adaptive_pooling::{AdaptiveAveragePooling2D, AdaptiveMaxPooling2D};
pub use add::Add;
pub use alpha_dropout::AlphaDropout;
pub use average::Average;
pub use batch_normalization::BatchNormalization;
pub(crate) use built_in::{BorderValue, ExplicitBorder};
pub use channel_shuffle::ChannelShuffle;
pub use concatenate::Concatenate;
pub use conv2d::Conv2D;
pub use conv2d_transpose::Conv2DTranspose;
pub use cropping::Cropping2D;
pub use custom::{Custom, CustomLayer, FromConfig};
pub use dense::Dense;
pub use depth_to_space::{DepthOrder, DepthToSpace, SpaceToDepth};
pub use depthwise_conv2d::DepthwiseConv2D;
pub(crate) use depthwise_conv2d::shape_in_groups;
pub use divide::Divide;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use gaussian_dropout::GaussianDropout;
pub use gaussian_noise::GaussianNoise;
pub use global_pooling::{GlobalAveragePooling2D, GlobalMaxPooling2D};
pub use glu::Glu;
pub use group_normalization::GroupNormalization;
pub use input::Input;
pub use layer_normalization::LayerNormalization;
pub use layer_scale::LayerScale;
pub use local_response_normalization::LocalResponseNormalization;
pub use mat_mul::MatMul;
pub use maximum::Maximum;
pub use minimum::Minimum;
pub use multiply::Multiply;
pub use one_dimensional::{
    AveragePooling1D, Conv1D, Conv1DTranspose, Cropping1D, DepthwiseConv1D, GlobalAveragePooling1D, GlobalMaxPooling1D,
    MaxPooling1D, OneDimensional, SeparableConv1D, UpSampling1D, ZeroPadding1D,
};
pub use pad::{Pad2D, PadMode};
pub use padding::Padding;
pub(crate) use padding::{dilated, resolve_convolution};
pub use permute::Permute;
pub use pooling::{AveragePooling2D, MaxPooling2D};
pub use power::Power;
pub use prelu::PReLU;
pub use resample::{Coordinates, Interpolation, NearestMode};
pub use rescaling::Rescaling;
pub use rms_normalization::RMSNormalization;
pub use select::Select;
pub use softmax::Softmax;
pub use spatial_dropout::SpatialDropout2D;
pub use stochastic_depth::StochasticDepth;
pub use subtract::Subtract;
pub use take::Take;
pub use unit_normalization::UnitNormalization;

pub use reshape::Reshape;
pub use resize::{Resize, ResizeTo};
pub use resizing::{AspectRatio, CenterCrop, Resizing, UpSampling2D};
pub use separable_conv2d::SeparableConv2D;
pub use slice::{AxisSlice, Slice};
pub use spec::{Extent, FusingSpec, LayerSpec};
pub use zero_padding::ZeroPadding2D;

macro_rules! layers {
    ($($kind:ident => $name:literal),* $(,)?) => {
        /// A layer of any kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[allow(missing_docs)] // each variant is documented as its type
        pub enum Layer {
            $($kind($kind),)*
            Custom(Custom),
        }

        impl Layer {
            /// The names of all built-in kinds, as Keras calls the classes.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// The name of its kind, as Keras calls the class: `Conv2D`.
            pub fn class_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                    Self::Custom(layer) => layer.class_name(),
                }
            }

            /// What a layer of this kind is called by default: `conv2d`.
            pub fn default_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                    Self::Custom(layer) => layer.default_name(),
                }
            }

            /// What it has as any layer has.
            pub fn spec(&self) -> &dyn LayerSpec {
                match self {
                    $(Self::$kind(layer) => layer,)*
                    Self::Custom(layer) => layer.spec(),
                }
            }

            /// The classes of Keras that become a layer, for messages.
            pub(crate) fn keras_classes() -> Vec<&'static str> {
                [$($kind::KERAS_CLASSES),*].concat()
            }

            /// The layer that a layer of Keras is, or what of it cannot be represented; `None` for a class that has no
            /// counterpart.
            pub(crate) fn from_keras(class: &str, config: &mut KerasConfig) -> Option<Result<Self, String>> {
                $(if $kind::KERAS_CLASSES.contains(&class) || $kind::KERAS_ALIASES.contains(&class) {
                    return Some($kind::from_keras(class, config));
                })*
                None
            }

            /// The class of Keras that it is written as.
            pub(crate) fn keras_class(&self) -> &'static str {
                match self {
                    $(Self::$kind(layer) => layer.keras_class(),)*
                    Self::Custom(layer) => layer.class_name(),
                }
            }

            /// The module of that class.
            pub(crate) fn keras_module(&self) -> &'static str {
                match self {
                    $(Self::$kind(layer) => layer.keras_module(),)*
                    Self::Custom(_) => "keras.layers",
                }
            }

            /// What is particular to it of its configuration in Keras, or what Keras cannot say.
            pub(crate) fn to_keras(&self) -> Result<Value, String> {
                match self {
                    $(Self::$kind(layer) => layer.to_keras(),)*
                    Self::Custom(layer) => Err(layer.unknown_to("Keras")),
                }
            }

            /// Its border, if that is neither `valid` nor `same`.
            pub(crate) fn explicit_border(&self) -> Option<ExplicitBorder> {
                match self {
                    $(Self::$kind(layer) => layer.explicit_border(),)*
                    Self::Custom(_) => None,
                }
            }

            /// Adds it, without its activation, to a graph, or says that ONNX does not have it.
            pub(crate) fn to_onnx(&self, graph: &mut OnnxLayer) -> Result<(), String> {
                match self {
                    $(Self::$kind(layer) => layer.to_onnx(graph),)*
                    Self::Custom(layer) => return Err(layer.unknown_to("ONNX")),
                }
                Ok(())
            }

            /// The activation at its end, where it can be changed.
            pub(crate) fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
                match self {
                    $(Self::$kind(layer) => layer.activation_mut(),)*
                    Self::Custom(_) => None,
                }
            }
        }

        impl From<Custom> for Layer {
            fn from(layer: Custom) -> Self {
                Self::Custom(layer)
            }
        }

        $(impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Self::$kind(layer)
            }
        })*
    };
}

layers! {
    Input => "input_layer",
    Conv2D => "conv2d",
    Dense => "dense",
    DepthwiseConv2D => "depthwise_conv2d",
    SeparableConv2D => "separable_conv2d",
    Conv2DTranspose => "conv2d_transpose",
    MaxPooling2D => "max_pooling2d",
    AveragePooling2D => "average_pooling2d",
    AdaptiveAveragePooling2D => "adaptive_average_pooling2d",
    AdaptiveMaxPooling2D => "adaptive_max_pooling2d",
    GlobalAveragePooling2D => "global_average_pooling2d",
    GlobalMaxPooling2D => "global_max_pooling2d",
    BatchNormalization => "batch_normalization",
    Rescaling => "rescaling",
    Activation => "activation",
    Dropout => "dropout",
    Flatten => "flatten",
    ZeroPadding2D => "zero_padding2d",
    Pad2D => "pad2d",
    Cropping2D => "cropping2d",
    CenterCrop => "center_crop",
    Resizing => "resizing",
    UpSampling2D => "up_sampling2d",
    Resize => "resize",
    Reshape => "reshape",
    Permute => "permute",
    Slice => "slice",
    Take => "take",
    ChannelShuffle => "channel_shuffle",
    DepthToSpace => "depth_to_space",
    SpaceToDepth => "space_to_depth",
    Concatenate => "concatenate",
    Add => "add",
    Subtract => "subtract",
    Multiply => "multiply",
    Divide => "divide",
    Average => "average",
    Maximum => "maximum",
    Minimum => "minimum",
    Power => "power",
    MatMul => "mat_mul",
    Select => "select",
    PReLU => "p_re_lu",
    Glu => "glu",
    Softmax => "softmax",
    LayerNormalization => "layer_normalization",
    GroupNormalization => "group_normalization",
    RMSNormalization => "rms_normalization",
    UnitNormalization => "unit_normalization",
    LocalResponseNormalization => "local_response_normalization",
    LayerScale => "layer_scale",
    GaussianNoise => "gaussian_noise",
    GaussianDropout => "gaussian_dropout",
    SpatialDropout2D => "spatial_dropout2d",
    AlphaDropout => "alpha_dropout",
    StochasticDepth => "stochastic_depth",
    Conv1D => "conv1d",
    DepthwiseConv1D => "depthwise_conv1d",
    SeparableConv1D => "separable_conv1d",
    Conv1DTranspose => "conv1d_transpose",
    MaxPooling1D => "max_pooling1d",
    AveragePooling1D => "average_pooling1d",
    GlobalAveragePooling1D => "global_average_pooling1d",
    GlobalMaxPooling1D => "global_max_pooling1d",
    ZeroPadding1D => "zero_padding1d",
    Cropping1D => "cropping1d",
    UpSampling1D => "up_sampling1d",
}

impl Layer {
    /// Whether it is a convolution of an image, of whatever kind.
    pub fn is_convolution(&self) -> bool {
        matches!(self, Self::Conv2D(_) | Self::DepthwiseConv2D(_) | Self::SeparableConv2D(_) | Self::Conv2DTranspose(_))
    }
}
