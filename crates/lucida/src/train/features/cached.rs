//! What a frozen base says about the images of a folder, computed once.

use std::path::Path;
use std::time::Instant;

use crate::core::Progress;
use crate::data::{Augment, Augmented, Dataset, Folder, FolderSet};
use crate::train::TransferModel;
use crate::weights::Model;
use crate::{Cpu, Error, Result};

use super::{FeatureSet, FeatureStore, Key, augmented_keys, features_of_base, image_keys};

/// The features of the parts of a folder to train on and to validate with, kept in a folder of the cache.
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
    /// Opens what is known of the outputs of `layer`, in the folder `cache`.
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

    /// Runs the base over the images that it has not seen yet.
    fn add(
        &mut self,
        model: &Model,
        images: (&dyn Dataset, Option<u32>, &[Key]),
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let started = Instant::now();
        let computed = features_of_base(&mut self.store, model, &self.layer, images, self.cpu, progress)?;
        if computed > 0 {
            self.computed += computed;
            self.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Measures mean and variance where the head standardizes: over the training images as they are.
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

    /// Runs the base over all images, the training images in this many augmented copies where `augment` does anything.
    ///
    /// # Errors
    /// As [`features_of_base`]; [`Error::Argument`] when images are mixed with others.
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

    /// The features of the training images and of the validation images.
    ///
    /// # Errors
    /// As [`FeatureSet::new`].
    pub fn sets(&self, folder: &Folder) -> Result<(FeatureSet<'_>, FeatureSet<'_>)> {
        let train = FeatureSet::new(&self.store, &folder.train, &self.train)?;
        let validation = FeatureSet::new(&self.store, &folder.validation, std::slice::from_ref(&self.validation))?;
        Ok((train, validation))
    }

    /// The layer whose outputs they are.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The folder that has them.
    pub fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Images and copies of them.
    pub fn len(&self) -> usize {
        self.train.iter().map(Vec::len).sum::<usize>() + self.validation.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Images whose features were not in the cache.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// How long it took to compute them; 0 when all were in the cache.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}
