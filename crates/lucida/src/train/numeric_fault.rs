//! Training steps with values that are not finite: detecting them, and finding the cause for the error message.
//!
//! The loss is checked before the backward pass, so that NaN reaches neither the weights nor the optimizer. A finite loss can
//! have a gradient that is not finite: if steps are skipped or gradients are clipped, gradients are checked before the
//! optimizer uses them. Otherwise the weights are checked when the next loss is not finite, after each epoch, and before each
//! checkpoint: checking all of them in every step took 4 % of a step that only trains a large dense layer. The layer at
//! fault is only searched for after a fault, by running the batch again and keeping the output of every layer.

use lucida_kernels::ops::max_abs;

use crate::data::Batch;
use crate::nn::{Network, Node, Plan, StepSeed, TensorRef, Weight};
use crate::weights::is_finite;
use crate::{Cpu, Result};

use super::Samples;

/// Number of consecutive skipped steps after which a training stops with an error.
pub(super) const MOST_IN_A_ROW: usize = 10;

/// Maximum number of samples that a message names.
const MOST_NAMED: usize = 3;

/// The square root of the largest float: the square of a larger gradient is infinite, and so would be Adam's second moment.
const MOST_GRADIENT: f32 = 1.844_674_3e19;

/// What a training does with a step whose loss or gradient is not finite: NaN or infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum OnNan {
    /// Stop with an error that names the layer and the images
    #[default]
    Stop,
    /// Leave the step out; stop after 10 of them in a row
    Skip,
}

/// The value of a step that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// The loss: weights and optimizer are as before the step.
    Loss(f64),
    /// The gradient of the weight with this index, or the square of that: weights and optimizer are as before the step.
    Gradient(usize),
    /// The weight with this index, after the previous step, whose loss was finite and whose gradient was not.
    Weight(usize),
}

/// Returns the first gradient in the order of the backward pass that is not finite. Unless gradients are `clipped`, their
/// squares must be finite, too.
pub(super) fn of_gradients(cpu: Cpu, gradients: &[Vec<f32>], clipped: bool) -> Option<Fault> {
    let most = if clipped { f32::MAX } else { MOST_GRADIENT };
    let is_bad = |gradient: &Vec<f32>| {
        let largest = max_abs(cpu, gradient);
        largest.is_nan() || largest > most
    };
    gradients.iter().rposition(is_bad).map(Fault::Gradient)
}

/// Returns the first weight in the order of the backward pass that is not finite.
pub(super) fn of_weights(cpu: Cpu, weights: &[Weight], changes: &[bool]) -> Option<Fault> {
    let mut pairs = weights.iter().zip(changes);
    let is_bad = |(weight, changes): (&Weight, &bool)| *changes && !max_abs(cpu, weight.values()).is_finite();
    pairs.rposition(is_bad).map(Fault::Weight)
}

/// The cause of a fault.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) layer: Option<String>,
    pub(super) problem: String,
}

impl Cause {
    /// Adds advice to the problem if a layer is the cause; `rate` is the learning rate.
    pub(super) fn with_advice(self, rate: f64) -> Self {
        let Self { layer, problem } = self;
        let advice = format!("; a learning rate below {rate:?}, or clipping the gradients, may help");
        let advice = if layer.is_some() { advice } else { String::new() };
        Self { layer, problem: problem + &advice }
    }
}

/// Batch size for finding the sample whose validation loss is not finite.
const AT_ONCE: usize = 32;

/// Finds the cause of a validation loss that is not finite.
///
/// # Errors
/// Errors of reading the samples.
pub(super) fn of_validation(
    cpu: Cpu,
    network: &Network,
    (samples, order): (&dyn Samples, &[usize]),
    values: &TensorRef,
) -> Result<Cause> {
    let mut cause = None;
    samples.each(None, order, AT_ONCE, &mut |batch| {
        let fault = Fault::Loss(f64::NAN);
        cause = FaultyStep { cpu, network, samples, batch, fault, seed: None, values }.first_value();
        Ok(cause.is_none())
    })?;
    Ok(cause.unwrap_or_else(|| of_sums(values)))
}

