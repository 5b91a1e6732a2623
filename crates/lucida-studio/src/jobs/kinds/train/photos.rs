//! Training on a folder of photos: a small network from scratch, or a new head on a pretrained network.

use std::path::Path;

use lucida::data::{Dataset, Folder, memory_to_keep, save_skipped};
use lucida::nn::applications::{self, Architecture};
use lucida::train::{
    FeatureSet, FeatureStore, ImageSamples, Origin, StartOptions, TrainResult, TrainStart, TransferModel, base_size,
    evaluate_samples, features_of_base, image_keys,
};
use lucida::weights::{BUILTIN, CLASSIFIER, IncludeTop, ModelSpec, hub, locate, open};
use lucida::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::training_job::{TrainingData, TrainingJob};
use crate::data::Source;
use crate::problem::{self, Problem};
use crate::state::Studio;

/// Height and width of the input in pixels.
const SIZE: usize = 150;
/// The network that is trained from scratch.
const SCRATCH: &str = "basic-cnn";
/// Validation fraction for a folder without a validation part.
const VALIDATION: f64 = 0.2;

/// A network to choose, with a short description.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NetworkChoice {
    name: &'static str,
    title: String,
}

/// Lists the networks that can be trained on photos. Those whose weights must be downloaded are included once they are.
pub(crate) fn networks() -> Vec<NetworkChoice> {
    let base =
        |known: &&Architecture| hub::published(known, true).is_ok() && locate(known, IncludeTop::Unneeded).is_ok();
    let mut choices = vec![
        NetworkChoice { name: CLASSIFIER, title: "A new head on the built-in classifier, EfficientNet-Lite0".into() },
        NetworkChoice { name: SCRATCH, title: "A small network, from scratch".into() },
        NetworkChoice { name: BUILTIN, title: "A new head on the first blocks of VGG16".into() },
    ];
    choices.extend(
        applications::ALL
            .iter()
            .filter(base)
            .map(|known| NetworkChoice { name: known.name, title: format!("A new head on {}", known.name) }),
    );
    choices
}

/// Checks that there are photos with at least two classes, and that the network is one of [`networks`].
pub(super) fn check(studio: &Studio, network: Option<&str>) -> problem::Result<()> {
    let photos = studio.data.photos()?;
    let photos =
        photos.ok_or_else(|| Problem::invalid("there is no folder of photos: start the studio with --data DIR"))?;
    if !photos.is_classified() || photos.class_names().len() < 2 {
        return Err(Problem::invalid("the folder of photos needs at least two sub-folders, one per class"));
    }
    let known = networks();
    match network {
        Some(name) if !known.iter().any(|choice| choice.name == name) => {
            let names: Vec<&str> = known.iter().map(|choice| choice.name).collect();
            Err(Problem::invalid(format!("the network must be one of {}", names.join(", "))))
        }
        _ => Ok(()),
    }
}

