//! A correlation: the patches of a source times a packed matrix. The forward pass is one correlation, the input gradient
//! one per class of pixels.

use std::ops::Range;

use crate::channel_map::{ChannelMap, Mapped};
use crate::cpu::{Cpu, SharedMut, part_range};
use crate::gemm::{Epilogue, GemmJob, KBlock, PackedMatrix, TileAddr, UNBOUNDED, depth_blocks, panels, sweep};
use crate::ops::Pointwise;

use super::band::{Items, Product, Window};
use super::small_channel::{LEAST_WINDOWS, MOST_TAPS, SmallChannelConv, few_forward};
use super::switches::{Sink, Source, pool_rows};

/// The layout of the target of a pass, in floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) offset: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) image: usize,
}

/// Operations applied to the sums of a pass.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConvEpilogue<'a> {
    pub(crate) accumulate: bool,
    /// Factor of each filter's sums, applied first.
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
    /// Added after scale and bias; as long as the target. `None` with max pooling.
    pub(crate) residual: Option<&'a [f32]>,
    /// The activation; with max pooling a ReLU or none.
    pub(crate) activation: Option<Pointwise>,
    /// Max pooling: only the maxima of 2x2 windows are written, and the target has one value per window; nothing is
    /// accumulated.
    pub(crate) pool: Option<&'a Sink<'a>>,
    /// As long as the target: sums are set to zero where this is not positive. `None` if `added` is set.
    pub(crate) gate: Option<&'a [f32]>,
    /// Added to the sums last.
    pub(crate) added: Option<Added<'a>>,
}

impl ConvEpilogue<'_> {
    /// Whether the activation is a ReLU.
    pub(crate) fn relu(&self) -> bool {
        self.activation == Some(Pointwise::Relu)
    }

    /// The bounds of the activation, if it is the identity between bounds, or [`UNBOUNDED`].
    pub(crate) fn bounds(&self) -> [f32; 2] {
        self.activation.and_then(Pointwise::bounds).unwrap_or(UNBOUNDED)
    }

    /// The activation, if bounds cannot express it.
    pub(crate) fn late_activation(&self) -> Option<Pointwise> {
        self.activation.filter(|kind| kind.bounds().is_none())
    }

    /// The epilogue of sums that are written from float `at` of the target on.
    pub(crate) fn of_sums(&self, at: usize) -> Epilogue {
        Epilogue {
            accumulate: self.accumulate,
            scale: self.scale.map_or(std::ptr::null(), <[f32]>::as_ptr),
            bias: self.bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
            residual: self.residual.map_or(std::ptr::null(), |residual| residual.as_ptr().wrapping_add(at)),
            bounds: self.bounds(),
            activation: self.late_activation(),
            gate: self.gate.map_or(std::ptr::null(), |gate| gate.as_ptr().wrapping_add(at)),
        }
    }
}

/// A linear map of features with the layout of the target.
#[derive(Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) map: &'a ChannelMap,
    pub(crate) features: &'a [f32],
    /// Set the sum to zero where the features are not positive.
    pub(crate) gate: bool,
}

impl<'a> Added<'a> {
    pub(crate) fn to(self, out: &'a SharedMut<'a>) -> Mapped<'a> {
        Mapped { features: self.features, out, accumulate: true, gate: self.gate }
    }
}

/// A prepared correlation.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) window: Window,
    /// One matrix per group.
    pub(crate) matrices: Vec<PackedMatrix>,
    /// Total number of columns of all matrices.
    columns: usize,
    target: Target,
    bordered: bool,
    /// Whether the sums go to scratch memory, from which their maxima are computed.
    pool: bool,
    product: Product,
    items: Items,
    /// The patches of one item and their targets; an item with fewer patches uses a prefix.
    sites: Vec<TileAddr>,
    blocks: Vec<KBlock>,
    /// For each value of a patch: its offset from the first. Empty unless there are few channels and max pooling.
    few: Vec<usize>,
}

impl Pass {
    pub(crate) fn new(cpu: Cpu, window: Window, target: Target, columns: usize, batch: usize) -> Self {
        let dense = target.row == window.output[1] * target.column;
        let window = if dense { window.flattened() } else { window };
        let row = if dense { window.output[1] * target.column } else { target.row };
        let product = product_of(cpu, &window, columns);
        let items = Items::fastest(&window, batch, &product);
        Self::with_items(cpu, window, Target { row, ..target }, columns, (items, product), false)
    }

