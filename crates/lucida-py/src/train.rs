//! Training.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use lucida::core::{Progress, Step};
use lucida::data::{
    Augment, Augmented, Dataset, Fit, Folder, LabelSource, LabeledImages, Mnist, Preprocessing, Split, Subset,
    memory_to_keep, stratified_split,
};
use lucida::nn::applications::{self, Architecture};
use lucida::nn::{Optimizer, Schedule};
use lucida::train::{
    CachedFeatures, Callback, EarlyStopping, Head, ImageSamples, Monitor, OnNan, ParamGroup, ReduceLrOnPlateau,
    StartOptions, TrainConfig, TrainResult, TrainStart, Trainer, TransferModel, balanced_class_weights, base_size,
};
use lucida::weights::hub::{cache_folder, published};
use lucida::weights::{IncludeTop, ModelSpec, is_builtin, open};
use lucida::{Error, Result};
use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{Bytes, Floats, array, values};
use crate::errors::{InvalidValueError, MissingFileError, exception};
use crate::job::{Watch, run, run_quietly};
use crate::model::Model;
use crate::options::named;

/// Default epochs, learning rate and early-stopping patience, as on the command line: for a fully trainable network, and for
/// a head on a frozen base.
const WHOLE: (usize, f64, usize) = (15, 1e-3, 0);
const HEAD: (usize, f64, usize) = (50, 3e-4, 5);

/// The options of `lucida train`, with the same names.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct TrainOptions {
    model: String,
    /// `imagenet` for the published weights, `none` to train from scratch, or a file.
    weights: String,
    size: Option<[usize; 2]>,
    channels: Option<usize>,
    fit: Option<String>,
    preprocessing: Option<String>,
    cut: Option<String>,
    head: Option<String>,
    unfreeze: Option<String>,
    unfreeze_rate: f64,
    augment: Option<String>,
    validation_split: f64,
    epochs: Option<usize>,
    batch_size: usize,
    steps_per_epoch: Option<usize>,
    validation_steps: Option<usize>,
    optimizer: String,
    learning_rate: Option<f64>,
    schedule: String,
    warm_up: u64,
    loss: Option<String>,
    monitor: String,
    early_stopping: Option<usize>,
    reduce_on_plateau: Option<usize>,
    plateau_factor: f64,
    balanced: bool,
    class_weights: Vec<(String, f32)>,
    label_smoothing: f32,
    weight_decay: f32,
    clip_norm: Option<f32>,
    ema: Option<f32>,
    on_nan: String,
    strict: bool,
    seed: u64,
}

/// Images and their targets in memory.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Arrays<'py> {
    images: Bytes<'py>,
    labels: Vec<usize>,
    /// One row of targets per image; none for classification.
    rows: Option<Floats<'py>>,
    /// `classify`, `multilabel` or `regress`.
    task: String,
    names: Vec<String>,
}

impl Arrays<'_> {
    fn take(self) -> PyResult<LabeledImages> {
        let &[_, height, width, channels] = self.images.shape() else {
            return Err(exception(&Error::argument(format!("images have the shape {:?}", self.images.shape()))));
        };
        let (shape, pixels, names) = ([height, width, channels], values(&self.images)?, self.names);
        let rows = self.rows.as_ref().map(values).transpose()?.unwrap_or_default();
        let set = match self.task.as_str() {
            "multilabel" => LabeledImages::with_labels(shape, pixels, rows, names),
            "regress" => LabeledImages::with_values(shape, pixels, rows, names),
            _ => LabeledImages::new(shape, pixels, self.labels, names),
        };
        set.map_err(|error| exception(&error))
    }
}

/// The data to train on.
enum Data {
    Mnist,
    Folder(PathBuf),
    Arrays(Box<LabeledImages>, Option<Box<LabeledImages>>),
}

/// Training and validation images.
enum Images {
    Split(Box<LabeledImages>, Split),
    Pair(Box<LabeledImages>, Box<LabeledImages>),
    Folder(Box<Folder>),
}

/// A callback that reports progress, and stops the training on request.
struct Watcher(Watch);

impl Callback for Watcher {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        Progress::update(&mut self.0, step)
    }
}

