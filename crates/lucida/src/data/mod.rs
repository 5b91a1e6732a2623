//! Data sets and images: reading, splitting, batching, and preprocessing for a network.

mod augment;
mod batches;
mod builtin;
mod color;
mod dataset;
mod decode;
mod digit;
mod encode;
mod folder;
pub mod idx;
mod image;
mod limits;
mod loader;
mod memory;
mod mnist;
mod preprocess;
mod resize;
mod split;
mod targets;

pub use augment::{Affine, Augment, Augmented, FillMode, MixedSample};
pub use batches::{batches, epoch_order};
pub(crate) use builtin::asset_bytes;
pub use builtin::chelsea;
pub use dataset::{Dataset, LabeledImages, Subset};
pub use digit::normalize_digit;
pub use encode::FileKind;
pub(crate) use encode::JPEG_QUALITY;
pub use folder::{
    Duplicate, Folder, FolderBuilder, FolderSet, LabelSource, Part, ResolvedLabels, Skipped, is_image_file,
    save_skipped,
};
pub use image::Image;
pub use limits::Limits;
pub use loader::{Batch, Loader};
pub use memory::{free_memory, memory_to_keep};
pub use mnist::Mnist;
pub use preprocess::{ColorMode, Preprocessing, PreprocessingChoice};
pub use resize::{Filter, Fit, resize_floats};
pub use split::{Split, stratified_split};
pub use targets::{TargetKind, Targets};
