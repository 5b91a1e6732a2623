//! An array of numbers with any shape.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, Result};

/// Numbers in row-major order: the content of a `.npy` file.
///
/// ```
/// use lucida::core::Array;
///
/// let array = Array::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((array.shape(), array.values()[4]), (&[2, 3][..], 5.0));
/// assert!(Array::new([2, 2], vec![1.0]).is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Whether the values were 8-bit integers in their file.
    bytes: bool,
}

impl Array {
    /// Creates an array of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of values does not match the shape.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        if shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size)) != Some(values.len()) {
            return Err(Error::argument(format!("{} values are not an array of shape {shape:?}", values.len())));
        }
        Ok(Self { shape, values, bytes: false })
    }

    /// Marks the values as 8-bit integers in their file.
    pub(crate) fn of_bytes(self) -> Self {
        Self { bytes: true, ..self }
    }

    /// Whether the values were 8-bit integers (int8 or uint8) in their file.
    pub fn is_bytes(&self) -> bool {
        self.bytes
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The minimum, the maximum and the mean; NaN for an empty array.
    pub fn range(&self) -> (f32, f32, f64) {
        let min = self.values.iter().copied().reduce(f32::min).unwrap_or(f32::NAN);
        let max = self.values.iter().copied().reduce(f32::max).unwrap_or(f32::NAN);
        let sum: f64 = self.values.iter().map(|&value| f64::from(value)).sum();
        (min, max, sum / self.values.len() as f64)
    }

    /// Compares the values with the expected ones. Arrays of different shapes are never equal.
    ///
    /// ```
    /// use lucida::core::Array;
    /// use lucida::core::array::Tolerance;
    ///
    /// let expected = Array::new([2], vec![1.0, 100.0])?;
    /// let close = Array::new([2], vec![1.0, 100.05])?.compare(&expected, Tolerance::default());
    /// assert!(close.equal && close.largest > 0.04);
    /// assert!(!Array::new([2], vec![1.0, 101.0])?.compare(&expected, Tolerance::default()).equal);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn compare(&self, expected: &Self, tolerance: Tolerance) -> Difference {
        let same_shape = self.shape == expected.shape;
        let mut found = Difference {
            equal: same_shape,
            largest: if same_shape { 0.0 } else { f64::INFINITY },
            mean: if same_shape { 0.0 } else { f64::INFINITY },
            beyond: 0,
            values: expected.values.len(),
            expected_shape: (!same_shape).then(|| expected.shape.clone()),
        };
        if !same_shape {
            return found;
        }
        for (&value, &expected) in self.values.iter().zip(&expected.values) {
            let same = value == expected || (value.is_nan() && expected.is_nan());
            let distance = if same { 0.0 } else { (f64::from(value) - f64::from(expected)).abs() };
            let allowed = tolerance.absolute + tolerance.relative * f64::from(expected).abs();
            // A NaN difference exceeds any tolerance.
            let within = same || (distance <= allowed && expected.is_finite());
            found.beyond += usize::from(!within);
            found.largest = if distance.is_nan() { f64::INFINITY } else { found.largest.max(distance) };
            found.mean += distance / self.values.len() as f64;
        }
        found.equal = found.beyond == 0;
        found
    }

    /// The shape for a message: `(1, 3, 224, 224)`, `(7,)`.
    pub fn shape_text(&self) -> String {
        shape_text(&self.shape)
    }
}

/// The tolerance of a comparison: a value may differ by `absolute + relative * |expected|`.
///
/// ```
/// use lucida::core::array::Tolerance;
///
/// assert_eq!("1e-3,1e-5".parse::<Tolerance>()?, Tolerance::default());
/// assert_eq!("0.01".parse::<Tolerance>()?, Tolerance { relative: 0.01, absolute: 1e-5 });
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Relative to the absolute expected value.
    pub relative: f64,
    /// Added to the relative tolerance.
    pub absolute: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { relative: 1e-3, absolute: 1e-5 }
    }
}

impl FromStr for Tolerance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        let read = match text.split_once(',') {
            None => number(text).map(|relative| Self { relative, ..Self::default() }),
            Some((relative, absolute)) => {
                number(relative).zip(number(absolute)).map(|(relative, absolute)| Self { relative, absolute })
            }
        };
        read.ok_or_else(|| {
            Error::argument("expected a relative tolerance, as in 1e-3, or 1e-3,1e-5 with an absolute one")
        })
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e},{:e}", self.relative, self.absolute)
    }
}

