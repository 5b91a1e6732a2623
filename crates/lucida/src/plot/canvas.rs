//! Antialiased drawing on an image: rectangles, lines, discs and text.
//!
//! The coverage of a pixel is computed from the distance of its center to the shape's edge. For shapes larger than a pixel,
//! this is indistinguishable from the exact area, and needs no polygon rasterizer.

use super::Rgb;
use super::text::{Mask, Weight};
use crate::data::Image;

/// A point in pixels from the top left corner: `(x, y)`.
pub(super) type Point = (f32, f32);

/// How a text is aligned to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// An RGB image to draw on.
pub(super) struct Canvas {
    image: Image,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize, background: Rgb) -> Self {
        Self { image: Image::filled(width, height, &background) }
    }

    /// Draws on an RGB image.
    pub(super) fn on(image: Image) -> Self {
        Self { image }
    }

    pub(super) fn into_image(self) -> Image {
        self.image
    }

    fn blend(&mut self, x: usize, y: usize, color: Rgb, part: f32) {
        for (byte, wanted) in self.image.pixel_mut(x, y).iter_mut().zip(color) {
            let from = f32::from(*byte);
            *byte = (from + (f32::from(wanted) - from) * part).round() as u8;
        }
    }

    /// The pixels that may lie within `reach` of the rectangle between two corners.
    fn pixels(&self, (x0, y0): Point, (x1, y1): Point, reach: f32) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let range = |a: f32, b: f32, size: usize| {
            let from = (a.min(b) - reach).floor().max(0.0) as usize;
            let to = (a.max(b) + reach).ceil().max(0.0) as usize;
            from.min(size)..to.min(size)
        };
        (range(x0, x1, self.image.width()), range(y0, y1, self.image.height()))
    }

    /// Copies an image, enlarged `zoom` times, with its top left corner at `(left, top)`; it must fit.
    pub(super) fn paste(&mut self, image: &Image, left: usize, top: usize, zoom: usize) {
        for y in 0..image.height() * zoom {
            for x in 0..image.width() * zoom {
                let to = self.image.pixel_mut(left + x, top + y);
                match image.pixel(x / zoom, y / zoom) {
                    [gray] => to.fill(*gray),
                    rgb => to.copy_from_slice(rgb),
                }
            }
        }
    }

    /// Multiplies an RGB image onto the canvas, like ink on paper: what lies below shows through its light parts. It must
    /// fit.
    pub(super) fn paste_ink(&mut self, image: &Image, left: usize, top: usize) {
        for y in 0..image.height() {
            for x in 0..image.width() {
                let to = self.image.pixel_mut(left + x, top + y);
                for (byte, &ink) in to.iter_mut().zip(image.pixel(x, y)) {
                    *byte = (u16::from(*byte) * u16::from(ink) / 255) as u8;
                }
            }
        }
    }

    /// A filled rectangle between two corners.
    pub(super) fn rect(&mut self, from: Point, to: Point, color: Rgb) {
        let (xs, ys) = self.pixels(from, to, 0.0);
        for y in ys {
            let down = overlap(y, from.1, to.1);
            for x in xs.clone() {
                self.blend(x, y, color, down * overlap(x, from.0, to.0));
            }
        }
    }

    /// A disc around `center`.
    pub(super) fn disc(&mut self, center: Point, radius: f32, color: Rgb) {
        let (xs, ys) = self.pixels(center, center, radius + 1.0);
        for y in ys {
            for x in xs.clone() {
                let away = (x as f32 + 0.5 - center.0).hypot(y as f32 + 0.5 - center.1);
                self.blend(x, y, color, (radius + 0.5 - away).clamp(0.0, 1.0));
            }
        }
    }

    /// A polyline with round caps and joins. A horizontal or vertical line is aligned to whole pixels.
    pub(super) fn line(&mut self, points: &[Point], width: f32, color: Rgb) {
        if let &[(x0, y0), (x1, y1)] = points {
            let thick = width.round().max(1.0);
            let snap = |v: f32| (v - thick / 2.0).round();
            if y0 == y1 {
                return self.rect((x0.min(x1), snap(y0)), (x0.max(x1), snap(y0) + thick), color);
            }
            if x0 == x1 {
                return self.rect((snap(x0), y0.min(y1)), (snap(x0) + thick, y0.max(y1)), color);
            }
        }
        let Some(&first) = points.first() else { return };
        let corners = points.iter().fold((first, first), |(low, high), &(x, y)| {
            ((low.0.min(x), low.1.min(y)), (high.0.max(x), high.1.max(y)))
        });
        let reach = width / 2.0 + 1.0;
        let (xs, ys) = self.pixels(corners.0, corners.1, reach);
        if xs.is_empty() || ys.is_empty() {
            return;
        }
        // Segments overlap at the corners: the coverage is accumulated first, so that no pixel is blended twice.
        let mut coverage = vec![0.0_f32; xs.len() * ys.len()];
        for pair in points.windows(2) {
            let (columns, rows) = self.pixels(pair[0], pair[1], reach);
            for y in rows {
                for x in columns.clone() {
                    let away = distance((x as f32 + 0.5, y as f32 + 0.5), pair[0], pair[1]);
                    let at = &mut coverage[(y - ys.start) * xs.len() + x - xs.start];
                    *at = at.max((width / 2.0 + 0.5 - away).clamp(0.0, 1.0));
                }
            }
        }
        for (i, part) in coverage.iter().enumerate().filter(|(_, part)| **part > 0.0) {
            self.blend(xs.start + i % xs.len(), ys.start + i / xs.len(), color, *part);
        }
    }

    /// A line of text whose baseline passes through `at`; `upwards` rotates it by 90° counterclockwise.
    pub(super) fn text(&mut self, line: &Line<'_>, at: Point, color: Rgb) {
        let back = match line.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => super::text::width(line.text, line.size, line.weight) / 2.0,
            Anchor::End => super::text::width(line.text, line.size, line.weight),
        };
        // Along the baseline, a letter may start at a subpixel position; across, the baseline is aligned to a whole pixel.
        let along = if line.upwards { -at.1 - back } else { at.0 - back };
        let mask = Mask::new(line.text, line.size, line.weight, along - along.floor());
        let (mask, x, y) = if line.upwards {
            (mask.upwards(), at.0.round() as i64, -(along.floor() as i64) - 1)
        } else {
            (mask, along.floor() as i64, at.1.round() as i64)
        };
        let (left, top) = (x - mask.origin.0, y - mask.origin.1);
        for row in 0..mask.height {
            for column in 0..mask.width {
                let (x, y) = (left + column as i64, top + row as i64);
                if x >= 0 && y >= 0 && x < self.image.width() as i64 && y < self.image.height() as i64 {
                    self.blend(x as usize, y as usize, color, mask.coverage[row * mask.width + column]);
                }
            }
        }
    }
}

