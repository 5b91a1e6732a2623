//! Slices of the input, like `x[:, 1:-1, ::2, 0]` in Python.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::permute::strides;
use super::reshape::channels_last;
use super::spec::{Extent, LayerSpec, one_input};
use super::strided::StridedOp;
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// The slice of an axis. Negative positions count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AxisSlice {
    /// Every `step`-th position from `start` to `stop` (exclusive), by default over the whole axis. A negative step
    /// reverses the order.
    Range {
        /// The first position.
        start: Option<i64>,
        /// The position after the last.
        stop: Option<i64>,
        /// The distance between positions; not zero.
        step: i64,
    },
    /// A single position; removes the axis.
    At(i64),
}

impl AxisSlice {
    /// The whole axis.
    pub fn all() -> Self {
        Self::Range { start: None, stop: None, step: 1 }
    }

    /// For an axis of `size`: the first position, the number of positions, and the step.
    fn resolve(self, size: usize) -> Option<(usize, usize, i64)> {
        let len = i64::try_from(size).ok()?;
        let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        match self {
            Self::At(at) => Some((usize::try_from(from_end(at)).ok().filter(|&at| at < size)?, 1, 1)),
            Self::Range { step: 0, .. } => None,
            Self::Range { start, stop, step } => {
                let (least, most, ends) = if step > 0 { (0, len, [0, len]) } else { (-1, len - 1, [len - 1, -1]) };
                let place = |at: Option<i64>, end: i64| at.map_or(end, |at| from_end(at).clamp(least, most));
                let (start, stop) = (place(start, ends[0]), place(stop, ends[1]));
                let span = if step > 0 { stop - start } else { start - stop };
                let count = usize::try_from(span).ok()?.div_ceil(usize::try_from(step.unsigned_abs()).ok()?);
                (count > 0).then_some((start as usize, count, step))
            }
        }
    }
}

/// A slice of each axis of the input.
///
/// ```
/// use lucida::nn::layers::{AxisSlice, Slice};
/// use lucida::prelude::*;
///
/// // The first two channels of every second row.
/// let rows = AxisSlice::Range { start: None, stop: None, step: 2 };
/// let channels = AxisSlice::Range { start: None, stop: Some(2), step: 1 };
/// let slice = Slice::new([rows, AxisSlice::all(), channels]);
/// let network = Sequential::new("part", [28, 28, 3]).add(slice).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [14, 28, 2]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The slice of each axis after the batch; axes that are not listed are taken whole.
    pub axes: Vec<AxisSlice>,
}

impl Slice {
    /// Slices the axes after the batch.
    pub fn new(axes: impl Into<Vec<AxisSlice>>) -> Self {
        Self { axes: axes.into() }
    }

    /// Slices one axis, the first after the batch being 0.
    pub fn of_axis(axis: usize, part: AxisSlice) -> Self {
        let mut axes = vec![AxisSlice::all(); axis];
        axes.push(part);
        Self { axes }
    }

    /// For each axis of the input: first position, number of positions, step, and whether the axis is kept.
    fn resolve(&self, sizes: &[usize]) -> Option<Vec<(usize, usize, i64, bool)>> {
        let rest = sizes.len().checked_sub(self.axes.len())?;
        let parts = self.axes.iter().copied().chain(std::iter::repeat_n(AxisSlice::all(), rest));
        let one = |(part, &size): (AxisSlice, &usize)| {
            let (start, count, step) = part.resolve(size)?;
            Some((start, count, step, !matches!(part, AxisSlice::At(_))))
        };
        parts.zip(sizes).map(one).collect()
    }
}

impl LayerSpec for Slice {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        let parts = self.resolve(input.sizes());
        let parts = parts.ok_or_else(|| format!("there is nothing of {input} at {:?}", self.axes))?;
        let sizes: Vec<usize> = parts.iter().filter(|part| part.3).map(|part| part.1).collect();
        match sizes.as_slice() {
            [] => Err(format!("takes a single value of {input}")),
            sizes => Ok(sizes.into()),
        }
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        let parts = self.resolve(inputs[0].sizes()).unwrap_or_default();
        match parts[..] {
            [rows, columns, (.., true)] if rows.3 && columns.3 => {
                let spans = |(start, count, step, _): (usize, usize, i64, bool)| -> Vec<Range<usize>> {
                    let place = |index: usize| (start as i64 + index as i64 * step) as usize;
                    (0..count).map(|index| place(index)..place(index) + 1).collect()
                };
                Extent::UnevenWindows([spans(rows), spans(columns)])
            }
            _ => Extent::Whole,
        }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let sizes = config.inputs[0].sizes();
        let parts = self.resolve(sizes).expect("the shape rule has accepted this input");
        let strides = strides(sizes);
        let offset = parts.iter().zip(&strides).map(|(part, &stride)| part.0 * stride as usize).sum();
        let axes: Vec<_> =
            parts.iter().zip(&strides).map(|(part, stride)| (part.1, stride * part.2 as isize)).collect();
        Box::new(StridedOp::new(config, offset, &axes))
    }
}

