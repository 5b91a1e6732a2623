//! Bare operations: what is computed with tensors of a functional model outside of its layers.
//!
//! Keras 3 stores `x / 255` as an operation of the class `TrueDivide` that is called on a tensor and a number, Keras 2 as a
//! `TFOpLambda` of the function `math.truediv` whose argument `y` is the number.

use serde_json::Value;

use super::config::{Reference, reference};
use crate::nn::Layer;
use crate::nn::layers::{Activation, ActivationKind, Add, Divide, Maximum, Minimum, Multiply, Rescaling, Subtract};

/// An operation as a layer.
pub(super) struct Operation<'a> {
    pub(super) layer: Layer,
    pub(super) sources: Vec<Reference<'a>>,
}

/// What an operation is called on.
enum Operand<'a> {
    Tensor(Reference<'a>),
    /// A number, or one for each channel.
    Numbers(Vec<f32>),
}

impl<'a> Operation<'a> {
    /// The operation that an item of a model's list of layers is, if it is one, on numbers at least in part: the class of
    /// an operation on tensors alone may be that of a layer, which does the same.
    pub(super) fn new(whole: &'a Value, call: &'a Value) -> Option<Self> {
        let class = whole["class_name"].as_str()?;
        let (name, operands) = match class {
            "TFOpLambda" => {
                let function = whole["config"]["function"].as_str()?;
                (of_tensorflow(function)?, of_keras_2(call)?)
            }
            _ => (class, of_keras_3(call)?),
        };
        let layer = match operands.as_slice() {
            [Operand::Tensor(_), Operand::Numbers(numbers)] => with_numbers(name, numbers, false),
            [Operand::Numbers(numbers), Operand::Tensor(_)] => with_numbers(name, numbers, true),
            [Operand::Tensor(_), Operand::Tensor(_)] if class == "TFOpLambda" => of_two(name),
            [Operand::Tensor(_)] if class == "TFOpLambda" || is_function(whole) => of_one(name, &whole["config"]),
            _ => None,
        };
        let tensor = |operand| match operand {
            Operand::Tensor(reference) => Some(reference),
            Operand::Numbers(_) => None,
        };
        Some(Self { layer: layer?, sources: operands.into_iter().filter_map(tensor).collect() })
    }
}

/// Whether an item is one of Keras 3's functions, rather than a layer.
fn is_function(whole: &Value) -> bool {
    whole["module"].as_str().is_some_and(|module| module.starts_with("keras.src.ops") || module == "keras.ops")
}

/// The class of Keras 3 that a function of TensorFlow is.
fn of_tensorflow(function: &str) -> Option<&'static str> {
    Some(match function {
        "math.add" | "__operators__.add" => "Add",
        "math.subtract" => "Subtract",
        "math.multiply" => "Multiply",
        "math.truediv" | "math.divide" | "math.realdiv" => "TrueDivide",
        "math.maximum" => "Maximum",
        "math.minimum" => "Minimum",
        "math.negative" => "Negative",
        "math.exp" => "Exp",
        "math.sigmoid" | "nn.sigmoid" => "Sigmoid",
        "math.tanh" | "nn.tanh" => "Tanh",
        "math.softplus" | "nn.softplus" => "Softplus",
        "nn.relu" => "Relu",
        "nn.relu6" => "Relu6",
        "nn.silu" | "nn.swish" => "Silu",
        "nn.elu" => "Elu",
        "nn.selu" => "Selu",
        "nn.softsign" => "Softsign",
        _ => return None,
    })
}

fn of_keras_3(call: &Value) -> Option<Vec<Operand<'_>>> {
    let operands = call.get("args")?.as_array()?.iter().filter(|value| !value.is_null()).map(|value| {
        match value["class_name"] == "__keras_tensor__" {
            true => reference(&value["config"]["keras_history"]).map(Operand::Tensor),
            false => numbers(value).map(Operand::Numbers),
        }
    });
    operands.collect()
}

/// `["layer", 0, 0, {"y": 2.0}]`, `["_CONSTANT_VALUE", -1, 2.0, {"y": ["layer", 0, 0]}]`, or a list of one of these.
fn of_keras_2(call: &Value) -> Option<Vec<Operand<'_>>> {
    let call = if call.get(0)?.is_string() { call } else { call.get(0)? };
    let operand = |value| match reference(value) {
        Some(reference) => Some(Operand::Tensor(reference)),
        None => numbers(value).map(Operand::Numbers),
    };
    let first = match call.get(0)?.as_str()? {
        "_CONSTANT_VALUE" => Operand::Numbers(numbers(call.get(2)?)?),
        _ => Operand::Tensor(reference(call)?),
    };
    let options = call.get(3).and_then(Value::as_object);
    let mut operands = vec![first];
    for (name, value) in options.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "y" => operands.push(operand(value)?),
            "name" => {}
            _ => return None,
        }
    }
    Some(operands)
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| value.as_f64().map(|value| value as f32);
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(number).collect(),
        value => number(value).map(|value| vec![value]),
    }
}

