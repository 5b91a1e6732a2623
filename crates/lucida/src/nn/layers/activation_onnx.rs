//! Activations as ONNX operators of opset 17; functions that it lacks are composed of other operators.

use super::activation_kind::ActivationKind;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxLayer};

impl ActivationKind {
    /// Adds the function to a graph, from [`OnnxLayer::output`] to the tensor `output`; adds nothing for the identity.
    pub(crate) fn to_onnx(self, layer: &mut OnnxLayer, output: &str) {
        if self == Self::Linear {
            return;
        }
        let name = format!("{}/activation", layer.name);
        let input = layer.output.clone();
        let (op, inputs, attributes) = self.operator(layer, input);
        layer.graph.node(&name, op, inputs, output, attributes);
    }

    /// The last operator of the function; adds those before it.
    fn operator(self, layer: &mut OnnxLayer, input: String) -> (&'static str, Vec<String>, OnnxAttributes) {
        let float = |name, value| vec![(name, OnnxAttribute::Float(value))];
        let axis = || vec![("axis", OnnxAttribute::Int(1))];
        let (op, attributes) = match self {
            Self::Linear => ("Identity", vec![]),
            Self::Relu => ("Relu", vec![]),
            Self::Sigmoid => ("Sigmoid", vec![]),
            Self::Tanh => ("Tanh", vec![]),
            Self::Softmax => ("Softmax", axis()),
            Self::LogSoftmax => ("LogSoftmax", axis()),
            Self::LeakyRelu { negative_slope } => ("LeakyRelu", float("alpha", negative_slope)),
            Self::Elu { alpha } => ("Elu", float("alpha", alpha)),
            Self::Selu => ("Selu", vec![]),
            Self::Celu { alpha } => ("Celu", float("alpha", alpha)),
            Self::HardSilu => ("HardSwish", vec![]),
            Self::HardSigmoid { slope, offset } => {
                ("HardSigmoid", [float("alpha", slope), float("beta", offset)].concat())
            }
            Self::Softsign => ("Softsign", vec![]),
            Self::Exponential => ("Exp", vec![]),
            Self::Erf => ("Erf", vec![]),
            Self::Logarithm => ("Log", vec![]),
            Self::Power { exponent: 0.5 } => ("Sqrt", vec![]),
            Self::Power { exponent: -1.0 } => ("Reciprocal", vec![]),
            Self::Power { exponent } => return ("Pow", vec![input, layer.number("exponent", exponent)], vec![]),
            Self::HardShrink { threshold } => ("Shrink", float("lambd", threshold)),
            Self::SoftShrink { threshold } => {
                ("Shrink", [float("lambd", threshold), float("bias", threshold)].concat())
            }
            Self::Relu6 => return clip(layer, input, [0.0, 6.0]),
            Self::Clip { min, max } => return clip(layer, input, [min, max]),
            other => return other.composed(layer, input),
        };
        (op, vec![input], attributes)
    }

    /// Functions composed of several operators.
    fn composed(self, layer: &mut OnnxLayer, x: String) -> (&'static str, Vec<String>, OnnxAttributes) {
        let node = |layer: &mut OnnxLayer, label: &str, op, inputs: &[&String]| {
            layer.intermediate(label, op, inputs.iter().map(|&name| name.clone()).collect(), vec![])
        };
        match self {
            Self::Silu => {
                let gate = node(layer, "gate", "Sigmoid", &[&x]);
                ("Mul", vec![x, gate], vec![])
            }
            Self::Mish => {
                let softplus = node(layer, "softplus", "Softplus", &[&x]);
                let gate = node(layer, "gate", "Tanh", &[&softplus]);
                ("Mul", vec![x, gate], vec![])
            }
            Self::TanhShrink => {
                let tanh = node(layer, "tanh", "Tanh", &[&x]);
                ("Sub", vec![x, tanh], vec![])
            }
            Self::LogSigmoid => {
                let negative = node(layer, "negative", "Neg", &[&x]);
                let softplus = node(layer, "softplus", "Softplus", &[&negative]);
                ("Neg", vec![softplus], vec![])
            }
            // x / 2 (1 + erf(x / sqrt 2))
            Self::Gelu => {
                let root = layer.number("root", std::f32::consts::SQRT_2);
                let scaled = node(layer, "scaled", "Div", &[&x, &root]);
                let erf = node(layer, "erf", "Erf", &[&scaled]);
                half_of_one_more(layer, &x, &erf)
            }
            // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
            Self::GeluTanh => {
                let cubic = layer.number("cubic", 0.044_715);
                let rate = layer.number("rate", 0.797_884_6);
                let square = node(layer, "square", "Mul", &[&x, &x]);
                let cube = node(layer, "cube", "Mul", &[&square, &x]);
                let part = node(layer, "part", "Mul", &[&cube, &cubic]);
                let sum = node(layer, "sum", "Add", &[&x, &part]);
                let scaled = node(layer, "scaled", "Mul", &[&sum, &rate]);
                let tanh = node(layer, "tanh", "Tanh", &[&scaled]);
                half_of_one_more(layer, &x, &tanh)
            }
            Self::Softplus { beta, threshold } => softplus(layer, x, beta, threshold),
            Self::GeneralRelu { negative_slope, threshold, max_value } => {
                let at = layer.number("threshold", threshold);
                let slope = layer.number("slope", negative_slope);
                let most = layer.number("max", max_value.unwrap_or(f32::MAX));
                let open = node(layer, "open", "GreaterOrEqual", &[&x, &at]);
                let above = node(layer, "above", "Min", &[&x, &most]);
                let beyond = node(layer, "beyond", "Sub", &[&x, &at]);
                let below = node(layer, "below", "Mul", &[&beyond, &slope]);
                ("Where", vec![open, above, below], vec![])
            }
            other => unreachable!("{other:?} is one operator"),
        }
    }
}

fn clip(layer: &mut OnnxLayer, input: String, [min, max]: [f32; 2]) -> (&'static str, Vec<String>, OnnxAttributes) {
    ("Clip", vec![input, layer.number("min", min), layer.number("max", max)], vec![])
}

/// `x / 2 (1 + y)`
fn half_of_one_more(layer: &mut OnnxLayer, x: &str, y: &str) -> (&'static str, Vec<String>, OnnxAttributes) {
    let (one, half) = (layer.number("one", 1.0), layer.number("half", 0.5));
    let sum = layer.intermediate("more", "Add", vec![y.to_owned(), one], vec![]);
    let product = layer.intermediate("product", "Mul", vec![x.to_owned(), sum], vec![]);
    ("Mul", vec![product, half], vec![])
}

fn softplus(
    layer: &mut OnnxLayer,
    x: String,
    beta: f32,
    threshold: f32,
) -> (&'static str, Vec<String>, OnnxAttributes) {
    if beta == 1.0 && threshold >= 20.0 {
        return ("Softplus", vec![x], vec![]);
    }
    let rate = layer.number("beta", beta);
    let scaled = layer.intermediate("scaled", "Mul", vec![x.clone(), rate.clone()], vec![]);
    let soft = layer.intermediate("softplus", "Softplus", vec![scaled.clone()], vec![]);
    if threshold >= 20.0 {
        return ("Div", vec![soft, rate], vec![]);
    }
    let bent = layer.intermediate("bent", "Div", vec![soft, rate], vec![]);
    let at = layer.number("threshold", threshold);
    let straight = layer.intermediate("straight", "Greater", vec![scaled, at], vec![]);
    ("Where", vec![straight, x, bent], vec![])
}
