//! What a filter detects: the input that maximizes it, and the images of the data set with its highest activations.

use std::sync::Arc;

use lucida::Error;
use lucida::data::{Filter as Resampling, Image};
use lucida::explain::maximize::{Fourier, Method, Objective, Target, maximize};
use lucida::explain::{DeconvFigure, TopActivationQuery};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{JobTask, Lane, Plan, stamp};
use crate::data::Caption;
use crate::jobs::Handle;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of images to search: more add little, and take minutes.
const MAX_IMAGES: usize = 10_000;
/// Number of examples per filter.
const COUNT: usize = 9;
/// Minimum length of the longer side of a saved image, in pixels.
const SIDE: usize = 112;

/// Request for the input that maximizes a filter or a class score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maximize {
    model: String,
    layer: String,
    channel: usize,
}

/// Request for the images with a filter's highest activations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Examples {
    model: String,
    layer: String,
    channel: usize,
}

struct MaximizeTask {
    loaded: Arc<Loaded>,
    request: Maximize,
}

struct ExamplesTask {
    loaded: Arc<Loaded>,
    request: Examples,
}

/// Returns a model; fails if the layer has no such filter.
fn find(studio: &Studio, model: &str, layer: &str, channel: usize) -> Result<Arc<Loaded>> {
    let loaded = studio.models.get(model)?;
    let node = &loaded.model.network.nodes()[loaded.node(layer)?];
    let channels = node.shape().channels();
    if channel >= channels || node.inputs().is_empty() {
        return Err(Problem::not_found(format!("layer {layer} has no filter {channel}")));
    }
    Ok(loaded)
}

impl Maximize {
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        let loaded = find(studio, &self.model, &self.layer, self.channel)?;
        Ok(Plan {
            kind: "maximize",
            title: format!("Activation maximization: {}, {} · {}", loaded.title(), self.layer, self.channel),
            lane: Lane::Quick,
            stamp: stamp(&loaded),
            task: Box::new(MaximizeTask { loaded, request: self.clone() }),
        })
    }
}

impl JobTask for MaximizeTask {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Maximize { layer, channel, .. } = &self.request;
        let model = &self.loaded.model;
        let preprocessing = model.preprocessing.as_ref();
        let is_output = model.network.output()?.name() == layer;
        let (target, fourier) = match is_output && self.loaded.classes() > 0 {
            true => (Target::classes(model)?, Fourier::classes(preprocessing)),
            false => (Target::layer(layer), Fourier::filters(preprocessing)),
        };
        let method = Method::Fourier(fourier);
        let mut reporter = job.reporter("gradient ascent");
        let objectives = [Objective::Channel(*channel)];
        let found = maximize(&model.network, preprocessing, &target, &objectives, &method, studio.cpu, &mut reporter)?;
        if job.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let Some(found) = found.into_iter().next() else { return Ok(Value::Null) };
        job.save("picture.png", &enlarged(&found.image)?.png_bytes()?)?;
        Ok(json!({ "value": found.value, "picture": "picture.png" }))
    }
}

impl Examples {
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        let loaded = find(studio, &self.model, &self.layer, self.channel)?;
        loaded.model.preprocessing()?;
        if studio.data.catalog(&loaded.model)?.is_none() {
            return Err(Problem::invalid("there is no data set of photos: start the studio with --data DIR"));
        }
        Ok(Plan {
            kind: "examples",
            title: format!("Top activations: {}, {} · {}", loaded.title(), self.layer, self.channel),
            lane: Lane::Quick,
            stamp: stamp(&loaded),
            task: Box::new(ExamplesTask { loaded, request: self.clone() }),
        })
    }
}

impl JobTask for ExamplesTask {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Examples { layer, channel, .. } = &self.request;
        let model = &self.loaded.model;
        let catalog = studio.data.catalog(model).map_err(|_| Error::argument("the data set cannot be opened"))?;
        let Some(catalog) = catalog else { return Ok(Value::Null) };
        let set = lucida::data::Subset::new(catalog.set, (0..catalog.set.len().min(MAX_IMAGES)).collect())?;
        let question = TopActivationQuery {
            network: &model.network,
            preprocessing: model.preprocessing()?,
            layer,
            filters: &[*channel],
            count: COUNT,
            cpu: studio.cpu,
        };
        let figure = DeconvFigure::new(&question, &set, &mut job.reporter("searching the images"))?;
        let mut examples = Vec::new();
        for (number, example) in figure.filters.iter().flat_map(|filter| &filter.examples).enumerate() {
            let names = [format!("patch-{number}.png"), format!("projection-{number}.png")];
            for (name, image) in names.iter().zip([&example.patch, &example.projection]) {
                job.save(name, &enlarged(image)?.png_bytes()?)?;
            }
            let Caption { title, label } = catalog.caption(example.image);
            examples.push(json!({
                "image": format!("{}-{}", catalog.prefix, example.image),
                "title": title,
                "label": label,
                "activation": example.activation,
                "patch": names[0],
                "projection": names[1],
            }));
        }
        Ok(
            json!({ "examples": examples, "images": figure.images, "skipped": figure.skipped.len(), "title": catalog.title }),
        )
    }
}

/// Enlarges a small image by an integer factor, without interpolation.
fn enlarged(image: &Image) -> lucida::Result<Image> {
    let zoom = SIDE.div_ceil(image.width().max(image.height()).max(1)).max(1);
    image.resize(image.width() * zoom, image.height() * zoom, Resampling::Nearest)
}
