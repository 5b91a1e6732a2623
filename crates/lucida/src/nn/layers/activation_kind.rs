//! The functions that follow a layer's sums.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files::decimal;
use crate::nn::backward_rule::{BackwardRule, map_gradient};
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};

/// Activation functions. Softmax and log-softmax are over the last axis, the others of each value alone.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("softmax", [3]).add(Activation::new(ActivationKind::Softmax)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[1.0, 2.0, 3.0]);
/// plan.forward(&network)?;
/// let sum: f32 = plan.output(0).iter().sum();
/// assert!((sum - 1.0).abs() < 1e-6, "probabilities");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// The value itself.
    #[default]
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x) / sum exp(x)` over the last axis.
    Softmax,
    /// `x - log sum exp(x)` over the last axis: the logarithm of the softmax.
    LogSoftmax,
    /// `x` where it is positive, `negative_slope x` elsewhere (Maas, Hannun and Ng, 2013).
    LeakyRelu {
        /// The slope for negative values: a finite number, not negative itself.
        negative_slope: f32,
    },
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `min(max(x, min), max)`
    Clip {
        /// The least value: finite, and less than the largest.
        min: f32,
        /// The largest value, finite.
        max: f32,
    },
}

impl ActivationKind {
    /// Its value at zero, where it works on each value alone: its output where the sum is zero.
    pub(crate) fn at_zero(self) -> f32 {
        match self {
            Self::Sigmoid => 0.5,
            Self::Clip { min, max } => 0.0_f32.clamp(min, max),
            _ => 0.0,
        }
    }

    /// Checks the function's parameters.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::LeakyRelu { negative_slope } if !(0.0..=f32::MAX).contains(&negative_slope) => {
                Err(format!("a leaky ReLU with the slope {negative_slope}: it must be finite and not negative"))
            }
            Self::Clip { min, max } if !(min.is_finite() && max.is_finite() && min < max) => {
                Err(format!("clipping to values from {min} to {max} is invalid"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule's backward pass reads the input too: the output does not say where a clipped sum has been.
    pub(super) fn rule_reads_input(self, rule: BackwardRule) -> bool {
        matches!((rule, self), (BackwardRule::Relevance { .. }, Self::Relu6 | Self::Clip { .. }))
    }

    /// Takes a gradient through an activation with this output, in place, if the rule differs from the gradient there.
    /// `input` is read only where [`rule_reads_input`](Self::rule_reads_input) says so.
    pub(super) fn backward_by_rule(
        self,
        rule: BackwardRule,
        input: &[f32],
        output: &[f32],
        gradient: &mut [f32],
    ) -> bool {
        match (rule, self) {
            (BackwardRule::Gradient, _) => return false,
            (_, Self::Relu) => rule.rectify(output, gradient),
            (BackwardRule::Relevance { epsilon }, Self::Tanh) => {
                map_gradient(output, gradient, |y, dy| {
                    dy * share(y, y.clamp(-1.0 + 1e-7, 1.0 - 1e-7).atanh(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Sigmoid) => {
                map_gradient(output, gradient, |y, dy| {
                    let y = y.clamp(1e-7, 1.0 - 1e-7);
                    dy * share(y - 0.5, (y / (1.0 - y)).ln(), epsilon)
                });
            }
            (BackwardRule::Relevance { epsilon }, Self::Relu6 | Self::Clip { .. }) => {
                let start = self.at_zero();
                for ((dy, &y), &z) in gradient.iter_mut().zip(output).zip(input) {
                    *dy *= share(y - start, z, epsilon);
                }
            }
            // A rectifier with a ceiling: beyond it nothing passes, as in its gradient.
            (BackwardRule::GuidedBackprop, Self::Relu6) => {
                map_gradient(output, gradient, |y, dy| if y > 0.0 && y < 6.0 { dy.max(0.0) } else { 0.0 });
            }
            (BackwardRule::Deconvnet, Self::Relu6) => rule.rectify(output, gradient),
            _ => return false,
        }
        true
    }
}

/// `y / (z + eps sign z)`
fn share(y: f32, z: f32, epsilon: f32) -> f32 {
    y / (z + epsilon.copysign(z))
}

/// What it is in the files of Keras and ONNX.
impl ActivationKind {
    /// The option `activation` of a layer.
    ///
    /// # Errors
    /// What cannot be represented.
    pub(super) fn from_keras(layer: &mut KerasConfig) -> Result<Self, String> {
        let Some(value) = layer.get("activation") else { return Ok(Self::Linear) };
        let config = &value["config"];
        // A layer in place of a function.
        if let (Some(class @ ("ReLU" | "LeakyReLU")), Some(config)) = (value["class_name"].as_str(), config.as_object())
        {
            let kind = Self::from_keras_rectifier(class, config);
            return kind.map_err(|problem| format!("activation {class}: {problem}"));
        }
        let named = value.as_str().or_else(|| config.as_str()).or_else(|| match value["class_name"].as_str() {
            Some("Softmax") if config["axis"].as_i64().is_none_or(|axis| axis == -1) => Some("softmax"),
            Some("Activation") => config["activation"].as_str(),
            _ => None,
        });
        match named {
            Some("linear") => Ok(Self::Linear),
            Some("relu") => Ok(Self::Relu),
            Some("sigmoid") => Ok(Self::Sigmoid),
            Some("tanh") => Ok(Self::Tanh),
            Some("softmax") => Ok(Self::Softmax),
            Some("log_softmax") => Ok(Self::LogSoftmax),
            Some("leaky_relu") => Ok(Self::LeakyRelu { negative_slope: 0.2 }),
            Some("relu6") => Ok(Self::Relu6),
            Some("hard_tanh") => Ok(Self::Clip { min: -1.0, max: 1.0 }),
            _ => Err(format!(
                "activation {} is not supported, only linear, relu, relu6, leaky_relu, sigmoid, tanh, hard_tanh, softmax and log_softmax",
                short(value)
            )),
        }
    }

    /// The layers ReLU (`max_value`, `negative_slope`, `threshold`) and LeakyReLU (`negative_slope`, `alpha` in Keras 2).
    ///
    /// # Errors
    /// What cannot be represented.
    pub(super) fn from_keras_rectifier(class: &str, config: &Map<String, Value>) -> Result<Self, String> {
        let number = |name: &str| match config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_f64().map(|number| number as f32);
                number.map(Some).ok_or_else(|| format!("{name} is {}, not a number", short(value)))
            }
        };
        let most = number("max_value")?;
        let slope = number("negative_slope")?.or(number("alpha")?);
        // PyTorch has 0.01 here, Keras 0.3.
        let slope = slope.unwrap_or(if class == "LeakyReLU" { 0.3 } else { 0.0 });
        let threshold = number("threshold")?.unwrap_or(0.0);
        let kind = match most {
            _ if threshold != 0.0 => return Err(format!("threshold {threshold} is not supported, only 0")),
            None if slope == 0.0 => Self::Relu,
            None => Self::LeakyRelu { negative_slope: slope },
            Some(most) if slope != 0.0 => {
                return Err(format!("max_value {most} together with negative_slope {slope} is not supported"));
            }
            Some(6.0) => Self::Relu6,
            Some(most) => Self::Clip { min: 0.0, max: most },
        };
        kind.check().map(|()| kind)
    }

    /// The option `activation` of a layer, as Keras stores it.
    ///
    /// # Errors
    /// What Keras cannot say.
    pub(super) fn to_keras(self) -> Result<Value, String> {
        if let Some((class, mut config)) = self.to_keras_rectifier() {
            // A layer in place of a function.
            config["name"] = class.to_lowercase().into();
            config["trainable"] = true.into();
            config["dtype"] = "float32".into();
            let (module, name) = ("keras.layers", Value::Null);
            return Ok(json!({ "module": module, "class_name": class, "config": config, "registered_name": name }));
        }
        let name = match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
            Self::Relu6 => "relu6",
            Self::Clip { min: -1.0, max: 1.0 } => "hard_tanh",
            Self::Clip { min, max } => return Err(format!("Keras has no activation that clips to {min} to {max}")),
            Self::LeakyRelu { .. } => unreachable!("a leaky ReLU is a layer"),
        };
        Ok(name.into())
    }

    /// The layer of Keras that an activation with parameters is, and its configuration.
    pub(super) fn to_keras_rectifier(self) -> Option<(&'static str, Value)> {
        match self {
            Self::LeakyRelu { negative_slope } => {
                Some(("LeakyReLU", json!({ "negative_slope": decimal(negative_slope) })))
            }
            Self::Clip { min: 0.0, max } => {
                Some(("ReLU", json!({ "max_value": decimal(max), "negative_slope": 0.0, "threshold": 0.0 })))
            }
            _ => None,
        }
    }

    /// Adds the function to a graph, from [`OnnxLayer::output`] to this tensor; nothing if it is the value itself.
    pub(crate) fn to_onnx(self, layer: &mut OnnxLayer, output: &str) {
        let mut inputs = vec![layer.output.clone()];
        let mut clip = |min: f32, max: f32| {
            inputs.extend([layer.number("min", min), layer.number("max", max)]);
            ("Clip", vec![])
        };
        let axis = ("axis", OnnxAttribute::Int(1));
        let (op, attributes) = match self {
            Self::Linear => return,
            Self::Relu => ("Relu", vec![]),
            Self::Sigmoid => ("Sigmoid", vec![]),
            Self::Tanh => ("Tanh", vec![]),
            Self::Softmax => ("Softmax", vec![axis]),
            Self::LogSoftmax => ("LogSoftmax", vec![axis]),
            Self::LeakyRelu { negative_slope } => ("LeakyRelu", vec![("alpha", OnnxAttribute::Float(negative_slope))]),
            Self::Relu6 => clip(0.0, 6.0),
            Self::Clip { min, max } => clip(min, max),
        };
        layer.graph.node(&format!("{}/activation", layer.name), op, inputs, output, attributes);
    }
}
