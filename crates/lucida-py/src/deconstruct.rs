//! Activations of layers, and deconvnet projections.

use std::sync::Arc;

use lucida::Cpu;
use lucida::explain::{
    self, Deconvnet, LayerActivation, MapStyle, Projection, Target, feature_maps, outlined_fields, projection_sheet,
    strongest_filters,
};
use lucida::plot::png_bytes;
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::arrays::{Floats, array, values};
use crate::errors::exception;
use crate::job::run_quietly;
use crate::model::Model;

/// Default number of filters to project, as on the command line.
const TOP: usize = 9;

/// Name of a layer, and its output.
type Activation<'py> = (String, Bound<'py, PyArrayDyn<f32>>);

/// Outputs of layers for one preprocessed image; of all layers if `layers` is empty.
#[pyfunction]
pub(crate) fn activations<'py>(
    py: Python<'py>,
    model: &Model,
    input: Floats<'py>,
    layers: Vec<String>,
) -> PyResult<Vec<Activation<'py>>> {
    let (input, model) = (values(&input)?, Arc::clone(&model.inner));
    let found = run_quietly(py, move || {
        let names: Vec<&str> = match layers.is_empty() {
            true => model.network.nodes().iter().map(|node| node.name()).collect(),
            false => layers.iter().map(String::as_str).collect(),
        };
        explain::activations(&model.network, &names, &input, Cpu::detect())
    })?;
    let layer = |layer: LayerActivation| Ok((layer.layer, array(py, layer.shape.sizes(), layer.values)?));
    found.into_iter().map(layer).collect()
}

/// A layer's feature maps as a PNG sheet. Separate from `activations`, since drawing all layers takes far longer than
/// computing them.
#[pyfunction]
pub(crate) fn activation_sheet<'py>(
    py: Python<'py>,
    model: &Model,
    layer: &str,
    array: Floats<'py>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (values, model, layer) = (values(&array)?, Arc::clone(&model.inner), layer.to_owned());
    let sheet = run_quietly(py, move || {
        let node = &model.network.nodes()[model.network.find(&layer)?];
        let (class_name, shape) = (node.layer().class_name(), node.shape().clone());
        png_bytes(&feature_maps(&LayerActivation { layer, class_name, shape, values }, &MapStyle::default())?)
    })?;
    Ok(PyBytes::new(py, &sheet))
}

/// Projects the strongest activations of filters for one preprocessed image down to its pixels.
#[pyfunction]
pub(crate) fn deconv<'py>(
    py: Python<'py>,
    model: &Model,
    input: Floats<'py>,
    layer: String,
    filters: Option<Vec<usize>>,
    top: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let (input, model) = (values(&input)?, Arc::clone(&model.inner));
    let shape = model.network.input_shape().map_err(|error| exception(&error))?.sizes().to_vec();
    let (projections, fields, sheets) = run_quietly(py, move || {
        let network = &model.network;
        let mut deconvnet = Deconvnet::new(network, &layer, TOP, Cpu::detect())?;
        let layout = deconvnet.field().layout();
        let values = deconvnet.activations(network, &input)?.to_vec();
        let filters = filters.unwrap_or_else(|| strongest_filters(&values, layout, top.unwrap_or(TOP)));
        if let Some(filter) = filters.iter().find(|&&filter| filter >= layout[2]) {
            let last = layout[2] - 1;
            let what = format!("layer {layer} has no filter {filter}: its filters are 0 to {last}");
            return Err(lucida::Error::argument(what));
        }
        if filters.is_empty() {
            return Err(lucida::Error::argument(format!("layer {layer} is silent: no filter is active")));
        }
        let targets: Vec<Target> = filters.into_iter().map(|filter| Target { filter, position: None }).collect();
        let inputs = vec![input.as_slice(); targets.len()];
        let projections = deconvnet.project(network, &inputs, &targets)?;
        let (field, preprocessing) = (deconvnet.field(), model.preprocessing()?);
        let sheets = [
            png_bytes(&projection_sheet(&input, &projections, field, preprocessing)?)?,
            png_bytes(&outlined_fields(&input, &projections, field, preprocessing)?)?,
        ];
        let fields: Vec<_> = projections.iter().map(|one| field.at(one.position)).collect();
        Ok((projections, fields, sheets))
    })?;
    let list = PyList::empty(py);
    for (Projection { filter, position, activation, values }, field) in projections.into_iter().zip(fields) {
        let one = PyDict::new(py);
        one.set_item("filter", filter)?;
        one.set_item("position", position)?;
        one.set_item("activation", activation)?;
        let corners = field.map(|f| [f.rows.start, f.rows.end, f.columns.start, f.columns.end]);
        one.set_item("field", corners)?;
        one.set_item("values", array(py, &shape, values)?)?;
        list.append(one)?;
    }
    let found = PyDict::new(py);
    found.set_item("projections", list)?;
    found.set_item("figure", PyBytes::new(py, &sheets[0]))?;
    found.set_item("fields", PyBytes::new(py, &sheets[1]))?;
    Ok(found)
}
