//! Replaces instance normalizations with batch normalizations.

use super::{Layer, Network, Node};
use crate::nn::layers::{BatchNormalization, GroupNormalization};
use crate::{Error, Result};

impl Network {
    /// The same network with each instance normalization replaced by a batch normalization with the same name, scale, and
    /// offset, and with its statistics as weights: once they are those of a whole image, a plan processes parts of it as within
    /// the whole.
    ///
    /// # Errors
    /// [`Error::Layer`] when a normalization is called several times, each time with different statistics.
    pub(crate) fn with_batch_statistics(&self) -> Result<Self> {
        let mut builder = Self::builder(self.name.clone());
        for node in &self.nodes {
            let layer = match instance_normalization(node) {
                Some(norm) => {
                    let called_again = self.nodes.iter().any(|other| other.weights_of() == Some(node.name()));
                    if called_again || node.weights_of().is_some() {
                        return Err(Error::layer(
                            node.name(),
                            "is called several times, each time with other statistics",
                        ));
                    }
                    let GroupNormalization { epsilon, center, scale, .. } = *norm;
                    // Zero momentum: earlier statistics are discarded.
                    BatchNormalization { epsilon, center, scale, momentum: 0.0 }.into()
                }
                None => node.layer.clone(),
            };
            builder.add_copy(node, layer, &node.inputs)?;
        }
        let mut fixed = builder.finish(&self.outputs)?;
        for weight in &mut fixed.weights {
            if let Some(own) = self.weight(weight.name()) {
                *weight = own.clone();
            }
        }
        Ok(fixed)
    }

    /// The indices of all instance normalizations.
    pub(crate) fn instance_normalizations(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&index| instance_normalization(&self.nodes[index]).is_some())
    }
}

fn instance_normalization(node: &Node) -> Option<&GroupNormalization> {
    match &node.layer {
        Layer::GroupNormalization(norm) if norm.groups.is_none_or(|groups| groups == node.shape.channels()) => {
            Some(norm)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::layers::{Conv2D, GroupNormalization};
    use crate::nn::{Plan, Sequential, StepSeed};

    #[test]
    fn the_statistics_of_an_image_give_what_the_image_gives() {
        let norm = GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() };
        let network = Sequential::new("a", [6, 8, 3]).add(Conv2D::new(4, [3, 3])).add(norm).build(3).unwrap();
        let mut plan = Plan::builder(&network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(at, value)| *value = (at as f32 * 0.7).sin());
        let input = plan.input_mut().to_vec();
        plan.forward(&network).unwrap();
        let mut fixed = network.with_batch_statistics().unwrap();
        assert_eq!([&network, &fixed].map(|network| network.instance_normalizations().count()), [1, 0]);
        let mut measure = Plan::builder(&fixed).training().build().unwrap();
        measure.input_mut().copy_from_slice(&input);
        measure.forward_training(&mut fixed, StepSeed { seed: 0, first_sample: 0 }).unwrap();
        let mut other = Plan::builder(&fixed).build().unwrap();
        other.input_mut().copy_from_slice(&input);
        other.forward(&fixed).unwrap();
        let difference = plan.output(0).iter().zip(other.output(0)).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) < 1e-5);
    }
}
