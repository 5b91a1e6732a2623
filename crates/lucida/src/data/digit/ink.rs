//! Segmenting the ink of a digit in a photo, independent of lighting.
//!
//! Lighting varies smoothly over a sheet of paper, so its brightness is modeled as a quadratic polynomial of the position,
//! as in the document binarization of Lu, Su and Tan, 2010 (<https://doi.org/10.1007/s10032-010-0130-8>). The fit minimizes
//! the sum of absolute differences, which is robust to ink however dark it is: a least-squares fit would bend towards it.
//! The quotient of the image and the paper is independent of lighting; Otsu's threshold (1979,
//! <https://doi.org/10.1109/TSMC.1979.4310076>) separates ink from paper in it. Two thresholds with hysteresis, as in
//! Canny's edge detector, keep the soft edges and faint ends of strokes; connected components separate the digit from
//! specks and from the edge of the sheet.

use crate::Result;
use crate::data::{Filter, Image};

/// The longest side of the downscaled copy used for the fit.
const FITTED_SIDE: usize = 96;

/// Iterations of the fit of absolute differences; it converges within ten.
const ROUNDS: usize = 12;

/// The minimum contrast of ink, relative to the range from black to white, however faint the strongest stroke is.
const LEAST_CONTRAST: f32 = 24.0 / 255.0;

/// The minimum contrast of ink in standard deviations of the paper's grain.
const GRAIN: f32 = 4.0;

/// A component belongs to the digit if it has at least 1/20 of the pixels of the largest one: more than a speck, less than
/// the separate bar of a 5.
const LEAST_SHARE: usize = 20;

/// The number of terms of a quadratic polynomial in two coordinates.
const TERMS: usize = 6;

/// The ink of a gray image, from 0 to 255 at full strength; all 0 if there is none.
///
/// # Errors
/// Those of [`Image::resize`], when the image has no pixels.
pub(super) fn ink(gray: &Image) -> Result<Image> {
    let (width, height) = (gray.width(), gray.height());
    let contrast = contrast(gray)?;
    let threshold = otsu(&contrast).max(GRAIN * deviation(&contrast)).max(LEAST_CONTRAST);
    let mut digit = Components::find(&contrast, width, threshold).digit();
    grow(&mut digit, &contrast, width, threshold / 2.0);
    let mut strengths: Vec<f32> =
        contrast.iter().zip(&digit).filter(|&(&c, &is_ink)| is_ink && c >= threshold).map(|(&c, _)| c).collect();
    if strengths.is_empty() {
        return Ok(Image::filled(width, height, &[0]));
    }
    // The median of the strengths: the darkest pixel is noise.
    let middle = strengths.len() / 2;
    let strongest = *strengths.select_nth_unstable_by(middle, f32::total_cmp).1;
    let pixels = contrast.iter().zip(&digit);
    let pixels = pixels.map(|(&c, &is_ink)| if is_ink { (c / strongest * 255.0).round() as u8 } else { 0 });
    Image::new(width, height, 1, pixels.collect())
}

/// The contrast of each pixel with the paper, positive for ink: relative to the paper's brightness for dark ink, to the
/// whole range for light ink.
fn contrast(gray: &Image) -> Result<Vec<f32>> {
    let paper = Surface::of_paper(gray)?;
    let (mut difference, mut brightness) = (Vec::new(), Vec::new());
    for [x, y, value] in points(gray) {
        let paper = paper.at(x, y);
        brightness.push(paper);
        difference.push(value - paper);
    }
    // Ink has the largest differences. The sum of cubes is dominated by it, not by grain and errors of the fit.
    let is_light = difference.iter().map(|d| f64::from(d * d * d)).sum::<f64>() > 0.0;
    for (difference, paper) in difference.iter_mut().zip(brightness) {
        // Light ink is on a nearly black background, where a division would only amplify noise.
        *difference = if is_light { *difference } else { -*difference / paper.max(LEAST_CONTRAST) };
    }
    Ok(difference)
}

