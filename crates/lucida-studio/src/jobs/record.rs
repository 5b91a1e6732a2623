//! What is known of a job.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It waits for others.
    Queued,
    /// It works.
    Running,
    /// It has its result.
    Done,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The server ended while it worked.
    Interrupted,
}

/// How far a job is.
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

/// A job, as it is kept in its folder and sent to clients. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) state: State,
    pub(crate) created: f64,
    pub(crate) started: Option<f64>,
    pub(crate) finished: Option<f64>,
    /// What a queued job waits for.
    #[serde(default)]
    pub(crate) waits_for: Option<BlockingJob>,
    pub(crate) progress: JobProgress,
    /// What was asked for.
    pub(crate) request: Value,
    /// What the request was about: the same request about the same thing need not be worked on twice.
    #[serde(default)]
    pub(crate) stamp: Option<String>,
    pub(crate) result: Value,
    pub(crate) error: Option<String>,
    /// Files that clients may ask for.
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
        (self.state, self.waits_for) = (State::Running, None);
        self.started = Some(now());
    }

    /// It waits once more; what it has made so far stays.
    pub(super) fn queue_again(&mut self) {
        (self.state, self.error, self.finished) = (State::Queued, None, None);
    }

    pub(super) fn at(&mut self, done: usize, total: usize, doing: &str) {
        self.progress = JobProgress { done, total, doing: doing.to_owned() };
    }

    /// The server ended before the job did.
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
