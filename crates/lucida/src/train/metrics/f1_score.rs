//! Macro F1 of labels.

use super::metric::Metric;

/// Counts per label: true positives, false positives, false negatives, samples.
const SUMS: usize = 4;

/// Macro F1: the mean of `2 TP / (2 TP + FP + FN)` over the labels, predicted if an output exceeds 0.5, as Keras's
/// `F1Score(average="macro", threshold=0.5)`. A label that is neither present nor predicted counts as 0.
///
/// ```
/// use lucida::train::metrics::{F1Score, Metric};
///
/// let mut metric = F1Score::new(2);
/// metric.update(2, &[0.75, 0.75, 0.25, 0.75], &[1.0, 1.0, 0.0, 0.0]);
/// assert_eq!(metric.result(), Some((1.0 + 2.0 / 3.0) / 2.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct F1Score(Vec<f64>);

impl F1Score {
    /// Creates the metric for a number of labels.
    #[must_use]
    pub fn new(labels: usize) -> Self {
        Self(vec![0.0; SUMS * labels])
    }
}

impl Metric for F1Score {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        for (outputs, targets) in outputs.chunks_exact(units).zip(targets.chunks_exact(units)) {
            for ((counts, &y), &t) in self.0.chunks_exact_mut(SUMS).zip(outputs).zip(targets) {
                let t = f64::from(t);
                if y > 0.5 {
                    counts[0] += t;
                    counts[1] += 1.0 - t;
                } else {
                    counts[2] += t;
                }
                counts[3] += 1.0;
            }
        }
    }

    fn result(&self) -> Option<f64> {
        let score = |counts: &[f64]| {
            let either = 2.0 * counts[0] + counts[1] + counts[2];
            if either > 0.0 { 2.0 * counts[0] / either } else { 0.0 }
        };
        let labels = self.0.chunks_exact(SUMS);
        let count = labels.len();
        (self.0.last().is_some_and(|&samples| samples > 0.0)).then(|| labels.map(score).sum::<f64>() / count as f64)
    }

    fn name(&self) -> String {
        "f1_score".to_owned()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        Some(&mut self.0)
    }
}
