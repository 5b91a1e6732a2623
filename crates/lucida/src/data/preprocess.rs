//! Preprocessing: from an image to the input of a network.
//!
//! A [`Preprocessing`] is stored with the model, so that inference treats images exactly as training did. It computes
//! `(value / divisor - mean) / std` in 32-bit floats, in this order, as do the programs that the known networks were
//! trained with: the results are bitwise equal.

mod choice;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::digit::{has_bright_border, normalize_digit};
use super::{Filter, Fit, Image};
use crate::{Error, Result};

pub use choice::PreprocessingChoice;

/// The maximum side of a network's input: far above any network, far below the limits of a machine.
const LONGEST_SIDE: usize = 8192;

/// The channels of a network's input, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorMode {
    /// One channel, the luma.
    Grayscale,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as used by networks from Caffe.
    Bgr,
}

impl ColorMode {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Grayscale => 1,
            Self::Rgb | Self::Bgr => 3,
        }
    }

    /// The default color mode for this number of channels.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for numbers other than 1 and 3.
    pub fn of_channels(channels: usize) -> Result<Self> {
        match channels {
            1 => Ok(Self::Grayscale),
            3 => Ok(Self::Rgb),
            other => Err(Error::Unsupported(format!(
                "the network takes inputs of {other} channels; images have 1 (gray) or 3 (color)"
            ))),
        }
    }
}

/// The conversion of an image to a network's input `[height, width, channels]`: normalized as a digit, converted to the
/// color mode, resized, and scaled to `(pixel / divisor - mean) / std`, in this order.
///
/// A value that was read from a file must be [checked](Preprocessing::check).
///
/// ```
/// use lucida::prelude::*;
///
/// let preprocessing = Preprocessing::unit(32, 32, ColorMode::Rgb);
/// let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
/// preprocessing.apply(&Image::filled(640, 480, &[255, 0, 0]), &mut input)?;
/// assert_eq!(input[..3], [1.0, 0.0, 0.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The height of the input in pixels.
    pub height: usize,
    /// The width of the input in pixels.
    pub width: usize,
    /// The channels of the input.
    // Model files have the British spelling.
    #[serde(rename = "colour", alias = "color")]
    pub color: ColorMode,
    /// The divisor of pixel values from 0 to 255, applied first.
    pub divisor: f32,
    /// Subtracted next, per channel in the order of `color`.
    pub mean: Vec<f32>,
    /// The divisor applied last, per channel in the order of `color`.
    pub std: Vec<f32>,
    /// How images with another aspect ratio are fitted.
    #[serde(default)]
    pub fit: Fit,
    /// The interpolation used for resizing.
    #[serde(default)]
    pub filter: Filter,
    /// Whether images show a digit, which is first normalized to look like those of MNIST: see [`normalize_digit`].
    #[serde(default)]
    pub digit: bool,
}

impl Preprocessing {
    /// Values from 0 to 1: divided by 255.
    pub fn unit(height: usize, width: usize, color: ColorMode) -> Self {
        let channels = color.channels();
        Self {
            height,
            width,
            color,
            divisor: 255.0,
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
            digit: false,
        }
    }

    /// Digits as in MNIST: gray, 28x28, from 0 to 1.
    pub fn mnist() -> Self {
        Self { digit: true, ..Self::unit(28, 28, ColorMode::Grayscale) }
    }

    /// VGG16 and VGG19: 224x224, BGR, minus the mean color of ImageNet (Keras's mode `caffe`).
    pub fn vgg() -> Self {
        Self { divisor: 1.0, mean: vec![103.939, 116.779, 123.68], ..Self::unit(224, 224, ColorMode::Bgr) }
    }

    /// InceptionV3 and others: RGB, from -1 to 1 (Keras's mode `tf`).
    pub fn inception(size: usize) -> Self {
        Self { divisor: 127.5, mean: vec![1.0; 3], ..Self::unit(size, size, ColorMode::Rgb) }
    }

    /// The networks of torchvision: RGB, standardized with ImageNet's means and standard deviations (Keras's mode `torch`).
    pub fn torchvision(size: usize) -> Self {
        Self {
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            ..Self::unit(size, size, ColorMode::Rgb)
        }
    }

