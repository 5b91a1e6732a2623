//! Learning-rate finder.
//!
//! L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: train with a learning rate that increases at each
//! step, and monitor the loss. The learning rate at which it falls fastest, before it rises again, trains fast and does not
//! diverge.

use std::path::Path;

use super::batch_schedule::BatchSchedule;
use super::distributed::BatchShard;
use super::train_step::TrainStep;
use super::{Samples, Trainer};
use crate::core::progress::{Progress, Step, Unit, report};
use crate::nn::{Network, OptimizerState};
use crate::plot::Chart;
use crate::{Error, Result, files};

/// Decay of the exponential moving average of the loss.
const SMOOTHING: f64 = 0.9;
/// The loss has diverged when it exceeds the lowest one by this factor.
const BLOWN_UP: f64 = 4.0;
/// Number of initial steps whose losses are ignored, and window of the centered mean.
const WARM: usize = 10;

/// Loss at increasing learning rates.
#[derive(Debug, Clone, PartialEq)]
pub struct LearningRateCurve {
    /// Learning rate, loss, and smoothed loss of each step.
    pub steps: Vec<[f64; 3]>,
    /// Learning rate at which the loss falls fastest, limited to a tenth of that with the lowest loss; none if the loss
    /// never falls.
    pub suggestion: Option<f64>,
}

impl Trainer<'_> {
    /// Trains a copy of a network for up to `steps` steps, with learning rates that increase exponentially from `rates[0]`
    /// to `rates[1]`, until the loss diverges.
    ///
    /// ```
    /// use lucida::prelude::*;
    /// use lucida::train::ImageSamples;
    ///
    /// # let digits = Mnist::builtin()?.train;
    /// # let train = Subset::new(&digits, (0..256).collect())?;
    /// # let output = Dense::new(10).activation(ActivationKind::Softmax);
    /// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
    /// # let model = Model::new(network).with_preprocessing(Preprocessing::mnist());
    /// let samples = ImageSamples::new(&train, model.preprocessing()?, 1);
    /// let trainer = Trainer::new(TrainConfig { batch_size: 32, ..TrainConfig::default() });
    /// let curve = trainer.find_learning_rate(&model.network, &samples, [1e-5, 1.0], 40, &mut ())?;
    /// assert!(curve.suggestion.is_some_and(|rate| (1e-5..1.0).contains(&rate)));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Trainer::fit`]; [`Error::Interrupted`] when `progress` stops it.
    pub fn find_learning_rate(
        &self,
        network: &Network,
        train: &dyn Samples,
        rates: [f64; 2],
        steps: usize,
        progress: &mut dyn Progress,
    ) -> Result<LearningRateCurve> {
        if train.is_empty() || steps < 2 * WARM || !(rates[0] > 0.0 && rates[1] > rates[0]) {
            return Err(Error::argument("a learning rate is found in 20 steps or more, over rising rates"));
        }
        let batch = self.config.batch_size.clamp(1, train.len());
        let mut network = network.clone();
        let mut train_step = TrainStep::new((&self.config, &self.custom), (&network, train.targets()), batch, None)?;
        let mut optimizer = OptimizerState::new(self.config.optimizer, &network);
        let schedule = BatchSchedule::new(train.len(), batch, Some(steps), self.config.seed);
        let mut curve: Vec<[f64; 3]> = Vec::with_capacity(steps);
        let (mut mean, mut least) = (0.0, f64::INFINITY);
        for part in schedule.parts(1, 0) {
            let go_on = train.each(Some(part.pass), &part.order, batch, &mut |samples| {
                let step = curve.len();
                let rate = rates[0] * (rates[1] / rates[0]).powf(step as f64 / (steps - 1) as f64);
                let first = schedule.samples_before(step as u64);
                let outcome =
                    train_step.step(&mut network, &mut optimizer, BatchShard::whole(samples), first, rate, false)?;
                let loss = outcome.loss;
                mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
                let smooth = mean / (1.0 - SMOOTHING.powf(step as f64 + 1.0));
                if outcome.fault.is_some() || (step > WARM && smooth > BLOWN_UP * least) {
                    return Ok(false);
                }
                least = least.min(smooth);
                curve.push([rate, loss, smooth]);
                report(progress, &Step::new(Unit::Steps, curve.len(), steps)).map(|()| true)
            })?;
            if !go_on {
                break;
            }
        }
        Ok(LearningRateCurve { suggestion: suggest(&curve), steps: curve })
    }
}

