//! The embedding of a model's images: the features before the classifier, projected to two dimensions.

use lucida::core::choose;
use lucida::explain::embed::{Pca, features, last_features};
use serde::Serialize;

use crate::data::{Caption, Source};
use crate::jobs::Request;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Seed of the choice of images, and of the PCA.
const SEED: u64 = 42;

/// Images as points of a plane.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Embedding {
    /// The layer whose features are projected, and their number.
    layer: String,
    features: usize,
    /// What the images are, for display.
    title: String,
    /// The names of the classes; empty if the classes of the images are unknown.
    classes: Vec<String>,
    images: Vec<EmbeddedImage>,
    /// The fraction of the total variance along each axis, 0 to 1.
    explained: Vec<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct EmbeddedImage {
    id: String,
    /// Display name.
    title: String,
    /// Index of its true class, if it is known.
    class: Option<usize>,
    /// Its coordinates along the two principal components; the mean of all images is the origin.
    point: [f64; 2],
}

/// Embeds `count` images of the data set that fits a model: validation images, for a run of the studio on the built-in digits.
pub(crate) fn embed(studio: &Studio, loaded: &Loaded, count: usize) -> Result<Embedding> {
    let catalog = studio.data.catalog(&loaded.model)?;
    let catalog = catalog
        .ok_or_else(|| Problem::invalid("there are no images for this model: start the studio with --data DIR"))?;
    let (indices, title) = match validation(studio, &loaded.id)? {
        Some(all) => {
            (choose(all.len(), count, SEED).into_iter().map(|at| all[at]).collect(), "the validation digits".to_owned())
        }
        None => (choose(catalog.set.len(), count, SEED), catalog.title.clone()),
    };
    let layer = last_features(&loaded.model)?;
    let found = features(&loaded.model, catalog.set, &indices, layer, studio.cpu, &mut ())?;
    let pca = Pca::of(&found, 2, SEED, studio.cpu)?;
    let image = |(&index, point): (&usize, [f64; 2])| {
        let Caption { title, label } = catalog.caption(index);
        let class = label.map(|_| catalog.set.label(index));
        EmbeddedImage { id: format!("{}-{index}", catalog.prefix), title, class, point }
    };
    let images: Vec<EmbeddedImage> = indices.iter().zip(pca.plane()).map(image).collect();
    let is_classified = images.iter().any(|image| image.class.is_some());
    Ok(Embedding {
        layer: layer.to_owned(),
        features: found.width(),
        title,
        classes: if is_classified { catalog.set.class_names().to_vec() } else { Vec::new() },
        images,
        explained: pca.explained().to_vec(),
    })
}

/// Indices of the validation images of a run of the studio, if the images to show include them: a folder of MNIST's files shows
/// its test digits, which no run was trained on.
fn validation(studio: &Studio, model: &str) -> Result<Option<Vec<usize>>> {
    let job = model.strip_prefix("job-").map(|run| run.split_once('@').map_or(run, |(job, _)| job));
    let request = job.and_then(|job| studio.jobs.request(job));
    let (Some(Request::Train(run)), None | Some(Source::Folder(_))) = (request, studio.data.source()) else {
        return Ok(None);
    };
    Ok(run.validation_digits(studio.data.digits()?).transpose()?)
}
