//! Conversion between images in 0..1 and network inputs.

use crate::data::{ColorMode, Image, Preprocessing};
use crate::nn::Network;
use crate::{Error, Result};

/// How a network scales pixels: each channel of its input is a channel of the image times a factor, plus an offset.
///
/// Images are `[height, width, channels]` with values from 0 to 1, gray or RGB.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PixelSpace {
    pub(super) height: usize,
    pub(super) width: usize,
    /// For each channel of the input: the channel of the image, the factor, and the offset.
    channels: Vec<(usize, f32, f32)>,
    /// Whether images show digits: white strokes on black.
    pub(super) digit: bool,
}

impl PixelSpace {
    pub(super) fn of(network: &Network, preprocessing: Option<&Preprocessing>) -> Result<Self> {
        let shape = network.input_shape()?;
        let Some([height, width, channels @ (1 | 3)]) = shape.as_image() else {
            return Err(Error::Unsupported(format!(
                "network {} takes an input of shape {shape}, which is not a gray or color image",
                network.name()
            )));
        };
        let Some(preprocessing) = preprocessing else {
            let channels = (0..channels).map(|channel| (channel, 1.0, 0.0)).collect();
            return Ok(Self { height, width, channels, digit: false });
        };
        preprocessing.check()?;
        if preprocessing.color.channels() != channels {
            return Err(Error::argument(format!(
                "the preprocessing makes images with {} channels, network {} expects {channels}",
                preprocessing.color.channels(),
                network.name()
            )));
        }
        let of = |channel: usize| {
            let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
            let from = if preprocessing.color == ColorMode::Bgr { 2 - channel } else { channel };
            (from, 255.0 / preprocessing.divisor / std, -mean / std)
        };
        Ok(Self { height, width, channels: (0..channels).map(of).collect(), digit: preprocessing.digit })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The number of values of an image.
    pub(super) fn len(&self) -> usize {
        self.height * self.width * self.channels()
    }

    /// Whether inputs are unscaled pixels in 0..1.
    pub(super) fn is_unit(&self) -> bool {
        self.channels.iter().all(|&(_, factor, offset)| factor == 1.0 && offset == 0.0)
    }

    /// Converts images to inputs.
    pub(super) fn to_input(&self, images: &[f32], inputs: &mut [f32]) {
        let count = self.channels();
        for (image, input) in images.chunks_exact(count).zip(inputs.chunks_exact_mut(count)) {
            for (value, &(from, factor, offset)) in input.iter_mut().zip(&self.channels) {
                *value = image[from] * factor + offset;
            }
        }
    }

    /// Converts gradients with respect to inputs to gradients with respect to images.
    pub(super) fn gradient(&self, inputs: &[f32], images: &mut [f32]) {
        let count = self.channels();
        for (input, image) in inputs.chunks_exact(count).zip(images.chunks_exact_mut(count)) {
            for (value, &(from, factor, _)) in input.iter().zip(&self.channels) {
                image[from] = value * factor;
            }
        }
    }

    /// Converts to an 8-bit image.
    pub(super) fn image(&self, values: &[f32]) -> Image {
        let pixels = values.iter().map(|value| (value * 255.0).round() as u8).collect();
        Image::new(self.width, self.height, self.channels(), pixels).expect("as many values as pixels")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn inputs_are_those_of_the_preprocessing() {
        let network =
            applications::find("vgg16").unwrap().build(&applications::Options::without_top().size(32, 32)).unwrap();
        for preprocessing in [Preprocessing::vgg(), Preprocessing::inception(32), Preprocessing::torchvision(32)] {
            let preprocessing = preprocessing.with_size(32, 32);
            let pixels = PixelSpace::of(&network, Some(&preprocessing)).unwrap();
            let values: Vec<f32> = (0..32 * 32 * 3).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
            let mut input = vec![0.0; values.len()];
            pixels.to_input(&values, &mut input);
            let mut expected = vec![0.0; values.len()];
            preprocessing.apply(&pixels.image(&values), &mut expected).unwrap();
            for (a, b) in input.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-4 * 255.0, "{a} {b}");
            }
            // The map is affine, so its gradient is the change per unit step.
            let (direction, mut back) = (vec![1.0; values.len()], vec![0.0; values.len()]);
            pixels.gradient(&direction, &mut back);
            let moved: Vec<f32> = values.iter().map(|v| v + 0.5).collect();
            let mut after = vec![0.0; values.len()];
            pixels.to_input(&moved, &mut after);
            let change: f32 = after.iter().zip(&input).map(|(a, b)| a - b).sum();
            assert!((change - 0.5 * back.iter().sum::<f32>()).abs() < 1e-3 * change.abs());
        }
    }
}
