//! Activation functions.

use lucida_kernels::ops::Pointwise;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files::decimal;
use crate::nn::backward_rule::{BackwardRule, map_gradient};
use crate::nn::keras_config::{KerasConfig, short};
use crate::similar::nearest_names;

/// Activation functions. Softmax and log-softmax are over the last axis, the others are elementwise.
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
    /// The identity.
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
        /// The slope for negative values, finite and not negative.
        negative_slope: f32,
    },
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `min(max(x, min), max)`
    Clip {
        /// The lower bound: finite, and less than the upper bound.
        min: f32,
        /// The upper bound, finite.
        max: f32,
    },
    /// Keras's layer `ReLU` with all its options: `max_value` where `x >= max_value`, `x` between the threshold and there,
    /// and `negative_slope (x - threshold)` below.
    GeneralRelu {
        /// The slope below the threshold, not negative.
        negative_slope: f32,
        /// The threshold from which values pass unchanged.
        threshold: f32,
        /// The upper bound, above the threshold; unbounded if absent.
        max_value: Option<f32>,
    },
    /// `x` where it is positive, `alpha (exp(x) - 1)` elsewhere (Clevert, Unterthiner and Hochreiter, 2016).
    Elu {
        /// The negative of the lower bound.
        alpha: f32,
    },
    /// ELU, scaled to preserve mean 0 and variance 1 (Klambauer et al., 2017).
    Selu,
    /// `x` where it is positive, `alpha (exp(x / alpha) - 1)` elsewhere (Barron, 2017).
    Celu {
        /// The negative of the lower bound; not zero.
        alpha: f32,
    },
    /// `x P(X <= x)` for a standard normal `X` (Hendrycks and Gimpel, 2016).
    Gelu,
    /// GELU with the tanh approximation: `approximate` in Keras and PyTorch.
    GeluTanh,
    /// `x sigmoid(x)`, or swish (Ramachandran, Zoph and Le, 2017).
    Silu,
    /// `x relu6(x + 3) / 6`, or hard swish (Howard et al., 2019).
    HardSilu,
    /// `min(max(slope x + offset, 0), 1)`: 1/6 and 1/2 in Keras 3 and PyTorch, 0.2 and 1/2 in Keras 2 and ONNX.
    HardSigmoid {
        /// The slope, not zero.
        slope: f32,
        /// The value at zero.
        offset: f32,
    },
    /// `ln(1 + exp(beta x)) / beta`, and `x` where `beta x` is above the threshold.
    Softplus {
        /// The sharpness of the bend, above 0.
        beta: f32,
        /// PyTorch's `threshold`: from 20 on it does not change any float.
        threshold: f32,
    },
    /// `x / (1 + |x|)`
    Softsign,
    /// `x tanh(softplus(x))` (Misra, 2019).
    Mish,
    /// `exp(x)`
    Exponential,
    /// `ln(sigmoid(x))`
    LogSigmoid,
    /// `x - tanh(x)`
    TanhShrink,
    /// `x` where `|x|` is above the threshold, zero elsewhere.
    HardShrink {
        /// The threshold, not negative.
        threshold: f32,
    },
    /// `x` moved toward zero by the threshold, zero where `|x|` is not above it.
    SoftShrink {
        /// The threshold, not negative.
        threshold: f32,
    },
    /// The error function.
    Erf,
    /// `x^exponent`: a square root, a reciprocal. NaN where undefined.
    Power {
        /// The exponent: finite, and neither 0 nor 1.
        exponent: f32,
    },
    /// `ln(x)`; NaN below zero.
    Logarithm,
}

/// The factors of SELU.
const SELU: [f32; 2] = [1.050_701, 1.673_263_2];

/// As in PyTorch, Keras 3 and ONNX's `HardSwish`.
const HARD_SIGMOID: ActivationKind = ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };

/// As in Keras 2 and ONNX.
const OLD_HARD_SIGMOID: ActivationKind = ActivationKind::HardSigmoid { slope: 0.2, offset: 0.5 };

/// Softplus as defined everywhere but in PyTorch.
const SOFTPLUS: ActivationKind = ActivationKind::Softplus { beta: 1.0, threshold: 20.0 };

