//! A prediction server: it serves the predictions of one model to other programs.
//!
//! ```text
//! request ──body──> files ──decode, prepare──> queue ──up to a batch──> worker ──> answer
//!          bounded          some threads        bounded                  one thread owns the model
//! ```
//!
//! One [worker](worker) owns the model and takes whatever is queued, up to a batch, without waiting for more. The
//! prediction for an image does not depend, to the bit, on the rest of the batch: see
//! [`Predictor::new`](lucida::model::Predictor::new). Images are decoded on other threads, in parallel, because a large
//! photo takes longer to decode than a small network takes to run.

mod body;
mod metrics;
mod routes;
mod worker;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use lucida::weights::{Model, Outputs};
use lucida::{Cpu, Error, Result};
use tokio::sync::Semaphore;

use crate::web::{Address, ConnectionLimits, Guard, Listener, Token, wait_for};
use metrics::Metrics;
use worker::{Queue, Worker};

/// Options of the prediction server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Name of the model in responses.
    pub name: String,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port; 0 for any free one.
    pub port: u16,
    /// Host names that clients may use for the server, in addition to IP addresses and `localhost`. With a key, any name is
    /// allowed.
    pub hosts: Vec<String>,
    /// Key that clients must send as `Authorization: Bearer KEY`.
    pub key: Option<String>,
    /// Maximum number of images per forward pass.
    pub batch_size: usize,
    /// CPU threads and instruction set to compute with.
    pub cpu: Cpu,
    /// Resource limits.
    pub limits: ServeLimits,
}

impl ServeOptions {
    /// Default options: this machine only, at port 8080.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            hosts: Vec::new(),
            key: None,
            batch_size: 16,
            cpu: Cpu::detect(),
            limits: ServeLimits::default(),
        }
    }
}

/// Resource limits of the prediction server; except for `queue` and `answer`, the [defaults](ServeLimits::default) rarely
/// need to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeLimits {
    /// Maximum concurrent connections; further ones wait in the system's queue.
    pub connections: usize,
    /// Maximum size of a request's body in bytes.
    pub body_bytes: usize,
    /// Maximum total size in bytes of the bodies that are read or decoded at the same time; further ones are rejected.
    pub held_bytes: usize,
    /// Maximum number of pixels of an image.
    pub pixels: u64,
    /// Maximum number of images per request.
    pub images: usize,
    /// Maximum number of images that wait to be decoded or predicted; further ones are rejected.
    pub queue: usize,
    /// Timeout for the head of a request to arrive, and for idle connections.
    pub head: Duration,
    /// Timeout for the body of a request to arrive.
    pub body: Duration,
    /// Timeout for the response, once the body has arrived.
    pub answer: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            body_bytes: 32 << 20,
            held_bytes: 256 << 20,
            pixels: 40_000_000,
            images: 64,
            queue: 128,
            head: Duration::from_secs(15),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
        }
    }
}

/// State shared by all requests.
struct Service {
    name: String,
    model: Arc<Model>,
    outputs: Outputs,
    /// URL of the server, for examples.
    url: String,
    batch_size: usize,
    key: Option<Token>,
    guard: Guard,
    limits: ServeLimits,
    /// Permits for the memory of bodies, in KiB.
    held: Arc<Semaphore>,
    queue: Queue,
    metrics: Arc<Metrics>,
}

/// Totals of a server's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeSummary {
    /// Number of images that were predicted.
    pub images: u64,
    /// Number of forward passes.
    pub batches: u64,
}

/// A prediction server, bound to its port.
pub struct PredictionServer {
    service: Arc<Service>,
    listener: Listener,
    worker: Worker,
    address: Address,
}

impl PredictionServer {
    /// Prepares the model, runs it once, and binds the port; requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Outputs`] if the outputs are neither classes, labels nor values; [`Error::Argument`] if the model has no
    /// preprocessing, or if the address is in use or does not belong to this machine; [`Error::Limit`] if the batch does not
    /// fit in memory.
    pub fn bind(model: Model, options: &ServeOptions) -> Result<Self> {
        let model = Arc::new(model);
        let outputs = Outputs::of(&model)?;
        let metrics = Arc::new(Metrics::new(&options.name));
        let worker = Worker::start(&model, options, &metrics)?;
        let listener = Listener::bind(options.listen, options.port)?;
        let address = listener.address("");
        let service = Service {
            name: options.name.clone(),
            outputs,
            url: address.url.clone(),
            batch_size: options.batch_size,
            key: options.key.clone().map(Token::chosen),
            guard: Guard::of_any_port(options.hosts.clone()),
            limits: options.limits.clone(),
            held: Arc::new(Semaphore::new(options.limits.held_bytes >> 10)),
            queue: Queue::new(&worker, &model, options),
            metrics,
            model,
        };
        Ok(Self { service: Arc::new(service), listener, worker, address })
    }

    /// Address of the server.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` returns true, then answers the requests in progress. `ending` is called first, with the number of
    /// queued images.
    ///
    /// # Errors
    /// [`Error::Bug`] if the thread of the model panics.
    pub fn run(self, stop: impl Fn() -> bool, ending: impl FnOnce(usize)) -> Result<ServeSummary> {
        let Self { service, listener, worker, .. } = self;
        let ServeLimits { connections, head, body, answer, .. } = service.limits;
        let limits = ConnectionLimits { connections, head, grace: body + answer };
        let router = routes::router(&service);
        listener.serve(router, limits, || {
            wait_for(|| stop() || !worker.is_alive());
            ending(service.queue.waiting());
        });
        let summary = service.metrics.summary();
        // The worker ends when the last sender of its queue is dropped.
        drop(service);
        match worker.join() {
            true => Ok(summary),
            false => Err(Error::Bug("the thread of the model ended in a panic".into())),
        }
    }
}