/// Returns the learning rate with the steepest descent of the loss, limited to a tenth of that with the lowest loss.
///
/// The steepest descent alone may lie right before the point of divergence, where a longer training run would diverge too; a
/// tenth of the learning rate with the lowest loss is J. Howard's and S. Gugger's rule (Deep Learning for Coders with fastai
/// and PyTorch, 2020, chapter 5). The loss is smoothed by a centered mean: an exponential one lags behind, and would give
/// learning rates that are too large. A descent within the noise is ignored.
fn suggest(curve: &[[f64; 3]]) -> Option<f64> {
    let smooth = |at: usize| {
        let around = &curve[at.saturating_sub(WARM / 2)..(at + WARM / 2 + 1).min(curve.len())];
        around.iter().map(|step| step[1]).sum::<f64>() / around.len() as f64
    };
    let losses: Vec<f64> = (0..curve.len()).map(smooth).collect();
    let lowest = (0..curve.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]))?;
    let fall = |at: usize| losses[at - WARM] - losses[at];
    let best = (WARM..=lowest).max_by(|&a, &b| fall(a).total_cmp(&fall(b)))?;
    let before = &losses[..=lowest];
    let highest = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let noise = curve[..=lowest].iter().zip(before).map(|(step, smooth)| (step[1] - smooth).powi(2)).sum::<f64>();
    // Standard deviation of the mean of WARM losses; the difference is between the highest and the lowest of many means.
    let deviation = (noise / before.len() as f64 / WARM as f64).sqrt();
    let falls = highest - losses[lowest] > 6.0 * deviation && fall(best) > 0.0;
    falls.then(|| curve[best - WARM / 2][0].min(curve[lowest][0] / 10.0).max(curve[0][0]))
}

impl LearningRateCurve {
    /// Writes a CSV table: learning rate, loss, smoothed loss.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_atomic(path, |out| {
            writeln!(out, "learning_rate,loss,smoothed_loss")?;
            self.steps.iter().try_for_each(|[rate, loss, smooth]| writeln!(out, "{rate:e},{loss:.6},{smooth:.6}"))
        })
    }

    /// Plots the smoothed loss against the learning rate, with the suggestion marked.
    pub fn chart(&self) -> Chart {
        let points = self.steps.iter().skip(WARM / 2).map(|[rate, _, smooth]| (*rate, *smooth)).collect();
        let chart = Chart::new("Learning rate", "learning rate", "loss").logarithmic().line("loss", points);
        match self.suggestion {
            Some(rate) => chart.mark(rate).note(format!("suggested: {rate:.1e}")),
            None => chart.note("the loss does not fall"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Purpose, Rng};

    /// A curve over eight decades with 25 steps each, as from `--find-lr`: `loss` as a function of log10 of the learning
    /// rate, plus noise.
    fn curve(noise: f64, loss: impl Fn(f64) -> f64) -> Vec<[f64; 3]> {
        let mut rng = Rng::keyed(1, Purpose::Noise, 0);
        let step = |step: usize| {
            let log = -7.0 + step as f64 / 25.0;
            let loss = loss(log) + noise * (rng.uniform() - 0.5);
            [10.0_f64.powf(log), loss, loss]
        };
        (0..200).map(step).take_while(|step| step[1] < 3.0).collect()
    }

    /// Flat, then descending between two learning rates, then diverging.
    fn valley(log: f64, [from, to]: [f64; 2]) -> f64 {
        if log < to { 0.7 - 0.4 * ((log - from) / (to - from)).max(0.0) } else { 0.3 * 40.0_f64.powf(log - to) }
    }

    #[test]
    fn the_steepest_fall_is_found() {
        for noise in [0.0, 0.1] {
            let rate = suggest(&curve(noise, |log| valley(log, [-5.0, -2.0]))).unwrap();
            assert!((1e-5..=1.6e-3).contains(&rate), "{rate}");
            // Steepest at 1e-4, slow after that.
            let early = |log: f64| 0.7 - 0.3 / (1.0 + (-6.0 * (log + 4.0)).exp()) - 0.01 * (log + 4.0).clamp(0.0, 3.0);
            let rate = suggest(&curve(noise, early)).unwrap();
            assert!((3e-5..=3e-4).contains(&rate), "{rate}");
        }
    }

    #[test]
    fn the_suggestion_keeps_away_from_the_cliff() {
        // The descent gets steeper up to a learning rate of 1e-2, where the loss diverges.
        for noise in [0.0, 0.02] {
            let cliff = |log: f64| {
                if log < -2.0 { 0.7 - 0.4 * (2.0 * (log + 2.0)).exp() } else { 0.3 * 1e3_f64.powf(log + 2.0) }
            };
            let rate = suggest(&curve(noise, cliff)).unwrap();
            assert!((1e-4..=1.3e-3).contains(&rate), "{rate}");
        }
    }

    #[test]
    fn a_loss_that_does_not_fall_has_no_suggestion() {
        assert_eq!(suggest(&curve(0.0, |_| 0.7)), None);
        assert_eq!(suggest(&curve(0.2, |_| 0.7)), None);
        assert_eq!(suggest(&curve(0.05, |log| if log < -3.0 { 0.7 } else { 0.7 + 0.3 * (log + 3.0) })), None);
        assert_eq!(suggest(&curve(0.0, |log| 10.0 + log)), None);
        assert_eq!(suggest(&[]), None);
    }
}
