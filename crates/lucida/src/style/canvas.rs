//! The image that is optimized: floats rather than bytes.

use crate::Result;
use crate::data::{Filter, Image, resize_floats};

/// An image of floats: (height, width, channel), red, green and blue from 0 to 255; values outside are clipped when it
/// is shown.
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
    /// All values, row by row.
    pub values: Vec<f32>,
}

impl Canvas {
    /// A canvas of one color.
    pub fn filled(size: [usize; 2], color: [f32; 3]) -> Self {
        Self { size, values: color.repeat(size[0] * size[1]) }
    }

    /// The floats of an image.
    pub fn of_image(image: &Image) -> Self {
        let rgb = image.in_channels(3);
        Self { size: [rgb.height(), rgb.width()], values: rgb.pixels().iter().map(|&byte| f32::from(byte)).collect() }
    }

    /// An image in another size, by the best filter there is for bytes.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn of_image_at(image: &Image, size: [usize; 2]) -> Result<Self> {
        Ok(Self::of_image(&image.resize(size[1], size[0], Filter::Lanczos3)?))
    }

    /// The canvas rounded and clipped to bytes.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_image(&self) -> Result<Image> {
        Image::new(self.size[1], self.size[0], 3, self.bytes())
    }

    /// The canvas as RGB bytes, `[height, width, 3]`.
    pub(super) fn bytes(&self) -> Vec<u8> {
        // A cast clips, and makes NaN 0.
        self.values.iter().map(|value| value.round() as u8).collect()
    }

    /// The canvas in another size, by antialiased linear interpolation.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when that is absurd.
    pub fn resize(&self, size: [usize; 2]) -> Result<Self> {
        Ok(Self { size, values: resize_floats(&self.values, self.size, size, 3)? })
    }

    /// The canvas with a margin on each side that mirrors it: top, bottom, left, right. A margin wider than the canvas is
    /// mirrored again and again.
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

    /// The part of this size whose top left corner is at (row, column).
    ///
    /// # Panics
    /// When it is not inside.
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

/// Where a position outside of `0..len` is found in a mirror whose edge is the first or last pixel.
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
