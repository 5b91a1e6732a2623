//! Small random transformations of an image: shift, rotation and zoom before each pass, so that the activation does not
//! depend on single pixels.

use crate::core::Rng;

/// The ranges of random transformations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TransformRanges {
    /// The maximum shift, relative to the side.
    pub(super) shift: f32,
    /// The maximum rotation in degrees.
    pub(super) rotation: f32,
    /// The maximum relative change of size.
    pub(super) zoom: f32,
}

/// An affine transformation: pixel (x, y) of the result is sampled from the image at `matrix (x, y) + offset` by bilinear
/// interpolation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    matrix: [[f32; 2]; 2],
    offset: [f32; 2],
}

/// The values beyond the edges of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Edge {
    /// A constant.
    Background(f32),
    /// The image wraps around, as its frequencies are periodic.
    Wrap,
}

impl TransformRanges {
    /// Scales the ranges.
    pub(super) fn scaled(self, by: f32) -> Self {
        Self { shift: by * self.shift, rotation: by * self.rotation, zoom: by * self.zoom }
    }

    pub(super) fn draw(&self, height: usize, width: usize, rng: &mut Rng) -> Affine {
        let mut within = |most: f32| most * (2.0 * rng.uniform_f32() - 1.0);
        let angle = within(self.rotation).to_radians();
        let zoom = 1.0 + within(self.zoom);
        let (down, across) = (within(self.shift * height as f32), within(self.shift * width as f32));
        let (sin, cos) = (zoom * angle.sin(), zoom * angle.cos());
        let matrix = [[cos, -sin], [sin, cos]];
        let (x, y) = ((width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0);
        let offset = [x + across - matrix[0][0] * x - matrix[0][1] * y, y + down - matrix[1][0] * x - matrix[1][1] * y];
        Affine { matrix, offset }
    }
}

impl Affine {
    /// Additionally shifts the image to the left and up by these pixels.
    pub(super) fn moved(mut self, [across, down]: [f32; 2]) -> Self {
        self.offset[0] += across;
        self.offset[1] += down;
        self
    }

    /// The four pixels that pixel (x, y) is interpolated from, and their weights. Those outside are omitted, or wrap
    /// around.
    fn parts(&self, x: usize, y: usize, [height, width]: [usize; 2], edge: Edge) -> [(usize, f32); 4] {
        let (x, y) = (x as f32, y as f32);
        let from_x = self.matrix[0][0] * x + self.matrix[0][1] * y + self.offset[0];
        let from_y = self.matrix[1][0] * x + self.matrix[1][1] * y + self.offset[1];
        let (left, top) = (from_x.floor(), from_y.floor());
        let (right_part, bottom_part) = (from_x - left, from_y - top);
        let (left, top) = (left as isize, top as isize);
        let part = |dx: isize, dy: isize, part: f32| {
            let (mut x, mut y) = (left + dx, top + dy);
            if edge == Edge::Wrap {
                (x, y) = (x.rem_euclid(width as isize), y.rem_euclid(height as isize));
            }
            let inside = x >= 0 && y >= 0 && x < width as isize && y < height as isize;
            if inside { (y as usize * width + x as usize, part) } else { (0, 0.0) }
        };
        [
            part(0, 0, (1.0 - right_part) * (1.0 - bottom_part)),
            part(1, 0, right_part * (1.0 - bottom_part)),
            part(0, 1, (1.0 - right_part) * bottom_part),
            part(1, 1, right_part * bottom_part),
        ]
    }

    /// Transforms an image `[height, width, channels]`, with `edge` outside of it.
    pub(super) fn apply(&self, image: &[f32], size: [usize; 2], channels: usize, edge: Edge, seen: &mut [f32]) {
        let background = if let Edge::Background(value) = edge { value } else { 0.0 };
        for (index, seen) in seen.chunks_exact_mut(channels).enumerate() {
            let parts = self.parts(index % size[1], index / size[1], size, edge);
            let outside = 1.0 - parts.iter().map(|(_, part)| part).sum::<f32>();
            for (channel, seen) in seen.iter_mut().enumerate() {
                let inside: f32 = parts.iter().map(|&(at, part)| part * image[at * channels + channel]).sum();
                *seen = inside + outside * background;
            }
        }
    }

    /// Adds to `image` the gradient with respect to it, given that with respect to the transformed image.
    pub(super) fn back(&self, seen: &[f32], size: [usize; 2], channels: usize, edge: Edge, image: &mut [f32]) {
        for (index, seen) in seen.chunks_exact(channels).enumerate() {
            for (at, part) in self.parts(index % size[1], index / size[1], size, edge) {
                for (channel, seen) in seen.iter().enumerate() {
                    image[at * channels + channel] += part * seen;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Purpose;

    const STILL: TransformRanges = TransformRanges { shift: 0.0, rotation: 0.0, zoom: 0.0 };

    #[test]
    fn without_movement_the_image_stays() {
        let image: Vec<f32> = (0..5 * 7 * 3).map(|i| i as f32).collect();
        let mut seen = vec![0.0; image.len()];
        STILL.draw(5, 7, &mut Rng::keyed(1, Purpose::Maximize, 0)).apply(
            &image,
            [5, 7],
            3,
            Edge::Background(9.0),
            &mut seen,
        );
        assert_eq!(seen, image);
    }

    #[test]
    fn back_is_the_transpose() {
        let movement = TransformRanges { shift: 0.2, rotation: 30.0, zoom: 0.3 };
        let (size, mut rng) = ([6, 5], Rng::keyed(3, Purpose::Maximize, 0));
        let mut values = |len: usize| (0..len).map(|_| rng.uniform_f32() - 0.5).collect::<Vec<f32>>();
        let (image, gradient) = (values(60), values(60));
        let affine = movement.draw(6, 5, &mut Rng::keyed(4, Purpose::Maximize, 0));
        for edge in [Edge::Background(0.0), Edge::Wrap] {
            let (mut seen, mut back) = (vec![0.0; 60], vec![0.0; 60]);
            affine.apply(&image, size, 2, edge, &mut seen);
            affine.back(&gradient, size, 2, edge, &mut back);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert!((dot(&seen, &gradient) - dot(&image, &back)).abs() < 1e-5, "{edge:?}");
            assert!(dot(&seen, &seen) > 0.1);
        }
    }

    #[test]
    fn a_wrapped_image_is_rolled() {
        let affine = Affine { matrix: [[1.0, 0.0], [0.0, 1.0]], offset: [1.0, -4.0] };
        let image: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let mut seen = vec![0.0; 9];
        affine.apply(&image, [3, 3], 1, Edge::Wrap, &mut seen);
        assert_eq!(seen, [7.0, 8.0, 6.0, 1.0, 2.0, 0.0, 4.0, 5.0, 3.0]);
    }

    #[test]
    fn a_quarter_turn_moves_corners() {
        let affine = Affine { matrix: [[0.0, -1.0], [1.0, 0.0]], offset: [2.0, 0.0] };
        let image: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let mut seen = vec![0.0; 9];
        affine.apply(&image, [3, 3], 1, Edge::Background(0.0), &mut seen);
        assert_eq!(seen, [2.0, 5.0, 8.0, 1.0, 4.0, 7.0, 0.0, 3.0, 6.0]);
    }
}
