//! The list of models: the one given on the command line, those of runs, the built-in ones, and the known
//! architectures.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lucida::explain::{ReceptiveField, receptive_fields};
use lucida::nn::Plan;
use lucida::nn::applications::{self, Architecture, Options};
use lucida::weights::hub::{PublishedFile, published};
use lucida::weights::{
    BUILTIN, CLASSIFIER, IncludeTop, Model, ModelSettings, ModelSpec, OutputKind, Outputs, builtin_digits, is_builtin,
    locate, open, open_with, settings_file,
};
use sha2::{Digest, Sha256};

use crate::activations::Activations;
use crate::embedding::Embedding;
use crate::opened_models::{OpenedModel, OpenedModels};
use crate::problem::{Problem, Result};

/// Limits on loaded models: their number and their total parameters. If one model alone is larger, it is still kept.
const LOADED: usize = 3;
const PARAMETERS: usize = 150_000_000;
/// Seed of the random weights of untrained networks.
const SEED: u64 = 42;
/// The group of models that clients have opened.
const OPENED: &str = "Opened";
/// Maximum number of listed runs.
const RUNS: usize = 200;

/// Folder, within that of a run, of its weights after each epoch.
pub(crate) const EPOCHS: &str = "epochs";

/// A model of the list, not necessarily loaded.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Identifier in requests.
    pub(crate) id: String,
    /// Display name.
    pub(crate) name: String,
    /// Group in the list of models.
    pub(crate) group: &'static str,
    origin: Origin,
    /// Changes when the model does; derived from the modification time of its file.
    stamp: u128,
}

#[derive(Debug, Clone)]
enum Origin {
    Spec(ModelSpec),
    Untrained(&'static Architecture),
    /// The built-in digit classifier.
    Digits,
}

/// A model in memory.
pub(crate) struct Loaded {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) model: Model,
    /// Receptive fields of all layers; empty if the network does not take exactly one image.
    pub(crate) fields: Vec<ReceptiveField>,
    /// Whether its weights are trained, not random.
    pub(crate) trained: bool,
    /// Changes when the model file or its settings change.
    pub(crate) stamp: u128,
    /// The plan of the live view, built on first use.
    pub(crate) live: Mutex<Option<Plan>>,
    /// The activations of the overview, computed on first use.
    pub(crate) activations: Mutex<Option<Activations>>,
    /// The embedding of this number of images, computed on first use.
    pub(crate) embedding: Mutex<Option<(usize, Embedding)>>,
}

impl Loaded {
    /// Returns the name of a class.
    pub(crate) fn class_name(&self, class: usize) -> String {
        self.model.class_name(class)
    }

    /// Display name, with a note if the network is not trained.
    pub(crate) fn title(&self) -> String {
        if self.trained { self.name.clone() } else { format!("{} (not trained)", self.name) }
    }

    /// Number of classes or labels; 0 if the outputs are something else.
    pub(crate) fn classes(&self) -> usize {
        classes_of(&self.model)
    }

    /// Whether its inputs are handwritten digits.
    pub(crate) fn is_digits(&self) -> bool {
        self.model.preprocessing.as_ref().is_some_and(|preprocessing| preprocessing.digit)
    }

    /// Index of the node of a layer.
    pub(crate) fn node(&self, layer: &str) -> Result<usize> {
        self.model.network.find(layer).map_err(|error| Problem::not_found(error.to_string()))
    }
}

/// Returns the same as [`Loaded::classes`].
pub(crate) fn classes_of(model: &Model) -> usize {
    let outputs = Outputs::of(model).ok().filter(|outputs| outputs.kind() != OutputKind::Values);
    outputs.map_or(0, |outputs| outputs.count())
}

/// The list of models, and those in memory.
#[derive(Default)]
pub(crate) struct Models {
    given: Option<ModelSpec>,
    runs: PathBuf,
    /// Those that clients have opened.
    pub(crate) opened: OpenedModels,
    loaded: Mutex<Vec<Arc<Loaded>>>,
    /// Unsaved settings of this session, by model identifier.
    settings: Mutex<HashMap<String, ModelSettings>>,
}

