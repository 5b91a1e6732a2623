//! Placement of an image on the canvas that the network processes.

use crate::style::Canvas;

/// Minimum margin on each side, in pixels. With zero padding the network would fit an image that ends in black; therefore a
/// border around the image is optimized as well, and cropped.
const MARGIN: usize = 8;

/// An image, and the larger canvas that is optimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) struct Geometry {
    /// Height and width of the image.
    pub(in crate::style) image: [usize; 2],
    /// Height and width of the canvas: multiples of the unit, so that no pooling drops a row.
    pub(in crate::style) canvas: [usize; 2],
    /// Position of the image's first pixel.
    pub(in crate::style) origin: [usize; 2],
}

impl Geometry {
    /// Geometry for a network whose deepest layer has a stride of `unit` pixels.
    pub(in crate::style) fn new(image: [usize; 2], unit: usize) -> Self {
        let canvas = image.map(|side| (side + 2 * MARGIN).next_multiple_of(unit));
        let origin = [0, 1].map(|axis| (canvas[axis] - image[axis]) / 2);
        Self { image, canvas, origin }
    }

    /// Crops the canvas to the image.
    pub(in crate::style) fn cropped(&self, canvas: &Canvas) -> Canvas {
        canvas.crop(self.origin, self.image)
    }

    /// Extends a plane of the image to the canvas, mirrored at the margins.
    pub(in crate::style) fn plane(&self, values: &[f32]) -> Vec<f32> {
        let rgb = Canvas { size: self.image, values: values.iter().flat_map(|&value| [value; 3]).collect() };
        rgb.mirrored(self.margins()).values.into_iter().step_by(3).collect()
    }

    /// Margins at the top, bottom, left and right.
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
