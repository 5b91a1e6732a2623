//! Common parts of Keras's formats: the JSON config of a model, the order of its layers, and the matching of tensors to
//! layers.

mod arrays;
mod assign;
mod composed;
mod config;
mod express;
mod layers;
mod npz;
mod operation;
mod order;
mod own;
mod write;
mod write_legacy;

pub(super) use assign::{KerasPaths, Places, Stored, assign, assign_by_path, flat_paths, has_all_names};
pub(super) use config::describe;
pub(super) use express::expressible;
pub(super) use npz::Npz;
pub(super) use own::{LUCIDA, own, restore_own};
pub(super) use write::{description, weights};
pub(super) use write_legacy::{IN_HEAP, legacy};
