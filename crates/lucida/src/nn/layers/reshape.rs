//! Changes the shape, without moving values.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec, one_input};
use crate::nn::Shape;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer, OnnxValues};
use crate::nn::op::{Op, OpConfig};

/// Maximum rank of an output: a file with more axes is considered damaged.
const MAX_RANK: usize = 16;

/// The values of the input, in order, with another shape.
///
/// ```
/// use lucida::nn::layers::Reshape;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("image", [784]).add(Reshape::new([28, -1, 1])).build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [28, 28, 1]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape {
    /// The sizes without the batch axis; one of them may be -1, and is inferred.
    pub target_shape: Vec<i64>,
}

impl Reshape {
    /// Reshapes to these sizes, without the batch axis.
    pub fn new(target_shape: impl Into<Vec<i64>>) -> Self {
        Self { target_shape: target_shape.into() }
    }

    fn target(&self, len: usize) -> Option<Shape> {
        let known = self.target_shape.iter().filter(|&&size| size != -1);
        let known = known.map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>()?;
        let product = known.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
        let open = self.target_shape.len() - known.len();
        if product == 0 || open > 1 || self.target_shape.is_empty() || self.target_shape.len() > MAX_RANK {
            return None;
        }
        let left = len / product;
        let size = |&size: &i64| usize::try_from(size).unwrap_or(left);
        let sizes: Vec<usize> = self.target_shape.iter().map(size).collect();
        (left * product == len && (open == 1 || left == 1)).then(|| sizes.as_slice().into())
    }
}

impl LayerSpec for Reshape {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        self.target(input.len()).ok_or_else(|| format!("{input} cannot become {:?}", self.target_shape))
    }

    fn is_view(&self, _training: bool) -> bool {
        true
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        let output = self.target(inputs[0].len());
        // Flattening preserves positions.
        let flat = output.as_ref().is_some_and(|output| output.as_flat().is_some());
        if flat || output.as_ref() == Some(&inputs[0]) { Extent::Same } else { Extent::Whole }
    }

    fn keeps_sign(&self) -> bool {
        true
    }

    fn only_resamples(&self) -> bool {
        true
    }

    fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
        unreachable!("a view computes nothing")
    }
}

impl BuiltInLayer for Reshape {
    const KERAS_CLASSES: &'static [&'static str] = &["Reshape"];

    /// Operations that add or remove axes of size 1.
    const KERAS_ALIASES: &'static [&'static str] = &["Squeeze", "ExpandDims"];

    /// The layer, or the operation `keras.ops.reshape`, whose sizes include the batch.
    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        if class != "Reshape" {
            return with_axes(class, config);
        }
        let operation = config.get("newshape").is_some();
        let value = config.required(if operation { "newshape" } else { "target_shape" })?;
        // Some versions write an open size as null.
        let size = |value: &Value| if value.is_null() { Some(-1) } else { value.as_i64() };
        let sizes: Option<Vec<i64>> = value.as_array().and_then(|sizes| sizes.iter().map(size).collect());
        match sizes.as_deref() {
            Some([-1, sizes @ ..]) if operation && !sizes.contains(&-1) => Ok(Self::new(sizes).into()),
            Some(sizes) if !operation => Ok(Self::new(sizes).into()),
            _ => Err(format!("a shape of {} is not supported", short(value))),
        }
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({ "target_shape": self.target_shape }))
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        let target = self.target(layer.shapes[0].len());
        let target = target.as_ref().map_or(&[][..], Shape::sizes);
        let input = channels_last(layer);
        // Zero keeps the batch size.
        let sizes: Vec<i64> = std::iter::once(0).chain(target.iter().map(|&size| size as i64)).collect();
        let sizes = layer.constant("shape", &[sizes.len()], OnnxValues::Ints(sizes));
        if target.len() == 3 {
            let reshaped = layer.intermediate("reshaped", "Reshape", vec![input, sizes], vec![]);
            layer.result("Transpose", vec![reshaped], vec![("perm", OnnxAttribute::ints([0, 3, 1, 2]))]);
        } else {
            layer.result("Reshape", vec![input, sizes], vec![]);
        }
    }
}

/// Reads `Squeeze` and `ExpandDims`, whose axes include the batch.
fn with_axes(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
    let value = config.required("axis")?;
    let axes: Option<Vec<i64>> = match value.as_i64() {
        Some(axis) => Some(vec![axis]),
        None => serde_json::from_value(value.clone()).ok(),
    };
    let bad = || format!("axis {} is not supported", short(value));
    let mut sizes: Vec<i64> = config.input_shape().sizes().iter().map(|&size| size as i64).collect();
    let rank = sizes.len() as i64 + if class == "Squeeze" { 1 } else { 2 };
    let place = |axis: i64| usize::try_from(if axis < 0 { axis + rank - 1 } else { axis - 1 }).ok();
    let mut places = axes.and_then(|axes| axes.into_iter().map(place).collect::<Option<Vec<_>>>()).ok_or_else(bad)?;
    places.sort_unstable();
    places.dedup();
    match places[..] {
        [place] if class == "ExpandDims" && place <= sizes.len() => sizes.insert(place, 1),
        _ if class == "Squeeze" && places.iter().all(|&place| sizes.get(place) == Some(&1)) => {
            for &place in places.iter().rev() {
                sizes.remove(place);
            }
        }
        _ => return Err(bad()),
    }
    if sizes.is_empty() { Err(bad()) } else { Ok(Reshape::new(sizes).into()) }
}

/// The input with channels last, as in the network: ONNX's images have channels first.
pub(super) fn channels_last(layer: &mut OnnxLayer) -> String {
    let input = layer.input();
    match layer.shapes[0].as_image() {
        Some(_) => layer.intermediate(
            "channels_last",
            "Transpose",
            vec![input],
            vec![("perm", OnnxAttribute::ints([0, 2, 3, 1]))],
        ),
        None => input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, refuses};

    #[test]
    fn gradients_and_shapes() {
        check_layer(Reshape::new([4, -1]), &[[2, 3, 4].into()]);
        check_layer(Reshape::new([2, 3, 4]), &[[24].into()]);
        let shape = |target: &[i64]| Reshape::new(target).output_shape(&[[2, 3, 4].into()]).unwrap();
        assert_eq!(shape(&[-1]), [24].into());
        assert_eq!(shape(&[6, -1, 1, 2]), [6, 2, 1, 2].into());
        for bad in [&[5, -1][..], &[-1, -1], &[23], &[], &[0, -1], &[-2, -12], &[i64::MAX, i64::MAX]] {
            refuses(Reshape::new(bad), &[[2, 3, 4].into()], &["(2, 3, 4)", &format!("{bad:?}")]);
        }
    }
}
