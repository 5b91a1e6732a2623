//! Metrics in the text format of Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::ServeSummary;

pub(super) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Histogram buckets in seconds: a small network takes milliseconds, a full queue tens of seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// Histogram buckets in images per batch, up to the maximum batch size.
const IMAGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Labels of an answered request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    /// One of the routes, or `other`: clients cannot add values.
    path: String,
    status: u16,
}

/// The metrics of a server.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    latency: Histogram,
    waiting: Gauge,
    images: Counter,
    batches: Histogram,
    forward: Histogram,
    /// Forward passes so far, for the summary.
    passes: AtomicU64,
}

impl Metrics {
    /// Creates the metrics; `model` is the name of the model that is served.
    pub(super) fn new(model: &str) -> Self {
        let mut registry = Registry::with_prefix("lucida");
        let requests = Family::default();
        registry.register("requests", "Requests by path and status", requests.clone());
        let latency = Histogram::new(SECONDS);
        let help = "Time from the head of a request to /predict to its answer";
        registry.register_with_unit("predict", help, Unit::Seconds, latency.clone());
        let waiting = Gauge::default();
        registry.register("queue_images", "Images that wait to be decoded or predicted", waiting.clone());
        let images = Counter::default();
        registry.register("images", "Images that were predicted", images.clone());
        let batches = Histogram::new(IMAGES);
        registry.register("batch_images", "Images of each forward pass", batches.clone());
        let forward = Histogram::new(SECONDS);
        registry.register_with_unit("forward", "Time of each forward pass", Unit::Seconds, forward.clone());
        let name = Info::new(vec![("name".to_owned(), model.to_owned())]);
        registry.register("model", "The model that is served", name);
        Self { registry, requests, latency, waiting, images, batches, forward, passes: AtomicU64::new(0) }
    }

    /// Counts an answered request.
    pub(super) fn answered(&self, path: &str, status: u16, time: Duration) {
        self.requests.get_or_create(&Request { path: path.to_owned(), status }).inc();
        if path == "/predict" {
            self.latency.observe(time.as_secs_f64());
        }
    }

    /// Counts a forward pass.
    pub(super) fn ran(&self, images: usize, time: Duration) {
        self.images.inc_by(images as u64);
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.batches.observe(images as f64);
        self.forward.observe(time.as_secs_f64());
    }

    /// Formats all metrics; `waiting` is the number of queued images.
    pub(super) fn text(&self, waiting: usize) -> String {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all text");
        text
    }

    pub(super) fn summary(&self) -> ServeSummary {
        ServeSummary { images: self.images.get(), batches: self.passes.load(Ordering::Relaxed) }
    }
}
