//! Settings that the file of a model may lack: preprocessing, class names, and task. They can be shown, previewed on an
//! image, used, and saved in the settings file next to the model.

use std::fs::{self, OpenOptions};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lucida::Error;
use lucida::data::{ColorMode, Preprocessing, PreprocessingChoice};
use lucida::explain::ClassScore;
use lucida::nn::layers::ActivationKind;
use lucida::nn::{Inference, Network, Plan};
use lucida::weights::{Model, ModelSettings, ModelSpec, Note, Task, parse_class_names, settings_file};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoded::data_url;
use super::jobs::read;
use crate::images::downscaled;
use crate::models::{Entry, Loaded, classes_of};
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum length of a preprocessing, and of a class name.
const TEXT: usize = 200;
/// Maximum number of predictions in a preview, or of outputs if there are no classes.
const SHOWN: usize = 5;
/// Maximum side of a preview's image, in pixels.
const SIDE: usize = 384;

/// The settings of a model.
#[derive(Serialize)]
pub(crate) struct Current {
    /// In the syntax of `--preprocessing`; `None` if the network takes no images.
    preprocessing: Option<String>,
    /// The preprocessing, for display.
    description: Option<String>,
    /// Channels of the input.
    channels: Option<usize>,
    /// Whether the preprocessing is only assumed.
    assumed: bool,
    notes: Vec<String>,
    class_names: Vec<String>,
    /// Expected number of class names; `None` if the output cannot be classes.
    classes: Option<usize>,
    task: Option<Task>,
    /// The tasks to choose from; empty if the output layer determines the task.
    tasks: Vec<&'static str>,
    /// Why the settings cannot be changed.
    fixed: Option<String>,
    /// Why they cannot be saved.
    unsaved: Option<String>,
    /// Name of the file that they are saved in.
    file: Option<String>,
}

/// The settings of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSettings {
    preprocessing: String,
    /// One name per line, or JSON; blank for the model's own.
    classes: String,
    task: Option<Task>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewRequest {
    image: String,
    settings: NewSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    settings: NewSettings,
    /// Whether to write them next to the model.
    save: bool,
}

/// Input and prediction of a network with other settings.
#[derive(Serialize)]
pub(crate) struct Preview {
    width: usize,
    height: usize,
    /// A data URL.
    image: String,
    description: String,
    channels: Vec<Channel>,
    /// The most probable classes; empty if the network is not a classifier.
    predictions: Vec<Prediction>,
    /// The first outputs of a network that is not a classifier.
    outputs: Vec<f32>,
}

/// The values of one channel of an input.
#[derive(Serialize)]
struct Channel {
    name: &'static str,
    low: f32,
    mean: f32,
    high: f32,
}

#[derive(Serialize)]
struct Prediction {
    name: String,
    probability: f32,
}

/// Returns the settings of a model.
pub(crate) async fn show(State(studio): State<Arc<Studio>>, Path(model): Path<String>) -> Result<Json<Current>> {
    let show = move |studio: &Studio| current(studio, &model).map(Json);
    studio.compute(show).await.map_err(Problem::into_bad_request)
}

/// Tries other settings on an image, without changing anything.
pub(crate) async fn preview(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Preview>> {
    let PreviewRequest { image, settings } = read(body).map_err(Problem::into_bad_request)?;
    let preview = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let settings = settings.read(&loaded.model)?;
        let named = settings.class_names.is_empty() || settings.class_names == loaded.model.class_names;
        if named && settings.task == loaded.model.task {
            let preprocessing = settings.preprocessing.as_ref();
            return previewed(studio, &loaded.model, preprocessing, &image).map(Json);
        }
        // The task changes the output layer, and class names may change the task.
        let other = studio.models.find(&model)?.open(Some(settings))?;
        previewed(studio, &other, other.preprocessing.as_ref(), &image).map(Json)
    };
    studio.compute(preview).await.map_err(Problem::into_bad_request)
}

