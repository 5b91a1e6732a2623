//! Activations as layers, and as operations fused into or following other layers.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{
    log_softmax, log_softmax_backward, pointwise, pointwise_backward, softmax, softmax_backward, transfer,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::activation_kind::ActivationKind;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use super::{Glu, Layer, Softmax};
use crate::files::decimal;
use crate::nn::Shape;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// An activation as a separate layer; the shape is unchanged.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("relu", [3]).add(Activation::new(ActivationKind::Relu)).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[-1.0, 0.0, 2.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [0.0, 0.0, 2.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// The activation function.
    pub activation: ActivationKind,
}

impl Activation {
    /// A layer with this activation.
    pub fn new(activation: ActivationKind) -> Self {
        Self { activation }
    }
}

impl LayerSpec for Activation {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.activation.check()?;
        Ok(one_input(inputs)?.clone())
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    /// Before its activation, the value of the layer is its input.
    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        match self.activation {
            // Over a vector, even a flattened image, it depends on every feature.
            ActivationKind::Softmax | ActivationKind::LogSoftmax if inputs[0].as_flat().is_some() => Extent::Whole,
            _ => Extent::Same,
        }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
        unreachable!("a view computes nothing")
    }
}

/// An activation prepared to compute.
pub(crate) struct ActivationOp {
    cpu: Cpu,
    kind: ActivationKind,
    rule: BackwardRule,
    /// The length of the last axis.
    classes: usize,
    /// Temporary gradient, where it is added to another.
    scratch: Vec<f32>,
}

impl ActivationOp {
    pub(crate) fn new(config: &OpConfig, kind: ActivationKind) -> Self {
        Self { cpu: config.cpu, kind, rule: config.rule, classes: config.output.channels(), scratch: Vec::new() }
    }

    fn reads_input(&self) -> bool {
        self.kind.rule_reads_input(self.rule) || self.kind.backward_reads_input()
    }

    /// Turns the gradient of the output into that of the input, in place.
    fn backward(&self, pass: &Backward, grad: &mut [f32]) {
        let output = pass.output;
        let input = if self.reads_input() { pass.inputs.get(0) } else { &[] };
        if self.kind.backward_by_rule(self.rule, input, output, grad) {
            return;
        }
        match (self.kind.pointwise(), self.kind) {
            (Some(kind), _) if kind.backward_reads_input() => pointwise_backward(self.cpu, kind, input, grad),
            (Some(kind), _) => pointwise_backward(self.cpu, kind, output, grad),
            (_, ActivationKind::Softmax) => softmax_backward(self.cpu, self.classes, output, grad),
            (_, ActivationKind::LogSoftmax) => log_softmax_backward(self.cpu, self.classes, output, grad),
            _ => {}
        }
    }
}

impl Op for ActivationOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let input = pass.inputs.get(0);
        match (self.kind.pointwise(), self.kind) {
            (Some(kind), _) => pointwise(self.cpu, kind, input, output),
            (_, ActivationKind::Softmax) => softmax(self.cpu, self.classes, input, output),
            (_, ActivationKind::LogSoftmax) => log_softmax(self.cpu, self.classes, input, output),
            _ => transfer(self.cpu, input, output, false),
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        // A rule may read the output of any activation.
        let output = !self.kind.backward_reads_input() || self.rule != BackwardRule::Gradient;
        BackwardNeeds { inputs: self.reads_input(), output }
    }

    /// Most derivatives are functions of the input; these are functions of the output `y`: `y > 0`, `y (1 - y)`, `1 - y^2`,
    /// `min < y < max`, for the softmax `dx = y (dy - sum(dy y))`, and for the log-softmax `dx = dy - exp(y) sum(dy)`.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            grad_input.copy_from_slice(pass.grad_output);
            self.backward(pass, grad_input);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(pass.grad_output);
        self.backward(pass, &mut scratch);
        transfer(self.cpu, &scratch, grad_input, true);
        self.scratch = scratch;
    }
}

/// Keras layers that are the identity in inference. In training they augment images, which Lucida's own augmentation does
/// instead.
const AUGMENTATION: &[&str] = &[
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "ActivityRegularization",
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "Identity",
];

/// Whether the Keras activation is a gated linear unit, which halves the channels and so is not elementwise.
fn gates(config: &KerasConfig) -> bool {
    let activation = config.options().get("activation");
    activation.is_some_and(|value| value == "glu" || value["config"] == "glu")
}

