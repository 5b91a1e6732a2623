//! Transposed convolution.
//!
//! Each input pixel adds its value times the kernel to a window of the output: with strides `s`, and with `p` rows and
//! columns cropped at the top and left,
//!
//! ```text
//! Y[s y + i - p, s x + j - p, f] += sum over c of X[y, x, c] K[i, j, f, c],   from b[f]
//! ```
//!
//! This is the input gradient of a convolution from `Y` to `X` with the same kernel. So its own input gradient is that
//! convolution, `dX[y, x, c] = sum over i, j, f of dY[s y + i - p, s x + j - p, f] K[i, j, f, c]`, and `dK[i, j, f, c]` is
//! the sum over pixels of `dY[s y + i - p, s x + j - p, f] X[y, x, c]`.

use lucida_kernels::ops::{sum_rows, sum_rows_workspace};
use lucida_kernels::{Buffer, Conv2dGradients, Conv2dShape, Cpu};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::activation_kind::ActivationKind;
use super::built_in::BuiltInLayer;
use super::conv2d::{
    TRAINING_OPTIONS, are_ones, check_groups, glorot, is_one, kernel_and_bias, one, ones, onnx_dilations_and_groups,
    yes,
};
use super::padding::{Padding, dilated};
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig, OpStats};
use crate::nn::{Initializer, Shape, Weight, WeightSpec};

/// A transposed convolution ("deconvolution"), `[height, width, channels]` to a larger `[height, width, filters]`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("decoder", [7, 7, 16])
///     .add(Conv2DTranspose::new(8, [3, 3]).strides([2, 2]).padding(Padding::Same))
///     .build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [14, 14, 8]);
/// assert_eq!(network.weights()[0].shape(), [3, 3, 8, 16]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Conv2DTranspose {
    /// Output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride: rows and columns of the output between neighboring input pixels.
    #[serde(default = "ones")]
    pub strides: [usize; 2],
    /// How the output is cropped: not at all (`valid`); to `size * stride` pixels (`same`); or by these numbers of pixels,
    /// as in PyTorch.
    #[serde(default)]
    pub padding: Padding,
    /// Rows and columns added at the bottom and right. With `same` padding, Keras adds them to the smallest output that
    /// corresponds to the input size; without the option the output has `size * stride` pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_padding: Option<[usize; 2]>,
    /// Vertical and horizontal dilation.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation_rate: [usize; 2],
    /// Number of groups, each with its own filters: the kernel has `filters / groups` filters.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// The activation.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether to add a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The initializer of the kernel.
    #[serde(default = "glorot")]
    pub kernel_initializer: Initializer,
}

