//! Models, loaded from files or from memory, for prediction and feature extraction.

use std::path::PathBuf;
use std::sync::Arc;

use lucida::Cpu;
use lucida::data::Image;
use lucida::explain::{embed, receptive_fields};
use lucida::model::{Predicted, Predictor};
use lucida::nn::summary;
use lucida::weights::{IncludeTop, KerasLayer, ModelSpec, OutputKind, Outputs, open, open_keras, open_state_dict};
use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{Bytes, Floats, array, of_image, to_array, to_image, values};
use crate::errors::{MissingFileError, exception};
use crate::job::{run, run_quietly};

/// A row of the summary: name, class, output shape, parameters, and input layers.
type Row = (String, String, Vec<usize>, usize, Vec<String>);
/// The receptive field of a layer: name, class, output shape, size, stride, padding, center.
type FieldRow = (String, String, Vec<usize>, Option<[i64; 2]>, Option<[i64; 2]>, Option<[i64; 2]>, Option<[f64; 2]>);

/// A model of the library.
#[pyclass(frozen)]
pub(crate) struct Model {
    pub(crate) inner: Arc<lucida::Model>,
}

impl Model {
    pub(crate) fn new(model: lucida::Model) -> Self {
        Self { inner: Arc::new(model) }
    }
}

/// Options for loading a model.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct LoadOptions {
    model: String,
    network: Option<String>,
    weights: Option<PathBuf>,
    size: Option<[usize; 2]>,
    preprocessing: Option<String>,
    classes: Option<PathBuf>,
    task: Option<String>,
    include_top: bool,
}

impl LoadOptions {
    fn spec(self) -> lucida::Result<ModelSpec> {
        Ok(ModelSpec {
            model: self.model,
            weights: self.weights,
            network: self.network,
            size: self.size,
            top: if self.include_top { IncludeTop::Needed } else { IncludeTop::Unneeded },
            preprocessing: self.preprocessing.map(|text| text.parse()).transpose()?,
            classes: self.classes,
            task: self.task.map(|text| text.parse()).transpose()?,
        })
    }
}

/// Loads a file, a run folder, or a known network.
#[pyfunction]
pub(crate) fn load_path(py: Python<'_>, options: LoadOptions) -> PyResult<Model> {
    let spec = options.spec().map_err(|error| exception(&error))?;
    // A name that is neither a file nor a network is reported as a missing file, the likelier of the two.
    if let (None, Err(error)) = (&spec.network, ModelSpec::new(spec.model.as_str()).file()) {
        let error = exception(&error);
        return Err(MissingFileError::new_err(error.value(py).to_string()));
    }
    run_quietly(py, move || open(&spec)).map(Model::new)
}

