//! Confusion matrices.

/// How often each class was taken for which: `counts[true * classes + predicted]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts one sample.
    ///
    /// # Panics
    /// When a class is out of range.
    pub fn count(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.classes && predicted < self.classes, "a class out of range");
        self.counts[truth * self.classes + predicted] += 1;
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts, row by row: one row for each true class.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How often `truth` was taken for `predicted`.
    pub fn at(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// The number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of samples taken for what they are.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.at(class, class)).sum()
    }

    /// The share of samples taken for what they are; not a number when there are none.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// Of the samples taken for `class`, the share that are; `None` when there are none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let predicted: u64 = (0..self.classes).map(|truth| self.at(truth, class)).sum();
        (predicted > 0).then(|| self.at(class, class) as f64 / predicted as f64)
    }

    /// Of the samples of `class`, the share taken for it; `None` when there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let support = self.support(class);
        (support > 0).then(|| self.at(class, class) as f64 / support as f64)
    }

    /// The harmonic mean of precision and recall; `None` when either is missing or both are zero.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let (precision, recall) = (self.precision(class)?, self.recall(class)?);
        (precision + recall > 0.0).then(|| 2.0 * precision * recall / (precision + recall))
    }

    /// The number of samples of `class`.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.at(class, predicted)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_small_matrix() {
        let mut confusion = Confusion::new(3);
        for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (1, 1)] {
            confusion.count(truth, predicted);
        }
        assert_eq!((confusion.total(), confusion.correct()), (6, 4));
        assert_eq!((confusion.precision(0), confusion.recall(0)), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert!((confusion.f1(1).unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((confusion.precision(2), confusion.recall(2), confusion.f1(2)), (None, None, None));
        assert_eq!(confusion.support(0), 3);
    }
}
