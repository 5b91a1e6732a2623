//! Jobs that run on threads of the server: one for each lane.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::broadcast;

use super::{Jobs, Lane, QueuedJob};
use crate::state::Studio;

impl Jobs {
    /// Subscribes to the events from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.listeners.subscribe()
    }

    /// Starts the threads of the lanes.
    pub(crate) fn start(studio: &Arc<Studio>) -> Vec<std::thread::JoinHandle<()>> {
        let lane = |lane: Lane| {
            let studio = Arc::clone(studio);
            std::thread::spawn(move || {
                while let Some(waiting) = studio.jobs.next(lane) {
                    studio.jobs.run(&studio, waiting);
                }
            })
        };
        vec![lane(Lane::Quick), lane(Lane::Long)]
    }

    /// Asks all running jobs to stop, and the threads to end; returns the number of running jobs.
    pub(crate) fn stop(&self) -> usize {
        self.stopping.store(true, Ordering::SeqCst);
        let inner = self.lock();
        inner.running.values().for_each(|job| job.stop.set());
        self.queue_changed.notify_all();
        inner.running.len()
    }

    fn next(&self, lane: Lane) -> Option<QueuedJob> {
        let mut inner = self.lock();
        loop {
            if self.stopping.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(waiting) = self.begin_next(&mut inner, lane) {
                return Some(waiting);
            }
            inner = self.queue_changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
