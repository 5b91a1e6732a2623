//! `lucida run`: arrays in, arrays out.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, stderr, stdout, text};
use lucida::files::{read_npy, write_npy};
use lucida::nn::layers::{Add, Conv2D, Dense, Flatten, Input};
use lucida::nn::{Network, Shape};
use lucida::weights::{Model, save_model};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with `line.keras` (2x3x2 images to 4 numbers), `two.onnx` (the sum of two vectors), and arrays for them.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let layers = [Conv2D::new(3, [1, 1]).into(), Flatten::new().into(), Dense::new(4).into()];
        place.save("line.keras", Network::sequential("line", [2, 3, 2], layers, 3).unwrap());
        let mut two = Network::builder("two");
        let inputs = ["left", "right"].map(|name| two.add_named(name, Input::new(Shape::flat(2)), &[]).unwrap());
        let sum = two.add_named("sum", Add::new(), &inputs).unwrap();
        place.save("two.onnx", two.build(&[sum], 1).unwrap());
        let values: Vec<f32> = (0..24).map(|value| value as f32 / 24.0).collect();
        write_npy(place.at("x.npy"), &[2, 2, 3, 2], &values).unwrap();
        write_npy(place.at("a.npy"), &[1, 2], &[1.0, 2.0]).unwrap();
        write_npy(place.at("b.npy"), &[1, 2], &[10.0, 20.0]).unwrap();
        place
    }

    fn at(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn save(&self, name: &str, network: Network) {
        save_model(&Model::new(network), Path::new(&self.at(name))).unwrap();
    }
}

#[test]
fn outputs_are_written_and_compared() {
    let place = Place::new();
    let (model, x, out) = (place.at("line.keras"), place.at("x.npy"), place.at("out"));
    let printed = run(["run", &model, "--input", &x, "--out", &out]);
    assert!(printed.contains("input input_layer: (2, 2, 3, 2) NHWC\noutput dense: (2, 4), from "), "{printed}");
    assert_eq!(names(Path::new(&out)), ["dense.npy"]);
    let dense = format!("{out}/dense.npy");
    let output = read_npy(&dense).unwrap();
    // The output is the file's own logits; no softmax is added as in a prediction.
    let expected = lucida::weights::load_model(&model).unwrap().run(&[read_npy(&x).unwrap()]).unwrap();
    assert_eq!((output.shape(), &output), (&[2, 4][..], &expected[0]));
    assert!(fail(1, ["run", &model, "--input", &x, "--out", &out]).contains("already exists"));

    let equal = run(["run", &model, "--input", &x, "--expect", &dense]);
    assert!(
        equal.contains("largest difference 0.000e0, mean difference 0.000e0: equal within the tolerance"),
        "{equal}"
    );
    let mut off = output.values().to_vec();
    off[5] += 0.5;
    write_npy(place.at("off.npy"), &[2, 4], &off).unwrap();
    let off = place.at("off.npy");
    let differs = lucida(["run", &model, "--input", &x, "--expect", &off]).output().unwrap();
    assert_eq!(differs.status.code(), Some(1));
    assert!(stdout(&differs).contains("largest difference 5.000e-1"), "{}", stdout(&differs));
    assert!(stdout(&differs).contains("1 of 8 values differ"), "{}", stdout(&differs));
    assert!(stderr(&differs).contains("outputs differ by more than the tolerance"), "{}", stderr(&differs));
    run(["run", &model, "--input", &x, "--expect", &off, "--tolerance", "0,0.51"]);
}

