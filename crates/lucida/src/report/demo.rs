//! The demonstration: a network trained on the built-in digits, and evaluated on held-out ones.

use std::path::Path;

use lucida_kernels::clock::Stopwatch;

use super::deconstruct::{Deconstruction, Depth};
use super::{images, page};
use crate::data::{Dataset, LabeledImages, Mnist, Preprocessing, Subset, stratified_split};
use crate::files::{self, SetAside};
use crate::nn::{Schedule, applications};
use crate::train::{Callback, Evaluation, TrainConfig, TrainResult, Trainer, evaluate};
use crate::weights::{Model, safetensors};
use crate::{Cpu, Error, Result};

/// The fraction of the built-in digits that is held out: 2,000.
const HELD_OUT: f64 = 0.2;
/// The fraction of the remaining digits used for validation: 800.
const VALIDATION: f64 = 0.1;
const EPOCHS: usize = 20;
const BATCH: usize = 128;
const RATE: f64 = 2e-3;

/// The built-in digits, split into three parts.
#[derive(Debug, Clone)]
pub struct Demo {
    digits: LabeledImages,
    parts: Parts,
    started: Stopwatch,
}

/// The indices of the digits in each part; the split is stratified by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Training set.
    pub train: Vec<usize>,
    /// Validation set, for choosing the best epoch.
    pub validation: Vec<usize>,
    /// Test set, used neither for training nor for choosing the epoch.
    pub held_out: Vec<usize>,
}

/// The results of a demonstration.
#[derive(Debug, Clone)]
pub struct DemoResult<'a> {
    /// The trained model, with the weights of its best epoch.
    pub model: Model,
    /// The result of the training.
    pub training: TrainResult,
    /// The evaluation on the held-out digits.
    pub evaluation: Evaluation,
    /// The training configuration.
    pub config: TrainConfig,
    /// Durations of the stages.
    pub times: Times,
    demo: &'a Demo,
}

/// Durations in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Loading and splitting the digits.
    pub reading: f64,
    /// Training, including the validation after each epoch.
    pub training: f64,
    /// Classifying the held-out digits.
    pub evaluating: f64,
}

impl Demo {
    /// The files of a demonstration; the first one is the report.
    pub const FILES: [&str; 16] = [
        "index.html",
        "model.safetensors",
        images::CURVES,
        images::PREDICTIONS,
        images::CONFUSION,
        images::MISTAKES,
        images::KERNELS,
        Deconstruction::FILES[0],
        Deconstruction::FILES[1],
        Deconstruction::FILES[2],
        Deconstruction::FILES[3],
        Deconstruction::FILES[4],
        Deconstruction::FILES[5],
        Deconstruction::FILES[6],
        Deconstruction::FILES[7],
        Deconstruction::FILES[8],
    ];

    /// Loads the built-in digits and splits them.
    ///
    /// # Errors
    /// [`Error::File`] when the embedded digits are damaged.
    pub fn new(seed: u64) -> Result<Self> {
        let started = Stopwatch::start();
        let digits = Mnist::builtin()?.train;
        let (labels, classes) = (digits.labels(), digits.class_names().len());
        let outer = stratified_split(&labels, classes, HELD_OUT, seed)?;
        let rest: Vec<usize> = outer.train.iter().map(|&index| labels[index]).collect();
        let inner = stratified_split(&rest, classes, VALIDATION, seed)?;
        let pick = |chosen: &[usize]| chosen.iter().map(|&index| outer.train[index]).collect();
        let parts =
            Parts { train: pick(&inner.train), validation: pick(&inner.validation), held_out: outer.validation };
        Ok(Self { digits, parts, started })
    }

    /// Creates the folder of a demonstration, and checks that files can be written there before any long computation.
    ///
    /// # Errors
    /// As [`files::claim_folder`].
    pub fn claim_folder(folder: impl AsRef<Path>, force: bool) -> Result<SetAside> {
        files::claim_folder(folder, &Self::FILES, force)
    }

    /// The training configuration: fewer and smaller steps than for the full MNIST, which has six times the data, and a
    /// learning rate that decays to zero.
    pub fn config(&self, seed: u64, cpu: Cpu) -> TrainConfig {
        let steps = EPOCHS * self.parts.train.len().div_ceil(BATCH);
        TrainConfig {
            epochs: EPOCHS,
            batch_size: BATCH,
            learning_rate: Schedule::cosine(RATE, steps as u64),
            seed,
            cpu,
            ..TrainConfig::default()
        }
    }

    /// The indices of the digits in each part.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn held_out(&self) -> Result<Subset<&LabeledImages>> {
        Subset::new(&self.digits, self.parts.held_out.clone())
    }

    /// Trains a network and evaluates it on the held-out digits. If the callback stops the training, the network trained so
    /// far is evaluated.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when training was stopped within the first epoch; those of [`Trainer::fit`].
    pub fn run(&self, config: &TrainConfig, callback: impl Callback) -> Result<DemoResult<'_>> {
        let reading = self.started.seconds();
        let train = Subset::new(&self.digits, self.parts.train.clone())?;
        let validation = Subset::new(&self.digits, self.parts.validation.clone())?;
        let mut model = Model {
            preprocessing: Some(Preprocessing::mnist()),
            class_names: self.digits.class_names().to_vec(),
            ..Model::new(applications::mnist_cnn(config.seed)?)
        };
        let before = Stopwatch::start();
        let training = Trainer::new(config.clone()).callback(callback).fit(&mut model, &train, Some(&validation))?;
        let training_seconds = before.seconds();
        if training.best_epoch.is_none() {
            return Err(Error::Interrupted);
        }
        model.training = training.record.clone();
        let before = Stopwatch::start();
        let evaluation = evaluate(&model, &self.held_out()?, config.cpu)?;
        let evaluating = before.seconds();
        let times = Times { reading, training: training_seconds, evaluating };
        Ok(DemoResult { model, training, evaluation, config: config.clone(), times, demo: self })
    }
}

impl DemoResult<'_> {
    /// Explains the network, and writes the report, the images and the model into a folder: [`Demo::FILES`]. The report is
    /// written last: if it exists, so do the other files.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>, depth: &Depth) -> Result<()> {
        let folder = folder.as_ref();
        safetensors::save_model(&self.model, folder.join("model.safetensors"))?;
        let before = Stopwatch::start();
        let deconstruct = Deconstruction::of(self, depth)?;
        let taking_apart = before.seconds();
        for (name, image) in images::all(self)?.into_iter().chain(deconstruct.images()?) {
            image.save_png(folder.join(name))?;
        }
        page::report(self, &deconstruct, taking_apart)?.save(folder.join(Demo::FILES[0]))
    }

    /// The held-out digits, in the order of the evaluation.
    pub(super) fn held_out(&self) -> Result<Subset<&LabeledImages>> {
        self.demo.held_out()
    }

    /// The indices of the digits in each part.
    pub fn parts(&self) -> &Parts {
        &self.demo.parts
    }

    /// Seconds since the demonstration started.
    pub(super) fn seconds_so_far(&self) -> f64 {
        self.demo.started.seconds()
    }

    /// The name of a class.
    pub(super) fn class_name(&self, class: usize) -> &str {
        self.model.class_names.get(class).map_or("?", String::as_str)
    }
}

#[cfg(test)]
mod tests;