impl Models {
    pub(crate) fn new(given: Option<ModelSpec>, runs: &Path) -> Self {
        let opened = OpenedModels::of(runs.join("studio").join("models"));
        Self { given, runs: runs.to_owned(), opened, ..Self::default() }
    }

    /// All models, the default one first.
    pub(crate) fn list(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(spec) = &self.given {
            let name = Path::new(&spec.model).file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|| spec.model.clone());
            let origin = Origin::Spec(spec.clone());
            let stamp =
                spec.file().ok().flatten().map_or(0, |file| stamp_of(format!("{spec:?}").as_bytes(), written(&file)));
            entries.push(Entry { id: "given".into(), name, group: "Command line", origin, stamp });
        }
        let mut runs = runs_in(&self.runs, "run");
        runs.extend(runs_in(&self.runs.join("studio"), "job"));
        runs.extend(self.opened.list().iter().map(Entry::opened));
        runs.sort_by(|a, b| b.stamp.cmp(&a.stamp).then_with(|| a.id.cmp(&b.id)));
        runs.truncate(RUNS);
        entries.extend(runs);
        entries.push(Entry::builtin(CLASSIFIER, "EfficientNet-Lite0, ImageNet classifier"));
        entries.push(Entry::digits());
        entries.push(Entry::builtin(BUILTIN, "VGG16, first three blocks"));
        entries.extend(applications::ALL.iter().filter(|known| !is_builtin(known)).map(Entry::known));
        entries
    }

    /// Finds a model: one of the list, or a run of the studio after an epoch (`job-0003@2`), which the list leaves out.
    pub(crate) fn find(&self, id: &str) -> Result<Entry> {
        if let Some((run, epoch)) = id.split_once('@') {
            return self.after_epoch(run, epoch);
        }
        let entry = self.list().into_iter().find(|entry| entry.id == id);
        entry.ok_or_else(|| Problem::not_found("there is no such model"))
    }

    /// Finds the weights of a run after an epoch, in decimal without leading zeros.
    fn after_epoch(&self, run: &str, epoch: &str) -> Result<Entry> {
        let is_number = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let job = run.strip_prefix("job-").filter(|job| is_number(job));
        let number = epoch.parse::<usize>().ok().filter(|number| number.to_string() == epoch);
        let (Some(job), Some(number)) = (job, number) else {
            return Err(Problem::not_found("there is no such model: a run after its second epoch is job-0001@2"));
        };
        let file = epoch_file(&self.runs.join("studio").join(job), number);
        let (stamp, path) = (written(&file), file.to_str());
        let Some(path) = path.filter(|_| stamp > 0) else {
            return Err(Problem::not_found(format!("the weights of run {job} after epoch {number} are not kept")));
        };
        Ok(Entry {
            id: format!("{run}@{epoch}"),
            name: format!("Run {job}, epoch {number}"),
            group: "Epochs",
            origin: Origin::Spec(ModelSpec::new(path)),
            stamp,
        })
    }

    /// Returns a model, loading it if necessary.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Loaded>> {
        let mut entry = self.find(id)?;
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        entry.stamp = entry.stamp_with(settings.as_ref());
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = loaded.iter().position(|model| model.id == id && model.stamp == entry.stamp) {
            let model = loaded.remove(at);
            loaded.push(Arc::clone(&model));
            return Ok(model);
        }
        let model = entry.open(settings)?;
        let trained = !matches!(entry.origin, Origin::Untrained(_));
        let fields = receptive_fields(&model.network).unwrap_or_default();
        let Entry { id, name, stamp, .. } = entry;
        loaded.retain(|model| model.id != id);
        let model = Arc::new(Loaded {
            id,
            name,
            model,
            fields,
            trained,
            stamp,
            live: Mutex::default(),
            activations: Mutex::default(),
            embedding: Mutex::default(),
        });
        loaded.push(Arc::clone(&model));
        let parameters = |models: &[Arc<Loaded>]| models.iter().map(|m| m.model.network.parameters().0).sum::<usize>();
        while loaded.len() > LOADED || (loaded.len() > 1 && parameters(&loaded) > PARAMETERS) {
            // A timeline goes through many epochs of a run: these make room before the models of other pages.
            let others = &loaded[..loaded.len() - 1];
            let oldest = others.iter().position(|model| model.id.contains('@')).unwrap_or(0);
            loaded.remove(oldest);
        }
        Ok(model)
    }

    /// Uses these settings for a model until the studio ends.
    pub(crate) fn set(&self, id: &str, settings: ModelSettings) {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), settings);
    }
}

