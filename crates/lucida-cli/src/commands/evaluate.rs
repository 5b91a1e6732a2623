//! `lucida evaluate`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lucida::data::{Skipped, TargetKind, save_skipped};
use lucida::files::{self, SetAside};
use lucida::model::{Predicted, Prediction};
use lucida::nn::thousands;
use lucida::plot;
use lucida::train::{CalibrationBin, Confusion, Evaluation, Origin, PredictionTable, evaluate, evaluate_cached};
use lucida::weights::hub::cache_folder;
use lucida::weights::{IncludeTop, Model, OutputKind, Outputs};
use serde::Serialize;

use super::source::ImageSet;
use super::{Context, evaluate_targets, is_for_digits, open_model, run_of};
use crate::cli::Evaluate;
use crate::output::percent;

/// File names of the figures, without extensions.
const FIGURE: &str = "confusion";
const CALIBRATION: &str = "calibration";
/// The table of skipped files.
const SKIPPED: &str = "skipped.csv";
/// The files written to `--out`.
const OUT_FILES: [&str; 5] = ["confusion.png", "confusion.svg", "calibration.png", "calibration.svg", SKIPPED];

/// Output of `--json`.
#[derive(Serialize)]
struct EvaluationJson<'a> {
    model: &'a str,
    data: String,
    /// The part of the folder, if it has parts or the model was trained on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a str>,
    images: u64,
    loss: f64,
    accuracy: f64,
    /// For two classes, that of the second; for more, the mean of the one-versus-rest values.
    roc_auc: Option<f64>,
    /// Macro averages over the classes; an undefined precision counts as zero.
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    calibration: CalibrationJson,
    class_names: &'a [String],
    /// One row per true class, one column per predicted class.
    confusion: Vec<&'a [u64]>,
    classes: Vec<ClassJson<'a>>,
    /// Images in which a digit model found no digit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_digit: Vec<String>,
    /// Files of the folder that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<SkippedJson<'a>>,
}

#[derive(Serialize)]
pub(super) struct SkippedJson<'a> {
    file: String,
    reason: &'a str,
}

impl<'a> SkippedJson<'a> {
    pub(super) fn of(images: &'a ImageSet) -> Vec<Self> {
        let unused = |skipped: &'a Skipped| Self { file: skipped.path.display().to_string(), reason: &skipped.reason };
        images.skipped.iter().map(unused).collect()
    }
}

#[derive(Serialize)]
struct CalibrationJson {
    /// Expected calibration error.
    error: f64,
    bins: Vec<CalibrationBinJson>,
}

#[derive(Serialize)]
struct CalibrationBinJson {
    images: usize,
    confidence: f64,
    accuracy: f64,
}

#[derive(Serialize)]
struct ClassJson<'a> {
    class: &'a str,
    images: u64,
    /// `null` if no image was predicted as this class.
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    /// One versus rest.
    roc_auc: Option<f64>,
}

pub(super) fn run(arguments: &Evaluate, context: Context) -> Result<()> {
    let context = context.claim_named(arguments.csv.as_deref(), arguments.force)?;
    let output = context.output;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let origin = Origin::load(run_of(Path::new(&arguments.model.model)).origin()).ok();
    let trained_on_rows = origin.as_ref().and_then(|origin| origin.labels.as_ref()?.targets);
    let may_be_rows =
        arguments.labels.labels.is_some() || trained_on_rows.is_some_and(|kind| kind != TargetKind::Classes);
    // Report problems with the model before reading images.
    if !may_be_rows {
        Outputs::of_classes(&model).with_context(|| arguments.model.model.clone())?;
    }
    let claim = |folder| files::claim_folder(folder, &OUT_FILES, arguments.force);
    let earlier = arguments.out.as_deref().map(claim).transpose()?;
    let images = ImageSet::part(arguments, origin.as_ref(), &model, context)?.labeled_for(&model, output)?;
    if images.are_builtin() {
        output.note("the built-in digits are part of MNIST's training set; --data mnist:DIR evaluates on its test set");
    }
    if images.set().targets().row_len() > 0 {
        let cache = cache(arguments)?;
        let files = (earlier.as_ref(), cache.as_path());
        return evaluate_targets::run(arguments, &model, &images, files, context);
    }
    let outputs = Outputs::of_classes(&model).with_context(|| arguments.model.model.clone())?;
    if outputs.kind() == OutputKind::Labels {
        output.note(
            "the model has labels of which several can hold, an image of a folder has one: the most probable counts",
        );
    }
    let evaluation = evaluation(&model, &images, arguments, context).with_context(|| arguments.model.model.clone())?;
    let all: Vec<usize> = (0..images.set().len()).collect();
    let blank = images.without_digit(&all, &model, context)?;
    let names = images.set().class_names();
    let mut written = Vec::new();
    if let Some(folder) = &arguments.out {
        written = save_folder(folder, &images, &evaluation)?;
    }
    earlier.as_ref().map_or(Ok(()), SetAside::discard)?;
    if let Some(path) = &arguments.csv {
        table(&model, &images, &evaluation, &blank).save(path)?;
    }
    if arguments.json {
        return output.json(&evaluation_json(arguments, &images, &evaluation, &blank));
    }
    let count = thousands(images.set().len());
    let (accuracy, loss) = (percent(evaluation.accuracy), evaluation.loss);
    output.result(&format!("{} on {count} {}", arguments.model.model, images.origin))?;
    output.result(&format!("accuracy {accuracy}, loss {loss:.4}"))?;
    output.result(&format!("{}\n", summary(&evaluation)))?;
    output.result(&classes(names, &evaluation.confusion))?;
    output.result(&matrix(names, &evaluation.confusion))?;
    if let Some(folder) = &arguments.out {
        output.also_written(folder, &written.join(", "));
    }
    if let Some(path) = &arguments.csv {
        output.also_written(path, "");
    }
    Ok(())
}

