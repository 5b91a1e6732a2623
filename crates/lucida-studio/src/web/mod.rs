//! The server: who may ask, what a request may cost, and where it goes.

mod assets;
mod guard;
mod headers;
mod routes;
mod server;
mod token;

pub use server::{Address, Server};

pub(crate) use assets::version;
#[cfg(test)]
pub(crate) use guard::Guard;
#[cfg(test)]
pub(crate) use routes::{api, router};
