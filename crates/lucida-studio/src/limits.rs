//! What a client may cost.

use std::time::Duration;

/// Limits of the server; [`Limits::default`] is meant to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait in the system's queue.
    pub connections: usize,
    /// Streams of events at a time; more are refused.
    pub streams: usize,
    /// The most bytes of an uploaded image.
    pub upload_bytes: usize,
    /// The most pixels of an uploaded image.
    pub upload_pixels: u64,
    /// The most bytes of any other request's body.
    pub body_bytes: usize,
    /// Uploads at a time; more are refused.
    pub uploads: usize,
    /// Requests that compute at a time; others wait for them.
    pub computations: usize,
    /// Requests that wait to compute; more are refused.
    pub waiting: usize,
    /// Jobs that wait; more are refused.
    pub queue: usize,
    /// The time within which the head of a request must arrive, and after which an idle connection is closed.
    pub head: Duration,
    /// The time that a request may take, its body included.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            streams: 128,
            upload_bytes: 32 << 20,
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