#[test]
fn json_says_the_same() {
    let place = Place::new();
    let (model, x) = (place.at("line.keras"), place.at("x.npy"));
    let found: Value = serde_json::from_str(&run(["run", &model, "--input", &x, "--json"])).unwrap();
    assert_eq!(found["inputs"][0]["axis_order"], "NHWC");
    assert_eq!(found["outputs"][0]["shape"], serde_json::json!([2, 4]));
    assert!(found.get("equal").is_none() && found["outputs"][0]["mean"].is_f64());
    write_npy(place.at("y.npy"), &[2, 4, 1], &[0.0; 8]).unwrap();
    let output = lucida(["run", &model, "--input", &x, "--expect", &place.at("y.npy"), "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &found["equal"]), (Some(1), &Value::Bool(false)));
    assert_eq!(found["outputs"][0]["difference"]["expected_shape"], serde_json::json!([2, 4, 1]));
}

#[test]
fn several_inputs_have_names() {
    let place = Place::new();
    let (model, a, b) = (place.at("two.onnx"), place.at("a.npy"), place.at("b.npy"));
    write_npy(place.at("sum.npy"), &[1, 2], &[11.0, 22.0]).unwrap();
    let sum = format!("sum={}", place.at("sum.npy"));
    let [left, right] = [format!("left={a}"), format!("right={b}")];
    for inputs in [[&right, &left], [&a, &b]] {
        run(["run", &model, "--input", inputs[0], "--input", inputs[1], "--expect", &sum]);
    }
    let problem = fail(1, ["run", &model, "--input", &left, "--input", &format!("up={b}")]);
    assert!(
        problem.contains("there is no input \"up\"; the model has the inputs \"left\" (batch, 2), \"right\""),
        "{problem}"
    );
    assert!(fail(1, ["run", &model, "--input", &a]).contains("1 array for 2 inputs"));
    assert!(fail(2, ["run", &model, "--input", &left, "--input", &b]).contains("give all arrays a name"));
}

#[test]
fn test_data_are_numbered() {
    let place = Place::new();
    let (model, set) = (place.at("two.onnx"), place.at("model/test_data_set_0"));
    fs::create_dir_all(&set).unwrap();
    fs::copy(place.at("a.npy"), format!("{set}/input_0.npy")).unwrap();
    // A TensorProto: dims, data type, raw_data.
    let raw: Vec<u8> = [10.0_f32, 20.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(format!("{set}/input_1.pb"), [&[8, 1, 8, 2, 0x10, 1, 0x4a, 8][..], &raw].concat()).unwrap();
    let problem = fail(1, ["run", &model, "--test-data", &set]);
    assert!(problem.contains("has no output_0.pb and no output_0.npy"), "{problem}");
    write_npy(format!("{set}/output_0.npy"), &[1, 2], &[11.0, 22.0]).unwrap();
    assert!(run(["run", &model, "--test-data", &set]).contains("equal within the tolerance"));
    let above = fail(1, ["run", &model, "--test-data", &place.at("model")]);
    assert!(above.contains("did you mean") && above.contains("test_data_set_0"), "{above}");
}

#[test]
fn what_cannot_be_run_says_what_to_give() {
    let place = Place::new();
    let missing = fail(2, ["run", &place.at("line.keras")]);
    assert!(
        missing.contains("the model takes the input input_layer (batch, 2, 3, 2), NHWC; give --input x.npy"),
        "{missing}"
    );
    let missing = fail(2, ["run", &place.at("two.onnx")]);
    assert!(
        missing.contains("left (batch, 2), right (batch, 2); give --input left=x.npy --input right=x.npy"),
        "{missing}"
    );
    let shape = fail(1, ["run", &place.at("line.keras"), "--input", &place.at("a.npy")]);
    assert!(shape.contains("has shape (1, 2); the network takes (batch, 2, 3, 2) (NHWC)"), "{shape}");
    fs::write(place.at("text.npy"), "hello, world").unwrap();
    let text = fail(1, ["run", &place.at("line.keras"), "--input", &place.at("text.npy")]);
    assert!(text.contains("neither a NumPy array"), "{text}");
    let none = fail(1, ["run", &place.at("line.keras"), "--input", &place.at("none.npy")]);
    assert!(none.contains("none.npy: cannot read"), "{none}");
}
