//! The embedding of images by the features of a model.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use crate::embedding::{Embedding, embed};
use crate::problem::Result;
use crate::state::Studio;

/// Number of images by default, and at most.
const COUNT: usize = 300;
const MOST: usize = 1000;

/// Query parameter: number of images.
#[derive(Deserialize)]
pub(crate) struct CountQuery {
    count: Option<usize>,
}

pub(crate) async fn show(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<CountQuery>,
) -> Result<Json<Embedding>> {
    let count = query.count.unwrap_or(COUNT).clamp(2, MOST);
    let compute = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let mut kept = loaded.embedding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, embedding)) = kept.as_ref().filter(|(of, _)| *of == count) {
            return Ok(Json(embedding.clone()));
        }
        let embedding = embed(studio, &loaded, count)?;
        *kept = Some((count, embedding.clone()));
        Ok(Json(embedding))
    };
    studio.compute(compute).await
}
