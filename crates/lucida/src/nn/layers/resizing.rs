//! Keras's layers that resize images: `Resizing`, `CenterCrop`, `UpSampling2D`.

use lucida_kernels::{AxisMap, ImageMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::cropping::{crop_to_onnx, cropped};
use super::resample::{Coordinates, Interpolation, Kernel, NearestMode, ResampleOp, extent_of, resized, sides};
use super::resize::{map_to_onnx, resize_to_onnx};
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::OnnxLayer;
use crate::nn::op::{Op, OpConfig};

/// How an image with a different aspect ratio is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AspectRatio {
    /// Stretched.
    #[default]
    Stretch,
    /// Center-cropped to the aspect ratio.
    Crop,
    /// Padded with zeros to the aspect ratio.
    Pad,
}

/// Resizes `[height, width, channels]` like Keras's layer `Resizing`: the corners of both images are aligned, bicubic
/// interpolation has a coefficient of -0.5, and pixels outside the image do not count.
///
/// ```
/// use lucida::nn::layers::Resizing;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("resized", [480, 640, 3]).add(Resizing::new(224, 224)).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [224, 224, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resizing {
    /// Height of the output in pixels.
    pub height: usize,
    /// Width of the output in pixels.
    pub width: usize,
    /// The interpolation between pixels.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Average the input pixels under each output pixel when downsampling.
    #[serde(default)]
    pub antialias: bool,
    /// How an image with a different aspect ratio is fitted.
    #[serde(default)]
    pub aspect_ratio: AspectRatio,
}

impl Resizing {
    /// Bilinear resizing, stretched to this height and width.
    pub fn new(height: usize, width: usize) -> Self {
        let (interpolation, aspect_ratio) = (Interpolation::Bilinear, AspectRatio::Stretch);
        Self { height, width, interpolation, antialias: false, aspect_ratio }
    }

    /// For each axis of an image: the first pixel of the resized part, negative for padding, and its length.
    fn window(&self, [height, width]: [usize; 2]) -> [(i64, usize); 2] {
        // In 32 bits, as in Keras.
        let fitting = |other: usize, own: usize, others: usize| ((other * own) as f32 / others as f32) as usize;
        let lengths = [fitting(width, self.height, self.width), fitting(height, self.width, self.height)];
        [(height, lengths[0]), (width, lengths[1])].map(|(size, fitting)| match self.aspect_ratio {
            AspectRatio::Stretch => (0, size),
            AspectRatio::Crop => {
                let part = fitting.min(size).max(1);
                (((size - part) / 2) as i64, part)
            }
            AspectRatio::Pad => {
                let border = (fitting.max(size) - size) / 2;
                (-(border as i64), size + 2 * border)
            }
        })
    }

    fn map(&self, sizes: [usize; 2]) -> ImageMap {
        let kernel = Kernel::keras(self.interpolation, self.antialias);
        let axis = |axis: usize, output: usize| {
            let (start, len) = self.window(sizes)[axis];
            let whole = kernel.axis(len, output, len as f64 / output as f64);
            let moved = |&(at, weight): &(usize, f32)| {
                let at = usize::try_from(at as i64 + start).ok().filter(|&at| at < sizes[axis])?;
                Some((at, weight))
            };
            AxisMap::new(sizes[axis], (0..output).map(|index| whole.row(index).iter().filter_map(moved).collect()))
        };
        ImageMap { rows: axis(0, self.height), columns: axis(1, self.width) }
    }
}

