//! Round trip through model files of activations, merges, products, normalizations, noise layers and sequence layers: the
//! outputs must be the same.

use std::fs;
use std::path::Path;

use lucida::explain::receptive_field;
use lucida::nn::layers::{
    Activation, ActivationKind, Add, AlphaDropout, Average, Concatenate, Conv1D, Conv2D, Dense, DepthwiseConv1D,
    DepthwiseConv2D, Divide, Flatten, GaussianDropout, GaussianNoise, GlobalAveragePooling2D, Glu, GroupNormalization,
    Input, LayerNormalization, LayerScale, LocalResponseNormalization, MatMul, MaxPooling1D, MaxPooling2D, Maximum,
    Minimum, Multiply, PReLU, Padding, Power, RMSNormalization, Reshape, Select, Softmax, SpatialDropout2D,
    StochasticDepth, Subtract, Take, UnitNormalization,
};
use lucida::nn::{Layer, Network, NetworkBuilder, Plan};
use lucida::weights::{self, Model};

/// Activations that both Keras and ONNX support.
const COMMON: &[ActivationKind] = &[
    ActivationKind::Relu,
    ActivationKind::Relu6,
    ActivationKind::Sigmoid,
    ActivationKind::Tanh,
    ActivationKind::Softmax,
    ActivationKind::LogSoftmax,
    ActivationKind::LeakyRelu { negative_slope: 0.25 },
    ActivationKind::Elu { alpha: 1.0 },
    ActivationKind::Elu { alpha: 0.5 },
    ActivationKind::Selu,
    ActivationKind::Celu { alpha: 1.0 },
    ActivationKind::Gelu,
    ActivationKind::Silu,
    ActivationKind::HardSilu,
    ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
    ActivationKind::Softplus { beta: 1.0, threshold: 20.0 },
    ActivationKind::Softsign,
    ActivationKind::Mish,
    ActivationKind::Exponential,
    ActivationKind::HardShrink { threshold: 0.5 },
    ActivationKind::SoftShrink { threshold: 0.5 },
    ActivationKind::Clip { min: -1.0, max: 1.0 },
];

/// Activations that are stored, but cannot be read from an ONNX graph alone.
const WRITTEN: &[ActivationKind] = &[
    ActivationKind::LogSigmoid,
    ActivationKind::TanhShrink,
    ActivationKind::GeneralRelu { negative_slope: 0.25, threshold: 0.5, max_value: Some(1.5) },
];

/// Activations that Keras does not support.
const OF_ONNX: &[ActivationKind] = &[
    ActivationKind::Celu { alpha: 2.0 },
    ActivationKind::GeluTanh,
    ActivationKind::HardSigmoid { slope: 0.25, offset: 0.5 },
    ActivationKind::Erf,
];

const OF_ONNX_WRITTEN: &[ActivationKind] =
    &[ActivationKind::Softplus { beta: 2.0, threshold: 20.0 }, ActivationKind::Softplus { beta: 2.0, threshold: 3.0 }];

/// A network with all of these in parallel branches, on a four-channel image.
fn activations(kinds: &[ActivationKind]) -> Network {
    let mut builder = Network::builder("activations");
    let image = builder.add(Input::new([3, 5, 4]), &[]).unwrap();
    let of = |kind: &ActivationKind| builder.add(Activation::new(*kind), &[image]).unwrap();
    let all: Vec<usize> = kinds.iter().map(of).collect();
    let last = builder.add_named("all", Concatenate::new(), &all).unwrap();
    builder.build(&[last], 1).unwrap()
}

struct Layers(NetworkBuilder);

impl Layers {
    fn add(&mut self, layer: impl Into<Layer>, inputs: &[usize]) -> usize {
        self.0.add(layer, inputs).unwrap()
    }
}

