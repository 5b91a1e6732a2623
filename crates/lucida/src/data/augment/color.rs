//! Color operations on images with values from 0 to 255 and one or three channels.

/// Multiplies all values by a factor, clipped to 0..255.
pub(super) fn brighten(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value = (*value * factor).clamp(0.0, 255.0));
}

/// Adds `by` to all values, clipped to their minimum and maximum: Keras's `apply_channel_shift`.
pub(super) fn shift(values: &mut [f32], by: f32) {
    let (least, most) =
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), &v| (least.min(v), most.max(v)));
    values.iter_mut().for_each(|value| *value = (*value + by).clamp(least, most));
}

/// Scales the difference from the mean gray level.
pub(super) fn contrast(values: &mut [f32], channels: usize, factor: f32) {
    let sum: f64 = values.chunks_exact(channels).map(|pixel| f64::from(luma(pixel))).sum();
    let mean = (sum / (values.len() / channels).max(1) as f64) as f32;
    values.iter_mut().for_each(|value| *value = (mean + (*value - mean) * factor).clamp(0.0, 255.0));
}

/// Scales the difference of each pixel from its gray value.
pub(super) fn saturate(values: &mut [f32], channels: usize, factor: f32) {
    for pixel in values.chunks_exact_mut(channels).filter(|pixel| pixel.len() == 3) {
        let gray = luma(pixel);
        pixel.iter_mut().for_each(|value| *value = (gray + (*value - gray) * factor).clamp(0.0, 255.0));
    }
}

/// Rotates the hue by a fraction of the color circle, in the HSV hexagon.
pub(super) fn turn_hue(values: &mut [f32], channels: usize, by: f32) {
    for pixel in values.chunks_exact_mut(channels).filter(|pixel| pixel.len() == 3) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]];
        let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
        let chroma = most - least;
        if chroma <= 0.0 {
            continue;
        }
        let sixths = if most == red {
            (green - blue) / chroma
        } else if most == green {
            (blue - red) / chroma + 2.0
        } else {
            (red - green) / chroma + 4.0
        };
        let sixths = sixths + 6.0 * by;
        // A channel is at its maximum within one sixth of the circle around its hue, and at its minimum beyond one third.
        let channel = |offset: f32| {
            let away = (sixths + offset).rem_euclid(6.0);
            most - chroma * away.min(4.0 - away).clamp(0.0, 1.0)
        };
        pixel.copy_from_slice(&[channel(5.0), channel(3.0), channel(1.0)]);
    }
}

/// The luma of ITU-R BT.601.
fn luma(pixel: &[f32]) -> f32 {
    match pixel {
        [red, green, blue] => 0.299 * red + 0.587 * green + 0.114 * blue,
        _ => pixel[0],
    }
}

/// Scales the difference from the smoothed image, except for border pixels. The smoothing is Pillow's: 3x3, with a weight
/// of 5 in the middle and 1 around it.
pub(super) fn sharpen(values: &mut [f32], [height, width, channels]: [usize; 3], factor: f32) {
    let old = values.to_vec();
    let stride = width * channels;
    for row in 1..height.saturating_sub(1) {
        for at in row * stride + channels..(row + 1) * stride - channels {
            let around = |row: usize| old[row - channels] + old[row] + old[row + channels];
            let smooth = (around(at - stride) + around(at) + around(at + stride) + 4.0 * old[at]) / 13.0;
            values[at] = (smooth + (old[at] - smooth) * factor).clamp(0.0, 255.0);
        }
    }
}

/// Keeps the highest bits of each value.
pub(super) fn posterize(values: &mut [f32], bits: u32) {
    let mask = !(0xff_u8.checked_shr(bits).unwrap_or(0));
    values.iter_mut().for_each(|value| *value = f32::from(value.round() as u8 & mask));
}

/// Inverts values of at least `threshold`.
pub(super) fn solarize(values: &mut [f32], threshold: f32) {
    values.iter_mut().filter(|value| **value >= threshold).for_each(|value| *value = 255.0 - *value);
}

/// Stretches the range of each channel to 0..255.
pub(super) fn stretch(values: &mut [f32], channels: usize) {
    for channel in 0..channels {
        let of_channel = || values.iter().skip(channel).step_by(channels);
        let least = of_channel().copied().fold(f32::INFINITY, f32::min);
        let most = of_channel().copied().fold(f32::NEG_INFINITY, f32::max);
        if most > least {
            let scale = 255.0 / (most - least);
            values.iter_mut().skip(channel).step_by(channels).for_each(|value| *value = (*value - least) * scale);
        }
    }
}

/// Equalizes the histogram of each channel, as in Pillow.
pub(super) fn equalize(values: &mut [f32], channels: usize) {
    for channel in 0..channels {
        let mut histogram = [0_usize; 256];
        values
            .iter()
            .skip(channel)
            .step_by(channels)
            .for_each(|value| histogram[usize::from(value.round() as u8)] += 1);
        let last = histogram.iter().rev().copied().find(|&count| count > 0).unwrap_or(0);
        let step = (histogram.iter().sum::<usize>() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut table = [0.0_f32; 256];
        let mut below = step / 2;
        for (entry, count) in table.iter_mut().zip(histogram) {
            *entry = (below / step).min(255) as f32;
            below += count;
        }
        let mut of_channel = values.iter_mut().skip(channel).step_by(channels);
        of_channel.by_ref().for_each(|value| *value = table[usize::from(value.round() as u8)]);
    }
}
