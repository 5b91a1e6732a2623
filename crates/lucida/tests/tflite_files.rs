//! Compares small files written by the TensorFlow Lite converter (`tests/tflite/fixtures.py`) with the results of the
//! interpreter and of Keras.

mod common;

use std::fs;
use std::path::PathBuf;

use lucida::core::Array;
use lucida::weights::{self, Model};
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

/// Output of a file for the recorded input of its network.
fn outputs(name: &str, kind: &str) -> Vec<f32> {
    let expected = &expected()[name];
    let shape: Vec<usize> = numbers(&expected["shape"]).into_iter().map(|size| size as usize).collect();
    let model = load(&format!("{name}_{kind}.tflite"));
    let input = Array::new(shape, numbers(&expected["input"])).unwrap();
    model.run(&[input]).unwrap_or_else(|problem| panic!("{problem}")).remove(0).into_values()
}

/// Largest difference, and largest absolute value.
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
    let files = [
        ("mobile", "float32"),
        ("mobile", "float16"),
        ("unet", "float32"),
        ("digits", "float32"),
        ("digits", "float16"),
        ("squeeze", "float32"),
        ("pointwise", "float32"),
        ("pointwise", "float16"),
        ("composed", "float32"),
    ];
    for (name, kind) in files {
        let (worst, largest) = difference(&outputs(name, kind), &numbers(&expected[name]["outputs"][kind]["output"]));
        eprintln!("{name} {kind}: {worst:.1e} of {largest}");
        assert!(worst < 1e-5 * largest, "{name} {kind}: {worst}");
    }
}

/// The interpreter rounds activations to 8 bits after each layer; Lucida does not.
#[test]
fn quantized_files_are_within_some_steps_of_the_interpreter() {
    let expected = expected();
    for (name, kind, steps) in [
        ("mobile", "int8", 2.0),
        ("unet", "int8", 5.0),
        ("digits", "int8", 2.0),
        ("digits", "uint8", 2.0),
        ("squeeze", "int8", 3.0),
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
fn the_converters_expressions_are_layers() {
    let names = |file: &str| {
        let network = load(file).network;
        network.nodes().iter().map(|node| node.name().to_owned()).collect::<Vec<_>>()
    };
    // A dilated convolution, nearest-neighbor upsampling, and activations become one layer each, with the original name.
    let layers = ["slide", "down1_1", "max_pooling2d_1", "down2_1", "average_pooling2d_1", "bottom_1"];
    let unet = [&layers[..], &["up3_1", "up1_1", "skip1_1", "mix_1", "up2_1", "skip2_1", "mask_1"]].concat();
    assert_eq!(names("unet_float32.tflite"), unet);
    assert_eq!(names("unet_int8.tflite")[..12], unet[..12]);
    assert_eq!(names("pointwise_float32.tflite")[3], "norm_1");
    assert_eq!(names("mobile_int8.tflite"), names("mobile_float32.tflite"));
}

#[test]
fn arrays_of_the_interpreter_are_dequantized() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let model = load("digits_uint8.tflite");
    let step = model.inputs()[0].quantization.unwrap();
    assert!(step.scale > 0.0 && model.outputs()[0].quantization.is_some());
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16, 16, 1), }";
    let bytes: Vec<u8> = (0..=255).collect();
    let file = [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), &bytes].concat();
    fs::write(&path, file).unwrap();
    let stored = weights::read_arrays(&path).unwrap().remove(0).1;
    let real: Vec<f32> = bytes.iter().map(|&byte| step.scale * (f32::from(byte) - step.zero)).collect();
    let expected = model.run(&[Array::new([1, 16, 16, 1], real).unwrap()]).unwrap();
    assert_eq!(model.run(std::slice::from_ref(&stored)).unwrap(), expected);
    // Like for a float file.
    let plain = Array::new(stored.shape(), stored.values().to_vec()).unwrap();
    let float = load("digits_float32.tflite");
    assert_eq!(float.run(&[stored]).unwrap(), float.run(&[plain]).unwrap());
}

#[test]
fn names_of_classes_and_the_normalization_are_read() {
    let model = load("digits_dynamic.tflite");
    assert_eq!(model.class_names.len(), 10);
    assert_eq!(model.class_name(3), "digit 3");
    let preprocessing = model.preprocessing.unwrap();
    assert_eq!((preprocessing.divisor, preprocessing.mean, preprocessing.std), (1.0, vec![127.5], vec![63.75]));
    // Bytes are the values of a quantized input.
    let model = load("digits_uint8.tflite");
    let step = model.inputs()[0].quantization.unwrap();
    let preprocessing = model.preprocessing.unwrap();
    assert_eq!((preprocessing.mean, preprocessing.std), (vec![step.zero], vec![1.0 / step.scale]));
    assert!(load("digits_float32.tflite").preprocessing.is_none());
}

#[test]
fn files_say_what_they_are() {
    let found = weights::inspect(file("mobile_int8.tflite")).unwrap();
    assert_eq!(found.format, "LiteRT (TensorFlow Lite)");
    assert!(found.tensors.iter().any(|tensor| tensor.dtype == "8-bit" && tensor.shape == [8, 3, 3, 3]));
    assert_eq!(found.parameters(), load("mobile_int8.tflite").network.parameters().0);
    let input = &found.attributes.iter().find(|(key, _)| key == "inputs").unwrap().1;
    assert!(input.starts_with("photo (?, 15, 14, 3) INT8, 0.0"), "{input}");
    let notes: Vec<String> = load("mobile_int8.tflite").notes.iter().map(ToString::to_string).collect();
    assert!(notes[0].starts_with("the file is quantized: weights are dequantized"), "{notes:?}");
    let mut network = load("digits_float32.tflite").network;
    network.weights_mut()[0].values_mut().fill(0.0);
    weights::load_weights(file("digits_float32.tflite"), &mut network).unwrap();
    let read = load("digits_float32.tflite").network;
    assert_eq!(network.weights()[0].values(), read.weights()[0].values());
}

#[test]
fn what_cannot_be_read_says_why() {
    let message = weights::load_model(file("unsupported.tflite")).unwrap_err().to_string();
    let expected = "operator TOPK_V2 that gives \"";
    assert!(message.contains(expected) && message.contains("is not supported; docs/models.md lists"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tflite");
    fs::write(&path, &fs::read(file("digits_int8.tflite")).unwrap()[..5000]).unwrap();
    let message = weights::load_model(&path).unwrap_err().to_string();
    assert!(message.contains("not a usable LiteRT model") && message.contains("cut short"), "{message}");
}
