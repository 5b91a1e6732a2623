//! The queue of images, and the thread that owns the model.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use axum::http::StatusCode;
use lucida::data::{Image, Limits};
use lucida::model::{Predicted, Predictor};
use lucida::weights::Model;
use lucida::{Cpu, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ServeOptions;
use super::body::Upload;
use super::metrics::Metrics;
use crate::problem::{Problem, Result};

/// Maximum number of decoding threads; each may hold an image of the maximum size.
const DECODERS: usize = 8;

/// Result for an image.
pub(super) struct ImageResult {
    pub(super) predicted: Predicted,
    pub(super) digit_found: bool,
}

/// A preprocessed image, and the channel for its result.
struct Job {
    /// `[height, width, channels]`
    input: Vec<f32>,
    digit_found: bool,
    reply: oneshot::Sender<Result<ImageResult>>,
    /// Its permit in the queue.
    permit: OwnedSemaphorePermit,
}

impl AsRef<[f32]> for Job {
    fn as_ref(&self) -> &[f32] {
        &self.input
    }
}

/// The thread of the model.
pub(super) struct Worker {
    jobs: Sender<Job>,
    /// Alive as long as the thread is.
    liveness: Weak<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread, which prepares the model for batches and runs it once, so that errors appear before the first
    /// request.
    pub(super) fn start(model: &Arc<Model>, options: &ServeOptions, metrics: &Arc<Metrics>) -> lucida::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let (model, metrics) = (Arc::clone(model), Arc::clone(metrics));
        let (batch_size, cpu) = (options.batch_size, options.cpu);
        let alive = Arc::new(());
        let liveness = Arc::downgrade(&alive);
        let run = move || {
            let _alive = alive;
            match warmed_up(&model, batch_size, cpu) {
                Ok(predictor) => {
                    let _ = ready.send(Ok(()));
                    work(predictor, batch_size, &waiting, &metrics);
                }
                Err(problem) => drop(ready.send(Err(problem))),
            }
        };
        let thread = thread::Builder::new()
            .name("model".to_owned())
            .spawn(run)
            .map_err(|error| Error::Unsupported(format!("cannot start a thread: {error}")))?;
        let ended = |_| Err(Error::Bug("the model ended in a panic at its first run".into()));
        started.recv().unwrap_or_else(ended)?;
        Ok(Self { jobs, liveness, thread })
    }

    /// Whether the thread is running.
    pub(super) fn is_alive(&self) -> bool {
        self.liveness.strong_count() > 0
    }

    /// Waits for the thread to end; returns `false` if it panicked.
    pub(super) fn join(self) -> bool {
        drop(self.jobs);
        self.thread.join().is_ok()
    }
}

fn warmed_up(model: &Model, batch_size: usize, cpu: Cpu) -> lucida::Result<Predictor<'_>> {
    let mut predictor = Predictor::new(model, batch_size, cpu)?;
    let blank = vec![0.0; model.preprocessing()?.output_shape().iter().product()];
    // The result for a blank image is ignored.
    predictor.predict_prepared(&[blank])?;
    Ok(predictor)
}

/// Predicts queued images in batches until all senders are dropped.
fn work(mut predictor: Predictor<'_>, batch_size: usize, waiting: &Receiver<Job>, metrics: &Metrics) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < batch_size
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        // Skip requests that have timed out or whose client has disconnected.
        batch.retain(|job| !job.reply.is_closed());
        if batch.is_empty() {
            continue;
        }
        let started = Instant::now();
        let found = predictor.predict_prepared(&batch);
        metrics.ran(batch.len(), started.elapsed());
        let failed = |error: Error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        match found {
            Ok(found) => {
                for (Job { reply, digit_found, permit, .. }, predicted) in batch.into_iter().zip(found) {
                    // Free the permit first: a client may send its next request as soon as it has the reply.
                    drop(permit);
                    let found = predicted.map(|predicted| ImageResult { predicted, digit_found });
                    let _ = reply.send(found.map_err(failed));
                }
            }
            Err(error) => {
                let message = error.to_string();
                for job in batch {
                    let _ = job.reply.send(Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message.clone())));
                }
            }
        }
    }
}

/// The queue of the worker. Images are decoded and preprocessed on other threads first.
pub(super) struct Queue {
    jobs: Sender<Job>,
    /// Alive as long as the thread of the worker is.
    liveness: Weak<()>,
    model: Arc<Model>,
    pixels: u64,
    size: usize,
    /// Permits to wait in the queue, and to decode.
    permits: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn new(worker: &Worker, model: &Arc<Model>, options: &ServeOptions) -> Self {
        let size = options.limits.queue;
        Self {
            jobs: worker.jobs.clone(),
            liveness: Weak::clone(&worker.liveness),
            model: Arc::clone(model),
            pixels: options.limits.pixels,
            size,
            permits: Arc::new(Semaphore::new(size)),
            decoders: Arc::new(Semaphore::new(options.cpu.threads().clamp(1, DECODERS))),
        }
    }

    /// Whether the worker is running.
    pub(super) fn is_alive(&self) -> bool {
        self.liveness.strong_count() > 0
    }

    /// The number of images that wait to be decoded or predicted.
    pub(super) fn waiting(&self) -> usize {
        self.size - self.permits.available_permits()
    }

    /// Reserves permits for all images of a request, or for none.
    pub(super) fn permits(&self, images: usize) -> Result<Vec<OwnedSemaphorePermit>> {
        let busy =
            || Problem::busy(format!("the queue is full ({} images wait); try again in a moment", self.waiting()));
        let count = u32::try_from(images).map_err(|_| busy())?;
        let mut all = Arc::clone(&self.permits).try_acquire_many_owned(count).map_err(|_| busy())?;
        Ok((0..images).filter_map(|_| all.split(1)).collect())
    }

    /// Queues an image. It holds its permit until it is predicted or skipped, even if its client disconnects.
    pub(super) fn send(&self, upload: Upload, permit: OwnedSemaphorePermit) -> oneshot::Receiver<Result<ImageResult>> {
        let (reply, answer) = oneshot::channel();
        let (jobs, model, pixels) = (self.jobs.clone(), Arc::clone(&self.model), self.pixels);
        let decoders = Arc::clone(&self.decoders);
        tokio::spawn(async move {
            let Ok(turn) = decoders.acquire_owned().await else { return };
            let decode = move || {
                let _turn = turn;
                if reply.is_closed() {
                    return;
                }
                match prepared(&model, upload, pixels) {
                    Ok((input, digit_found)) => drop(jobs.send(Job { input, digit_found, reply, permit })),
                    Err(problem) => drop(reply.send(Err(problem))),
                }
            };
            let _ = tokio::task::spawn_blocking(decode).await;
        });
        answer
    }
}

/// Decodes and preprocesses an image. Also returns whether a digit was found; always true for a network of other images.
fn prepared(model: &Model, upload: Upload, pixels: u64) -> Result<(Vec<f32>, bool)> {
    let limits = Limits { file_bytes: upload.bytes.len() as u64, pixels, ..Limits::default() };
    let image = Image::decode(&upload.bytes, Path::new(upload.title()), &limits).map_err(undecodable)?;
    drop(upload);
    let preprocessing = model.preprocessing()?;
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    preprocessing.apply(&image, &mut input)?;
    let digit_found = preprocessing.finds_digit(&input);
    Ok((input, digit_found))
}

/// Converts a decoding error: status 415 for an unsupported format, 400 for an invalid image.
fn undecodable(error: Error) -> Problem {
    match error {
        Error::Unsupported(message) => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message),
        other => Problem::from(other).into_bad_request(),
    }
}
