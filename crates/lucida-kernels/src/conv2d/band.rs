//! Bands of images with their border of zeros.

use std::ops::Range;

use crate::cpu::Cpu;
use crate::gemm::{FEW_ROWS, Segment};

use super::switches::{Source, unpool_row};

/// Floats of a band: 256 KiB, a quarter of the smallest L2 cache among the machines this was measured on, so that the
/// band, a block of a panel and the sums in flight stay there together.
const BAND_FLOATS: usize = 1 << 16;

/// How the patches of one pass lie on their source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Height, width and channels of what is read.
    pub(crate) source: [usize; 3],
    /// Steps between neighboring patches.
    pub(crate) strides: [usize; 2],
    /// Rows and columns of values that a patch takes.
    pub(crate) taps: [usize; 2],
    /// Rows and columns from one of these to the next.
    pub(crate) dilation: [usize; 2],
    /// Parts of the channels, each of which makes patches of its own.
    pub(crate) groups: usize,
    /// Zeros at the top and left; negative where the first rows or columns are left out.
    pub(crate) padding: [isize; 2],
    /// Rows and columns of patches.
    pub(crate) output: [usize; 2],
    /// Whether the source has the gradient of maxima, which is taken to the pixels while it is copied.
    pub(crate) pooled: bool,
}

impl Window {
    /// Floats of one source image.
    pub(crate) fn source_len(&self) -> usize {
        self.source.iter().product()
    }

    /// Rows (axis 0) or columns from the first to the last that a patch takes.
    fn reach(&self, axis: usize) -> usize {
        if self.taps[axis] == 0 { 0 } else { (self.taps[axis] - 1) * self.dilation[axis] + 1 }
    }

    /// The outputs along an axis (0 for rows) whose patches lie inside the source.
    pub(crate) fn inside(&self, axis: usize) -> Range<usize> {
        let (stride, padding) = (self.strides[axis] as isize, self.padding[axis]);
        let first = if padding > 0 { ((padding + stride - 1) / stride) as usize } else { 0 };
        let last = self.source[axis] as isize + padding - self.reach(axis) as isize;
        let end = if last < 0 { 0 } else { (last / stride) as usize + 1 }.min(self.output[axis]);
        first.min(end)..end
    }

    /// The taps along an axis that lie inside the source for the output `index`.
    #[inline(always)]
    pub(crate) fn taps_inside(&self, axis: usize, index: usize) -> Range<usize> {
        let (size, dilation) = (self.source[axis] as isize, self.dilation[axis] as isize);
        let start = (index * self.strides[axis]) as isize - self.padding[axis];
        let first = if start < 0 { ((-start + dilation - 1) / dilation) as usize } else { 0 };
        let end = if start < size { ((size - start + dilation - 1) / dilation) as usize } else { 0 };
        let end = end.min(self.taps[axis]);
        first.min(end)..end
    }

    /// Rows of the source under `rows` rows of patches.
    pub(crate) fn rows_under(&self, rows: usize) -> usize {
        if rows == 0 { 0 } else { (rows - 1) * self.strides[0] + self.reach(0) }
    }

    /// Columns of the source under all columns of patches.
    fn columns_under(&self) -> usize {
        if self.output[1] == 0 { 0 } else { (self.output[1] - 1) * self.strides[1] + self.reach(1) }
    }

    /// Whether the patches reach over the source's border, so that it must be copied with zeros around.
    pub(crate) fn needs_border(&self) -> bool {
        self.pooled
            || self.padding != [0, 0]
            || self.rows_under(self.output[0]) > self.source[0]
            || self.columns_under() > self.source[1]
    }

    /// Floats from one row to the next of what the patches are read from: a bordered copy or the source itself.
    pub(crate) fn row_stride(&self) -> usize {
        let columns = if self.needs_border() { self.columns_under() } else { self.source[1] };
        columns * self.source[2]
    }

    /// The pieces of a patch of the first group: for each of its rows, all columns and channels, or where something lies
    /// between the columns the channels of each.
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

    /// Rows of patches to a band, so that a band has about [`BAND_FLOATS`] and all are nearly equal.
    pub(crate) fn band_rows(&self, most_floats: usize) -> usize {
        let rows = self.output[0].max(1);
        if self.row_stride() * self.rows_under(rows) <= most_floats {
            return rows;
        }
        let source_rows = (most_floats / self.row_stride().max(1)).max(self.reach(0));
        let most = (source_rows - self.reach(0)) / self.strides[0] + 1;
        rows.div_ceil(rows.div_ceil(most))
    }

    /// Floats of a bordered copy under `rows` rows of patches.
    pub(crate) fn band_len(&self, rows: usize) -> usize {
        self.rows_under(rows) * self.row_stride()
    }

