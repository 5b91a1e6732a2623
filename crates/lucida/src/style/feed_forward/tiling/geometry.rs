//! How the layers of a network relate to the pixels of its image.

use crate::explain::{ReceptiveField, receptive_fields};
use crate::nn::{Network, Shape};
use crate::{Error, Result};

/// Approximate side in pixels of the images on which networks are examined.
pub(in super::super) const PROBE: usize = 256;
/// Largest supported total stride of a network.
const LARGEST_UNIT: usize = 64;
/// A network whose receptive field exceeds this can only process whole images.
const LARGEST_HALO: usize = 2048;

/// The cells of a layer on the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cells {
    /// Rows and columns per unit of the image.
    pub(super) per_unit: [usize; 2],
    pub(super) channels: usize,
    /// How far the receptive field of a cell extends beyond the cell, in pixels.
    reach: i64,
    /// Approximate multiplications per square unit.
    work: usize,
}

/// A network whose layers all see a limited part of the image, once its instance normalizations have fixed statistics.
#[derive(Debug, Clone)]
pub(in super::super) struct Geometry {
    /// Height and width of tiles are multiples of this many pixels.
    pub(super) unit: usize,
    /// For each layer; none if a layer has no cells that are aligned with the image.
    layers: Vec<Option<Cells>>,
    /// The instance normalizations that the output depends on, in order.
    pub(super) norms: Vec<usize>,
    pub(super) input: usize,
    pub(super) output: usize,
}

impl Geometry {
    /// Examines a network. Returns none when it can only process whole images.
    pub(in super::super) fn of(network: &Network, unit: usize) -> Option<Self> {
        let fixed = network.with_batch_statistics().ok()?;
        let input = fixed.inputs().next()?;
        let output = *fixed.outputs().first()?;
        let needed = fixed.needed(&[], &[output]);
        let norms: Vec<usize> = network.instance_normalizations().filter(|&norm| needed[norm]).collect();
        let mut side = PROBE.next_multiple_of(unit);
        while side <= LARGEST_HALO {
            if let Some(layers) = cells(&fixed, [side, unit], output) {
                let aligned = |layer: usize| layers[layer].is_some();
                let usable = aligned(output) && norms.iter().all(|&norm| aligned(fixed.nodes()[norm].inputs()[0]));
                return usable.then_some(Self { unit, layers, norms, input, output });
            }
            side *= 2;
        }
        None
    }

    pub(super) fn cells(&self, layer: usize) -> Option<&Cells> {
        self.layers[layer].as_ref()
    }

    /// Shape of a layer on a part of the image whose sides are multiples of the unit.
    pub(super) fn shape(&self, layer: usize, size: [usize; 2]) -> Option<Shape> {
        let cells = self.cells(layer)?;
        let [height, width] = [0, 1].map(|axis| size[axis] / self.unit * cells.per_unit[axis]);
        Some(Shape::from([height, width, cells.channels]))
    }

    /// Bytes per pixel of the image that a layer's output takes.
    pub(super) fn bytes(&self, layer: usize) -> Option<f64> {
        let Cells { per_unit: [rows, columns], channels, .. } = self.cells(layer)?;
        Some((4 * rows * columns * channels) as f64 / (self.unit * self.unit) as f64)
    }

    /// Pixels around a tile that the computation of some layers from others needs, in whole units.
    pub(super) fn halo(&self, network: &Network, from: &[usize], to: &[usize]) -> usize {
        let reach = |layer: usize| self.cells(layer).map_or(0, |cells| cells.reach);
        let mut halo = 0;
        for &layer in from {
            for &target in to {
                if layer == target || !network.needed(from, &[target])[layer] {
                    continue;
                }
                // Reaches add up along a path. Cells of a coarser layer start within a unit, so one more is needed there.
                let slack = if layer == self.input { 0 } else { self.unit };
                let beyond = usize::try_from(reach(target) - reach(layer)).unwrap_or(0);
                halo = halo.max(beyond.next_multiple_of(self.unit) + slack);
            }
        }
        halo
    }

