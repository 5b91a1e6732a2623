//! Objectives of activation maximization.

use crate::nn::layers::ActivationKind;
use crate::nn::{Network, Shape, TensorRef};
use crate::weights::{Model, Outputs};
use crate::{Error, Result};

/// A part of a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// One channel (of a flat layer: one unit) at one position; the center by default.
    Neuron {
        /// The channel.
        channel: usize,
        /// Row and column.
        position: Option<[usize; 2]>,
    },
    /// The mean of one channel over all positions (of a flat layer: one unit).
    Channel(usize),
    /// The mean square of the whole layer (DeepDream).
    Layer,
    /// The mean over all positions of a weighted sum of channels.
    Direction(Vec<(usize, f32)>),
}

/// The layer of the objectives.
///
/// ```
/// use lucida::prelude::*;
///
/// let model = Model::new(applications::mnist_cnn(42)?);
/// assert_eq!(Target::classes(&model)?.name(), "dense_1"); // before its softmax
/// assert_eq!(Target::layer("conv2d_2").name(), "conv2d_2");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    layer: String,
    logits: bool,
}

/// The tensor that objectives are computed from.
#[derive(Debug, Clone)]
pub(super) struct ObjectiveTensor {
    /// Where the values are read, and where gradients are inserted.
    pub(super) point: TensorRef,
    /// Whether the values are those before a ReLU, which is applied here.
    rectify: bool,
    /// Whether the values are logits of mutually exclusive classes.
    competing: bool,
    shape: Shape,
}

impl Target {
    /// The output of a layer.
    pub fn layer(name: impl Into<String>) -> Self {
        Self { layer: name.into(), logits: false }
    }

    /// The classes, labels, or values of a model: the input of its last activation, where the gradient does not vanish.
    ///
    /// # Errors
    /// As [`Outputs::of`].
    pub fn classes(model: &Model) -> Result<Self> {
        Outputs::of(model)?;
        Ok(Self { layer: model.network.output()?.name().to_owned(), logits: true })
    }

    /// The layer's name.
    pub fn name(&self) -> &str {
        &self.layer
    }

    /// Checks that the layer has the parts of the objectives, and returns the tensor to optimize.
    ///
    /// `before` selects the values before a ReLU, where the gradient of an inactive filter does not vanish.
    pub(super) fn check(&self, network: &Network, objectives: &[Objective], before: bool) -> Result<ObjectiveTensor> {
        let node = &network.nodes()[network.find(&self.layer)?];
        let shape = node.shape();
        let (channels, positions) = (shape.channels(), position_count(shape));
        let refuse = |what: String| Err(Error::argument(format!("layer {:?} of shape {shape} {what}", self.layer)));
        for objective in objectives {
            let named: Vec<usize> = match objective {
                Objective::Neuron { channel, .. } | Objective::Channel(channel) => vec![*channel],
                Objective::Layer => Vec::new(),
                Objective::Direction(parts) => {
                    if parts.is_empty() || parts.iter().any(|(_, weight)| !weight.is_finite()) {
                        return refuse("has no channels for a direction".into());
                    }
                    parts.iter().map(|(channel, _)| *channel).collect()
                }
            };
            if let Some(channel) = named.into_iter().find(|&channel| channel >= channels) {
                return refuse(format!("has no filter {channel}: they are 0 to {}", channels - 1));
            }
            if let Objective::Neuron { position: Some([row, column]), .. } = objective {
                let inside = positions.is_some_and(|[rows, columns]| *row < rows && *column < columns);
                if !inside {
                    return refuse(format!("has no position {row},{column}"));
                }
            }
        }
        let rectify = before && !self.logits && node.activation() == ActivationKind::Relu;
        let point = match self.logits || rectify {
            true => TensorRef::before_activation(&self.layer),
            false => TensorRef::output(&self.layer),
        };
        let competing = self.logits
            && matches!(node.activation(), ActivationKind::Softmax | ActivationKind::LogSoftmax)
            && shape.as_flat().is_some();
        Ok(ObjectiveTensor { point, rectify, competing, shape: shape.clone() })
    }
}

