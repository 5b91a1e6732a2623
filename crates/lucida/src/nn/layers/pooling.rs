//! Pooling: each output is the maximum, or the mean, of a window of one channel.

use lucida_kernels::{
    AxisMap, Cpu, ImageMap, Pool2dShape, PoolBackward, Pooling, average_pool2d_backward, max_pool2d_backward,
    max_windows, max_windows_backward, pool2d,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::{BorderValue, BuiltInLayer, ExplicitBorder};
use super::padding::{Padding, onnx_window, resolve_window};
use super::resample::{ResampleOp, extent_of};
use super::resize::map_to_onnx;
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig, ReluBefore};

/// The configuration shared by max and average pooling.
struct Geometry {
    pool: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
    dilation: [usize; 2],
    ceil_mode: bool,
}

impl Geometry {
    /// Number of pixels covered by a window along an axis, including gaps.
    fn reach(&self, axis: usize) -> Option<usize> {
        self.pool[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)
    }

    /// The padding before each axis, and the size of the output.
    fn resolve(&self, image: [usize; 3]) -> Result<([usize; 2], [usize; 2]), String> {
        if self.dilation.contains(&0) {
            return Err(format!("a dilation of {:?}", self.dilation));
        }
        let reach = self.reach(0).zip(self.reach(1)).map_or([0, 0], |(rows, columns)| [rows, columns]);
        let (padding, mut output) = resolve_window(image, reach, self.strides, self.padding)?;
        if self.ceil_mode && self.padding != Padding::Same {
            for axis in 0..2 {
                let (start, stride) = (output[axis] * self.strides[axis], self.strides[axis]);
                let after = self.padding.explicit().map_or(0, |padding| padding[axis][1]);
                let end = padding[axis] + image[axis];
                // One more window, which extends beyond the end, if it starts before the end.
                if start < end && !(end + after - reach[axis]).is_multiple_of(stride) {
                    output[axis] += 1;
                }
            }
        }
        let positions = |axis: usize| (0..output[axis]).map(move |index| (axis, index));
        let missed =
            |(axis, index): (usize, usize)| self.pixels(axis, index, padding[axis], image[axis]).next().is_none();
        if self.dilation != [1, 1] && positions(0).chain(positions(1)).any(missed) {
            return Err(format!("a window with a dilation of {:?} takes in nothing but padding", self.dilation));
        }
        Ok((padding, output))
    }

    /// The pixels of a window along an axis, clipped to the image.
    fn pixels(&self, axis: usize, index: usize, before: usize, size: usize) -> impl Iterator<Item = usize> {
        let (start, step) = (index * self.strides[axis], self.dilation[axis]);
        let places = (0..self.pool[axis]).map(move |tap| start + tap * step);
        places.filter_map(move |place| place.checked_sub(before).filter(|&pixel| pixel < size))
    }

    /// The windows along both axes; `share(axis, index, pixels)` is the weight of each pixel of a window.
    fn map(&self, image: [usize; 3], share: impl Fn(usize, usize, usize) -> f32) -> Result<ImageMap, String> {
        let (padding, output) = self.resolve(image)?;
        let axis = |axis: usize| {
            let row = |index: usize| {
                let pixels: Vec<usize> = self.pixels(axis, index, padding[axis], image[axis]).collect();
                let share = share(axis, index, pixels.len());
                pixels.into_iter().map(|pixel| (pixel, share)).collect()
            };
            AxisMap::new(image[axis], (0..output[axis]).map(row))
        };
        Ok(ImageMap { rows: axis(0), columns: axis(1) })
    }

    /// The shape for the fast kernels, whose windows are contiguous and have equal weights.
    fn shape(&self, image: [usize; 3]) -> Result<Pool2dShape, String> {
        let (padding, output) = self.resolve(image)?;
        let [height, width, channels] = image;
        Ok(Pool2dShape { height, width, channels, pool: self.pool, strides: self.strides, padding, output })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let image = one_image(inputs)?;
        let (_, [height, width]) = self.resolve(image)?;
        Ok(Shape::image(height, width, image[2]))
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if !self.ceil_mode {
            let Self { pool: size, strides, dilation, padding, .. } = *self;
            return Extent::Windows { size, strides, dilation, padding };
        }
        let image = inputs[0].as_image().expect("the shape rule accepts images only");
        extent_of(&self.map(image, |_, _, _| 1.0).expect("the shape rule has accepted this input"))
    }

