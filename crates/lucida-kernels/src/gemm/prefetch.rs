//! Software prefetching during other computations.
//!
//! The matrix products between transforms run from the caches and leave memory bandwidth idle; the transforms around them
//! then wait for memory: 64 channels of 512x512 pixels are 67 MB. So after each tile a product prefetches a few cache lines
//! of the data needed next, and the two overlap:
//!
//! ```text
//!   tiles of a product     | 6 rows | 6 rows | 6 rows | 6 rows | ...     no load waits
//!   lines asked for            12       12       12       12             patches of the next block, pixels of this one
//! ```
//!
//! Prefetching all lines at once would fill the core's miss queue, and the loads of the product itself would wait behind
//! it.

use std::ops::Range;

use crate::simd::Simd;

/// Floats of a cache line.
const LINE: usize = 16;
/// Maximum number of ranges; further requests are ignored.
const PIECES: usize = 48;

/// A memory range that is prefetched line by line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    next: *const f32,
    end: *const f32,
}

impl Lines {
    pub(crate) fn none() -> Self {
        Self::of(&[])
    }

    pub(crate) fn of(floats: &[f32]) -> Self {
        let Range { start: next, end } = floats.as_ptr_range();
        Self { next, end }
    }

    /// The range without its first `count` lines.
    pub(crate) fn after(self, count: usize) -> Self {
        Self { next: self.next.wrapping_add(count * LINE).min(self.end), end: self.end }
    }

    /// Prefetches the next line, if any.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(&mut self, simd: S) {
        if self.next < self.end {
            simd.prefetch(self.next);
            self.next = self.next.wrapping_add(LINE);
        }
    }
}

/// Memory ranges that are prefetched line by line.
#[derive(Debug)]
pub(crate) struct Prefetcher {
    /// Start and end of each range.
    pieces: [[*const f32; 2]; PIECES],
    count: usize,
    /// Index of the current range, and the next line in it.
    piece: usize,
    line: *const f32,
    /// Number of lines to prefetch per product.
    share: usize,
}

impl Prefetcher {
    pub(crate) fn nothing() -> Self {
        let nowhere = std::ptr::null();
        Self { pieces: [[nowhere; 2]; PIECES], count: 0, piece: 0, line: nowhere, share: 0 }
    }

    /// Requests `len` floats. The memory is never read, so any address is valid.
    pub(crate) fn prefetch(&mut self, start: *const f32, len: usize) {
        if len == 0 {
            return;
        }
        let end = start.wrapping_add(len);
        match self.pieces[..self.count].last_mut() {
            Some([first, last]) if *first <= start && start <= *last => *last = end.max(*last),
            _ if self.count < PIECES => {
                self.pieces[self.count] = [start, end];
                self.count += 1;
            }
            _ => {}
        }
    }

    /// Spreads the requests over the given number of products. No request may follow.
    pub(crate) fn spread_over(&mut self, products: usize) {
        let lines: usize = self.pieces[..self.count]
            .iter()
            .map(|[start, end]| (*end as usize - *start as usize).div_ceil(4 * LINE))
            .sum();
        self.share = lines.div_ceil(products.max(1));
        self.line = self.pieces[0][0];
    }

    /// Number of lines to prefetch per product.
    pub(crate) fn share(&self) -> usize {
        self.share
    }

    /// Prefetches up to `lines` further lines.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(&mut self, simd: S, lines: usize) {
        for _ in 0..lines {
            match self.next() {
                Some(line) => simd.prefetch(line),
                None => return,
            }
        }
    }

    /// Returns the next line to prefetch.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<*const f32> {
        if self.piece == self.count {
            return None;
        }
        let line = self.line;
        self.line = line.wrapping_add(LINE);
        if self.line >= self.pieces[self.piece][1] {
            self.piece += 1;
            if self.piece < self.count {
                self.line = self.pieces[self.piece][0];
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Scalar;

    fn lines(ahead: &mut Prefetcher) -> Vec<usize> {
        std::iter::from_fn(|| ahead.next()).map(|line| line as usize / 4).collect()
    }

    fn at(float: usize) -> *const f32 {
        std::ptr::null::<f32>().wrapping_add(float)
    }

    #[test]
    fn every_line_once() {
        let mut ahead = Prefetcher::nothing();
        ahead.prefetch(at(160), 32);
        ahead.prefetch(at(320), 17);
        // Starts where the last range ends, or within it: merged into one range.
        ahead.prefetch(at(337), 15);
        ahead.prefetch(at(330), 10);
        ahead.prefetch(at(64), 1);
        ahead.spread_over(2);
        assert_eq!(ahead.share(), 3);
        assert_eq!(lines(&mut ahead), [160, 176, 320, 336, 64]);
    }

    #[test]
    fn lines_end_with_the_memory() {
        let floats = [0.0; 40];
        let lines = Lines::of(&floats);
        let counts = |lines: Lines| (lines.end as usize - lines.next as usize) / 4;
        assert_eq!([0, 1, 2, 3, 9].map(|count| counts(lines.after(count))), [40, 24, 8, 0, 0]);
        let mut fetched = lines;
        (0..2).for_each(|_| fetched.fetch(Scalar));
        assert_eq!(counts(fetched), 8);
        assert_eq!(counts(Lines::none()), 0);
    }

    #[test]
    fn nothing_and_too_much() {
        let mut ahead = Prefetcher::nothing();
        ahead.prefetch(at(160), 0);
        ahead.spread_over(0);
        assert_eq!((ahead.share(), lines(&mut ahead).len()), (0, 0));
        for piece in 0..PIECES + 3 {
            ahead.prefetch(at(100 * (PIECES - piece.min(PIECES))), 16);
        }
        ahead.spread_over(1);
        assert_eq!(lines(&mut ahead).len(), PIECES);
    }
}
