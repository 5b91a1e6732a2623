//! The part that all runs share: the training itself, and its results.

use lucida::Cpu;
use lucida::core::choose;
use lucida::data::Dataset;
use lucida::nn::Network;
use lucida::train::{Checkpoint, Evaluation, RunFolder, Samples, TrainConfig, TrainResult, Trainer};
use lucida::weights::Model;
use serde_json::{Value, json};

use super::epochs::SavedEpochs;
use super::reporter::TrainingReporter;
use super::{Train, sheet};
use crate::jobs::Handle;

/// Maximum number of images per cell of the confusion matrix, and in total.
const IN_CELL: usize = 12;
const IN_ALL: usize = 800;
/// Number of images whose predictions are shown after each epoch.
const SAMPLES: usize = 12;

/// Why there are no weights of each epoch for a head on a frozen base.
const FROZEN: &str = "Only the head of this network is trained. Kernels, feature maps and features are those of its frozen base: \
     they are the same after each epoch.";

/// A run in progress.
pub(super) struct TrainingJob<'a> {
    pub(super) request: &'a Train,
    pub(super) job: &'a Handle<'a>,
    pub(super) run: &'a RunFolder,
    pub(super) cpu: Cpu,
    pub(super) resume: bool,
    /// Number of images that could not be read when the data were opened.
    pub(super) skipped: usize,
}

/// Training samples, validation samples, and the images of the latter.
pub(super) struct TrainingData<'a> {
    pub(super) train: &'a dyn Samples,
    pub(super) validation: &'a dyn Samples,
    pub(super) images: &'a dyn Dataset,
    /// The model before training, whose weights are saved after each epoch; `None` if its base is frozen, because the features
    /// are then the same after each epoch.
    pub(super) model: Option<Model>,
}

impl TrainingJob<'_> {
    /// Trains the network and reports the progress.
    pub(super) fn fit(&self, network: &mut Network, data: &TrainingData) -> lucida::Result<TrainResult> {
        let samples = choose(data.images.len(), SAMPLES, self.request.seed);
        let saved = match &data.model {
            Some(model) => SavedEpochs::new(self.run, model.clone()),
            None => Err(FROZEN.to_owned()),
        };
        let kept = saved.as_ref().ok().map(SavedEpochs::begin).transpose()?;
        if !self.job.has_published() {
            self.job.publish(json!({
                "type": "start",
                "classes": data.validation.class_names(),
                "skipped": self.skipped,
                "labels": samples.iter().map(|&index| data.validation.label(index)).collect::<Vec<_>>(),
                "samples": sheet::save(self.job, "samples.png", data.images, &samples)?,
                "kept": kept,
                "not_kept": saved.as_ref().err(),
            }));
        }
        let identity = json!({
            "data": self.request.data,
            "network": self.request.network,
            "training pictures": data.train.len(),
            "validation pictures": data.validation.len(),
            "classes": data.train.class_names(),
        });
        let watch = TrainingReporter {
            job: self.job,
            epochs: self.request.epochs,
            validation: data.validation,
            samples,
            cpu: self.cpu,
            saved: saved.ok(),
        };
        let config = TrainConfig {
            epochs: self.request.epochs,
            batch_size: self.request.batch_size,
            learning_rate: self.request.learning_rate.into(),
            seed: self.request.seed,
            cpu: self.cpu,
            checkpoint: Some(Checkpoint { path: self.run.checkpoint(), every: None, resume: self.resume, identity }),
            ..TrainConfig::default()
        };
        Trainer::new(config).callback(watch).fit_network(network, data.train, Some(data.validation))
    }

    /// Saves the files of a run; returns the result of the job. `base` is the record of a network with a frozen base.
    pub(super) fn finish(
        &self,
        (model, base): (&mut Model, Option<Value>),
        result: &TrainResult,
        images: &dyn Dataset,
        evaluation: &Evaluation,
    ) -> lucida::Result<Value> {
        let (job, run) = (self.job, self.run);
        model.training = result.record.clone();
        if let (Some(base), Some(record)) = (base, model.training.as_object_mut()) {
            record.insert("base".to_owned(), base);
        }
        run.save_best(model)?;
        run.save_last(model, &result.last)?;
        run.save_history(&result.history)?;
        if !result.interrupted {
            run.remove_checkpoint()?;
        }
        let shown = |name: &&&str| !name.ends_with(".svg") && run.path().join(name).exists();
        RunFolder::FILES.iter().filter(shown).for_each(|name| job.publish_file(name));
        let (cells, sheet) = cells(job, images, evaluation)?;
        Ok(json!({
            "classes": model.class_names,
            "loss": evaluation.loss,
            "accuracy": evaluation.accuracy,
            "confusion": evaluation.confusion.counts(),
            "cells": cells,
            "sheet": sheet,
            "best_epoch": result.best_epoch,
            "epochs": result.history.epochs.len(),
        }))
    }
}

/// Saves some images of each cell of the confusion matrix, the misclassified ones first; returns the cells and the layout.
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
