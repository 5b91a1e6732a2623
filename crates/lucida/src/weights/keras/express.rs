//! Converting a network to layers and names that Keras supports.
//!
//! Keras's convolutions and poolings only support the paddings `valid` and `same`. Explicit padding, as in PyTorch, becomes
//! a `ZeroPadding2D` before the layer. For convolutions, this is exact. Max pooling pads with minus infinity, to which
//! zeros are equivalent if no value is negative, as after a ReLU: every window contains a value, so the maximum is the
//! same. Average pooling excludes its padding from the mean, which zeros cannot express. The cropping of a transposed
//! convolution becomes a `Cropping2D` after it.
//!
//! Layers that Keras accepts but cannot run are also replaced: see [`Expression`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use crate::nn::layers::{
    AxisSlice, BorderValue, Conv1DTranspose, Conv2D, Cropping1D, Cropping2D, ExplicitBorder, MatMul, Padding, Permute,
    Slice, Take, ZeroPadding1D, ZeroPadding2D,
};
use crate::nn::{Layer, Network, Node, Shape};
use crate::{Error, Result};

/// An equivalent network for Keras. Names that Keras does not allow are changed: a `/` becomes a `_`.
///
/// # Errors
/// [`Error::Unsupported`] names the layer that Keras has no counterpart for.
pub(in crate::weights) fn expressible<'a>(network: &'a Network, path: &Path) -> Result<Cow<'a, Network>> {
    let fits = |node: &Node| {
        let layer = node.layer();
        let shapes = shapes_of(network, node);
        layer.explicit_border().is_none() && Expression::of(layer, &shapes).is_none() && !node.name().contains('/')
    };
    if network.nodes().iter().all(fits) {
        return Ok(Cow::Borrowed(network));
    }
    let not_below_zero = not_below_zero(network);
    let mut names: HashSet<String> = network.nodes().iter().map(|node| node.name().to_owned()).collect();
    let mut free_name = |wanted: String| {
        let numbered = (1..).map(|number| format!("{wanted}_{number}"));
        let name = std::iter::once(wanted.clone()).chain(numbered).find(|name| !names.contains(name));
        let name = name.unwrap_or(wanted);
        names.insert(name.clone());
        name
    };
    let mut builder = Network::builder(network.name());
    let mut places = Vec::with_capacity(network.nodes().len());
    // For each node, the one that has its weights.
    let mut layers = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let name =
            if node.name().contains('/') { free_name(node.name().replace('/', "_")) } else { node.name().into() };
        let mut inputs: Vec<usize> = node.inputs().iter().map(|&input| places[input]).collect();
        let mut layer = node.layer().clone();
        let mut after = Vec::new();
        if let Some(expression) = Expression::of(&layer, &shapes_of(network, node)) {
            layer = expression.layer;
            after = expression.after;
            for (input, before) in expression.before {
                let name = free_name(format!("{name}_part"));
                inputs[input] = builder.add_named(name, before, &[inputs[input]])?;
            }
        }
        if let Some(border) = layer.explicit_border() {
            let below_zero = node.inputs().iter().find(|&&input| !not_below_zero[input]);
            let below_zero = below_zero.map(|&input| network.nodes()[input].name());
            check_border(&border, below_zero).map_err(|problem| {
                Error::Unsupported(format!("{}: layer {}: {problem}", path.display(), node.name()))
            })?;
            let name = free_name(format!("{name}_pad"));
            inputs = vec![builder.add_named(name, padded(border.padding, builder.shape(inputs[0])), &inputs)?];
            layer = border.without;
        }
        let first = network.first_call(layers.len());
        let place = match layers.get(first) {
            Some(&called) => builder.add_shared(name, called, &inputs)?,
            None => builder.add_named(name, layer, &inputs)?,
        };
        layers.push(place);
        let mut end = place;
        for (suffix, layer) in after {
            end = builder.add_named(free_name(format!("{}_{suffix}", builder.node(place).name())), layer, &[end])?;
        }
        places.push(end);
    }
    let outputs: Vec<usize> = network.outputs().iter().map(|&output| places[output]).collect();
    Ok(Cow::Owned(with_weights(builder.build_zeroed(&outputs)?, network)))
}

