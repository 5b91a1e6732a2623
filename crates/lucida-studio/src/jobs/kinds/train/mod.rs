//! Training.

mod sheet;

use lucida::Cpu;
use lucida::data::{Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::{Network, Optimizer, Schedule, zoo};
use lucida::train::{BatchReport, EpochRecord, Evaluation, Flow, Observer, RunFolder, Settings};
use lucida::train::{evaluate, fit, predict_set};
use lucida::weights::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Lane, Plan, Work};
use crate::data::Source;
use crate::jobs::Handle;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// The part of the digits that validates.
const VALIDATION: f64 = 0.2;
/// The points of a curve within an epoch.
const POINTS: usize = 20;
/// Pictures of each cell of the confusion matrix, and in all.
const IN_CELL: usize = 12;
const IN_ALL: usize = 800;
/// Pictures whose predictions are followed.
const SAMPLES: usize = 12;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Train {
    #[serde(default)]
    name: String,
    epochs: usize,
    batch_size: usize,
    learning_rate: f64,
    #[serde(default = "seed")]
    seed: u64,
}

fn seed() -> u64 {
    42
}

struct Training {
    request: Train,
    source: Option<Source>,
}

impl Train {
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        let fits = (1..=1000).contains(&self.epochs)
            && (1..=4096).contains(&self.batch_size)
            && self.learning_rate > 0.0
            && self.learning_rate <= 10.0
            && self.name.chars().count() <= 60;
        if !fits {
            let limits = "1 to 1000 epochs, 1 to 4096 digits in a step, a learning rate above 0 and up to 10";
            return Err(Problem::wrong(format!("a run takes {limits}, and a name of up to 60 characters")));
        }
        let title = match self.name.trim() {
            "" => format!("Digits, {} epochs", self.epochs),
            name => name.to_owned(),
        };
        let source = studio.data.source().cloned();
        let work = Box::new(Training { request: self.clone(), source });
        Ok(Plan { kind: "train", title, lane: Lane::Long, stamp: None, work })
    }
}

impl Work for Training {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Self { request, source } = *self;
        let digits = match &source {
            Some(Source::Mnist(folder)) => Mnist::from_folder(folder)?,
            _ => Mnist::builtin()?,
        };
        let classes = digits.train.class_names().len();
        let split = stratified_split(&digits.train.labels(), classes, VALIDATION, request.seed)?;
        let train = Subset::new(&digits.train, split.train)?;
        let validation = Subset::new(&digits.train, split.validation)?;
        let settings = Settings {
            epochs: request.epochs,
            batch_size: request.batch_size,
            schedule: Schedule::constant(request.learning_rate),
            optimizer: Optimizer::adam(),
            seed: request.seed,
            cpu: studio.cpu,
        };
        let mut model = Model {
            preprocessing: Some(Preprocessing::mnist()),
            class_names: digits.train.class_names().to_vec(),
            ..Model::new(zoo::mnist_cnn(request.seed)?)
        };
        let run = RunFolder::create(job.folder(), true)?;
        let samples: Vec<usize> = (0..validation.len().min(SAMPLES)).collect();
        job.news(json!({
            "type": "start",
            "classes": model.class_names,
            "labels": samples.iter().map(|&index| validation.label(index)).collect::<Vec<_>>(),
            "samples": sheet::save(job, "samples.png", &validation, &samples)?,
        }));
        let followed = Followed { set: &validation, samples, model: model.clone() };
        let mut watch = Watch { job, epochs: request.epochs, followed, cpu: studio.cpu };
        let fitted = fit(&mut model, &train, Some(&validation), &settings, &mut watch)?;
        model.training = fitted.record(&settings);
        run.save_best(&model)?;
        run.save_last(&model, &fitted.last)?;
        run.save_history(&fitted.history)?;
        RunFolder::FILES.iter().filter(|name| !name.ends_with(".svg")).for_each(|name| job.offer(name));

        let evaluation = evaluate(&model, &validation, studio.cpu)?;
        let (cells, sheet) = cells(job, &validation, &evaluation)?;
        Ok(json!({
            "classes": model.class_names,
            "loss": evaluation.loss,
            "accuracy": evaluation.accuracy,
            "confusion": evaluation.confusion.counts(),
            "cells": cells,
            "sheet": sheet,
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.history.epochs.len(),
        }))
    }
}

/// Some pictures of each cell of the confusion matrix: the mistakes first, then what is right.
fn cells(job: &Handle, set: &dyn Dataset, evaluation: &Evaluation) -> lucida::Result<(Value, Value)> {
    let classes = set.class_names().len();
    let mut counts = vec![0; classes * classes];
    let mut chosen = Vec::new();
    for wrong in [true, false] {
        for (index, &predicted) in evaluation.predicted.iter().enumerate() {
            let truth = set.label(index);
            let count = &mut counts[truth * classes + predicted];
            if (truth != predicted) == wrong && *count < IN_CELL && chosen.len() < IN_ALL {
                *count += 1;
                chosen.push(index);
            }
        }
    }
    let sheet = sheet::save(job, "cells.png", set, &chosen)?;
    let cell = |(tile, &index): (usize, &usize)| {
        let predicted = evaluation.predicted[index];
        let probability = evaluation.probabilities[index].get(predicted);
        json!({ "truth": set.label(index), "predicted": predicted, "probability": probability, "tile": tile })
    };
    Ok((chosen.iter().enumerate().map(cell).collect(), sheet))
}

/// Tells listeners how the training goes.
struct Watch<'a> {
    job: &'a Handle<'a>,
    epochs: usize,
    followed: Followed<'a>,
    cpu: Cpu,
}

/// Pictures whose predictions are told after each epoch.
struct Followed<'a> {
    set: &'a dyn Dataset,
    samples: Vec<usize>,
    /// The model, whose network is replaced by the one that learns.
    model: Model,
}

impl Followed<'_> {
    fn predictions(&mut self, network: &Network, cpu: Cpu) -> lucida::Result<Value> {
        self.model.network = network.clone();
        let mut found = Vec::new();
        predict_set(&self.model, self.set, &self.samples, cpu, |_, prediction| {
            found.push(json!({ "class": prediction.class, "probability": prediction.probability }));
            Ok(())
        })?;
        Ok(found.into())
    }
}

impl Observer for Watch<'_> {
    fn batch(&mut self, report: &BatchReport) -> Flow {
        let BatchReport { epoch, step, steps, loss, accuracy, .. } = *report;
        if step.is_multiple_of(steps.div_ceil(POINTS)) {
            let at = (epoch - 1) as f64 + step as f64 / steps as f64;
            self.job.news(json!({ "type": "batch", "at": at, "loss": loss, "accuracy": accuracy }));
        }
        let doing = format!("epoch {epoch} of {}", self.epochs);
        match self.job.progress((epoch - 1) * steps + step, self.epochs * steps, &doing) {
            true => Flow::Continue,
            false => Flow::Stop,
        }
    }

    fn epoch(&mut self, record: &EpochRecord, network: &Network, best: bool) -> lucida::Result<Flow> {
        self.job.news(json!({
            "type": "epoch",
            "epoch": record.epoch,
            "loss": record.loss,
            "accuracy": record.accuracy,
            "val_loss": record.val_loss,
            "val_accuracy": record.val_accuracy,
            "seconds": record.seconds,
            "best": best,
            "samples": self.followed.predictions(network, self.cpu)?,
        }));
        Ok(if self.job.is_cancelled() { Flow::Stop } else { Flow::Continue })
    }
}
