//! An image in memory.

use crate::{Error, Result};

/// An image of 8 bits per channel, `[height, width, channels]`: rows from the top, channels interleaved.
///
/// ```
/// use lucida::prelude::*;
///
/// let mut image = Image::filled(4, 3, &[0, 0, 255]);
/// image.pixel_mut(2, 1).copy_from_slice(&[255, 0, 0]);
/// assert_eq!((image.width(), image.height(), image.channels()), (4, 3, 3));
/// assert_eq!(image.pixels().len(), 4 * 3 * 3);
/// assert_eq!(image.pixel(2, 1), [255, 0, 0]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// Creates an image from its pixels, with `channels` 1 (grayscale) or 3 (RGB).
    ///
    /// # Errors
    /// [`Error::Argument`] when `pixels` does not hold `width * height * channels` bytes, or `channels` is neither 1 nor 3.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Result<Self> {
        if channels != 1 && channels != 3 {
            return Err(Error::argument(format!("an image has 1 or 3 channels, not {channels}")));
        }
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
        if expected != Some(pixels.len()) {
            return Err(Error::argument(format!(
                "an image of {width}x{height} with {channels} channels cannot hold {} bytes",
                pixels.len()
            )));
        }
        Ok(Self { width, height, channels, pixels })
    }

    /// An image of one color, whose length (1 or 3) is the number of channels.
    ///
    /// # Panics
    /// When `color` has neither 1 nor 3 components.
    pub fn filled(width: usize, height: usize, color: &[u8]) -> Self {
        assert!(color.len() == 1 || color.len() == 3, "a color has 1 or 3 components");
        Self { width, height, channels: color.len(), pixels: color.repeat(width * height) }
    }

    /// An image of the same size, from pixels with another number of channels.
    pub(super) fn with_pixels(&self, channels: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), self.width * self.height * channels);
        Self { width: self.width, height: self.height, channels, pixels }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 for grayscale, 3 for RGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All bytes in row-major order.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All bytes in row-major order, mutable.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The channels of one pixel.
    ///
    /// # Panics
    /// When the position is out of range.
    pub fn pixel(&self, x: usize, y: usize) -> &[u8] {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) lies outside {}x{}", self.width, self.height);
        let at = (y * self.width + x) * self.channels;
        &self.pixels[at..at + self.channels]
    }

    /// The channels of one pixel, mutable.
    ///
    /// # Panics
    /// When the position is out of range.
    pub fn pixel_mut(&mut self, x: usize, y: usize) -> &mut [u8] {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) lies outside {}x{}", self.width, self.height);
        let at = (y * self.width + x) * self.channels;
        &mut self.pixels[at..at + self.channels]
    }
}
