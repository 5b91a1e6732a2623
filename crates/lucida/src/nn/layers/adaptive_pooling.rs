//! Adaptive pooling: one window per output pixel, for any input size.
//!
//! Window `i` of `n` over `size` pixels goes from `floor(i size / n)` to `ceil((i + 1) size / n)`, so windows may overlap
//! by a pixel and differ in size by one. PyTorch and Keras have the same rule.

use lucida_kernels::{AxisMap, ImageMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::padding::{Padding, onnx_window};
use super::pooling::MaxWindows;
use super::resample::{ResampleOp, extent_of, resized, sides};
use super::resize::map_to_onnx;
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

macro_rules! adaptive_pooling_layer {
    ($(#[$doc:meta])* $name:ident, $prepare:expr, $onnx:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// Height and width of the output.
            pub output_size: [usize; 2],
        }

        impl $name {
            /// Pools to an output of this height and width.
            pub fn new(output_size: [usize; 2]) -> Self {
                Self { output_size }
            }
        }

        impl LayerSpec for $name {
            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
                resized(inputs, self.output_size)
            }

            fn extent(&self, inputs: &[Shape]) -> Extent {
                extent_of(&windows(self.output_size, sides(inputs)))
            }

            fn keeps_sign(&self) -> bool {
                true
            }

            fn only_resamples(&self) -> bool {
                true
            }

            fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
                let map = windows(self.output_size, sides(config.inputs));
                $prepare(config, map)
            }
        }

        impl BuiltInLayer for $name {
            const KERAS_CLASSES: &'static [&'static str] = &[stringify!($name)];

            fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
                config.channels_last()?;
                Ok(Self::new(config.sizes("output_size")?).into())
            }

            fn to_keras(&self) -> Result<Value, String> {
                Ok(json!({ "output_size": self.output_size, "data_format": "channels_last" }))
            }

            fn to_onnx(&self, layer: &mut OnnxLayer) {
                pool_to_onnx(layer, $onnx, self.output_size);
            }
        }
    };
}

adaptive_pooling_layer! {
    /// Average pooling to a fixed output size: `[height, width, channels]` of any size to `output_size` and the same
    /// channels.
    ///
    /// ```
    /// use lucida::nn::layers::AdaptiveAveragePooling2D;
    /// use lucida::prelude::*;
    ///
    /// for size in [7, 10, 16] {
    ///     let pooling = AdaptiveAveragePooling2D::new([7, 7]);
    ///     let network = Sequential::new("pooled", [size, size, 64]).add(pooling).build(42)?;
    ///     assert_eq!(network.output()?.shape().sizes(), [7, 7, 64]);
    /// }
    /// # Ok::<(), lucida::Error>(())
    /// ```
    AdaptiveAveragePooling2D, |config, map| Box::new(ResampleOp::new(config, map, 0.0)), "AveragePool"
}

adaptive_pooling_layer! {
    /// Max pooling to a fixed output size: `[height, width, channels]` of any size to `output_size` and the same channels.
    ///
    /// ```
    /// use lucida::nn::layers::AdaptiveMaxPooling2D;
    /// use lucida::prelude::*;
    ///
    /// let pooling = AdaptiveMaxPooling2D::new([3, 3]);
    /// let network = Sequential::new("pooled", [10, 16, 64]).add(pooling).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [3, 3, 64]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    AdaptiveMaxPooling2D, |config, map| Box::new(MaxWindows::new(config, map)), "MaxPool"
}

/// The windows along each axis, with the weight of each pixel in the mean.
fn windows(output: [usize; 2], sizes: [usize; 2]) -> ImageMap {
    let axis = |axis: usize| {
        let (size, count) = (sizes[axis], output[axis]);
        let row = |index: usize| {
            let pixels = index * size / count..((index + 1) * size).div_ceil(count);
            let share = 1.0 / pixels.len() as f32;
            pixels.map(|pixel| (pixel, share)).collect()
        };
        AxisMap::new(size, (0..count).map(row))
    };
    ImageMap { rows: axis(0), columns: axis(1) }
}

/// Windows of equal size are a plain pooling. Otherwise means are a matrix over the rows times the image times a matrix
/// over the columns; maxima are computed row by row and column by column, and concatenated.
fn pool_to_onnx(layer: &mut OnnxLayer, op: &'static str, output: [usize; 2]) {
    let sizes = sides(&[layer.shapes[0].clone()]);
    if (0..2).all(|axis| sizes[axis].is_multiple_of(output[axis])) {
        let size = [sizes[0] / output[0], sizes[1] / output[1]];
        layer.result(op, layer.inputs.clone(), onnx_window(layer.shapes[0], size, size, Padding::Valid));
        return;
    }
    let map = windows(output, sizes);
    if op == "AveragePool" {
        return map_to_onnx(layer, &map);
    }
    let mut last = layer.input();
    for (place, (label, axis)) in [("rows", &map.rows), ("columns", &map.columns)].into_iter().enumerate() {
        let number = place as i64 + 2;
        let parts = (0..axis.output_len()).map(|index| {
            let pixels: Vec<i64> = axis.row(index).iter().map(|&(pixel, _)| pixel as i64).collect();
            let pixels = layer.constant("pixels", &[pixels.len()], OnnxValues::Ints(pixels));
            let window = vec![last.clone(), pixels];
            let window = layer.intermediate("window", "Gather", window, vec![("axis", OnnxAttribute::Int(number))]);
            let over = vec![("axes", OnnxAttribute::Ints(vec![number]))];
            layer.intermediate("maximum", "ReduceMax", vec![window], over)
        });
        let parts: Vec<String> = parts.collect();
        let axis = vec![("axis", OnnxAttribute::Int(number))];
        if place == 0 {
            last = layer.intermediate(label, "Concat", parts, axis);
        } else {
            layer.result("Concat", parts, axis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients_and_shapes() {
        for (size, input) in [([3, 2], [7, 5, 3]), ([2, 2], [4, 6, 18]), ([3, 4], [2, 3, 2]), ([1, 1], [4, 3, 5])] {
            check_layer(AdaptiveAveragePooling2D::new(size), &[input.into()]);
            check_layer(AdaptiveMaxPooling2D::new(size), &[input.into()]);
        }
        let layer = AdaptiveAveragePooling2D::new([7, 7]);
        assert_eq!(layer.output_shape(&[[10, 9, 512].into()]).unwrap(), [7, 7, 512].into());
        refuses(AdaptiveAveragePooling2D::new([0, 7]), &[[10, 9, 512].into()], &["0x7"]);
        refuses(AdaptiveAveragePooling2D::new([7, usize::MAX]), &[[10, 9, 512].into()], &["7x"]);
        refuses(layer, &[[4].into()], &["an image", "(4)"]);
    }

    #[test]
    fn windows_are_those_of_pytorch() {
        // `torch.nn.functional.adaptive_avg_pool2d(torch.arange(10.).reshape(1, 1, 2, 5), (1, 3))`
        let input: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let output = run_training(AdaptiveAveragePooling2D::new([1, 3]), &[2, 5, 1].into(), &input, 1, 0);
        for (got, expected) in output.iter().zip([3.0, 4.5, 6.0]) {
            assert!((got - expected).abs() < 1e-6, "{output:?}");
        }
        // One window per pixel is the identity.
        let same = run_training(AdaptiveAveragePooling2D::new([2, 5]), &[2, 5, 1].into(), &input, 1, 0);
        assert_eq!(same, input);
    }
}
