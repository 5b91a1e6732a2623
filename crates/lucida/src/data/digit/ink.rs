//! The ink of a digit in a photo, whatever the light.
//!
//! Light falls off smoothly over a sheet of paper, so its brightness is a quadratic polynomial of the position, as in the
//! document binarization of Lu, Su and Tan, 2010 (<https://doi.org/10.1007/s10032-010-0130-8>). The fit minimizes the sum of
//! absolute differences, in which ink does not count by how dark it is: a least-squares fit would bend towards it. What is
//! left after a division by the paper is the same under every light; Otsu's threshold (1979,
//! <https://doi.org/10.1109/TSMC.1979.4310076>) parts ink from paper in it. Two thresholds with hysteresis, as Canny's,
//! keep the soft rim and the faint end of a stroke; connected components part the digit from specks and from the edge of the
//! sheet.

use crate::Result;
use crate::data::{Filter, Image};

/// The longest side of the copy that the paper is fitted to.
const FITTED_SIDE: usize = 96;

/// Rounds of the fit of absolute differences; it settles within ten.
const ROUNDS: usize = 12;

/// Ink differs from the paper at least by this share of the range from black to white, however faint the strongest stroke
/// is.
const LEAST_CONTRAST: f32 = 24.0 / 255.0;

/// Ink differs from the grain of the paper by this many of its standard deviations.
const GRAIN: f32 = 4.0;

/// A component is a part of the digit if it has at least this share of the pixels of the largest one: more than a speck,
/// less than the bar of a 5 that is not joined to it.
const LEAST_SHARE: usize = 20;

/// Terms of a quadratic polynomial in two coordinates.
const TERMS: usize = 6;

/// The ink of a gray image, 255 where it is strongest, on 0; all 0 when there is none.
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
    // Most of a stroke is as dark as this: the darkest pixel is noise.
    let middle = strengths.len() / 2;
    let strongest = *strengths.select_nth_unstable_by(middle, f32::total_cmp).1;
    let pixels = contrast.iter().zip(&digit);
    let pixels = pixels.map(|(&c, &is_ink)| if is_ink { (c / strongest * 255.0).round() as u8 } else { 0 });
    Image::new(width, height, 1, pixels.collect())
}

/// How much each pixel differs from the paper, the ink above 0: dark ink in parts of the paper's brightness, light ink in
/// parts of the whole range.
fn contrast(gray: &Image) -> Result<Vec<f32>> {
    let paper = Surface::of_paper(gray)?;
    let (mut difference, mut brightness) = (Vec::new(), Vec::new());
    for [x, y, value] in points(gray) {
        let paper = paper.at(x, y);
        brightness.push(paper);
        difference.push(value - paper);
    }
    // Ink is what differs most. Cubes count it, not the grain and the edges of the fit.
    let is_light = difference.iter().map(|d| f64::from(d * d * d)).sum::<f64>() > 0.0;
    for (difference, paper) in difference.iter_mut().zip(brightness) {
        // Light ink on a ground that is nearly black: a division by the ground would enlarge its noise alone.
        *difference = if is_light { *difference } else { -*difference / paper.max(LEAST_CONTRAST) };
    }
    Ok(difference)
}

/// The place of each pixel of a gray image, and its value from 0 to 1.
fn points(image: &Image) -> impl Iterator<Item = [f32; 3]> {
    let (width, height) = (image.width(), image.height());
    let pixels = image.pixels().iter().enumerate();
    pixels
        .map(move |(at, &value)| [position(at % width, width), position(at / width, height), f32::from(value) / 255.0])
}

/// The coordinate of a pixel: -1 to 1.
fn position(at: usize, side: usize) -> f32 {
    (2 * at + 1) as f32 / side as f32 - 1.0
}

/// A quadratic polynomial of the position.
struct Surface([f64; TERMS]);

impl Surface {
    /// The brightness of the paper, 0 to 1: what minimizes the sum of absolute differences, by least squares that are
    /// weighted anew in each round; then by least squares over what is within the grain of that.
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

    /// The polynomial with the least sum of weighted squares.
    fn fitted(image: &Image, weight: impl Fn([f32; 3]) -> f32) -> Self {
        let (mut matrix, mut right) = ([[0.0; TERMS]; TERMS], [0.0; TERMS]);
        for point @ [x, y, value] in points(image) {
            let (terms, weight) = (Self::terms(x, y), f64::from(weight(point)));
            for row in 0..TERMS {
                right[row] += weight * terms[row] * f64::from(value);
                (0..TERMS).for_each(|column| matrix[row][column] += weight * terms[row] * terms[column]);
            }
        }
        // An image of one row does not say what happens across it: as little as possible.
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

/// The solution of a system of equations whose matrix is symmetric and positive definite: elimination needs no pivots.
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

/// The threshold that parts values from 0 to 1 into two classes with the largest variance between them.
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

/// The standard deviation of the paper's grain, by the median of the absolute values: most pixels are paper.
fn deviation(contrast: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = contrast.iter().map(|value| value.abs()).collect();
    let middle = sizes.len() / 2;
    1.4826 * *sizes.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Adds what touches the digit and is at least `threshold`.
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

/// The positions of the up to eight pixels around one.
fn neighbors(at: usize, width: usize, len: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % width, at / width);
    let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
    let rows = y.saturating_sub(1)..=(y + 1).min(len / width - 1);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column)).filter(move |&next| next != at)
}

/// Pixels of ink that touch each other.
struct Components {
    /// The positions of the pixels of each.
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

    /// Whether a component runs along the border: the edge of the sheet, the table, a finger, not the end of a stroke.
    fn is_edge(&self, component: &[usize]) -> bool {
        let (width, height) = (self.width, self.len / self.width);
        let at_border = |&&at: &&usize| {
            let (x, y) = (at % width, at / width);
            x == 0 || y == 0 || x == width - 1 || y == height - 1
        };
        component.iter().filter(at_border).count() * 4 > width.min(height)
    }

    /// The pixels of the digit: the largest component and those that are not small against it. What runs along the border
    /// counts only when there is nothing else of some size.
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
