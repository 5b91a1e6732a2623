//! Hand-designed filters, applied by the same convolution as learned ones.
//!
//! Each becomes a network of one or two [`Conv2D`] layers with fixed kernels. The image is processed in bands of rows, so
//! that the network stays small for any image size. The border pixels are replicated: zero padding, as `same` uses, would
//! produce an edge around every image.

mod canny;
mod plane;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use canny::{CannyThresholds, canny};
pub use plane::Plane;
pub(super) use plane::magnitude;

use crate::data::Image;
use crate::nn::layers::Conv2D;
use crate::nn::{Inference, Layer, Network, Plan};
use crate::{Cpu, Error, Result, files};

/// The maximum height and width of a kernel.
const LONGEST_SIDE: usize = 255;
/// The maximum size of a kernel file in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// The rounding error of a filter on a constant image, in brightness levels.
const ROUNDING: f32 = 1e-3;
/// Rows of a band.
const BAND: usize = 128;

/// The horizontal gradient (Sobel and Feldman).
const SOBEL_X: [f32; 9] = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
/// The vertical gradient.
const SOBEL_Y: [f32; 9] = [-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
/// The Laplacian, including the diagonals.
const LAPLACIAN: [f32; 9] = [1.0, 1.0, 1.0, 1.0, -8.0, 1.0, 1.0, 1.0, 1.0];
/// The image minus its Laplacian (of four neighbors).
const SHARPEN: [f32; 9] = [0.0, -1.0, 0.0, -1.0, 5.0, -1.0, 0.0, -1.0, 0.0];

/// A kernel, or two in succession. As in a network, it is applied as a correlation, without flipping.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    passes: Vec<Taps>,
}

#[derive(Debug, Clone, PartialEq)]
struct Taps {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Kernel {
    /// The names of the built-in kernels.
    pub const NAMES: [&str; 5] = ["sobel-x", "sobel-y", "laplacian", "gaussian", "sharpen"];

    /// The built-in kernel with this name, if it exists; `sigma` is the standard deviation of the Gaussian in pixels.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Kernel::gaussian`].
    pub fn named(name: &str, sigma: f64) -> Result<Option<Self>> {
        let three = |values: [f32; 9]| Some(Self { passes: vec![Taps { height: 3, width: 3, values: values.into() }] });
        Ok(match name {
            "sobel-x" => three(SOBEL_X),
            "sobel-y" => three(SOBEL_Y),
            "laplacian" => three(LAPLACIAN),
            "sharpen" => three(SHARPEN),
            "gaussian" => Some(Self::gaussian(sigma)?),
            _ => None,
        })
    }

    /// A Gaussian, truncated at three standard deviations, as a horizontal and a vertical pass, which equal one square
    /// kernel.
    ///
    /// # Errors
    /// [`Error::Argument`] when `sigma` is not between 0.1 and 40 pixels.
    pub fn gaussian(sigma: f64) -> Result<Self> {
        if !(0.1..=40.0).contains(&sigma) {
            return Err(Error::argument(format!(
                "a Gaussian with a standard deviation of {sigma} pixels: it must be 0.1 to 40"
            )));
        }
        let radius = (3.0 * sigma).ceil() as i64;
        let bell: Vec<f64> = (-radius..=radius).map(|x| (-(x * x) as f64 / (2.0 * sigma * sigma)).exp()).collect();
        let sum: f64 = bell.iter().sum();
        let values: Vec<f32> = bell.iter().map(|value| (value / sum) as f32).collect();
        let length = values.len();
        let across = Taps { height: 1, width: length, values: values.clone() };
        Ok(Self { passes: vec![across, Taps { height: length, width: 1, values }] })
    }

