//! The values of one operation: those that a channel of a layer is computed from, and what it is. The page computes each
//! position from them, step by step.

use lucida::nn::layers::{ActivationKind, BatchNormalization, Extent};
use lucida::nn::{Layer, Network, Node, Shape};
use serde::Serialize;

use super::super::encoded::floats;
use super::super::mechanics::activation_name;
use super::feeding::{Feed, Feeding, Relation, feeding};
use crate::activations::Activations;
use crate::problem::{Problem, Result};

/// The operation of a layer for one channel. Maps and vectors are 32-bit floats in Base64, row by row; a vector is a map with
/// a single row.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    layer: String,
    kind: &'static str,
    channel: usize,
    relation: Relation,
    /// Height and width of the output: the map of the channel, or a whole vector.
    size: [usize; 2],
    output: String,
    inputs: Vec<OperationInput>,
    /// Sliding windows: of convolution and pooling.
    window: Option<Window>,
    /// The kernel over the shown input channel; for a dense layer, the weights of all inputs.
    kernel: String,
    bias: f32,
    /// The activation at the end of the layer.
    activation: String,
    /// The values before that activation: a map; for a dense layer, the value of the unit, or of all units if the activation
    /// is softmax. `None` for other layers.
    sums: Option<String>,
    /// The sum over the window of each input channel, at the position asked for.
    channel_sums: Option<Vec<f64>>,
    normalization: Option<Normalization>,
}

/// A channel of an input layer, or a whole vector.
#[derive(Debug, Serialize)]
struct OperationInput {
    layer: String,
    channel: usize,
    channels: usize,
    size: [usize; 2],
    values: String,
}

/// The windows of a convolution or pooling, as [rows, columns].
#[derive(Debug, Clone, Copy, Serialize)]
struct Window {
    size: [usize; 2],
    strides: [usize; 2],
    dilation: [usize; 2],
    /// Rows of padding at the top, and columns at the left.
    padding: [usize; 2],
}

/// The parameters of a batch normalization for one channel.
#[derive(Debug, Serialize)]
struct Normalization {
    gamma: f32,
    beta: f32,
    mean: f32,
    variance: f32,
    epsilon: f32,
}

impl Operation {
    /// Describes the computation of a channel. `input` is the input channel to show, by default the one with the strongest
    /// kernel; `at` is the position whose sums of all input channels are wanted.
    pub(super) fn of(
        network: &Network,
        activations: &Activations,
        node: usize,
        channel: usize,
        input: Option<usize>,
        at: Option<[usize; 2]>,
    ) -> Result<Self> {
        let named = &network.nodes()[node];
        let fed = feeding(network, node, channel)?;
        let shown = shown_inputs(&fed, input)?;
        let reads: Vec<usize> = named.inputs().to_vec();
        let (size, output) = map_of(named.shape(), activations.of(node), channel);
        if let Some([row, column]) = at.filter(|at| (0..2).any(|axis| at[axis] >= size[axis])) {
            let [height, width] = size;
            return Err(Problem::invalid(format!("{row},{column} is not a position of an output of {height}x{width}")));
        }
        let window = window(network, named);
        let activation = named.layer().spec().activation();
        let bias = bias(network, named, channel);
        let from = |number: usize| activations.of(reads[number]);
        let convolution = window.filter(|_| fed.relation == Relation::Kernel).map(|window| {
            let source = network.nodes()[reads[0]].shape();
            Convolution { window, input: source.as_image().unwrap_or_default(), values: from(0), feeds: &fed.feeds }
        });
        let is_dense =
            matches!(named.layer(), Layer::Dense(_)) && network.nodes()[reads[0]].shape().as_flat().is_some();
        let sums = match &convolution {
            Some(convolution) => Some(convolution.sums(size, bias)),
            None if is_dense => {
                let unit = (activation != ActivationKind::Softmax).then_some(channel);
                Some(dense_sums(network, named, from(0), unit))
            }
            None => None,
        };
        let channel_sums = convolution.zip(at).map(|(convolution, at)| convolution.channel_sums(at));
        let item =
            |feed: &Feed| OperationInput::of(&network.nodes()[reads[feed.input]], from(feed.input), feed.channel);
        let kernel = match fed.relation {
            Relation::Weight => fed.feeds.iter().map(|feed| feed.kernel[0]).collect(),
            Relation::Kernel => shown[0].kernel.clone(),
            _ => Vec::new(),
        };
        Ok(Self {
            layer: named.name().to_owned(),
            kind: named.layer().class_name(),
            channel,
            relation: fed.relation,
            size,
            output: floats(&output),
            inputs: shown.into_iter().map(item).collect(),
            window,
            kernel: floats(&kernel),
            bias,
            activation: activation_name(activation),
            sums: sums.map(|sums| floats(&sums)),
            channel_sums,
            normalization: normalization(network, named, channel),
        })
    }
}

impl OperationInput {
    fn of(node: &Node, values: &[f32], channel: usize) -> Self {
        let (size, values) = map_of(node.shape(), values, channel);
        let (layer, channels) = (node.name().to_owned(), node.shape().channels());
        Self { layer, channel, channels, size, values: floats(&values) }
    }
}

