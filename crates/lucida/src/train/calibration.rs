//! Calibration: how reliable the confidence of a classifier is.

use super::Evaluation;
use crate::nn::thousands;
use crate::plot::Chart;

/// Number of confidence bins.
const BINS: usize = 15;
/// Minimum number of predictions per point of the chart: the accuracy of fewer is noise (that of one is 0 or 1), and the
/// curve would zigzag.
const IN_POINT: usize = 10;

/// The calibration of a classifier: its predictions, binned by the probability of the predicted class.
///
/// ```
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let some = Subset::new(&digits, (0..200).collect())?;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let calibration = evaluate(&model, &some, Cpu::detect())?.calibration();
/// assert_eq!(calibration.bins.iter().map(|bin| bin.count).sum::<usize>(), 200);
/// assert!((0.0..=1.0).contains(&calibration.error));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Bins in order of increasing confidence, without empty ones.
    pub bins: Vec<CalibrationBin>,
    /// Expected calibration error (Guo et al., 2017): the mean absolute difference between confidence and accuracy, each bin
    /// weighted by its number of predictions.
    pub error: f64,
}

/// Predictions with similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Number of predictions.
    pub count: usize,
    /// Mean confidence.
    pub confidence: f64,
    /// Share of correct predictions.
    pub accuracy: f64,
}

impl Evaluation {
    /// Computes the calibration in 15 bins of equal width.
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
    /// Merges neighboring bins until each has at least 10 predictions; if there are fewer in total, a single bin remains.
    /// The calibration error is that of the unmerged bins.
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

    /// Plots accuracy against confidence in [merged](Self::merged) bins, each with its number of predictions. A
    /// well-calibrated classifier lies on the diagonal.
    pub fn chart(&self) -> Chart {
        let merged = self.merged();
        let points = merged.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
        let counts = merged.iter().map(|bin| thousands(bin.count)).collect();
        Chart::new("Calibration", "confidence", "accuracy")
            .note(format!("expected calibration error {:.1} %; images at each point", 100.0 * self.error))
            .unit()
            .diagonal()
            .labeled_dots("predictions", points, counts)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::train::Confusion;

    /// An evaluation of two classes: the probability of the second class and the true class of each sample.
    pub(in crate::train) fn evaluation(rows: &[(f32, usize)]) -> Evaluation {
        let mut confusion = Confusion::new(2);
        let predicted: Vec<usize> = rows.iter().map(|(p, _)| usize::from(*p > 0.5)).collect();
        let labels: Vec<usize> = rows.iter().map(|(_, label)| *label).collect();
        predicted.iter().zip(&labels).for_each(|(&p, &l)| confusion.count(l, p));
        let probabilities = rows.iter().map(|(p, _)| vec![1.0 - p, *p]).collect();
        Evaluation { loss: 0.0, accuracy: confusion.accuracy(), confusion, probabilities, predicted, labels }
    }

    #[test]
    fn small_bins_are_merged_with_their_neighbors() {
        let bin = |count, confidence, accuracy| CalibrationBin { count, confidence, accuracy };
        let of = |bins: &[CalibrationBin]| Calibration { bins: bins.to_vec(), error: 0.0 }.merged();
        // A single correct or wrong image has little effect on a merged bin.
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
        // Nine of ten are correct at confidence 0.9, and half at 0.7.
        let mut rows: Vec<(f32, usize)> = (0..10).map(|i| (0.9, usize::from(i > 0))).collect();
        rows.extend((0..10).map(|i| (0.3, i % 2)));
        let calibration = evaluation(&rows).calibration();
        assert_eq!(calibration.bins.len(), 2);
        assert!((calibration.error - 0.1).abs() < 1e-6, "{calibration:?}");
        assert_eq!((calibration.bins[0].count, calibration.bins[0].accuracy), (10, 0.5));
    }
}
