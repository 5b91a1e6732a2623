//! Temporal consistency: the output must move with the input, as from frame to frame of a video, and must not change with a
//! little noise.
//!
//! The loss is the mean squared difference between the output for a crop and the output for its twin: the same crop, shifted
//! and with noise. It needs neither video nor optical flow (noise: Zheng et al., "Improving the Robustness of Deep Neural
//! Networks via Stability Training", 2016; shifted images as frames: Liu et al., "Image Style Transfer with Relaxed Temporal
//! Constraints", 2020).

/// Returns the loss of two images with a side of `side` pixels and values from 0 to 255, computed on values from 0 to 1, and
/// adds `weight` times its gradients. Pixel (y, x) of `twin` corresponds to pixel (y, x) plus `shift` of `image`.
pub(super) fn temporal_loss(
    side: usize,
    shift: [isize; 2],
    [image, twin]: [&[f32]; 2],
    weight: f32,
    [image_gradient, twin_gradient]: [&mut [f32]; 2],
) -> f64 {
    let [rows, columns] = shift.map(|shift| overlap(side, shift));
    let count = 3 * rows.len() * columns.len();
    let factor = 1.0 / (count.max(1) as f64 * 255.0 * 255.0);
    let slope = (2.0 * f64::from(weight) * factor) as f32;
    let row_len = 3 * columns.len();
    let mut total = 0.0;
    for y in rows {
        let at = 3 * (y * side + columns.start);
        let other = 3 * (y.saturating_add_signed(shift[0]) * side + columns.start.saturating_add_signed(shift[1]));
        let (at, other) = (at..at + row_len, other..other + row_len);
        let gradients = twin_gradient[at.clone()].iter_mut().zip(&mut image_gradient[other.clone()]);
        let mut sum = 0.0;
        for ((twin, image), (to_twin, to_image)) in twin[at].iter().zip(&image[other]).zip(gradients) {
            let difference = twin - image;
            *to_twin += slope * difference;
            *to_image -= slope * difference;
            sum += difference * difference;
        }
        total += f64::from(sum);
    }
    factor * total
}

/// Range of pixels along an axis that are inside both images after a shift.
fn overlap(side: usize, shift: isize) -> std::ops::Range<usize> {
    let difference = shift.unsigned_abs().min(side);
    if shift < 0 { difference..side } else { 0..side - difference }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let side = 5;
        let values = |seed: usize| -> Vec<f32> { (0..75).map(|i| ((i * seed) % 101) as f32 * 2.5).collect() };
        for shift in [[0, 0], [2, -1], [-3, 1]] {
            let mut images = [values(37), values(53)];
            let mut gradients = [vec![0.0; 75], vec![0.0; 75]];
            let loss = |images: &[Vec<f32>; 2]| {
                let mut unused = [vec![0.0; 75], vec![0.0; 75]];
                let [a, b] = &mut unused;
                temporal_loss(side, shift, [&images[0], &images[1]], 1.0, [a, b])
            };
            let [a, b] = &mut gradients;
            assert!(temporal_loss(side, shift, [&images[0], &images[1]], 3.0, [a, b]) > 0.0);
            for which in 0..2 {
                for at in 0..75 {
                    let mut moved = |step: f32| {
                        images[which][at] += step;
                        let loss = loss(&images);
                        images[which][at] -= step;
                        loss
                    };
                    let slope = 3.0 * (moved(4.0) - moved(-4.0)) / 8.0;
                    let got = f64::from(gradients[which][at]);
                    assert!((slope - got).abs() < 1e-6, "{shift:?} {which} {at}: {slope} {got}");
                }
            }
        }
    }

    #[test]
    fn an_output_that_moves_with_its_input_costs_nothing() {
        let side = 6;
        let image: Vec<f32> = (0..108).map(|i| ((i * 41) % 97) as f32).collect();
        // One row down and two columns to the left.
        let at = |y: usize, x: usize| image.get(3 * (y * side + x)..3 * (y * side + x) + 3).unwrap_or(&[9.0; 3]);
        let twin: Vec<f32> = (0..36).flat_map(|i| at(i / side + 1, (i % side).wrapping_sub(2)).to_vec()).collect();
        let mut gradients = [vec![0.0; 108], vec![0.0; 108]];
        let [a, b] = &mut gradients;
        assert_eq!(temporal_loss(side, [1, -2], [&image, &twin], 1.0, [a, b]), 0.0);
        assert!(temporal_loss(side, [1, 2], [&image, &twin], 1.0, [a, b]) > 0.0);
    }
}