/// Layers that both Keras and ONNX support. With `whole`, including those that an ONNX graph alone does not determine.
fn layers(whole: bool) -> Network {
    let mut b = Layers(Network::builder("layers"));
    let image = b.add(Input::new([6, 5, 8]), &[]);
    let mut ends = Vec::new();
    for layer in [
        Layer::from(PReLU::shared(vec![0, 1])),
        PReLU::new().into(),
        PReLU::shared(vec![0, 1, 2]).into(),
        LayerNormalization::default().into(),
        LayerNormalization { axes: 3, epsilon: 1e-5, ..Default::default() }.into(),
        LayerNormalization { center: false, ..Default::default() }.into(),
        GroupNormalization::new(2).into(),
        GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() }.into(),
        GroupNormalization { scale: false, center: false, ..GroupNormalization::new(4) }.into(),
        UnitNormalization::new().into(),
        LayerScale::new(0.5, 8).into(),
        Softmax::over(vec![0]).into(),
        GaussianNoise::new(0.5).into(),
        GaussianDropout::new(0.5).into(),
        SpatialDropout2D::new(0.5).into(),
        AlphaDropout::new(0.5).into(),
        StochasticDepth::new(0.5).into(),
    ] {
        ends.push(b.add(layer, &[image]));
    }
    if whole {
        ends.push(b.add(RMSNormalization::default(), &[image]));
        ends.push(b.add(Softmax::over(vec![0, 1]), &[image]));
        ends.push(b.add(Glu::new(), &[image]));
        let below = b.add(Concatenate::along(1), &[image, image]);
        ends.push(b.add(Conv2D::new(2, [7, 1]), &[below]));
    }
    // A squeeze-and-excitation block, and an attention map.
    let squeezed = b.add(GlobalAveragePooling2D::new(), &[image]);
    let gate = b.add(Activation::new(ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }), &[squeezed]);
    let gated = b.add(Multiply::new(), &[image, gate]);
    let map = b.add(Conv2D::new(1, [1, 1]).activation(ActivationKind::Sigmoid), &[image]);
    let attended = b.add(Multiply::new(), &[gated, map]);
    ends.push(attended);
    ends.push(b.add(Subtract::new(), &[image, attended]));
    ends.push(b.add(Average::new(), &[image, attended, gated]));
    ends.push(b.add(Maximum::new(), &[gated, attended]));
    ends.push(b.add(Minimum::new(), &[gated, attended]));
    ends.push(b.add(Add::new(), &[attended, gate, map]));
    let last = b.0.add_named("all", Concatenate::new(), &ends).unwrap();
    let mut network = b.0.build(&[last], 3).unwrap();
    for weight in network.weights_mut() {
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value += (i % 7) as f32 * 0.1 - 0.25);
    }
    network
}

/// Layers that only ONNX supports.
fn layers_of_onnx() -> Network {
    let mut b = Layers(Network::builder("onnx"));
    let image = b.add(Input::new([3, 4, 6]), &[]);
    let damped = b.add(LocalResponseNormalization { alpha: 0.5, ..Default::default() }, &[image]);
    let positive = b.add(Activation::new(ActivationKind::Exponential), &[image]);
    let divided = b.add(Divide::new(), &[damped, positive]);
    let chosen = b.add(Select { threshold: 0.25 }, &[image, divided, positive]);
    b.0.build(&[chosen], 3).unwrap()
}

/// Products, powers and indexing, which are layers or operations in Keras.
fn computed() -> Network {
    let mut b = Layers(Network::builder("computed"));
    let image = b.add(Input::new([6, 5, 8]), &[]);
    let positive = b.add(Activation::new(ActivationKind::Exponential), &[image]);
    let mut ends = vec![b.add(Power::new(), &[positive, image])];
    for exponent in [0.5, -1.0, 1.5] {
        ends.push(b.add(Activation::new(ActivationKind::Power { exponent }), &[positive]));
    }
    ends.push(b.add(Take::new(2, [7, 0, 0]), &[image]));
    let rows = b.add(Reshape::new([6, 40]), &[image]);
    let scores = b.add(MatMul { transpose_b: true, ..MatMul::new() }, &[rows, rows]);
    let weights = b.add(Activation::new(ActivationKind::Softmax), &[scores]);
    let mixed = b.add(MatMul::new(), &[weights, rows]);
    ends.push(b.add(Reshape::new([6, 5, 8]), &[mixed]));
    let last = b.0.add_named("all", Concatenate::new(), &ends).unwrap();
    b.0.build(&[last], 3).unwrap()
}

/// Sequence layers.
fn sequences() -> Network {
    let mut b = Layers(Network::builder("sequences"));
    let input = b.add(Input::new([16, 4]), &[]);
    let stem = b.add(Conv1D::new(Conv2D::new(6, [1, 3]).padding(Padding::Same)), &[input]);
    let pooled = b.add(MaxPooling1D::new(MaxPooling2D::new([1, 2])), &[stem]);
    let depthwise = b.add(DepthwiseConv1D::new(DepthwiseConv2D::new([1, 3]).depth_multiplier(2)), &[pooled]);
    let dense = b.add(Dense::new(5).activation(ActivationKind::Tanh), &[depthwise]);
    let dropped = b.add(StochasticDepth::new(0.25), &[dense]);
    let last = b.0.add_named("last", Flatten::new(), &[dropped]).unwrap();
    b.0.build(&[last], 3).unwrap()
}

