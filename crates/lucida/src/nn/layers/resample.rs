//! Layers that resample images: each pixel of the output is a weighted sum of pixels of the input, with weights that are
//! those of its row times those of its column. What they share: the weights of interpolations, the shape, the passes.

use lucida_kernels::{AxisMap, Cpu, ImageMap, Resample, resample};
use serde::{Deserialize, Serialize};

use super::spec::{Extent, one_image};
use crate::nn::Shape;
use crate::nn::op::{Backward, Forward, Op, OpConfig};

/// The longest side of an output: a network that asks for more is damaged.
pub(super) const LONGEST_SIDE: usize = 1 << 16;

/// How values between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The value of one pixel.
    Nearest,
    /// A line between two pixels of each axis.
    #[default]
    Bilinear,
    /// A cubic through four pixels of each axis ([Keys, 1981](https://doi.org/10.1109/TASSP.1981.1163711)).
    Bicubic,
}

/// Where a pixel of the output lies in the input. ONNX has these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// The corners of both images meet, and pixels have their centers at halves: `(i + 0.5) / scale - 0.5`.
    #[default]
    HalfPixel,
    /// The same, and the first pixel where the output has one.
    PytorchHalfPixel,
    /// The same, and the centers of both images meet where the scale does not make the output's size.
    HalfPixelSymmetric,
    /// The centers of the pixels in the corners meet: `i (size - 1) / (output - 1)`.
    AlignCorners,
    /// `i / scale`.
    Asymmetric,
    /// TensorFlow's for the nearest pixel: `(i + 0.5) / scale`.
    TfHalfPixelForNn,
}

/// Which pixel is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NearestMode {
    /// The nearest, the first of two.
    #[default]
    RoundPreferFloor,
    /// The nearest, the second of two.
    RoundPreferCeil,
    /// The one before.
    Floor,
    /// The one after.
    Ceil,
}

/// An interpolation with all its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kernel {
    pub(super) interpolation: Interpolation,
    pub(super) coordinates: Coordinates,
    pub(super) nearest: NearestMode,
    /// Keys's `a`.
    pub(super) cubic_coefficient: f64,
    /// Drop the weights of pixels outside, in place of repeating the border.
    pub(super) exclude_outside: bool,
    /// Widen the kernel where the image shrinks.
    pub(super) antialias: bool,
    /// Round the position between two pixels to 1/1024 in a bicubic interpolation, as TensorFlow's table does.
    pub(super) cubic_table: bool,
}

impl Kernel {
    /// As Keras, on TensorFlow, resizes.
    pub(super) fn keras(interpolation: Interpolation, antialias: bool) -> Self {
        let (coordinates, nearest) = match interpolation {
            Interpolation::Nearest => (Coordinates::TfHalfPixelForNn, NearestMode::Floor),
            _ => (Coordinates::HalfPixel, NearestMode::default()),
        };
        let (exclude_outside, cubic_table) = (true, true);
        Self { interpolation, coordinates, nearest, cubic_coefficient: -0.5, exclude_outside, antialias, cubic_table }
    }

    /// The map of an axis of `input` pixels to `output`; `scale` is how many input pixels an output pixel is wide.
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
        // One division of exact numbers, so that what lies halfway between two pixels is found there.
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

    /// The weights of the pixels from `first` on, those outside of the image added to the border or left out.
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

    /// Keys's kernel at a distance of `x`.
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

/// The pixels that each row and each column of the output is a sum of.
pub(super) fn extent_of(map: &ImageMap) -> Extent {
    let spans = |axis: &AxisMap| (0..axis.output_len()).map(|index| axis.span(index)).collect();
    Extent::UnevenWindows([spans(&map.rows), spans(&map.columns)])
}

/// Height and width of the only input, which the shape rule has accepted.
pub(super) fn sides(inputs: &[Shape]) -> [usize; 2] {
    let [height, width, _] = inputs[0].as_image().expect("the shape rule accepts images only");
    [height, width]
}

/// Ready to compute.
pub(super) struct ResampleOp {
    cpu: Cpu,
    map: ImageMap,
    /// The map of the gradients, if they are wanted.
    back: Option<ImageMap>,
    channels: usize,
    fill: f32,
    workspace: Vec<f32>,
}

impl ResampleOp {
    /// Resamples by a map, with `fill` in pixels that are a sum of nothing.
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