/// Writes the figures and, if files were skipped, a table of them. Returns the file names.
fn save_folder(folder: &Path, images: &ImageSet, evaluation: &Evaluation) -> Result<Vec<String>> {
    let names = images.set().class_names().to_vec();
    let matrix = plot::Confusion::new(names, evaluation.confusion.counts().to_vec())?;
    let confusion = matrix.title(format!("Confusion of {}", images.origin)).figure();
    let calibration = evaluation.calibration().chart().figure();
    let mut written = Vec::new();
    for (name, figure) in [(FIGURE, confusion), (CALIBRATION, calibration)] {
        figure.save_svg(folder.join(name).with_extension("svg"))?;
        figure.image(2.0)?.save_png(folder.join(name).with_extension("png"))?;
        written.extend([format!("{name}.png"), format!("{name}.svg")]);
    }
    if !images.skipped.is_empty() {
        save_skipped(&images.skipped, folder.join(SKIPPED))?;
        written.push(SKIPPED.to_owned());
    }
    Ok(written)
}

/// Evaluates the model. If a training run has cached the features of the images, only the head runs.
fn evaluation(model: &Model, images: &ImageSet, arguments: &Evaluate, context: Context) -> Result<Evaluation> {
    if let Some(folder) = images.folder()
        && let Some(evaluation) = evaluate_cached(model, folder, cache(arguments)?, context.cpu)?
    {
        return Ok(evaluation);
    }
    Ok(evaluate(model, images.set(), context.cpu)?)
}

/// The folder of cached features.
fn cache(arguments: &Evaluate) -> Result<PathBuf> {
    Ok(match &arguments.features {
        Some(folder) => folder.clone(),
        None => cache_folder()?.join("features"),
    })
}

/// The evaluation data as given on the command line.
pub(super) fn data_of(arguments: &Evaluate) -> String {
    let table = arguments.labels.labels.as_ref().or(arguments.labels.images.as_ref());
    table
        .map(|path| path.display().to_string())
        .or(arguments.data.as_ref().map(ToString::to_string))
        .unwrap_or_default()
}

fn evaluation_json<'a>(
    arguments: &'a Evaluate,
    images: &'a ImageSet,
    evaluation: &'a Evaluation,
    blank: &BTreeSet<usize>,
) -> EvaluationJson<'a> {
    let names = images.set().class_names();
    let confusion = &evaluation.confusion;
    let class = |(class, name): (usize, &'a String)| ClassJson {
        class: name,
        images: confusion.support(class),
        precision: confusion.precision(class),
        recall: confusion.recall(class),
        f1: confusion.f1(class),
        roc_auc: evaluation.roc_auc(class),
    };
    let calibration = evaluation.calibration();
    let bin = |bin: &CalibrationBin| CalibrationBinJson {
        images: bin.count,
        confidence: bin.confidence,
        accuracy: bin.accuracy,
    };
    EvaluationJson {
        model: &arguments.model.model,
        data: data_of(arguments),
        part: images.part,
        images: confusion.total(),
        loss: evaluation.loss,
        accuracy: evaluation.accuracy,
        roc_auc: evaluation.mean_roc_auc(),
        precision: confusion.macro_mean(Confusion::precision),
        recall: confusion.macro_mean(Confusion::recall),
        f1: confusion.macro_mean(Confusion::f1),
        calibration: CalibrationJson { error: calibration.error, bins: calibration.bins.iter().map(bin).collect() },
        class_names: names,
        confusion: confusion.counts().chunks(confusion.classes().max(1)).collect(),
        classes: names.iter().enumerate().map(class).collect(),
        without_digit: blank.iter().map(|&index| images.name(index)).collect(),
        skipped: SkippedJson::of(images),
    }
}

