//! Exponentials and related functions, as polynomials.
//!
//! Each function is a chain of additions, products, comparisons and shifts, without branches or calls, so that the compiler
//! vectorizes the loops around it for every instruction set. Nothing is contracted to a fused multiply-add: all instruction
//! sets return the same bits. Relative errors are below 1e-6 (see the tests); NaN is propagated.

use std::f32::consts::{LOG2_E, SQRT_2};

/// Adding this to a number below 2^22 and subtracting it again rounds the number to an integer; in between, the low bits
/// hold that integer.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, the first with trailing zeros so that its products with small integers are exact (Cody and Waite,
/// 1980).
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `2^n` for `-127 < n < 128`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

/// Decomposes `x` as `n ln 2 + r` with `|r| <= ln 2 / 2`; returns `n` and `exp(r) - 1`.
#[inline(always)]
fn reduced(x: f32) -> (i32, f32) {
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // Taylor series; the next term is less than 1.2e-8 of r.
    let series = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    (shifted.to_bits() as i32 - ROUND.to_bits() as i32, r + r * r * (0.5 + r * series))
}

/// Clamps `x`, propagating NaN.
#[inline(always)]
fn bounded(x: f32, least: f32, most: f32) -> f32 {
    let x = if x > most { most } else { x };
    if x < least { least } else { x }
}

/// `exp(x)`
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (n, rest) = reduced(bounded(x, -105.0, 89.0));
    // Two factors: a single one would overflow before the result does.
    let half = n >> 1;
    (1.0 + rest) * power_of_two(half) * power_of_two(n - half)
}

/// `exp(x) - 1`, without cancellation near zero, for `x < 88`.
#[inline(always)]
pub(super) fn exp_m1(x: f32) -> f32 {
    let (n, rest) = reduced(bounded(x, -25.0, 87.0));
    let scale = power_of_two(n);
    scale * rest + (scale - 1.0)
}

/// `ln(1 + u)` for `0 <= u <= 1`: `2 artanh(u / (2 + u))`.
#[inline(always)]
pub(super) fn ln_1p(u: f32) -> f32 {
    let s = u / (2.0 + u);
    let q = s * s;
    let tail = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)));
    2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * tail))))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(super) fn logistic(x: f32) -> f32 {
    let e = exp(-x.abs());
    let part = 1.0 / (1.0 + e);
    if x >= 0.0 { part } else { e * part }
}

/// `ln(1 + exp(x))`
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    let rest = ln_1p(exp(-x.abs()));
    if x > 0.0 { x + rest } else { rest }
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let e = exp_m1(bounded(2.0 * x.abs(), 0.0, 20.0));
    (e / (e + 2.0)).copysign(x)
}

/// `exp(z^2) erfc(z)` for `z >= 0`, as a polynomial in `t = 1 / (1 + z / 2)`, fitted at Chebyshev nodes for `z` up to 10,
/// where `erfc` is smaller than any float. The relative error is 6e-8.
#[inline(always)]
fn scaled_erfc(z: f32) -> f32 {
    const P: [f32; 9] = [
        0.282_088_2,
        0.282_337_86,
        0.243_426_82,
        0.201_196_66,
        -0.022_591_424,
        0.271_470_86,
        -0.480_802_7,
        0.281_191_94,
        -0.058_318_243,
    ];
    let t = 1.0 / (1.0 + 0.5 * z);
    let low = P[0] + t * (P[1] + t * (P[2] + t * P[3]));
    t * (low + t * t * t * t * (P[4] + t * (P[5] + t * (P[6] + t * (P[7] + t * P[8])))))
}

/// The error function.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    // 2 / sqrt(pi) times the Taylor series near zero, where 1 - erfc(x) cancels.
    let q = x * x;
    let series = -1.0 / 42.0 + q * (1.0 / 216.0 + q * (-1.0 / 1320.0 + q * (1.0 / 9360.0)));
    let near = std::f32::consts::FRAC_2_SQRT_PI * (x + x * q * (-1.0 / 3.0 + q * (0.1 + q * series)));
    let z = bounded(x.abs(), 0.0, 10.0);
    let far = (1.0 - exp(-z * z) * scaled_erfc(z)).copysign(x);
    if q < 0.25 { near } else { far }
}

/// The standard normal distribution function `(1 + erf(x / sqrt 2)) / 2`, and its density.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const DENSITY: f32 = 0.398_942_3;
    let e = exp(-0.5 * x * x);
    let tail = 0.5 * e * scaled_erfc(bounded(x.abs() / SQRT_2, 0.0, 10.0));
    (if x > 0.0 { 1.0 - tail } else { tail }, DENSITY * e)
}

