//! JSON in files of weights.

use serde_json::Value;

/// Maximum bytes of JSON, which takes up to a hundred times as much memory once parsed. That of InceptionV3 has 300,000.
pub(super) const MAX_JSON: usize = 4 << 20;

/// Parses a text.
///
/// # Errors
/// What is wrong with it: not JSON, or too long.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    if text.len() > MAX_JSON {
        return Err(format!("{} bytes of JSON are over the limit of {MAX_JSON}", text.len()));
    }
    serde_json::from_slice(text).map_err(|problem| problem.to_string())
}
