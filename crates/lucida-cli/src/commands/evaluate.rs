//! `lucida evaluate`

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use lucida::data::{Skipped, save_skipped};
use lucida::nn::thousands;
use lucida::train::{
    CalibrationBin, Confusion, Evaluation, Predicted, Prediction, PredictionTable, evaluate, evaluate_remembered,
};
use lucida::weights::hub::cache_folder;
use lucida::weights::{Model, OutputKind, Outputs, Top};
use lucida::{files, plot};
use serde::Serialize;

use super::source::Pictures;
use super::{Context, open_model};
use crate::cli::Evaluate;
use crate::output::percent;

/// The names of the pictures, without their endings.
const PICTURE: &str = "confusion";
const CALIBRATION: &str = "calibration";
/// The table of the files that were skipped.
const SKIPPED: &str = "skipped.csv";

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    data: String,
    images: u64,
    loss: f64,
    accuracy: f64,
    /// Of two classes, that of the second; of more, the mean over them, each against all others.
    roc_auc: Option<f64>,
    /// The means over the classes.
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    calibration: Calibrated,
    class_names: &'a [String],
    /// A row for each true class, a column for each predicted one.
    confusion: Vec<&'a [u64]>,
    classes: Vec<Class<'a>>,
    /// Files of a folder that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Unused<'a>>,
}

#[derive(Serialize)]
struct Unused<'a> {
    file: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct Calibrated {
    /// The expected calibration error.
    error: f64,
    bins: Vec<Bin>,
}

#[derive(Serialize)]
struct Bin {
    images: usize,
    confidence: f64,
    accuracy: f64,
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    images: u64,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    /// Against all other classes.
    roc_auc: Option<f64>,
}

pub(super) fn run(arguments: &Evaluate, context: Context) -> Result<()> {
    let output = context.output;
    let model = open_model(&arguments.model.spec(Top::Needed), context)?;
    // What is wrong with the model is said before images are looked for.
    let outputs = Outputs::of(&model).with_context(|| arguments.model.model.clone())?;
    if outputs.kind() == OutputKind::Labels {
        output.note(
            "the model has labels of which several can hold, an image of a folder has one: the most probable counts",
        );
    }
    if let Some(folder) = &arguments.out {
        files::create_folder(folder)?;
    }
    let pictures = Pictures::load(&arguments.data, &model, arguments.strict, context)?.labelled_for(&model)?;
    if pictures.are_builtin() {
        output.note(
            "the built-in digits are training digits of MNIST: a model trained on them, or on MNIST, has seen them; \
             use --data mnist:DIR for test digits",
        );
    }
    let evaluation =
        evaluation(&model, &pictures, arguments, context).with_context(|| arguments.model.model.clone())?;
    let names = pictures.set().class_names();
    let mut written = Vec::new();
    if let Some(folder) = &arguments.out {
        let matrix = plot::Confusion::new(names.to_vec(), evaluation.confusion.counts().to_vec())?;
        let figure = matrix.title(format!("Confusion of {}", pictures.origin)).figure();
        figure.save_svg(&folder.join(PICTURE).with_extension("svg"))?;
        figure.picture(2.0)?.save_png(&folder.join(PICTURE).with_extension("png"))?;
        let figure = evaluation.calibration().chart().figure();
        figure.save_svg(&folder.join(CALIBRATION).with_extension("svg"))?;
        figure.picture(2.0)?.save_png(&folder.join(CALIBRATION).with_extension("png"))?;
        written.extend([PICTURE, CALIBRATION].iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]));
        if !pictures.skipped.is_empty() {
            save_skipped(&pictures.skipped, &folder.join(SKIPPED))?;
            written.push(SKIPPED.to_owned());
        }
    }
    if let Some(path) = &arguments.csv {
        table(&pictures, &evaluation).save(path)?;
    }
    if arguments.json {
        return output.json(&answer(arguments, names, &pictures.skipped, &evaluation));
    }
    let images = thousands(pictures.set().len());
    let (accuracy, loss) = (percent(evaluation.accuracy), evaluation.loss);
    output.result(&format!("{} on {images} {}", arguments.model.model, pictures.origin))?;
    output.result(&format!("accuracy {accuracy}, loss {loss:.4}"))?;
    output.result(&format!("{}\n", summary(&evaluation)))?;
    output.result(&classes(names, &evaluation.confusion))?;
    output.result(&matrix(names, &evaluation.confusion))?;
    if let Some(folder) = &arguments.out {
        output.info(&format!("Written to {}: {}", folder.display(), written.join(", ")));
    }
    Ok(())
}

