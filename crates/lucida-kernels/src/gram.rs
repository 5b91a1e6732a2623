//! Gram matrices: the products of all pairs of channels, summed over the pixels.
//!
//! `G = F^T F` is symmetric, so only the tiles on and above the diagonal are computed, and then mirrored:
//!
//! ```text
//!   columns  0  16  32  48  64     Tiles of 16 x 16 around the diagonal cover 10 / 16 of a block of 64 channels, those of
//!          +---+---+---+---+---+   6 x 64 that ordinary products take would cover all of it. Those are for what lies above
//!   rows 0 | x | x | x | x | w |   (w): they read fewer floats for each product.
//!          +---+---+---+---+   |
//!       16 |   | x | x | x | w |   Five Gram matrices of VGG19 at 512x512 (64 to 512 channels) take 29.5 ms on two threads
//!          +---+---+---+---+   |   of an EPYC (Zen 4) with panels of 16 columns everywhere, 31 to 38 with 32 and 35 with
//!                                  64; 29 as here, and 26 with the next chunk asked for. The products alone would take 22.
//! ```
//!
//! The pixels are processed in chunks that stay in the L2 cache while all tiles read them: otherwise each tile would read
//! the whole feature map from memory. The tiles of a chunk prefetch the next one.

use std::cell::Cell;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Lines, Panel, Region, Transposed, panels, panels_of, transposed};
use crate::ops;

/// Floats of a chunk: 128 KiB.
const CHUNK_FLOATS: usize = 1 << 15;
/// Minimum number of pixels per chunk: between chunks the sums are written and read once.
const LEAST_CHUNK: usize = 128;
/// Maximum columns of a panel on the diagonal: the narrower it is, the less is computed below the diagonal.
const PANEL_COLUMNS: usize = 16;
/// Rows of the matrix per work item: a multiple of the row count of most tiles.
const BLOCK_ROWS: usize = 48;
/// Number of channels from which on the threads split the rows of the matrix instead of the pixels: a private matrix of
/// sums per thread would no longer fit its cache.
const MANY_CHANNELS: usize = 256;

/// The Gram matrix of features with a fixed number of channels, prepared for one processor.
#[derive(Debug)]
pub struct Gram {
    cpu: Cpu,
    channels: usize,
    /// The panels above the diagonal, each with the narrower panels for its part on the diagonal.
    panels: Vec<(Panel, Vec<Panel>)>,
    rows: Vec<usize>,
    /// The sums of each thread, where the threads split the pixels.
    partial: Buffer,
}

/// Pixels that stay in the cache while all tiles read them.
struct Chunk<'a> {
    features: &'a [f32],
    /// Whether to add to the sums of earlier chunks.
    accumulate: bool,
    /// Cache lines of the next chunk that are still to be prefetched.
    next: Cell<Lines>,
}

impl Gram {
    /// Prepares for features of `channels` channels.
    ///
    /// # Panics
    /// When `channels` is zero.
    pub fn new(cpu: Cpu, channels: usize) -> Self {
        assert!(channels > 0, "features without channels");
        let parts = if channels < MANY_CHANNELS { cpu.threads() } else { 0 };
        let partial = Buffer::zeroed(parts * channels * channels);
        let widest = (PANEL_COLUMNS / cpu.isa().lanes()).clamp(1, cpu.isa().max_tile_width());
        let panels = panels(cpu.isa(), channels)
            .into_iter()
            .map(|wide| {
                let columns = (wide.width - 1) * cpu.isa().lanes() + wide.tail;
                let mut narrow = panels_of(cpu.isa(), columns, widest);
                narrow.iter_mut().for_each(|panel| panel.start += wide.start);
                (wide, narrow)
            })
            .collect();
        Self { cpu, channels, panels, rows: (0..channels).collect(), partial }
    }

