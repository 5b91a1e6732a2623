//! A map of points that keeps neighbors together: L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE" (2008).
//!
//! Each point has chosen its neighbors among the features (a bell around it, as wide as the perplexity says), and the map
//! is moved until its own neighborhoods are the same: neighbors attract each other, all points repel each other. Up to
//! [`EXACT`] points all pairs are computed. Beyond, a point's neighbors are the nearest three times the perplexity, and
//! far points repel as groups: L. van der Maaten, "Accelerating t-SNE using Tree-Based Algorithms" (2014), after J. Barnes
//! and P. Hut (1986).
//!
//! The map begins as the plane of the first two main directions, so that it keeps the coarse arrangement too and is the
//! same every time: D. Kobak and P. Berens, "The art of using t-SNE for single-cell transcriptomics" (2019), whose rate of
//! learning is used as well.

mod neighbors;
mod tree;

#[cfg(test)]
pub(in crate::explain::embed) mod tests;

use neighbors::Neighbors;
use tree::Tree;

use super::matrix::by_parts;
use super::{Features, Pca};
use crate::core::progress::{Progress, Step, Unit, report};
use crate::{Cpu, Error, Result};

/// Up to this many points, everything is exact.
const EXACT: usize = 1000;
/// Main directions that the distances are measured along.
const DIRECTIONS: usize = 50;
/// While the clusters form, neighbors attract each other so much more.
const EXAGGERATION: f64 = 12.0;
/// Iterations for which they do, of all.
const FORMING: f64 = 0.25;

/// t-SNE and its hyperparameters: a two-dimensional map of features.
///
/// ```
/// use lucida::Cpu;
/// use lucida::explain::embed::{Features, Tsne};
///
/// // Two groups of ten points.
/// let values = (0..40).map(|i| if i < 20 { 0.01 * i as f32 } else { 5.0 + 0.01 * i as f32 }).collect();
/// let features = Features::new("dense", 2, values)?;
/// let tsne = Tsne { iterations: 100, ..Tsne::default() };
/// assert_eq!(tsne.map(&features, Cpu::detect(), &mut ())?.len(), 20);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tsne {
    /// How many neighbors a point has, roughly: 30 by default; at most a third of the points are taken.
    pub perplexity: f64,
    /// Steps: 1000 by default.
    pub iterations: usize,
    /// How small a group must look to repel as one, 0 to 0.7: 0.5 by default.
    pub theta: f64,
    /// Decides where the search for the main directions begins.
    pub seed: u64,
}

impl Default for Tsne {
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 1000, theta: 0.5, seed: 42 }
    }
}

impl Tsne {
    /// The fewest images that have a map.
    pub const FEWEST: usize = 5;

