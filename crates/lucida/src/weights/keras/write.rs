//! Writing what Keras 3 reads: the description of a network as JSON, and its weights as HDF5.

use std::path::Path;

use hdf5_writer::{AttributeBuilder, DatasetBuilder, Hdf5Builder, WriteOptions};
use serde_json::{Value, json};

use super::assign::{flat_paths, keras_class};
use super::order::keras_order;
use crate::files::decimal;
use crate::nn::layers::{ActivationKind, Padding};
use crate::nn::{Initializer, Layer, Network, Node, Shape};
use crate::{Error, Result};

/// The weights of a network as the bytes of a `.weights.h5` file.
///
/// # Errors
/// [`Error::Bug`] when the writer refuses what a network can be.
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

/// The description of a network as Keras 3 writes it, once it is [`expressible`](super::expressible).
///
/// # Errors
/// [`Error::Unsupported`] when a layer has an option that Keras has not.
pub(in crate::weights) fn description(network: &Network, path: &Path) -> Result<Value> {
    let order = keras_order(network);
    for node in network.nodes() {
        inexpressible(node.layer()).map_or(Ok(()), |problem| {
            Err(Error::Unsupported(format!("{}: layer {}: {problem}", path.display(), node.name())))
        })?;
    }
    let layers: Vec<Value> = order.iter().map(|&node| item(network, &network.nodes()[node])).collect();
    let reference = |node: usize| json!([network.nodes()[node].name(), 0, 0]);
    let inputs: Vec<Value> = network.inputs().map(reference).collect();
    let outputs: Vec<Value> = network.outputs().iter().map(|&node| reference(node)).collect();
    Ok(json!({
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": network.name(),
            "trainable": true,
            "layers": layers,
            // A model of one input takes a tensor, not a list of one.
            "input_layers": if inputs.len() == 1 { inputs[0].clone() } else { inputs.into() },
            "output_layers": if outputs.len() == 1 { outputs[0].clone() } else { outputs.into() },
        },
        "registered_name": "Functional",
        "build_config": { "input_shape": null },
    }))
}

/// A shape with its batch.
fn batched(shape: &Shape) -> Value {
    std::iter::once(Value::Null).chain(shape.sizes().iter().map(|&size| size.into())).collect()
}

/// A layer, its configuration and its connections.
fn item(network: &Network, node: &Node) -> Value {
    let mut config = config(node.layer());
    config["name"] = node.name().into();
    config["dtype"] = "float32".into();
    if !matches!(node.layer(), Layer::Input(_)) {
        config["trainable"] = (!frozen(network, node)).into();
    }
    let inputs: Vec<&Node> = node.inputs().iter().map(|&input| &network.nodes()[input]).collect();
    let tensors = inputs.iter().map(|input| {
        json!({
            "class_name": "__keras_tensor__",
            "config": { "shape": batched(input.shape()), "dtype": "float32", "keras_history": [input.name(), 0, 0] },
        })
    });
    let mut tensors: Vec<Value> = tensors.collect();
    if matches!(node.layer(), Layer::Concatenate(_) | Layer::Add(_)) {
        tensors = vec![tensors.into()];
    }
    let calls = if inputs.is_empty() { json!([]) } else { json!([{ "args": tensors, "kwargs": {} }]) };
    let mut item = json!({
        "module": "keras.layers",
        "class_name": keras_class(node),
        "config": config,
        "registered_name": null,
        "name": node.name(),
        "inbound_nodes": calls,
    });
    match inputs.as_slice() {
        [] => {}
        [input] => item["build_config"] = json!({ "input_shape": batched(input.shape()) }),
        inputs => {
            let shapes: Vec<Value> = inputs.iter().map(|input| batched(input.shape())).collect();
            item["build_config"] = json!({ "input_shape": shapes });
        }
    }
    item
}

/// Whether training would change the layer's weights but is not to.
fn frozen(network: &Network, node: &Node) -> bool {
    let weights = &network.weights()[node.weights()];
    weights.iter().any(|weight| !weight.name().contains("/moving_")) && !weights.iter().any(|weight| weight.trainable())
}

/// What Keras cannot say of a layer.
fn inexpressible(layer: &Layer) -> Option<String> {
    if let Layer::Custom(custom) = layer {
        return Some(format!("{} is a custom layer, which Keras does not have", custom.class_name()));
    }
    match layer.spec().activation() {
        ActivationKind::Clip { min, max } if min != 0.0 && (min, max) != (-1.0, 1.0) => {
            Some(format!("Keras has no activation that clips to {min} to {max}"))
        }
        _ => None,
    }
}

