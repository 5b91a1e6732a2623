//! `lucida predict`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use lucida::batch_jobs::lines;
use lucida::data::{Image, Limits};
use lucida::model::{LABEL_THRESHOLD, Predicted, Prediction, PredictionRecord, Predictor, predict, predict_set};
use lucida::train::PredictionTable;
use lucida::weights::{IncludeTop, Model, Outputs};
use serde::Serialize;
use serde_json::Value;

use super::bulk::{Job, answer};
use super::source::ImageSet;
use super::{Context, finds_digit, is_for_digits, note_blank, open_model, predict_watch};
use crate::arguments::{Indices, Source};
use crate::cli::Predict;
use crate::cli::place::{free, name_of};
use crate::exit::{self, Reported, Usage};
use crate::output::{Output, percent};

/// Limits for images held in memory at once, in number and in bytes: photos are large, digits many.
const MAX_IMAGES: usize = 256;
const MAX_BYTES: usize = 256 << 20;

/// Above this number of classes, a single image gets a table of the most likely ones.
const MANY_CLASSES: usize = 10;
const TOP: usize = 5;

/// Output of `--json`.
#[derive(Serialize)]
struct PredictJson<'a> {
    model: &'a str,
    class_names: Vec<String>,
    predictions: Vec<PredictionJson>,
    /// Images that could not be read.
    errors: Vec<FailedImageJson>,
}

#[derive(Serialize)]
struct PredictionJson {
    #[serde(flatten)]
    input: Input,
    #[serde(flatten)]
    record: PredictionRecord,
}

