//! Receptive fields: the pixels that affect a unit of a layer.
//!
//! Given units with receptive fields of `r` pixels at a distance of `j` pixels, the first starting at `o`, windows of `k`
//! units with stride `s` and padding `p` (dilated windows by their extent) have receptive fields of `r + (k - 1) j` pixels
//! at a distance of `s j`, the first starting at `o - p j` (Araujo, Norris and Sim, "Computing receptive fields of
//! convolutional neural networks", 2019). Where branches merge, the receptive field is the union.
//!
//! These numbers count padding as part of the image. In addition, the actual image pixels of each unit are stored, one span
//! for each row and column: these are exact at the borders, and where branches with different strides merge, so that fields
//! are not shifted copies of each other. A pixel outside of a unit's field has no influence on it; inside, a stride larger
//! than its window may leave gaps.

mod axis;
mod effective;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use axis::Span;
use axis::{Axis, Windows};
pub use effective::{EffectiveField, Measurement, effective_field, noise};

use crate::nn::layers::{Extent, dilated, resolve_convolution};
use crate::nn::{Network, Node, Shape};
use crate::{Error, Result};

/// The longest axis for which fields are computed: twice the maximum side of an input image.
const LONGEST_AXIS: usize = 16_384;

/// A receptive field, as a rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The rows.
    pub rows: Span,
    /// The columns.
    pub columns: Span,
}

/// The theoretical receptive fields of the units of one layer, in pixels of the input.
#[derive(Debug, Clone)]
pub struct ReceptiveField {
    layer: String,
    class_name: &'static str,
    shape: Shape,
    layout: [usize; 3],
    rows: Arc<Axis>,
    columns: Arc<Axis>,
}

impl ReceptiveField {
    /// The layer's name.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The layer's class: `Conv2D`.
    pub fn class_name(&self) -> &'static str {
        self.class_name
    }

    /// The shape of the layer's output.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The shape `[rows, columns, channels]` in which a value of the layer's output is located. An image has its own shape,
    /// a flattened image that of the image, and a vector has a single position with many channels.
    pub fn layout(&self) -> [usize; 3] {
        self.layout
    }

    /// Whether the layer has more than one position.
    pub fn is_map(&self) -> bool {
        self.layout[0] * self.layout[1] > 1
    }

    /// Height and width of a field in pixels, including padding; `None` if fields are not shifted copies of each other.
    pub fn size(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.size))
    }

    /// The vertical and horizontal distance of adjacent units' fields in pixels; `None` as for [`size`](Self::size).
    pub fn stride(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.stride))
    }

    /// The rows and columns of padding before the image that are in the field of the first unit; negative if it starts
    /// inside the image.
    pub fn padding(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| -lattice.start))
    }

    /// The row and column of the center of the first unit's field, in pixel indices.
    pub fn center(&self) -> Option<[f64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.start as f64 + (lattice.size - 1) as f64 / 2.0))
    }

    /// The image pixels that affect the unit at this row and column; `None` if it only covers padding.
    ///
    /// # Panics
    /// When the position is out of range.
    pub fn at(&self, [row, column]: [usize; 2]) -> Option<Field> {
        let (rows, columns) = (self.rows.spans[row], self.columns.spans[column]);
        rows.zip(columns).map(|(rows, columns)| Field { rows, columns })
    }

    /// As [`at`](Self::at), including padding, if fields are shifted copies of each other: all have the same size, and may
    /// extend beyond the image.
    pub fn with_padding(&self, [row, column]: [usize; 2]) -> Option<Field> {
        let (rows, columns) = self.rows.lattice.zip(self.columns.lattice)?;
        Some(Field { rows: rows.span(row), columns: columns.span(column) })
    }

    fn both<T>(&self, of: impl Fn(&Axis) -> Option<T>) -> Option<[T; 2]> {
        Some([of(&self.rows)?, of(&self.columns)?])
    }
}

/// The receptive fields of all layers of a network, in node order.
///
/// # Errors
/// [`Error::Unsupported`] when the network does not have exactly one image input; [`Error::Limit`] when an axis of an
/// intermediate image is longer than 16,384.
pub fn receptive_fields(network: &Network) -> Result<Vec<ReceptiveField>> {
    let input = network.input_shape()?;
    if input.as_image().is_none() {
        let (name, problem) = (network.name(), "there are no receptive fields");
        return Err(Error::Unsupported(format!("network {name} takes {input}, not an image: {problem}")));
    }
    let mut fields: Vec<ReceptiveField> = Vec::new();
    for node in network.nodes() {
        let longest = node.shape().as_image().map_or(0, |[height, width, _]| height.max(width));
        if longest > LONGEST_AXIS {
            let what = format!("layer {}: side of its output", node.name());
            return Err(Error::Limit { what, got: longest as u64, limit: LONGEST_AXIS as u64 });
        }
        let inputs: Vec<&ReceptiveField> = node.inputs().iter().map(|&input| &fields[input]).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape.clone()).collect();
        let (layout, rows, columns) = field_of(node, &inputs, &shapes)?;
        fields.push(ReceptiveField {
            layer: node.name().to_owned(),
            class_name: node.layer().class_name(),
            shape: node.shape().clone(),
            layout,
            rows,
            columns,
        });
    }
    Ok(fields)
}

