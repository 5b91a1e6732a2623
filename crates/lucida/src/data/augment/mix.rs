//! Augmentations that mix two images or cover a part of one.

use std::ops::Range;

use crate::core::Rng;

/// A number from the distribution Beta(alpha, alpha): M. Jöhnk (1964), fast for `alpha` up to about one.
pub(super) fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    loop {
        let [x, y] = [rng.uniform(), rng.uniform()].map(|u| u.powf(1.0 / alpha));
        if x + y > 0.0 && x + y <= 1.0 {
            return x / (x + y);
        }
    }
}

/// Blends this image, with weight `share`, and another.
pub(super) fn mixup(values: &mut [f32], other: &[f32], share: f64) {
    let share = share as f32;
    values.iter_mut().zip(other).for_each(|(value, other)| *value = share * *value + (1.0 - share) * other);
}

/// Replaces a rectangle with that of another image, which leaves about `share` of the area. Returns the exact remaining
/// fraction.
pub(super) fn cutmix(
    values: &mut [f32],
    other: &[f32],
    [height, width, channels]: [usize; 3],
    share: f64,
    rng: &mut Rng,
) -> f64 {
    let side = (1.0 - share).sqrt();
    let rows = around(rng.uniform(), side * height as f64, height);
    let columns = around(rng.uniform(), side * width as f64, width);
    for row in rows.clone() {
        let part = (row * width + columns.start) * channels..(row * width + columns.end) * channels;
        values[part.clone()].copy_from_slice(&other[part]);
    }
    1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64
}

/// Covers a square with the mean color; its side is a fraction of the shorter side. Its center may be anywhere, so that a
/// part of it may be outside.
pub(super) fn cutout(values: &mut [f32], [height, width, channels]: [usize; 3], part: f64, rng: &mut Rng) {
    let mut mean = vec![0.0_f64; channels];
    for pixel in values.chunks_exact(channels) {
        mean.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let mean: Vec<f32> = mean.iter().map(|sum| (sum / (height * width) as f64) as f32).collect();
    let side = part * height.min(width) as f64;
    let (rows, columns) = (around(rng.uniform(), side, height), around(rng.uniform(), side, width));
    for row in rows {
        for column in columns.clone() {
            values[(row * width + column) * channels..][..channels].copy_from_slice(&mean);
        }
    }
}

/// The pixels within `size` around a relative position (0 to 1) on a line of `len` pixels.
fn around(place: f64, size: f64, len: usize) -> Range<usize> {
    let middle = place * len as f64;
    let start = ((middle - size / 2.0).round().max(0.0) as usize).min(len);
    let end = ((middle + size / 2.0).round().max(0.0) as usize).min(len);
    start..end.max(start)
}
