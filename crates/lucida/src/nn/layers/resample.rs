//! Layers that resample images: each output pixel is a weighted sum of input pixels, with weights that are the product of a
//! row weight and a column weight. Shared code: interpolation weights, shapes, passes.

use lucida_kernels::{AxisMap, Cpu, ImageMap, Resample, resample};
use serde::{Deserialize, Serialize};

use super::spec::{Extent, one_image};
use crate::nn::Shape;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// Maximum side of an output: a network with a larger one is considered damaged.
pub(super) const LONGEST_SIDE: usize = 1 << 16;

/// The interpolation between pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Nearest neighbor.
    Nearest,
    /// Linear between two pixels along each axis.
    #[default]
    Bilinear,
    /// Cubic through four pixels along each axis ([Keys, 1981](https://doi.org/10.1109/TASSP.1981.1163711)).
    Bicubic,
}

/// How output pixels map to input coordinates, with ONNX's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// The corners of both images are aligned, with pixel centers at halves: `(i + 0.5) / scale - 0.5`.
    #[default]
    HalfPixel,
    /// As [`HalfPixel`](Self::HalfPixel), but the first pixel if the output has only one.
    PytorchHalfPixel,
    /// As [`HalfPixel`](Self::HalfPixel), with the centers of both images aligned even if the scale does not match the
    /// output size.
    HalfPixelSymmetric,
    /// The centers of the corner pixels are aligned: `i (size - 1) / (output - 1)`.
    AlignCorners,
    /// `i / scale`.
    Asymmetric,
    /// TensorFlow's for nearest neighbor: `(i + 0.5) / scale`.
    TfHalfPixelForNn,
}

/// How coordinates are rounded for nearest neighbor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NearestMode {
    /// To the nearest pixel, ties down.
    #[default]
    RoundPreferFloor,
    /// To the nearest pixel, ties up.
    RoundPreferCeil,
    /// Down.
    Floor,
    /// Up.
    Ceil,
}

/// An interpolation with all its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kernel {
    pub(super) interpolation: Interpolation,
    pub(super) coordinates: Coordinates,
    pub(super) nearest: NearestMode,
    /// The coefficient `a` of Keys's kernel.
    pub(super) cubic_coefficient: f64,
    /// Drop the weights of pixels outside the image, instead of repeating the border.
    pub(super) exclude_outside: bool,
    /// Widen the kernel when downsampling.
    pub(super) antialias: bool,
    /// Round the fractional position of bicubic interpolation to 1/1024, like TensorFlow's lookup table.
    pub(super) cubic_table: bool,
}

impl Kernel {
    /// Keras's resizing on the TensorFlow backend.
    pub(super) fn keras(interpolation: Interpolation, antialias: bool) -> Self {
        let (coordinates, nearest) = match interpolation {
            Interpolation::Nearest => (Coordinates::TfHalfPixelForNn, NearestMode::Floor),
            _ => (Coordinates::HalfPixel, NearestMode::default()),
        };
        let (exclude_outside, cubic_table) = (true, true);
        Self { interpolation, coordinates, nearest, cubic_coefficient: -0.5, exclude_outside, antialias, cubic_table }
    }

    /// The map of an axis from `input` to `output` pixels; `scale` is the width of an output pixel in input pixels.
    pub(super) fn axis(&self, input: usize, output: usize, scale: f64) -> AxisMap {
        let row = |index: usize| {
            let position = self.position(index, input, output, scale);
            match self.interpolation {
                Interpolation::Nearest => vec![(self.pixel(position, input), 1.0)],
                Interpolation::Bilinear | Interpolation::Bicubic if self.antialias => {
                    self.wide(position, input, scale.max(1.0))
                }
                Interpolation::Bilinear => {
                    let position = position.clamp(0.0, (input - 1) as f64);
                    let (first, delta) = (position.floor(), position - position.floor());
                    self.gathered(input, first as i64, &[1.0 - delta, delta])
                }
                Interpolation::Bicubic => {
                    let first = position.floor();
                    let mut delta = position - first;
                    if self.cubic_table {
                        delta = (delta * 1024.0).round_ties_even() / 1024.0;
                    }
                    let weights = [1.0 + delta, delta, 1.0 - delta, 2.0 - delta].map(|far| self.cubic(far));
                    self.gathered(input, first as i64 - 1, &weights)
                }
            }
        };
        AxisMap::new(input, (0..output).map(row))
    }

