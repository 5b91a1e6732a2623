//! The tensors of PyTorch's modules that correspond to the weights of a network.

use super::layout::Layout;
use crate::nn::layers::{Extent, shape_in_groups};
use crate::nn::{Layer, Network, Shape};

/// A tensor and the corresponding weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::weights) struct Entry {
    /// Its name: `features.0.weight`.
    pub(in crate::weights) name: String,
    /// Its possible shapes: first the one that is written, then equivalent ones by other writers.
    pub(in crate::weights) shapes: Vec<Vec<usize>>,
    /// The index of the weight in the network.
    pub(in crate::weights) weight: usize,
    pub(in crate::weights) layout: Layout,
}

/// The name of a layer's weight within its module.
fn leaf(weight: &str) -> &str {
    match weight.rsplit('/').next() {
        Some("kernel" | "gamma") => "weight",
        Some("beta") => "bias",
        // PyTorch has no separable convolution: two modules, with the most common names for them.
        Some("depthwise_kernel") => "depthwise.weight",
        Some("pointwise_kernel") => "pointwise.weight",
        Some("moving_mean") => "running_mean",
        Some("moving_variance") => "running_var",
        Some(name) => name,
        None => weight,
    }
}

/// All weights of a network as tensors of these modules, given as pairs of a node and its module's name.
///
/// # Errors
/// An incompatible layer.
pub(in crate::weights) fn entries(network: &Network, modules: &[(usize, String)]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::with_capacity(network.weights().len());
    let orders = orders(network);
    for (node, module) in modules {
        let layer = &network.nodes()[*node];
        let image = || match layer.inputs().first().map_or(Order::Plain, |&input| orders[input]) {
            Order::Plain => Ok(None),
            Order::Flattened(size) => Ok(Some(size)),
            Order::Joined(by) => Err(format!(
                "layer {} takes flattened images that layer {} has joined, which PyTorch orders otherwise; \
                 write the model as .onnx, or as .safetensors, which has all layers",
                layer.name(),
                network.nodes()[by].name()
            )),
        };
        for index in layer.weights() {
            let weight = &network.weights()[index];
            let shape = shape_in_groups(layer.layer(), weight);
            let mut shapes = vec![shape.clone()];
            let layout = match (layer.layer(), shape.as_slice()) {
                (_, &[height, width, channels, outputs]) => {
                    shapes = vec![vec![outputs, channels, height, width]];
                    if [height, width] == [1, 1] {
                        // Equivalent to a linear layer over the channels of each pixel.
                        let place = usize::from(!is_linear(network, module));
                        shapes.insert(place, vec![outputs, channels]);
                    }
                    Layout::Turned { outputs, channels, pixels: height * width }
                }
                (_, &[features, outputs]) => {
                    shapes = vec![vec![outputs, features]];
                    let [height, width] = image()?.unwrap_or([1, 1]);
                    let (pixels, channels) = (height * width, features / (height * width));
                    // Equivalent to a convolution over the whole image, as in timm.
                    shapes.push(vec![outputs, channels, height, width]);
                    Layout::Turned { outputs, channels, pixels }
                }
                // Broadcast over the pixels: a parameter of the block itself.
                (Layer::LayerScale(_), &[channels]) => {
                    shapes = vec![vec![channels, 1, 1], vec![channels]];
                    Layout::Same
                }
                // Normalization of a flattened image.
                (Layer::BatchNormalization(_), &[features]) => match image()? {
                    Some([height, width]) => {
                        let pixels = height * width;
                        Layout::Turned { outputs: 1, channels: features / pixels, pixels }
                    }
                    None => Layout::Same,
                },
                _ => Layout::Same,
            };
            let leaf = match (layer.layer(), leaf(weight.name())) {
                (Layer::SeparableConv2D(_), "bias") => "pointwise.bias",
                (_, leaf) => leaf,
            };
            let name = match layer.layer() {
                Layer::LayerScale(_) if module.ends_with("layer_scale") => module.clone(),
                _ => format!("{module}.{leaf}"),
            };
            entries.push(Entry { name, shapes, weight: index, layout });
        }
    }
    Ok(entries)
}

/// Whether a convolution is a linear layer in PyTorch, like two in each block of a ConvNeXt.
fn is_linear(network: &Network, module: &str) -> bool {
    let block = module.strip_suffix(".block.3").or_else(|| module.strip_suffix(".block.5"));
    block.is_some_and(|block| network.find(&format!("{block}.layer_scale")).is_ok())
}

/// The order of the values in a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Same as in PyTorch, or an image.
    Plain,
    /// A flattened image of this height and width.
    Flattened([usize; 2]),
    /// Several flattened images, concatenated by this layer.
    Joined(usize),
}

/// The order of the values in each layer's output.
fn orders(network: &Network) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::with_capacity(network.nodes().len());
    for (index, node) in network.nodes().iter().enumerate() {
        let inputs: Vec<Shape> = node.inputs().iter().map(|&input| network.nodes()[input].shape().clone()).collect();
        let before = node.inputs().first().map_or(Order::Plain, |&input| orders[input]);
        let same = node.inputs().iter().all(|&input| orders[input] == before);
        let spec = node.layer().spec();
        let order = match (spec.extent(&inputs), inputs.first().and_then(Shape::as_image)) {
            _ if node.shape().as_flat().is_none() => Order::Plain,
            // Flattened, unless each channel has a single value.
            (Extent::Same, Some([height, width, _])) if height * width > 1 => Order::Flattened([height, width]),
            (Extent::Same, Some(_)) => Order::Plain,
            (Extent::Same, None) => before,
            // A softmax depends on all values, but keeps their order.
            _ if spec.is_view(false) => before,
            (Extent::Joined { elementwise }, _) if same && (elementwise || before == Order::Plain) => before,
            (Extent::Joined { .. }, _) => Order::Joined(index),
            _ => Order::Plain,
        };
        orders.push(order);
    }
    orders
}
