//! Jobs that run elsewhere: in another instance of the program, which has its own copy of the files.
//!
//! The instance that answers requests keeps the queue. It tells which jobs are to run; for each, another instance opens the
//! same folder and runs it. The events of that instance come back, as do the files that it writes.

use super::{Check, Event, Jobs, Lane, Observer, QueuedJob, State};
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// A job that is to run elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RunningJob {
    /// Identifier of the job; its folder has this name.
    pub id: String,
    /// Whether it resumes from its checkpoint.
    pub resumes: bool,
    /// Whether it should stop.
    pub stop: bool,
}

impl Jobs {
    /// Calls a function with the JSON of every event from now on. Only the first one counts.
    pub(crate) fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    /// Starts the next job of each idle lane; returns all running ones.
    pub(crate) fn running(&self) -> Vec<RunningJob> {
        let mut inner = self.lock();
        for lane in [Lane::Quick, Lane::Long] {
            if inner.running.values().all(|job| job.lane != lane) {
                self.begin_next(&mut inner, lane);
            }
        }
        let running = inner.running.iter();
        running.map(|(id, job)| RunningJob { id: id.clone(), resumes: job.resumes, stop: job.stop.get() }).collect()
    }

    /// Applies an event of the instance that runs a job, and passes it on.
    pub(crate) fn receive(&self, event: &str) -> Result<()> {
        let event = serde_json::from_str(event).map_err(|error| Problem::invalid(error.to_string()))?;
        let mut inner = self.lock();
        match &event {
            Event::Job { job } => {
                if let Some(record) = inner.records.iter_mut().find(|record| record.id == job.id) {
                    record.clone_from(job);
                }
                if !matches!(job.state, State::Queued | State::Running) {
                    inner.running.remove(&job.id);
                    inner.news.remove(&job.id);
                    self.update_waits_for(&mut inner);
                }
            }
            Event::News { id, news, .. } => inner.news.entry(id.clone()).or_default().push(news.clone()),
            Event::Removed { .. } => {}
        }
        self.notify(&event);
        Ok(())
    }

    /// Ends a job whose instance has ended without a result: as stopped, if a user asked for it, or else with this error.
    pub(crate) fn abandon(&self, id: &str, problem: &str) {
        let mut inner = self.lock();
        let Some(job) = inner.running.remove(id) else { return };
        inner.news.remove(id);
        self.change(&mut inner, id, |record| match job.stop.get() {
            true => record.end(State::Cancelled, None),
            false => record.end(State::Failed, Some(problem.to_owned())),
        });
        self.update_waits_for(&mut inner);
    }

    /// Runs a job of the folder here, until it ends or `stop` returns true.
    pub(crate) fn run_here(&self, studio: &Studio, id: &str, resumes: bool, stop: Check) -> Result<()> {
        let request = self
            .request(id)
            .ok_or_else(|| Problem::not_found("there is no such job, or another version created it"))?;
        let plan = if resumes { request.plan_again(studio)? } else { request.plan(studio)? };
        let job = QueuedJob { id: id.to_owned(), lane: plan.lane, task: plan.task, resumes };
        self.begin(&mut self.lock(), &job, Some(stop));
        self.run(studio, job);
        Ok(())
    }
}
