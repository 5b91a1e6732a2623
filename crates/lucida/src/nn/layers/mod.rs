//! Layers.
//!
//! Each layer is one self-contained file, in this order: configuration, shape inference, forward pass, gradient of the
//! input, gradient of the weights, conversion to and from Keras and ONNX, tests. Names, defaults and conventions are
//! Keras's.
//!
//! A layer is a [`LayerSpec`]: its configuration, which can be stored as JSON. To compute, it is prepared for an
//! [`OpConfig`](super::OpConfig) and becomes an [`Op`](super::Op), which owns everything it needs in addition to its inputs
//! and outputs: packed weights, workspace, masks.

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
        /// Any layer.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[allow(missing_docs)] // each variant is documented as its type
        pub enum Layer {
            $($kind($kind),)*
            Custom(Custom),
        }

        impl Layer {
            /// The class names of all built-in layers, as in Keras.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// The class name, as in Keras: `Conv2D`.
            pub fn class_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                    Self::Custom(layer) => layer.class_name(),
                }
            }

            /// The default name of a layer of this class: `conv2d`.
            pub fn default_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                    Self::Custom(layer) => layer.default_name(),
                }
            }

            /// The layer's specification.
            pub fn spec(&self) -> &dyn LayerSpec {
                match self {
                    $(Self::$kind(layer) => layer,)*
                    Self::Custom(layer) => layer.spec(),
                }
            }

            /// The supported Keras classes, for messages.
            pub(crate) fn keras_classes() -> Vec<&'static str> {
                [$($kind::KERAS_CLASSES),*].concat()
            }

            /// Converts a Keras layer, or describes what is not supported; `None` for an unknown class.
            pub(crate) fn from_keras(class: &str, config: &mut KerasConfig) -> Option<Result<Self, String>> {
                $(if $kind::KERAS_CLASSES.contains(&class) || $kind::KERAS_ALIASES.contains(&class) {
                    return Some($kind::from_keras(class, config));
                })*
                None
            }

            /// The Keras class that it is written as.
            pub(crate) fn keras_class(&self) -> &'static str {
                match self {
                    $(Self::$kind(layer) => layer.keras_class(),)*
                    Self::Custom(layer) => layer.class_name(),
                }
            }

            /// The module of its Keras class.
            pub(crate) fn keras_module(&self) -> &'static str {
                match self {
                    $(Self::$kind(layer) => layer.keras_module(),)*
                    Self::Custom(_) => "keras.layers",
                }
            }

            /// Its class-specific configuration in Keras's format, or a description of what Keras does not support.
            pub(crate) fn to_keras(&self) -> Result<Value, String> {
                match self {
                    $(Self::$kind(layer) => layer.to_keras(),)*
                    Self::Custom(layer) => Err(layer.unknown_to("Keras")),
                }
            }

            /// Its explicit padding, if it is neither `valid` nor `same`.
            pub(crate) fn explicit_border(&self) -> Option<ExplicitBorder> {
                match self {
                    $(Self::$kind(layer) => layer.explicit_border(),)*
                    Self::Custom(_) => None,
                }
            }

            /// Adds the layer, without its activation, to a graph; an error if ONNX does not support it.
            pub(crate) fn to_onnx(&self, graph: &mut OnnxLayer) -> Result<(), String> {
                match self {
                    $(Self::$kind(layer) => layer.to_onnx(graph),)*
                    Self::Custom(layer) => return Err(layer.unknown_to("ONNX")),
                }
                Ok(())
            }

            /// The activation at its end, mutable, if it has that option.
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
    /// Whether it is a 2D convolution of any kind.
    pub fn is_convolution(&self) -> bool {
        matches!(self, Self::Conv2D(_) | Self::DepthwiseConv2D(_) | Self::SeparableConv2D(_) | Self::Conv2DTranspose(_))
    }
}
