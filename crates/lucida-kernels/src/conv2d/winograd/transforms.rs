//! The one-dimensional transforms of F(4, 3): four outputs of a filter with three taps with six multiplications.
//!
//! With `x_0 .. x_4` five points and infinity the sixth, `y = A^T [(G g) . (B^T d)]` where
//!
//! ```text
//! A^T  column i is 1, x_i, x_i^2, x_i^3                        (the last column 0, 0, 0, 1)
//! G    row i is (1, x_i, x_i^2) / product over j != i of (x_i - x_j)    (the last row 0, 0, 1)
//! B^T  row i has the coefficients of the product over j != i of (z - x_j)   (the last row: over all j)
//! ```
//!
//! The points are 0, -P, P, -Q, Q with P = 3/4 and Q = 3/2: all coefficients but those of `G` are exact, and the powers are
//! closer together than those of the usual points 1 and 2, so that terms that cancel are smaller: half the error, see the
//! table in [`super`]. Symmetric pairs share their even and odd halves, so each transform is 12 instructions or fewer, and
//! negation costs no instruction: it is part of the constant of a multiply-add.

mod six;

use crate::simd::Simd;

/// Pixels of a patch, and products of a tile, along one axis.
pub(crate) const PATCH: usize = 6;
/// Outputs of a tile along one axis.
pub(crate) const TILE: usize = 4;
/// As [`PATCH`] and [`TILE`], along the axis with six outputs: see [`six`].
pub(crate) const PATCH_SIX: usize = 8;
pub(crate) const TILE_SIX: usize = 6;
/// Taps of a kernel along one axis.
pub(crate) const TAPS: usize = 3;

const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
/// The reciprocals of the products in `G`.
const N_ZERO: f32 = 1.0 / (P2 * Q2);
const N_P: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
const N_Q: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));

/// A linear map from `FROM` to `TO` vectors, lane by lane.
pub(crate) trait Transform<const FROM: usize, const TO: usize> {
    fn apply<S: Simd>(simd: S, x: [S::Vector; FROM]) -> [S::Vector; TO];
}

/// `B^T`: a patch of the image.
pub(crate) struct OfInput;
/// `A^T`: the sums of products to the outputs.
pub(crate) struct ToOutput;
/// `G`: the taps of the kernel.
pub(crate) struct OfKernel;
/// `A`: the gradient of the outputs.
pub(crate) struct OfGradient;
/// `G^T`: the gradient of the transformed kernel to that of the taps.
pub(crate) struct ToKernel;

/// `a * x + y` with a constant `a`.
#[inline(always)]
fn axpy<S: Simd>(simd: S, a: f32, x: S::Vector, y: S::Vector) -> S::Vector {
    simd.mul_add(simd.splat(a), x, y)
}

#[inline(always)]
fn scale<S: Simd>(simd: S, a: f32, x: S::Vector) -> S::Vector {
    simd.mul(simd.splat(a), x)
}

impl Transform<PATCH, PATCH> for OfInput {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::Vector; 6]) -> [S::Vector; 6] {
        let (even_p, odd_p) = (axpy(simd, -Q2, d[2], d[4]), axpy(simd, -Q2, d[1], d[3]));
        let (even_q, odd_q) = (axpy(simd, -P2, d[2], d[4]), axpy(simd, -P2, d[1], d[3]));
        [
            axpy(simd, -(P2 + Q2), d[2], axpy(simd, P2 * Q2, d[0], d[4])),
            axpy(simd, -P, odd_p, even_p),
            axpy(simd, P, odd_p, even_p),
            axpy(simd, -Q, odd_q, even_q),
            axpy(simd, Q, odd_q, even_q),
            axpy(simd, -(P2 + Q2), d[3], axpy(simd, P2 * Q2, d[1], d[5])),
        ]
    }
}

impl Transform<PATCH, TILE> for ToOutput {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::Vector; 6]) -> [S::Vector; 4] {
        let (even_p, odd_p) = (simd.add(m[2], m[1]), simd.sub(m[2], m[1]));
        let (even_q, odd_q) = (simd.add(m[4], m[3]), simd.sub(m[4], m[3]));
        [
            simd.add(m[0], simd.add(even_p, even_q)),
            axpy(simd, P, odd_p, scale(simd, Q, odd_q)),
            axpy(simd, P2, even_p, scale(simd, Q2, even_q)),
            axpy(simd, P * P2, odd_p, axpy(simd, Q * Q2, odd_q, m[5])),
        ]
    }
}

impl Transform<TAPS, PATCH> for OfKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; 6] {
        let even_p = axpy(simd, P2 * N_P, g[2], scale(simd, N_P, g[0]));
        let even_q = axpy(simd, Q2 * N_Q, g[2], scale(simd, N_Q, g[0]));
        [
            scale(simd, N_ZERO, g[0]),
            axpy(simd, -P * N_P, g[1], even_p),
            axpy(simd, P * N_P, g[1], even_p),
            axpy(simd, -Q * N_Q, g[1], even_q),
            axpy(simd, Q * N_Q, g[1], even_q),
            g[2],
        ]
    }
}

