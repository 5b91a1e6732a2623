//! The class of pictures.

use crate::data::Picture;
use crate::nn::Plan;
use crate::weights::Model;
use crate::{Cpu, Result};

use super::Classifier;

/// Pictures computed at once.
const BATCH: usize = 32;

/// What a model says about one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The most probable class.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The probability of each class.
    pub probabilities: Vec<f32>,
}

/// Classifies pictures of any size, prepared as the model says.
///
/// # Errors
/// [`crate::Error::Unsupported`] when the network is no classifier, [`crate::Error::Argument`] when the model does not say
/// how pictures are prepared, and those of preparing a picture.
pub fn predict(model: &Model, pictures: &[Picture], cpu: Cpu) -> Result<Vec<Prediction>> {
    let classifier = Classifier::of(&model.network)?;
    let preprocessing = model.preprocessing()?;
    let image_len: usize = preprocessing.output_shape().iter().product();
    let mut plan = Plan::builder(&model.network)
        .cpu(cpu)
        .batch_size(pictures.len().clamp(1, BATCH))
        .output(classifier.probabilities.clone())
        .build()?;
    let mut predictions = Vec::with_capacity(pictures.len());
    for pictures in pictures.chunks(BATCH) {
        plan.set_batch(pictures.len());
        for (picture, input) in pictures.iter().zip(plan.input_mut().chunks_exact_mut(image_len)) {
            preprocessing.apply(picture, input)?;
        }
        plan.forward(&model.network)?;
        for row in plan.output(0).chunks_exact(classifier.units) {
            let class = classifier.class_of(row, 0.5);
            let probabilities = classifier.spread(row);
            predictions.push(Prediction { class, probability: probabilities[class], probabilities });
        }
    }
    Ok(predictions)
}
