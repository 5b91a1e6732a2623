//! What every module may use, and which uses no other module.

pub mod progress;

pub use progress::{BatchReport, Detail, Progress, Step, StyleProgress, Unit};