/// Whether a Keras class is an augmentation layer, the identity in inference.
pub(crate) fn augments(class: &str) -> bool {
    AUGMENTATION.contains(&class)
}

/// A note on an augmentation layer, with the equivalent option of Lucida's trainer.
fn augmentation_note(class: &str, config: &mut KerasConfig) -> String {
    match augmentation(class, config).filter(|augment| !augment.is_empty()) {
        Some(augment) => format!("{class}: identity in inference; to train with it: --augment {augment}"),
        None if class == "ActivityRegularization" => {
            format!("{class}: identity in inference; adds to the loss in training")
        }
        None => format!("{class}: identity in inference; Lucida has no such augmentation"),
    }
}

/// The `--augment` option of Lucida equivalent to a Keras augmentation layer.
fn augmentation(class: &str, config: &mut KerasConfig) -> Option<String> {
    // The largest change; in Keras a single number or a lower and an upper bound.
    let mut most = |name: &'static str| {
        let values = config.get(name).is_some().then(|| config.values(name, 0.0).ok()).flatten()?;
        let most = values.into_iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        (most > 0.0).then_some(decimal(most))
    };
    let listed = |parts: [(&str, Option<f64>); 2]| {
        let parts = parts.iter().filter_map(|(name, value)| Some(format!("{name}={}", (*value)?)));
        parts.collect::<Vec<_>>().join(",")
    };
    match class {
        "RandomFlip" => Some(match config.get("mode").and_then(Value::as_str) {
            Some("horizontal") => "flip".into(),
            Some("vertical") => "vflip".into(),
            _ => "flip,vflip".into(),
        }),
        // A factor of 1 is a full rotation; Lucida's value is in degrees.
        "RandomRotation" => most("factor").map(|turns| format!("rotation={}", (turns * 360_000.0).round() / 1000.0)),
        "RandomZoom" => most("height_factor").map(|factor| format!("zoom={factor}")),
        "RandomTranslation" => Some(listed([("height", most("height_factor")), ("width", most("width_factor"))])),
        "RandomBrightness" => most("factor").map(|factor| format!("brightness={factor}")),
        "RandomContrast" | "RandomSaturation" => most("factor").map(|factor| format!("jitter={factor}")),
        "RandomColorJitter" => most("contrast_factor").map(|factor| format!("jitter={factor}")),
        "RandomHue" => most("factor").map(|factor| format!("hue={factor}")),
        "RandomErasing" => most("scale").map(|area| format!("cutout={area}")),
        "MixUp" => most("alpha").map(|alpha| format!("mixup={alpha}")),
        "CutMix" => most("factor").map(|factor| format!("cutmix={factor}")),
        "RandAugment" => Some("auto".into()),
        _ => None,
    }
}

