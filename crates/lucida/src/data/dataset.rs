//! Labeled data sets, independent of their storage.
//!
//! Training needs batches of network inputs, so [`Dataset::fill_batch`] writes directly into the batch that the network
//! reads. A set in memory converts bytes to floats there without allocation; a folder of photos decodes and resizes there.
//! The preprocessing belongs to the model, not to the set, and is passed as an argument.

use super::{Image, MixedSample, Preprocessing, Targets};
use crate::nn::counted;
use crate::{Error, Result};

/// Labeled images in a fixed order.
///
/// An index that is not below [`Dataset::len`] is a bug of the caller and panics, as with a slice.
pub trait Dataset: Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height, width and channels of the stored images; `None` if they differ between images.
    fn image_shape(&self) -> Option<[usize; 3]>;

    /// The names of the classes; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The class of an image, below `class_names().len()`; 0 if [`targets`](Self::targets) are rows.
    fn label(&self, index: usize) -> usize;

    /// The kind of targets; one class per image by default. For rows, [`class_names`](Self::class_names) are the names of
    /// the labels or values, if they have any.
    fn targets(&self) -> Targets {
        Targets::Classes(self.class_names().len())
    }

    /// The target row of an image: one number for each label or value, empty for classes.
    fn target(&self, _index: usize) -> &[f32] {
        &[]
    }

    /// The classes of all images, in order.
    fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|index| self.label(index)).collect()
    }

    /// What a message calls an image: its file where it has one, else its number.
    fn image_name(&self, index: usize) -> String {
        format!("image {index}")
    }

    /// The original image, for display.
    ///
    /// # Errors
    /// Those of reading and decoding a file, for a set that is stored in files.
    fn image(&self, index: usize) -> Result<Image>;

    /// Writes an image as network input, `[height, width, channels]` as in `preprocessing.output_shape()`.
    ///
    /// # Errors
    /// Those of [`Dataset::image`] and of [`Preprocessing::apply`].
    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        preprocessing.apply(&self.image(index)?, out)
    }

    /// An image resized and converted to the channels of the network's input, as bytes.
    ///
    /// # Errors
    /// Those of [`Dataset::image`] and of [`Preprocessing::fitted`].
    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        Ok(preprocessing.fitted(&self.image(index)?)?.into_owned())
    }

    /// As [`Dataset::fill`], for training: an [augmenting](super::Augmented) set augments here, and returns what it mixed
    /// into the image.
    ///
    /// # Errors
    /// Those of [`Dataset::fill`].
    fn fill_training(
        &self,
        _epoch: u32,
        index: usize,
        preprocessing: &Preprocessing,
        out: &mut [f32],
    ) -> Result<Option<MixedSample>> {
        self.fill(index, preprocessing, out).map(|()| None)
    }

    /// Whether images are expensive to produce (decoded or augmented), so that batches should be
    /// [prefetched](super::Loader).
    fn is_slow(&self) -> bool {
        false
    }

    /// Writes a batch: `images` receives `indices.len()` images (NHWC), `labels` their classes.
    ///
    /// # Errors
    /// [`Error::Argument`] when a slice has a wrong length; those of [`Dataset::fill`].
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

/// So that a [`Subset`] can own its set or borrow it.
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

    fn targets(&self) -> Targets {
        (**self).targets()
    }

    fn target(&self, index: usize) -> &[f32] {
        (**self).target(index)
    }

    fn image_name(&self, index: usize) -> String {
        (**self).image_name(index)
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
    ) -> Result<Option<MixedSample>> {
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

/// In-memory images of one size, 8 bits per channel, each with a class, labels or values.
///
/// ```
/// use lucida::data::{Dataset, LabeledImages, Targets};
///
/// let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
/// // Two gray images of one pixel; how many things are in each.
/// let counted = LabeledImages::with_values([1, 1, 1], vec![10, 200], vec![0.0, 3.0], names(&["count"]))?;
/// assert_eq!((counted.targets(), counted.target(1)), (Targets::Values(1), &[3.0][..]));
/// // Any of two labels for each.
/// let labels = vec![1.0, 0.0, 1.0, 1.0];
/// let labeled = LabeledImages::with_labels([1, 1, 1], vec![10, 200], labels, names(&["dark", "gray"]))?;
/// assert_eq!((labeled.targets(), labeled.target(1)), (Targets::Labels(2), &[1.0, 1.0][..]));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LabeledImages {
    shape: [usize; 3],
    pixels: Vec<u8>,
    truth: Truth,
    class_names: Vec<String>,
}

/// The targets of the images.
#[derive(Debug, Clone, PartialEq)]
enum Truth {
    /// The class of each image.
    Classes(Vec<usize>),
    /// The target rows, concatenated.
    Rows(Targets, Vec<f32>),
}

