//! Pooling: each output is the maximum, or the mean, of a window of its channel.

use lucida_kernels::{Cpu, Pool2dShape, PoolBackward, Pooling, average_pool2d_backward, max_pool2d_backward, pool2d};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::{BorderValue, BuiltInLayer, ExplicitBorder};
use super::padding::{Padding, onnx_window, resolve_window};
use super::spec::{Extent, FusingSpec, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig, ReluBefore};

macro_rules! pooling_layer {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $alias:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[must_use]
        pub struct $name {
            /// Height and width of a window.
            pub pool_size: [usize; 2],
            /// Vertical and horizontal stride.
            pub strides: [usize; 2],
            /// What happens at the border.
            #[serde(default)]
            pub padding: Padding,
        }

        impl $name {
            /// Windows of this size, side by side.
            pub fn new(pool_size: [usize; 2]) -> Self {
                Self { pool_size, strides: pool_size, padding: Padding::Valid }
            }

            /// With these strides.
            pub fn strides(self, strides: [usize; 2]) -> Self {
                Self { strides, ..self }
            }

            /// With this padding.
            pub fn padding(self, padding: Padding) -> Self {
                Self { padding, ..self }
            }

            fn shape(&self, [height, width, channels]: [usize; 3]) -> Result<Pool2dShape, String> {
                let (padding, output) =
                    resolve_window([height, width, channels], self.pool_size, self.strides, self.padding)?;
                let (pool, strides) = (self.pool_size, self.strides);
                Ok(Pool2dShape { height, width, channels, pool, strides, padding, output })
            }
        }

        impl Default for $name {
            /// Windows of 2x2 pixels, side by side.
            fn default() -> Self {
                Self::new([2, 2])
            }
        }

        impl LayerSpec for $name {
            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
                let shape = self.shape(one_image(inputs)?)?;
                Ok(Shape::image(shape.output[0], shape.output[1], shape.channels))
            }

            fn extent(&self, _inputs: &[Shape]) -> Extent {
                Extent::Windows { size: self.pool_size, strides: self.strides, dilation: [1, 1], padding: self.padding }
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

        impl FusingSpec for $name {
            fn fusible(&self) -> Fusible {
                // The gradient of a maximum that is not positive is dropped.
                let relu_before = if $kind == Pooling::Max { ReluBefore::OwnGradient } else { ReluBefore::No };
                Fusible { relu_before, ..Fusible::default() }
            }

            fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
                let input = config.inputs[0].as_image().expect("the shape rule accepts images only");
                let shape = self.shape(input).expect("the shape rule has accepted this input");
                Box::new(PoolingOp::new(config, fused.relu_before, $kind, shape))
            }
        }

        impl BuiltInLayer for $name {
            const KERAS_CLASSES: &'static [&'static str] = &[stringify!($name)];
            const KERAS_ALIASES: &'static [&'static str] = &[$alias];

            fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
                config.channels_last()?;
                let pool_size = config.sizes_or("pool_size", [2, 2])?;
                let strides = config.sizes_or("strides", pool_size)?;
                Ok(Self { pool_size, strides, padding: Padding::from_keras(config)? }.into())
            }

            fn to_keras(&self) -> Result<Value, String> {
                Ok(json!({
                    "pool_size": self.pool_size,
                    "strides": self.strides,
                    "padding": self.padding.to_keras()?,
                    "data_format": "channels_last",
                }))
            }

            fn explicit_border(&self) -> Option<ExplicitBorder> {
                let value = match $kind {
                    Pooling::Max => BorderValue::NegativeInfinity,
                    Pooling::Average => BorderValue::LeftOut,
                };
                let without = || self.clone().padding(Padding::Valid).into();
                self.padding.explicit().map(|padding| ExplicitBorder { padding, value, without: without() })
            }

            fn to_onnx(&self, layer: &mut OnnxLayer) {
                let mut attributes = onnx_window(layer.shapes[0], self.pool_size, self.strides, self.padding);
                let op = match $kind {
                    Pooling::Max => "MaxPool",
                    Pooling::Average => {
                        attributes.push(("count_include_pad", OnnxAttribute::Int(0)));
                        "AveragePool"
                    }
                };
                layer.result(op, layer.inputs.clone(), attributes);
            }
        }
    };
}

pooling_layer! {
    /// The maximum of each window, for each channel of `[height, width, channels]`.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// // Windows of 3x3 pixels that overlap: the stride is 2.
    /// let network = Sequential::new("pooled", [28, 28, 16]).add(MaxPooling2D::new([3, 3]).strides([2, 2])).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [13, 13, 16]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    MaxPooling2D, Pooling::Max, "MaxPool2D"
}

pooling_layer! {
    /// The mean of each window, for each channel of `[height, width, channels]`; padding does not count.
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
    AveragePooling2D, Pooling::Average, "AvgPool2D"
}

/// Pooling, ready to compute.
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

    /// Maximum: the gradient goes to the pixel that held the maximum (the first, if several do). Mean: to all pixels of
    /// the window in equal parts.
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
    fn padding_never_wins() {
        let layer = MaxPooling2D::new([2, 2]).padding(Padding::Explicit([[1, 1], [1, 1]]));
        let network = Network::sequential("one_layer", [2, 2, 1], [layer.into()], 1).unwrap();
        let mut plan = Plan::builder(&network).build().unwrap();
        plan.input_mut().copy_from_slice(&[-4.0, -3.0, -2.0, -1.0]);
        plan.forward(&network).unwrap();
        assert_eq!(plan.output(0), [-4.0, -3.0, -2.0, -1.0]);
    }
}
