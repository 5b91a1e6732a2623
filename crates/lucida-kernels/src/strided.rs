//! Copies from strided views: axes transposed, split and merged, and slices with steps.

use std::ops::Range;

use crate::cpu::{Cpu, SharedMut};

/// A strided view of an array: the size and the stride (in values, possibly negative) of each axis, starting at value
/// `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StridedView {
    offset: usize,
    /// Merged where possible, so that inner loops are long.
    axes: Vec<(usize, isize)>,
}

impl StridedView {
    /// Creates a view with these axes, the slowest first: (size, stride).
    pub fn new(offset: usize, axes: &[(usize, isize)]) -> Self {
        let mut merged: Vec<(usize, isize)> = Vec::new();
        for &(size, stride) in axes.iter().filter(|axis| axis.0 != 1) {
            match merged.last_mut() {
                Some(last) if last.1 == stride * size as isize => *last = (last.0 * size, stride),
                _ => merged.push((size, stride)),
            }
        }
        if merged.is_empty() {
            merged.push((1, 1));
        }
        Self { offset, axes: merged }
    }

    /// The number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.0).product()
    }

    /// Calls `run(at, first)` for each run along the last axis in `runs`: the index of its first value in the view's order,
    /// and in the array.
    fn for_runs(&self, runs: Range<usize>, mut run: impl FnMut(usize, usize)) {
        let (outer, inner) = self.axes.split_at(self.axes.len() - 1);
        for index in runs {
            let (mut rest, mut place) = (index, self.offset as isize);
            for &(size, stride) in outer.iter().rev() {
                place += (rest % size) as isize * stride;
                rest /= size;
            }
            run(index * inner[0].0, place as usize);
        }
    }

    fn last(&self) -> (usize, isize) {
        self.axes[self.axes.len() - 1]
    }
}

/// Copies the values of the view to `output`, for each sample of `input`.
///
/// # Panics
/// When a length does not fit, or the view reaches outside of a sample.
pub fn gather(cpu: Cpu, view: &StridedView, batch: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(output.len(), batch * view.len(), "output length");
    let (sample, (run, stride)) = (input.len() / batch.max(1), view.last());
    let runs = view.len() / run.max(1);
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(batch * runs, (1_usize << 13).div_ceil(run.max(1)), |_, range| {
        // SAFETY: the ranges of runs are disjoint.
        let own = unsafe { shared.slice(range.start * run..range.end * run) };
        for (index, to) in range.zip(own.chunks_exact_mut(run)) {
            let from = &input[index / runs * sample..][..sample];
            let inner = index % runs;
            view.for_runs(inner..inner + 1, |_, place| match stride {
                1 => to.copy_from_slice(&from[place..place + run]),
                _ => to.iter_mut().enumerate().for_each(|(i, to)| *to = from[step(place, i, stride)]),
            });
        }
    });
}

/// The transpose of [`gather`]: copies the gradients to the positions that the values came from, which must be distinct.
/// They are added to `grad_input` when `accumulate`; otherwise they overwrite it, with zero where no value came from.
///
/// # Panics
/// As [`gather`].
pub fn scatter(
    cpu: Cpu,
    view: &StridedView,
    batch: usize,
    grad_output: &[f32],
    grad_input: &mut [f32],
    accumulate: bool,
) {
    assert_eq!(grad_output.len(), batch * view.len(), "output gradient length");
    let (sample, len, (run, stride)) = (grad_input.len() / batch.max(1), view.len(), view.last());
    let shared = SharedMut::new(grad_input);
    cpu.parallel_for(batch, |_, index| {
        // SAFETY: each sample belongs to one item.
        let to = unsafe { shared.slice(index * sample..(index + 1) * sample) };
        if !accumulate {
            to.fill(0.0);
        }
        let from = &grad_output[index * len..(index + 1) * len];
        view.for_runs(0..len / run.max(1), |at, place| {
            for (i, gradient) in from[at..at + run].iter().enumerate() {
                to[step(place, i, stride)] += gradient;
            }
        });
    });
}

#[inline(always)]
fn step(place: usize, index: usize, stride: isize) -> usize {
    (place as isize + index as isize * stride) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_moved_and_steps_taken() {
        let input: Vec<f32> = (0..24).map(|i| i as f32).collect();
        // Two samples of 3x4, transposed.
        let view = StridedView::new(0, &[(4, 1), (3, 4)]);
        let mut output = vec![0.0; 24];
        for threads in [1, 4] {
            gather(Cpu::detect().with_threads(threads), &view, 2, &input, &mut output);
            assert_eq!(output[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
            assert_eq!(output[12], 12.0);
            let mut back = vec![1.0; 24];
            scatter(Cpu::detect().with_threads(threads), &view, 2, &output, &mut back, true);
            assert!(back.iter().zip(&input).all(|(back, input)| *back == input + 1.0));
        }
        // Every second column of each row, from the last one backward.
        let view = StridedView::new(3, &[(3, 4), (2, -2)]);
        let mut output = vec![0.0; 12];
        gather(Cpu::detect(), &view, 2, &input, &mut output);
        assert_eq!(output[..4], [3.0, 1.0, 7.0, 5.0]);
        let mut back = vec![7.0; 24];
        scatter(Cpu::detect(), &view, 2, &output, &mut back, false);
        assert_eq!(back[..4], [0.0, 1.0, 0.0, 3.0]);
    }

    #[test]
    fn axes_that_lie_side_by_side_become_one() {
        assert_eq!(StridedView::new(0, &[(2, 12), (1, 5), (3, 4), (4, 1)]).axes, [(24, 1)]);
        assert_eq!(StridedView::new(0, &[(1, 1)]).len(), 1);
    }
}
