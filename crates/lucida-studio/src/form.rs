//! Helpers for forms with files.

use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;

use crate::problem::Problem;

/// Maximum length of a client's file name in characters; the rest is cut off.
const NAME: usize = 100;

/// Returns the name of the file in a field.
pub(crate) fn file_name(field: &Field<'_>) -> Option<String> {
    field.file_name().map(|name| name.chars().take(NAME).collect())
}

/// Converts an error of reading a form. Status 500 becomes 400: the only such error is an interrupted upload, which is the
/// client's fault.
pub(crate) fn broken(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::INTERNAL_SERVER_ERROR => Problem::new(StatusCode::BAD_REQUEST, "the upload was interrupted"),
        status => Problem::new(status, error.body_text()),
    }
}
