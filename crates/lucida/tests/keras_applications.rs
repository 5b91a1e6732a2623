//! Compares Lucida's networks with Keras's applications, with the files that `tests/keras/applications.py` writes. They are
//! large: the environment variable `LUCIDA_KERAS_APPLICATIONS` specifies their folder; without it the test is skipped.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use lucida::nn::applications::{self, Options};
use lucida::nn::{Network, Plan};
use lucida::weights::keras_h5;
use serde::Deserialize;

/// Tolerance relative to the largest value: sums over hundreds of layers are computed in a different order.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Expected {
    layers: Vec<String>,
    parameters: usize,
    parameters_without_top: usize,
    size: usize,
    before_top: String,
    input: Vec<f32>,
    features: Vec<f32>,
    output: Vec<f32>,
}

#[test]
fn known_networks_are_those_of_keras() {
    let Some(folder) = std::env::var_os("LUCIDA_KERAS_APPLICATIONS").map(PathBuf::from) else {
        eprintln!("skipped: LUCIDA_KERAS_APPLICATIONS names no folder with files of tests/keras/applications.py");
        return;
    };
    let mut problems = Vec::new();
    for known in applications::ALL {
        let path = folder.join(format!("{}.json", known.name));
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let expected: Expected = serde_json::from_str(&text).unwrap();
        if let Err(problem) = compare(known, &folder, &expected) {
            problems.push(format!("{}: {problem}", known.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn compare(known: &applications::Architecture, folder: &Path, expected: &Expected) -> Result<(), String> {
    let options = Options::default().size(expected.size, expected.size);
    let network = known.build(&options).map_err(|problem| problem.to_string())?;
    // Keras includes the number of images that EfficientNet's normalization was adapted to.
    let counts = usize::from(known.name.starts_with("efficientnet-b"));
    let parameters = [known.parameters + counts, known.parameters_without_top.unwrap_or(0) + counts];
    if network.parameters().0 != known.parameters
        || parameters != [expected.parameters, expected.parameters_without_top]
    {
        return Err(format!("{parameters:?} parameters, Keras has {}", expected.parameters));
    }
    check_names(&network, &expected.layers)?;
    let mut largest = [0.0_f32; 2];
    for file in [format!("{}.h5", known.name), format!("{}.order.h5", known.name)] {
        let file = folder.join(file);
        if !file.exists() {
            continue;
        }
        let mut network = network.clone();
        keras_h5::load_weights(&file, &mut network).map_err(|problem| problem.to_string())?;
        let found = outputs(&network, expected)?;
        for (largest, (found, expected)) in
            largest.iter_mut().zip(found.iter().zip([&expected.features, &expected.output]))
        {
            *largest = largest.max(difference(found, expected)?);
        }
    }
    eprintln!(
        "{:<24} {:>11} parameters, features {:.1e}, output {:.1e}",
        known.name, expected.parameters, largest[0], largest[1]
    );
    if largest.iter().all(|&largest| largest <= TOLERANCE) { Ok(()) } else { Err(format!("differs by {largest:?}")) }
}

/// All of Keras's layers must exist. Additional layers are arithmetic that Keras does not list as layers.
fn check_names(network: &Network, layers: &[String]) -> Result<(), String> {
    let found: HashSet<&str> = network.nodes().iter().map(|node| node.name()).collect();
    let missing: Vec<&String> = layers.iter().filter(|layer| !found.contains(layer.as_str())).collect();
    let known: HashSet<&str> = layers.iter().map(String::as_str).collect();
    let is_arithmetic = |name: &str| {
        name.ends_with("_scale")
            || matches!(name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_'), "add" | "multiply")
    };
    let extra: Vec<&&str> = found.iter().filter(|name| !known.contains(**name) && !is_arithmetic(name)).collect();
    if missing.is_empty() && extra.is_empty() { Ok(()) } else { Err(format!("lacks {missing:?}, has {extra:?}")) }
}

/// Features before the classifier, and the output.
fn outputs(network: &Network, expected: &Expected) -> Result<[Vec<f32>; 2], String> {
    let last = network.output().map_err(|problem| problem.to_string())?.name().to_owned();
    let plan = Plan::builder(network).output(expected.before_top.as_str()).output(last.as_str());
    let mut plan = plan.build().map_err(|problem| problem.to_string())?;
    plan.input_mut().copy_from_slice(&expected.input);
    plan.forward(network).map_err(|problem| problem.to_string())?;
    Ok([plan.output(0).to_vec(), plan.output(1).to_vec()])
}

fn difference(found: &[f32], expected: &[f32]) -> Result<f32, String> {
    if found.len() != expected.len() {
        return Err(format!("{} values, Keras has {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let mut difference = 0.0_f32;
    for (&found, &expected) in found.iter().zip(expected) {
        if !found.is_finite() {
            return Err("a value is not finite".into());
        }
        difference = difference.max((found - expected).abs());
    }
    Ok(difference / largest)
}
