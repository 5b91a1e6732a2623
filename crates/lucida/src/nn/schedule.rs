//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The learning rate as a function of the step.
///
/// ```
/// use lucida::prelude::*;
///
/// // 100 steps of warm-up, then a cosine decay over 1000 steps.
/// let schedule = Schedule::cosine(1e-3, 1000).with_warm_up(100);
/// assert!(schedule.at(0) < schedule.at(50));
/// assert_eq!(schedule.at(100), 1e-3);
/// assert!(schedule.at(1100) < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The learning rate after the warm-up.
    pub rate: f64,
    /// Linear warm-up steps (Goyal et al., 2017).
    #[serde(default)]
    pub warm_up: u64,
    /// The decay after the warm-up.
    #[serde(default)]
    pub decay: Decay,
}

/// The decay of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// No decay.
    #[default]
    Constant,
    /// Multiplies the learning rate by `factor` after every `every` steps.
    Step {
        /// Steps between two changes.
        every: u64,
        /// The factor of each decay.
        factor: f64,
    },
    /// Cosine decay to `end` times the learning rate over `steps` steps, constant afterwards (Loshchilov and Hutter, 2017).
    Cosine {
        /// Number of decay steps, counted after the warm-up.
        steps: u64,
        /// The final fraction of the learning rate.
        end: f64,
    },
}

impl From<f64> for Schedule {
    /// A constant learning rate.
    fn from(rate: f64) -> Self {
        Self::constant(rate)
    }
}

impl Schedule {
    /// A constant learning rate.
    pub fn constant(rate: f64) -> Self {
        Self { rate, warm_up: 0, decay: Decay::Constant }
    }

    /// Cosine decay from `rate` to zero over `steps` steps.
    pub fn cosine(rate: f64, steps: u64) -> Self {
        Self { rate, warm_up: 0, decay: Decay::Cosine { steps, end: 0.0 } }
    }

    /// Step decay: `rate` is multiplied by `factor` every `every` steps.
    pub fn step(rate: f64, every: u64, factor: f64) -> Self {
        Self { rate, warm_up: 0, decay: Decay::Step { every, factor } }
    }

    /// The same schedule after a linear warm-up of `steps` steps.
    #[must_use]
    pub fn with_warm_up(self, steps: u64) -> Self {
        Self { warm_up: steps, ..self }
    }

    /// The learning rate of step `step`, counted from zero.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let step = step - self.warm_up;
        match self.decay {
            Decay::Constant => self.rate,
            Decay::Step { every, factor } => self.rate * factor.powf((step / every.max(1)) as f64),
            Decay::Cosine { steps, end } => {
                let done = (step as f64 / steps.max(1) as f64).min(1.0);
                let falling = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                self.rate * (end + (1.0 - end) * falling)
            }
        }
    }

    /// Checks the learning rate.
    ///
    /// # Errors
    /// [`Error::Argument`] when it is not a positive, finite number.
    pub fn check(&self) -> Result<()> {
        if self.rate.is_finite() && self.rate > 0.0 {
            return Ok(());
        }
        Err(Error::argument(format!("a learning rate is a positive number, not {}", self.rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_at_known_steps() {
        assert_eq!(Schedule::constant(0.1).at(1_000_000), 0.1);
        let step = Schedule::step(1.0, 10, 0.5);
        assert_eq!([0, 9, 10, 25].map(|s| step.at(s)), [1.0, 1.0, 0.5, 0.25]);
        let cosine = Schedule { rate: 2.0, warm_up: 0, decay: Decay::Cosine { steps: 100, end: 0.1 } };
        assert_eq!(cosine.at(0), 2.0);
        assert!((cosine.at(50) - 1.1).abs() < 1e-12);
        assert!((cosine.at(100) - 0.2).abs() < 1e-12 && (cosine.at(5000) - 0.2).abs() < 1e-12);
        let warm = Schedule::cosine(1.0, 100).with_warm_up(4);
        assert_eq!([0, 1, 3, 4].map(|s| warm.at(s)), [0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Schedule::constant(rate).check().is_err());
        }
    }
}
