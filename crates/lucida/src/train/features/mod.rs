//! Cache for the features that frozen layers compute.
//!
//! The frozen layers of a base compute the same features for an image in every epoch. Therefore they are run once per image,
//! and an epoch only costs the layers after them. The features are stored on disk, in a folder per base: the next training
//! run on the same images starts immediately, whatever its head.
//!
//! Cache keys are content digests: of the image file, and of the layers, weights and preprocessing of the base. Renamed or
//! moved files are still found; a different file with the same name is not.

mod cached;
mod key;
mod store;

#[cfg(test)]
mod tests;

use crate::core::{Progress, Step, Unit};
use crate::data::{Batch, Dataset, Loader, Targets};
use crate::nn::{Inference, Plan};
use crate::weights::{Model, check_finite};
use crate::{Cpu, Error, Result};

pub use cached::CachedFeatures;
pub use key::{Key, augmented_keys, image_keys};
pub use store::FeatureStore;

use super::Samples;
use store::RowAddr;

/// Batch size.
const BATCH: usize = 32;
/// Bytes of features written at once, which is the most that is lost on interruption.
const SEGMENT: usize = 64 << 20;

/// Cached features as training samples, either of plain images or of several augmented copies, one copy per pass over the
/// data.
pub struct FeatureSet<'a> {
    store: &'a FeatureStore,
    /// For each copy, the address of each sample's row.
    copies: Vec<Vec<RowAddr>>,
    labels: Vec<usize>,
    targets: Targets,
    /// Concatenated target rows; empty for classes.
    rows: Vec<f32>,
    class_names: Vec<String>,
    sample_names: Vec<String>,
}

impl<'a> FeatureSet<'a> {
    /// Collects the features of a data set, with a list of keys for each copy.
    ///
    /// # Errors
    /// [`Error::Bug`] when a key is not in the store: [`features_of_base`] must have run before.
    pub fn new(store: &'a FeatureStore, set: &dyn Dataset, copies: &[Vec<Key>]) -> Result<Self> {
        let missing = || Error::Bug("features that were to be remembered are not there".to_owned());
        let places = |keys: &Vec<Key>| keys.iter().map(|key| store.find(key).ok_or_else(missing)).collect();
        let copies = copies.iter().map(places).collect::<Result<Vec<Vec<RowAddr>>>>()?;
        if copies.is_empty() || copies.iter().any(|places| places.len() != set.len()) {
            return Err(missing());
        }
        let (targets, class_names) = (set.targets(), set.class_names().to_vec());
        let rows = (0..set.len()).flat_map(|index| set.target(index)).copied().collect();
        let sample_names = (0..set.len()).map(|index| set.image_name(index)).collect();
        Ok(Self { store, copies, labels: set.labels(), targets, rows, class_names, sample_names })
    }
}

impl Samples for FeatureSet<'_> {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn targets(&self) -> Targets {
        self.targets
    }

    fn target(&self, index: usize) -> &[f32] {
        &self.rows[index * self.targets.row_len()..][..self.targets.row_len()]
    }

    fn sample_name(&self, index: usize) -> String {
        self.sample_names[index].clone()
    }

    fn each(
        &self,
        pass: Option<u32>,
        order: &[usize],
        batch_size: usize,
        each: &mut dyn FnMut(Batch<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let copy = pass.map_or(0, |pass| pass.saturating_sub(1) as usize % self.copies.len());
        let width = self.store.width();
        let mut images = vec![0.0; batch_size.min(order.len()) * width];
        for indices in order.chunks(batch_size.max(1)) {
            let images = &mut images[..indices.len() * width];
            for (&index, row) in indices.iter().zip(images.chunks_exact_mut(width)) {
                self.store.read(self.copies[copy][index], row)?;
            }
            let labels: Vec<usize> = indices.iter().map(|&index| self.labels[index]).collect();
            let mixed = vec![None; indices.len()];
            let targets: Vec<f32> = indices.iter().flat_map(|&index| self.target(index)).copied().collect();
            if !each(Batch { indices, images, labels: &labels, targets: &targets, mixed: &mixed })? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Runs a base on the images of a data set whose features are not in the store yet, and stores the output of `layer`. With a
/// pass, images are augmented as in that training pass.
///
/// # Errors
/// [`Error::Interrupted`] when `progress` stops it: finished features stay in the store. Those of reading the images and of
/// writing the store; [`Error::Argument`] when a feature is not finite.
pub fn features_of_base(
    store: &mut FeatureStore,
    model: &Model,
    layer: &str,
    (set, pass, keys): (&dyn Dataset, Option<u32>, &[Key]),
    cpu: Cpu,
    progress: &mut dyn Progress,
) -> Result<usize> {
    let mut seen = std::collections::HashSet::new();
    let missing: Vec<usize> =
        (0..keys.len()).filter(|&index| store.find(&keys[index]).is_none() && seen.insert(keys[index])).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    model.check()?;
    let preprocessing = model.preprocessing()?;
    let width = store.width();
    let plan = Plan::builder(&model.network).cpu(cpu).batch_size(BATCH.min(missing.len())).output(layer);
    let mut inference = Inference::new(plan)?;
    let at_once = (SEGMENT / (4 * width)).clamp(1, missing.len());
    let (mut new_keys, mut rows) = (Vec::with_capacity(at_once), Vec::with_capacity(at_once * width));
    let mut done = 0;
    let loader = Loader::new(set, preprocessing).threads(cpu.threads());
    let loader = pass.map_or(loader, |pass| loader.training(pass));
    let all = loader.each(&missing, inference.batch_size(), |batch| {
        let features = inference.run(batch.indices.len(), batch.images)?;
        for (&index, row) in batch.indices.iter().zip(features.clone()) {
            check_finite(&model.network, row, true)
                .map_err(|problem| Error::argument(format!("{}, layer {layer}: {problem}", set.image_name(index))))?;
        }
        for (&index, row) in batch.indices.iter().zip(features) {
            new_keys.push(keys[index]);
            rows.extend_from_slice(row);
            if new_keys.len() == at_once {
                store.add(&new_keys, &rows)?;
                new_keys.clear();
                rows.clear();
            }
        }
        done += batch.indices.len();
        Ok(progress.update(&Step::new(Unit::Features, done, missing.len())).is_continue())
    })?;
    store.add(&new_keys, &rows)?;
    if all || done == missing.len() { Ok(missing.len()) } else { Err(Error::Interrupted) }
}
