//! What a network is trained to say about the images of a data set.

/// The kind of targets that a data set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// One class of this number of classes: [`Dataset::label`](super::Dataset::label) is its index.
    Classes(usize),
    /// This number of labels, of which any number can hold at once:
    /// [`Dataset::target`](super::Dataset::target) is a row of 0 and 1.
    Labels(usize),
    /// This number of values to predict: [`Dataset::target`](super::Dataset::target) is a row of them.
    Values(usize),
}

impl Targets {
    /// The length of the row of an image, 0 for classes.
    pub fn row_len(self) -> usize {
        match self {
            Self::Classes(_) => 0,
            Self::Labels(count) | Self::Values(count) => count,
        }
    }
}
