//! Model files: reading and writing networks and their weights.
//!
//! One file for each format, all alike: `inspect` says what is in a file, `load_weights` reads its tensors into a network
//! that is there, and `load_model` reads architecture and weights where the format has both. The functions of the same
//! names here do so for a file of any of these formats, which is told by its first bytes and never by its name.

mod archive;
mod builtin;
mod description;
mod format;
mod hdf5;
mod inspection;
mod keras;
pub mod keras_h5;
pub mod keras_zip;
mod model;
pub mod onnx;
pub mod safetensors;

pub use builtin::{builtin_vgg16, builtin_vgg16_at};
pub use format::{Format, inspect, load_model, load_weights};
pub use inspection::{Inspection, TensorInfo};
pub use model::Model;
