//! Zero padding: a border of zeros around an image.

use lucida_kernels::Cpu;
use lucida_kernels::ops::{Columns, transfer_columns};
use serde::{Deserialize, Serialize};

use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Adds rows and columns of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroPadding2D {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub padding: [[usize; 2]; 2],
}

impl ZeroPadding2D {
    /// The same number of pixels on all sides.
    pub fn new(pixels: usize) -> Self {
        Self { padding: [[pixels; 2]; 2] }
    }
}

impl LayerSpec for ZeroPadding2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [height, width, channels] = one_image(inputs)?;
        let padded = |size: usize, [before, after]: [usize; 2]| size.checked_add(before)?.checked_add(after);
        let sizes = padded(height, self.padding[0]).zip(padded(width, self.padding[1]));
        sizes
            .map(|(height, width)| Shape::image(height, width, channels))
            .filter(|shape| shape.checked_len().is_some())
            .ok_or_else(|| format!("a padding of {:?} around {} is too large", self.padding, inputs[0]))
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Padded(self.padding)
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let [height, width, channels] = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let [[top, _], [left, right]] = self.padding;
        Box::new(ZeroBorder {
            cpu: config.cpu,
            height,
            row: width * channels,
            padded_row: (left + width + right) * channels,
            left: left * channels,
            top,
            padded_len: config.output.len(),
        })
    }
}

/// Row lengths in floats.
struct ZeroBorder {
    cpu: Cpu,
    height: usize,
    row: usize,
    padded_row: usize,
    left: usize,
    top: usize,
    padded_len: usize,
}

impl ZeroBorder {
    fn inner_rows(&self, image: usize) -> std::ops::Range<usize> {
        let start = image * self.padded_len + self.top * self.padded_row;
        start..start + self.height * self.padded_row
    }

    fn image(&self, image: usize) -> std::ops::Range<usize> {
        image * self.height * self.row..(image + 1) * self.height * self.row
    }
}

impl Op for ZeroBorder {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        output.fill(0.0);
        for image in 0..pass.batch {
            let from = (&pass.inputs.get(0)[self.image(image)], Columns { start: 0, stride: self.row });
            let inner = &mut output[self.inner_rows(image)];
            let to = (inner, Columns { start: self.left, stride: self.padded_row });
            transfer_columns(self.cpu, (self.height, self.row), from, to, false);
        }
    }

    /// The gradient of the inner pixels; the border's goes nowhere.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        for image in 0..pass.batch {
            let inner = &pass.grad_output[self.inner_rows(image)];
            let from = (inner, Columns { start: self.left, stride: self.padded_row });
            let to = (&mut grad_input[self.image(image)], Columns { start: 0, stride: self.row });
            transfer_columns(self.cpu, (self.height, self.row), from, to, accumulate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        let layer = ZeroPadding2D { padding: [[1, 2], [0, 3]] };
        check_layer(layer, &[[3, 4, 5].into()]);
        assert_eq!(layer.output_shape(&[[3, 4, 5].into()]).unwrap(), [6, 7, 5].into());
        refuses(ZeroPadding2D::new(usize::MAX), &[[3, 4, 5].into()], &["too large"]);
    }
}
