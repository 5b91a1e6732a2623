//! Receptive fields along one axis of an image; rows and columns are independent.

use std::ops::Range;

/// A range of pixels along an axis, from `start` to `end` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first pixel; negative if padding before the image is included.
    pub start: i64,
    /// The pixel after the last.
    pub end: i64,
}

impl Span {
    /// The number of pixels.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> i64 {
        self.end - self.start
    }

    /// The smallest span that contains both.
    pub(super) fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Receptive fields that are shifted copies of each other: that of unit `i` has `size` pixels from `start + i * stride`,
/// including padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lattice {
    pub(super) start: i64,
    pub(super) stride: i64,
    pub(super) size: i64,
}

impl Lattice {
    pub(super) fn span(self, index: usize) -> Span {
        let start = self.start + index as i64 * self.stride;
        Span { start, end: start + self.size }
    }
}

/// Sliding windows along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// Units per window.
    pub(super) size: usize,
    pub(super) stride: usize,
    /// The distance between the units of a window.
    pub(super) dilation: usize,
    /// The padding before the axis, where the first window starts.
    pub(super) padding: usize,
    pub(super) count: usize,
}

impl Windows {
    /// Windows without dilation and padding.
    fn plain(size: usize, stride: usize, count: usize) -> Self {
        Self { size, stride, dilation: 1, padding: 0, count }
    }
}

/// The receptive fields of all units along one axis.
///
/// Both ends of each span are pixels that affect the unit. Units that only cover padding have no span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    /// `None` where branches with different strides were merged.
    pub(super) lattice: Option<Lattice>,
    /// The image pixels that affect each unit, excluding padding.
    pub(super) spans: Vec<Option<Span>>,
}

impl Axis {
    /// The field of each pixel is the pixel itself.
    pub(super) fn pixels(size: usize) -> Self {
        let spans = (0..size as i64).map(|start| Some(Span { start, end: start + 1 })).collect();
        Self { lattice: Some(Lattice { start: 0, stride: 1, size: 1 }), spans }
    }

    /// The receptive fields of windows over these units.
    pub(super) fn windows(&self, windows: Windows) -> Self {
        let Windows { size, stride, dilation, padding, count } = windows;
        let reach = (size as i64 - 1).saturating_mul(dilation as i64);
        let lattice = self.lattice.map(|axis| Lattice {
            start: axis.start.saturating_sub((padding as i64).saturating_mul(axis.stride)),
            stride: axis.stride.saturating_mul(stride as i64),
            size: axis.size.saturating_add(reach.saturating_mul(axis.stride)),
        });
        let field = |index: usize| {
            let start = index * stride;
            // The units of the window that lie before the axis.
            let before = padding.saturating_sub(start).div_ceil(dilation).min(size);
            let first = (start + before * dilation).saturating_sub(padding).min(self.spans.len());
            let end = first.saturating_add((size - before).saturating_mul(dilation)).min(self.spans.len());
            union_of(self.spans[first..end].iter().step_by(dilation))
        };
        Self { lattice, spans: (0..count).map(field).collect() }
    }

    /// The receptive fields of windows with explicit ranges of these units. They are shifted copies of each other only if
    /// all sizes and steps are equal.
    pub(super) fn grouped(&self, windows: &[Range<usize>]) -> Self {
        let Some(first) = windows.first() else { return Self { lattice: None, spans: Vec::new() } };
        let stride = windows.get(1).map_or(1, |second| second.start as i64 - first.start as i64);
        let even = windows.iter().zip(0..).all(|(window, index)| {
            window.len() == first.len() && window.start as i64 == first.start as i64 + index * stride
        });
        let lattice = self.lattice.filter(|_| even && !first.is_empty() && stride > 0).map(|axis| Lattice {
            start: axis.start.saturating_add((first.start as i64).saturating_mul(axis.stride)),
            stride: axis.stride.saturating_mul(stride),
            size: axis.size.saturating_add((first.len() as i64 - 1).saturating_mul(axis.stride)),
        });
        Self { lattice, spans: windows.iter().map(|window| union_of(&self.spans[window.clone()])).collect() }
    }

    /// Adds `before` and `after` units with empty fields.
    pub(super) fn padded(&self, before: usize, after: usize) -> Self {
        let lattice = self.lattice.map(|axis| Lattice {
            start: axis.start.saturating_sub((before as i64).saturating_mul(axis.stride)),
            ..axis
        });
        let none = |count| std::iter::repeat_n(None, count);
        Self { lattice, spans: none(before).chain(self.spans.iter().copied()).chain(none(after)).collect() }
    }

