//! Features of a canvas: as a whole, or tile by tile when memory is limited.

use crate::explain::receptive_fields;
use crate::nn::Plan;
use crate::style::pipeline::tiles::{Tile, tiles};
use crate::style::{Canvas, StyleNetwork};
use crate::{Cpu, Error, Result};

/// Bytes per weight: the weight itself, and its transforms for the forward and backward pass (48 values for each 9).
const BYTES_PER_WEIGHT: usize = 4 + 2 * 22;
/// Side of the canvas on which the memory per pixel is measured.
const PROBE: usize = 128;

/// Configuration of the feature computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) struct ViewConfig {
    pub(in crate::style) cpu: Cpu,
    /// Whether equal patches must give bit-identical features: see [`crate::nn::PlanBuilder::exact`].
    pub(in crate::style) exact: bool,
    /// Memory limit for activations, gradients and weights, in bytes.
    pub(in crate::style) memory: Option<u64>,
}

/// How gradients enter the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) enum GradientMode<'a> {
    /// No backward pass.
    Nothing,
    /// An explicit gradient at each layer.
    Written,
    /// At the first `linear` layers a linear function of the features, and an explicit gradient where `written` is set. With
    /// several tiles, the same as [`Written`](Self::Written).
    Linear { linear: usize, written: &'a [bool] },
}

/// A layer whose features are extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::style) struct ExtractedLayer {
    pub(in crate::style) name: String,
    /// Canvas pixels per pixel of the feature map.
    pub(in crate::style) stride: usize,
    pub(in crate::style) channels: usize,
}

/// Computes features of canvases of one size, and propagates gradients back to the pixels.
#[derive(Debug)]
pub(in crate::style) struct FeatureExtractor {
    network: StyleNetwork,
    plan: Plan,
    canvas: [usize; 2],
    tile: [usize; 2],
    halo: usize,
    unit: usize,
    pub(in crate::style) layers: Vec<ExtractedLayer>,
    /// For each layer: the index of its explicit gradient in the plan, if any.
    seeds: Vec<Option<usize>>,
    /// Number of layers whose gradient is a linear function of the features.
    linear: usize,
}

/// A window of a feature map, either of the tile or of the whole canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) struct MapWindow {
    /// First row and column.
    pub(in crate::style) origin: [usize; 2],
    /// Height and width.
    pub(in crate::style) size: [usize; 2],
    /// Width of the feature map.
    pub(in crate::style) width: usize,
}

impl MapWindow {
    /// The pixels of the window, as one range of pixel indices per row.
    pub(in crate::style) fn rows(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.size[0]).map(move |row| {
            let start = (self.origin[0] + row) * self.width + self.origin[1];
            start..start + self.size[1]
        })
    }
}

impl FeatureExtractor {
    /// Creates an extractor of the outputs of `layers`, for canvases whose sides are multiples of the network's unit.
    pub(in crate::style) fn new(
        network: &StyleNetwork,
        layers: &[&str],
        canvas: [usize; 2],
        view: ViewConfig,
        back: GradientMode,
    ) -> Result<Self> {
        let [unit, halo] = unit_and_halo(network, layers)?;
        let tile = match view.memory {
            Some(memory) => {
                tile_for(network, layers, canvas, (view, memory), back != GradientMode::Nothing, (unit, halo))?
            }
            None => canvas,
        };
        let network = network.clone().with_size(tile)?;
        let back = if tile != canvas && back != GradientMode::Nothing { GradientMode::Written } else { back };
        let plan = plan(&network, layers, view, back)?;
        let mut numbers = 0..;
        let seeds = (0..layers.len()).map(|layer| back.writes(layer).then(|| numbers.next()).flatten()).collect();
        let linear = if let GradientMode::Linear { linear, .. } = back { linear } else { 0 };
        let seen = |(index, name): (usize, &&str)| {
            let shape = plan.output_shape(index);
            let [height, _, channels] = shape.as_image().ok_or_else(|| Error::layer(*name, "has no maps"))?;
            Ok(ExtractedLayer { name: (*name).to_owned(), stride: tile[0] / height, channels })
        };
        let layers = layers.iter().enumerate().map(seen).collect::<Result<Vec<_>>>()?;
        Ok(Self { network, plan, canvas, tile, halo, unit, layers, seeds, linear })
    }

    /// The tiles, with their boundaries shifted by `phase` units.
    pub(in crate::style) fn tiles(&self, phase: [usize; 2]) -> Vec<Tile> {
        tiles(self.canvas, self.tile, self.halo, phase.map(|phase| phase * self.unit))
    }

    /// Whether a single tile covers the canvas.
    pub(in crate::style) fn is_whole(&self) -> bool {
        self.canvas == self.tile
    }

    /// Whether the gradient of a layer is a linear function of its features: see [`set_linear`](Self::set_linear).
    pub(in crate::style) fn is_linear(&self, layer: usize) -> bool {
        layer < self.linear
    }

    /// Sets that function: a matrix `[input channels, output channels]`, and a shift.
    pub(in crate::style) fn set_linear(&mut self, layer: usize, matrix: &[f32], shift: &[f32]) {
        self.plan.set_linear_gradient(layer, matrix, shift);
    }

    /// Computes the features of one tile of a canvas.
    pub(in crate::style) fn extract(&mut self, tile: &Tile, canvas: &Canvas) -> Result<()> {
        let rows = MapWindow { origin: tile.origin, size: self.tile, width: self.canvas[1] }.rows();
        let row_len = 3 * self.tile[1];
        let input = self.plan.input_mut();
        for (row, pixels) in rows.enumerate() {
            let from = &canvas.values[3 * pixels.start..3 * pixels.end];
            self.network.to_input(from, &mut input[row * row_len..(row + 1) * row_len]);
        }
        self.plan.forward(&self.network.network)
    }

