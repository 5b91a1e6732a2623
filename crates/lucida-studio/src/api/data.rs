//! The images for a model, and the data to train on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use lucida::data::{Dataset, FolderSet};
use lucida::nn::counted;
use serde::{Deserialize, Serialize};

use crate::data::{Caption, Named, Source};
use crate::jobs::{NetworkChoice, StyleTrainingSpeed, networks};
use crate::problem::Result;
use crate::state::Studio;

/// Maximum number of images in a response.
const COUNT: usize = 96;

/// Range of the list to return.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    first: Option<usize>,
    count: Option<usize>,
}

/// A part of the images.
#[derive(Serialize)]
pub(crate) struct ImagePage {
    title: String,
    total: usize,
    images: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    id: String,
    /// Display name.
    title: String,
    /// The name of its true class, if it is known.
    label: Option<String>,
}

/// Data and networks for training.
#[derive(Serialize)]
pub(crate) struct Overview {
    /// Description of the digits.
    digits: String,
    /// Description of the photos; `None` if there are none with at least two classes.
    photos: Option<String>,
    /// Networks that can be trained on photos.
    networks: Vec<NetworkChoice>,
    /// Description of the photos for training styles, which needs no classes; `None` if there are none.
    style_photos: Option<String>,
    /// Approximate seconds per step when training styles.
    style_seconds: StyleTrainingSpeed,
}

/// Describes the data and networks for training.
pub(crate) async fn overview(State(studio): State<Arc<Studio>>) -> Result<Json<Overview>> {
    let describe = |studio: &Studio| {
        let digits = match studio.data.source() {
            Some(Source::Mnist(_)) => "MNIST",
            _ => "The built-in digits",
        };
        let all = studio.data.photos()?;
        let folder = |photos: &FolderSet| format!("{}: {}", studio.data.folder_name(), counted(photos.len(), "photo"));
        let style_photos = all.filter(|photos| photos.len() > 0).map(folder);
        let photos = all.filter(|photos| photos.is_classified() && photos.class_names().len() > 1);
        let in_words = |photos: &FolderSet| {
            format!("{}: photos of {} classes", studio.data.folder_name(), photos.class_names().len())
        };
        Ok(Json(Overview {
            digits: digits.to_owned(),
            photos: photos.map(in_words),
            networks: networks(),
            style_photos,
            style_seconds: StyleTrainingSpeed::of(&studio.jobs.list(usize::MAX), studio.cpu),
        }))
    };
    studio.compute(describe).await
}

pub(crate) async fn list(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<ImagePage>> {
    let (first, count) = (page.first.unwrap_or(0), page.count.unwrap_or(24).min(COUNT));
    let list = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let item = |id: String, Caption { title, label }: Caption| Item { id, title, label };
        let Some(catalog) = studio.data.catalog(&loaded.model)? else {
            let cat = studio.data.caption(&Named::Cat)?;
            return Ok(ImagePage { title: cat.title.clone(), total: 1, images: vec![item("cat".into(), cat)] });
        };
        let range = first.min(catalog.set.len())..first.saturating_add(count).min(catalog.set.len());
        let images = range.map(|index| item(format!("{}-{index}", catalog.prefix), catalog.caption(index))).collect();
        Ok(ImagePage { total: catalog.set.len(), images, title: catalog.title })
    };
    studio.compute(list).await.map(Json)
}
