//! Routes of the prediction server, and their responses.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lucida::model::PredictionRecord;
use lucida::weights::OutputKind;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::worker::ImageResult;
use super::{Service, body, metrics};
use crate::problem::{Problem, Result};
use crate::web::{bearer, secure};

/// Default number of classes in a prediction.
const TOP: usize = 5;
/// Health check; it needs no key, because supervisors and load balancers have none.
const HEALTH: &str = "/healthz";

pub(super) fn router(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/predict", post(predict).layer(DefaultBodyLimit::max(service.limits.body_bytes)))
        .route("/model", get(model))
        .route("/metrics", get(measured))
        .route(HEALTH, get(health))
        .route("/", get(welcome))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(service), check))
        .layer(from_fn_with_state(Arc::clone(service), count))
        .layer(from_fn(secure))
        .with_state(Arc::clone(service))
}

/// Middleware that rejects requests without the key. If there is no key, it rejects those of pages of other sites, which
/// could not know a key.
async fn check(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let refused = match &service.key {
        _ if request.uri().path() == HEALTH => None,
        None => service.guard.check_source(&request).err().map(IntoResponse::into_response),
        Some(key) if bearer(request.headers()).is_some_and(|given| key.is(given)) => None,
        Some(_) => {
            let message = "the key is missing or wrong: send it as the header `Authorization: Bearer KEY`";
            let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
            Some((challenge, Problem::new(StatusCode::UNAUTHORIZED, message)).into_response())
        }
    };
    match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

/// Middleware that counts requests.
async fn count(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    service.metrics.answered(&path, response.status().as_u16(), started.elapsed());
    response
}

/// Query parameters of `/predict`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictQuery {
    /// Number of classes or labels to return.
    top: Option<NonZeroUsize>,
}

/// Response of `/predict`.
#[derive(Serialize)]
struct PredictResponse {
    model: String,
    predictions: Vec<ImagePrediction>,
    /// The images of a form that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ImageError>,
}

#[derive(Serialize)]
struct ImagePrediction {
    /// The name of the file, if the client sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(flatten)]
    record: PredictionRecord,
}

#[derive(Serialize)]
struct ImageError {
    image: Option<String>,
    error: String,
}

/// Predicts the images of a request. If some of several cannot be read, the others are still predicted.
async fn predict(
    State(service): State<Arc<Service>>,
    query: Result<Query<PredictQuery>, QueryRejection>,
    request: Request,
) -> Result<Json<PredictResponse>> {
    let other = |_| Problem::new(StatusCode::BAD_REQUEST, "the query may have top=N alone, a number of classes from 1");
    let Query(query) = query.map_err(other)?;
    let top = query.top.map_or(TOP, NonZeroUsize::get);
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive");
    let uploads = tokio::time::timeout(service.limits.body, body::read(&service, request)).await.map_err(slow)??;
    let permits = service.queue.permits(uploads.len())?;
    let send = |(upload, permit): (body::Upload, _)| (upload.name.clone(), service.queue.send(upload, permit));
    let sent: Vec<_> = uploads.into_iter().zip(permits).map(send).collect();
    let (mut predictions, mut errors, mut first) = (Vec::new(), Vec::new(), None);
    let timed_out = || {
        let limit = service.limits.answer.as_secs_f64();
        Problem::new(StatusCode::GATEWAY_TIMEOUT, format!("no prediction within {limit} s: the server is busy"))
    };
    let deadline = tokio::time::Instant::now() + service.limits.answer;
    for (image, answer) in sent {
        let answer = tokio::time::timeout_at(deadline, answer).await.map_err(|_| timed_out())?;
        match answer.unwrap_or_else(|_| Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the model has failed"))) {
            Ok(ImageResult { predicted, digit_found }) => {
                let record = PredictionRecord::top(&service.model, predicted, digit_found, top);
                predictions.push(ImagePrediction { image, record });
            }
            Err(problem) => {
                errors.push(ImageError { image, error: problem.message().to_owned() });
                first.get_or_insert(problem);
            }
        }
    }
    match first {
        Some(problem) if predictions.is_empty() => Err(problem),
        _ => Ok(Json(PredictResponse { model: service.name.clone(), predictions, errors })),
    }
}

/// Response of `/model`.
#[derive(Serialize)]
struct ModelResponse {
    model: String,
    network: String,
    task: &'static str,
    /// Height, width and channels of the network's input; images of any size are accepted.
    input: Vec<usize>,
    parameters: usize,
    /// The classes, labels or values, in the order of the outputs.
    class_names: Vec<String>,
    batch_size: usize,
}

async fn model(State(service): State<Arc<Service>>) -> Result<Json<ModelResponse>> {
    let Service { model, outputs, .. } = &*service;
    Ok(Json(ModelResponse {
        model: service.name.clone(),
        network: model.network.name().to_owned(),
        task: match outputs.kind() {
            OutputKind::Classes | OutputKind::TwoClasses => "classify",
            OutputKind::Labels => "multilabel",
            OutputKind::Values => "regress",
        },
        input: model.network.input_shape()?.sizes().to_vec(),
        parameters: model.network.parameters().0,
        class_names: (0..outputs.count()).map(|class| model.class_name(class)).collect(),
        batch_size: service.batch_size,
    }))
}

async fn measured(State(service): State<Arc<Service>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], service.metrics.text(service.queue.waiting()))
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    match service.queue.is_alive() {
        true => Json(json!({ "status": "ok" })).into_response(),
        false => Problem::busy("the model has failed").into_response(),
    }
}

/// Describes the server in plain text.
async fn welcome(State(service): State<Arc<Service>>) -> Result<String> {
    let Service { name, model, outputs, url, .. } = &*service;
    let mut text = format!(
        "lucida serve {name}\n{}, input {}, {} {}\n\n",
        model.network.name(),
        model.network.input_shape()?,
        outputs.count(),
        if outputs.count() == 1 { outputs.noun() } else { outputs.nouns() },
    );
    let key = if service.key.is_some() { " -H \"Authorization: Bearer $LUCIDA_KEY\"" } else { "" };
    for (request, what) in [
        ("POST /predict", "an image as the body, or files of a form; ?top=N for N classes"),
        ("GET  /model", "input size, task, class names"),
        ("GET  /healthz", "200 while the model answers"),
        ("GET  /metrics", "for Prometheus"),
    ] {
        let _ = writeln!(text, "{request:<15} {what}");
    }
    let _ = writeln!(text, "\ncurl{key} --data-binary @photo.jpg {url}/predict");
    let _ = writeln!(text, "curl{key} -F image=@a.jpg -F image=@b.jpg '{url}/predict?top=3'");
    Ok(text)
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::not_found(format!("there is no {path}: GET / lists what there is"))
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for this path: GET / lists what there is"))
}
