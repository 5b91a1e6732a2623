//! The meaning of a network's outputs, and how to read them: used by prediction, explanation and maximization.

use super::task::task_of;
use super::{Model, Task};
use crate::nn::layers::ActivationKind;
use crate::nn::{Network, TensorRef};
use crate::{Error, Result, Unfit};

/// The kinds of outputs that can be interpreted individually.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// One of several classes: a softmax.
    Classes,
    /// One of two classes: one sigmoid, the probability of the second.
    TwoClasses,
    /// Labels, which are not exclusive: a sigmoid for each.
    Labels,
    /// Values of a regression.
    Values,
}

/// The outputs of a network.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::weights::{OutputKind, Outputs};
///
/// let outputs = Outputs::of(&Model::new(applications::mnist_cnn(42)?))?;
/// assert_eq!((outputs.kind(), outputs.count()), (OutputKind::Classes, 10));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    kind: OutputKind,
    units: usize,
    network: String,
    layer: String,
    /// Whether the outputs are logits, without a softmax or sigmoid.
    bare: bool,
}

impl Outputs {
    /// The outputs of a model.
    ///
    /// # Errors
    /// [`Error::Outputs`] when they are not flat, or are features; [`Error::Argument`] when the network has several
    /// outputs.
    pub fn of(model: &Model) -> Result<Self> {
        Self::find(&model.network, model.task, !model.class_names.is_empty())
    }

    /// The outputs of a model whose predictions are compared with classes. For several labels, the most probable one is the
    /// class.
    ///
    /// # Errors
    /// As [`Outputs::of`]; [`Error::Outputs`] when they are values.
    pub fn of_classes(model: &Model) -> Result<Self> {
        let outputs = Self::of(model)?;
        if outputs.kind != OutputKind::Values {
            return Ok(outputs);
        }
        Err(Error::Outputs { network: outputs.network, found: Unfit::Values(outputs.units) })
    }

    /// Whether the outputs are features, which have no individual meaning.
    ///
    /// # Errors
    /// [`Error::Argument`] when the network has several outputs.
    pub fn are_features(model: &Model) -> Result<bool> {
        let output = model.network.output()?;
        let task = model.task.unwrap_or_else(|| task_of(&model.network, output, !model.class_names.is_empty()));
        Ok(task == Task::Features)
    }

    /// The outputs of a network without further information.
    ///
    /// # Errors
    /// As [`Outputs::of`].
    pub fn of_network(network: &Network) -> Result<Self> {
        Self::find(network, None, false)
    }

    fn find(network: &Network, task: Option<Task>, named: bool) -> Result<Self> {
        let output = network.output()?;
        let (layer, shape) = (output.name().to_owned(), output.shape());
        let refused = |found: Unfit| Err(Error::Outputs { network: network.name().to_owned(), found });
        let Some(units) = shape.as_flat() else {
            return refused(Unfit::Maps { layer, shape: shape.to_string() });
        };
        let (kind, activation) = match (task.unwrap_or_else(|| task_of(network, output, named)), units) {
            (Task::Features, _) if task.is_some() => return refused(Unfit::ChosenFeatures(units)),
            (Task::Features, _) => return refused(Unfit::Features(units)),
            (Task::Classify, 1) => (OutputKind::TwoClasses, Some(ActivationKind::Sigmoid)),
            (Task::Classify, _) => (OutputKind::Classes, Some(ActivationKind::Softmax)),
            (Task::Multilabel, _) => (OutputKind::Labels, Some(ActivationKind::Sigmoid)),
            (Task::Regress, _) => (OutputKind::Values, None),
        };
        let bare = activation.is_some_and(|wanted| wanted != output.activation());
        Ok(Self { kind, units, network: network.name().to_owned(), layer, bare })
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The kind of outputs.
    pub fn kind(&self) -> OutputKind {
        self.kind
    }

    /// The number of outputs.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of classes, labels, or values.
    pub fn count(&self) -> usize {
        if self.kind == OutputKind::TwoClasses { 2 } else { self.units }
    }

    /// The noun for an output: `class`, `label`, or `value`.
    pub fn noun(&self) -> &'static str {
        match self.kind {
            OutputKind::Classes | OutputKind::TwoClasses => "class",
            OutputKind::Labels => "label",
            OutputKind::Values => "value",
        }
    }

    /// The plural of [`noun`](Self::noun).
    pub fn nouns(&self) -> &'static str {
        match self.noun() {
            "class" => "classes",
            "label" => "labels",
            _ => "values",
        }
    }

    /// The network's output tensor, to be read by [`read`](Self::read).
    pub fn point(&self) -> TensorRef {
        TensorRef::output(&self.layer)
    }

    /// The tensor of scores: before the softmax or sigmoid, to be read by [`of_scores`](Self::of_scores). For values, it is
    /// the output.
    pub fn score_point(&self) -> TensorRef {
        match self.kind {
            OutputKind::Values => self.point(),
            _ => TensorRef::before_activation(&self.layer),
        }
    }

    /// The probability of each class or label, or the values, from one row of the network's output.
    pub fn read(&self, row: &[f32]) -> Vec<f32> {
        match (self.kind, row) {
            _ if self.bare => self.of_scores(row),
            (OutputKind::TwoClasses, &[second]) => vec![1.0 - second, second],
            _ => row.to_vec(),
        }
    }

    /// As [`read`](Self::read), from one row of scores.
    pub fn of_scores(&self, row: &[f32]) -> Vec<f32> {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match (self.kind, row) {
            (OutputKind::TwoClasses, &[x]) => vec![sigmoid(-x), sigmoid(x)],
            (OutputKind::Labels, _) => row.iter().map(|&x| sigmoid(x)).collect(),
            (OutputKind::Values, _) => row.to_vec(),
            _ => softmax(row),
        }
    }

    /// The index of the most probable class or label; for values, the first one, because none is better than another.
    pub fn best(&self, found: &[f32]) -> usize {
        if self.kind == OutputKind::Values { 0 } else { argmax(found) }
    }
}

