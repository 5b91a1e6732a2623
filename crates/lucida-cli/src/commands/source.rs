//! Pictures to use a model on: digits, or the pictures of a folder.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use lucida::data::{Dataset, Folder, FolderSet, LabelledImages, Mnist, Picture, Skipped, memory_to_keep};
use lucida::weights::Model;

use super::Context;
use crate::arguments::{Indices, Source};
use crate::output::Output;
use crate::progress::Counter;

/// How many skipped files are named on standard error; all of them are in the table.
const NAMED: usize = 5;

/// Pictures that a model is tried on, and what to call them.
pub(super) struct Pictures {
    set: Set,
    /// Where they are from: `test digits of DIR`.
    pub(super) origin: String,
    /// Files of the folder that cannot be used.
    pub(super) skipped: Vec<Skipped>,
}

enum Set {
    /// Digits, what one of them is called, and whether they are the built-in ones.
    Digits {
        images: LabelledImages,
        name: &'static str,
        builtin: bool,
    },
    Folder(FolderSet),
}

impl Pictures {
    /// The test digits of MNIST in a folder, else the built-in digits; or the pictures of a folder, kept in memory as a
    /// model wants them as far as there is room.
    pub(super) fn load(source: &Source, model: &Model, strict: bool, context: Context) -> Result<Self> {
        let folder = match source {
            Source::Mnist(folder) => return Self::digits(folder.as_deref()),
            Source::Folder(folder) => folder,
        };
        let counter = Counter::new(context.output, "Files");
        let watch = |done, total| counter.at(done, total);
        let mut builder = Folder::builder(folder).strict(strict).cpu(context.cpu).watch(&watch);
        if let Ok(preprocessing) = model.preprocessing() {
            builder = builder.keep(preprocessing, memory_to_keep());
        }
        let (set, skipped) = builder.open_set()?;
        let origin = format!("pictures of {}", set.root().display());
        let pictures = Self { set: Set::Folder(set), origin, skipped };
        pictures.tell(context.output);
        Ok(pictures)
    }

    /// The same, but the files of a folder are not read before they are wanted.
    pub(super) fn list(source: &Source, context: Context) -> Result<Self> {
        let folder = match source {
            Source::Mnist(folder) => return Self::digits(folder.as_deref()),
            Source::Folder(folder) => folder,
        };
        let (set, skipped) = Folder::builder(folder).cpu(context.cpu).list()?;
        let origin = format!("pictures of {}", set.root().display());
        Ok(Self { set: Set::Folder(set), origin, skipped })
    }

    /// The test digits of a folder, else the built-in digits.
    fn digits(folder: Option<&Path>) -> Result<Self> {
        let (images, name, origin) = match folder {
            Some(folder) => (Mnist::test_only(folder)?, "test digit", format!("test digits of {}", folder.display())),
            None => (Mnist::builtin()?.train, "built-in digit", "built-in digits".to_owned()),
        };
        let set = Set::Digits { images, name, builtin: folder.is_none() };
        Ok(Self { set, origin, skipped: Vec::new() })
    }

    /// Says on standard error what was found and what not, so that the result is alone on standard output.
    fn tell(&self, output: Output) {
        if let Set::Folder(set) = &self.set {
            output.note(&set.found());
        }
        for Skipped { path, reason } in self.skipped.iter().take(NAMED) {
            output.note(&format!("skipped {}: {reason}", path.display()));
        }
        if self.skipped.len() > NAMED {
            output.note(&format!("{} files skipped in all", self.skipped.len()));
        }
    }

    /// The same with the labels of the classes that a model tells apart, to compare with what it says.
    pub(super) fn labelled_for(self, model: &Model) -> Result<Self> {
        let set = match self.set {
            Set::Folder(set) if !set.is_classified() => bail!(
                "{}: has no sub-folders, so nobody knows the classes of its pictures; expected one for each class",
                set.root().display()
            ),
            Set::Folder(set) if !model.class_names.is_empty() => Set::Folder(set.with_classes(&model.class_names)?),
            other => other,
        };
        Ok(Self { set, ..self })
    }

    pub(super) fn set(&self) -> &dyn Dataset {
        match &self.set {
            Set::Digits { images, .. } => images,
            Set::Folder(set) => set,
        }
    }

    /// The images of a folder, where they are of one.
    pub(super) fn folder(&self) -> Option<&FolderSet> {
        match &self.set {
            Set::Folder(set) => Some(set),
            Set::Digits { .. } => None,
        }
    }

    /// Whether a model that was trained here may have seen them.
    pub(super) fn are_builtin(&self) -> bool {
        matches!(self.set, Set::Digits { builtin: true, .. })
    }

    pub(super) fn are_digits(&self) -> bool {
        matches!(self.set, Set::Digits { .. })
    }

    /// What to call a picture: `test digit 3`, or its file.
    pub(super) fn name(&self, index: usize) -> String {
        match &self.set {
            Set::Digits { name, .. } => format!("{name} {index}"),
            Set::Folder(set) => set.path(index).display().to_string(),
        }
    }

    /// Whether there is a picture at a position.
    pub(super) fn check(&self, index: usize) -> Result<()> {
        let len = self.set().len();
        if index >= len {
            let one = if self.are_digits() { "digit" } else { "picture" };
            bail!("--index: there is no {one} {index}: the {} are 0..{len}", self.origin);
        }
        Ok(())
    }

    /// A picture as it is, and what to call it.
    pub(super) fn picture(&self, index: usize) -> Result<(String, Picture)> {
        self.check(index)?;
        Ok((self.name(index), self.set().picture(index)?))
    }

    /// The name of a picture's class; `None` where nobody knows.
    pub(super) fn label(&self, index: usize) -> Option<&str> {
        let known = match &self.set {
            Set::Digits { .. } => true,
            Set::Folder(set) => set.is_classified(),
        };
        known.then(|| self.set().class_names()[self.set().label(index)].as_str())
    }

    /// The positions asked for, or all.
    pub(super) fn positions(&self, indices: Option<&Indices>) -> Result<Vec<usize>> {
        let len = self.set().len();
        let Some(indices) = indices else { return Ok((0..len).collect()) };
        match indices.below(len) {
            Ok(indices) => Ok(indices),
            Err(index) => Err(self.check(index).err().unwrap_or_else(|| anyhow!("there is no picture {index}"))),
        }
    }
}
