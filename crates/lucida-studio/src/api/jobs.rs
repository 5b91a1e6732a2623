//! Jobs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::jobs::{Record, Request};
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Maximum number of jobs in a list.
const COUNT: usize = 200;

/// A job and its events.
#[derive(Serialize)]
pub(crate) struct JobWithEvents {
    #[serde(flatten)]
    record: Record,
    news: Vec<Value>,
}

pub(crate) async fn list(State(studio): State<Arc<Studio>>) -> Json<Vec<Record>> {
    Json(studio.jobs.list(COUNT))
}

pub(crate) async fn add(
    State(studio): State<Arc<Studio>>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<(StatusCode, Json<Record>)> {
    let request: Request = read(body)?;
    let record = studio.compute(move |studio| studio.jobs.add(studio, &request)).await?;
    Ok((StatusCode::ACCEPTED, Json(record)))
}

pub(crate) async fn show(State(studio): State<Arc<Studio>>, Path(job): Path<String>) -> Result<Json<JobWithEvents>> {
    let (record, news) = studio.jobs.get(&job)?;
    Ok(Json(JobWithEvents { record, news }))
}

pub(crate) async fn cancel(State(studio): State<Arc<Studio>>, Path(job): Path<String>) -> Result<Json<Record>> {
    studio.jobs.cancel(&job).map(Json)
}

pub(crate) async fn resume(
    State(studio): State<Arc<Studio>>,
    Path(job): Path<String>,
) -> Result<(StatusCode, Json<Record>)> {
    let record = studio.compute(move |studio| studio.jobs.resume(studio, &job)).await?;
    Ok((StatusCode::ACCEPTED, Json(record)))
}

pub(crate) async fn remove(State(studio): State<Arc<Studio>>, Path(job): Path<String>) -> Result<StatusCode> {
    studio.jobs.remove(&job)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Serves one of a job's files: images inline, everything else as a download.
pub(crate) async fn file(
    State(studio): State<Arc<Studio>>,
    Path((job, name)): Path<(String, String)>,
) -> Result<impl IntoResponse> {
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        _ => "application/octet-stream",
    };
    let disposition = if kind.starts_with("image/") { "inline" } else { "attachment" };
    let bytes = studio.compute(move |studio| studio.jobs.file(&job, &name)).await?;
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, disposition)], bytes))
}

/// Parses a JSON body in two steps, so that malformed JSON always gets another status than JSON that is not a valid
/// request: parsed in one step, the status would depend on which of the two errors comes first in the text.
pub(crate) fn read<T: DeserializeOwned>(body: Result<Json<Value>, JsonRejection>) -> Result<T> {
    let Json(value) = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    serde_json::from_value(value).map_err(|error| Problem::invalid(format!("the request is invalid: {error}")))
}