/// The cause if all values are finite.
fn of_sums(values: &TensorRef) -> Cause {
    let layer = values.layer.clone();
    let problem =
        format!("the outputs of layer {layer} are finite, but too large for the loss, or the loss is at fault");
    Cause { layer: Some(layer), problem }
}

/// A step with a fault, and its batch.
pub(super) struct FaultyStep<'a> {
    pub(super) cpu: Cpu,
    pub(super) network: &'a Network,
    pub(super) samples: &'a dyn Samples,
    pub(super) batch: Batch<'a>,
    pub(super) fault: Fault,
    /// The seed of a training step; `None` for validation.
    pub(super) seed: Option<StepSeed>,
    /// The outputs that the loss is computed from.
    pub(super) values: &'a TensorRef,
}

impl FaultyStep<'_> {
    /// Finds the layer or the sample that causes the fault.
    pub(super) fn cause(&self) -> Cause {
        let owner = |weight: usize| (self.network.owner_of(weight), self.network.weights()[weight].name());
        let batch = format!("; the batch has {}", self.names());
        let (problem, layer) = match self.fault {
            Fault::Loss(loss) => {
                let Cause { problem, layer } = self.first_value().unwrap_or_else(|| of_sums(self.values));
                (format!("the loss is {loss}: {problem}{batch}"), layer)
            }
            Fault::Gradient(weight) => {
                let (layer, weight) = owner(weight);
                let problem = format!("the loss is finite, but the gradient of layer {layer} is not ({weight}){batch}");
                (problem, Some(layer.to_owned()))
            }
            Fault::Weight(weight) => {
                let (layer, weight) = owner(weight);
                let problem =
                    format!("the step before has left weights of layer {layer} that are not finite ({weight})");
                (problem, Some(layer.to_owned()))
            }
        };
        Cause { layer, problem }
    }

    /// Finds the first value that is not finite, from the input to the output.
    fn first_value(&self) -> Option<Cause> {
        let count = self.batch.labels.len().max(1);
        let name = |sample: usize| self.samples.sample_name(self.batch.indices[sample]);
        for (what, values) in [("input", self.batch.images), ("target", self.batch.targets)] {
            let len = (values.len() / count).max(1);
            if let Some(sample) = values.chunks_exact(len).position(|values| !is_finite(values)) {
                return Some(Cause { layer: None, problem: format!("the {what} of {} is not finite", name(sample)) });
            }
        }
        let (layer, sample) = self.first_activation().ok()??;
        let problem = format!("the outputs of layer {layer} are the first that are not finite ({})", name(sample));
        Some(Cause { layer: Some(layer), problem })
    }

    /// Finds the first layer with outputs that are not finite, and the first sample with such outputs.
    fn first_activation(&self) -> Result<Option<(String, usize)>> {
        let Self { cpu, network, batch, seed, values, .. } = self;
        let count = batch.labels.len();
        let builder = Plan::builder(network).cpu(*cpu).batch_size(count);
        let mut builder = if seed.is_some() { builder.training() } else { builder };
        for node in network.nodes() {
            builder = builder.output(node.name());
        }
        // The last activation may turn infinite values into finite ones.
        let mut plan = builder.output((*values).clone()).build()?;
        plan.input_mut().copy_from_slice(batch.images);
        match *seed {
            // The forward pass updates moving statistics, so run it on a copy.
            Some(seed) => plan.forward_training(&mut (*network).clone(), seed)?,
            None => plan.forward(network)?,
        }
        let names = network.nodes().iter().map(Node::name).chain([values.layer.as_str()]);
        Ok(names.enumerate().find_map(|(index, name)| {
            let rows = plan.output(index);
            let sample = rows.chunks_exact((rows.len() / count).max(1)).position(|row| !is_finite(row))?;
            Some((name.to_owned(), sample))
        }))
    }

    /// Lists the samples of the batch, the first few by name.
    fn names(&self) -> String {
        let named: Vec<String> =
            self.batch.indices.iter().take(MOST_NAMED).map(|&index| self.samples.sample_name(index)).collect();
        match self.batch.indices.len() - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
