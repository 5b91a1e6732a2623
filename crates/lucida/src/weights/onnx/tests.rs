use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use tempfile::TempDir;

use super::proto::{
    AttributeProto, Dimension, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};
use super::*;
use crate::data::{ColorMode, Preprocessing};
use crate::nn::Plan;
use crate::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, Add, AveragePooling2D, BatchNormalization, Concatenate,
    Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D,
    Input, MaxPooling2D, Padding, SeparableConv2D, ZeroPadding2D,
};

mod computed;
mod expanded;
mod generality;
mod geometry;
mod graphs;
mod hostile;

/// A network with every kind of layer and every activation.
fn every_layer() -> Network {
    let mut b = Network::builder("every_layer");
    let input = b.add(Input::new([12, 10, 3]), &[]).unwrap();
    let padded = b.add(ZeroPadding2D { padding: [[1, 2], [0, 3]] }, &[input]).unwrap();
    let stem = Conv2D::new(6, [3, 2]).strides([2, 1]).padding(Padding::Same).activation(ActivationKind::Tanh);
    let stem = b.add(stem, &[padded]).unwrap();
    let norm = b.add(BatchNormalization { momentum: 0.9, scale: false, ..Default::default() }, &[stem]).unwrap();
    let left = b.add(Activation::new(ActivationKind::LeakyRelu { negative_slope: 0.2 }), &[norm]).unwrap();
    let right = b.add(Conv2D::new(6, [1, 1]).without_bias().activation(ActivationKind::Relu6), &[stem]).unwrap();
    let sum = b.add(Add::new(), &[left, right, stem]).unwrap();
    let max = b.add(MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same), &[sum]).unwrap();
    let wide = MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Explicit([[1, 1], [2, 1]]));
    let wide = b.add_named("wide", wide, &[sum]).unwrap();
    let mean = b.add(AveragePooling2D::new([3, 2]).strides([1, 2]).padding(Padding::Same), &[sum]).unwrap();
    let clip = b.add(Activation::new(ActivationKind::Clip { min: -0.5, max: 0.75 }), &[mean]).unwrap();
    let flat = b.add(Flatten::new(), &[clip]).unwrap();
    let a = b.add(GlobalAveragePooling2D::new(), &[max]).unwrap();
    let m = b.add(GlobalMaxPooling2D::new(), &[wide]).unwrap();
    let all = b.add_named("mixed", Concatenate::new(), &[a, m, flat]).unwrap();
    let dropped = b.add(Dropout::new(0.25), &[all]).unwrap();
    let hidden = b.add(Dense::new(7).activation(ActivationKind::Sigmoid), &[dropped]).unwrap();
    let linear = b.add(Activation::new(ActivationKind::Linear), &[hidden]).unwrap();
    let norm = b.add(BatchNormalization { center: false, ..Default::default() }, &[linear]).unwrap();
    let out = b.add_named("predictions", Dense::new(4).activation(ActivationKind::Softmax), &[norm]).unwrap();
    let mut network = b.build(&[out, left], 9).unwrap();
    for weight in network.weights_mut().iter_mut().filter(|weight| !weight.name().ends_with("kernel")) {
        let start = if weight.name().ends_with("variance") { 0.5 } else { -0.3 };
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = start + (i % 5) as f32 * 0.2);
    }
    network
}

fn model() -> Model {
    Model { training: json!({ "seed": 1 }), ..Model::new(every_layer()) }
}

fn saved(model: &Model) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    save_model(model, &path).unwrap();
    (folder, path)
}

/// All outputs for two samples of noise.
fn outputs(network: &Network) -> Vec<Vec<f32>> {
    let mut plan = Plan::builder(network).batch_size(2).build().unwrap();
    let input = plan.input_mut();
    input.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 7919 % 101) as f32 - 50.0) / 25.0);
    plan.forward(network).unwrap();
    (0..network.outputs().len()).map(|index| plan.output(index).to_vec()).collect()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 2e-6, "{worst:e}: {:?} for {:?}", &a[..a.len().min(8)], &b[..b.len().min(8)]);
}

