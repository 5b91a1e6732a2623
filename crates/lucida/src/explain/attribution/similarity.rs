//! Similarity of two maps.

/// Spearman's rank correlation, -1 to 1: Pearson's correlation of the ranks, with mean ranks for ties. 0 if one of the maps
/// is constant.
pub(super) fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        both += (x - mean) * (y - mean);
        of_a += (x - mean).powi(2);
        of_b += (y - mean).powi(2);
    }
    if of_a > 0.0 && of_b > 0.0 { both / (of_a * of_b).sqrt() } else { 0.0 }
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|&at| ranks[at] = mean);
        first += equal.len();
    }
    ranks
}

/// The Gaussian window of [`structural_similarity`]: its standard deviation and its reach in pixels.
const DEVIATION: f64 = 1.5;
const REACH: usize = 5;

/// The structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004, "Image quality assessment", equation 13) of two
/// maps with values from 0 to 1: the mean over all positions of windows of 11 x 11 pixels, with Gaussian weights of
/// standard deviation 1.5, truncated at the border. 1 for equal maps.
pub(super) fn structural_similarity(a: &[f32], b: &[f32], [height, width]: [usize; 2]) -> f64 {
    let (c1, c2) = (0.01_f64.powi(2), 0.03_f64.powi(2));
    let weight = |d: usize| (-0.5 * (d as f64 / DEVIATION).powi(2)).exp();
    let window = |at: usize, size: usize| at.saturating_sub(REACH)..(at + REACH + 1).min(size);
    let mut total = 0.0;
    for y in 0..height {
        for x in 0..width {
            let (mut all, mut ma, mut mb, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
            for row in window(y, height) {
                for column in window(x, width) {
                    let share = weight(row.abs_diff(y)) * weight(column.abs_diff(x));
                    let (p, q) = (f64::from(a[row * width + column]), f64::from(b[row * width + column]));
                    all += share;
                    ma += share * p;
                    mb += share * q;
                    aa += share * p * p;
                    bb += share * q * q;
                    ab += share * p * q;
                }
            }
            let (ma, mb) = (ma / all, mb / all);
            let (va, vb, cov) = (aa / all - ma * ma, bb / all - mb * mb, ab / all - ma * mb);
            total += (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
        }
    }
    total / (height * width) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlations() {
        let close = |a: &[f32], b: &[f32], expected: f64| {
            let got = rank_correlation(a, b);
            assert!((got - expected).abs() < 1e-9, "{got}");
        };
        close(&[1.0, 2.0, 30.0, 4.0], &[0.1, 0.2, 0.9, 0.4], 1.0);
        close(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0);
        // Ranks minus their mean: -1.5, 0, 0, 1.5 and -1.5, 1.5, 0, 0, so 2.25 / 4.5.
        close(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 2.0], 0.5);
        close(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], 0.0);
    }

    #[test]
    fn structural_similarities() {
        let map: Vec<f32> = (0..20 * 16).map(|i| ((i * 37) % 101) as f32 / 100.0).collect();
        assert!((structural_similarity(&map, &map, [20, 16]) - 1.0).abs() < 1e-9);
        let inverse: Vec<f32> = map.iter().map(|value| 1.0 - value).collect();
        assert!(structural_similarity(&map, &inverse, [20, 16]) < -0.5);
        let darker: Vec<f32> = map.iter().map(|value| 0.8 * value).collect();
        let part = structural_similarity(&map, &darker, [20, 16]);
        assert!((0.8..0.99).contains(&part), "{part}");
        // Two constant maps: only the term of the means remains, (2 * 0.5 * 0.2 + 1e-4) / (0.29 + 1e-4).
        let even = structural_similarity(&[0.5; 35], &[0.2; 35], [7, 5]);
        assert!((even - 0.2001 / 0.2901).abs() < 1e-6, "{even}");
    }
}