    /// Keras's options; an error for what Keras does not support.
    fn to_keras(&self) -> Result<Value, String> {
        if self.dilation != [1, 1] || self.ceil_mode {
            return Err("Keras has no pooling with a dilation or with ceil_mode".into());
        }
        Ok(json!({
            "pool_size": self.pool,
            "strides": self.strides,
            "padding": self.padding.to_keras()?,
            "data_format": "channels_last",
        }))
    }

    fn onnx(&self, image: &Shape) -> OnnxAttributes {
        let reach = [0, 1].map(|axis| self.reach(axis).unwrap_or(1));
        let mut attributes = onnx_window(image, reach, self.strides, self.padding);
        attributes[0] = ("kernel_shape", OnnxAttribute::ints(self.pool));
        if self.dilation != [1, 1] {
            attributes.push(("dilations", OnnxAttribute::ints(self.dilation)));
        }
        if self.ceil_mode && self.padding != Padding::Same {
            attributes.push(("ceil_mode", OnnxAttribute::Int(1)));
        }
        attributes
    }
}

fn undilated() -> [usize; 2] {
    [1, 1]
}

fn is_undilated(dilation: &[usize; 2]) -> bool {
    *dilation == [1, 1]
}

fn is_false(value: &bool) -> bool {
    !value
}

macro_rules! pooling_layer {
    (
        $(#[$doc:meta])* $name:ident, $alias:literal,
        { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[must_use]
        pub struct $name {
            /// Height and width of a window.
            pub pool_size: [usize; 2],
            /// Vertical and horizontal stride.
            pub strides: [usize; 2],
            /// The padding.
            #[serde(default)]
            pub padding: Padding,
            /// Vertical and horizontal distance between neighboring pixels of a window.
            #[serde(default = "undilated", skip_serializing_if = "is_undilated")]
            pub dilation: [usize; 2],
            /// Whether a window that starts inside and extends beyond the end counts (PyTorch's `ceil_mode`).
            #[serde(default, skip_serializing_if = "is_false")]
            pub ceil_mode: bool,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Windows of this size with an equal stride.
            pub fn new(pool_size: [usize; 2]) -> Self {
                Self {
                    pool_size,
                    strides: pool_size,
                    padding: Padding::Valid,
                    dilation: undilated(),
                    ceil_mode: false,
                    $($field: $default,)*
                }
            }

            /// Sets the strides.
            pub fn strides(self, strides: [usize; 2]) -> Self {
                Self { strides, ..self }
            }

            /// Sets the padding.
            pub fn padding(self, padding: Padding) -> Self {
                Self { padding, ..self }
            }

            fn geometry(&self) -> Geometry {
                let Self { pool_size: pool, strides, padding, dilation, ceil_mode, .. } = *self;
                Geometry { pool, strides, padding, dilation, ceil_mode }
            }
        }

        impl Default for $name {
            /// 2x2 windows with stride two.
            fn default() -> Self {
                Self::new([2, 2])
            }
        }

        impl LayerSpec for $name {
            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
                self.check()?;
                self.geometry().output_shape(inputs)
            }

            fn extent(&self, inputs: &[Shape]) -> Extent {
                self.geometry().extent(inputs)
            }

            fn keeps_sign(&self) -> bool {
                true
            }

            fn only_resamples(&self) -> bool {
                true
            }

            fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
                self.prepare_fused(config, Fused::default())
            }

            fn fusing(&self) -> Option<&dyn FusingSpec> {
                Some(self)
            }
        }

        impl BuiltInLayer for $name {
            const KERAS_CLASSES: &'static [&'static str] = &[stringify!($name)];
            const KERAS_ALIASES: &'static [&'static str] = &[$alias];

            fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
                config.channels_last()?;
                let pool_size = config.sizes_or("pool_size", [2, 2])?;
                let strides = config.sizes_or("strides", pool_size)?;
                Ok(Self::new(pool_size).strides(strides).padding(Padding::from_keras(config)?).into())
            }

            fn to_keras(&self) -> Result<Value, String> {
                self.check_keras()?;
                self.geometry().to_keras()
            }

            fn explicit_border(&self) -> Option<ExplicitBorder> {
                let without = || self.clone().padding(Padding::Valid).into();
                self.padding.explicit().map(|padding| ExplicitBorder { padding, value: self.border(), without: without() })
            }

            fn to_onnx(&self, layer: &mut OnnxLayer) {
                self.add_to_onnx(layer);
            }
        }
    };
}

