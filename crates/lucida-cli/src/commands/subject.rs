//! The picture that a command looks at.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lucida::data::Picture;
use lucida::weights::Model;

use super::Context;
use super::source::Pictures;
use crate::cli::Subject;

/// One picture as a network takes it, and what to call it.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) values: Vec<f32>,
}

impl Input {
    /// The picture that a command line means.
    pub(super) fn load(subject: &Subject, model: &Model, context: Context) -> Result<Self> {
        match (&subject.image, &subject.data, subject.index) {
            (Some(path), _, _) => Self::open(path, model),
            (None, Some(source), Some(index)) => Self::of_set(&Pictures::list(source, context)?, index, model),
            _ => bail!("neither a picture nor a data set and a position were given"),
        }
    }

    /// A picture file.
    pub(super) fn open(path: &Path, model: &Model) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        let picture = Picture::open(path)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&picture, &mut values).with_context(|| path.display().to_string())?;
        Ok(Self { name: path.display().to_string(), values })
    }

    /// One picture of a set.
    pub(super) fn of_set(pictures: &Pictures, index: usize, model: &Model) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        pictures.check(index)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        pictures.set().fill(index, preprocessing, &mut values)?;
        Ok(Self { name: pictures.name(index), values })
    }
}
