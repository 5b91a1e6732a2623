//! Cached features of a frozen base for the images of a folder.

use std::path::Path;

use lucida_kernels::clock::Stopwatch;

use crate::core::Progress;
use crate::data::{Augment, Augmented, Dataset, Folder, FolderSet};
use crate::train::TransferModel;
use crate::weights::Model;
use crate::{Cpu, Error, Result};

use super::{FeatureSet, FeatureStore, Key, augmented_keys, features_of_base, image_keys};

/// Features of the training and validation images of a folder, stored in a cache folder.
pub struct CachedFeatures {
    store: FeatureStore,
    layer: String,
    train: Vec<Vec<Key>>,
    validation: Vec<Key>,
    computed: usize,
    seconds: f64,
    cpu: Cpu,
}

impl CachedFeatures {
    /// Opens the cached outputs of `layer` in the folder `cache`.
    ///
    /// # Errors
    /// As [`FeatureStore::open`].
    pub fn open(model: &Model, layer: &str, cache: impl AsRef<Path>, cpu: Cpu) -> Result<Self> {
        Ok(Self {
            store: FeatureStore::open(cache, model, layer)?,
            layer: layer.to_owned(),
            train: Vec::new(),
            validation: Vec::new(),
            computed: 0,
            seconds: 0.0,
            cpu,
        })
    }

    /// Runs the base on the images that are not in the cache.
    fn add(
        &mut self,
        model: &Model,
        images: (&dyn Dataset, Option<u32>, &[Key]),
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let started = Stopwatch::start();
        let computed = features_of_base(&mut self.store, model, &self.layer, images, self.cpu, progress)?;
        if computed > 0 {
            self.computed += computed;
            self.seconds += started.seconds();
        }
        Ok(())
    }

    /// Measures the statistics for the head's standardization layers, on the training images without augmentation.
    ///
    /// # Errors
    /// As [`features_of_base`].
    pub fn standardize(
        &mut self,
        network: &mut TransferModel,
        set: &FolderSet,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let keys = image_keys(set);
        self.add(&network.model, (set, None, &keys), progress)?;
        network.standardize(&FeatureSet::new(&self.store, set, &[keys])?, self.cpu)
    }

    /// Runs the base on all images. With augmentation, the training images are computed in `copies` augmented copies.
    ///
    /// # Errors
    /// As [`features_of_base`]; [`Error::Argument`] when MixUp or CutMix is enabled.
    pub fn compute(
        &mut self,
        model: &Model,
        folder: &Folder,
        (augment, copies, seed): (&Augment, u32, u64),
        progress: &mut dyn Progress,
    ) -> Result<()> {
        if augment.mixup > 0.0 || augment.cutmix > 0.0 {
            let why = "features of images that are mixed with others cannot be cached: leave out mixup and cutmix";
            return Err(Error::argument(why));
        }
        if augment.is_none() {
            let keys = image_keys(&folder.train);
            self.add(model, (&folder.train, None, &keys), progress)?;
            self.train.push(keys);
        } else {
            let augmented = Augmented::new(&folder.train, augment.clone(), seed)?;
            for pass in 1..=copies {
                let keys = augmented_keys(&folder.train, augment, seed, pass);
                self.add(model, (&augmented, Some(pass), &keys), progress)?;
                self.train.push(keys);
            }
        }
        let validation = image_keys(&folder.validation);
        self.add(model, (&folder.validation, None, &validation), progress)?;
        self.validation = validation;
        Ok(())
    }

    /// Returns the features of the training and of the validation images.
    ///
    /// # Errors
    /// As [`FeatureSet::new`].
    pub fn sets(&self, folder: &Folder) -> Result<(FeatureSet<'_>, FeatureSet<'_>)> {
        let train = FeatureSet::new(&self.store, &folder.train, &self.train)?;
        let validation = FeatureSet::new(&self.store, &folder.validation, std::slice::from_ref(&self.validation))?;
        Ok((train, validation))
    }

    /// The layer whose outputs are cached.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The cache folder of the base.
    pub fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Number of images, including augmented copies.
    pub fn len(&self) -> usize {
        self.train.iter().map(Vec::len).sum::<usize>() + self.validation.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of images whose features were not in the cache.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// Time to compute them in seconds; 0 if all were cached.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}
