//! A network whose instance normalizations use given statistics.

use std::collections::HashMap;

use super::{Layer, Network, Node};
use crate::nn::layers::{BatchNormalization, GroupNormalization};
use crate::{Error, Result};

/// The mean and the variance of each channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ChannelStatistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

impl Network {
    /// The instance normalizations, by the numbers of their nodes.
    pub(crate) fn instance_normalizations(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().enumerate().filter(|(_, node)| instance_normalization(node).is_some()).map(|(index, _)| index)
    }

    /// The same network with each instance normalization replaced by a batch normalization of the same name, which takes
    /// its statistics from `statistics` rather than from the image: it computes each part of an image as within the whole.
    ///
    /// # Errors
    /// [`Error::Layer`] when a normalization is called several times, or has no statistics.
    pub(crate) fn with_fixed_statistics(&self, statistics: &HashMap<String, ChannelStatistics>) -> Result<Self> {
        let mut builder = Self::builder(self.name.clone());
        for node in &self.nodes {
            let layer = match instance_normalization(node) {
                Some(norm) => {
                    let called_again = self.nodes.iter().any(|other| other.weights_of() == Some(node.name()));
                    if called_again || node.weights_of().is_some() {
                        return Err(Error::layer(node.name(), "is called several times, each time with other statistics"));
                    }
                    let GroupNormalization { epsilon, center, scale, .. } = *norm;
                    BatchNormalization { epsilon, center, scale, ..BatchNormalization::default() }.into()
                }
                None => node.layer.clone(),
            };
            builder.add_copy(node, layer, &node.inputs)?;
        }
        let mut fixed = builder.finish(&self.outputs)?;
        for weight in &mut fixed.weights {
            let name = weight.name().to_owned();
            if let Some(own) = self.weight(&name) {
                *weight = own.clone();
                continue;
            }
            let (layer, leaf) = name.rsplit_once('/').unwrap_or_default();
            let found = statistics.get(layer).ok_or_else(|| Error::layer(layer, "has no statistics"))?;
            let values = if leaf == "moving_mean" { &found.mean } else { &found.variance };
            weight.values_mut().copy_from_slice(values);
        }
        Ok(fixed)
    }
}

fn instance_normalization(node: &Node) -> Option<&GroupNormalization> {
    match &node.layer {
        Layer::GroupNormalization(norm) if norm.groups.is_none_or(|groups| groups == node.shape.channels()) => Some(norm),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Plan;
    use crate::nn::layers::{Conv2D, Sequential};

    #[test]
    fn the_statistics_of_an_image_give_what_the_image_gives() {
        let norm = GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() };
        let network = Sequential::new("a", [6, 8, 3]).add(Conv2D::new(4, [3, 3])).add(norm).build(3).unwrap();
        let mut plan = Plan::builder(&network).output("conv2d").output("group_normalization").build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(at, value)| *value = (at as f32 * 0.7).sin());
        let input = plan.input_mut().to_vec();
        plan.forward(&network).unwrap();
        let before = plan.output(0);
        let count = (before.len() / 4) as f32;
        let channel = |c: usize| before.iter().skip(c).step_by(4);
        let mean: Vec<f32> = (0..4).map(|c| channel(c).sum::<f32>() / count).collect();
        let variance = (0..4).map(|c| channel(c).map(|v| (v - mean[c]).powi(2)).sum::<f32>() / count).collect();
        let statistics = [("group_normalization".to_owned(), ChannelStatistics { mean, variance })].into();
        let fixed = network.with_fixed_statistics(&statistics).unwrap();
        let mut other = Plan::builder(&fixed).build().unwrap();
        other.input_mut().copy_from_slice(&input);
        other.forward(&fixed).unwrap();
        let apart = plan.output(1).iter().zip(other.output(0)).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-5);
        let message = network.with_fixed_statistics(&HashMap::new()).unwrap_err().to_string();
        assert!(message.contains("group_normalization") && message.contains("no statistics"), "{message}");
    }
}
