//! What a network says for a class, as one number.

use crate::nn::layers::ActivationKind;
use crate::nn::{Network, Plan, Point};
use crate::train::Classifier;
use crate::{Cpu, Error, Result};

/// Inputs computed at once.
const BATCH: usize = 32;

/// The score of a class: the value before the softmax, whose gradient says what speaks for the class. The probability
/// after it would not do: it also rises when another class loses, and its gradient vanishes where it nears one.
///
/// A network that ends in one sigmoid has two classes: the score of the second is the value before the sigmoid, that of
/// the first its negative.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    point: Point,
    unit: usize,
    units: usize,
    sign: f32,
}

impl ClassScore {
    /// The score of class number `class`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the network does not end in a flat layer of classes; [`Error::Argument`] when it has no
    /// such class.
    pub fn of(network: &Network, class: usize) -> Result<Self> {
        let classes = Self::classes(network)?;
        if class >= classes {
            return Err(Error::argument(format!(
                "network {} has no class {class}: its classes are 0 to {}",
                network.name(),
                classes - 1
            )));
        }
        let output = network.output()?;
        let units = output.shape().len();
        let point = Point::before_activation(output.name());
        Ok(match units {
            1 => Self { point, unit: 0, units, sign: if class == 1 { 1.0 } else { -1.0 } },
            _ => Self { point, unit: class, units, sign: 1.0 },
        })
    }

    /// The number of classes of a network.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it does not end in a flat layer of classes.
    pub fn classes(network: &Network) -> Result<usize> {
        let output = network.output()?;
        let no_classes = |why: String| {
            let name = network.name();
            Err(Error::Unsupported(format!("network {name} has no layer of classes: {why}")))
        };
        match (output.shape().as_flat(), output.activation()) {
            (None, _) => no_classes(format!("its last layer, {:?}, has the shape {}", output.name(), output.shape())),
            (Some(1), ActivationKind::Sigmoid) => Ok(2),
            (Some(1), other) => no_classes(format!("its only output ends in {other:?}, not in a sigmoid")),
            (Some(units), _) => Ok(units),
        }
    }

    /// The probability of every class for inputs of a network, each (height, width, channels) and prepared already.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the network is no classifier, [`Error::Argument`] when an input has another length.
    pub fn probabilities(network: &Network, inputs: &[&[f32]], cpu: Cpu) -> Result<Vec<Vec<f32>>> {
        let classifier = Classifier::of(network)?;
        let len = network.input_shape()?.len();
        let mut plan = Plan::builder(network)
            .cpu(cpu)
            .batch_size(inputs.len().clamp(1, BATCH))
            .output(classifier.probabilities.clone())
            .build()?;
        let mut probabilities = Vec::with_capacity(inputs.len());
        for inputs in inputs.chunks(BATCH) {
            plan.set_batch(inputs.len());
            for (&input, to) in inputs.iter().zip(plan.input_mut().chunks_exact_mut(len)) {
                if input.len() != len {
                    return Err(Error::argument(format!("an input of {} values, expected {len}", input.len())));
                }
                to.copy_from_slice(input);
            }
            plan.forward(network)?;
            probabilities.extend(plan.output(0).chunks_exact(classifier.units).map(|row| classifier.spread(row)));
        }
        Ok(probabilities)
    }

    /// Where the score is: to be wanted of a plan, and to be seeded.
    pub fn point(&self) -> Point {
        self.point.clone()
    }

    /// The scores of a batch, from the values at [`point`](Self::point).
    pub fn read<'a>(&self, values: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let (unit, sign) = (self.unit, self.sign);
        values.chunks_exact(self.units).map(move |row| sign * row[unit])
    }

    /// Writes the gradient of the sum of the scores of a batch at [`point`](Self::point).
    pub fn seed(&self, gradient: &mut [f32]) {
        gradient.fill(0.0);
        gradient.chunks_exact_mut(self.units).for_each(|row| row[self.unit] = self.sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Dense, Flatten};

    fn network(units: usize, activation: ActivationKind) -> Network {
        let layers = [Flatten {}.into(), Dense::new(units).activation(activation).into()];
        Network::sequential("small", [2, 2, 1], layers, 1).unwrap()
    }

    #[test]
    fn classes_of_a_softmax_and_of_a_sigmoid() {
        let softmax = network(3, ActivationKind::Softmax);
        let score = ClassScore::of(&softmax, 1).unwrap();
        assert_eq!(score.read(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).collect::<Vec<_>>(), [2.0, 5.0]);
        let mut gradient = [9.0; 6];
        score.seed(&mut gradient);
        assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(ClassScore::of(&softmax, 3).unwrap_err().to_string().contains("0 to 2"));

        let sigmoid = network(1, ActivationKind::Sigmoid);
        assert_eq!(ClassScore::of(&sigmoid, 0).unwrap().read(&[2.0]).collect::<Vec<_>>(), [-2.0]);
        assert_eq!(ClassScore::of(&sigmoid, 1).unwrap().read(&[2.0]).collect::<Vec<_>>(), [2.0]);
        assert!(ClassScore::of(&sigmoid, 2).is_err());
    }

    #[test]
    fn a_network_without_classes_says_why() {
        let picture = Network::sequential("headless", [4, 4, 1], [], 1).unwrap();
        let message = ClassScore::classes(&picture).unwrap_err().to_string();
        assert!(message.contains("headless") && message.contains("(4, 4, 1)"), "{message}");
        assert!(ClassScore::classes(&network(1, ActivationKind::Linear)).is_err());
    }
}
