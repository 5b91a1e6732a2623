//! The demonstration: a network trained on the built-in digits, and tried on some that it has never seen.

use std::path::Path;
use std::time::Instant;

use super::deconstruct::{Deconstruction, Depth};
use super::{images, page};
use crate::data::{Dataset, LabeledImages, Mnist, Preprocessing, Subset, stratified_split};
use crate::files::{self, SetAside};
use crate::nn::{Schedule, applications};
use crate::train::{Callback, Evaluation, TrainConfig, TrainResult, Trainer, evaluate};
use crate::weights::{Model, safetensors};
use crate::{Cpu, Error, Result};

/// The part of the built-in digits that is held out: 2,000.
const HELD_OUT: f64 = 0.2;
/// The part of the others that validates: 800.
const VALIDATION: f64 = 0.1;
const EPOCHS: usize = 20;
const BATCH: usize = 128;
const RATE: f64 = 2e-3;

/// The built-in digits in three parts, ready to train on.
#[derive(Debug, Clone)]
pub struct Demo {
    digits: LabeledImages,
    parts: Parts,
    started: Instant,
}

/// The positions of the digits of each part; each class has the same share in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// To train on.
    pub train: Vec<usize>,
    /// To choose the best epoch with.
    pub validation: Vec<usize>,
    /// Neither trained on nor chosen with.
    pub held_out: Vec<usize>,
}

/// What a demonstration found.
#[derive(Debug, Clone)]
pub struct DemoResult<'a> {
    /// The trained model, with the weights of its best epoch.
    pub model: Model,
    /// How the training went.
    pub training: TrainResult,
    /// How good the model is on the digits held out.
    pub evaluation: Evaluation,
    /// How it was trained.
    pub config: TrainConfig,
    /// How long it took.
    pub times: Times,
    demo: &'a Demo,
}

/// Where the time went, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// To unpack and split the digits.
    pub reading: f64,
    /// To train, with the validation after each epoch.
    pub training: f64,
    /// To classify the digits held out.
    pub evaluating: f64,
}

impl Demo {
    /// The files of a demonstration; the first is the page.
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

    /// Reads the built-in digits and splits them.
    ///
    /// # Errors
    /// [`Error::File`] when the binary is damaged.
    pub fn new(seed: u64) -> Result<Self> {
        let started = Instant::now();
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

    /// Creates the folder of a demonstration, and checks that files can be written there before any long work.
    ///
    /// # Errors
    /// As [`files::claim_folder`].
    pub fn claim_folder(folder: impl AsRef<Path>, force: bool) -> Result<SetAside> {
        files::claim_folder(folder, &Self::FILES, force)
    }

    /// How to train: fewer and smaller steps than on the whole of MNIST, and a rate that falls to nothing, since there
    /// is a sixth of the data.
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

    /// Which digits are for what.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn held_out(&self) -> Result<Subset<&LabeledImages>> {
        Subset::new(&self.digits, self.parts.held_out.clone())
    }

    /// Trains a network and tries it on the digits held out. When the callback stops the training, what was learned so
    /// far is tried.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the training was stopped within its first epoch, else those of [`Trainer::fit`].
    pub fn run(&self, config: &TrainConfig, callback: impl Callback) -> Result<DemoResult<'_>> {
        let reading = self.started.elapsed().as_secs_f64();
        let train = Subset::new(&self.digits, self.parts.train.clone())?;
        let validation = Subset::new(&self.digits, self.parts.validation.clone())?;
        let mut model = Model {
            preprocessing: Some(Preprocessing::mnist()),
            class_names: self.digits.class_names().to_vec(),
            ..Model::new(applications::mnist_cnn(config.seed)?)
        };
        let before = Instant::now();
        let training = Trainer::new(config.clone()).callback(callback).fit(&mut model, &train, Some(&validation))?;
        let training_seconds = before.elapsed().as_secs_f64();
        if training.best_epoch.is_none() {
            return Err(Error::Interrupted);
        }
        model.training = training.record.clone();
        let before = Instant::now();
        let evaluation = evaluate(&model, &self.held_out()?, config.cpu)?;
        let evaluating = before.elapsed().as_secs_f64();
        let times = Times { reading, training: training_seconds, evaluating };
        Ok(DemoResult { model, training, evaluation, config: config.clone(), times, demo: self })
    }
}

impl DemoResult<'_> {
    /// Deconstructs the network, and writes the page, the images and the model into a folder: [`Demo::FILES`]. The page
    /// comes last, so that where there is one, the rest is there too.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>, depth: &Depth) -> Result<()> {
        let folder = folder.as_ref();
        safetensors::save_model(&self.model, folder.join("model.safetensors"))?;
        let before = Instant::now();
        let deconstruct = Deconstruction::of(self, depth)?;
        let taking_apart = before.elapsed().as_secs_f64();
        for (name, image) in images::all(self)?.into_iter().chain(deconstruct.images()?) {
            image.save_png(folder.join(name))?;
        }
        page::report(self, &deconstruct, taking_apart)?.save(folder.join(Demo::FILES[0]))
    }

    /// The digits held out, to which the evaluation belongs.
    pub(super) fn held_out(&self) -> Result<Subset<&LabeledImages>> {
        self.demo.held_out()
    }

    /// Which digits were for what.
    pub fn parts(&self) -> &Parts {
        &self.demo.parts
    }

    /// Seconds since the demonstration began.
    pub(super) fn seconds_so_far(&self) -> f64 {
        self.demo.started.elapsed().as_secs_f64()
    }

    /// The name of a class.
    pub(super) fn class_name(&self, class: usize) -> &str {
        self.model.class_names.get(class).map_or("?", String::as_str)
    }
}

#[cfg(test)]
mod tests;
