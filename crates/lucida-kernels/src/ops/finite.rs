//! Checks whether values are finite, in one pass and without a branch for each value.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::cpu::Cpu;
use crate::simd::multiversion;

use super::MIN_PART;

/// All bits but the sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

multiversion! {
    fn largest_bits[simd: S](values: &[f32]) -> u32 {
        let mut largest = 0;
        for value in values {
            largest = largest.max(value.to_bits() & MAGNITUDE);
        }
        largest
    }
}

/// Returns the largest absolute value: 0 for no values, NaN if any value is NaN, or else infinity if any is infinite.
///
/// Without the sign bit, the bits of floats are ordered like the floats, with infinity and then NaN above all finite values.
/// The maximum is therefore computed in integers, whose order is total, and is finite if all values are.
///
/// ```
/// use lucida_kernels::Cpu;
/// use lucida_kernels::ops::max_abs;
///
/// assert_eq!(max_abs(Cpu::detect(), &[1.0, -3.0, 2.0]), 3.0);
/// assert!(max_abs(Cpu::detect(), &[f32::INFINITY, f32::NAN, 2.0]).is_nan());
/// ```
pub fn max_abs(cpu: Cpu, values: &[f32]) -> f32 {
    let largest = AtomicU32::new(0);
    cpu.parallel_ranges(values.len(), MIN_PART, |_, range| {
        largest.fetch_max(largest_bits(cpu.isa(), &values[range]), Ordering::Relaxed);
    });
    f32::from_bits(largest.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for isa in Isa::available() {
            let cpu = Cpu::detect().with_isa(isa).with_threads(3);
            for len in [0, 1, 7, 100, 3 * MIN_PART + 5] {
                let mut values: Vec<f32> = (0..len).map(|i| (i as f32).sin()).collect();
                let plain = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                assert_eq!(max_abs(cpu, &values), plain);
                for at in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|&at| at < len) {
                    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                        let good = std::mem::replace(&mut values[at], bad);
                        assert!(!max_abs(cpu, &values).is_finite(), "{} {len} {at} {bad}", isa.name());
                        values[at] = good;
                    }
                }
            }
            assert_eq!(max_abs(cpu, &[f32::MAX, f32::MIN, f32::MIN_POSITIVE]), f32::MAX);
        }
    }
}
