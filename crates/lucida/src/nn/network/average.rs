//! Replaces max pooling with average pooling.

use super::{Layer, Network};
use crate::Result;
use crate::nn::layers::{AveragePooling2D, MaxPooling2D};

impl Network {
    /// The same network with each max pooling replaced by an average pooling over the same windows. Weights are moved, not
    /// copied.
    ///
    /// # Errors
    /// None in practice: shapes do not change.
    pub fn with_average_pooling(self) -> Result<Self> {
        let mut builder = Self::builder(self.name.clone());
        for node in &self.nodes {
            let layer = match &node.layer {
                Layer::MaxPooling2D(MaxPooling2D { pool_size, strides, padding, dilation, ceil_mode }) => {
                    let pooling = AveragePooling2D::new(*pool_size).strides(*strides).padding(*padding);
                    AveragePooling2D { dilation: *dilation, ceil_mode: *ceil_mode, ..pooling }.into()
                }
                other => other.clone(),
            };
            builder.add_copy(node, layer, &node.inputs)?;
        }
        let mut averaging = builder.finish(&self.outputs)?;
        averaging.replace_with(self)?;
        Ok(averaging)
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::applications;

    #[test]
    fn only_the_poolings_change() {
        let network = applications::vgg16_start([16, 16]).unwrap();
        let averaging = network.clone().with_average_pooling().unwrap();
        assert_eq!(averaging.weights().len(), network.weights().len());
        for (a, b) in averaging.nodes().iter().zip(network.nodes()) {
            assert_eq!((a.name(), a.shape()), (b.name(), b.shape()));
            match b.layer().class_name() {
                "MaxPooling2D" => assert_eq!(a.layer().class_name(), "AveragePooling2D"),
                class => assert_eq!(a.layer().class_name(), class),
            }
        }
    }
}
