//! Writing what Keras 3 reads: a network's config as JSON, and its weights as HDF5.

use std::path::Path;

use hdf5_writer::{AttributeBuilder, DatasetBuilder, Hdf5Builder, WriteOptions};
use serde_json::{Value, json};

use super::assign::flat_paths;
use super::order::keras_order;
use crate::nn::keras_config::with_batch;
use crate::nn::{Layer, Network, Node};
use crate::{Error, Result};

/// The weights of a network as the bytes of a `.weights.h5` file.
///
/// # Errors
/// [`Error::Bug`] when the HDF5 writer fails.
pub(in crate::weights) fn weights(network: &Network) -> Result<Vec<u8>> {
    let encode = || -> hdf5_writer::Result<Vec<u8>> {
        let mut file = Hdf5Builder::new();
        for (node, path) in flat_paths(network) {
            let node = &network.nodes()[node];
            file = file.group_attribute(format!("{path}/vars"), AttributeBuilder::fixed_string("name", node.name()));
            for (number, weight) in network.weights()[node.weights()].iter().enumerate() {
                let shape: Vec<u64> = weight.shape().iter().map(|&size| size as u64).collect();
                file =
                    file.dataset(DatasetBuilder::typed_data(format!("{path}/vars/{number}"), shape, weight.values())?);
            }
        }
        file.into_plan()?.encode(WriteOptions::default())
    };
    encode().map_err(|problem| Error::Bug(format!("weights that cannot be written as HDF5: {problem}")))
}

/// The Keras 3 config of a network that was made [`expressible`](super::expressible).
///
/// # Errors
/// [`Error::Unsupported`] when a layer has an option without a counterpart in Keras.
pub(in crate::weights) fn description(network: &Network, path: &Path) -> Result<Value> {
    let order = keras_order(network);
    let calls = Calls::of(network);
    let mut layers = Vec::with_capacity(order.len());
    for &node in &order {
        let name = network.nodes()[node].name();
        let refused = |problem| {
            Error::Unsupported(format!(
                "{}: layer {name}: {problem}; write the model as .safetensors, which has all layers, or as .onnx",
                path.display()
            ))
        };
        layers.push(item(network, node, &calls).map_err(refused)?);
    }
    let reference = |node: usize| calls.reference(network, node);
    let inputs: Vec<Value> = network.inputs().map(reference).collect();
    let outputs: Vec<Value> = network.outputs().iter().map(|&node| reference(node)).collect();
    Ok(json!({
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": network.name(),
            "trainable": true,
            "layers": layers,
            // A model with one input takes a tensor, not a list.
            "input_layers": if inputs.len() == 1 { inputs[0].clone() } else { inputs.into() },
            "output_layers": if outputs.len() == 1 { outputs[0].clone() } else { outputs.into() },
        },
        "registered_name": "Functional",
        "build_config": { "input_shape": null },
    }))
}

/// The calls of each layer. Only shared layers have more than one.
struct Calls {
    /// For each node, the first call of its layer, and its index among the calls.
    of: Vec<(usize, usize)>,
}

impl Calls {
    fn of(network: &Network) -> Self {
        let mut of: Vec<(usize, usize)> = Vec::with_capacity(network.nodes().len());
        for node in 0..network.nodes().len() {
            let first = network.first_call(node);
            let number = of.iter().filter(|(layer, _)| *layer == first).count();
            of.push((first, number));
        }
        Self { of }
    }

    /// The output of a node: its layer, the call, the output index.
    fn reference(&self, network: &Network, node: usize) -> Value {
        let (first, number) = self.of[node];
        json!([network.nodes()[first].name(), number, 0])
    }

    /// All calls of a layer, given by its first call.
    fn nodes(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.of.len()).filter(move |&node| self.of[node].0 == first)
    }
}

