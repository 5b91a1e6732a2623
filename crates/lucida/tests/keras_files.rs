//! Small files written by Keras (`tests/keras/fixtures.py`): nested models, in each of Keras's formats.

use std::path::PathBuf;

use lucida::nn::{Network, Plan};
use lucida::weights::{self, Format};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keras/files")).join(name)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Compares the output for the recorded input with Keras's prediction.
fn agrees(name: &str, network: &Network) {
    let expected: Value = serde_json::from_slice(&std::fs::read(file("expected.json")).unwrap()).unwrap();
    let mut plan = Plan::builder(network).batch_size(2).build().unwrap();
    plan.input_mut().copy_from_slice(&numbers(&expected["input"]));
    plan.forward(network).unwrap();
    for (got, expected) in plan.output(0).iter().zip(numbers(&expected["output"])) {
        assert!((got - expected).abs() < 1e-6, "{name}: {got} for {expected}");
    }
}

const WHOLE: [&str; 4] = ["model.keras", "model.h5", "model_parts.h5", "model_npz.keras"];

#[test]
fn whole_models_predict_what_keras_predicts() {
    for name in WHOLE {
        let model = weights::load_model(file(name)).unwrap_or_else(|problem| panic!("{problem}"));
        agrees(name, &model.network);
        let names: Vec<_> = model.network.nodes().iter().map(|node| node.name()).collect();
        let expected = "stem stem_bn stem_relu left right mixed pool flatten hidden stem2 norm dropout last";
        assert_eq!(names[1..].join(" "), expected, "{name}");
        assert_eq!(model.training["not_imported"], serde_json::json!(["hidden: kernel_regularizer L2"]), "{name}");
        // The base was frozen, so its weights are not trainable.
        let trainable = |name: &str| model.network.weight(name).unwrap().trainable();
        assert!(!trainable("stem/kernel") && !trainable("right/bias") && trainable("hidden/kernel"), "{name}");
    }
}

/// `model_float64.h5` is big-endian, compressed, and starts after a user block of 2048 bytes.
#[test]
fn weights_of_other_precision_are_read() {
    let single = weights::load_model(file("model.h5")).unwrap().network;
    for (name, accuracy) in [("model_float16.h5", 1e-3), ("model_float64.h5", 0.0)] {
        assert_eq!(Format::of(file(name)).unwrap(), Format::KerasH5);
        let network = weights::load_model(file(name)).unwrap_or_else(|problem| panic!("{problem}")).network;
        for (a, b) in network.weights().iter().zip(single.weights()) {
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= accuracy * b.abs();
            assert!(a.values().iter().zip(b.values()).all(close), "{name}: {}", a.name());
        }
    }
}

#[test]
fn weights_alone_find_their_layers() {
    let model = weights::load_model(file("model.h5")).unwrap();
    for name in ["model.weights.h5", "model.keras", "model.h5", "model_parts.h5"] {
        let mut network = Network::from_architecture(&model.network.architecture()).unwrap();
        weights::load_weights(file(name), &mut network).unwrap_or_else(|problem| panic!("{problem}"));
        agrees(name, &network);
    }
}

#[test]
fn inspection_finds_all_tensors() {
    let parameters = weights::load_model(file("model.h5")).unwrap().network.parameters().0;
    for name in ["model.weights.h5", "model.keras", "model.h5", "model_parts.h5", "model_npz.keras"] {
        let inspection = weights::inspect(file(name)).unwrap();
        assert_eq!(inspection.parameters(), parameters, "{name}");
        assert_eq!(inspection.architecture.is_some(), !name.contains(".weights."), "{name}");
    }
}