impl BuiltInLayer for Activation {
    const KERAS_CLASSES: &'static [&'static str] =
        &["Activation", "ReLU", "LeakyReLU", "Softmax", "ELU", "ThresholdedReLU"];
    const KERAS_ALIASES: &'static [&'static str] = AUGMENTATION;

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let kind = match class {
            "Activation" if gates(config) => {
                config.ignore(&["activation"]);
                return Ok(Glu::new().into());
            }
            "Activation" => ActivationKind::from_keras(config)?,
            "Softmax" => match config.axes("axis")? {
                Some(axes) if axes != [config.input().sizes().len() - 1] => return Ok(Softmax::over(axes).into()),
                _ => ActivationKind::Softmax,
            },
            class if augments(class) => {
                if class != "Identity" {
                    let note = augmentation_note(class, config);
                    config.add_note(note);
                }
                config.ignore_all();
                ActivationKind::Linear
            }
            _ => {
                config.ignore(&["max_value", "negative_slope", "threshold", "alpha", "theta"]);
                let kind = ActivationKind::from_keras_layer(class, config.options());
                kind.ok_or_else(|| format!("{class} is not an activation"))??
            }
        };
        Ok(Self::new(kind).into())
    }

    fn keras_class(&self) -> &'static str {
        match self.activation {
            // In Keras powers are operations.
            ActivationKind::Power { exponent: 0.5 } => "Sqrt",
            ActivationKind::Power { exponent: -1.0 } => "Reciprocal",
            ActivationKind::Power { .. } => "Power",
            ActivationKind::Logarithm => "Log",
            kind if kind.is_clip_of_keras() => "Clip",
            _ => self.activation.to_keras_layer().map_or("Activation", |(class, _)| class),
        }
    }

    fn to_keras(&self) -> Result<Value, String> {
        match self.activation {
            ActivationKind::Power { exponent: 0.5 | -1.0 } | ActivationKind::Logarithm => return Ok(json!({})),
            ActivationKind::Power { exponent } => return Ok(json!({ "exponent": decimal(exponent) })),
            ActivationKind::Clip { min, max } if self.activation.is_clip_of_keras() => {
                return Ok(json!({ "x_min": decimal(min), "x_max": decimal(max) }));
            }
            _ => {}
        }
        match self.activation.to_keras_layer() {
            Some((_, config)) => Ok(config),
            None => Ok(json!({ "activation": self.activation.to_keras()? })),
        }
    }

    /// Before its activation, the value of the layer is its input.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        layer.output = layer.input();
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        Some(&mut self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Conv2D, Dense};
    use crate::nn::testing::{check_layer, refuses};
    use crate::nn::{Network, Plan};

    #[test]
    fn gradients() {
        for kind in [ActivationKind::Linear, ActivationKind::Relu, ActivationKind::Sigmoid, ActivationKind::Tanh] {
            check_layer(Activation::new(kind), &[[3, 4, 5].into()]);
        }
        for kind in [
            ActivationKind::LeakyRelu { negative_slope: 0.3 },
            ActivationKind::LeakyRelu { negative_slope: 0.0 },
            ActivationKind::Relu6,
            // No test value is within a finite-difference step of these bounds.
            ActivationKind::Clip { min: -0.5, max: 0.4 },
        ] {
            check_layer(Activation::new(kind), &[[3, 4, 5].into()]);
        }
        for kind in [ActivationKind::Softmax, ActivationKind::LogSoftmax] {
            check_layer(Activation::new(kind), &[[12].into()]);
            check_layer(Activation::new(kind), &[[2, 3, 4].into()]);
        }
    }

    #[test]
    fn bounds_and_slopes_are_kept() {
        let run = |kind: ActivationKind| {
            let network = Network::sequential("one_layer", [6], [Activation::new(kind).into()], 1).unwrap();
            let mut plan = Plan::builder(&network).build().unwrap();
            plan.input_mut().copy_from_slice(&[-8.0, -1.0, 0.0, 0.5, 5.0, 8.0]);
            plan.forward(&network).unwrap();
            plan.output(0).to_vec()
        };
        assert_eq!(run(ActivationKind::Relu6), [0.0, 0.0, 0.0, 0.5, 5.0, 6.0]);
        assert_eq!(run(ActivationKind::LeakyRelu { negative_slope: 0.25 }), [-2.0, -0.25, 0.0, 0.5, 5.0, 8.0]);
        assert_eq!(run(ActivationKind::Clip { min: -2.0, max: 1.0 }), [-2.0, -1.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn refusals_state_the_parameters() {
        for slope in [-0.1, f32::NAN, f32::INFINITY] {
            let kind = ActivationKind::LeakyRelu { negative_slope: slope };
            refuses(Activation::new(kind), &[[7].into()], &["slope", &slope.to_string()]);
            refuses(Dense::new(7).activation(kind), &[[7].into()], &["slope"]);
            refuses(Conv2D::new(7, [1, 1]).activation(kind), &[[7, 7, 1].into()], &["slope"]);
        }
        for (min, max) in [(1.0, 1.0), (0.0, f32::INFINITY), (f32::NAN, 1.0)] {
            refuses(Activation::new(ActivationKind::Clip { min, max }), &[[7].into()], &["from", &max.to_string()]);
        }
    }

    #[test]
    fn kinds_are_stored_by_keras_names() {
        let stored = |kind| serde_json::to_string(&Activation::new(kind)).unwrap();
        assert_eq!(stored(ActivationKind::Relu6), r#"{"activation":"relu6"}"#);
        let leaky = ActivationKind::LeakyRelu { negative_slope: 0.25 };
        assert_eq!(stored(leaky), r#"{"activation":{"leaky_relu":{"negative_slope":0.25}}}"#);
        let again: Activation = serde_json::from_str(&stored(leaky)).unwrap();
        assert_eq!(again.activation, leaky);
    }
}
