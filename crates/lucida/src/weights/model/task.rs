//! The task of a network, and the activation that turns its outputs into probabilities.
//!
//! Frameworks end a classifier in different ways: Keras mostly with a softmax, PyTorch with logits, some with
//! log-probabilities or one logit for two classes. Here every classifier gets the missing activation, so that all users
//! (prediction, evaluation, attribution, class images, the studio) see probabilities, and scores before them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Model, Note};
use crate::nn::layers::{ActivationKind, Layer};
use crate::nn::{Network, Node};
use crate::{Error, Result};

/// The task of a network, which determines how its outputs are interpreted.
///
/// ```
/// use lucida::weights::Task;
///
/// assert_eq!("multilabel".parse::<Task>()?, Task::Multilabel);
/// assert_eq!(Task::Regress.to_string(), "regress");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of several classes: softmax, or one sigmoid for two classes.
    Classify,
    /// Any number of several labels: a sigmoid for each.
    Multilabel,
    /// Values of a regression.
    Regress,
    /// Features for another use.
    Features,
}

impl Task {
    /// All tasks, by name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("classify", Self::Classify),
        ("multilabel", Self::Multilabel),
        ("regress", Self::Regress),
        ("features", Self::Features),
    ];
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|&(_, task)| task);
        found.ok_or_else(|| {
            Error::argument(format!("task {text:?} is unknown; expected classify, multilabel, regress or features"))
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, task)| task == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl Model {
    /// Adds the activation required by the task; `None` infers the task from the network. An added activation is noted, and
    /// a given task is stored.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the task needs a single, flat output, and the network has several outputs or one that is
    /// not flat.
    pub(in crate::weights) fn set_task(mut self, task: Option<Task>) -> Result<Self> {
        self.task = task;
        if let Err(problem) = self.network.output() {
            // Several outputs cannot be interpreted as classes; functions that need classes report it.
            return if task.is_some() { Err(problem) } else { Ok(self) };
        }
        self.network = self.network.with_activation_last()?;
        let output = self.network.output()?;
        let named = !self.class_names.is_empty();
        let task_of_network = task.unwrap_or_else(|| task_of(&self.network, output, named));
        let units = output.shape().len();
        let flat = output.shape().as_flat().is_some();
        let wanted = match (task_of_network, units) {
            (Task::Regress | Task::Features, _) => return Ok(self),
            (Task::Classify, 1) | (Task::Multilabel, _) => ActivationKind::Sigmoid,
            (Task::Classify, _) => ActivationKind::Softmax,
        };
        if !flat {
            if output.shape().as_image().is_some_and(|[height, width, _]| height * width == 1) {
                self.network = self.network.with_flat_output()?.with_activation_last()?;
            } else if task.is_some() {
                let (name, shape) = (self.network.name(), output.shape());
                return Err(Error::Unsupported(format!(
                    "network {name} ends in maps of the shape {shape}: the task {task_of_network} needs one number for each class"
                )));
            } else {
                return Ok(self);
            }
        }
        let found = self.network.output()?.activation();
        if found != wanted {
            let what = if units == 1 { "output" } else { "outputs" };
            let note = match found {
                ActivationKind::LogSoftmax => "the outputs are log-probabilities: read as a softmax".to_owned(),
                ActivationKind::Linear if units == 1 => "the output is a logit: a sigmoid was added".to_owned(),
                ActivationKind::Linear => format!("the outputs are logits: a {} was added", name_of(wanted)),
                found => format!("the {what} ended in {}: now in {}", name_of(found), name_of(wanted)),
            };
            self.network = self.network.with_output_activation(wanted)?;
            self.notes.push(Note::Task(note));
        }
        Ok(self)
    }
}

fn name_of(activation: ActivationKind) -> &'static str {
    match activation {
        ActivationKind::Softmax => "softmax",
        ActivationKind::LogSoftmax => "log-softmax",
        ActivationKind::Sigmoid => "sigmoid",
        ActivationKind::Tanh => "tanh",
        ActivationKind::Linear => "logits",
        _ => "a rectifier",
    }
}

