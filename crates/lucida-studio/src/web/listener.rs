//! Listens on a socket and serves connections.
//!
//! The number of connections, the size of a request's head, the time for it to arrive, and idle time are limited: a client
//! that is slow on purpose occupies a connection for seconds only, and does not affect others.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lucida::{Error, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

/// Interval between checks whether the server should stop, and pause after a failed connection.
const TICK: Duration = Duration::from_millis(100);
/// Maximum size in bytes of the head of a request.
const HEAD: usize = 32 << 10;

/// Address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// URL to open in a browser or to send requests to, including the studio's token if there is one.
    pub url: String,
    /// Whether other machines can reach it.
    pub open_to_others: bool,
}

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Maximum concurrent connections; further ones wait in the system's queue.
    pub(crate) connections: usize,
    /// Timeout for the head of a request to arrive, and for idle connections.
    pub(crate) head: Duration,
    /// Time for requests in progress to finish once the server stops.
    pub(crate) grace: Duration,
}

/// A socket that clients can connect to, and the threads that serve them.
pub(crate) struct Listener {
    runtime: Runtime,
    socket: TcpListener,
    /// The address to show.
    shown: SocketAddr,
    open_to_others: bool,
}

impl Listener {
    /// Binds the socket; connections wait until [`serve`](Self::serve).
    ///
    /// # Errors
    /// [`Error::Argument`] if the address is in use or does not belong to this machine.
    pub(crate) fn bind(listen: IpAddr, port: u16) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .enable_all()
            .build()
            .map_err(|error| Error::Unsupported(format!("cannot start server threads: {error}")))?;
        let wanted = SocketAddr::new(listen, port);
        let refused = |error: io::Error| {
            let hint = match error.kind() {
                ErrorKind::AddrNotAvailable => "this machine has no such address: 0.0.0.0 stands for all that it has",
                _ => "choose another port with --port, or --port 0 for any free one",
            };
            Error::argument(format!("cannot listen on {wanted}: {error}; {hint}"))
        };
        let socket = runtime.block_on(TcpListener::bind(wanted)).map_err(refused)?;
        let port = socket.local_addr().map_err(refused)?.port();
        let shown = if listen.is_unspecified() { own_address(listen) } else { listen };
        let open_to_others = !listen.is_loopback();
        Ok(Self { runtime, socket, shown: SocketAddr::new(shown, port), open_to_others })
    }

    pub(crate) fn port(&self) -> u16 {
        self.shown.port()
    }

    /// Whether other machines can reach it.
    pub(crate) fn open_to_others(&self) -> bool {
        self.open_to_others
    }

    /// Returns its address; `path` follows the host in the URL.
    pub(crate) fn address(&self, path: &str) -> Address {
        Address { url: format!("http://{}{path}", self.shown), open_to_others: self.open_to_others }
    }

    /// Serves until `until` returns, then waits for requests in progress.
    pub(crate) fn serve(self, router: Router, limits: ConnectionLimits, until: impl FnOnce()) {
        let Self { runtime, socket, .. } = self;
        let (stop, stopped) = oneshot::channel();
        let accepting = runtime.spawn(accept(socket, router, limits, stopped));
        until();
        let _ = stop.send(());
        let _ = runtime.block_on(accepting);
        runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

/// Blocks until `stop` returns true.
pub(crate) fn wait_for(stop: impl Fn() -> bool) {
    while !stop() {
        std::thread::sleep(TICK);
    }
}

/// Accepts connections until it is stopped.
async fn accept(socket: TcpListener, router: Router, limits: ConnectionLimits, mut stopped: oneshot::Receiver<()>) {
    let service = TowerToHyperService::new(router);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            Some((permit, socket.accept().await))
        };
        let (permit, stream) = tokio::select! {
            next = next => match next {
                Some((permit, Ok((stream, _)))) => (permit, stream),
                // Most likely too many open files: other connections will be closed.
                Some((_, Err(_))) => {
                    tokio::time::sleep(TICK).await;
                    continue;
                }
                None => return,
            },
            _ = &mut stopped => break,
        };
        let _ = stream.set_nodelay(true);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            // A client that disconnects is not an error of the server.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(socket);
    let _ = tokio::time::timeout(limits.grace, graceful.shutdown()).await;
}

/// Returns the address at which others reach this machine: that of the interface with the default route. Connecting a UDP
/// socket only looks up the route and sends nothing; the destinations are addresses reserved for documentation.
fn own_address(unspecified: IpAddr) -> IpAddr {
    let (destination, loopback) = match unspecified {
        IpAddr::V4(_) => ("192.0.2.1:9", IpAddr::from([127, 0, 0, 1])),
        IpAddr::V6(_) => ("[2001:db8::1]:9", IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    };
    let route = || {
        let socket = UdpSocket::bind(SocketAddr::new(unspecified, 0))?;
        socket.connect(destination)?;
        socket.local_addr()
    };
    route().map_or(loopback, |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_shown_can_be_connected_to() {
        let shown = own_address(IpAddr::from([0, 0, 0, 0]));
        assert!(!shown.is_unspecified());
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(SocketAddr::new(shown, port)).unwrap();
    }
}
