//! Content loss: distance between the features of the image and those of the content.

use lucida_kernels::Cpu;

/// Normalization of a layer's squared feature differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentNorm {
    /// Half their sum (Gatys et al., equation 1).
    HalfSum,
    /// Their mean, as in TensorFlow's tutorial.
    Mean,
    /// Their sum, divided by the sum of squares of the content's features: 0 for the content itself, about 1 for unrelated
    /// features.
    Relative,
}

impl ContentNorm {
    /// Factor of the sum of squares, given the number of the content's features and their sum of squares.
    pub(in crate::style) fn factor(self, count: usize, squares: f64) -> f64 {
        match self {
            Self::HalfSum => 0.5,
            Self::Mean => 1.0 / count.max(1) as f64,
            Self::Relative => 1.0 / squares.max(f64::MIN_POSITIVE),
        }
    }
}

/// Length of the chunks that are summed in 32 bits; their sums are added in 64 bits, to limit rounding errors.
const PART: usize = 1 << 12;

/// Writes `scale * (features - wanted)`, and returns the sum of the squared differences.
pub(in crate::style) fn difference(
    cpu: Cpu,
    features: &[f32],
    wanted: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let mut sums = vec![0.0; gradient.len().div_ceil(PART)];
    let parts = std::sync::Mutex::new(&mut sums);
    cpu.parallel_chunks(gradient, PART, |index, gradient| {
        let range = index * PART..index * PART + gradient.len();
        let mut sum = 0.0;
        for ((g, &f), &w) in gradient.iter_mut().zip(&features[range.clone()]).zip(&wanted[range]) {
            let difference = f - w;
            *g = scale * difference;
            sum += difference * difference;
        }
        parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[index] = f64::from(sum);
    });
    sums.iter().sum()
}

/// Computes the sum of squares.
pub(in crate::style) fn squares(values: &[f32]) -> f64 {
    values.chunks(PART).map(|part| f64::from(part.iter().map(|value| value * value).sum::<f32>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_their_squares() {
        let features: Vec<f32> = (0..10_000).map(|i| (i % 7) as f32).collect();
        let wanted: Vec<f32> = (0..10_000).map(|i| (i % 5) as f32).collect();
        let mut gradient = vec![0.0; 10_000];
        let sum = difference(Cpu::detect(), &features, &wanted, 2.0, &mut gradient);
        let expected: f64 = features.iter().zip(&wanted).map(|(f, w)| f64::from(f - w).powi(2)).sum();
        assert_eq!(sum, expected);
        assert!(gradient.iter().zip(features.iter().zip(&wanted)).all(|(g, (f, w))| *g == 2.0 * (f - w)));
        assert_eq!(squares(&[3.0, 4.0]), 25.0);
        assert_eq!(ContentNorm::Mean.factor(4, 1.0), 0.25);
        assert_eq!(ContentNorm::Relative.factor(4, 8.0), 0.125);
    }
}
