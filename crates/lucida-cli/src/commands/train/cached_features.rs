//! What a frozen base says about the images of a folder, computed once.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use lucida::data::{Augment, Augmented, Dataset, Folder, FolderSet};
use lucida::nn::counted;
use lucida::train::{FeatureSet, FeatureStore, Key, TransferModel, augmented_keys, features_of_base, image_keys};
use lucida::weights::Model;

use super::super::Context;
use crate::bar::Bar;
use crate::output::seconds;

/// The features of the parts to train on and to validate with.
pub(super) struct CachedFeatures {
    store: FeatureStore,
    layer: String,
    train: Vec<Vec<Key>>,
    validation: Vec<Key>,
    computed: usize,
    /// How long it took to compute them; 0 when all were in the cache.
    pub(super) seconds: f64,
    context: Context,
}

impl CachedFeatures {
    /// Opens what is known of the outputs of `layer`.
    pub(super) fn open(model: &Model, layer: &str, cache: &Path, context: Context) -> Result<Self> {
        Ok(Self {
            store: FeatureStore::open(cache, model, layer)?,
            layer: layer.to_owned(),
            train: Vec::new(),
            validation: Vec::new(),
            computed: 0,
            seconds: 0.0,
            context,
        })
    }

    /// Runs the base over the images that it has not seen yet.
    fn add(&mut self, model: &Model, (set, pass, keys): (&dyn Dataset, Option<u32>, &[Key])) -> Result<()> {
        let mut bar = Bar::new(self.context.output);
        let images = (set, pass, keys);
        let started = Instant::now();
        let computed = features_of_base(&mut self.store, model, &self.layer, images, self.context.cpu, &mut bar)?;
        if computed > 0 {
            self.computed += computed;
            self.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Measures mean and variance where the head standardizes: over the training images as they are.
    pub(super) fn standardize(&mut self, network: &mut TransferModel, set: &FolderSet) -> Result<()> {
        let keys = image_keys(set);
        self.add(&network.model, (set, None, &keys))?;
        Ok(network.standardize(&FeatureSet::new(&self.store, set, &[keys])?, self.context.cpu)?)
    }

    /// Runs the base over all images, the training images in augmented copies where that is wanted.
    pub(super) fn compute(
        &mut self,
        model: &Model,
        folder: &Folder,
        (augment, copies, seed): (&Augment, u32, u64),
    ) -> Result<()> {
        if augment.mixup > 0.0 || augment.cutmix > 0.0 {
            bail!("--augment-copies cannot remember images that are mixed with others: leave out mixup and cutmix");
        }
        if augment.is_none() {
            let keys = image_keys(&folder.train);
            self.add(model, (&folder.train, None, &keys))?;
            self.train.push(keys);
        } else {
            let augmented = Augmented::new(&folder.train, augment.clone(), seed)?;
            for pass in 1..=copies {
                let keys = augmented_keys(&folder.train, augment, seed, pass);
                self.add(model, (&augmented, Some(pass), &keys))?;
                self.train.push(keys);
            }
        }
        let validation = image_keys(&folder.validation);
        self.add(model, (&folder.validation, None, &validation))?;
        self.validation = validation;
        Ok(())
    }

    /// Says what was computed, and where it is.
    pub(super) fn tell(&self) {
        let Self { layer, computed, .. } = self;
        let all = self.train.iter().map(Vec::len).sum::<usize>() + self.validation.len();
        let place = self.store.folder().display();
        self.context.output.info(&match *computed {
            0 => format!("The features of all {} at {layer} are in {place}", counted(all, "image")),
            computed => format!(
                "Computed the features of {} at {layer} in {}, kept in {place}",
                counted(computed, "image"),
                seconds(self.seconds)
            ),
        });
    }

    pub(super) fn sets(&self, folder: &Folder) -> Result<(FeatureSet<'_>, FeatureSet<'_>)> {
        let train = FeatureSet::new(&self.store, &folder.train, &self.train)?;
        let validation = FeatureSet::new(&self.store, &folder.validation, std::slice::from_ref(&self.validation))?;
        Ok((train, validation))
    }
}
