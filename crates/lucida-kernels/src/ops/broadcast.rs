//! Arithmetic between broadcast tensors: the gate of a squeeze-and-excitation block `[1, 1, channels]` on an image, or a
//! map `[height, width, 1]`.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;

/// Floats per block into which the tensors are merged one after the other.
const BLOCK: usize = 1 << 12;

/// How a tensor is broadcast to the rows of a larger one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Values per sample of the tensor.
    len: usize,
    /// Values per row of the larger tensor.
    width: usize,
    /// Whether the tensor has a single value per row, instead of one for each value of the row.
    single: bool,
    /// Where the values for each row of a sample start in the tensor.
    starts: Vec<usize>,
}

impl Broadcast {
    /// Broadcasts samples of the shape `from` to samples of the shape `to`. Both end in the same axis; leading axes that
    /// `from` lacks have size 1. Returns `None` if the shapes are incompatible.
    pub fn new(from: &[usize], to: &[usize]) -> Option<Self> {
        let lacking = to.len().checked_sub(from.len())?;
        let from: Vec<usize> = std::iter::repeat_n(1, lacking).chain(from.iter().copied()).collect();
        if from.iter().zip(to).any(|(&size, &wide)| size != wide && size != 1) {
            return None;
        }
        let len = from.iter().product();
        if from == to {
            return Some(Self { len, width: len, single: false, starts: vec![0] });
        }
        let (&width, outer) = to.split_last()?;
        let rows = outer.iter().product();
        let start = |mut row: usize| {
            let (mut at, mut stride) = (0, from[outer.len()]);
            for (&wide, &size) in outer.iter().zip(&from).rev() {
                at += if size == 1 { 0 } else { row % wide * stride };
                row /= wide;
                stride *= size;
            }
            at
        };
        let single = from[outer.len()] == 1 && width != 1;
        Some(Self { len, width, single, starts: (0..rows).map(start).collect() })
    }

    /// Whether nothing is broadcast.
    pub fn is_identity(&self) -> bool {
        self.starts.len() == 1 && !self.single
    }

    /// Number of values per sample of the tensor.
    pub fn sample(&self) -> usize {
        self.len
    }

    /// Number of values per sample of the broadcast result.
    fn wide(&self) -> usize {
        self.width * self.starts.len()
    }
}

/// A binary operation on each value of a tensor and the corresponding value of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// The second value.
    Copy,
    /// The sum.
    Add,
    /// The first minus the second.
    Subtract,
    /// The product.
    Multiply,
    /// The first divided by the second.
    Divide,
    /// The larger of the two.
    Maximum,
    /// The smaller of the two.
    Minimum,
}

/// Combines each value `$y` with `$x`. Plain loops: functions called in the closure of an iterator are not always compiled
/// with the instruction set.
macro_rules! each_value {
    ($op:expr, $pattern:pat in $pairs:expr, $y:ident, $x:expr) => {
        match $op {
            Arithmetic::Copy => {
                for $pattern in $pairs {
                    *$y = $x
                }
            }
            Arithmetic::Add => {
                for $pattern in $pairs {
                    *$y += $x
                }
            }
            Arithmetic::Subtract => {
                for $pattern in $pairs {
                    *$y -= $x
                }
            }
            Arithmetic::Multiply => {
                for $pattern in $pairs {
                    *$y *= $x
                }
            }
            Arithmetic::Divide => {
                for $pattern in $pairs {
                    *$y /= $x
                }
            }
            Arithmetic::Maximum => {
                for $pattern in $pairs {
                    *$y = if $x > *$y { $x } else { *$y }
                }
            }
            Arithmetic::Minimum => {
                for $pattern in $pairs {
                    *$y = if $x < *$y { $x } else { *$y }
                }
            }
        }
    };
}

multiversion! {
    fn combine_values[simd: S](op: Arithmetic, from: &[f32], to: &mut [f32]) {
        each_value!(op, (y, x) in to.iter_mut().zip(from), y, *x);
    }
}

multiversion! {
    /// `first` is the number of the first row of `to`, counted over all samples.
    fn combine_rows[simd: S](op: Arithmetic, map: &Broadcast, from: &[f32], first: usize, to: &mut [f32]) {
        let rows = map.starts.len();
        let (mut sample, mut row) = (first / rows * map.len, first % rows);
        for to in to.chunks_exact_mut(map.width) {
            let at = sample + map.starts[row];
            if map.single {
                let value = from[at];
                each_value!(op, y in to.iter_mut(), y, value);
            } else {
                each_value!(op, (y, x) in to.iter_mut().zip(&from[at..at + map.width]), y, *x);
            }
            row += 1;
            if row == rows {
                (sample, row) = (sample + map.len, 0);
            }
        }
    }
}

