//! Which input channels a channel of a layer is computed from, and how strongly.
//!
//! The strength of an input channel is the norm of its kernel; for a dense layer, the absolute value of its weight. Layers
//! that compute each channel from the same channel of their input have strength one.

use lucida::nn::layers::{Activation, ActivationKind, Conv2D, DepthwiseConv2D, SeparableConv2D};
use lucida::nn::{Layer, Network};
use serde::Serialize;

use super::super::encoded::{Maps, floats};
use crate::activations::Activations;
use crate::problem::{Problem, Result};

/// How a channel is computed from its inputs, and so what their strengths are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Relation {
    /// By a convolution: the strengths are the norms of the kernels.
    Kernel,
    /// As a weighted sum: the absolute values of the weights.
    Weight,
    /// From the corresponding channel of each input: one for these channels.
    Same,
    /// From all channels: one for all.
    All,
}

/// The inputs of a channel.
#[derive(Debug, Serialize)]
pub(crate) struct ChannelInputs {
    pub(super) layer: String,
    pub(super) kind: &'static str,
    pub(super) channel: usize,
    pub(super) relation: Relation,
    pub(super) inputs: Vec<InputStrengths>,
    /// The strongest kernels, in descending order.
    pub(super) kernels: Vec<InputKernel>,
}

/// The strengths of all channels of an input layer, as 32-bit floats in Base64.
#[derive(Debug, Serialize)]
pub(crate) struct InputStrengths {
    pub(super) layer: String,
    pub(super) channels: usize,
    strengths: String,
    /// The sums of the kernels; their sign is whether an input raises or lowers the output.
    sums: String,
}

/// The kernel of an input channel, row by row.
#[derive(Debug, Serialize)]
pub(crate) struct InputKernel {
    pub(super) layer: String,
    pub(super) channel: usize,
    pub(super) strength: f32,
    sum: f32,
    rows: usize,
    columns: usize,
    kernel: Vec<f32>,
    /// The map of the input channel, if an image is given and the input is not a vector.
    map: Option<Maps>,
}

/// Side of the maps of strongest inputs.
const SIDE: usize = 40;

impl ChannelInputs {
    /// Adds the maps of the strongest inputs, from the layers `inputs`.
    pub(super) fn add_maps(&mut self, network: &Network, inputs: &[usize], activations: &Activations) {
        for kernel in &mut self.kernels {
            let node = inputs.iter().copied().find(|&input| network.nodes()[input].name() == kernel.layer);
            let Some(node) = node else { continue };
            let named = &network.nodes()[node];
            if named.shape().as_image().is_some_and(|[height, width, _]| height * width > 1) {
                let layer = (named.name(), named.layer().class_name());
                let part = [kernel.channel, 1, SIDE];
                kernel.map = Some(Maps::of_values(layer, named.shape(), activations.of(node), part));
            }
        }
    }
}

/// A channel of an input, by its number among the inputs of the layer.
pub(super) struct Feed {
    pub(super) input: usize,
    pub(super) channel: usize,
    /// Its kernel, `rows x columns`; a single weight for a dense layer.
    pub(super) kernel: Vec<f32>,
}

impl Feed {
    fn same(input: usize, channel: usize) -> Self {
        Self { input, channel, kernel: vec![1.0] }
    }

    fn sum(&self) -> f32 {
        self.kernel.iter().sum()
    }

    pub(super) fn strength(&self) -> f32 {
        self.kernel.iter().map(|value| value * value).sum::<f32>().sqrt()
    }
}

/// All inputs of a channel.
pub(super) struct Feeding {
    pub(super) relation: Relation,
    /// Rows and columns of a kernel.
    pub(super) size: [usize; 2],
    pub(super) feeds: Vec<Feed>,
}

/// Describes the inputs of a channel, with the `kernels` strongest kernels.
pub(super) fn channel_inputs(network: &Network, node: usize, channel: usize, kernels: usize) -> Result<ChannelInputs> {
    let named = &network.nodes()[node];
    let Feeding { relation, size, feeds } = feeding(network, node, channel)?;
    let input = |number: usize| &network.nodes()[named.inputs()[number]];
    let strengths = |number: usize| {
        let channels = input(number).shape().channels();
        let (mut strengths, mut sums) = (vec![0.0; channels], vec![0.0; channels]);
        for feed in feeds.iter().filter(|feed| feed.input == number) {
            (strengths[feed.channel], sums[feed.channel]) = (feed.strength(), feed.sum());
        }
        let layer = input(number).name().to_owned();
        InputStrengths { layer, channels, strengths: floats(&strengths), sums: floats(&sums) }
    };
    let inputs = (0..named.inputs().len()).map(strengths).collect();
    let mut strongest: Vec<&Feed> =
        if matches!(relation, Relation::Kernel | Relation::Weight) { feeds.iter().collect() } else { vec![] };
    strongest.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
    let kernel = |feed: &Feed| InputKernel {
        layer: input(feed.input).name().to_owned(),
        channel: feed.channel,
        strength: feed.strength(),
        sum: feed.sum(),
        rows: size[0],
        columns: size[1],
        kernel: feed.kernel.clone(),
        map: None,
    };
    Ok(ChannelInputs {
        layer: named.name().to_owned(),
        kind: named.layer().class_name(),
        channel,
        relation,
        inputs,
        kernels: strongest.into_iter().take(kernels).map(kernel).collect(),
    })
}

