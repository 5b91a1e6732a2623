//! L-BFGS: J. Nocedal, "Updating Quasi-Newton Matrices with Limited Storage" (1980).
//!
//! The direction of a step is the gradient times an estimate of the inverse of the second derivatives, made of the last
//! few steps and the changes of the gradient over them; it is never written down as a matrix (the two loops of Nocedal and
//! Wright, algorithm 7.4).

use std::collections::VecDeque;

use super::line_search::{Trial, search};
use crate::Result;

/// The constants of L-BFGS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lbfgs {
    /// Steps that are remembered: two pictures' worth of numbers each.
    pub history: usize,
}

/// A point with its value and gradient.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) values: Vec<f32>,
    pub(super) loss: f64,
    pub(super) gradient: Vec<f32>,
}

/// L-BFGS on its way.
#[derive(Debug, Clone)]
pub(super) struct LbfgsState {
    history: usize,
    /// The first trial of the first step: how far the values move, as the root of the mean square.
    first: f64,
    pairs: VecDeque<Pair>,
}

/// A step and the change of the gradient over it.
#[derive(Debug, Clone)]
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// One over their product.
    rho: f64,
}

impl LbfgsState {
    pub(super) fn new(settings: Lbfgs, first: f64) -> Self {
        Self { history: settings.history.max(1), first, pairs: VecDeque::new() }
    }

    /// Takes one step; `evaluate` writes the gradient and returns the loss. Whether it came anywhere: if not, the history
    /// is forgotten, and a second failure in a row means that this is as low as it gets.
    pub(super) fn step(
        &mut self,
        at: &mut Point,
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

    /// Against the gradient, bent by what is known of the second derivatives.
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

/// In 64 bits, eight sums at a time.
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
