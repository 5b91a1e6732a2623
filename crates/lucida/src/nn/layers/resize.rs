//! Resizing with the options of PyTorch's `interpolate` and ONNX's `Resize`.

use lucida_kernels::{AxisMap, ImageMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::resample::{Coordinates, Interpolation, Kernel, NearestMode, ResampleOp, extent_of, resized, sides};
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// The size of the output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTo {
    /// Height and width in pixels.
    Size([usize; 2]),
    /// Factors of the input's height and width, rounded down. Coordinates use the factor, not the ratio of the rounded
    /// sizes.
    Scale([f32; 2]),
}

/// Resizes `[height, width, channels]`; by default bilinear, with the corners of both images aligned.
///
/// ```
/// use lucida::nn::layers::{Coordinates, Resize};
/// use lucida::prelude::*;
///
/// // As `interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)` in PyTorch.
/// let resize = Resize { coordinates: Coordinates::AlignCorners, ..Resize::by([2.0, 2.0]) };
/// let network = Sequential::new("larger", [7, 7, 64]).add(resize).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [14, 14, 64]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// The size of the output.
    pub to: ResizeTo,
    /// The interpolation between pixels.
    pub interpolation: Interpolation,
    /// How output pixels map to input coordinates.
    pub coordinates: Coordinates,
    /// How coordinates are rounded for nearest neighbor.
    pub nearest: NearestMode,
    /// The coefficient of bicubic interpolation: -0.75 in PyTorch; -0.5 in Keras, Pillow, and PyTorch with `antialias`.
    pub cubic_coefficient: f32,
    /// Drop the weights of pixels outside the image, and normalize the others.
    pub exclude_outside: bool,
    /// Average the input pixels under each output pixel when downsampling.
    pub antialias: bool,
}

impl Resize {
    /// Bilinear resizing to this height and width.
    pub fn to_size(size: [usize; 2]) -> Self {
        Self {
            to: ResizeTo::Size(size),
            interpolation: Interpolation::Bilinear,
            coordinates: Coordinates::HalfPixel,
            nearest: NearestMode::default(),
            cubic_coefficient: -0.75,
            exclude_outside: false,
            antialias: false,
        }
    }

    /// Bilinear resizing by these factors of height and width.
    pub fn by(scale: [f32; 2]) -> Self {
        Self { to: ResizeTo::Scale(scale), ..Self::to_size([1, 1]) }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            interpolation: self.interpolation,
            coordinates: self.coordinates,
            nearest: self.nearest,
            cubic_coefficient: self.cubic_coefficient.into(),
            exclude_outside: self.exclude_outside,
            antialias: self.antialias,
            cubic_table: false,
        }
    }

    /// Height and width of the output.
    fn size(&self, sizes: [usize; 2]) -> [usize; 2] {
        match self.to {
            ResizeTo::Size(size) => size,
            // A factor such as 1.1 is inexact in 32 bits: the product is rounded to the nearest float, and then down.
            ResizeTo::Scale(scale) => [0, 1].map(|axis| (sizes[axis] as f32 * scale[axis]) as usize),
        }
    }

    /// The map for an image of this height and width.
    pub(crate) fn map(&self, sizes: [usize; 2]) -> ImageMap {
        let size = self.size(sizes);
        let axis = |axis: usize| -> AxisMap {
            let scale = match self.to {
                ResizeTo::Size(_) => sizes[axis] as f64 / size[axis] as f64,
                ResizeTo::Scale(scale) => 1.0 / f64::from(scale[axis]),
            };
            self.kernel().axis(sizes[axis], size[axis], scale)
        };
        ImageMap { rows: axis(0), columns: axis(1) }
    }
}

impl LayerSpec for Resize {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        one_image(inputs)?;
        if let ResizeTo::Scale(scale) = self.to
            && !scale.iter().all(|scale| scale.is_finite() && *scale > 0.0)
        {
            return Err(format!("resizes by {scale:?}"));
        }
        if !self.cubic_coefficient.is_finite() {
            return Err(format!("a cubic coefficient of {}", self.cubic_coefficient));
        }
        resized(inputs, self.size(sides(inputs)))
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        extent_of(&self.map(sides(inputs)))
    }

    fn keeps_sign(&self) -> bool {
        self.interpolation != Interpolation::Bicubic
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(ResampleOp::new(config, self.map(sides(config.inputs)), 0.0))
    }
}