/// Copies the weights: the layers with weights are the same, in the same order, possibly renamed.
fn with_weights(mut expressed: Network, network: &Network) -> Network {
    for (to, from) in expressed.weights_mut().iter_mut().zip(network.weights()) {
        to.values_mut().copy_from_slice(from.values());
        to.set_trainable(from.trainable());
    }
    expressed
}

/// Zero padding for an input of this shape.
fn padded(padding: [[usize; 2]; 2], input: &Shape) -> Layer {
    let layer = ZeroPadding2D { padding };
    if input.as_image().is_some() { layer.into() } else { ZeroPadding1D::new(layer).into() }
}

fn shapes_of(network: &Network, node: &Node) -> Vec<Shape> {
    node.inputs().iter().map(|&input| network.nodes()[input].shape().clone()).collect()
}

/// An equivalent sequence for a layer that Keras does not support directly.
struct Expression {
    /// Layers before it, each with the index of the input that it applies to.
    before: Vec<(usize, Layer)>,
    layer: Layer,
    /// Layers after it, with the suffixes of their names.
    after: Vec<(&'static str, Layer)>,
}

impl Expression {
    /// The sequence for a layer with inputs of these shapes, if it needs one.
    fn of(layer: &Layer, shapes: &[Shape]) -> Option<Self> {
        let after =
            |layer: Layer, suffix, after: Layer| Some(Self { before: vec![], layer, after: vec![(suffix, after)] });
        match layer {
            // Keras does not support explicit cropping here.
            Layer::Conv2DTranspose(layer) => {
                let (whole, border) = layer.uncropped()?;
                after(whole.into(), "crop", Cropping2D::new(border).into())
            }
            Layer::Conv1DTranspose(layer) => {
                let (whole, border) = layer.layer.uncropped()?;
                after(Conv1DTranspose::new(whole).into(), "crop", Cropping1D::new(Cropping2D::new(border)).into())
            }
            // Keras supports either strides or dilation: compute every position, then subsample.
            Layer::Conv2D(conv) => {
                let padding = unstrided(conv, shapes)?;
                after(conv.clone().strides([1, 1]).padding(padding).into(), "strides", every(conv.strides).into())
            }
            Layer::Pad2D(pad) => {
                let [height, width, _] = shapes.first()?.as_image()?;
                if pad.is_of_keras([height, width]) {
                    return None;
                }
                let [rows, columns] = pad.gathered([height, width])?;
                let before = vec![(0, Take::new(0, rows).into())];
                Some(Self { before, layer: Take::new(1, columns).into(), after: vec![] })
            }
            Layer::MatMul(product) => of_product(*product, shapes),
            _ => None,
        }
    }
}

/// Keras's `Dot` multiplies two matrices or two vectors; its `matmul` supports any shapes, but no transposition.
fn of_product(product: MatMul, shapes: &[Shape]) -> Option<Expression> {
    let dot = MatMul { transpose_a: true, transpose_b: false };
    let rank = |shape: &Shape| shape.sizes().len();
    if shapes.iter().all(|shape| rank(shape) == 1) {
        return (product != dot).then(|| Expression { before: vec![], layer: dot.into(), after: vec![] });
    }
    if product == MatMul::new() || shapes.iter().all(|shape| rank(shape) == 2) {
        return None;
    }
    let flags = [product.transpose_a, product.transpose_b];
    let swapped = |(input, shape): (usize, &Shape)| {
        let mut dims: Vec<usize> = (1..=rank(shape)).collect();
        let last = dims.len().checked_sub(1)?;
        dims.swap(last.checked_sub(1)?, last);
        flags[input].then(|| (input, Permute::new(dims).into()))
    };
    let before = shapes.iter().enumerate().filter_map(swapped).collect();
    Some(Expression { before, layer: MatMul::new().into(), after: vec![] })
}

/// The padding for a convolution without its strides, if it has both strides and dilation.
fn unstrided(conv: &Conv2D, shapes: &[Shape]) -> Option<Padding> {
    let Conv2D { strides, dilation_rate: dilation, kernel_size: kernel, padding, .. } = *conv;
    if strides == [1, 1] || dilation == [1, 1] {
        return None;
    }
    let image = shapes.first()?.as_image()?;
    let mut border = [[0; 2]; 2];
    for axis in 0..2 {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        let (before, output) = padding.resolve_zeros(axis, image[axis], reach, strides[axis])?;
        let after = ((output - 1) * strides[axis] + reach).saturating_sub(before + image[axis]);
        border[axis] = [before, after];
    }
    Some(if border == [[0; 2]; 2] { Padding::Valid } else { Padding::Explicit(border) })
}

/// Subsamples the rows and columns of an image.
fn every(strides: [usize; 2]) -> Slice {
    Slice::new(strides.map(|step| AxisSlice::Range { start: None, stop: None, step: step as i64 }))
}

/// Whether zeros around the input are equivalent to the layer's own padding. `below_zero` is the previous layer, if its
/// values may be negative.
fn check_border(border: &ExplicitBorder, below_zero: Option<&str>) -> Result<(), String> {
    let padding = border.padding;
    match (border.value, below_zero) {
        (BorderValue::LeftOut, _) => Err(format!(
            "averages without its border of {padding:?} pixels; Keras can do so for the border `same` alone, and zeros \
             before the layer would count"
        )),
        (BorderValue::NegativeInfinity, Some(before)) => Err(format!(
            "takes the maximum with a border of {padding:?} pixels; Keras can put only zeros there, which are the same \
             only after a ReLU or another layer without values below zero, and layer {before} may have some"
        )),
        (BorderValue::Zero, _) | (BorderValue::NegativeInfinity, None) => Ok(()),
    }
}

/// For each layer, whether its values are never negative.
fn not_below_zero(network: &Network) -> Vec<bool> {
    let mut found: Vec<bool> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let inputs = !node.inputs().is_empty() && node.inputs().iter().all(|&input| found[input]);
        let keeps_sign = inputs && node.layer().spec().keeps_sign();
        let kind = node.activation();
        found.push(kind.is_never_negative() || (keeps_sign && kind.keeps_sign()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Plan;
    use crate::nn::layers::{Activation, ActivationKind, AveragePooling2D, Conv2DTranspose, MaxPooling2D};

    const BORDER: Padding = Padding::Explicit([[1, 0], [1, 1]]);

    fn chain(layers: Vec<(&str, Layer)>) -> Network {
        let mut b = Network::builder("chain");
        let mut last = b.add(crate::nn::layers::Input::new([6, 7, 2]), &[]).unwrap();
        for (name, layer) in layers {
            last = b.add_named(name, layer, &[last]).unwrap();
        }
        b.build(&[last], 5).unwrap()
    }

    fn output(network: &Network) -> Vec<f32> {
        let mut plan = Plan::builder(network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 7919 % 101) as f32 - 50.0) / 25.0);
        plan.forward(network).unwrap();
        plan.output(0).to_vec()
    }

    fn pool() -> Layer {
        MaxPooling2D::new([3, 3]).strides([2, 2]).padding(BORDER).into()
    }

    #[test]
    fn what_a_transposed_convolution_cuts_off_is_cropped() {
        let layer = |output_padding| {
            let layer = Conv2DTranspose::new(3, [3, 4]).strides([2, 2]).padding(Padding::Explicit([[1, 1], [2, 1]]));
            layer.output_padding(output_padding).activation(ActivationKind::Tanh)
        };
        for output_padding in [[1, 1], [0, 1]] {
            let network = chain(vec![("up", layer(output_padding).into())]);
            let expressed = expressible(&network, Path::new("x.keras")).unwrap();
            let names: Vec<&str> = expressed.nodes().iter().map(Node::name).collect();
            assert_eq!(names, ["input_layer", "up", "up_crop"]);
            assert_eq!(output(&expressed), output(&network));
        }
    }

    /// Checks that the converted network has these layers and computes the same values.
    fn expressed_as(layers: Vec<(&str, Layer)>, expected: &[&str]) {
        let network = chain(layers);
        let expressed = expressible(&network, Path::new("x.keras")).unwrap();
        let classes: Vec<&str> = expressed.nodes().iter().skip(1).map(|node| node.layer().class_name()).collect();
        assert_eq!(classes, expected);
        for (got, expected) in output(&expressed).iter().zip(output(&network)) {
            assert!((got - expected).abs() < 1e-5, "{got}, not {expected}");
        }
        assert!(matches!(expressible(&expressed, Path::new("x.keras")).unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn borders_that_tensorflow_lacks_are_taken() {
        use crate::nn::layers::{Pad2D, PadMode};
        let pad = |mode, pixels| vec![("pad", Pad2D { padding: [[1, 2], [pixels, 1]], mode }.into())];
        expressed_as(pad(PadMode::Replicate, 1), &["Take", "Take"]);
        expressed_as(pad(PadMode::Circular, 1), &["Take", "Take"]);
        expressed_as(pad(PadMode::Reflect, 7), &["Take", "Take"]);
        expressed_as(pad(PadMode::Reflect, -1), &["Take", "Take"]);
        for mode in [PadMode::Reflect, PadMode::Symmetric, PadMode::Constant(0.5)] {
            expressed_as(pad(mode, 6), &["Pad2D"]);
        }
    }

    #[test]
    fn strides_go_with_no_dilation() {
        let conv = |padding| Conv2D::new(3, [3, 2]).strides([2, 2]).dilation_rate([2, 1]).padding(padding);
        expressed_as(vec![("conv", conv(Padding::Valid).into())], &["Conv2D", "Slice"]);
        expressed_as(vec![("conv", conv(Padding::Same).into())], &["ZeroPadding2D", "Conv2D", "Slice"]);
        let depthwise = crate::nn::layers::DepthwiseConv2D::new([3, 3]).strides([1, 2]);
        expressed_as(vec![("conv", depthwise.into())], &["DepthwiseConv2D"]);
        expressed_as(vec![("conv", Conv2D::new(3, [3, 3]).strides([1, 2]).into())], &["Conv2D"]);
    }

    #[test]
    fn products_of_lists_of_matrices_and_of_vectors() {
        let product = |shape: &[usize], layer: MatMul| {
            let mut b = Network::builder("product");
            let image = b.add(crate::nn::layers::Input::new([6, 7, 2]), &[]).unwrap();
            let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
            let parts = b.add(crate::nn::layers::Reshape::new(sizes), &[image]).unwrap();
            let end = b.add(layer, &[parts, parts]).unwrap();
            b.build(&[end], 5).unwrap()
        };
        let [plain, a, b] = [(false, false), (true, false), (false, true)]
            .map(|(transpose_a, transpose_b)| MatMul { transpose_a, transpose_b });
        for (shape, layer, expected) in [
            (&[84][..], plain, &["MatMul"][..]),
            (&[12, 7], a, &["MatMul"]),
            (&[3, 4, 7], a, &["Permute", "MatMul"]),
            (&[3, 4, 7], b, &["Permute", "MatMul"]),
        ] {
            let network = product(shape, layer);
            let expressed = expressible(&network, Path::new("x.keras")).unwrap();
            let classes: Vec<&str> = expressed.nodes().iter().skip(2).map(|node| node.layer().class_name()).collect();
            assert_eq!(classes, expected, "{shape:?}");
            assert_eq!(output(&expressed), output(&network), "{shape:?}");
            let class = expressed.nodes().last().unwrap().layer().keras_class();
            assert_eq!(class, if shape.len() == 3 { "Matmul" } else { "Dot" });
        }
    }

    #[test]
    fn borders_become_layers_where_zeros_say_the_same() {
        let relu: Layer = Activation::new(ActivationKind::Relu).into();
        let conv: Layer = Conv2D::new(3, [3, 3]).padding(BORDER).into();
        let network = chain(vec![("a/b", conv.clone()), ("a_b", relu), ("pool", pool())]);
        let path = Path::new("x.keras");
        let expressed = expressible(&network, path).unwrap();
        let names: Vec<&str> = expressed.nodes().iter().map(Node::name).collect();
        assert_eq!(names, ["input_layer", "a_b_1_pad", "a_b_1", "a_b", "pool_pad", "pool"]);
        assert!(expressed.nodes().iter().all(|node| node.layer().explicit_border().is_none()));
        assert_eq!(output(&expressed), output(&network));
        // A supported network is not changed.
        assert!(matches!(expressible(&expressed, path).unwrap(), Cow::Borrowed(_)));

        let refused = |layers, expected: &str| {
            let message = expressible(&chain(layers), path).unwrap_err().to_string();
            assert!(message.contains("x.keras: layer pool") && message.contains(expected), "{message}");
        };
        refused(vec![("conv", conv), ("pool", pool())], "layer conv may have some");
        let mean = AveragePooling2D::new([3, 3]).strides([2, 2]).padding(BORDER);
        refused(
            vec![("relu", Activation::new(ActivationKind::Relu).into()), ("pool", mean.into())],
            "averages without",
        );
    }
}
