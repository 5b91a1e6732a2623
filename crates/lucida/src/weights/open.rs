//! Opening the model given on a command line: a file, a run folder, or the name of a known network.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::builtin::{builtin_classifier, is_builtin, name_imagenet_classes};
use super::format::{Format, fill, inspect_file, load_known, read_model};
use super::hub::{self, Hub, State};
use super::model_file::ModelFile;
use super::modules::AssertedNetwork;
use super::{Inspection, Model, ModelSettings, Note, Task, TensorInfo, builtin_vgg16_at, modules};
use crate::data::PreprocessingChoice;
use crate::nn::Network;
use crate::nn::applications::{self, Architecture, Options};
use crate::{Error, Result, files};

/// The name of the built-in VGG16 blocks: see [`builtin_vgg16_at`].
pub const BUILTIN: &str = "vgg16-builtin";
/// Its default input size.
const BUILTIN_SIZE: [usize; 2] = [224, 224];
/// Maximum number of tensors in a message.
const MAX_NAMED: usize = 8;
/// The model file in a run folder.
const IN_RUN: &str = "model.safetensors";

/// Whether the classifier of a network is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeTop {
    /// Needed, for classification.
    #[default]
    Needed,
    /// Not needed, but used if present.
    Optional,
    /// Not needed: the smaller file without it is sufficient, and the outputs are unchanged.
    Unneeded,
    /// Whatever the file has, with unchanged outputs: no softmax is added.
    Unchanged,
}

/// The specification of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelSpec {
    /// A model file, a run folder, the name of a known network, or [`BUILTIN`].
    pub model: String,
    /// For the name of a network: the file with its weights. By default, they are expected in the cache.
    pub weights: Option<PathBuf>,
    /// For a file with weights but no network: the name of its network.
    pub network: Option<String>,
    /// Height and width of the input in pixels; `None` for the model's default.
    pub size: Option<[usize; 2]>,
    /// Whether the classifier is needed.
    pub top: IncludeTop,
    /// The preprocessing, to set or override that of the model.
    pub preprocessing: Option<PreprocessingChoice>,
    /// The file with the class names: see [`read_class_names`](super::read_class_names).
    pub classes: Option<PathBuf>,
    /// The task, if it should not be inferred.
    pub task: Option<Task>,
}