    /// Sets the input size.
    #[must_use]
    pub fn with_size(self, height: usize, width: usize) -> Self {
        Self { height, width, ..self }
    }

    /// Sets the number of channels, one (gray) or three (RGB).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other number of channels; [`Error::Argument`] when the constants differ between
    /// channels, such as those of ImageNet, which gray images do not have.
    pub fn with_channels(self, channels: usize) -> Result<Self> {
        if channels == self.color.channels() {
            return Ok(self);
        }
        let color = ColorMode::of_channels(channels)?;
        let alike = |values: &[f32]| values.windows(2).all(|pair| pair[0] == pair[1]);
        let (Some(&mean), Some(&std)) = (self.mean.first(), self.std.first()) else { return Ok(self) };
        if !(alike(&self.mean) && alike(&self.std)) {
            return Err(Error::argument(
                "these pixel values have a mean for each color channel, and the network takes gray images: use unit (0 to \
                 1), tf (-1 to 1), or mean=..,std=.. of one channel instead",
            ));
        }
        Ok(Self { color, mean: vec![mean; channels], std: vec![std; channels], ..self })
    }

    /// Sets how other aspect ratios are fitted, and the interpolation.
    #[must_use]
    pub fn with_fit(self, fit: Fit, filter: Filter) -> Self {
        Self { fit, filter, ..self }
    }

    /// Height, width and channels of the network's input.
    pub fn output_shape(&self) -> [usize; 3] {
        [self.height, self.width, self.color.channels()]
    }

