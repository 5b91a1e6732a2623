//! A set of labeled images, wherever it is kept.
//!
//! Training asks for batches of indices and wants network inputs, so [`Dataset::fill_batch`] writes straight into the
//! batch that the network reads. A set in memory converts bytes to numbers there and allocates nothing; a folder of
//! photos decodes and resizes there. The preprocessing belongs to the model, not to the set, and is passed along.

use super::{Image, Mixed, Preprocessing};
use crate::nn::counted;
use crate::{Error, Result};

/// Images with a class each, in a fixed order.
///
/// An index at or over [`Dataset::len`] is a mistake of the caller and panics, as with a slice.
pub trait Dataset: Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there is no image at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height, width and channels of the images as the set keeps them; `None` when they differ from one another.
    fn image_shape(&self) -> Option<[usize; 3]>;

    /// The names of the classes; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The class of one image, below `class_names().len()`.
    fn label(&self, index: usize) -> usize;

    /// The classes of all images, in their order.
    fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|index| self.label(index)).collect()
    }

    /// One image as it is, to look at.
    ///
    /// # Errors
    /// Those of reading and decoding a file, for a set that is kept in files.
    fn image(&self, index: usize) -> Result<Image>;

    /// Writes one image as a network wants it: height, width, channels in `preprocessing.output_shape()`.
    ///
    /// # Errors
    /// Those of [`Dataset::image`] and of [`Preprocessing::apply`].
    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        preprocessing.apply(&self.image(index)?, out)
    }

    /// One image in the size and with the channels that a network takes, as bytes.
    ///
    /// # Errors
    /// Those of [`Dataset::image`] and of [`Preprocessing::fitted`].
    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        Ok(preprocessing.fitted(&self.image(index)?)?.into_owned())
    }

    /// As [`Dataset::fill`], to train with: a set that [augments](super::Augmented) its images does it here, and says what
    /// it has mixed into this one.
    ///
    /// # Errors
    /// Those of [`Dataset::fill`].
    fn fill_training(
        &self,
        _epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
        out: &mut [f32],
    ) -> Result<Option<Mixed>> {
        self.fill(index, preprocessing, out).map(|()| None)
    }

    /// Whether an image takes so long to make that batches are better made [ahead](super::Loader): it is decoded or
    /// augmented.
    fn is_slow(&self) -> bool {
        false
    }

    /// Writes a batch: `images` holds `indices.len()` images one after another (NHWC), `labels` their classes.
    ///
    /// # Errors
    /// [`Error::Argument`] when a slice has another length, else those of [`Dataset::fill`].
    fn fill_batch(
        &self,
        indices: &[usize],
        preprocessing: &Preprocessing,
        images: &mut [f32],
        labels: &mut [usize],
    ) -> Result<()> {
        let image_len: usize = preprocessing.output_shape().iter().product();
        if labels.len() != indices.len() || images.len() != indices.len() * image_len {
            return Err(Error::argument(format!(
                "a batch of {} images with {image_len} values each does not fit {} values and {} labels",
                indices.len(),
                images.len(),
                labels.len()
            )));
        }
        for ((&index, label), image) in indices.iter().zip(labels).zip(images.chunks_exact_mut(image_len.max(1))) {
            *label = self.label(index);
            self.fill(index, preprocessing, image)?;
        }
        Ok(())
    }
}

/// A reference to a set is a set: a [`Subset`] can own its set or borrow it.
impl<D: Dataset + ?Sized> Dataset for &D {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        (**self).image_shape()
    }

    fn class_names(&self) -> &[String] {
        (**self).class_names()
    }

    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }

    fn image(&self, index: usize) -> Result<Image> {
        (**self).image(index)
    }

    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        (**self).fill(index, preprocessing, out)
    }

    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        (**self).fitted(index, preprocessing)
    }

    fn fill_training(
        &self,
        epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
        out: &mut [f32],
    ) -> Result<Option<Mixed>> {
        (**self).fill_training(epoch, index, preprocessing, out)
    }

    fn is_slow(&self) -> bool {
        (**self).is_slow()
    }

    fn fill_batch(
        &self,
        indices: &[usize],
        preprocessing: &Preprocessing,
        images: &mut [f32],
        labels: &mut [usize],
    ) -> Result<()> {
        (**self).fill_batch(indices, preprocessing, images, labels)
    }
}

