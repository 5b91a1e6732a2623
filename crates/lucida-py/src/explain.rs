//! Attribution: which pixels a prediction depends on, and how faithful the maps are.

use std::sync::Arc;

use lucida::explain::{
    Baseline, CompletenessCheck, ExplainConfig, Explained, Explainer, Faithfulness, Method, comparison, overlay,
    spatial_layer,
};
use lucida::plot::{Cell, Grid, png_bytes};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::arrays::{Floats, array, values};
use crate::errors::exception;
use crate::job::{Watch, run};
use crate::model::Model;

/// Configuration of [`Explainer`], with the option names of the command line.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ExplainOptions {
    methods: Vec<String>,
    target: Option<usize>,
    layer: Option<String>,
    baseline: String,
    noise: Option<f32>,
    samples: Option<usize>,
    masks: Option<usize>,
    patch: Option<usize>,
    stride: Option<usize>,
    epsilon: Option<f32>,
    seed: u64,
    faithfulness: bool,
}

impl ExplainOptions {
    fn config(&self) -> lucida::Result<ExplainConfig> {
        let default = ExplainConfig::default();
        Ok(ExplainConfig {
            seed: self.seed,
            layer: self.layer.clone(),
            baseline: self.baseline.parse::<Baseline>()?,
            noise: self.noise.unwrap_or(default.noise),
            samples: self.samples.unwrap_or(default.samples),
            masks: self.masks.unwrap_or(default.masks),
            patch: self.patch,
            stride: self.stride,
            epsilon: self.epsilon.unwrap_or(default.epsilon),
            ..default
        })
    }

    /// The named methods; for `all`, those that the network supports.
    fn methods(&self, model: &lucida::Model) -> lucida::Result<Vec<Method>> {
        let all = self.methods.iter().any(|name| name == "all");
        let layered = spatial_layer(&model.network, self.layer.as_deref()).is_ok() || self.layer.is_some();
        match all {
            true => Ok(Method::ALL.into_iter().filter(|method| layered || !method.is_of_layer()).collect()),
            false => self.methods.iter().map(|name| name.parse()).collect(),
        }
    }
}

/// A prediction explained by one or more methods.
struct Explanation {
    maps: Vec<Explained>,
    /// PNG files of the image with each map overlaid.
    overlays: Vec<Vec<u8>>,
    class: usize,
    probability: f32,
    /// PNG file with all maps.
    figure: Vec<u8>,
    measured: bool,
}

impl Explanation {
    fn of(
        model: &lucida::Model,
        input: &[f32],
        (config, methods): (&ExplainConfig, Vec<Method>),
        (target, measured): (Option<usize>, bool),
        watch: Watch,
    ) -> lucida::Result<Self> {
        let mut explainer = Explainer::new(model, config)?.progress(watch);
        let probabilities = explainer.probabilities(input)?;
        let class = target.unwrap_or_else(|| explainer.outputs().best(&probabilities));
        let shown = model.preprocessing()?.to_image(input)?;
        let (mut maps, mut overlays, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for method in methods {
            let map = explainer.explain(input, class, method)?;
            let faithfulness = match measured {
                true => explainer.faithfulness(input, &map)?,
                false => Faithfulness { deletion: Vec::new(), insertion: Vec::new() },
            };
            let overlay = overlay(&shown, &map)?;
            overlays.push(png_bytes(&overlay)?);
            cells.push(Cell::new(overlay).caption(method.title()));
            maps.push(Explained { map, faithfulness });
        }
        let probability = probabilities.get(class).copied().unwrap_or(f32::NAN);
        let title = format!("{} ({:.1} %)", model.class_name(class), 100.0 * probability);
        let figure = match measured {
            true => comparison(&shown, &title, &maps)?,
            false => Grid::new(cells).columns(4).margin(16).padding(20).title(title).render()?,
        };
        Ok(Self { maps, overlays, class, probability, figure: png_bytes(&figure)?, measured })
    }

    /// Converts to the dictionary that the Python package expects.
    fn into_dict<'py>(self, py: Python<'py>, model: &lucida::Model) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        found.set_item("class_index", self.class)?;
        found.set_item("class_name", model.class_name(self.class))?;
        found.set_item("probability", self.probability)?;
        found.set_item("figure", PyBytes::new(py, &self.figure))?;
        let maps = PyList::empty(py);
        for (Explained { map, faithfulness }, overlay) in self.maps.into_iter().zip(&self.overlays) {
            let one = PyDict::new(py);
            one.set_item("method", map.method.name())?;
            one.set_item("title", map.method.title())?;
            one.set_item("signed", map.method.is_signed())?;
            one.set_item("score", map.score)?;
            one.set_item("overlay", PyBytes::new(py, overlay))?;
            one.set_item("remark", map.flat_reason().map(str::to_owned).or_else(|| map.completeness.warning()))?;
            let measured = self.measured.then_some(&faithfulness);
            one.set_item("deletion_area", measured.map(Faithfulness::deletion_area))?;
            one.set_item("insertion_area", measured.map(Faithfulness::insertion_area))?;
            let (layer, sum) = match map.completeness {
                CompletenessCheck::Layer(layer) => (Some(layer), None),
                CompletenessCheck::Completeness { sum, difference, .. } => (None, Some([sum, 0.0, difference])),
                CompletenessCheck::Conservation { score, inputs, biases } => (None, Some([inputs, biases, score])),
                _ => (None, None),
            };
            one.set_item("layer", layer)?;
            one.set_item("sum", sum)?;
            // As on the command line: single-channel maps have two axes.
            let shape = if map.raw_shape[2] == 1 { &map.raw_shape[..2] } else { &map.raw_shape[..] };
            one.set_item("raw", array(py, shape, map.raw)?)?;
            one.set_item("values", array(py, &map.size, map.values)?)?;
            one.set_item("deletion", array(py, &[faithfulness.deletion.len()], faithfulness.deletion)?)?;
            one.set_item("insertion", array(py, &[faithfulness.insertion.len()], faithfulness.insertion)?)?;
            maps.append(one)?;
        }
        found.set_item("maps", maps)?;
        Ok(found)
    }
}

/// Attribution maps of one preprocessed image, one per method.
#[pyfunction]
pub(crate) fn explain<'py>(
    py: Python<'py>,
    model: &Model,
    input: Floats<'py>,
    options: ExplainOptions,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let config = options.config().map_err(|error| exception(&error))?;
    let methods = options.methods(&model.inner).map_err(|error| exception(&error))?;
    let (input, inner) = (values(&input)?, Arc::clone(&model.inner));
    let how = (options.target, options.faithfulness);
    let done = run(py, progress, move |watch| Explanation::of(&inner, &input, (&config, methods), how, watch.clone()))?;
    done.whole()?.into_dict(py, &model.inner)
}

/// All attribution methods: name, title, description.
#[pyfunction]
pub(crate) fn explain_methods() -> Vec<(&'static str, &'static str, &'static str)> {
    Method::ALL.map(|method| (method.name(), method.title(), method.description())).to_vec()
}
