//! Networks that stylize in one forward pass, for images with an identifier and for camera frames.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use lucida::data::Image;
use lucida::style::{ColorSource, FeedForwardRequest};
use serde::Deserialize;

use super::images::{ImageQuery, file_of};
use crate::fast_networks::FastNetwork;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Range of the longer side of a result, in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 64..=1024;
/// Maximum side of a camera frame, in pixels.
const PIXELS: usize = 512;
/// Header with the time of the forward pass, which browsers display.
const TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How an image is stylized.
#[derive(Deserialize)]
pub(crate) struct StylizeQuery {
    /// A weight for each style: `0.7,0.3`. By default, only the first style is used.
    mix: Option<String>,
    strength: Option<f32>,
    /// Whether the colors of the image are kept.
    #[serde(default)]
    keep_colors: bool,
}

/// The longer side of the result in pixels; by default that of the image.
#[derive(Deserialize)]
pub(crate) struct ResultSize {
    size: Option<usize>,
}

/// Size of the image in the body, which is RGB bytes, row by row.
#[derive(Deserialize)]
pub(crate) struct Raw {
    width: usize,
    height: usize,
}

impl StylizeQuery {
    fn request(&self, size: Option<usize>) -> Result<FeedForwardRequest> {
        let weight = |text: &str| {
            let weight = text.trim().parse().ok();
            weight.ok_or_else(|| Problem::invalid(format!("weight {text:?} of a style is not a number")))
        };
        let mix = self.mix.as_deref().filter(|mix| !mix.is_empty());
        let colors = if self.keep_colors { ColorSource::Luminance } else { ColorSource::Style };
        Ok(FeedForwardRequest {
            mix: mix.map_or(Ok(Vec::new()), |mix| mix.split(',').map(weight).collect())?,
            size,
            strength: self.strength.unwrap_or(1.0),
            colors,
        })
    }
}

pub(crate) async fn list(State(studio): State<Arc<Studio>>) -> Result<Json<Vec<FastNetwork>>> {
    studio.compute(|studio| Ok(studio.fast_networks.list(&studio.jobs))).await.map(Json)
}

/// Opens and checks the file in the form field `network`, and stores it until it is removed.
pub(crate) async fn open(
    State(studio): State<Arc<Studio>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<FastNetwork>)> {
    let permit = studio.start_upload()?;
    let (name, bytes) = file_of(form, &["network"], studio.limits.upload_bytes).await?;
    let opened = studio.compute(move |studio| studio.fast_networks.add(&name, &bytes, studio.cpu)).await?;
    drop(permit);
    Ok((StatusCode::CREATED, Json(opened)))
}

pub(crate) async fn remove(State(studio): State<Arc<Studio>>, Path(network): Path<String>) -> Result<StatusCode> {
    studio.compute(move |studio| studio.fast_networks.remove(&network)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stylizes an image with an identifier; returns a PNG file.
pub(crate) async fn stylize(
    State(studio): State<Arc<Studio>>,
    Path(network): Path<String>,
    Query(ImageQuery { image }): Query<ImageQuery>,
    Query(ResultSize { size }): Query<ResultSize>,
    Query(query): Query<StylizeQuery>,
) -> Result<impl IntoResponse> {
    if size.is_some_and(|size| !SIDES.contains(&size)) {
        let (least, most) = (SIDES.start(), SIDES.end());
        return Err(Problem::invalid(format!("the longer side must have {least} to {most} pixels")));
    }
    let request = query.request(size)?;
    let stylize = move |studio: &Studio| {
        let (image, timing) = pass(studio, &network, &*studio.image(&image)?, request)?;
        Ok(([(CONTENT_TYPE, HeaderValue::from_static("image/png")), (TIMING, timing)], image.png_bytes()?))
    };
    studio.compute(stylize).await
}

/// Stylizes raw pixels and returns raw pixels: without encoding, a camera is shown as fast as the network runs.
pub(crate) async fn stylize_pixels(
    State(studio): State<Arc<Studio>>,
    Path(network): Path<String>,
    Query(Raw { width, height }): Query<Raw>,
    Query(query): Query<StylizeQuery>,
    body: Bytes,
) -> Result<impl IntoResponse> {
    if !(1..=PIXELS).contains(&width) || !(1..=PIXELS).contains(&height) {
        return Err(Problem::invalid(format!("an image of {width}x{height} pixels: sides must have 1 to {PIXELS}")));
    }
    let request = query.request(None)?;
    let stylize = move |studio: &Studio| {
        let photo = Image::new(width, height, 3, body.to_vec())?;
        let (image, timing) = pass(studio, &network, &photo, request)?;
        let kind = HeaderValue::from_static("application/octet-stream");
        Ok(([(CONTENT_TYPE, kind), (TIMING, timing)], image.pixels().to_vec()))
    };
    studio.compute(stylize).await
}

fn pass(studio: &Studio, network: &str, photo: &Image, request: FeedForwardRequest) -> Result<(Image, HeaderValue)> {
    let network = studio.fast_networks.find(&studio.jobs, network)?;
    let (image, taken) = studio.fast_networks.stylize(&network, photo, request, studio.cpu)?;
    let timing = HeaderValue::from_str(&format!("pass;dur={:.1}", taken.as_secs_f64() * 1e3));
    Ok((image, timing.unwrap_or(HeaderValue::from_static("pass"))))
}
