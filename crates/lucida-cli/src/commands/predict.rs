//! `lucida predict`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Error, Result};
use lucida::data::Picture;
use lucida::train::{Prediction, PredictionTable, Predictor, predict, predict_set};
use lucida::weights::{Model, Top};
use serde::Serialize;
use serde_json::{Value, json};

use super::bulk::{Job, answer};
use super::source::Pictures;
use super::{Context, open_model};
use crate::arguments::{Indices, Source};
use crate::cli::Predict;
use crate::exit::{self, Reported, Usage};
use crate::output::percent;

/// Pictures held at once are bounded in number and in bytes: photos are large, digits many.
const MAX_PICTURES: usize = 256;
const MAX_BYTES: usize = 256 << 20;

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    class_names: Vec<String>,
    predictions: Vec<Answered>,
    /// The pictures that could not be read.
    errors: Vec<Failed>,
}

#[derive(Serialize)]
struct Answered {
    #[serde(flatten)]
    input: Input,
    class: String,
    probability: f32,
    /// In the order of `class_names`.
    probabilities: Vec<f32>,
}

/// What was classified.
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

#[derive(Serialize)]
struct Failed {
    image: String,
    error: String,
}

pub(super) fn run(arguments: &Predict, context: Context) -> Result<()> {
    if arguments.bulk.distributed.is_some() {
        return share(arguments, context);
    }
    if matches!(arguments.data, Some(Source::Mnist(_))) && arguments.index.is_none() {
        return Err(Usage("--index is missing: it says which of the digits are meant, as in 0..10".to_owned()).into());
    }
    let context = match &arguments.csv {
        Some(path) => context.claim_file(path, arguments.force)?,
        None => context,
    };
    let model = open_model(&arguments.model.spec(Top::Needed), context)?;
    let mut session = Session { arguments, context, model: &model, answers: Vec::new(), table: None };
    let errors = match &arguments.data {
        Some(source) => {
            session.set(source, arguments.index.as_ref())?;
            Vec::new()
        }
        None => session.images(&arguments.images)?,
    };
    let failed = !errors.is_empty();
    if let Some(path) = &arguments.csv {
        let table = session.table.take();
        table.unwrap_or_else(|| PredictionTable::new(&session.class_names())).save(path)?;
    }
    if arguments.json {
        let class_names = session.class_names();
        let predictions = session.answers;
        context.output.json(&Answer { model: &arguments.model.model, class_names, predictions, errors })?;
    }
    if failed { Err(Reported.into()) } else { Ok(()) }
}

/// All pictures of a folder or list, by all processes.
fn share(arguments: &Predict, context: Context) -> Result<()> {
    let Some(Source::Folder(source)) = &arguments.data else {
        return Err(Usage("--distributed: --data says which folder, list or address".to_owned()).into());
    };
    let job = Job {
        command: "predict",
        source: source.display().to_string(),
        out: &arguments.out,
        options: Value::from(format!("{:?}", arguments.model)),
    };
    job.share(context, |context, ask| {
        let model = open_model(&arguments.model.spec(Top::Needed), context)?;
        let mut predictor = Predictor::of_one(&model, context.cpu).with_context(|| arguments.model.model.clone())?;
        ask(&mut |picture, _| {
            let Prediction { class, probability, probabilities } = predictor.predict(picture)?;
            let class = model.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
            answer(&json!({"class": class, "probability": probability, "probabilities": probabilities}))
        })
    })
}

struct Session<'a> {
    arguments: &'a Predict,
    context: Context,
    model: &'a Model,
    /// What is to be printed as JSON.
    answers: Vec<Answered>,
    /// What is to be written as a table, once there is a row.
    table: Option<PredictionTable>,
}