/// The classified image.
#[derive(Serialize)]
#[serde(untagged)]
enum Input {
    Image {
        image: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    Digit {
        index: usize,
        label: String,
    },
}

/// A classified image, with its names and remarks.
struct Classified {
    /// Its name in tables.
    name: String,
    /// Its name in messages.
    title: String,
    /// Text printed after the prediction.
    remark: String,
    input: Input,
    digit_found: bool,
}

#[derive(Serialize)]
pub(super) struct FailedImageJson {
    pub(super) image: String,
    pub(super) error: String,
}

pub(super) fn run(arguments: &Predict, context: Context) -> Result<()> {
    if arguments.bulk.distributed.is_some() {
        return share(arguments, context);
    }
    if let Some(folder) = &arguments.watch {
        return predict_watch::run(arguments, folder, context);
    }
    if let (Some(source @ Source::Mnist(_)), None) = (&arguments.data, &arguments.index) {
        // Report problems with the folder first.
        ImageSet::list(source, context)?;
        return Err(
            Usage("--index is missing: it says which of the digits are meant, as in --index 0..10".to_owned()).into()
        );
    }
    let context = context.claim_named(arguments.csv.as_deref(), arguments.force)?;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let outputs = Outputs::of(&model).with_context(|| arguments.model.model.clone())?;
    let class_names: Vec<String> = (0..outputs.count()).map(|class| model.class_name(class)).collect();
    let table = arguments.csv.as_ref().map(|_| table_for(&model, &outputs));
    let mut session =
        Session { arguments, context, model: &model, predictions: Vec::new(), skipped: Vec::new(), table };
    let errors = match &arguments.data {
        Some(source) => {
            session.set(source, arguments.index.as_ref())?;
            Vec::new()
        }
        None => session.named(&arguments.images)?,
    };
    let failed = !errors.is_empty();
    let errors = errors.into_iter().chain(session.skipped).collect();
    if let (Some(path), Some(table)) = (&arguments.csv, session.table.take()) {
        table.save(path)?;
        if !arguments.json {
            context.output.also_written(path, "");
        }
    }
    if arguments.json {
        let predictions = session.predictions;
        context.output.json(&PredictJson { model: &arguments.model.model, class_names, predictions, errors })?;
    }
    if failed { Err(Reported.into()) } else { Ok(()) }
}

/// An empty table for the predictions of a model.
pub(super) fn table_for(model: &Model, outputs: &Outputs) -> PredictionTable {
    let class_names: Vec<String> = (0..outputs.count()).map(|class| model.class_name(class)).collect();
    let table = PredictionTable::new(outputs.kind(), &class_names);
    if is_for_digits(model) { table.with_digit_found() } else { table }
}

/// Predicts all images of a folder or list, shared among all processes.
fn share(arguments: &Predict, context: Context) -> Result<()> {
    let Some(Source::Folder(source)) = &arguments.data else {
        return Err(Usage("--distributed: --data says which folder, list or address".to_owned()).into());
    };
    let out = free(arguments.out.as_deref(), true, format!("{}-predict", name_of(source)).into());
    let job = Job {
        command: "predict",
        source: source.display().to_string(),
        out: &out,
        options: Value::from(format!("{:?}", arguments.model)),
    };
    job.share(context, |context, ask| {
        let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
        let mut predictor = Predictor::of_one(&model, context.cpu).with_context(|| arguments.model.model.clone())?;
        ask(&mut |image, _| {
            answer(&PredictionRecord::new(&model, predictor.predict(image)?, finds_digit(image, &model)))
        })
    })
}

/// Name of standard input in messages.
const STANDARD_INPUT: &str = "standard input";
/// Number of names listed in a note.
const NAMED: usize = 3;

/// An image named on the command line or read from standard input.
enum ImageInput {
    File(PathBuf),
    Decoded(Image),
}

/// Reads standard input: an image, or a list of paths, one per line. Empty lines and lines that start with `#` are skipped.
fn standard_input() -> Result<Vec<ImageInput>> {
    let limits = Limits::default();
    let bytes = lucida::files::read_limited(Path::new("-"), limits.file_bytes)?;
    let not_an_image = match Image::decode(&bytes, Path::new(STANDARD_INPUT), &limits) {
        Ok(image) => return Ok(vec![ImageInput::Decoded(image)]),
        Err(problem) => problem,
    };
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0')).unwrap_or_default();
    let paths: Vec<ImageInput> = lines(text).into_iter().map(|line| ImageInput::File(line.into())).collect();
    if paths.is_empty() {
        return Err(Error::new(not_an_image).context("expected an image, or a list of paths of images"));
    }
    Ok(paths)
}

/// Joins names, but only the first few.
fn join_first(names: &[String]) -> String {
    let more = if names.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

struct Session<'a> {
    arguments: &'a Predict,
    context: Context,
    model: &'a Model,
    /// Predictions to print as JSON.
    predictions: Vec<PredictionJson>,
    /// Files in folders that cannot be used.
    skipped: Vec<FailedImageJson>,
    /// The table to write, if one was requested.
    table: Option<PredictionTable>,
}

impl Session<'_> {
    /// Classifies images of a data set. The last line printed lists the predicted classes of digits, or how many images of a
    /// folder were classified correctly.
    fn set(&mut self, source: &Source, indices: Option<&Indices>) -> Result<()> {
        let images = ImageSet::load(source, self.model, self.arguments.strict, self.context)?;
        let skipped = images.skipped.iter();
        let failed =
            skipped.map(|file| FailedImageJson { image: file.path.display().to_string(), error: file.reason.clone() });
        self.skipped.extend(failed);
        let indices = images.positions(indices)?;
        self.note_unknown_labels(&images);
        let blank = images.without_digit(&indices, self.model, self.context)?;
        let mut classes = Vec::new();
        let (mut right, mut known) = (0, 0);
        // Printing inside the callback may fail with an error that the library's error type cannot carry.
        let mut failed = None;
        predict_set(self.model, images.set(), &indices, self.context.cpu, |index, predicted| {
            // A label is only compared if it is one of the model's classes, and never with a regression value.
            let label = images.label(index).map(str::to_owned);
            let agrees =
                label.as_ref().filter(|label| self.has_class(label)).and_then(|label| self.agrees(&predicted, label));
            known += usize::from(agrees.is_some());
            right += usize::from(agrees == Some(true));
            let remark = match (&label, agrees) {
                // The title of a digit already states its class.
                (Some(_), Some(false)) if images.are_digits() => " - wrong".to_owned(),
                (Some(label), Some(false)) => format!(" - wrong, it is {label}"),
                _ => String::new(),
            };
            let name = images.name(index);
            let input = match label {
                Some(label) if images.are_digits() => Input::Digit { index, label },
                label => Input::Image { image: name.clone(), label },
            };
            if let (true, Predicted::Class(found)) = (images.are_digits(), &predicted) {
                classes.push(self.model.class_name(found.class));
            }
            let digit_found = !blank.contains(&index);
            let title = images.title(index);
            self.add(Classified { name, title, remark, input, digit_found }, predicted).map_err(|error| {
                failed = Some(error);
                lucida::Error::Interrupted
            })
        })
        .map_err(|error| {
            failed.take().unwrap_or_else(|| Error::new(error).context(self.arguments.model.model.clone()))
        })?;
        if self.arguments.json {
            Ok(())
        } else if !classes.is_empty() {
            self.context.output.result(&classes.join(" "))
        } else if known > 0 {
            let share = percent(right as f64 / known as f64);
            self.context.output.result(&format!("{right} of {known} predictions match the folder names: {share}"))
        } else {
            Ok(())
        }
    }

