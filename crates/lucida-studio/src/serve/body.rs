//! The images in the body of a request.
//!
//! Bodies are read chunk by chunk, and each chunk counts against the memory limit of all requests together: a client that
//! declares a large body and sends it slowly only takes up what it has sent.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Service;
use crate::form::{broken, file_name};
use crate::problem::{Problem, Result};

/// Title of an image without a file name.
const UNNAMED: &str = "the body";

/// An image file that a client has sent.
pub(super) struct Upload {
    /// The name of the file, if the client sent one.
    pub(super) name: Option<String>,
    pub(super) bytes: Vec<u8>,
    /// Memory reserved for the body.
    _held: Arc<BodyReservation>,
}

impl Upload {
    /// Its name in error messages.
    pub(super) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(UNNAMED)
    }
}

/// Memory reserved for a request's body, until the last of its images is decoded.
struct BodyReservation {
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// Counts the bytes of a request against the limits.
struct Reader<'a> {
    service: &'a Service,
    reservation: BodyReservation,
}

impl Reader<'_> {
    /// Counts a chunk, and adds it to an image.
    fn add(&mut self, to: &mut Vec<u8>, chunk: &[u8]) -> Result<()> {
        let reservation = &mut self.reservation;
        reservation.bytes += chunk.len();
        if reservation.bytes > self.service.limits.body_bytes {
            return Err(too_large(self.service));
        }
        let have = reservation.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = reservation.bytes.div_ceil(1 << 10) - have;
        let permit = acquire(&self.service.held, more)?;
        match &mut reservation.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        to.extend_from_slice(chunk);
        Ok(())
    }
}

fn acquire(held: &Arc<Semaphore>, kibibytes: usize) -> Result<OwnedSemaphorePermit> {
    let busy = || Problem::busy("too many images are being sent; try again in a moment");
    let count = u32::try_from(kibibytes).map_err(|_| busy())?;
    Arc::clone(held).try_acquire_many_owned(count).map_err(|_| busy())
}

fn too_large(service: &Service) -> Problem {
    let most = service.limits.body_bytes >> 20;
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} MiB"))
}

/// Reads the images of a request: its body, or the files of a form.
pub(super) async fn read(service: &Service, request: Request) -> Result<Vec<Upload>> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > service.limits.body_bytes as u64) {
        return Err(too_large(service));
    }
    let mut reader = Reader { service, reservation: BodyReservation { permit: None, bytes: 0 } };
    let images = match content(request.headers())? {
        Content::Form => form(&mut reader, request).await?,
        Content::Image => vec![(None, image(&mut reader, request.into_body()).await?)],
    };
    let held = Arc::new(reader.reservation);
    Ok(images.into_iter().map(|(name, bytes)| Upload { name, bytes, _held: Arc::clone(&held) }).collect())
}

enum Content {
    Form,
    Image,
}

/// Returns what the content type declares. The format of an image is detected from its first bytes, so a missing type
/// counts as `image/*`, and so does the form type that `curl --data-binary` sends by default.
fn content(headers: &HeaderMap) -> Result<Content> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "multipart/form-data" => Ok(Content::Form),
        "" | "application/octet-stream" | "application/x-www-form-urlencoded" => Ok(Content::Image),
        kind if kind.starts_with("image/") => Ok(Content::Image),
        kind => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Type {kind:?}: send an image as the body, or images as files of multipart/form-data"),
        )),
    }
}

async fn image(reader: &mut Reader<'_>, body: Body) -> Result<Vec<u8>> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let interrupted = |_| Problem::new(StatusCode::BAD_REQUEST, "the upload was interrupted");
        let chunk: Bytes = chunk.map_err(interrupted)?;
        reader.add(&mut bytes, &chunk)?;
    }
    if bytes.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is empty: send an image"));
    }
    Ok(bytes)
}

/// Reads the files of a form, and its fields named `image`.
async fn form(reader: &mut Reader<'_>, request: Request) -> Result<Vec<(Option<String>, Vec<u8>)>> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let most = reader.service.limits.images.min(reader.service.limits.queue);
    let mut images = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let name = file_name(&field);
        if name.is_none() && field.name() != Some("image") {
            continue;
        }
        if images.len() == most {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a request may have {most} images: send the others in another one"),
            ));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            reader.add(&mut bytes, &chunk)?;
        }
        images.push((name, bytes));
    }
    if images.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the form has no file: send images as files of the form"));
    }
    Ok(images)
}