/// A resolved specification.
enum ResolvedModel {
    File(PathBuf),
    /// [`BUILTIN`].
    Blocks,
    /// The built-in classifier.
    Classifier(&'static Architecture),
    Known(AssertedNetwork, Option<PathBuf>),
}

/// Opens a model with its weights.
///
/// # Errors
/// [`Error::Argument`] when neither a file nor a network has this name; [`Error::NotFetched`] when the weights are not in
/// the cache. Otherwise as [`load_model_at`](super::load_model_at) and [`load_weights`](super::load_weights).
pub fn open(spec: &ModelSpec) -> Result<Model> {
    open_as(spec, None)
}

/// As [`open`], with these settings instead of those in the file next to the model.
///
/// # Errors
/// As [`open`]; [`Error::Argument`] when the settings do not fit the model.
pub fn open_with(spec: &ModelSpec, settings: ModelSettings) -> Result<Model> {
    open_as(spec, Some(settings))
}

fn open_as(spec: &ModelSpec, settings: Option<ModelSettings>) -> Result<Model> {
    let meaning = spec.meaning()?;
    let is_known = matches!(meaning, ResolvedModel::Known(..));
    let (model, file) = match meaning {
        ResolvedModel::File(path) => (loaded(ModelFile::on_disk(&path), spec)?, Some(path)),
        ResolvedModel::Blocks => (blocks(spec)?, None),
        ResolvedModel::Classifier(known) => (fitted(builtin_classifier()?, known, Path::new(known.name), spec)?, None),
        ResolvedModel::Known(known, Some(weights)) => {
            (open_known(known, ModelFile::on_disk(&weights), spec)?, Some(weights))
        }
        ResolvedModel::Known(known, None) => {
            let weights = locate(known.known, spec.top)?;
            (open_known(known, ModelFile::on_disk(&weights), spec)?, None)
        }
    };
    let settings = match (settings, &file) {
        (Some(settings), _) => settings,
        (None, Some(file)) => ModelSettings::load(file)?.unwrap_or_default(),
        (None, None) => ModelSettings::default(),
    };
    let model = complete(model, file.as_deref(), settings, spec)?;
    let weights_only = is_known || file.is_some_and(|file| has_weights_only(ModelFile::on_disk(&file)));
    if weights_only { with_published_names(model) } else { Ok(model) }
}

/// Opens a model from a file anywhere: see [`open_files`](super::open_files()).
pub(super) fn open_file(file: ModelFile, spec: &ModelSpec) -> Result<Model> {
    let (model, is_known) = match &spec.network {
        None => (loaded(file, spec)?, false),
        Some(name) => {
            let (known, library) = applications::find_of(name)?;
            (open_known(AssertedNetwork { known, library }, file, spec)?, true)
        }
    };
    let model = complete(model, None, ModelSettings::default(), spec)?;
    if is_known || has_weights_only(file) { with_published_names(model) } else { Ok(model) }
}

/// Sets the class names that a known network was published with, unless the model has others.
pub(super) fn with_published_names(mut model: Model) -> Result<Model> {
    if model.class_names.is_empty() {
        name_imagenet_classes(&mut model)?;
    }
    Ok(model)
}

/// Whether a file has only weights, as known networks are published, so that the network was identified by them. A whole
/// model of another library may have a known name and its own thousand classes.
fn has_weights_only(file: ModelFile) -> bool {
    matches!(Format::of_file(file), Ok(Format::Torch | Format::Safetensors))
}

/// Completes a model with what its file lacks: preprocessing, class names and, if the classifier is needed, probabilities
/// as outputs. The caller's specification takes precedence over the file next to the model, and that over a guess.
pub(super) fn complete(
    mut model: Model,
    file: Option<&Path>,
    settings: ModelSettings,
    spec: &ModelSpec,
) -> Result<Model> {
    // The task determines the number of class names.
    model.task = spec.task.or(settings.task).or(model.task);
    let task = model.task;
    settings.apply(&mut model)?;
    match (&spec.classes, file) {
        (Some(classes), _) => model.set_class_names(classes)?,
        (None, Some(file)) if model.class_names.is_empty() => model.find_class_names(file),
        _ => {}
    }
    if model.preprocessing.is_none() {
        model.guess_preprocessing();
    }
    if let Some(choice) = &spec.preprocessing {
        model.preprocessing = Some(choice.apply(model.preprocessing()?.clone())?);
        model.notes.retain(|note| *note != Note::Preprocessing);
    }
    let as_it_is = matches!(spec.top, IncludeTop::Unneeded | IncludeTop::Unchanged);
    if !as_it_is || spec.task.is_some() { model.set_task(task) } else { Ok(model) }
}

/// Opens only the network; for a network's name, no weights are needed.
///
/// # Errors
/// As [`open`].
pub fn open_network(spec: &ModelSpec) -> Result<Network> {
    match spec.meaning()? {
        ResolvedModel::Known(AssertedNetwork { known, .. }, None) => {
            known.build(&Options { size: spec.size, ..Options::default() })
        }
        _ => Ok(open(spec)?.network),
    }
}

/// The file with the weights of a known network in the cache. One without the classifier is preferred if that is not
/// needed.
///
/// # Errors
/// [`Error::NotFetched`] when it is not in the cache, [`Error::NoWeights`] when none is published.
pub fn locate(known: &Architecture, top: IncludeTop) -> Result<PathBuf> {
    if hub::published(known, true).is_err() {
        return Err(Error::NoWeights { network: known.name });
    }
    let hub = Hub::from_env()?;
    if top != IncludeTop::Needed && known.parameters_without_top.is_some() {
        let is_cached_variant = |with_top| hub::published(known, with_top).is_ok_and(|file| is_cached(&hub, file));
        let with_top = is_cached_variant(true) && (top == IncludeTop::Unchanged || !is_cached_variant(false));
        return hub.locate(known, with_top);
    }
    hub.locate(known, true)
}

fn is_cached(hub: &Hub, file: &hub::PublishedFile) -> bool {
    matches!(hub.state(file), State::Present | State::Foreign(_))
}

impl ModelSpec {
    /// A specification with only a name or path.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), ..Self::default() }
    }

    /// The model's own file, next to which its settings are stored; `None` for built-in networks, and for a known network
    /// whose weights are in the cache.
    ///
    /// # Errors
    /// [`Error::Argument`] when neither a file nor a network has this name.
    pub fn file(&self) -> Result<Option<PathBuf>> {
        Ok(match self.meaning()? {
            ResolvedModel::File(path) => Some(path),
            ResolvedModel::Known(_, weights) => weights,
            ResolvedModel::Blocks | ResolvedModel::Classifier(_) => None,
        })
    }

