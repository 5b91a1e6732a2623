//! Bare operations on the tensors of a functional model, outside of its layers.
//!
//! Keras 3 stores `x / 255` as an operation of class `TrueDivide` that is called on a tensor and a number, Keras 2 as a
//! `TFOpLambda` of the function `math.truediv` whose argument `y` is the number.

use serde_json::{Map, Value, json};

use super::config::{Reference, reference};
use crate::nn::Layer;
use crate::nn::layers::{
    Activation, ActivationKind, Add, Divide, Maximum, Minimum, Multiply, Power, Rescaling, Subtract,
};

/// An operation, converted to layers.
pub(super) struct Operation<'a> {
    pub(super) computes: Computation,
    pub(super) sources: Vec<Reference<'a>>,
}

/// The computation of an operation.
#[derive(Debug, PartialEq)]
pub(super) enum Computation {
    /// A sequence of layers.
    Layers(Vec<Layer>),
    /// A layer or operation of this Keras 3 class with these options.
    Class(&'static str, Map<String, Value>),
}

/// An operand of an operation.
enum Operand<'a> {
    Tensor(Reference<'a>),
    /// A number, or one for each channel.
    Numbers(Vec<f32>),
}

impl<'a> Operation<'a> {
    /// Parses an item of a model's list of layers as an operation with constant operands, if it is one. Operations on
    /// tensors alone are usually handled as the layer of the same class.
    pub(super) fn new(whole: &'a Value, call: &'a Value) -> Option<Self> {
        let class = whole["class_name"].as_str()?;
        if let Some(operation) = Self::with_options(whole, call).or_else(|| Self::take(whole, call)) {
            return Some(operation);
        }
        let (name, operands) = match class {
            "TFOpLambda" => {
                let function = whole["config"]["function"].as_str()?;
                (of_tensorflow(function)?, of_keras_2(call)?)
            }
            _ => (class, of_keras_3(call)?),
        };
        let layers = match operands.as_slice() {
            [Operand::Tensor(_), Operand::Numbers(numbers)] => with_numbers(name, numbers, false),
            [Operand::Numbers(numbers), Operand::Tensor(_)] => with_numbers(name, numbers, true),
            [Operand::Tensor(_), Operand::Tensor(_)] if class == "TFOpLambda" => of_two(name).map(|layer| vec![layer]),
            [Operand::Tensor(_)] if class == "TFOpLambda" || is_function(whole) => {
                of_one(name, &whole["config"]).map(|layer| vec![layer])
            }
            _ => None,
        };
        let tensor = |operand| match operand {
            Operand::Tensor(reference) => Some(reference),
            Operand::Numbers(_) => None,
        };
        Some(Self {
            computes: Computation::Layers(layers?),
            sources: operands.into_iter().filter_map(tensor).collect(),
        })
    }

    /// `keras.ops.take`, whose indices are an argument.
    fn take(whole: &'a Value, call: &'a Value) -> Option<Self> {
        if whole["class_name"] != "Take" {
            return None;
        }
        let [tensor, indices] = call.get("args")?.as_array()?.as_slice() else { return None };
        let source = reference(&tensor["config"]["keras_history"])?;
        let options = json!({ "axis": whole["config"]["axis"], "indices": indices });
        Some(Self { computes: computes("Take", options), sources: vec![source] })
    }

