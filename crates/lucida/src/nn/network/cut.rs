//! Truncates a network after a layer.

use super::{Layer, Network};
use crate::Result;

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
        let mut needed = vec![false; self.nodes.len()];
        needed[end] = true;
        for index in (0..=end).rev().filter(|&index| !matches!(self.nodes[index].layer, Layer::Input(_))) {
            if needed[index] {
                self.nodes[index].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let mut builder = Self::builder(self.name.clone());
        let mut moved = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().filter(|&(index, _)| needed[index]) {
            let inputs: Vec<usize> = node.inputs.iter().map(|&input| moved[input]).collect();
            moved[index] = builder.add_copy(node, node.layer.clone(), &inputs)?;
        }
        let mut cut = builder.finish(&[moved[end]])?;
        cut.replace_with(self)?;
        Ok(cut)
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
}