/// `to = op(to, from)`, with `from` broadcast.
///
/// # Panics
/// When a length does not fit.
pub fn arithmetic(cpu: Cpu, op: Arithmetic, map: &Broadcast, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len() * map.wide(), to.len() * map.len, "length");
    let len = to.len();
    let shared = SharedMut::new(to);
    if map.is_identity() {
        cpu.parallel_ranges(len, MIN_PART, |_, range| {
            // SAFETY: the ranges are disjoint.
            let own = unsafe { shared.slice(range.clone()) };
            combine_values(cpu.isa(), op, &from[range], own);
        });
        return;
    }
    cpu.parallel_ranges(len / map.width, MIN_PART.div_ceil(map.width), |_, rows| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(rows.start * map.width..rows.end * map.width) };
        combine_rows(cpu.isa(), op, map, from, rows.start, own);
    });
}

/// `to = op(op(first, second), third) ...`, where each tensor `from(index)` is broadcast by `maps[index]`; computed in
/// blocks that stay in the cache from one tensor to the next.
///
/// # Panics
/// When a length does not fit, or there is no tensor.
pub fn merge<'a>(
    cpu: Cpu,
    op: Arithmetic,
    maps: &[Broadcast],
    from: impl Fn(usize) -> &'a [f32] + Sync,
    to: &mut [f32],
) {
    assert!(!maps.is_empty(), "nothing to be merged");
    for (index, map) in maps.iter().enumerate() {
        assert_eq!(from(index).len() * map.wide(), to.len() * map.len, "length");
    }
    // Without broadcasting, any row length works.
    let width = maps.iter().find(|map| !map.is_identity()).map_or(1, |map| map.width);
    let rows_of_block = (BLOCK / width).max(1);
    let len = to.len();
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(len / width, MIN_PART.div_ceil(width), |_, rows| {
        for first in rows.clone().step_by(rows_of_block) {
            let range = first * width..rows.end.min(first + rows_of_block) * width;
            // SAFETY: the ranges are disjoint.
            let own = unsafe { shared.slice(range.clone()) };
            for (index, map) in maps.iter().enumerate() {
                let op = if index == 0 { Arithmetic::Copy } else { op };
                match map.is_identity() {
                    true => combine_values(cpu.isa(), op, &from(index)[range.clone()], own),
                    false => combine_rows(cpu.isa(), op, map, from(index), first, own),
                }
            }
        }
    });
}

/// Sets values of `to` to zero where a broadcast tensor differs from `reference`, or, when `equal`, where it equals it.
///
/// # Panics
/// When a length does not fit.
pub fn clear_where(cpu: Cpu, equal: bool, map: &Broadcast, from: &[f32], reference: &[f32], to: &mut [f32]) {
    assert!(from.len() * map.wide() == to.len() * map.len && reference.len() == to.len(), "length");
    let len = to.len();
    let shared = SharedMut::new(to);
    // A part is a whole number of rows; without broadcasting, any row length works.
    let width = if map.is_identity() { 1 } else { map.width };
    cpu.parallel_ranges(len / width, MIN_PART.div_ceil(width), |_, rows| {
        let range = rows.start * width..rows.end * width;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        clear_rows(cpu.isa(), equal, map, from, &reference[range], rows.start, own);
    });
}

multiversion! {
    fn clear_rows[simd: S](equal: bool, map: &Broadcast, from: &[f32], reference: &[f32], first: usize, to: &mut [f32]) {
        if map.is_identity() {
            for ((y, r), x) in to.iter_mut().zip(reference).zip(&from[first..]) {
                *y = if (x == r) == equal { 0.0 } else { *y };
            }
            return;
        }
        let rows = to.chunks_exact_mut(map.width).zip(reference.chunks_exact(map.width));
        for (row, (to, reference)) in (first..).zip(rows) {
            let at = row / map.starts.len() * map.len + map.starts[row % map.starts.len()];
            for (i, (y, r)) in to.iter_mut().zip(reference).enumerate() {
                let x = from[if map.single { at } else { at + i }];
                *y = if (x == *r) == equal { 0.0 } else { *y };
            }
        }
    }
}

