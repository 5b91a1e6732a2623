//! Resizing images: scaling, cropping, padding.

use std::borrow::Cow;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, F32x3, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::{Image, Limits};
use crate::{Error, Result};

/// Interpolation. All filters except nearest average over all source pixels when downscaling (antialiasing), as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Bilinear interpolation.
    #[default]
    Bilinear,
    /// Bicubic interpolation (Catmull-Rom).
    Bicubic,
    /// Lanczos interpolation with three lobes.
    Lanczos3,
}

/// How an image is fitted to a size with another aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Fit {
    /// Stretch to the size, changing the aspect ratio, as Keras does
    #[default]
    Stretch,
    /// The middle of the image
    Crop,
    /// The whole image with a black border
    Pad,
}

impl Image {
    /// Scales the image to `width` x `height` pixels.
    ///
    /// ```
    /// use lucida::data::Filter;
    /// use lucida::prelude::*;
    ///
    /// let photo = Image::filled(640, 480, &[90, 120, 200]);
    /// let small = photo.resize(64, 48, Filter::Lanczos3)?;
    /// assert_eq!((small.width(), small.height()), (64, 48));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when a side, old or new, is 0; [`Error::Limit`] when the result has more pixels than
    /// [`Limits::default`] allows.
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Result<Self> {
        if self.width() == width && self.height() == height {
            return Ok(self.clone());
        }
        let [from_width, from_height] = checked_size(self.width(), self.height())?;
        let [to_width, to_height] = checked_size(width, height)?;
        let algorithm = match filter {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
        };
        let to = [to_width, to_height];
        let pixels = if self.channels() == 1 {
            let source = TypedImageRef::<U8>::from_buffer(from_width, from_height, self.pixels());
            resample(source, to, algorithm)?.pixels().iter().map(|pixel| pixel.0).collect()
        } else {
            let source = TypedImageRef::<U8x3>::from_buffer(from_width, from_height, self.pixels());
            resample(source, to, algorithm)?.pixels().iter().flat_map(|pixel| pixel.0).collect()
        };
        Self::new(width, height, self.channels(), pixels)
    }

    /// The part of `width` x `height` pixels whose top left corner is at (`x`, `y`).
    ///
    /// # Errors
    /// [`Error::Argument`] when the part is not inside the image.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self> {
        let inside = |start: usize, len: usize, side: usize| start.checked_add(len).is_some_and(|end| end <= side);
        if !inside(x, width, self.width()) || !inside(y, height, self.height()) {
            return Err(Error::argument(format!(
                "the part of {width}x{height} at ({x}, {y}) is not inside an image of {}x{}",
                self.width(),
                self.height()
            )));
        }
        let row_len = width * self.channels();
        let mut pixels = Vec::with_capacity(row_len * height);
        for row in y..y + height {
            let start = (row * self.width() + x) * self.channels();
            pixels.extend_from_slice(&self.pixels()[start..start + row_len]);
        }
        Self::new(width, height, self.channels(), pixels)
    }

    /// Pads the image with black to `width` x `height` pixels, its top left corner at (`x`, `y`).
    ///
    /// # Errors
    /// [`Error::Argument`] when it does not fit there; [`Error::Limit`] as [`Image::resize`].
    pub fn pad(&self, width: usize, height: usize, x: usize, y: usize) -> Result<Self> {
        checked_size(width, height)?;
        let fits = |start: usize, len: usize, side: usize| start.checked_add(len).is_some_and(|end| end <= side);
        if !fits(x, self.width(), width) || !fits(y, self.height(), height) {
            return Err(Error::argument(format!(
                "an image of {}x{} at ({x}, {y}) does not fit on one of {width}x{height}",
                self.width(),
                self.height()
            )));
        }
        let row_len = self.width() * self.channels();
        let mut pixels = vec![0; width * height * self.channels()];
        for row in 0..self.height() {
            let to = ((y + row) * width + x) * self.channels();
            pixels[to..to + row_len].copy_from_slice(&self.pixels()[row * row_len..][..row_len]);
        }
        Self::new(width, height, self.channels(), pixels)
    }

    /// Fits the image to a size. The crop and the padding are centered; an odd pixel goes to the bottom and right.
    ///
    /// ```
    /// use lucida::data::{Filter, Fit};
    /// use lucida::prelude::*;
    ///
    /// let wide = Image::filled(200, 100, &[255]);
    /// let padded = wide.fit(50, 50, Fit::Pad, Filter::Bilinear)?;
    /// assert_eq!((padded.pixel(25, 0), padded.pixel(25, 25)), (&[0][..], &[255][..]), "bars above and below");
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn fit(&self, width: usize, height: usize, fit: Fit, filter: Filter) -> Result<Self> {
        let [from_width, from_height] = checked_size(self.width(), self.height())?;
        let [to_width, to_height] = checked_size(width, height)?;
        // The proportional other side, in whole pixels and at least one.
        let in_proportion =
            |side: u32, of: u32, to: u32| (u64::from(side) * u64::from(of) / u64::from(to)).max(1) as usize;
        match fit {
            Fit::Stretch => self.resize(width, height, filter),
            Fit::Crop => {
                let part_width = in_proportion(from_height, to_width, to_height).min(self.width());
                let part_height = in_proportion(from_width, to_height, to_width).min(self.height());
                let part = if (part_width, part_height) == (self.width(), self.height()) {
                    Cow::Borrowed(self)
                } else {
                    let (x, y) = ((self.width() - part_width) / 2, (self.height() - part_height) / 2);
                    Cow::Owned(self.crop(x, y, part_width, part_height)?)
                };
                part.resize(width, height, filter)
            }
            Fit::Pad => {
                let inner_width = in_proportion(to_height, from_width, from_height).min(width);
                let inner_height = in_proportion(to_width, from_height, from_width).min(height);
                let inner = self.resize(inner_width, inner_height, filter)?;
                inner.pad(width, height, (width - inner_width) / 2, (height - inner_height) / 2)
            }
        }
    }
}