/// Images of one size in memory, 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<usize>,
    class_names: Vec<String>,
}

impl LabelledImages {
    /// A set from the bytes of all its images, one after another in the shape of height, width and channels (1 or 3).
    ///
    /// # Errors
    /// [`Error::Argument`] when the counts of images and labels differ, when a label has no class name, or when the
    /// shape is not that of an image.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<usize>, class_names: Vec<String>) -> Result<Self> {
        let [height, width, channels] = shape;
        let image_len = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        let image_len = match image_len {
            Some(len) if len > 0 && (channels == 1 || channels == 3) => len,
            _ => {
                return Err(Error::argument(format!(
                    "images cannot have the shape {shape:?} (height, width, channels)"
                )));
            }
        };
        if labels.len().checked_mul(image_len) != Some(pixels.len()) {
            return Err(Error::argument(format!(
                "{} bytes are not the {} images of shape {shape:?} that there are labels for",
                pixels.len(),
                labels.len()
            )));
        }
        if let Some(index) = labels.iter().position(|&label| label >= class_names.len()) {
            return Err(Error::argument(format!(
                "image {index} has the label {}, but the set has {}",
                labels[index],
                counted(class_names.len(), "class")
            )));
        }
        Ok(Self { shape, pixels, labels, class_names })
    }

    /// The bytes of one image, in the shape of [`Dataset::image_shape`].
    ///
    /// # Panics
    /// When there is no such image.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let image_len: usize = self.shape.iter().product();
        &self.pixels[index * image_len..(index + 1) * image_len]
    }
}

impl Dataset for LabelledImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        Some(self.shape)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn image(&self, index: usize) -> Result<Image> {
        let [height, width, channels] = self.shape;
        Image::new(width, height, channels, self.pixels(index).to_vec())
    }

    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        if preprocessing.takes_as_is(self.shape) {
            preprocessing.convert(self.pixels(index), out)
        } else {
            preprocessing.apply(&self.image(index)?, out)
        }
    }
}

/// Some images of a set, in an order of their own: one part of a [split](super::stratified_split), or the first few.
#[derive(Debug, Clone)]
pub struct Subset<D> {
    set: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The images of `set` (owned, or a reference) at `indices`.
    ///
    /// # Errors
    /// [`Error::Argument`] when an index is not below `set.len()`.
    pub fn new(set: D, indices: Vec<usize>) -> Result<Self> {
        if let Some(index) = indices.iter().find(|&&index| index >= set.len()) {
            return Err(Error::argument(format!(
                "there is no image {index}: the set has {}",
                counted(set.len(), "image")
            )));
        }
        Ok(Self { set, indices })
    }

    /// Where each image is in the whole set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        self.set.image_shape()
    }

    fn class_names(&self) -> &[String] {
        self.set.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.set.image(self.indices[index])
    }

    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        self.set.fill(self.indices[index], preprocessing, out)
    }

    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        self.set.fitted(self.indices[index], preprocessing)
    }

    fn fill_training(
        &self,
        epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
        out: &mut [f32],
    ) -> Result<Option<Mixed>> {
        self.set.fill_training(epoch, self.indices[index], preprocessing, out)
    }

    fn is_slow(&self) -> bool {
        self.set.is_slow()
    }

    fn fill_batch(
        &self,
        indices: &[usize],
        preprocessing: &Preprocessing,
        images: &mut [f32],
        labels: &mut [usize],
    ) -> Result<()> {
        let indices: Vec<usize> = indices.iter().map(|&index| self.indices[index]).collect();
        self.set.fill_batch(&indices, preprocessing, images, labels)
    }
}

#[cfg(test)]
mod tests;
