//! Plots: color maps, grids, curves, confusion matrices, and the HTML report that contains them.
//!
//! This module only draws its input and does not depend on networks. Raster images are [`Image`]s; vector figures are
//! [`Figure`]s, which can be written as SVG or rasterized.
//!
//! The drawing is implemented here, in a few hundred lines, rather than with a chart library. Kuva 0.6 was tried first: its
//! rotated labels are blurred and bold, its fitted epoch axis starts at a nonexistent epoch 0, and its font is private, so
//! that grid captions would have needed a second one.

mod bars;
mod braille;
mod canvas;
mod chart;
mod colormap;
mod confusion;
mod curves;
mod figure;
mod grid;
mod heat;
mod normalize;
mod png;
mod report;
mod scale;
mod scatter;
mod text;
mod ticks;

pub use bars::Bars;
pub use braille::braille;
pub use chart::Chart;
pub use colormap::Colormap;
pub use confusion::Confusion;
pub use curves::{Curves, Panel};
pub use figure::Figure;
pub use grid::{Cell, Grid};
pub use heat::{Heat, HeatOverlay, HeatScale};
pub use normalize::{Normalize, Scope, channel_maps, float_map, float_rgb, kernel_maps};
pub use png::{jpeg_bytes, png_bytes};
pub use report::{CellMatrix, Content, Gallery, Report, Table};
pub use scale::{box_label, color_scale};
pub use scatter::Scatter;
pub use ticks::short_number;

use crate::data::Image;

/// A color: red, green, blue, each 0 to 255.
pub type Rgb = [u8; 3];

/// The maximum number of pixels of a rendered image: 256 million, 768 MB.
const MAX_PIXELS: u64 = 1 << 28;

/// Refuses an image that is larger than [`MAX_PIXELS`].
fn check_size(what: &str, width: usize, height: usize) -> crate::Result<()> {
    let got = (width as u64).saturating_mul(height as u64);
    if got > MAX_PIXELS {
        return Err(crate::Error::Limit { what: format!("{what}: {width}x{height} pixels"), got, limit: MAX_PIXELS });
    }
    Ok(())
}

/// The relative luminance of WCAG 2: 0 for black, 1 for white.
fn luminance(color: Rgb) -> f64 {
    let linear = |byte: u8| {
        let c = f64::from(byte) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2])
}

/// The contrast ratio of WCAG 2, 1 to 21; text is legible from 4.5.
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The color of the two with the higher contrast to `background`.
fn more_readable(background: Rgb, first: Rgb, second: Rgb) -> Rgb {
    if contrast(background, first) >= contrast(background, second) { first } else { second }
}
/// The font size of [`number_boxes`] in pixels.
const NUMBER_SIZE: f32 = 13.0;

/// Writes the number of each box at its upper left corner (x, y), in `ink` on black. Overlapping numbers are moved down.
pub(crate) fn number_boxes(image: Image, numbers: &[(usize, [usize; 2])], ink: Rgb) -> Image {
    let mut canvas = canvas::Canvas::on(image);
    let height = NUMBER_SIZE * text::LINE_HEIGHT;
    let mut taken: Vec<[f32; 3]> = Vec::new();
    for (number, corner) in numbers {
        let number = number.to_string();
        let wide = text::width(&number, NUMBER_SIZE, text::Weight::Bold) + 6.0;
        let [left, mut top] = corner.map(|at| at as f32 + 2.0);
        // Half a pixel of tolerance, so that rounding cannot make the loop endless.
        let lies_on = |top: f32, [x, y, w]: [f32; 3]| left < x + w && x < left + wide && (top - y).abs() < height - 0.5;
        while let Some(&[_, y, _]) = taken.iter().find(|&&other| lies_on(top, other)) {
            top = y + height;
        }
        taken.push([left, top, wide]);
        canvas.rect((left, top), (left + wide, top + height), [0; 3]);
        let (size, weight, anchor) = (NUMBER_SIZE, text::Weight::Bold, canvas::Anchor::Start);
        let line = canvas::Line { text: &number, size, weight, anchor, upwards: false };
        canvas.text(&line, (left + 3.0, top + (size * text::ASCENT).ceil()), ink);
    }
    canvas.into_image()
}
