//! `lucida evaluate` for multilabel and regression models.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use lucida::data::{Targets, save_skipped};
use lucida::files::{self, SetAside, csv_field, csv_number};
use lucida::nn::thousands;
use lucida::train::{TargetEvaluation, evaluate_targets, evaluate_targets_cached};
use lucida::weights::Model;
use serde_json::{Value, json};

use super::Context;
use super::evaluate::{SkippedJson, data_of};
use super::source::ImageSet;
use super::tables::table;
use crate::cli::Evaluate;
use crate::output::percent;

/// The table of skipped files.
const SKIPPED: &str = "skipped.csv";

/// Evaluates a model and prints metrics per label or value.
pub(super) fn run(
    arguments: &Evaluate,
    model: &Model,
    images: &ImageSet,
    (earlier, cache): (Option<&SetAside>, &Path),
    context: Context,
) -> Result<()> {
    let output = context.output;
    let evaluation = evaluation(model, images, cache, context).with_context(|| arguments.model.model.clone())?;
    let names = images.set().class_names();
    if let Some(folder) = arguments.out.as_ref().filter(|_| !images.skipped.is_empty()) {
        save_skipped(&images.skipped, folder.join(SKIPPED))?;
    }
    earlier.map_or(Ok(()), SetAside::discard)?;
    if let Some(path) = &arguments.csv {
        files::write_bytes(path, predictions(images, &evaluation).as_bytes())?;
    }
    if arguments.json {
        return output.json(&answer(arguments, images, &evaluation));
    }
    let count = thousands(evaluation.outputs.len());
    output.result(&format!("{} on {count} {}", arguments.model.model, images.origin))?;
    output.result(&summary(&evaluation))?;
    output.result(&by_target(names, &evaluation))?;
    if let Some(path) = &arguments.csv {
        output.also_written(path, "");
    }
    Ok(())
}

/// Evaluates the model. If a training run has cached the features of the images, only the head runs.
fn evaluation(model: &Model, images: &ImageSet, cache: &Path, context: Context) -> Result<TargetEvaluation> {
    if let Some(folder) = images.folder()
        && let Some(evaluation) = evaluate_targets_cached(model, folder, cache, context.cpu)?
    {
        return Ok(evaluation);
    }
    Ok(evaluate_targets(model, images.set(), context.cpu)?)
}

/// The loss and the metrics over all labels or values.
fn summary(evaluation: &TargetEvaluation) -> String {
    let metrics = evaluation.metrics.iter().map(|(name, value)| format!(", {} {value:.4}", name.replace('_', " ")));
    format!("loss {:.4}{}\n", evaluation.loss, metrics.collect::<String>())
}

/// A table with the metrics of each label or value.
fn by_target(names: &[String], evaluation: &TargetEvaluation) -> String {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let number = |number: Option<f64>| number.map_or("–".to_owned(), |number| format!("{number:.4}"));
    if let Targets::Values(_) = evaluation.targets {
        let rows = names.iter().enumerate().map(|(at, name)| {
            let scores = evaluation.value(at);
            vec![name.clone(), number(Some(scores.mae)), number(Some(scores.rmse)), number(scores.r2)]
        });
        return table(&["value", ">MAE", ">RMSE", ">R2"], rows);
    }
    let rows = names.iter().enumerate().map(|(at, name)| {
        let scores = evaluation.label(at);
        vec![
            name.clone(),
            thousands(scores.images),
            share(scores.precision),
            share(scores.recall),
            percent(scores.f1),
            number(scores.average_precision),
            number(scores.roc_auc),
        ]
    });
    table(&["label", ">images", ">precision", ">recall", ">F1", ">AP", ">ROC AUC"], rows)
}

/// Builds the output of `--json`.
fn answer(arguments: &Evaluate, images: &ImageSet, evaluation: &TargetEvaluation) -> Value {
    let names = images.set().class_names().iter().enumerate();
    let mut answer = json!({
        "model": arguments.model.model,
        "data": data_of(arguments),
        "images": evaluation.outputs.len(),
        "loss": evaluation.loss,
        "metrics": evaluation.metrics,
    });
    let (key, rows): (&str, Vec<Value>) = match evaluation.targets {
        Targets::Values(_) => {
            let row = |(at, name): (usize, &String)| {
                let scores = evaluation.value(at);
                json!({ "value": name, "mae": scores.mae, "rmse": scores.rmse, "r2": scores.r2 })
            };
            ("values", names.map(row).collect())
        }
        _ => {
            let row = |(at, name): (usize, &String)| {
                let scores = evaluation.label(at);
                json!({
                    "label": name,
                    "images": scores.images,
                    "precision": scores.precision,
                    "recall": scores.recall,
                    "f1": scores.f1,
                    "average_precision": scores.average_precision,
                    "roc_auc": scores.roc_auc,
                })
            };
            ("labels", names.map(row).collect())
        }
    };
    if let Some(entries) = answer.as_object_mut() {
        entries.insert(key.to_owned(), rows.into());
        entries.extend(images.part.map(|part| ("part".to_owned(), part.into())));
        if !images.skipped.is_empty() {
            entries.insert("skipped".to_owned(), json!(SkippedJson::of(images)));
        }
    }
    answer
}

/// CSV with the truth and the prediction of each label or value for every image.
fn predictions(images: &ImageSet, evaluation: &TargetEvaluation) -> String {
    let prefix = if let Targets::Values(_) = evaluation.targets { "value" } else { "p" };
    let mut text = "file".to_owned();
    for name in images.set().class_names() {
        let _ = write!(text, ",{},{}", csv_field(&format!("true_{name}")), csv_field(&format!("{prefix}_{name}")));
    }
    for (index, (outputs, truths)) in evaluation.outputs.iter().zip(&evaluation.truths).enumerate() {
        let _ = write!(text, "\n{}", csv_field(&images.name(index)));
        for (&output, &truth) in outputs.iter().zip(truths) {
            let _ = write!(text, ",{},{}", csv_number(truth), csv_number(output));
        }
    }
    text + "\n"
}