/// The position of each pixel of a gray image, and its value from 0 to 1.
fn points(image: &Image) -> impl Iterator<Item = [f32; 3]> {
    let (width, height) = (image.width(), image.height());
    let pixels = image.pixels().iter().enumerate();
    pixels
        .map(move |(at, &value)| [position(at % width, width), position(at / width, height), f32::from(value) / 255.0])
}

/// Normalizes the coordinate of a pixel to -1..1.
fn position(at: usize, side: usize) -> f32 {
    (2 * at + 1) as f32 / side as f32 - 1.0
}

/// A quadratic polynomial of the position.
struct Surface([f64; TERMS]);

impl Surface {
    /// Fits the brightness of the paper, 0 to 1: minimizes the sum of absolute differences by iteratively reweighted least
    /// squares, then refines by least squares over the pixels within the grain.
    fn of_paper(gray: &Image) -> Result<Self> {
        let longest = gray.width().max(gray.height()).max(FITTED_SIDE);
        let side = |side: usize| (side * FITTED_SIDE / longest).max(1).min(side);
        let small = gray.resize(side(gray.width()), side(gray.height()), Filter::Bilinear)?;
        let mut surface = Self::fitted(&small, |_| 1.0);
        for _ in 0..ROUNDS {
            surface = Self::fitted(&small, |[x, y, value]| 1.0 / (surface.at(x, y) - value).abs().max(1.0 / 255.0));
        }
        for _ in 0..2 {
            let differences: Vec<f32> = points(&small).map(|[x, y, value]| surface.at(x, y) - value).collect();
            let grain = (GRAIN * deviation(&differences)).max(2.0 / 255.0);
            surface =
                Self::fitted(&small, |[x, y, value]| f32::from(u8::from((surface.at(x, y) - value).abs() <= grain)));
        }
        Ok(surface)
    }

    /// The weighted least-squares fit.
    fn fitted(image: &Image, weight: impl Fn([f32; 3]) -> f32) -> Self {
        let (mut matrix, mut right) = ([[0.0; TERMS]; TERMS], [0.0; TERMS]);
        for point @ [x, y, value] in points(image) {
            let (terms, weight) = (Self::terms(x, y), f64::from(weight(point)));
            for row in 0..TERMS {
                right[row] += weight * terms[row] * f64::from(value);
                (0..TERMS).for_each(|column| matrix[row][column] += weight * terms[row] * terms[column]);
            }
        }
        // Regularization: a single row does not determine the vertical terms.
        let scale = matrix[0][0];
        (1..TERMS).for_each(|term| matrix[term][term] += 1e-6 * scale);
        Self(solve(matrix, right))
    }

    fn terms(x: f32, y: f32) -> [f64; TERMS] {
        let (x, y) = (f64::from(x), f64::from(y));
        [1.0, x, y, x * x, x * y, y * y]
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        self.0.iter().zip(Self::terms(x, y)).map(|(factor, term)| factor * term).sum::<f64>() as f32
    }
}

