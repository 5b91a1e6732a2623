//! What a command looks at: one picture, or the pictures of a set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lucida::Error;
use lucida::data::{Dataset, Picture};
use lucida::weights::Model;

use super::source::Pictures;
use crate::arguments::Source;
use crate::cli::Subject;

/// Folders inside of one another that are searched for pictures at most: a loop of links ends there.
const DEEPEST: usize = 32;

/// One picture as a network takes it, and what to call it.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) values: Vec<f32>,
}

impl Input {
    /// The picture that a command line means.
    pub(super) fn load(subject: &Subject, model: &Model) -> Result<Self> {
        match (&subject.image, &subject.data, subject.index) {
            (Some(path), _, _) => Self::open(path, model),
            (None, Some(source), Some(index)) => Self::of_set(&Set::of(source)?, index, model),
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
    pub(super) fn of_set(set: &Set, index: usize, model: &Model) -> Result<Self> {
        let preprocessing = model.preprocessing()?;
        set.check(index)?;
        let mut values = vec![0.0; preprocessing.output_shape().iter().product()];
        set.set().fill(index, preprocessing, &mut values)?;
        Ok(Self { name: set.name(index), values })
    }
}

/// A set of pictures.
pub(super) enum Set {
    /// Digits.
    Digits(Pictures),
    /// The picture files of a folder and its sub-folders.
    Files(Files),
}

impl Set {
    /// The set that `mnist`, `mnist:DIR` or the name of a folder means.
    pub(super) fn open(argument: &str) -> Result<Self> {
        match argument.parse() {
            Ok(source) => Self::of(&source),
            Err(problem) => bail!("--data {argument}: {problem}"),
        }
    }

    pub(super) fn of(source: &Source) -> Result<Self> {
        match source {
            Source::Mnist(folder) => Ok(Self::Digits(Pictures::digits(folder.as_deref())?)),
            Source::Folder(folder) => Ok(Self::Files(Files::find(folder)?)),
        }
    }

    pub(super) fn set(&self) -> &dyn Dataset {
        match self {
            Self::Digits(digits) => digits.set(),
            Self::Files(files) => files,
        }
    }

    /// A picture as it is, and what to call it.
    pub(super) fn picture(&self, index: usize) -> Result<(String, Picture)> {
        self.check(index)?;
        Ok((self.name(index), self.set().picture(index)?))
    }

    fn check(&self, index: usize) -> Result<()> {
        let len = self.set().len();
        if index >= len {
            bail!("--index: there is no picture {index}: the {} are 0..{len}", self.origin());
        }
        Ok(())
    }

    /// Where the pictures are from.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::Digits(digits) => digits.origin.clone(),
            Self::Files(files) => format!("pictures of {}", files.root.display()),
        }
    }

    /// What to call a picture.
    pub(super) fn name(&self, index: usize) -> String {
        match self {
            Self::Digits(digits) => digits.name(index),
            Self::Files(files) => files.paths[index].display().to_string(),
        }
    }
}

/// Picture files, read when they are wanted.
pub(super) struct Files {
    root: PathBuf,
    paths: Vec<PathBuf>,
    no_classes: Vec<String>,
}

impl Files {
    /// The files of a folder and its sub-folders that are named as pictures, in the order of their names.
    fn find(root: &Path) -> Result<Self> {
        if !root.is_dir() {
            bail!("{}: there is no such folder", root.display());
        }
        let mut paths = Vec::new();
        let mut open = vec![(root.to_path_buf(), 0)];
        while let Some((folder, depth)) = open.pop() {
            let failed = |source| Error::io(&folder, "read", source);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() && depth < DEEPEST {
                    open.push((path, depth + 1));
                } else if path.is_file() && is_named_as_picture(&path) {
                    paths.push(path);
                }
            }
        }
        if paths.is_empty() {
            bail!("{}: there is no picture in this folder (JPEG, PNG, BMP, GIF, TIFF or WebP)", root.display());
        }
        paths.sort();
        Ok(Self { root: root.to_path_buf(), paths, no_classes: vec![String::new()] })
    }
}

fn is_named_as_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    ["jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp"].contains(&ending.as_str())
}

impl Dataset for Files {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn class_names(&self) -> &[String] {
        &self.no_classes
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn picture(&self, index: usize) -> lucida::Result<Picture> {
        Picture::open(&self.paths[index])
    }
}