    /// An operation that corresponds to a Keras class with another name.
    fn with_options(whole: &'a Value, call: &'a Value) -> Option<Self> {
        let class = whole["class_name"].as_str()?;
        if class == "TFOpLambda" {
            let (mut sources, options) = tensors_of_keras_2(call)?;
            let (class, options) = class_of_tensorflow(whole["config"]["function"].as_str()?, &options)?;
            if class == "Square" {
                sources.extend_from_within(..);
            }
            return Some(Self { computes: computes(class, options), sources });
        }
        let mut sources = Vec::new();
        for operand in is_function(whole).then(|| of_keras_3(call)).flatten()? {
            let Operand::Tensor(source) = operand else { return None };
            sources.push(source);
        }
        let config = whole["config"].as_object()?;
        let option = |name: &str| config.get(name).cloned().unwrap_or_default();
        let (class, options) = match class {
            "LeakyRelu" => ("LeakyReLU", json!({ "negative_slope": option("negative_slope") })),
            "Clip" => ("Clip", json!({ "min": option("x_min"), "max": option("x_max") })),
            "MaxPool" => ("MaxPooling2D", config.clone().into()),
            "AveragePool" => ("AveragePooling2D", config.clone().into()),
            "Square" => ("Square", json!({})),
            "Cast" if option("dtype") == "float32" => ("Cast", json!({})),
            "Absolute" | "Abs" => ("Absolute", json!({})),
            // For a zero vector, Keras's result is not normalized either.
            "Normalize" if config.get("order").is_none_or(|order| *order == 2) => {
                ("UnitNormalization", json!({ "axis": option("axis") }))
            }
            _ => return None,
        };
        if class == "Square" {
            sources.extend_from_within(..);
        }
        Some(Self { computes: computes(class, options), sources })
    }
}

/// A class, or the layer for an operation without a class.
fn computes(class: &'static str, options: Value) -> Computation {
    match class {
        "Square" => Computation::Layers(vec![Multiply::new().into()]),
        "Clip" => {
            let limit = |name: &str, none: f32| options[name].as_f64().map_or(none, |limit| limit as f32);
            let (min, max) = (limit("min", f32::MIN), limit("max", f32::MAX));
            Computation::Layers(vec![Activation::new(ActivationKind::Clip { min, max }).into()])
        }
        "Cast" => Computation::Layers(vec![Activation::new(ActivationKind::Linear).into()]),
        _ => Computation::Class(class, options.as_object().cloned().unwrap_or_default()),
    }
}

/// The tensors of a Keras 2 call, and its other arguments: `["x", 0, 0, {"axis": -1}]`, or a list of these.
fn tensors_of_keras_2(call: &Value) -> Option<(Vec<Reference<'_>>, Map<String, Value>)> {
    let alone = call.get(0)?.is_string();
    let calls = if alone { std::slice::from_ref(call) } else { call.as_array()?.as_slice() };
    let sources = calls.iter().map(reference).collect::<Option<Vec<_>>>()?;
    let mut options = Map::new();
    for (name, value) in calls.iter().filter_map(|call| call.get(3)?.as_object()).flatten() {
        if !value.is_null() && name != "name" {
            options.insert(name.clone(), value.clone());
        }
    }
    Some((sources, options))
}

/// The Keras 3 class and options for a TensorFlow function with these arguments; `None` if an argument has no counterpart.
fn class_of_tensorflow(function: &str, arguments: &Map<String, Value>) -> Option<(&'static str, Value)> {
    let (class, names): (&str, &[(&str, &str)]) = match function {
        "math.reduce_mean" => ("Mean", &[("axis", "axis"), ("keepdims", "keepdims")]),
        "math.reduce_max" => ("Max", &[("axis", "axis"), ("keepdims", "keepdims")]),
        "math.reduce_min" => ("Min", &[("axis", "axis"), ("keepdims", "keepdims")]),
        "math.reduce_sum" => ("Sum", &[("axis", "axis"), ("keepdims", "keepdims")]),
        "math.abs" => ("Absolute", &[]),
        "math.l2_normalize" | "linalg.l2_normalize" => ("UnitNormalization", &[("axis", "axis")]),
        "concat" => ("Concatenate", &[("axis", "axis")]),
        "reshape" => ("Reshape", &[("shape", "newshape")]),
        "transpose" | "compat.v1.transpose" => ("Transpose", &[("perm", "axes")]),
        "expand_dims" => ("ExpandDims", &[("axis", "axis")]),
        "squeeze" | "compat.v1.squeeze" => ("Squeeze", &[("axis", "axis")]),
        "pad" | "compat.v1.pad" => {
            ("Pad", &[("paddings", "pad_width"), ("mode", "mode"), ("constant_values", "constant_values")])
        }
        "image.resize" => ("Resize", &[("size", "size"), ("method", "interpolation")]),
        "split" => ("Split", &[("num_or_size_splits", "indices_or_sections"), ("axis", "axis")]),
        "nn.softmax" => ("Softmax", &[("axis", "axis")]),
        "nn.leaky_relu" => ("LeakyReLU", &[("alpha", "negative_slope")]),
        "nn.depth_to_space" => ("DepthToSpace", &[("block_size", "block_size")]),
        "nn.space_to_depth" => ("SpaceToDepth", &[("block_size", "block_size")]),
        "clip_by_value" => ("Clip", &[("clip_value_min", "min"), ("clip_value_max", "max")]),
        "math.square" => ("Square", &[]),
        "cast" if arguments.get("dtype").is_some_and(|dtype| dtype == "float32") => ("Cast", &[("dtype", "dtype")]),
        _ => return None,
    };
    let mut options = Map::new();
    for (name, value) in arguments {
        let (_, ours) = names.iter().find(|(theirs, _)| theirs == name)?;
        let value = value.as_str().map_or_else(|| value.clone(), |text| text.to_lowercase().into());
        options.insert((*ours).into(), value);
    }
    match class {
        // A list contains sizes in TensorFlow, but indices in Keras.
        "Split" if !options.get("indices_or_sections")?.is_u64() => return None,
        "Split" => _ = options.entry("axis").or_insert(0.into()),
        "LeakyReLU" => _ = options.entry("negative_slope").or_insert(0.2.into()),
        _ => {}
    }
    Some((class, options.into()))
}

/// Whether an item is a function of Keras 3 rather than a layer: by its module, which `.h5` files omit, or by a name that
/// no layer has.
fn is_function(whole: &Value) -> bool {
    let module = whole["module"].as_str();
    module.is_some_and(|module| module.starts_with("keras.src.ops") || module == "keras.ops")
        || matches!(whole["class_name"].as_str(), Some("Sqrt" | "Reciprocal" | "Log" | "Clip" | "Take"))
}

/// The Keras 3 class for a TensorFlow function.
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
        "math.log" => "Log",
        "math.pow" | "pow" => "Power",
        "math.sqrt" => "Sqrt",
        "math.rsqrt" => "Rsqrt",
        "math.reciprocal" => "Reciprocal",
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

/// Parses `["layer", 0, 0, {"y": 2.0}]`, `["_CONSTANT_VALUE", -1, 2.0, {"y": ["layer", 0, 0]}]`, or a list of one of these.
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

/// Parses a number, or one for each channel: a list, possibly nested as in `[[[[1, 2, 3]]]]`, which Keras 3 also stores as
/// a tensor or as a NumPy array.
fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| value.as_f64().map(|value| value as f32);
    match value {
        Value::Array(values) => match values.as_slice() {
            [] => None,
            [inner @ Value::Array(_)] => numbers(inner),
            values => values.iter().map(number).collect(),
        },
        value => match constant_array(value) {
            Some(array) => numbers(array),
            None => number(value).map(|value| vec![value]),
        },
    }
}