    /// A kernel of any size from 1x1 to 255x255, in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] when the size is out of range or does not match, or a value is not finite.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Result<Self> {
        let sides = 1..=LONGEST_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) || height * width != values.len() {
            let count = values.len();
            return Err(Error::argument(format!(
                "{count} values are not a kernel of {width}x{height}: a side has 1 to {LONGEST_SIDE} of them"
            )));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::argument(format!("a kernel cannot hold {value}")));
        }
        Ok(Self { passes: vec![Taps { height, width, values }] })
    }

    /// Reads a kernel from a text file: one row per line, numbers separated by spaces, tabs, commas or semicolons; empty
    /// lines and comments after `#` are ignored. A number may be a fraction, such as `1/9`.
    ///
    /// # Errors
    /// [`Error::File`] names the invalid line; [`Error::Io`] when the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_limited(path, LARGEST_FILE)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::file(path, "not a kernel: expected a text with a line of numbers for each row"))?;
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            let line = line.split('#').next().unwrap_or_default();
            let words = line.split([' ', '\t', ',', ';', '\r']).filter(|word| !word.is_empty());
            let row = words.take(LONGEST_SIDE + 1).map(|word| tap(word).ok_or(word)).collect::<Result<Vec<_>, _>>();
            let row = row.map_err(|word| {
                let word: String = word.chars().take(20).collect();
                Error::file(path, format!("not a kernel: line {number} has {word:?} where a number is expected"))
            })?;
            if row.is_empty() {
                continue;
            }
            if let Some(first) = rows.first().filter(|first| first.len() != row.len()) {
                let (got, expected) = (row.len(), first.len());
                let problem = format!("not a kernel: line {number} has {got} numbers, the first row has {expected}");
                return Err(Error::file(path, problem));
            }
            rows.push(row);
            if rows.len() > LONGEST_SIDE || rows[0].len() > LONGEST_SIDE {
                let problem = format!("not a valid kernel: it is larger than {LONGEST_SIDE}x{LONGEST_SIDE}");
                return Err(Error::file(path, problem));
            }
        }
        match rows.first().map(Vec::len) {
            Some(width) => Self::new(rows.len(), width, rows.concat()),
            None => Err(Error::file(path, "not a kernel: it contains no numbers")),
        }
    }

    /// Whether the kernel sums to zero, so that its response is centered at zero.
    pub fn is_signed(&self) -> bool {
        self.passes.iter().any(|taps| {
            let sum: f64 = taps.values.iter().map(|&value| f64::from(value)).sum();
            let size: f64 = taps.values.iter().map(|&value| f64::from(value).abs()).sum();
            sum.abs() <= 1e-5 * size
        })
    }

    /// Applies the kernel to a plane with the engine's convolution layers. The result has the same size.
    ///
    /// # Errors
    /// [`Error::Limit`] when the plane is too large.
    pub fn apply(&self, plane: &Plane, cpu: Cpu) -> Result<Plane> {
        let [height, width] = plane.size();
        let rows: usize = self.passes.iter().map(|taps| taps.height - 1).sum();
        let columns: usize = self.passes.iter().map(|taps| taps.width - 1).sum();
        let (above, left) = (self.before(|taps| taps.height), self.before(|taps| taps.width));
        let band = BAND.min(height);
        let network = self.network([band + rows, width + columns])?;
        let mut inference = Inference::new(Plan::builder(&network).cpu(cpu).exact(true))?;
        let mut result = Plane::filled(height, width, 0.0);
        for start in (0..height).step_by(band) {
            // The last band overlaps the previous one, which avoids a network of another size.
            let first = start.min(height - band);
            let output = inference.batch(1, |input| {
                for (row, input) in input.chunks_exact_mut(width + columns).enumerate() {
                    plane.extended_row((first + row) as i64 - above as i64, left, input);
                }
                Ok(())
            })?;
            result.rows_mut(first..first + band).iter_mut().zip(output.flatten()).for_each(|(to, value)| *to = *value);
        }
        Ok(result)
    }

    /// The number of pixels before the center of the window.
    fn before(&self, length: impl Fn(&Taps) -> usize) -> usize {
        self.passes.iter().map(|taps| (length(taps) - 1) / 2).sum()
    }

    /// The convolution layers, for images of this size.
    fn network(&self, [height, width]: [usize; 2]) -> Result<Network> {
        let layers =
            self.passes.iter().map(|taps| Layer::from(Conv2D::new(1, [taps.height, taps.width]).without_bias()));
        let mut network = Network::sequential("filter", [height, width, 1], layers, 0)?;
        for (weight, taps) in network.weights_mut().iter_mut().zip(&self.passes) {
            weight.values_mut().copy_from_slice(&taps.values);
        }
        Ok(network)
    }
}

/// Parses a number or a fraction.
fn tap(word: &str) -> Option<f32> {
    let value = match word.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok()? / below.parse::<f64>().ok()?,
        None => word.parse::<f64>().ok()?,
    } as f32;
    value.is_finite().then_some(value)
}

/// Applies a filter to an image: to each channel, or to the brightness if the filter sums to zero. Signed results are shown
/// around gray, scaled to their largest magnitude; others are clipped to black and white.
///
/// ```
/// use lucida::explain::{Kernel, filtered};
/// use lucida::prelude::*;
///
/// let edges = Kernel::new(1, 3, vec![-1.0, 0.0, 1.0])?;
/// let flat = filtered(&Image::filled(8, 8, &[90]), &Kernel::gaussian(1.0)?, Cpu::detect())?;
/// assert!(edges.is_signed());
/// assert_eq!(flat.pixel(4, 4), [90]);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`Kernel::apply`].
pub fn filtered(image: &Image, kernel: &Kernel, cpu: Cpu) -> Result<Image> {
    if kernel.is_signed() {
        return Ok(kernel.apply(&Plane::gray(image), cpu)?.signed_image(ROUNDING));
    }
    let channels = image.channels();
    let planes = (0..channels)
        .map(|channel| Ok(kernel.apply(&Plane::channel(image, channel), cpu)?.image()))
        .collect::<Result<Vec<Image>>>()?;
    let bytes = (0..image.width() * image.height()).flat_map(|at| planes.iter().map(move |plane| plane.pixels()[at]));
    Image::new(image.width(), image.height(), channels, bytes.collect())
}
