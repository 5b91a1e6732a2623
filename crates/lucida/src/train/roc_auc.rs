//! Area under the ROC curve.

use super::{Evaluation, TargetEvaluation};

impl Evaluation {
    /// Area under the one-versus-rest ROC curve of a class; `None` if all samples belong to it, or none does.
    pub fn roc_auc(&self, class: usize) -> Option<f64> {
        let scores: Vec<f32> = self.probabilities.iter().map(|row| row[class]).collect();
        let positive: Vec<bool> = self.labels.iter().map(|&label| label == class).collect();
        roc_auc(&scores, &positive)
    }

    /// Area under the ROC curve: for two classes, that of the second one; for more, the mean of the one-versus-rest areas.
    pub fn mean_roc_auc(&self) -> Option<f64> {
        let classes = self.confusion.classes();
        mean((if classes == 2 { 1 } else { 0 }..classes).filter_map(|class| self.roc_auc(class)))
    }

    /// One-versus-rest ROC curve of a class: (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub fn roc_curve(&self, class: usize) -> Vec<(f64, f64)> {
        roc_curve(
            self.probabilities.iter().zip(&self.labels).map(|(row, &label)| (row[class], label == class)).collect(),
        )
    }
}

impl TargetEvaluation {
    /// ROC curve of a label: (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub fn roc_curve(&self, label: usize) -> Vec<(f64, f64)> {
        roc_curve(self.outputs.iter().zip(&self.truths).map(|(row, truth)| (row[label], truth[label] > 0.5)).collect())
    }
}

/// ROC curve of scores, each with whether its sample is positive.
fn roc_curve(mut order: Vec<(f32, bool)>) -> Vec<(f64, f64)> {
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = order.iter().filter(|(_, positive)| *positive).count().max(1) as f64;
    let negatives = order.iter().filter(|(_, positive)| !positive).count().max(1) as f64;
    let (mut right, mut wrong) = (0.0, 0.0);
    let mut curve = vec![(0.0, 0.0)];
    for equal in order.chunk_by(|a, b| a.0 == b.0) {
        let found = equal.iter().filter(|(_, positive)| *positive).count();
        right += found as f64;
        wrong += (equal.len() - found) as f64;
        curve.push((wrong / negatives, right / positives));
    }
    curve
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

/// Probability that a positive sample has a higher score than a negative one, ties counting half (Mann and Whitney, 1947),
/// which equals the area under the ROC curve.
pub(super) fn roc_auc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut ranks, mut positives) = (0_usize, 0.0, 0_usize);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = equal.iter().filter(|&&index| positive[index]).count();
        // Equal scores share their mean rank.
        ranks += found as f64 * (below as f64 + (equal.len() as f64 + 1.0) / 2.0);
        positives += found;
        below += equal.len();
    }
    let negatives = scores.len() - positives;
    let (n, p) = (negatives as f64, positives as f64);
    (positives > 0 && negatives > 0).then(|| (ranks - p * (p + 1.0) / 2.0) / (p * n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Confusion;
    use crate::train::calibration::tests::evaluation;

    /// `sklearn.metrics.roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])` is 0.75, the example of its documentation.
    #[test]
    fn the_area_under_the_curve_is_that_of_scikit_learn() {
        let example = evaluation(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]);
        assert_eq!(
            (example.roc_auc(1), example.roc_auc(0), example.mean_roc_auc()),
            (Some(0.75), Some(0.75), Some(0.75))
        );
        let curve = example.roc_curve(1);
        assert_eq!(curve, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        let area: f64 = curve.windows(2).map(|w| (w[1].0 - w[0].0) * (w[1].1 + w[0].1) / 2.0).sum();
        assert_eq!(area, 0.75);
        assert_eq!(evaluation(&[(0.5, 0), (0.5, 1)]).roc_auc(1), Some(0.5));
        assert_eq!(evaluation(&[(0.5, 1), (0.7, 1)]).roc_auc(1), None);
    }

    /// `roc_auc_score(labels, scores, multi_class="ovr", average="macro")` of scikit-learn 1.9.1, and that of each class.
    #[test]
    fn the_mean_over_classes_is_that_of_scikit_learn() {
        let labels = vec![0, 0, 1, 1, 2, 2, 2];
        let rows = [
            [0.5, 0.25, 0.25],
            [0.25, 0.5, 0.25],
            [0.25, 0.5, 0.25],
            [0.125, 0.625, 0.25],
            [0.25, 0.25, 0.5],
            [0.5, 0.25, 0.25],
            [0.125, 0.125, 0.75],
        ];
        let several = Evaluation {
            loss: 0.0,
            accuracy: 0.0,
            confusion: Confusion::new(3),
            probabilities: rows.iter().map(|row| row.to_vec()).collect(),
            predicted: labels.clone(),
            labels,
        };
        for (class, expected) in [0.75, 0.95, 0.833_333_333_333_333_4].into_iter().enumerate() {
            assert!((several.roc_auc(class).unwrap() - expected).abs() < 1e-12, "{class}");
        }
        assert!((several.mean_roc_auc().unwrap() - 0.844_444_444_444_444_4).abs() < 1e-12);
    }
}