impl BuiltInLayer for Slice {
    /// The operation `x[...]`.
    const KERAS_CLASSES: &'static [&'static str] = &["GetItem"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let (key, rank) = (config.required("key")?, config.rank());
        let items = key.as_array().map_or(std::slice::from_ref(key), Vec::as_slice);
        let bad = || format!("is called with {}, which is not supported", short(key));
        let number = |value: &Value| if value.is_null() { Some(None) } else { value.as_i64().map(Some) };
        let mut axes = Vec::new();
        for item in items {
            let class = item["class_name"].as_str();
            axes.push(match class {
                // As many whole axes as are missing.
                Some("__ellipsis__") => {
                    let whole = (rank + 2).checked_sub(items.len()).ok_or_else(bad)?;
                    axes.extend(std::iter::repeat_n(AxisSlice::all(), whole));
                    continue;
                }
                Some("__slice__") => {
                    let part = |name: &str| number(&item["config"][name]).ok_or_else(bad);
                    AxisSlice::Range { start: part("start")?, stop: part("stop")?, step: part("step")?.unwrap_or(1) }
                }
                _ => AxisSlice::At(item.as_i64().ok_or_else(bad)?),
            });
        }
        match axes.split_first() {
            Some((&batch, rest)) if batch == AxisSlice::all() => Ok(Self::new(rest).into()),
            _ => Err("takes part of the batch, which is not supported".into()),
        }
    }

    fn to_keras(&self) -> Result<Value, String> {
        let item = |axis: &AxisSlice| match *axis {
            AxisSlice::At(at) => at.into(),
            AxisSlice::Range { start, stop, step } => {
                json!({ "class_name": "__slice__", "config": { "start": start, "stop": stop, "step": step } })
            }
        };
        let key: Vec<Value> = std::iter::once(&AxisSlice::all()).chain(&self.axes).map(item).collect();
        Ok(json!({ "key": key }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let shape = layer.shapes[0];
        let parts = self.resolve(shape.sizes()).unwrap_or_default();
        let input = channels_last(layer);
        let mut ints = |label: &str, values: Vec<i64>| layer.constant(label, &[values.len()], OnnxValues::Ints(values));
        let starts = ints("starts", parts.iter().map(|part| part.0 as i64).collect());
        // A stop before the first position must be far below zero.
        let end = |&(start, count, step, _): &(usize, usize, i64, bool)| match start as i64 + count as i64 * step {
            end if end < 0 => i64::MIN / 2,
            end => end,
        };
        let ends = ints("ends", parts.iter().map(end).collect());
        let axes = ints("axes", (1..=parts.len() as i64).collect());
        let steps = ints("steps", parts.iter().map(|part| part.2).collect());
        let removed: Vec<i64> = (1..).zip(&parts).filter(|(_, part)| !part.3).map(|(axis, _)| axis).collect();
        let image = parts.len() - removed.len() == 3;
        let mut last = layer.intermediate("sliced", "Slice", vec![input, starts, ends, axes, steps], vec![]);
        if !removed.is_empty() {
            let removed = layer.constant("gone", &[removed.len()], OnnxValues::Ints(removed));
            last = layer.intermediate("squeezed", "Squeeze", vec![last, removed], vec![]);
        }
        match image {
            true => layer.result("Transpose", vec![last], vec![("perm", OnnxAttribute::ints([0, 3, 1, 2]))]),
            false => layer.result("Identity", vec![last], vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    fn range(start: impl Into<Option<i64>>, stop: impl Into<Option<i64>>, step: i64) -> AxisSlice {
        AxisSlice::Range { start: start.into(), stop: stop.into(), step }
    }

    #[test]
    fn gradients_and_shapes() {
        check_layer(Slice::new([range(1, None, 2), range(None, -1, 1), range(None, None, -1)]), &[[4, 5, 3].into()]);
        check_layer(Slice::of_axis(2, AxisSlice::At(-1)), &[[4, 5, 3].into()]);
        check_layer(Slice::of_axis(0, range(2, 9, 3)), &[[12].into()]);
        let shape = |slice: Slice| slice.output_shape(&[[4, 5, 3].into()]).unwrap();
        assert_eq!(shape(Slice::new([AxisSlice::At(0)])), [5, 3].into());
        assert_eq!(shape(Slice::new([range(-3, 100, 2), range(None, None, -2)])), [2, 3, 3].into());
        for bad in [range(2, 2, 1), range(0, None, 0), range(4, None, 1), AxisSlice::At(4), AxisSlice::At(-5)] {
            refuses(Slice::new([bad]), &[[4, 5, 3].into()], &["nothing of (4, 5, 3)"]);
        }
        refuses(Slice::new([AxisSlice::At(0); 3]), &[[4, 5, 3].into()], &["a single value"]);
        refuses(Slice::new([AxisSlice::At(0); 4]), &[[4, 5, 3].into()], &["nothing of"]);
    }

    #[test]
    fn positions_are_pythons() {
        let values: Vec<f32> = (0..7).map(|value| value as f32).collect();
        let run = |part| run_training(Slice::new([part]), &[7].into(), &values, 1, 0);
        assert_eq!(run(range(1, -1, 2)), [1.0, 3.0, 5.0]);
        assert_eq!(run(range(None, None, -3)), [6.0, 3.0, 0.0]);
        assert_eq!(run(range(-2, 2, -1)), [5.0, 4.0, 3.0]);
        assert_eq!(run(range(1, -100, -1)), [1.0, 0.0]);
    }
}
