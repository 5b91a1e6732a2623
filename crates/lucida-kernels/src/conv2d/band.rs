//! Bands of images, copied with zero padding.

use std::ops::Range;

use crate::cpu::Cpu;
use crate::gemm::{FEW_ROWS, Segment};

use super::switches::{Source, unpool_row};

/// Floats per band: 256 KiB, a quarter of the smallest L2 cache among the measured machines, so that the band, a block of a
/// panel and the current sums stay there together.
const BAND_FLOATS: usize = 1 << 16;

/// How the patches of one pass are laid out on their source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Height, width and channels of the source.
    pub(crate) source: [usize; 3],
    /// Stride between neighboring patches.
    pub(crate) strides: [usize; 2],
    /// Rows and columns of taps in a patch.
    pub(crate) taps: [usize; 2],
    /// Dilation: rows and columns from one tap to the next.
    pub(crate) dilation: [usize; 2],
    /// Number of channel groups, each with its own patches.
    pub(crate) groups: usize,
    /// Zero padding at the top and left; negative where the first rows or columns are skipped.
    pub(crate) padding: [isize; 2],
    /// Rows and columns of patches.
    pub(crate) output: [usize; 2],
    /// Whether the source is the gradient of pooled maxima, which is unpooled to the pixels while it is copied.
    pub(crate) pooled: bool,
}

impl Window {
    /// Floats of one source image.
    pub(crate) fn source_len(&self) -> usize {
        self.source.iter().product()
    }

    /// Rows (axis 0) or columns covered by a patch, from the first to the last tap.
    fn reach(&self, axis: usize) -> usize {
        if self.taps[axis] == 0 { 0 } else { (self.taps[axis] - 1) * self.dilation[axis] + 1 }
    }

    /// The range of outputs along an axis (0 for rows) whose patches lie inside the source.
    pub(crate) fn inside(&self, axis: usize) -> Range<usize> {
        let (stride, padding) = (self.strides[axis] as isize, self.padding[axis]);
        let first = if padding > 0 { ((padding + stride - 1) / stride) as usize } else { 0 };
        let last = self.source[axis] as isize + padding - self.reach(axis) as isize;
        let end = if last < 0 { 0 } else { (last / stride) as usize + 1 }.min(self.output[axis]);
        first.min(end)..end
    }

    /// The range of taps along an axis that lie inside the source for the output `index`.
    #[inline(always)]
    pub(crate) fn taps_inside(&self, axis: usize, index: usize) -> Range<usize> {
        let (size, dilation) = (self.source[axis] as isize, self.dilation[axis] as isize);
        let start = (index * self.strides[axis]) as isize - self.padding[axis];
        let first = if start < 0 { ((-start + dilation - 1) / dilation) as usize } else { 0 };
        let end = if start < size { ((size - start + dilation - 1) / dilation) as usize } else { 0 };
        let end = end.min(self.taps[axis]);
        first.min(end)..end
    }

    /// Rows of the source covered by `rows` rows of patches.
    pub(crate) fn rows_under(&self, rows: usize) -> usize {
        if rows == 0 { 0 } else { (rows - 1) * self.strides[0] + self.reach(0) }
    }

    /// Columns of the source covered by all columns of patches.
    fn columns_under(&self) -> usize {
        if self.output[1] == 0 { 0 } else { (self.output[1] - 1) * self.strides[1] + self.reach(1) }
    }

    /// Whether patches extend beyond the source, so that it must be copied with zero padding.
    pub(crate) fn needs_border(&self) -> bool {
        self.pooled
            || self.padding != [0, 0]
            || self.rows_under(self.output[0]) > self.source[0]
            || self.columns_under() > self.source[1]
    }

    /// Floats between rows of the array that patches are read from: the padded copy, or the source itself.
    pub(crate) fn row_stride(&self) -> usize {
        let columns = if self.needs_border() { self.columns_under() } else { self.source[1] };
        columns * self.source[2]
    }