fn decode(path: &Path) -> ModelProto {
    ModelProto::decode(&*fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_model_of_all_layers_survives_a_round_to_the_bit() {
    let first = model();
    let (folder, path) = saved(&first);
    let again = load_model(&path).unwrap();
    assert_eq!(again.network.architecture(), first.network.architecture());
    assert_eq!(again.training, first.training);
    for (a, b) in again.network.weights().iter().zip(first.network.weights()) {
        assert_eq!((a.name(), a.shape(), a.values()), (b.name(), b.shape(), b.values()));
    }
    let second = folder.path().join("again.onnx");
    save_model(&again, &second).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&second).unwrap());
    let mut other = Network::from_architecture(&first.network.architecture()).unwrap();
    load_weights(&path, &mut other).unwrap();
    assert_eq!(outputs(&other), outputs(&first.network));
}

#[test]
fn what_a_model_says_of_its_images_and_classes_survives() {
    let layers = [Flatten::new().into(), Dense::new(2).activation(ActivationKind::Softmax).into()];
    let network = Network::sequential("two", [3, 4, 3], layers, 5).unwrap();
    let first = Model {
        preprocessing: Some(Preprocessing::unit(3, 4, ColorMode::Rgb)),
        class_names: vec!["cat".into(), "dog".into()],
        ..Model::new(network)
    };
    let (_folder, path) = saved(&first);
    let again = load_model(&path).unwrap();
    assert_eq!((&again.preprocessing, &again.class_names), (&first.preprocessing, &first.class_names));
    // If another program changes the graph, the rest of the entry is still used.
    let mut changed = decode(&path);
    changed.graph.as_mut().unwrap().node.last_mut().unwrap().op_type = "Sigmoid".into();
    fs::write(&path, changed.encode_to_vec()).unwrap();
    let again = load_model(&path).unwrap();
    assert_eq!((&again.preprocessing, &again.class_names), (&first.preprocessing, &first.class_names));
    assert_eq!(again.network.output().unwrap().activation(), ActivationKind::Sigmoid);
}

#[test]
fn the_graph_alone_gives_the_same_outputs() {
    let first = model();
    let (_folder, path) = saved(&first);
    let mut graph = decode(&path);
    graph.metadata_props.clear();
    fs::write(&path, graph.encode_to_vec()).unwrap();
    let again = load_model(&path).unwrap().network;
    for (a, b) in outputs(&again).iter().zip(outputs(&first.network)) {
        close(a, &b);
    }
    // The activations are at the same layers; names are kept.
    for name in ["conv2d", "conv2d_1", "wide", "dense", "predictions"] {
        let (a, b) = (again.find(name).unwrap(), first.network.find(name).unwrap());
        assert_eq!(again.nodes()[a].activation(), first.network.nodes()[b].activation(), "{name}");
        assert_eq!(again.nodes()[a].shape(), first.network.nodes()[b].shape(), "{name}");
    }
}