/// The table of predictions.
fn table(model: &Model, images: &ImageSet, evaluation: &Evaluation, blank: &BTreeSet<usize>) -> PredictionTable {
    let mut table = PredictionTable::new(OutputKind::Classes, images.set().class_names());
    if is_for_digits(model) {
        table = table.with_digit_found();
    }
    for (index, (&class, probabilities)) in evaluation.predicted.iter().zip(&evaluation.probabilities).enumerate() {
        let probabilities = probabilities.clone();
        let prediction = Prediction { class, probability: probabilities[class], probabilities };
        table.push(&images.name(index), images.label(index), &Predicted::Class(prediction), !blank.contains(&index));
    }
    table
}

/// A summary over all classes.
fn summary(evaluation: &Evaluation) -> String {
    let auc = evaluation.mean_roc_auc().map_or("–".to_owned(), |auc| format!("{auc:.4}"));
    let f1 = share(evaluation.confusion.macro_mean(Confusion::f1));
    format!("ROC AUC {auc}, macro F1 {f1}, calibration error {}", percent(evaluation.calibration().error))
}

fn share(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), percent)
}

/// A table of precision, recall and F1 per class, with their macro averages.
fn classes(names: &[String], confusion: &Confusion) -> String {
    const MEAN: &str = "macro average";
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(MEAN.len());
    let mut text = String::new();
    let mut row = |name: &str, images: &str, measures: [String; 3]| {
        let [precision, recall, f1] = measures;
        let _ = writeln!(text, "{name:<width$}  {images:>7}  {precision:>9}  {recall:>9}  {f1:>9}");
    };
    row("class", "images", ["precision", "recall", "F1"].map(str::to_owned));
    let measures: [fn(&Confusion, usize) -> Option<f64>; 3] = [Confusion::precision, Confusion::recall, Confusion::f1];
    for (class, name) in names.iter().enumerate() {
        let images = thousands(confusion.support(class) as usize);
        row(name, &images, measures.map(|measure| share(measure(confusion, class))));
    }
    let images = thousands(confusion.total() as usize);
    row(MEAN, &images, measures.map(|measure| share(confusion.macro_mean(measure))));
    let never: Vec<&str> = confusion.never_predicted().map(|class| names[class].as_str()).collect();
    if !never.is_empty() {
        let _ = writeln!(text, "never predicted (precision undefined, counted as 0): {}", never.join(", "));
    }
    text
}

/// The confusion matrix, with zeros as dots so that mistakes stand out.
fn matrix(names: &[String], confusion: &Confusion) -> String {
    let count = |truth, predicted| match confusion.at(truth, predicted) {
        0 => "·".to_owned(),
        count => count.to_string(),
    };
    let widest = confusion.counts().iter().map(|count| count.to_string().len()).max().unwrap_or(1);
    let name = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = widest.max(name);
    let mut text = "confusion matrix (rows: true classes, columns: predictions)\n".to_owned();
    let _ = write!(text, "{:name$}", "");
    names.iter().for_each(|name| text += &format!(" {name:>width$}"));
    for (truth, row) in names.iter().enumerate() {
        let _ = write!(text, "\n{row:<name$}");
        (0..names.len()).for_each(|predicted| text += &format!(" {:>width$}", count(truth, predicted)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut confusion = Confusion::new(2);
        (0..120).for_each(|_| confusion.count(0, 0));
        confusion.count(0, 1);
        let names = ["cat".to_owned(), "d".to_owned()];
        let text = matrix(&names, &confusion);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["    cat   d", "cat 120   1", "d     ·   ·"]);
        let text = classes(&names, &confusion);
        assert_eq!(text.lines().nth(1), Some("cat                121   100.00 %    99.17 %    99.59 %"));
        assert_eq!(text.lines().nth(2), Some("d                    0     0.00 %          –     0.00 %"));
        assert_eq!(text.lines().nth(3), Some("macro average      121    50.00 %    49.59 %    49.79 %"));
    }

    #[test]
    fn a_class_that_is_never_predicted_is_named() {
        let mut confusion = Confusion::new(2);
        (0..16).for_each(|sample| confusion.count(usize::from(sample >= 10), 0));
        let text = classes(&["cats", "dogs"].map(str::to_owned), &confusion);
        assert!(text.contains("dogs                 6          –     0.00 %     0.00 %\n"), "{text}");
        assert!(text.contains("macro average       16    31.25 %    50.00 %    38.46 %\n"), "{text}");
        assert!(text.ends_with("counted as 0): dogs\n"), "{text}");
    }
}