impl TrainOptions {
    fn known(&self) -> Result<&'static Architecture> {
        applications::find(&self.model)
    }

    fn start_options(&self) -> Result<StartOptions> {
        let fits = [("stretch", Fit::Stretch), ("crop", Fit::Crop), ("pad", Fit::Pad)];
        Ok(StartOptions {
            size: self.size,
            channels: self.channels,
            fit: self.fit.as_deref().map(|name| named("fit", name, &fits)).transpose()?,
            preprocessing: self.preprocessing.as_deref().map(str::parse).transpose()?,
            cut: self.cut.clone(),
            head: self.head.as_deref().map(str::parse::<Head>).transpose()?,
            unfreeze: self.unfreeze.clone(),
        })
    }

    /// The network to start from: a model to train further, a base model, or a known network.
    fn start(&self, base: Option<Arc<lucida::Model>>, continued: Option<Arc<lucida::Model>>) -> Result<TrainStart> {
        let options = self.start_options()?;
        if let Some(model) = continued {
            return TrainStart::continued((*model).clone(), options.unfreeze);
        }
        if let Some(model) = base {
            return TrainStart::base((*model).clone(), None, &options);
        }
        let known = self.known()?;
        let weights = match self.weights.as_str() {
            "none" => return self.scratch(known, &options),
            "imagenet" if !is_builtin(known) && published(known, true).is_err() => {
                return self.scratch(known, &options);
            }
            "imagenet" => None,
            file => Some(PathBuf::from(file)),
        };
        let size = Some(self.size.unwrap_or_else(|| base_size(known)));
        let spec = ModelSpec { weights, size, top: IncludeTop::Unneeded, ..ModelSpec::new(&self.model) };
        TrainStart::base(open(&spec)?, Some(known), &options)
    }

    fn scratch(&self, known: &'static Architecture, options: &StartOptions) -> Result<TrainStart> {
        if self.cut.is_some() || self.head.is_some() || self.unfreeze.is_some() {
            let what = "cut, head and unfreeze need a pretrained network";
            return Err(Error::argument(format!("{what}; {} is trained from scratch", self.model)));
        }
        TrainStart::scratch(known, options)
    }

    fn optimizer(&self) -> Result<Optimizer> {
        let adam = match self.weight_decay {
            decay if decay > 0.0 => Optimizer::adam().with_weight_decay(decay),
            _ => Optimizer::adam(),
        };
        let nesterov = Optimizer::Sgd { momentum: 0.9, nesterov: true };
        let known =
            [("adam", adam), ("rmsprop", Optimizer::rmsprop()), ("sgd", Optimizer::sgd()), ("nesterov", nesterov)];
        named("optimizer", &self.optimizer, &known)
    }

    fn learning_rate(&self, rate: f64, steps: u64) -> Result<Schedule> {
        let constant = Schedule::constant(rate);
        let known = [("constant", constant), ("cosine", Schedule::cosine(rate, steps.saturating_sub(self.warm_up)))];
        Ok(named("schedule", &self.schedule, &known)?.with_warm_up(self.warm_up))
    }

    fn class_weights(&self, train: &dyn Dataset) -> Result<Vec<f32>> {
        let names = train.class_names();
        if self.balanced {
            return Ok(balanced_class_weights(&train.labels(), names.len()));
        }
        if let Some((unknown, _)) = self.class_weights.iter().find(|(name, _)| !names.contains(name)) {
            let what = format!("class_weight: there is no class {unknown:?}; the classes are {}", names.join(", "));
            return Err(Error::argument(what));
        }
        if self.class_weights.is_empty() {
            return Ok(Vec::new());
        }
        let of =
            |name: &String| self.class_weights.iter().find(|(known, _)| known == name).map_or(1.0, |found| found.1);
        Ok(names.iter().map(of).collect())
    }

    /// The training configuration. `frozen`: whether part of the network is frozen.
    fn config(&self, frozen: bool, train: &dyn Dataset, network: &TransferModel) -> Result<TrainConfig> {
        let (epochs, rate, _) = if frozen { HEAD } else { WHOLE };
        let (epochs, rate) = (self.epochs.unwrap_or(epochs), self.learning_rate.unwrap_or(rate));
        let steps = self.steps_per_epoch.unwrap_or(train.len().div_ceil(self.batch_size.max(1)));
        let monitors =
            [("loss", Monitor::Loss), ("accuracy", Monitor::Accuracy), ("f1", Monitor::F1), ("auc", Monitor::Auc)];
        let config = TrainConfig {
            epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate(rate, (epochs * steps) as u64)?,
            optimizer: self.optimizer()?,
            seed: self.seed,
            steps_per_epoch: self.steps_per_epoch,
            validation_steps: self.validation_steps,
            loss: self.loss.as_deref().map(str::parse).transpose()?,
            monitor: named("monitor", self.monitor.trim_start_matches("val_"), &monitors)?,
            class_weights: self.class_weights(train)?,
            label_smoothing: self.label_smoothing,
            // Adam's own weight decay is already decoupled.
            weight_decay: if self.optimizer == "adam" { 0.0 } else { self.weight_decay },
            clip_norm: self.clip_norm,
            ema: self.ema,
            on_nan: named("on_nan", &self.on_nan, &[("stop", OnNan::Stop), ("skip", OnNan::Skip)])?,
            param_group: network.unfrozen.as_ref().map(|_| ParamGroup {
                through: network.end_of_base().to_owned(),
                factor: (self.unfreeze_rate / rate).min(1.0),
            }),
            ..TrainConfig::default()
        };
        config.check(&network.model.network, train.targets())?;
        Ok(config)
    }

    fn trainer(&self, config: TrainConfig, frozen: bool, watch: &Watch) -> Result<Trainer<'static>> {
        let (_, _, patience) = if frozen { HEAD } else { WHOLE };
        let mut trainer = Trainer::new(config);
        let patience = self.early_stopping.unwrap_or(patience);
        if patience > 0 {
            trainer = trainer.callback(EarlyStopping::new(patience));
        }
        if let Some(patience) = self.reduce_on_plateau {
            trainer = trainer.callback(ReduceLrOnPlateau::new(patience, self.plateau_factor)?);
        }
        Ok(trainer.callback(Watcher(watch.clone())))
    }

    fn augment(&self) -> Result<Augment> {
        self.augment.as_deref().map_or(Ok(Augment::default()), str::parse)
    }

    /// Reads or splits the data. Digits and arrays are split like the digits of `lucida train mnist`.
    fn images(&self, data: Data, preprocessing: &Preprocessing, watch: &mut Watch) -> Result<Images> {
        let split = |set: LabeledImages| {
            let classes = set.class_names().len();
            let parts = stratified_split(&set.labels(), classes, self.validation_split, self.seed)?;
            Ok(Images::Split(Box::new(set), parts))
        };
        match data {
            Data::Mnist => split(Mnist::builtin()?.train),
            Data::Arrays(train, None) => split(*train),
            Data::Arrays(train, Some(validation)) => Ok(Images::Pair(train, validation)),
            Data::Folder(path) => {
                let builder = Folder::builder(path).labels(&LabelSource::default()).strict(self.strict);
                let builder = builder.split(self.validation_split, self.seed).keep(preprocessing, memory_to_keep());
                Ok(Images::Folder(Box::new(builder.progress(watch).open()?)))
            }
        }
    }
}

