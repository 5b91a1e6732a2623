//! Self-contained HTML reports of training runs and results.
//!
//! This module brings together training, networks and images; [`plot`](crate::plot), which draws them, knows none of these.

mod cross_validation;
mod deconstruct;
mod demo;
mod images;
mod page;
mod run;
mod style_training;
mod stylized;

pub use cross_validation::cross_validation_report;
pub use deconstruct::Depth;
pub use demo::{Demo, DemoResult, Parts, Times};
pub use run::{RunData, RunReport};
pub use style_training::{StyleTrainingData, style_training_report};
