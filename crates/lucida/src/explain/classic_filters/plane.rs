//! A two-dimensional array of numbers.

use crate::data::Image;

/// One channel of an image as floats, initially 0 to 255.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    width: usize,
    values: Vec<f32>,
}

impl Plane {
    /// From values in row-major order, a multiple of `width`.
    pub(in super::super) fn new(width: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len() % width, 0);
        Self { width, values }
    }

    /// Filled with one value.
    pub(super) fn filled(height: usize, width: usize, value: f32) -> Self {
        Self { width, values: vec![value; height * width] }
    }

    /// The luma of an image.
    pub fn gray(image: &Image) -> Self {
        Self::channel(&image.to_gray(), 0)
    }

    /// One channel of an image.
    ///
    /// # Panics
    /// When the image does not have this channel.
    pub fn channel(image: &Image, channel: usize) -> Self {
        assert!(channel < image.channels(), "channel {channel} of {}", image.channels());
        let values = image.pixels().iter().skip(channel).step_by(image.channels());
        Self { width: image.width(), values: values.map(|&value| f32::from(value)).collect() }
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.values.len() / self.width.max(1), self.width]
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of some rows, mutable.
    pub(super) fn rows_mut(&mut self, rows: std::ops::Range<usize>) -> &mut [f32] {
        &mut self.values[rows.start * self.width..rows.end * self.width]
    }

    /// Writes a row, as long as `out`, that starts `left` pixels before the plane; border pixels are replicated outside.
    pub(super) fn extended_row(&self, row: i64, left: usize, out: &mut [f32]) {
        let height = self.values.len() / self.width;
        let row = row.clamp(0, height as i64 - 1) as usize;
        let source = &self.values[row * self.width..][..self.width];
        let right = left + self.width;
        out[..left].fill(source[0]);
        out[left..right].copy_from_slice(source);
        out[right..].fill(source[self.width - 1]);
    }

    /// Converts to a gray image, rounded and clipped to 0..255.
    pub fn image(&self) -> Image {
        self.shown(|value| value)
    }

    /// Converts to a gray image in which zero is gray, and black and white are the largest magnitudes; one in 500 values is
    /// clipped. If no magnitude exceeds `least`, which is rounding error, the image is uniformly gray.
    pub fn signed_image(&self, least: f32) -> Image {
        let most = magnitude(self.values.iter().copied(), 0.002);
        let factor = if most > least { 127.0 / most } else { 0.0 };
        self.shown(|value| 128.0 + factor * value)
    }

    fn shown(&self, level: impl Fn(f32) -> f32) -> Image {
        let [height, width] = self.size();
        let mut image = Image::filled(width, height, &[0]);
        // The cast clips.
        image.pixels_mut().iter_mut().zip(&self.values).for_each(|(to, &value)| *to = level(value).round() as u8);
        image
    }
}

/// The magnitude that only a fraction `outliers` of the finite values exceeds. Zeros are excluded; zero if no other value
/// remains.
pub(in super::super) fn magnitude(values: impl Iterator<Item = f32>, outliers: f64) -> f32 {
    let mut sizes: Vec<f32> = values.map(f32::abs).filter(|size| size.is_finite() && *size > 0.0).collect();
    let Some(last) = sizes.len().checked_sub(1 + (outliers * sizes.len() as f64) as usize) else { return 0.0 };
    *sizes.select_nth_unstable_by(last, f32::total_cmp).1
}
