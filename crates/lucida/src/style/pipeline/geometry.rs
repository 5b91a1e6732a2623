//! How an image lies on the canvas that the network sees.

use crate::style::Canvas;

/// Pixels added at least on each side. Convolutions see zeros beyond the border, and would draw what fits
/// an image that ends in black; so the border is optimized outside of the image, and cropped.
const MARGIN: usize = 8;

/// An image and the larger canvas that is optimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) struct Geometry {
    /// Height and width of the image.
    pub(in crate::style) image: [usize; 2],
    /// Those of the canvas: multiples of the unit, so that no pooling drops a row.
    pub(in crate::style) canvas: [usize; 2],
    /// Where the image's first pixel is.
    pub(in crate::style) origin: [usize; 2],
}

impl Geometry {
    /// For a network whose deepest layer has one pixel for `unit` pixels.
    pub(in crate::style) fn new(image: [usize; 2], unit: usize) -> Self {
        let canvas = image.map(|side| (side + 2 * MARGIN).next_multiple_of(unit));
        let origin = [0, 1].map(|axis| (canvas[axis] - image[axis]) / 2);
        Self { image, canvas, origin }
    }

    /// The image on a canvas.
    pub(in crate::style) fn cropped(&self, canvas: &Canvas) -> Canvas {
        canvas.crop(self.origin, self.image)
    }

    /// A plane of the image on the canvas, mirrored at the margins.
    pub(in crate::style) fn plane(&self, values: &[f32]) -> Vec<f32> {
        let rgb = Canvas { size: self.image, values: values.iter().flat_map(|&value| [value; 3]).collect() };
        rgb.mirrored(self.margins()).values.into_iter().step_by(3).collect()
    }

    /// The margins at the top, bottom, left and right.
    pub(in crate::style) fn margins(&self) -> [usize; 4] {
        let end = [0, 1].map(|axis| self.canvas[axis] - self.image[axis] - self.origin[axis]);
        [self.origin[0], end[0], self.origin[1], end[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canvases_are_whole_units_with_a_margin() {
        let geometry = Geometry::new([100, 512], 16);
        assert_eq!(geometry.canvas, [128, 528]);
        assert_eq!(geometry.margins(), [14, 14, 8, 8]);
        assert_eq!(Geometry::new([101, 1], 4).margins(), [9, 10, 9, 10]);
    }
}