    /// Features of a layer for the current tile: `[height, width, channels]`.
    pub(in crate::style) fn features(&self, layer: usize) -> &[f32] {
        self.plan.output(layer)
    }

    /// Features of a layer, and its explicit gradient, if it has one.
    pub(in crate::style) fn features_and_gradient(&mut self, layer: usize) -> Option<(&[f32], &mut [f32])> {
        self.seeds[layer].map(|seed| self.plan.output_and_grad_mut(layer, seed))
    }

    /// Window of a tile's core in the tile's feature map, and in that of the whole canvas.
    pub(in crate::style) fn parts(&self, tile: &Tile, layer: usize) -> [MapWindow; 2] {
        let stride = self.layers[layer].stride;
        let start = tile.core.map(|[from, _]| from / stride);
        let size = tile.core.map(|[from, to]| (to - from) / stride);
        let inside = [0, 1].map(|axis| start[axis] - tile.origin[axis] / stride);
        [
            MapWindow { origin: inside, size, width: self.tile[1] / stride },
            MapWindow { origin: start, size, width: self.canvas[1] / stride },
        ]
    }

    /// Runs the backward pass of a tile, and adds the gradient with respect to its pixels to `gradient`.
    pub(in crate::style) fn send_back(&mut self, tile: &Tile, gradient: &mut [f32]) -> Result<()> {
        self.plan.backward(&self.network.network);
        let arrived = self.plan.input_gradient().ok_or_else(|| Error::Bug("no gradient arrives".into()))?;
        let rows = MapWindow { origin: tile.origin, size: self.tile, width: self.canvas[1] }.rows();
        for (row, pixels) in rows.enumerate() {
            let from = &arrived[3 * row * self.tile[1]..3 * (row + 1) * self.tile[1]];
            self.network.add_gradient(from, &mut gradient[3 * pixels.start..3 * pixels.end]);
        }
        Ok(())
    }
}

impl GradientMode<'_> {
    /// Whether a layer has an explicit gradient.
    fn writes(self, layer: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Written => true,
            Self::Linear { written, .. } => written[layer],
        }
    }
}

fn plan(network: &StyleNetwork, layers: &[&str], view: ViewConfig, back: GradientMode) -> Result<Plan> {
    let mut plan = Plan::builder(&network.network).cpu(view.cpu).exact(view.exact);
    for (index, &layer) in layers.iter().enumerate() {
        plan = plan.output(layer);
        if back.writes(index) {
            plan = plan.grad_output_at(layer);
        }
        if matches!(back, GradientMode::Linear { linear, .. } if index < linear) {
            plan = plan.linear_gradient_at(layer);
        }
    }
    if back == GradientMode::Nothing { plan } else { plan.input_gradient() }.build()
}

/// Returns the largest stride of the layers, in canvas pixels, and half of the largest receptive field, rounded up to a
/// multiple of it.
pub(in crate::style) fn unit_and_halo(network: &StyleNetwork, layers: &[&str]) -> Result<[usize; 2]> {
    let fields = receptive_fields(&network.network)?;
    let (mut unit, mut size) = (1, 1);
    for &layer in layers {
        let field = &fields[network.network.find(layer)?];
        let (Some(stride), Some(side)) = (field.stride(), field.size()) else {
            return Err(Error::layer(layer, "sees fields of different sizes; style needs a layer of maps"));
        };
        unit = unit.max(stride[0].max(stride[1]) as usize);
        size = size.max(side[0].max(side[1]) as usize);
    }
    Ok([unit, (size / 2).next_multiple_of(unit)])
}

/// Returns the largest tile that fits in memory.
fn tile_for(
    network: &StyleNetwork,
    layers: &[&str],
    canvas: [usize; 2],
    (view, memory): (ViewConfig, u64),
    back: bool,
    (unit, halo): (usize, usize),
) -> Result<[usize; 2]> {
    let network = network.clone().with_size([PROBE, PROBE])?;
    let probe = plan(&network, layers, view, if back { GradientMode::Written } else { GradientMode::Nothing })?;
    // Room for contiguous copies of a tile's features, for one style layer at a time, and of their gradient.
    let copies = if back { 2 } else { 1 };
    let copied = (0..layers.len()).map(|layer| 4 * copies * probe.output_shape(layer).len()).max().unwrap_or(0);
    let per_pixel = (probe.memory() + copied).div_ceil(PROBE * PROBE);
    drop(probe);
    let fixed = network.network.parameters().0 * if back { BYTES_PER_WEIGHT } else { BYTES_PER_WEIGHT / 2 };
    let pixels = (memory as usize).saturating_sub(fixed) / per_pixel.max(1);
    let least = 2 * halo + 2 * unit;
    let fits = |[height, width]: [usize; 2]| height * width <= pixels;
    // Split the longer side only; if that makes tiles too narrow, use square ones.
    let tile = if fits(canvas) {
        canvas
    } else {
        let [short, long] = if canvas[0] <= canvas[1] { [0, 1] } else { [1, 0] };
        let mut tile = canvas;
        tile[long] = (pixels / canvas[short]) / unit * unit;
        if tile[long] < canvas[short].min(4 * halo) {
            let side = ((pixels as f64).sqrt() as usize) / unit * unit;
            tile = canvas.map(|all| all.min(side));
        }
        tile
    };
    if let Some(axis) = (0..2).find(|&axis| tile[axis] < canvas[axis].min(least)) {
        let needed = fixed + per_pixel * canvas[axis].min(least).pow(2);
        let (what, needed) = ("the smallest tile of this network".into(), needed as u64);
        return Err(Error::Memory { what, needed, allowed: memory, fits: None });
    }
    Ok(tile)
}
