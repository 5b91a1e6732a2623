//! Keys of cached features.

use md5::{Digest, Md5};

use crate::data::{Augment, Dataset, FolderSet};
use crate::weights::Model;
use crate::{Error, Result};

/// MD5 digest of everything that an image's features depend on, apart from the base.
pub type Key = [u8; 16];

/// Keys of the images of a folder, without augmentation.
pub fn image_keys(set: &FolderSet) -> Vec<Key> {
    (0..set.len()).map(|index| set.digest(index)).collect()
}

/// Keys of the images of a folder, as augmented in one pass.
pub fn augmented_keys(set: &FolderSet, augment: &Augment, seed: u64, pass: u32) -> Vec<Key> {
    let text = augment.to_string();
    let key = |index: usize| {
        // The augmentation of an image depends on its index in the set.
        let number = (index as u64).to_le_bytes();
        let parts: [&[u8]; 5] =
            [&set.digest(index), &seed.to_le_bytes(), &pass.to_le_bytes(), &number, text.as_bytes()];
        parts.iter().fold(Md5::new(), |digest, part| digest.chain_update(part)).finalize().into()
    };
    (0..set.len()).map(key).collect()
}

/// Key of a base: its layers up to `layer`, their weights, and the preprocessing.
pub(super) fn base_key(model: &Model, layer: &str) -> Result<Key> {
    let network = &model.network;
    let end = network.find(layer)?;
    let mut digest = Md5::new();
    for node in &network.nodes()[..=end] {
        let described = serde_json::to_string(&(node.name(), node.layer(), node.inputs()))
            .map_err(|problem| Error::Bug(format!("a layer that cannot be written as JSON: {problem}")))?;
        digest.update(described.as_bytes());
    }
    let mut bytes = [0; 4096];
    for weight in &network.weights()[..network.nodes()[end].weights().end] {
        for values in weight.values().chunks(bytes.len() / 4) {
            bytes.chunks_exact_mut(4).zip(values).for_each(|(to, value)| to.copy_from_slice(&value.to_le_bytes()));
            digest.update(&bytes[..4 * values.len()]);
        }
    }
    let preprocessing = serde_json::to_string(model.preprocessing()?)
        .map_err(|problem| Error::Bug(format!("a preprocessing that cannot be written as JSON: {problem}")))?;
    digest.update(preprocessing.as_bytes());
    Ok(digest.finalize().into())
}
