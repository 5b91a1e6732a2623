//! Confusion matrices.

use crate::{Error, Result};

/// Maximum number of classes: the matrix would take 8 GiB. ImageNet has 21,841 in total.
const MOST_CLASSES: usize = 1 << 15;

/// Confusion matrix: number of samples per true and predicted class, `counts[true * classes + predicted]`.
///
/// ```
/// use lucida::train::Confusion;
///
/// let mut confusion = Confusion::new(2);
/// for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
///     confusion.count(truth, predicted);
/// }
/// assert_eq!(confusion.accuracy(), 0.75);
/// assert_eq!((confusion.precision(1), confusion.recall(1)), (Some(0.5), Some(1.0)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Creates an empty matrix.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Checks that the number of classes is supported, before any long computation.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are more than [`MOST_CLASSES`].
    pub(super) fn check_classes(classes: usize) -> Result<()> {
        if classes > MOST_CLASSES {
            let what = "classes, whose confusion matrix has the square of their number".to_owned();
            return Err(Error::Limit { what, got: classes as u64, limit: MOST_CLASSES as u64 });
        }
        Ok(())
    }

    /// Creates a matrix from counts in row-major order.
    ///
    /// # Panics
    /// When there are not `classes * classes` counts.
    pub(crate) fn of_counts(classes: usize, counts: Vec<u64>) -> Self {
        assert_eq!(counts.len(), classes * classes, "counts of a confusion matrix");
        Self { classes, counts }
    }

    /// Counts one sample.
    ///
    /// # Panics
    /// When a class is out of range.
    pub fn count(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.classes && predicted < self.classes, "a class out of range");
        self.counts[truth * self.classes + predicted] += 1;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts in row-major order: one row per true class.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of samples of class `truth` that were predicted as `predicted`.
    pub fn at(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of correctly classified samples.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.at(class, class)).sum()
    }

    /// Share of correctly classified samples; NaN if there are no samples.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// Number of samples predicted as `class`.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.at(truth, class)).sum()
    }

    /// Share of the samples predicted as `class` that belong to it; `None` if there are none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let predicted = self.predicted(class);
        (predicted > 0).then(|| self.at(class, class) as f64 / predicted as f64)
    }

    /// Share of the samples of `class` that were predicted as it; `None` if there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let support = self.support(class);
        (support > 0).then(|| self.at(class, class) as f64 / support as f64)
    }

    /// Harmonic mean of precision and recall, `2 TP / (2 TP + FP + FN)`: 0 for a class that is never predicted. `None` if
    /// the class occurs neither in the samples nor in the predictions.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let either = self.support(class) + self.predicted(class);
        (either > 0).then(|| 2.0 * self.at(class, class) as f64 / either as f64)
    }

    /// Macro average of a measure, with equal weight for each class: `macro_mean(Confusion::f1)`. A measure that is
    /// undefined for a class counts as zero, as in scikit-learn (`zero_division`); otherwise a classifier that never
    /// predicts a rare class would look perfect. Classes that occur neither in the samples nor in the predictions are
    /// skipped; `None` if that applies to all.
    pub fn macro_mean(&self, measure: impl Fn(&Self, usize) -> Option<f64>) -> Option<f64> {
        let occurs = |&class: &usize| self.support(class) + self.predicted(class) > 0;
        let values: Vec<f64> =
            (0..self.classes).filter(occurs).map(|class| measure(self, class).unwrap_or(0.0)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Classes that have samples but are never predicted: their precision is undefined.
    pub fn never_predicted(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.classes).filter(|&class| self.support(class) > 0 && self.predicted(class) == 0)
    }

    /// Number of samples of `class`.
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
        assert_eq!(Confusion::new(2).macro_mean(Confusion::f1), None);
    }

    fn close(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}, not {expected}");
    }

    /// `precision_score`, `recall_score` and `f1_score` of scikit-learn 1.9.1, `average="macro"` and `average=None`.
    #[test]
    fn a_class_that_is_never_predicted_counts_as_zero_as_in_scikit_learn() {
        // Always predicts cats: 10 cats and 6 dogs.
        let mut confusion = Confusion::new(2);
        (0..16).for_each(|sample| confusion.count(usize::from(sample >= 10), 0));
        close(confusion.macro_mean(Confusion::precision), 0.3125);
        close(confusion.macro_mean(Confusion::recall), 0.5);
        close(confusion.macro_mean(Confusion::f1), 0.384_615_384_615_384_6);
        close(confusion.f1(0), 0.769_230_769_230_769_3);
        assert_eq!((confusion.f1(1), confusion.precision(1)), (Some(0.0), None));
        assert_eq!(confusion.never_predicted().collect::<Vec<_>>(), [1]);
        // 25 samples of one class, one of the other.
        let mut confusion = Confusion::new(2);
        (0..26).for_each(|sample| confusion.count(usize::from(sample == 25), 0));
        close(confusion.macro_mean(Confusion::f1), 0.490_196_078_431_372_53);
    }

    /// As above: class 2 is never predicted, class 3 is predicted but does not occur, class 4 neither occurs nor is
    /// predicted.
    #[test]
    fn classes_of_one_side_count_and_those_of_none_do_not() {
        let mut confusion = Confusion::new(5);
        let pairs = [(0, 0), (0, 0), (0, 1), (0, 3), (1, 1), (1, 0), (2, 0)];
        pairs.iter().for_each(|&(truth, predicted)| confusion.count(truth, predicted));
        for measure in [Confusion::precision, Confusion::recall, Confusion::f1] {
            close(confusion.macro_mean(measure), 0.25);
        }
        assert_eq!((confusion.f1(3), confusion.f1(4), confusion.recall(3)), (Some(0.0), None, None));
        assert_eq!(confusion.never_predicted().collect::<Vec<_>>(), [2]);
    }
}
