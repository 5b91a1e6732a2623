//! Sums over rows.

use crate::cpu::{Cpu, SharedMut, part_range, parts_of};
use crate::simd::multiversion;

use super::MIN_PART;

multiversion! {
    fn add_slices[simd: S](parts: &[f32], stride: usize, out: &mut [f32]) {
        let count = parts.len().div_ceil(stride);
        out.copy_from_slice(&parts[..out.len()]);
        for index in 1..count {
            for (sum, value) in out.iter_mut().zip(&parts[index * stride..]) {
                *sum += value;
            }
        }
    }
}

/// `out = sum of the parts`, which are stored contiguously, each as long as `out`, and added in order.
///
/// # Panics
/// When the length of `parts` is not a multiple of that of `out`.
pub fn sum_parts(cpu: Cpu, parts: &[f32], out: &mut [f32]) {
    let len = out.len();
    assert!(len > 0 && !parts.is_empty() && parts.len().is_multiple_of(len), "parts of {len} floats");
    let shared = SharedMut::new(out);
    cpu.parallel_ranges(len, MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        let end = parts.len() - len + range.end;
        add_slices(cpu.isa(), &parts[range.start..end], len, own);
    });
}

multiversion! {
    fn add_rows[simd: S](rows: &[f32], out: &mut [f32]) {
        for row in rows.chunks_exact(out.len()) {
            for (sum, value) in out.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// Floats of workspace that [`sum_rows`] needs.
pub fn sum_rows_workspace(cpu: Cpu, columns: usize) -> usize {
    2 * cpu.threads() * columns
}

/// `out[c] = sum over rows of rows[row][c]`: the gradient of a bias.
///
/// Each thread sums its share of the rows in groups of 256, to keep precision over many rows; the shares are added in
/// order.
///
/// # Panics
/// When the length of `rows` is not a multiple of that of `out`, or `workspace` is shorter than [`sum_rows_workspace`].
pub fn sum_rows(cpu: Cpu, rows: &[f32], out: &mut [f32], workspace: &mut [f32]) {
    let columns = out.len();
    assert!(columns > 0 && rows.len().is_multiple_of(columns), "rows of {columns} floats");
    let count = rows.len() / columns;
    let parts = parts_of(count, MIN_PART.div_ceil(columns), cpu.threads());
    let workspace = &mut workspace[..2 * parts * columns];
    let shared = SharedMut::new(workspace);
    cpu.parallel_for(parts, |_, part| {
        // SAFETY: each part has its own two rows.
        let own = unsafe { shared.slice(2 * part * columns..2 * (part + 1) * columns) };
        let (total, group_sum) = own.split_at_mut(columns);
        total.fill(0.0);
        let range = part_range(count, parts, part);
        for group in rows[range.start * columns..range.end * columns].chunks(256 * columns) {
            group_sum.fill(0.0);
            add_rows(cpu.isa(), group, group_sum);
            add_rows(cpu.isa(), group_sum, total);
        }
    });
    out.fill(0.0);
    for pair in workspace.chunks_exact(2 * columns) {
        add_rows(cpu.isa(), &pair[..columns], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn rows_and_parts_add_up() {
        for isa in Isa::available() {
            for (count, columns) in [(1, 1), (3, 5), (1000, 24), (5000, 7), (300, 600)] {
                let rows: Vec<f32> = (0..count * columns).map(|i| (i % 13) as f32 - 5.0).collect();
                let expected: Vec<f32> =
                    (0..columns).map(|c| (0..count).map(|r| rows[r * columns + c]).sum::<f32>()).collect();
                for threads in [1, 2, 5] {
                    let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                    let mut out = vec![1.0; columns];
                    let mut workspace = vec![7.0; sum_rows_workspace(cpu, columns)];
                    sum_rows(cpu, &rows, &mut out, &mut workspace);
                    assert_eq!(out, expected, "{count} rows of {columns}");
                    sum_parts(cpu, &rows, &mut out);
                    assert_eq!(out, expected, "{count} parts of {columns}");
                }
            }
        }
    }
}
