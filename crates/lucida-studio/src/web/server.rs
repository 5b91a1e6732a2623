//! The server of the studio.

use std::sync::Arc;
use std::time::Duration;

use lucida::Result;

use super::guard::Guard;
use super::listener::{Address, ConnectionLimits, Listener, wait_for};
use super::routes::router;
use super::token::Token;
use crate::jobs::Jobs;
use crate::state::{Place, Studio};
use crate::{Limits, Options};

/// The studio, bound to its port.
pub struct Server {
    studio: Arc<Studio>,
    listener: Listener,
    guard: Guard,
    address: Address,
}

impl Server {
    /// Opens the studio and binds its port; requests wait until [`Server::run`].
    ///
    /// # Errors
    /// [`Error::Argument`](lucida::Error::Argument) if the address is in use or does not belong to this machine,
    /// [`Error::InUse`](lucida::Error::InUse) if another studio uses the folder of runs,
    /// [`Error::Io`](lucida::Error::Io) if it cannot be created.
    pub fn bind(options: &Options) -> Result<Self> {
        let studio = Arc::new(Studio::new(options, Place::Threads)?);
        let listener = Listener::bind(options.listen, options.port)?;
        let token = listener.open_to_others().then(Token::random).transpose()?;
        let query = token.as_ref().map(|token| format!("?token={}", token.text())).unwrap_or_default();
        let address = listener.address(&format!("/{query}"));
        let guard = Guard::new(listener.port(), options.hosts.clone(), token)?;
        Ok(Self { studio, listener, guard, address })
    }

    /// Address of the server.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` returns true, then asks running jobs to stop and waits for them. `ending` is called with their
    /// number before the wait.
    pub fn run(self, stop: impl Fn() -> bool, ending: impl FnOnce(usize)) {
        let Self { studio, listener, guard, .. } = self;
        let threads = Jobs::start(&studio);
        let Limits { connections, head, .. } = studio.limits;
        // No grace: event streams do not end by themselves.
        let limits = ConnectionLimits { connections, head, grace: Duration::ZERO };
        listener.serve(router(&studio, guard), limits, || {
            wait_for(stop);
            ending(studio.jobs.stop());
            for thread in threads {
                let _ = thread.join();
            }
        });
    }
}
