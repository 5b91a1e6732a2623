//! Lucida: train convolutional networks, take them apart and paint with them.

pub mod data;
pub mod error;
pub mod files;
pub mod plot;

pub use error::{Error, Result};
