//! Jobs: a queue, a folder per job, progress, cancellation, and results that survive a restart.
//!
//! There are two lanes, each with its own thread: training and style transfer take minutes; explanations and filters take
//! seconds and do not wait for them. All changes go to the listeners as a stream of [`Event`]s. A job's record and its
//! [`Event::News`] are also stored in its folder, so that a page opened later, even after a restart, shows the same.

mod elsewhere;
mod kinds;
mod record;
mod store;
#[cfg(feature = "server")]
mod threads;

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use lucida::core::{Progress, Step};
use lucida::{Error, files};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::problem::{Problem, Result};
use crate::state::Studio;
use kinds::STYLE_NETWORK;
use store::Store;

pub use elsewhere::RunningJob;
pub(crate) use kinds::{NetworkChoice, Request, StyleTrainingSpeed, networks};
use record::BlockingJob;
pub(crate) use record::{Record, State};

/// Minimum interval between two progress events of a job.
const PROGRESS: Duration = Duration::from_millis(150);
/// Number of ended jobs with a stamp that are kept: their results can be computed again, so older ones are removed.
const MAX_REPRODUCIBLE: usize = 300;
/// Maximum number of messages that a listener may lag behind.
const BACKLOG: usize = 1024;

/// A queue with its own thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Jobs that take seconds.
    Quick,
    /// Jobs that take minutes.
    Long,
}

/// A message to the listeners.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Event {
    /// A job was added, or its record changed.
    Job { job: Box<Record> },
    /// A job published an event of its kind; `at` is the index among its events.
    News { id: String, at: usize, news: Value },
    /// A job was removed.
    Removed { id: String },
}

/// The computation of a job.
pub(crate) trait JobTask: Send {
    /// Runs it; returns its result.
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value>;
}

/// A queued job.
struct QueuedJob {
    id: String,
    lane: Lane,
    task: Box<dyn JobTask>,
    /// Whether it resumes from its checkpoint.
    resumes: bool,
}

/// A running job.
struct Running {
    lane: Lane,
    stop: Arc<StopFlag>,
    resumes: bool,
}

/// Whether a job should stop: because a user asked for it, or because a function says so.
#[derive(Default)]
struct StopFlag {
    is_set: AtomicBool,
    check: Option<Check>,
}

/// A function that says whether to stop.
pub(crate) type Check = Box<dyn Fn() -> bool + Send + Sync>;

impl StopFlag {
    fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    fn get(&self) -> bool {
        self.is_set.load(Ordering::SeqCst) || self.check.as_ref().is_some_and(|check| check())
    }
}

/// A network saved by a training of styles.
#[derive(Debug)]
pub(crate) struct TrainedStyle {
    /// Identifier of the job.
    pub(crate) id: String,
    pub(crate) title: String,
    /// The names of its styles.
    pub(crate) styles: Vec<String>,
    pub(crate) file: PathBuf,
}

#[derive(Default)]
struct Inner {
    records: Vec<Record>,
    waiting: VecDeque<QueuedJob>,
    running: HashMap<String, Running>,
    /// Events of the running jobs.
    news: HashMap<String, Vec<Value>>,
}

/// All jobs.
pub(crate) struct Jobs {
    store: Store,
    queue: usize,
    inner: Mutex<Inner>,
    queue_changed: Condvar,
    stopping: AtomicBool,
    listeners: broadcast::Sender<Arc<str>>,
    /// A function that gets every event.
    observer: OnceLock<Observer>,
}

/// A function that gets the JSON of an event.
pub(crate) type Observer = Box<dyn Fn(&str) + Send + Sync>;

