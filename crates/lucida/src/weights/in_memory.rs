//! Models in memory: the bytes of a file, and models of other libraries, a Keras model from its config and arrays, a PyTorch
//! state dict from its tensors. Nothing is read from disk.

use std::path::Path;

use prost::bytes::Bytes;

use super::keras::{KerasPaths, Stored, assign_by_path};
use super::model_file::{MemoryFile, ModelFile};
use super::modules::{self, AssertedNetwork, Tensors};
use super::open::{complete, fitted, open_file, resized, with_published_names};
use super::{Model, ModelSettings, ModelSpec, TensorInfo, json, keras_h5};
use crate::core::Array;
use crate::nn::applications;
use crate::{Error, Result};

/// Opens a model from files in memory, each with its name and its bytes: what [`open`](super::open()) does for a file on disk,
/// for [all formats](super::Format). `model` in `spec` is the name of the model's file; the others are those that it refers
/// to, as `model.json` of TensorFlow.js to its files of weights.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::weights::{ModelSpec, open_files};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let path = temporary.path().join("tiny.keras");
/// # let network = Sequential::new("tiny", [8, 8, 1]).add(Flatten::new()).add(Dense::new(2)).build(42)?;
/// # Model::new(network).save(&path)?;
/// let bytes = std::fs::read(path).unwrap();
/// let model = open_files(vec![("tiny.keras".into(), bytes)], &ModelSpec::new("tiny.keras"))?;
/// assert_eq!(model.network.name(), "tiny");
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`open`](super::open()); [`Error::File`] when a file is not among these, [`Error::Argument`] when `spec` names a file
/// of weights or of class names, which would be on disk.
pub fn open_files(files: Vec<(String, Vec<u8>)>, spec: &ModelSpec) -> Result<Model> {
    if let Some(path) = spec.weights.as_ref().or(spec.classes.as_ref()) {
        return Err(Error::argument(format!("{}: a model in memory has no files on disk", path.display())));
    }
    let files: Vec<MemoryFile> = files.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
    open_file(ModelFile::in_memory(Path::new(&spec.model), &files), spec)
}

/// A layer of a Keras model, in the order of `layers`; a nested model is a layer without arrays, followed by its own
/// layers.
#[derive(Debug, Clone)]
pub struct KerasLayer {
    /// The number of models around the layer, not counting the outermost one.
    pub depth: usize,
    /// The name of its class: `Conv2D`.
    pub class_name: String,
    /// Its name.
    pub name: String,
    /// Its weights, in the order of Keras's `get_weights()`.
    pub weights: Vec<Array>,
}

/// Opens a Keras model: `config` is the result of its `to_json()`. `spec` supplies missing information, as for
/// [`open`](super::open()); its `model` is the name in messages.
///
/// ```
/// use lucida::core::Array;
/// use lucida::weights::{KerasLayer, ModelSpec, open_keras};
///
/// let config = r#"{"class_name": "Sequential", "config": {"name": "line", "layers": [
///     {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 2, 2, 1]}},
///     {"class_name": "Flatten", "config": {"name": "flatten"}},
///     {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax"}}]}}"#;
/// let arrays = vec![Array::new([4, 2], vec![0.5; 8])?, Array::new([2], vec![0.0; 2])?];
/// let layer = |class_name: &str, name: &str, weights| KerasLayer {
///     depth: 0, class_name: class_name.into(), name: name.into(), weights
/// };
/// let layers = vec![layer("Flatten", "flatten", vec![]), layer("Dense", "dense", arrays)];
/// let model = open_keras(config, layers, &ModelSpec::new("line"))?;
/// assert_eq!(model.network.weights()[0].values(), [0.5; 8]);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`keras_zip::load_model`](super::keras_zip::load_model).
pub fn open_keras(config: &str, layers: Vec<KerasLayer>, spec: &ModelSpec) -> Result<Model> {
    let path = Path::new(&spec.model);
    let config = json::parse(config.as_bytes())
        .map_err(|problem| Error::file(path, format!("its description cannot be read: {problem}")))?;
    let bytes = layers.iter().flat_map(|layer| &layer.weights).map(|array| 4 * array.values().len() as u64).sum();
    let (mut model, paths) = keras_h5::described(path, &config, bytes, spec.size)?;
    let mut groups = KerasPaths::default();
    let stored: Vec<Stored> = layers
        .iter()
        .map(|KerasLayer { depth, class_name, name, weights }| {
            let path = groups.next(*depth, class_name);
            let info = |(index, array): (usize, &Array)| TensorInfo {
                name: format!("{name}/{index}"),
                shape: array.shape().to_vec(),
                dtype: "float32".into(),
            };
            Stored { layer: name.clone(), path, tensors: weights.iter().enumerate().map(info).collect() }
        })
        .collect();
    let places = assign_by_path(&stored, &model.network, &paths)
        .map_err(|problem| Error::file(path, format!("does not fit its description: {problem}")))?;
    for (weight, (layer, array)) in model.network.weights_mut().iter_mut().zip(places) {
        weight.values_mut().copy_from_slice(layers[layer].weights[array].values());
    }
    complete(resized(model, path, spec.size)?, None, ModelSettings::default(), spec)
}