/// Of images whose features a training has left in the cache, the head alone is run.
fn evaluation(model: &Model, pictures: &Pictures, arguments: &Evaluate, context: Context) -> Result<Evaluation> {
    if let Some(folder) = pictures.folder() {
        let cache = match &arguments.features {
            Some(folder) => folder.clone(),
            None => cache_folder()?.join("features"),
        };
        if let Some(evaluation) = evaluate_remembered(model, folder, &cache, context.cpu)? {
            return Ok(evaluation);
        }
    }
    Ok(evaluate(model, pictures.set(), context.cpu)?)
}

fn answer<'a>(
    arguments: &'a Evaluate,
    names: &'a [String],
    skipped: &'a [Skipped],
    evaluation: &'a Evaluation,
) -> Answer<'a> {
    let confusion = &evaluation.confusion;
    let class = |(class, name): (usize, &'a String)| Class {
        class: name,
        images: confusion.support(class),
        precision: confusion.precision(class),
        recall: confusion.recall(class),
        f1: confusion.f1(class),
        roc_auc: evaluation.roc_auc(class),
    };
    let calibration = evaluation.calibration();
    let bin = |bin: &CalibrationBin| Bin { images: bin.count, confidence: bin.confidence, accuracy: bin.accuracy };
    Answer {
        model: &arguments.model.model,
        data: arguments.data.to_string(),
        images: confusion.total(),
        loss: evaluation.loss,
        accuracy: evaluation.accuracy,
        roc_auc: evaluation.mean_roc_auc(),
        precision: confusion.macro_mean(Confusion::precision),
        recall: confusion.macro_mean(Confusion::recall),
        f1: confusion.macro_mean(Confusion::f1),
        calibration: Calibrated { error: calibration.error, bins: calibration.bins.iter().map(bin).collect() },
        class_names: names,
        confusion: confusion.counts().chunks(confusion.classes().max(1)).collect(),
        classes: names.iter().enumerate().map(class).collect(),
        skipped: skipped
            .iter()
            .map(|skipped| Unused { file: skipped.path.display().to_string(), reason: &skipped.reason })
            .collect(),
    }
}

/// What the model says about each picture.
fn table(pictures: &Pictures, evaluation: &Evaluation) -> PredictionTable {
    let mut table = PredictionTable::new(OutputKind::Classes, pictures.set().class_names());
    for (index, (&class, probabilities)) in evaluation.predicted.iter().zip(&evaluation.probabilities).enumerate() {
        let probabilities = probabilities.clone();
        let prediction = Prediction { class, probability: probabilities[class], probabilities };
        table.push(&pictures.name(index), pictures.label(index), &Predicted::Class(prediction));
    }
    table
}

/// What there is to say about all classes together.
fn summary(evaluation: &Evaluation) -> String {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let auc = evaluation.mean_roc_auc().map_or("–".to_owned(), |auc| format!("{auc:.4}"));
    let f1 = share(evaluation.confusion.macro_mean(Confusion::f1));
    format!("ROC AUC {auc}, mean F1 {f1}, calibration error {}", percent(evaluation.calibration().error))
}

/// Precision, recall and their mean for each class.
fn classes(names: &[String], confusion: &Confusion) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
    let mut text = format!("{:<width$}  {:>7}  {:>9}  {:>9}  {:>9}\n", "class", "images", "precision", "recall", "F1");
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    for (class, name) in names.iter().enumerate() {
        let (precision, recall, f1) = (confusion.precision(class), confusion.recall(class), confusion.f1(class));
        let _ = writeln!(
            text,
            "{name:<width$}  {:>7}  {:>9}  {:>9}  {:>9}",
            thousands(confusion.support(class) as usize),
            share(precision),
            share(recall),
            share(f1)
        );
    }
    text
}

/// The confusion matrix; what did not happen is a dot, so that mistakes stand out.
fn matrix(names: &[String], confusion: &Confusion) -> String {
    let count = |truth, predicted| match confusion.at(truth, predicted) {
        0 => "·".to_owned(),
        count => count.to_string(),
    };
    let widest = confusion.counts().iter().map(|count| count.to_string().len()).max().unwrap_or(1);
    let name = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = widest.max(name);
    let mut text = "confusion matrix: a row for each true class, a column for each predicted one\n".to_owned();
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
        assert_eq!(text.lines().nth(1), Some("cat        121   100.00 %    99.17 %    99.59 %"));
        assert_eq!(text.lines().nth(2), Some("d            0     0.00 %          –          –"));
    }
}
