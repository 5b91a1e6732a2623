//! What the images of several questions are put together from.

use crate::data::{Filter, Picture};
use crate::{Error, Result};

/// How many times a side of `size` pixels is to be enlarged to come nearest to `wanted`: whole pixels stay whole.
pub(super) fn zoom_to(size: usize, wanted: usize) -> usize {
    let size = size.max(1);
    ((wanted + size / 2) / size).max(1)
}

/// The image with each pixel `zoom` by `zoom`.
pub(super) fn enlarged(picture: &Picture, zoom: usize) -> Result<Picture> {
    picture.resize(picture.width() * zoom, picture.height() * zoom, Filter::Nearest)
}

/// The sign that there is nothing to see: a light surface with slanting lines, `width` x `height` pixels, whose slope is
/// fine enough to be seen as lines once each pixel has become `zoom` by `zoom`.
pub(super) fn hatched(width: usize, height: usize, zoom: usize) -> Picture {
    let mut picture = Picture::filled(width, height, &[236, 238, 241]);
    let period = (12 / zoom.max(1)).max(3);
    for y in 0..height {
        for x in (0..width).filter(|x| (x + y) % period == 0) {
            picture.pixel_mut(x, y).copy_from_slice(&[176, 182, 190]);
        }
    }
    picture
}

/// Images below one another on white, `gap` pixels apart and with so much padding around.
pub(super) fn stack(pictures: &[Picture], gap: usize, padding: usize) -> Result<Picture> {
    let width = pictures.iter().map(Picture::width).max();
    let width = width.ok_or_else(|| Error::argument("a sheet needs at least one image"))? + 2 * padding;
    let height = pictures.iter().map(|picture| picture.height() + gap).sum::<usize>() - gap + 2 * padding;
    let mut sheet = Picture::filled(width, height, &[255; 3]);
    let mut top = padding;
    for picture in pictures {
        paste(&mut sheet, picture, padding, top);
        top += picture.height() + gap;
    }
    Ok(sheet)
}

/// Copies an image onto an RGB one; what lies outside is left out.
pub(super) fn paste(sheet: &mut Picture, picture: &Picture, left: usize, top: usize) {
    for y in 0..picture.height().min(sheet.height().saturating_sub(top)) {
        for x in 0..picture.width().min(sheet.width().saturating_sub(left)) {
            match picture.pixel(x, y) {
                &[gray] => sheet.pixel_mut(left + x, top + y).fill(gray),
                rgb => sheet.pixel_mut(left + x, top + y).copy_from_slice(rgb),
            }
        }
    }
}

/// Draws the edge of a rectangle, two pixels wide where there is room, on an RGB image. Its corners may lie outside;
/// the edge is then drawn along the image's own.
pub(super) fn outline(picture: &mut Picture, rows: (i64, i64), columns: (i64, i64), colour: [u8; 3]) {
    let clip = |(start, end): (i64, i64), size: usize| {
        let start = start.clamp(0, size as i64) as usize;
        start..end.clamp(start as i64, size as i64) as usize
    };
    let (rows, columns) = (clip(rows, picture.height()), clip(columns, picture.width()));
    for y in rows.clone() {
        for x in columns.clone() {
            let inside = |at: usize, of: &std::ops::Range<usize>| at >= of.start + 2 && at + 2 < of.end;
            if !(inside(y, &rows) && inside(x, &columns)) {
                picture.pixel_mut(x, y).copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_stacked_with_gaps() {
        let sheet = stack(&[Picture::filled(4, 2, &[9]), Picture::filled(2, 3, &[1, 2, 3])], 5, 1).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (6, 12));
        assert_eq!((sheet.pixel(1, 1), sheet.pixel(1, 8)), (&[9; 3][..], &[1, 2, 3][..]));
        assert_eq!((sheet.pixel(1, 7), sheet.pixel(3, 8)), (&[255; 3][..], &[255; 3][..]));
        assert!(stack(&[], 1, 1).is_err());
    }

    #[test]
    fn outlines_are_clipped() {
        let mut picture = Picture::filled(10, 8, &[0; 3]);
        outline(&mut picture, (-3, 6), (4, 99), [7; 3]);
        let drawn: Vec<bool> = (0..10).map(|x| picture.pixel(x, 3) == [7; 3]).collect();
        assert_eq!(drawn, [false, false, false, false, true, true, false, false, true, true]);
        assert_eq!(picture.pixel(5, 6), [0; 3]);
        outline(&mut picture, (50, 60), (50, 60), [7; 3]);
        outline(&mut picture, (5, 2), (5, 2), [7; 3]);
    }

    #[test]
    fn zooms_are_whole() {
        assert_eq!(
            [zoom_to(28, 64), zoom_to(24, 64), zoom_to(64, 64), zoom_to(300, 64), zoom_to(0, 64)],
            [2, 3, 1, 1, 64]
        );
        assert_eq!(enlarged(&Picture::filled(2, 3, &[5]), 4).unwrap().height(), 12);
    }
}