    fn meaning(&self) -> Result<ResolvedModel> {
        let file = model_file(Path::new(&self.model));
        if let Some(name) = &self.network {
            if name == BUILTIN {
                return Err(Error::argument(format!(
                    "{BUILTIN} has weights of its own; a network is named to open a file of weights"
                )));
            }
            let (known, library) = applications::find_of(name)?;
            let missing = || {
                let near = did_you_mean(&self.model);
                Error::argument(format!("{}: no such weights file{near}", self.model))
            };
            let known = AssertedNetwork { known, library };
            return Ok(ResolvedModel::Known(known, Some(file.ok_or_else(missing)?)));
        }
        let meaning = match file {
            Some(path) => ResolvedModel::File(path),
            None if self.model == BUILTIN => ResolvedModel::Blocks,
            None => match applications::find_of(&self.model) {
                Ok((known, _)) if self.weights.is_none() && is_builtin(known) => ResolvedModel::Classifier(known),
                Ok((known, library)) => ResolvedModel::Known(AssertedNetwork { known, library }, self.weights.clone()),
                Err(unknown) => {
                    let name = &self.model;
                    let as_path = name.contains(['/', '\\', '.']);
                    let near = did_you_mean(name);
                    return Err(match unknown {
                        Error::UnknownNetwork { name, near: names, .. } if !as_path && near.is_empty() => {
                            Error::UnknownNetwork { name, near: names, file: true }
                        }
                        _ => Error::argument(format!("{name}: no such model file or run folder{near}")),
                    });
                }
            },
        };
        if let (Some(weights), ResolvedModel::File(_) | ResolvedModel::Blocks) = (&self.weights, &meaning) {
            return Err(Error::argument(format!(
                "{}: {} has weights of its own; a file of weights goes with the name of a network",
                weights.display(),
                self.model
            )));
        }
        Ok(meaning)
    }
}

/// The model file for a path, if it exists: in a run folder, that of the best epoch; in a TensorFlow.js export, its
/// `model.json`. A folder without a model is returned unchanged, so that its reader reports what is missing, unless it has
/// the name of a known network.
pub fn model_file(path: impl AsRef<Path>) -> Option<PathBuf> {
    let path = path.as_ref();
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            // A training run that was killed may have set the model aside.
            files::heal(path);
            let inside = [IN_RUN, "model.json"].map(|name| path.join(name)).into_iter().find(|file| file.exists());
            // A folder that happens to have a network's name does not hide the network.
            let known = path.to_str().is_some_and(|name| name == BUILTIN || applications::find(name).is_ok());
            inside.or_else(|| (!known).then(|| path.to_path_buf()))
        }
        Ok(_) => Some(path.to_path_buf()),
        // Other errors are reported by the reader.
        Err(error) if error.kind() != ErrorKind::NotFound => Some(path.to_path_buf()),
        Err(_) => None,
    }
}

/// A suggestion, if a file or folder with a similar name exists.
fn did_you_mean(name: &str) -> String {
    files::similar(name).map(|near| format!("; did you mean {}?", near.display())).unwrap_or_default()
}

/// Reads a model file at the wanted size; for a file with only weights, the error says what is missing.
fn loaded(file: ModelFile, spec: &ModelSpec) -> Result<Model> {
    let path = file.path();
    let model = read_model(file, spec.size).map_err(|problem| match inspect_file(file) {
        Ok(found) if found.architecture.is_none() && !modules::is_unfit(&problem) => {
            Error::WeightsOnly { path: path.to_path_buf(), problem: None }
        }
        _ => problem,
    })?;
    resized(model, path, spec.size)
}

fn blocks(spec: &ModelSpec) -> Result<Model> {
    let [height, width] = spec.size.unwrap_or(BUILTIN_SIZE);
    builtin_vgg16_at(height, width)
}

/// Changes the input size of a model.
pub(super) fn resized(model: Model, path: &Path, size: Option<[usize; 2]>) -> Result<Model> {
    let Some([height, width]) = size else { return Ok(model) };
    let name = |problem| match problem {
        Error::Argument(problem) => Error::file(path, format!("cannot take {height}x{width} pixels: {problem}")),
        problem => problem,
    };
    let network = model.network.with_input_size(height, width).map_err(name)?;
    let preprocessing = model.preprocessing.map(|preprocessing| preprocessing.with_size(height, width));
    Ok(Model { network, preprocessing, ..model })
}

