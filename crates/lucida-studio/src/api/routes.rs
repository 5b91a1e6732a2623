//! Routes of the API.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post, put};

#[cfg(feature = "server")]
use super::events;
use super::{
    data, draw, embedding, explain, images, jobs, layers, mechanics, models, openapi, overview, settings,
    style_networks,
};
use crate::Limits;
use crate::state::Studio;

/// Bytes of a form in addition to its files.
const FORM: usize = 4096;

/// A route of the API: method, path and handler.
pub(crate) type Route = (Method, &'static str, MethodRouter<Arc<Studio>>);

/// All routes of the API. A test checks that `openapi.json` describes the same ones.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        (Method::GET, "/api/openapi.json", get(openapi::document)),
        (Method::GET, "/api/data", get(data::overview)),
        (Method::GET, "/api/models", get(models::list)),
        (Method::POST, "/api/models", post(models::add)),
        (Method::GET, "/api/models/{model}", get(models::describe)),
        (Method::DELETE, "/api/models/{model}", delete(models::remove)),
        (Method::GET, "/api/models/{model}/settings", get(settings::show)),
        (Method::PUT, "/api/models/{model}/settings", put(settings::change)),
        (Method::POST, "/api/models/{model}/settings/preview", post(settings::preview)),
        (Method::GET, "/api/models/{model}/images", get(data::list)),
        (Method::GET, "/api/models/{model}/embedding", get(embedding::show)),
        (Method::GET, "/api/models/{model}/overview", get(overview::maps)),
        (Method::GET, "/api/models/{model}/seen", get(images::seen)),
        (Method::GET, "/api/models/{model}/prediction", get(draw::prediction)),
        (Method::GET, "/api/models/{model}/look", get(draw::from_image)),
        (Method::POST, "/api/models/{model}/look", post(draw::from_pixels)),
        (Method::POST, "/api/models/{model}/mechanics", post(mechanics::compute)),
        (Method::GET, "/api/models/{model}/methods", get(explain::methods)),
        (Method::GET, "/api/models/{model}/layers/{layer}", get(layers::describe)),
        (Method::GET, "/api/models/{model}/layers/{layer}/maps", get(layers::maps)),
        (Method::GET, "/api/models/{model}/layers/{layer}/kernels", get(layers::kernels)),
        (Method::GET, "/api/models/{model}/layers/{layer}/channels/{channel}", get(layers::channel)),
        (Method::GET, "/api/models/{model}/layers/{layer}/channels/{channel}/deconv", get(layers::deconv)),
        (Method::GET, "/api/models/{model}/layers/{layer}/channels/{channel}/inputs", get(overview::inputs)),
        (Method::GET, "/api/models/{model}/layers/{layer}/channels/{channel}/operation", get(overview::operation)),
        (Method::GET, "/api/images", get(images::list)),
        (Method::POST, "/api/images", post(images::upload)),
        (Method::GET, "/api/images/{image}", get(images::show)),
        (Method::GET, "/api/style-networks", get(style_networks::list)),
        (Method::POST, "/api/style-networks", post(style_networks::open)),
        (Method::DELETE, "/api/style-networks/{network}", delete(style_networks::remove)),
        (Method::GET, "/api/style-networks/{network}/pass", get(style_networks::stylize)),
        (Method::POST, "/api/style-networks/{network}/pass", post(style_networks::stylize_pixels)),
        #[cfg(feature = "server")]
        (Method::GET, "/api/events", get(events::stream)),
        (Method::GET, "/api/jobs", get(jobs::list)),
        (Method::POST, "/api/jobs", post(jobs::add)),
        (Method::GET, "/api/jobs/{job}", get(jobs::show)),
        (Method::DELETE, "/api/jobs/{job}", delete(jobs::remove)),
        (Method::POST, "/api/jobs/{job}/cancel", post(jobs::cancel)),
        (Method::POST, "/api/jobs/{job}/resume", post(jobs::resume)),
        (Method::GET, "/api/jobs/{job}/files/{file}", get(jobs::file)),
    ]
}

/// Builds the router of the API, with the limits on the size of requests.
pub(crate) fn router(limits: &Limits) -> Router<Arc<Studio>> {
    let mut router = Router::new();
    for (_, path, handler) in routes() {
        let size = match path {
            "/api/models" => limits.model_bytes + FORM,
            "/api/images" | "/api/style-networks" => limits.upload_bytes + FORM,
            _ => limits.body_bytes,
        };
        router = router.route(path, handler.layer(DefaultBodyLimit::max(size)));
    }
    router
}
