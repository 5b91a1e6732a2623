//! Training: the loop over epochs, from outside.

use serde_json::{Value, json};

use crate::Result;
use crate::data::Dataset;
use crate::nn::{Network, ProcessGroup};
use crate::weights::Model;

use super::callbacks::Callbacks;
use super::training_loop::TrainingLoop;
use super::training_output::TrainingOutput;
use super::{Callback, History, ImageSamples, Samples, TrainConfig};

/// Trains networks.
///
/// ```
/// use lucida::data::{Mnist, Preprocessing, Subset};
/// use lucida::nn::applications;
/// use lucida::train::{EarlyStopping, TrainConfig, Trainer};
/// use lucida::weights::Model;
///
/// # fn main() -> lucida::Result<()> {
/// let digits = Mnist::builtin()?.train;
/// let train = Subset::new(&digits, (0..512).collect())?;
/// let validation = Subset::new(&digits, (512..640).collect())?;
/// let mut model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(applications::mnist_cnn(42)?) };
/// let config = TrainConfig { epochs: 2, batch_size: 64, ..TrainConfig::default() };
/// let result = Trainer::new(config).callback(EarlyStopping::new(3)).fit(&mut model, &train, Some(&validation))?;
/// assert_eq!(result.history.epochs.len(), 2);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Trainer<'a> {
    pub(super) config: TrainConfig,
    callbacks: Callbacks<'a>,
    group: Option<&'a dyn ProcessGroup>,
}

impl<'a> Trainer<'a> {
    /// Trains as configured.
    pub fn new(config: TrainConfig) -> Self {
        Self { config, callbacks: Callbacks::default(), group: None }
    }

    /// Adds a callback; they are called in the order in which they are added.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.0.push(Box::new(callback));
        self
    }

    /// Trains as a member of a [group](super::distributed): all members call [`fit`](Self::fit) with the same model, data,
    /// configuration and callbacks that decide, and get the same weights. The first one writes and reads checkpoints. Each
    /// member may have callbacks of its own that watch; when one interrupts the training, all stop, a step later.
    ///
    /// A member that returns an error leaves the others waiting for it: see to it that they end.
    pub fn process_group(self, group: Option<&'a dyn ProcessGroup>) -> Self {
        Self { group, ..self }
    }

    /// Trains a model on images. Afterwards it has the weights of the best epoch, or of the last step when training was
    /// interrupted within the first epoch. What it is trained for follows from the [targets](crate::data::Targets) of the
    /// data, and becomes its task: one class of several, any number of labels, or values.
    ///
    /// The same model, data, configuration and number of threads give the same weights to the bit.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when configuration or data do not fit the network, or when the loss is no
    /// longer a number; [`Error::Changed`](crate::Error::Changed) when the checkpoint is of another training;
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the network is not a classifier, the data has classes and no loss
    /// was chosen; those of reading the data and of the callbacks.
    pub fn fit(
        &mut self,
        model: &mut Model,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
    ) -> Result<TrainResult> {
        let output = TrainingOutput::of(&model.network, train.targets(), self.config.loss, 0.0)?;
        // One output is a number where it is trained as one, and not two classes.
        model.task = output.task(&model.network)?.or(model.task);
        model.check()?;
        let preprocessing = model.preprocessing()?.clone();
        let images = |set| ImageSamples::new(set, &preprocessing, self.config.cpu.threads());
        let (train, validation) = (images(train), validation.map(images));
        let validation = validation.as_ref().map(|samples| samples as &dyn Samples);
        self.fit_network(&mut model.network, &train, validation)
    }

    /// Trains a network on samples that are prepared already, as [`fit`](Self::fit).
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_network(
        &mut self,
        network: &mut Network,
        train: &dyn Samples,
        validation: Option<&dyn Samples>,
    ) -> Result<TrainResult> {
        let options = self.options();
        TrainingLoop::new((&self.config, &options), network, self.group, train, validation)?
            .run(network, &mut self.callbacks)
    }

    /// The configuration beyond the hyperparameters that every training has, and that of the callbacks.
    fn options(&self) -> Value {
        let mut options = json!(self.config);
        if let Some(entries) = options.as_object_mut() {
            entries.extend(self.callbacks.configs().map(|(name, value)| (name.to_owned(), value)));
        }
        options
    }
}

/// What training leaves.
///
/// ```
/// use lucida::prelude::*;
///
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
/// let result = Trainer::new(config).fit(&mut model, &train, Some(&validation))?;
/// let [first, last] = &result.history.epochs[..] else { panic!("two epochs") };
/// assert!(last.loss < first.loss);
/// assert_eq!(result.history.best().map(|epoch| epoch.epoch), result.best_epoch);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TrainResult {
    /// The numbers of the epochs that were completed.
    pub history: History,
    /// The number of the best epoch, whose weights are in the model; none when no epoch was completed.
    pub best_epoch: Option<usize>,
    /// The network as the last step left it: with the running mean of its weights, where there is one, as the history's
    /// validation values are of that.
    pub last: Network,
    /// Whether a callback interrupted the training.
    pub interrupted: bool,
    /// Whether a callback ended it early, as it had got no better.
    pub stopped_early: bool,
    /// The configuration and the results, for [`Model::training`]. There is neither a date nor a time in it, so that the same
    /// training gives the same file. What is optional is there where it is not the default.
    pub record: Value,
}
