//! How good a model is on labelled data.

use crate::data::{Dataset, Loader, batches};
use crate::nn::Plan;
use crate::weights::Model;
use crate::{Cpu, Result};

use super::{Classifier, Confusion};

/// Samples computed at once, and the most values of their images: 32 photos of 150x150. The activations of a large network
/// for 256 photos would fill any memory.
const BATCH: usize = 256;
const VALUES: usize = 1 << 21;

/// What a model makes of labelled data.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f64,
    /// The share of samples that were classified correctly.
    pub accuracy: f64,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// The probability of each class, for each sample in the order of the data.
    pub probabilities: Vec<Vec<f32>>,
    /// The predicted class of each sample.
    pub predicted: Vec<usize>,
}

impl Evaluation {
    /// The samples that were classified wrongly, by their number in the data, the most confident mistake first.
    pub fn mistakes(&self, data: &dyn Dataset) -> Vec<usize> {
        let mut wrong: Vec<usize> =
            (0..self.predicted.len()).filter(|&index| self.predicted[index] != data.label(index)).collect();
        let confidence = |index: usize| self.probabilities[index][self.predicted[index]];
        wrong.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)).then(a.cmp(&b)));
        wrong
    }
}

/// Classifies all samples and compares with their labels.
///
/// # Errors
/// Those of reading the data; [`crate::Error::Argument`] when the classes do not fit the network or there is no data;
/// [`crate::Error::Unsupported`] when the network is no classifier.
pub fn evaluate(model: &Model, data: &dyn Dataset, cpu: Cpu) -> Result<Evaluation> {
    let classifier = Classifier::of(&model.network)?;
    classifier.fits(data.class_names().len())?;
    let preprocessing = model.preprocessing()?;
    if data.is_empty() {
        return Err(crate::Error::argument("there is no data to evaluate the model on"));
    }
    let image_len: usize = preprocessing.output_shape().iter().product();
    let size = (VALUES / image_len.max(1)).clamp(1, BATCH).min(data.len());
    let mut plan = Plan::builder(&model.network)
        .cpu(cpu)
        .batch_size(size)
        .output(classifier.logits.clone())
        .output(classifier.probabilities.clone())
        .build()?;
    let mut labels = vec![0; size];
    let mut targets = vec![0.0; size * classifier.units];
    let mut evaluation = Evaluation {
        loss: 0.0,
        accuracy: 0.0,
        confusion: Confusion::new(classifier.classes()),
        probabilities: Vec::with_capacity(data.len()),
        predicted: Vec::with_capacity(data.len()),
    };
    let order: Vec<usize> = (0..data.len()).collect();
    let mut count = |plan: &mut Plan, labels: &[usize]| {
        plan.forward(&model.network)?;
        let targets = &mut targets[..labels.len() * classifier.units];
        classifier.targets(labels, targets);
        let loss = classifier.loss.evaluate(classifier.units, plan.output(0), targets, None);
        evaluation.loss += loss * labels.len() as f64;
        for (row, &label) in plan.output(1).chunks_exact(classifier.units).zip(labels) {
            let class = classifier.class_of(row, 0.5);
            evaluation.confusion.count(label, class);
            evaluation.predicted.push(class);
            evaluation.probabilities.push(classifier.spread(row));
        }
        Ok(true)
    };
    if data.is_slow() {
        Loader::new(data, preprocessing).threads(cpu.threads()).each(&order, size, |batch| {
            plan.set_batch(batch.labels.len());
            plan.input_mut().copy_from_slice(batch.images);
            count(&mut plan, batch.labels)
        })?;
    } else {
        for batch in batches(&order, size)? {
            plan.set_batch(batch.len());
            let labels = &mut labels[..batch.len()];
            data.fill_batch(batch, preprocessing, plan.input_mut(), labels)?;
            count(&mut plan, labels)?;
        }
    }
    evaluation.loss /= data.len() as f64;
    evaluation.accuracy = evaluation.confusion.accuracy();
    Ok(evaluation)
}
