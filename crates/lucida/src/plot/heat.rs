//! Heat maps overlaid on an image.
//!
//! The image is drawn in gray, with reduced contrast so that colors stand out from both its darkest and its lightest parts.
//! Each value's color is drawn over it, with an opacity that grows with the magnitude: where the map is zero, the image is
//! visible.

use super::{Colormap, Rgb, check_size, color_scale, short_number};
use crate::data::Image;
use crate::{Error, Result};

/// The fraction of values that may exceed full color: otherwise a single outlier would leave the rest of the map blank.
const OUTLIERS: f64 = 0.005;
/// The darkest and lightest gray under a signed map, whose colors are dark.
const LIGHT: [f32; 2] = [0.62, 1.0];
/// The same for a map of positive values, whose strongest colors are light.
const DARK: [f32; 2] = [0.04, 0.62];

/// The kind of values in a map, which determines its colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heat {
    /// Negative values are blue, positive ones red, with an intensity that grows with the magnitude.
    Signed,
    /// From the minimum, which is transparent, through purple and orange to the maximum, which is yellow.
    Positive,
}

/// The color scale of a map, for callers that draw it themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatScale {
    /// The values at the first and the last color; values beyond them are clamped.
    pub values: [f32; 2],
    /// Colors at evenly spaced values, over mid-gray.
    pub colors: Vec<Rgb>,
}

/// A heat map over an image.
#[derive(Debug, Clone)]
#[must_use]
pub struct HeatOverlay<'a> {
    image: &'a Image,
    values: &'a [f32],
    heat: Heat,
    smooth: bool,
    zoom: usize,
}

impl<'a> HeatOverlay<'a> {
    /// A map with one value per pixel, in row-major order.
    pub fn new(image: &'a Image, values: &'a [f32], heat: Heat) -> Self {
        Self { image, values, heat, smooth: false, zoom: 1 }
    }

    /// Whether values are interpolated between pixels, for a map that is coarser than the image; otherwise each pixel of a
    /// zoomed map is a square.
    pub fn smooth(self, smooth: bool) -> Self {
        Self { smooth, ..self }
    }

    /// The width and height of each image pixel in pixels.
    pub fn zoom(self, zoom: usize) -> Self {
        Self { zoom, ..self }
    }

    /// The zoom that makes the longer side of a small image at least 224 pixels.
    pub fn zoom_for(image: &Image) -> usize {
        224_usize.div_ceil(image.width().max(image.height()).max(1))
    }

    /// The value at full color.
    pub fn full(&self) -> f32 {
        extent(self.values, self.heat).1
    }

    /// The color scale of the map, `width` pixels wide, over mid-gray. It ends at the value of full color, and starts at
    /// its negative for signed maps, else at the minimum, or 0 if that is negligible. Values beyond it are clamped.
    pub fn scale(&self, width: usize) -> Image {
        let [low, full] = self.scale_values().map(short_number);
        let middle = if self.heat == Heat::Signed { "0" } else { "" };
        color_scale(width, [255; 3], |part| self.scale_color(part), [&low, middle, &full])
    }

    /// The same scale as values and `count` colors.
    pub fn scale_colors(&self, count: usize) -> HeatScale {
        let last = count.saturating_sub(1).max(1) as f32;
        let colors = (0..count).map(|at| self.scale_color(at as f32 / last)).collect();
        HeatScale { values: self.scale_values(), colors }
    }

    fn scale_values(&self) -> [f32; 2] {
        let (low, full) = extent(self.values, self.heat);
        match self.heat {
            Heat::Signed => [-full, full],
            // A negligible minimum is labeled 0.
            Heat::Positive if low.abs() < 5e-3 * full => [0.0, full],
            Heat::Positive => [low, full],
        }
    }

    /// The color at a position of the scale, 0 to 1.
    fn scale_color(&self, part: f32) -> Rgb {
        match self.heat {
            Heat::Signed => self.color(2.0 * part - 1.0, 0.5),
            Heat::Positive => self.color(part, 0.5),
        }
    }

