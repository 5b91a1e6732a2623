//! Images: those the server has, and those that are uploaded.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::encoded::data_url;
use crate::data::{Caption, Named};
use crate::form::{broken, file_name};
use crate::images::downscaled;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum side of a response in pixels.
const SIDE: usize = 1024;

/// An uploaded image.
#[derive(Serialize)]
pub(crate) struct Uploaded {
    id: String,
    width: usize,
    height: usize,
}

/// An image that was uploaded before.
#[derive(Serialize)]
pub(crate) struct UploadedImage {
    id: String,
}

/// Query parameter: maximum side of the response in pixels.
#[derive(Deserialize)]
pub(crate) struct Size {
    side: Option<usize>,
}

/// Query parameter: identifier of an image.
#[derive(Deserialize)]
pub(crate) struct ImageQuery {
    pub(crate) image: String,
}

/// An image after a model's preprocessing.
#[derive(Serialize)]
pub(crate) struct PreprocessedImage {
    width: usize,
    height: usize,
    image: String,
    /// Display name.
    title: String,
    /// The name of its true class, if it is known.
    label: Option<String>,
}

/// Decodes the form field `image` (`picture` in older clients), downscales the image, and stores it for a while.
pub(crate) async fn upload(
    State(studio): State<Arc<Studio>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<Uploaded>)> {
    let permit = studio.start_upload()?;
    let (name, bytes) = file_of(form, &["image", "picture"], studio.limits.upload_bytes).await?;
    let pixels = studio.limits.upload_pixels;
    let (id, image) = studio.compute(move |studio| studio.images.add(&name, &bytes, pixels)).await?;
    drop(permit);
    let uploaded = Uploaded { id, width: image.width(), height: image.height() };
    Ok((StatusCode::CREATED, Json(uploaded)))
}

/// Returns the first of the [files of a form](files_of).
pub(super) async fn file_of(
    form: Result<Multipart, MultipartRejection>,
    fields: &[&str],
    limit: usize,
) -> Result<(String, Bytes)> {
    Ok(files_of(form, fields, limit).await?.swap_remove(0))
}

/// Returns the names and the bytes of the files in a form whose fields have one of these names: at least one. `limit` is the
/// maximum size in bytes, which the router enforces.
pub(super) async fn files_of(
    form: Result<Multipart, MultipartRejection>,
    fields: &[&str],
    limit: usize,
) -> Result<Vec<(String, Bytes)>> {
    let broken = |error: MultipartError| match error.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, format!("the file is too large: at most {} MB are accepted", limit >> 20))
        }
        _ => broken(error),
    };
    let mut form = form.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let mut found = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name().is_some_and(|name| fields.contains(&name)) {
            let name = file_name(&field).unwrap_or_else(|| "the upload".to_owned());
            found.push((name, field.bytes().await.map_err(broken)?));
        }
    }
    match found.is_empty() {
        true => Err(Problem::invalid(format!("the form has no field `{}`", fields[0]))),
        false => Ok(found),
    }
}

/// Lists the uploads, the most recently used first.
pub(crate) async fn list(State(studio): State<Arc<Studio>>) -> Json<Vec<UploadedImage>> {
    Json(studio.images.names().into_iter().map(|id| UploadedImage { id }).collect())
}

/// Serves an image as a PNG file, encoded by the server even if it was uploaded.
pub(crate) async fn show(
    State(studio): State<Arc<Studio>>,
    Path(image): Path<String>,
    Query(size): Query<Size>,
) -> Result<impl IntoResponse> {
    let side = size.side.unwrap_or(SIDE).clamp(1, SIDE);
    let png =
        studio.compute(move |studio| Ok(downscaled((*studio.image(&image)?).clone(), side)?.png_bytes()?)).await?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "private, max-age=3600")], png))
}

/// Returns an image after a model's preprocessing: cropped, resized, and gray if the model takes gray images.
pub(crate) async fn seen(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<PreprocessedImage>> {
    let see = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let input = studio.input(&loaded, &query.image)?;
        let image = loaded.model.preprocessing()?.to_image(&input)?;
        let Caption { title, label } = studio.data.caption(&Named::parse(&query.image)?)?;
        let (width, height) = (image.width(), image.height());
        Ok(Json(PreprocessedImage { width, height, image: data_url(&image)?, title, label }))
    };
    studio.compute(see).await
}