    fn position(&self, index: usize, input: usize, output: usize, scale: f64) -> f64 {
        // A single division of exact numbers, so that positions halfway between two pixels are exact.
        let half = |index: usize| {
            if scale == input as f64 / output as f64 {
                ((2 * index + 1) * input) as f64 / (2 * output) as f64
            } else {
                (index as f64 + 0.5) * scale
            }
        };
        match self.coordinates {
            Coordinates::PytorchHalfPixel if output == 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => half(index) - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let center = input as f64 / 2.0;
                center * (1.0 - output as f64 * scale / input as f64) + half(index) - 0.5
            }
            Coordinates::AlignCorners if output == 1 => 0.0,
            Coordinates::AlignCorners => (index * (input - 1)) as f64 / (output - 1) as f64,
            Coordinates::Asymmetric if scale == input as f64 / output as f64 => (index * input) as f64 / output as f64,
            Coordinates::Asymmetric => index as f64 * scale,
            Coordinates::TfHalfPixelForNn => half(index),
        }
    }

    fn pixel(&self, position: f64, input: usize) -> usize {
        let rounded = match self.nearest {
            NearestMode::RoundPreferFloor => (position - 0.5).ceil(),
            NearestMode::RoundPreferCeil => (position + 0.5).floor(),
            NearestMode::Floor => position.floor(),
            NearestMode::Ceil => position.ceil(),
        };
        (rounded.max(0.0) as usize).min(input - 1)
    }

    /// The weights of the pixels from `first` on; those outside the image are added to the border or dropped.
    fn gathered(&self, input: usize, first: i64, weights: &[f64]) -> Vec<(usize, f32)> {
        let last = input as i64 - 1;
        let mut sums: Vec<(usize, f64)> = Vec::with_capacity(weights.len());
        for (at, &weight) in (first..).zip(weights) {
            let inside = at.clamp(0, last);
            if self.exclude_outside && inside != at {
                continue;
            }
            match sums.last_mut() {
                Some((pixel, sum)) if *pixel == inside as usize => *sum += weight,
                _ => sums.push((inside as usize, weight)),
            }
        }
        normalized(sums, self.exclude_outside)
    }

    /// The weights of a kernel that is stretched by `width`.
    fn wide(&self, position: f64, input: usize, width: f64) -> Vec<(usize, f32)> {
        let radius = width * if self.interpolation == Interpolation::Bicubic { 2.0 } else { 1.0 };
        let first = (position - radius).ceil().max(0.0) as usize;
        let last = ((position + radius).floor().max(0.0) as usize).min(input - 1);
        let weight = |pixel: usize| {
            let far = ((pixel as f64 - position) / width).abs();
            match self.interpolation {
                Interpolation::Bicubic => self.cubic(far),
                _ => (1.0 - far).max(0.0),
            }
        };
        normalized((first.min(last)..=last).map(|pixel| (pixel, weight(pixel))).collect(), true)
    }

    /// Keys's kernel at distance `x`.
    fn cubic(&self, x: f64) -> f64 {
        let a = self.cubic_coefficient;
        match x {
            x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            x if x < 2.0 => ((x - 5.0) * x + 8.0) * a * x - 4.0 * a,
            _ => 0.0,
        }
    }
}

fn normalized(weights: Vec<(usize, f64)>, divide: bool) -> Vec<(usize, f32)> {
    let sum: f64 = if divide { weights.iter().map(|(_, weight)| weight).sum() } else { 1.0 };
    weights.into_iter().map(|(pixel, weight)| (pixel, (weight / sum) as f32)).collect()
}

/// The shape of an image that is resized to `height` and `width`.
pub(super) fn resized(inputs: &[Shape], [height, width]: [usize; 2]) -> Result<Shape, String> {
    let [_, _, channels] = one_image(inputs)?;
    let fits = (1..=LONGEST_SIDE).contains(&height) && (1..=LONGEST_SIDE).contains(&width);
    if fits { Ok(Shape::image(height, width, channels)) } else { Err(format!("an output of {height}x{width} pixels")) }
}

/// The input pixels that each row and each column of the output depends on.
pub(super) fn extent_of(map: &ImageMap) -> Extent {
    let spans = |axis: &AxisMap| (0..axis.output_len()).map(|index| axis.span(index)).collect();
    Extent::UnevenWindows([spans(&map.rows), spans(&map.columns)])
}

/// Height and width of the single input, which the shape rule has accepted.
pub(super) fn sides(inputs: &[Shape]) -> [usize; 2] {
    let [height, width, _] = inputs[0].as_image().expect("the shape rule accepts images only");
    [height, width]
}

/// Resampling prepared to compute.
pub(super) struct ResampleOp {
    cpu: Cpu,
    map: ImageMap,
    /// The map of the gradients, if requested.
    back: Option<ImageMap>,
    channels: usize,
    fill: f32,
    workspace: Vec<f32>,
}

impl ResampleOp {
    /// Resamples by a map, with `fill` for pixels that are an empty sum.
    pub(super) fn new(config: &OpConfig, map: ImageMap, fill: f32) -> Self {
        let (cpu, channels) = (config.cpu, config.output.channels());
        let back = config.gradients.inputs.then(|| map.transposed());
        let needed = back.iter().chain([&map]).map(|map| map.workspace(cpu, channels)).max().unwrap_or(0);
        Self { cpu, map, back, channels, fill, workspace: vec![0.0; needed] }
    }
}

impl Op for ResampleOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let mode = Resample::Fill(self.fill);
        let input = pass.inputs.get(0);
        resample(self.cpu, &self.map, self.channels, pass.batch, input, output, mode, &mut self.workspace);
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Some(back) = &self.back else { return };
        let mode = if accumulate { Resample::Accumulate } else { Resample::Fill(0.0) };
        resample(self.cpu, back, self.channels, pass.batch, pass.grad_output, grad_input, mode, &mut self.workspace);
    }
}