/// Opens a PyTorch state dict: of a network that is recognized by the names and shapes of its tensors, or of the `network`
/// in `spec`, whose `model` is the name in messages. Integer tensors are omitted by the caller.
///
/// # Errors
/// As [`torch::load_model`](super::torch::load_model()).
pub fn open_state_dict(tensors: Vec<(String, Array)>, spec: &ModelSpec) -> Result<Model> {
    let path = Path::new(&spec.model);
    let infos = tensors.iter().map(|(name, array)| TensorInfo {
        name: name.clone(),
        shape: array.shape().to_vec(),
        dtype: "float32".into(),
    });
    let mut state = StateDict { path, infos: infos.collect(), tensors: &tensors };
    let model = match &spec.network {
        None => modules::recognize(&mut state)?.ok_or_else(|| unknown_network(path))?,
        Some(name) => {
            let (known, library) = applications::find_of(name)?;
            let model = modules::recognize_as(&mut state, AssertedNetwork { known, library })?
                .ok_or_else(|| Error::file(path, format!("its tensors are not those of network {}", known.name)))?;
            fitted(model, known, path, spec)?
        }
    };
    with_published_names(complete(resized(model, path, spec.size)?, None, ModelSettings::default(), spec)?)
}

fn unknown_network(path: &Path) -> Error {
    Error::file(
        path,
        format!(
            "the names and shapes of its tensors are of no known network, and tensors alone hold no architecture: export it \
             with torch.onnx.export(module, inputs, \"model.onnx\"), and load the file; the known networks are {}",
            modules::known()
        ),
    )
}

struct StateDict<'a> {
    path: &'a Path,
    infos: Vec<TensorInfo>,
    tensors: &'a [(String, Array)],
}