impl ActivationKind {
    /// The value of an elementwise activation at zero.
    pub(crate) fn at_zero(self) -> f32 {
        match self {
            Self::Sigmoid => 0.5,
            Self::Clip { min, max } => 0.0_f32.clamp(min, max),
            Self::GeneralRelu { negative_slope, threshold, .. } if threshold > 0.0 => -negative_slope * threshold,
            Self::HardSigmoid { offset, .. } => offset.clamp(0.0, 1.0),
            Self::Softplus { beta, .. } => std::f32::consts::LN_2 / beta,
            Self::LogSigmoid => -std::f32::consts::LN_2,
            Self::Exponential => 1.0,
            Self::Power { exponent } => 0.0_f32.powf(exponent),
            Self::Logarithm => f32::NEG_INFINITY,
            _ => 0.0,
        }
    }

    /// Whether its values are never negative.
    pub(crate) fn is_never_negative(self) -> bool {
        match self {
            Self::Relu | Self::Relu6 | Self::Sigmoid | Self::Softmax | Self::Exponential => true,
            Self::HardSigmoid { .. } | Self::Softplus { .. } => true,
            Self::Clip { min, .. } => min >= 0.0,
            Self::GeneralRelu { negative_slope, threshold, .. } => negative_slope == 0.0 && threshold >= 0.0,
            _ => false,
        }
    }

    /// Whether its values are not negative for inputs that are not negative.
    pub(crate) fn keeps_sign(self) -> bool {
        match self {
            Self::LogSoftmax | Self::LogSigmoid | Self::Logarithm => false,
            Self::Clip { max, .. } => max >= 0.0,
            Self::GeneralRelu { negative_slope, threshold, .. } => negative_slope == 0.0 || threshold <= 0.0,
            Self::Elu { alpha } | Self::Celu { alpha } => alpha.is_finite(),
            _ => true,
        }
    }

    /// The elementwise kernel, if it is elementwise and not the identity.
    pub(in crate::nn) fn pointwise(self) -> Option<Pointwise> {
        Some(match self {
            Self::Linear | Self::Softmax | Self::LogSoftmax => return None,
            Self::Relu => Pointwise::Relu,
            Self::Sigmoid => Pointwise::Sigmoid,
            Self::Tanh => Pointwise::Tanh,
            Self::LeakyRelu { negative_slope } => Pointwise::LeakyRelu { slope: negative_slope },
            Self::Relu6 => Pointwise::Clip { min: 0.0, max: 6.0 },
            Self::Clip { min, max } => Pointwise::Clip { min, max },
            Self::GeneralRelu { negative_slope: slope, threshold, max_value } => {
                Pointwise::GeneralRelu { slope, threshold, max: max_value.unwrap_or(f32::INFINITY) }
            }
            Self::Elu { alpha } => Pointwise::Elu { factor: 1.0, scale: alpha, rate: 1.0 },
            Self::Selu => Pointwise::Elu { factor: SELU[0], scale: SELU[1], rate: 1.0 },
            Self::Celu { alpha } => Pointwise::Elu { factor: 1.0, scale: alpha, rate: 1.0 / alpha },
            Self::Gelu => Pointwise::Gelu,
            Self::GeluTanh => Pointwise::GeluTanh,
            Self::Silu => Pointwise::Silu,
            Self::HardSilu => Pointwise::HardSilu,
            Self::HardSigmoid { slope, offset } => Pointwise::HardSigmoid { slope, offset },
            Self::Softplus { beta, threshold } => Pointwise::Softplus { beta, threshold },
            Self::Softsign => Pointwise::Softsign,
            Self::Mish => Pointwise::Mish,
            Self::Exponential => Pointwise::Exponential,
            Self::LogSigmoid => Pointwise::LogSigmoid,
            Self::TanhShrink => Pointwise::TanhShrink,
            Self::HardShrink { threshold } => Pointwise::HardShrink { threshold },
            Self::SoftShrink { threshold } => Pointwise::SoftShrink { threshold },
            Self::Erf => Pointwise::Erf,
            Self::Power { exponent } => Pointwise::Power { exponent },
            Self::Logarithm => Pointwise::Logarithm,
        })
    }