/// Infers the task of a network from its last layers. `named`: its classes have names.
pub(super) fn task_of(network: &Network, output: &Node, named: bool) -> Task {
    let units = output.shape().len();
    match (output.activation(), units) {
        (ActivationKind::Softmax | ActivationKind::LogSoftmax, 2..) | (ActivationKind::Sigmoid, 1) => Task::Classify,
        (ActivationKind::Sigmoid, _) => Task::Multilabel,
        (ActivationKind::Linear, _) if named || ends_in_classifier(network, output) => Task::Classify,
        // SqueezeNet has a ReLU after its last convolution, so that its logits are nonnegative.
        (ActivationKind::Relu, 2..) if named => Task::Classify,
        (_, 1) => Task::Regress,
        _ => Task::Features,
    }
}

/// Whether linear outputs are those of a classifier: a dense layer, or a 1x1 convolution with a bias followed by global
/// average pooling, as in NiN and SqueezeNet. A base without its classifier ends with pooled feature maps of other layers.
fn ends_in_classifier(network: &Network, output: &Node) -> bool {
    let (mut node, mut rectified) = (output, false);
    loop {
        match node.layer() {
            Layer::Dense(dense) => return dense.activation == ActivationKind::Linear && !rectified,
            Layer::Conv2D(conv) => {
                let logits = matches!(conv.activation, ActivationKind::Linear | ActivationKind::Relu);
                return logits && conv.kernel_size == [1, 1] && conv.use_bias;
            }
            Layer::Activation(activation) => match activation.activation {
                ActivationKind::Linear => {}
                ActivationKind::Relu => rectified = true,
                _ => return false,
            },
            Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::GlobalAveragePooling2D(_)
            | Layer::AveragePooling2D(_)
            | Layer::AdaptiveAveragePooling2D(_)
            | Layer::Dropout(_) => {}
            _ => return false,
        }
        let &[before] = node.inputs() else { return false };
        node = &network.nodes()[before];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Plan;
    use crate::nn::layers::{
        Activation, BatchNormalization, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Rescaling,
    };

    fn model(layers: Vec<Layer>) -> Model {
        Model::new(Network::sequential("small", [4, 4, 2], layers, 5).unwrap())
    }

    fn dense(units: usize, activation: ActivationKind) -> Model {
        model(vec![Flatten::new().into(), Dense::new(units).activation(activation).into()])
    }

    fn ending(model: &Model) -> ActivationKind {
        model.network.output().unwrap().activation()
    }

    fn outputs(network: &Network) -> Vec<f32> {
        let mut plan = Plan::builder(network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32 * 0.7).sin());
        plan.forward(network).unwrap();
        plan.output(0).to_vec()
    }

    #[test]
    fn every_classifier_ends_in_probabilities() {
        for (units, given, wanted) in [
            (3, ActivationKind::Softmax, ActivationKind::Softmax),
            (3, ActivationKind::Linear, ActivationKind::Softmax),
            (3, ActivationKind::LogSoftmax, ActivationKind::Softmax),
            (1, ActivationKind::Linear, ActivationKind::Sigmoid),
            (1, ActivationKind::Sigmoid, ActivationKind::Sigmoid),
            (3, ActivationKind::Sigmoid, ActivationKind::Sigmoid),
        ] {
            let before = dense(units, given);
            let name = before.network.output().unwrap().name().to_owned();
            let after = before.clone().set_task(None).unwrap();
            assert_eq!(ending(&after), wanted, "{given:?}");
            assert_eq!(after.network.output().unwrap().name(), name);
            assert_eq!(after.notes.is_empty(), given == wanted);
        }
    }

    #[test]
    fn probabilities_are_the_softmax_of_the_logits() {
        let logits = outputs(&dense(3, ActivationKind::Linear).network);
        let sum: f32 = logits.iter().map(|z| z.exp()).sum();
        for given in [ActivationKind::Linear, ActivationKind::LogSoftmax] {
            let found = outputs(&dense(3, given).set_task(None).unwrap().network);
            found.iter().zip(&logits).for_each(|(p, z)| assert!((p - z.exp() / sum).abs() < 1e-6));
        }
    }

    #[test]
    fn layers_that_keep_probabilities_may_follow_the_activation() {
        use crate::nn::layers::Dropout;
        let linear = || Layer::from(Activation::new(ActivationKind::Linear));
        let limits = || Layer::from(Activation::new(ActivationKind::Clip { min: 0.0, max: 1.0 }));
        let map = |units, activation| Layer::from(Conv2D::new(units, [4, 4]).activation(activation));
        for (units, kind) in [(3, ActivationKind::Softmax), (1, ActivationKind::Sigmoid), (3, ActivationKind::Sigmoid)]
        {
            let dense = || vec![Flatten::new().into(), Dense::new(units).activation(kind).into()];
            let ends: [Vec<Layer>; 6] = [
                [dense(), vec![Dropout::new(0.5).into()]].concat(),
                [dense(), vec![linear(), Flatten::new().into()]].concat(),
                [dense(), vec![limits(), Rescaling::new(1.0, 0.0).into()]].concat(),
                vec![map(units, kind)],
                vec![map(units, kind), Flatten::new().into()],
                vec![map(units, kind), GlobalAveragePooling2D::new().into()],
            ];
            for (number, layers) in ends.into_iter().enumerate() {
                let before = model(layers);
                let expected = outputs(&before.network);
                let after = before.set_task(None).unwrap();
                assert_eq!(ending(&after), kind, "{number}");
                assert!(after.notes.is_empty(), "{number}: {:?}", after.notes);
                let found = outputs(&after.network);
                found.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{number}"));
            }
        }
        // The mean of softmax probabilities over several positions is not a softmax.
        let mean = model(vec![
            Conv2D::new(3, [1, 1]).activation(ActivationKind::Softmax).into(),
            GlobalAveragePooling2D::new().into(),
        ]);
        assert_eq!(ending(&mean.set_task(None).unwrap()), ActivationKind::Linear);
        let features = model(vec![
            Flatten::new().into(),
            Dense::new(8).activation(ActivationKind::Relu).into(),
            Dropout::new(0.5).into(),
        ]);
        assert_eq!(ending(&features.set_task(None).unwrap()), ActivationKind::Linear);
    }

    #[test]
    fn features_and_numbers_stay_as_they_are() {
        let norm = || Layer::from(BatchNormalization::default());
        let headless = model(vec![Conv2D::new(8, [3, 3]).into(), norm(), GlobalAveragePooling2D::new().into()]);
        assert_eq!(ending(&headless.set_task(None).unwrap()), ActivationKind::Linear);
        for kind in [ActivationKind::Relu, ActivationKind::Tanh] {
            assert_eq!(ending(&dense(8, kind).set_task(None).unwrap()), kind);
        }
        assert_eq!(ending(&dense(1, ActivationKind::Relu).set_task(None).unwrap()), ActivationKind::Relu);
        for task in [Task::Regress, Task::Features] {
            assert_eq!(ending(&dense(3, ActivationKind::Linear).set_task(Some(task)).unwrap()), ActivationKind::Linear);
        }
    }

    #[test]
    fn a_task_that_is_given_counts() {
        let given = |model: Model, task| ending(&model.set_task(Some(task)).unwrap());
        assert_eq!(given(dense(3, ActivationKind::Linear), Task::Multilabel), ActivationKind::Sigmoid);
        assert_eq!(given(dense(3, ActivationKind::Sigmoid), Task::Classify), ActivationKind::Softmax);
        assert_eq!(given(dense(3, ActivationKind::Relu), Task::Classify), ActivationKind::Softmax);
        let image = model(vec![Rescaling::new(1.0, 0.0).into()]);
        assert!(image.clone().set_task(Some(Task::Classify)).unwrap_err().to_string().contains("(4, 4, 2)"));
        assert_eq!(ending(&image.set_task(None).unwrap()), ActivationKind::Linear);
    }

    #[test]
    fn maps_of_one_pixel_are_classes_too() {
        let logits = Conv2D::new(3, [1, 1]);
        let squeeze = model(vec![logits.clone().into(), GlobalAveragePooling2D::new().into()]);
        assert_eq!(ending(&squeeze.set_task(None).unwrap()), ActivationKind::Softmax);
        let one_pixel = model(vec![Conv2D::new(5, [4, 4]).into(), logits.into()]).set_task(None).unwrap();
        assert_eq!(one_pixel.network.output().unwrap().shape(), &[3].into());
        assert_eq!(ending(&one_pixel), ActivationKind::Softmax);
        let relu = Activation::new(ActivationKind::Relu).into();
        let mut named = model(vec![Conv2D::new(3, [1, 1]).into(), relu, GlobalAveragePooling2D::new().into()]);
        named.class_names = ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(ending(&named.set_task(None).unwrap()), ActivationKind::Softmax);
    }

    #[test]
    fn names_are_read_and_written() {
        for (name, task) in Task::ALL {
            assert_eq!((name.parse::<Task>().unwrap(), task.to_string().as_str()), (task, name));
        }
        assert!("classification".parse::<Task>().unwrap_err().to_string().contains("multilabel"));
    }
}