/// The values of a constant argument, a tensor or a NumPy array, as nested lists.
pub(super) fn constant_array(value: &Value) -> Option<&Value> {
    matches!(value["class_name"].as_str(), Some("__tensor__" | "__numpy__")).then(|| &value["config"]["value"])
}

/// The shape of nested lists.
pub(super) fn sizes_of_lists(mut value: &Value) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(values) = value.as_array() {
        sizes.push(values.len());
        match values.first() {
            Some(first) => value = first,
            None => break,
        }
    }
    sizes
}

/// An operation with a number, or one for each channel: a rescaling or a limit. `flipped`: the numbers are the first
/// operand.
fn with_numbers(name: &str, numbers: &[f32], flipped: bool) -> Option<Vec<Layer>> {
    let all = |value: f32| vec![value; numbers.len()];
    let limits = |min: f32, max: f32| {
        let kind = if (min, max) == (0.0, f32::MAX) { ActivationKind::Relu } else { ActivationKind::Clip { min, max } };
        Some(vec![Activation::new(kind).into()])
    };
    let reciprocal = ActivationKind::Power { exponent: -1.0 };
    let (scale, offset) = match (name, flipped) {
        ("TrueDivide" | "Divide", true) => {
            let factor = numbers.iter().any(|&number| number != 1.0);
            let factor = factor.then(|| Rescaling { scale: numbers.to_vec(), offset: all(0.0) }.into());
            return Some(std::iter::once(Activation::new(reciprocal).into()).chain(factor).collect());
        }
        ("TrueDivide" | "Divide", false) => (numbers.iter().map(|number| 1.0 / number).collect(), all(0.0)),
        ("Multiply", _) => (numbers.to_vec(), all(0.0)),
        ("Subtract", false) => (all(1.0), numbers.iter().map(|number| -number).collect()),
        ("Subtract", true) => (all(-1.0), numbers.to_vec()),
        ("Add", _) => (all(1.0), numbers.to_vec()),
        ("Power", false) if numbers.len() == 1 => return power(numbers[0]).map(|layer| vec![layer]),
        ("Maximum", _) if numbers.len() == 1 => return limits(numbers[0], f32::MAX),
        ("Minimum", _) if numbers.len() == 1 => return limits(f32::MIN, numbers[0]),
        _ => return None,
    };
    Some(vec![Rescaling { scale, offset }.into()])
}