    /// A pass with 2x2 max pooling; the window has even numbers of rows and columns.
    pub(crate) fn pooled(cpu: Cpu, window: Window, columns: usize, batch: usize) -> Self {
        let row = window.output[1] * columns;
        let items = Items::with_rows(&window, batch, cpu.threads() * 4, row);
        let target = Target { offset: 0, row, column: columns, image: items.rows * row };
        Self::with_items(cpu, window, target, columns, (items, product_of(cpu, &window, columns)), true)
    }

    fn with_items(
        cpu: Cpu,
        window: Window,
        target: Target,
        columns: usize,
        (items, product): (Items, Product),
        pool: bool,
    ) -> Self {
        let segments = window.segments();
        let bordered = window.needs_border();
        let image = if bordered { window.band_len(items.rows) } else { window.source_len() };
        let mut sites = Vec::with_capacity(items.images * items.rows * window.output[1]);
        for i in 0..items.images {
            for y in 0..items.rows.min(window.output[0]) {
                for x in 0..window.output[1] {
                    let source = i * image
                        + y * window.strides[0] * window.row_stride()
                        + x * window.strides[1] * window.source[2];
                    sites.push(TileAddr { source, target: i * target.image + y * target.row + x * target.column });
                }
            }
        }
        let matrix = |_| PackedMatrix::new(cpu.isa(), product.depth, columns / window.groups);
        let matrices = (0..window.groups).map(matrix).collect();
        let few = match pool && product.depth <= MOST_TAPS && window.output[1] / 2 >= LEAST_WINDOWS {
            true => segments.iter().flat_map(|segment| segment.offset..segment.offset + segment.len).collect(),
            false => Vec::new(),
        };
        Self {
            window,
            matrices,
            columns,
            target,
            bordered,
            pool,
            product,
            items,
            sites,
            blocks: depth_blocks(&segments),
            few,
        }
    }

    /// Scratch floats per thread.
    pub(crate) fn scratch_len(&self) -> usize {
        self.copies_len() + if self.pool && self.few.is_empty() { self.items.images * self.target.image } else { 0 }
    }

    pub(crate) fn is_few(&self) -> bool {
        !self.few.is_empty()
    }

    /// Floats of the copies of an item's bands.
    fn copies_len(&self) -> usize {
        let len = if self.bordered { self.items.images * self.window.band_len(self.items.rows) } else { 0 };
        len.next_multiple_of(16)
    }

    pub(crate) fn run(
        &self,
        cpu: Cpu,
        batch: usize,
        source: Source,
        target: &mut [f32],
        finish: ConvEpilogue,
        workspace: &mut [f32],
    ) {
        if self.sites.is_empty() {
            return;
        }
        let scratch_len = workspace.len() / cpu.threads();
        let workspace = SharedMut::new(workspace);
        let call = Call { pass: self, cpu, batch, source, finish, target: SharedMut::new(target) };
        let items = self.items.count(batch);
        // With few items the threads split the panels as well.
        let panels = self.product.panels;
        let parts = if self.pool { 1 } else { self.items.parts(&self.window, batch, &self.product).0 };
        cpu.parallel_for(items * parts, |worker, index| {
            let (item, part) = (call.item(index / parts), index % parts);
            // SAFETY: each worker has its own part of the workspace.
            let scratch = unsafe { workspace.slice(worker * scratch_len..(worker + 1) * scratch_len) };
            let (copies, sums) = scratch.split_at_mut(self.copies_len());
            let patches = call.patches(item, copies);
            match finish.pool {
                Some(sink) if self.is_few() => call.write_few(item, patches, sink),
                Some(sink) => {
                    call.multiply(item, patches, sums.as_mut_ptr(), part_range(panels, parts, part));
                    call.write_maxima(item, sums, sink);
                }
                None => {
                    let to = call.target.at(call.target_at(item));
                    call.multiply(item, patches, to, part_range(panels, parts, part));
                }
            }
        });
    }
}

/// The matrix product of the patches of a window.
fn product_of(cpu: Cpu, window: &Window, columns: usize) -> Product {
    let panels = panels(cpu.isa(), columns / window.groups);
    Product {
        threads: cpu.threads(),
        depth: window.segments().iter().map(|segment| segment.len).sum(),
        vectors: window.groups * panels.iter().map(|panel| panel.width).sum::<usize>(),
        panels: window.groups * panels.len(),
        tile_rows: panels.first().map_or(1, |panel| cpu.isa().tile_rows(panel.width)),
    }
}

/// One run of a pass.
struct Call<'a> {
    pass: &'a Pass,
    cpu: Cpu,
    batch: usize,
    source: Source<'a>,
    finish: ConvEpilogue<'a>,
    target: SharedMut<'a>,
}