/// The receptive field of one layer.
///
/// ```
/// use lucida::explain::receptive_field;
/// use lucida::prelude::*;
///
/// let network = applications::mnist_cnn(42)?;
/// // Two 3x3 convolutions with a 2x2 pooling between them: 3 + 1 + 2 * 2 pixels.
/// let field = receptive_field(&network, "conv2d_1")?;
/// assert_eq!((field.size(), field.stride()), (Some([8, 8]), Some([2, 2])));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`receptive_fields`], and [`Error::Argument`] when the layer does not exist; the nearest name is suggested.
pub fn receptive_field(network: &Network, layer: &str) -> Result<ReceptiveField> {
    let index = network.find(layer)?;
    Ok(receptive_fields(network)?.swap_remove(index))
}

type Axes = ([usize; 3], Arc<Axis>, Arc<Axis>);

fn field_of(node: &Node, inputs: &[&ReceptiveField], shapes: &[Shape]) -> Result<Axes> {
    let layout = layout_of(node.shape());
    let Some((first, rest)) = inputs.split_first() else {
        let [height, width, _] = layout;
        return Ok((layout, Arc::new(Axis::pixels(height)), Arc::new(Axis::pixels(width))));
    };
    let (rows, columns) = (&first.rows, &first.columns);
    Ok(match node.layer().spec().extent(shapes) {
        Extent::Same => (first.layout, rows.clone(), columns.clone()),
        Extent::Whole => whole(layout, inputs),
        Extent::Padded([[top, bottom], [left, right]]) => {
            (layout, Arc::new(rows.padded(top, bottom)), Arc::new(columns.padded(left, right)))
        }
        Extent::Windows { size, strides, dilation, padding } => {
            let (before, output) = dilated(size, dilation)
                .and_then(|reach| resolve_convolution(first.layout, reach, strides, padding))
                .map_err(|problem| Error::Bug(format!("the receptive field of layer {}: {problem}", node.name())))?;
            let along = |axis: usize| Windows {
                size: size[axis],
                stride: strides[axis],
                dilation: dilation[axis],
                padding: before[axis],
                count: output[axis],
            };
            (layout, Arc::new(rows.windows(along(0))), Arc::new(columns.windows(along(1))))
        }
        Extent::UnevenWindows([of_rows, of_columns]) => {
            (layout, Arc::new(rows.grouped(&of_rows)), Arc::new(columns.grouped(&of_columns)))
        }
        Extent::Joined { elementwise } => joined(node, first, rest, elementwise),
    })
}

/// Broadcasts an axis with a single unit to `size` units, such as a gate with one position for a whole image.
fn repeated(axis: &Axis, size: usize) -> Axis {
    match axis.spans.as_slice() {
        [span] if size > 1 => Axis { lattice: None, spans: vec![*span; size] },
        _ => axis.clone(),
    }
}

/// The fields of units that depend on all units of all inputs.
fn whole(layout: [usize; 3], inputs: &[&ReceptiveField]) -> Axes {
    let all = |pick: fn(&ReceptiveField) -> &Arc<Axis>, size: usize| {
        let axes = inputs.iter().map(|field| pick(field).whole());
        let merged = axes.reduce(|axis, other| axis.merged(&other)).unwrap_or_else(|| Axis::pixels(1));
        Arc::new(repeated(&merged, size))
    };
    (layout, all(|field| &field.rows, layout[0]), all(|field| &field.columns, layout[1]))
}

/// The fields of a layer that merges several inputs.
fn joined(node: &Node, first: &ReceptiveField, rest: &[&ReceptiveField], elementwise: bool) -> Axes {
    let places = |field: &ReceptiveField| [field.layout[0], field.layout[1]];
    let alike = elementwise && rest.iter().all(|other| other.layout == first.layout);
    let is_image = node.shape().as_image().is_some();
    // Concatenated flattened images of different sizes have no common positions: each feature then gets the union of all
    // fields.
    let whole = !is_image && !alike && std::iter::once(&first).chain(rest).any(|field| places(field) != [1, 1]);
    let layout = if alike { first.layout } else { layout_of(node.shape()) };
    let merge = |pick: fn(&ReceptiveField) -> &Arc<Axis>, size: usize| {
        let of = |field: &ReceptiveField| if whole { pick(field).whole() } else { repeated(pick(field), size) };
        Arc::new(rest.iter().fold(of(first), |axis, other| axis.merged(&of(other))))
    };
    (layout, merge(|field| &field.rows, layout[0]), merge(|field| &field.columns, layout[1]))
}

fn layout_of(shape: &Shape) -> [usize; 3] {
    match *shape.sizes() {
        [height, width, channels] => [height, width, channels],
        [length, channels] => [1, length, channels],
        _ => [1, 1, shape.len()],
    }
}