    /// A place for each image.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer than five images or a setting cannot be used; [`Error::Interrupted`] when
    /// `progress` stops it.
    pub fn map(&self, features: &Features, cpu: Cpu, progress: &mut dyn Progress) -> Result<Vec<[f64; 2]>> {
        let count = features.len();
        if count < Self::FEWEST {
            let fewest = Self::FEWEST;
            return Err(Error::argument(format!("t-SNE needs at least {fewest} images, not {count}")));
        }
        if !(1.0..=1000.0).contains(&self.perplexity) || !(0.0..=0.7).contains(&self.theta) || self.iterations == 0 {
            let Self { perplexity, iterations, theta, .. } = self;
            return Err(Error::argument(format!(
                "t-SNE with a perplexity of {perplexity} (1 to 1000), a theta of {theta} (0 to 0.7) and {iterations} steps \
                 cannot be made"
            )));
        }
        let pca = Pca::of(features, DIRECTIONS, self.seed, cpu)?;
        let perplexity = self.perplexity.min((count - 1) as f64 / 3.0);
        let nearest = if count <= EXACT { count - 1 } else { (3.0 * perplexity).ceil() as usize };
        let neighbors = Neighbors::find(pca.scores(), pca.components(), nearest, perplexity, cpu);
        let theta = if count <= EXACT { 0.0 } else { self.theta };
        let mut points = pca.plane();
        // The forces are in equilibrium at a size of many units; from far below it the map unfolds.
        let spread = (points.iter().map(|[x, _]| x * x).sum::<f64>() / count as f64).sqrt();
        let scale = if spread > 0.0 { 1e-4 / spread } else { 0.0 };
        points.iter_mut().for_each(|point| *point = point.map(|value| value * scale));
        part_equal_points(&mut points);

        let rate = (count as f64 / EXAGGERATION / 4.0).max(50.0);
        let forming = (self.iterations as f64 * FORMING) as usize;
        let mut speeds = vec![[0.0; 2]; count];
        let mut gains = vec![[1.0_f64; 2]; count];
        for step in 0..self.iterations {
            let (exaggeration, momentum) = if step < forming { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
            let gradient = gradient(&points, &neighbors, exaggeration, theta, cpu);
            for (((point, slope), speed), gain) in points.iter_mut().zip(gradient).zip(&mut speeds).zip(&mut gains) {
                for axis in 0..2 {
                    // A rate for each coordinate: it grows while the direction stays and shrinks when it turns.
                    let turned = (slope[axis] > 0.0) == (speed[axis] > 0.0);
                    gain[axis] = if turned { (gain[axis] * 0.8).max(0.01) } else { gain[axis] + 0.2 };
                    speed[axis] = momentum * speed[axis] - rate * gain[axis] * slope[axis];
                    point[axis] += speed[axis];
                }
            }
            center(&mut points);
            report(progress, &Step::new(Unit::Steps, step + 1, self.iterations))?;
        }
        Ok(points)
    }
}

/// Points in one place feel equal forces for ever: they are moved apart by next to nothing.
fn part_equal_points(points: &mut [[f64; 2]]) {
    let count = points.len() as f64;
    for (index, point) in points.iter_mut().enumerate() {
        // A spiral of the golden angle fills a disc evenly.
        let angle = index as f64 * 2.399_963_229_728_653;
        let radius = 1e-7 * ((index as f64 + 0.5) / count).sqrt();
        point[0] += radius * angle.cos();
        point[1] += radius * angle.sin();
    }
}

fn center(points: &mut [[f64; 2]]) {
    for axis in 0..2 {
        let mean = points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64;
        points.iter_mut().for_each(|point| point[axis] -= mean);
    }
}

/// The gradient of the divergence of Kullback and Leibler between the neighborhoods among the features and on the map.
fn gradient(points: &[[f64; 2]], neighbors: &Neighbors, exaggeration: f64, theta: f64, cpu: Cpu) -> Vec<[f64; 2]> {
    let tree = (theta > 0.0).then(|| Tree::of(points));
    let parts = by_parts(cpu, points.len(), |range| {
        let mut whole = 0.0;
        let forces: Vec<_> = range
            .map(|index| {
                let (repelled, weight) = match &tree {
                    Some(tree) => tree.repulsion(index, theta),
                    None => repulsion(points, index),
                };
                whole += weight;
                (attraction(points, neighbors, index), repelled)
            })
            .collect();
        (forces, whole)
    });
    let whole: f64 = parts.iter().map(|(_, whole)| whole).sum();
    let forces = parts.into_iter().flat_map(|(forces, _)| forces);
    forces
        .map(|(attracted, repelled)| {
            std::array::from_fn(|axis| 4.0 * (exaggeration * attracted[axis] - repelled[axis] / whole))
        })
        .collect()
}

/// The pull of a point's neighbors.
fn attraction(points: &[[f64; 2]], neighbors: &Neighbors, index: usize) -> [f64; 2] {
    let [x, y] = points[index];
    let mut sum = [0.0; 2];
    for (other, share) in neighbors.of(index) {
        let (dx, dy) = (x - points[other][0], y - points[other][1]);
        let force = share / (1.0 + dx * dx + dy * dy);
        sum[0] += force * dx;
        sum[1] += force * dy;
    }
    sum
}

/// The push of all other points, and the sum of the weights of their distances.
fn repulsion(points: &[[f64; 2]], index: usize) -> ([f64; 2], f64) {
    let [x, y] = points[index];
    let (mut sum, mut whole) = ([0.0; 2], 0.0);
    for (other, point) in points.iter().enumerate() {
        if other != index {
            let (dx, dy) = (x - point[0], y - point[1]);
            let weight = 1.0 / (1.0 + dx * dx + dy * dy);
            whole += weight;
            sum[0] += weight * weight * dx;
            sum[1] += weight * weight * dy;
        }
    }
    (sum, whole)
}
