//! Compares EfficientNet-Lite0 with its published weights with PyTorch in float64.

mod common;

use common::{Expected, difference, first_channels, shared};
use lucida::nn::{Plan, TensorRef};
use lucida::prelude::*;
use lucida::weights;

/// `max|a - b| <= TOLERANCE max|b|`.
const VALUES: f64 = 1e-4;
/// For L2 norms: differences in the last bit flip a ReLU6 here and there.
const GRADIENTS: f64 = 1e-2;

fn agree(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let difference = difference(got, expected);
    assert!(difference <= VALUES, "{what}: {difference:.1e}");
}

/// The built-in, rounded weights agree with the published ones.
#[test]
fn the_builtin_classifier_names_the_same_classes() {
    let Some(expected) = Expected::open("efficientnet_lite0_expected.safetensors") else { return };
    let model = weights::builtin_classifier().unwrap();
    let (shape, images) = expected.bytes("images");
    let images: Vec<Image> = images
        .chunks(shape[1] * shape[2] * 3)
        .map(|pixels| Image::new(shape[2], shape[1], 3, pixels.to_vec()).unwrap())
        .collect();
    let probabilities = expected.values("top5_probabilities");
    let logits = expected.values("logits");
    for (index, predicted) in model.predict(&images).unwrap().iter().enumerate() {
        let Predicted::Class(found) = predicted else { panic!("a softmax predicts a class") };
        let top = weights::argmax(&logits[index * 1000..][..1000]);
        assert_eq!(found.class, top, "image {index}");
        let difference = (found.probabilities[top] - probabilities[index * 5]).abs();
        assert!(difference < 0.05, "image {index}: {difference}");
    }
    assert_eq!(model.class_names[282], "tiger cat");
}

#[test]
fn logits_activations_and_gradients() {
    let Some(expected) = Expected::open("efficientnet_lite0_expected.safetensors") else { return };
    let Some(path) = shared("data/weights/efficientnet-lite0-57934424.pth") else { return };
    let model = weights::load_model(&path).unwrap();
    assert_eq!(model.network.name(), "efficientnet-lite0");
    let network = &model.network;
    let (shape, images) = expected.bytes("images");
    let batch = shape[0];
    let logits = TensorRef::before_activation("_fc");
    let mut plan = Plan::builder(network)
        .batch_size(batch)
        .output(logits.clone())
        .output("_conv_stem_activation")
        .output("_blocks.4")
        .output("_blocks.10")
        .output("_conv_head_activation")
        .grad_output_at(logits)
        .input_gradient()
        .build()
        .unwrap();
    let size = images.len() / batch;
    for (image, input) in images.chunks(size).zip(plan.input_mut().chunks_mut(size)) {
        let image = Image::new(shape[2], shape[1], 3, image.to_vec()).unwrap();
        model.preprocessing().unwrap().apply(&image, input).unwrap();
    }
    plan.forward(network).unwrap();
    agree("logits", plan.output(0), &expected.values("logits"));
    for (index, (name, channels)) in
        [("stem", 2), ("block4", 16), ("block10", 16), ("head", 64)].into_iter().enumerate()
    {
        let all = plan.output_shape(index + 1).channels();
        let got = first_channels(plan.output(index + 1), all, channels);
        agree(name, &got, &expected.values(&format!("activation.{name}")));
    }
    let tops: Vec<usize> = plan.output(0).chunks(1000).map(weights::argmax).collect();
    let gradient = plan.grad_output_mut(0);
    gradient.fill(0.0);
    tops.iter().enumerate().for_each(|(image, top)| gradient[image * 1000 + top] = 1.0);
    plan.backward(network);
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let wanted = expected.values("grad_input");
    let got = plan.input_gradient().unwrap();
    let mut apart = got.iter().zip(&wanted).map(|(a, b)| f64::from(a - b));
    let relative = norm(&mut apart) / norm(&mut wanted.iter().map(|&value| f64::from(value)));
    assert!(relative <= GRADIENTS, "gradient of the inputs: {relative:.1e}");
}