    /// Whether its backward pass reads the input instead of the output.
    pub(super) fn backward_reads_input(self) -> bool {
        self.pointwise().is_some_and(Pointwise::backward_reads_input)
    }

    /// Checks the function's parameters.
    ///
    /// # Errors
    /// A description of an invalid parameter.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::LeakyRelu { negative_slope } if !(0.0..=f32::MAX).contains(&negative_slope) => {
                Err(format!("a leaky ReLU with the slope {negative_slope}: it must be finite and not negative"))
            }
            Self::Clip { min, max } if !(min.is_finite() && max.is_finite() && min < max) => {
                Err(format!("clipping to values from {min} to {max} is invalid"))
            }
            Self::GeneralRelu { negative_slope, threshold, max_value } => {
                let fits = (0.0..=f32::MAX).contains(&negative_slope)
                    && threshold.is_finite()
                    && max_value.is_none_or(|most| most.is_finite() && most > threshold);
                let most = max_value.map_or("none".to_owned(), |most| most.to_string());
                let shown = format!("negative_slope {negative_slope}, threshold {threshold} and max_value {most}");
                if fits { Ok(()) } else { Err(format!("a ReLU with {shown} is invalid")) }
            }
            Self::Elu { alpha } if !alpha.is_finite() => Err(format!("an ELU with alpha {alpha} is invalid")),
            Self::Celu { alpha } if !alpha.is_normal() => Err(format!("a CELU with alpha {alpha} is invalid")),
            Self::HardSigmoid { slope, offset } if !(slope.is_normal() && offset.is_finite()) => {
                Err(format!("a hard sigmoid with slope {slope} and offset {offset} is invalid"))
            }
            Self::Softplus { beta, threshold } if !(beta.is_normal() && beta > 0.0 && threshold.is_finite()) => {
                Err(format!("a softplus with beta {beta} and threshold {threshold} is invalid"))
            }
            Self::Power { exponent } if !exponent.is_finite() || [0.0, 1.0].contains(&exponent) => {
                Err(format!("a power with the exponent {exponent} is invalid: it must be finite, and neither 0 nor 1"))
            }
            Self::HardShrink { threshold } | Self::SoftShrink { threshold }
                if !(0.0..=f32::MAX).contains(&threshold) =>
            {
                Err(format!("shrinking by {threshold} is invalid: it must be finite and not negative"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule's backward pass reads the input too: the output does not determine the input of a clipped value.
    pub(super) fn rule_reads_input(self, rule: BackwardRule) -> bool {
        matches!((rule, self), (BackwardRule::Relevance { .. }, Self::Relu6 | Self::Clip { .. }))
            || (rule != BackwardRule::Gradient && self.backward_reads_input())
    }

    /// Propagates a gradient through an activation with this output, in place, if the rule differs from the gradient there.
    /// `input` is only read if [`rule_reads_input`](Self::rule_reads_input).
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
            (BackwardRule::Relevance { epsilon }, _)
                if matches!(self, Self::Relu6 | Self::Clip { .. }) || self.backward_reads_input() =>
            {
                // A reciprocal or a logarithm is undefined there.
                let start = Some(self.at_zero()).filter(|start| start.is_finite()).unwrap_or(0.0);
                for ((dy, &y), &z) in gradient.iter_mut().zip(output).zip(input) {
                    *dy *= share(y - start, z, epsilon);
                }
            }
            // A bounded rectifier: beyond the upper bound nothing passes, as with its gradient.
            (BackwardRule::GuidedBackprop, Self::Relu6) => {
                map_gradient(output, gradient, |y, dy| if y > 0.0 && y < 6.0 { dy.max(0.0) } else { 0.0 });
            }
            (BackwardRule::GuidedBackprop, Self::GeneralRelu { negative_slope: 0.0, threshold, max_value }) => {
                let most = max_value.unwrap_or(f32::INFINITY);
                map_gradient(input, gradient, |x, dy| if x >= threshold && x < most { dy.max(0.0) } else { 0.0 });
            }
            (BackwardRule::Deconvnet, Self::Relu6 | Self::GeneralRelu { negative_slope: 0.0, .. }) => {
                rule.rectify(output, gradient);
            }
            _ => return false,
        }
        true
    }
}

