//! The image that is optimized, with `f32` instead of `u8` values.

use crate::Result;
use crate::data::{Filter, Image, resize_floats};

/// A float image `[height, width, 3]`: red, green and blue from 0 to 255. Values outside that range are clipped on
/// conversion to bytes.
///
/// ```
/// use lucida::style::Canvas;
///
/// let canvas = Canvas::filled([24, 32], [0.0, 128.0, 300.0]);
/// assert_eq!(canvas.resize([12, 16])?.values.len(), 12 * 16 * 3);
/// assert_eq!(canvas.to_image()?.pixel(0, 0), [0, 128, 255], "clipped");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Values in row-major order.
    pub values: Vec<f32>,
}

impl Canvas {
    /// Returns a canvas of one color.
    pub fn filled(size: [usize; 2], color: [f32; 3]) -> Self {
        Self { size, values: color.repeat(size[0] * size[1]) }
    }

    /// Converts an image to floats.
    pub fn of_image(image: &Image) -> Self {
        let rgb = image.in_channels(3);
        Self { size: [rgb.height(), rgb.width()], values: rgb.pixels().iter().map(|&byte| f32::from(byte)).collect() }
    }

    /// Resizes an image with Lanczos filtering, then converts it to floats.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn of_image_at(image: &Image, size: [usize; 2]) -> Result<Self> {
        Ok(Self::of_image(&image.resize(size[1], size[0], Filter::Lanczos3)?))
    }

    /// Rounds and clips the canvas to bytes.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_image(&self) -> Result<Image> {
        Image::new(self.size[1], self.size[0], 3, self.bytes())
    }

    /// Returns the canvas as RGB bytes, `[height, width, 3]`.
    pub(super) fn bytes(&self) -> Vec<u8> {
        // The cast saturates, and turns NaN into 0.
        self.values.iter().map(|value| value.round() as u8).collect()
    }

    /// Resizes the canvas with antialiased bilinear interpolation.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when the size exceeds the limit.
    pub fn resize(&self, size: [usize; 2]) -> Result<Self> {
        Ok(Self { size, values: resize_floats(&self.values, self.size, size, 3)? })
    }

    /// Adds mirrored margins: top, bottom, left, right, in pixels. A margin wider than the canvas is mirrored repeatedly.
    #[must_use]
    pub fn mirrored(&self, [top, bottom, left, right]: [usize; 4]) -> Self {
        let [height, width] = self.size;
        let size = [height + top + bottom, width + left + right];
        let mut values = Vec::with_capacity(size[0] * size[1] * 3);
        let columns: Vec<usize> = (0..size[1]).map(|x| mirror(x as isize - left as isize, width)).collect();
        for y in 0..size[0] {
            let row = &self.values[mirror(y as isize - top as isize, height) * width * 3..][..width * 3];
            columns.iter().for_each(|&x| values.extend_from_slice(&row[3 * x..3 * x + 3]));
        }
        Self { size, values }
    }

    /// Returns the part of this size whose top-left corner is at (row, column).
    ///
    /// # Panics
    /// When the part is not inside the canvas.
    #[must_use]
    pub fn crop(&self, [top, left]: [usize; 2], size: [usize; 2]) -> Self {
        let mut values = Vec::with_capacity(size[0] * size[1] * 3);
        for y in top..top + size[0] {
            let at = (y * self.size[1] + left) * 3;
            values.extend_from_slice(&self.values[at..at + 3 * size[1]]);
        }
        Self { size, values }
    }
}

/// Index in `0..len` for a position outside of it, mirrored at the first or last pixel without repeating that.
fn mirror(at: isize, len: usize) -> usize {
    if len == 1 {
        return 0;
    }
    let period = 2 * (len as isize - 1);
    let at = at.rem_euclid(period);
    (if at < len as isize { at } else { period - at }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_mirror_and_come_off_again() {
        let canvas = Canvas { size: [2, 3], values: (0..18).map(|i| i as f32).collect() };
        let wide = canvas.mirrored([1, 2, 2, 4]);
        assert_eq!(wide.size, [5, 9]);
        assert_eq!(wide.crop([1, 2], [2, 3]), canvas);
        // Columns 2 1 0 1 2 1 0 1 2 of rows 1 0 1 0 1.
        let reds: Vec<f32> = wide.values[..27].iter().step_by(3).copied().collect();
        assert_eq!(reds, [15., 12., 9., 12., 15., 12., 9., 12., 15.]);
        assert_eq!(Canvas::filled([1, 1], [1., 2., 3.]).mirrored([2; 4]), Canvas::filled([5, 5], [1., 2., 3.]));
    }

    #[test]
    fn bytes_there_and_back() {
        let image = Image::new(3, 1, 3, vec![0, 1, 2, 100, 200, 255, 7, 8, 9]).unwrap();
        assert_eq!(Canvas::of_image(&image).to_image().unwrap(), image);
        let canvas = Canvas { size: [1, 1], values: vec![-3.0, 300.0, 99.6] };
        assert_eq!(canvas.to_image().unwrap().pixels(), [0, 255, 100]);
    }
}
