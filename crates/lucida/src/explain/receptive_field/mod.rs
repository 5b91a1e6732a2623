//! Receptive fields: which pixels a unit of a layer sees.
//!
//! Windows of `k` units with stride `s` and padding `p` (dilated ones as those they reach over), over units that see `r` pixels each at a distance of `j` pixels,
//! the first from `o` on, see `r + (k - 1) j` pixels at a distance of `s j`, the first from `o - p j` on (Araujo, Norris
//! and Sim, "Computing receptive fields of convolutional neural networks", 2019). Where branches meet, a unit sees what
//! either of them sees.
//!
//! These numbers count the padding as if it were image. In addition, the pixels of the image that each unit sees are
//! kept, one span for each row and column: exact at the borders, and where branches of different strides have met, so
//! that fields are no longer shifts of one another. A pixel outside of a unit's field has no influence on it at all; inside,
//! a stride larger than its window may leave gaps.

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

/// The longest axis whose fields are computed: twice the longest side of an image that a network is given.
const LONGEST_AXIS: usize = 16_384;

/// A receptive field, a rectangle of pixels: rows and columns.
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

    /// The layer's kind: `Conv2D`.
    pub fn class_name(&self) -> &'static str {
        self.class_name
    }

    /// The shape of the layer's output.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Places and channels: a value of the layer's output is at (row, column, channel), the channel counted first. A
    /// image has its own shape, a flattened image that of the image, and a vector is one place of many channels.
    pub fn layout(&self) -> [usize; 3] {
        self.layout
    }

    /// Whether there is more than one place to be at.
    pub fn is_map(&self) -> bool {
        self.layout[0] * self.layout[1] > 1
    }

    /// Height and width of a field in pixels, padding included; `None` where fields differ in more than their place.
    pub fn size(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.size))
    }

    /// The pixels, down and across, from the field of one unit to that of the next; `None` as for [`size`](Self::size).
    pub fn stride(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.stride))
    }

    /// The rows and columns of padding before the image that the field of the first unit takes in; negative where it
    /// begins inside the image.
    pub fn padding(&self) -> Option<[i64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| -lattice.start))
    }

    /// The row and column of the center of the first unit's field, pixels having whole numbers.
    pub fn center(&self) -> Option<[f64; 2]> {
        self.both(|axis| axis.lattice.map(|lattice| lattice.start as f64 + (lattice.size - 1) as f64 / 2.0))
    }

    /// The pixels of the image that the unit at this row and column sees; `None` when it sees padding only.
    ///
    /// # Panics
    /// When the layer has no such place.
    pub fn at(&self, [row, column]: [usize; 2]) -> Option<Field> {
        let (rows, columns) = (self.rows.spans[row], self.columns.spans[column]);
        rows.zip(columns).map(|(rows, columns)| Field { rows, columns })
    }

    /// The same with the padding, where fields are one another's shifts: all are of one size, and may reach outside of the
    /// image.
    pub fn with_padding(&self, [row, column]: [usize; 2]) -> Option<Field> {
        let (rows, columns) = self.rows.lattice.zip(self.columns.lattice)?;
        Some(Field { rows: rows.span(row), columns: columns.span(column) })
    }

    fn both<T>(&self, of: impl Fn(&Axis) -> Option<T>) -> Option<[T; 2]> {
        Some([of(&self.rows)?, of(&self.columns)?])
    }
}

/// The receptive fields of all layers of a network, in the order of its nodes.
///
/// # Errors
/// [`Error::Unsupported`] when the network does not take exactly one image; [`Error::Limit`] when a side of an image on
/// its way is longer than 16,384.
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
/// As [`receptive_fields`], and [`Error::Argument`] when there is no such layer; the nearest name is suggested.
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

/// An axis whose only unit is repeated to as many as are asked for: a gate of one position for a whole image.
fn repeated(axis: &Axis, size: usize) -> Axis {
    match axis.spans.as_slice() {
        [span] if size > 1 => Axis { lattice: None, spans: vec![*span; size] },
        _ => axis.clone(),
    }
}

/// The fields of units that all see all of all inputs.
fn whole(layout: [usize; 3], inputs: &[&ReceptiveField]) -> Axes {
    let all = |pick: fn(&ReceptiveField) -> &Arc<Axis>, size: usize| {
        let axes = inputs.iter().map(|field| pick(field).whole());
        let merged = axes.reduce(|axis, other| axis.merged(&other)).unwrap_or_else(|| Axis::pixels(1));
        Arc::new(repeated(&merged, size))
    };
    (layout, all(|field| &field.rows, layout[0]), all(|field| &field.columns, layout[1]))
}

/// The fields where several inputs meet.
fn joined(node: &Node, first: &ReceptiveField, rest: &[&ReceptiveField], elementwise: bool) -> Axes {
    let places = |field: &ReceptiveField| [field.layout[0], field.layout[1]];
    let alike = elementwise && rest.iter().all(|other| other.layout == first.layout);
    let is_image = node.shape().as_image().is_some();
    // Flattened images of different sizes side by side have no places in common: each feature is then given all that any
    // of them covers.
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
