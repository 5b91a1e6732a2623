//! Rearranges channels to pixels and back: `DepthToSpace` (PyTorch's `PixelShuffle`) and `SpaceToDepth` (`PixelUnshuffle`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_image};
use super::strided::StridedOp;
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// The order of the pixels of a block in the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepthOrder {
    /// All channels of the first pixel, then all of the second: TensorFlow, ONNX's `DCR`.
    #[default]
    DepthFirst,
    /// All pixels of the first channel, then all of the second: PyTorch, ONNX's `CRD`.
    ColumnFirst,
}

macro_rules! depth_layer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// The side of a block in pixels.
            pub block_size: usize,
            /// The order of the pixels of a block in the channels.
            #[serde(default)]
            pub order: DepthOrder,
        }

        impl $name {
            /// Creates the layer with this block size, in TensorFlow's order.
            pub fn new(block_size: usize) -> Self {
                Self { block_size, order: DepthOrder::default() }
            }

            /// Sets the order of the channels.
            #[must_use]
            pub fn order(self, order: DepthOrder) -> Self {
                Self { order, ..self }
            }
        }

        impl LayerSpec for $name {
            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
                let image = one_image(inputs)?;
                self.sizes(image).map(Shape::from).ok_or_else(|| {
                    format!("{} does not fall into blocks of {block}x{block}", inputs[0], block = self.block_size)
                })
            }

            fn extent(&self, inputs: &[Shape]) -> Extent {
                let [height, width, _] = inputs[0].as_image().expect("the shape rule accepts images only");
                self.blocks([height, width])
            }

            fn keeps_sign(&self) -> bool {
                true
            }

            fn only_resamples(&self) -> bool {
                true
            }

            fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
                let image = config.inputs[0].as_image().expect("the shape rule accepts images only");
                Box::new(StridedOp::new(config, 0, &self.axes(image)))
            }
        }

        impl BuiltInLayer for $name {
            const KERAS_CLASSES: &'static [&'static str] = &[stringify!($name)];

            /// A Keras operation, with TensorFlow's order.
            fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
                config.channels_last()?;
                Ok(Self::new(config.sizes::<1>("block_size")?[0]).into())
            }

            fn to_keras(&self) -> Result<Value, String> {
                match self.order {
                    DepthOrder::DepthFirst => {
                        Ok(json!({ "block_size": self.block_size, "data_format": "channels_last" }))
                    }
                    DepthOrder::ColumnFirst => Err("Keras has TensorFlow's order of the channels alone".into()),
                }
            }

            fn to_onnx(&self, layer: &mut OnnxLayer) {
                self.add_to_onnx(layer);
            }
        }
    };
}

depth_layer! {
    /// `[height, width, channels * block²]` to `[height * block, width * block, channels]`.
    ///
    /// ```
    /// use lucida::nn::layers::{DepthOrder, DepthToSpace};
    /// use lucida::prelude::*;
    ///
    /// // `PixelShuffle(2)` in PyTorch.
    /// let shuffle = DepthToSpace::new(2).order(DepthOrder::ColumnFirst);
    /// let network = Sequential::new("larger", [7, 7, 12]).add(shuffle).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [14, 14, 3]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    DepthToSpace
}

depth_layer! {
    /// `[height, width, channels]` to `[height / block, width / block, channels * block²]`.
    ///
    /// ```
    /// use lucida::nn::layers::SpaceToDepth;
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("deeper", [14, 14, 3]).add(SpaceToDepth::new(2)).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [7, 7, 12]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    SpaceToDepth
}

impl DepthToSpace {
    /// The shape of the output, if the input fits.
    pub(crate) fn sizes(&self, [height, width, channels]: [usize; 3]) -> Option<[usize; 3]> {
        let block = self.block_size;
        let pixels = block.checked_mul(block).filter(|&pixels| pixels > 0 && channels.is_multiple_of(pixels))?;
        Some([height.checked_mul(block)?, width.checked_mul(block)?, channels / pixels])
    }

    /// The output as a strided view of the input.
    pub(crate) fn axes(&self, [height, width, channels]: [usize; 3]) -> [(usize, isize); 5] {
        let block = self.block_size;
        let depth = channels / (block * block);
        let (row, column, channel) = match self.order {
            DepthOrder::DepthFirst => (block * depth, depth, 1),
            DepthOrder::ColumnFirst => (block, 1, block * block),
        };
        [
            (height, (width * channels) as isize),
            (block, row as isize),
            (width, channels as isize),
            (block, column as isize),
            (depth, channel as isize),
        ]
    }