/// Returns the inputs of a channel: for a vector, of a unit.
pub(super) fn feeding(network: &Network, node: usize, channel: usize) -> Result<Feeding> {
    let named = &network.nodes()[node];
    let outputs = named.shape().channels();
    if channel >= outputs {
        let last = outputs.saturating_sub(1);
        return Err(Problem::not_found(format!("layer {} has channels 0 to {last}", named.name())));
    }
    let weights: Vec<&[f32]> = network.weights()[named.weights()].iter().map(|weight| weight.values()).collect();
    let channels = |input: usize| network.nodes()[named.inputs()[input]].shape().channels();
    let single = |relation, feeds| Feeding { relation, size: [1, 1], feeds };
    Ok(match named.layer() {
        Layer::Conv2D(conv) => of_convolution(conv, weights[0], [channels(0), outputs], channel),
        Layer::DepthwiseConv2D(conv) => of_depthwise(conv, weights[0], channels(0), channel),
        Layer::SeparableConv2D(conv) => of_separable(conv, weights[0], weights[1], [channels(0), outputs], channel),
        Layer::Dense(_) => {
            let feed = |input| Feed { input: 0, channel: input, kernel: vec![weights[0][input * outputs + channel]] };
            single(Relation::Weight, (0..channels(0)).map(feed).collect())
        }
        Layer::Concatenate(joined) if [-1, named.shape().sizes().len() as isize].contains(&joined.axis) => {
            let (mut input, mut place) = (0, channel);
            while place >= channels(input) {
                place -= channels(input);
                input += 1;
            }
            single(Relation::Same, vec![Feed::same(input, place)])
        }
        // The last axis of the input varies fastest.
        Layer::Flatten(_) => single(Relation::Same, vec![Feed::same(0, channel % channels(0))]),
        layer if keeps_channels(layer) => {
            let feed = |input| Feed::same(input, channel % channels(input));
            single(Relation::Same, (0..named.inputs().len()).map(feed).collect())
        }
        _ => {
            let all = |input| (0..channels(input)).map(move |channel| Feed::same(input, channel));
            single(Relation::All, (0..named.inputs().len()).flat_map(all).collect())
        }
    })
}

fn of_convolution(conv: &Conv2D, kernel: &[f32], [inputs, filters]: [usize; 2], filter: usize) -> Feeding {
    let [rows, columns] = conv.kernel_size;
    let per_group = inputs / conv.groups;
    let first = filter / (filters / conv.groups) * per_group;
    let values =
        |input| (0..rows * columns).map(move |at| kernel[(at * per_group + input) * filters + filter]).collect();
    let feeds = (0..per_group).map(|input| Feed { input: 0, channel: first + input, kernel: values(input) }).collect();
    Feeding { relation: Relation::Kernel, size: conv.kernel_size, feeds }
}

fn of_depthwise(conv: &DepthwiseConv2D, kernel: &[f32], inputs: usize, channel: usize) -> Feeding {
    let outputs = inputs * conv.depth_multiplier;
    let values = kernel.iter().skip(channel).step_by(outputs).copied().collect();
    let feed = Feed { input: 0, channel: channel / conv.depth_multiplier, kernel: values };
    Feeding { relation: Relation::Kernel, size: conv.kernel_size, feeds: vec![feed] }
}

/// The two convolutions of a separable one as a single one: the sum of the depthwise kernels, weighted by the pointwise
/// kernel.
fn of_separable(
    conv: &SeparableConv2D,
    depthwise: &[f32],
    pointwise: &[f32],
    [inputs, filters]: [usize; 2],
    filter: usize,
) -> Feeding {
    let (between, multiplier) = (inputs * conv.depth_multiplier, conv.depth_multiplier);
    let value = |at: usize, input: usize| {
        let middle = input * multiplier..(input + 1) * multiplier;
        middle.map(|middle| depthwise[at * between + middle] * pointwise[middle * filters + filter]).sum()
    };
    let [rows, columns] = conv.kernel_size;
    let kernel = |input| (0..rows * columns).map(|at| value(at, input)).collect();
    let feeds = (0..inputs).map(|input| Feed { input: 0, channel: input, kernel: kernel(input) }).collect();
    Feeding { relation: Relation::Kernel, size: conv.kernel_size, feeds }
}

/// Whether each channel is computed from the same channel of each input.
fn keeps_channels(layer: &Layer) -> bool {
    match layer {
        Layer::Activation(Activation { activation }) => {
            !matches!(activation, ActivationKind::Softmax | ActivationKind::LogSoftmax)
        }
        Layer::BatchNormalization(_)
        | Layer::MaxPooling2D(_)
        | Layer::AveragePooling2D(_)
        | Layer::GlobalAveragePooling2D(_)
        | Layer::GlobalMaxPooling2D(_)
        | Layer::AdaptiveAveragePooling2D(_)
        | Layer::AdaptiveMaxPooling2D(_)
        | Layer::Dropout(_)
        | Layer::SpatialDropout2D(_)
        | Layer::AlphaDropout(_)
        | Layer::GaussianDropout(_)
        | Layer::GaussianNoise(_)
        | Layer::StochasticDepth(_)
        | Layer::ZeroPadding2D(_)
        | Layer::Pad2D(_)
        | Layer::Cropping2D(_)
        | Layer::CenterCrop(_)
        | Layer::Resizing(_)
        | Layer::Resize(_)
        | Layer::UpSampling2D(_)
        | Layer::Rescaling(_)
        | Layer::LayerScale(_)
        | Layer::PReLU(_)
        | Layer::Power(_)
        | Layer::Add(_)
        | Layer::Subtract(_)
        | Layer::Multiply(_)
        | Layer::Divide(_)
        | Layer::Average(_)
        | Layer::Maximum(_)
        | Layer::Minimum(_) => true,
        _ => false,
    }
}
