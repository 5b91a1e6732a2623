//! Packing of the right-hand side into panels.

use crate::buffer::Buffer;
use crate::cpu::{Cpu, SharedMut};
use crate::simd::Isa;

/// A group of columns as wide as one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panel {
    /// The first column.
    pub(crate) start: usize,
    /// Width in vectors.
    pub(crate) width: usize,
    /// Lanes of the last vector that are columns; the others are padding.
    pub(crate) tail: usize,
}

/// Splits `columns` into panels as wide as the widest tile. If the last panel would be one vector wide, the one before it
/// gives up a vector: a tile of width one has too few sums to hide the latency of the multiply-adds well.
pub(crate) fn panels(isa: Isa, columns: usize) -> Vec<Panel> {
    panels_of(isa, columns, isa.max_tile_width())
}

/// As [`panels`], but none wider than `widest` vectors.
pub(crate) fn panels_of(isa: Isa, columns: usize, widest: usize) -> Vec<Panel> {
    let lanes = isa.lanes();
    let mut left = columns.div_ceil(lanes);
    let mut start = 0;
    let mut found = Vec::new();
    while left > 0 {
        let width = match left {
            _ if left <= widest => left,
            _ if left == widest + 1 && widest > 2 => widest - 1,
            _ => widest,
        };
        let tail = (columns - start - (width - 1) * lanes).min(lanes);
        found.push(Panel { start, width, tail });
        start += width * lanes;
        left -= width;
    }
    found
}

/// A `depth x columns` matrix, packed into panels.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    pub(crate) depth: usize,
    pub(crate) panels: Vec<Panel>,
    /// Where each panel starts in `data`, in floats.
    starts: Vec<usize>,
    data: Buffer,
    lanes: usize,
}

impl PackedMatrix {
    /// Allocates a matrix; it is zero until [`pack`](Self::pack).
    pub(crate) fn new(isa: Isa, depth: usize, columns: usize) -> Self {
        let panels = panels(isa, columns);
        let lanes = isa.lanes();
        let mut len = 0;
        let starts = panels
            .iter()
            .map(|panel| {
                let start = len;
                len += depth * panel.width * lanes;
                start
            })
            .collect();
        Self { depth, panels, starts, data: Buffer::zeroed(len), lanes }
    }

    /// Packs the matrix whose element `(k, n)` is `source[row(k) + n * column_step]`.
    pub(crate) fn pack(&mut self, cpu: Cpu, source: &[f32], row: impl Fn(usize) -> usize + Sync, column_step: usize) {
        let shared = SharedMut::new(&mut self.data);
        let (panels, starts, depth, lanes) = (&self.panels, &self.starts, self.depth, self.lanes);
        cpu.parallel_for(panels.len(), |_, index| {
            let panel = panels[index];
            let width = panel.width * lanes;
            let columns = (panel.width - 1) * lanes + panel.tail;
            // SAFETY: each item is another panel, and panels do not overlap.
            let packed = unsafe { shared.slice(starts[index]..starts[index] + depth * width) };
            for (k, packed_row) in packed.chunks_exact_mut(width.max(1)).enumerate() {
                let from = row(k) + panel.start * column_step;
                if column_step == 1 {
                    packed_row[..columns].copy_from_slice(&source[from..from + columns]);
                } else {
                    for (n, value) in packed_row[..columns].iter_mut().enumerate() {
                        *value = source[from + n * column_step];
                    }
                }
            }
        });
    }

    /// Gives write access, for elements that are computed instead of copied.
    pub(crate) fn writer(&mut self) -> PackedWriter<'_> {
        PackedWriter {
            panels: &self.panels,
            starts: &self.starts,
            lanes: self.lanes,
            data: SharedMut::new(&mut self.data),
        }
    }

    /// Pointer to row `k` of a panel.
    pub(crate) fn row(&self, panel: usize, k: usize) -> *const f32 {
        debug_assert!(k <= self.depth);
        let at = self.starts[panel] + k * self.panels[panel].width * self.lanes;
        self.data.as_ptr().wrapping_add(at)
    }
}

/// The panels of a [`PackedMatrix`], shared by several threads for writing.
pub(crate) struct PackedWriter<'a> {
    pub(crate) panels: &'a [Panel],
    starts: &'a [usize],
    lanes: usize,
    data: SharedMut<'a>,
}

impl PackedWriter<'_> {
    /// Pointer to row `k` of a panel: `width` vectors.
    #[inline(always)]
    pub(crate) fn row(&self, panel: usize, k: usize) -> *mut f32 {
        self.data.at(self.starts[panel] + k * self.panels[panel].width * self.lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_the_columns() {
        for isa in Isa::available() {
            let lanes = isa.lanes();
            for columns in 1..300 {
                let found = panels(isa, columns);
                let mut next = 0;
                for panel in &found {
                    assert_eq!(panel.start, next);
                    assert!((1..=isa.max_tile_width()).contains(&panel.width));
                    assert!((1..=lanes).contains(&panel.tail));
                    next += (panel.width - 1) * lanes + panel.tail;
                }
                assert_eq!(next, columns);
                assert!(found.iter().rev().skip(1).all(|panel| panel.tail == lanes));
            }
        }
    }
}