    /// `out[i][j] = sum over pixels p of features[p][i] features[p][j]`, with `features` (pixel, channel).
    ///
    /// # Panics
    /// When the length of `features` is not a multiple of the channels, or that of `out` is not their square.
    pub fn run(&mut self, features: &[f32], out: &mut [f32]) {
        let (channels, pixels) = (self.channels, features.len() / self.channels);
        assert!(features.len().is_multiple_of(channels), "whole pixels");
        assert_eq!(out.len(), channels * channels, "length of the matrix");
        let blocks = channels.div_ceil(BLOCK_ROWS);
        let block = |index: usize| index * BLOCK_ROWS..((index + 1) * BLOCK_ROWS).min(channels);
        let parts = (self.partial.len() / out.len()).min(pixels.div_ceil(LEAST_CHUNK));
        if parts > 1 {
            let mut partial = std::mem::take(&mut self.partial);
            let sums = SharedMut::new(&mut partial);
            self.cpu.parallel_for(parts, |_, part| {
                let range = part_range(pixels, parts, part);
                self.chunks(&features[range.start * channels..range.end * channels], |chunk| {
                    for index in 0..blocks {
                        let rows = block(index);
                        let at = sums.at(part * out.len() + rows.start * channels);
                        self.product(chunk, rows, at);
                    }
                });
            });
            ops::sum_parts(self.cpu, &partial[..parts * out.len()], out);
            self.partial = partial;
        } else {
            let sums = SharedMut::new(out);
            self.cpu.parallel_for(blocks, |_, index| {
                let rows = block(index);
                let at = sums.at(rows.start * channels);
                self.chunks(features, |chunk| self.product(chunk, rows.clone(), at));
            });
        }
        for row in 1..channels {
            for column in 0..row {
                out[row * channels + column] = out[column * channels + row];
            }
        }
    }

    /// Calls `each` for each chunk in order; there is at least one.
    fn chunks(&self, features: &[f32], mut each: impl FnMut(&Chunk)) {
        let len = (CHUNK_FLOATS / self.channels).max(LEAST_CHUNK) * self.channels;
        let mut accumulate = false;
        let mut rest = features;
        loop {
            let chunk;
            (chunk, rest) = rest.split_at(len.min(rest.len()));
            each(&Chunk { features: chunk, accumulate, next: Cell::new(Lines::of(&rest[..len.min(rest.len())])) });
            accumulate = true;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Computes rows `rows` of the matrix, from the diagonal on, for one chunk. `out` points to the first of these rows.
    fn product(&self, chunk: &Chunk, rows: Range<usize>, out: *mut f32) {
        let (channels, first) = (self.channels, rows.start);
        let len = chunk.features.len();
        let region = Region {
            rows: 1,
            columns: len / channels,
            left_row: len,
            left_column: channels,
            right_row: len,
            right_column: channels,
        };
        let lanes = self.cpu.isa().lanes();
        let product = |panel: &Panel, rows: Range<usize>| {
            if rows.is_empty() {
                return;
            }
            let job = Transposed {
                region,
                left: chunk.features.as_ptr(),
                offsets: &self.rows[rows.clone()],
                right: chunk.features.as_ptr(),
                panels: std::slice::from_ref(panel),
                out: out.wrapping_add((rows.start - first) * channels),
                out_row: channels,
                accumulate: chunk.accumulate,
                ahead: &chunk.next,
            };
            // SAFETY: the offsets and the panel are channels of a pixel, of which the chunk has a whole number; `out` is
            // the first of these rows in a matrix, and the rows belong to this item alone.
            unsafe { transposed(self.cpu.isa(), &job) };
        };
        for (wide, narrow) in &self.panels {
            product(wide, rows.start..rows.end.min(wide.start));
            for panel in narrow {
                let end = rows.end.min(panel.start + panel.width * lanes);
                product(panel, rows.start.max(wide.start)..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    fn features(pixels: usize, channels: usize) -> Vec<f32> {
        (0..pixels * channels).map(|i| ((i * 7919 + i / 13) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    /// The same in `f64`, entry by entry.
    fn oracle(features: &[f32], channels: usize) -> Vec<f64> {
        let mut gram = vec![0.0; channels * channels];
        for pixel in features.chunks_exact(channels) {
            for (row, &a) in gram.chunks_exact_mut(channels).zip(pixel) {
                row.iter_mut().zip(pixel).for_each(|(sum, &b)| *sum += f64::from(a) * f64::from(b));
            }
        }
        gram
    }

    #[test]
    fn all_products_of_channels_in_every_instruction_set() {
        for (pixels, channels) in
            crate::cases([(1, 1), (0, 4), (5, 3), (1000, 16), (300, 37), (3000, 64), (130, 70), (140, 300)], 3)
        {
            let features = features(pixels, channels);
            let expected = oracle(&features, channels);
            let most = expected.iter().fold(1e-9_f64, |most, value| most.max(value.abs()));
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                    let mut gram = Gram::new(cpu, channels);
                    let mut got = vec![7.0; channels * channels];
                    gram.run(&features, &mut got);
                    let apart = got.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
                    assert!(apart <= 2e-6 * most, "{pixels} x {channels}, {}, {threads}: {apart:e}", isa.name());
                    let mut again = vec![0.0; channels * channels];
                    gram.run(&features, &mut again);
                    assert_eq!(got, again);
                }
            }
        }
    }
}