    /// Checks the values, which may come from a damaged or malicious model file.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first invalid value.
    pub fn check(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::argument(format!("preprocessing: {problem}")));
        for (name, side) in [("height", self.height), ("width", self.width)] {
            if !(1..=LONGEST_SIDE).contains(&side) {
                return refuse(format!("the {name} is {side}, it must be 1 to {LONGEST_SIDE}"));
            }
        }
        let channels = self.color.channels();
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != channels {
                return refuse(format!("{name} has {} values for {channels} channels", values.len()));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return refuse(format!("{name} holds {value}"));
            }
        }
        if let Some(value) = [self.divisor].iter().chain(&self.std).find(|value| !value.is_normal()) {
            return refuse(format!("cannot divide by {value}"));
        }
        Ok(())
    }

    /// Converts an image of any size to a network's input; `out` has the shape [`Preprocessing::output_shape`].
    ///
    /// # Errors
    /// [`Error::Argument`] when `out` has a wrong length, when the image has no pixels, or as [`Preprocessing::check`].
    pub fn apply(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        self.check()?;
        self.numbers(self.fitted(image)?.pixels(), false, out)
    }

    /// The first steps of [`Preprocessing::apply`], without scaling: the image with the size and the number of channels of
    /// the network's input (RGB for BGR inputs).
    ///
    /// # Errors
    /// [`Error::Argument`] when the image has no pixels, [`Error::Limit`] when the size exceeds the limit.
    pub fn fitted<'a>(&self, image: &'a Image) -> Result<Cow<'a, Image>> {
        let mut image = Cow::Borrowed(image);
        if self.digit {
            image = Cow::Owned(normalize_digit(&image)?);
        }
        if image.channels() != self.color.channels() {
            image = Cow::Owned(image.in_channels(self.color.channels()).into_owned());
        }
        if (image.width(), image.height()) != (self.width, self.height) {
            image = Cow::Owned(image.fit(self.width, self.height, self.fit, self.filter)?);
        }
        Ok(image)
    }

    /// Whether another preprocessing has the same result in [`Preprocessing::fitted`].
    pub(super) fn fits_alike(&self, other: &Self) -> bool {
        let geometry = |p: &Self| (p.output_shape(), p.fit, p.filter, p.digit);
        geometry(self) == geometry(other)
    }

    /// The last step of [`Preprocessing::apply`], for the bytes of a [fitted](Preprocessing::fitted) image.
    pub(super) fn convert_fitted(&self, pixels: &[u8], out: &mut [f32]) -> Result<()> {
        self.check()?;
        self.numbers(pixels, false, out)
    }

    /// Whether a network's `input` from [`Preprocessing::apply`] contains a digit: it is blank if none was found. Always
    /// true unless images are [normalized as digits](Preprocessing::digit).
    pub fn finds_digit(&self, input: &[f32]) -> bool {
        !self.digit || input.iter().any(|value| Some(value) != input.first())
    }

    /// Converts a network's input back to an image: the inverse of the last step of [`Preprocessing::apply`], rounded and
    /// clipped to 0..255.
    ///
    /// # Errors
    /// [`Error::Argument`] when the length of `input` is not that of [`Preprocessing::output_shape`], or as
    /// [`Preprocessing::check`].
    pub fn to_image(&self, input: &[f32]) -> Result<Image> {
        self.check()?;
        self.check_len("input", input.len())?;
        let channels = self.color.channels();
        let mut pixels = Vec::with_capacity(input.len());
        for values in input.chunks_exact(channels) {
            for channel in 0..channels {
                let channel = if self.color == ColorMode::Bgr { 2 - channel } else { channel };
                let value = (values[channel] * self.std[channel] + self.mean[channel]) * self.divisor;
                // The cast clips, and maps NaN to 0.
                pixels.push(value.round() as u8);
            }
        }
        Image::new(self.width, self.height, channels, pixels)
    }

    /// Whether images with this shape only need [`Preprocessing::convert`].
    pub(super) fn takes_as_is(&self, shape: [usize; 3]) -> bool {
        shape == self.output_shape() && (!self.digit || shape == [28, 28, 1])
    }

    /// [`Preprocessing::apply`] for an image of the right size, without a copy.
    pub(super) fn convert(&self, pixels: &[u8], out: &mut [f32]) -> Result<()> {
        self.check()?;
        let invert = self.digit && has_bright_border(pixels, self.width, self.height);
        self.numbers(pixels, invert, out)
    }

    /// As [`Preprocessing::convert_fitted`], for values that are not integers.
    pub(super) fn convert_values(&self, values: &[f32], out: &mut [f32]) -> Result<()> {
        self.check()?;
        self.check_len("image", values.len())?;
        self.check_len("output", out.len())?;
        let channels = self.color.channels();
        for (out, pixel) in out.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
            for (channel, out) in out.iter_mut().enumerate() {
                let from = if self.color == ColorMode::Bgr { channels - 1 - channel } else { channel };
                *out = (pixel[from] / self.divisor - self.mean[channel]) / self.std[channel];
            }
        }
        Ok(())
    }

    /// Scales bytes to floats.
    fn numbers(&self, pixels: &[u8], invert: bool, out: &mut [f32]) -> Result<()> {
        self.check_len("image", pixels.len())?;
        self.check_len("output", out.len())?;
        let flip = if invert { 255 } else { 0 };
        let number = |value: u8, mean: f32, std: f32| (f32::from(value ^ flip) / self.divisor - mean) / std;
        if let (&[mean], &[std]) = (self.mean.as_slice(), self.std.as_slice()) {
            // With mean 0 and standard deviation 1, the second step is the identity, and would cost as much as the first.
            if (mean, std) == (0.0, 1.0) {
                out.iter_mut().zip(pixels).for_each(|(out, &value)| *out = f32::from(value ^ flip) / self.divisor);
            } else {
                out.iter_mut().zip(pixels).for_each(|(out, &value)| *out = number(value, mean, std));
            }
            return Ok(());
        }
        // A lookup table is faster than three divisions per pixel.
        let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|value| number(value as u8, self.mean[channel], self.std[channel]))
        });
        for (out, rgb) in out.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
            let (first, last) = if self.color == ColorMode::Bgr { (rgb[2], rgb[0]) } else { (rgb[0], rgb[2]) };
            out[0] = tables[0][usize::from(first)];
            out[1] = tables[1][usize::from(rgb[1])];
            out[2] = tables[2][usize::from(last)];
        }
        Ok(())
    }

    fn check_len(&self, what: &str, len: usize) -> Result<()> {
        let [height, width, channels] = self.output_shape();
        if len == height * width * channels {
            return Ok(());
        }
        Err(Error::argument(format!(
            "the {what} has {len} values, expected {} ({height} x {width} x {channels})",
            height * width * channels
        )))
    }
}

#[cfg(test)]
mod tests;