/// Whether no value is NaN or infinite.
pub(crate) fn is_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// Refuses outputs that are not finite; the error names the first layer with weights that are not finite. `finite_input` is
/// whether the input is [finite](is_finite), as pixels always are.
///
/// # Errors
/// [`Error::Argument`] when the input is the cause; [`Error::Unsupported`] when the weights or an overflow are.
pub(crate) fn check_finite(network: &Network, outputs: &[f32], finite_input: bool) -> Result<()> {
    if is_finite(outputs) {
        return Ok(());
    }
    if !finite_input {
        return Err(Error::argument(format!(
            "the input contains NaN or infinity, and so do the outputs of network {}",
            network.name()
        )));
    }
    let cause = match network.first_not_finite() {
        Some((layer, weight)) => format!("layer {layer} is the first whose weights hold NaN or infinity ({weight})"),
        None => "the input and all weights are finite, so a value within exceeds what float32 holds".to_owned(),
    };
    Err(Error::Unsupported(format!("the outputs of network {} are not finite: {cause}", network.name())))
}

/// The softmax of one row of logits, summed in double precision.
pub(crate) fn softmax(row: &[f32]) -> Vec<f32> {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// The index of the maximum; the first one if several are equal.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Dense, Flatten};

    fn network(units: usize, activation: ActivationKind) -> Network {
        let layers = [Flatten::new().into(), Dense::new(units).activation(activation).into()];
        Network::sequential("small", [2, 2, 1], layers, 1).unwrap()
    }

    fn outputs(units: usize, activation: ActivationKind, task: Option<Task>) -> Outputs {
        Outputs::of(&Model { task, ..Model::new(network(units, activation)) }).unwrap()
    }

    fn close(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
    }

    #[test]
    fn all_kinds_are_read() {
        use ActivationKind::{Linear, Sigmoid, Softmax};
        let two = outputs(1, Sigmoid, None);
        assert_eq!((two.kind(), two.count()), (OutputKind::TwoClasses, 2));
        close(&two.of_scores(&[2.0]), &[0.119_202_92, 0.880_797_1]);
        close(&two.read(&[0.25]), &[0.75, 0.25]);
        let labels = outputs(2, Sigmoid, None);
        assert_eq!(labels.kind(), OutputKind::Labels);
        close(&labels.of_scores(&[2.0, 0.0]), &[0.880_797_1, 0.5]);
        close(&labels.read(&[0.9, 0.8]), &[0.9, 0.8]);
        for activation in [Softmax, Linear] {
            close(&outputs(3, activation, None).of_scores(&[1000.0, 1000.0, -1000.0]), &[0.5, 0.5, 0.0]);
        }
        // Logits are read as probabilities.
        close(&outputs(2, Linear, None).read(&[3.0, 3.0]), &[0.5, 0.5]);
        close(&outputs(1, Linear, None).read(&[0.0]), &[0.5, 0.5]);
        for (units, activation) in [(1, Linear), (2, Linear), (1, Sigmoid)] {
            let values = outputs(units, activation, Some(Task::Regress));
            assert_eq!((values.kind(), values.count(), values.noun()), (OutputKind::Values, units, "value"));
            close(&values.read(&[2.0]), &[2.0]);
            close(&values.of_scores(&[2.0]), &[2.0]);
            assert_eq!(values.score_point(), TensorRef::output("dense"));
        }
    }

    #[test]
    fn the_best_is_the_first_of_equal_ones() {
        assert_eq!(outputs(3, ActivationKind::Softmax, None).best(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(outputs(3, ActivationKind::Linear, Some(Task::Regress)).best(&[0.2, 0.4, 0.4]), 0);
    }

    #[test]
    fn features_are_refused() {
        let refused = |model: &Model| Outputs::of(model).unwrap_err().to_string();
        let relu = Model::new(network(8, ActivationKind::Relu));
        assert_eq!(refused(&relu), "network small ends in 8 features, not in classes");
        let given = Model { task: Some(Task::Features), ..Model::new(network(3, ActivationKind::Softmax)) };
        assert!(refused(&given).contains("3 features"));
        let maps = Model::new(Network::sequential("maps", [4, 4, 1], [], 1).unwrap());
        assert!(refused(&maps).contains("no layer of classes") && refused(&maps).contains("(4, 4, 1)"));
    }
}