pooling_layer! {
    /// The maximum of each window, per channel of `[height, width, channels]`.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// // Windows of 3x3 pixels that overlap: the stride is 2.
    /// let network = Sequential::new("pooled", [28, 28, 16]).add(MaxPooling2D::new([3, 3]).strides([2, 2])).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [13, 13, 16]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    MaxPooling2D, "MaxPool2D", {}
}

impl MaxPooling2D {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as for AveragePooling2D")]
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as for AveragePooling2D")]
    fn check_keras(&self) -> Result<(), String> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "as for AveragePooling2D")]
    fn border(&self) -> BorderValue {
        BorderValue::NegativeInfinity
    }

    fn add_to_onnx(&self, layer: &mut OnnxLayer) {
        let attributes = self.geometry().onnx(layer.shapes[0]);
        layer.result("MaxPool", layer.inputs.clone(), attributes);
    }
}

impl FusingSpec for MaxPooling2D {
    /// The gradient of a maximum that is not positive is dropped.
    fn fusible(&self) -> Fusible {
        let relu_before = if is_undilated(&self.dilation) { ReluBefore::OwnGradient } else { ReluBefore::No };
        Fusible { relu_before, ..Fusible::default() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let image = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let geometry = self.geometry();
        if self.dilation == [1, 1] {
            let shape = geometry.shape(image).expect("the shape rule has accepted this input");
            return Box::new(PoolingOp::new(config, fused.relu_before, Pooling::Max, shape));
        }
        let map = geometry.map(image, |_, _, _| 1.0).expect("the shape rule has accepted this input");
        Box::new(MaxWindows::new(config, map))
    }
}

pooling_layer! {
    /// The mean of each window, per channel of `[height, width, channels]`; padding is excluded by default.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("pooled", [2, 2, 1]).add(AveragePooling2D::default()).build(42)?;
    /// let mut plan = Plan::builder(&network).build()?;
    /// plan.input_mut().copy_from_slice(&[1.0, 2.0, 3.0, 6.0]);
    /// plan.forward(&network)?;
    /// assert_eq!(plan.output(0), [3.0]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    AveragePooling2D, "AvgPool2D", {
        /// Whether the mean includes padding, as zeros.
        #[serde(default, skip_serializing_if = "is_false")]
        count_include_pad: bool = false,
        /// A fixed divisor of the sums, instead of the number of pixels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        divisor_override: Option<usize> = None,
    }
}

impl AveragePooling2D {
    fn check(&self) -> Result<(), String> {
        if self.divisor_override == Some(0) { Err("a divisor of zero".into()) } else { Ok(()) }
    }

    fn check_keras(&self) -> Result<(), String> {
        match self.divisor_override {
            Some(divisor) => Err(format!("Keras has no divisor of {divisor} for a mean")),
            None if self.count_include_pad && self.padding == Padding::Same => {
                Err("Keras leaves the border `same` out of a mean".into())
            }
            None => Ok(()),
        }
    }

    fn border(&self) -> BorderValue {
        if self.count_include_pad && !self.ceil_mode { BorderValue::Zero } else { BorderValue::LeftOut }
    }

    /// The number of pixels along an axis by which window `index` is divided, of which `inside` are not padding.
    fn count(&self, image: [usize; 3], axis: usize, index: usize, inside: usize) -> usize {
        if !self.count_include_pad {
            return inside;
        }
        // Padding counts, but not the pixels that `ceil_mode` adds after it.
        let end = match self.padding {
            Padding::Valid => image[axis],
            Padding::Same => usize::MAX,
            Padding::Explicit(padding) => padding[axis][0] + image[axis] + padding[axis][1],
        };
        let start = index * self.strides[axis];
        (0..self.pool_size[axis]).filter(|tap| start + tap * self.dilation[axis] < end).count()
    }

    /// Whether each window is contiguous and divided by the number of its pixels that are not padding.
    fn is_plain(&self, image: [usize; 3]) -> bool {
        if self.dilation != [1, 1] || self.divisor_override.is_some() {
            return false;
        }
        let geometry = self.geometry();
        let Ok((padding, output)) = geometry.resolve(image) else { return false };
        !self.count_include_pad
            || (0..2).all(|axis| {
                (0..output[axis]).all(|index| {
                    let inside = geometry.pixels(axis, index, padding[axis], image[axis]).count();
                    self.count(image, axis, index, inside) == inside
                })
            })
    }

