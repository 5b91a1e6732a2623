//! One augmented image.

use rand_chacha::ChaCha8Rng;

use super::rand_augment::rand_augment;
use super::{Affine, Augment, color};
use crate::data::random::unit;

impl Augment {
    /// An image of `shape` (height, width, channels) with values of 0 to 255, augmented by what is drawn from `generator`:
    /// all but what mixes images. The order is Keras's: the map, the channels, the flips, the brightness; then the rest.
    pub(super) fn image(&self, mut values: Vec<f32>, shape: [usize; 3], generator: &mut ChaCha8Rng) -> Vec<f32> {
        let [height, width, channels] = shape;
        let map = self.map(height as f64, width as f64, generator);
        if map != Affine::IDENTITY {
            values = map.apply(&values, shape, self.fill, self.fill_value as f32);
        }
        if self.channel_shift > 0.0 {
            color::shift(&mut values, either_way(self.channel_shift, generator) as f32);
        }
        if self.horizontal_flip && unit(generator) < 0.5 {
            for row in values.chunks_exact_mut(width * channels) {
                flip(row, channels);
            }
        }
        if self.vertical_flip && unit(generator) < 0.5 {
            flip(&mut values, width * channels);
        }
        if self.brightness != [1.0; 2] {
            color::brighten(&mut values, between(self.brightness, generator) as f32);
        }
        if self.jitter > 0.0 {
            let range = [1.0 - self.jitter, 1.0 + self.jitter];
            color::brighten(&mut values, between(range, generator) as f32);
            color::contrast(&mut values, channels, between(range, generator) as f32);
            color::saturate(&mut values, channels, between(range, generator) as f32);
        }
        if self.hue > 0.0 {
            color::turn_hue(&mut values, channels, either_way(self.hue, generator) as f32);
        }
        if self.auto {
            values = rand_augment(values, shape, (self.fill, self.fill_value as f32), generator);
        }
        values
    }

    /// Everything that moves pixels, in one.
    fn map(&self, height: f64, width: f64, generator: &mut ChaCha8Rng) -> Affine {
        let shift = |most: f64, side: f64, generator: &mut ChaCha8Rng| match most {
            0.0 => 0.0,
            part if part < 1.0 => either_way(part, generator) * side,
            pixels => either_way(pixels, generator),
        };
        let angle = |most: f64, generator: &mut ChaCha8Rng| if most > 0.0 { either_way(most, generator) } else { 0.0 };
        let theta = angle(self.rotation, generator);
        let ty = shift(self.height_shift, height, generator);
        let tx = shift(self.width_shift, width, generator);
        let shear = angle(self.shear, generator);
        let zoom = match self.zoom {
            [1.0, 1.0] => [1.0; 2],
            range => [between(range, generator), between(range, generator)],
        };
        let mut map = Affine::IDENTITY;
        if (theta, ty, tx, shear, zoom) != (0.0, 0.0, 0.0, 0.0, [1.0; 2]) {
            map = Affine::new(theta, [tx, ty], shear, zoom);
        }
        if self.crop < 1.0 {
            let area = between([self.crop, 1.0], generator);
            // The logarithm of the shape is uniform, so that wide and high are equally likely.
            let shape = between([(3.0_f64 / 4.0).ln(), (4.0_f64 / 3.0).ln()], generator).exp();
            let (zx, zy) = ((area * shape).sqrt().min(1.0), (area / shape).sqrt().min(1.0));
            let x = either_way(width * (1.0 - zx) / 2.0, generator);
            let y = either_way(height * (1.0 - zy) / 2.0, generator);
            map = Affine::part([x, y], [zx, zy]).of(&map);
        }
        map
    }
}

/// Exchanges the first and the last group of `size` values, the second and the last but one, and so on.
fn flip(values: &mut [f32], size: usize) {
    let count = values.len() / size.max(1);
    for index in 0..count / 2 {
        let (front, back) = values.split_at_mut((count - 1 - index) * size);
        front[index * size..][..size].swap_with_slice(&mut back[..size]);
    }
}

/// From `-most` to `most`, uniformly.
fn either_way(most: f64, generator: &mut ChaCha8Rng) -> f64 {
    between([-most, most], generator)
}

/// From the first to the second, uniformly.
pub(super) fn between([least, most]: [f64; 2], generator: &mut ChaCha8Rng) -> f64 {
    least + (most - least) * unit(generator)
}
