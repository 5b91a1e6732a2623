//! The images that suit a model.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use lucida::data::{Dataset, FolderSet};
use lucida::nn::counted;
use serde::{Deserialize, Serialize};

use crate::data::{Caption, Named, Source};
use crate::jobs::{Choice, StyleTrainingSpeed, networks};
use crate::problem::Result;
use crate::state::Studio;

/// The most images in an answer.
const COUNT: usize = 96;

/// A part of the list.
#[derive(Deserialize)]
pub(crate) struct Part {
    first: Option<usize>,
    count: Option<usize>,
}

/// A part of the images.
#[derive(Serialize)]
pub(crate) struct Listed {
    title: String,
    total: usize,
    images: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    id: String,
    /// What it is, for people.
    title: String,
    /// The name of its true class, if it is known.
    label: Option<String>,
}

/// What there is to train on.
#[derive(Serialize)]
pub(crate) struct Overview {
    /// In words.
    digits: String,
    /// Photos that are sorted into classes, where there are some.
    photos: Option<String>,
    /// What can learn from photos.
    networks: Vec<Choice>,
    /// The folder of photos, for trainings that need no classes, where there is one.
    style_photos: Option<String>,
    /// Seconds that a step of the training of a style takes, about.
    style_seconds: StyleTrainingSpeed,
}

/// What there is to train on.
pub(crate) async fn overview(State(studio): State<Arc<Studio>>) -> Result<Json<Overview>> {
    let look = |studio: &Studio| {
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
    studio.compute(look).await
}

pub(crate) async fn list(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<Listed>> {
    let (first, count) = (part.first.unwrap_or(0), part.count.unwrap_or(24).min(COUNT));
    let list = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let item = |id: String, Caption { title, label }: Caption| Item { id, title, label };
        let Some(catalog) = studio.data.catalog(&loaded.model)? else {
            let cat = studio.data.caption(&Named::Cat)?;
            return Ok(Listed { title: cat.title.clone(), total: 1, images: vec![item("cat".into(), cat)] });
        };
        let range = first.min(catalog.set.len())..first.saturating_add(count).min(catalog.set.len());
        let images = range.map(|index| item(format!("{}-{index}", catalog.prefix), catalog.caption(index))).collect();
        Ok(Listed { total: catalog.set.len(), images, title: catalog.title })
    };
    studio.compute(list).await.map(Json)
}
