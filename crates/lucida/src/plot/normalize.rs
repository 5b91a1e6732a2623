//! Converting floats to images: activations, kernels, heat maps.

use super::{Colormap, Rgb};
use crate::data::Image;
use crate::{Error, Result};

/// How floats are mapped to 0..1. NaN stays NaN; the range ignores NaN and infinities.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Normalize {
    /// Identity: values outside 0..1 are clamped.
    None,
    /// The minimum maps to 0, the maximum to 1. Values that are all equal map to 0.
    MinMax,
    /// Zero maps to 0.5, the largest magnitude to 0 or 1 by its sign; for a diverging color map. All zeros map to 0.5.
    Symmetric,
    /// The first value maps to 0, the second, larger one to 1.
    Range(f32, f32),
}

/// The values over which a normalization computes its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each map separately: every map uses all colors.
    Each,
    /// All maps together: equal colors are equal values.
    Shared,
}

impl Normalize {
    /// Maps `values` to 0..1.
    pub fn apply(self, values: &[f32]) -> Vec<f32> {
        let (low, span) = self.extent(values);
        scale(values, low, span)
    }

    /// The value that maps to 0, and the span up to the one that maps to 1 (0 if all values map to 0).
    fn extent(self, values: &[f32]) -> (f64, f64) {
        let (low, high) = match self {
            Self::None => return (0.0, 1.0),
            Self::Range(low, high) => return (f64::from(low), f64::from(high) - f64::from(low)),
            Self::MinMax | Self::Symmetric => values
                .iter()
                .filter(|value| value.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(f64::from(v)), h.max(f64::from(v)))),
        };
        if low > high {
            return (0.0, 1.0);
        }
        match self {
            Self::Symmetric => {
                let most = low.abs().max(high.abs());
                if most == 0.0 { (-0.5, 1.0) } else { (-most, 2.0 * most) }
            }
            _ => (low, high - low),
        }
    }
}

fn scale(values: &[f32], low: f64, span: f64) -> Vec<f32> {
    let one = |&value: &f32| match value {
        v if v.is_nan() => f32::NAN,
        v if v.is_infinite() => f32::from(v > 0.0),
        v if span > 0.0 => ((f64::from(v) - low) / span).clamp(0.0, 1.0) as f32,
        _ => 0.0,
    };
    values.iter().map(one).collect()
}

/// An image of a map of floats, `[height, width]`, in row-major order.
///
/// ```
/// use lucida::plot::{Colormap, Normalize, float_map};
///
/// let image = float_map(&[-1.0, 0.0, 1.0], 3, 1, Normalize::MinMax, Colormap::Gray)?;
/// assert_eq!((image.pixel(0, 0)[0], image.pixel(2, 0)[0]), (0, 255));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the number of values does not match.
pub fn float_map(
    values: &[f32],
    width: usize,
    height: usize,
    normalize: Normalize,
    colormap: Colormap,
) -> Result<Image> {
    check_len(values, &[height, width])?;
    Image::new(width, height, 3, colormap.apply(&normalize.apply(values)))
}

/// An image of RGB floats, `[height, width, 3]`. A pixel with a NaN channel gets [`Colormap::NAN`].
///
/// # Errors
/// [`Error::Argument`] when the number of values does not match.
pub fn float_rgb(values: &[f32], width: usize, height: usize, normalize: Normalize) -> Result<Image> {
    check_len(values, &[height, width, 3])?;
    let (low, span) = normalize.extent(values);
    rgb_image(&scale(values, low, span), width, height)
}

fn rgb_image(unit: &[f32], width: usize, height: usize) -> Result<Image> {
    let pixel = |rgb: &[f32]| -> Rgb {
        if rgb.iter().any(|v| v.is_nan()) {
            return Colormap::NAN;
        }
        [0, 1, 2].map(|c| (rgb[c] * 255.0).round() as u8)
    };
    Image::new(width, height, 3, unit.chunks_exact(3).flat_map(pixel).collect())
}

/// An image of each channel of an activation, `[height, width, channels]`.
///
/// # Errors
/// [`Error::Argument`] when the number of values does not match.
pub fn channel_maps(
    values: &[f32],
    [height, width, channels]: [usize; 3],
    normalize: Normalize,
    scope: Scope,
    colormap: Colormap,
) -> Result<Vec<Image>> {
    check_len(values, &[height, width, channels])?;
    let shared = normalize.extent(values);
    (0..channels)
        .map(|channel| {
            let map: Vec<f32> = values.iter().skip(channel).step_by(channels).copied().collect();
            let (low, span) = if scope == Scope::Shared { shared } else { normalize.extent(&map) };
            Image::new(width, height, 3, colormap.apply(&scale(&map, low, span)))
        })
        .collect()
}

