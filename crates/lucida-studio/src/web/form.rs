//! What all forms with files have in common.

use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;

use crate::problem::Problem;

/// The most letters of a file name that an answer repeats.
const NAME: usize = 100;

/// The name of the file in a field.
pub(crate) fn file_name(field: &Field<'_>) -> Option<String> {
    field.file_name().map(|name| name.chars().take(NAME).collect())
}

/// What is wrong with a form. One that breaks off is its client's fault: nothing else fails in reading it.
pub(crate) fn broken(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::INTERNAL_SERVER_ERROR => Problem::new(StatusCode::BAD_REQUEST, "the upload was interrupted"),
        status => Problem::new(status, error.body_text()),
    }
}
