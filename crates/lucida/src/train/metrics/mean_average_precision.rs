//! Mean average precision of labels.

use super::metric::Metric;

/// Mean over the labels of the average precision (the precision at each rank, weighted by the increase in recall), as
/// scikit-learn's `average_precision_score(average="macro")`. It depends only on the order of the outputs, not on a
/// threshold.
///
/// Labels without positive samples are skipped; scikit-learn counts them as 0, with a warning.
///
/// ```
/// use lucida::train::metrics::{MeanAveragePrecision, Metric};
///
/// let mut metric = MeanAveragePrecision::new(1);
/// // The one that holds comes second.
/// metric.update(1, &[0.9, 0.8, 0.1], &[0.0, 1.0, 0.0]);
/// assert_eq!(metric.result(), Some(0.5));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MeanAveragePrecision {
    /// For each label and sample: the output, and whether the label is present.
    labels: Vec<Vec<(f32, bool)>>,
}

impl MeanAveragePrecision {
    /// Creates the metric for a number of labels.
    #[must_use]
    pub fn new(labels: usize) -> Self {
        Self { labels: vec![Vec::new(); labels] }
    }
}

impl Metric for MeanAveragePrecision {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        for (outputs, targets) in outputs.chunks_exact(units).zip(targets.chunks_exact(units)) {
            for ((label, &y), &t) in self.labels.iter_mut().zip(outputs).zip(targets) {
                label.push((y, t > 0.5));
            }
        }
    }

    fn result(&self) -> Option<f64> {
        let precisions: Vec<f64> = self.labels.iter().filter_map(|label| average_precision(label)).collect();
        (!precisions.is_empty()).then(|| precisions.iter().sum::<f64>() / precisions.len() as f64)
    }

    fn name(&self) -> String {
        "mean_average_precision".to_owned()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        None
    }
}

/// Average precision of one label; `None` if it has no positive samples.
pub(in crate::train) fn average_precision(samples: &[(f32, bool)]) -> Option<f64> {
    let positives = samples.iter().filter(|(_, holds)| *holds).count();
    let mut order = samples.to_vec();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut found, mut total) = (0, 0, 0.0);
    for equal in order.chunk_by(|a, b| a.0 == b.0) {
        // Equal scores share a rank.
        let gain = equal.iter().filter(|(_, holds)| *holds).count();
        seen += equal.len();
        found += gain;
        total += gain as f64 / positives as f64 * found as f64 / seen as f64;
    }
    (positives > 0).then_some(total)
}