    fn map(&self, image: [usize; 3]) -> Result<ImageMap, String> {
        self.geometry().map(image, |axis, index, inside| match self.divisor_override {
            Some(divisor) => {
                if axis == 0 {
                    1.0 / divisor as f32
                } else {
                    1.0
                }
            }
            None => 1.0 / self.count(image, axis, index, inside) as f32,
        })
    }

    fn add_to_onnx(&self, layer: &mut OnnxLayer) {
        let image = layer.shapes[0].as_image().unwrap_or_default();
        // ONNX does not support a divisor, a dilation (before opset 19), or counted padding of `same`.
        let odd = self.divisor_override.is_some() || self.dilation != [1, 1];
        if odd && let Ok(map) = self.map(image) {
            return map_to_onnx(layer, &map);
        }
        let mut attributes = self.geometry().onnx(layer.shapes[0]);
        attributes.push(("count_include_pad", OnnxAttribute::Int(self.count_include_pad.into())));
        layer.result("AveragePool", layer.inputs.clone(), attributes);
    }
}

impl FusingSpec for AveragePooling2D {
    fn fusible(&self) -> Fusible {
        Fusible::default()
    }

    fn prepare_fused(&self, config: &OpConfig, _fused: Fused) -> Box<dyn Op> {
        let image = config.inputs[0].as_image().expect("the shape rule accepts images only");
        if self.is_plain(image) {
            let shape = self.geometry().shape(image).expect("the shape rule has accepted this input");
            return Box::new(PoolingOp::new(config, false, Pooling::Average, shape));
        }
        let map = self.map(image).expect("the shape rule has accepted this input");
        Box::new(ResampleOp::new(config, map, 0.0))
    }
}

/// Pooling prepared to compute.
pub(super) struct PoolingOp {
    cpu: Cpu,
    kind: Pooling,
    shape: Pool2dShape,
    relu_before: bool,
}

impl PoolingOp {
    pub(super) fn new(config: &OpConfig, relu_before: bool, kind: Pooling, shape: Pool2dShape) -> Self {
        Self { cpu: config.cpu, kind, shape, relu_before }
    }
}

impl Op for PoolingOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        pool2d(self.cpu, self.kind, &self.shape, pass.batch, pass.inputs.get(0), output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        let switches = self.kind == Pooling::Max;
        BackwardNeeds { inputs: switches, output: switches }
    }

    /// Max pooling: the gradient goes to the pixel that held the maximum (the first one, in case of ties). Average pooling:
    /// it is distributed equally over all pixels of the window.
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let Self { cpu, shape, relu_before, .. } = self;
        match self.kind {
            Pooling::Max => {
                let options = PoolBackward { accumulate, through_relu: *relu_before };
                let (input, output) = (pass.inputs.get(0), pass.output);
                max_pool2d_backward(*cpu, shape, pass.batch, input, output, pass.grad_output, grad_input, options);
            }
            Pooling::Average => {
                average_pool2d_backward(*cpu, shape, pass.batch, pass.grad_output, grad_input, accumulate);
            }
        }
    }
}

/// Max pooling with windows that the fast kernel does not support.
pub(super) struct MaxWindows {
    cpu: Cpu,
    map: ImageMap,
    channels: usize,
}

impl MaxWindows {
    pub(super) fn new(config: &OpConfig, map: ImageMap) -> Self {
        Self { cpu: config.cpu, map, channels: config.output.channels() }
    }
}

impl Op for MaxWindows {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        max_windows(self.cpu, &self.map, self.channels, pass.batch, pass.inputs.get(0), output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: true }
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let (input, output) = (pass.inputs.get(0), pass.output);
        let (batch, gradient) = (pass.batch, pass.grad_output);
        max_windows_backward(
            self.cpu,
            &self.map,
            self.channels,
            batch,
            input,
            output,
            gradient,
            grad_input,
            accumulate,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};
    use crate::nn::{Network, Plan};

