//! Padding with various modes; negative padding crops.

use lucida_kernels::{AxisMap, ImageMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::resample::{LONGEST_SIDE, ResampleOp, extent_of, sides};
use super::spec::{Extent, LayerSpec, one_image};
use crate::files::decimal;
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// The padding mode: how the values outside the image are determined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// A constant value.
    Constant(f32),
    /// Mirrored without repeating the edge pixels: `c b | a b c | b a`.
    Reflect,
    /// Mirrored including the edge pixels: `b a | a b c | c b`.
    Symmetric,
    /// The edge pixels repeated: `a a | a b c | c c`.
    Replicate,
    /// The image repeated: `b c | a b c | a b`.
    Circular,
}

impl PadMode {
    /// The pixel, of `size` along an axis, whose value is used at position `place`, possibly outside; `None` for the
    /// constant.
    fn pixel(self, place: i64, size: i64) -> Option<usize> {
        if (0..size).contains(&place) {
            return Some(place as usize);
        }
        let at = match self {
            Self::Constant(_) => return None,
            Self::Reflect if size == 1 => 0,
            Self::Reflect => (size - 1) - (place.rem_euclid(2 * size - 2) - (size - 1)).abs(),
            Self::Symmetric => {
                let at = place.rem_euclid(2 * size);
                at.min(2 * size - 1 - at)
            }
            Self::Replicate => place.clamp(0, size - 1),
            Self::Circular => place.rem_euclid(size),
        };
        Some(at as usize)
    }

    /// Its name in Keras (NumPy's).
    fn keras(self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Reflect => "reflect",
            Self::Symmetric => "symmetric",
            Self::Replicate => "edge",
            Self::Circular => "wrap",
        }
    }
}

/// Pads `[height, width, channels]` on each side; negative padding crops.
///
/// ```
/// use lucida::nn::layers::{Pad2D, PadMode};
/// use lucida::prelude::*;
///
/// let pad = Pad2D { padding: [[0, 0], [2, 1]], mode: PadMode::Reflect };
/// let network = Sequential::new("padded", [1, 3, 1]).add(pad).build(42)?;
/// let mut plan = Plan::builder(&network).build()?;
/// plan.input_mut().copy_from_slice(&[1.0, 2.0, 3.0]);
/// plan.forward(&network)?;
/// assert_eq!(plan.output(0), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pad2D {
    /// `[[top, bottom], [left, right]]`, in pixels.
    pub padding: [[i64; 2]; 2],
    /// The padding mode.
    pub mode: PadMode,
}

impl Pad2D {
    /// The padded size of an axis of `size` pixels.
    fn padded(&self, axis: usize, size: usize) -> Option<usize> {
        let [before, after] = self.padding[axis];
        let padded = i64::try_from(size).ok()?.checked_add(before)?.checked_add(after)?;
        usize::try_from(padded).ok().filter(|size| (1..=LONGEST_SIDE).contains(size))
    }

    fn map(&self, sizes: [usize; 2]) -> ImageMap {
        let axis = |axis: usize| {
            let (size, before) = (sizes[axis], self.padding[axis][0]);
            let row = |index: usize| {
                let pixel = self.mode.pixel(index as i64 - before, size as i64);
                pixel.map(|pixel| (pixel, 1.0)).into_iter().collect()
            };
            AxisMap::new(size, (0..self.padded(axis, size).unwrap_or(0)).map(row))
        };
        ImageMap { rows: axis(0), columns: axis(1) }
    }

    /// The row and column indices that the output consists of, if each output pixel is an input pixel.
    pub(crate) fn gathered(&self, sizes: [usize; 2]) -> Option<[Vec<usize>; 2]> {
        let map = self.map(sizes);
        let pixels = |axis: &AxisMap| -> Option<Vec<usize>> {
            (0..axis.output_len()).map(|index| axis.row(index).first().map(|&(pixel, _)| pixel)).collect()
        };
        Some([pixels(&map.rows)?, pixels(&map.columns)?])
    }

    /// Whether every backend of Keras pads like this: TensorFlow supports three modes, and mirrors at most the size of the
    /// image.
    pub(crate) fn is_of_keras(&self, sizes: [usize; 2]) -> bool {
        let most = |axis: usize| match self.mode {
            PadMode::Constant(_) => i64::MAX,
            PadMode::Reflect => sizes[axis] as i64 - 1,
            PadMode::Symmetric => sizes[axis] as i64,
            PadMode::Replicate | PadMode::Circular => -1,
        };
        (0..2).all(|axis| self.padding[axis].iter().all(|&pixels| (0..=most(axis)).contains(&pixels)))
    }

    /// The output for an input of zeros: the padding of an image of these sizes.
    pub(crate) fn border(&self, sizes: [usize; 2], channels: usize) -> Vec<f32> {
        let PadMode::Constant(value) = self.mode else { return vec![0.0] };
        let map = self.map(sizes);
        let mut border = Vec::new();
        for row in 0..map.rows.output_len() {
            for column in 0..map.columns.output_len() {
                let outside = map.rows.row(row).is_empty() || map.columns.row(column).is_empty();
                border.extend(std::iter::repeat_n(if outside { value } else { 0.0 }, channels));
            }
        }
        border
    }
}