/// Images of convolution kernels in Keras's layout, `[height, width, input channel, output channel]`.
///
/// Kernels with 3 input channels are shown in color, one image per filter, without the color map. All others are shown as
/// one map per filter and input channel, ordered by filter, so that a [`Grid`](super::Grid) with as many columns as input
/// channels shows a filter in each row.
///
/// # Errors
/// [`Error::Argument`] when `values` does not match `shape`.
pub fn kernel_maps(
    values: &[f32],
    shape: [usize; 4],
    normalize: Normalize,
    scope: Scope,
    colormap: Colormap,
) -> Result<Vec<Image>> {
    check_len(values, &shape)?;
    let [height, width, inputs, outputs] = shape;
    let shared = normalize.extent(values);
    let extent = |map: &[f32]| if scope == Scope::Shared { shared } else { normalize.extent(map) };
    let mut images = Vec::new();
    for output in 0..outputs {
        let filter: Vec<f32> = values.iter().skip(output).step_by(outputs).copied().collect();
        if inputs == 3 {
            let (low, span) = extent(&filter);
            images.push(rgb_image(&scale(&filter, low, span), width, height)?);
            continue;
        }
        for input in 0..inputs {
            let map: Vec<f32> = filter.iter().skip(input).step_by(inputs).copied().collect();
            let (low, span) = extent(&map);
            images.push(Image::new(width, height, 3, colormap.apply(&scale(&map, low, span)))?);
        }
    }
    Ok(images)
}

fn check_len(values: &[f32], shape: &[usize]) -> Result<()> {
    let expected = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    if expected != Some(values.len()) {
        return Err(Error::argument(format!("{} values cannot be drawn as {shape:?}", values.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_normalization_as_documented() {
        let nan = f32::NAN;
        assert_eq!(Normalize::None.apply(&[-1.0, 0.25, 2.0]), [0.0, 0.25, 1.0]);
        assert_eq!(Normalize::MinMax.apply(&[-1.0, 0.0, 3.0]), [0.0, 0.25, 1.0]);
        assert_eq!(Normalize::MinMax.apply(&[7.0, 7.0]), [0.0, 0.0]);
        assert_eq!(Normalize::Symmetric.apply(&[-1.0, 0.0, 4.0]), [0.375, 0.5, 1.0]);
        assert_eq!(Normalize::Symmetric.apply(&[0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(Normalize::Range(1.0, 3.0).apply(&[0.0, 2.0, 9.0]), [0.0, 0.5, 1.0]);
        assert_eq!(Normalize::Range(3.0, 3.0).apply(&[5.0]), [0.0]);
        let mixed = Normalize::MinMax.apply(&[nan, f32::INFINITY, 0.0, 2.0, f32::NEG_INFINITY]);
        assert!(mixed[0].is_nan());
        assert_eq!(mixed[1..], [1.0, 0.0, 1.0, 0.0]);
        assert!(Normalize::Symmetric.apply(&[nan])[0].is_nan());
        assert_eq!(Normalize::MinMax.apply(&[f32::MIN, f32::MAX]), [0.0, 1.0]);
        assert!(Normalize::MinMax.apply(&[]).is_empty());
    }

    #[test]
    fn maps_keep_their_shape_and_refuse_another() {
        let map = float_map(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 3, 2, Normalize::MinMax, Colormap::Gray).unwrap();
        assert_eq!((map.width(), map.height(), map.channels()), (3, 2, 3));
        assert_eq!(map.pixel(0, 0), [0, 0, 0]);
        assert_eq!(map.pixel(2, 0), [102; 3]);
        assert_eq!(map.pixel(2, 1), [255; 3]);
        let message = float_map(&[0.0; 5], 3, 2, Normalize::None, Colormap::Gray).unwrap_err().to_string();
        assert_eq!(message, "5 values cannot be drawn as [2, 3]");
        assert!(float_map(&[], usize::MAX, 2, Normalize::None, Colormap::Gray).is_err());
        let rgb = float_rgb(&[0.0, 0.5, 1.0, f32::NAN, 0.0, 0.0], 2, 1, Normalize::None).unwrap();
        assert_eq!(rgb.pixels(), [0, 128, 255, 255, 0, 255]);
    }

    #[test]
    fn channels_are_taken_apart() {
        // Two pixels of two channels: channel 0 is 0, 1; channel 1 is 2, 4.
        let values = [0.0, 2.0, 1.0, 4.0];
        let each = channel_maps(&values, [1, 2, 2], Normalize::MinMax, Scope::Each, Colormap::Gray).unwrap();
        assert_eq!(each.len(), 2);
        assert_eq!(each[1].pixels(), [0, 0, 0, 255, 255, 255]);
        let shared = channel_maps(&values, [1, 2, 2], Normalize::MinMax, Scope::Shared, Colormap::Gray).unwrap();
        assert_eq!(shared[0].pixels(), [0, 0, 0, 64, 64, 64]);
        assert_eq!(shared[1].pixels(), [128, 128, 128, 255, 255, 255]);
    }

    #[test]
    fn kernels_are_read_as_hwio() {
        // One row of two taps, two input channels, two filters.
        let values: Vec<f32> = (0..8).map(|v| v as f32).collect();
        let maps = kernel_maps(&values, [1, 2, 2, 2], Normalize::Range(0.0, 255.0), Scope::Shared, Colormap::Gray);
        let first_bytes: Vec<_> = maps.unwrap().iter().map(|m| (m.pixel(0, 0)[0], m.pixel(1, 0)[0])).collect();
        assert_eq!(first_bytes, [(0, 4), (2, 6), (1, 5), (3, 7)]);
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let color = kernel_maps(&values, [1, 2, 3, 2], Normalize::Range(0.0, 255.0), Scope::Each, Colormap::Gray);
        let color = color.unwrap();
        assert_eq!(color.len(), 2);
        assert_eq!(color[1].pixels(), [1, 3, 5, 7, 9, 11]);
    }
}
