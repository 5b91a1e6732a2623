//! Canny's edge detector.
//!
//! J. Canny, "A computational approach to edge detection" (1986): smooth with a Gaussian, compute the gradient, keep only
//! its ridges (non-maximum suppression), and of these the strong ones and those connected to a strong one (hysteresis).

use super::{Kernel, Plane};
use crate::data::Image;
use crate::{Cpu, Error, Result};

/// The Sobel kernels return eight times the gradient.
const SOBEL_GAIN: f32 = 8.0;
/// The minimum gradient of an edge, in brightness levels per pixel: less is 8-bit noise.
const LEAST_SLOPE: f32 = 0.25;

/// The hysteresis thresholds, relative to the largest gradient magnitude of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CannyThresholds {
    /// Above this, a ridge continues an edge.
    pub low: f64,
    /// Above this, a ridge starts an edge.
    pub high: f64,
}

impl Default for CannyThresholds {
    /// 0.08 and 0.2.
    fn default() -> Self {
        Self { low: 0.08, high: 0.2 }
    }
}

/// The edges of an image: white lines, one pixel wide, on black. `sigma` is the standard deviation of the Gaussian in
/// pixels.
///
/// # Errors
/// [`Error::Argument`] when a threshold is not between 0 and 1 or the lower is above the higher, or as
/// [`Kernel::gaussian`].
pub fn canny(image: &Image, sigma: f64, thresholds: CannyThresholds, cpu: Cpu) -> Result<Image> {
    let CannyThresholds { low, high } = thresholds;
    if !(0.0..=1.0).contains(&low) || !(low..=1.0).contains(&high) {
        return Err(Error::argument(format!(
            "thresholds of {low} and {high}: they must be fractions of the steepest gradient, 0 to 1, the lower one first"
        )));
    }
    let smooth = Kernel::gaussian(sigma)?.apply(&Plane::gray(image), cpu)?;
    let slope = |name: &str| {
        let kernel = Kernel::named(name, sigma)?.ok_or_else(|| Error::Bug(format!("there is no {name}")))?;
        kernel.apply(&smooth, cpu)
    };
    let (across, down) = (slope("sobel-x")?, slope("sobel-y")?);
    let [height, width] = smooth.size();
    drop(smooth);
    let magnitudes: Vec<f32> =
        across.values().iter().zip(down.values()).map(|(x, y)| x.hypot(*y) / SOBEL_GAIN).collect();
    let steepest = magnitudes.iter().copied().fold(0.0, f32::max);
    let floor = |part: f64| (part as f32 * steepest).max(LEAST_SLOPE);
    let ridges = ridges(&magnitudes, across.values(), down.values(), [height, width], floor(low));
    drop((across, down));
    let edges = connected(&magnitudes, ridges, [height, width], floor(high));
    Image::new(width, height, 1, edges)
}

/// Non-maximum suppression: the pixels whose gradient magnitude is at least `least` and not smaller than one pixel ahead or
/// behind in the gradient direction, interpolated between the two nearest pixels. Of two equal neighbors, the one on the
/// lower side is kept.
pub(super) fn ridges(
    magnitudes: &[f32],
    across: &[f32],
    down: &[f32],
    [height, width]: [usize; 2],
    least: f32,
) -> Vec<bool> {
    let at = |row: i64, column: i64| {
        let inside = (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
        if inside { magnitudes[row as usize * width + column as usize] } else { 0.0 }
    };
    let is_ridge = |index: usize| {
        let (here, x, y) = (magnitudes[index], across[index], down[index]);
        if here < least {
            return false;
        }
        let (row, column) = ((index / width) as i64, (index % width) as i64);
        let (right, below) = (if x < 0.0 { -1 } else { 1 }, if y < 0.0 { -1 } else { 1 });
        // In the gradient direction, the neighborhood is crossed between a corner and the middle of a side.
        let (part, side) =
            if x.abs() >= y.abs() { (y.abs() / x.abs(), (0, right)) } else { (x.abs() / y.abs(), (below, 0)) };
        let along = |sign: i64| {
            let corner = at(row + sign * below, column + sign * right);
            let middle = at(row + sign * side.0, column + sign * side.1);
            part * corner + (1.0 - part) * middle
        };
        here >= along(1) && here > along(-1)
    };
    (0..height * width).map(is_ridge).collect()
}

/// Hysteresis: the ridges with a magnitude of at least `high`, and those connected to them (8-connectivity).
pub(super) fn connected(magnitudes: &[f32], mut ridges: Vec<bool>, [height, width]: [usize; 2], high: f32) -> Vec<u8> {
    let mut edges = vec![0; magnitudes.len()];
    let mut open: Vec<usize> = Vec::new();
    for start in 0..magnitudes.len() {
        if !ridges[start] || magnitudes[start] < high {
            continue;
        }
        ridges[start] = false;
        open.push(start);
        while let Some(index) = open.pop() {
            edges[index] = 255;
            let (row, column) = (index / width, index % width);
            for y in row.saturating_sub(1)..(row + 2).min(height) {
                for x in column.saturating_sub(1)..(column + 2).min(width) {
                    if std::mem::take(&mut ridges[y * width + x]) {
                        open.push(y * width + x);
                    }
                }
            }
        }
    }
    edges
}
