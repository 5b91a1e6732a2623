//! Downloads to memory.

use std::path::PathBuf;

use super::RetryPolicy;
use super::client::{Client, FetchError};
use crate::{Error, Result};

/// Downloads at most `limit` bytes from a URL. Temporary failures are retried.
///
/// # Errors
/// [`Error::Network`] when the download fails, [`Error::Limit`] when it is larger.
pub(crate) fn fetch(url: &str, limit: u64) -> Result<Vec<u8>> {
    let patience = RetryPolicy::default();
    let certificates = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let client = Client::new(url, &patience, certificates.as_deref())?;
    let mut pause = patience.pause;
    for attempt in 0.. {
        match attempt_once(&client, url, limit) {
            Ok(bytes) if bytes.len() as u64 > limit => {
                return Err(Error::Limit { what: format!("{url}: size in bytes"), got: bytes.len() as u64, limit });
            }
            Ok(bytes) => return Ok(bytes),
            Err(FetchError::Passing(_)) if attempt < patience.retries => std::thread::sleep(pause),
            Err(FetchError::Passing(problem) | FetchError::Lasting(problem)) => {
                return Err(Error::Network { url: url.to_owned(), problem });
            }
        }
        pause *= 2;
    }
    unreachable!("the last attempt returns")
}

fn attempt_once(client: &Client, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
    let mut answer = client.get(url, 0, None)?;
    match answer.status {
        200 => {}
        status @ (408 | 429 | 500..=599) => return Err(FetchError::Passing(format!("the server answers {status}"))),
        status => return Err(FetchError::Lasting(format!("the server answers {status}"))),
    }
    let (mut bytes, mut block) = (Vec::new(), vec![0; 1 << 16]);
    while bytes.len() as u64 <= limit {
        match answer.body.read(&mut block)? {
            0 => break,
            count => bytes.extend_from_slice(&block[..count]),
        }
    }
    match answer.len {
        Some(len) if (bytes.len() as u64) < len.min(limit) => Err(FetchError::Passing("the answer was cut off".into())),
        _ => Ok(bytes),
    }
}
