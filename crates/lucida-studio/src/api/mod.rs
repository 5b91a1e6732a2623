//! The API: one file per kind of resource.

pub(crate) mod data;
pub(crate) mod draw;
pub(crate) mod embedding;
mod encoded;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod layers;
pub(crate) mod mechanics;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod overview;
pub(crate) mod settings;
pub(crate) mod style_networks;
#[cfg(test)]
mod tests;