fn output(network: &Network) -> Vec<f32> {
    let mut plan = Plan::builder(network).batch_size(2).build().unwrap();
    plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 7919 % 101) as f32 - 50.0) / 25.0);
    plan.forward(network).unwrap();
    plan.output(0).to_vec()
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "{what}: {a} for {b} at {index}");
    }
}

/// Saves a network in each of these formats, and compares it after reading.
fn survives(network: &Network, endings: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let expected = output(network);
    for ending in endings {
        let path = folder.path().join(format!("model.{ending}"));
        weights::save_model(&Model::new(network.clone()), &path).unwrap();
        let again = weights::load_model(&path).unwrap().network;
        assert_eq!(output(&again), expected, "{ending}");
    }
}

/// Removes Lucida's metadata from an ONNX file, so that it is read from its graph like a third-party file.
fn disguise(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let key = b"\x0a\x06lucida";
    let found: Vec<usize> = (0..bytes.len() - key.len()).filter(|&at| bytes[at..].starts_with(key)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at + 2..at + 8].copy_from_slice(b"nobody"));
    fs::write(path, bytes).unwrap();
}

fn graph_alone(network: &Network) -> Network {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    weights::save_model(&Model::new(network.clone()), &path).unwrap();
    disguise(&path);
    assert_eq!(weights::inspect(&path).unwrap().format, "ONNX");
    weights::load_model(&path).unwrap().network
}

#[test]
fn activations_survive() {
    let keras = [COMMON, WRITTEN].concat();
    survives(&activations(&keras), &["keras", "h5", "onnx", "safetensors"]);
    survives(&activations(&[OF_ONNX, OF_ONNX_WRITTEN].concat()), &["onnx", "safetensors"]);
    for kind in OF_ONNX {
        let network = activations(&[*kind, *kind]);
        let path = tempfile::tempdir().unwrap().path().join("model.keras");
        let problem = weights::save_model(&Model::new(network), path).unwrap_err().to_string();
        assert!(problem.contains("Keras has no activation"), "{problem}");
    }
}

#[test]
fn activations_of_a_graph_are_recognized() {
    let network = activations(&[COMMON, OF_ONNX].concat());
    let again = graph_alone(&network);
    close("activations", &output(&again), &output(&network));
    let kinds = |network: &Network| -> Vec<ActivationKind> {
        network.nodes().iter().map(|node| node.activation()).filter(|kind| *kind != ActivationKind::Linear).collect()
    };
    // The tanh approximation of GELU remains a composition of layers.
    let whole = |kind: &ActivationKind| !matches!(kind, ActivationKind::GeluTanh);
    for kind in kinds(&network).into_iter().filter(whole) {
        assert!(kinds(&again).contains(&kind), "{kind:?} of {:?}", kinds(&again));
    }
}

/// Operations, and normalization over several axes.
#[test]
fn layers_that_keras_does_not_load_from_h5_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.h5");
    for (network, layer) in [(layers(true), "LayerNormalization over several axes"), (computed(), "Matmul")] {
        let problem = weights::save_model(&Model::new(network), &path).unwrap_err().to_string();
        assert!(problem.contains(&format!("Keras loads {layer} from .keras alone")), "{problem}");
        assert!(!path.exists());
    }
}

#[test]
fn layers_survive() {
    survives(&layers(true), &["keras", "onnx", "safetensors"]);
    survives(&computed(), &["keras", "onnx", "safetensors"]);
    survives(&sequences(), &["keras", "h5", "onnx", "safetensors"]);
    survives(&layers_of_onnx(), &["onnx", "safetensors"]);
    let path = tempfile::tempdir().unwrap().path().join("model.keras");
    let problem = weights::save_model(&Model::new(layers_of_onnx()), path).unwrap_err().to_string();
    assert!(problem.contains("Keras has no local response normalization"), "{problem}");
}

#[test]
fn layers_of_a_graph_compute_the_same() {
    for network in [layers(false), layers_of_onnx(), computed(), sequences()] {
        let again = graph_alone(&network);
        close(network.name(), &output(&again), &output(&network));
    }
}

#[test]
fn a_gate_of_one_position_has_seen_the_whole_image() {
    let network = layers(true);
    let multiplied = receptive_field(&network, "multiply").unwrap();
    let gate = receptive_field(&network, "global_average_pooling2d").unwrap();
    let [row, column] = [0, 1].map(|axis| multiplied.layout()[axis]);
    assert_eq!([row, column], [6, 5]);
    for unit in [[0, 0], [5, 4]] {
        assert_eq!(multiplied.at(unit), gate.at([0, 0]), "{unit:?}");
    }
    let normalized = receptive_field(&network, "group_normalization").unwrap();
    assert_eq!((normalized.layout(), normalized.at([5, 4])), ([6, 5, 8], gate.at([0, 0])));
}
