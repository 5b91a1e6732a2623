//! Images of numbers: color maps, grids, curves, matrices, and the report that binds them.
//!
//! Everything here draws what it is given and knows no network. Rasters are [`Picture`](crate::data::Picture)s; line
//! drawings are [`Figure`]s, which become SVG for a page and an image for a file from the same description.
//!
//! The drawing is done here, in a few hundred lines, rather than by a chart library. Kuva 0.6 was tried first: in its
//! images a label that reads upwards comes out blurred and heavy, its fitted epoch axis starts at an epoch 0 that
//! does not exist, and its font is private, so that the captions of a grid would have needed a second one.

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

/// A color: red, green, blue, each 0 to 255.
pub type Rgb = [u8; 3];

/// The most pixels that a rendered image may have: 256 million, 768 MB.
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
fn luminance(colour: Rgb) -> f64 {
    let linear = |byte: u8| {
        let c = f64::from(byte) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2])
}

/// The contrast ratio of WCAG 2, 1 to 21; text is readable from 4.5 up.
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Whichever of two colors stands out more from `background`.
fn more_readable(background: Rgb, first: Rgb, second: Rgb) -> Rgb {
    if contrast(background, first) >= contrast(background, second) { first } else { second }
}
