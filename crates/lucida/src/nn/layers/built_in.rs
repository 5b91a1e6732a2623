//! What a built-in layer has in addition to any layer: what it is in the files of Keras and ONNX.
//!
//! Only what few layers have has a default, so that the compiler names what a new kind is missing.

use serde_json::Value;

use super::Layer;
use super::activation_kind::ActivationKind;
use super::spec::LayerSpec;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;

/// A built-in layer.
pub(crate) trait BuiltInLayer: LayerSpec + Sized {
    /// The classes of Keras that [`from_keras`](Self::from_keras) reads, as messages list them; first the layer's own.
    const KERAS_CLASSES: &'static [&'static str];
    /// Other names of these, and what else it reads, which messages do not list.
    const KERAS_ALIASES: &'static [&'static str] = &[];

    /// The layer that a layer of Keras is. What is left unread of its configuration is refused.
    ///
    /// # Errors
    /// What cannot be represented, without the layer's name.
    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String>;

    /// The class of Keras that it is written as.
    fn keras_class(&self) -> &'static str {
        Self::KERAS_CLASSES[0]
    }

    /// The module of that class.
    fn keras_module(&self) -> &'static str {
        "keras.layers"
    }

    /// Its configuration as Keras stores it, without what all layers have: name, type, whether it is trained.
    ///
    /// # Errors
    /// What Keras cannot say.
    fn to_keras(&self) -> Result<Value, String>;

    /// Its border, if that is neither `valid` nor `same`, which is all that Keras knows.
    fn explicit_border(&self) -> Option<ExplicitBorder> {
        None
    }

    /// Adds the layer, without its activation, to a graph: its values to [`OnnxLayer::output`].
    fn to_onnx(&self, layer: &mut OnnxLayer);

    /// The activation at its end, to be changed.
    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        None
    }
}

/// A border of a number of pixels on each side of an image.
#[derive(Debug)]
pub(crate) struct ExplicitBorder {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub(crate) padding: [[usize; 2]; 2],
    /// What the border holds.
    pub(crate) value: BorderValue,
    /// The layer without its border.
    pub(crate) without: Layer,
}

/// The values in a border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BorderValue {
    Zero,
    /// A maximum is always of a value inside.
    NegativeInfinity,
    /// A mean is over the values inside.
    LeftOut,
}