impl LayerSpec for Pad2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [height, width, channels] = one_image(inputs)?;
        if let PadMode::Constant(value) = self.mode
            && !value.is_finite()
        {
            return Err(format!("a border of {value}, not a finite number"));
        }
        match (self.padded(0, height), self.padded(1, width)) {
            (Some(height), Some(width)) => Ok(Shape::image(height, width, channels)),
            _ => {
                Err(format!("a padding of {:?} around {} leaves no image or a too large one", self.padding, inputs[0]))
            }
        }
    }

    fn zero_padding(&self) -> Option<[[usize; 2]; 2]> {
        let border = self.padding.as_flattened().iter().map(|&pixels| usize::try_from(pixels).ok());
        let [top, bottom, left, right] = border.collect::<Option<Vec<_>>>()?[..] else { return None };
        (self.mode == PadMode::Constant(0.0)).then_some([[top, bottom], [left, right]])
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        extent_of(&self.map(sides(inputs)))
    }

    fn keeps_sign(&self) -> bool {
        !matches!(self.mode, PadMode::Constant(value) if value < 0.0)
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let fill = if let PadMode::Constant(value) = self.mode { value } else { 0.0 };
        Box::new(ResampleOp::new(config, self.map(sides(config.inputs)), fill))
    }
}

impl BuiltInLayer for Pad2D {
    /// The operation `keras.ops.pad`.
    const KERAS_CLASSES: &'static [&'static str] = &["Pad"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let value = config.required("pad_width")?;
        let pads: Option<Vec<[i64; 2]>> = serde_json::from_value(value.clone()).ok();
        let padding = match pads.as_deref() {
            Some(&[[0, 0], rows, columns, [0, 0]]) => [rows, columns],
            _ => return Err(format!("pad_width {} is not supported, only of height and width", short(value))),
        };
        let constant = config.number("constant_values", 0.0)?;
        let mode = match config.get("mode").and_then(Value::as_str).unwrap_or("constant") {
            "constant" => PadMode::Constant(constant),
            "reflect" => PadMode::Reflect,
            "symmetric" => PadMode::Symmetric,
            "edge" => PadMode::Replicate,
            "wrap" => PadMode::Circular,
            mode => return Err(format!("mode {mode:?} is not supported")),
        };
        Ok(Self { padding, mode }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        let [rows, columns] = self.padding;
        if self.padding.iter().flatten().any(|&pixels| pixels < 0) {
            return Err(format!("Keras has no padding of {:?} pixels", self.padding));
        }
        let mut config = json!({ "pad_width": [[0, 0], rows, columns, [0, 0]], "mode": self.mode.keras() });
        if let PadMode::Constant(value) = self.mode {
            config["constant_values"] = json!(decimal(value));
        }
        Ok(config)
    }

    /// ONNX does not support symmetric padding, and circular padding only from opset 19 on: these are gathered.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        if matches!(self.mode, PadMode::Symmetric | PadMode::Circular) {
            let [rows, columns] = self.gathered(sides(&[layer.shapes[0].clone()])).unwrap_or_default();
            let [rows, columns] =
                [rows, columns].map(|pixels| pixels.into_iter().map(|pixel| pixel as i64).collect::<Vec<_>>());
            let rows = layer.constant("rows", &[rows.len()], OnnxValues::Ints(rows));
            let columns = layer.constant("columns", &[columns.len()], OnnxValues::Ints(columns));
            let axis = |axis| vec![("axis", OnnxAttribute::Int(axis))];
            let input = layer.input();
            let padded = layer.intermediate("padded_rows", "Gather", vec![input, rows], axis(2));
            layer.result("Gather", vec![padded, columns], axis(3));
            return;
        }
        let [[top, bottom], [left, right]] = self.padding;
        let pads = vec![0, 0, top, left, 0, 0, bottom, right];
        let mut inputs = vec![layer.input(), layer.constant("pads", &[8], OnnxValues::Ints(pads))];
        let mode = match self.mode {
            PadMode::Constant(value) => {
                inputs.push(layer.number("value", value));
                "constant"
            }
            PadMode::Reflect => "reflect",
            _ => "edge",
        };
        layer.result("Pad", inputs, vec![("mode", OnnxAttribute::Text(mode))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    const MODES: [PadMode; 5] =
        [PadMode::Constant(0.5), PadMode::Reflect, PadMode::Symmetric, PadMode::Replicate, PadMode::Circular];

    #[test]
    fn gradients_and_shapes() {
        for mode in MODES {
            for padding in [[[1, 2], [0, 3]], [[-1, 2], [2, -2]]] {
                check_layer(Pad2D { padding, mode }, &[[4, 5, 3].into()]);
            }
        }
        let layer = Pad2D { padding: [[-1, 2], [2, -2]], mode: PadMode::Reflect };
        assert_eq!(layer.output_shape(&[[4, 5, 3].into()]).unwrap(), [5, 5, 3].into());
        refuses(Pad2D { padding: [[-2, -2], [0, 0]], ..layer }, &[[4, 5, 3].into()], &["leaves no image"]);
        refuses(Pad2D { padding: [[i64::MAX, 1], [0, 0]], ..layer }, &[[4, 5, 3].into()], &["too large"]);
        refuses(Pad2D { mode: PadMode::Constant(f32::NAN), ..layer }, &[[4, 5, 3].into()], &["NaN"]);
    }

    #[test]
    fn borders_repeat_as_in_numpy() {
        let expected = [
            [0.5, 0.5, 0.5, 0.5, 1.0, 2.0, 3.0, 0.5, 0.5, 0.5, 0.5],
            [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0],
            [3.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0],
            [3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0],
        ];
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let layer = Pad2D { padding: [[0, 0], [4, 4]], mode };
            assert_eq!(run_training(layer, &[1, 3, 1].into(), &[1.0, 2.0, 3.0], 1, 0), expected, "{mode:?}");
        }
        assert_eq!(PadMode::Reflect.pixel(-3, 1), Some(0));
    }
}