/// `y / (z + eps sign z)`
fn share(y: f32, z: f32, epsilon: f32) -> f32 {
    y / (z + epsilon.copysign(z))
}

/// Conversion from and to Keras.
impl ActivationKind {
    /// Reads the option `activation` of a layer.
    ///
    /// # Errors
    /// A description of what is not supported.
    pub(super) fn from_keras(layer: &mut KerasConfig) -> Result<Self, String> {
        let Some(value) = layer.get("activation") else { return Ok(Self::Linear) };
        let config = &value["config"];
        // A layer instead of a function.
        if let (Some(class), Some(config)) = (value["class_name"].as_str(), config.as_object())
            && let Some(kind) = Self::from_keras_layer(class, config)
        {
            return kind.map_err(|problem| format!("activation {class}: {problem}"));
        }
        let named = value.as_str().or_else(|| config.as_str()).or_else(|| match value["class_name"].as_str() {
            Some("Softmax") if config["axis"].as_i64().is_none_or(|axis| axis == -1) => Some("softmax"),
            Some("Activation") => config["activation"].as_str(),
            _ => None,
        });
        let kind = named.and_then(|name| Self::of_keras_name(name, layer.is_keras_2()));
        kind.ok_or_else(|| {
            let near = nearest_names(named.unwrap_or_default(), KERAS_NAMES.iter().map(|&(name, _)| name), 2);
            let near = if near.is_empty() { String::new() } else { format!("; {} is", near.join(" or ")) };
            format!("activation {} is not supported{near}; docs/models.md lists those that are", short(value))
        })
    }

    /// The activation with this Keras name.
    pub(super) fn of_keras_name(name: &str, keras_2: bool) -> Option<Self> {
        match name {
            "swish" => Some(Self::Silu),
            "hard_swish" => Some(Self::HardSilu),
            "hard_sigmoid" if keras_2 => Some(OLD_HARD_SIGMOID),
            _ => KERAS_NAMES.iter().find(|&&(known, _)| known == name).map(|&(_, kind)| kind),
        }
    }

    /// Reads a Keras layer that is an activation with parameters.
    ///
    /// # Errors
    /// A description of what is not supported.
    pub(super) fn from_keras_layer(class: &str, config: &Map<String, Value>) -> Option<Result<Self, String>> {
        match class {
            "ReLU" | "LeakyReLU" => Some(Self::from_keras_rectifier(class, config)),
            "ThresholdedReLU" => Some(number_of(config, "theta").and_then(|theta| {
                let threshold = theta.unwrap_or(1.0);
                let kind = Self::GeneralRelu { negative_slope: 0.0, threshold, max_value: None };
                kind.check().map(|()| kind)
            })),
            "ELU" => Some(number_of(config, "alpha").and_then(|alpha| {
                let kind = Self::Elu { alpha: alpha.unwrap_or(1.0) };
                kind.check().map(|()| kind)
            })),
            _ => None,
        }
    }

    /// Reads the layers ReLU (`max_value`, `negative_slope`, `threshold`) and LeakyReLU (`negative_slope`, `alpha` in Keras
    /// 2).
    ///
    /// # Errors
    /// A description of what is not supported.
    pub(super) fn from_keras_rectifier(class: &str, config: &Map<String, Value>) -> Result<Self, String> {
        let most = number_of(config, "max_value")?;
        let slope = number_of(config, "negative_slope")?.or(number_of(config, "alpha")?);
        // PyTorch's default is 0.01, Keras's 0.3.
        let slope = slope.unwrap_or(if class == "LeakyReLU" { 0.3 } else { 0.0 });
        let threshold = number_of(config, "threshold")?.unwrap_or(0.0);
        let kind = match most {
            None if slope == 0.0 && threshold == 0.0 => Self::Relu,
            None if threshold == 0.0 => Self::LeakyRelu { negative_slope: slope },
            Some(6.0) if slope == 0.0 && threshold == 0.0 => Self::Relu6,
            Some(most) if slope == 0.0 && threshold == 0.0 => Self::Clip { min: 0.0, max: most },
            max_value => Self::GeneralRelu { negative_slope: slope, threshold, max_value },
        };
        kind.check().map(|()| kind)
    }

