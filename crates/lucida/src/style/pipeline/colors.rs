//! Color control: keeps the colors of the content; L. Gatys et al., "Preserving Color in Neural Artistic Style Transfer"
//! (2016).

use crate::Result;
use crate::data::Image;
use crate::style::Canvas;

/// The image that the colors of the result come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorSource {
    /// The style image.
    #[default]
    Style,
    /// The content, exactly: only the luminance is stylized.
    Luminance,
    /// The content, approximately: mean and covariance of the style's colors are first matched to those of the content.
    Histogram,
}

impl ColorSource {
    /// Returns the style image with its colors prepared for the content.
    pub(in crate::style) fn prepare(self, content: &Image, style: &Image) -> Result<Image> {
        let (content, style) = (Canvas::of_image(content), Canvas::of_image(style));
        match self {
            Self::Style => style.to_image(),
            Self::Luminance => {
                let luma = gray(&style);
                let ([mean, deviation], [to, wanted]) = (moments(&luma), moments(&gray(&content)));
                let scale = wanted / deviation.max(1e-3);
                let values = luma.iter().flat_map(|value| [((f64::from(*value) - mean) * scale + to) as f32; 3]);
                Canvas { size: style.size, values: values.collect() }.to_image()
            }
            Self::Histogram => matched(&style, &content).to_image(),
        }
    }

    /// Returns the content that the optimization uses.
    pub(in crate::style) fn content(self, content: &Image) -> Image {
        match self {
            Self::Luminance => content.to_gray().to_rgb(),
            Self::Style | Self::Histogram => content.clone(),
        }
    }

    /// Adjusts the colors of an image that was stylized without color control; `content` has the same size.
    pub(in crate::style) fn recolor(self, result: &mut Canvas, content: &Canvas) {
        match self {
            Self::Style => {}
            Self::Luminance => {
                let ([mean, deviation], [to, wanted]) = (moments(&gray(result)), moments(&gray(content)));
                let scale = wanted / deviation.max(1e-3);
                let matched = |value: &mut f32| *value = ((f64::from(*value) - mean) * scale + to) as f32;
                result.values.iter_mut().for_each(matched);
                self.finish(result, content);
            }
            Self::Histogram => *result = matched(result, content),
        }
    }

    /// Restores the content's colors in a result, if required; `content` has the same size.
    pub(in crate::style) fn finish(self, result: &mut Canvas, content: &Canvas) {
        if self != Self::Luminance {
            return;
        }
        let (new, old) = (gray(result), gray(content));
        let pixels = result.values.chunks_exact_mut(3).zip(content.values.chunks_exact(3));
        // Adding the same amount to red, green and blue leaves the color differences unchanged.
        for ((pixel, color), (new, old)) in pixels.zip(new.iter().zip(&old)) {
            pixel.iter_mut().zip(color).for_each(|(value, color)| *value = color + new - old);
        }
    }
}

/// The luma of ITU-R BT.601.
pub(in crate::style) fn gray(canvas: &Canvas) -> Vec<f32> {
    canvas.values.chunks_exact(3).map(|rgb| 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]).collect()
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let square = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    [mean, square.sqrt()]
}

type Matrix = [[f64; 3]; 3];

/// Matches mean and covariance of an image's colors to those of another: `A (x - m) + m'` with `A = S'^1/2 S^-1/2`.
fn matched(canvas: &Canvas, to: &Canvas) -> Canvas {
    let ((mean, covariance), (new_mean, new_covariance)) = (statistics(canvas), statistics(to));
    // Limit the scaling of colors that hardly vary, which would amplify noise.
    let whiten = power(&covariance, |value| 1.0 / value.max(1.0).sqrt());
    let color = power(&new_covariance, |value| value.max(0.0).sqrt());
    let transform = product(&color, &whiten);
    let moved = |pixel: &[f32]| -> [f32; 3] {
        let difference = [0, 1, 2].map(|c: usize| f64::from(pixel[c]) - mean[c]);
        [0, 1, 2].map(|c: usize| ((0..3).map(|k| transform[c][k] * difference[k]).sum::<f64>() + new_mean[c]) as f32)
    };
    Canvas { size: canvas.size, values: canvas.values.chunks_exact(3).flat_map(moved).collect() }
}