/// A line of text and its style.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) size: f32,
    pub(super) weight: Weight,
    pub(super) anchor: Anchor,
    pub(super) upwards: bool,
}

/// The covered fraction of pixel `index` between two coordinates.
fn overlap(index: usize, from: f32, to: f32) -> f32 {
    let start = index as f32;
    (to.min(start + 1.0) - from.max(start)).clamp(0.0, 1.0)
}

/// The distance of `p` from the segment from `a` to `b`.
fn distance(p: Point, a: Point, b: Point) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (p.0 - a.0 - along * dx).hypot(p.1 - a.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb = [255; 3];
    const BLACK: Rgb = [0; 3];

    fn ink(image: &Image) -> f64 {
        image.pixels().iter().step_by(3).map(|&p| f64::from(255 - p) / 255.0).sum()
    }

    #[test]
    fn a_rectangle_covers_its_area_to_the_part_of_a_pixel() {
        let mut canvas = Canvas::new(8, 8, WHITE);
        canvas.rect((1.0, 1.0), (3.5, 5.0), BLACK);
        let image = canvas.into_image();
        assert_eq!(image.pixel(1, 1), BLACK);
        assert_eq!(image.pixel(3, 4), [128; 3]);
        assert_eq!(image.pixel(4, 1), WHITE);
        assert!((ink(&image) - 10.0).abs() < 0.05);
    }

    #[test]
    fn discs_and_lines_cover_about_their_area() {
        let mut canvas = Canvas::new(60, 60, WHITE);
        canvas.disc((30.0, 30.0), 20.0, BLACK);
        let area = std::f64::consts::PI * 400.0;
        let got = ink(&canvas.into_image());
        assert!((got - area).abs() < 0.01 * area, "{got} for {area}");

        let mut canvas = Canvas::new(60, 60, WHITE);
        canvas.line(&[(10.0, 10.0), (40.0, 50.0), (50.0, 50.0)], 4.0, BLACK);
        let area = (50.0 + 10.0) * 4.0 + std::f64::consts::PI * 4.0;
        let got = ink(&canvas.into_image());
        assert!((got - area).abs() < 0.03 * area, "{got} for {area}");
    }

    #[test]
    fn a_level_line_is_crisp() {
        let mut canvas = Canvas::new(6, 6, WHITE);
        canvas.line(&[(0.0, 3.2), (6.0, 3.2)], 1.0, BLACK);
        let image = canvas.into_image();
        for y in 0..6 {
            assert_eq!(image.pixel(2, y), if y == 3 { BLACK } else { WHITE });
        }
    }

    #[test]
    fn text_lies_where_it_is_anchored_and_outside_is_ignored() {
        let columns = |anchor| {
            let mut canvas = Canvas::new(80, 20, WHITE);
            let line = Line { text: "HIH", size: 12.0, weight: Weight::Regular, anchor, upwards: false };
            canvas.text(&line, (40.0, 15.0), BLACK);
            let image = canvas.into_image();
            let dark: Vec<usize> = (0..80).filter(|&x| (0..20).any(|y| image.pixel(x, y)[0] < 128)).collect();
            (dark[0], dark[dark.len() - 1])
        };
        assert!(columns(Anchor::Start).0 >= 40);
        assert!(columns(Anchor::End).1 < 40);
        let (left, right) = columns(Anchor::Middle);
        assert!((left + right).abs_diff(79) <= 1, "{left} {right}");

        let mut canvas = Canvas::new(20, 80, WHITE);
        let line = Line { text: "HIH", size: 12.0, weight: Weight::Regular, anchor: Anchor::Start, upwards: true };
        canvas.text(&line, (15.0, 40.0), BLACK);
        canvas.text(&line, (500.0, -900.0), BLACK);
        let image = canvas.into_image();
        let rows: Vec<usize> = (0..80).filter(|&y| (0..20).any(|x| image.pixel(x, y)[0] < 128)).collect();
        assert!(rows[rows.len() - 1] < 40 && rows[0] > 5, "{rows:?}");
        assert!((0..80).all(|y| (15..20).all(|x| image.pixel(x, y) == WHITE)));
    }

    #[test]
    fn a_zoomed_image_keeps_its_edges() {
        let mut canvas = Canvas::new(8, 6, WHITE);
        canvas.paste(&Image::new(2, 1, 1, vec![10, 20]).unwrap(), 1, 2, 3);
        let image = canvas.into_image();
        assert_eq!(image.pixel(3, 4), [10; 3]);
        assert_eq!(image.pixel(4, 2), [20; 3]);
        assert_eq!(image.pixel(7, 2), WHITE);
        assert_eq!(image.pixel(1, 5), WHITE);
    }
}