    /// The segments of a patch of the first group: one per row with all columns and channels, or, if the taps of a row are
    /// not contiguous, one per tap.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let (row, column) = (self.dilation[0] * self.row_stride(), self.dilation[1] * self.source[2]);
        if self.groups == 1 && self.dilation[1] == 1 {
            let len = self.taps[1] * self.source[2];
            return (0..self.taps[0]).map(|i| Segment { offset: i * row, len }).collect();
        }
        let len = self.source[2] / self.groups;
        let taps = (0..self.taps[0]).flat_map(|i| (0..self.taps[1]).map(move |j| (i, j)));
        taps.map(|(i, j)| Segment { offset: i * row + j * column, len }).collect()
    }

    /// Rows of patches per band, such that a band has about `most_floats` and all bands are nearly equal.
    pub(crate) fn band_rows(&self, most_floats: usize) -> usize {
        let rows = self.output[0].max(1);
        if self.row_stride() * self.rows_under(rows) <= most_floats {
            return rows;
        }
        let source_rows = (most_floats / self.row_stride().max(1)).max(self.reach(0));
        let most = (source_rows - self.reach(0)) / self.strides[0] + 1;
        rows.div_ceil(rows.div_ceil(most))
    }

    /// Floats of a padded copy for `rows` rows of patches.
    pub(crate) fn band_len(&self, rows: usize) -> usize {
        self.rows_under(rows) * self.row_stride()
    }

    /// Minimum number of bands per image that keeps the scratch memory within bounds.
    fn least_bands(&self) -> usize {
        let rows = self.output[0].max(1);
        self.floats_of_item(rows).div_ceil(MOST_FLOATS).clamp(1, rows)
    }

    /// Scratch floats per item: for its padded copy, or for the list of its patches.
    fn floats_of_item(&self, rows: usize) -> usize {
        if self.needs_border() { self.band_len(rows) } else { FLOATS_OF_SITE * rows * self.output[1] }
    }

    /// In a 1x1 convolution without strides, rows do not matter: treats all pixels of an image as one column of patches, so
    /// that an item may have any number of them.
    pub(crate) fn flattened(self) -> Self {
        let [height, width, channels] = self.source;
        let plain = self.taps == [1, 1] && self.strides == [1, 1] && self.output == [height, width];
        match plain && !self.needs_border() {
            true => Self { source: [height * width, 1, channels], output: [height * width, 1], ..self },
            false => self,
        }
    }

    /// Copies the part of an image covered by `rows` rows of patches from row `first` on, with zeros outside the image.
    pub(crate) fn copy_band(
        &self,
        cpu: Cpu,
        source: Source,
        image: usize,
        first: usize,
        rows: usize,
        band: &mut [f32],
    ) {
        let [height, width, channels] = self.source;
        let stride = self.row_stride();
        let left = self.padding[1].max(0) as usize;
        let skipped = (-self.padding[1]).max(0) as usize;
        let columns = width.saturating_sub(skipped).min(self.columns_under().saturating_sub(left));
        let (left, skipped, copied) =
            (left.min(self.columns_under()) * channels, skipped * channels, columns * channels);
        let top = (first * self.strides[0]) as isize - self.padding[0];
        for (r, row) in band[..self.band_len(rows)].chunks_exact_mut(stride.max(1)).enumerate() {
            let y = top + r as isize;
            if y < 0 || y >= height as isize || copied == 0 {
                row.fill(0.0);
                continue;
            }
            row[..left].fill(0.0);
            let to = &mut row[left..left + copied];
            match source.switches {
                None => {
                    let from = (image * height + y as usize) * width * channels + skipped;
                    to.copy_from_slice(&source.values[from..from + copied]);
                }
                Some(switches) => {
                    let place = (image, y as usize, skipped / channels);
                    unpool_row(cpu, source.values, switches, place, to);
                }
            }
            row[left + copied..].fill(0.0);
        }
    }
}

/// Maximum number of items per thread.
const ITEMS_PER_THREAD: usize = 8;
/// Maximum scratch floats per item: half of the L2 cache of the measured machines.
const MOST_FLOATS: usize = 1 << 17;
/// Cache floats taken by an entry in an item's list of patches.
const FLOATS_OF_SITE: usize = 4;
/// Divisor of an item's time: the cost of threads running at different speeds.
const UNEVENNESS: u64 = 8;
/// Fixed cost of an item, in multiply-adds.
const START: u64 = 1500;
/// Cost of reading the matrix from the L3 cache, in rows of the product.
const ROWS_OF_READING: usize = 4;
/// Floats copied in the time of one multiply-add.
const COPIED: usize = 4;

/// The matrix product of a pass, for a cost estimate in vector multiply-adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) threads: usize,
    /// Rows of each group's matrix, and total columns of all groups, in vectors.
    pub(crate) depth: usize,
    pub(crate) vectors: usize,
    /// Number of panels of all groups.
    pub(crate) panels: usize,
    /// Rows per tile.
    pub(crate) tile_rows: usize,
}

impl Product {
    /// Estimated time of an item with this number of images and rows, with the panels split into `parts` parts.
    fn time(&self, window: &Window, images: usize, rows: usize, parts: usize) -> u64 {
        let sites = images * rows * window.output[1];
        let rest = match sites % self.tile_rows {
            0 => 0,
            rest if rest <= FEW_ROWS => FEW_ROWS,
            _ => self.tile_rows,
        };
        let rows_of_tiles = sites / self.tile_rows * self.tile_rows + rest;
        // The slowest part has the remainder of an uneven division of the panels.
        let vectors = (self.panels.div_ceil(parts) * self.vectors).div_ceil(self.panels);
        let copied = if window.needs_border() { images * window.band_len(rows) } else { 0 };
        let products = [rows_of_tiles + ROWS_OF_READING, self.depth, vectors].map(|factor| factor as u64);
        products.iter().product::<u64>() + (copied / COPIED) as u64 + START
    }
}

/// How a pass is split into work items: `images` whole images each, or `rows` rows of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Items {
    pub(crate) images: usize,
    pub(crate) rows: usize,
    /// Items per image; one when items hold whole images.
    pub(crate) bands: usize,
}

