//! Gram matrices of features, and their backward pass.

use lucida_kernels::{Buffer, ChannelMap, Cpu, Gram};

/// Gram products for a number of channels.
#[derive(Debug)]
pub(in crate::style) struct GramProducts {
    gram: Gram,
    back: ChannelMap,
    matrix: Buffer,
    pub(in crate::style) channels: usize,
}

impl GramProducts {
    pub(in crate::style) fn new(cpu: Cpu, channels: usize) -> Self {
        let (gram, back) = (Gram::new(cpu, channels), ChannelMap::new(cpu, channels));
        Self { gram, back, matrix: Buffer::zeroed(channels * channels), channels }
    }

    /// Adds `F^T F` to `sums`, for features `[pixels, channels]`.
    pub(in crate::style) fn correlate(&mut self, features: &[f32], sums: &mut Buffer) {
        self.gram.run(features, &mut self.matrix);
        sums.iter_mut().zip(self.matrix.iter()).for_each(|(sum, value)| *sum += value);
    }

    /// Sets the matrix `D` of [`gram_backward`](Self::gram_backward).
    pub(in crate::style) fn set_matrix(&mut self, matrix: &[f32]) {
        self.back.set(matrix, &[]);
    }

    /// Writes `F D` to `gradient`, or adds it.
    pub(in crate::style) fn gram_backward(&mut self, features: &[f32], gradient: &mut [f32], accumulate: bool) {
        self.back.run(features, gradient, accumulate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let (channels, pixels) = (5, 40);
        let features: Vec<f32> = (0..channels * pixels).map(|i| ((i * 37) % 11) as f32 / 4.0 - 1.0).collect();
        let mut products = GramProducts::new(Cpu::detect(), channels);
        let mut sums = Buffer::zeroed(channels * channels);
        products.correlate(&features, &mut sums);
        products.correlate(&features, &mut sums);
        let expected: f32 = 2.0 * features.chunks(channels).map(|pixel| pixel[1] * pixel[3]).sum::<f32>();
        assert!((sums[channels + 3] - expected).abs() < 1e-4 && sums[channels + 3] == sums[3 * channels + 1]);
        let mut matrix = vec![0.0; channels * channels];
        (matrix[1], matrix[channels]) = (2.0, 2.0);
        products.set_matrix(&matrix);
        let mut gradient = vec![1.0; features.len()];
        products.gram_backward(&features, &mut gradient, true);
        for (gradient, features) in gradient.chunks(channels).zip(features.chunks(channels)) {
            assert_eq!(gradient, [1.0 + 2.0 * features[1], 1.0 + 2.0 * features[0], 1.0, 1.0, 1.0]);
        }
    }
}
