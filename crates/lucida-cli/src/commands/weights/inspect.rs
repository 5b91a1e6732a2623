//! `lucida weights inspect`

use std::fmt::Write as _;

use anyhow::Result;
use lucida::files;
use lucida::nn::{counted, summary};
use lucida::weights::{Inspection, inspect, load_model, model_file};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::WeightsInspect;
use crate::commands::{Context, ModelFile};

/// Maximum number of characters shown of an attribute.
const MAX_VALUE: usize = 200;

/// Output of `--json`.
#[derive(Serialize)]
struct InspectJson {
    file: String,
    format: &'static str,
    parameters: usize,
    tensors: Vec<TensorJson>,
    attributes: Map<String, Value>,
    /// In the structure of the format.
    architecture: Option<Value>,
}

#[derive(Serialize)]
struct TensorJson {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

pub(super) fn run(arguments: &WeightsInspect, context: Context) -> Result<()> {
    let input = ModelFile::of(&arguments.file)?;
    let path = &model_file(&input.path).unwrap_or_else(|| input.path.clone());
    let found = inspect(path)?;
    let file = if files::is_stdin(&arguments.file) { "standard input".to_owned() } else { path.display().to_string() };
    if arguments.json {
        let parameters = found.parameters();
        let tensors = found.tensors.into_iter();
        return context.output.json(&InspectJson {
            file,
            format: found.format,
            parameters,
            tensors: tensors
                .map(|tensor| TensorJson { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape })
                .collect(),
            attributes: found.attributes.into_iter().map(|(name, value)| (name, value.into())).collect(),
            architecture: found.architecture,
        });
    }
    let (tensors, parameters) = (counted(found.tensors.len(), "tensor"), counted(found.parameters(), "parameter"));
    context.output.result(&format!("{file}: {}, {tensors}, {parameters}", found.format))?;
    context.output.result(tables(&found).trim_end())?;
    if found.architecture.is_none() {
        return context.output.result("\nThe file describes no network");
    }
    match load_model(path) {
        Ok(model) => context.output.result(&format!("\n{}", summary(&model.network).trim_end())),
        Err(problem) => context.output.result(&format!("\nThe network in it cannot be used here: {problem}")),
    }
}

fn tables(found: &Inspection) -> String {
    let mut text = String::new();
    if !found.attributes.is_empty() {
        text += "\nattributes\n";
        let width = found.attributes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &found.attributes {
            let _ = writeln!(text, "  {name:<width$}  {}", shortened(value));
        }
    }
    if !found.tensors.is_empty() {
        text += "\ntensors\n";
        let width = found.tensors.iter().map(|tensor| tensor.name.chars().count()).max().unwrap_or(0);
        let dtype = found.tensors.iter().map(|tensor| tensor.dtype.chars().count()).max().unwrap_or(0);
        for tensor in &found.tensors {
            let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
            let (name, kind, shape) = (in_line(&tensor.name), in_line(&tensor.dtype), shape.join(", "));
            let _ = writeln!(text, "  {name:<width$}  {kind:<dtype$}  ({shape})");
        }
    }
    text
}

/// Truncates a value to a moderate length.
fn shortened(value: &str) -> String {
    let mut short: String = value.chars().take(MAX_VALUE).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    in_line(&short)
}

/// Replaces control characters, so that a text fits on one line.
fn in_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_harmless() {
        assert_eq!(shortened("a\nb\x1b[2J"), "a b [2J");
        let long = "ä".repeat(300);
        assert_eq!(shortened(&long).chars().count(), MAX_VALUE + 1);
    }
}
