//! Digits to use a model on.

use anyhow::{Result, bail};
use lucida::data::{Dataset, LabelledImages, Mnist, Picture};

use crate::arguments::{Indices, Source};

/// Digits that a model is tried on, and what to call them.
pub(super) struct Digits {
    pub(super) set: LabelledImages,
    /// One of them: `test digit`.
    pub(super) name: &'static str,
    /// Where they are from.
    pub(super) origin: String,
    pub(super) builtin: bool,
}

impl Digits {
    /// The test digits of a folder, else the built-in digits.
    pub(super) fn load(source: &Source) -> Result<Self> {
        let Source::Mnist(folder) = source;
        Ok(match folder {
            Some(folder) => Self {
                set: Mnist::test_only(folder)?,
                name: "test digit",
                origin: format!("test digits of {}", folder.display()),
                builtin: false,
            },
            None => Self {
                set: Mnist::builtin()?.train,
                name: "built-in digit",
                origin: "built-in digits".to_owned(),
                builtin: true,
            },
        })
    }

    /// The digits at some positions, each with its position.
    pub(super) fn take(&self, indices: &Indices) -> Result<Vec<(usize, Picture)>> {
        let indices = match indices.below(self.set.len()) {
            Ok(indices) => indices,
            Err(index) => bail!("--index: there is no digit {index}: the {} are 0..{}", self.origin, self.set.len()),
        };
        indices.into_iter().map(|index| Ok((index, self.set.picture(index)?))).collect()
    }
}