impl BuiltInLayer for Resize {
    const KERAS_CLASSES: &'static [&'static str] = &[];

    fn from_keras(class: &str, _config: &mut KerasConfig) -> Result<Layer, String> {
        Err(format!("{class} is not a layer of Keras"))
    }

    fn keras_class(&self) -> &'static str {
        "Resizing"
    }

    /// Supported if Keras's own layer computes the same.
    fn to_keras(&self) -> Result<Value, String> {
        let half = matches!(self.coordinates, Coordinates::HalfPixel | Coordinates::PytorchHalfPixel);
        let plain = match self.interpolation {
            Interpolation::Bilinear => half,
            Interpolation::Nearest => half && self.nearest == NearestMode::RoundPreferCeil,
            Interpolation::Bicubic => half && self.antialias && self.cubic_coefficient == -0.5,
        };
        match self.to {
            ResizeTo::Size([height, width]) if plain => Ok(json!({
                "height": height,
                "width": width,
                "interpolation": self.interpolation,
                "antialias": self.antialias,
                "data_format": "channels_last",
            })),
            _ => {
                Err("Keras has no layer that resizes this way: only to a size, nearest or bilinear, where corners meet"
                    .into())
            }
        }
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let sizes = sides(&[layer.shapes[0].clone()]);
        let size = self.size(sizes);
        // ONNX Runtime rejects bicubic downsampling next to a transposition.
        let shrinks = (0..2).any(|axis| size[axis] < sizes[axis]);
        let refused = shrinks && self.interpolation == Interpolation::Bicubic;
        let unknown = matches!(self.coordinates, Coordinates::TfHalfPixelForNn | Coordinates::HalfPixelSymmetric);
        let native = matches!(self.to, ResizeTo::Size(_)) && !self.antialias && !refused && !unknown;
        match native {
            true => resize_to_onnx(layer, &self.kernel(), size),
            false => map_to_onnx(layer, &self.map(sizes)),
        }
    }
}

/// Adds ONNX's `Resize` (version 13) to a fixed size.
pub(super) fn resize_to_onnx(layer: &mut OnnxLayer, kernel: &Kernel, size: [usize; 2]) {
    let channels = layer.shapes[0].channels();
    // Only a factor leaves the batch size open; it stands for the sizes, but is rounded to a float, and the product to a
    // size. ONNX Runtime computes coordinates from the factor.
    let factor = |axis: usize| size[axis] as f32 / layer.shapes[0].sizes()[axis] as f32;
    let exact = (0..2).all(|axis| size[axis].is_multiple_of(layer.shapes[0].sizes()[axis]));
    let mut inputs = vec![layer.input(), String::new()];
    if exact {
        let scales = OnnxValues::Floats(vec![1.0, 1.0, factor(0), factor(1)]);
        inputs.push(layer.constant("scales", &[4], scales));
    } else {
        // The batch size is read from the input.
        let input = layer.input();
        let shape = layer.intermediate("shape", "Shape", vec![input], vec![]);
        let first = layer.constant("first", &[1], OnnxValues::Ints(vec![0]));
        let batch = layer.intermediate("batch", "Gather", vec![shape, first], vec![("axis", OnnxAttribute::Int(0))]);
        let rest = OnnxValues::Ints(vec![channels as i64, size[0] as i64, size[1] as i64]);
        let rest = layer.constant("sizes", &[3], rest);
        let sizes = layer.intermediate("all_sizes", "Concat", vec![batch, rest], vec![("axis", OnnxAttribute::Int(0))]);
        inputs.extend([String::new(), sizes]);
    }
    let text = |value| OnnxAttribute::Text(value);
    let mut attributes = vec![(
        "coordinate_transformation_mode",
        text(match kernel.coordinates {
            Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
            Coordinates::AlignCorners => "align_corners",
            Coordinates::Asymmetric => "asymmetric",
            _ => "half_pixel",
        }),
    )];
    match kernel.interpolation {
        Interpolation::Nearest => {
            attributes.push(("mode", text("nearest")));
            attributes.push((
                "nearest_mode",
                text(match kernel.nearest {
                    NearestMode::RoundPreferFloor => "round_prefer_floor",
                    NearestMode::RoundPreferCeil => "round_prefer_ceil",
                    NearestMode::Floor => "floor",
                    NearestMode::Ceil => "ceil",
                }),
            ));
        }
        Interpolation::Bilinear => attributes.push(("mode", text("linear"))),
        Interpolation::Bicubic => {
            attributes.push(("mode", text("cubic")));
            attributes.push(("cubic_coeff_a", OnnxAttribute::Float(kernel.cubic_coefficient as f32)));
            attributes.push(("exclude_outside", OnnxAttribute::Int(kernel.exclude_outside.into())));
        }
    }
    layer.result("Resize", inputs, attributes);
}

