//! The layout of an image folder: with or without parts, with or without classes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hints::is_image_file;
use super::walk::{Listing, check_folder, files_below, list};
use super::{Part, Skipped, hints};
use crate::data::TargetKind;
use crate::{Error, Result};

/// The names of the parts, in lower case. If several names for a part exist, the first one counts.
const NAMES: [(&str, Part); 6] = [
    ("train", Part::Train),
    ("training", Part::Train),
    ("validation", Part::Validation),
    ("val", Part::Validation),
    ("valid", Part::Validation),
    ("test", Part::Test),
];

/// A file that has not been read yet.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    /// Its class; 0 for labels or values.
    pub(super) label: usize,
    /// Its labels or values.
    pub(super) row: Vec<f32>,
    /// Its group, which a split must not separate.
    pub(super) group: Option<Arc<str>>,
}

impl FoundFile {
    fn new(path: PathBuf, label: usize) -> Self {
        Self { path, label, row: Vec::new(), group: None }
    }
}

/// The files of a part, which have not been read yet.
#[derive(Debug)]
pub(super) struct FoundPart {
    /// The folder of the part.
    pub(super) path: PathBuf,
    /// The names of the classes, labels or values; only that of the folder if there are no classes.
    pub(super) class_names: Vec<String>,
    /// Whether the images are labeled: in sub-folders for classes, or by a table or their names.
    pub(super) classified: bool,
    /// The kind of labels.
    pub(super) kind: TargetKind,
    pub(super) files: Vec<FoundFile>,
}

/// The parts of a folder.
#[derive(Debug)]
pub(super) struct Layout {
    /// At least one; the training part is first.
    pub(super) parts: Vec<(Part, FoundPart)>,
    /// Entries that belong to no part.
    pub(super) skipped: Vec<Skipped>,
}

/// Why a file at the top level is skipped.
const NEXT_TO_CLASSES: &str = "not in the folder of a class";

impl Layout {
    /// The layout for unlabeled use (display, prediction): if there are images next to the sub-folders, these are not
    /// treated as classes, and all images are included.
    pub(super) fn including_strays(mut self) -> Self {
        let is_image = |skipped: &Skipped| skipped.reason == NEXT_TO_CLASSES && is_image_file(&skipped.path);
        if let [(_, found)] = &mut self.parts[..]
            && self.skipped.iter().any(is_image)
        {
            let top = self.skipped.extract_if(.., |skipped| is_image(skipped));
            found.files.extend(top.map(|skipped| FoundFile::new(skipped.path, 0)));
            found.files.iter_mut().for_each(|file| file.label = 0);
            found.files.sort_by(|a, b| a.path.cmp(&b.path));
            found.class_names = vec![folder_name(&found.path)];
            found.classified = false;
        }
        self
    }

    /// A folder without parts.
    pub(super) fn of_one(part: FoundPart, skipped: Vec<Skipped>) -> Self {
        Self { parts: vec![(Part::Train, part)], skipped }
    }

    /// Determines the layout from the names in a folder. It has parts if it has a training sub-folder that has sub-folders
    /// itself, so that a class may also be named `train`.
    pub(super) fn find(path: &Path) -> Result<Self> {
        check_folder(path)?;
        let mut skipped = Vec::new();
        let listing = list(path, &mut skipped).map_err(|source| Error::io(path, "read", source))?;
        let mut parts: Vec<(Part, &PathBuf)> = Vec::new();
        for (name, part) in NAMES {
            let folder = listing.folders.iter().find(|folder| has_name(folder, name));
            if let Some(folder) = folder.filter(|_| parts.iter().all(|(other, _)| *other != part)) {
                parts.push((part, folder));
            }
        }
        let in_parts = match parts.first() {
            Some((Part::Train, train)) => list(train, &mut Vec::new()).is_ok_and(|inside| !inside.folders.is_empty()),
            _ => false,
        };
        if !in_parts {
            refuse_flat_parts(&parts)?;
            let found = FoundPart::of(path, listing, &mut skipped)?;
            return Ok(Self::of_one(found, skipped));
        }
        for other in listing.folders.iter().filter(|folder| parts.iter().all(|(_, part)| part != folder)) {
            skipped.push(Skipped::new(other, "lies next to the parts to train on and to validate with"));
        }
        skipped.extend(listing.files.iter().map(|file| Skipped::new(file, "lies next to the parts, in no class")));
        let parts = parts.into_iter().map(|(part, folder)| {
            let listing = list(folder, &mut skipped).map_err(|source| Error::io(folder, "read", source))?;
            Ok((part, FoundPart::of(folder, listing, &mut skipped)?))
        });
        let parts = parts.collect::<Result<_>>()?;
        Ok(Self { parts, skipped })
    }
}

/// The class name of unlabeled images.
fn folder_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Refuses training images without classes, which are next to another part or have the class in their names. Otherwise the
/// folder `train` would count as a class.
fn refuse_flat_parts(parts: &[(Part, &PathBuf)]) -> Result<()> {
    let Some((Part::Train, train)) = parts.first() else { return Ok(()) };
    let listing = list(train, &mut Vec::new()).map_err(|source| Error::io(train, "read", source))?;
    let images = listing.files.iter().any(hints::is_image_file);
    if !images || (parts.len() < 2 && hints::sort_by_name(train, &listing.files).is_none()) {
        return Ok(());
    }
    let hint = hints::unsorted(train, &listing.files);
    Err(Error::file(train, format!("holds training images, but has no sub-folders, one per class: {hint}")))
}

impl FoundPart {
    /// A note about images in sub-folders of classes.
    pub(super) fn nested_note(&self) -> Option<String> {
        let parents = self.files.iter().filter_map(|file| Some((file.path.parent()?, file.label)));
        let mut nested = parents.filter(|(parent, class)| *parent != self.path.join(&self.class_names[*class]));
        let first = nested.next()?.0.strip_prefix(&self.path).ok()?;
        Some(format!(
            "images in sub-folders of a class, as in {}, belong to that class; move the sub-folders up if they are classes of \
             their own",
            first.display()
        ))
    }

    fn of(path: &Path, listing: Listing, skipped: &mut Vec<Skipped>) -> Result<Self> {
        let path = path.to_path_buf();
        if listing.folders.is_empty() {
            let name = folder_name(&path);
            let files = listing.files.into_iter().map(|file| FoundFile::new(file, 0)).collect();
            let kind = TargetKind::Classes;
            return Ok(Self { path, class_names: vec![name], classified: false, kind, files });
        }
        skipped.extend(listing.files.into_iter().map(|file| Skipped::new(file, NEXT_TO_CLASSES)));
        let mut class_names = Vec::new();
        let mut files = Vec::new();
        for folder in listing.folders {
            let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
                return Err(Error::file(&folder, "cannot be a class: its name is not valid Unicode"));
            };
            files.extend(files_below(&folder, skipped).into_iter().map(|file| FoundFile::new(file, class_names.len())));
            class_names.push(name.to_owned());
        }
        Ok(Self { path, class_names, classified: true, kind: TargetKind::Classes, files })
    }
}

fn has_name(folder: &Path, name: &str) -> bool {
    folder.file_name().and_then(|found| found.to_str()).is_some_and(|found| found.eq_ignore_ascii_case(name))
}
