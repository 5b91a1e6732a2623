//! L-BFGS: J. Nocedal, "Updating Quasi-Newton Matrices with Limited Storage" (1980).
//!
//! The step direction is the negative gradient times an estimate of the inverse Hessian, built from the last few steps and
//! the corresponding gradient changes. The matrix is never formed (two-loop recursion, Nocedal and Wright, algorithm 7.4).

use std::collections::VecDeque;

use crate::Result;
use crate::style::optim::line_search::{Trial, search};

/// Hyperparameters of L-BFGS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lbfgs {
    /// Number of steps that are kept, each with two arrays of the size of the image.
    pub history: usize,
}

/// A point with its loss and gradient.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::style) struct TensorRef {
    pub(in crate::style) values: Vec<f32>,
    pub(in crate::style) loss: f64,
    pub(in crate::style) gradient: Vec<f32>,
}

/// State of an L-BFGS run.
#[derive(Debug, Clone)]
pub(in crate::style) struct LbfgsState {
    history: usize,
    /// Length of the first trial step, as root mean square change of the values.
    first: f64,
    pairs: VecDeque<Pair>,
}

/// A step and the gradient change over it.
#[derive(Debug, Clone)]
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// One over their dot product.
    rho: f64,
}

impl LbfgsState {
    pub(in crate::style) fn new(config: Lbfgs, first: f64) -> Self {
        Self { history: config.history.max(1), first, pairs: VecDeque::new() }
    }

    /// Takes one step; `evaluate` writes the gradient and returns the loss. Returns whether the loss decreased. If not, the
    /// history is cleared; two consecutive failures mean convergence.
    pub(in crate::style) fn step(
        &mut self,
        at: &mut TensorRef,
        mut evaluate: impl FnMut(&[f32], &mut [f32]) -> Result<f64>,
    ) -> Result<bool> {
        let mut direction = self.direction(&at.gradient);
        let mut slope = dot(&direction, &at.gradient);
        if slope >= 0.0 {
            self.pairs.clear();
            direction = self.direction(&at.gradient);
            slope = dot(&direction, &at.gradient);
        }
        if slope >= 0.0 {
            return Ok(false);
        }
        let first = match self.pairs.is_empty() {
            true => self.first * (at.values.len() as f64).sqrt() / dot(&direction, &direction).sqrt(),
            false => 1.0,
        };
        let mut next = at.clone();
        let start = Trial { step: 0.0, value: at.loss, slope };
        let found = search(start, first, |step| {
            for ((value, from), along) in next.values.iter_mut().zip(&at.values).zip(&direction) {
                *value = from + step as f32 * along;
            }
            next.loss = evaluate(&next.values, &mut next.gradient)?;
            Ok((next.loss, dot(&next.gradient, &direction)))
        })?;
        if found.is_none() {
            self.pairs.clear();
            return Ok(false);
        }
        let mut pair = match self.pairs.len() >= self.history {
            true => self.pairs.pop_front(),
            false => None,
        }
        .unwrap_or_else(|| Pair { step: Vec::new(), change: Vec::new(), rho: 0.0 });
        let less = |to: &mut Vec<f32>, a: &[f32], b: &[f32]| {
            to.clear();
            to.extend(a.iter().zip(b).map(|(a, b)| a - b));
        };
        less(&mut pair.step, &next.values, &at.values);
        less(&mut pair.change, &next.gradient, &at.gradient);
        let product = dot(&pair.step, &pair.change);
        if product > 0.0 {
            pair.rho = 1.0 / product;
            self.pairs.push_back(pair);
        }
        std::mem::swap(at, &mut next);
        Ok(true)
    }

    /// Search direction: the negative gradient times the estimated inverse Hessian.
    fn direction(&self, gradient: &[f32]) -> Vec<f32> {
        let mut direction: Vec<f32> = gradient.iter().map(|value| -value).collect();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let alpha = pair.rho * dot(&pair.step, &direction);
            add(&mut direction, -alpha, &pair.change);
            alphas.push(alpha);
        }
        if let Some(last) = self.pairs.back() {
            let gamma = (1.0 / last.rho / dot(&last.change, &last.change)) as f32;
            direction.iter_mut().for_each(|value| *value *= gamma);
        }
        for (pair, alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = pair.rho * dot(&pair.change, &direction);
            add(&mut direction, alpha - beta, &pair.step);
        }
        direction
    }
}