/// With a number, or one for each channel: a rescaling or a limit. `flipped`: the numbers come first.
fn with_numbers(name: &str, numbers: &[f32], flipped: bool) -> Option<Layer> {
    let all = |value: f32| vec![value; numbers.len()];
    let limits = |min: f32, max: f32| {
        let kind = if (min, max) == (0.0, f32::MAX) { ActivationKind::Relu } else { ActivationKind::Clip { min, max } };
        Some(Activation::new(kind).into())
    };
    let (scale, offset) = match (name, flipped) {
        ("TrueDivide" | "Divide", false) => (numbers.iter().map(|number| 1.0 / number).collect(), all(0.0)),
        ("Multiply", _) => (numbers.to_vec(), all(0.0)),
        ("Subtract", false) => (all(1.0), numbers.iter().map(|number| -number).collect()),
        ("Subtract", true) => (all(-1.0), numbers.to_vec()),
        ("Add", _) => (all(1.0), numbers.to_vec()),
        ("Maximum", _) if numbers.len() == 1 => return limits(numbers[0], f32::MAX),
        ("Minimum", _) if numbers.len() == 1 => return limits(f32::MIN, numbers[0]),
        _ => return None,
    };
    Some(Rescaling { scale, offset }.into())
}

fn of_two(name: &str) -> Option<Layer> {
    Some(match name {
        "Add" => Add::new().into(),
        "Subtract" => Subtract::new().into(),
        "Multiply" => Multiply::new().into(),
        "TrueDivide" => Divide::new().into(),
        "Maximum" => Maximum::new().into(),
        "Minimum" => Minimum::new().into(),
        _ => return None,
    })
}

fn of_one(name: &str, config: &Value) -> Option<Layer> {
    let kind = match name {
        "Negative" => return Some(Rescaling::new(-1.0, 0.0).into()),
        "Relu" => ActivationKind::Relu,
        "Relu6" => ActivationKind::Relu6,
        "Sigmoid" => ActivationKind::Sigmoid,
        "Tanh" => ActivationKind::Tanh,
        "Exp" => ActivationKind::Exponential,
        "Erf" => ActivationKind::Erf,
        "Silu" => ActivationKind::Silu,
        "HardSilu" => ActivationKind::HardSilu,
        "HardSigmoid" => ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        "Softplus" => ActivationKind::Softplus { beta: 1.0, threshold: 20.0 },
        "Softsign" => ActivationKind::Softsign,
        "Selu" => ActivationKind::Selu,
        "Elu" if config["alpha"].is_null() || config["alpha"] == 1.0 => ActivationKind::Elu { alpha: 1.0 },
        "Mish" => ActivationKind::Mish,
        "LogSigmoid" => ActivationKind::LogSigmoid,
        // The function approximates by default, where the activation of this name does not.
        "Gelu" if config["approximate"] == false => ActivationKind::Gelu,
        "Gelu" => ActivationKind::GeluTanh,
        _ => return None,
    };
    Some(Activation::new(kind).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_of_keras_2() {
        let lambda = |function: &str, call: Value| {
            let whole = json!({ "class_name": "TFOpLambda", "config": { "function": function } });
            Operation::new(&whole, &call).map(|operation| (operation.layer, operation.sources.len()))
        };
        let scaled = lambda("math.multiply", json!(["x", 0, 0, { "y": 0.5, "name": null }]));
        assert_eq!(scaled, Some((Rescaling::new(0.5, 0.0).into(), 1)));
        let flipped = lambda("math.subtract", json!([["_CONSTANT_VALUE", -1, 2.0, { "y": ["x", 0, 0] }]]));
        assert_eq!(flipped, Some((Rescaling::new(-1.0, 2.0).into(), 1)));
        let sum = lambda("__operators__.add", json!([["x", 0, 0, { "y": ["z", 0, 0] }]]));
        assert_eq!(sum, Some((Add::new().into(), 2)));
        let relu6 = lambda("nn.relu6", json!([["x", 0, 0, {}]]));
        assert_eq!(relu6, Some((Activation::new(ActivationKind::Relu6).into(), 1)));
        assert_eq!(lambda("math.cumsum", json!([["x", 0, 0, {}]])), None);
        assert_eq!(lambda("math.add", json!([["x", 0, 0, { "y": 1.0, "axis": 2 }]])), None);
    }

    #[test]
    fn operations_of_keras_3() {
        let tensor = json!({ "class_name": "__keras_tensor__", "config": { "keras_history": ["x", 0, 0] } });
        let operation = |class: &str, args: Value| {
            let whole = json!({ "module": "keras.src.ops.nn", "class_name": class, "config": {} });
            Operation::new(&whole, &json!({ "args": args, "kwargs": {} })).map(|operation| operation.layer)
        };
        assert_eq!(operation("Subtract", json!([1.0, tensor])), Some(Rescaling::new(-1.0, 1.0).into()));
        let least = ActivationKind::Clip { min: -2.0, max: f32::MAX };
        assert_eq!(operation("Maximum", json!([tensor, -2.0])), Some(Activation::new(least).into()));
        assert_eq!(operation("Gelu", json!([tensor])), Some(Activation::new(ActivationKind::GeluTanh).into()));
        // Of tensors alone: the layer of the same name does it.
        assert_eq!(operation("Add", json!([tensor, tensor])), None);
    }
}
