//! Lucida: train convolutional networks, take them apart, and transfer styles.

pub mod batch_jobs;
pub mod core;
pub mod data;
pub mod error;
pub mod explain;
pub mod files;
mod guard;
pub mod nn;
pub mod plot;
pub mod report;
mod similar;
pub mod style;
pub mod train;
pub mod weights;

pub use error::{Error, Result, Unfit};
pub use lucida_kernels::{Cpu, Isa};
pub use similar::nearest_name;