/// `tanh(ln(1 + exp(x)))`, and its derivative.
#[inline(always)]
pub(super) fn tanh_softplus(x: f32) -> (f32, f32) {
    // With e = exp(x) it is n / (n + 2), where n = e (e + 2); from x = 20 on, it is 1.
    let e = exp(bounded(x, -105.0, 20.0));
    let n = e * (e + 2.0);
    let part = 1.0 / (n + 2.0);
    // 1 - tanh^2, times the logistic function e / (1 + e).
    (n * part, 4.0 * e * (1.0 + e) * part * part)
}

/// `x - tanh(x)`
#[inline(always)]
pub(super) fn tanh_shrink(x: f32) -> f32 {
    let q = x * x;
    let series = -17.0 / 315.0 + q * (62.0 / 2835.0 + q * (-1382.0 / 155_925.0 + q * (21_844.0 / 6_081_075.0)));
    let near = x * q * (1.0 / 3.0 + q * (-2.0 / 15.0 - q * series));
    if q < 0.25 { near } else { x - tanh(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: [f64; 2], f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let step = (range[1] - range[0]) / 30_000.0;
        let points = (0..=30_000).map(|i| (range[0] + step * f64::from(i)) as f32);
        let errors = points.map(|x| {
            let (got, expected) = (f64::from(f(x)), exact(x.into()));
            if got == expected { 0.0 } else { (got - expected).abs() / expected.abs() }
        });
        errors.fold(0.0, f64::max)
    }

    /// By its power series near zero, by the continued fraction of `erfc` elsewhere.
    fn exact_erf(x: f64) -> f64 {
        let z = x.abs();
        let value = if z < 2.5 {
            let (mut term, mut sum) = (z, z);
            for n in 1..80 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else {
            1.0 - exact_erfc(z)
        };
        value.copysign(x)
    }

    fn exact_erfc(z: f64) -> f64 {
        let fraction = (1..200).rev().fold(z, |below, n| z + 0.5 * f64::from(n) / below);
        (-z * z).exp() / (fraction * std::f64::consts::PI.sqrt())
    }

    #[test]
    fn relative_errors_are_small() {
        let softplus64 = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        let found = [
            ("exp", worst([-87.0, 88.0], exp, f64::exp)),
            ("exp_m1", worst([-30.0, 10.0], exp_m1, f64::exp_m1)),
            ("exp_m1 near zero", worst([-0.01, 0.01], exp_m1, f64::exp_m1)),
            ("ln_1p", worst([0.0, 1.0], ln_1p, f64::ln_1p)),
            ("logistic", worst([-80.0, 80.0], logistic, |x| 1.0 / (1.0 + (-x).exp()))),
            ("softplus", worst([-80.0, 80.0], softplus, softplus64)),
            ("tanh", worst([-30.0, 30.0], tanh, f64::tanh)),
            ("tanh near zero", worst([-0.01, 0.01], tanh, f64::tanh)),
            ("erf", worst([-12.0, 12.0], erf, exact_erf)),
            ("tanh_softplus", worst([-80.0, 80.0], |x| tanh_softplus(x).0, |x| softplus64(x).tanh())),
            (
                "tanh_shrink",
                worst([0.001, 10.0], tanh_shrink, |x| {
                    if x < 0.05 {
                        x.powi(3) / 3.0 - 2.0 * x.powi(5) / 15.0 + 17.0 * x.powi(7) / 315.0
                    } else {
                        x - x.tanh()
                    }
                }),
            ),
            (
                "normal",
                worst(
                    [-3.0, 12.0],
                    |x| normal(x).0,
                    |x| {
                        let z = x / std::f64::consts::SQRT_2;
                        0.5 + 0.5 * exact_erf(z)
                    },
                ),
            ),
        ];
        for (name, error) in found {
            assert!(error < 1.5e-6, "{name}: {error:e}");
        }
        // In the tail the rounding of the exponent dominates: half a unit of x^2 / 2.
        let tail = worst([-12.0, -3.0], |x| normal(x).0, |x| 0.5 * exact_erfc(-x / std::f64::consts::SQRT_2));
        assert!(tail < 1e-5, "{tail:e}");
    }

    #[test]
    fn ends_and_what_is_not_a_number() {
        assert_eq!([exp(f32::INFINITY), exp(f32::NEG_INFINITY), exp(0.0)], [f32::INFINITY, 0.0, 1.0]);
        assert_eq!([tanh(1e30), tanh(-1e30), tanh_softplus(1e30).0], [1.0, -1.0, 1.0]);
        assert_eq!([logistic(-1e30), logistic(1e30), softplus(1e30), softplus(-1e30)], [0.0, 1.0, 1e30, 0.0]);
        assert_eq!([normal(-1e18).0, normal(1e18).0, erf(-1e30), erf(1e30)], [0.0, 1.0, -1.0, 1.0]);
        for f in [exp, exp_m1, logistic, softplus, tanh, erf, tanh_shrink] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
