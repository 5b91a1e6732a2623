//! Writing Keras's legacy whole-model HDF5 (`.h5`): what Keras 2 and `tf.keras` wrote, and Keras 3 still reads and writes.

use std::path::Path;

use hdf5_writer::{AttributeBuilder, DatasetBuilder, Hdf5Builder, WriteOptions};
use serde_json::Value;

use super::express::expressible;
use super::order::keras_order;
use super::own::{LUCIDA, own};
use super::write::description;
use crate::weights::Model;
use crate::{Error, Result};

/// The version of Keras whose format is written.
const WRITTEN_FOR: &str = "3.15.0";
/// Bytes of one text. An object header of HDF5 has room for 64 KiB, and Keras reads the description as one text.
const MAX_TEXT: usize = 64_000;
/// The group of the weights.
const WEIGHTS: &str = "model_weights";

/// A model as the bytes of a legacy `.h5` file.
///
/// # Errors
/// [`Error::Unsupported`] when the description is too long for the format (that of InceptionV3 is), or Keras has no
/// counterpart for a layer.
pub(in crate::weights) fn legacy(model: &Model, path: &Path) -> Result<Vec<u8>> {
    let network = expressible(&model.network, path)?;
    let network = network.as_ref();
    let mut config = description(network, path)?;
    // Layers are told by their class alone, in the module of the time.
    let layers = config["config"]["layers"].as_array_mut().into_iter().flatten();
    layers.for_each(simplify);
    simplify(&mut config);
    let config = config.to_string();
    if config.len() > MAX_TEXT {
        return Err(Error::Unsupported(format!(
            "{}: the description of network {} has {} bytes, the legacy format is written with {MAX_TEXT} at most: use \
             .keras",
            path.display(),
            network.name(),
            config.len()
        )));
    }
    let mut extra = own(model).to_string();
    if extra.len() > MAX_TEXT {
        extra = own(&Model { training: Value::Null, ..model.clone() }).to_string();
    }
    let order = keras_order(network);
    let names: Vec<&str> = order.iter().map(|&node| network.nodes()[node].name()).collect();
    let encode = || -> hdf5_writer::Result<Vec<u8>> {
        let mut file = Hdf5Builder::new()
            .attribute(AttributeBuilder::fixed_string("backend", "tensorflow"))
            .attribute(AttributeBuilder::fixed_string("keras_version", WRITTEN_FOR))
            .attribute(AttributeBuilder::fixed_string("model_config", &config))
            .group_attribute(WEIGHTS, AttributeBuilder::fixed_string("backend", "tensorflow"))
            .group_attribute(WEIGHTS, AttributeBuilder::fixed_string("keras_version", WRITTEN_FOR))
            .group_attribute(WEIGHTS, AttributeBuilder::vlen_strings("layer_names", &names)?);
        if extra.len() <= MAX_TEXT {
            file = file.attribute(AttributeBuilder::fixed_string(LUCIDA, &extra));
        }
        for &node in &order {
            let node = &network.nodes()[node];
            let group = format!("{WEIGHTS}/{}", node.name());
            let weights = &network.weights()[node.weights()];
            let names: Vec<&str> = weights.iter().map(|weight| weight.name()).collect();
            let listed = match names.as_slice() {
                // An empty list has no type; Keras, too, writes one of numbers.
                [] => AttributeBuilder::vector::<f32>("weight_names", &[])?,
                names => AttributeBuilder::vlen_strings("weight_names", names)?,
            };
            file = file.group_attribute(&group, listed);
            for weight in weights {
                let shape: Vec<u64> = weight.shape().iter().map(|&size| size as u64).collect();
                let path = format!("{group}/{}", weight.name());
                file = file.dataset(DatasetBuilder::typed_data(path, shape, weight.values())?);
            }
        }
        file.into_plan()?.encode(WriteOptions::default())
    };
    encode().map_err(|problem| Error::Bug(format!("a model that cannot be written as HDF5: {problem}")))
}

/// Takes away what the legacy format does not have.
fn simplify(item: &mut Value) {
    if let Some(item) = item.as_object_mut() {
        for key in ["module", "registered_name", "build_config"] {
            item.remove(key);
        }
    }
}
