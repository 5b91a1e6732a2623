//! Small files that the TensorFlow Lite converter has written (`tests/tflite/fixtures.py`), against what the interpreter
//! and Keras compute.

mod common;

use std::fs;
use std::path::PathBuf;

use lucida::core::Array;
use lucida::weights::{self, IncludeTop, Model, ModelSpec};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tflite/files")).join(name)
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(file("expected.json")).unwrap()).unwrap()
}

fn load(name: &str) -> Model {
    weights::load_model(file(name)).unwrap_or_else(|problem| panic!("{problem}"))
}

/// What a file gives for the recorded input of its network.
fn outputs(name: &str, kind: &str) -> Vec<f32> {
    let expected = &expected()[name];
    let shape: Vec<usize> = numbers(&expected["shape"]).into_iter().map(|size| size as usize).collect();
    let model = load(&format!("{name}_{kind}.tflite"));
    let input = Array::new(shape, numbers(&expected["input"])).unwrap();
    model.run(&[input]).unwrap_or_else(|problem| panic!("{problem}")).remove(0).into_values()
}

/// The largest difference, and the largest of all values.
fn difference(got: &[f32], expected: &[f32]) -> (f32, f32) {
    assert_eq!(got.len(), expected.len());
    let pairs = got.iter().zip(expected);
    let worst = pairs.fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(got.iter().all(|value| value.is_finite()));
    (worst, expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())))
}

#[test]
fn float_files_compute_what_the_interpreter_computes() {
    let expected = expected();
    let files =
        [("mobile", "float32"), ("mobile", "float16"), ("unet", "float32"), ("digits", "float32"), ("digits", "float16"),
            ("squeeze", "float32"), ("pointwise", "float32"), ("pointwise", "float16")];
    for (name, kind) in files {
        let (worst, largest) = difference(&outputs(name, kind), &numbers(&expected[name]["outputs"][kind]["output"]));
        eprintln!("{name} {kind}: {worst:.1e} of {largest}");
        assert!(worst < 1e-5 * largest, "{name} {kind}: {worst}");
    }
}

/// The interpreter rounds activations to 8 bits, layer by layer, and Lucida does not.
#[test]
fn quantized_files_are_within_some_steps_of_the_interpreter() {
    let expected = expected();
    for (name, kind, steps) in [
        ("mobile", "int8", 4.0),
        ("unet", "int8", 4.0),
        ("digits", "int8", 4.0),
        ("digits", "uint8", 4.0),
        ("squeeze", "int8", 4.0),
    ] {
        let recorded = &expected[name]["outputs"][kind];
        let (worst, _) = difference(&outputs(name, kind), &numbers(&recorded["output"]));
        let worst = worst / recorded["step"].as_f64().unwrap() as f32;
        eprintln!("{name} {kind}: {worst:.2} steps");
        assert!(worst < steps, "{name} {kind}: {worst} steps");
    }
    for (name, share) in [("mobile", 0.02), ("digits", 0.02), ("squeeze", 0.02)] {
        let (worst, largest) =
            difference(&outputs(name, "dynamic"), &numbers(&expected[name]["outputs"]["dynamic"]["output"]));
        eprintln!("{name} dynamic: {worst:.1e} of {largest}");
        assert!(worst < share * largest, "{name}: {worst}");
    }
}

#[test]
fn quantized_weights_are_those_that_they_stand_for() {
    let recorded = numbers(&expected()["digits"]["outputs"]["int8"]["dequantized"]);
    let (worst, largest) = difference(&outputs("digits", "int8"), &recorded);
    eprintln!("digits int8: {worst:.1e} of {largest}");
    assert!(worst < 1e-5 * largest, "{worst}");
}

#[test]
fn print() {
    for entry in fs::read_dir(file("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "tflite") {
            match weights::load_model(&path) {
                Ok(model) => {
                    eprintln!("== {} {:?} {:?}", path.display(), model.notes, model.preprocessing.is_some());
                    for node in model.network.nodes() {
                        eprintln!("{} {} {:?}", node.name(), node.shape(), node.layer());
                    }
                }
                Err(problem) => eprintln!("== {problem}"),
            }
        }
    }
}