    fn blocks(&self, sizes: [usize; 2]) -> Extent {
        let axis = |size: usize| (0..size * self.block_size).map(|at| at / self.block_size..at / self.block_size + 1);
        Extent::UnevenWindows(sizes.map(|size| axis(size).collect()))
    }

    fn add_to_onnx(&self, layer: &mut OnnxLayer) {
        let mode = if self.order == DepthOrder::DepthFirst { "DCR" } else { "CRD" };
        let attributes =
            vec![("blocksize", OnnxAttribute::Int(self.block_size as i64)), ("mode", OnnxAttribute::Text(mode))];
        layer.result("DepthToSpace", layer.inputs.clone(), attributes);
    }
}

impl SpaceToDepth {
    /// The shape of the output, if the input fits.
    pub(crate) fn sizes(&self, [height, width, channels]: [usize; 3]) -> Option<[usize; 3]> {
        let block = self.block_size;
        let fits = block > 0 && height.is_multiple_of(block) && width.is_multiple_of(block);
        fits.then(|| [height / block, width / block, channels * block * block])
    }

    /// The output as a strided view of the input.
    pub(crate) fn axes(&self, [height, width, channels]: [usize; 3]) -> [(usize, isize); 5] {
        let block = self.block_size;
        let (line, pixel) = ((width * channels) as isize, channels as isize);
        let (row, column, channel) = ((block, line), (block, pixel), (channels, 1));
        let inner = match self.order {
            DepthOrder::DepthFirst => [row, column, channel],
            DepthOrder::ColumnFirst => [channel, row, column],
        };
        let side = block as isize;
        [(height / block, line * side), (width / block, pixel * side), inner[0], inner[1], inner[2]]
    }

    fn blocks(&self, sizes: [usize; 2]) -> Extent {
        let block = self.block_size;
        let axis = |size: usize| (0..size / block).map(|at| at * block..(at + 1) * block);
        Extent::UnevenWindows(sizes.map(|size| axis(size).collect()))
    }

    /// ONNX only supports TensorFlow's order.
    fn add_to_onnx(&self, layer: &mut OnnxLayer) {
        let block = self.block_size as i64;
        if self.order == DepthOrder::DepthFirst {
            let attributes = vec![("blocksize", OnnxAttribute::Int(block))];
            layer.result("SpaceToDepth", layer.inputs.clone(), attributes);
            return;
        }
        let sizes = layer.shapes[0].sizes();
        let [height, width, channels] = [sizes[0], sizes[1], sizes[2]].map(|size| size as i64);
        let [rows, columns] = [height / block, width / block];
        let mut shape =
            |label: &str, sizes: &[i64]| layer.constant(label, &[sizes.len()], OnnxValues::Ints(sizes.to_vec()));
        let split = shape("blocks", &[0, channels, rows, block, columns, block]);
        let merged = shape("shape", &[0, channels * block * block, rows, columns]);
        let input = layer.input();
        let blocks = layer.intermediate("split", "Reshape", vec![input, split], vec![]);
        let order = vec![("perm", OnnxAttribute::ints([0, 1, 3, 5, 2, 4]))];
        let moved = layer.intermediate("moved", "Transpose", vec![blocks], order);
        layer.result("Reshape", vec![moved, merged], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    const ORDERS: [DepthOrder; 2] = [DepthOrder::DepthFirst, DepthOrder::ColumnFirst];

    #[test]
    fn gradients_and_shapes() {
        for order in ORDERS {
            check_layer(DepthToSpace::new(2).order(order), &[[2, 3, 12].into()]);
            check_layer(SpaceToDepth::new(2).order(order), &[[4, 6, 3].into()]);
        }
        refuses(DepthToSpace::new(2), &[[2, 3, 6].into()], &["(2, 3, 6)", "2x2"]);
        refuses(DepthToSpace::new(usize::MAX), &[[2, 3, 6].into()], &["(2, 3, 6)"]);
        refuses(SpaceToDepth::new(3), &[[3, 4, 6].into()], &["(3, 4, 6)", "3x3"]);
        refuses(SpaceToDepth::new(0), &[[3, 4, 6].into()], &["0x0"]);
    }

    #[test]
    fn one_undoes_the_other() {
        let values: Vec<f32> = (0..72).map(|value| value as f32).collect();
        for order in ORDERS {
            let pixels = run_training(DepthToSpace::new(2).order(order), &[2, 3, 12].into(), &values, 1, 0);
            assert_eq!(run_training(SpaceToDepth::new(2).order(order), &[4, 6, 3].into(), &pixels, 1, 0), values);
        }
    }
}