/// Mean and covariance of the colors.
fn statistics(canvas: &Canvas) -> ([f64; 3], Matrix) {
    let count = (canvas.values.len() / 3).max(1) as f64;
    let mut mean = [0.0; 3];
    for pixel in canvas.values.chunks_exact(3) {
        (0..3).for_each(|c| mean[c] += f64::from(pixel[c]) / count);
    }
    let mut covariance = [[0.0; 3]; 3];
    for pixel in canvas.values.chunks_exact(3) {
        let difference = [0, 1, 2].map(|c: usize| f64::from(pixel[c]) - mean[c]);
        for (row, a) in covariance.iter_mut().zip(difference) {
            row.iter_mut().zip(difference).for_each(|(sum, b)| *sum += a * b / count);
        }
    }
    (mean, covariance)
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| (0..3).map(|k| a[row][k] * b[k][column]).sum()))
}

/// Applies a function to the eigenvalues of a symmetric matrix (Jacobi rotations).
fn power(matrix: &Matrix, of: impl Fn(f64) -> f64) -> Matrix {
    let mut values = *matrix;
    let mut vectors: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    for _ in 0..30 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if values[p][q].abs() < 1e-300 {
                continue;
            }
            let theta = 0.5 * (2.0 * values[p][q]).atan2(values[q][q] - values[p][p]);
            let (sin, cos) = theta.sin_cos();
            let mut turn: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
            (turn[p][p], turn[p][q], turn[q][p], turn[q][q]) = (cos, sin, -sin, cos);
            let back: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| turn[j][i]));
            values = product(&product(&back, &values), &turn);
            vectors = product(&vectors, &turn);
        }
    }
    std::array::from_fn(|i| {
        std::array::from_fn(|j| (0..3).map(|k| vectors[i][k] * of(values[k][k]) * vectors[j][k]).sum())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(size: [usize; 2], seed: f32, gain: [f32; 3]) -> Canvas {
        let value = |i: usize| 120.0 + gain[i % 3] * ((i / 3) as f32 * seed * (1.0 + 0.37 * (i % 3) as f32)).sin();
        Canvas { size, values: (0..3 * size[0] * size[1]).map(value).collect() }
    }

    #[test]
    fn matching_gives_mean_and_covariance() {
        let (style, content) = (wave([20, 30], 0.7, [40., 10., 25.]), wave([25, 15], 1.9, [20., 60., 5.]));
        let result = matched(&style, &content);
        let ((mean, covariance), (wanted, wanted_covariance)) = (statistics(&result), statistics(&content));
        for c in 0..3 {
            assert!((mean[c] - wanted[c]).abs() < 1e-2);
            (0..3).for_each(|k| assert!((covariance[c][k] - wanted_covariance[c][k]).abs() < 2.0, "{covariance:?}"));
        }
        // A constant image stays constant.
        let flat = matched(&Canvas::filled([4, 4], [9., 9., 9.]), &content);
        assert!(flat.values.chunks(3).all(|pixel| pixel == &flat.values[..3]));
    }

    #[test]
    fn luminance_keeps_the_differences_of_color() {
        let (mut result, content) = (wave([8, 8], 0.3, [30.; 3]), wave([8, 8], 1.1, [50., 20., 40.]));
        let wanted = gray(&result);
        ColorSource::Luminance.finish(&mut result, &content);
        for (got, wanted) in gray(&result).iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-3);
        }
        for (pixel, color) in result.values.chunks(3).zip(content.values.chunks(3)) {
            assert!(((pixel[0] - pixel[1]) - (color[0] - color[1])).abs() < 1e-3);
        }
        let style = wave([9, 9], 0.5, [60.; 3]).to_image().unwrap();
        let prepared = ColorSource::Luminance.prepare(&content.to_image().unwrap(), &style).unwrap();
        assert!(prepared.pixels().chunks(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]));
    }
}
