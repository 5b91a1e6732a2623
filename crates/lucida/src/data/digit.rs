//! Converting a photo or drawing of a digit to an image like those of MNIST.
//!
//! The steps follow the MNIST authors' description: the digit is scaled to fit a box of 20x20 pixels, keeping its aspect
//! ratio, with gray levels from antialiasing, and placed in a 28x28 image so that its center of mass is in the middle;
//! white strokes on black. A network trained on such images generalizes to no others: without this step, a digit drawn
//! black on white, or small in a corner, can be assigned to any class.

mod ink;

use super::{Filter, Image};
use crate::Result;

/// The side of MNIST's images.
const SIDE: usize = 28;

/// The side of the digit's bounding box.
const BOX: usize = 20;

/// The position of a digit's center of mass, in pixels from the left and the top: that of MNIST's images, rather than the
/// 13.5 of the geometric center.
const MIDDLE: f64 = 14.0;

/// Photos are downscaled to this side before the ink is searched: a digit of a thirtieth of the photo is still larger than
/// its box.
const LONGEST_SIDE: usize = 640;

/// Converts an image of one digit to a gray image of 28x28, white on black.
///
/// A 28x28 image is used as it is, inverted if its border is bright. In any other image, the ink is segmented (dark on
/// light or light on dark, under uneven lighting), cropped, scaled and centered. An image without ink gives a black one.
///
/// ```
/// use lucida::data::normalize_digit;
/// use lucida::prelude::*;
///
/// // A dark stroke on white paper.
/// let mut photo = Image::filled(120, 90, &[250]);
/// for y in 20..70 {
///     (55..62).for_each(|x| photo.pixel_mut(x, y)[0] = 20);
/// }
/// let digit = normalize_digit(&photo)?;
/// assert_eq!((digit.width(), digit.height()), (28, 28));
/// assert!(digit.pixel(0, 0)[0] == 0 && digit.pixel(14, 14)[0] > 200, "white on black");
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// Those of [`Image::resize`].
pub fn normalize_digit(image: &Image) -> Result<Image> {
    let mut gray = image.to_gray();
    if (gray.width(), gray.height()) == (SIDE, SIDE) {
        if has_bright_border(gray.pixels(), SIDE, SIDE) {
            gray.pixels_mut().iter_mut().for_each(|value| *value = 255 - *value);
        }
        return Ok(gray);
    }
    let blank = || Ok(Image::filled(SIDE, SIDE, &[0]));
    if gray.pixels().is_empty() {
        return blank();
    }
    let longest = gray.width().max(gray.height());
    if longest > LONGEST_SIDE {
        let side = |side: usize| (side * LONGEST_SIDE / longest).max(1);
        gray = gray.resize(side(gray.width()), side(gray.height()), Filter::Bilinear)?;
    }
    let ink = ink::ink(&gray)?;
    let Some([x, y, width, height]) = ink_box(&ink) else { return blank() };
    let longer = width.max(height);
    let scaled = |side: usize| ((side * BOX + longer / 2) / longer).max(1);
    let mut digit = ink.crop(x, y, width, height)?.resize(scaled(width), scaled(height), Filter::Bilinear)?;
    stretch_to_white(&mut digit);
    let (x, y) = centered(&digit);
    digit.pad(SIDE, SIDE, x, y)
}

/// Whether the border pixels of a gray image are bright on average.
pub(super) fn has_bright_border(pixels: &[u8], width: usize, height: usize) -> bool {
    let sum = |values: &mut dyn Iterator<Item = &u8>| values.fold((0, 0), |(n, s), &v| (n + 1, s + u64::from(v)));
    if width == 0 || height == 0 {
        return false;
    }
    let rows = pixels.iter().take(width).chain(&pixels[width * (height - 1)..]);
    let sides = pixels.chunks_exact(width).flat_map(|row| [&row[0], &row[width - 1]]);
    let (count, total) = sum(&mut rows.chain(sides));
    total * 2 > count * 255
}

/// Left, top, width and height of the bounding box of nonblack pixels.
fn ink_box(gray: &Image) -> Option<[usize; 4]> {
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for (y, row) in gray.pixels().chunks_exact(gray.width().max(1)).enumerate() {
        let Some(first) = row.iter().position(|&value| value > 0) else { continue };
        let last = row.iter().rposition(|&value| value > 0).unwrap_or(first);
        left = left.min(first);
        right = right.max(last + 1);
        top = top.min(y);
        bottom = y + 1;
    }
    (right > 0).then(|| [left, top, right - left, bottom - top])
}

/// Scales the maximum to white, because thin strokes fade when downscaled.
fn stretch_to_white(digit: &mut Image) {
    let strongest = u32::from(digit.pixels().iter().max().copied().unwrap_or(0).max(1));
    for value in digit.pixels_mut() {
        *value = ((u32::from(*value) * 255 + strongest / 2) / strongest) as u8;
    }
}

/// The position of a digit in the image that centers its center of mass, or the closest one that does not cut ink.
fn centered(digit: &Image) -> (usize, usize) {
    let (mut mass, mut mass_x, mut mass_y) = (0.0_f64, 0.0, 0.0);
    for (y, row) in digit.pixels().chunks_exact(digit.width().max(1)).enumerate() {
        for (x, &value) in row.iter().enumerate() {
            mass += f64::from(value);
            mass_x += f64::from(value) * x as f64;
            mass_y += f64::from(value) * y as f64;
        }
    }
    let start = |moment: f64, side: usize| {
        let start = (MIDDLE - moment / mass.max(1.0)).round().max(0.0) as usize;
        start.min(SIDE.saturating_sub(side))
    };
    (start(mass_x, digit.width()), start(mass_y, digit.height()))
}

#[cfg(test)]
mod tests;