/// Loads a live Keras model from its config, and the depth, class, name and weights of each layer.
#[pyfunction]
pub(crate) fn load_keras(
    py: Python<'_>,
    config: String,
    layers: Vec<(usize, String, String, Vec<Floats<'_>>)>,
    options: LoadOptions,
) -> PyResult<Model> {
    let spec = options.spec().map_err(|error| exception(&error))?;
    let layer = |(depth, class_name, name, weights): (usize, String, String, Vec<Floats<'_>>)| {
        let weights = weights.iter().map(to_array).collect::<PyResult<_>>()?;
        Ok(KerasLayer { depth, class_name, name, weights })
    };
    let layers = layers.into_iter().map(layer).collect::<PyResult<Vec<_>>>()?;
    run_quietly(py, move || open_keras(&config, layers, &spec)).map(Model::new)
}

/// Loads a PyTorch state dict.
#[pyfunction]
pub(crate) fn load_state_dict(
    py: Python<'_>,
    tensors: Vec<(String, Floats<'_>)>,
    options: LoadOptions,
) -> PyResult<Model> {
    let spec = options.spec().map_err(|error| exception(&error))?;
    let tensor = |(name, values): (String, Floats<'_>)| Ok((name, to_array(&values)?));
    let tensors = tensors.into_iter().map(tensor).collect::<PyResult<Vec<_>>>()?;
    run_quietly(py, move || open_state_dict(tensors, &spec)).map(Model::new)
}

/// An image in any form that the Python package passes.
#[derive(FromPyObject)]
pub(crate) enum ImageInput<'py> {
    Pixels(Bytes<'py>),
    Encoded(Vec<u8>),
    File(PathBuf),
}

impl ImageInput<'_> {
    /// Extracts the data to decode, so that decoding does not need the interpreter.
    pub(crate) fn take(self) -> PyResult<ImageSource> {
        Ok(match self {
            Self::Pixels(pixels) => ImageSource::Decoded(to_image(&pixels)?),
            Self::Encoded(bytes) => ImageSource::Encoded(bytes),
            Self::File(path) => ImageSource::File(path),
        })
    }
}

/// An image that may still need decoding.
pub(crate) enum ImageSource {
    Decoded(Image),
    Encoded(Vec<u8>),
    File(PathBuf),
}

impl ImageSource {
    pub(crate) fn open(self) -> lucida::Result<Image> {
        match self {
            Self::Decoded(image) => Ok(image),
            Self::Encoded(bytes) => Image::decode(&bytes, "image", &lucida::data::Limits::default()),
            Self::File(path) => Image::open(path),
        }
    }
}

#[pymethods]
impl Model {
    /// Name of the network.
    #[getter]
    fn name(&self) -> String {
        self.inner.network.name().to_owned()
    }

    /// Names of the classes, labels or values; indices if they have no names. Empty for a network without such outputs.
    #[getter]
    fn class_names(&self) -> Vec<String> {
        let count = Outputs::of(&self.inner).map_or(0, |outputs| outputs.count());
        (0..count).map(|class| self.inner.class_name(class)).collect()
    }

    /// Kind of the outputs: `classes`, `labels` or `values`; otherwise `features`.
    #[getter]
    fn kind(&self) -> &'static str {
        match Outputs::of(&self.inner).map(|outputs| outputs.kind()) {
            Ok(OutputKind::Classes | OutputKind::TwoClasses) => "classes",
            Ok(OutputKind::Labels) => "labels",
            Ok(OutputKind::Values) => "values",
            Err(_) => "features",
        }
    }

    /// Shape of the input, without the batch dimension.
    #[getter]
    fn input_shape(&self) -> PyResult<Vec<usize>> {
        let shape = self.inner.network.input_shape().map_err(|error| exception(&error))?;
        Ok(shape.sizes().to_vec())
    }

    /// Preprocessing of images, in the syntax of `preprocessing=`; `None` if unknown.
    #[getter]
    fn preprocessing(&self) -> Option<String> {
        self.inner.preprocessing.as_ref().map(ToString::to_string)
    }

    /// Minimum and maximum value of a preprocessed image; `None` if the preprocessing is unknown.
    #[getter]
    fn value_range(&self) -> Option<[f32; 2]> {
        self.inner.preprocessing.as_ref().map(lucida::data::Preprocessing::range)
    }

    /// Assumptions made when the model was loaded.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.inner.notes.iter().map(ToString::to_string).collect()
    }

    /// Number of parameters, and of trainable parameters.
    #[getter]
    fn parameters(&self) -> (usize, usize) {
        self.inner.network.parameters()
    }

    fn summary(&self) -> String {
        summary(&self.inner.network)
    }

    fn layers(&self) -> Vec<Row> {
        let network = &self.inner.network;
        let nodes = network.nodes().iter().enumerate();
        nodes
            .map(|(index, node)| {
                let inputs = node.inputs().iter().map(|&input| network.nodes()[input].name().to_owned());
                let class = match node.layer() {
                    lucida::nn::Layer::Input(_) => "InputLayer".to_owned(),
                    layer => layer.class_name().to_owned(),
                };
                let (name, shape) = (node.name().to_owned(), node.shape().sizes().to_vec());
                (name, class, shape, network.parameters_of(index), inputs.collect())
            })
            .collect()
    }

    /// Weights of a layer by name.
    fn weights<'py>(&self, py: Python<'py>, layer: &str) -> PyResult<Bound<'py, PyDict>> {
        let network = &self.inner.network;
        let node = &network.nodes()[network.find(layer).map_err(|error| exception(&error))?];
        let found = PyDict::new(py);
        for weight in node.weights() {
            let weight = &network.weights()[weight];
            let name = weight.name().rsplit('/').next().unwrap_or_default();
            found.set_item(name, array(py, weight.shape(), weight.values().to_vec())?)?;
        }
        Ok(found)
    }

    /// Preprocesses images: `[count, height, width, channels]`.
    fn prepare<'py>(&self, py: Python<'py>, images: Vec<ImageInput<'py>>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let images = images.into_iter().map(ImageInput::take).collect::<PyResult<Vec<_>>>()?;
        let (count, model) = (images.len(), Arc::clone(&self.inner));
        let (shape, values) = run_quietly(py, move || {
            let preprocessing = model.preprocessing()?;
            let shape = preprocessing.output_shape();
            let mut inputs = vec![0.0; count * shape.iter().product::<usize>()];
            for (image, input) in images.into_iter().zip(inputs.chunks_exact_mut(inputs_len(shape))) {
                preprocessing.apply(&image.open()?, input)?;
            }
            Ok((shape, inputs))
        })?;
        array(py, &[count, shape[0], shape[1], shape[2]], values)
    }

    /// Converts a preprocessed image back to bytes `[height, width, channels]`.
    fn to_image<'py>(&self, py: Python<'py>, input: Floats<'py>) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let values = values(&input)?;
        let shown = self.inner.preprocessing().and_then(|preprocessing| preprocessing.to_image(&values));
        of_image(py, &shown.map_err(|error| exception(&error))?)
    }

    /// Predicted probabilities or values: `[count, outputs]`.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        inputs: Floats<'py>,
        batch_size: usize,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let (count, inputs, model) = (inputs.shape()[0], values(&inputs)?, Arc::clone(&self.inner));
        let done = run(py, progress, move |watch| {
            let mut predictor = Predictor::new(&model, batch_size, Cpu::detect())?;
            let predicted = predictor.predict_inputs(&inputs, watch)?;
            let row = |predicted: Predicted| match predicted {
                Predicted::Class(found) | Predicted::Labels(found) => found.probabilities,
                Predicted::Values(values) => values,
            };
            Ok((Outputs::of(&model)?.count(), predicted.into_iter().flat_map(row).collect::<Vec<f32>>()))
        })?;
        let (width, rows) = done.whole()?;
        array(py, &[count, width], rows)
    }

    /// Name of a layer, and its features `[count, features]`; feature maps are averaged over their positions.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        inputs: Floats<'py>,
        layer: Option<String>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(String, Bound<'py, PyArrayDyn<f32>>)> {
        let (inputs, model) = (values(&inputs)?, Arc::clone(&self.inner));
        let done = run(py, progress, move |watch| {
            let layer = match &layer {
                Some(layer) => layer.as_str(),
                None => embed::last_features(&model)?,
            };
            embed::features_of_inputs(&model, &inputs, layer, Cpu::detect(), watch)
        })?;
        let found = done.whole()?;
        let layer = found.layer().to_owned();
        Ok((layer, array(py, &[found.len(), found.width()], found.values().to_vec())?))
    }

    /// Theoretical receptive fields of all layers.
    fn receptive_fields(&self) -> PyResult<Vec<FieldRow>> {
        let fields = receptive_fields(&self.inner.network).map_err(|error| exception(&error))?;
        let row = |field: &lucida::explain::ReceptiveField| {
            let (name, class) = (field.layer().to_owned(), field.class_name().to_owned());
            let shape = field.shape().sizes().to_vec();
            (name, class, shape, field.size(), field.stride(), field.padding(), field.center())
        };
        Ok(fields.iter().map(row).collect())
    }

    /// Saves the model; the extension determines the format.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let model = Arc::clone(&self.inner);
        run_quietly(py, move || model.save(&path))
    }

    /// Returns the model with other class names.
    fn with_class_names(&self, names: Vec<String>) -> PyResult<Self> {
        let model = (*self.inner).clone().with_class_names(names);
        model.check().map_err(|error| exception(&error))?;
        Ok(Self::new(model))
    }

    /// Index of a class, given its name or index.
    fn find_class(&self, text: &str) -> PyResult<usize> {
        lucida::explain::find_class(&self.inner, text).map_err(|error| exception(&error))
    }
}

fn inputs_len(shape: [usize; 3]) -> usize {
    shape.iter().product::<usize>().max(1)
}