/// A layer with its configuration and connections.
///
/// # Errors
/// What Keras does not support.
fn item(network: &Network, first: usize, calls: &Calls) -> Result<Value, String> {
    let node = &network.nodes()[first];
    let mut config = node.layer().to_keras()?;
    config["name"] = node.name().into();
    config["dtype"] = "float32".into();
    // Keras's spatial dropout has no `trainable`.
    if !matches!(node.layer(), Layer::Input(_) | Layer::SpatialDropout2D(_)) {
        config["trainable"] = (!frozen(network, node)).into();
    }
    let inputs: Vec<&Node> = node.inputs().iter().map(|&input| &network.nodes()[input]).collect();
    let is_input = inputs.is_empty();
    let calls: Vec<Value> = calls.nodes(first).filter(|_| !is_input).map(|node| call(network, node, calls)).collect();
    let (module, mut class) = (node.layer().keras_module(), node.layer().keras_class());
    if class == "SpatialDropout2D" && inputs.iter().any(|input| input.shape().as_image().is_none()) {
        class = "SpatialDropout1D";
        config.as_object_mut().and_then(|config| config.remove("data_format"));
    }
    let mut item = json!({
        "module": module,
        "class_name": class,
        "config": config,
        "registered_name": if module == "keras.layers" { Value::Null } else { class.into() },
        "name": node.name(),
        "inbound_nodes": calls,
    });
    if as_operation(&mut item) {
        return Ok(item);
    }
    match inputs.as_slice() {
        [] => {}
        [input] => item["build_config"] = json!({ "input_shape": with_batch(input.shape()) }),
        inputs => {
            let shapes: Vec<Value> = inputs.iter().map(|input| with_batch(input.shape())).collect();
            item["build_config"] = json!({ "input_shape": shapes });
        }
    }
    Ok(item)
}

/// The tensors that a layer is called on.
fn call(network: &Network, node: usize, calls: &Calls) -> Value {
    let tensors = network.nodes()[node].inputs().iter().map(|&input| {
        json!({
            "class_name": "__keras_tensor__",
            "config": {
                "shape": with_batch(network.nodes()[input].shape()),
                "dtype": "float32",
                "keras_history": calls.reference(network, input),
            },
        })
    });
    let mut tensors: Vec<Value> = tensors.collect();
    // Merging layers take a list of tensors.
    if tensors.len() > 1 {
        tensors = vec![tensors.into()];
    }
    json!({ "args": tensors, "kwargs": {} })
}

/// Converts an item that is an operation in Keras: it has no dtype, and some of its options become arguments of the call.
fn as_operation(item: &mut Value) -> bool {
    let class = item["class_name"].as_str().unwrap_or_default().to_owned();
    let module = match class.as_str() {
        "Pad" | "GetItem" | "Divide" | "Matmul" | "Power" | "Take" | "Sqrt" | "Reciprocal" | "Log" | "Clip" => {
            "keras.src.ops.numpy"
        }
        "DepthToSpace" | "SpaceToDepth" => "keras.src.ops.nn",
        _ => return false,
    };
    item["module"] = module.into();
    item["registered_name"] = class.as_str().into();
    let Some(config) = item["config"].as_object_mut() else { return true };
    config.retain(|name, _| !matches!(name.as_str(), "dtype" | "trainable"));
    let argument = ["key", "indices", "exponent"].iter().find_map(|name| config.remove(*name));
    let constant = config.remove("constant_values");
    // An operation on two tensors takes them as separate arguments.
    let calls = item["inbound_nodes"].as_array_mut();
    for call in calls.into_iter().flatten().filter(|call| call["args"][0].is_array()) {
        call["args"] = call["args"][0].take();
    }
    if let (Some(argument), Some(arguments)) = (argument, item["inbound_nodes"][0]["args"].as_array_mut()) {
        arguments.push(argument);
    }
    if let Some(constant) = constant {
        item["inbound_nodes"][0]["kwargs"]["constant_values"] = constant;
    }
    true
}

/// Whether a layer's trainable weights are frozen.
fn frozen(network: &Network, node: &Node) -> bool {
    let weights = &network.weights()[node.weights()];
    weights.iter().any(|weight| !weight.name().contains("/moving_")) && !weights.iter().any(|weight| weight.trainable())
}