    /// Renders the map over the image as an RGB image.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of values is not that of the pixels, or the zoom is 0; [`Error::Limit`] when the
    /// image would be too large.
    pub fn render(&self) -> Result<Image> {
        let (width, height) = (self.image.width(), self.image.height());
        if self.values.len() != width * height || self.zoom == 0 {
            let (values, zoom) = (self.values.len(), self.zoom);
            return Err(Error::argument(format!(
                "a heatmap of {values} values does not fit an image of {width}x{height} at a zoom of {zoom}"
            )));
        }
        let (wide, high) = (width.saturating_mul(self.zoom), height.saturating_mul(self.zoom));
        check_size("heat map", wide, high)?;
        let (low, full) = extent(self.values, self.heat);
        let strength = |value: f32| match self.heat {
            _ if value.is_nan() => f32::NAN,
            Heat::Signed if full > 0.0 => (value / full).clamp(-1.0, 1.0),
            Heat::Positive if full > low => ((value - low) / (full - low)).clamp(0.0, 1.0),
            _ => 0.0,
        };
        let strengths: Vec<f32> = self.values.iter().map(|&value| strength(value)).collect();
        let grays: Vec<f32> = self.image.pixels().chunks_exact(self.image.channels()).map(luma).collect();
        let (down, across) = (taps(height, self.zoom, self.smooth), taps(width, self.zoom, self.smooth));
        let mut pixels = Vec::with_capacity(wide * high * 3);
        for (y, &(top, bottom, below)) in down.iter().enumerate() {
            for (x, &(left, right, part)) in across.iter().enumerate() {
                let line = |row: usize| mix(strengths[row * width + left], strengths[row * width + right], part);
                let value = mix(line(top), line(bottom), below);
                let gray = grays[y / self.zoom * width + x / self.zoom];
                pixels.extend(self.color(value, gray));
            }
        }
        Image::new(wide, high, 3, pixels)
    }

    /// The color of a value over a gray level, 0 to 1.
    fn color(&self, value: f32, gray: f32) -> Rgb {
        if value.is_nan() {
            return Colormap::NAN;
        }
        let ([dark, light], color, opacity) = match self.heat {
            // The middle of the color map is nearly white: take the color from its outer parts, and vary the opacity.
            Heat::Signed => {
                let outer = 0.5 + value.signum() * (0.28 + 0.17 * value.abs());
                (LIGHT, Colormap::RdBuR.rgb(outer), value.abs().powf(0.7))
            }
            Heat::Positive => (DARK, Colormap::Inferno.rgb(0.3 + 0.68 * value), 0.92 * value.powf(0.8)),
        };
        let gray = 255.0 * mix(dark, light, gray);
        color.map(|byte| mix(gray, f32::from(byte), opacity).round() as u8)
    }
}

fn mix(a: f32, b: f32, part: f32) -> f32 {
    a + part * (b - a)
}

/// The brightness of a pixel, 0 to 1 (Rec. 601 luma).
fn luma(pixel: &[u8]) -> f32 {
    match pixel {
        &[red, green, blue] => (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)) / 255.0,
        _ => f32::from(pixel[0]) / 255.0,
    }
}

/// The value that is transparent, and the value at full color.
fn extent(values: &[f32], heat: Heat) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if heat == Heat::Signed {
        sorted.iter_mut().for_each(|value| *value = value.abs());
    }
    sorted.sort_by(f32::total_cmp);
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else { return (0.0, 0.0) };
    let within = sorted[((sorted.len() - 1) as f64 * (1.0 - OUTLIERS)).round() as usize];
    let low = if heat == Heat::Signed { 0.0 } else { least };
    (low, if within > low { within } else { most })
}

