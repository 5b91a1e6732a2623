//! The ways to explain a decision.

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
    /// Whether it takes hundreds of passes: seconds for digits, minutes for photos.
    slow: bool,
    /// Whether what speaks against the class shows too.
    signed: bool,
}

/// Whether a method asks the network hundreds of times.
pub(crate) fn is_slow(method: Method) -> bool {
    matches!(method, Method::Rise | Method::ScoreCam | Method::Occlusion)
}

/// The methods that can be used on a model.
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