fn add(to: &mut [f32], factor: f64, from: &[f32]) {
    let factor = factor as f32;
    to.iter_mut().zip(from).for_each(|(sum, value)| *sum += factor * value);
}

/// Dot product in 64 bits, with eight accumulators.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    rest + sums.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use argmin::core::{CostFunction, Error as ArgminError, Executor, Gradient, State};
    use argmin::solver::linesearch::MoreThuenteLineSearch;
    use argmin::solver::quasinewton::LBFGS;

    use super::*;

    /// A bowl with different curvature along each axis, and a non-quadratic term.
    #[derive(Clone, Copy)]
    struct Bowl;

    impl Bowl {
        fn value(x: &[f64]) -> f64 {
            let own = |(i, x): (usize, &f64)| 0.5 * (0.2 + 0.15 * i as f64) * (x - i as f64 / 3.0).powi(2);
            let bent: f64 = x.windows(2).map(|pair| 0.1 * (pair[0] * pair[1]).sin()).sum();
            x.iter().enumerate().map(own).sum::<f64>() + bent
        }

        fn slope(x: &[f64]) -> Vec<f64> {
            let mut slope: Vec<f64> =
                x.iter().enumerate().map(|(i, x)| (0.2 + 0.15 * i as f64) * (x - i as f64 / 3.0)).collect();
            for i in 1..x.len() {
                let cosine = 0.1 * (x[i - 1] * x[i]).cos();
                slope[i - 1] += cosine * x[i];
                slope[i] += cosine * x[i - 1];
            }
            slope
        }
    }

    impl CostFunction for Bowl {
        type Param = Vec<f64>;
        type Output = f64;

        fn cost(&self, x: &Self::Param) -> Result<f64, ArgminError> {
            Ok(Self::value(x))
        }
    }

    impl Gradient for Bowl {
        type Param = Vec<f64>;
        type Gradient = Vec<f64>;

        fn gradient(&self, x: &Self::Param) -> Result<Vec<f64>, ArgminError> {
            Ok(Self::slope(x))
        }
    }

    fn evaluate(values: &[f32], gradient: &mut [f32]) -> crate::Result<f64> {
        let x: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        gradient.iter_mut().zip(Bowl::slope(&x)).for_each(|(g, slope)| *g = slope as f32);
        Ok(Bowl::value(&x))
    }

    fn start(values: Vec<f32>) -> TensorRef {
        let mut gradient = vec![0.0; values.len()];
        let loss = evaluate(&values, &mut gradient).unwrap();
        TensorRef { values, loss, gradient }
    }

    /// Compares each step with argmin's L-BFGS and its Moré-Thuente line search.
    #[test]
    fn a_trajectory_is_that_of_argmin() {
        let from: Vec<f64> = (0..8).map(|i| f64::from(i % 3) - 1.5).collect();
        let mut at = start(from.iter().map(|&x| x as f32).collect());
        // argmin's first trial step is the gradient itself.
        let first = (dot(&at.gradient, &at.gradient) / 8.0).sqrt();
        let mut state = LbfgsState::new(Lbfgs { history: 4 }, first);
        for steps in 1..=8 {
            assert!(state.step(&mut at, evaluate).unwrap());
            let search = MoreThuenteLineSearch::new().with_c(1e-4, 0.9).unwrap();
            let run = Executor::new(Bowl, LBFGS::new(search, 4))
                .configure(|state| state.param(from.clone()).max_iters(steps))
                .run()
                .unwrap();
            let expected = run.state().get_param().unwrap();
            for (got, expected) in at.values.iter().zip(expected) {
                assert!((f64::from(*got) - expected).abs() < 1e-4, "step {steps}: {:?} {expected}", at.values);
            }
        }
    }

    #[test]
    fn it_ends_where_the_gradient_does() {
        let mut at = start(vec![9.0; 8]);
        let mut state = LbfgsState::new(Lbfgs { history: 5 }, 1.0);
        let before = at.loss;
        for _ in 0..60 {
            let last = at.loss;
            if !state.step(&mut at, evaluate).unwrap() {
                break;
            }
            assert!(at.loss <= last);
        }
        assert!(at.loss < before && at.gradient.iter().all(|g| g.abs() < 1e-3), "{:?}", at.gradient);
    }
}