    /// The least number of bands of an image that keeps their work memory within bounds.
    fn least_bands(&self) -> usize {
        let rows = self.output[0].max(1);
        self.floats_of_item(rows).div_ceil(MOST_FLOATS).clamp(1, rows)
    }

    /// Floats of the work memory of an item: of its bordered copy, or of the list of its patches.
    fn floats_of_item(&self, rows: usize) -> usize {
        if self.needs_border() { self.band_len(rows) } else { FLOATS_OF_SITE * rows * self.output[1] }
    }

    /// A 1x1 convolution without strides sees no rows: all pixels of an image as one column of patches, so that an item may
    /// have any number of them.
    pub(crate) fn flattened(self) -> Self {
        let [height, width, channels] = self.source;
        let plain = self.taps == [1, 1] && self.strides == [1, 1] && self.output == [height, width];
        match plain && !self.needs_border() {
            true => Self { source: [height * width, 1, channels], output: [height * width, 1], ..self },
            false => self,
        }
    }

    /// Copies what lies under `rows` rows of patches of an image from row `first` on, with zeros where that is outside.
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

/// Items for each thread at most.
const ITEMS_PER_THREAD: usize = 8;
/// Floats of an item's work memory at most: half of the L2 cache of the machines this was measured on.
const MOST_FLOATS: usize = 1 << 17;
/// What an entry in the list of an item's patches takes of the cache.
const FLOATS_OF_SITE: usize = 4;
/// What threads that do not run at the same speed cost: this part of an item.
const UNEVENNESS: usize = 8;
/// Multiply-adds that it takes to begin with an item.
const START: usize = 1500;
/// Rows of a product that take as long as it takes to read the matrix from the L3 cache.
const ROWS_OF_READING: usize = 4;
/// Floats that are copied in the time of a multiply-add.
const COPIED: usize = 4;

/// What the patches of a pass are multiplied with, to tell the time that takes, in multiply-adds of vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) threads: usize,
    /// Rows and columns of the matrix of each group, the columns in vectors, of all groups together.
    pub(crate) depth: usize,
    pub(crate) vectors: usize,
    /// Panels of all groups.
    pub(crate) panels: usize,
    /// Rows of a tile.
    pub(crate) tile_rows: usize,
}

impl Product {
    /// The time of an item of this number of images and rows, in one of `parts` parts of the panels.
    fn time(&self, window: &Window, images: usize, rows: usize, parts: usize) -> usize {
        let sites = images * rows * window.output[1];
        let rest = match sites % self.tile_rows {
            0 => 0,
            rest if rest <= FEW_ROWS => FEW_ROWS,
            _ => self.tile_rows,
        };
        let rows_of_tiles = sites / self.tile_rows * self.tile_rows + rest;
        // The slowest part has the panels that do not divide evenly.
        let vectors = (self.panels.div_ceil(parts) * self.vectors).div_ceil(self.panels);
        let copied = if window.needs_border() { images * window.band_len(rows) } else { 0 };
        (rows_of_tiles + ROWS_OF_READING) * self.depth * vectors + copied / COPIED + START
    }
}

/// How a pass is cut into work items: `images` whole images each, or `rows` rows of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Items {
    pub(crate) images: usize,
    pub(crate) rows: usize,
    /// Items to an image; one when items hold whole images.
    pub(crate) bands: usize,
}

impl Items {
    /// At least `wanted` items if possible, none of more than [`BAND_FLOATS`] unless one row of patches needs more.
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

    /// The items in which `product` is expected to take the least time for a whole batch.
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

    /// In how many parts of the panels an item is cut, and the time that is expected then.
    pub(crate) fn parts(&self, window: &Window, batch: usize, product: &Product) -> (usize, usize) {
        let most = product.panels.min(ITEMS_PER_THREAD * product.threads).max(1);
        let time = |parts: usize| {
            let units = self.count(batch) * parts;
            let unit = product.time(window, self.images.min(batch), self.rows, parts);
            units.div_ceil(product.threads) * unit + unit / UNEVENNESS
        };
        let fastest = (1..=most).map(|parts| (parts, time(parts))).min_by_key(|(_, time)| *time);
        fastest.expect("there is one part at least")
    }

    /// As [`new`](Self::new), for items that have `row` additional floats of work memory for each row of patches; with
    /// an even number of rows, as the window has.
    pub(crate) fn with_rows(window: &Window, batch: usize, wanted: usize, row: usize) -> Self {
        let items = Self::new(window, batch, wanted);
        let (total, most) = (window.output[0], (BAND_FLOATS / row.max(1)).max(2));
        if items.bands == 1 && total <= most {
            return Self { images: items.images.min(most / total.max(1)), ..items };
        }
        let rows = items.rows.min(most).next_multiple_of(2);
        Self { images: 1, rows, bands: total.div_ceil(rows) }
    }

    /// The number of items for a batch.
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
        // Whole tiles, of the usual rows or of few.
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