impl LabeledImages {
    /// A set from the bytes of all images, `[images, height, width, channels]`, with 1 or 3 channels.
    ///
    /// # Errors
    /// [`Error::Argument`] when the counts of images and labels differ, when a label has no class name, or when the shape
    /// is not a valid image shape.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<usize>, class_names: Vec<String>) -> Result<Self> {
        let image_len = image_len(shape)?;
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
        Ok(Self { shape, pixels, truth: Truth::Classes(labels), class_names })
    }

    /// A multi-label set: `rows` is `[images, labels]`, 1 where a label of `names` applies and 0 where it does not.
    /// `pixels` as for [`new`](Self::new).
    ///
    /// # Errors
    /// [`Error::Argument`] when the counts of images and rows differ, when there are no names, when a number is neither 0
    /// nor 1, or when the shape is not a valid image shape.
    pub fn with_labels(shape: [usize; 3], pixels: Vec<u8>, rows: Vec<f32>, names: Vec<String>) -> Result<Self> {
        let wrong = rows.iter().position(|&value| value != 0.0 && value != 1.0);
        if let Some(at) = wrong.filter(|_| !names.is_empty()) {
            let (image, name) = (at / names.len(), &names[at % names.len()]);
            return Err(Error::argument(format!("label {name:?} of image {image} is {}: a label is 0 or 1", rows[at])));
        }
        Self::with_rows(shape, pixels, Targets::Labels(names.len()), rows, names)
    }

    /// A regression set: `rows` is `[images, values]`, a number for each of `names`. `pixels` as for [`new`](Self::new).
    ///
    /// # Errors
    /// [`Error::Argument`] when the counts of images and rows differ, when there are no names, when a number is not finite,
    /// or when the shape is not a valid image shape.
    pub fn with_values(shape: [usize; 3], pixels: Vec<u8>, rows: Vec<f32>, names: Vec<String>) -> Result<Self> {
        if let Some(at) = rows.iter().position(|value| !value.is_finite()).filter(|_| !names.is_empty()) {
            let (image, name) = (at / names.len(), &names[at % names.len()]);
            return Err(Error::argument(format!("value {name:?} of image {image} is not a finite number")));
        }
        Self::with_rows(shape, pixels, Targets::Values(names.len()), rows, names)
    }

    fn with_rows(
        shape: [usize; 3],
        pixels: Vec<u8>,
        targets: Targets,
        rows: Vec<f32>,
        class_names: Vec<String>,
    ) -> Result<Self> {
        let (image_len, row_len) = (image_len(shape)?, targets.row_len());
        let images = pixels.len() / image_len;
        if row_len == 0 || !pixels.len().is_multiple_of(image_len) || images.checked_mul(row_len) != Some(rows.len()) {
            return Err(Error::argument(format!(
                "{} targets and {} bytes are not rows of {row_len} and images of shape {shape:?}",
                rows.len(),
                pixels.len()
            )));
        }
        Ok(Self { shape, pixels, truth: Truth::Rows(targets, rows), class_names })
    }

    /// The bytes of an image, in the shape given by [`Dataset::image_shape`].
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let image_len: usize = self.shape.iter().product();
        &self.pixels[index * image_len..(index + 1) * image_len]
    }
}

/// The number of values of an image of this height, width and number of channels.
fn image_len(shape: [usize; 3]) -> Result<usize> {
    let [height, width, channels] = shape;
    let len = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
    match len {
        Some(len) if len > 0 && (channels == 1 || channels == 3) => Ok(len),
        _ => Err(Error::argument(format!("images cannot have the shape {shape:?} (height, width, channels)"))),
    }
}

impl Dataset for LabeledImages {
    fn len(&self) -> usize {
        match &self.truth {
            Truth::Classes(labels) => labels.len(),
            Truth::Rows(targets, rows) => rows.len() / targets.row_len(),
        }
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        Some(self.shape)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        match &self.truth {
            Truth::Classes(labels) => labels[index],
            Truth::Rows(..) => 0,
        }
    }

    fn targets(&self) -> Targets {
        match &self.truth {
            Truth::Classes(_) => Targets::Classes(self.class_names.len()),
            Truth::Rows(targets, _) => *targets,
        }
    }

    fn target(&self, index: usize) -> &[f32] {
        match &self.truth {
            Truth::Classes(_) => &[],
            Truth::Rows(targets, rows) => &rows[index * targets.row_len()..][..targets.row_len()],
        }
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

/// A subset of a data set's images, in any order: one part of a [split](super::stratified_split), or the first few images.
///
/// ```
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let sevens = (0..digits.len()).filter(|&index| digits.label(index) == 7).collect();
/// let sevens = Subset::new(&digits, sevens)?;
/// assert!(sevens.len() > 900 && (0..sevens.len()).all(|index| sevens.label(index) == 7));
/// # Ok::<(), lucida::Error>(())
/// ```
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

    /// The indices of the images in the original set.
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

    fn targets(&self) -> Targets {
        self.set.targets()
    }

    fn target(&self, index: usize) -> &[f32] {
        self.set.target(self.indices[index])
    }

    fn image_name(&self, index: usize) -> String {
        self.set.image_name(self.indices[index])
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
    ) -> Result<Option<MixedSample>> {
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
