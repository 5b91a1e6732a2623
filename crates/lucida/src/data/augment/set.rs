//! A data set that augments its images for training.

use super::{Augment, mix};
use crate::core::{Purpose, Rng};
use crate::data::{Dataset, Image, Preprocessing, Targets};
use crate::{Error, Result};

/// What was mixed into an image: its target is `1 - share` times its own class or row, plus `share` times this one.
#[derive(Debug, Clone, PartialEq)]
pub struct MixedSample {
    /// The class of the other image.
    pub label: usize,
    /// The [row of targets](Dataset::target) of the other image, empty for classes.
    pub target: Vec<f32>,
    /// The weight of the other image.
    pub share: f32,
}

/// A data set whose images are augmented, but only in [`Dataset::fill_training`]: for display and validation, they are
/// unchanged.
///
/// Mixup and CutMix draw the other image from this set. Therefore augment the training part, rather than a whole set of
/// which a [`Subset`](crate::data::Subset) is then taken.
///
/// ```
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let train = Subset::new(&digits, (0..100).collect())?;
/// let augmented = Augmented::new(train, "rotation=10,width=0.1".parse()?, 42)?;
/// let (in_epoch_1, _) = augmented.example(1, 0, &Preprocessing::mnist())?;
/// let (in_epoch_2, _) = augmented.example(2, 0, &Preprocessing::mnist())?;
/// assert_ne!(in_epoch_1, in_epoch_2);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Augmented<D> {
    set: D,
    augment: Augment,
    seed: u64,
}

impl<D: Dataset> Augmented<D> {
    /// Augments the images of `set` (owned, or a reference) with random numbers from `seed`.
    ///
    /// # Errors
    /// As [`Augment::check`].
    pub fn new(set: D, augment: Augment, seed: u64) -> Result<Self> {
        augment.check()?;
        Ok(Self { set, augment, seed })
    }

    /// The augmentation.
    pub fn augment(&self) -> &Augment {
        &self.augment
    }

    /// An image as used for training in an epoch, for display, with what was mixed into it.
    ///
    /// # Errors
    /// As [`Dataset::fill_training`].
    pub fn example(
        &self,
        epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
    ) -> Result<(Image, Option<MixedSample>)> {
        let (values, mixed) = self.values(epoch, index, preprocessing)?;
        let [height, width, channels] = preprocessing.output_shape();
        let pixels = values.iter().map(|value| value.round() as u8).collect();
        Ok((Image::new(width, height, channels, pixels)?, mixed))
    }

    /// The values of an augmented image, 0 to 255.
    fn values(
        &self,
        epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
    ) -> Result<(Vec<f32>, Option<MixedSample>)> {
        let shape = preprocessing.output_shape();
        let mut values = self.unmixed(epoch, index, preprocessing)?;
        let Augment { mixup, cutmix, cutout, .. } = self.augment;
        // A separate stream from that of the image's own augmentation, so that the partner does not depend on other draws.
        let mut rng = rng_in_epoch(self.seed, Purpose::Mix, index, epoch);
        let mut mixed = None;
        if mixup > 0.0 || cutmix > 0.0 {
            let other = rng.below(self.set.len());
            let by_mixup = match (mixup > 0.0, cutmix > 0.0) {
                (true, true) => rng.uniform() < 0.5,
                (by_mixup, _) => by_mixup,
            };
            let other_values = self.unmixed(epoch, other, preprocessing)?;
            let kept = if by_mixup {
                let kept = mix::beta(mixup, &mut rng);
                mix::mixup(&mut values, &other_values, kept);
                kept
            } else {
                let kept = mix::beta(cutmix, &mut rng);
                mix::cutmix(&mut values, &other_values, shape, kept, &mut rng)
            };
            let (label, target) = (self.set.label(other), self.set.target(other).to_vec());
            mixed = Some(MixedSample { label, target, share: (1.0 - kept) as f32 });
        }
        if cutout > 0.0 {
            mix::cutout(&mut values, shape, cutout, &mut rng);
        }
        Ok((values, mixed))
    }

    /// An augmented image, before mixing.
    fn unmixed(&self, epoch: u32, index: usize, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
        let image = self.set.fitted(index, preprocessing)?;
        let shape = preprocessing.output_shape();
        if [image.height(), image.width(), image.channels()] != shape {
            return Err(Error::Bug(format!("an image of another shape than {shape:?} was to be augmented")));
        }
        let values = image.pixels().iter().map(|&value| f32::from(value)).collect();
        let mut rng = rng_in_epoch(self.seed, Purpose::Augment, index, epoch);
        Ok(self.augment.image(values, shape, &mut rng))
    }
}

impl<D: Dataset> Dataset for Augmented<D> {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        self.set.image_shape()
    }

    fn class_names(&self) -> &[String] {
        self.set.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(index)
    }

    fn targets(&self) -> Targets {
        self.set.targets()
    }

    fn target(&self, index: usize) -> &[f32] {
        self.set.target(index)
    }

    fn image_name(&self, index: usize) -> String {
        self.set.image_name(index)
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.set.image(index)
    }

    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        self.set.fill(index, preprocessing, out)
    }

    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        self.set.fitted(index, preprocessing)
    }

    fn fill_training(
        &self,
        epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
        out: &mut [f32],
    ) -> Result<Option<MixedSample>> {
        if self.augment.is_none() {
            return self.set.fill_training(epoch, index, preprocessing, out);
        }
        let (values, mixed) = self.values(epoch, index, preprocessing)?;
        preprocessing.convert_values(&values, out)?;
        Ok(mixed)
    }

    fn is_slow(&self) -> bool {
        !self.augment.is_none() || self.set.is_slow()
    }

    fn fill_batch(
        &self,
        indices: &[usize],
        preprocessing: &Preprocessing,
        images: &mut [f32],
        labels: &mut [usize],
    ) -> Result<()> {
        self.set.fill_batch(indices, preprocessing, images, labels)
    }
}

/// The generator for an image in an epoch. Epochs are 2^20 32-bit words apart, which is more than an image uses.
fn rng_in_epoch(seed: u64, purpose: Purpose, index: usize, epoch: u32) -> Rng {
    Rng::keyed(seed, purpose, index).at(u128::from(epoch) << 20)
}
