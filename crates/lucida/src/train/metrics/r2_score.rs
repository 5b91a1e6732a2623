//! The coefficient of determination.

use super::metric::Metric;

/// Sums per output: targets, squared targets, squared errors, and number of samples.
const SUMS: usize = 4;

/// Coefficient of determination R²: 1 minus the squared errors relative to the variance of the targets, averaged over the
/// outputs, as Keras's `R2Score`. 1 is perfect, 0 is as good as always predicting the mean.
///
/// An output with constant targets counts as 0.
///
/// ```
/// use lucida::train::metrics::{Metric, R2Score};
///
/// let mut metric = R2Score::new(1);
/// metric.update(1, &[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0]);
/// assert_eq!(metric.result(), Some(0.5));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct R2Score(Vec<f64>);

impl R2Score {
    /// Creates the metric for a number of outputs.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self(vec![0.0; SUMS * units])
    }
}

impl Metric for R2Score {
    fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
        for (outputs, targets) in outputs.chunks_exact(units).zip(targets.chunks_exact(units)) {
            for ((sums, &y), &t) in self.0.chunks_exact_mut(SUMS).zip(outputs).zip(targets) {
                let (y, t) = (f64::from(y), f64::from(t));
                sums.iter_mut().zip([t, t * t, (y - t) * (y - t), 1.0]).for_each(|(sum, value)| *sum += value);
            }
        }
    }

    fn result(&self) -> Option<f64> {
        let score = |sums: &[f64]| {
            let total = sums[1] - sums[0] * sums[0] / sums[3];
            // The total of constant targets may be nonzero due to rounding.
            if total <= 1e-14 * sums[1] { 0.0 } else { 1.0 - sums[2] / total }
        };
        let outputs = self.0.chunks_exact(SUMS);
        let count = outputs.len() as f64;
        (self.0.last().is_some_and(|&samples| samples > 0.0)).then(|| outputs.map(score).sum::<f64>() / count)
    }

    fn name(&self) -> String {
        "r2_score".to_owned()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        Some(&mut self.0)
    }
}