/// Whole images, or rows of patches of one image.
#[derive(Clone, Copy)]
struct Item {
    /// The first image.
    image: usize,
    images: usize,
    /// The first row of patches.
    first: usize,
    rows: usize,
}

impl Call<'_> {
    fn item(&self, number: usize) -> Item {
        let Items { images, rows, bands } = self.pass.items;
        let (image, first) = (number / bands * images, number % bands * rows);
        Item {
            image,
            images: images.min(self.batch - image),
            first,
            rows: rows.min(self.pass.window.output[0] - first),
        }
    }

    /// Index in the target of the first sum of an item.
    fn target_at(&self, item: Item) -> usize {
        let Target { offset, row, image, .. } = self.pass.target;
        item.image * image + item.first * row + offset
    }

    /// Pointer to the first patch of an item: in the source, or in its padded copy, which is created here.
    fn patches(&self, item: Item, copies: &mut [f32]) -> *const f32 {
        let Pass { window, items, bordered, .. } = self.pass;
        if *bordered {
            let band_len = window.band_len(items.rows);
            for i in 0..item.images {
                let band = &mut copies[i * band_len..];
                window.copy_band(self.cpu, self.source, item.image + i, item.first, item.rows, band);
            }
            copies.as_ptr()
        } else {
            let row = item.first * window.strides[0] * window.row_stride();
            self.source.values.as_ptr().wrapping_add(item.image * window.source_len() + row)
        }
    }

    /// Computes the maxima of a convolution with few channels.
    fn write_few(&self, item: Item, patches: *const f32, sink: &Sink) {
        let Pass { window, items, matrices, few, bordered, .. } = self.pass;
        let image_len = if *bordered { window.band_len(items.rows) } else { window.source_len() };
        for i in 0..item.images {
            let job = SmallChannelConv {
                source: patches.wrapping_add(i * image_len),
                step: window.strides[1] * window.source[2],
                row: window.strides[0] * window.row_stride(),
                offsets: few,
                matrix: &matrices[0],
                scale: self.finish.scale,
                bias: self.finish.bias,
                relu: self.finish.relu(),
                sink,
                first: first_window(item, i, sink),
                rows: item.rows / 2,
                to: self.target.at(0),
            };
            // SAFETY: all patches lie within the band or the source; the target has all the maxima, as the callers
            // have checked, and items have different rows of them.
            unsafe { few_forward(self.cpu.isa(), &job) };
        }
    }

    /// Computes the sums of an item for some of the panels, counted over the matrices of all groups.
    fn multiply(&self, item: Item, patches: *const f32, to: *mut f32, panels: Range<usize>) {
        let Self { pass, finish, .. } = self;
        let at = self.target_at(item);
        let channels = pass.window.source[2] / pass.window.groups;
        let (columns, each) = (pass.columns / pass.window.groups, pass.matrices[0].panels.len());
        // With max pooling the activation is applied later.
        let activation = finish.activation.filter(|_| !pass.pool);
        let epilogue = ConvEpilogue { activation, ..*finish }.of_sums(at);
        for (group, matrix) in pass.matrices.iter().enumerate() {
            let own = panels.start.max(group * each)..panels.end.min((group + 1) * each);
            if own.is_empty() {
                continue;
            }
            let job = GemmJob {
                sites: &pass.sites[..item.images * item.rows * pass.window.output[1]],
                source: patches.wrapping_add(group * channels),
                target: to.wrapping_add(group * columns),
                matrix,
                blocks: &pass.blocks,
                epilogue: epilogue.at_column(group * columns),
            };
            // SAFETY: the sites were made for this window, so that the patches lie within the band or the source and the
            // targets within the output or the scratch memory, whose lengths the callers have checked; items write
            // different pixels, parts different columns; the bias has one float per column.
            unsafe { sweep(self.cpu.isa(), &job, own.start - group * each..own.end - group * each) };
        }
    }

    /// Writes the maxima of the sums of an item.
    fn write_maxima(&self, item: Item, sums: &[f32], sink: &Sink) {
        let Target { image, row, .. } = self.pass.target;
        for i in 0..item.images {
            let sums = &sums[i * image..][..item.rows * row];
            let windows = (first_window(item, i, sink), item.rows / 2);
            // SAFETY: the target has all the maxima, as the callers have checked; items have different rows of them.
            unsafe { pool_rows(self.cpu, sink, sums, windows, self.finish.relu(), self.target.at(0)) };
        }
    }
}

/// Index of the first window of image `number` of an item, counted over all images.
fn first_window(item: Item, number: usize, sink: &Sink) -> usize {
    let [height, width] = sink.place.windows;
    ((item.image + number) * height + item.first / 2) * width
}