impl Conv2DTranspose {
    /// A transposed convolution with Keras's defaults: stride 1, no cropping, bias, no activation.
    pub fn new(filters: usize, kernel_size: [usize; 2]) -> Self {
        Self {
            filters,
            kernel_size,
            strides: ones(),
            padding: Padding::Valid,
            output_padding: None,
            dilation_rate: ones(),
            groups: 1,
            activation: ActivationKind::Linear,
            use_bias: true,
            kernel_initializer: glorot(),
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

    /// Sets the output padding.
    pub fn output_padding(self, output_padding: [usize; 2]) -> Self {
        Self { output_padding: Some(output_padding), ..self }
    }

    /// Sets the dilation: the distance between taps in rows and columns.
    pub fn dilation_rate(self, dilation_rate: [usize; 2]) -> Self {
        Self { dilation_rate, ..self }
    }

    /// Sets the number of groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Sets the activation.
    pub fn activation(self, activation: ActivationKind) -> Self {
        Self { activation, ..self }
    }

    /// Removes the bias.
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }

    /// For an axis of `size` pixels: the number of pixels cropped before the output, and the output's size.
    fn resolve(&self, axis: usize, size: usize, reach: usize) -> Option<(usize, usize)> {
        let (stride, added) = (self.strides[axis], self.output_padding.map(|added| added[axis]));
        let whole = size.checked_sub(1)?.checked_mul(stride)?.checked_add(reach)?;
        let (before, output) = match self.padding {
            Padding::Valid => (0, whole.checked_add(added.unwrap_or(stride.saturating_sub(reach)))?),
            Padding::Same => {
                let output = match added {
                    None => size.checked_mul(stride)?,
                    Some(added) => (whole - reach + reach % 2).checked_add(added)?,
                };
                (whole.saturating_sub(output) / 2, output)
            }
            Padding::Explicit(border) => {
                let [before, after] = border[axis];
                (before, whole.checked_add(added.unwrap_or(0))?.checked_sub(before)?.checked_sub(after)?)
            }
        };
        (output > 0 && stride > 0 && reach > 0).then_some((before, output))
    }

    /// The convolution from the output to the input.
    fn shape(&self, [height, width, channels]: [usize; 3]) -> Result<Conv2dShape, String> {
        if self.filters == 0 {
            return Err("a transposed convolution of 0 filters".into());
        }
        self.activation.check()?;
        check_groups(self.groups, channels, self.filters)?;
        let reach = dilated(self.kernel_size, self.dilation_rate)?;
        let (rows, columns) = (self.resolve(0, height, reach[0]), self.resolve(1, width, reach[1]));
        let Some(((top, out_height), (left, out_width))) = rows.zip(columns) else {
            return Err(format!(
                "a transposed convolution of {}x{} pixels with strides {:?} and padding {:?} leaves nothing of an input of {}",
                reach[0],
                reach[1],
                self.strides,
                self.padding,
                Shape::image(height, width, channels)
            ));
        };
        Ok(Conv2dShape {
            height: out_height,
            width: out_width,
            channels: self.filters,
            filters: channels,
            kernel: self.kernel_size,
            strides: self.strides,
            dilation: self.dilation_rate,
            groups: self.groups,
            padding: [top, left],
            output: [height, width],
        })
    }

    /// The range of input rows or columns that each output row or column depends on.
    fn sources(&self, shape: &Conv2dShape, axis: usize) -> Vec<std::ops::Range<usize>> {
        let (output, input) = ([shape.height, shape.width][axis], shape.output[axis]);
        let sources_of = |position: usize| {
            let tap = |tap: usize| (position + shape.padding[axis]).checked_sub(tap * shape.dilation[axis]);
            let taps = (0..shape.kernel[axis]).filter_map(tap);
            let reached = taps.filter(|at| at % shape.strides[axis] == 0).map(|at| at / shape.strides[axis]);
            let (mut first, mut end) = (input, 0);
            for at in reached.filter(|&at| at < input) {
                (first, end) = (first.min(at), end.max(at + 1));
            }
            first.min(end)..end
        };
        (0..output).map(sources_of).collect()
    }

    /// The equivalent padding and output padding of Keras, for any input size.
    ///
    /// # Errors
    /// A message if there are none.
    pub(crate) fn keras_border(&self) -> Result<(Padding, Option<[usize; 2]>), String> {
        const SIZE: usize = 9; // any: input and output grow by the same steps
        let resolved = |layer: &Self| {
            let reach = dilated(layer.kernel_size, layer.dilation_rate).ok()?;
            layer.resolve(0, SIZE, reach[0]).zip(layer.resolve(1, SIZE, reach[1]))
        };
        let wanted = resolved(self).ok_or("a window of no size")?;
        let given = self.output_padding.unwrap_or_default();
        let Padding::Explicit(border) = self.padding else { return Ok((self.padding, self.output_padding)) };
        let reach = dilated(self.kernel_size, self.dilation_rate)?;
        let of_valid = |axis: usize| given[axis].checked_sub(border[axis][1]);
        let of_same = |axis: usize| {
            let cut = border[axis][0].checked_add(border[axis][1])? + reach[axis] % 2;
            (reach[axis] + given[axis]).checked_sub(cut)
        };
        let pair = |of: &dyn Fn(usize) -> Option<usize>| Some([of(0)?, of(1)?]);
        let candidates = [
            (Padding::Valid, None),
            (Padding::Same, None),
            (Padding::Valid, pair(&of_valid)),
            (Padding::Same, pair(&of_same)),
        ];
        let same = |&(padding, output_padding): &(Padding, Option<[usize; 2]>)| {
            resolved(&Self { padding, output_padding, ..self.clone() }) == Some(wanted)
        };
        let problem = || format!("Keras has no transposed convolution that cuts off a border of {border:?} pixels");
        candidates.into_iter().find(same).ok_or_else(problem)
    }
}

impl Conv2DTranspose {
    /// The layer without cropping, and the cropping, if Keras has no equivalent padding.
    pub(crate) fn uncropped(&self) -> Option<(Self, [[usize; 2]; 2])> {
        let border = self.padding.explicit().filter(|_| self.keras_border().is_err())?;
        let output_padding = Some(self.output_padding.unwrap_or_default());
        Some((Self { padding: Padding::Valid, output_padding, ..self.clone() }, border))
    }
}

impl LayerSpec for Conv2DTranspose {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let shape = self.shape(one_image(inputs)?)?;
        Ok(Shape::image(shape.height, shape.width, shape.channels))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let [rows, columns] = self.kernel_size;
        let shape = vec![rows, columns, self.filters / self.groups, inputs[0].channels()];
        kernel_and_bias(shape, self.filters, self.use_bias, self.kernel_initializer)
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    /// With a stride of one it is a convolution with the rotated kernel; otherwise neighbors depend on different numbers of
    /// pixels.
    fn extent(&self, inputs: &[Shape]) -> Extent {
        let Some(Ok(shape)) = inputs[0].as_image().map(|image| self.shape(image)) else { return Extent::Whole };
        let reach = dilated(self.kernel_size, self.dilation_rate).unwrap_or(self.kernel_size);
        let border = [0, 1].map(|axis| {
            let before = (reach[axis] - 1).saturating_sub(shape.padding[axis]);
            let total = [shape.height, shape.width][axis] + reach[axis] - 1;
            [before, total.saturating_sub(shape.output[axis] + before)]
        });
        let padding = Padding::Explicit(border);
        let turned = |axis: usize| {
            let (before, output) = (border[axis][0], [shape.height, shape.width][axis]);
            self.strides[axis] == 1
                && before + shape.padding[axis] == reach[axis] - 1
                && padding.resolve_zeros(axis, shape.output[axis], reach[axis], 1) == Some((before, output))
        };
        if turned(0) && turned(1) {
            return Extent::Windows { size: self.kernel_size, strides: ones(), dilation: self.dilation_rate, padding };
        }
        Extent::UnevenWindows([self.sources(&shape, 0), self.sources(&shape, 1)])
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }
}

impl FusingSpec for Conv2DTranspose {
    fn fusible(&self) -> Fusible {
        Fusible { relu: true, ..Fusible::default() }
    }

    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let input = config.inputs[0].as_image().expect("the shape rule accepts images only");
        let shape = self.shape(input).expect("the shape rule has accepted this input");
        let (cpu, wanted) = (config.cpu, config.gradients);
        let gradients = Conv2dGradients { input: wanted.inputs, kernel: wanted.weights };
        let workspace = if wanted.weights { sum_rows_workspace(cpu, self.filters) } else { 0 };
        Box::new(TransposedConvolution {
            cpu,
            kernel: lucida_kernels::Conv2dTranspose::new(cpu, shape, config.batch, gradients, config.exact),
            use_bias: self.use_bias,
            relu: fused.relu(),
            grad_weights: wanted.weights,
            workspace: Buffer::zeroed(workspace),
        })
    }
}