/// Uses settings for a model from now on, and saves them if requested.
pub(crate) async fn change(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Current>> {
    let ChangeRequest { settings, save } = read(body).map_err(Problem::into_bad_request)?;
    let change = move |studio: &Studio| {
        let entry = studio.models.find(&model)?;
        let spec = entry.own().map_err(Problem::invalid)?;
        let settings = settings.read(&studio.models.get(&model)?.model)?;
        // Reject settings that do not fit the model before storing anything.
        entry.open(Some(settings.clone()))?;
        if save {
            let file = own_file(spec).map_err(Problem::invalid)?;
            settings.save(&file).map_err(not_saved)?;
        }
        studio.models.set(&model, settings);
        current(studio, &model).map(Json)
    };
    studio.compute(change).await.map_err(Problem::into_bad_request)
}

impl NewSettings {
    /// Parses the settings, and checks that they fit the model.
    fn read(&self, model: &Model) -> Result<ModelSettings> {
        if self.preprocessing.len() > TEXT {
            return Err(Problem::invalid(format!("preprocessing: more than {TEXT} characters")));
        }
        let base = model.preprocessing()?;
        let changed = self.preprocessing.parse::<PreprocessingChoice>()?.apply(base.clone())?;
        // The text does not specify whether images are normalized as digits.
        let preprocessing = Some(Preprocessing { digit: base.digit, ..changed });
        Ok(ModelSettings { preprocessing, class_names: self.class_names(model)?, task: self.task })
    }

    fn class_names(&self, model: &Model) -> Result<Vec<String>> {
        if self.classes.trim().is_empty() {
            return Ok(Vec::new());
        }
        let Some(expected) = expected_classes(model) else {
            return Err(Problem::invalid("class names: the output of this network is not a list of classes"));
        };
        let names =
            parse_class_names(&self.classes).map_err(|error| Problem::invalid(format!("class names: {error}")))?;
        if names.len() != expected {
            let got = names.len();
            return Err(Problem::invalid(format!("class names: {got} given, {expected} expected")));
        }
        match names.iter().any(|name| name.chars().count() > TEXT) {
            true => Err(Problem::invalid(format!("class names: a name has more than {TEXT} characters"))),
            false => Ok(names),
        }
    }
}

fn current(studio: &Studio, id: &str) -> Result<Current> {
    let entry = studio.models.find(id)?;
    let loaded = studio.models.get(id)?;
    let model = &loaded.model;
    let own = match model.preprocessing() {
        Ok(_) => entry.own(),
        Err(problem) => Err(problem.to_string()),
    };
    let file = own.clone().and_then(own_file);
    let name = |file: &PathBuf| settings_file(file).file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Current {
        preprocessing: model.preprocessing.as_ref().map(Preprocessing::to_string),
        description: model.preprocessing.as_ref().map(Preprocessing::describe),
        channels: model.preprocessing.as_ref().map(|preprocessing| preprocessing.color.channels()),
        assumed: is_assumed(&entry, &loaded),
        notes: model.notes.iter().map(Note::to_string).collect(),
        class_names: model.class_names.clone(),
        classes: expected_classes(model),
        task: model.task,
        tasks: open_tasks(&loaded),
        fixed: own.err(),
        file: file.as_ref().ok().and_then(name),
        unsaved: file.err(),
    })
}

/// Whether this is the user's own model and its preprocessing is only assumed.
pub(crate) fn is_assumed(entry: &Entry, loaded: &Loaded) -> bool {
    entry.own().is_ok() && loaded.model.notes.contains(&Note::Preprocessing)
}

fn expected_classes(model: &Model) -> Option<usize> {
    model.network.output().ok()?.shape().as_flat()?;
    model.classes_by_shape().ok()
}

/// Returns all tasks, or none if the output layer determines the task and the user has not changed it.
fn open_tasks(loaded: &Loaded) -> Vec<&'static str> {
    let Ok(output) = loaded.model.network.output() else { return Vec::new() };
    let is_plain = matches!(
        (output.activation(), output.shape().len()),
        (ActivationKind::Softmax, 2..) | (ActivationKind::Sigmoid, 1)
    );
    let was_changed =
        loaded.model.task.is_some() || loaded.model.notes.iter().any(|note| matches!(note, Note::Task(_)));
    if output.shape().as_flat().is_none() || (is_plain && !was_changed) {
        return Vec::new();
    }
    Task::ALL.into_iter().map(|(name, _)| name).collect()
}

