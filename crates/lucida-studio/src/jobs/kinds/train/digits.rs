//! Digits.

use lucida::data::{Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::zoo;
use lucida::train::{Pictures, evaluate_samples};
use lucida::weights::Model;
use serde_json::Value;

use super::course::{Course, Lesson};
use crate::data::Source;

/// The part of the digits that validates.
const VALIDATION: f64 = 0.2;

pub(super) fn learn(course: &Course, source: Option<&Source>) -> lucida::Result<Value> {
    let seed = course.request.seed;
    let digits = match source {
        Some(Source::Mnist(folder)) => Mnist::from_folder(folder)?,
        _ => Mnist::builtin()?,
    };
    let split = stratified_split(&digits.train.labels(), digits.train.class_names().len(), VALIDATION, seed)?;
    let train = Subset::new(&digits.train, split.train)?;
    let validation = Subset::new(&digits.train, split.validation)?;
    let preprocessing = Preprocessing::mnist();
    let mut model = Model {
        preprocessing: Some(preprocessing.clone()),
        class_names: digits.train.class_names().to_vec(),
        ..Model::new(zoo::mnist_cnn(seed)?)
    };
    let samples = |set| Pictures::new(set, &preprocessing, course.cpu.threads());
    let (train, tried) = (samples(&train), samples(&validation));
    let lesson = Lesson { train: &train, validation: &tried, pictures: &validation };
    let result = course.fit(&mut model.network, &lesson)?;
    let all: Vec<usize> = (0..validation.len()).collect();
    let evaluation = evaluate_samples(&model.network, &tried, &all, course.cpu)?;
    course.finish((&mut model, None), &result, &validation, &evaluation)
}