/// A trained model with its results.
struct Trained {
    model: lucida::Model,
    result: TrainResult,
    skipped: Vec<String>,
}

fn train_on(options: &TrainOptions, data: Data, start: TrainStart, watch: &mut Watch) -> Result<Trained> {
    let mut skipped = Vec::new();
    let (network, result) = match options.images(data, start.preprocessing()?, watch)? {
        Images::Split(set, Split { train, validation }) => {
            let (train, validation) = (Subset::new(&*set, train)?, Subset::new(&*set, validation)?);
            let validation = (!validation.is_empty()).then_some(&validation as &dyn Dataset);
            let mut job = Job::new(options, start, &train)?;
            let result = job.fit(&train, validation, watch)?;
            (job.network, result)
        }
        Images::Pair(train, validation) => {
            let mut job = Job::new(options, start, &*train)?;
            let result = job.fit(&*train, Some(&*validation), watch)?;
            (job.network, result)
        }
        Images::Folder(folder) => {
            skipped = folder.skipped().iter().map(|file| format!("{}: {}", file.path.display(), file.reason)).collect();
            let mut job = Job::new(options, start, &folder.train)?;
            let result = job.fit_folder(*folder, watch)?;
            (job.network, result)
        }
    };
    let base = network.record();
    let mut model = network.model;
    model.training = result.record.clone();
    if let Some(record) = model.training.as_object_mut() {
        let augment = options.augment()?;
        record.extend((!augment.is_none()).then(|| ("augment".to_owned(), augment.to_string().into())));
        record.extend(base.map(|base| ("base".to_owned(), base)));
    }
    Ok(Trained { model, result, skipped })
}

/// A training run: the data determined the network's head and the configuration.
struct Job<'a> {
    options: &'a TrainOptions,
    network: TransferModel,
    config: TrainConfig,
    frozen: bool,
}

impl<'a> Job<'a> {
    fn new(options: &'a TrainOptions, start: TrainStart, set: &dyn Dataset) -> Result<Self> {
        let frozen = start.is_frozen()?;
        let network = start.build(set, options.seed)?;
        let config = options.config(frozen, set, &network)?;
        Ok(Self { options, network, config, frozen })
    }