impl Session<'_> {
    /// Classifies pictures of a data set. The last line has just the classes of digits, and how many of the pictures of a
    /// folder were taken for what they are.
    fn set(&mut self, source: &Source, indices: Option<&Indices>) -> Result<()> {
        let pictures = Pictures::load(source, self.model, self.arguments.strict, self.context)?;
        let indices = pictures.positions(indices)?;
        let mut classes = Vec::new();
        let (mut right, mut known) = (0, 0);
        // What is printed as it goes may fail on its own account; the library's error would not hold it.
        let mut failed = None;
        predict_set(self.model, pictures.set(), &indices, self.context.cpu, |index, prediction| {
            let class = self.class_name(prediction.class);
            // A label that the model does not know says nothing about it.
            let label = pictures.label(index).filter(|label| self.knows(label)).map(str::to_owned);
            known += usize::from(label.is_some());
            right += usize::from(label.as_ref() == Some(&class));
            let remark = match &label {
                Some(label) if *label != class => format!(" - wrong, it is {label}"),
                _ => String::new(),
            };
            let name = pictures.name(index);
            let input = match label {
                Some(label) if pictures.are_digits() => Input::Digit { index, label },
                label => Input::Image { image: name.clone(), label },
            };
            if pictures.are_digits() {
                classes.push(class);
            }
            self.answer(&name, &remark, input, prediction).map_err(|error| {
                failed = Some(error);
                lucida::Error::Interrupted
            })
        })
        .map_err(|error| {
            failed.take().unwrap_or_else(|| Error::new(error).context(self.arguments.model.model.clone()))
        })?;
        if self.arguments.json {
            Ok(())
        } else if pictures.are_digits() {
            self.context.output.result(&classes.join(" "))
        } else if known > 0 {
            let share = percent(right as f64 / known as f64);
            self.context.output.result(&format!("{right} of {known} are what their folders say: {share}"))
        } else {
            Ok(())
        }
    }

    /// Whether a class of this name is one that the model tells apart; without names it numbers them.
    fn knows(&self, label: &str) -> bool {
        let names = &self.model.class_names;
        if names.is_empty() { label.parse::<usize>().is_ok() } else { names.iter().any(|name| name == label) }
    }

    /// Classifies picture files. Those that cannot be read are reported at once and returned.
    fn images(&mut self, paths: &[PathBuf]) -> Result<Vec<Failed>> {
        let mut errors = Vec::new();
        let (mut names, mut pictures, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (number, path) in paths.iter().enumerate() {
            match Picture::open(path) {
                Ok(picture) => {
                    bytes += picture.pixels().len();
                    names.push(path.display().to_string());
                    pictures.push(picture);
                }
                Err(error) => {
                    let error = Error::new(error);
                    exit::report(&error);
                    errors.push(Failed { image: path.display().to_string(), error: exit::one_line(&error) });
                }
            }
            let last = number + 1 == paths.len();
            if last || pictures.len() >= MAX_PICTURES || bytes >= MAX_BYTES {
                for (name, prediction) in names.drain(..).zip(self.predict(&pictures)?) {
                    self.answer(&name.clone(), "", Input::Image { image: name, label: None }, prediction)?;
                }
                pictures.clear();
                bytes = 0;
            }
        }
        Ok(errors)
    }

    fn predict(&self, pictures: &[Picture]) -> Result<Vec<Prediction>> {
        predict(self.model, pictures, self.context.cpu).with_context(|| self.arguments.model.model.clone())
    }

    /// Prints a prediction, or keeps it for the JSON at the end.
    fn answer(&mut self, name: &str, remark: &str, input: Input, prediction: Prediction) -> Result<()> {
        if self.arguments.csv.is_some() {
            let class_names = match self.model.class_names.is_empty() {
                true => (0..prediction.probabilities.len()).map(|class| class.to_string()).collect(),
                false => self.model.class_names.clone(),
            };
            let label = match &input {
                Input::Image { label, .. } => label.as_deref(),
                Input::Digit { label, .. } => Some(label.as_str()),
            };
            self.table.get_or_insert_with(|| PredictionTable::new(&class_names)).push(name, label, &prediction);
        }
        if self.arguments.json {
            let Prediction { class, probability, probabilities } = prediction;
            self.answers.push(Answered { input, class: self.class_name(class), probability, probabilities });
            return Ok(());
        }
        let ranking = ranking(&prediction);
        let share = |class: usize| format!("{} ({})", self.class_name(class), percent(prediction.probabilities[class]));
        let mut line = format!("{name}: {}", share(prediction.class));
        let others = || ranking.iter().copied().filter(|&class| class != prediction.class);
        if let Some(runner_up) = others().next() {
            let _ = write!(line, ", then {}", share(runner_up));
        }
        line += remark;
        self.context.output.result(&line)?;
        if self.context.output.verbose() {
            self.context.output.result(&self.table(&ranking, &prediction))
        } else {
            Ok(())
        }
    }

    /// All classes, the likeliest first.
    fn table(&self, ranking: &[usize], prediction: &Prediction) -> String {
        let width = ranking.iter().map(|&class| self.class_name(class).chars().count()).max().unwrap_or(0);
        let row = |&class: &usize| {
            let probability = prediction.probabilities[class];
            let bar = "█".repeat((30.0 * probability).round() as usize);
            format!("  {:<width$}  {:>8}  {bar}", self.class_name(class), percent(probability)).trim_end().to_owned()
        };
        ranking.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    fn class_name(&self, class: usize) -> String {
        self.model.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    fn class_names(&self) -> Vec<String> {
        if !self.model.class_names.is_empty() {
            return self.model.class_names.clone();
        }
        let classes = self.answers.first().map_or(0, |answer| answer.probabilities.len());
        (0..classes).map(|class| class.to_string()).collect()
    }
}

/// The classes, the likeliest first; the lower one of equal ones.
fn ranking(prediction: &Prediction) -> Vec<usize> {
    let mut ranking: Vec<usize> = (0..prediction.probabilities.len()).collect();
    ranking.sort_by(|&a, &b| prediction.probabilities[b].total_cmp(&prediction.probabilities[a]));
    ranking
}
