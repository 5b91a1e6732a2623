//! The API: one file per kind of resource.

pub(crate) mod data;
pub(crate) mod draw;
pub(crate) mod embedding;
mod encoded;
#[cfg(feature = "server")]
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod layers;
pub(crate) mod mechanics;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod overview;
mod routes;
pub(crate) mod settings;
pub(crate) mod style_networks;
#[cfg(all(test, feature = "server"))]
mod tests;

pub(crate) use routes::router;
#[cfg(all(test, feature = "server"))]
pub(crate) use routes::routes;
