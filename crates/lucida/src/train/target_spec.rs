//! The targets of a network, and the output layers for them.

use crate::data::{Dataset, TargetKind};
use crate::nn::layers::{ActivationKind, Dense, Rescaling};
use crate::nn::{Layer, Network};
use crate::weights::{Model, Task};
use crate::{Error, Result};

use super::transfer::output_layer;

/// The targets that a network is built for: their names, and how its outputs are interpreted.
///
/// Values are predicted on their own scale: a fixed scale and offset, the standard deviation and the mean of the training
/// data, follow the last dense layer, so that its weights have the usual magnitude for any unit.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::train::TargetSpec;
///
/// let names = vec!["age".to_owned()];
/// let people = LabeledImages::with_values([1, 1, 1], vec![0, 9], vec![20.0, 60.0], names)?;
/// let model = TargetSpec::of(&people).build(applications::mnist_cnn(42)?)?;
/// // Before it has learned anything, it predicts the mean.
/// let mut plan = Plan::builder(&model.network).build()?;
/// plan.forward(&model.network)?;
/// assert_eq!(plan.output(0), [40.0]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// Names of the classes, labels or values.
    pub(super) names: Vec<String>,
    pub(super) kind: TargetKind,
    /// Scale and offset of values.
    scale: Rescaling,
}

impl TargetSpec {
    /// The targets of a training set.
    pub fn of(set: &dyn Dataset) -> Self {
        let (names, targets) = (set.class_names().to_vec(), set.targets());
        let kind = targets.kind();
        let values = if kind == TargetKind::Values { targets.row_len() } else { 0 };
        let count = set.len().max(1) as f64;
        let mean_of = |of: &dyn Fn(f64) -> f64, column: usize| {
            (0..set.len()).map(|index| of(f64::from(set.target(index)[column]))).sum::<f64>() / count
        };
        let mut scale = Rescaling { scale: Vec::new(), offset: Vec::new() };
        for column in 0..values {
            let mean = mean_of(&|value| value, column);
            let deviation = mean_of(&|value| (value - mean) * (value - mean), column).sqrt();
            scale.scale.push(if deviation > 0.0 { deviation as f32 } else { 1.0 });
            scale.offset.push(mean as f32);
        }
        Self { names, kind, scale }
    }

    /// Classes with these names.
    pub fn classes(names: &[String]) -> Self {
        let scale = Rescaling { scale: Vec::new(), offset: Vec::new() };
        Self { names: names.to_vec(), kind: TargetKind::Classes, scale }
    }

    /// Number of classes, labels or values.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The dense output layer, and what follows it.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let dense = Dense::new(self.count());
        match self.kind {
            TargetKind::Classes => vec![output_layer(self.count()).into()],
            TargetKind::Labels => vec![dense.activation(ActivationKind::Sigmoid).into()],
            TargetKind::Values => vec![dense.into(), self.scale.clone().into()],
        }
    }

    /// The task of a model with these targets, if its last layers do not imply it.
    pub(super) fn task(&self) -> Option<Task> {
        match self.kind {
            TargetKind::Classes => None,
            TargetKind::Labels => Some(Task::Multilabel),
            TargetKind::Values => Some(Task::Regress),
        }
    }

    /// Adapts the network to these targets. For classes it is unchanged; for labels and values its last dense layer is
    /// replaced by one with zero weights.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the layer to replace is not a dense one.
    pub fn build(&self, network: Network) -> Result<Model> {
        let network = match self.kind {
            TargetKind::Classes => network,
            TargetKind::Labels | TargetKind::Values => {
                let output = network.output()?;
                let Layer::Dense(_) = output.layer() else {
                    return Err(Error::Unsupported(format!(
                        "the last layer of network {}, {}, is not a dense layer: it is for classes alone",
                        network.name(),
                        output.name()
                    )));
                };
                let mut layers = self.layers().into_iter();
                let network = layers.next().map_or(Ok(network.clone()), |dense| network.with_output_layer(dense))?;
                if layers.len() == 0 { network } else { network.with_head(layers)?.0 }
            }
        };
        Ok(Model { class_names: self.names.clone(), task: self.task(), ..Model::new(network) })
    }
}
