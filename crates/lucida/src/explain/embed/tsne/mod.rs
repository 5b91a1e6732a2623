//! t-SNE, a map of points that preserves neighborhoods: L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE"
//! (2008).
//!
//! Each point has a Gaussian distribution over its neighbors in feature space, with a width set by the perplexity. The map
//! is optimized so that its neighborhoods match: neighbors attract each other, all points repel each other. Up to [`EXACT`]
//! points, all pairs are computed. Beyond, only the nearest neighbors, three times the perplexity, attract, and distant
//! points repel as groups: L. van der Maaten, "Accelerating t-SNE using Tree-Based Algorithms" (2014), after J. Barnes and
//! P. Hut (1986).
//!
//! The map is initialized with the first two principal components, which preserves the global arrangement and makes the
//! result reproducible: D. Kobak and P. Berens, "The art of using t-SNE for single-cell transcriptomics" (2019), whose
//! learning rate is used as well.

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

/// The maximum number of points for exact computation.
const EXACT: usize = 1000;
/// The number of principal components used to compute distances.
const DIRECTIONS: usize = 50;
/// The factor of the attraction during early exaggeration, while clusters form.
const EXAGGERATION: f64 = 12.0;
/// The fraction of iterations with early exaggeration.
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
    /// The approximate number of neighbors of a point. Default 30; at most a third of the points.
    pub perplexity: f64,
    /// The number of iterations. Default 1000.
    pub iterations: usize,
    /// The maximum apparent size of a group that repels as one (Barnes-Hut), 0 to 0.7. Default 0.5.
    pub theta: f64,
    /// The seed for the principal components.
    pub seed: u64,
}

impl Default for Tsne {
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 1000, theta: 0.5, seed: 42 }
    }
}

impl Tsne {
    /// The minimum number of images.
    pub const FEWEST: usize = 5;

    /// Computes the coordinates of each image.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer than five images or a setting is invalid; [`Error::Interrupted`] when
    /// `progress` requests a stop.
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
        // The equilibrium has a size of many units; starting far below it lets the map unfold.
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
                    // An adaptive gain for each coordinate: it grows while the direction is kept, and shrinks when it
                    // changes.
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

/// Points at the same position would feel the same forces forever: perturb them slightly.
fn part_equal_points(points: &mut [[f64; 2]]) {
    let count = points.len() as f64;
    for (index, point) in points.iter_mut().enumerate() {
        // A golden-angle spiral fills a disc evenly.
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

/// The gradient of the Kullback-Leibler divergence between the neighborhoods in feature space and on the map.
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

/// The attraction by a point's neighbors.
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

/// The repulsion by all other points, and the sum of the kernel weights.
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
