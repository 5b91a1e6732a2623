//! Principal component analysis.
//!
//! The subspace is computed by random projections and a few power iterations: N. Halko, P. Martinsson, J. Tropp: "Finding
//! structure with randomness" (2011). This takes a few passes over the features, whatever their width.

use super::Features;
use super::matrix::{by_parts, eigen, orthonormalize};
use crate::core::{Purpose, Rng};
use crate::{Cpu, Error, Result};

/// Additional directions, which improve the accuracy of the requested ones.
const BEYOND: usize = 10;
/// The number of power iterations.
const PASSES: usize = 6;

/// Principal component analysis of features: the scores of each image, and the explained variance.
///
/// ```
/// use lucida::Cpu;
/// use lucida::explain::embed::{Features, Pca};
///
/// // Three points on a line.
/// let features = Features::new("dense", 2, vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0])?;
/// let pca = Pca::of(&features, 2, 42, Cpu::detect())?;
/// assert!((pca.explained()[0] - 1.0).abs() < 1e-6);
/// assert_eq!(pca.plane().len(), 3);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    components: usize,
    /// `[images, components]`.
    scores: Vec<f64>,
    /// The fraction of the total variance along each component.
    explained: Vec<f64>,
}

impl Pca {
    /// Computes the first `components` components, or fewer if the features have a lower rank. The sign of each is chosen
    /// so that its largest entry is positive, so that the same features give the same result.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer than two images, or `components` is 0.
    pub fn of(features: &Features, components: usize, seed: u64, cpu: Cpu) -> Result<Self> {
        let (rows, width) = (features.len(), features.width());
        if rows < 2 || components == 0 {
            return Err(Error::argument(format!(
                "PCA needs at least one component and two images, not {components} and {rows}"
            )));
        }
        let components = components.min(width).min(rows - 1);
        let size = (components + BEYOND).min(width).min(rows);
        let mean = column_means(features, cpu);

        let mut rng = Rng::keyed(seed, Purpose::Embed, 0);
        let mut directions: Vec<f64> = Vec::with_capacity(width * size + 1);
        while directions.len() < width * size {
            directions.extend(rng.normal_pair());
        }
        directions.truncate(width * size);
        orthonormalize(&mut directions, size);
        for _ in 0..PASSES {
            let along = project(features, &mean, &directions, size, cpu);
            directions = gather(features, &mean, &along, size, cpu);
            orthonormalize(&mut directions, size);
        }
        // Within the subspace, the components are the eigenvectors of a small symmetric matrix.
        let along = project(features, &mean, &directions, size, cpu);
        let (mut values, mut turn) = eigen(&squares(&along, size), size);
        let main: Vec<f64> = multiply(&directions, &turn, size);
        for column in 0..size {
            let greatest = (0..width)
                .map(|row| main[row * size + column])
                .fold(0.0_f64, |most, value| if value.abs() > most.abs() { value } else { most });
            if greatest < 0.0 {
                (0..size).for_each(|row| turn[row * size + column] *= -1.0);
            }
        }
        let turned = multiply(&along, &turn, size);
        let scores = turned.chunks_exact(size).flat_map(|row| &row[..components]).copied().collect();
        let total: f64 = by_parts(cpu, rows, |range| {
            let squares =
                |index| features.row(index).iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum::<f64>();
            range.map(squares).sum::<f64>()
        })
        .iter()
        .sum();
        values.truncate(components);
        let explained = values.iter().map(|value| if total > 0.0 { value.max(0.0) / total } else { 0.0 }).collect();
        Ok(Self { components, scores, explained })
    }

    /// The number of components.
    pub fn components(&self) -> usize {
        self.components
    }

    /// The coordinates of the images along the components: `[images, components]`.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The fraction of the total variance along each component, 0 to 1.
    pub fn explained(&self) -> &[f64] {
        &self.explained
    }

    /// The coordinates along the first two components; the second is zero if there is only one.
    pub fn plane(&self) -> Vec<[f64; 2]> {
        let rows = self.scores.chunks_exact(self.components);
        rows.map(|row| [row[0], row.get(1).copied().unwrap_or(0.0)]).collect()
    }
}

fn column_means(features: &Features, cpu: Cpu) -> Vec<f64> {
    let parts = by_parts(cpu, features.len(), |range| {
        let mut sums = vec![0.0_f64; features.width()];
        for index in range {
            sums.iter_mut().zip(features.row(index)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sums
    });
    let mut means = vec![0.0; features.width()];
    for part in parts {
        means.iter_mut().zip(part).for_each(|(mean, sum)| *mean += sum / features.len() as f64);
    }
    means
}

/// The centered features projected onto `size` directions: `[images, size]`.
fn project(features: &Features, mean: &[f64], directions: &[f64], size: usize, cpu: Cpu) -> Vec<f64> {
    let parts = by_parts(cpu, features.len(), |range| {
        let mut out = vec![0.0_f64; range.len() * size];
        for (index, sums) in range.zip(out.chunks_exact_mut(size)) {
            for ((&value, mean), direction) in features.row(index).iter().zip(mean).zip(directions.chunks_exact(size)) {
                let value = f64::from(value) - mean;
                sums.iter_mut().zip(direction).for_each(|(sum, part)| *sum += value * part);
            }
        }
        out
    });
    parts.concat()
}

/// The transposed centered features times `along`: `[features, size]`.
fn gather(features: &Features, mean: &[f64], along: &[f64], size: usize, cpu: Cpu) -> Vec<f64> {
    let parts = by_parts(cpu, features.len(), |range| {
        let mut out = vec![0.0_f64; features.width() * size];
        for index in range {
            let weights = &along[index * size..][..size];
            for ((&value, mean), sums) in features.row(index).iter().zip(mean).zip(out.chunks_exact_mut(size)) {
                let value = f64::from(value) - mean;
                // After a ReLU most features are zero, but not after centering: sparsity cannot be exploited.
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
        }
        out
    });
    let mut total = vec![0.0; features.width() * size];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}

/// The products of all pairs of columns.
fn squares(matrix: &[f64], size: usize) -> Vec<f64> {
    let mut out = vec![0.0; size * size];
    for row in matrix.chunks_exact(size) {
        for (&value, sums) in row.iter().zip(out.chunks_exact_mut(size)) {
            sums.iter_mut().zip(row).for_each(|(sum, other)| *sum += value * other);
        }
    }
    out
}

/// The product of a tall matrix and a square one.
fn multiply(matrix: &[f64], square: &[f64], size: usize) -> Vec<f64> {
    let mut out = vec![0.0; matrix.len()];
    for (row, sums) in matrix.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        for (&value, part) in row.iter().zip(square.chunks_exact(size)) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += value * part);
        }
    }
    out
}