multiversion! {
    fn sum_sample[simd: S](map: &Broadcast, wide: &[f32], total: &mut [f64], group: &mut [f32]) {
        let width = map.width;
        let rows = map.starts.len();
        let mut first = 0;
        while first < rows {
            // A group of consecutive rows that broadcast from the same values, small enough to keep precision.
            let start = map.starts[first];
            let end = (first + 1..rows.min(first + 256)).find(|&row| map.starts[row] != start).unwrap_or(rows.min(first + 256));
            let block = &wide[first * width..end * width];
            if map.single {
                total[start] += f64::from(block.iter().sum::<f32>());
            } else {
                group.fill(0.0);
                for row in block.chunks_exact(width) {
                    group.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                total[start..start + width].iter_mut().zip(group.iter()).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            first = end;
        }
    }
}

/// The transpose of a broadcast: each value of `to` is the sum of the values of `wide` it is broadcast to, added to the
/// value already there when `accumulate`.
///
/// # Panics
/// When a length does not fit.
pub fn sum_broadcast(cpu: Cpu, map: &Broadcast, wide: &[f32], to: &mut [f32], accumulate: bool) {
    assert_eq!(to.len() * map.wide(), wide.len() * map.len, "length");
    if map.is_identity() {
        return super::transfer(cpu, wide, to, accumulate);
    }
    let samples = to.len() / map.len;
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(samples, MIN_PART.div_ceil(map.wide()), |_, samples| {
        let (mut total, mut group) = (vec![0.0; map.len], vec![0.0; map.width]);
        for sample in samples {
            total.fill(0.0);
            sum_sample(cpu.isa(), map, &wide[sample * map.wide()..][..map.wide()], &mut total, &mut group);
            // SAFETY: each sample belongs to one range.
            let own = unsafe { shared.slice(sample * map.len..(sample + 1) * map.len) };
            for (value, &sum) in own.iter_mut().zip(&total) {
                *value = if accumulate { *value + sum as f32 } else { sum as f32 };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// The index in `from` of each value of `to`, by definition.
    fn places(from: &[usize], to: &[usize]) -> Vec<usize> {
        let from: Vec<usize> = std::iter::repeat_n(1, to.len() - from.len()).chain(from.iter().copied()).collect();
        let place = |mut index: usize| {
            let (mut at, mut stride) = (0, 1);
            for (&wide, &size) in to.iter().zip(&from).rev() {
                at += if size == 1 { 0 } else { index % wide * stride };
                index /= wide;
                stride *= size;
            }
            at
        };
        (0..to.iter().product()).map(place).collect()
    }

    #[test]
    fn any_axes_are_repeated() {
        let to = [5, 7, 17];
        for from in [&[5, 7, 17][..], &[1, 1, 17], &[17], &[5, 7, 1], &[5, 1, 1], &[1, 7, 17], &[5, 1, 17], &[1]] {
            let map = Broadcast::new(from, &to).unwrap();
            let (places, batch) = (places(from, &to), 3);
            let (len, wide) = (map.sample(), 5 * 7 * 17);
            let x: Vec<f32> = (0..batch * len).map(|i| (i % 7) as f32 - 2.5).collect();
            let y: Vec<f32> = (0..batch * wide).map(|i| (i % 11) as f32 - 5.0).collect();
            for isa in Isa::available() {
                let cpu = Cpu::detect().with_isa(isa).with_threads(2);
                for (op, f) in [
                    (Arithmetic::Copy, (|_, x| x) as fn(f32, f32) -> f32),
                    (Arithmetic::Subtract, |y, x| y - x),
                    (Arithmetic::Divide, |y, x| y / x),
                    (Arithmetic::Maximum, f32::max),
                ] {
                    let mut got = y.clone();
                    arithmetic(cpu, op, &map, &x, &mut got);
                    let of = |i: usize| f(y[i], x[i / wide * len + places[i % wide]]);
                    assert_eq!(got, (0..y.len()).map(of).collect::<Vec<_>>(), "{from:?} {op:?}");
                }
                let mut merged = vec![f32::NAN; y.len()];
                let same = Broadcast::new(&to, &to).unwrap();
                let maps = [same.clone(), map.clone(), same];
                merge(cpu, Arithmetic::Subtract, &maps, |index| if index == 1 { &x } else { &y }, &mut merged);
                let of = |i: usize| y[i] - x[i / wide * len + places[i % wide]] - y[i];
                assert_eq!(merged, (0..y.len()).map(of).collect::<Vec<_>>(), "{from:?}");
                let mut sums = vec![1.0; x.len()];
                sum_broadcast(cpu, &map, &y, &mut sums, true);
                let mut expected = vec![1.0; x.len()];
                y.iter().enumerate().for_each(|(i, y)| expected[i / wide * len + places[i % wide]] += y);
                assert_eq!(sums, expected, "{from:?}");
                let mut kept = y.clone();
                clear_where(cpu, false, &map, &x, &y.iter().map(|y| y.min(1.5)).collect::<Vec<_>>(), &mut kept);
                let of = |i: usize| if x[i / wide * len + places[i % wide]] == y[i].min(1.5) { y[i] } else { 0.0 };
                assert_eq!(kept, (0..y.len()).map(of).collect::<Vec<_>>(), "{from:?}");
            }
        }
        assert_eq!(Broadcast::new(&[2, 7, 17], &to), None);
    }
}
