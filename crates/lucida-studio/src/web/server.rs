//! The studio as a server.

use std::sync::Arc;
use std::time::Duration;

use lucida::Result;

use super::guard::Guard;
use super::listener::{Address, ConnectionLimits, Listener, wait_for};
use super::routes::router;
use super::token::Token;
use crate::jobs::Jobs;
use crate::state::Studio;
use crate::{Limits, Options};

/// A studio that listens.
pub struct Server {
    studio: Arc<Studio>,
    listener: Listener,
    guard: Guard,
    address: Address,
}

impl Server {
    /// Listens; requests wait until [`Server::run`].
    ///
    /// # Errors
    /// [`Error::Argument`](lucida::Error::Argument) when the address is taken or is not this machine's,
    /// [`Error::Io`](lucida::Error::Io) when the folder of runs cannot be made.
    pub fn bind(options: &Options) -> Result<Self> {
        let studio = Arc::new(Studio::new(options)?);
        let listener = Listener::bind(options.listen, options.port)?;
        let token = listener.open_to_others().then(Token::random).transpose()?;
        let query = token.as_ref().map(|token| format!("?token={}", token.text())).unwrap_or_default();
        let address = listener.address(&format!("/{query}"));
        let guard = Guard::new(listener.port(), options.hosts.clone(), token)?;
        Ok(Self { studio, listener, guard, address })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` says so. Running jobs are asked to end, and are waited for; `ending` is given their number first.
    pub fn run(self, stop: impl Fn() -> bool, ending: impl FnOnce(usize)) {
        let Self { studio, listener, guard, .. } = self;
        let threads = Jobs::start(&studio);
        let Limits { connections, head, .. } = studio.limits;
        // A stream of events has no end to wait for.
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
