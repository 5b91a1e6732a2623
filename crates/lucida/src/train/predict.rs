//! The class of pictures.

use crate::data::{Dataset, Loader, Picture, Preprocessing};
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
    let mut predictor = Predictor::new(model, pictures.len(), cpu)?;
    let mut predictions = Vec::with_capacity(pictures.len());
    for pictures in pictures.chunks(BATCH) {
        let batch = predictor.batch(pictures.len(), |preprocessing, input| {
            let image_len: usize = preprocessing.output_shape().iter().product();
            let mut pairs = pictures.iter().zip(input.chunks_exact_mut(image_len));
            pairs.try_for_each(|(picture, input)| preprocessing.apply(picture, input))
        })?;
        predictions.extend(batch);
    }
    Ok(predictions)
}

/// Classifies the images of a data set at some positions, and hands each to `each` with its position: memory does not
/// grow with the set.
///
/// # Errors
/// As [`predict`]; [`crate::Error::Argument`] when there is no such image; those of reading the set, and of `each`.
pub fn predict_set(
    model: &Model,
    set: &dyn Dataset,
    indices: &[usize],
    cpu: Cpu,
    mut each: impl FnMut(usize, Prediction) -> Result<()>,
) -> Result<()> {
    let mut predictor = Predictor::new(model, indices.len(), cpu)?;
    let preprocessing = predictor.preprocessing;
    Loader::new(set, preprocessing).threads(cpu.threads()).each(indices, BATCH, |batch| {
        let predictions = predictor.batch(batch.indices.len(), |_, input| {
            input.copy_from_slice(batch.images);
            Ok(())
        })?;
        for (&index, prediction) in batch.indices.iter().zip(predictions) {
            each(index, prediction)?;
        }
        Ok(true)
    })?;
    Ok(())
}

/// A model ready to classify picture after picture, or batch after batch.
pub struct Predictor<'a> {
    model: &'a Model,
    preprocessing: &'a Preprocessing,
    classifier: Classifier,
    plan: Plan,
}

impl<'a> Predictor<'a> {
    fn new(model: &'a Model, pictures: usize, cpu: Cpu) -> Result<Self> {
        let classifier = Classifier::of(&model.network)?;
        let preprocessing = model.preprocessing()?;
        let plan = Plan::builder(&model.network)
            .cpu(cpu)
            .batch_size(pictures.clamp(1, BATCH))
            .output(classifier.probabilities.clone())
            .build()?;
        Ok(Self { model, preprocessing, classifier, plan })
    }

    /// For one picture at a time.
    ///
    /// # Errors
    /// As [`predict`].
    pub fn of_one(model: &'a Model, cpu: Cpu) -> Result<Self> {
        Self::new(model, 1, cpu)
    }

    /// Classifies a picture of any size.
    ///
    /// # Errors
    /// Those of preparing it.
    pub fn predict(&mut self, picture: &Picture) -> Result<Prediction> {
        let found = self.batch(1, |preprocessing, input| preprocessing.apply(picture, input))?;
        Ok(found.into_iter().next().expect("one picture has one prediction"))
    }

    fn batch(
        &mut self,
        count: usize,
        fill: impl FnOnce(&Preprocessing, &mut [f32]) -> Result<()>,
    ) -> Result<Vec<Prediction>> {
        self.plan.set_batch(count);
        fill(self.preprocessing, self.plan.input_mut())?;
        self.plan.forward(&self.model.network)?;
        let rows = self.plan.output(0).chunks_exact(self.classifier.units);
        let predictions = rows.map(|row| {
            let class = self.classifier.class_of(row, 0.5);
            let probabilities = self.classifier.spread(row);
            Prediction { class, probability: probabilities[class], probabilities }
        });
        Ok(predictions.collect())
    }
}