impl Entry {
    fn builtin(id: &str, name: &str) -> Self {
        let origin = Origin::Spec(ModelSpec::new(id));
        Self { id: id.into(), name: name.into(), group: "Built in", origin, stamp: 0 }
    }

    fn digits() -> Self {
        let name = "Digit classifier (MNIST)".to_owned();
        Self { id: "digits".into(), name, group: "Built in", origin: Origin::Digits, stamp: 0 }
    }

    /// Creates the entry of a model that a client has opened.
    pub(crate) fn opened(OpenedModel { id, file }: &OpenedModel) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let origin = Origin::Spec(ModelSpec::new(file.to_string_lossy()));
        Self { id: id.clone(), name, group: OPENED, origin, stamp: written(file) }
    }

    /// Creates the entry of a known architecture: with the downloaded weights, or with random ones.
    fn known(known: &'static Architecture) -> Self {
        let with = |top, name: String| {
            let file = locate(known, top).ok()?;
            let origin = Origin::Spec(ModelSpec { top, ..ModelSpec::new(known.name) });
            Some(Self { id: known.name.into(), name, group: "Downloaded", origin, stamp: written(&file) })
        };
        let name = known.name.to_owned();
        let fetched = with(IncludeTop::Needed, name.clone())
            .or_else(|| with(IncludeTop::Unneeded, format!("{name}, without classifier")));
        fetched.unwrap_or_else(|| {
            let group = if published(known, true).is_ok() { "Not downloaded" } else { "Random weights" };
            Self { id: name.clone(), name, group, origin: Origin::Untrained(known), stamp: 0 }
        })
    }

    /// The published weights of an untrained network, which could be downloaded.
    pub(crate) fn unfetched(&self) -> Option<&'static PublishedFile> {
        let Origin::Untrained(known) = self.origin else { return None };
        published(known, true).ok()
    }

    /// The origin of the user's own model: the one given on the command line, or a run.
    pub(crate) fn own(&self) -> Result<&ModelSpec, String> {
        match &self.origin {
            Origin::Spec(spec) if ["Command line", "Runs", OPENED].contains(&self.group) => Ok(spec),
            _ => {
                Err(format!("the preprocessing of {} is fixed: only that of your own models can be changed", self.name))
            }
        }
    }

    /// Opens the model with these settings, or with those of its file and of the command line.
    pub(crate) fn open(&self, settings: Option<ModelSettings>) -> Result<Model> {
        match (&self.origin, settings) {
            (Origin::Digits, _) => Ok(builtin_digits()?),
            (Origin::Untrained(known), _) => Ok(Model::of_architecture(known, &Options::default().seed(SEED))?),
            (Origin::Spec(spec), Some(settings)) => {
                // The settings form starts from the values of the command line, so the submitted ones replace them.
                let spec = ModelSpec { preprocessing: None, classes: None, task: None, ..spec.clone() };
                Ok(open_with(&spec, settings)?)
            }
            (Origin::Spec(spec), None) => Ok(open(spec)?),
        }
    }

    /// Returns the stamp of the model with its settings.
    fn stamp_with(&self, settings: Option<&ModelSettings>) -> u128 {
        let Origin::Spec(spec) = &self.origin else { return self.stamp };
        if let Some(settings) = settings {
            return stamp_of(&serde_json::to_vec(settings).unwrap_or_default(), self.stamp);
        }
        let saved = spec.file().ok().flatten().map_or(0, |file| written(&settings_file(&file)));
        if saved == 0 { self.stamp } else { stamp_of(b"settings", self.stamp ^ saved) }
    }
}

/// The file with the weights of a run after an epoch, for the folder of the run.
pub(crate) fn epoch_file(run: &Path, epoch: usize) -> PathBuf {
    run.join(EPOCHS).join(format!("{epoch:04}.safetensors"))
}

/// Modification time of a file in nanoseconds; 0 if it does not exist.
pub(crate) fn written(file: &Path) -> u128 {
    let time = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_nanos())
}

