//! Model files: reading and writing networks and their weights.
//!
//! One file for each format, all alike: `inspect` says what is in a file, `load_weights` reads its tensors into a network
//! that is there, and `load_model` reads architecture and weights where the format has both.

mod inspection;
mod model;
pub mod safetensors;

pub use inspection::{Inspection, TensorInfo};
pub use model::Model;
