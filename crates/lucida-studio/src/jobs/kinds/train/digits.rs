//! Training on handwritten digits.

use lucida::data::{Dataset, Mnist, Preprocessing, Split, Subset, stratified_split};
use lucida::nn::applications;
use lucida::train::{ImageSamples, evaluate_samples};
use lucida::weights::Model;
use serde_json::Value;

use super::training_job::{TrainingData, TrainingJob};
use crate::data::Source;

/// Validation fraction.
const VALIDATION: f64 = 0.2;

/// Splits digits into those to train on and those to validate with.
pub(super) fn split(digits: &dyn Dataset, seed: u64) -> lucida::Result<Split> {
    stratified_split(&digits.labels(), digits.class_names().len(), VALIDATION, seed)
}

pub(super) fn learn(training: &TrainingJob, source: Option<&Source>) -> lucida::Result<Value> {
    let seed = training.request.seed;
    let digits = match source {
        Some(Source::Mnist(folder)) => Mnist::from_folder(folder)?,
        _ => Mnist::builtin()?,
    };
    let split = split(&digits.train, seed)?;
    let train = Subset::new(&digits.train, split.train)?;
    let validation = Subset::new(&digits.train, split.validation)?;
    let preprocessing = Preprocessing::mnist();
    let mut model = Model {
        preprocessing: Some(preprocessing.clone()),
        class_names: digits.train.class_names().to_vec(),
        ..Model::new(applications::mnist_cnn(seed)?)
    };
    let samples = |set| ImageSamples::new(set, &preprocessing, training.cpu.threads());
    let (train, tried) = (samples(&train), samples(&validation));
    let data = TrainingData { train: &train, validation: &tried, images: &validation, model: Some(model.clone()) };
    let result = training.fit(&mut model.network, &data)?;
    let all: Vec<usize> = (0..validation.len()).collect();
    let evaluation = evaluate_samples(&model.network, &tried, &all, training.cpu)?;
    training.finish((&mut model, None), &result, &validation, &evaluation)
}
