//! The server: access control, limits and routing.

mod assets;
mod guard;
mod headers;
mod listener;
mod routes;
mod server;
mod token;

pub use listener::Address;
pub use server::Server;

pub(crate) use assets::{version, web_files};
pub(crate) use guard::{Guard, bearer};
pub(crate) use headers::secure;
pub(crate) use listener::{ConnectionLimits, Listener, wait_for};
#[cfg(test)]
pub(crate) use routes::router;
pub(crate) use token::Token;