    /// The option `activation` of a layer in Keras's format.
    ///
    /// # Errors
    /// A description of what Keras does not support.
    pub(super) fn to_keras(self) -> Result<Value, String> {
        if let Some((class, mut config)) = self.to_keras_layer() {
            // A layer instead of a function.
            config["name"] = class.to_lowercase().into();
            config["trainable"] = true.into();
            config["dtype"] = "float32".into();
            let (module, name) = ("keras.layers", Value::Null);
            return Ok(json!({ "module": module, "class_name": class, "config": config, "registered_name": name }));
        }
        let name = KERAS_NAMES.iter().find(|&&(_, kind)| kind == self).map(|&(name, _)| name);
        name.map(Value::from).ok_or_else(|| match self {
            Self::Clip { min, max: f32::MAX } => format!("Keras has no activation that clips from {min} up"),
            Self::Clip { min: f32::MIN, max } => format!("Keras has no activation that clips at {max}"),
            Self::Clip { min, max } => format!("Keras has no activation that clips to {min} to {max}"),
            other => format!("Keras has no activation {other:?}"),
        })
    }

    /// Whether it clips in a way that only Keras's operation `clip` supports, not an activation or layer.
    pub(super) fn is_clip_of_keras(self) -> bool {
        matches!(self, Self::Clip { .. })
            && self.to_keras_layer().is_none()
            && KERAS_NAMES.iter().all(|&(_, kind)| kind != self)
    }

    /// The Keras layer equivalent to an activation with parameters, and its configuration.
    pub(super) fn to_keras_layer(self) -> Option<(&'static str, Value)> {
        match self {
            Self::LeakyRelu { negative_slope } => {
                Some(("LeakyReLU", json!({ "negative_slope": decimal(negative_slope) })))
            }
            Self::Clip { min: 0.0, max } => {
                Some(("ReLU", json!({ "max_value": decimal(max), "negative_slope": 0.0, "threshold": 0.0 })))
            }
            Self::GeneralRelu { negative_slope, threshold, max_value } => Some((
                "ReLU",
                json!({
                    "max_value": max_value.map(decimal),
                    "negative_slope": decimal(negative_slope),
                    "threshold": decimal(threshold),
                }),
            )),
            Self::Elu { alpha } if alpha != 1.0 => Some(("ELU", json!({ "alpha": decimal(alpha) }))),
            _ => None,
        }
    }
}

/// The names of Keras 3. (`leaky_relu` is written as a layer, since its default slope varies.)
const KERAS_NAMES: &[(&str, ActivationKind)] = &[
    ("linear", ActivationKind::Linear),
    ("relu", ActivationKind::Relu),
    ("relu6", ActivationKind::Relu6),
    ("leaky_relu", ActivationKind::LeakyRelu { negative_slope: 0.2 }),
    ("elu", ActivationKind::Elu { alpha: 1.0 }),
    ("selu", ActivationKind::Selu),
    ("celu", ActivationKind::Celu { alpha: 1.0 }),
    ("gelu", ActivationKind::Gelu),
    ("silu", ActivationKind::Silu),
    ("hard_silu", ActivationKind::HardSilu),
    ("mish", ActivationKind::Mish),
    ("sigmoid", ActivationKind::Sigmoid),
    ("hard_sigmoid", HARD_SIGMOID),
    ("log_sigmoid", ActivationKind::LogSigmoid),
    ("tanh", ActivationKind::Tanh),
    ("hard_tanh", ActivationKind::Clip { min: -1.0, max: 1.0 }),
    ("tanh_shrink", ActivationKind::TanhShrink),
    ("soft_shrink", ActivationKind::SoftShrink { threshold: 0.5 }),
    ("hard_shrink", ActivationKind::HardShrink { threshold: 0.5 }),
    ("softplus", SOFTPLUS),
    ("softsign", ActivationKind::Softsign),
    ("exponential", ActivationKind::Exponential),
    ("softmax", ActivationKind::Softmax),
    ("log_softmax", ActivationKind::LogSoftmax),
];

/// Reads a number from a layer's configuration.
fn number_of(config: &Map<String, Value>, name: &str) -> Result<Option<f32>, String> {
    match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_f64().map(|number| number as f32);
            number.map(Some).ok_or_else(|| format!("{name} is {}, not a number", short(value)))
        }
    }
}
