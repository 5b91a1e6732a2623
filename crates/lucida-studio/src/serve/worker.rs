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

/// The most threads that decode. Each may hold an image of the most pixels.
const DECODERS: usize = 8;

/// What is found about an image.
pub(super) struct Found {
    pub(super) predicted: Predicted,
    pub(super) digit_found: bool,
}

/// An image that is prepared, and who waits for it.
struct Job {
    /// `[height, width, channels]`
    input: Vec<f32>,
    digit_found: bool,
    reply: oneshot::Sender<Result<Found>>,
    /// Its place in the queue.
    place: OwnedSemaphorePermit,
}

impl AsRef<[f32]> for Job {
    fn as_ref(&self) -> &[f32] {
        &self.input
    }
}

/// The thread of the model.
pub(super) struct Worker {
    jobs: Sender<Job>,
    /// There as long as the thread is.
    life: Weak<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Prepares the model for batches, and runs it once: what it lacks is found before anybody asks.
    pub(super) fn start(model: &Arc<Model>, options: &ServeOptions, metrics: &Arc<Metrics>) -> lucida::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let (model, metrics) = (Arc::clone(model), Arc::clone(metrics));
        let (batch_size, cpu) = (options.batch_size, options.cpu);
        let alive = Arc::new(());
        let life = Arc::downgrade(&alive);
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
        Ok(Self { jobs, life, thread })
    }

    /// Whether it can answer.
    pub(super) fn is_alive(&self) -> bool {
        self.life.strong_count() > 0
    }

    /// Waits for its end; `false` when that was a panic.
    pub(super) fn join(self) -> bool {
        drop(self.jobs);
        self.thread.join().is_ok()
    }
}

fn warmed_up(model: &Model, batch_size: usize, cpu: Cpu) -> lucida::Result<Predictor<'_>> {
    let mut predictor = Predictor::new(model, batch_size, cpu)?;
    let blank = vec![0.0; model.preprocessing()?.output_shape().iter().product()];
    // What it says about a blank image does not matter.
    predictor.predict_prepared(&[blank])?;
    Ok(predictor)
}

/// Takes what waits, up to a batch, until nobody is left who could send more.
fn work(mut predictor: Predictor<'_>, batch_size: usize, waiting: &Receiver<Job>, metrics: &Metrics) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < batch_size
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        // Some have waited too long, or have left.
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
                for (Job { reply, digit_found, place, .. }, predicted) in batch.into_iter().zip(found) {
                    // Who is answered may ask again at once.
                    drop(place);
                    let found = predicted.map(|predicted| Found { predicted, digit_found });
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

/// The way to the worker: images are decoded and prepared on threads for that.
pub(super) struct Queue {
    jobs: Sender<Job>,
    /// That of the worker.
    life: Weak<()>,
    model: Arc<Model>,
    pixels: u64,
    size: usize,
    /// Permits to wait, and to decode.
    places: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn new(worker: &Worker, model: &Arc<Model>, options: &ServeOptions) -> Self {
        let size = options.limits.queue;
        Self {
            jobs: worker.jobs.clone(),
            life: Weak::clone(&worker.life),
            model: Arc::clone(model),
            pixels: options.limits.pixels,
            size,
            places: Arc::new(Semaphore::new(size)),
            decoders: Arc::new(Semaphore::new(options.cpu.threads().clamp(1, DECODERS))),
        }
    }

    /// Whether the worker can answer.
    pub(super) fn is_alive(&self) -> bool {
        self.life.strong_count() > 0
    }

    /// The number of images that wait to be decoded or predicted.
    pub(super) fn waiting(&self) -> usize {
        self.size - self.places.available_permits()
    }

    /// Places for the images of a request, all or none.
    pub(super) fn places(&self, images: usize) -> Result<Vec<OwnedSemaphorePermit>> {
        let busy =
            || Problem::busy(format!("the queue is full ({} images wait); try again in a moment", self.waiting()));
        let count = u32::try_from(images).map_err(|_| busy())?;
        let mut all = Arc::clone(&self.places).try_acquire_many_owned(count).map_err(|_| busy())?;
        Ok((0..images).filter_map(|_| all.split(1)).collect())
    }

    /// Sends an image on its way. Its place goes along: an image whose client has left still takes it.
    pub(super) fn send(&self, upload: Upload, place: OwnedSemaphorePermit) -> oneshot::Receiver<Result<Found>> {
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
                    Ok((input, digit_found)) => drop(jobs.send(Job { input, digit_found, reply, place })),
                    Err(problem) => drop(reply.send(Err(problem))),
                }
            };
            let _ = tokio::task::spawn_blocking(decode).await;
        });
        answer
    }
}

/// The input of the network, and whether there is a digit where one is needed.
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

/// A body that is not an image, or one of a format that is not supported.
fn undecodable(error: Error) -> Problem {
    match error {
        Error::Unsupported(message) => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message),
        other => Problem::from(other).refused(),
    }
}
