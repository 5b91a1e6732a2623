//! `lucida run`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lucida::core::Array;
use lucida::core::array::Difference;
use lucida::files;
use lucida::model::{ArraySpec, arrange};
use lucida::weights::{Model, Note, read_arrays};
use serde::Serialize;

use super::tables::file_name;
use super::{Context, with_model_file};
use crate::cli::{ArrayFile, Run};
use crate::exit::Usage;

/// Maximum number of files read from a folder of test data.
const MAX_TEST_FILES: usize = 1000;

/// Output of `--json`.
#[derive(Serialize)]
struct RunJson<'a> {
    model: &'a str,
    inputs: Vec<InputJson>,
    outputs: Vec<OutputJson>,
    /// Whether all outputs are within the tolerance, if expected outputs are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    equal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a Path>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

#[derive(Serialize)]
struct InputJson {
    name: String,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    axis_order: Option<&'static str>,
}

#[derive(Serialize)]
struct OutputJson {
    #[serde(flatten)]
    array: InputJson,
    min: f32,
    max: f32,
    mean: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

pub(super) fn run(arguments: &Run, context: Context) -> Result<()> {
    let model = with_model_file(&arguments.spec(), lucida::weights::open)?;
    // Notes on preprocessing and input size do not matter for arrays.
    let notes = model.notes.iter().filter(|note| matches!(note, Note::Other(_) | Note::Task(_)));
    notes.for_each(|note| context.output.note(&note.to_string()));
    let (inputs, expected) = match &arguments.test_data {
        Some(folder) => (test_arrays(folder, "input")?, test_arrays(folder, "output")?),
        None => (arrays(&arguments.input)?, arrays(&arguments.expect)?),
    };
    if inputs.is_empty() {
        return Err(Usage(missing_input(&model)).into());
    }
    let inputs = arrange(&model.inputs(), "input", inputs)?;
    let has_expected = !expected.is_empty();
    let expected = if has_expected { arrange(&model.outputs(), "output", expected)? } else { Vec::new() };
    let outputs = lucida::model::run(&model, &inputs, context.cpu)?;
    let files = match &arguments.out {
        Some(folder) => write(folder, &model.outputs(), &outputs, arguments.force)?,
        None => Vec::new(),
    };
    let differences =
        outputs.iter().zip(&expected).map(|(output, expected)| output.compare(expected, arguments.tolerance));
    let differences: Vec<Difference> = differences.collect();
    let equal = differences.iter().all(|difference| difference.equal);
    if arguments.json {
        let found = RunJson {
            model: &arguments.model,
            inputs: model.inputs().into_iter().zip(&inputs).map(|(spec, array)| input_json(spec, array)).collect(),
            outputs: output_json(&model, &outputs, &differences),
            equal: has_expected.then_some(equal),
            folder: arguments.out.as_deref(),
            files,
        };
        context.output.json(&found)?;
    } else {
        context.output.result(&text(&model, &inputs, &outputs, &differences))?;
        if let Some(folder) = &arguments.out {
            context.output.written(folder, &files.join(", "))?;
        }
    }
    if !equal {
        bail!("{}: outputs differ by more than the tolerance of {}", arguments.model, described(arguments));
    }
    Ok(())
}

fn described(arguments: &Run) -> String {
    let tolerance = arguments.tolerance;
    format!("{} relative and {} absolute (--tolerance)", tolerance.relative, tolerance.absolute)
}

/// Reads the arrays in the files named on the command line.
fn arrays(files: &[ArrayFile]) -> Result<Vec<(Option<String>, Array)>> {
    let mut arrays = Vec::new();
    for file in files {
        let read = read_arrays(&file.path)?;
        match (&file.name, read.len()) {
            (None, _) => arrays.extend(read),
            (Some(name), 1) => arrays.extend(read.into_iter().map(|(_, array)| (Some(name.clone()), array))),
            (Some(name), count) => bail!("{}: has {count} arrays, not one for {name:?}", file.path.display()),
        }
    }
    let named = arrays.iter().filter(|(name, _)| name.is_some()).count();
    if named != 0 && named != arrays.len() {
        return Err(
            Usage("give all arrays a name, as in --input left=a.npy --input right=b.npy, or none".into()).into()
        );
    }
    Ok(arrays)
}

/// Reads the arrays `input_0`, `input_1`, ... (or `output_0`, ...) of a folder of test data.
fn test_arrays(folder: &Path, what: &str) -> Result<Vec<(Option<String>, Array)>> {
    let file = |number: usize| -> Option<PathBuf> {
        let named = |ending| folder.join(format!("{what}_{number}.{ending}"));
        ["pb", "npy"].map(named).into_iter().find(|path| path.exists())
    };
    let mut arrays = Vec::new();
    for path in (0..MAX_TEST_FILES).map_while(file) {
        arrays.extend(read_arrays(&path)?.into_iter().take(1).map(|(_, array)| (None, array)));
    }
    if arrays.is_empty() {
        let set = folder.join("test_data_set_0");
        let hint = if set.is_dir() { format!("; did you mean {}?", set.display()) } else { String::new() };
        bail!("{}: has no {what}_0.pb and no {what}_0.npy{hint}", folder.display());
    }
    Ok(arrays)
}

/// The error if no input was given: the inputs that the model expects.
fn missing_input(model: &Model) -> String {
    let specs = model.inputs();
    let each: Vec<String> = specs.iter().map(|spec| format!("{} {}", spec.name, shape(spec))).collect();
    let several = if specs.len() == 1 { "" } else { "s" };
    let example = match specs.as_slice() {
        [_] => "--input x.npy".to_owned(),
        _ => specs.iter().map(|spec| format!("--input {}=x.npy", spec.name)).collect::<Vec<_>>().join(" "),
    };
    format!("--input is missing: the model takes the input{several} {}; give {example}", each.join(", "))
}

/// A shape with its axis order: `(batch, 3, 224, 224), NCHW`.
fn shape(spec: &ArraySpec) -> String {
    let order = spec.axis_order.map(|order| format!(", {order}")).unwrap_or_default();
    format!("{}{order}", spec.shape_text())
}

fn input_json(spec: ArraySpec, array: &Array) -> InputJson {
    InputJson { name: spec.name, shape: array.shape().to_vec(), axis_order: spec.axis_order }
}

fn output_json(model: &Model, outputs: &[Array], differences: &[Difference]) -> Vec<OutputJson> {
    let each = model.outputs().into_iter().zip(outputs).enumerate().map(|(place, (spec, array))| {
        let (min, max, mean) = array.range();
        OutputJson { array: input_json(spec, array), min, max, mean, difference: differences.get(place).cloned() }
    });
    each.collect()
}

fn text(model: &Model, inputs: &[Array], outputs: &[Array], differences: &[Difference]) -> String {
    let order = |spec: &ArraySpec| spec.axis_order.map(|order| format!(" {order}")).unwrap_or_default();
    let mut text = String::new();
    for (spec, array) in model.inputs().iter().zip(inputs) {
        let _ = writeln!(text, "input {}: {}{}", spec.name, array.shape_text(), order(spec));
    }
    for (place, (spec, array)) in model.outputs().iter().zip(outputs).enumerate() {
        let (min, max, mean) = array.range();
        let shape = array.shape_text();
        let _ =
            writeln!(text, "output {}: {shape}{}, from {min:.6} to {max:.6}, mean {mean:.6}", spec.name, order(spec));
        if let Some(difference) = differences.get(place) {
            let _ = writeln!(text, "  {difference}");
        }
    }
    text.trim_end().to_owned()
}

/// Writes each output to a file with its name, and returns the file names.
fn write(folder: &Path, specs: &[ArraySpec], outputs: &[Array], force: bool) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(specs.len());
    for (place, spec) in specs.iter().enumerate() {
        let name = format!("{}.npy", file_name(None, &spec.name));
        let taken = names.iter().any(|other| other.eq_ignore_ascii_case(&name));
        names.push(if taken { format!("{}_{place}.npy", file_name(None, &spec.name)) } else { name });
    }
    let claimed: Vec<&str> = names.iter().map(String::as_str).collect();
    let earlier = files::claim_folder(folder, &claimed, force)?;
    for (name, array) in names.iter().zip(outputs) {
        files::write_npy(folder.join(name), array.shape(), array.values())?;
    }
    earlier.discard()?;
    Ok(names)
}
