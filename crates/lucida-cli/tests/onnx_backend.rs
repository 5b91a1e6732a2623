//! ONNX's own test cases, run by `lucida run`: the `light` networks, and the graphs exported by PyTorch.
//!
//! They are part of the Python package `onnx`. `ONNX_BACKEND_DATA` is its folder `onnx/backend/test/data`; the test is
//! skipped with a message if it is not set:
//!
//! ```sh
//! ONNX_BACKEND_DATA=$(python -c 'import onnx; print(onnx.__path__[0])')/backend/test/data \
//!     cargo test --release -p lucida-cli --test onnx_backend -- --nocapture
//! ```

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{lucida, names, stderr, text};
use lucida::files::write_npy;
use serde_json::Value;

/// Number of cases in each group that must be equal.
const EQUAL_LIGHT: usize = 9;
const EQUAL_PYTORCH: usize = 99;

/// Operators without a corresponding layer: 3D images, embeddings and losses.
const LEFT_OUT: [&str; 7] = ["Conv3d", "AvgPool3d", "MaxPool3d", "BatchNorm3d", "Embedding", "NLLL", "ConvTranspose3d"];

/// The outcome of a case.
enum Outcome {
    Equal,
    Differs(String),
    Refused(String),
}

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("ONNX_BACKEND_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ONNX_BACKEND_DATA does not name the folder onnx/backend/test/data");
    }
    folder
}

/// Runs a case. An unsupported model must be a one-line error; a crash fails this test.
fn outcome(arguments: &[&str]) -> Outcome {
    let output = lucida(arguments.iter().copied().chain(["--tolerance", "1e-3,1e-5", "--json"])).output().unwrap();
    let message = stderr(&output).lines().last().unwrap_or_default().to_owned();
    // Drop the file path and the list of all supported operators.
    let reason = message.split_once(".onnx: ").map_or(message.as_str(), |(_, reason)| reason);
    let reason = reason.split_once(", only Abs").map_or(reason, |(reason, _)| reason).to_owned();
    match (output.status.code(), serde_json::from_slice::<Value>(&output.stdout)) {
        (Some(0), Ok(found)) if found["equal"] == true => Outcome::Equal,
        (Some(1), Ok(found)) => Outcome::Differs(found["outputs"].to_string()),
        (Some(1 | 2), Err(_)) if message.starts_with("error: ") => Outcome::Refused(reason),
        (code, _) => panic!("{arguments:?}: exit code {code:?}: {}", stderr(&output)),
    }
}

/// Prints one line per case, and returns the number of equal ones.
fn table(title: &str, cases: Vec<(String, Outcome)>) -> usize {
    let mut table = String::new();
    for (name, outcome) in &cases {
        let _ = match outcome {
            Outcome::Equal => writeln!(table, "{name:45} equal"),
            Outcome::Differs(what) => writeln!(table, "{name:45} differs  {what}"),
            Outcome::Refused(why) => writeln!(table, "{name:45} refused  {why}"),
        };
    }
    let equal = cases.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Equal)).count();
    println!("{table}{title}: {equal} of {} cases are equal", cases.len());
    equal
}

/// The shape of the only input, parsed from the error about missing inputs: `(batch, 3, 224, 224)`.
fn input_shape(model: &Path) -> Vec<usize> {
    let output = lucida(["run", text(model)]).output().unwrap();
    let message = stderr(&output);
    let sizes = message.split_once("(batch, ").and_then(|(_, rest)| rest.split_once(')'));
    let sizes = sizes.map(|(sizes, _)| sizes.split(", ").filter_map(|size| size.parse().ok()).collect());
    [vec![1], sizes.unwrap_or_default()].concat()
}

#[test]
fn networks_of_the_model_zoo_give_the_recorded_outputs() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("x.npy");
    let mut cases = Vec::new();
    for name in names(&data.join("light")).iter().filter_map(|name| name.strip_suffix(".onnx")) {
        let model = data.join("light").join(format!("{name}.onnx"));
        let shape = input_shape(&model);
        let len: usize = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|index| index as f32 / len as f32).collect();
        write_npy(&input, &shape, &values).unwrap();
        let expected = data.join("light").join(format!("{name}_output_0.pb"));
        let arguments = ["run", text(&model), "--input", text(&input), "--expect", text(&expected)];
        cases.push((name.to_owned(), outcome(&arguments)));
    }
    assert_eq!(cases.len(), 9, "the networks of light");
    assert!(table("light", cases) >= EQUAL_LIGHT);
}

#[test]
fn graphs_of_pytorch_give_the_recorded_outputs() {
    let Some(data) = data() else { return };
    let mut cases = Vec::new();
    for group in ["pytorch-converted", "pytorch-operator"] {
        for name in names(&data.join(group)).into_iter().filter(|name| LEFT_OUT.iter().all(|left| !name.contains(left)))
        {
            let folder = data.join(group).join(&name);
            let model = folder.join("model.onnx");
            let sets = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
            for set in sets {
                cases.push((name.clone(), outcome(&["run", text(&model), "--test-data", text(&set)])));
            }
        }
    }
    assert_eq!(cases.len(), 99, "the cases of PyTorch without those that are left out");
    assert!(table("pytorch", cases) >= EQUAL_PYTORCH);
}
