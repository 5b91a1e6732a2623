//! Model files: reading and writing networks and their weights.
//!
//! There is one module for each format, with the same functions: `inspect` lists the contents of a file, `load_weights`
//! reads its tensors into an existing network, and `load_model` reads architecture and weights if the format has both. The
//! functions with these names in this module accept a file of any format, which is detected from its first bytes, never
//! from its name.

mod archive;
mod array_file;
mod builtin;
mod description;
mod floats;
mod foreign;
mod format;
mod hdf5;
pub mod hub;
mod in_memory;
mod inspection;
mod json;
mod keras;
pub mod keras_h5;
pub mod keras_zip;
mod model;
mod model_file;
mod modules;
pub mod onnx;
mod open;
mod pickle;
pub mod safetensors;
pub mod tfjs;
pub mod tflite;
mod topology;
pub mod torch;

pub use array_file::read_arrays;
pub(crate) use builtin::fill_brushwork;
pub use builtin::{CLASSIFIER, builtin_classifier, builtin_digits, builtin_vgg16, builtin_vgg16_at, is_builtin};
pub(crate) use format::CHECKPOINT;
pub use format::{
    Format, MODEL_EXTENSIONS, describe_format, inspect, load_model, load_model_at, load_weights, save_model,
};
pub use in_memory::{KerasLayer, open_files, open_keras, open_state_dict};
pub use inspection::{Inspection, TensorInfo};
pub use model::{
    ArrayLayout, ArrayLayouts, Model, ModelSettings, Note, OutputKind, Outputs, Quantization, Task, argmax,
    parse_class_names, read_class_names, settings_file,
};
pub(crate) use model::{check_finite, is_finite, softmax};
pub(crate) use modules::FAST_NEURAL_STYLE;
pub use open::{BUILTIN, IncludeTop, ModelSpec, locate, model_file, open, open_network, open_with};