/// Solves a system of equations with a symmetric positive definite matrix: elimination needs no pivoting.
fn solve(mut matrix: [[f64; TERMS]; TERMS], mut right: [f64; TERMS]) -> [f64; TERMS] {
    for pivot in 0..TERMS {
        for row in pivot + 1..TERMS {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            (pivot..TERMS).for_each(|column| matrix[row][column] -= factor * matrix[pivot][column]);
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..TERMS).rev() {
        let known: f64 = (row + 1..TERMS).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

/// Otsu's threshold, which separates values from 0 to 1 into two classes with maximum between-class variance.
fn otsu(values: &[f32]) -> f32 {
    const BINS: usize = 256;
    let mut histogram = [0_u32; BINS];
    for value in values {
        histogram[((value.clamp(0.0, 1.0) * (BINS - 1) as f32).round()) as usize] += 1;
    }
    let total: f64 = values.len() as f64;
    let sum: f64 = histogram.iter().enumerate().map(|(bin, &count)| bin as f64 * f64::from(count)).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let (mut best, mut best_bin) = (0.0, 0);
    for (bin, &count) in histogram.iter().enumerate() {
        below += f64::from(count);
        sum_below += bin as f64 * f64::from(count);
        let between = (sum * below / total - sum_below).powi(2) / (below * (total - below)).max(1.0);
        if between > best {
            (best, best_bin) = (between, bin);
        }
    }
    (best_bin as f32 + 0.5) / (BINS - 1) as f32
}

/// The standard deviation of the paper's grain, from the median of the absolute values, because most pixels are paper.
fn deviation(contrast: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = contrast.iter().map(|value| value.abs()).collect();
    let middle = sizes.len() / 2;
    1.4826 * *sizes.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Adds pixels of at least `threshold` that are connected to the digit.
fn grow(digit: &mut [bool], contrast: &[f32], width: usize, threshold: f32) {
    let mut todo: Vec<usize> = (0..digit.len()).filter(|&at| digit[at]).collect();
    while let Some(at) = todo.pop() {
        for next in neighbors(at, width, digit.len()) {
            if !digit[next] && contrast[next] >= threshold {
                digit[next] = true;
                todo.push(next);
            }
        }
    }
}

/// The indices of the up to eight neighbors of a pixel.
fn neighbors(at: usize, width: usize, len: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % width, at / width);
    let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
    let rows = y.saturating_sub(1)..=(y + 1).min(len / width - 1);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column)).filter(move |&next| next != at)
}

/// The connected components of ink pixels.
struct Components {
    /// The pixel indices of each component.
    pixels: Vec<Vec<usize>>,
    width: usize,
    len: usize,
}

impl Components {
    fn find(contrast: &[f32], width: usize, threshold: f32) -> Self {
        let mut free: Vec<bool> = contrast.iter().map(|&value| value >= threshold).collect();
        let mut pixels = Vec::new();
        for start in 0..free.len() {
            if !std::mem::take(&mut free[start]) {
                continue;
            }
            let mut component = vec![start];
            let mut done = 0;
            while let Some(&at) = component.get(done) {
                done += 1;
                for next in neighbors(at, width, free.len()) {
                    if std::mem::take(&mut free[next]) {
                        component.push(next);
                    }
                }
            }
            pixels.push(component);
        }
        Self { pixels, width, len: contrast.len() }
    }

    /// Whether a component runs along the border: the edge of the sheet, the table or a finger, rather than the end of a
    /// stroke.
    fn is_edge(&self, component: &[usize]) -> bool {
        let (width, height) = (self.width, self.len / self.width);
        let at_border = |&&at: &&usize| {
            let (x, y) = (at % width, at / width);
            x == 0 || y == 0 || x == width - 1 || y == height - 1
        };
        component.iter().filter(at_border).count() * 4 > width.min(height)
    }

    /// The pixels of the digit: the largest component and those that are not small in comparison. Components along the
    /// border only count if no other one has a significant size.
    fn digit(&self) -> Vec<bool> {
        let (edges, inside): (Vec<&[usize]>, Vec<&[usize]>) =
            self.pixels.iter().map(Vec::as_slice).partition(|component| self.is_edge(component));
        let largest = |of: &[&[usize]]| of.iter().map(|component| component.len()).max().unwrap_or(0);
        let chosen = if largest(&inside) * LEAST_SHARE >= largest(&edges) { inside } else { edges };
        let least = largest(&chosen).div_ceil(LEAST_SHARE).max(2);
        let mut digit = vec![false; self.len];
        for component in chosen.into_iter().filter(|component| component.len() >= least) {
            component.iter().for_each(|&at| digit[at] = true);
        }
        digit
    }
}