    /// Prints a note if the folder names are not the model's classes, so that nothing is compared.
    fn note_unknown_labels(&self, images: &ImageSet) {
        let names = images.set().class_names();
        let labeled = (0..images.set().len()).any(|index| images.label(index).is_some());
        if !labeled || names.iter().any(|name| self.has_class(name)) {
            return;
        }
        let count = Outputs::of(self.model).map_or(0, |outputs| outputs.count());
        let classes: Vec<String> = (0..count).map(|class| self.model.class_name(class)).collect();
        self.context.output.note(&format!(
            "the labels ({}) are not among the model's classes ({}), so nothing is compared; --classes names the classes",
            join_first(names),
            join_first(&classes)
        ));
    }

    /// Whether the prediction agrees with the label; `None` for regression.
    fn agrees(&self, predicted: &Predicted, label: &str) -> Option<bool> {
        let is = |class: usize| self.model.class_name(class) == label;
        match predicted {
            Predicted::Class(found) => Some(is(found.class)),
            Predicted::Labels(found) => Some(found.labels().into_iter().any(is)),
            Predicted::Values(_) => None,
        }
    }

    /// Whether the model has a class with this name; an unnamed class is named by its index.
    fn has_class(&self, label: &str) -> bool {
        let names = &self.model.class_names;
        if names.is_empty() { label.parse::<usize>().is_ok() } else { names.iter().any(|name| name == label) }
    }

    /// Classifies the image files, folders and standard input named on the command line.
    fn named(&mut self, paths: &[PathBuf]) -> Result<Vec<FailedImageJson>> {
        let mut errors = Vec::new();
        let mut images = Vec::new();
        for path in paths {
            if path.is_dir() {
                errors.extend(self.images(&std::mem::take(&mut images))?);
                self.set(&Source::Folder(path.clone()), None)?;
            } else if path.as_os_str() == "-" {
                images.extend(standard_input()?);
            } else {
                images.push(ImageInput::File(path.clone()));
            }
        }
        errors.extend(self.images(&images)?);
        Ok(errors)
    }