impl Items {
    /// At least `wanted` items if possible, none larger than [`BAND_FLOATS`] unless a single row of patches needs more.
    pub(crate) fn new(window: &Window, batch: usize, wanted: usize) -> Self {
        let rows = window.band_rows(BAND_FLOATS);
        let total = window.output[0].max(1);
        if rows < total || batch < wanted {
            let bands = total.div_ceil(rows).max(wanted.div_ceil(batch).min(total));
            let rows = total.div_ceil(bands);
            let bands = total.div_ceil(rows);
            if bands > 1 {
                return Self { images: 1, rows, bands };
            }
        }
        let images = (BAND_FLOATS / window.band_len(total).max(1)).clamp(1, batch.div_ceil(wanted).max(1));
        Self { images, rows: total, bands: 1 }
    }

    /// The split for which the whole batch is expected to take the least time with `product`.
    pub(crate) fn fastest(window: &Window, batch: usize, product: &Product) -> Self {
        let total = window.output[0].max(1);
        let most = ITEMS_PER_THREAD * product.threads;
        let bands = (1..=total.min(window.least_bands() + most)).map(|bands| {
            let rows = total.div_ceil(bands);
            Self { images: 1, rows, bands: total.div_ceil(rows) }
        });
        let images = (1..=batch.min(most)).map(|parts| Self { images: batch.div_ceil(parts), rows: total, bands: 1 });
        let fits = |items: &Self| items.images * window.floats_of_item(items.rows) <= MOST_FLOATS;
        let fastest = bands.chain(images).filter(fits).min_by_key(|items| items.parts(window, batch, product).1);
        fastest.unwrap_or_else(|| Self::new(window, batch, most))
    }

    /// The number of parts into which the panels of an item are split, and the time expected with that.
    pub(crate) fn parts(&self, window: &Window, batch: usize, product: &Product) -> (usize, u64) {
        let most = product.panels.min(ITEMS_PER_THREAD * product.threads).max(1);
        let time = |parts: usize| {
            let units = self.count(batch) * parts;
            let unit = product.time(window, self.images.min(batch), self.rows, parts);
            units.div_ceil(product.threads) as u64 * unit + unit / UNEVENNESS
        };
        let fastest = (1..=most).map(|parts| (parts, time(parts))).min_by_key(|(_, time)| *time);
        fastest.expect("there is one part at least")
    }

    /// As [`new`](Self::new), for items that need `row` additional scratch floats per row of patches; the number of rows is
    /// even, like that of the window.
    pub(crate) fn with_rows(window: &Window, batch: usize, wanted: usize, row: usize) -> Self {
        let items = Self::new(window, batch, wanted);
        let (total, most) = (window.output[0], (BAND_FLOATS / row.max(1)).max(2));
        if items.bands == 1 && total <= most {
            return Self { images: items.images.min(most / total.max(1)), ..items };
        }
        let rows = items.rows.min(most).next_multiple_of(2);
        Self { images: 1, rows, bands: total.div_ceil(rows) }
    }

    /// Number of items for a batch.
    pub(crate) fn count(&self, batch: usize) -> usize {
        batch.div_ceil(self.images) * self.bands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 1x1 convolution of `size x size` pixels, in tiles of 6 rows and panels of 4 vectors, on two threads.
    fn pixels(size: usize, channels: usize, vectors: usize) -> (Window, Product) {
        let window = Window {
            source: [size, size, channels],
            strides: [1, 1],
            taps: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: [0, 0],
            output: [size, size],
            pooled: false,
        };
        let product = Product { threads: 2, depth: channels, vectors, panels: vectors.div_ceil(4), tile_rows: 6 };
        (window.flattened(), product)
    }

    #[test]
    fn few_pixels_are_shared_by_panels_and_many_by_bands() {
        let (window, product) = pixels(7, 512, 128);
        assert_eq!(window.output, [49, 1]);
        let items = Items::fastest(&window, 1, &product);
        assert_eq!(items.bands, 1, "each thread reads a part of the weights once");
        assert!(items.parts(&window, 1, &product).0 >= 2);
        let (window, product) = pixels(56, 64, 4);
        let items = Items::fastest(&window, 1, &product);
        assert!(items.bands >= 2 && items.parts(&window, 1, &product).0 == 1, "there is one panel: {items:?}");
        // Whole tiles, either usual ones or with few rows.
        assert!(items.rows % product.tile_rows <= FEW_ROWS, "{items:?}");
    }

    #[test]
    fn items_cover_all_rows_of_all_images() {
        for (size, channels, vectors) in [(1, 3, 1), (7, 960, 10), (13, 512, 63), (112, 16, 6)] {
            let (window, product) = pixels(size, channels, vectors);
            for batch in [1, 3, 32] {
                let items = Items::fastest(&window, batch, &product);
                let rows = size * size;
                assert_eq!(items.bands, rows.div_ceil(items.rows), "{items:?}");
                assert!(items.images == 1 || items.bands == 1, "{items:?}");
                assert_eq!(items.count(batch), batch.div_ceil(items.images) * items.bands);
            }
        }
    }
}