/// What is particular to the kind of a layer.
fn config(layer: &Layer) -> Value {
    let pooling = |pool: [usize; 2], strides: [usize; 2], border: Padding| {
        json!({
            "pool_size": pool,
            "strides": strides,
            "padding": padding(border),
            "data_format": "channels_last",
        })
    };
    match layer {
        Layer::Custom(_) => unreachable!("custom layers have been refused"),
        Layer::Input(input) => {
            json!({ "batch_shape": batched(&input.shape), "sparse": false, "ragged": false })
        }
        Layer::Conv2D(conv) => json!({
            "filters": conv.filters,
            "kernel_size": conv.kernel_size,
            "strides": conv.strides,
            "padding": padding(conv.padding),
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "groups": 1,
            "activation": activation(conv.activation),
            "use_bias": conv.use_bias,
            "kernel_initializer": initializer(conv.kernel_initializer),
        }),
        Layer::Dense(dense) => json!({
            "units": dense.units,
            "activation": activation(dense.activation),
            "use_bias": dense.use_bias,
            "kernel_initializer": initializer(dense.kernel_initializer),
        }),
        Layer::MaxPooling2D(pool) => pooling(pool.pool_size, pool.strides, pool.padding),
        Layer::AveragePooling2D(pool) => pooling(pool.pool_size, pool.strides, pool.padding),
        Layer::AdaptiveAveragePooling2D(pool) => {
            json!({ "output_size": pool.output_size, "data_format": "channels_last" })
        }
        Layer::GlobalAveragePooling2D(_) | Layer::GlobalMaxPooling2D(_) => {
            json!({ "data_format": "channels_last", "keepdims": false })
        }
        Layer::BatchNormalization(norm) => json!({
            "axis": -1,
            "momentum": decimal(norm.momentum),
            "epsilon": decimal(norm.epsilon),
            "center": norm.center,
            "scale": norm.scale,
        }),
        Layer::Activation(layer) => match rectifier(layer.activation) {
            Some((_, config)) => config,
            None => json!({ "activation": activation(layer.activation) }),
        },
        Layer::Rescaling(rescaling) => {
            let value = |values: &[f32]| match values {
                &[one] => json!(decimal(one)),
                values => json!(values.iter().copied().map(decimal).collect::<Vec<_>>()),
            };
            json!({ "scale": value(&rescaling.scale), "offset": value(&rescaling.offset) })
        }
        Layer::Dropout(dropout) => json!({ "rate": decimal(dropout.rate), "seed": null, "noise_shape": null }),
        Layer::Flatten(_) => json!({ "data_format": "channels_last" }),
        Layer::ZeroPadding2D(border) => json!({ "padding": border.padding, "data_format": "channels_last" }),
        Layer::Concatenate(_) => json!({ "axis": -1 }),
        Layer::Add(_) => json!({}),
    }
}

fn padding(padding: Padding) -> &'static str {
    match padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        Padding::Explicit(_) => unreachable!("what Keras cannot say has been refused"),
    }
}

/// The layer of Keras that an activation with parameters is, and its configuration.
pub(super) fn rectifier(kind: ActivationKind) -> Option<(&'static str, Value)> {
    match kind {
        ActivationKind::LeakyRelu { negative_slope } => {
            Some(("LeakyReLU", json!({ "negative_slope": decimal(negative_slope) })))
        }
        ActivationKind::Clip { min: 0.0, max } => {
            Some(("ReLU", json!({ "max_value": decimal(max), "negative_slope": 0.0, "threshold": 0.0 })))
        }
        _ => None,
    }
}

fn activation(kind: ActivationKind) -> Value {
    if let Some((class, mut config)) = rectifier(kind) {
        // A layer in place of a function.
        config["name"] = class.to_lowercase().into();
        config["trainable"] = true.into();
        config["dtype"] = "float32".into();
        return json!({ "module": "keras.layers", "class_name": class, "config": config, "registered_name": null });
    }
    let name = match kind {
        ActivationKind::Linear => "linear",
        ActivationKind::Relu => "relu",
        ActivationKind::Sigmoid => "sigmoid",
        ActivationKind::Tanh => "tanh",
        ActivationKind::Softmax => "softmax",
        ActivationKind::LogSoftmax => "log_softmax",
        ActivationKind::Relu6 => "relu6",
        ActivationKind::Clip { min: -1.0, max: 1.0 } => "hard_tanh",
        ActivationKind::LeakyRelu { .. } | ActivationKind::Clip { .. } => {
            unreachable!("what Keras cannot say has been refused")
        }
    };
    name.into()
}

fn initializer(kind: Initializer) -> &'static str {
    match kind {
        Initializer::Zeros => "zeros",
        Initializer::Ones => "ones",
        Initializer::GlorotUniform => "glorot_uniform",
        Initializer::HeUniform => "he_uniform",
        Initializer::HeNormal => "he_normal",
    }
}
