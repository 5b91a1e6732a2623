use std::fs;

use super::*;
use crate::nn::applications;
use crate::nn::layers::{ActivationKind, BatchNormalization, Conv2D, Dense, Flatten, LayerNormalization};
use crate::weights;

#[test]
fn weights_survive_a_round_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mnist.weights.h5");
    let first = applications::mnist_cnn(5).unwrap();
    save_weights(&first, &path).unwrap();
    let mut again = applications::mnist_cnn(6).unwrap();
    weights::load_weights(&path, &mut again).unwrap();
    for (a, b) in again.weights().iter().zip(first.weights()) {
        assert_eq!((a.name(), a.values()), (b.name(), b.values()));
    }
    let bytes = fs::read(&path).unwrap();
    save_weights(&again, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn layers_of_other_names_are_matched_by_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    let network = |names: [&str; 3], seed| {
        let mut builder = Network::builder("named");
        let mut last = builder.add(crate::nn::layers::Input::new([4, 4, 2]), &[]).unwrap();
        last = builder.add_named(names[0], Conv2D::new(3, [3, 3]), &[last]).unwrap();
        last = builder.add_named(names[1], BatchNormalization::default(), &[last]).unwrap();
        last = builder.add(Flatten::new(), &[last]).unwrap();
        let dense = Dense::new(2).activation(ActivationKind::Softmax);
        last = builder.add_named(names[2], dense, &[last]).unwrap();
        builder.build(&[last], seed).unwrap()
    };
    let first = network(["a", "b", "c"], 1);
    save_weights(&first, &path).unwrap();
    let mut other = network(["x", "y", "z"], 2);
    load_weights(&path, &mut other).unwrap();
    assert_eq!(other.weight("x/kernel").unwrap().values(), first.weight("a/kernel").unwrap().values());
    assert_eq!(other.weight("z/bias").unwrap().values(), first.weight("c/bias").unwrap().values());
}

/// Keras numbers generated names over a session; the only normalization of a second model has a number.
#[test]
fn a_made_up_name_may_have_another_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    let network = |name: &str, layer: crate::nn::Layer, seed| {
        let mut builder = Network::builder("counted");
        let mut last = builder.add(crate::nn::layers::Input::new([4, 4, 2]), &[]).unwrap();
        last = builder.add_named(name, layer, &[last]).unwrap();
        last = builder.add_named("a", Conv2D::new(3, [3, 3]), &[last]).unwrap();
        last = builder.add_named("b", Conv2D::new(2, [2, 2]), &[last]).unwrap();
        builder.build(&[last], seed).unwrap()
    };
    // The file has another class for the layer, as for Keras's Normalization, so its path does not match.
    let first = network("normalization_2", LayerNormalization::default().into(), 1);
    save_weights(&first, &path).unwrap();
    let norm = BatchNormalization { center: false, scale: false, ..Default::default() };
    let mut other = network("normalization", norm.into(), 2);
    load_weights(&path, &mut other).unwrap();
    let values = |network: &Network, name: &str| network.weight(name).unwrap().values().to_vec();
    assert_eq!(values(&other, "normalization/moving_mean"), values(&first, "normalization_2/gamma"));
    assert_eq!(values(&other, "a/kernel"), values(&first, "a/kernel"));
}

/// A file of a custom class, as Keras writes it: groups are named after attributes.
#[test]
fn a_subclassed_model_is_explained() {
    use hdf5_writer::{DatasetBuilder, Hdf5Builder, WriteOptions};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    let kernel = DatasetBuilder::typed_data("first/vars/0", vec![2, 2], &[0.0_f32; 4]).unwrap();
    let none = DatasetBuilder::typed_data("vars/0", vec![1], &[0.0_f32; 1]).unwrap();
    let file = Hdf5Builder::new().dataset(kernel).dataset(none);
    fs::write(&path, file.into_plan().unwrap().encode(WriteOptions::default()).unwrap()).unwrap();
    let message = load_model(&path).unwrap_err().to_string();
    assert!(message.contains("subclassed Keras model") && message.contains("model.export"), "{message}");
}

#[test]
fn weights_of_another_network_are_refused_and_leave_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    save_weights(&applications::mnist_cnn(5).unwrap(), &path).unwrap();
    let mut lenet = applications::lenet5(&applications::Options::default().seed(1)).unwrap();
    let before = lenet.weights()[0].values().to_vec();
    let message = load_weights(&path, &mut lenet).unwrap_err().to_string();
    assert!(message.contains("network lenet5") && message.contains("layers/dense_2"), "{message}");
    assert_eq!(lenet.weights()[0].values(), before);
    let message = load_model(&path).unwrap_err().to_string();
    assert!(message.contains("no description"), "{message}");
}

#[test]
fn inspection_names_the_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    save_weights(&applications::mnist_cnn(5).unwrap(), &path).unwrap();
    let inspection = weights::inspect(&path).unwrap();
    assert_eq!((inspection.format, inspection.parameters()), ("Keras 3 weights (HDF5)", 113_514));
    let first = inspection.tensors.iter().find(|tensor| tensor.name == "layers/conv2d_1/vars/0").unwrap();
    assert_eq!((first.shape.as_slice(), first.dtype.as_str()), (&[3, 3, 24, 48][..], "float32"));
}

#[test]
fn lists_come_whole_or_in_numbered_parts() {
    let attribute = |name: &str, values: &[&str]| (name.to_owned(), values.iter().map(|v| (*v).to_owned()).collect());
    let whole = [attribute("layer_names", &["a", "b"])];
    let parts = [attribute("layer_names1", &["c"]), attribute("layer_names0", &["a", "b"])];
    assert_eq!(Hdf5::list(&whole, "layer_names").unwrap(), ["a", "b"]);
    assert_eq!(Hdf5::list(&parts, "layer_names").unwrap(), ["a", "b", "c"]);
    assert_eq!(Hdf5::list(&whole, "weight_names"), None);
}

#[test]
fn the_name_of_a_layer_within_a_model() {
    assert_eq!(inner_layer("sequential/conv2d_3/kernel:0"), Some("conv2d_3"));
    assert_eq!(inner_layer("block1_conv1_W_1:0"), None);
}

#[test]
fn texts_and_lists_may_be_longer_than_an_attribute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.h5");
    // A config of more than a megabyte, and more names than fit into one list.
    let layers = (0..4100).map(|_| crate::nn::layers::Activation::new(ActivationKind::Relu).into());
    let network = Network::sequential("deep", [2], layers, 1).unwrap();
    let model = Model { training: serde_json::json!({ "log": "x".repeat(100_000) }), ..Model::new(network) };
    save_model(&model, &path).unwrap();
    let again = load_model(&path).unwrap();
    assert_eq!(again.network.architecture(), model.network.architecture());
    assert_eq!(again.training, model.training);
    let names: Vec<String> = inspect(&path).unwrap().attributes.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["backend", "keras_version"]);
}

#[test]
fn stochastic_depth_is_a_dropout_of_whole_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.h5");
    let depth = crate::nn::layers::StochasticDepth::new(0.25);
    let network = Network::sequential("deep", [4, 4, 2], [depth.into()], 1).unwrap();
    save_model(&Model::new(network), &path).unwrap();
    let layer = inspect(&path).unwrap().architecture.unwrap()["config"]["layers"][1].clone();
    assert_eq!(layer["class_name"], "Dropout");
    assert_eq!(layer["config"]["noise_shape"], serde_json::json!([null, 1, 1, 1]));
    assert_eq!(load_model(&path).unwrap().network.nodes()[1].layer(), &depth.into());
}
