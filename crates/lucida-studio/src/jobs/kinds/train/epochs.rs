//! The weights of a run after each epoch, so that one can go back to any of them.

use std::collections::BTreeSet;
use std::fs;

use lucida::nn::Network;
use lucida::train::RunFolder;
use lucida::weights::{Model, save_model};
use lucida::{Error, Result, files};

use crate::models::{EPOCHS, epoch_file};

/// Maximum number of files per run, and their maximum total size in bytes.
const FILES: usize = 64;
const BYTES: usize = 256 << 20;
/// Number of epochs at the start, the initial weights included, that are kept: the weights change most there.
const FIRST: usize = 5;
/// The initial weights, the best and the newest: with room for less, nothing is saved.
const LEAST: usize = 3;

/// The files of a run's epochs. Each is a whole model, written as every result is: complete, or not there.
pub(super) struct SavedEpochs<'a> {
    run: &'a RunFolder,
    /// The model of the files; they differ in their weights.
    model: Model,
    /// Number of files to keep.
    room: usize,
}

impl<'a> SavedEpochs<'a> {
    /// Prepares to save the epochs of a model, or returns why it is too large for that.
    pub(super) fn new(run: &'a RunFolder, model: Model) -> Result<Self, String> {
        let values: usize = model.network.weights().iter().map(|weight| weight.values().len()).sum();
        let bytes = (4 * values).max(1);
        let room = FILES.min(BYTES / bytes);
        if room < LEAST {
            let size = bytes.div_ceil(1 << 20);
            return Err(format!("The weights of this network are too large to keep those of each epoch ({size} MB)."));
        }
        Ok(Self { run, model, room })
    }

    /// Saves the initial weights as epoch 0, unless a run that resumes has them; returns the saved epochs.
    pub(super) fn begin(&self) -> Result<BTreeSet<usize>> {
        files::create_folder(self.run.path().join(EPOCHS))?;
        let initial = epoch_file(self.run.path(), 0);
        if !initial.exists() {
            save_model(&self.model, initial)?;
        }
        Ok(self.saved())
    }

    /// Saves the weights after an epoch; returns the epochs to keep.
    pub(super) fn save(&self, epoch: usize, best: usize, network: &Network) -> Result<BTreeSet<usize>> {
        let model = Model { network: network.clone(), ..self.model.clone() };
        save_model(&model, epoch_file(self.run.path(), epoch))?;
        let wanted = wanted(epoch, best, self.room);
        Ok(self.saved().intersection(&wanted).copied().collect())
    }

    /// Removes the epochs that are not kept.
    pub(super) fn remove_all_but(&self, kept: &BTreeSet<usize>) -> Result<()> {
        self.saved().difference(kept).try_for_each(|&epoch| {
            let file = epoch_file(self.run.path(), epoch);
            fs::remove_file(&file).map_err(|error| Error::io(&file, "remove", error))
        })
    }

    fn saved(&self) -> BTreeSet<usize> {
        let Ok(entries) = fs::read_dir(self.run.path().join(EPOCHS)) else { return BTreeSet::new() };
        let epoch = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.strip_suffix(".safetensors")?.parse().ok()?;
            (entry.path() == epoch_file(self.run.path(), number)).then_some(number)
        };
        entries.flatten().filter_map(epoch).collect()
    }
}

/// The epochs to keep after epoch `newest`, at most `room`: the first ones, the best, the newest, and between them every
/// second, fourth, eighth ..., as far as there is room. An epoch that is not wanted will not be wanted later.
fn wanted(newest: usize, best: usize, room: usize) -> BTreeSet<usize> {
    let first = FIRST.min(room.saturating_sub(2));
    let spaced =
        |step: usize| (0..=newest).filter(|&epoch| epoch < first || epoch % step == 0).collect::<BTreeSet<_>>();
    // The best and the newest always count as further ones, so that the step never becomes smaller again.
    let steps = std::iter::successors(Some(1_usize), |step| step.checked_mul(2));
    let fits = steps.map(spaced).find(|epochs| epochs.len() + 2 <= room || epochs.len() <= first);
    let mut epochs = fits.unwrap_or_default();
    epochs.extend([best, newest]);
    epochs
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::nn::applications;

    #[test]
    fn the_first_the_best_and_the_newest_are_kept_and_nothing_is_wanted_that_was_removed() {
        for room in [3, 4, 6, 7, 9, 18, 64] {
            let mut kept = BTreeSet::from([0]);
            let mut best = 0;
            for newest in 1..=1000 {
                // Now and then an epoch is the best so far, at odd distances.
                if newest % 7 == 1 || newest % 31 == 5 {
                    best = newest;
                }
                let wanted = wanted(newest, best, room);
                kept.insert(newest);
                assert!(wanted.is_subset(&kept), "room for {room}, epoch {newest}: {wanted:?} of {kept:?}");
                assert!(wanted.len() <= room, "room for {room}, epoch {newest}: {}", wanted.len());
                assert!([0, best, newest].iter().all(|epoch| wanted.contains(epoch)));
                let first = FIRST.min(room - 2).min(newest + 1);
                assert!((0..first).all(|epoch| wanted.contains(&epoch)), "room for {room}, epoch {newest}");
                kept = wanted;
            }
            // The room is used.
            assert!(2 * kept.len() >= room, "room for {room}: {}", kept.len());
        }
        assert_eq!(wanted(8, 6, 64).len(), 9);
        assert_eq!(wanted(20, 13, 10), BTreeSet::from([0, 1, 2, 3, 4, 8, 13, 16, 20]));
    }

    #[test]
    fn files_are_thinned_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), true).unwrap();
        let model = Model::new(applications::mnist_cnn(1).unwrap());
        let mut saved = SavedEpochs::new(&run, model).unwrap();
        assert_eq!(saved.room, FILES);
        saved.room = 5;
        assert_eq!(saved.begin().unwrap(), BTreeSet::from([0]));
        fs::write(run.path().join(EPOCHS).join("notes.safetensors"), "mine").unwrap();
        let mut kept = BTreeSet::new();
        for epoch in 1..=9 {
            let network = applications::mnist_cnn(epoch as u64 + 1).unwrap();
            kept = saved.save(epoch, epoch.min(5), &network).unwrap();
            saved.remove_all_but(&kept).unwrap();
            assert_eq!(saved.saved(), kept);
        }
        assert_eq!(kept, BTreeSet::from([0, 1, 2, 5, 9]));
        assert!(run.path().join(EPOCHS).join("notes.safetensors").exists());
        let bytes = |epoch| fs::read(epoch_file(run.path(), epoch)).unwrap();
        assert_ne!(bytes(5), bytes(9));
        // A run that resumes has its initial weights, and keeps the others.
        let other = SavedEpochs::new(&run, Model::new(applications::mnist_cnn(77).unwrap())).unwrap();
        let before = bytes(0);
        assert_eq!(other.begin().unwrap(), kept);
        assert_eq!(bytes(0), before);
    }

    #[test]
    fn a_network_that_is_too_large_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), true).unwrap();
        let vgg = applications::find("vgg16").unwrap();
        let model = Model::of_architecture(vgg, &applications::Options::default()).unwrap();
        let Err(problem) = SavedEpochs::new(&run, model) else { panic!("528 MB fit") };
        assert_eq!(problem, "The weights of this network are too large to keep those of each epoch (528 MB).");
    }
}