#[test]
fn convolutions_of_all_kinds_survive_a_round() {
    let relu = ActivationKind::Relu;
    let border = Padding::Explicit([[1, 2], [0, 3]]);
    let layers = [
        Conv2D::new(6, [3, 3]).dilation_rate([2, 1]).groups(2).padding(Padding::Same).into(),
        DepthwiseConv2D::new([3, 2]).strides([2, 2]).depth_multiplier(2).padding(Padding::Same).activation(relu).into(),
        DepthwiseConv2D::new([3, 3]).dilation_rate([2, 2]).padding(border).without_bias().into(),
        SeparableConv2D::new(6, [3, 3]).depth_multiplier(2).padding(border).activation(relu).into(),
        Conv2DTranspose::new(4, [3, 3]).strides([2, 2]).groups(2).padding(Padding::Same).activation(relu).into(),
        Conv2DTranspose::new(3, [3, 2]).strides([2, 3]).padding(border).output_padding([1, 0]).into(),
        Conv2DTranspose::new(2, [2, 2]).strides([3, 1]).dilation_rate([1, 2]).without_bias().into(),
    ];
    let mut network = Network::sequential("convolutions", [12, 10, 4], layers, 9).unwrap();
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name().ends_with("bias")) {
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = 0.1 * (i % 5) as f32 - 0.15);
    }
    let (_folder, path) = saved(&Model::new(network.clone()));
    let again = load_model(&path).unwrap().network;
    assert_eq!(again.architecture(), network.architecture());
    assert_eq!(outputs(&again), outputs(&network));
    let mut graph = decode(&path);
    graph.metadata_props.clear();
    fs::write(&path, graph.encode_to_vec()).unwrap();
    let again = load_model(&path).unwrap().network;
    close(&outputs(&again)[0], &outputs(&network)[0]);
    let kinds: Vec<_> = again.nodes().iter().map(|node| node.layer().class_name()).collect();
    let expected = "Input Conv2D DepthwiseConv2D ZeroPadding2D DepthwiseConv2D ZeroPadding2D DepthwiseConv2D Conv2D \
                    Conv2DTranspose Conv2DTranspose Conv2DTranspose";
    assert_eq!(kinds.join(" "), expected);
}

#[test]
fn adaptive_pooling_survives_a_round() {
    // Windows of equal size become a pooling, those of different sizes matrix products.
    for windows in [[4, 3], [5, 4]] {
        let layers = [Conv2D::new(4, [3, 3]).into(), AdaptiveAveragePooling2D::new(windows).into()];
        let first = Model::new(Network::sequential("adaptive", [10, 11, 3], layers, 5).unwrap());
        let (_folder, path) = saved(&first);
        let again = load_model(&path).unwrap();
        assert_eq!(again.network.architecture(), first.network.architecture());
        assert_eq!(outputs(&again.network), outputs(&first.network));
        let mut graph = decode(&path);
        graph.metadata_props.clear();
        fs::write(&path, graph.encode_to_vec()).unwrap();
        let again = load_model(&path).unwrap();
        close(&outputs(&again.network)[0], &outputs(&first.network)[0]);
    }
}

#[test]
fn inspection_says_what_is_in_the_file() {
    let (_folder, path) = saved(&model());
    let inspection = inspect(&path).unwrap();
    assert_eq!(inspection.format, "Lucida model (ONNX)");
    let kernel = inspection.tensors.iter().find(|tensor| tensor.name == "conv2d/kernel").unwrap();
    assert_eq!((kernel.shape.as_slice(), kernel.dtype.as_str()), (&[6, 3, 3, 2][..], "FLOAT"));
    let of = |key: &str| inspection.attributes.iter().find(|(name, _)| name == key).unwrap().1.clone();
    assert_eq!((of("opset").as_str(), of("inputs").as_str()), ("17", "input_layer (batch, 12, 10, 3)"));
    assert_eq!(inspection.architecture.unwrap(), every_layer().architecture());
}

#[test]
fn weights_of_another_architecture_are_refused_and_leave_the_network_alone() {
    let (_folder, path) = saved(&model());
    let mut other = Network::sequential("other", [784], [Dense::new(10).into()], 3).unwrap();
    let before = other.weights()[0].values().to_vec();
    let message = load_weights(&path, &mut other).unwrap_err().to_string();
    assert!(message.contains("network other") && message.contains("dense/kernel"), "{message}");
    assert_eq!(other.weights()[0].values(), before);
}

#[test]
fn what_onnx_cannot_say_is_refused() {
    let network = Network::sequential("odd", [2, 3, 2, 2], [Activation::new(ActivationKind::Relu).into()], 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let message = save_model(&Model::new(network), folder.path().join("x.onnx")).unwrap_err().to_string();
    assert!(message.contains("layer input_layer") && message.contains("(2, 3, 2, 2)"), "{message}");
}