impl ObjectiveTensor {
    /// Computes the values of the objectives, one for each sample, and the gradients of their sum. Sample `i` follows
    /// objective `i` modulo their number.
    pub(super) fn follow(
        &self,
        objectives: &[Objective],
        activations: &[f32],
        gradient: &mut [f32],
        values: &mut [f32],
    ) {
        gradient.fill(0.0);
        let len = self.shape.len();
        let samples = activations.chunks_exact(len).zip(gradient.chunks_exact_mut(len));
        for ((index, (activations, gradient)), value) in samples.enumerate().zip(values) {
            *value = self.one(&objectives[index % objectives.len()], activations, Some(gradient));
        }
    }

    /// The values of the objectives, one for each sample.
    pub(super) fn values(&self, objectives: &[Objective], activations: &[f32]) -> Vec<f32> {
        let samples = activations.chunks_exact(self.shape.len()).zip(objectives);
        samples.map(|(activations, objective)| self.one(objective, activations, None)).collect()
    }

    /// The layer's output, given a value of the tensor.
    pub(super) fn output(&self, value: f32) -> f32 {
        if self.rectify { value.max(0.0) } else { value }
    }

    /// Whether the values are logits of mutually exclusive classes.
    pub(super) fn has_competing_classes(&self) -> bool {
        self.competing
    }

    /// Whether the objectives do not prescribe a position in the image.
    pub(super) fn is_anywhere(&self, objectives: &[Objective]) -> bool {
        let placed = |objective: &Objective| matches!(objective, Objective::Neuron { .. });
        self.shape.as_image().is_some() && !objectives.iter().any(placed)
    }

    /// The shape of the layer.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The value for one sample, and its gradient.
    ///
    /// A filter that is inactive everywhere has no gradient after its ReLU: the position closest to activation is followed
    /// instead. Once it is active anywhere, the gradient is that of the activations.
    fn one(&self, objective: &Objective, activations: &[f32], gradient: Option<&mut [f32]>) -> f32 {
        let terms = match objective {
            Objective::Layer => return self.layer(activations, gradient),
            parts => self.terms(parts),
        };
        let silent = self.rectify && terms.clone().all(|(at, _)| activations[at] <= 0.0);
        if let Some(gradient) = gradient {
            if silent {
                let nearest = terms.clone().max_by(|a, b| activations[a.0].total_cmp(&activations[b.0]));
                nearest.into_iter().for_each(|(at, weight)| gradient[at] += weight);
            } else {
                let speaking = terms.clone().filter(|&(at, _)| !self.rectify || activations[at] > 0.0);
                speaking.for_each(|(at, weight)| gradient[at] += weight);
            }
        }
        terms.map(|(at, weight)| weight * self.output(activations[at])).sum()
    }

    /// The indices and weights of the values that an objective sums.
    fn terms(&self, objective: &Objective) -> impl Iterator<Item = (usize, f32)> + Clone {
        let channels = self.shape.channels();
        let [rows, columns] = position_count(&self.shape).unwrap_or([1, 1]);
        let all = rows * columns;
        let each = 1.0 / all as f32;
        let (parts, positions) = match objective {
            Objective::Neuron { channel, position } => {
                let [row, column] = position.unwrap_or([rows / 2, columns / 2]);
                let at = row * columns + column;
                (vec![(*channel, 1.0)], at..at + 1)
            }
            Objective::Channel(channel) => (vec![(*channel, each)], 0..all),
            Objective::Direction(parts) => {
                (parts.iter().map(|&(channel, weight)| (channel, each * weight)).collect(), 0..all)
            }
            Objective::Layer => (Vec::new(), 0..0),
        };
        positions.flat_map(move |position| {
            let at = position * channels;
            parts.clone().into_iter().map(move |(channel, weight)| (at + channel, weight))
        })
    }

    /// The mean square of the layer, and its gradient.
    fn layer(&self, activations: &[f32], gradient: Option<&mut [f32]>) -> f32 {
        let each = 1.0 / activations.len() as f32;
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(activations).for_each(|(dy, &y)| *dy = 2.0 * each * self.output(y));
        }
        activations.iter().map(|&y| each * self.output(y) * self.output(y)).sum()
    }
}

fn position_count(shape: &Shape) -> Option<[usize; 2]> {
    shape.as_image().map(|[rows, columns, _]| [rows, columns])
}
