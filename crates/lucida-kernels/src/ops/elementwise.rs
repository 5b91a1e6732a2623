//! Copies, sums and products of whole tensors.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;

multiversion! {
    fn add_slice[simd: S](from: &[f32], to: &mut [f32]) {
        for (sum, value) in to.iter_mut().zip(from) {
            *sum += value;
        }
    }
}

/// `to = from`, or `to += from` when `accumulate`.
///
/// # Panics
/// When the lengths differ.
pub fn transfer(cpu: Cpu, from: &[f32], to: &mut [f32], accumulate: bool) {
    assert_eq!(from.len(), to.len(), "length");
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(from.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        if accumulate {
            add_slice(cpu.isa(), &from[range], own);
        } else {
            own.copy_from_slice(&from[range]);
        }
    });
}

/// A column block of a row-major matrix: the columns from `start` on, in rows `stride` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// The first column.
    pub start: usize,
    /// Floats from one row to the next.
    pub stride: usize,
}

/// Copies (or adds) `rows` rows of `width` floats from a column block of one matrix to a column block of another: the
/// forward and backward pass of a concatenation of channels.
///
/// # Panics
/// When a block does not lie within its matrix.
pub fn transfer_columns(
    cpu: Cpu,
    (rows, width): (usize, usize),
    (from, source): (&[f32], Columns),
    (to, target): (&mut [f32], Columns),
    accumulate: bool,
) {
    assert!(source.start + width <= source.stride && rows * source.stride <= from.len(), "source columns");
    assert!(target.start + width <= target.stride && rows * target.stride <= to.len(), "target columns");
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(rows, MIN_PART.div_ceil(width.max(1)), |_, range| {
        for row in range {
            let from = &from[row * source.stride + source.start..][..width];
            let at = row * target.stride + target.start;
            // SAFETY: each row belongs to one range.
            let to = unsafe { shared.slice(at..at + width) };
            if accumulate {
                to.iter_mut().zip(from).for_each(|(sum, value)| *sum += value);
            } else {
                to.copy_from_slice(from);
            }
        }
    });
}

/// `to[i] = from[i] * factors[i]`, or `to[i] +=` that when `accumulate`.
///
/// # Panics
/// When the lengths differ.
pub fn multiply(cpu: Cpu, from: &[f32], factors: &[f32], to: &mut [f32], accumulate: bool) {
    assert!(from.len() == to.len() && factors.len() == to.len(), "length");
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(from.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        multiply_slice(cpu.isa(), &from[range.clone()], &factors[range], own, accumulate);
    });
}

multiversion! {
    fn multiply_slice[simd: S](from: &[f32], factors: &[f32], to: &mut [f32], accumulate: bool) {
        let triples = to.iter_mut().zip(from).zip(factors);
        if accumulate {
            triples.for_each(|((y, x), factor)| *y += x * factor);
        } else {
            triples.for_each(|((y, x), factor)| *y = x * factor);
        }
    }
}