/// A known network with the weights of a file, which determines whether there is a classifier, and the number of classes:
/// the variant that uses all tensors of the file, like [`load_model`] for a file that identifies its network.
fn open_known(asserted: AssertedNetwork, file: ModelFile, spec: &ModelSpec) -> Result<Model> {
    let (known, path) = (asserted.known, file.path());
    if let Some(model) = load_known(file, asserted)? {
        return fitted(model, known, path, spec);
    }
    let found = inspect_file(file)?;
    // Try with the classifier first: weights of a whole network can also be read into one without it, which ignores those
    // of the classifier.
    let mut attempts = vec![Options::default()];
    if known.parameters_without_top.is_some() {
        let classes = classes(&found).into_iter().filter(|&classes| classes != known.classes);
        attempts.extend(classes.map(|classes| Options::default().classes(classes)));
        attempts.push(Options { size: spec.size, ..Options::without_top() });
    }
    let mut nearest: Option<(usize, Error)> = None;
    for options in attempts {
        let mut model = Model::of_architecture(known, &options)?;
        // Report the problem of the variant with the closest number of parameters.
        let distance = model.network.parameters().0.abs_diff(found.parameters());
        let problem = match fill(file, &mut model.network) {
            Ok(unused) if unused.is_empty() => return fitted(model, known, path, spec),
            Ok(unused) => {
                let names: Vec<String> = unused.iter().take(MAX_NAMED).map(|name| format!("{name:?}")).collect();
                let more = if unused.len() > MAX_NAMED { ", ..." } else { "" };
                let (name, names) = (known.name, names.join(", "));
                Error::file(path, format!("does not fit network {name}: {names}{more} belong to none of its layers"))
            }
            Err(problem) => problem,
        };
        if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            nearest = Some((distance, problem));
        }
    }
    Err(nearest.map_or_else(|| Error::Bug("no way to load weights was tried".into()), |(_, problem)| problem))
}

/// The possible numbers of classes of a file's classifier, from the lengths of its bias. The classifier is named
/// `predictions`, or is one of the dense layers, or the convolution that Keras numbered last, or the last layer in the
/// file.
fn classes(found: &Inspection) -> Vec<usize> {
    let bias_of = |tensor: &TensorInfo| match tensor.shape[..] {
        [classes] if classes > 0 => Some(classes),
        _ => None,
    };
    let named = |tensor: &&TensorInfo| tensor.name.contains("predictions") && tensor.name.contains("bias");
    if let Some(classes) = found.tensors.iter().find(named).and_then(bias_of) {
        return vec![classes];
    }
    let of = |name: &str| name.rsplit_once('/').map(|(layer, _)| layer.to_owned());
    let has_bias = |kernel: &&TensorInfo| {
        let outputs = kernel.shape.last();
        let in_layer = of(&kernel.name).is_some();
        in_layer
            && found.tensors.iter().any(|bias| of(&bias.name) == of(&kernel.name) && bias_of(bias).as_ref() == outputs)
    };
    let dense = found.tensors.iter().filter(|tensor| tensor.shape.len() == 2).filter(has_bias);
    let pointwise = found.tensors.iter().filter(|tensor| matches!(tensor.shape[..], [1, 1, _, _])).filter(has_bias);
    let last_pointwise = pointwise.max_by_key(|kernel| (kernel.name.len(), &kernel.name));
    let mut classes: Vec<usize> =
        dense.chain(last_pointwise).filter_map(|kernel| kernel.shape.last().copied()).collect();
    classes.extend(found.tensors.last().and_then(bias_of));
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// Adapts a loaded network to the specification: checks for the classifier if it is needed, and sets the requested size.
pub(super) fn fitted(model: Model, known: &Architecture, path: &Path, spec: &ModelSpec) -> Result<Model> {
    if model.network.output()?.shape().as_flat().is_none() {
        if spec.top != IncludeTop::Needed {
            return resized(model, path, spec.size);
        }
        return Err(Error::NoClassifier { path: path.to_path_buf(), network: known.name });
    }
    if let (Some(size), IncludeTop::Unneeded, Some(_)) = (spec.size, spec.top, known.parameters_without_top) {
        if model.network.input_shape()?.as_image().is_some_and(|[height, width, _]| [height, width] == size) {
            return Ok(model);
        }
        if let Ok(whole) = resized(model.clone(), path, spec.size) {
            return Ok(whole);
        }
        // A classifier that requires a fixed size is dropped.
        let mut network = known.build(&Options { size: spec.size, ..Options::without_top() })?;
        network.replace_with(model.network)?;
        let preprocessing = model.preprocessing.map(|preprocessing| preprocessing.with_size(size[0], size[1]));
        let [height, width] = size;
        let note =
            Note::Other(format!("the classifier of {} does not take {height}x{width}: it is left out", known.name));
        let notes = [model.notes, vec![note]].concat();
        return Ok(Model { network, preprocessing, class_names: Vec::new(), notes, ..model });
    }
    resized(model, path, spec.size)
}

#[cfg(test)]
mod tests;