/// A power with a constant exponent.
fn power(exponent: f32) -> Option<Layer> {
    let kind = ActivationKind::Power { exponent };
    kind.check().ok().map(|()| Activation::new(kind).into())
}

fn of_two(name: &str) -> Option<Layer> {
    Some(match name {
        "Add" => Add::new().into(),
        "Subtract" => Subtract::new().into(),
        "Multiply" => Multiply::new().into(),
        "TrueDivide" => Divide::new().into(),
        "Maximum" => Maximum::new().into(),
        "Minimum" => Minimum::new().into(),
        "Power" => Power::new().into(),
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
        "Log" => ActivationKind::Logarithm,
        "Erf" => ActivationKind::Erf,
        "Sqrt" => ActivationKind::Power { exponent: 0.5 },
        "Rsqrt" => ActivationKind::Power { exponent: -0.5 },
        "Reciprocal" => ActivationKind::Power { exponent: -1.0 },
        "Silu" => ActivationKind::Silu,
        "HardSilu" => ActivationKind::HardSilu,
        "HardSigmoid" => ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        "Softplus" => ActivationKind::Softplus { beta: 1.0, threshold: 20.0 },
        "Softsign" => ActivationKind::Softsign,
        "Selu" => ActivationKind::Selu,
        "Elu" if config["alpha"].is_null() || config["alpha"] == 1.0 => ActivationKind::Elu { alpha: 1.0 },
        "Mish" => ActivationKind::Mish,
        "LogSigmoid" => ActivationKind::LogSigmoid,
        // This function uses the approximation by default, unlike the activation with the same name.
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
        let operation = |function: &str, call: Value| {
            let whole = json!({ "class_name": "TFOpLambda", "config": { "function": function } });
            Operation::new(&whole, &call).map(|operation| (operation.computes, operation.sources.len()))
        };
        let lambda = |function: &str, call: Value| match operation(function, call)? {
            (Computation::Layers(mut layers), sources) => Some((layers.pop()?, sources)),
            (Computation::Class(..), _) => None,
        };
        let class = |function: &str, call: Value| match operation(function, call)? {
            (Computation::Class(class, options), sources) => Some((class, Value::from(options), sources)),
            (Computation::Layers(_), _) => None,
        };
        let mean = class("math.reduce_mean", json!(["x", 0, 0, { "axis": [1, 2], "keepdims": true }]));
        assert_eq!(mean, Some(("Mean", json!({ "axis": [1, 2], "keepdims": true }), 1)));
        let joined = class("concat", json!([["x", 0, 0, { "axis": -1 }], ["y", 0, 0, { "axis": -1 }]]));
        assert_eq!(joined, Some(("Concatenate", json!({ "axis": -1 }), 2)));
        let padded = class("pad", json!([["x", 0, 0, { "paddings": [[0, 0]], "mode": "REFLECT" }]]));
        assert_eq!(padded, Some(("Pad", json!({ "pad_width": [[0, 0]], "mode": "reflect" }), 1)));
        let split = |parts: Value| class("split", json!(["x", 0, 0, { "num_or_size_splits": parts, "axis": -1 }]));
        assert_eq!(split(json!(2)), Some(("Split", json!({ "indices_or_sections": 2, "axis": -1 }), 1)));
        assert_eq!(split(json!([1, 2])), None);
        let clip = lambda("clip_by_value", json!(["x", 0, 0, { "clip_value_min": 0, "clip_value_max": 6 }]));
        assert_eq!(clip, Some((Activation::new(ActivationKind::Clip { min: 0.0, max: 6.0 }).into(), 1)));
        assert_eq!(lambda("math.square", json!(["x", 0, 0, {}])), Some((Multiply::new().into(), 2)));
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
            let call = json!({ "args": args, "kwargs": {} });
            match Operation::new(&whole, &call)?.computes {
                Computation::Layers(mut layers) => layers.pop(),
                Computation::Class(..) => None,
            }
        };
        assert_eq!(operation("Square", json!([tensor])), Some(Multiply::new().into()));
        assert_eq!(operation("MaxPool", json!([tensor])), None);
        assert_eq!(operation("Subtract", json!([1.0, tensor])), Some(Rescaling::new(-1.0, 1.0).into()));
        let least = ActivationKind::Clip { min: -2.0, max: f32::MAX };
        assert_eq!(operation("Maximum", json!([tensor, -2.0])), Some(Activation::new(least).into()));
        // Constants are nested lists, tensors, or NumPy arrays.
        let constant = |class: &str, value: Value| json!({ "class_name": class, "config": { "value": value } });
        let shifted = Some(Rescaling { scale: vec![1.0; 3], offset: vec![-1.0, -2.0, -3.0] }.into());
        for given in [
            json!([1.0, 2.0, 3.0]),
            constant("__tensor__", json!([[[[1.0, 2.0, 3.0]]]])),
            constant("__numpy__", json!([1.0, 2.0, 3.0])),
        ] {
            assert_eq!(operation("Subtract", json!([tensor, given])), shifted, "{given}");
        }
        assert_eq!(
            operation("Add", json!([tensor, constant("__tensor__", json!(2.0))])),
            Some(Rescaling::new(1.0, 2.0).into())
        );
        // One number per column is not one per channel.
        assert_eq!(operation("Add", json!([tensor, constant("__tensor__", json!([[1.0], [2.0]]))])), None);
        assert_eq!(operation("TrueDivide", json!([3.0, tensor])), Some(Rescaling::new(3.0, 0.0).into()));
        let reciprocal = ActivationKind::Power { exponent: -1.0 };
        assert_eq!(operation("TrueDivide", json!([1.0, tensor])), Some(Activation::new(reciprocal).into()));
        assert_eq!(operation("Log", json!([tensor])), Some(Activation::new(ActivationKind::Logarithm).into()));
        assert_eq!(operation("Gelu", json!([tensor])), Some(Activation::new(ActivationKind::GeluTanh).into()));
        // Operations on tensors alone are handled as the layer with the same name.
        assert_eq!(operation("Add", json!([tensor, tensor])), None);
    }
}
