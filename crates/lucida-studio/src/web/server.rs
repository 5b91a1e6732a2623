//! Listening, and serving connections.
//!
//! Every connection has a limit on its head, its idle time and its requests, and there is a limit on connections: a client
//! that is slow on purpose holds a place for seconds, and no other client notices.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lucida::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::guard::Guard;
use super::routes::router;
use super::token::Token;
use crate::Options;
use crate::jobs::Jobs;
use crate::state::Studio;

/// How often the server looks whether it should end.
const TICK: Duration = Duration::from_millis(100);
/// The most bytes of the head of a request.
const HEAD: usize = 32 << 10;

/// Where the studio is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What to open in a browser; with the token, where there is one.
    pub url: String,
    /// Whether other machines reach it.
    pub open_to_others: bool,
}

/// A studio that listens.
pub struct Server {
    studio: Arc<Studio>,
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    guard: Guard,
    address: Address,
}

impl Server {
    /// Listens; requests wait until [`Server::run`].
    ///
    /// # Errors
    /// [`Error::Argument`] when the address is taken or is not this machine's, [`Error::Io`] when the folder of runs
    /// cannot be made.
    pub fn bind(options: &Options) -> Result<Self> {
        let studio = Arc::new(Studio::new(options)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .enable_all()
            .build()
            .map_err(|error| Error::Unsupported(format!("cannot start server threads: {error}")))?;
        let wanted = SocketAddr::new(options.listen, options.port);
        let hint = "choose another port with --port, or --port 0 for any free one";
        let refused = |error| Error::argument(format!("cannot listen on {wanted}: {error}; {hint}"));
        let listener = runtime.block_on(TcpListener::bind(wanted)).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        let open_to_others = !options.listen.is_loopback();
        let token = open_to_others.then(Token::random).transpose()?;
        let shown = match options.listen {
            address if address.is_unspecified() => own_address(address),
            address => address,
        };
        let query = token.as_ref().map(|token| format!("?token={}", token.text())).unwrap_or_default();
        let url = format!("http://{}/{query}", SocketAddr::new(shown, port));
        let guard = Guard::new(port, options.hosts.clone(), token)?;
        Ok(Self { studio, runtime, listener, guard, address: Address { url, open_to_others } })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` says so. Running jobs are asked to end, and are waited for; `ending` is given their number first.
    pub fn run(self, stop: impl Fn() -> bool, ending: impl FnOnce(usize)) {
        let Self { studio, runtime, listener, guard, .. } = self;
        let threads = Jobs::start(&studio);
        let service = TowerToHyperService::new(router(&studio, guard));
        let places = Arc::new(Semaphore::new(studio.limits.connections));
        let head = studio.limits.head;
        runtime.spawn(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of file handles, most likely: others will be closed.
                    tokio::time::sleep(TICK).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD);
                    // A client that disconnects is not an error of the server.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    drop(place);
                });
            }
        });
        while !stop() {
            std::thread::sleep(TICK);
        }
        ending(studio.jobs.stop());
        for thread in threads {
            let _ = thread.join();
        }
        runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

/// The address under which others reach this machine: that of the interface which the system would send from. Connecting a
/// datagram socket only asks for the route, nothing is sent; the destinations are those reserved for documentation.
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
