//! Resource limits of the studio.

use std::time::Duration;

/// Resource limits; the [defaults](Limits::default) rarely need to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum concurrent connections; further ones wait in the system's queue.
    pub connections: usize,
    /// Maximum concurrent event streams; further ones are rejected.
    pub streams: usize,
    /// Maximum size of an uploaded file in bytes.
    pub upload_bytes: usize,
    /// Maximum size of the files of an opened model in bytes.
    pub model_bytes: usize,
    /// Maximum number of pixels of an uploaded image.
    pub upload_pixels: u64,
    /// Maximum size of any other request body in bytes.
    pub body_bytes: usize,
    /// Maximum concurrent uploads; further ones are rejected.
    pub uploads: usize,
    /// Maximum requests that compute at the same time; further ones wait.
    pub computations: usize,
    /// Maximum requests that wait to compute; further ones are rejected.
    pub waiting: usize,
    /// Maximum queued jobs; further ones are rejected.
    pub queue: usize,
    /// Timeout for the head of a request to arrive, and for idle connections.
    pub head: Duration,
    /// Timeout of a request, including its body.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            streams: 128,
            upload_bytes: 32 << 20,
            model_bytes: 600 << 20,
            upload_pixels: 40_000_000,
            body_bytes: 1 << 20,
            uploads: 4,
            computations: 2,
            waiting: 128,
            queue: 16,
            head: Duration::from_secs(15),
            request: Duration::from_secs(60),
        }
    }
}
