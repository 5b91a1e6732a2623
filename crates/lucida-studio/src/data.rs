//! Image sources of the studio: MNIST digits, a folder of photos, and the built-in cat and brush strokes.

use std::path::PathBuf;
use std::sync::OnceLock;

use lucida::Cpu;
use lucida::data::{Dataset, Folder, FolderSet, Image, LabeledImages, Mnist, chelsea};
use lucida::nn::counted;
use lucida::style::{BRUSHWORK, brushwork};
use lucida::weights::Model;

use crate::images::is_upload;
use crate::problem::{Problem, Result};

/// A data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The test digits of the MNIST files in a folder.
    Mnist(PathBuf),
    /// A folder of images, with or without one sub-folder per class.
    Folder(PathBuf),
}

/// An image, as identified in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    Cat,
    Brushwork,
    Digit(usize),
    Photo(usize),
    Uploaded(String),
}

impl Named {
    /// Parses an identifier: `cat`, `brushwork`, `digit-3`, `photo-12`, `up-1f00...`.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|_| text.len() <= 9);
        let found = match name.split_once('-') {
            None if name == "cat" => Some(Self::Cat),
            None if name == BRUSHWORK => Some(Self::Brushwork),
            Some(("digit", at)) => number(at).map(Self::Digit),
            Some(("photo", at)) => number(at).map(Self::Photo),
            Some(("up", _)) if is_upload(name) => Some(Self::Uploaded(name.to_owned())),
            _ => None,
        };
        found.ok_or_else(|| Problem::not_found("there is no such image"))
    }
}

/// Caption of an image for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caption {
    /// Title with the origin of the image: `built-in digit no. 7 (a 3)`.
    pub(crate) title: String,
    /// The name of its true class, if it is known.
    pub(crate) label: Option<String>,
}

/// A data set, with the texts for the identifiers and captions of its images.
pub(crate) struct ImageCatalog<'a> {
    pub(crate) prefix: &'static str,
    pub(crate) title: String,
    /// Text of a caption before the number of the image (`kind`) and after it (`of`).
    kind: &'static str,
    of: String,
    pub(crate) set: &'a dyn Dataset,
    /// Whether the class labels are known.
    labeled: bool,
}

impl ImageCatalog<'_> {
    /// Returns the caption of an image. The class follows the number: `digit 7` alone would read as the digit seven.
    pub(crate) fn caption(&self, index: usize) -> Caption {
        let label =
            (self.labeled && index < self.set.len()).then(|| self.set.class_names()[self.set.label(index)].clone());
        let class = match label.as_deref() {
            None => String::new(),
            Some(name) if self.prefix == "digit" => format!(" ({} {name})", if name == "8" { "an" } else { "a" }),
            Some(name) => format!(" ({name})"),
        };
        Caption { title: format!("{} no. {index}{}{class}", self.kind, self.of), label }
    }
}

/// The data sets, opened on first use.
#[derive(Debug)]
pub(crate) struct Data {
    source: Option<Source>,
    cpu: Cpu,
    digits: OnceLock<Result<LabeledImages, String>>,
    photos: OnceLock<Result<FolderSet, String>>,
}

impl Data {
    pub(crate) fn new(source: Option<Source>, cpu: Cpu) -> Self {
        Self { source, cpu, digits: OnceLock::new(), photos: OnceLock::new() }
    }

    /// The data set given on the command line, if any.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Name of the folder given on the command line.
    pub(crate) fn folder_name(&self) -> String {
        let Some(Source::Mnist(path) | Source::Folder(path)) = &self.source else { return String::new() };
        let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
        whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The digits of the folder given on the command line, or the built-in digits.
    pub(crate) fn digits(&self) -> Result<&LabeledImages> {
        let open = || match &self.source {
            Some(Source::Mnist(folder)) => Mnist::test_only(folder),
            _ => Mnist::builtin().map(|digits| digits.train),
        };
        of(self.digits.get_or_init(|| open().map_err(|error| error.to_string())))
    }

    /// The images of the folder given on the command line.
    pub(crate) fn photos(&self) -> Result<Option<&FolderSet>> {
        let Some(Source::Folder(folder)) = &self.source else { return Ok(None) };
        let list = || Folder::builder(folder).cpu(self.cpu).list().map(|(set, _)| set);
        of(self.photos.get_or_init(|| list().map_err(|error| error.to_string()))).map(Some)
    }

    /// The data set whose images fit the input of a model.
    pub(crate) fn catalog(&self, model: &Model) -> Result<Option<ImageCatalog<'_>>> {
        if model.preprocessing.as_ref().is_some_and(|preprocessing| preprocessing.digit) {
            return self.digit_catalog().map(Some);
        }
        self.photo_catalog()
    }

    fn digit_catalog(&self) -> Result<ImageCatalog<'_>> {
        let (title, kind) = match &self.source {
            Some(Source::Mnist(_)) => ("MNIST's test digits", "MNIST test digit"),
            _ => ("the built-in digits", "built-in digit"),
        };
        Ok(ImageCatalog {
            prefix: "digit",
            title: title.to_owned(),
            kind,
            of: String::new(),
            set: self.digits()?,
            labeled: true,
        })
    }

    fn photo_catalog(&self) -> Result<Option<ImageCatalog<'_>>> {
        Ok(self.photos()?.map(|set| ImageCatalog {
            prefix: "photo",
            title: format!("the images of {}", self.folder_name()),
            kind: "photo",
            of: format!(" of {}", self.folder_name()),
            set,
            labeled: set.is_classified(),
        }))
    }

    /// Opens one of the server's own images; `None` for an upload.
    pub(crate) fn image(&self, named: &Named) -> Result<Option<Image>> {
        let of_set = |set: &dyn Dataset, index: usize| match index < set.len() {
            true => Ok(Some(set.image(index)?)),
            false => Err(Problem::not_found(format!(
                "there is no image {index}: the set has {}",
                counted(set.len(), "image")
            ))),
        };
        match *named {
            Named::Cat => Ok(Some(chelsea()?)),
            Named::Brushwork => Ok(Some(brushwork()?)),
            Named::Digit(index) => of_set(self.digits()?, index),
            Named::Photo(index) => match self.photos()? {
                Some(set) => of_set(set, index),
                None => Err(Problem::not_found("there is no folder of photos: start the studio with --data DIR")),
            },
            Named::Uploaded(_) => Ok(None),
        }
    }

    /// Returns the caption of an image. Does not check that the image exists: [`Data::image`] does.
    pub(crate) fn caption(&self, named: &Named) -> Result<Caption> {
        let title = match *named {
            Named::Digit(index) => return Ok(self.digit_catalog()?.caption(index)),
            Named::Photo(index) => match self.photo_catalog()? {
                Some(catalog) => return Ok(catalog.caption(index)),
                None => "photo",
            },
            Named::Cat => "Chelsea, a cat",
            Named::Brushwork => "brush strokes",
            Named::Uploaded(_) => "your image",
        };
        Ok(Caption { title: title.to_owned(), label: None })
    }
}

fn of<T>(opened: &Result<T, String>) -> Result<&T> {
    opened.as_ref().map_err(|error| Problem::invalid(error.clone()))
}
