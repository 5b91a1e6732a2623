//! Features of a window of a feature map, weighted by a mask, and their gradients.

use crate::style::pipeline::feature_extractor::MapWindow;
use crate::style::{LossConfig, StyleLoss};

/// Buffer for the channel means; empty if the loss does not need them.
pub(in crate::style) fn means_for(loss: &LossConfig, channels: usize) -> Vec<f64> {
    vec![0.0; if loss.style_loss == StyleLoss::Wasserstein { channels } else { 0 }]
}

/// Adds the features of all pixels, weighted by the mask, to the sums; does nothing if those are empty.
pub(in crate::style) fn add_means(features: &[f32], mask: Option<(&[f32], MapWindow)>, sums: &mut [f64]) {
    if sums.is_empty() {
        return;
    }
    let mut weights = mask.into_iter().flat_map(|(mask, place)| place.rows().flat_map(move |row| &mask[row]));
    for pixel in features.chunks_exact(sums.len()) {
        let weight = f64::from(weights.next().copied().unwrap_or(1.0));
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
}

/// Adds `shift`, weighted by the mask, to the gradient of each pixel; does nothing if it is empty.
pub(in crate::style) fn add_shift(shift: &[f64], mask: Option<(&[f32], MapWindow)>, gradient: &mut [f32]) {
    if shift.is_empty() {
        return;
    }
    let mut weights = mask.into_iter().flat_map(|(mask, place)| place.rows().flat_map(move |row| &mask[row]));
    for pixel in gradient.chunks_exact_mut(shift.len()) {
        let weight = weights.next().copied().unwrap_or(1.0);
        pixel.iter_mut().zip(shift).for_each(|(sum, &value)| *sum += weight * value as f32);
    }
}

/// Copies the features of a window to contiguous memory, weighted by the mask; without a mask, the whole map is returned
/// uncopied.
pub(in crate::style) fn gathered<'a>(
    features: &'a [f32],
    part: MapWindow,
    channels: usize,
    mask: Option<(&[f32], MapWindow)>,
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    let len = part.size[0] * part.size[1] * channels;
    if mask.is_none() && len == features.len() {
        return features;
    }
    scratch.clear();
    scratch.reserve(len);
    for row in part.rows() {
        scratch.extend_from_slice(&features[row.start * channels..row.end * channels]);
    }
    if let Some((mask, place)) = mask {
        let weights = place.rows().flat_map(|row| &mask[row]);
        for (pixel, &weight) in scratch.chunks_exact_mut(channels).zip(weights) {
            pixel.iter_mut().for_each(|value| *value *= weight);
        }
    }
    scratch
}

/// Adds the gradient of [`gathered`] features to the window, weighted by the mask.
pub(in crate::style) fn scatter(
    values: &[f32],
    part: MapWindow,
    channels: usize,
    mask: Option<(&[f32], MapWindow)>,
    gradient: &mut [f32],
) {
    let mut weights = mask.into_iter().flat_map(|(mask, place)| place.rows().flat_map(move |row| &mask[row]));
    let mut pixels = values.chunks_exact(channels);
    for row in part.rows() {
        for target in gradient[row.start * channels..row.end * channels].chunks_exact_mut(channels) {
            let Some(pixel) = pixels.next() else { return };
            let weight = weights.next().copied().unwrap_or(1.0);
            target.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
        }
    }
}

/// Downscales a mask to the size of a layer: the mean over `stride` x `stride` pixels.
pub(in crate::style) fn shrink(mask: &[f32], [height, width]: [usize; 2], stride: usize) -> Vec<f32> {
    let size = [height / stride, width / stride];
    let mut small = vec![0.0; size[0] * size[1]];
    for (y, row) in mask.chunks_exact(width).enumerate().take(size[0] * stride) {
        for (x, value) in row.iter().enumerate().take(size[1] * stride) {
            small[y / stride * size[1] + x / stride] += value;
        }
    }
    let area = (stride * stride) as f32;
    small.iter_mut().for_each(|value| *value /= area);
    small
}
