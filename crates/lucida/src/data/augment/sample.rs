//! Augmentation of a single image.

use super::rand_augment::rand_augment;
use super::{Affine, Augment, color};
use crate::core::Rng;

impl Augment {
    /// Augments an image of `shape` `[height, width, channels]` with values from 0 to 255, by all operations that do not
    /// mix images. The order is Keras's: affine map, channel shift, flips, brightness; then the others.
    pub(super) fn image(&self, mut values: Vec<f32>, shape: [usize; 3], rng: &mut Rng) -> Vec<f32> {
        let [height, width, channels] = shape;
        let map = self.map(height as f64, width as f64, rng);
        if map != Affine::IDENTITY {
            values = map.apply(&values, shape, self.fill, self.fill_value as f32);
        }
        if self.channel_shift > 0.0 {
            color::shift(&mut values, either_way(self.channel_shift, rng) as f32);
        }
        if self.horizontal_flip && rng.uniform() < 0.5 {
            for row in values.chunks_exact_mut(width * channels) {
                flip(row, channels);
            }
        }
        if self.vertical_flip && rng.uniform() < 0.5 {
            flip(&mut values, width * channels);
        }
        if self.brightness != [1.0; 2] {
            color::brighten(&mut values, rng.between(self.brightness) as f32);
        }
        if self.jitter > 0.0 {
            let range = [1.0 - self.jitter, 1.0 + self.jitter];
            color::brighten(&mut values, rng.between(range) as f32);
            color::contrast(&mut values, channels, rng.between(range) as f32);
            color::saturate(&mut values, channels, rng.between(range) as f32);
        }
        if self.hue > 0.0 {
            color::turn_hue(&mut values, channels, either_way(self.hue, rng) as f32);
        }
        if self.auto {
            values = rand_augment(values, shape, (self.fill, self.fill_value as f32), rng);
        }
        values
    }

    /// The composition of all geometric operations.
    fn map(&self, height: f64, width: f64, rng: &mut Rng) -> Affine {
        let shift = |most: f64, side: f64, rng: &mut Rng| match most {
            0.0 => 0.0,
            part if part < 1.0 => either_way(part, rng) * side,
            pixels => either_way(pixels, rng),
        };
        let angle = |most: f64, rng: &mut Rng| if most > 0.0 { either_way(most, rng) } else { 0.0 };
        let theta = angle(self.rotation, rng);
        let ty = shift(self.height_shift, height, rng);
        let tx = shift(self.width_shift, width, rng);
        let shear = angle(self.shear, rng);
        let zoom = match self.zoom {
            [1.0, 1.0] => [1.0; 2],
            range => [rng.between(range), rng.between(range)],
        };
        let mut map = Affine::IDENTITY;
        if (theta, ty, tx, shear, zoom) != (0.0, 0.0, 0.0, 0.0, [1.0; 2]) {
            map = Affine::new(theta, [tx, ty], shear, zoom);
        }
        if self.crop < 1.0 {
            let area = rng.between([self.crop, 1.0]);
            // The logarithm of the aspect ratio is uniform, so that wide and high crops are equally likely.
            let shape = rng.between([(3.0_f64 / 4.0).ln(), (4.0_f64 / 3.0).ln()]).exp();
            let (zx, zy) = ((area * shape).sqrt().min(1.0), (area / shape).sqrt().min(1.0));
            let x = either_way(width * (1.0 - zx) / 2.0, rng);
            let y = either_way(height * (1.0 - zy) / 2.0, rng);
            map = Affine::part([x, y], [zx, zy]).of(&map);
        }
        map
    }
}

/// Reverses the order of groups of `size` values.
fn flip(values: &mut [f32], size: usize) {
    let count = values.len() / size.max(1);
    for index in 0..count / 2 {
        let (front, back) = values.split_at_mut((count - 1 - index) * size);
        front[index * size..][..size].swap_with_slice(&mut back[..size]);
    }
}

/// A uniform number from `-most` to `most`.
fn either_way(most: f64, rng: &mut Rng) -> f64 {
    rng.between([-most, most])
}
