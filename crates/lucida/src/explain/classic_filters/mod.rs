//! Filters that people made, run through the same convolution as those that networks learn.
//!
//! Each becomes a network of one or two [`Conv2D`] layers whose kernels are set by hand. An image runs through it in bands
//! of rows, so that the network stays small whatever the image's size. At the border the outermost pixels are repeated:
//! padding with zeros, as `same` does in a network, would draw an edge around every image.

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

/// The longest side of a kernel.
const LONGEST_SIDE: usize = 255;
/// The largest file with a kernel, in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// What a filter may answer to even ground for the rounding of its sums, in levels of brightness.
const ROUNDING: f32 = 1e-3;
/// Rows of a band.
const BAND: usize = 128;

/// The slope to the right, Sobel and Feldman's: smoothed across it.
const SOBEL_X: [f32; 9] = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
/// The slope downwards.
const SOBEL_Y: [f32; 9] = [-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
/// The sum of the second derivatives, the diagonals included.
const LAPLACIAN: [f32; 9] = [1.0, 1.0, 1.0, 1.0, -8.0, 1.0, 1.0, 1.0, 1.0];
/// The image less its Laplacian (that of four neighbors).
const SHARPEN: [f32; 9] = [0.0, -1.0, 0.0, -1.0, 5.0, -1.0, 0.0, -1.0, 0.0];

/// A kernel, or two that follow each other. As in a network it is laid over the image as it is written, not turned
/// around.
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
    /// The names of the known ones.
    pub const NAMES: [&str; 5] = ["sobel-x", "sobel-y", "laplacian", "gaussian", "sharpen"];

    /// The known kernel of this name, if there is one; `sigma` is the deviation of the Gaussian in pixels.
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

    /// A Gaussian, cut off at three deviations: one pass across and one down, which is the same as one over a square.
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

    /// A kernel of any size from 1x1 to 255x255, row by row.
    ///
    /// # Errors
    /// [`Error::Argument`] when it has another size, or a value is not finite.
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

    /// Reads a kernel from a text file: a line for each row, its numbers apart by spaces, tabs, commas or semicolons;
    /// empty lines and what follows a `#` do not count. A number may be a fraction, as in `1/9`.
    ///
    /// # Errors
    /// [`Error::File`] names the line that is wrong; [`Error::Io`] when the file cannot be read.
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

    /// Whether it answers to differences alone, so that its values are about zero: its taps add up to nothing.
    pub fn is_signed(&self) -> bool {
        self.passes.iter().any(|taps| {
            let sum: f64 = taps.values.iter().map(|&value| f64::from(value)).sum();
            let size: f64 = taps.values.iter().map(|&value| f64::from(value).abs()).sum();
            sum.abs() <= 1e-5 * size
        })
    }

    /// Runs a plane through the convolution layers of the engine. The result has the plane's size.
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
            // The last band reaches back over rows that are done already, rather than have a network of its own.
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

    /// The pixels before the one in the middle of the window.
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

/// A number or a fraction of two.
fn tap(word: &str) -> Option<f32> {
    let value = match word.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok()? / below.parse::<f64>().ok()?,
        None => word.parse::<f64>().ok()?,
    } as f32;
    value.is_finite().then_some(value)
}

/// An image through a filter: each channel alone, or its brightness when the filter answers to differences. Signed results
/// are shown around gray, as far as their greatest magnitude allows; others are cut off at black and white.
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
