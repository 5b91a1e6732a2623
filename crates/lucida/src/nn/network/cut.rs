//! Truncates a network after a layer.

use super::Network;
use crate::Result;
use crate::nn::Shape;
use crate::nn::layers::Input;

impl Network {
    /// The subnetwork up to a layer, whose output becomes the only output: a feature extractor. Weights are moved, not
    /// copied.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let features = applications::mnist_cnn(42)?.cut("flatten")?;
    /// assert_eq!(features.output()?.name(), "flatten");
    /// assert!(features.find("dense").is_err(), "what comes behind is gone");
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when the layer does not exist.
    pub fn cut(self, layer: &str) -> Result<Self> {
        let end = self.find(layer)?;
        let mut cut = self.part_zeroed(&[], &[end])?;
        cut.replace_with(self)?;
        Ok(cut)
    }

    /// The subnetwork from some layers, which become inputs with the given shapes, to others, which become the outputs. Its
    /// inputs are in the order of the layers.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when a layer does not accept its input.
    pub(crate) fn part(&self, given: &[(usize, Shape)], outputs: &[usize]) -> Result<Self> {
        let mut part = self.part_zeroed(given, outputs)?;
        for weight in part.weights_mut() {
            if let Some(own) = self.weight(weight.name()) {
                *weight = own.clone();
            }
        }
        Ok(part)
    }

    /// Which layers the outputs depend on, down to the given ones.
    pub(crate) fn needed(&self, given: &[usize], outputs: &[usize]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        outputs.iter().for_each(|&output| needed[output] = true);
        for index in (0..self.nodes.len()).rev().filter(|index| !given.contains(index)) {
            if needed[index] {
                self.nodes[index].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        needed
    }

    /// [`part`](Self::part) without its weights.
    fn part_zeroed(&self, given: &[(usize, Shape)], outputs: &[usize]) -> Result<Self> {
        let from: Vec<usize> = given.iter().map(|(index, _)| *index).collect();
        let needed = self.needed(&from, outputs);
        let mut builder = Self::builder(self.name.clone());
        let mut moved = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().filter(|&(index, _)| needed[index]) {
            moved[index] = match given.iter().find(|(given, _)| *given == index) {
                // A name of its own: weights that another layer shares are named after the layer.
                Some((_, shape)) => {
                    builder.add_named(format!("{} (given)", node.name), Input::new(shape.clone()), &[])?
                }
                None => {
                    let inputs: Vec<usize> = node.inputs.iter().map(|&input| moved[input]).collect();
                    builder.add_copy(node, node.layer.clone(), &inputs)?
                }
            };
        }
        let outputs: Vec<usize> = outputs.iter().map(|&output| moved[output]).collect();
        builder.finish(&outputs)
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::{Plan, applications};

    #[test]
    fn what_is_left_computes_the_same() {
        let network = applications::find("inception-v3")
            .unwrap()
            .build(&applications::Options::without_top().size(75, 75).seed(1))
            .unwrap();
        let input: Vec<f32> = (0..75 * 75 * 3).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let value = |network: &crate::nn::Network| {
            let mut plan = Plan::builder(network).output("mixed1").build().unwrap();
            plan.input_mut().copy_from_slice(&input);
            plan.forward(network).unwrap();
            plan.output(0).to_vec()
        };
        let cut = network.clone().cut("mixed1").unwrap();
        assert!(cut.nodes().len() < network.nodes().len() / 2);
        assert_eq!(cut.output().unwrap().name(), "mixed1");
        assert_eq!(value(&cut), value(&network));
        assert!(network.cut("mixed99").unwrap_err().to_string().contains("mixed9"));
    }

    #[test]
    fn the_parts_of_a_network_compute_what_the_whole_does() {
        let network = applications::mnist_cnn(1).unwrap();
        let (cut, last) = (network.find("max_pooling2d").unwrap(), network.find("dense").unwrap());
        let mut whole = Plan::builder(&network).output("max_pooling2d").output("dense").build().unwrap();
        whole.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = (i % 17) as f32 / 8.0);
        whole.forward(&network).unwrap();
        let part = network.part(&[(cut, network.nodes()[cut].shape().clone())], &[last]).unwrap();
        let mut plan = Plan::builder(&part).build().unwrap();
        plan.input_mut().copy_from_slice(whole.output(0));
        plan.forward(&part).unwrap();
        assert!(part.nodes().len() < network.nodes().len());
        assert_eq!(plan.output(0), whole.output(1));
    }
}
