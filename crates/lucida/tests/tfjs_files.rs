//! Small models written by TensorFlow.js (`tests/tfjs/fixtures.js`), in one file, in shards, and damaged.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::hostile::{random, rounds, soon};
use lucida::nn::{Network, Plan};
use lucida::weights::{self, ModelSpec};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tfjs/files")).join(name)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Compares the output for the recorded input with TensorFlow.js's prediction.
fn agrees(network: &Network) {
    let expected: Value = serde_json::from_slice(&fs::read(file("expected.json")).unwrap()).unwrap();
    let mut plan = Plan::builder(network).batch_size(2).build().unwrap();
    plan.input_mut().copy_from_slice(&numbers(&expected["input"]));
    plan.forward(network).unwrap();
    for (got, expected) in plan.output(0).iter().zip(numbers(&expected["output"])) {
        assert!((got - expected).abs() < 1e-6, "{got} for {expected}");
    }
}

#[test]
fn models_predict_what_tensorflow_js_predicts() {
    for name in ["whole/model.json", "shards/model.json"] {
        let mut network = weights::load_model(file(name)).unwrap_or_else(|problem| panic!("{problem}")).network;
        agrees(&network);
        network.weights_mut()[0].values_mut().fill(0.0);
        weights::load_weights(file(name), &mut network).unwrap();
        agrees(&network);
        assert_eq!(weights::inspect(file(name)).unwrap().parameters(), network.parameters().0);
    }
}

#[test]
fn class_names_come_from_the_metadata() {
    let model = weights::open(&ModelSpec::new(file("whole/model.json").to_str().unwrap())).unwrap();
    assert_eq!(model.class_names, ["cat", "dog", "bird"]);
}

/// Opens a copy of a model with modified JSON.
fn changed(folder: &Path, change: impl FnOnce(&mut Value)) -> lucida::Result<weights::Model> {
    for name in ["model.json", "weights.bin"] {
        fs::copy(file("whole").join(name), folder.join(name)).unwrap();
    }
    let path = folder.join("model.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(&path, json.to_string()).unwrap();
    soon(&path, || weights::load_model(&path))
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let message = changed(folder.path(), change).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    };
    changed(folder.path(), |_| {}).unwrap();
    refused(&|json| json["format"] = "graph-model".into(), "graph model");
    refused(&|json| json["modelTopology"] = Value::Null, "no modelTopology");
    refused(&|json| json["weightsManifest"] = Value::Null, "no weightsManifest");
    for name in ["../model.json", "/etc/hostname", "a/b", ""] {
        refused(&|json| json["weightsManifest"][0]["paths"][0] = name.into(), "not a plain name");
    }
    refused(&|json| json["weightsManifest"][0]["paths"][0] = "none.bin".into(), "none.bin");
    let first = |json: &mut Value, key: &str, value: Value| json["weightsManifest"][0]["weights"][0][key] = value;
    refused(&|json| first(json, "dtype", "string".into()), "\"string\"");
    refused(&|json| first(json, "shape", serde_json::json!([3, 3, 3, 5])), "cut short");
    refused(&|json| first(json, "shape", serde_json::json!([1_u64 << 40, 1_u64 << 40])), "cut short");
    refused(&|json| first(json, "shape", serde_json::json!([3, 3, 4, 3])), "has shape [3, 3, 3, 4]");
    refused(&|json| first(json, "shape", serde_json::json!([3, 3, 3, 3])), "belong to no tensor");
}

#[test]
fn damaged_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    changed(folder.path(), |_| {}).unwrap();
    let path = folder.path().join("model.json");
    let whole = fs::read(&path).unwrap();
    let mut random = random(7);
    for round in 0..rounds(300) {
        let mut damaged = whole.clone();
        match round % 3 {
            0 => damaged.truncate(random.below(whole.len())),
            _ => {
                for _ in 0..=round % 5 {
                    damaged[random.below(whole.len())] ^= 1 << random.below(8);
                }
            }
        }
        fs::write(&path, damaged).unwrap();
        if let Err(problem) = soon(&path, || weights::load_model(&path)) {
            assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }
}
