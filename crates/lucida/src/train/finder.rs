//! Which learning rate to take.
//!
//! L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: train with a rate that rises from step to step
//! and watch the loss. It falls fastest shortly before it begins to rise; a rate there learns fast and does not blow up.

use std::path::Path;

use super::distributed::Part;
use super::stream::Stream;
use super::trainer::Trainer;
use super::{Fit, Samples};
use crate::nn::{Network, OptimizerState};
use crate::plot::Chart;
use crate::{Error, Result, files};

/// Steps over which the loss is smoothed, as the time of an exponential mean.
const SMOOTHING: f64 = 0.9;
/// A loss so many times the least one has blown up.
const BLOWN_UP: f64 = 4.0;
/// Losses before this part of the steps say nothing yet.
const WARM: usize = 10;

/// The loss at rising rates.
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    /// The rate and the loss of each step, and the smoothed loss.
    pub steps: Vec<[f64; 3]>,
    /// The rate at which the loss falls fastest; none when it never falls.
    pub suggestion: Option<f64>,
}

impl Fit {
    /// Trains a copy of a network for up to `steps` steps, at rates from `rates[0]` up to `rates[1]`, each by the same factor
    /// larger than the one before, until the loss blows up. `watch` is told how many steps are done, and stops the work by
    /// returning `false`.
    ///
    /// # Errors
    /// As [`Fit::run`]; [`Error::Interrupted`] when the watch says so.
    pub fn find_rate(
        &self,
        network: &Network,
        train: &dyn Samples,
        rates: [f64; 2],
        steps: usize,
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<RateCurve> {
        if train.is_empty() || steps < 2 * WARM || !(rates[0] > 0.0 && rates[1] > rates[0]) {
            return Err(Error::argument("a learning rate is found in 20 steps or more, over rising rates"));
        }
        let batch = self.settings.batch_size.clamp(1, train.len());
        let mut network = network.clone();
        let mut trainer = Trainer::new(self, &network, batch, None)?;
        trainer.classifier.fits(train.class_names().len())?;
        let mut optimizer = OptimizerState::new(self.settings.optimizer, &network);
        let stream = Stream::new(train.len(), batch, Some(steps), self.settings.seed);
        let mut curve: Vec<[f64; 3]> = Vec::with_capacity(steps);
        let (mut mean, mut least, mut interrupted) = (0.0, f64::INFINITY, false);
        for part in stream.parts(1, 0) {
            let go_on = train.each(Some(part.pass), &part.order, batch, &mut |samples| {
                let step = curve.len();
                let rate = rates[0] * (rates[1] / rates[0]).powf(step as f64 / (steps - 1) as f64);
                let first = stream.samples_before(step as u64);
                let loss = trainer.step(&mut network, &mut optimizer, Part::whole(samples), first, rate, false)?.loss;
                mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
                let smooth = mean / (1.0 - SMOOTHING.powf(step as f64 + 1.0));
                if !loss.is_finite() || (step > WARM && smooth > BLOWN_UP * least) {
                    return Ok(false);
                }
                least = least.min(smooth);
                curve.push([rate, loss, smooth]);
                interrupted = !watch(curve.len());
                Ok(!interrupted)
            })?;
            if !go_on {
                break;
            }
        }
        if interrupted {
            return Err(Error::Interrupted);
        }
        Ok(RateCurve { suggestion: steepest(&curve), steps: curve })
    }
}

/// The rate of the steepest fall of the smoothed loss, over ten steps, before its least value.
fn steepest(curve: &[[f64; 3]]) -> Option<f64> {
    let lowest = (0..curve.len()).min_by(|&a, &b| curve[a][2].total_cmp(&curve[b][2]))?;
    let fall = |at: usize| curve[at - WARM][2] - curve[at][2];
    let best = (WARM..=lowest).max_by(|&a, &b| fall(a).total_cmp(&fall(b)))?;
    (fall(best) > 0.0).then(|| curve[best - WARM / 2][0])
}

impl RateCurve {
    /// Writes a table of comma-separated values: rate, loss, smoothed loss.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save_csv(&self, path: &Path) -> Result<()> {
        files::write_atomic(path, |out| {
            writeln!(out, "learning_rate,loss,smoothed_loss")?;
            self.steps.iter().try_for_each(|[rate, loss, smooth]| writeln!(out, "{rate:e},{loss:.6},{smooth:.6}"))
        })
    }

    /// The smoothed loss over the rates, with the suggestion marked.
    pub fn chart(&self) -> Chart {
        let points = self.steps.iter().skip(WARM / 2).map(|[rate, _, smooth]| (*rate, *smooth)).collect();
        let chart = Chart::new("Learning rate", "learning rate", "loss").logarithmic().line("loss", points);
        match self.suggestion {
            Some(rate) => chart.mark(rate).note(format!("the loss falls fastest at {rate:.1e}")),
            None => chart.note("the loss does not fall"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_fall_is_found() {
        let loss = |step: usize| match step {
            0..40 => 0.7,
            40..60 => 0.7 - 0.02 * (step - 40) as f64,
            _ => 0.3 + 0.05 * (step - 60) as f64,
        };
        let curve: Vec<[f64; 3]> = (0..80).map(|s| [1e-6 * 10_f64.powf(s as f64 / 10.0), loss(s), loss(s)]).collect();
        let rate = steepest(&curve).unwrap();
        assert!(rate > curve[40][0] && rate < curve[60][0], "{rate}");
        assert_eq!(steepest(&curve[..30]), None);
        let rising: Vec<[f64; 3]> = (0..30).map(|s| [s as f64, s as f64, s as f64]).collect();
        assert_eq!(steepest(&rising), None);
    }
}
