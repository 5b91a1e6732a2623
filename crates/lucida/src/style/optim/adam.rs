//! Adam for pixels (Kingma and Ba, 2015), with Keras's formulas.

use lucida_kernels::ops::{AdamStep, adam};

use crate::style::Canvas;
use crate::{Cpu, Result};

/// Hyperparameters of Adam, for pixels from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate: approximately the largest change of a value per step.
    pub rate: f32,
    /// Decay rate of the mean gradient.
    pub beta_1: f32,
    /// Decay rate of the mean squared gradient.
    pub beta_2: f32,
    /// Added to the square root of the mean squared gradient.
    pub epsilon: f32,
}

/// State of an Adam run.
#[derive(Debug, Clone)]
pub(in crate::style) struct AdamState {
    config: Adam,
    first: Canvas,
    second: Canvas,
    steps: i32,
}

impl AdamState {
    pub(in crate::style) fn new(config: Adam, size: [usize; 2]) -> Self {
        let zeros = || Canvas::filled(size, [0.0; 3]);
        Self { config, first: zeros(), second: zeros(), steps: 0 }
    }

    /// Applies one step to the values.
    pub(in crate::style) fn step(&mut self, cpu: Cpu, values: &mut [f32], gradient: &[f32]) {
        let Adam { rate, beta_1, beta_2, epsilon } = self.config;
        self.steps += 1;
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(self.steps);
        let rate = (f64::from(rate) * correction(beta_2).sqrt() / correction(beta_1)) as f32;
        let step = AdamStep { rate, beta_1, beta_2, epsilon, keep: 1.0 };
        adam(cpu, step, values, gradient, &mut self.first.values, &mut self.second.values);
    }

    /// Transfers the state to a resized canvas: applies `change` to both moments.
    pub(in crate::style) fn changed(self, change: impl Fn(&Canvas) -> Result<Canvas>) -> Result<Self> {
        let (first, mut second) = (change(&self.first)?, change(&self.second)?);
        second.values.iter_mut().for_each(|value| *value = value.max(0.0));
        Ok(Self { first, second, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 steps on `sum k (x - k)^2 / 2`, compared with the formulas in 64 bits.
    #[test]
    fn a_trajectory() {
        for config in [
            Adam { rate: 0.5, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 },
            Adam { rate: 5.1, beta_1: 0.99, beta_2: 0.999, epsilon: 0.1 },
        ] {
            let mut values = vec![0.0_f32; 12];
            let mut state = AdamState::new(config, [2, 2]);
            let slope = |k: usize, x: f64| (k as f64 + 1.0) * (x - k as f64);
            let mut plain = [[0.0_f64; 3]; 12];
            for t in 1..=20 {
                let gradient: Vec<f32> = values.iter().enumerate().map(|(k, &x)| slope(k, x.into()) as f32).collect();
                state.step(Cpu::detect(), &mut values, &gradient);
                for (k, [x, m, v]) in plain.iter_mut().enumerate() {
                    let (b1, b2) = (f64::from(config.beta_1), f64::from(config.beta_2));
                    let g = slope(k, *x);
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    let rate = f64::from(config.rate) * (1.0 - b2.powi(t)).sqrt() / (1.0 - b1.powi(t));
                    *x -= rate * *m / (v.sqrt() + f64::from(config.epsilon));
                }
                for (&got, [expected, ..]) in values.iter().zip(plain) {
                    assert!((f64::from(got) - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got} {expected}");
                }
            }
        }
    }
}
