//! The record of a job.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It waits in the queue.
    Queued,
    /// It is running.
    Running,
    /// It ended with a result.
    Done,
    /// It ended with an error.
    Failed,
    /// A user stopped it.
    Cancelled,
    /// The server ended while it was queued or running.
    Interrupted,
}

/// Progress of a job: `done` of `total` units.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct JobProgress {
    pub(crate) done: usize,
    pub(crate) total: usize,
    pub(crate) doing: String,
}

/// A job that must end before another one starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockingJob {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// A job, as stored in its folder and sent to clients. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) state: State,
    pub(crate) created: f64,
    pub(crate) started: Option<f64>,
    pub(crate) finished: Option<f64>,
    /// The job that a queued job waits for.
    #[serde(default)]
    pub(crate) waits_for: Option<BlockingJob>,
    pub(crate) progress: JobProgress,
    pub(crate) request: Value,
    /// Identifier and version of the model, for requests whose result depends on nothing else: the same request with the same
    /// stamp need not run again.
    #[serde(default)]
    pub(crate) stamp: Option<String>,
    pub(crate) result: Value,
    pub(crate) error: Option<String>,
    /// Files that clients may request.
    pub(crate) files: Vec<String>,
}

impl Record {
    pub(super) fn new(id: String, kind: &str, title: String, request: Value) -> Self {
        Self {
            id,
            kind: kind.to_owned(),
            title,
            state: State::Queued,
            created: now(),
            started: None,
            finished: None,
            waits_for: None,
            progress: JobProgress::default(),
            request,
            stamp: None,
            result: Value::Null,
            error: None,
            files: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        (self.state, self.waits_for, self.error, self.finished) = (State::Running, None, None, None);
        self.started = Some(now());
    }

    /// Returns the job to the queue; its files and events are kept.
    pub(super) fn queue_again(&mut self) {
        (self.state, self.error, self.finished) = (State::Queued, None, None);
    }

    pub(super) fn at(&mut self, done: usize, total: usize, doing: &str) {
        self.progress = JobProgress { done, total, doing: doing.to_owned() };
    }

    /// Marks a job that had not ended when the server did.
    pub(super) fn interrupt(&mut self) {
        let when = if self.state == State::Queued { "before this job started" } else { "while this job was running" };
        self.end(State::Interrupted, Some(format!("the studio was closed {when}")));
    }

    pub(super) fn end(&mut self, state: State, error: Option<String>) {
        (self.state, self.waits_for) = (state, None);
        self.error = error;
        self.finished = Some(now());
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| (time.as_secs_f64() * 1e3).round() / 1e3).unwrap_or(0.0)
}
