//! Small files that people really have, in `../shared/cases`: see the README there.

mod common;

use std::path::PathBuf;

use lucida::nn::{Network, Plan};
use lucida::weights::{self, Format};

/// A file of the cases; `None`, and a word on why, where that folder does not exist.
fn case(name: &str) -> Option<PathBuf> {
    common::shared(&format!("cases/{name}"))
}

/// The first output for an input without structure.
fn output(network: &Network) -> Vec<f32> {
    let mut plan = Plan::builder(network).build().unwrap();
    plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 7919 % 101) as f32 - 50.0) / 25.0);
    plan.forward(network).unwrap();
    plan.output(0).to_vec()
}

#[test]
fn a_pytorch_file_whose_stem_had_21_characters() {
    let Some(path) = case("my_best_model_epoch_7.pth") else { return };
    assert_eq!(Format::of(&path).unwrap(), Format::Torch);
    let tensors = weights::inspect(&path).unwrap().tensors;
    assert_eq!((tensors.len(), tensors[0].name.as_str(), tensors[0].shape.as_slice()), (1, "w", &[1][..]));
}

#[test]
fn a_checkpoint_with_its_state_under_net() {
    let Some(path) = case("net.pth") else { return };
    let model = weights::load_model(&path).unwrap();
    assert_eq!(model.network.name(), "squeezenet1_1");
    assert_eq!(model.network.output().unwrap().shape().len(), 1000);
}

#[test]
fn batch_normalization_in_training_mode() {
    let Some(path) = case("train9.onnx") else { return };
    let message = weights::load_model(&path).unwrap_err().to_string();
    assert!(message.contains("is in training mode") && message.contains("model.eval()"), "{message}");
}

#[test]
fn nodes_in_reverse_order() {
    let Some(path) = case("unsorted.onnx") else { return };
    let model = weights::load_model(&path).unwrap();
    assert_eq!(model.network.parameters().0, 127);
    // Through Keras, whose max pooling has a border of zeros before it.
    let folder = tempfile::tempdir().unwrap();
    let keras = folder.path().join("sorted.keras");
    weights::save_model(&model, &keras).unwrap();
    let again = weights::load_model(&keras).unwrap();
    assert_eq!(output(&again.network), output(&model.network));
}

#[test]
fn one_relu_called_twice() {
    let Some(path) = case("sharedrelu.keras") else { return };
    let network = weights::load_model(&path).unwrap().network;
    let relus = network.nodes().iter().filter(|node| node.layer().class_name() == "Activation").count();
    assert_eq!(relus, 2);
    assert!(output(&network).iter().all(|value| value.is_finite()));
}