impl Tensors for StateDict<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn is_float(&self, _: usize) -> bool {
        true
    }

    /// A module lists its tensors in the order in which its submodules were created.
    fn in_order(&self) -> bool {
        true
    }

    fn read(&mut self, index: usize, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        take(self.tensors[index].1.values());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications::Options;

    fn arrays(model: &Model, node: usize) -> Vec<Array> {
        let weights = model.network.nodes()[node].weights();
        let array = |weight: usize| {
            let weight = &model.network.weights()[weight];
            Array::new(weight.shape().to_vec(), weight.values().to_vec()).unwrap()
        };
        weights.map(array).collect()
    }

    #[test]
    fn a_file_in_memory_opens_as_the_one_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let known = applications::find("squeezenet1-1").unwrap();
        let model = Model::of_architecture(known, &Options::default().classes(3)).unwrap();
        for name in ["a.safetensors", "a.keras", "a.h5", "a.onnx", "a.pth", "a.weights.h5"] {
            let path = folder.path().join(name);
            model.save(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let spec = |model: &str| {
                let network = name.contains("weights").then(|| known.name.to_owned());
                ModelSpec { network, ..ModelSpec::new(model) }
            };
            let there = super::super::open(&spec(path.to_str().unwrap())).unwrap();
            let here = open_files(vec![(name.to_owned(), bytes.clone())], &spec(name)).unwrap();
            assert_eq!(here.network.weights().len(), model.network.weights().len(), "{name}");
            for (a, b) in here.network.weights().iter().zip(there.network.weights()) {
                assert_eq!((a.name(), a.values()), (b.name(), b.values()), "{name}");
            }
            assert_eq!(
                (here.preprocessing, here.class_names, here.notes),
                (there.preprocessing, there.class_names, there.notes)
            );
            for len in [0, 7, bytes.len() / 2, bytes.len() - 1] {
                let cut = folder.path().join(format!("cut-{name}"));
                std::fs::write(&cut, &bytes[..len]).unwrap();
                let there = super::super::open(&spec(cut.to_str().unwrap()));
                match open_files(vec![(name.to_owned(), bytes[..len].to_vec())], &spec(name)) {
                    Err(error) => {
                        assert!(error.to_string().starts_with(&format!("{name}: ")), "{len}: {error}");
                        assert!(there.is_err(), "{name}, {len} bytes");
                    }
                    // The last byte of an HDF5 file may be padding.
                    Ok(_) => {
                        assert!(
                            there.is_ok() && len + 1 == bytes.len() && name.ends_with(".h5"),
                            "{name}, {len} bytes"
                        );
                    }
                }
            }
        }
        let message = open_files(Vec::new(), &ModelSpec::new("b.onnx")).unwrap_err().to_string();
        assert_eq!(message, "b.onnx: is not among the files in memory");
        let spec = ModelSpec { classes: Some("names.txt".into()), ..ModelSpec::new("b.onnx") };
        assert!(open_files(Vec::new(), &spec).unwrap_err().to_string().starts_with("names.txt: "));
    }

    #[test]
    fn a_keras_model_comes_with_its_weights_or_says_what_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digits.keras");
        let known = applications::find("mnist-cnn").unwrap();
        let model = Model::of_architecture(known, &Options::default()).unwrap();
        model.save(&file).unwrap();
        let config = super::super::keras_zip::inspect(&file).unwrap().architecture.unwrap().to_string();
        let layers: Vec<KerasLayer> = (0..model.network.nodes().len())
            .map(|node| KerasLayer {
                depth: 0,
                class_name: model.network.nodes()[node].layer().keras_class().to_owned(),
                name: model.network.nodes()[node].name().to_owned(),
                weights: arrays(&model, node),
            })
            .collect();
        let spec = ModelSpec::new("digits");
        let opened = open_keras(&config, layers.clone(), &spec).unwrap();
        for (a, b) in opened.network.weights().iter().zip(model.network.weights()) {
            assert_eq!(a.values(), b.values(), "{}", a.name());
        }
        let text = |layers| open_keras(&config, layers, &spec).unwrap_err().to_string();
        let first = layers.iter().position(|layer| !layer.weights.is_empty()).unwrap();
        let mut missing = layers.clone();
        missing[first].weights.pop();
        assert!(text(missing).starts_with("digits: does not fit its description: "));
        assert!(text(Vec::new()).contains("which the file is too small to hold"));
        assert!(open_keras("{", layers, &spec).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_state_dictionary_is_recognized_as_its_file_is() {
        let known = applications::find("squeezenet1-1").unwrap();
        let model = Model::of_architecture(known, &Options::default().classes(3)).unwrap();
        let entries = modules::entries(&model.network, &modules::own_or_torchvision(&model.network)).unwrap();
        let tensor = |entry: modules::Entry| {
            let mut values = Vec::new();
            let weight = model.network.weights()[entry.weight].values();
            let copied = entry.layout.to_torch(weight, |part| {
                values.extend_from_slice(part);
                Ok::<_, ()>(())
            });
            copied.unwrap();
            (entry.name, Array::new(entry.shapes[0].clone(), values).unwrap())
        };
        let mut source: Vec<(String, Array)> = entries.into_iter().map(tensor).collect();
        let opened = open_state_dict(source.clone(), &ModelSpec::new("net")).unwrap();
        for (a, b) in opened.network.weights().iter().zip(model.network.weights()) {
            assert_eq!(a.values(), b.values(), "{}", a.name());
        }
        let wrong = ModelSpec { network: Some("resnet18".into()), ..ModelSpec::new("net") };
        let message = open_state_dict(source.clone(), &wrong).unwrap_err().to_string();
        assert_eq!(message, "net: its tensors are not those of network resnet18");
        source.truncate(4);
        let message = open_state_dict(source, &ModelSpec::new("net")).unwrap_err().to_string();
        assert!(
            message.starts_with("net: the names and shapes of its tensors are of no known network, and "),
            "{message}"
        );
        assert!(message.contains("torch.onnx.export("), "{message}");
    }
}