/// Returns the inputs to show: of a convolution, the channel `input` or the one with the strongest kernel; of an unknown
/// operation, one channel of each input; otherwise all that are combined, where one stands for a whole vector.
fn shown_inputs(fed: &Feeding, input: Option<usize>) -> Result<Vec<&Feed>> {
    match (fed.relation, input) {
        (Relation::Kernel, Some(channel)) => {
            let found = fed.feeds.iter().find(|feed| feed.channel == channel);
            let missing = || Problem::invalid(format!("input channel {channel} does not feed this channel"));
            Ok(vec![found.ok_or_else(missing)?])
        }
        (Relation::Kernel, None) => {
            Ok(fed.feeds.iter().max_by(|a, b| a.strength().total_cmp(&b.strength())).into_iter().collect())
        }
        (Relation::Same, _) => Ok(fed.feeds.iter().collect()),
        _ => {
            let mut shown: Vec<&Feed> = Vec::new();
            for feed in &fed.feeds {
                if shown.last().is_none_or(|last| last.input != feed.input) {
                    shown.push(feed);
                }
            }
            Ok(shown)
        }
    }
}

/// Returns the size and values of the map of a channel, or of a whole vector.
fn map_of(shape: &Shape, values: &[f32], channel: usize) -> ([usize; 2], Vec<f32>) {
    match shape.as_image().filter(|[height, width, _]| height * width > 1) {
        Some([height, width, channels]) => {
            ([height, width], values.iter().skip(channel).step_by(channels).copied().collect())
        }
        None => ([1, values.len()], values.to_vec()),
    }
}

/// Returns the windows of a layer, if it has any.
fn window(network: &Network, node: &Node) -> Option<Window> {
    let shapes: Vec<Shape> = node.inputs().iter().map(|&input| network.nodes()[input].shape().clone()).collect();
    let Extent::Windows { size, strides, dilation, padding } = node.layer().spec().extent(&shapes) else { return None };
    let [height, width, _] = shapes.first()?.as_image()?;
    let before = |axis: usize, length| {
        let reach = (size[axis] - 1) * dilation[axis] + 1;
        Some(padding.resolve(axis, length, reach, strides[axis])?.0)
    };
    Some(Window { size, strides, dilation, padding: [before(0, height)?, before(1, width)?] })
}

fn bias(network: &Network, node: &Node, channel: usize) -> f32 {
    let biases = &network.weights()[node.weights()];
    let bias = biases.iter().find(|weight| weight.name().rsplit('/').next() == Some("bias"));
    bias.map_or(0.0, |bias| bias.values()[channel])
}

/// Returns the sums of one unit of a dense layer, or of all units.
fn dense_sums(network: &Network, node: &Node, inputs: &[f32], unit: Option<usize>) -> Vec<f32> {
    let kernel = network.weights()[node.weights().start].values();
    let units = node.shape().channels();
    let chosen = unit.map_or(0..units, |unit| unit..unit + 1);
    let sum = |unit: usize| {
        let weights = kernel.iter().skip(unit).step_by(units);
        let products: f64 =
            inputs.iter().zip(weights).map(|(&value, &weight)| f64::from(value) * f64::from(weight)).sum();
        (products + f64::from(bias(network, node, unit))) as f32
    };
    chosen.map(sum).collect()
}

/// A convolution whose kernels, one for each of its input channels, are given.
struct Convolution<'a> {
    window: Window,
    /// Height, width and channels.
    input: [usize; 3],
    values: &'a [f32],
    feeds: &'a [Feed],
}

impl Convolution<'_> {
    /// Returns the sum of each position, with the bias.
    fn sums(&self, [height, width]: [usize; 2], bias: f32) -> Vec<f32> {
        let sum = |at: usize| {
            let products: f64 = self.feeds.iter().map(|feed| self.sum(feed, [at / width, at % width])).sum();
            (products + f64::from(bias)) as f32
        };
        (0..height * width).map(sum).collect()
    }

    fn channel_sums(&self, at: [usize; 2]) -> Vec<f64> {
        let mut sums = vec![0.0; self.input[2]];
        self.feeds.iter().for_each(|feed| sums[feed.channel] = self.sum(feed, at));
        sums
    }

    /// Returns the sum of the products of one input channel at a position; the padding is zero.
    fn sum(&self, feed: &Feed, at: [usize; 2]) -> f64 {
        let Window { size, strides, dilation, padding } = self.window;
        let [height, width, channels] = self.input;
        let place =
            |axis: usize, tap: usize| (at[axis] * strides[axis] + tap * dilation[axis]).checked_sub(padding[axis]);
        let mut sum = 0.0;
        for row in 0..size[0] {
            let Some(y) = place(0, row).filter(|&y| y < height) else { continue };
            for column in 0..size[1] {
                let Some(x) = place(1, column).filter(|&x| x < width) else { continue };
                let value = self.values[(y * width + x) * channels + feed.channel];
                sum += f64::from(value) * f64::from(feed.kernel[row * size[1] + column]);
            }
        }
        sum
    }
}

fn normalization(network: &Network, node: &Node, channel: usize) -> Option<Normalization> {
    let Layer::BatchNormalization(BatchNormalization { epsilon, .. }) = node.layer() else { return None };
    let named = |name: &str| {
        let mut weights = network.weights()[node.weights()].iter();
        weights.find(|weight| weight.name().rsplit('/').next() == Some(name)).map(|weight| weight.values()[channel])
    };
    Some(Normalization {
        gamma: named("gamma").unwrap_or(1.0),
        beta: named("beta").unwrap_or(0.0),
        mean: named("moving_mean").unwrap_or(0.0),
        variance: named("moving_variance").unwrap_or(1.0),
        epsilon: *epsilon,
    })
}