/// How an array differs from the expected one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Whether all values are within the tolerance.
    pub equal: bool,
    /// The largest absolute difference; infinite where it is NaN, or where the shapes differ.
    pub largest: f64,
    /// The mean absolute difference.
    pub mean: f64,
    /// The number of values outside the tolerance.
    pub beyond: usize,
    /// The number of values.
    pub values: usize,
    /// The expected shape, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_shape: Option<Vec<usize>>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shape) = &self.expected_shape {
            return write!(f, "differs: expected the shape {}", shape_text(shape));
        }
        let (largest, mean) = (self.largest, self.mean);
        write!(f, "largest difference {largest:.3e}, mean difference {mean:.3e}: ")?;
        match self.beyond {
            0 => write!(f, "equal within the tolerance"),
            beyond => write!(f, "{beyond} of {} values differ", self.values),
        }
    }
}

/// Sizes as NumPy prints them: `(1, 3, 224, 224)`, `(7,)`.
pub fn shape_text(sizes: &[usize]) -> String {
    let text: Vec<String> = sizes.iter().map(usize::to_string).collect();
    if let [one] = text.as_slice() { format!("({one},)") } else { format!("({})", text.join(", ")) }
}

/// Transposes an array of these sizes: axis `i` of the result is axis `order[i]`.
///
/// # Panics
/// When `order` is not a permutation of the axes, or a slice's length does not match the sizes.
pub(crate) fn permute(sizes: &[usize], order: &[usize], from: &[f32], to: &mut [f32]) {
    assert_eq!((from.len(), to.len()), (sizes.iter().product(), from.len()), "values of an array of {sizes:?}");
    if order.is_sorted() {
        return to.copy_from_slice(from);
    }
    let strides: Vec<usize> = order.iter().map(|&axis| sizes[axis + 1..].iter().product()).collect();
    let sizes: Vec<usize> = order.iter().map(|&axis| sizes[axis]).collect();
    let (&last, outer) = sizes.split_last().expect("an order that is not sorted has axes");
    let step = strides[outer.len()];
    let (mut index, mut start) = (vec![0; outer.len()], 0);
    for row in to.chunks_exact_mut(last.max(1)) {
        row.iter_mut().enumerate().for_each(|(place, value)| *value = from[start + place * step]);
        for axis in (0..outer.len()).rev() {
            index[axis] += 1;
            start += strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            start -= strides[axis] * outer[axis];
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_put_into_any_order() {
        let from: Vec<f32> = (0..24).map(|value| value as f32).collect();
        let permuted = |order: &[usize]| {
            let mut to = vec![0.0; 24];
            permute(&[2, 3, 4], order, &from, &mut to);
            to
        };
        assert_eq!(permuted(&[0, 1, 2]), from);
        let channels_last = permuted(&[1, 2, 0]);
        assert_eq!(channels_last[..4], [0.0, 12.0, 1.0, 13.0]);
        assert_eq!(channels_last[23], 23.0);
        let mut back = vec![0.0; 24];
        permute(&[3, 4, 2], &[2, 0, 1], &channels_last, &mut back);
        assert_eq!(back, from);
        permute(&[0, 3, 2], &[2, 1, 0], &[], &mut []);
    }

    #[test]
    fn differences_are_measured() {
        let array = |values: &[f32]| Array::new([values.len()], values.to_vec()).unwrap();
        let compare = |a: &[f32], b: &[f32]| array(a).compare(&array(b), Tolerance::default());
        let nan = f32::NAN;
        assert!(compare(&[nan, f32::INFINITY, 1.0], &[nan, f32::INFINITY, 1.0]).equal);
        let far = compare(&[1.0, 2.0, 4.5], &[1.0, 2.001, 4.0]);
        assert_eq!((far.equal, far.beyond, far.largest), (false, 1, 0.5));
        assert!((far.mean - 0.501 / 3.0).abs() < 1e-6);
        for (found, expected) in [(nan, 1.0), (1.0, nan), (f32::INFINITY, 1.0), (1.0, f32::INFINITY), (1e-4, 0.0)] {
            assert_eq!(compare(&[found], &[expected]).beyond, 1, "{found} {expected}");
        }
        let shape = array(&[1.0]).compare(&Array::new([1, 1], vec![1.0]).unwrap(), Tolerance::default());
        assert!(!shape.equal && shape.to_string().contains("expected the shape (1, 1)"));
        assert!(["", "x", "-1", "1,", "nan", "1,2,3"].iter().all(|text| text.parse::<Tolerance>().is_err()));
    }

    #[test]
    fn shapes_are_printed_as_numpy_prints_them() {
        assert_eq!([shape_text(&[]), shape_text(&[7]), shape_text(&[1, 2])], ["()", "(7,)", "(1, 2)"]);
    }
}