/// Hashes bytes and a number into a stamp.
fn stamp_of(bytes: &[u8], number: u128) -> u128 {
    let hash = Sha256::new().chain_update(bytes).chain_update(number.to_le_bytes()).finalize();
    hash.iter().take(16).fold(0, |stamp, &byte| stamp << 8 | u128::from(byte))
}

/// Lists the folders that contain a model.
fn runs_in(folder: &Path, prefix: &str) -> Vec<Entry> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let Ok(folders) = fs::read_dir(folder) else { return Vec::new() };
    let entry = |path: PathBuf| {
        let name = path.file_name()?.to_str().filter(|name| name.chars().all(plain) && name.len() <= 100)?.to_owned();
        let written = fs::metadata(path.join("model.safetensors")).ok()?.modified().ok()?;
        let stamp = written.duration_since(UNIX_EPOCH).unwrap_or(SystemTime::UNIX_EPOCH.elapsed().ok()?).as_nanos();
        let title = if prefix == "job" { format!("Run {name}") } else { name.clone() };
        let spec = ModelSpec::new(path.to_str()?);
        Some(Entry { id: format!("{prefix}-{name}"), name: title, group: "Runs", origin: Origin::Spec(spec), stamp })
    };
    folders.flatten().filter_map(|folder| entry(folder.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_their_identifiers_only() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("mine");
        fs::create_dir(&run).unwrap();
        let model = Model::new(applications::mnist_cnn(1).unwrap());
        lucida::weights::save_model(&model, run.join("model.safetensors")).unwrap();
        let models = Models::new(None, folder.path());
        assert_eq!(models.list()[0].id, "run-mine");
        assert_eq!(models.get("run-mine").unwrap().model.network.parameters().0, 113_514);
        assert!(Arc::ptr_eq(&models.get("run-mine").unwrap(), &models.get("run-mine").unwrap()));
        for wrong in ["mine", "run-../mine", "run-", "/etc/passwd", "run-mine/model.safetensors", ""] {
            assert!(models.get(wrong).is_err(), "{wrong}");
        }
        assert!(!models.get("lenet5").unwrap().trained);
    }

    #[test]
    fn a_run_after_an_epoch_is_found_and_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("studio/0003");
        fs::create_dir_all(run.join(EPOCHS)).unwrap();
        for epoch in [0, 12] {
            let model = Model::new(applications::mnist_cnn(epoch as u64).unwrap());
            lucida::weights::save_model(&model, epoch_file(&run, epoch)).unwrap();
        }
        let models = Models::new(None, folder.path());
        let first = |id: &str| models.get(id).unwrap().model.network.weights()[0].values()[0];
        let of_seed = |seed| applications::mnist_cnn(seed).unwrap().weights()[0].values()[0];
        assert_eq!([first("job-0003@0"), first("job-0003@12")], [of_seed(0), of_seed(12)]);
        assert_eq!(models.get("job-0003@12").unwrap().name, "Run 0003, epoch 12");
        assert!(models.list().iter().all(|entry| !entry.id.contains("0003")));
        // Epochs make room for each other before other models do.
        let other = models.get("lenet5").unwrap();
        for epoch in [0, 12, 0, 12, 1, 0] {
            let _ = models.get(&format!("job-0003@{epoch}"));
            fs::copy(epoch_file(&run, 0), epoch_file(&run, 1)).unwrap();
        }
        assert!(Arc::ptr_eq(&other, &models.get("lenet5").unwrap()));
        assert!(models.find("job-0003@12").unwrap().own().is_err());
        let gone = models.find("job-0003@3").unwrap_err();
        assert_eq!(gone.message(), "the weights of run 0003 after epoch 3 are not kept");
        for wrong in [
            "@0",
            "job-0003@",
            "job-0003@00",
            "job-0003@-1",
            "job-0003@+0",
            "job-@0",
            "run-0003@0",
            "0003@0",
            "job-../studio/0003@0",
            "job-0003/../0003@0",
            "job-0003@0@0",
            "job-0003@../epochs/0000",
            "job-0004@0",
            "job-0003@99999999999999999999",
        ] {
            assert!(models.get(wrong).is_err(), "{wrong}");
        }
    }
}
