//! Scripts, style sheets and images of the pages, embedded in the binary.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// Hash of all files. It is part of their URLs, so that browsers may cache them forever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    let mut names: Vec<_> = Files::iter().collect();
    names.sort();
    for file in names.iter().filter_map(|name| Files::get(name)) {
        hash.update(&file.data);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// All files, by their path.
pub(crate) fn web_files() -> Vec<(String, Vec<u8>)> {
    Files::iter().filter_map(|name| Some((name.to_string(), Files::get(&name)?.data.into_owned()))).collect()
}

/// Returns the hash of all files.
pub(crate) fn version() -> &'static str {
    &VERSION
}

/// Serves a file.
pub(super) async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(file) = Files::get(&name).filter(|_| version == *VERSION) else {
        return Problem::not_found("there is no such file").into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=31536000, immutable")], file.data).into_response()
}
