//! The attribution methods.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use lucida::explain::Method;
use serde::Serialize;

use crate::problem::Result;
use crate::state::Studio;

/// A method.
#[derive(Serialize)]
pub(crate) struct Item {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Whether it takes hundreds of forward passes: seconds for digits, minutes for photos.
    slow: bool,
    /// Whether its maps also show evidence against the class.
    signed: bool,
}

/// Whether a method takes hundreds of forward passes.
pub(crate) fn is_slow(method: Method) -> bool {
    matches!(method, Method::Rise | Method::ScoreCam | Method::Occlusion)
}

/// Lists all methods, if the model exists.
pub(crate) async fn methods(State(studio): State<Arc<Studio>>, Path(model): Path<String>) -> Result<Json<Vec<Item>>> {
    studio.compute(move |studio| studio.models.get(&model)).await?;
    let item = |method: Method| Item {
        name: method.name(),
        title: method.title(),
        description: method.description(),
        slow: is_slow(method),
        signed: method.is_signed(),
    };
    Ok(Json(Method::ALL.into_iter().map(item).collect()))
}