impl Jobs {
    /// Opens the jobs of a folder. Those that were queued or running when the last server ended become interrupted.
    pub(crate) fn open(folder: PathBuf, queue: usize) -> lucida::Result<Self> {
        let store = Store::open(folder)?;
        let inner = Inner { records: store.load(), ..Inner::default() };
        let listeners = broadcast::Sender::new(BACKLOG);
        Ok(Self {
            store,
            queue,
            inner: Mutex::new(inner),
            queue_changed: Condvar::new(),
            stopping: false.into(),
            listeners,
            observer: OnceLock::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest `count` jobs, newest first.
    pub(crate) fn list(&self, count: usize) -> Vec<Record> {
        self.lock().records.iter().rev().take(count).cloned().collect()
    }

    /// Returns the title of a job.
    pub(crate) fn title(&self, id: &str) -> Option<String> {
        find(&self.lock().records, id).ok().map(|record| record.title.clone())
    }

    /// Returns the request of a job; `None` if there is no such job, or another version created it.
    pub(crate) fn request(&self, id: &str) -> Option<Request> {
        let request = find(&self.lock().records, id).ok()?.request.clone();
        serde_json::from_value(request).ok()
    }

    /// Returns a job and its events.
    pub(crate) fn get(&self, id: &str) -> Result<(Record, Vec<Value>)> {
        let inner = self.lock();
        let record = find(&inner.records, id)?.clone();
        let news = inner.news.get(id).cloned();
        drop(inner);
        let news = news.unwrap_or_else(|| self.store.news(&record.id));
        Ok((record, news))
    }

    /// Reads one of the files that a job's record lists; no other file can be read.
    pub(crate) fn file(&self, id: &str, name: &str) -> Result<Vec<u8>> {
        let known = find(&self.lock().records, id)?.files.iter().any(|file| file == name);
        if !known {
            return Err(Problem::not_found("the job has no such file"));
        }
        Ok(files::read_limited(self.store.folder(id).join(name), 1 << 30)?)
    }

    /// The networks saved by trainings of styles, newest first.
    pub(crate) fn style_networks(&self) -> Vec<TrainedStyle> {
        let saved = |record: &Record| {
            let file = record.files.iter().find(|file| *file == STYLE_NETWORK)?;
            let Ok(Request::StyleTrain(request)) = serde_json::from_value(record.request.clone()) else { return None };
            Some(TrainedStyle {
                id: record.id.clone(),
                title: record.title.clone(),
                styles: request.names(),
                file: self.store.folder(&record.id).join(file),
            })
        };
        self.lock().records.iter().rev().filter_map(saved).collect()
    }

    /// Adds a job to the queue, or returns an earlier one with the same request and stamp that is queued, running or done.
    pub(crate) fn add(&self, studio: &Studio, request: &Request) -> Result<Record> {
        let plan = request.plan(studio)?;
        let value = serde_json::to_value(request).map_err(|error| Problem::invalid(error.to_string()))?;
        let mut inner = self.lock();
        let same = |record: &&Record| {
            plan.stamp.is_some()
                && record.stamp == plan.stamp
                && record.request == value
                && matches!(record.state, State::Queued | State::Running | State::Done)
        };
        if let Some(record) = inner.records.iter().rev().find(same) {
            return Ok(record.clone());
        }
        self.check_capacity(&inner)?;
        let mut record = Record::new(self.store.next(&inner.records)?, plan.kind, plan.title, value);
        record.stamp = plan.stamp;
        self.store.create(&record)?;
        self.remove_oldest(&mut inner);
        inner.waiting.push_back(QueuedJob { id: record.id.clone(), lane: plan.lane, task: plan.task, resumes: false });
        inner.records.push(record.clone());
        self.notify(&Event::Job { job: Box::new(record.clone()) });
        self.update_waits_for(&mut inner);
        self.queue_changed.notify_all();
        find(&inner.records, &record.id).cloned()
    }

    /// Queues a cancelled, interrupted or failed job again, to resume from its checkpoint.
    pub(crate) fn resume(&self, studio: &Studio, id: &str) -> Result<Record> {
        let stopped = |record: &Record| {
            let is_stopped = matches!(record.state, State::Cancelled | State::Interrupted | State::Failed);
            is_stopped.then_some(()).ok_or_else(|| Problem::new(StatusCode::CONFLICT, "the job was not stopped"))
        };
        let request = {
            let inner = self.lock();
            let record = find(&inner.records, id)?;
            stopped(record)?;
            serde_json::from_value::<Request>(record.request.clone())
        };
        let request =
            request.map_err(|error| Problem::invalid(format!("this job was created by another version: {error}")))?;
        let plan = request.plan_again(studio)?;
        let mut inner = self.lock();
        stopped(find(&inner.records, id)?)?;
        self.check_capacity(&inner)?;
        inner.waiting.push_back(QueuedJob { id: id.to_owned(), lane: plan.lane, task: plan.task, resumes: true });
        self.change(&mut inner, id, Record::queue_again);
        self.update_waits_for(&mut inner);
        self.queue_changed.notify_all();
        find(&inner.records, id).cloned()
    }

    fn check_capacity(&self, inner: &Inner) -> Result<()> {
        if inner.waiting.len() >= self.queue || self.stopping.load(Ordering::SeqCst) {
            return Err(Problem::busy(format!("{} jobs are already queued; try again later", inner.waiting.len())));
        }
        Ok(())
    }

    /// Removes the oldest ended jobs with a stamp beyond `MAX_REPRODUCIBLE`.
    fn remove_oldest(&self, inner: &mut Inner) {
        let is_old =
            |record: &&Record| record.stamp.is_some() && !matches!(record.state, State::Queued | State::Running);
        let old: Vec<String> =
            inner.records.iter().rev().filter(is_old).skip(MAX_REPRODUCIBLE).map(|r| r.id.clone()).collect();
        for id in old {
            if self.store.remove(&id).is_ok() {
                inner.records.retain(|record| record.id != id);
                self.notify(&Event::Removed { id });
            }
        }
    }

    /// Removes a waiting job from the queue, or asks a running one to stop.
    pub(crate) fn cancel(&self, id: &str) -> Result<Record> {
        let mut inner = self.lock();
        find(&inner.records, id)?;
        if let Some(job) = inner.running.get(id) {
            job.stop.set();
        } else if let Some(at) = inner.waiting.iter().position(|waiting| waiting.id == id) {
            inner.waiting.remove(at);
            self.change(&mut inner, id, |record| record.end(State::Cancelled, None));
            self.update_waits_for(&mut inner);
        }
        find(&inner.records, id).cloned()
    }

    /// Removes a job that has ended, with all its files.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        let mut inner = self.lock();
        if matches!(find(&inner.records, id)?.state, State::Queued | State::Running) {
            return Err(Problem::new(StatusCode::CONFLICT, "the job has not ended; cancel it first"));
        }
        self.store.remove(id)?;
        inner.records.retain(|record| record.id != id);
        self.notify(&Event::Removed { id: id.to_owned() });
        Ok(())
    }

    /// Takes the next job of a lane from the queue, and marks it as running.
    fn begin_next(&self, inner: &mut Inner, lane: Lane) -> Option<QueuedJob> {
        let at = inner.waiting.iter().position(|waiting| waiting.lane == lane)?;
        let waiting = inner.waiting.remove(at)?;
        self.begin(inner, &waiting, None);
        self.update_waits_for(inner);
        Some(waiting)
    }

    /// Marks a job as running. It stops once `check` says so, or a user does.
    fn begin(&self, inner: &mut Inner, &QueuedJob { ref id, lane, resumes, .. }: &QueuedJob, check: Option<Check>) {
        let stop = Arc::new(StopFlag { check, ..StopFlag::default() });
        inner.running.insert(id.clone(), Running { lane, stop, resumes });
        inner.news.insert(id.clone(), self.store.news(id));
        self.change(inner, id, Record::begin);
    }

    fn run(&self, studio: &Studio, QueuedJob { id, task, .. }: QueuedJob) {
        let stop = self.lock().running.get(&id).map(|job| Arc::clone(&job.stop)).unwrap_or_default();
        let job = Handle { jobs: self, id: id.clone(), stop: Arc::clone(&stop), last_progress: Mutex::new(None) };
        let run = std::panic::AssertUnwindSafe(|| task.run(studio, &job));
        let outcome =
            std::panic::catch_unwind(run).unwrap_or_else(|_| Err(Error::Bug("the job ended in a panic".into())));
        let mut inner = self.lock();
        inner.running.remove(&id);
        inner.news.remove(&id);
        let stopped = stop.get();
        // A job that stops because the server ends is interrupted, as after a crash, not cancelled.
        let is_closing = self.stopping.load(Ordering::SeqCst);
        let stop = |record: &mut Record| match is_closing {
            true => record.interrupt(),
            false => record.end(State::Cancelled, None),
        };
        self.change(&mut inner, &id, |record| match outcome {
            // A job that was asked to stop may still return a partial result.
            Ok(result) => {
                record.result = lucida::files::decimals(result);
                if stopped { stop(record) } else { record.end(State::Done, None) }
            }
            Err(Error::Interrupted) => stop(record),
            Err(error) => record.end(State::Failed, Some(error.to_string())),
        });
    }

    /// Updates what each queued job waits for: the job before it in its lane.
    fn update_waits_for(&self, inner: &mut Inner) {
        let mut last: Vec<(Lane, String)> = inner.running.iter().map(|(id, job)| (job.lane, id.clone())).collect();
        let waiting: Vec<_> = inner.waiting.iter().map(|waiting| (waiting.lane, waiting.id.clone())).collect();
        for (lane, id) in waiting {
            let before =
                last.iter().rev().find(|(of, _)| *of == lane).and_then(|(_, id)| find(&inner.records, id).ok());
            let ahead = before.map(|record| BlockingJob { id: record.id.clone(), title: record.title.clone() });
            if find(&inner.records, &id).is_ok_and(|record| record.waits_for != ahead) {
                self.change(inner, &id, |record| record.waits_for = ahead);
            }
            last.push((lane, id));
        }
    }

    /// Changes a record in memory and on disk, and notifies the listeners.
    fn change(&self, inner: &mut Inner, id: &str, change: impl FnOnce(&mut Record)) {
        let Some(record) = inner.records.iter_mut().find(|record| record.id == id) else { return };
        change(record);
        // A failed write only matters at the next start, which loads the last version that was written.
        let _ = self.store.save(record);
        self.notify(&Event::Job { job: Box::new(record.clone()) });
    }

    fn notify(&self, event: &Event) {
        if let Ok(text) = serde_json::to_string(event) {
            if let Some(observer) = self.observer.get() {
                observer(&text);
            }
            // Nobody may be listening.
            let _ = self.listeners.send(text.into());
        }
    }
}

/// A running job's access to its record, events and files.
pub(crate) struct Handle<'a> {
    jobs: &'a Jobs,
    id: String,
    stop: Arc<StopFlag>,
    last_progress: Mutex<Option<Instant>>,
}

impl Handle<'_> {
    /// Whether the job should stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.stop.get()
    }

    /// The job's folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.jobs.store.folder(&self.id)
    }

    /// Whether the job should stop, as the return value of [`Progress::update`].
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Returns a [`Progress`] that reports to this job; `doing` is the activity to display.
    pub(crate) fn reporter(&self, doing: impl Into<String>) -> Reporter<'_> {
        Reporter { job: self, doing: doing.into() }
    }

    /// Reports the progress; returns whether to continue.
    pub(crate) fn progress(&self, done: usize, total: usize, doing: &str) -> ControlFlow<()> {
        let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if done == total || last.is_none_or(|last| last.elapsed() >= PROGRESS) {
            *last = Some(Instant::now());
            let mut inner = self.jobs.lock();
            if let Some(record) = inner.records.iter_mut().find(|record| record.id == self.id) {
                record.at(done, total, doing);
                self.jobs.notify(&Event::Job { job: Box::new(record.clone()) });
            }
        }
        self.flow()
    }

    /// Publishes an event of the job's kind, and stores it.
    pub(crate) fn publish(&self, news: Value) {
        let news = lucida::files::decimals(news);
        self.jobs.store.append(&self.id, &news);
        let mut inner = self.jobs.lock();
        let events = inner.news.entry(self.id.clone()).or_default();
        events.push(news.clone());
        let at = events.len() - 1;
        self.jobs.notify(&Event::News { id: self.id.clone(), at, news });
    }

    /// Whether the job has published an event, now or before it was resumed.
    pub(crate) fn has_published(&self) -> bool {
        self.jobs.lock().news.get(&self.id).is_some_and(|events| !events.is_empty())
    }

    /// Saves a file in the job's folder, and makes it available to clients.
    pub(crate) fn save(&self, name: &str, bytes: &[u8]) -> lucida::Result<()> {
        files::write_bytes(self.folder().join(name), bytes)?;
        self.publish_file(name);
        Ok(())
    }

    /// Makes a file in the job's folder available to clients.
    pub(crate) fn publish_file(&self, name: &str) {
        debug_assert!(Path::new(name).components().count() == 1);
        self.jobs.change(&mut self.jobs.lock(), &self.id, |record| {
            if !record.files.iter().any(|file| file == name) {
                record.files.push(name.to_owned());
            }
        });
    }
}

/// Forwards the progress of the library to a job, and the job's request to stop to the library.
pub(crate) struct Reporter<'a> {
    job: &'a Handle<'a>,
    /// Current activity, for display.
    doing: String,
}

impl Progress for Reporter<'_> {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        self.job.progress(step.done as usize, step.total.unwrap_or(0) as usize, &self.doing)
    }
}

fn find<'a>(records: &'a [Record], id: &str) -> Result<&'a Record> {
    records.iter().find(|record| record.id == id).ok_or_else(|| Problem::not_found("there is no such job"))
}
