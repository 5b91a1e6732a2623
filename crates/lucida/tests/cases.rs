//! Small real-world files in `../shared/cases`: see the README there.

mod common;

use std::path::PathBuf;

use lucida::Cpu;
use lucida::data::Image;
use lucida::model::{Predicted, predict};
use lucida::nn::{Network, Plan};
use lucida::weights::{self, Format, ModelSpec, Note};

/// Path of a case; `None`, with a message, if the folder does not exist.
fn case(name: &str) -> Option<PathBuf> {
    common::shared(&format!("cases/{name}"))
}

/// First output for a pseudorandom input.
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
    // Round trip through Keras, which needs explicit zero padding before max pooling.
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

/// Predicts a photo with a model opened as the commands do; returns probabilities and notes. `None` if the case does not
/// exist.
fn predicted(name: &str, size: Option<[usize; 2]>) -> Option<(Vec<f32>, Vec<Note>)> {
    let path = case(name)?;
    let spec = ModelSpec { size, ..ModelSpec::new(path.to_str().unwrap()) };
    let model = weights::open(&spec).unwrap_or_else(|problem| panic!("{problem}"));
    let pixels = (0..40 * 32 * 3).map(|i: usize| (i * 7919 % 251) as u8).collect();
    let photo = Image::new(40, 32, 3, pixels).unwrap();
    let Predicted::Class(prediction) = predict(&model, &[photo], Cpu::detect()).unwrap().remove(0) else {
        panic!("{name} is not a classifier of one class")
    };
    let sum: f32 = prediction.probabilities.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{name}: {sum}");
    Some((prediction.probabilities, model.notes))
}

#[test]
fn plain_classifiers_of_keras() {
    for name in ["plain.keras", "plain.h5", "gray.keras"] {
        let Some((probabilities, notes)) = predicted(name, None) else { return };
        assert_eq!((probabilities.len(), notes.as_slice()), (2, &[Note::Preprocessing][..]), "{name}");
    }
}

#[test]
fn four_channels_are_refused_where_images_are_needed() {
    let Some(path) = case("four.keras") else { return };
    let model = weights::open(&ModelSpec::new(path.to_str().unwrap())).unwrap();
    let message = model.preprocessing().unwrap_err().to_string();
    assert!(message.contains("4 channels"), "{message}");
}

#[test]
fn logits_and_log_probabilities() {
    for (name, said) in
        [("logits.keras", "are logits"), ("logits.onnx", "are logits"), ("logsoftmax.onnx", "are log-probabilities")]
    {
        let Some((probabilities, notes)) = predicted(name, None) else { return };
        assert!(probabilities.len() > 2, "{name}");
        assert!(notes.iter().any(|note| note.to_string().contains(said)), "{name}: {notes:?}");
    }
}

#[test]
fn any_height_and_width() {
    for name in ["anysize.keras", "anysize.onnx"] {
        let Some((default, notes)) = predicted(name, None) else { return };
        assert!(notes.contains(&Note::Size([224, 224])), "{name}: {notes:?}");
        let (chosen, notes) = predicted(name, Some([48, 64])).unwrap();
        assert!(!notes.iter().any(|note| matches!(note, Note::Size(_))), "{name}: {notes:?}");
        assert_ne!(default, chosen);
    }
}

#[test]
fn a_rescaling_takes_raw_pixels() {
    let Some((_, notes)) = predicted("rescaling.keras", None) else { return };
    assert_eq!(notes, []);
    let model = weights::open(&ModelSpec::new(case("rescaling.keras").unwrap().to_str().unwrap())).unwrap();
    assert_eq!(model.preprocessing().unwrap().range(), [0.0, 255.0]);
}
