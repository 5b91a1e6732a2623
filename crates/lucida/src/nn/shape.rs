//! The shapes of the tensors between layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The sizes of a tensor without its batch axis: `(height, width, channels)` of an image, `(features)` of a vector.
///
/// ```
/// use lucida::nn::Shape;
///
/// let shape = Shape::image(28, 28, 1);
/// assert_eq!((shape.len(), shape.as_image()), (784, Some([28, 28, 1])));
/// assert_eq!(shape.with_batch(), "(None, 28, 28, 1)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape of an image.
    pub fn image(height: usize, width: usize, channels: usize) -> Self {
        Self(vec![height, width, channels])
    }

    /// The shape of a vector.
    pub fn flat(features: usize) -> Self {
        Self(vec![features])
    }

    /// The sizes.
    pub fn sizes(&self) -> &[usize] {
        &self.0
    }

    /// Number of values per sample.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of values per sample, or `None` if it overflows a `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.0.iter().try_fold(1_usize, |len, &size| len.checked_mul(size))
    }

    /// Height, width and channels, if it is the shape of an image.
    pub fn as_image(&self) -> Option<[usize; 3]> {
        self.0.as_slice().try_into().ok()
    }

    /// The number of features, if it is the shape of a vector.
    pub fn as_flat(&self) -> Option<usize> {
        match self.0.as_slice() {
            &[features] => Some(features),
            _ => None,
        }
    }

    /// The last size: channels or features.
    pub fn channels(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// In Keras's notation, with the batch as `None`: `(None, 28, 28, 1)`.
    pub fn with_batch(&self) -> String {
        let sizes: Vec<_> = self.0.iter().map(usize::to_string).collect();
        format!("(None, {})", sizes.join(", "))
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Self {
        Self(sizes.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Self {
        Self(sizes.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> = self.0.iter().map(usize::to_string).collect();
        write!(f, "({})", sizes.join(", "))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