/// Resizes floats `[height, width, channels]` by antialiased bilinear interpolation.
///
/// # Errors
/// As [`Image::resize`]; [`Error::Argument`] also when there are not 1 or 3 channels, or `values` has a wrong length.
pub fn resize_floats(values: &[f32], from: [usize; 2], to: [usize; 2], channels: usize) -> Result<Vec<f32>> {
    if ![1, 3].contains(&channels) {
        return Err(Error::argument(format!("an image has 1 or 3 channels, not {channels}")));
    }
    if values.len() != from[0] * from[1] * channels {
        return Err(Error::argument(format!("{from:?} pixels of {channels} channels are not {} values", values.len())));
    }
    if from == to {
        return Ok(values.to_vec());
    }
    let [from_width, from_height] = checked_size(from[1], from[0])?;
    let [to_width, to_height] = checked_size(to[1], to[0])?;
    let (to, algorithm) = ([to_width, to_height], ResizeAlg::Convolution(FilterType::Bilinear));
    if channels == 1 {
        let pixels: Vec<F32> = values.iter().map(|&value| F32::new(value)).collect();
        let source = TypedImageRef::new(from_width, from_height, &pixels);
        return Ok(resample(source, to, algorithm)?.pixels().iter().map(|pixel| pixel.0).collect());
    }
    let (pixels, _) = values.as_chunks::<3>();
    let pixels: Vec<F32x3> = pixels.iter().map(|&pixel| F32x3::new(pixel)).collect();
    let source = TypedImageRef::new(from_width, from_height, &pixels);
    Ok(resample(source, to, algorithm)?.pixels().iter().flat_map(|pixel| pixel.0).collect())
}

/// Resizes an image of a statically known pixel type: code for all pixel types would add 2.5 MB to the binary.
fn resample<P: PixelTrait>(
    source: std::result::Result<TypedImageRef<'_, P>, impl std::fmt::Display>,
    [width, height]: [u32; 2],
    algorithm: ResizeAlg,
) -> Result<TypedImage<'static, P>> {
    let failed = |problem: String| Error::Bug(format!("resizing to {width}x{height}: {problem}"));
    let source = source.map_err(|problem| failed(problem.to_string()))?;
    let mut target = TypedImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|problem| failed(problem.to_string()))?;
    Ok(target)
}

/// Checks that no side is 0 and the number of pixels is within the limit.
fn checked_size(width: usize, height: usize) -> Result<[u32; 2]> {
    let limit = Limits::default().pixels;
    let got = (width as u64).saturating_mul(height as u64);
    if got == 0 {
        return Err(Error::argument(format!("an image of {width}x{height} has no pixels to work with")));
    }
    let too_large = || Error::Limit { what: format!("size in pixels ({width}x{height})"), got, limit };
    if got > limit {
        return Err(too_large());
    }
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(width), Ok(height)) => Ok([width, height]),
        _ => Err(too_large()),
    }
}

#[cfg(test)]
mod tests;