/// Returns the model file next to which settings are saved, or why they cannot be saved.
fn own_file(spec: &ModelSpec) -> Result<PathBuf, String> {
    let found = spec.file().map_err(|problem| problem.to_string())?;
    let file = found.ok_or_else(|| format!("{} is not stored in a file", spec.model))?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => FilePath::new("."),
    };
    if can_write(folder) { Ok(file) } else { Err("the folder of the model is read-only".to_owned()) }
}

/// Whether files can be created in a folder. Only trying shows it: permission bits do not cover read-only file systems and
/// access control lists.
fn can_write(folder: &FilePath) -> bool {
    // A page's folders have no permissions, which reads as read-only.
    if cfg!(target_family = "wasm") {
        return true;
    }
    if fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().readonly()) {
        return false;
    }
    let probe = folder.join(format!(".lucida-{}.part", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&probe).is_ok();
    made && fs::remove_file(&probe).is_ok()
}

fn not_saved(error: Error) -> Problem {
    match error {
        Error::Io { source, .. } => {
            Problem::new(StatusCode::CONFLICT, format!("the settings cannot be saved: {source}"))
        }
        other => other.into(),
    }
}

fn previewed(studio: &Studio, model: &Model, preprocessing: Option<&Preprocessing>, image: &str) -> Result<Preview> {
    let image = studio.image(image)?;
    let Some(preprocessing) = preprocessing else { return Err(Problem::invalid("the network takes no images")) };
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    preprocessing.apply(&image, &mut input)?;
    let shown = preprocessing.to_image(&input)?;
    let (width, height) = (shown.width(), shown.height());
    let is_classifier = classes_of(model) > 0;
    Ok(Preview {
        width,
        height,
        image: data_url(&downscaled(shown, SIDE)?)?,
        description: preprocessing.describe(),
        channels: channels(&input, preprocessing.color),
        predictions: if is_classifier { predictions(studio, model, &input)? } else { Vec::new() },
        outputs: if is_classifier { Vec::new() } else { outputs(studio, &model.network, &input)? },
    })
}

fn channels(input: &[f32], color: ColorMode) -> Vec<Channel> {
    let names: &[&str] = match color {
        ColorMode::Grayscale => &["Gray"],
        ColorMode::Rgb => &["Red", "Green", "Blue"],
        ColorMode::Bgr => &["Blue", "Green", "Red"],
    };
    let values = |channel| input.iter().skip(channel).step_by(names.len()).copied();
    let of = |(channel, &name)| Channel {
        name,
        low: values(channel).fold(f32::INFINITY, f32::min),
        mean: (values(channel).map(f64::from).sum::<f64>() / values(channel).count() as f64) as f32,
        high: values(channel).fold(f32::NEG_INFINITY, f32::max),
    };
    names.iter().enumerate().map(of).collect()
}

fn predictions(studio: &Studio, model: &Model, input: &[f32]) -> Result<Vec<Prediction>> {
    let found = ClassScore::outputs(model, &[input], studio.cpu)?.pop().unwrap_or_default();
    let mut all: Vec<(usize, f32)> = found.into_iter().enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named = |&(class, probability): &(usize, f32)| Prediction { name: model.class_name(class), probability };
    Ok(all.iter().take(SHOWN).map(named).collect())
}

/// Returns the first values of a flat output.
fn outputs(studio: &Studio, network: &Network, input: &[f32]) -> Result<Vec<f32>> {
    let Ok(output) = network.output() else { return Ok(Vec::new()) };
    if output.shape().as_flat().is_none() {
        return Ok(Vec::new());
    }
    let mut inference = Inference::new(Plan::builder(network).cpu(studio.cpu).output(output.name()))?;
    Ok(inference.run(1, input)?.flatten().take(SHOWN).copied().collect())
}
