//! The image a command runs on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lucida::data::{Image, Preprocessing};
use lucida::weights::Model;

use super::source::ImageSet;
use super::{Context, note_blank};
use crate::arguments::Indices;
use crate::cli::Subject;

/// A preprocessed image, and its name in messages.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) values: Vec<f32>,
    /// Whether it contains a digit; always true for a model that is not for digits.
    pub(super) digit_found: bool,
}

/// Indices of images in a data set, each with the folder for its results: `--out` itself for a single image, otherwise a
/// subfolder named after the index.
pub(super) fn places(images: &ImageSet, indices: &Indices, out: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let positions = images.positions(Some(indices))?;
    let folder = |index: usize| if positions.len() == 1 { out.to_owned() } else { out.join(index.to_string()) };
    Ok(positions.iter().map(|&index| (index, folder(index))).collect())
}

impl Input {
    /// Loads the images of a command line, each with the folder for its results.
    pub(super) fn load(subject: &Subject, out: &Path, model: &Model, context: Context) -> Result<Vec<(Self, PathBuf)>> {
        match (&subject.image, &subject.data, &subject.index) {
            (Some(path), _, _) => Ok(vec![(Self::open(path, model, context)?, out.to_owned())]),
            (None, Some(source), Some(indices)) => {
                let images = ImageSet::list(source, context)?;
                let places = places(&images, indices, out)?.into_iter();
                places.map(|(index, folder)| Ok((Self::of_set(&images, index, model, context)?, folder))).collect()
            }
            _ => bail!("neither an image nor a data set and a position were given"),
        }
    }

    /// Loads an image file.
    pub(super) fn open(path: &Path, model: &Model, context: Context) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        let image = Image::open(path)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&image, &mut values).with_context(|| path.display().to_string())?;
        Ok(Self::new(path.display().to_string(), values, preprocessing, context))
    }

    /// Loads one image of a data set.
    pub(super) fn of_set(images: &ImageSet, index: usize, model: &Model, context: Context) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        images.check(index)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        images.set().fill(index, preprocessing, &mut values)?;
        Ok(Self::new(images.name(index), values, preprocessing, context))
    }

    /// Prints a note if no digit is found.
    fn new(name: String, values: Vec<f32>, preprocessing: &Preprocessing, context: Context) -> Self {
        let digit_found = preprocessing.finds_digit(&values);
        if !digit_found {
            note_blank(&name, context);
        }
        Self { name, values, digit_found }
    }
}