impl LayerSpec for Resizing {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        resized(inputs, [self.height, self.width])
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

impl BuiltInLayer for Resizing {
    /// The layer and the operation `keras.ops.image.resize`.
    const KERAS_CLASSES: &'static [&'static str] = &["Resizing"];
    /// `RandomCrop` only crops in training; its documentation says that it resizes in inference.
    const KERAS_ALIASES: &'static [&'static str] = &["Resize", "RandomCrop"];

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        let [height, width] = match class {
            "Resize" => config.sizes("size")?,
            _ => [config.sizes::<1>("height")?[0], config.sizes::<1>("width")?[0]],
        };
        if class == "RandomCrop" {
            config.ignore(&["seed"]);
            config.add_note(
                "RandomCrop: in inference resized and cropped to its center; to train with it: --augment crop=0.5"
                    .into(),
            );
            return Ok(Self { aspect_ratio: AspectRatio::Crop, ..Self::new(height, width) }.into());
        }
        let interpolation = keras_interpolation(config, Interpolation::Bilinear)?;
        let antialias = config.flag("antialias", false)?;
        let crop = config.flag("crop_to_aspect_ratio", false)?;
        let pad = config.flag("pad_to_aspect_ratio", false)?;
        config.must_be("fill_mode", &["constant".into()])?;
        let fill = config.number("fill_value", 0.0)?;
        let aspect_ratio = match (crop, pad) {
            (true, _) => AspectRatio::Crop,
            (_, true) if fill == 0.0 => AspectRatio::Pad,
            (_, true) => return Err(format!("fill_value {fill} is not supported, only 0")),
            _ => AspectRatio::Stretch,
        };
        Ok(Self { height, width, interpolation, antialias, aspect_ratio }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "height": self.height,
            "width": self.width,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
            "crop_to_aspect_ratio": self.aspect_ratio == AspectRatio::Crop,
            "pad_to_aspect_ratio": self.aspect_ratio == AspectRatio::Pad,
            "data_format": "channels_last",
        }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let sizes = sides(&[layer.shapes[0].clone()]);
        let plain = !self.antialias && self.window(sizes) == [(0, sizes[0]), (0, sizes[1])];
        match keras_to_onnx(self.interpolation).filter(|_| plain) {
            Some(kernel) => resize_to_onnx(layer, &kernel, [self.height, self.width]),
            None => map_to_onnx(layer, &self.map(sizes)),
        }
    }
}

/// Keras's interpolations as ONNX options; excludes bicubic, which rounds positions.
fn keras_to_onnx(interpolation: Interpolation) -> Option<Kernel> {
    let kernel = Kernel::keras(interpolation, false);
    let (coordinates, nearest) = (Coordinates::HalfPixel, NearestMode::RoundPreferCeil);
    (interpolation != Interpolation::Bicubic).then_some(Kernel { coordinates, nearest, ..kernel })
}

fn keras_interpolation(config: &mut KerasConfig, default: Interpolation) -> Result<Interpolation, String> {
    match config.get("interpolation").map(|value| (value, value.as_str())) {
        None => Ok(default),
        Some((_, Some("nearest"))) => Ok(Interpolation::Nearest),
        Some((_, Some("bilinear"))) => Ok(Interpolation::Bilinear),
        Some((_, Some("bicubic"))) => Ok(Interpolation::Bicubic),
        Some((value, _)) => {
            Err(format!("interpolation {} is not supported, only nearest, bilinear and bicubic", short(value)))
        }
    }
}

/// A center crop. A smaller image is resized first, as in Keras.
///
/// ```
/// use lucida::nn::layers::CenterCrop;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("center", [256, 256, 3]).add(CenterCrop::new(224, 224)).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [224, 224, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CenterCrop {
    /// Height of the output in pixels.
    pub height: usize,
    /// Width of the output in pixels.
    pub width: usize,
}

impl CenterCrop {
    /// Crops to this height and width.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// The first row and column, if the image is large enough.
    fn start(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        Some([height.checked_sub(self.height)? / 2, width.checked_sub(self.width)? / 2])
    }

    fn resizing(&self) -> Resizing {
        Resizing { aspect_ratio: AspectRatio::Crop, ..Resizing::new(self.height, self.width) }
    }

    fn map(&self, sizes: [usize; 2]) -> ImageMap {
        match self.start(sizes) {
            Some(start) => cropped(sizes, start, [self.height, self.width]),
            None => self.resizing().map(sizes),
        }
    }
}

impl LayerSpec for CenterCrop {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        resized(inputs, [self.height, self.width])
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        extent_of(&self.map(sides(inputs)))
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        Box::new(ResampleOp::new(config, self.map(sides(config.inputs)), 0.0))
    }
}

impl BuiltInLayer for CenterCrop {
    const KERAS_CLASSES: &'static [&'static str] = &["CenterCrop"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        Ok(Self { height: config.sizes::<1>("height")?[0], width: config.sizes::<1>("width")?[0] }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "height": self.height, "width": self.width, "data_format": "channels_last" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        match self.start(sides(&[layer.shapes[0].clone()])) {
            Some(start) => crop_to_onnx(layer, start, [self.height, self.width]),
            None => self.resizing().to_onnx(layer),
        }
    }
}

