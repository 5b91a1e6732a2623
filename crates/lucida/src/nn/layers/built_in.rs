//! Built-in layers: the conversion from and to Keras and ONNX, in addition to the specification of any layer.
//!
//! Only methods that few layers override have a default, so that the compiler reports what a new layer lacks.

use serde_json::Value;

use super::Layer;
use super::activation_kind::ActivationKind;
use super::spec::LayerSpec;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// A built-in layer.
pub(crate) trait BuiltInLayer: LayerSpec + Sized {
    /// The Keras classes that [`from_keras`](Self::from_keras) reads, as listed in messages; the layer's own comes first.
    const KERAS_CLASSES: &'static [&'static str];
    /// Aliases and other classes that it reads, which messages do not list.
    const KERAS_ALIASES: &'static [&'static str] = &[];

    /// Converts a Keras layer. Options that remain unread are rejected.
    ///
    /// # Errors
    /// A description of what is not supported, without the layer's name.
    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String>;

    /// The Keras class that it is written as.
    fn keras_class(&self) -> &'static str {
        Self::KERAS_CLASSES[0]
    }

    /// The module of that class.
    fn keras_module(&self) -> &'static str {
        "keras.layers"
    }

    /// Its configuration in Keras's format, without what all layers have: name, dtype, trainability.
    ///
    /// # Errors
    /// A description of what Keras does not support.
    fn to_keras(&self) -> Result<Value, String>;

    /// Its explicit padding, if it is neither `valid` nor `same`, which is all that Keras supports.
    fn explicit_border(&self) -> Option<ExplicitBorder> {
        None
    }

    /// Adds the layer, without its activation, to a graph, with its values in [`OnnxLayer::output`].
    fn to_onnx(&self, layer: &mut OnnxLayer);

    /// The activation at its end, mutable.
    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        None
    }
}

/// Padding by a number of pixels on each side of an image.
#[derive(Debug)]
pub(crate) struct ExplicitBorder {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub(crate) padding: [[usize; 2]; 2],
    /// The value of the padding.
    pub(crate) value: BorderValue,
    /// The layer without its padding.
    pub(crate) without: Layer,
}

/// The value of padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BorderValue {
    Zero,
    /// For max pooling: the maximum is always a value of the image.
    NegativeInfinity,
    /// For average pooling: the mean is over values of the image only.
    LeftOut,
}
