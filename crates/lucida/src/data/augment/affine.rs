//! Affine transformations of images, equivalent to Keras's `apply_affine_transform` with order 1 and four fill modes.

use serde::{Deserialize, Serialize};

/// The values beyond the edges of an image `abcd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillMode {
    /// The nearest pixel: `aaaa|abcd|dddd`.
    #[default]
    Nearest,
    /// Reflected: `dcba|abcd|dcba`.
    Reflect,
    /// A constant value: `kkkk|abcd|kkkk`.
    Constant,
    /// Wrapped around, with the last pixel on the first as in SciPy: `abc|abcd|bcd`.
    Wrap,
}

/// An affine transformation, which maps each pixel of the result to a point of the input: positions in pixels relative to
/// the center of the image, column before row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The column as `[0][0] * column + [0][1] * row + [0][2]`, and the row likewise.
    matrix: [[f64; 3]; 2],
}

impl Affine {
    /// The identity.
    pub const IDENTITY: Self = Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] };

    /// The transformation of Keras's `apply_affine_transform`: a rotation by `theta` degrees, a shift by `tx` columns and
    /// `ty` rows (on its own, the result at row r and column c is the input at r + ty and c + tx), a shear by `shear`
    /// degrees, and zooms, where values below 1 enlarge.
    pub fn new(theta: f64, [tx, ty]: [f64; 2], shear: f64, [zx, zy]: [f64; 2]) -> Self {
        let linear = |a, b, c, d| Self { matrix: [[a, b, 0.0], [c, d, 0.0]] };
        let (sin, cos) = theta.to_radians().sin_cos();
        let (slant_sin, slant_cos) = shear.to_radians().sin_cos();
        let shift = Self { matrix: [[1.0, 0.0, tx], [0.0, 1.0, ty]] };
        linear(cos, -sin, sin, cos)
            .of(&shift)
            .of(&linear(1.0, -slant_sin, 0.0, slant_cos))
            .of(&linear(zx, 0.0, 0.0, zy))
    }

    /// A crop centered `x` columns and `y` rows from the center of the image, with sides `zx` and `zy` times as long.
    pub fn part([x, y]: [f64; 2], [zx, zy]: [f64; 2]) -> Self {
        Self { matrix: [[zx, 0.0, x], [0.0, zy, y]] }
    }

    /// A shear along the rows and along the columns, in pixels per pixel from the center.
    pub(super) fn slant(along_rows: f64, along_columns: f64) -> Self {
        Self { matrix: [[1.0, along_rows, 0.0], [along_columns, 1.0, 0.0]] }
    }

    /// The composition: points of the result are mapped by `inner` first, then by `self`.
    #[must_use]
    pub fn of(&self, inner: &Self) -> Self {
        let ([a, b], [c, d]) = (self.matrix, inner.matrix);
        let row =
            |r: [f64; 3]| [r[0] * c[0] + r[1] * d[0], r[0] * c[1] + r[1] * d[1], r[0] * c[2] + r[1] * d[2] + r[2]];
        Self { matrix: [row(a), row(b)] }
    }

    /// Transforms an image of `shape` `[height, width, channels]`, with bilinear interpolation.
    ///
    /// # Panics
    /// When the length of `values` does not match `shape`.
    pub fn apply(&self, values: &[f32], shape: [usize; 3], fill: FillMode, fill_value: f32) -> Vec<f32> {
        let [height, width, channels] = shape;
        assert_eq!(values.len(), height * width * channels, "an image of {shape:?}");
        if *self == Self::IDENTITY {
            return values.to_vec();
        }
        let [across, down] = self.matrix;
        let (middle_row, middle_column) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let mut out = vec![fill_value; values.len()];
        let mut pixels = out.chunks_exact_mut(channels.max(1));
        for row in 0..height {
            let y = row as f64 - middle_row;
            for column in 0..width {
                let Some(pixel) = pixels.next() else { return out };
                let x = column as f64 - middle_column;
                let source_column = across[0] * x + across[1] * y + across[2] + middle_column;
                let source_row = down[0] * x + down[1] * y + down[2] + middle_row;
                let (Some(rows), Some(columns)) =
                    (fill.pixel_pair(source_row, height), fill.pixel_pair(source_column, width))
                else {
                    continue;
                };
                let at = |row: usize, column: usize| (row * width + column) * channels;
                let corners = [
                    (at(rows.first, columns.first), (1.0 - rows.part) * (1.0 - columns.part)),
                    (at(rows.first, columns.second), (1.0 - rows.part) * columns.part),
                    (at(rows.second, columns.first), rows.part * (1.0 - columns.part)),
                    (at(rows.second, columns.second), rows.part * columns.part),
                ];
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let sum: f64 = corners.iter().map(|(at, weight)| weight * f64::from(values[at + channel])).sum();
                    *value = sum as f32;
                }
            }
        }
        out
    }
}

/// An interpolation between two pixels of a line.
struct PixelPair {
    first: usize,
    second: usize,
    /// The weight of the second pixel, 0 to 1.
    part: f64,
}

impl FillMode {
    /// The pixels around a position on a line of `len` pixels; `None` if it is filled with a constant.
    fn pixel_pair(self, position: f64, len: usize) -> Option<PixelPair> {
        let last = (len - 1) as f64;
        let inside = match self {
            Self::Nearest => position.clamp(0.0, last),
            Self::Constant if !(0.0..=last).contains(&position) => return None,
            // SciPy's period is the length minus one.
            Self::Wrap if len == 1 => 0.0,
            Self::Wrap if !(0.0..=last).contains(&position) => position.rem_euclid(last),
            Self::Reflect => {
                let turned = position.rem_euclid(2.0 * len as f64);
                let first = turned.floor();
                let mirrored =
                    |index: usize| if index < len { index } else { (2 * len - 1).saturating_sub(index) % len };
                let (first, part) = (first as usize, turned - first);
                return Some(PixelPair { first: mirrored(first), second: mirrored((first + 1) % (2 * len)), part });
            }
            Self::Constant | Self::Wrap => position,
        };
        let first = (inside.floor() as usize).min(len - 1);
        Some(PixelPair { first, second: (first + 1).min(len - 1), part: inside - first as f64 })
    }
}
