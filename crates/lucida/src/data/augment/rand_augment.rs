//! RandAugment: two successive operations, drawn from fourteen, with the same magnitude. E. Cubuk, B. Zoph, J. Shlens, Q.
//! Le: "RandAugment: Practical automated data augmentation with a reduced search space" (2020). The ranges are those of
//! torchvision.

use super::{Affine, FillMode, color};
use crate::core::Rng;

/// Number of successive operations.
const OPERATIONS: usize = 2;
/// The magnitude relative to the maximum of 30.
const MAGNITUDE: f64 = 9.0 / 30.0;
/// The number of different operations.
const KINDS: usize = 14;

/// Augments an image of `shape` `[height, width, channels]` with values from 0 to 255.
pub(super) fn rand_augment(
    mut values: Vec<f32>,
    shape: [usize; 3],
    (fill, fill_value): (FillMode, f32),
    rng: &mut Rng,
) -> Vec<f32> {
    let [height, width, channels] = shape;
    for _ in 0..OPERATIONS {
        let kind = rng.below(KINDS);
        let sign = if rng.uniform() < 0.5 { -1.0 } else { 1.0 };
        let signed = |most: f64| sign * most * MAGNITUDE;
        // A factor of 1 is the identity; the maximum magnitude gives 0.1 or 1.9.
        let factor = (1.0 + signed(0.9)) as f32;
        let shift = |x: f64, y: f64| Affine::part([x, y], [1.0; 2]);
        let map = match kind {
            1 => Some(Affine::slant(signed(0.3), 0.0)),
            2 => Some(Affine::slant(0.0, signed(0.3))),
            3 => Some(shift(signed(150.0 / 331.0) * width as f64, 0.0)),
            4 => Some(shift(0.0, signed(150.0 / 331.0) * height as f64)),
            5 => Some(Affine::new(signed(30.0), [0.0; 2], 0.0, [1.0; 2])),
            _ => None,
        };
        if let Some(map) = map {
            values = map.apply(&values, shape, fill, fill_value);
            continue;
        }
        match kind {
            6 => color::brighten(&mut values, factor),
            7 => color::saturate(&mut values, channels, factor),
            8 => color::contrast(&mut values, channels, factor),
            9 => color::sharpen(&mut values, shape, factor),
            10 => color::posterize(&mut values, 8 - (4.0 * MAGNITUDE).round() as u32),
            11 => color::solarize(&mut values, (255.0 * (1.0 - MAGNITUDE)) as f32),
            12 => color::stretch(&mut values, channels),
            13 => color::equalize(&mut values, channels),
            // The first operation is the identity.
            _ => {}
        }
    }
    values
}