/// Upsamples `[height, width, channels]` by integer factors.
///
/// ```
/// use lucida::nn::layers::UpSampling2D;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("larger", [14, 14, 32]).add(UpSampling2D::new([2, 2])).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [28, 28, 32]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpSampling2D {
    /// Vertical and horizontal factor.
    pub size: [usize; 2],
    /// The interpolation between pixels.
    pub interpolation: Interpolation,
}

impl UpSampling2D {
    /// Upsamples by repeating each pixel.
    pub fn new(size: [usize; 2]) -> Self {
        Self { size, interpolation: Interpolation::Nearest }
    }

    /// Sets the interpolation.
    #[must_use]
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// The map for an image of this height and width.
    pub(crate) fn map(&self, sizes: [usize; 2]) -> ImageMap {
        self.resizing(sizes).map(sizes)
    }

    fn resizing(&self, [height, width]: [usize; 2]) -> Resizing {
        let [height, width] = [height.saturating_mul(self.size[0]), width.saturating_mul(self.size[1])];
        Resizing { interpolation: self.interpolation, ..Resizing::new(height, width) }
    }
}

impl LayerSpec for UpSampling2D {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        one_image(inputs)?;
        self.resizing(sides(inputs)).output_shape(inputs)
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        self.resizing(sides(inputs)).extent(inputs)
    }

    fn keeps_sign(&self) -> bool {
        self.interpolation != Interpolation::Bicubic
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.resizing(sides(config.inputs)).prepare(config)
    }
}

impl BuiltInLayer for UpSampling2D {
    const KERAS_CLASSES: &'static [&'static str] = &["UpSampling2D"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        config.channels_last()?;
        let size = config.sizes_or("size", [2, 2])?;
        Ok(Self { size, interpolation: keras_interpolation(config, Interpolation::Nearest)? }.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "size": self.size, "interpolation": self.interpolation, "data_format": "channels_last" }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        self.resizing(sides(&[layer.shapes[0].clone()])).to_onnx(layer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses, run_training};

    const INTERPOLATIONS: [Interpolation; 3] =
        [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic];

    #[test]
    fn gradients() {
        for interpolation in INTERPOLATIONS {
            let up = UpSampling2D::new([2, 3]).interpolation(interpolation);
            check_layer(up, &[[3, 4, 3].into()]);
            for aspect_ratio in [AspectRatio::Stretch, AspectRatio::Crop, AspectRatio::Pad] {
                for antialias in [false, true] {
                    let resizing = Resizing { interpolation, antialias, aspect_ratio, ..Resizing::new(3, 4) };
                    check_layer(resizing, &[[5, 4, 3].into()]);
                }
            }
        }
        check_layer(CenterCrop::new(3, 2), &[[4, 5, 3].into()]);
        check_layer(CenterCrop::new(6, 2), &[[4, 5, 3].into()]);
    }

    #[test]
    fn shapes() {
        let shape = UpSampling2D::new([2, 3]).output_shape(&[[3, 4, 5].into()]).unwrap();
        assert_eq!(shape, [6, 12, 5].into());
        refuses(UpSampling2D::new([0, 1]), &[[3, 4, 5].into()], &["0x4"]);
        refuses(UpSampling2D::new([usize::MAX, 1]), &[[3, 4, 5].into()], &["x4 pixels"]);
        refuses(UpSampling2D::new([2, 2]), &[[4].into()], &["an image"]);
        refuses(Resizing::new(0, 1), &[[3, 4, 5].into()], &["0x1"]);
        refuses(CenterCrop::new(1, 0), &[[3, 4, 5].into()], &["1x0"]);
    }

    /// `keras.layers.Resizing(2, 4, pad_to_aspect_ratio=True)` of a 2x2 image.
    #[test]
    fn a_padded_image_keeps_its_proportions() {
        let resizing = Resizing { aspect_ratio: AspectRatio::Pad, ..Resizing::new(2, 4) };
        let output = run_training(resizing, &[2, 2, 1].into(), &[1.0, 2.0, 3.0, 4.0], 1, 0);
        assert_eq!(output, [0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    }
}
