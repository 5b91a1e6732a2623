//! What a frozen base says about the pictures of a folder, computed once.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use lucida::data::{Augment, Augmented, Dataset, Folder};
use lucida::nn::thousands;
use lucida::train::{FeatureSet, FeatureStore, Key, augmented_keys, features_of_base, picture_keys};
use lucida::weights::Model;

use super::super::Context;
use crate::output::seconds;
use crate::progress::Counter;

/// The features of the parts to train on and to validate with.
pub(super) struct Remembered {
    store: FeatureStore,
    train: Vec<Vec<Key>>,
    validation: Vec<Key>,
    /// How long it took; 0 when all were in the cache.
    pub(super) seconds: f64,
}

impl Remembered {
    /// Runs the base, up to `layer`, over the pictures that it has not seen yet.
    pub(super) fn compute(
        model: &Model,
        layer: &str,
        folder: &Folder,
        (augment, copies, seed): (&Augment, u32, u64),
        cache: &Path,
        context: Context,
    ) -> Result<Self> {
        if augment.mixup > 0.0 || augment.cutmix > 0.0 {
            bail!("--augment-copies cannot remember pictures that are mixed with others: leave out mixup and cutmix");
        }
        let started = Instant::now();
        let mut store = FeatureStore::open(cache, model, layer)?;
        let (mut train, mut computed) = (Vec::new(), 0);
        let mut compute = |what, set: &dyn Dataset, pass, keys: &[Key]| -> Result<()> {
            let counter = Counter::new(context.output, what);
            let watch = |done, total| counter.at(done, total);
            computed += features_of_base(&mut store, model, layer, (set, pass, keys), context.cpu, &watch)?;
            Ok(())
        };
        if augment.is_none() {
            let keys = picture_keys(&folder.train);
            compute("Features", &folder.train, None, &keys)?;
            train.push(keys);
        } else {
            let augmented = Augmented::new(&folder.train, augment.clone(), seed)?;
            for pass in 1..=copies {
                let keys = augmented_keys(&folder.train, augment, seed, pass);
                compute("Features", &augmented, Some(pass), &keys)?;
                train.push(keys);
            }
        }
        let validation = picture_keys(&folder.validation);
        compute("Features", &folder.validation, None, &validation)?;
        let (all, time) = (train.iter().map(Vec::len).sum::<usize>() + validation.len(), started.elapsed());
        context.output.info(&match computed {
            0 => format!(
                "The features of all {} pictures at {layer} are in {}",
                thousands(all),
                store.folder().display()
            ),
            _ => format!(
                "Computed the features of {} pictures at {layer} in {}, kept in {}",
                thousands(computed),
                seconds(time.as_secs_f64()),
                store.folder().display()
            ),
        });
        let seconds = if computed > 0 { time.as_secs_f64() } else { 0.0 };
        Ok(Self { store, train, validation, seconds })
    }

    pub(super) fn sets(&self, folder: &Folder) -> Result<(FeatureSet<'_>, FeatureSet<'_>)> {
        let train = FeatureSet::new(&self.store, &folder.train, &self.train)?;
        let validation = FeatureSet::new(&self.store, &folder.validation, std::slice::from_ref(&self.validation))?;
        Ok((train, validation))
    }
}
