//! Adaptive pooling: as many windows as the output has pixels, whatever the size of the input.
//!
//! Window `i` of `n` over `size` pixels goes from `floor(i size / n)` to `ceil((i + 1) size / n)`, so windows may overlap
//! by a pixel and differ in size by one. PyTorch and Keras have the same rule.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::padding::{Padding, onnx_window};
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxLayer, OnnxValues};
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// The longest side of an output: a network that asks for more is damaged.
const LONGEST_SIDE: usize = 1 << 16;

/// Average pooling to a fixed output size: `[height, width, channels]` of any size to `output_size` and the same channels.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdaptiveAveragePooling2D {
    /// Height and width of the output.
    pub output_size: [usize; 2],
}

impl AdaptiveAveragePooling2D {
    /// An output of this height and width.
    pub fn new(output_size: [usize; 2]) -> Self {
        Self { output_size }
    }

    /// The pixels of window `index` along one axis of `size` pixels.
    pub(crate) fn window(&self, size: usize, axis: usize, index: usize) -> Range<usize> {
        let windows = self.output_size[axis];
        index * size / windows..((index + 1) * size).div_ceil(windows)
    }
}

impl LayerSpec for AdaptiveAveragePooling2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [_, _, channels] = one_image(inputs)?;
        match self.output_size {
            [height, width] if (1..=LONGEST_SIDE).contains(&height) && (1..=LONGEST_SIDE).contains(&width) => {
                Ok(Shape::image(height, width, channels))
            }
            [height, width] => Err(format!("an output of {height}x{width} pixels")),
        }
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        let windows = |axis: usize| -> Vec<Range<usize>> {
            let size = inputs[0].sizes()[axis];
            (0..self.output_size[axis]).map(|index| self.window(size, axis, index)).collect()
        };
        Extent::UnevenWindows([windows(0), windows(1)])
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let [height, width, channels] = config.inputs[0].as_image().expect("the shape rule accepts images only");
        Box::new(AdaptivePooling { layer: *self, input: [height, width], channels })
    }
}

/// Ready to compute. It comes once in a network, over a few pixels: plain loops do.
struct AdaptivePooling {
    layer: AdaptiveAveragePooling2D,
    input: [usize; 2],
    channels: usize,
}

impl AdaptivePooling {
    fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    /// Calls `pair` with the first value of an output pixel, that of each pixel in its window, and the share of each.
    fn for_pairs(&self, batch: usize, mut pair: impl FnMut(usize, usize, f32)) {
        let [height, width] = self.layer.output_size;
        for pixel in 0..batch * height * width {
            let (row, column) = (pixel / width % height, pixel % width);
            let (ys, xs) = (self.layer.window(self.input[0], 0, row), self.layer.window(self.input[1], 1, column));
            let share = 1.0 / (ys.len() * xs.len()) as f32;
            let image = pixel / (height * width) * self.input_len();
            for y in ys {
                for x in xs.clone() {
                    let from = image + (y * self.input[1] + x) * self.channels;
                    pair(pixel * self.channels, from, share);
                }
            }
        }
    }
}

impl Op for AdaptivePooling {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let (input, channels) = (pass.inputs.get(0), self.channels);
        output.fill(0.0);
        self.for_pairs(pass.batch, |to, from, share| {
            let pair = output[to..to + channels].iter_mut().zip(&input[from..from + channels]);
            pair.for_each(|(sum, value)| *sum += value * share);
        });
    }

    /// The gradient goes to all pixels of the window in equal parts.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let channels = self.channels;
        if !accumulate {
            grad_input.fill(0.0);
        }
        self.for_pairs(pass.batch, |to, from, share| {
            let pair = grad_input[from..from + channels].iter_mut().zip(&pass.grad_output[to..to + channels]);
            pair.for_each(|(sum, gradient)| *sum += gradient * share);
        });
    }
}

impl BuiltInLayer for AdaptiveAveragePooling2D {
    const KERAS_CLASSES: &'static [&'static str] = &["AdaptiveAveragePooling2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        Ok(Self::new(config.sizes("output_size")?).into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "output_size": self.output_size, "data_format": "channels_last" }))
    }

    /// Windows of equal size are an average pooling. Others differ in size: their means are those of a matrix over the
    /// rows times the image times a matrix over the columns.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let (image, windows) = (layer.shapes[0], self.output_size);
        let sizes = [image.sizes()[0], image.sizes()[1]];
        if sizes[0].is_multiple_of(windows[0]) && sizes[1].is_multiple_of(windows[1]) {
            let size = [sizes[0] / windows[0], sizes[1] / windows[1]];
            layer.result("AveragePool", layer.inputs.clone(), onnx_window(image, size, size, Padding::Valid));
            return;
        }
        let mut matrix = |axis: usize, dims: [usize; 2], at: fn(usize, usize, [usize; 2]) -> usize| {
            let mut values = vec![0.0_f32; dims[0] * dims[1]];
            for index in 0..windows[axis] {
                let pixels = self.window(sizes[axis], axis, index);
                for pixel in pixels.clone() {
                    values[at(index, pixel, dims)] = 1.0 / pixels.len() as f32;
                }
            }
            layer.constant(&format!("means_{axis}"), &dims, OnnxValues::Floats(values))
        };
        let rows = matrix(0, [windows[0], sizes[0]], |index, pixel, dims| index * dims[1] + pixel);
        let columns = matrix(1, [sizes[1], windows[1]], |index, pixel, dims| pixel * dims[1] + index);
        let pooled = layer.intermediate("rows", "MatMul", vec![rows, layer.input()], vec![]);
        layer.result("MatMul", vec![pooled, columns], vec![]);
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
        // As many windows as pixels change nothing.
        let same = run_training(AdaptiveAveragePooling2D::new([2, 5]), &[2, 5, 1].into(), &input, 1, 0);
        assert_eq!(same, input);
    }
}
