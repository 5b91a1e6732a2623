//! The image that a command looks at.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lucida::data::{Image, Preprocessing};
use lucida::weights::Model;

use super::source::ImageSet;
use super::{Context, note_blank};
use crate::arguments::Indices;
use crate::cli::Subject;

/// One image as a network takes it, and what to call it.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) values: Vec<f32>,
    /// Whether a digit is found in it, or the model is not for digits.
    pub(super) digit_found: bool,
}

/// The positions of images in a data set, and the folder for the results of each: the one of `--out` itself, or, of several
/// images, one in it that is named after the position.
pub(super) fn places(images: &ImageSet, indices: &Indices, out: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let positions = images.positions(Some(indices))?;
    let folder = |index: usize| if positions.len() == 1 { out.to_owned() } else { out.join(index.to_string()) };
    Ok(positions.iter().map(|&index| (index, folder(index))).collect())
}

impl Input {
    /// The images that a command line means, and the folder for the results of each.
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

    /// An image file.
    pub(super) fn open(path: &Path, model: &Model, context: Context) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        let image = Image::open(path)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&image, &mut values).with_context(|| path.display().to_string())?;
        Ok(Self::new(path.display().to_string(), values, preprocessing, context))
    }

    /// One image of a set.
    pub(super) fn of_set(images: &ImageSet, index: usize, model: &Model, context: Context) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        images.check(index)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        images.set().fill(index, preprocessing, &mut values)?;
        Ok(Self::new(images.name(index), values, preprocessing, context))
    }

    /// Says where no digit is found.
    fn new(name: String, values: Vec<f32>, preprocessing: &Preprocessing, context: Context) -> Self {
        let digit_found = preprocessing.finds_digit(&values);
        if !digit_found {
            note_blank(&name, context);
        }
        Self { name, values, digit_found }
    }
}