impl Transform<TILE, PATCH> for OfGradient {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::Vector; 4]) -> [S::Vector; 6] {
        let (even_p, odd_p) = (axpy(simd, P2, y[2], y[0]), axpy(simd, P2, y[3], y[1]));
        let (even_q, odd_q) = (axpy(simd, Q2, y[2], y[0]), axpy(simd, Q2, y[3], y[1]));
        [
            y[0],
            axpy(simd, -P, odd_p, even_p),
            axpy(simd, P, odd_p, even_p),
            axpy(simd, -Q, odd_q, even_q),
            axpy(simd, Q, odd_q, even_q),
            y[3],
        ]
    }
}

impl Transform<PATCH, TAPS> for ToKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::Vector; 6]) -> [S::Vector; 3] {
        let (even_p, odd_p) = (simd.add(u[2], u[1]), simd.sub(u[2], u[1]));
        let (even_q, odd_q) = (simd.add(u[4], u[3]), simd.sub(u[4], u[3]));
        [
            axpy(simd, N_ZERO, u[0], axpy(simd, N_P, even_p, scale(simd, N_Q, even_q))),
            axpy(simd, P * N_P, odd_p, scale(simd, Q * N_Q, odd_q)),
            axpy(simd, P2 * N_P, even_p, axpy(simd, Q2 * N_Q, even_q, u[5])),
        ]
    }
}

/// Applies the transform along both axes, `T x T^T`: from `FROM_Y` rows to `TO_Y`, and from `FROM` columns to `TO`.
#[inline(always)]
pub(crate) fn both_axes<S, T, const FROM_Y: usize, const TO_Y: usize, const FROM: usize, const TO: usize>(
    simd: S,
    x: [[S::Vector; FROM]; FROM_Y],
) -> [[S::Vector; TO]; TO_Y]
where
    S: Simd,
    T: Transform<FROM_Y, TO_Y> + Transform<FROM, TO>,
{
    let zero = simd.splat(0.0);
    let mut half = [[zero; FROM]; TO_Y];
    for j in 0..FROM {
        let mut column = [zero; FROM_Y];
        for i in 0..FROM_Y {
            column[i] = x[i][j];
        }
        let column = <T as Transform<FROM_Y, TO_Y>>::apply(simd, column);
        for i in 0..TO_Y {
            half[i][j] = column[i];
        }
    }
    let mut whole = [[zero; TO]; TO_Y];
    for i in 0..TO_Y {
        whole[i] = <T as Transform<FROM, TO>>::apply(simd, half[i]);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Scalar;

    fn matrix<T: Transform<FROM, TO>, const FROM: usize, const TO: usize>() -> [[f64; FROM]; TO] {
        let mut matrix = [[0.0; FROM]; TO];
        for j in 0..FROM {
            let mut unit = [[0.0; 4]; FROM];
            unit[j] = [1.0; 4];
            for (i, value) in <T as Transform<FROM, TO>>::apply(Scalar, unit).into_iter().enumerate() {
                matrix[i][j] = f64::from(value[0]);
            }
        }
        matrix
    }

    #[test]
    fn products_of_the_transforms_are_a_correlation() {
        correlation::<6, 4>();
        correlation::<8, 6>();
    }

    fn correlation<const PATCH: usize, const TILE: usize>()
    where
        OfInput: Transform<PATCH, PATCH>,
        ToOutput: Transform<PATCH, TILE>,
        OfKernel: Transform<3, PATCH>,
    {
        let input = matrix::<OfInput, PATCH, PATCH>();
        let (output, kernel) = (matrix::<ToOutput, PATCH, TILE>(), matrix::<OfKernel, 3, PATCH>());
        for y in 0..TILE {
            for d in 0..PATCH {
                for g in 0..3 {
                    let sum: f64 = (0..PATCH).map(|p| output[y][p] * kernel[p][g] * input[p][d]).sum();
                    let expected = f64::from(u8::from(d == y + g));
                    assert!((sum - expected).abs() < 1e-6, "output {y}, input {d}, tap {g}: {sum}");
                }
            }
        }
    }

    #[test]
    fn the_ways_back_are_transposes() {
        transposes::<6, 4>();
        transposes::<8, 6>();
    }

    fn transposes<const PATCH: usize, const TILE: usize>()
    where
        ToOutput: Transform<PATCH, TILE>,
        OfGradient: Transform<TILE, PATCH>,
        OfKernel: Transform<3, PATCH>,
        ToKernel: Transform<PATCH, 3>,
    {
        let (there, back) = (matrix::<ToOutput, PATCH, TILE>(), matrix::<OfGradient, TILE, PATCH>());
        assert!((0..TILE).all(|i| (0..PATCH).all(|j| there[i][j] == back[j][i])));
        let (there, back) = (matrix::<OfKernel, 3, PATCH>(), matrix::<ToKernel, PATCH, 3>());
        assert!((0..PATCH).all(|i| (0..3).all(|j| there[i][j] == back[j][i])));
    }
}
