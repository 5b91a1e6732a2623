//! The score of a class.

use crate::nn::{Inference, Network, Plan, TensorRef};
use crate::weights::{Model, OutputKind, Outputs};
use crate::{Cpu, Error, Result};

/// Inputs per batch.
const BATCH: usize = 32;

/// The score of a class: its value before the softmax, whose gradient is the evidence for the class. The probability is
/// unsuitable: it also rises when another class falls, and its gradient vanishes near 1.
///
/// A network that ends in one sigmoid has two classes: the score of the second is the value before the sigmoid, that of the
/// first its negative. The score of a label is the value before its sigmoid; a regression value is its own score.
///
/// ```
/// use lucida::explain::ClassScore;
/// use lucida::prelude::*;
///
/// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// # let mut input = vec![0.0; 28 * 28];
/// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let score = ClassScore::of(&model.network, 5)?;
/// let mut plan = Plan::builder(&model.network).output(score.point()).build()?;
/// plan.input_mut().copy_from_slice(&input);
/// plan.forward(&model.network)?;
/// let logit = plan.output(0)[5];
/// assert_eq!(score.read(plan.output(0)).next(), Some(logit));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    point: TensorRef,
    unit: usize,
    units: usize,
    sign: f32,
}

impl ClassScore {
    /// The score of class `class` of a network without further information.
    ///
    /// # Errors
    /// As [`Outputs::of_network`]; [`Error::Argument`] when the class does not exist.
    pub fn of(network: &Network, class: usize) -> Result<Self> {
        Self::of_outputs(&Outputs::of_network(network)?, class)
    }

    /// The score of a class, a label, or a value.
    ///
    /// # Errors
    /// [`Error::Argument`] when the index is out of range.
    pub fn of_outputs(outputs: &Outputs, class: usize) -> Result<Self> {
        if class >= outputs.count() {
            return Err(no_such(outputs, &class.to_string()));
        }
        let (point, units) = (outputs.score_point(), outputs.units());
        Ok(match outputs.kind() {
            OutputKind::TwoClasses => Self { point, unit: 0, units, sign: if class == 1 { 1.0 } else { -1.0 } },
            _ => Self { point, unit: class, units, sign: 1.0 },
        })
    }

    /// The model's outputs for preprocessed inputs, each `[height, width, channels]`: the probability of every class or
    /// label, or the values.
    ///
    /// # Errors
    /// As [`Outputs::of`]; [`Error::Argument`] when an input has a wrong length.
    pub fn outputs(model: &Model, inputs: &[&[f32]], cpu: Cpu) -> Result<Vec<Vec<f32>>> {
        let (network, outputs) = (&model.network, Outputs::of(model)?);
        let plan = Plan::builder(network).cpu(cpu).batch_size(inputs.len().clamp(1, BATCH)).output(outputs.point());
        let mut found = Vec::with_capacity(inputs.len());
        let fill = |index: usize, to: &mut [f32]| {
            let input = inputs[index];
            if input.len() != to.len() {
                return Err(Error::argument(format!("an input of {} values, expected {}", input.len(), to.len())));
            }
            to.copy_from_slice(input);
            Ok(())
        };
        Inference::new(plan)?.each(inputs.len(), fill, |_, row| {
            found.push(outputs.read(row));
            Ok(())
        })?;
        Ok(found)
    }

    /// The tensor with the score: an output of the plan, where the backward pass starts.
    pub fn point(&self) -> TensorRef {
        self.point.clone()
    }

    /// The scores of a batch, given the values at [`point`](Self::point).
    pub fn read<'a>(&self, values: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let (unit, sign) = (self.unit, self.sign);
        values.chunks_exact(self.units).map(move |row| sign * row[unit])
    }

    /// Writes the gradient of the sum of the scores of a batch at [`point`](Self::point).
    pub fn write_gradient(&self, gradient: &mut [f32]) {
        gradient.fill(0.0);
        gradient.chunks_exact_mut(self.units).for_each(|row| row[self.unit] = self.sign);
    }
}

/// The error for a class that a network does not have.
pub(super) fn no_such(outputs: &Outputs, class: &str) -> Error {
    let (noun, all, last) = (outputs.noun(), outputs.nouns(), outputs.count() - 1);
    Error::argument(format!("network {} has no {noun} {class}: its {all} are 0 to {last}", outputs.network()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{ActivationKind, Dense, Flatten};
    use crate::weights::Task;

    fn network(units: usize, activation: ActivationKind) -> Network {
        let layers = [Flatten::new().into(), Dense::new(units).activation(activation).into()];
        Network::sequential("small", [2, 2, 1], layers, 1).unwrap()
    }

    #[test]
    fn classes_of_a_softmax_and_of_a_sigmoid() {
        let softmax = network(3, ActivationKind::Softmax);
        let score = ClassScore::of(&softmax, 1).unwrap();
        assert_eq!(score.read(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).collect::<Vec<_>>(), [2.0, 5.0]);
        let mut gradient = [9.0; 6];
        score.write_gradient(&mut gradient);
        assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(ClassScore::of(&softmax, 3).unwrap_err().to_string().contains("0 to 2"));

        let sigmoid = network(1, ActivationKind::Sigmoid);
        assert_eq!(ClassScore::of(&sigmoid, 0).unwrap().read(&[2.0]).collect::<Vec<_>>(), [-2.0]);
        assert_eq!(ClassScore::of(&sigmoid, 1).unwrap().read(&[2.0]).collect::<Vec<_>>(), [2.0]);
        assert!(ClassScore::of(&sigmoid, 2).is_err());
    }

    #[test]
    fn labels_and_numbers_have_scores() {
        let labels = network(3, ActivationKind::Sigmoid);
        assert_eq!(ClassScore::of(&labels, 2).unwrap().read(&[1.0, 2.0, 3.0]).collect::<Vec<_>>(), [3.0]);
        // One output of a regression is one value; as a logit, it would represent two classes.
        let linear = network(1, ActivationKind::Linear);
        assert_eq!(ClassScore::of(&linear, 0).unwrap().read(&[2.0]).collect::<Vec<_>>(), [-2.0]);
        let model = Model { task: Some(Task::Regress), ..Model::new(linear) };
        let outputs = Outputs::of(&model).unwrap();
        assert_eq!(ClassScore::of_outputs(&outputs, 0).unwrap().read(&[2.0]).collect::<Vec<_>>(), [2.0]);
        let message = ClassScore::of_outputs(&outputs, 1).unwrap_err().to_string();
        assert_eq!(message, "network small has no value 1: its values are 0 to 0");
        let inputs: [&[f32]; 1] = [&[1.0, -2.0, 0.5, 3.0]];
        let kernel = model.network.weights()[0].values();
        let expected: f32 = kernel.iter().zip(inputs[0]).map(|(w, x)| w * x).sum();
        let found = ClassScore::outputs(&model, &inputs, Cpu::detect()).unwrap();
        assert!((found[0][0] - expected).abs() < 1e-5, "{found:?} {expected}");
    }
}
