//! Runs long work on its own thread, while the calling thread waits without the global interpreter lock, shows progress, and
//! checks for Ctrl-C, which Python delivers to its main thread only.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lucida::core::{Detail, Progress, Step, Unit};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::errors::{Interrupted, LucidaError, exception};

/// How often to check for signals and show progress.
const TICK: Duration = Duration::from_millis(50);
/// How long work may take to stop cleanly. After that it is left to finish by itself, and its result is discarded.
const GRACE: Duration = Duration::from_millis(800);

/// State shared between both threads.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The latest step, as JSON.
    step: Mutex<Option<Value>>,
}

/// Progress of work on another thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Shared>);

impl Watch {
    fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    fn step(&self) -> Option<Value> {
        self.0.step.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether to stop.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.0.stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Progress for Watch {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        let detail = match &step.detail {
            Detail::Waiting(why) => json!({ "waiting": why }),
            Detail::Training(report) => json!({
                "epoch": report.epoch,
                "step": report.step,
                "steps": report.steps,
                "loss": report.loss,
                "accuracy": report.accuracy,
            }),
            Detail::Style(style) => json!({
                "scale": style.scale,
                "size": style.size,
                "step": style.step,
                "loss": style.loss,
                "content_loss": style.content_loss,
                "style_loss": style.style_loss,
            }),
            _ => Value::Null,
        };
        let unit = match step.unit {
            Unit::Images | Unit::Features => "image",
            Unit::Files => "file",
            Unit::Steps => "step",
            Unit::Epochs => "epoch",
            Unit::Passes => "pass",
            Unit::Bytes => "B",
            Unit::Pixels => "pixel",
            _ => "",
        };
        let step =
            json!({ "stage": step.stage, "unit": unit, "done": step.done, "total": step.total, "detail": detail });
        *self.0.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        self.flow()
    }
}

/// The outcome of the work.
pub(crate) struct Done<T> {
    pub(crate) result: T,
    /// The signal that stopped it, if the result is partial.
    pub(crate) stopped_by: Option<PyErr>,
}

impl<T> Done<T> {
    /// The result, or the signal's exception if it is partial.
    pub(crate) fn whole(self) -> PyResult<T> {
        self.stopped_by.map_or(Ok(self.result), Err)
    }
}

/// Runs work on its own thread. `progress` is called with each step as JSON.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&mut Watch) -> lucida::Result<T> + Send + 'static,
) -> PyResult<Done<T>> {
    let watch = Watch::default();
    let (sender, receiver) = channel();
    let mut watched = watch.clone();
    let body = move || {
        // Sending fails if the work outlived `GRACE`, and nobody waits for it any more.
        let _ = sender.send(work(&mut watched));
    };
    let started = thread::Builder::new().name("lucida".to_owned()).spawn(body);
    started.map_err(|problem| LucidaError::new_err(format!("cannot start a thread: {problem}")))?;
    let mut waiting = Waiting(receiver);
    loop {
        match waiting.wait(py, TICK) {
            Ok(result) => {
                let result = result.map_err(|error| exception(&error))?;
                show(&watch, progress)?;
                return Ok(Done { result, stopped_by: None });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(signal) = py.check_signals().and_then(|()| show(&watch, progress)) {
            watch.stop();
            let signal = as_interrupted(py, signal);
            return match waiting.wait(py, GRACE) {
                Ok(Ok(result)) => Ok(Done { result, stopped_by: Some(signal) }),
                _ => Err(signal),
            };
        }
    }
}

/// Runs work that reports no progress and has no partial results.
pub(crate) fn run_quietly<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> lucida::Result<T> + Send + 'static,
) -> PyResult<T> {
    run(py, None, |_| work())?.whole()
}

/// A receiver to wait on without the interpreter lock.
struct Waiting<T>(Receiver<lucida::Result<T>>);

impl<T: Send> Waiting<T> {
    fn wait(&mut self, py: Python<'_>, time: Duration) -> Result<lucida::Result<T>, RecvTimeoutError> {
        let receiver = Mutex::new(&mut self.0);
        py.detach(|| receiver.into_inner().unwrap_or_else(PoisonError::into_inner).recv_timeout(time))
    }
}

/// Converts a KeyboardInterrupt to the package's exception; other exceptions, raised by the program's own signal handlers,
/// stay.
fn as_interrupted(py: Python<'_>, signal: PyErr) -> PyErr {
    match signal.get_type(py).is(py.get_type::<PyKeyboardInterrupt>()) {
        true => Interrupted::new_err("stopped by Ctrl-C"),
        false => signal,
    }
}

fn show(watch: &Watch, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if let (Some(progress), Some(step)) = (progress, watch.step()) {
        progress.call1((step.to_string(),))?;
    }
    Ok(())
}

fn panicked() -> PyErr {
    LucidaError::new_err("the library has failed; please report this")
}