    fn trainer(&self, watch: &Watch) -> Result<Trainer<'static>> {
        self.options.trainer(self.config.clone(), self.frozen, watch)
    }

    fn fit(&mut self, train: &dyn Dataset, validation: Option<&dyn Dataset>, watch: &Watch) -> Result<TrainResult> {
        let (preprocessing, cpu) = (self.network.model.preprocessing()?.clone(), self.config.cpu);
        if self.network.standardizes() {
            self.network.standardize(&ImageSamples::new(train, &preprocessing, cpu.threads()), cpu)?;
        }
        self.fit_augmented(train, validation, watch)
    }

    fn fit_augmented(
        &mut self,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        watch: &Watch,
    ) -> Result<TrainResult> {
        let augmented = Augmented::new(train, self.options.augment()?, self.options.seed)?;
        self.trainer(watch)?.fit(&mut self.network.model, &augmented, validation)
    }

    /// Like the command line, computes the features of a frozen base once if images are not augmented, and keeps them in the
    /// cache folder.
    fn fit_folder(&mut self, mut folder: Folder, watch: &mut Watch) -> Result<TrainResult> {
        let augment = self.options.augment()?;
        let Some(layer) = self.network.cacheable_layer().map(str::to_owned) else {
            return self.fit(&folder.train, Some(&folder.validation), watch);
        };
        let cache = cache_folder()?.join("features");
        let mut cached = CachedFeatures::open(&self.network.model, &layer, cache, self.config.cpu)?;
        if self.network.standardizes() {
            cached.standardize(&mut self.network, &folder.train, watch)?;
        }
        if !augment.is_none() {
            return self.fit_augmented(&folder.train, Some(&folder.validation), watch);
        }
        cached.compute(&self.network.model, &folder, (&augment, 1, self.options.seed), watch)?;
        // The pixels are no longer needed.
        folder.train = folder.train.clone().without_cached_images();
        folder.validation = folder.validation.clone().without_cached_images();
        let (train, validation) = cached.sets(&folder)?;
        let mut tail = self.network.model.network.tail(self.network.cut_point)?;
        let result = self.trainer(watch)?.fit_network(&mut tail, &train, Some(&validation))?;
        let network = &mut self.network.model.network;
        let mut last = network.clone();
        last.load_weights_from(result.last)?;
        network.load_weights_from(tail)?;
        Ok(TrainResult { last, ..result })
    }
}

/// Trains on a folder, the built-in digits (`mnist`), or arrays. Returns the model, the history, and the signal that stopped
/// it, if any.
#[pyfunction]
pub(crate) fn train<'py>(
    py: Python<'py>,
    folder: Option<PathBuf>,
    arrays: Option<(Arrays<'py>, Option<Arrays<'py>>)>,
    base: Option<Bound<'py, Model>>,
    continued: Option<Bound<'py, Model>>,
    options: TrainOptions,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Model, Bound<'py, PyDict>, Option<PyErr>)> {
    let missing = folder.as_ref().is_some_and(|path| !path.exists());
    let data = match (folder, arrays) {
        (Some(path), _) if path.as_os_str() == "mnist" && !path.exists() => Data::Mnist,
        (Some(path), _) => Data::Folder(path),
        (None, Some((arrays, validation))) => {
            let validation = validation.map(Arrays::take).transpose()?;
            Data::Arrays(Box::new(arrays.take()?), validation.map(Box::new))
        }
        (None, None) => return Err(exception(&Error::argument("there is nothing to train on"))),
    };
    let [base, continued] = [base, continued].map(|model| model.map(|model| Arc::clone(&model.get().inner)));
    let done = run(py, progress, move |watch| {
        let start = options.start(base, continued)?;
        train_on(&options, data, start, watch)
    });
    let done = done.map_err(|error| match missing && error.is_instance_of::<InvalidValueError>(py) {
        true => MissingFileError::new_err(error.value(py).to_string()),
        false => error,
    })?;
    let Trained { model, result, skipped } = done.result;
    let history = PyDict::new(py);
    let epochs = serde_json::to_string(&result.history.epochs).unwrap_or_default();
    history.set_item("epochs", epochs)?;
    history.set_item("best_epoch", result.best_epoch)?;
    history.set_item("stopped_early", result.stopped_early)?;
    history.set_item("interrupted", result.interrupted)?;
    history.set_item("skipped", skipped)?;
    Ok((Model::new(model), history, done.stopped_by))
}

/// Images as bytes, and their class indices.
type Labeled<'py> = (Bound<'py, PyArrayDyn<u8>>, Bound<'py, PyArrayDyn<i64>>);

/// The built-in digits: images `[count, 28, 28, 1]` as bytes, and class indices `[count]`.
#[pyfunction]
pub(crate) fn digits(py: Python<'_>) -> PyResult<Labeled<'_>> {
    let (pixels, labels) = run_quietly(py, || {
        let set = Mnist::builtin()?.train;
        let pixels = (0..set.len()).flat_map(|index| set.pixels(index).to_vec()).collect::<Vec<u8>>();
        Ok((pixels, set.labels().into_iter().map(|label| label as i64).collect::<Vec<_>>()))
    })?;
    let count = labels.len();
    Ok((array(py, &[count, 28, 28, 1], pixels)?, array(py, &[count], labels)?))
}
