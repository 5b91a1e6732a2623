//! Images: those the server has, and those that are uploaded.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::encoded::data_url;
use crate::data::{Caption, Named};
use crate::images::smaller;
use crate::problem::{Problem, Result};
use crate::state::Studio;
use crate::web::{broken, file_name};

/// The longest side of a thumbnail that can be asked for.
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

/// The size of an image in an answer.
#[derive(Deserialize)]
pub(crate) struct Size {
    side: Option<usize>,
}

/// An image in a query.
#[derive(Deserialize)]
pub(crate) struct ImageQuery {
    pub(crate) image: String,
}

/// What a model sees of an image.
#[derive(Serialize)]
pub(crate) struct Seen {
    width: usize,
    height: usize,
    image: String,
    /// What it is, for people.
    title: String,
    /// The name of its true class, if it is known.
    label: Option<String>,
}

/// Takes the field `image` (in older clients `picture`) of a form: it is decoded, made smaller, and kept for a while.
pub(crate) async fn upload(
    State(studio): State<Arc<Studio>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<Uploaded>)> {
    let permit = studio.start_upload()?;
    let (name, bytes) = file_of(form, &["image", "picture"]).await?;
    let pixels = studio.limits.upload_pixels;
    let (id, image) = studio.compute(move |studio| studio.images.add(&name, &bytes, pixels)).await?;
    drop(permit);
    let uploaded = Uploaded { id, width: image.width(), height: image.height() };
    Ok((StatusCode::CREATED, Json(uploaded)))
}

/// The name and the bytes of the first file in a form whose field has one of these names.
pub(super) async fn file_of(form: Result<Multipart, MultipartRejection>, fields: &[&str]) -> Result<(String, Bytes)> {
    let mut form = form.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let mut found: Option<(String, Bytes)> = None;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name().is_some_and(|name| fields.contains(&name)) && found.is_none() {
            let name = file_name(&field).unwrap_or_else(|| "the upload".to_owned());
            found = Some((name, field.bytes().await.map_err(broken)?));
        }
    }
    found.ok_or_else(|| Problem::wrong(format!("the form has no field `{}`", fields[0])))
}

/// The uploads, the one used last first.
pub(crate) async fn list(State(studio): State<Arc<Studio>>) -> Json<Vec<UploadedImage>> {
    Json(studio.images.names().into_iter().map(|id| UploadedImage { id }).collect())
}

/// An image as a PNG file: always the server's own bytes.
pub(crate) async fn show(
    State(studio): State<Arc<Studio>>,
    Path(image): Path<String>,
    Query(size): Query<Size>,
) -> Result<impl IntoResponse> {
    let side = size.side.unwrap_or(SIDE).clamp(1, SIDE);
    let png = studio.compute(move |studio| Ok(smaller((*studio.image(&image)?).clone(), side)?.png_bytes()?)).await?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "private, max-age=3600")], png))
}

/// An image as a model takes it: cut, scaled, gray where the model sees no color.
pub(crate) async fn seen(
    State(studio): State<Arc<Studio>>,
    Path(model): Path<String>,
    Query(query): Query<ImageQuery>,
) -> Result<Json<Seen>> {
    let see = move |studio: &Studio| {
        let loaded = studio.models.get(&model)?;
        let input = studio.input(&loaded, &query.image)?;
        let image = loaded.model.preprocessing()?.to_image(&input)?;
        let Caption { title, label } = studio.data.caption(&Named::parse(&query.image)?)?;
        let (width, height) = (image.width(), image.height());
        Ok(Json(Seen { width, height, image: data_url(&image)?, title, label }))
    };
    studio.compute(see).await
}
