//! Helpers for composing images.

use crate::data::{Filter, Image};
use crate::{Error, Result};

/// The integer factor that enlarges a side of `size` pixels to nearly `wanted`.
pub(super) fn zoom_to(size: usize, wanted: usize) -> usize {
    let size = size.max(1);
    ((wanted + size / 2) / size).max(1)
}

/// Enlarges an image `zoom` times without interpolation.
pub(super) fn enlarged(image: &Image, zoom: usize) -> Result<Image> {
    image.resize(image.width() * zoom, image.height() * zoom, Filter::Nearest)
}

/// The placeholder for missing content: light with diagonal lines, `width` x `height` pixels, fine enough to show lines
/// when enlarged `zoom` times.
pub(super) fn hatched(width: usize, height: usize, zoom: usize) -> Image {
    let mut image = Image::filled(width, height, &[236, 238, 241]);
    let period = (12 / zoom.max(1)).max(3);
    for y in 0..height {
        for x in (0..width).filter(|x| (x + y) % period == 0) {
            image.pixel_mut(x, y).copy_from_slice(&[176, 182, 190]);
        }
    }
    image
}

/// Stacks images vertically on white, `gap` pixels apart, with `padding` around them.
pub(super) fn stack(images: &[Image], gap: usize, padding: usize) -> Result<Image> {
    let width = images.iter().map(Image::width).max();
    let width = width.ok_or_else(|| Error::argument("a sheet needs at least one image"))? + 2 * padding;
    let height = images.iter().map(|image| image.height() + gap).sum::<usize>() - gap + 2 * padding;
    let mut sheet = Image::filled(width, height, &[255; 3]);
    let mut top = padding;
    for image in images {
        paste(&mut sheet, image, padding, top);
        top += image.height() + gap;
    }
    Ok(sheet)
}

/// Copies an image onto an RGB one; parts outside are clipped.
pub(super) fn paste(sheet: &mut Image, image: &Image, left: usize, top: usize) {
    for y in 0..image.height().min(sheet.height().saturating_sub(top)) {
        for x in 0..image.width().min(sheet.width().saturating_sub(left)) {
            match image.pixel(x, y) {
                &[gray] => sheet.pixel_mut(left + x, top + y).fill(gray),
                rgb => sheet.pixel_mut(left + x, top + y).copy_from_slice(rgb),
            }
        }
    }
}

/// Outlines a rectangle on an RGB image, two pixels wide where there is room. Corners outside the image are moved to its
/// edge.
pub(super) fn outline(image: &mut Image, rows: (i64, i64), columns: (i64, i64), color: [u8; 3]) {
    let clip = |(start, end): (i64, i64), size: usize| {
        let start = start.clamp(0, size as i64) as usize;
        start..end.clamp(start as i64, size as i64) as usize
    };
    let (rows, columns) = (clip(rows, image.height()), clip(columns, image.width()));
    for y in rows.clone() {
        for x in columns.clone() {
            let inside = |at: usize, of: &std::ops::Range<usize>| at >= of.start + 2 && at + 2 < of.end;
            if !(inside(y, &rows) && inside(x, &columns)) {
                image.pixel_mut(x, y).copy_from_slice(&color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_stacked_with_gaps() {
        let sheet = stack(&[Image::filled(4, 2, &[9]), Image::filled(2, 3, &[1, 2, 3])], 5, 1).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (6, 12));
        assert_eq!((sheet.pixel(1, 1), sheet.pixel(1, 8)), (&[9; 3][..], &[1, 2, 3][..]));
        assert_eq!((sheet.pixel(1, 7), sheet.pixel(3, 8)), (&[255; 3][..], &[255; 3][..]));
        assert!(stack(&[], 1, 1).is_err());
    }

    #[test]
    fn outlines_are_clipped() {
        let mut image = Image::filled(10, 8, &[0; 3]);
        outline(&mut image, (-3, 6), (4, 99), [7; 3]);
        let drawn: Vec<bool> = (0..10).map(|x| image.pixel(x, 3) == [7; 3]).collect();
        assert_eq!(drawn, [false, false, false, false, true, true, false, false, true, true]);
        assert_eq!(image.pixel(5, 6), [0; 3]);
        outline(&mut image, (50, 60), (50, 60), [7; 3]);
        outline(&mut image, (5, 2), (5, 2), [7; 3]);
    }

    #[test]
    fn zooms_are_whole() {
        assert_eq!(
            [zoom_to(28, 64), zoom_to(24, 64), zoom_to(64, 64), zoom_to(300, 64), zoom_to(0, 64)],
            [2, 3, 1, 1, 64]
        );
        assert_eq!(enlarged(&Image::filled(2, 3, &[5]), 4).unwrap().height(), 12);
    }
}
