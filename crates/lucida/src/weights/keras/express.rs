//! A network in the layers and names that Keras has.
//!
//! Keras's convolutions and poolings know the borders `valid` and `same` alone. One of a number of pixels on each side,
//! as PyTorch has, becomes a `ZeroPadding2D` of its own before the layer. Convolutions have zeros in their border
//! anyway. Max pooling has minus infinity there, to which zeros come to the same where no value is below zero, as after
//! a ReLU: every window reaches a value, which is then the maximum or equal to the border. Average pooling leaves its
//! border out of the mean, which zeros cannot say. What a transposed convolution cuts off becomes a `Cropping2D` after it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use crate::nn::layers::{
    BorderValue, Conv1DTranspose, Cropping1D, Cropping2D, ExplicitBorder, ZeroPadding1D, ZeroPadding2D,
};
use crate::nn::{Layer, Network, Node, Shape};
use crate::{Error, Result};

/// The network that Keras computes the same with. Names that Keras does not allow are changed: a `/` becomes a `_`.
///
/// # Errors
/// [`Error::Unsupported`] names the layer that Keras has no counterpart for.
pub(in crate::weights) fn expressible<'a>(network: &'a Network, path: &Path) -> Result<Cow<'a, Network>> {
    let fits = |node: &Node| {
        let layer = node.layer();
        layer.explicit_border().is_none() && uncropped(layer).is_none() && !node.name().contains('/')
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
    // Of each node: the one that has its weights.
    let mut layers = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let name =
            if node.name().contains('/') { free_name(node.name().replace('/', "_")) } else { node.name().into() };
        let mut inputs: Vec<usize> = node.inputs().iter().map(|&input| places[input]).collect();
        let mut layer = node.layer().clone();
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
        let cropping = uncropped(&layer).map(|(whole, cropping)| {
            layer = whole;
            (free_name(format!("{name}_crop")), cropping)
        });
        let first = network.first_call(layers.len());
        let place = match layers.get(first) {
            Some(&called) => builder.add_shared(name, called, &inputs)?,
            None => builder.add_named(name, layer, &inputs)?,
        };
        layers.push(place);
        places.push(match cropping {
            Some((name, cropping)) => builder.add_named(name, cropping, &[place])?,
            None => place,
        });
    }
    let outputs: Vec<usize> = network.outputs().iter().map(|&output| places[output]).collect();
    let mut expressed = builder.build_zeroed(&outputs)?;
    // The layers with weights are the same ones in the same order, under perhaps other names.
    for (to, from) in expressed.weights_mut().iter_mut().zip(network.weights()) {
        to.values_mut().copy_from_slice(from.values());
        to.set_trainable(from.trainable());
    }
    Ok(Cow::Owned(expressed))
}

/// Zeros around an input of this shape, on each side.
fn padded(padding: [[usize; 2]; 2], input: &Shape) -> Layer {
    let layer = ZeroPadding2D { padding };
    if input.as_image().is_some() { layer.into() } else { ZeroPadding1D::new(layer).into() }
}

/// A transposed convolution that cuts off a border which Keras cannot say: without it, and what crops the border.
fn uncropped(layer: &Layer) -> Option<(Layer, Layer)> {
    match layer {
        Layer::Conv2DTranspose(layer) => {
            let (whole, border) = layer.uncropped()?;
            Some((whole.into(), Cropping2D::new(border).into()))
        }
        Layer::Conv1DTranspose(layer) => {
            let (whole, border) = layer.layer.uncropped()?;
            Some((Conv1DTranspose::new(whole).into(), Cropping1D::new(Cropping2D::new(border)).into()))
        }
        _ => None,
    }
}

/// Whether zeros around the input are the same as the layer's own border. `below_zero` is the layer before it, if its
/// values may be less than zero.
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

/// For each layer, whether none of its values can be below zero.
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
    use crate::nn::layers::{
        Activation, ActivationKind, AveragePooling2D, Conv2D, Conv2DTranspose, MaxPooling2D, Padding,
    };

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
        // What Keras has already stays as it is.
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
