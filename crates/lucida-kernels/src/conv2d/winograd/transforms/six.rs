//! The transforms of F(6, 3): six outputs of a filter with three taps with eight multiplications.
//!
//! As in [`super`], with the points 0, -A, A, -B, B, -C, C and infinity, where A = 1/2, B = 9/8 and C = 2: of all multiples
//! of 1/8 up to 2, the most accurate in combination with the four outputs along the other axis. Each transform takes 24
//! instructions or fewer.

use crate::simd::Simd;

use super::{OfGradient, OfInput, OfKernel, PATCH_SIX, TAPS, TILE_SIX, ToKernel, ToOutput, Transform, axpy, scale};

const A: f32 = 0.5;
const B: f32 = 1.125;
const C: f32 = 2.0;
const A2: f32 = A * A;
const B2: f32 = B * B;
const C2: f32 = C * C;
/// The reciprocals of the products in `G`.
const N_ZERO: f32 = -1.0 / (A2 * B2 * C2);
const N_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2) * (A2 - C2));
const N_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2) * (B2 - C2));
const N_C: f32 = 1.0 / (2.0 * C2 * (C2 - A2) * (C2 - B2));
/// The coefficients of `(z^2 - A2) (z^2 - B2) (z^2 - C2)`.
const S_4: f32 = -(A2 + B2 + C2);
const S_2: f32 = A2 * B2 + A2 * C2 + B2 * C2;
const S_0: f32 = -(A2 * B2 * C2);

/// `(z^2 - x) (z^2 - y)` with pixels in place of the powers 1, `z^2` and `z^4`.
#[inline(always)]
fn quartic<S: Simd>(simd: S, x: f32, y: f32, d: [S::Vector; 3]) -> S::Vector {
    axpy(simd, x * y, d[0], axpy(simd, -(x + y), d[1], d[2]))
}

impl Transform<PATCH_SIX, PATCH_SIX> for OfInput {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::Vector; 8]) -> [S::Vector; 8] {
        let (even_a, odd_a) = (quartic(simd, B2, C2, [d[2], d[4], d[6]]), quartic(simd, B2, C2, [d[1], d[3], d[5]]));
        let (even_b, odd_b) = (quartic(simd, A2, C2, [d[2], d[4], d[6]]), quartic(simd, A2, C2, [d[1], d[3], d[5]]));
        let (even_c, odd_c) = (quartic(simd, A2, B2, [d[2], d[4], d[6]]), quartic(simd, A2, B2, [d[1], d[3], d[5]]));
        [
            axpy(simd, S_0, d[0], axpy(simd, S_2, d[2], axpy(simd, S_4, d[4], d[6]))),
            axpy(simd, -A, odd_a, even_a),
            axpy(simd, A, odd_a, even_a),
            axpy(simd, -B, odd_b, even_b),
            axpy(simd, B, odd_b, even_b),
            axpy(simd, -C, odd_c, even_c),
            axpy(simd, C, odd_c, even_c),
            axpy(simd, S_0, d[1], axpy(simd, S_2, d[3], axpy(simd, S_4, d[5], d[7]))),
        ]
    }
}

impl Transform<PATCH_SIX, TILE_SIX> for ToOutput {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::Vector; 8]) -> [S::Vector; 6] {
        let (even_a, odd_a) = (simd.add(m[2], m[1]), simd.sub(m[2], m[1]));
        let (even_b, odd_b) = (simd.add(m[4], m[3]), simd.sub(m[4], m[3]));
        let (even_c, odd_c) = (simd.add(m[6], m[5]), simd.sub(m[6], m[5]));
        [
            simd.add(simd.add(m[0], even_a), simd.add(even_b, even_c)),
            axpy(simd, A, odd_a, axpy(simd, B, odd_b, scale(simd, C, odd_c))),
            axpy(simd, A2, even_a, axpy(simd, B2, even_b, scale(simd, C2, even_c))),
            axpy(simd, A * A2, odd_a, axpy(simd, B * B2, odd_b, scale(simd, C * C2, odd_c))),
            axpy(simd, A2 * A2, even_a, axpy(simd, B2 * B2, even_b, scale(simd, C2 * C2, even_c))),
            axpy(simd, A * A2 * A2, odd_a, axpy(simd, B * B2 * B2, odd_b, axpy(simd, C * C2 * C2, odd_c, m[7]))),
        ]
    }
}

impl Transform<TAPS, PATCH_SIX> for OfKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; 8] {
        let even_a = axpy(simd, A2 * N_A, g[2], scale(simd, N_A, g[0]));
        let even_b = axpy(simd, B2 * N_B, g[2], scale(simd, N_B, g[0]));
        let even_c = axpy(simd, C2 * N_C, g[2], scale(simd, N_C, g[0]));
        [
            scale(simd, N_ZERO, g[0]),
            axpy(simd, -A * N_A, g[1], even_a),
            axpy(simd, A * N_A, g[1], even_a),
            axpy(simd, -B * N_B, g[1], even_b),
            axpy(simd, B * N_B, g[1], even_b),
            axpy(simd, -C * N_C, g[1], even_c),
            axpy(simd, C * N_C, g[1], even_c),
            g[2],
        ]
    }
}

impl Transform<TILE_SIX, PATCH_SIX> for OfGradient {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::Vector; 6]) -> [S::Vector; 8] {
        let even_a = axpy(simd, A2 * A2, y[4], axpy(simd, A2, y[2], y[0]));
        let odd_a = axpy(simd, A2 * A2, y[5], axpy(simd, A2, y[3], y[1]));
        let even_b = axpy(simd, B2 * B2, y[4], axpy(simd, B2, y[2], y[0]));
        let odd_b = axpy(simd, B2 * B2, y[5], axpy(simd, B2, y[3], y[1]));
        let even_c = axpy(simd, C2 * C2, y[4], axpy(simd, C2, y[2], y[0]));
        let odd_c = axpy(simd, C2 * C2, y[5], axpy(simd, C2, y[3], y[1]));
        [
            y[0],
            axpy(simd, -A, odd_a, even_a),
            axpy(simd, A, odd_a, even_a),
            axpy(simd, -B, odd_b, even_b),
            axpy(simd, B, odd_b, even_b),
            axpy(simd, -C, odd_c, even_c),
            axpy(simd, C, odd_c, even_c),
            y[5],
        ]
    }
}

impl Transform<PATCH_SIX, TAPS> for ToKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::Vector; 8]) -> [S::Vector; 3] {
        let (even_a, odd_a) = (simd.add(u[2], u[1]), simd.sub(u[2], u[1]));
        let (even_b, odd_b) = (simd.add(u[4], u[3]), simd.sub(u[4], u[3]));
        let (even_c, odd_c) = (simd.add(u[6], u[5]), simd.sub(u[6], u[5]));
        [
            axpy(simd, N_ZERO, u[0], axpy(simd, N_A, even_a, axpy(simd, N_B, even_b, scale(simd, N_C, even_c)))),
            axpy(simd, A * N_A, odd_a, axpy(simd, B * N_B, odd_b, scale(simd, C * N_C, odd_c))),
            axpy(simd, A2 * N_A, even_a, axpy(simd, B2 * N_B, even_b, axpy(simd, C2 * N_C, even_c, u[7]))),
        ]
    }
}
