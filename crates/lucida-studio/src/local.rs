//! The studio without a server.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use lucida::{Error, Result};
use tower::ServiceExt;

pub use crate::jobs::RunningJob;
use crate::problem::Problem;
use crate::state::{Place, Studio};
use crate::{Options, api};

/// The studio without a server: it answers requests on the caller's thread, and leaves it to the caller where jobs run.
///
/// A web page is such a caller. One instance of the program answers its requests. For each job of [`running`](Self::running),
/// another instance opens the same folder and calls [`run_job`](Self::run_job); its events come back through
/// [`receive`](Self::receive).
pub struct LocalStudio {
    studio: Arc<Studio>,
    router: Router,
}

impl LocalStudio {
    /// Opens the studio; `observer` gets each event of its jobs as JSON. The address, hosts and limits on connections of the
    /// options have no effect.
    ///
    /// # Errors
    /// [`Error::InUse`] if another studio uses the folder of runs, [`Error::Io`] if it cannot be created.
    pub fn open(options: &Options, observer: impl Fn(&str) + Send + Sync + 'static) -> Result<Self> {
        let studio = Arc::new(Studio::new(options, Place::Caller)?);
        studio.jobs.observe(Box::new(observer));
        let router = api::router(&studio.limits).with_state(Arc::clone(&studio));
        Ok(Self { studio, router })
    }

    /// Answers a request of the API.
    pub fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        // Nothing here waits: the body is complete, and the computation runs on this thread.
        let waits = || Problem::from(Error::Bug("a request waits".into())).into_response();
        let response = self.router.clone().oneshot(request.map(Body::from)).now_or_never();
        let response = response.map_or_else(waits, |Ok(response)| response);
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).now_or_never().and_then(|body| body.ok()).unwrap_or_default();
        Response::from_parts(head, bytes)
    }

    /// Starts the next job of each idle lane (of short jobs, and of long ones); returns all running ones.
    pub fn running(&self) -> Vec<RunningJob> {
        self.studio.jobs.running()
    }

    /// Applies an event of the instance that runs a job.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not an event.
    pub fn receive(&self, event: &str) -> Result<()> {
        self.studio.jobs.receive(event).map_err(|problem| Error::argument(problem.message()))
    }

    /// Ends a job whose instance has ended without saying so: as stopped, if a user asked for it, or else with this error.
    pub fn abandon(&self, id: &str, problem: &str) {
        self.studio.jobs.abandon(id, problem);
    }

    /// Runs a job of the folder here, until it ends or `stop` returns true.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such job, or if it cannot run; errors of the job itself are in its record.
    pub fn run_job(&self, id: &str, resumes: bool, stop: impl Fn() -> bool + Send + Sync + 'static) -> Result<()> {
        let run = self.studio.jobs.run_here(&self.studio, id, resumes, Box::new(stop));
        run.map_err(|problem| Error::argument(problem.message()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;

    /// A studio, and the events that it sent.
    fn open(runs: &std::path::Path) -> (LocalStudio, Arc<Mutex<Vec<String>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&events);
        let studio = LocalStudio::open(&Options::new(runs), move |event| kept.lock().unwrap().push(event.to_owned()));
        (studio.unwrap(), events)
    }

    fn ask(studio: &LocalStudio, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let response = studio.respond(request.body(body.to_string().into()).unwrap());
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    /// Copies a folder, as it is handed to the instance that runs a job.
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
        }
    }

    #[test]
    fn a_job_runs_in_another_instance_and_its_events_come_back() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (studio, events) = open(here.path());
        assert_eq!(ask(&studio, "GET", "/api/nothing", &Value::Null).0, 404);
        let train = json!({ "kind": "train", "epochs": 1, "batch_size": 256, "learning_rate": 0.001 });
        let (status, record) = ask(&studio, "POST", "/api/jobs", &train);
        assert_eq!((status, &record["state"]), (202, &json!("queued")));
        assert_eq!(ask(&studio, "POST", "/api/jobs", &train).1["waits_for"]["id"], "0001");
        // However often one asks: the second long job waits for the first.
        for _ in 0..2 {
            assert_eq!(studio.running(), [RunningJob { id: "0001".into(), resumes: false, stop: false }]);
        }
        copy(here.path(), there.path());
        let (worker, sent) = open(there.path());
        // It stops at the first step after 20 have been reported.
        let steps = Arc::clone(&sent);
        worker.run_job("0001", false, move || steps.lock().unwrap().len() > 20).unwrap();
        for event in sent.lock().unwrap().iter() {
            studio.receive(event).unwrap();
        }
        let job = ask(&studio, "GET", "/api/jobs/0001", &Value::Null).1;
        assert_eq!(job["state"], "cancelled");
        assert!(!events.lock().unwrap().is_empty());
        // Now the second one runs, and its instance ends without a word.
        assert_eq!(studio.running()[0].id, "0002");
        studio.abandon("0002", "out of memory");
        let job = ask(&studio, "GET", "/api/jobs/0002", &Value::Null).1;
        assert_eq!((&job["state"], &job["error"]), (&json!("failed"), &json!("out of memory")));
        // A user stops a third; that its instance ended is what was asked for.
        ask(&studio, "POST", "/api/jobs", &train);
        assert!(!studio.running()[0].stop);
        ask(&studio, "POST", "/api/jobs/0003/cancel", &Value::Null);
        assert!(studio.running()[0].stop);
        studio.abandon("0003", "it was ended");
        assert_eq!(ask(&studio, "GET", "/api/jobs/0003", &Value::Null).1["state"], "cancelled");
        assert!(studio.receive("no event").is_err());
        assert!(worker.run_job("0009", false, || false).is_err());
    }
}
