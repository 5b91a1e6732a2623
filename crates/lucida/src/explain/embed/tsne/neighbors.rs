//! Neighborhoods in feature space.

use crate::Cpu;
use crate::explain::embed::matrix::by_parts;

/// Bisection steps of the search for the width of a Gaussian.
const HALVINGS: usize = 64;

/// The sparse symmetric matrix of joint probabilities of pairs of points, which sum to one.
#[derive(Debug, Clone)]
pub(super) struct Neighbors {
    /// The index of the first neighbor of each point.
    starts: Vec<usize>,
    others: Vec<u32>,
    shares: Vec<f64>,
}

impl Neighbors {
    /// Finds the `nearest` neighbors of each point of `width` coordinates, and their symmetrized probabilities at this
    /// perplexity.
    pub(super) fn find(points: &[f64], width: usize, nearest: usize, perplexity: f64, cpu: Cpu) -> Self {
        let count = points.len() / width;
        let row = |index: usize| &points[index * width..][..width];
        let chosen = by_parts(cpu, count, |range| {
            range
                .map(|index| {
                    let distance =
                        |other: usize| row(index).iter().zip(row(other)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
                    let mut others: Vec<(f64, u32)> = (0..count)
                        .filter(|&other| other != index)
                        .map(|other| (distance(other), other as u32))
                        .collect();
                    if others.len() > nearest {
                        others.select_nth_unstable_by(nearest - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                        others.truncate(nearest);
                    }
                    let distances: Vec<f64> = others.iter().map(|(distance, _)| *distance).collect();
                    let shares = bell(&distances, perplexity);
                    others.into_iter().map(|(_, other)| other).zip(shares).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        });
        let mut pairs: Vec<(u32, u32, f64)> = Vec::with_capacity(2 * count * nearest);
        for (index, others) in chosen.into_iter().flatten().enumerate() {
            for (other, share) in others {
                let share = share / (2 * count) as f64;
                pairs.push((index as u32, other, share));
                pairs.push((other, index as u32, share));
            }
        }
        pairs.sort_by_key(|&(index, other, _)| (index, other));
        pairs.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 += next.2;
            }
            same
        });
        let mut starts = vec![0; count + 1];
        pairs.iter().for_each(|(index, ..)| starts[*index as usize + 1] += 1);
        for index in 0..count {
            starts[index + 1] += starts[index];
        }
        let (others, shares) = pairs.into_iter().map(|(_, other, share)| (other, share)).unzip();
        Self { starts, others, shares }
    }

    /// The neighbors of a point with their joint probabilities.
    pub(super) fn of(&self, index: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[index]..self.starts[index + 1];
        self.others[range.clone()].iter().map(|&other| other as usize).zip(self.shares[range].iter().copied())
    }
}

/// The probabilities of neighbors at these squared distances, under a Gaussian whose width gives this perplexity.
pub(super) fn bell(distances: &[f64], perplexity: f64) -> Vec<f64> {
    let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let wanted = perplexity.ln();
    let (mut low, mut high, mut sharpness) = (0.0_f64, f64::INFINITY, 1.0_f64);
    let mut shares = vec![0.0; distances.len()];
    for _ in 0..HALVINGS {
        let mut sum = 0.0;
        let mut moment = 0.0;
        for (share, distance) in shares.iter_mut().zip(distances) {
            let away = distance - least;
            *share = (-sharpness * away).exp();
            sum += *share;
            moment += *share * away;
        }
        shares.iter_mut().for_each(|share| *share /= sum);
        let entropy = sum.ln() + sharpness * moment / sum;
        if (entropy - wanted).abs() < 1e-7 {
            break;
        }
        if entropy > wanted {
            low = sharpness;
            sharpness = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * sharpness };
        } else {
            high = sharpness;
            sharpness = (low + high) / 2.0;
        }
        if !sharpness.is_finite() || sharpness == 0.0 {
            break;
        }
    }
    shares
}