    /// Approximate multiplications per square unit of the computation of some layers from others.
    pub(super) fn work(&self, network: &Network, from: &[usize], to: &[usize]) -> usize {
        let needed = network.needed(from, to);
        let computed = (0..needed.len()).filter(|layer| needed[*layer] && !from.contains(layer));
        computed.map(|layer| self.cells(layer).map_or(1, |cells| cells.work)).sum()
    }
}

/// The cells of all layers, measured on an image of this side; none if it is too small for a receptive field.
fn cells(fixed: &Network, [side, unit]: [usize; 2], output: usize) -> Option<Vec<Option<Cells>>> {
    let [sized, larger] =
        [side, side + unit].map(|side| fixed.clone().with_input_size(side, side)).map(std::result::Result::ok);
    let (sized, larger) = (sized?, larger?);
    let fields = receptive_fields(&sized).ok()?;
    let needed = fixed.needed(&[], &[output]);
    let mut layers = Vec::with_capacity(fields.len());
    for (layer, field) in fields.iter().enumerate() {
        let nodes = [&sized, &larger].map(|network| &network.nodes()[layer]);
        let [Some(shape), Some(in_larger)] = nodes.map(|node| node.shape().as_image()) else {
            layers.push(None);
            continue;
        };
        let per_unit = [0, 1].map(|axis| shape[axis] * unit / side);
        let scales = |axis: usize| {
            per_unit[axis] > 0
                && per_unit[axis] * side == shape[axis] * unit
                && per_unit[axis] * (side + unit) == in_larger[axis] * unit
        };
        if !(needed[layer] && scales(0) && scales(1)) {
            layers.push(None);
            continue;
        }
        let [height, width, channels] = shape;
        let own = sized.parameters_of(layer) + 4 * channels;
        let work = own * per_unit[0] * per_unit[1];
        layers.push(Some(Cells {
            per_unit,
            channels,
            reach: reach(field, [height, width], per_unit, side, unit)?,
            work,
        }));
    }
    Some(layers)
}

/// How far the fields of the cells in the center extend beyond them; none if one touches the border of the image, where
/// padding changes it.
fn reach(field: &ReceptiveField, size: [usize; 2], per_unit: [usize; 2], side: usize, unit: usize) -> Option<i64> {
    let mut reach = i64::MIN;
    for axis in 0..2 {
        for cell in size[axis] / 2..size[axis] / 2 + per_unit[axis] {
            let mut at = size.map(|length| length / 2);
            at[axis] = cell;
            let found = field.at(at)?;
            let span = if axis == 0 { found.rows } else { found.columns };
            (span.start > 0 && span.end < side as i64).then_some(())?;
            let [start, end] =
                [cell * unit / per_unit[axis], ((cell + 1) * unit).div_ceil(per_unit[axis])].map(|pixel| pixel as i64);
            reach = reach.max(start - span.start).max(span.end - end);
        }
    }
    Some(reach)
}

/// The smallest power of two such that images whose sides are multiples of it keep their size.
pub(in super::super) fn unit_of(network: &Network) -> Result<usize> {
    let keeps = |side: usize| {
        let sized = network.clone().with_input_size(side, side).ok()?;
        let shape = sized.output().ok()?.shape().as_image()?;
        (shape == [side, side, 3]).then_some(())
    };
    let mut units = (0..).map(|power| 1_usize << power).take_while(|&unit| unit <= LARGEST_UNIT);
    let fits = |unit: &usize| [PROBE / unit + 1, PROBE / unit + 2].iter().all(|times| keeps(times * unit).is_some());
    units.find(fits).ok_or_else(|| {
        let [height, width, _] = network.input_shape().ok().and_then(|shape| shape.as_image()).unwrap_or_default();
        Error::Unsupported(format!(
            "network {} accepts only images of {width}x{height} pixels, or changes their size: export it with a dynamic \
             height and width (PyTorch: dynamic_axes or dynamic_shapes)",
            network.name()
        ))
    })
}
