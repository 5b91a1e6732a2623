//! How good predictions are, beyond how many are right.

use super::Evaluation;
use crate::nn::thousands;
use crate::plot::Chart;

/// Bins of confidence.
const BINS: usize = 15;
/// Predictions of a point of the chart: the accuracy of fewer is noise (that of one is 0 or 1), and its line a zigzag.
const IN_POINT: usize = 10;

/// How far confidence can be believed: the predictions in bins by the probability of the predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// From the least confident to the most; bins without predictions are left out.
    pub bins: Vec<CalibrationBin>,
    /// The expected calibration error (Guo et al., 2017): the mean distance of confidence and accuracy, each bin as often
    /// as it has predictions.
    pub error: f64,
}

/// Predictions that are about equally confident.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// How many there are.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

impl Evaluation {
    /// How far confidence can be believed: 15 bins of equal width.
    pub fn calibration(&self) -> Calibration {
        let mut sums = [(0_usize, 0.0_f64, 0_usize); BINS];
        for ((row, &class), &label) in self.probabilities.iter().zip(&self.predicted).zip(&self.labels) {
            let confidence = f64::from(row[class]);
            let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + usize::from(class == label));
        }
        let bins: Vec<CalibrationBin> = sums
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|&(count, confidence, right)| CalibrationBin {
                count,
                confidence: confidence / count as f64,
                accuracy: right as f64 / count as f64,
            })
            .collect();
        let distance = |bin: &CalibrationBin| bin.count as f64 * (bin.confidence - bin.accuracy).abs();
        let error = bins.iter().map(distance).sum::<f64>() / self.predicted.len() as f64;
        Calibration { bins, error }
    }

    /// The area under the ROC curve of a class against all others, by its probability; `None` where all samples are of it,
    /// or none is.
    pub fn roc_auc(&self, class: usize) -> Option<f64> {
        let scores: Vec<f32> = self.probabilities.iter().map(|row| row[class]).collect();
        let positive: Vec<bool> = self.labels.iter().map(|&label| label == class).collect();
        roc_auc(&scores, &positive)
    }

    /// The area under the ROC curve: of two classes, that of the second one; of more, the mean over them, one against all
    /// others.
    pub fn mean_roc_auc(&self) -> Option<f64> {
        let classes = self.confusion.classes();
        mean((if classes == 2 { 1 } else { 0 }..classes).filter_map(|class| self.roc_auc(class)))
    }

    /// The ROC curve of a class against all others: false against true positives, from (0, 0) to (1, 1).
    pub fn roc_curve(&self, class: usize) -> Vec<(f64, f64)> {
        let mut order: Vec<(f32, bool)> =
            self.probabilities.iter().zip(&self.labels).map(|(row, &label)| (row[class], label == class)).collect();
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
}

impl CalibrationBin {
    fn merged(self, other: Self) -> Self {
        let count = self.count + other.count;
        let mean = |own: f64, others: f64| (own * self.count as f64 + others * other.count as f64) / count as f64;
        let confidence = mean(self.confidence, other.confidence);
        Self { count, confidence, accuracy: mean(self.accuracy, other.accuracy) }
    }
}

impl Calibration {
    /// The bins with neighbors merged until each has 10 predictions or more; one bin where there are fewer in all. The
    /// calibration error is that of the bins as they are.
    pub fn merged(&self) -> Vec<CalibrationBin> {
        let mut merged: Vec<CalibrationBin> = Vec::new();
        for &bin in &self.bins {
            match merged.last_mut() {
                Some(last) if last.count < IN_POINT => *last = last.merged(bin),
                _ => merged.push(bin),
            }
        }
        if let [.., before, last] = merged[..]
            && last.count < IN_POINT
        {
            merged.truncate(merged.len() - 2);
            merged.push(before.merged(last));
        }
        merged
    }

    /// Accuracy against confidence in [merged](Self::merged) bins, each with its number of predictions; on the diagonal,
    /// confidence is what it says.
    pub fn chart(&self) -> Chart {
        let merged = self.merged();
        let points = merged.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
        let counts = merged.iter().map(|bin| thousands(bin.count)).collect();
        Chart::new("Calibration", "confidence", "accuracy")
            .note(format!("expected calibration error {:.1} %; images at each point", 100.0 * self.error))
            .unit()
            .diagonal()
            .labelled_dots("predictions", points, counts)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

/// The probability that a positive sample has a higher score than a negative one, with half for equal scores (Mann and
/// Whitney, 1947): the area under the ROC curve.
fn roc_auc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut ranks, mut positives) = (0_usize, 0.0, 0_usize);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = equal.iter().filter(|&&index| positive[index]).count();
        // All of one score have their mean rank.
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

    fn evaluation(rows: &[(f32, usize)]) -> Evaluation {
        let mut confusion = Confusion::new(2);
        let predicted: Vec<usize> = rows.iter().map(|(p, _)| usize::from(*p > 0.5)).collect();
        let labels: Vec<usize> = rows.iter().map(|(_, label)| *label).collect();
        predicted.iter().zip(&labels).for_each(|(&p, &l)| confusion.count(l, p));
        let probabilities = rows.iter().map(|(p, _)| vec![1.0 - p, *p]).collect();
        Evaluation { loss: 0.0, accuracy: confusion.accuracy(), confusion, probabilities, predicted, labels }
    }

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

    #[test]
    fn small_bins_are_merged_with_their_neighbors() {
        let bin = |count, confidence, accuracy| CalibrationBin { count, confidence, accuracy };
        let of = |bins: &[CalibrationBin]| Calibration { bins: bins.to_vec(), error: 0.0 }.merged();
        // One image, right or wrong, moves a point no farther than its share.
        let merged = of(&[bin(1, 0.5, 0.0), bin(9, 0.6, 1.0), bin(30, 0.8, 0.5), bin(1, 0.9, 0.0), bin(2, 1.0, 1.0)]);
        let counts: Vec<usize> = merged.iter().map(|bin| bin.count).collect();
        assert_eq!(counts, [10, 33]);
        assert!((merged[0].accuracy - 0.9).abs() < 1e-12 && (merged[0].confidence - 0.59).abs() < 1e-12);
        assert!((merged[1].accuracy - 17.0 / 33.0).abs() < 1e-12, "{merged:?}");
        assert_eq!(of(&[bin(3, 0.5, 1.0), bin(2, 0.7, 0.5)]).len(), 1);
        assert!(of(&[]).is_empty());
        assert!(Calibration { bins: vec![bin(1234, 0.5, 0.5)], error: 0.0 }.chart().figure().svg().contains("1,234"));
    }

    #[test]
    fn calibration_compares_confidence_and_accuracy() {
        // Nine of ten are right where the confidence is 0.9; half are where it is 0.7.
        let mut rows: Vec<(f32, usize)> = (0..10).map(|i| (0.9, usize::from(i > 0))).collect();
        rows.extend((0..10).map(|i| (0.3, i % 2)));
        let calibration = evaluation(&rows).calibration();
        assert_eq!(calibration.bins.len(), 2);
        assert!((calibration.error - 0.1).abs() < 1e-6, "{calibration:?}");
        assert_eq!((calibration.bins[0].count, calibration.bins[0].accuracy), (10, 0.5));
    }
}
