//! Routes of the studio.

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

use super::guard::{self, Guard};
use super::{assets, headers};
use crate::state::Studio;
use crate::{api, pages};

/// Builds the router of pages, files and the API, with its middleware.
pub(crate) fn router(studio: &Arc<Studio>, guard: Guard) -> Router {
    let limits = &studio.limits;
    let mut router = api::router(limits);
    for (path, _) in pages::PAGES {
        router = router.route(path, get(pages::page));
    }
    router
        .route("/assets/{version}/{*name}", get(assets::serve))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(limits.request, headers::with_timeout))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .layer(middleware::from_fn(headers::secure))
        .with_state(Arc::clone(studio))
}
