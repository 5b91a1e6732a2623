//! Global pooling: one window over the whole image, with one output value per channel.

use lucida_kernels::{Pool2dShape, Pooling};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::pooling::PoolingOp;
use super::spec::{Extent, LayerSpec, one_image};
use crate::nn::Shape;
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Op, OpConfig};

macro_rules! global_pooling_layer {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $alias:literal, $operation:literal, $onnx:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct $name {
            /// Whether the output is an image of one pixel instead of a vector.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub keepdims: bool,
        }

        impl $name {
            /// Creates the layer with a vector as output.
            #[must_use]
            pub fn new() -> Self {
                Self { keepdims: false }
            }

            /// Creates the layer with an image of one pixel as output.
            #[must_use]
            pub fn keeping_dims() -> Self {
                Self { keepdims: true }
            }
        }

        impl LayerSpec for $name {
            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
                let [_, _, channels] = one_image(inputs)?;
                Ok(if self.keepdims { Shape::image(1, 1, channels) } else { Shape::flat(channels) })
            }

            fn extent(&self, _inputs: &[Shape]) -> Extent {
                Extent::Whole
            }

            fn keeps_sign(&self) -> bool {
                true
            }

            fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
                let [height, width, channels] =
                    config.inputs[0].as_image().expect("the shape rule accepts images only");
                Box::new(PoolingOp::new(config, false, $kind, Pool2dShape::global(height, width, channels)))
            }
        }

        impl BuiltInLayer for $name {
            const KERAS_CLASSES: &'static [&'static str] = &[stringify!($name)];
            const KERAS_ALIASES: &'static [&'static str] = &[$alias, $operation];

            /// Reads the layer, or an operation over the rows and columns of an image.
            fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
                config.channels_last()?;
                if class == $operation {
                    config.required("axis")?;
                    let spatial = [vec![1, 2], vec![-3, -2], vec![2, 1], vec![-2, -3]].map(Value::from);
                    config.must_be("axis", if config.rank() == 3 { &spatial } else { &[] })?;
                    config.must_be("initial", &[])?;
                }
                Ok(Self { keepdims: config.flag("keepdims", false)? }.into())
            }

            fn to_keras(&self) -> Result<Value, String> {
                Ok(json!({ "data_format": "channels_last", "keepdims": self.keepdims }))
            }

            /// ONNX keeps the spatial axes.
            fn to_onnx(&self, layer: &mut OnnxLayer) {
                if self.keepdims {
                    return layer.result($onnx, layer.inputs.clone(), vec![]);
                }
                let (pooled, flat) = (layer.free("pooled"), format!("{}/flat", layer.name));
                layer.graph.node(layer.name, $onnx, layer.inputs.clone(), &pooled, vec![]);
                let axis = vec![("axis", OnnxAttribute::Int(1))];
                layer.graph.node(&flat, "Flatten", vec![pooled], &layer.output, axis);
            }
        }
    };
}

global_pooling_layer! {
    /// The mean of each channel.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// // In place of a flattened image: the network takes images of any size.
    /// let network = Sequential::new("pooled", [7, 7, 512]).add(GlobalAveragePooling2D::new()).build(42)?;
    /// assert_eq!(network.output()?.shape().sizes(), [512]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    GlobalAveragePooling2D, Pooling::Average, "GlobalAvgPool2D", "Mean", "GlobalAveragePool"
}

global_pooling_layer! {
    /// The maximum of each channel.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("pooled", [1, 3, 1]).add(GlobalMaxPooling2D::new()).build(42)?;
    /// let mut plan = Plan::builder(&network).build()?;
    /// plan.input_mut().copy_from_slice(&[0.5, 2.0, 1.0]);
    /// plan.forward(&network)?;
    /// assert_eq!(plan.output(0), [2.0]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    GlobalMaxPooling2D, Pooling::Max, "GlobalMaxPool2D", "Max", "GlobalMaxPool"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        check_layer(GlobalAveragePooling2D::new(), &[[4, 5, 19].into()]);
        check_layer(GlobalMaxPooling2D::new(), &[[4, 5, 19].into()]);
        check_layer(GlobalMaxPooling2D::keeping_dims(), &[[4, 5, 19].into()]);
        check_layer(GlobalAveragePooling2D::keeping_dims(), &[[4, 5, 19].into()]);
        let kept = GlobalMaxPooling2D::keeping_dims().output_shape(&[[4, 5, 19].into()]).unwrap();
        assert_eq!(kept, [1, 1, 19].into());
        assert_eq!(GlobalMaxPooling2D::new().output_shape(&[[4, 5, 19].into()]).unwrap(), [19].into());
        refuses(GlobalAveragePooling2D::new(), &[[4].into()], &["an image", "(4)"]);
    }
}
