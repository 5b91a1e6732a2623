//! Compares small files written by PyTorch and tf2onnx (`tests/onnx/torch_fixtures.py`, `tests/onnx/tf_fixtures.py`) with
//! the results of PyTorch and Keras.

mod common;

use std::path::PathBuf;

use common::{Expected, shared};
use lucida::nn::{Network, Plan};
use lucida::weights::{self, Format, Model, onnx};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/files")).join(name)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Transposes `[batch, channels, height, width]` to `[batch, height, width, channels]`.
fn channels_last(values: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    let pixels = height * width;
    let image = |image: &[f32]| {
        (0..pixels)
            .flat_map(|pixel| (0..channels).map(move |c| (c, pixel)))
            .map(|(c, p)| image[c * pixels + p])
            .collect::<Vec<_>>()
    };
    values.chunks_exact(pixels * channels).flat_map(image).collect()
}

fn predict(network: &Network, input: &[f32]) -> Vec<f32> {
    let mut plan =
        Plan::builder(network).batch_size(input.len() / network.input_shape().unwrap().len()).build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward(network).unwrap();
    plan.output(0).to_vec()
}

fn load(name: &str) -> Network {
    weights::load_model(file(name)).unwrap_or_else(|problem| panic!("{problem}")).network
}

fn agrees(name: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let worst = got.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    eprintln!("{name}: largest difference {worst:.1e}");
    assert!(worst < 2e-6, "{name}: {got:?} for {expected:?}");
}

#[test]
fn networks_of_pytorch_compute_what_pytorch_computes() {
    let expected: Value = serde_json::from_slice(&std::fs::read(file("torch.json")).unwrap()).unwrap();
    for name in ["residual", "residual_unfolded", "pooled"] {
        let network = load(&format!("{name}.onnx"));
        let shape = network.input_shape().unwrap().as_image().unwrap();
        let input = channels_last(&numbers(&expected[name]["input"]), shape);
        agrees(name, &predict(&network, &input), &numbers(&expected[name]["output"]));
    }
}

#[test]
fn networks_of_keras_compute_what_keras_computes() {
    let expected: Value = serde_json::from_slice(&std::fs::read(file("tf.json")).unwrap()).unwrap();
    for name in ["keras_tf", "keras_tf_gray"] {
        let network = load(&format!("{name}.onnx"));
        agrees(name, &predict(&network, &numbers(&expected[name]["input"])), &numbers(&expected[name]["output"]));
    }
}

#[test]
fn layers_are_keras_layers_with_the_names_of_the_modules() {
    let layers = |name: &str| {
        let network = load(name);
        let layers: Vec<_> =
            network.nodes().iter().map(|node| format!("{}:{}", node.name(), node.layer().class_name())).collect();
        layers.join(" ")
    };
    assert_eq!(
        layers("keras_tf_gray.onnx"),
        "digit:Input conv_1:Conv2D max_pooling2d_1_1:MaxPooling2D flatten:Flatten out_1:Dense"
    );
    let pooled = "x:Input features_0:Conv2D features_2:ZeroPadding2D features_3:AveragePooling2D features_4:Conv2D \
                  global_average_pooling2d:GlobalAveragePooling2D global_average_pooling2d_1:GlobalAveragePooling2D \
                  add:Add classifier:Dense";
    assert_eq!(layers("pooled.onnx"), pooled);
}

#[test]
fn the_trained_mnist_network_survives_export() {
    let Some(path) = shared("golden/mnist_cnn.keras") else { return };
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let Some(images) = shared("data/mnist/t10k-images-idx3-ubyte.gz") else { return };
    let images = lucida::data::idx::read(&images, lucida::data::idx::Content::Images, &lucida::data::Limits::default())
        .unwrap()
        .data;
    let input: Vec<f32> = images[..7840].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let first = weights::load_model(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mnist.onnx");
    onnx::save_model(&Model::new(first.network.clone()), &path).unwrap();
    assert_eq!(Format::of(&path).unwrap(), Format::Onnx);
    assert_eq!(weights::inspect(&path).unwrap().parameters(), 113_514);
    let again = weights::load_model(&path).unwrap().network;
    assert_eq!(again.architecture(), first.network.architecture());
    for (a, b) in again.weights().iter().zip(first.network.weights()) {
        assert_eq!((a.name(), a.shape(), a.values()), (b.name(), b.shape(), b.values()));
    }
    let (got, expected) = (predict(&again, &input), expected.values("predict_first10"));
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-5));
}
