//! Basics that every module may use, and that use no other module.

pub mod array;
mod memory;
pub mod progress;
pub mod rng;

pub use array::Array;
pub use memory::{memory_limit, set_memory_limit};
pub use progress::{BatchReport, Detail, FeedForwardProgress, Progress, SkippedStep, Step, StyleProgress, Unit};
pub use rng::{Purpose, Rng, choose};
