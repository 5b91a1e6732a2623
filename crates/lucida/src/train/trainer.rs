//! The public interface of training.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Result;
use crate::data::Dataset;
use crate::nn::{Loss, Network, ProcessGroup};
use crate::weights::Model;

use super::callbacks::Callbacks;
use super::custom::{CustomMetric, CustomObjective};
use super::training_loop::TrainingLoop;
use super::training_output::TrainingOutput;
use super::{Callback, History, ImageSamples, Metric, Samples, TrainConfig};

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
    pub(super) custom: CustomObjective,
    callbacks: Callbacks<'a>,
    group: Option<&'a dyn ProcessGroup>,
}

impl<'a> Trainer<'a> {
    /// Creates a trainer with a configuration.
    pub fn new(config: TrainConfig) -> Self {
        Self { config, custom: CustomObjective::default(), callbacks: Callbacks::default(), group: None }
    }

    /// Adds a callback; callbacks run in the order in which they were added.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.0.push(Box::new(callback));
        self
    }

    /// Trains with a custom loss instead of [`TrainConfig::loss`].
    ///
    /// Its values are the network's outputs, or the logits if it [takes](Loss::takes_logits_of) those of the final softmax
    /// or sigmoid; for classes, the targets are one-hot rows.
    ///
    /// Its [`Debug`](std::fmt::Debug) output, including its settings, is part of the training record in the model file, and
    /// must match for a run to resume. A model file does not contain the loss itself: [`evaluate`](super::evaluate) and
    /// [`evaluate_metrics`](super::evaluate_metrics) use the default loss of the targets.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// /// The pinball loss: a network learns a quantile of the values in place of their mean.
    /// #[derive(Debug)]
    /// struct Pinball {
    ///     quantile: f32,
    /// }
    ///
    /// impl Loss for Pinball {
    ///     fn row(&self, values: &[f32], targets: &[f32], batch: usize, gradient: Option<&mut [f32]>) -> f64 {
    ///         let slope = |value: f32, target: f32| if value < target { -self.quantile } else { 1.0 - self.quantile };
    ///         let pairs = || values.iter().zip(targets).map(|(&value, &target)| (value, target));
    ///         for (gradient, (value, target)) in gradient.into_iter().flatten().zip(pairs()) {
    ///             *gradient = slope(value, target) / (values.len() * batch) as f32;
    ///         }
    ///         pairs().map(|(y, t)| f64::from(slope(y, t) * (y - t))).sum::<f64>() / values.len() as f64
    ///     }
    /// }
    ///
    /// // Black images; nine values of ten are below 0.9.
    /// let values: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
    /// let images = LabeledImages::with_values([1, 1, 1], vec![0; 100], values, vec!["value".to_owned()])?;
    /// let network = Sequential::new("constant", [1, 1, 1]).add(Flatten::new()).add(Dense::new(1)).build(42)?;
    /// let mut model = Model::new(network).with_preprocessing(Preprocessing::unit(1, 1, ColorMode::Grayscale));
    /// let config = TrainConfig { epochs: 100, learning_rate: 0.01.into(), ..TrainConfig::default() };
    /// let result = Trainer::new(config).loss(Pinball { quantile: 0.9 }).fit(&mut model, &images, None)?;
    /// let bias = model.network.weights()[1].values()[0];
    /// assert!((bias - 0.9).abs() < 0.03, "{bias}");
    /// assert_eq!(result.record["options"]["loss"], "Pinball { quantile: 0.9 }");
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn loss(mut self, loss: impl Loss + 'static) -> Self {
        self.custom.loss = Some(Arc::new(loss));
        self
    }

    /// Measures a custom metric in addition to [`TrainConfig::metrics`], with a copy of `metric` for each epoch: on the
    /// validation data, and during training if it has [sums](Metric::sums). It receives the outputs of the network; for
    /// classes, the targets are one-hot rows.
    ///
    /// Its values are in the [history](super::EpochRecord::val_metrics) by its name, which must match for a run to resume.
    /// It does not determine the best epoch, but a [callback](Self::callback) can stop training depending on it.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// /// The largest error of all.
    /// #[derive(Debug, Clone, Default)]
    /// struct MaxError(Option<f64>);
    ///
    /// impl Metric for MaxError {
    ///     fn update(&mut self, _units: usize, outputs: &[f32], targets: &[f32]) {
    ///         let errors = outputs.iter().zip(targets).map(|(&y, &t)| f64::from(y - t).abs());
    ///         self.0 = errors.chain(self.0).reduce(f64::max);
    ///     }
    ///     fn result(&self) -> Option<f64> {
    ///         self.0
    ///     }
    ///     fn name(&self) -> String {
    ///         "max_error".to_owned()
    ///     }
    ///     fn higher_is_better(&self) -> bool {
    ///         false
    ///     }
    ///     // The largest of several batches is not a sum.
    ///     fn sums(&mut self) -> Option<&mut [f64]> {
    ///         None
    ///     }
    /// }
    ///
    /// # let digits = Mnist::builtin()?.train;
    /// # let train = Subset::new(&digits, (0..256).collect())?;
    /// # let validation = Subset::new(&digits, (256..320).collect())?;
    /// # let output = Dense::new(10).activation(ActivationKind::Softmax);
    /// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
    /// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
    /// let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
    /// let result = Trainer::new(config).metric(MaxError::default()).fit(&mut model, &train, Some(&validation))?;
    /// let error = result.history.epochs[0].val_metrics["max_error"];
    /// assert!(error > 0.5 && error <= 1.0);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn metric(mut self, metric: impl Metric + Clone + 'static) -> Self {
        self.custom.metrics.push(CustomMetric::new(metric));
        self
    }

    /// Trains as a member of a [group](super::distributed): all members call [`fit`](Self::fit) with the same model, data,
    /// configuration, loss, metrics and callbacks that affect the result, and get the same weights. The first member writes
    /// and reads checkpoints. Members may have additional callbacks that only observe; if one of them interrupts training,
    /// all members stop one step later.
    ///
    /// A member that returns an error leaves the others waiting: make sure that they are terminated.
    pub fn process_group(self, group: Option<&'a dyn ProcessGroup>) -> Self {
        Self { group, ..self }
    }

    /// Trains a model on images. Afterwards it has the weights of the best epoch, or of the last step if training was
    /// interrupted during the first epoch. The [targets](crate::data::Targets) of the data determine the model's task: one
    /// class of several, any number of labels, or values.
    ///
    /// The same model, data, configuration and number of threads give bit-identical weights.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when configuration or data do not match the network, or when the loss is
    /// no longer finite; [`Error::Changed`](crate::Error::Changed) when the checkpoint belongs to another run;
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the network is not a classifier, the data has classes and no
    /// loss was chosen; those of reading the data and of the callbacks.
    pub fn fit(
        &mut self,
        model: &mut Model,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
    ) -> Result<TrainResult> {
        let output = TrainingOutput::of(&model.network, train.targets(), self.custom.loss(&self.config)?, 0.0)?;
        // A single output that was trained as a value must not be read as two classes.
        model.task = output.task(&model.network)?.or(model.task);
        model.check()?;
        let preprocessing = model.preprocessing()?.clone();
        let images = |set| ImageSamples::new(set, &preprocessing, self.config.cpu.threads());
        let (train, validation) = (images(train), validation.map(images));
        let validation = validation.as_ref().map(|samples| samples as &dyn Samples);
        self.fit_network(&mut model.network, &train, validation)
    }

    /// As [`fit`](Self::fit), for a network and samples that are already preprocessed.
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
        TrainingLoop::new((&self.config, &self.custom, &options), network, self.group, train, validation)?
            .run(network, &mut self.callbacks)
    }

    /// Settings other than the basic hyperparameters: the rest of the configuration, callbacks, and custom loss and metrics.
    fn options(&self) -> Value {
        let mut options = json!(self.config);
        if let Some(entries) = options.as_object_mut() {
            entries.extend(self.callbacks.configs().map(|(name, value)| (name.to_owned(), value)));
            if let Some(loss) = &self.custom.loss {
                entries.insert("loss".to_owned(), format!("{loss:?}").into());
            }
            if !self.custom.metrics.is_empty() {
                entries.insert("custom_metrics".to_owned(), self.custom.metric_names().into());
            }
        }
        options
    }
}

/// The result of training.
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
    /// Results of the completed epochs.
    pub history: History,
    /// Number of the best epoch, whose weights are in the model; none if no epoch was completed.
    pub best_epoch: Option<usize>,
    /// The network after the last step; with a moving average of the weights, that average, as in the validation results of
    /// the history.
    pub last: Network,
    /// Whether a callback interrupted training.
    pub interrupted: bool,
    /// Whether a callback stopped training early.
    pub stopped_early: bool,
    /// Configuration and results, for [`Model::training`]. It contains neither date nor durations, so that the same training
    /// gives the same file. Optional settings are included if they differ from the default.
    pub record: Value,
}