/// A transposed convolution prepared to compute.
struct TransposedConvolution {
    cpu: Cpu,
    kernel: lucida_kernels::Conv2dTranspose,
    use_bias: bool,
    relu: bool,
    grad_weights: bool,
    workspace: Buffer,
}

impl Op for TransposedConvolution {
    fn set_weights(&mut self, weights: &[Weight]) {
        let [kernel, ..] = weights else { return };
        self.kernel.set_kernel(kernel.values());
    }

    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let bias = self.use_bias.then(|| pass.weights[1].values());
        self.kernel.forward(pass.batch, pass.inputs.get(0), bias, self.relu, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: self.grad_weights, output: false }
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        self.kernel.backward_input(pass.batch, pass.grad_output, grad_input, accumulate);
    }

    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let [kernel, bias @ ..] = gradients else { return };
        if !kernel.is_empty() {
            self.kernel.backward_kernel(pass.batch, pass.inputs.get(0), pass.grad_output, kernel);
        }
        if let Some(bias) = bias.first_mut().filter(|bias| !bias.is_empty()) {
            sum_rows(self.cpu, pass.grad_output, bias, &mut self.workspace);
        }
    }

    fn stats(&self) -> OpStats {
        let [forward, backward_input, backward_weights] = self.kernel.algorithms();
        let operations = self.kernel.operations();
        OpStats { forward, backward_input, backward_weights, operations, ..OpStats::default() }
    }
}