/// For each pixel of a zoomed axis: the two source pixels around it, and the weight of the second.
fn taps(size: usize, zoom: usize, smooth: bool) -> Vec<(usize, usize, f32)> {
    let tap = |at: usize| {
        if !smooth {
            return (at / zoom, at / zoom, 0.0);
        }
        let place = ((at as f32 + 0.5) / zoom as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let low = place as usize;
        (low, (low + 1).min(size - 1), place - low as f32)
    };
    (0..size * zoom).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(levels: &[u8]) -> Image {
        Image::new(levels.len(), 1, 1, levels.to_vec()).unwrap()
    }

    #[test]
    fn signs_have_their_colors_and_zero_shows_the_image() {
        let image = gray(&[0, 255, 0, 255, 0]);
        let map = HeatOverlay::new(&image, &[0.0, 0.0, 2.0, -2.0, f32::NAN], Heat::Signed).render().unwrap();
        assert_eq!(map.pixel(0, 0), [158; 3]);
        assert_eq!(map.pixel(1, 0), [255; 3]);
        let (red, blue) = (map.pixel(2, 0), map.pixel(3, 0));
        assert!(red[0] > red[2] + 80 && blue[2] > blue[0] + 80, "{red:?} {blue:?}");
        assert_eq!(map.pixel(4, 0), Colormap::NAN);
    }

    #[test]
    fn positive_values_grow_lighter() {
        let image = gray(&[128; 5]);
        let overlay = HeatOverlay::new(&image, &[3.0, 4.0, 5.0, 6.0, 7.0], Heat::Positive);
        assert_eq!(overlay.full(), 7.0);
        let map = overlay.render().unwrap();
        // 255 (0.04 + 128 / 255 (0.62 - 0.04)) is 84.4.
        assert_eq!(map.pixel(0, 0), [84; 3], "the least value shows the image");
        let reds: Vec<u8> = (0..5).map(|x| map.pixel(x, 0)[0]).collect();
        assert!(reds.windows(2).all(|pair| pair[0] < pair[1]), "{reds:?}");
    }

    #[test]
    fn scales_have_the_colors_of_their_maps() {
        let image = gray(&[128; 3]);
        let signed = HeatOverlay::new(&image, &[-1.0, 0.0, 2.0], Heat::Signed).scale(101);
        let [blue, middle, red] = [0, 50, 100].map(|x| signed.pixel(x, 5));
        assert!(blue[2] > blue[0] + 60 && red[0] > red[2] + 60, "{blue:?} {red:?}");
        assert_eq!(middle[0], middle[2]);
        let positive = HeatOverlay::new(&image, &[0.0, 1.0, 2.0], Heat::Positive).scale(101);
        assert!(positive.pixel(100, 5)[0] > positive.pixel(0, 5)[0] + 60);
        let numbers = HeatOverlay::new(&image, &[-1.0, 0.0, 2.0], Heat::Signed).scale_colors(3);
        assert_eq!(
            numbers,
            HeatScale {
                values: [-2.0, 2.0],
                colors: [blue, middle, red].map(|color| [color[0], color[1], color[2]]).to_vec()
            }
        );
    }

    #[test]
    fn an_outlier_does_not_blank_the_rest() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        values[3] = 1e6;
        let image = Image::filled(1000, 1, &[0]);
        assert!((0.98..1.0).contains(&HeatOverlay::new(&image, &values, Heat::Signed).full()));
        // If nearly all values are zero, the largest one gets full color.
        let mut point = vec![0.0; 1000];
        point[5] = 7.0;
        assert_eq!(HeatOverlay::new(&image, &point, Heat::Positive).full(), 7.0);
    }

    #[test]
    fn zoomed_maps_are_squares_or_smooth() {
        let image = gray(&[0, 0]);
        let row = |smooth| {
            let map = HeatOverlay::new(&image, &[0.0, 1.0], Heat::Positive).zoom(4).smooth(smooth).render().unwrap();
            assert_eq!((map.width(), map.height()), (8, 4));
            (0..8).map(|x| map.pixel(x, 2)[0]).collect::<Vec<_>>()
        };
        let sharp = row(false);
        assert!(sharp[..4].iter().all(|&red| red == sharp[0]) && sharp[4..].iter().all(|&red| red == sharp[4]));
        let smooth = row(true);
        assert!(smooth[2..6].windows(2).all(|pair| pair[0] < pair[1]), "{smooth:?}");
        assert_eq!(HeatOverlay::zoom_for(&Image::filled(28, 20, &[0])), 8);
        assert_eq!(HeatOverlay::zoom_for(&Image::filled(299, 299, &[0])), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = gray(&[0, 0]);
        assert!(matches!(HeatOverlay::new(&image, &[1.0], Heat::Signed).render(), Err(Error::Argument(_))));
        assert!(HeatOverlay::new(&image, &[1.0; 2], Heat::Signed).zoom(0).render().is_err());
        let huge = HeatOverlay::new(&image, &[1.0; 2], Heat::Signed).zoom(usize::MAX).render();
        assert!(matches!(huge, Err(Error::Limit { .. })));
        for heat in [Heat::Signed, Heat::Positive] {
            HeatOverlay::new(&image, &[f32::NAN, f32::INFINITY], heat).render().unwrap();
            HeatOverlay::new(&image, &[0.0, 0.0], heat).render().unwrap();
        }
    }
}
