//! A prediction server: images in, predictions out, for the programs of a team.
//!
//! ```text
//! request ──body──> files ──decode, prepare──> queue ──up to a batch──> worker ──> answer
//!          bounded          some threads        bounded                  one thread owns the model
//! ```
//!
//! One [worker](worker) owns the model and takes whatever waits, up to a batch, without waiting for more. What it says
//! about an image does not depend, to the bit, on the others of the batch: see
//! [`Predictor::new`](lucida::model::Predictor::new). Images are decoded elsewhere, in parallel, because a
//! large photo takes longer to decode than a small network takes to run.

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

/// What is served, and to whom.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// What answers call the model.
    pub name: String,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Names under which clients may ask for the server, in addition to addresses and `localhost`. With a key, any will do.
    pub hosts: Vec<String>,
    /// What clients must show, as `Authorization: Bearer KEY`.
    pub key: Option<String>,
    /// The most images of a forward pass.
    pub batch_size: usize,
    /// What to compute on.
    pub cpu: Cpu,
    /// What a client may cost.
    pub limits: ServeLimits,
}

impl ServeOptions {
    /// A server for this machine alone, at its usual port.
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

/// Limits of the prediction server; apart from `queue` and `answer` the [default](ServeLimits::default) is meant to be left
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at a time; more wait in the system's queue.
    pub connections: usize,
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// The most bytes of the bodies of all requests that are read or decoded at a time; more are refused.
    pub held_bytes: usize,
    /// The most pixels of an image.
    pub pixels: u64,
    /// The most images of a request.
    pub images: usize,
    /// Images that wait to be decoded or predicted; more are refused.
    pub queue: usize,
    /// The time within which the head of a request must arrive, and after which an idle connection is closed.
    pub head: Duration,
    /// The time within which the body of a request must arrive.
    pub body: Duration,
    /// The time from then on within which it is answered, or given up.
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

/// What all requests share.
struct Service {
    name: String,
    model: Arc<Model>,
    outputs: Outputs,
    /// Where the server is, for examples.
    url: String,
    batch_size: usize,
    key: Option<Token>,
    guard: Guard,
    limits: ServeLimits,
    /// Kibibytes of bodies that may still be held.
    held: Arc<Semaphore>,
    queue: Queue,
    metrics: Arc<Metrics>,
}

/// How much was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeSummary {
    /// Images that were predicted.
    pub images: u64,
    /// Forward passes that this took.
    pub batches: u64,
}

/// A prediction server that listens.
pub struct PredictionServer {
    service: Arc<Service>,
    listener: Listener,
    worker: Worker,
    address: Address,
}

impl PredictionServer {
    /// Prepares the model, runs it once, and listens; requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Outputs`] when the outputs are neither classes, labels nor values; [`Error::Argument`] when the model does not
    /// say how images are prepared, or when the address is taken or is not this machine's; [`Error::Limit`] when the batch
    /// does not fit the memory.
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

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` says so. Requests in progress are answered; `ending` is given the number of images that wait.
    ///
    /// # Errors
    /// [`Error::Bug`] when the thread of the model ends in a panic.
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
        // The worker ends with the last one that can send to it.
        drop(service);
        match worker.join() {
            true => Ok(summary),
            false => Err(Error::Bug("the thread of the model ended in a panic".into())),
        }
    }
}
