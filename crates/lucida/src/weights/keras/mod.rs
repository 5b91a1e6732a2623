//! What Keras's formats have in common: the description of a model as JSON, the order of its layers, and how tensors
//! find their layers.

mod arrays;
mod assign;
mod config;
mod layers;
mod npz;
mod order;
mod write;

pub(super) use assign::{Places, Stored, assign, assign_by_path, flat_paths};
pub(super) use config::{Described, describe};
pub(super) use npz::Npz;
pub(super) use write::{description, weights};