impl BuiltInLayer for Conv2DTranspose {
    const KERAS_CLASSES: &'static [&'static str] = &["Conv2DTranspose"];
    const KERAS_ALIASES: &'static [&'static str] = &["Convolution2DTranspose"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let [filters] = config.sizes("filters")?;
        config.channels_last()?;
        config.must_be("groups", &[Value::from(1)])?;
        let output_padding = match config.get("output_padding") {
            None => None,
            Some(_) => Some(config.sizes("output_padding")?),
        };
        let conv = Self {
            output_padding,
            use_bias: config.flag("use_bias", true)?,
            kernel_initializer: Initializer::from_keras(config, "kernel_initializer"),
            ..Self::new(filters, config.sizes("kernel_size")?)
                .strides(config.sizes_or("strides", [1, 1])?)
                .padding(Padding::from_keras(config)?)
                .dilation_rate(config.sizes_or("dilation_rate", [1, 1])?)
                .activation(ActivationKind::from_keras(config)?)
        };
        config.note(&TRAINING_OPTIONS);
        Ok(conv.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        if self.groups != 1 {
            return Err(format!("Keras has no transposed convolution in {} groups", self.groups));
        }
        if self.strides != [1, 1] && self.dilation_rate != [1, 1] {
            return Err("Keras has no transposed convolution with both strides and a dilation".into());
        }
        let (padding, output_padding) = self.keras_border()?;
        Ok(json!({
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": padding.to_keras()?,
            "output_padding": output_padding,
            "data_format": "channels_last",
            "dilation_rate": self.dilation_rate,
            "activation": self.activation.to_keras()?,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer.to_keras(),
        }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let image = layer.shapes[0].as_image().expect("the shape rule accepts images only");
        let shape = self.shape(image).expect("the shape rule has accepted this input");
        let reach = dilated(self.kernel_size, self.dilation_rate).unwrap_or(self.kernel_size);
        // Number of pixels cropped, or added, at the end.
        let ends = [0, 1].map(|axis| {
            let whole = (shape.output[axis] - 1) * self.strides[axis] + reach[axis];
            let reached = [shape.height, shape.width][axis] + shape.padding[axis];
            [whole.saturating_sub(reached), reached.saturating_sub(whole)]
        });
        let [top, left] = shape.padding;
        let mut attributes = vec![
            ("kernel_shape", OnnxAttribute::ints(self.kernel_size)),
            ("strides", OnnxAttribute::ints(self.strides)),
            ("pads", OnnxAttribute::ints([top, left, ends[0][0], ends[1][0]])),
        ];
        if ends.iter().any(|&[_, added]| added > 0) {
            attributes.push(("output_padding", OnnxAttribute::ints(ends.map(|[_, added]| added))));
        }
        attributes.extend(onnx_dilations_and_groups(self.dilation_rate, self.groups));
        layer.result("ConvTranspose", layer.inputs_and_weights(), attributes);
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        Some(&mut self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients() {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit([[1, 0], [2, 1]])] {
            check_layer(Conv2DTranspose::new(4, [3, 3]).padding(padding), &[[4, 5, 3].into()]);
            let strided = Conv2DTranspose::new(2, [3, 4]).padding(padding).strides([2, 3]);
            check_layer(strided.output_padding([1, 2]), &[[4, 3, 3].into()]);
            let spread = Conv2DTranspose::new(4, [2, 3]).padding(padding).dilation_rate([2, 3]).groups(2);
            check_layer(spread.without_bias(), &[[4, 5, 4].into()]);
        }
        check_layer(Conv2DTranspose::new(4, [3, 3]).groups(4).strides([2, 2]), &[[3, 4, 4].into()]);
        check_layer(Conv2DTranspose::new(3, [2, 1]).strides([3, 2]), &[[3, 2, 2].into()]);
        check_layer(Conv2DTranspose::new(3, [2, 2]).activation(ActivationKind::Tanh), &[[3, 4, 2].into()]);
    }

    #[test]
    fn shapes() {
        let size = |layer: Conv2DTranspose| layer.output_shape(&[[7, 8, 1].into()]).unwrap().sizes()[..2].to_vec();
        let three = || Conv2DTranspose::new(1, [3, 3]).strides([2, 2]);
        assert_eq!(size(three()), [15, 17]);
        assert_eq!(size(Conv2DTranspose::new(1, [1, 2]).strides([3, 3])), [21, 24]);
        assert_eq!(size(three().padding(Padding::Same)), [14, 16]);
        assert_eq!(size(three().padding(Padding::Same).output_padding([0, 1])), [13, 16]);
        assert_eq!(size(three().padding(Padding::Explicit([[1, 1]; 2])).output_padding([1, 0])), [14, 15]);
        refuses(Conv2DTranspose::new(0, [3, 3]), &[[9, 9, 1].into()], &["0 filters"]);
        refuses(Conv2DTranspose::new(2, [3, 3]).groups(3), &[[9, 9, 3].into()], &["3 groups", "2 filters"]);
        let cut = three().padding(Padding::Explicit([[9, 9], [1, 1]]));
        refuses(cut, &[[2, 9, 1].into()], &["leaves nothing", "(2, 9, 1)"]);
        refuses(three().output_padding([usize::MAX; 2]), &[[2, 9, 1].into()], &["leaves nothing"]);
    }

    #[test]
    fn keras_has_a_name_for_what_cuts_off_the_same() {
        let border = |layer: Conv2DTranspose| layer.keras_border().ok();
        let four = Conv2DTranspose::new(1, [4, 4]).strides([2, 2]).padding(Padding::Explicit([[1, 1]; 2]));
        assert_eq!(border(four), Some((Padding::Same, None)));
        let two = Conv2DTranspose::new(1, [2, 2]).strides([2, 2]).padding(Padding::Explicit([[0, 0]; 2]));
        assert_eq!(border(two), Some((Padding::Valid, None)));
        let three = Conv2DTranspose::new(1, [3, 3]).strides([2, 2]).padding(Padding::Explicit([[1, 1]; 2]));
        assert_eq!(border(three.clone()), Some((Padding::Same, Some([0, 0]))));
        assert_eq!(border(three.output_padding([1, 1])), None);
    }
}