    /// A single unit that covers all units.
    pub(super) fn whole(&self) -> Self {
        self.windows(Windows::plain(self.spans.len(), 1, 1))
    }

    /// The elementwise union of two axes.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let lattice = self.lattice.zip(other.lattice).and_then(|(a, b)| {
            let both = a.span(0).union(b.span(0));
            let alike = a.stride == b.stride || self.spans.len() == 1;
            alike.then_some(Lattice { start: both.start, stride: a.stride, size: both.len() })
        });
        let spans = self.spans.iter().zip(&other.spans).map(|pair| match pair {
            (Some(a), Some(b)) => Some(a.union(*b)),
            (a, b) => a.or(*b),
        });
        Self { lattice, spans: spans.collect() }
    }
}

/// The smallest span that contains all of these.
fn union_of<'a>(spans: impl IntoIterator<Item = &'a Option<Span>>) -> Option<Span> {
    spans.into_iter().flatten().copied().reduce(Span::union)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows([size, stride, padding, count]: [usize; 4]) -> Windows {
        Windows { padding, ..Windows::plain(size, stride, count) }
    }

    fn spans(axis: &Axis) -> Vec<Option<(i64, i64)>> {
        axis.spans.iter().map(|span| span.map(|s| (s.start, s.end))).collect()
    }

    #[test]
    fn windows_of_windows() {
        // Two convolutions of size 3, the second with stride 2, both with padding 1.
        let axis = Axis::pixels(6).windows(windows([3, 1, 1, 6])).windows(windows([3, 2, 1, 3]));
        assert_eq!(axis.lattice, Some(Lattice { start: -2, stride: 2, size: 5 }));
        assert_eq!(spans(&axis), [Some((0, 3)), Some((0, 5)), Some((2, 6))]);
        assert_eq!(axis.lattice.unwrap().span(2), Span { start: 2, end: 7 });
        assert_eq!(spans(&axis.whole()), [Some((0, 6))]);
    }

    #[test]
    fn windows_with_gaps() {
        // Dilation 2, size 3: the first and the last window extend beyond the border.
        let spread = Windows { dilation: 2, padding: 1, ..Windows::plain(3, 1, 4) };
        let axis = Axis::pixels(6).windows(spread);
        assert_eq!(axis.lattice, Some(Lattice { start: -1, stride: 1, size: 5 }));
        assert_eq!(spans(&axis), [Some((1, 4)), Some((0, 5)), Some((1, 6)), Some((2, 5))]);
        // A window whose units are all outside the axis has an empty field.
        let none = Windows { dilation: 9, padding: 4, ..Windows::plain(2, 1, 2) };
        assert_eq!(spans(&Axis::pixels(3).windows(none)), [None, None]);
    }

    #[test]
    fn a_border_that_nobody_looks_through() {
        let axis = Axis::pixels(3).padded(2, 1);
        assert_eq!(spans(&axis), [None, None, Some((0, 1)), Some((1, 2)), Some((2, 3)), None]);
        let strided = axis.windows(windows([1, 2, 0, 3]));
        assert_eq!(spans(&strided), [None, Some((0, 1)), Some((2, 3))]);
        // Units 0 and 1: the pixel between theirs, number 1 of the padded axis, is outside the image.
        assert_eq!(spans(&strided.windows(windows([2, 1, 0, 2]))), [Some((0, 1)), Some((0, 3))]);
    }

    #[test]
    fn windows_that_differ_in_size() {
        let even = Axis::pixels(6).grouped(&[0..2, 2..4, 4..6]);
        assert_eq!(even, Axis::pixels(6).windows(windows([2, 2, 0, 3])));
        let uneven = Axis::pixels(5).grouped(&[0..2, 1..4, 3..5]);
        assert_eq!(uneven.lattice, None);
        assert_eq!(spans(&uneven), [Some((0, 2)), Some((1, 4)), Some((3, 5))]);
    }

    #[test]
    fn branches_of_one_stride_and_of_two() {
        let narrow = Axis::pixels(8).windows(windows([2, 2, 0, 4]));
        let wide = Axis::pixels(8).windows(windows([5, 2, 2, 4]));
        let both = narrow.merged(&wide);
        assert_eq!(both.lattice, Some(Lattice { start: -2, stride: 2, size: 5 }));
        let other = Axis::pixels(8).windows(windows([5, 1, 0, 4]));
        let both = narrow.merged(&other);
        assert_eq!(both.lattice, None);
        assert_eq!(spans(&both), [Some((0, 5)), Some((1, 6)), Some((2, 7)), Some((3, 8))]);
        assert_eq!(both.windows(windows([2, 1, 0, 3])).lattice, None);
    }
}
