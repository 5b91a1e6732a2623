//! Activation maximization: images that maximize a filter or a class score.

use std::sync::Arc;

use lucida::explain::ClassScore;
use lucida::explain::maximize::{Fourier, KerasVis, Maximized, Method, Objective, Target, maximize};
use lucida::weights::{OutputKind, Outputs};
use lucida::{Cpu, Error};
use numpy::PyArrayDyn;
use pyo3::prelude::*;

use crate::arrays::of_image;
use crate::errors::exception;
use crate::job::run;
use crate::model::Model;

/// Side of the images for filters of networks that take any input size, in pixels, as on the command line.
const SIDE: usize = 128;

/// Options for synthesizing images, named as on the command line.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub(crate) struct MaximizeOptions {
    steps: Option<usize>,
    method: String,
    diversity: usize,
    seed: u64,
    size: Option<[usize; 2]>,
}

impl MaximizeOptions {
    fn method(&self, fourier: Fourier) -> lucida::Result<Method> {
        let Self { steps, seed, diversity, .. } = *self;
        match self.method.as_str() {
            "fourier" => {
                let steps = steps.unwrap_or(fourier.steps);
                Ok(Method::Fourier(Fourier { steps, seed, diversity, ..fourier }))
            }
            "keras-vis" if diversity > 1 => Err(Error::argument("diversity goes with method fourier only")),
            "keras-vis" => {
                let default = KerasVis::default();
                let steps = steps.map_or(default.steps, |steps| (steps / 2, steps - steps / 2));
                Ok(Method::KerasVis(KerasVis { steps, seed, ..default }))
            }
            other => Err(Error::argument(format!("method {other:?} is unknown; expected fourier or keras-vis"))),
        }
    }
}

/// An image, the value of its objective, and for a class its probability.
type Found<'py> = (Bound<'py, PyArrayDyn<u8>>, f32, Option<f32>);

/// Synthesizes images that maximize filters of a layer.
#[pyfunction]
pub(crate) fn filters<'py>(
    py: Python<'py>,
    model: &Model,
    layer: String,
    filters: Option<Vec<usize>>,
    options: MaximizeOptions,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Vec<usize>, Vec<Found<'py>>)> {
    let model = Arc::clone(&model.inner);
    let done = run(py, progress, move |watch| {
        let model = up_to(&model, &layer, options.size)?;
        let channels = model.network.nodes()[model.network.find(&layer)?].shape().channels();
        let filters = filters.unwrap_or_else(|| (0..channels).collect());
        let objectives: Vec<Objective> = filters.iter().map(|&filter| Objective::Channel(filter)).collect();
        let method = options.method(Fourier::filters(model.preprocessing.as_ref()))?;
        let (network, preprocessing) = (&model.network, model.preprocessing.as_ref());
        let target = Target::layer(&layer);
        let found = maximize(network, preprocessing, &target, &objectives, &method, Cpu::detect(), watch)?;
        Ok((filters, found))
    })?;
    let (filters, found) = done.whole()?;
    let none = vec![None; found.len()];
    Ok((filters, shown(py, found, &none)?))
}

/// Synthesizes images that maximize class scores.
#[pyfunction]
pub(crate) fn classes<'py>(
    py: Python<'py>,
    model: &Model,
    classes: Option<Vec<usize>>,
    options: MaximizeOptions,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Vec<usize>, Vec<Found<'py>>)> {
    let model = Arc::clone(&model.inner);
    let outputs = Outputs::of(&model).map_err(|error| exception(&error))?;
    let classes = classes.unwrap_or_else(|| (0..outputs.count()).collect());
    let wanted = classes.clone();
    let done = run(py, progress, move |watch| {
        let objectives: Vec<Objective> = wanted.iter().map(|&class| objective(&outputs, class)).collect();
        let method = options.method(Fourier::classes(model.preprocessing.as_ref()))?;
        let (network, preprocessing) = (&model.network, model.preprocessing.as_ref());
        let target = Target::classes(&model)?;
        let found = maximize(network, preprocessing, &target, &objectives, &method, Cpu::detect(), watch)?;
        let inputs: Vec<&[f32]> = found.iter().map(|one| one.input.as_slice()).collect();
        let probabilities = match outputs.kind() {
            OutputKind::Values => vec![None; found.len()],
            _ => {
                let all = ClassScore::outputs(&model, &inputs, Cpu::detect())?;
                let variants = options.diversity.max(1);
                all.iter().enumerate().map(|(at, row)| row.get(wanted[at / variants]).copied()).collect()
            }
        };
        Ok((found, probabilities))
    })?;
    let (found, probabilities) = done.whole()?;
    Ok((classes, shown(py, found, &probabilities)?))
}

/// The objective for a class. A single sigmoid output is the probability of the second class.
fn objective(outputs: &Outputs, class: usize) -> Objective {
    match (outputs.kind(), class) {
        (OutputKind::TwoClasses, 0) => Objective::Direction(vec![(0, -1.0)]),
        (OutputKind::TwoClasses, _) => Objective::Channel(0),
        (_, class) => Objective::Channel(class),
    }
}

/// The network up to a layer, resized to `size`. By default, a network larger than [`SIDE`] is reduced to that size if it
/// takes any input size.
fn up_to(model: &lucida::Model, layer: &str, size: Option<[usize; 2]>) -> lucida::Result<lucida::Model> {
    let network = model.network.clone().cut(layer)?;
    let own = network.input_shape()?.as_image().map(|[height, width, _]| [height, width]);
    let smaller = || own.filter(|own| own.iter().all(|&side| side > SIDE)).map(|_| [SIDE; 2]);
    let (network, size) = match size.or_else(smaller) {
        None => (network, own),
        Some([height, width]) => match network.clone().with_input_size(height, width) {
            Ok(resized) => (resized, Some([height, width])),
            // Only an explicitly requested size must be supported.
            Err(problem) if size.is_some() => return Err(problem),
            Err(_) => (network, own),
        },
    };
    let preprocessing = match (&model.preprocessing, size) {
        (Some(preprocessing), Some([height, width])) => Some(preprocessing.clone().with_size(height, width)),
        (preprocessing, _) => preprocessing.clone(),
    };
    Ok(lucida::Model { preprocessing, ..lucida::Model::new(network) })
}

fn shown<'py>(py: Python<'py>, found: Vec<Maximized>, probabilities: &[Option<f32>]) -> PyResult<Vec<Found<'py>>> {
    let each = found.iter().zip(probabilities);
    each.map(|(one, &probability)| Ok((of_image(py, &one.image)?, one.value, probability))).collect()
}