/// Adds a map without an ONNX operator: a matrix over the rows times the image times a matrix over the columns.
pub(super) fn map_to_onnx(layer: &mut OnnxLayer, map: &ImageMap) {
    let mut matrix = |label: &str, axis: &AxisMap, columns_first: bool| {
        let dims =
            if columns_first { [axis.input_len(), axis.output_len()] } else { [axis.output_len(), axis.input_len()] };
        let mut values = vec![0.0_f32; dims[0] * dims[1]];
        for index in 0..axis.output_len() {
            for &(pixel, weight) in axis.row(index) {
                values[if columns_first { pixel * dims[1] + index } else { index * dims[1] + pixel }] = weight;
            }
        }
        layer.constant(label, &dims, OnnxValues::Floats(values))
    };
    let rows = matrix("rows_matrix", &map.rows, false);
    let columns = matrix("columns_matrix", &map.columns, true);
    let resampled = layer.intermediate("rows", "MatMul", vec![rows, layer.input()], vec![]);
    layer.result("MatMul", vec![resampled, columns], vec![]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    #[test]
    fn gradients() {
        let options = [
            Resize { coordinates: Coordinates::AlignCorners, ..Resize::to_size([7, 2]) },
            Resize { interpolation: Interpolation::Bicubic, ..Resize::to_size([3, 7]) },
            Resize { interpolation: Interpolation::Bicubic, exclude_outside: true, ..Resize::by([0.6, 1.7]) },
            Resize { interpolation: Interpolation::Bicubic, antialias: true, ..Resize::to_size([2, 3]) },
            Resize { interpolation: Interpolation::Nearest, ..Resize::by([1.5, 0.5]) },
            Resize { coordinates: Coordinates::HalfPixelSymmetric, ..Resize::by([1.7, 1.3]) },
        ];
        for layer in options {
            check_layer(layer, &[[4, 5, 3].into()]);
        }
    }

    #[test]
    fn shapes() {
        let shape = |layer: Resize| layer.output_shape(&[[7, 10, 3].into()]).unwrap();
        assert_eq!(shape(Resize::by([0.6, 1.1])), [4, 11, 3].into());
        assert_eq!(shape(Resize::to_size([1, 30])), [1, 30, 3].into());
        refuses(Resize::by([0.1, 1.0]), &[[7, 10, 3].into()], &["0x10"]);
        refuses(Resize::by([f32::NAN, 1.0]), &[[7, 10, 3].into()], &["NaN"]);
        refuses(Resize::to_size([usize::MAX, 1]), &[[7, 10, 3].into()], &["x1 pixels"]);
    }

    #[test]
    fn one_pixel_is_the_first_or_the_middle() {
        let run = |coordinates| {
            let layer = Resize { coordinates, ..Resize::to_size([1, 1]) };
            run_training(layer, &[1, 3, 1].into(), &[1.0, 2.0, 4.0], 1, 0)[0]
        };
        assert_eq!(run(Coordinates::HalfPixel), 2.0);
        assert_eq!([run(Coordinates::PytorchHalfPixel), run(Coordinates::AlignCorners)], [1.0, 1.0]);
    }
}
