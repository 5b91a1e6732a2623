//! Reports: what was learned, on one page with its images.
//!
//! Here training, networks and images meet; [`plot`](crate::plot) draws them and knows none of them.

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