    /// Classifies images. Those that cannot be read are reported at once and returned.
    fn images(&mut self, inputs: &[ImageInput]) -> Result<Vec<FailedImageJson>> {
        let mut errors = Vec::new();
        let (mut names, mut images, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (number, input) in inputs.iter().enumerate() {
            let (name, image) = match input {
                ImageInput::File(path) => (path.display().to_string(), Image::open(path)),
                ImageInput::Decoded(image) => (STANDARD_INPUT.to_owned(), Ok(image.clone())),
            };
            match image {
                Ok(image) => {
                    let digit_found = finds_digit(&image, self.model);
                    if !digit_found {
                        note_blank(&name, self.context);
                    }
                    bytes += image.pixels().len();
                    names.push((name, digit_found));
                    images.push(image);
                }
                Err(error) => {
                    let error = Error::new(error);
                    exit::report(&error);
                    errors.push(FailedImageJson { image: name, error: exit::one_line(&error) });
                }
            }
            let last = number + 1 == inputs.len();
            if last || images.len() >= MAX_IMAGES || bytes >= MAX_BYTES {
                for ((name, digit_found), predicted) in names.drain(..).zip(self.predict(&images)?) {
                    let input = Input::Image { image: name.clone(), label: None };
                    let (title, remark) = (name.clone(), String::new());
                    self.add(Classified { name, title, remark, input, digit_found }, predicted)?;
                }
                images.clear();
                bytes = 0;
            }
        }
        Ok(errors)
    }

    fn predict(&self, images: &[Image]) -> Result<Vec<Predicted>> {
        predict(self.model, images, self.context.cpu).with_context(|| self.arguments.model.model.clone())
    }

    /// Prints the prediction, or collects it for the JSON output and the table.
    fn add(&mut self, image: Classified, predicted: Predicted) -> Result<()> {
        let Classified { name, title, remark, input, digit_found } = image;
        if let Some(table) = &mut self.table {
            let label = match &input {
                Input::Image { label, .. } => label.as_deref(),
                Input::Digit { label, .. } => Some(label.as_str()),
            };
            table.push(&name, label, &predicted, digit_found);
        }
        if self.arguments.json {
            let record = PredictionRecord::new(self.model, predicted, digit_found);
            self.predictions.push(PredictionJson { input, record });
            return Ok(());
        }
        let is_single = matches!(&self.arguments.images[..], [path] if !path.is_dir());
        let is_long = matches!(&predicted, Predicted::Class(found) if found.probabilities.len() > MANY_CLASSES);
        let top = self.arguments.top.map_or(if is_single && is_long { TOP } else { 0 }, usize::from);
        let printer = Printer { model: self.model, output: self.context.output, top };
        printer.print(&title, &predicted, &remark)
    }
}

/// Prints predictions as text.
pub(super) struct Printer<'a> {
    pub(super) model: &'a Model,
    pub(super) output: Output,
    /// Number of rows in the table.
    pub(super) top: usize,
}

impl Printer<'_> {
    /// Prints a line, then a table of the most likely classes; of all with `--verbose`.
    pub(super) fn print(&self, title: &str, predicted: &Predicted, remark: &str) -> Result<()> {
        let text = self.describe(predicted);
        self.output.line(&format!("{title}: {text}{remark}"))?;
        let (Predicted::Class(found) | Predicted::Labels(found)) = predicted else { return Ok(()) };
        let all = found.probabilities.len();
        let rows = if self.output.verbose() { all } else { self.top.min(all) };
        if rows > 0 { self.output.result(&self.table(found, rows)) } else { Ok(()) }
    }

    /// The class and the runner-up, the labels that apply, or the values.
    fn describe(&self, predicted: &Predicted) -> String {
        let name = |class: usize| self.model.class_name(class);
        let with_share =
            |found: &Prediction, class: usize| format!("{} ({})", name(class), percent(found.probabilities[class]));
        match predicted {
            Predicted::Class(found) => {
                let mut line = with_share(found, found.class);
                if let Some(runner_up) = found.ranking().into_iter().find(|&class| class != found.class) {
                    let _ = write!(line, ", then {}", with_share(found, runner_up));
                }
                line
            }
            Predicted::Labels(found) => {
                let labels: Vec<String> = found.labels().into_iter().map(|label| with_share(found, label)).collect();
                match labels.is_empty() {
                    true => format!("none above {LABEL_THRESHOLD}, highest: {}", with_share(found, found.class)),
                    false => labels.join(", "),
                }
            }
            Predicted::Values(values) if self.model.class_names.is_empty() => {
                values.iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
            }
            Predicted::Values(values) => {
                let named = values.iter().enumerate().map(|(at, value)| format!("{} {value}", name(at)));
                named.collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// A table of the most likely classes or labels.
    fn table(&self, found: &Prediction, count: usize) -> String {
        let mut ranking = found.ranking();
        ranking.truncate(count);
        let name = |class: usize| self.model.class_name(class);
        let width = ranking.iter().map(|&class| name(class).chars().count()).max().unwrap_or(0);
        let row = |&class: &usize| {
            let probability = found.probabilities[class];
            let bar = "█".repeat((30.0 * probability).round() as usize);
            format!("  {:<width$}  {:>8}  {bar}", name(class), percent(probability)).trim_end().to_owned()
        };
        ranking.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}