pub(super) fn learn(training: &mut TrainingJob, source: Option<&Source>, features: Option<&Path>) -> Result<Value> {
    let Some(Source::Folder(path)) = source else { return Err(Error::argument("there is no folder of photos")) };
    let (request, cpu, job) = (training.request, training.cpu, training.job);
    let name = request.network.as_deref().unwrap_or(CLASSIFIER);
    let start = start(name)?;
    let preprocessing = start.preprocessing()?.clone();
    let mut reporter = job.reporter("listing the images");
    let mut builder = Folder::builder(path).split(VALIDATION, request.seed).cpu(cpu).progress(&mut reporter);
    if !start.is_frozen()? {
        builder = builder.keep(&preprocessing, memory_to_keep());
    }
    let folder = builder.open()?;
    if !folder.skipped().is_empty() {
        save_skipped(folder.skipped(), training.run.skipped())?;
        training
            .run
            .skipped()
            .file_name()
            .and_then(|name| name.to_str())
            .into_iter()
            .for_each(|name| job.publish_file(name));
    }
    training.skipped = folder.skipped().len();
    let training = &*training;
    let transfer = if let TrainStart::Base(_, transfer) = &start { Some(transfer) } else { None };
    let mut origin = Origin {
        data: path.clone(),
        validation_split: VALIDATION,
        seed: request.seed,
        model: Some(name.to_owned()),
        size: Some([preprocessing.height, preprocessing.width]),
        head: transfer.map(|transfer| transfer.head.to_string()),
        cut: transfer.and_then(|transfer| transfer.cut.clone()),
        images: Some([folder.train.len(), folder.validation.len()]),
        ..Origin::default()
    };
    origin.save(training.run.origin())?;
    let is_frozen = start.is_frozen()?;
    let mut network = start.build(&folder.train, request.seed)?;
    if !is_frozen {
        let model = &mut network.model;
        let samples = |set| ImageSamples::new(set, &preprocessing, cpu.threads());
        let (train, validation) = (samples(&folder.train), samples(&folder.validation));
        let whole = Some(model.clone());
        let data = TrainingData { train: &train, validation: &validation, images: &folder.validation, model: whole };
        let result = training.fit(&mut model.network, &data)?;
        let evaluation = evaluate_samples(&model.network, &validation, &all(&folder.validation), cpu)?;
        return training.finish((model, None), &result, &folder.validation, &evaluation);
    }
    let features = features
        .map_or_else(|| Ok(hub::cache_folder()?.join("features")), |folder| Ok::<_, Error>(folder.to_owned()))?;
    on_base(training, network, (&folder, &mut origin), &features)
}

/// Trains the head on the features that the frozen layers compute from each photo, once.
fn on_base(
    training: &TrainingJob,
    mut network: TransferModel,
    (folder, origin): (&Folder, &mut Origin),
    features: &Path,
) -> Result<Value> {
    let (cpu, job) = (training.cpu, training.job);
    let layer = network.cacheable_layer().ok_or_else(|| Error::Bug("a base without a layer".into()))?.to_owned();
    let mut store = FeatureStore::open(features, &network.model, &layer)?;
    let mut reporter = job.reporter("computing the features of the frozen layers");
    let (started, mut computed) = (std::time::Instant::now(), 0);
    let mut see = |set: &lucida::data::FolderSet| {
        let keys = image_keys(set);
        computed += features_of_base(&mut store, &network.model, &layer, (set, None, &keys), cpu, &mut reporter)?;
        Ok::<_, Error>(keys)
    };
    let (train, validation) = (vec![see(&folder.train)?], vec![see(&folder.validation)?]);
    origin.feature_seconds = Some(if computed > 0 { started.elapsed().as_secs_f64() } else { 0.0 });
    origin.save(training.run.origin())?;
    let train = FeatureSet::new(&store, &folder.train, &train)?;
    network.standardize(&train, cpu)?;
    let base = network.record();
    let validation = FeatureSet::new(&store, &folder.validation, &validation)?;
    let TransferModel { mut model, cut_point, .. } = network;
    let mut tail = model.network.tail(cut_point)?;
    let data = TrainingData { train: &train, validation: &validation, images: &folder.validation, model: None };
    let result = training.fit(&mut tail, &data)?;
    let evaluation = evaluate_samples(&tail, &validation, &all(&folder.validation), cpu)?;
    let mut last = model.network.clone();
    last.load_weights_from(result.last)?;
    model.network.load_weights_from(tail)?;
    training.finish((&mut model, base), &TrainResult { last, ..result }, &folder.validation, &evaluation)
}

/// Returns a network to train from scratch, or a base that gets a new head. InceptionV3 is cut at `mixed7`, whose features
/// still describe parts of objects; the others at their default layer.
fn start(name: &str) -> Result<TrainStart> {
    let known = applications::find(name).ok();
    if let Some(known) = known.filter(|known| known.name == SCRATCH) {
        return TrainStart::scratch(known, &StartOptions { size: Some([SIZE; 2]), ..StartOptions::default() });
    }
    let size = Some(known.map_or([SIZE; 2], base_size));
    let base = open(&ModelSpec { size, top: IncludeTop::Unneeded, ..ModelSpec::new(name) })?;
    let cut = name.starts_with("inception-v3").then(|| "mixed7".to_owned());
    TrainStart::base(base, known, &StartOptions { cut, ..StartOptions::default() })
}

fn all(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len()).collect()
}
