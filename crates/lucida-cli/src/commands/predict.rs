//! `lucida predict`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Error, Result};
use lucida::data::{Dataset, Picture};
use lucida::train::{Prediction, predict};
use lucida::weights::{Model, Top, open};
use serde::Serialize;

use super::Context;
use super::digits::Digits;
use crate::arguments::{Indices, Source};
use crate::cli::Predict;
use crate::exit::{self, Reported};
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
    Image { image: String },
    Digit { index: usize, label: String },
}

#[derive(Serialize)]
struct Failed {
    image: String,
    error: String,
}

pub(super) fn run(arguments: &Predict, context: Context) -> Result<()> {
    let mut session =
        Session { arguments, context, model: open(&arguments.model.spec(Top::Needed))?, answers: Vec::new() };
    let errors = match (&arguments.data, &arguments.index) {
        (Some(source), Some(indices)) => {
            session.digits(source, indices)?;
            Vec::new()
        }
        _ => session.images(&arguments.images)?,
    };
    let failed = !errors.is_empty();
    if arguments.json {
        let class_names = session.class_names();
        let predictions = session.answers;
        context.output.json(&Answer { model: &arguments.model.model, class_names, predictions, errors })?;
    }
    if failed { Err(Reported.into()) } else { Ok(()) }
}

struct Session<'a> {
    arguments: &'a Predict,
    context: Context,
    model: Model,
    /// What is to be printed as JSON.
    answers: Vec<Answered>,
}

impl Session<'_> {
    /// Classifies digits of a data set; the last line has just the classes.
    fn digits(&mut self, source: &Source, indices: &Indices) -> Result<()> {
        let digits = Digits::load(source)?;
        let mut classes = Vec::new();
        for chunk in digits.take(indices)?.chunks(MAX_PICTURES) {
            let pictures: Vec<Picture> = chunk.iter().map(|(_, picture)| picture.clone()).collect();
            for ((index, _), prediction) in chunk.iter().zip(self.predict(&pictures)?) {
                let label = digits.set.class_names()[digits.set.label(*index)].clone();
                let class = self.class_name(prediction.class);
                let remark = if class == label { String::new() } else { format!(" - wrong, it is {label}") };
                classes.push(class);
                let input = Input::Digit { index: *index, label };
                self.answer(&format!("{} {index}", digits.name), &remark, input, prediction)?;
            }
        }
        if self.arguments.json { Ok(()) } else { self.context.output.result(&classes.join(" ")) }
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
                    self.answer(&name.clone(), "", Input::Image { image: name }, prediction)?;
                }
                pictures.clear();
                bytes = 0;
            }
        }
        Ok(errors)
    }

    fn predict(&self, pictures: &[Picture]) -> Result<Vec<Prediction>> {
        predict(&self.model, pictures, self.context.cpu).with_context(|| self.arguments.model.model.clone())
    }

    /// Prints a prediction, or keeps it for the JSON at the end.
    fn answer(&mut self, name: &str, remark: &str, input: Input, prediction: Prediction) -> Result<()> {
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
