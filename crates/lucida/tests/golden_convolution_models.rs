//! Whole networks of depthwise, separable, grouped and transposed convolutions, as Keras, PyTorch and tf2onnx write them,
//! against what their frameworks compute.

mod common;

use common::{Expected, difference, shared};
use lucida::nn::Plan;
use lucida::weights;

/// `max|a - b| <= TOLERANCE max|b|`.
const TOLERANCE: f64 = 1e-4;

/// Channels last: (sample, channel, row, column) as (sample, row, column, channel).
fn channels_last((shape, values): (Vec<usize>, Vec<f32>), layout: &str) -> Vec<f32> {
    let &[samples, channels, rows, columns] = &shape[..] else { return values };
    if layout != "NCHW" {
        return values;
    }
    let mut turned = Vec::with_capacity(values.len());
    for sample in 0..samples {
        for pixel in 0..rows * columns {
            turned.extend((0..channels).map(|channel| values[(sample * channels + channel) * rows * columns + pixel]));
        }
    }
    turned
}

fn agrees(folder: &str, files: &[&str]) {
    let Some(expected) = Expected::open(&format!("models/{folder}/expected.safetensors")) else { return };
    let layout = expected.metadata("layout");
    let input = channels_last(expected.get("input"), &layout);
    let output = channels_last(expected.get("output.0"), &layout);
    for file in files {
        let path = shared(&format!("golden/models/{folder}/{file}")).unwrap();
        let network = weights::load_model(path).unwrap_or_else(|problem| panic!("{folder}/{file}: {problem}")).network;
        let mut plan = Plan::builder(&network).batch_size(2).build().unwrap();
        plan.input_mut().copy_from_slice(&input);
        plan.forward(&network).unwrap();
        let difference = difference(plan.output(0), &output);
        eprintln!("{folder}/{file}: relative difference {difference:.1e}");
        assert!(difference <= TOLERANCE, "{folder}/{file}: {difference:.1e}");
    }
}

#[test]
fn xception() {
    agrees("keras_xception", &["model.keras", "model.h5"]);
}

#[test]
fn mobilenet_v2() {
    agrees("keras_mobilenet_v2", &["model.keras", "model.h5", "tf2onnx.onnx"]);
}

#[test]
fn mobilenet_v2_of_torchvision() {
    agrees("torch_mobilenet_v2", &["classic.onnx"]);
}

#[test]
fn resnext() {
    agrees("torch_resnext", &["classic.onnx"]);
}

#[test]
fn u_nets_with_transposed_convolutions() {
    agrees("keras_unet_transpose", &["model.keras", "model.h5", "tf2onnx.onnx"]);
    agrees("torch_unet", &["classic.onnx"]);
}
