//! MNIST, the handwritten digits of Y. LeCun, C. Cortes and C. Burges: 28x28, white on black.

use std::path::{Path, PathBuf};

use super::idx::{self, Content, Idx};
use super::{LabeledImages, Limits, asset_bytes};
use crate::{Error, Result};

/// The side of a digit's image, in pixels.
const SIDE: usize = 28;

/// The training and the test set.
#[derive(Debug, Clone, PartialEq)]
pub struct Mnist {
    /// The training part: 60,000 images in the published set.
    pub train: LabeledImages,
    /// The test part: 10,000 images in the published set; `None` in the built-in one.
    pub test: Option<LabeledImages>,
}

impl Mnist {
    /// The first 10,000 training images, which are built in, without a test set.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let digits = Mnist::builtin()?.train;
    /// assert_eq!((digits.len(), digits.image_shape()), (10_000, Some([28, 28, 1])));
    /// assert_eq!((digits.label(0), digits.image(0)?.channels()), (5, 1));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] when the embedded data are damaged.
    pub fn builtin() -> Result<Self> {
        let limits = Limits::default();
        let [images, labels] = ["built-in MNIST images", "built-in MNIST labels"].map(Path::new);
        let train = labeled(
            (images, idx::parse(&asset_bytes(&lucida_assets::MNIST_IMAGES)?, images, Content::Images, &limits)?),
            (labels, idx::parse(&asset_bytes(&lucida_assets::MNIST_LABELS)?, labels, Content::Labels, &limits)?),
        )?;
        Ok(Self { train, test: None })
    }

    /// Reads the published set from a folder with its four files, gzipped or not, under their usual names:
    /// `train-images-idx3-ubyte` (or `train-images.idx3-ubyte`), `train-labels-idx1-ubyte`, and the same with `t10k`
    /// instead of `train`.
    ///
    /// The test set is optional; both of its files may be missing.
    ///
    /// # Errors
    /// [`Error::File`] when the folder or any of the files is missing (all of them are named), when the counts of images
    /// and labels differ, when an image is not 28x28 or a label is above 9; as [`idx::read`].
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !has_any(folder, Part::Test)
            && let Ok([train]) = find(folder, [Part::Train])
        {
            return Ok(Self { train: train.read()?, test: None });
        }
        let [train, test] = find(folder, [Part::Train, Part::Test])?;
        Ok(Self { train: train.read()?, test: Some(test.read()?) })
    }

    /// Reads only the training set of a folder, see [`Mnist::from_folder`].
    ///
    /// # Errors
    /// As [`Mnist::from_folder`]; the files of the test set may be missing.
    pub fn train_only(folder: impl AsRef<Path>) -> Result<LabeledImages> {
        let folder = folder.as_ref();
        let [train] = find(folder, [Part::Train])?;
        train.read()
    }

    /// Reads only the test set of a folder, see [`Mnist::from_folder`].
    ///
    /// # Errors
    /// As [`Mnist::from_folder`]; the files of the training set may be missing.
    pub fn test_only(folder: impl AsRef<Path>) -> Result<LabeledImages> {
        let folder = folder.as_ref();
        let [test] = find(folder, [Part::Test])?;
        test.read()
    }
}

/// A part of the published set.
#[derive(Clone, Copy)]
enum Part {
    Train,
    Test,
}

impl Part {
    fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// The two files of a part.
struct Files {
    images: PathBuf,
    labels: PathBuf,
}

impl Files {
    fn read(&self) -> Result<LabeledImages> {
        let limits = Limits::default();
        // The small file first, to report an error in it early.
        let labels = idx::read(&self.labels, Content::Labels, &limits)?;
        let images = idx::read(&self.images, Content::Images, &limits)?;
        labeled((&self.images, images), (&self.labels, labels))
    }
}

/// Finds the files of these parts; the error lists all missing ones.
fn find<const N: usize>(folder: &Path, parts: [Part; N]) -> Result<[Files; N]> {
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Error::file(folder, "not a folder: expected the folder that holds MNIST's four files")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::file(folder, "no such folder: expected one with MNIST's four files"));
        }
        Err(e) => return Err(Error::io(folder, "read", e)),
    }
    let mut missing = Vec::new();
    let mut look = |prefix: &str, kind: &str| {
        find_file(folder, prefix, kind).unwrap_or_else(|| {
            missing.push(format!("{prefix}-{kind}"));
            PathBuf::new()
        })
    };
    let files = parts.map(|part| Files {
        images: look(&format!("{}-images", part.prefix()), "idx3-ubyte"),
        labels: look(&format!("{}-labels", part.prefix()), "idx1-ubyte"),
    });
    if missing.is_empty() {
        Ok(files)
    } else {
        Err(Error::file(folder, format!("missing {} (each plain or as .gz)", missing.join(", "))))
    }
}

/// Finds a file under any of its usual names.
fn find_file(folder: &Path, prefix: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].map(|joint| format!("{prefix}{joint}{kind}"));
    let candidates = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    candidates.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Whether at least one file of a part exists.
fn has_any(folder: &Path, part: Part) -> bool {
    let exists = |what: &str, kind: &str| find_file(folder, &format!("{}-{what}", part.prefix()), kind).is_some();
    exists("images", "idx3-ubyte") || exists("labels", "idx1-ubyte")
}

/// Combines images and labels, after checking that they match.
fn labeled((images_name, images): (&Path, Idx), (labels_name, labels): (&Path, Idx)) -> Result<LabeledImages> {
    let &[count, height, width] = images.dims.as_slice() else {
        return Err(Error::Bug(format!("images with the dimensions {:?}", images.dims)));
    };
    if [height, width] != [SIDE, SIDE] {
        let problem = format!("is mislabeled: its images are {width}x{height}, MNIST's are {SIDE}x{SIDE}");
        return Err(Error::file(images_name, problem));
    }
    if count != labels.data.len() {
        let problem = format!("has {} labels, but {} has {count} images", labels.data.len(), images_name.display());
        return Err(Error::file(labels_name, problem));
    }
    if let Some(index) = labels.data.iter().position(|&label| label > 9) {
        let problem = format!("label {index} is {}, but digits are 0 to 9", labels.data[index]);
        return Err(Error::file(labels_name, problem));
    }
    let class_names = (0..10).map(|digit| digit.to_string()).collect();
    let labels = labels.data.into_iter().map(usize::from).collect();
    LabeledImages::new([height, width, 1], images.data, labels, class_names)
}

#[cfg(test)]
mod tests;