    #[test]
    fn gradients() {
        check_layer(MaxPooling2D::default(), &[[6, 7, 3].into()]);
        check_layer(MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same), &[[6, 7, 18].into()]);
        let wide = Padding::Explicit([[1, 2], [0, 1]]);
        check_layer(MaxPooling2D::new([3, 3]).strides([2, 2]).padding(wide), &[[6, 7, 18].into()]);
        check_layer(AveragePooling2D::new([3, 2]).strides([1, 2]).padding(wide), &[[6, 7, 18].into()]);
        check_layer(AveragePooling2D::default(), &[[6, 7, 3].into()]);
        check_layer(AveragePooling2D::new([3, 3]).strides([1, 1]).padding(Padding::Same), &[[4, 5, 18].into()]);
    }

    #[test]
    fn shapes() {
        let same = MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same);
        assert_eq!(same.output_shape(&[[8, 7, 5].into()]).unwrap(), [4, 4, 5].into());
        assert_eq!(MaxPooling2D::default().output_shape(&[[7, 7, 64].into()]).unwrap(), [3, 3, 64].into());
        refuses(MaxPooling2D::default(), &[[1, 7, 64].into()], &["2x2", "(1, 7, 64)"]);
        let wide = |padding| MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Explicit(padding));
        assert_eq!(wide([[1, 1], [0, 1]]).output_shape(&[[8, 7, 5].into()]).unwrap(), [4, 3, 5].into());
        assert_eq!(wide([[2, 2], [0, 0]]).output_shape(&[[8, 7, 5].into()]).unwrap(), [5, 3, 5].into());
        refuses(wide([[3, 0], [0, 0]]), &[[8, 7, 5].into()], &["(8, 7, 5)", "3x3", "[[3, 0], [0, 0]]"]);
        refuses(wide([[0, 0], [0, 5]]), &[[8, 8, 5].into()], &["do not fit"]);
        refuses(wide([[usize::MAX, 0], [0, 0]]), &[[8, 8, 5].into()], &["do not fit"]);
        refuses(wide([[2, usize::MAX], [0, 0]]), &[[8, 8, 5].into()], &["do not fit"]);
    }

    #[test]
    fn odd_windows() {
        let odd = |padding| AveragePooling2D { count_include_pad: true, ceil_mode: true, ..windows(padding) };
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit([[1, 2], [0, 1]])] {
            check_layer(odd(padding), &[[6, 8, 5].into()]);
            check_layer(AveragePooling2D { dilation: [2, 1], ..odd(padding) }, &[[6, 8, 5].into()]);
            check_layer(AveragePooling2D { divisor_override: Some(5), ..windows(padding) }, &[[6, 8, 5].into()]);
            let max = MaxPooling2D::new([3, 2]).strides([2, 3]).padding(padding);
            check_layer(MaxPooling2D { ceil_mode: true, ..max.clone() }, &[[6, 8, 5].into()]);
            check_layer(MaxPooling2D { dilation: [2, 3], ..max }, &[[6, 8, 5].into()]);
        }
        refuses(
            AveragePooling2D { divisor_override: Some(0), ..Default::default() },
            &[[6, 8, 5].into()],
            &["divisor"],
        );
        refuses(MaxPooling2D { dilation: [0, 1], ..Default::default() }, &[[6, 8, 5].into()], &["dilation"]);
        let far = Padding::Explicit([[1, 1], [0, 0]]);
        let lost = MaxPooling2D { dilation: [4, 1], ..MaxPooling2D::new([2, 1]).padding(far) };
        refuses(lost, &[[3, 8, 5].into()], &["nothing but padding"]);
    }

    fn windows(padding: Padding) -> AveragePooling2D {
        AveragePooling2D::new([3, 2]).strides([2, 3]).padding(padding)
    }

    #[test]
    fn a_plain_pooling_is_stored_as_ever() {
        let stored = serde_json::to_string(&AveragePooling2D::default()).unwrap();
        assert_eq!(stored, r#"{"pool_size":[2,2],"strides":[2,2],"padding":"valid"}"#);
        assert_eq!(serde_json::from_str::<AveragePooling2D>(&stored).unwrap(), AveragePooling2D::default());
        let odd = MaxPooling2D { dilation: [2, 1], ceil_mode: true, ..Default::default() };
        assert_eq!(serde_json::from_str::<MaxPooling2D>(&serde_json::to_string(&odd).unwrap()).unwrap(), odd);
    }

    #[test]
    fn padding_never_wins() {
        let layer = MaxPooling2D::new([2, 2]).padding(Padding::Explicit([[1, 1], [1, 1]]));
        let network = Network::sequential("one_layer", [2, 2, 1], [layer.into()], 1).unwrap();
        let mut plan = Plan::builder(&network).build().unwrap();
        plan.input_mut().copy_from_slice(&[-4.0, -3.0, -2.0, -1.0]);
        plan.forward(&network).unwrap();
        assert_eq!(plan.output(0), [-4.0, -3.0, -2.0, -1.0]);
    }
}
