//! The extension module `lucida._lucida`: bindings to the library for the Python package. `python/lucida` checks and
//! converts the arguments, and calls these functions with contiguous arrays.
//!
//! All work runs on its own thread, without the global interpreter lock, so that Ctrl-C takes effect at once: see [`job`].

mod arrays;
mod deconstruct;
mod errors;
mod explain;
mod figures;
mod job;
mod maximize;
mod model;
mod options;
mod style;
mod train;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _lucida {
    #[pymodule_export]
    use super::deconstruct::{activation_sheet, activations, deconv};
    #[pymodule_export]
    use super::explain::{explain, explain_methods};
    #[pymodule_export]
    use super::figures::{bars, curves, grid, png, read_image, sample, save_image};
    #[pymodule_export]
    use super::maximize::{classes, filters};
    #[pymodule_export]
    use super::model::{Model, load_keras, load_path, load_state_dict};
    #[pymodule_export]
    use super::style::style;
    #[pymodule_export]
    use super::train::{digits, train};
    #[pymodule_export]
    use super::{networks, version};
}

/// Version of the library.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Names of the known networks.
#[pyfunction]
fn networks() -> Vec<&'static str> {
    lucida::nn::applications::ALL.iter().map(|known| known.name).collect()
}
