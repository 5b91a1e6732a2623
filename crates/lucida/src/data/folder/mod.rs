//! A folder of photos as a data set, with a sub-folder for each class.
//!
//! ```text
//! photos/cats/*.jpg        or   photos/train/cats/*.jpg         or   photos/*.jpg
//! photos/dogs/*.jpg             photos/train/dogs/*.jpg              (no classes: to look at, to embed)
//!                               photos/validation/cats/*.jpg
//!                               photos/validation/dogs/*.jpg
//! ```
//!
//! Labels may also be in a table, or in the file names of a flat folder: see [`LabelSource`].
//!
//! Classes and files are sorted by name, as in Keras. Images in sub-folders of a class belong to the class. Hidden entries,
//! whose names start with a dot, are ignored; every other file is treated as an image.
//!
//! Opening a folder reads and decodes every file once, on all threads: this is the only way to know that all images are
//! intact, before a training run fails on a damaged file in its third epoch. The work is not lost: with
//! [`FolderBuilder::keep`], the decoded images are kept in memory at the network's input size, up to a limit, and are not
//! decoded again. Files that cannot be decoded are skipped and [listed](Folder::skipped).

mod check;
mod duplicates;
mod groups;
mod hints;
mod labels;
mod layout;
mod listed;
mod set;
mod skipped;
mod split;
mod suspects;
mod walk;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::{Dataset, Limits, Preprocessing, TargetKind};
use crate::core::Progress;
use crate::nn::{counted, thousands};
use crate::{Cpu, Error, Result};
use check::{ImageCache, check};
use layout::Layout;
use split::{folds, split};

pub use duplicates::Duplicate;
pub use hints::is_image_file;
pub use labels::{LabelSource, ResolvedLabels};
pub use set::FolderSet;
pub use skipped::{Skipped, save_skipped};

/// The default validation fraction, for a folder without a validation part.
const VALIDATION: f64 = 0.2;

/// A part of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Training set: `train` or `training`.
    Train,
    /// Validation set, for choosing the best epoch: `validation`, `val` or `valid`.
    Validation,
    /// Test set: `test`.
    Test,
}

impl Part {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The images of a folder, in training, validation and test sets.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The training set.
    pub train: FolderSet,
    /// The validation set: the folder's validation part, or a split of the training part.
    pub validation: FolderSet,
    /// The test set, if the folder has a test part in addition to a validation part.
    pub test: Option<FolderSet>,
    labels: Option<ResolvedLabels>,
    skipped: Vec<Skipped>,
    duplicates: Vec<Duplicate>,
    notes: Vec<String>,
}

impl Folder {
    /// Starts opening a folder.
    pub fn builder(path: impl Into<PathBuf>) -> FolderBuilder<'static> {
        FolderBuilder {
            path: path.into(),
            labels: LabelSource::default(),
            fold: None,
            strict: false,
            validation: VALIDATION,
            seed: 0,
            limits: Limits::default(),
            cpu: None,
            keep: None,
            progress: None,
        }
    }

    /// The label source and how it was resolved, if labels do not come from sub-folders.
    pub fn labels(&self) -> Option<&ResolvedLabels> {
        self.labels.as_ref()
    }

    /// The names of the classes, sorted; a label is an index into them. The names of labels and values are in the order of
    /// the table's columns.
    pub fn class_names(&self) -> &[String] {
        self.train.class_names()
    }

    /// Files that could not be used, sorted by name.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Images that are exact copies of others.
    pub fn duplicates(&self) -> &[Duplicate] {
        &self.duplicates
    }

    /// Notes to read before training, one sentence each: classes with a single image or none, images in two parts.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A summary of the parts, the classes, and skipped files: `Found 1200 images belonging to 2 classes: 960 training, 240
    /// validation; 3 files skipped.`
    pub fn summary(&self) -> String {
        let parts = [
            (Part::Train, Some(&self.train)),
            (Part::Validation, Some(&self.validation)),
            (Part::Test, self.test.as_ref()),
        ];
        let parts = parts.into_iter().filter_map(|(part, set)| Some((part, set?.len())));
        let total: usize = parts.clone().map(|(_, count)| count).sum();
        let each: Vec<String> = parts.map(|(part, count)| format!("{} {}", thousands(count), part.name())).collect();
        let skipped = match self.skipped.len() {
            0 => String::new(),
            count => format!("; {} skipped", counted(count, "file")),
        };
        let (images, targets) = (counted(total, "image"), self.train.targets_in_words());
        format!("Found {images} {targets}: {}{skipped}.", each.join(", "))
    }
}

/// A builder for opening a folder.
///
/// ```
/// use lucida::prelude::*;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # for (class, color) in [("cats", [200, 40, 30]), ("dogs", [30, 60, 210])] {
/// #     std::fs::create_dir(folder.join(class)).unwrap();
/// #     for index in 0..5 {
/// #         let image = Image::filled(8, 8, &color.map(|value| value + index));
/// #         image.save_png(folder.join(class).join(format!("{index}.png")))?;
/// #     }
/// # }
/// // folder/cats/0.png ..., folder/dogs/0.png ...
/// let photos = Folder::builder(folder).split(0.2, 42).open()?;
/// assert_eq!(photos.class_names(), ["cats", "dogs"]);
/// assert_eq!((photos.train.len(), photos.validation.len()), (8, 2));
/// assert!(photos.skipped().is_empty());
/// # Ok::<(), lucida::Error>(())
/// ```
#[must_use]
pub struct FolderBuilder<'a> {
    path: PathBuf,
    labels: LabelSource,
    fold: Option<[usize; 2]>,
    strict: bool,
    validation: f64,
    seed: u64,
    limits: Limits,
    cpu: Option<Cpu>,
    keep: Option<(Preprocessing, u64)>,
    progress: Option<&'a mut (dyn Progress + Send)>,
}

impl<'a> FolderBuilder<'a> {
    /// Sets the source of labels and groups; splits and folds never separate a group.
    pub fn labels(self, source: &LabelSource) -> Self {
        Self { labels: source.clone(), ..self }
    }

    /// Opens fold `fold[0]`, counted from 1, of a cross-validation with `fold[1]` folds, instead of a random split.
    pub fn fold(self, fold: Option<[usize; 2]>) -> Self {
        Self { fold, ..self }
    }

    /// Whether a file that cannot be used is an error, instead of being skipped.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Sets the validation fraction for a folder without a validation part (0.2 by default), and the seed of the split.
    pub fn split(self, validation: f64, seed: u64) -> Self {
        Self { validation, seed, ..self }
    }

    /// Sets limits on files.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the number of threads; all by default.
    pub fn cpu(self, cpu: Cpu) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    /// Keeps images in memory after the resizing of this preprocessing, up to this number of bytes.
    pub fn keep(self, preprocessing: &Preprocessing, bytes: u64) -> Self {
        Self { keep: Some((preprocessing.clone(), bytes)), ..self }
    }

    /// Reports the files that were read, from one thread at a time; a requested stop gives [`Error::Interrupted`].
    pub fn progress<'b>(self, progress: &'b mut (dyn Progress + Send)) -> FolderBuilder<'b> {
        let Self { path, labels, fold, strict, validation, seed, limits, cpu, keep, .. } = self;
        FolderBuilder { path, labels, fold, strict, validation, seed, limits, cpu, keep, progress: Some(progress) }
    }

    /// Opens a folder for training a classifier: at least two classes, and a validation set.
    ///
    /// # Errors
    /// [`Error::File`] when the path is not a folder, when there are fewer than two classes with images, or when a part has
    /// a class that the training part lacks; [`Error::Argument`] when the validation fraction is not below 1 or leaves no
    /// training images; [`Error::Interrupted`] when `progress` requests a stop; when strict, the error of the first file
    /// that cannot be used.
    pub fn open(mut self) -> Result<Folder> {
        if let Some([fold, count]) = self.fold {
            let folds = self.open_folds(count)?;
            let found = folds.into_iter().nth(fold.wrapping_sub(1));
            return found.ok_or_else(|| Error::argument(format!("there is no fold {fold} of {count}")));
        }
        let mut whole = self.whole()?;
        let mut others = std::mem::take(&mut whole.others).into_iter();
        let (train, validation, test) = match others.next() {
            // `val` and `test`, or only one of them, which is then used for validation.
            Some((_, first)) => (whole.train.clone(), first, others.next().map(|(_, set)| set)),
            None => {
                let (train, validation) = split(whole.train.clone(), self.validation, self.seed, &mut whole.notes)?;
                (train, validation, None)
            }
        };
        whole.folder(train, validation, test)
    }

    /// Opens a folder for cross-validation: returns `count` pairs of training and validation sets; each image is in one
    /// validation set. Groups stay together (without groups, exact copies do), and classes or labels are stratified; the
    /// seed selects among even divisions.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::File`] when there are too few images or groups, or when the folder has a
    /// validation or test part.
    pub fn open_folds(mut self, count: usize) -> Result<Vec<Folder>> {
        let whole = self.whole()?;
        if let Some((part, set)) = whole.others.first() {
            let problem = format!(
                "is the {} part of its folder, and cross-validation holds out images of its own: open the training part alone",
                part.name()
            );
            return Err(Error::file(set.root(), problem));
        }
        let folds = folds(&whole.train, count, self.seed)?;
        let folder = |(train, validation, notes): (FolderSet, FolderSet, Vec<String>)| {
            let mut fold = whole.clone();
            fold.notes.extend(notes);
            fold.folder(train, validation, None)
        };
        folds.into_iter().map(folder).collect()
    }

    /// Reads all parts of a classifier's folder, or of a table.
    fn whole(&mut self) -> Result<UnsplitFolder> {
        let mut notes = Vec::new();
        let (Layout { parts, mut skipped }, labels) = labels::find(&self.path, &self.labels, &self.limits, &mut notes)?;
        let mut sets = Vec::new();
        let mut total = 0;
        for (part, found) in parts {
            if !found.classified && part == Part::Test {
                // In competitions, the classes of test images are secret.
                notes.push(format!("{}: its images are in no classes, so it is not used", found.path.display()));
                continue;
            }
            if !found.classified {
                return Err(unsorted(part, &found));
            }
            if labels.is_none() {
                notes.extend(found.nested_note());
            }
            total += found.files.len();
            sets.push((part, found));
        }
        let mut keep = self.keeping();
        let mut done = 0;
        let mut checked = Vec::new();
        for (part, found) in sets {
            let (set, faults) = self.checked(found, &mut keep, (done, total))?;
            done += set.len_with(&faults);
            skipped.extend(faults);
            checked.push((part, set));
        }
        skipped::sort(&mut skipped);
        self.refuse_if_strict(&skipped)?;

        let mut sets = checked.into_iter();
        let (_, train) = sets.next().ok_or_else(|| Error::Bug("a folder without a part".to_owned()))?;
        let train = usable(train, labels.as_ref(), &skipped, &mut notes)?;
        let root = train.root().to_path_buf();
        let mut others = Vec::new();
        for (part, set) in sets {
            let (set, _) = set.without_empty_classes();
            let set = set.with_classes(train.class_names()).map_err(|problem| explain_classes(problem, part, &root))?;
            for class in set.missing_classes() {
                notes.push(format!("class {class:?} has no {} image", part.name()));
            }
            others.push((part, set));
        }
        Ok(UnsplitFolder { train, others, labels, skipped, notes })
    }

    /// Opens a folder for display or prediction: with any number of classes, or without. If there are images next to the
    /// sub-folders, all images are unlabeled. Of a folder with parts, the test part is opened, or else the validation part,
    /// or else the training part. Files that cannot be used are also returned.
    ///
    /// # Errors
    /// [`Error::File`] when the path is not a folder or has no image; [`Error::Interrupted`] when `progress` requests a
    /// stop; when strict, the error of the first file that cannot be used.
    pub fn open_set(mut self) -> Result<(FolderSet, Vec<Skipped>)> {
        let (layout, _) = labels::find(&self.path, &self.labels, &self.limits, &mut Vec::new())?;
        let Layout { parts, mut skipped } = layout.including_strays();
        let (_, found) =
            parts.into_iter().next_back().ok_or_else(|| Error::Bug("a folder without a part".to_owned()))?;
        let total = found.files.len();
        let (set, faults) = self.checked(found, &mut self.keeping(), (0, total))?;
        skipped.extend(faults);
        skipped::sort(&mut skipped);
        self.refuse_if_strict(&skipped)?;
        if set.is_empty() {
            return Err(no_images(&self.path, &skipped));
        }
        Ok((set, skipped))
    }

    /// The parts of the folder; only the training part if it is not divided.
    ///
    /// # Errors
    /// [`Error::File`] when the path is not a folder, [`Error::Io`] when it cannot be read.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let (layout, _) = labels::find(&self.path, &self.labels, &self.limits, &mut Vec::new())?;
        Ok(layout.parts.into_iter().map(|(part, _)| part).collect())
    }

    /// As [`open_set`](Self::open_set), for a given part, or for the images of all parts.
    ///
    /// # Errors
    /// As [`open_set`](Self::open_set); [`Error::File`] when the part does not exist.
    pub fn open_part(mut self, wanted: Option<Part>) -> Result<(FolderSet, Vec<Skipped>)> {
        let (Layout { parts, mut skipped }, _) = labels::find(&self.path, &self.labels, &self.limits, &mut Vec::new())?;
        let parts: Vec<_> = parts.into_iter().filter(|(part, _)| wanted.is_none_or(|wanted| wanted == *part)).collect();
        let total = parts.iter().map(|(_, found)| found.files.len()).sum();
        let (mut keep, mut done, mut whole) = (self.keeping(), 0, None::<FolderSet>);
        for (_, found) in parts {
            let (set, faults) = self.checked(found, &mut keep, (done, total))?;
            done += set.len_with(&faults);
            skipped.extend(faults);
            whole = Some(match whole {
                Some(others) => others.joined(set, &self.path)?,
                None => set,
            });
        }
        skipped::sort(&mut skipped);
        self.refuse_if_strict(&skipped)?;
        match (whole, wanted) {
            (Some(set), _) if !set.is_empty() => Ok((set, skipped)),
            (None, Some(part)) => Err(Error::file(&self.path, format!("has no {} part", part.name()))),
            _ => Err(no_images(&self.path, &skipped)),
        }
    }

    fn keeping(&self) -> Option<ImageCache> {
        self.keep.clone().map(|(preprocessing, bytes)| ImageCache::new(preprocessing, bytes))
    }

    /// Reads and decodes every file of a part.
    fn checked(
        &mut self,
        found: layout::FoundPart,
        keep: &mut Option<ImageCache>,
        counts: (usize, usize),
    ) -> Result<(FolderSet, Vec<Skipped>)> {
        let cpu = self.cpu.unwrap_or_else(Cpu::detect);
        let nobody: &mut (dyn Progress + Send) = &mut ();
        let progress = self.progress.as_deref_mut().unwrap_or(nobody);
        check(found, &self.limits, cpu, keep.as_ref(), progress, counts)
    }

    fn refuse_if_strict(&self, skipped: &[Skipped]) -> Result<()> {
        match skipped.first() {
            Some(first) if self.strict => {
                let others = match skipped.len() {
                    1 => String::new(),
                    count => format!(" (and {} that cannot be used)", counted(count - 1, "more file")),
                };
                Err(Error::file(&first.path, format!("{}{others}", first.reason)))
            }
            _ => Ok(()),
        }
    }
}

/// The content of a folder, before it is split.
#[derive(Clone)]
struct UnsplitFolder {
    train: FolderSet,
    /// The validation and test parts.
    others: Vec<(Part, FolderSet)>,
    labels: Option<ResolvedLabels>,
    skipped: Vec<Skipped>,
    notes: Vec<String>,
}

impl UnsplitFolder {
    /// The folder with these parts, and notes about them.
    fn folder(self, train: FolderSet, validation: FolderSet, test: Option<FolderSet>) -> Result<Folder> {
        let Self { labels, skipped, mut notes, .. } = self;
        for (class, count) in train.counts().into_iter().enumerate() {
            if count == 1 {
                let noun = if train.kind() == TargetKind::Labels { "label" } else { "class" };
                let name = &train.class_names()[class];
                notes.push(format!("{noun} {name:?} has a single image to train on"));
            }
        }
        let grouped = !train.is_empty() && train.group(0).is_some();
        if !grouped {
            notes.extend(suspects::note(&train, &validation));
        }
        let duplicates = duplicates::find(&[Some(&train), Some(&validation), test.as_ref()])?;
        notes.extend(duplicates::notes(&duplicates));
        Ok(Folder { train, validation, test, labels, skipped, duplicates, notes })
    }
}

/// The training images, without empty classes. Refuses sets that nothing can be learned from.
fn usable(
    train: FolderSet,
    labels: Option<&ResolvedLabels>,
    skipped: &[Skipped],
    notes: &mut Vec<String>,
) -> Result<FolderSet> {
    if train.is_empty() {
        return Err(no_images(train.root(), skipped));
    }
    if train.kind() != TargetKind::Classes {
        return Ok(train);
    }
    let (train, empty) = train.without_empty_classes();
    notes.extend(empty.iter().map(|class| format!("class {class:?} has no image and is left out")));
    match (labels, train.class_names()) {
        (Some(labels), [only]) => {
            let problem = format!(
                "{}: all images are of one class, {only:?}, and a classifier needs two or more",
                labels.summary.split(": ").next().unwrap_or_default()
            );
            return Err(Error::argument(problem));
        }
        _ => at_least_two(&train, skipped)?,
    }
    not_all_alike(&train, notes)?;
    Ok(train)
}

/// The error for a part of a classifier's data without classes.
fn unsorted(part: Part, found: &layout::FoundPart) -> Error {
    let files: Vec<PathBuf> = found.files.iter().map(|file| file.path.clone()).collect();
    let what = "has no sub-folders; expected one per class, two or more";
    let hint = hints::unsorted(&found.path, &files);
    match part {
        _ if !files.iter().any(hints::is_image_file) => Error::file(&found.path, what),
        Part::Train => Error::file(&found.path, format!("{what}: {hint}")),
        _ => Error::file(
            &found.path,
            format!(
                "has no sub-folders with the classes of the training images: {hint}; or move it out of the folder, and a share \
                 of the training images validates"
            ),
        ),
    }
}

/// The error for a part with a class that the training part lacks, with a suggested fix.
fn explain_classes(problem: Error, part: Part, train: &Path) -> Error {
    let Error::File { path, problem } = problem else { return problem };
    let (name, train) = (part.name(), train.display());
    Error::file(
        path,
        format!(
            "{problem} of {train}: name the folders of the {name} part as those of {train}, or move the part out of the folder"
        ),
    )
}

/// Refuses a folder with fewer than two classes.
fn at_least_two(train: &FolderSet, skipped: &[Skipped]) -> Result<()> {
    let only = match train.class_names() {
        [] => return Err(no_images(train.root(), skipped)),
        [only] => only,
        _ => return Ok(()),
    };
    let inside = train.root().join(only);
    let listing = walk::list(&inside, &mut Vec::new()).unwrap_or_default();
    let names: Vec<String> =
        listing.folders.iter().filter_map(|folder| folder.file_name()?.to_str().map(str::to_owned)).collect();
    let hint = match names.as_slice() {
        [first, second, ..] => {
            format!(
                "if its sub-folders ({first}, {second}{}) are the classes, open {} instead",
                if names.len() > 2 { ", …" } else { "" },
                inside.display()
            )
        }
        _ => "add a sub-folder with images of something else".to_owned(),
    };
    let problem = format!("has images of one class only, {only:?}, and a classifier needs two or more: {hint}");
    Err(Error::file(train.root(), problem))
}

/// Refuses images that are all copies of one, and notes classes that consist of copies.
fn not_all_alike(train: &FolderSet, notes: &mut Vec<String>) -> Result<()> {
    let mut first = vec![None; train.class_names().len()];
    let mut alike = vec![true; first.len()];
    for file in train.files() {
        let digest = *first[file.label].get_or_insert(file.digest);
        alike[file.label] &= digest == file.digest;
    }
    if alike.iter().all(|alike| *alike) && first.iter().all(|digest| *digest == first[0]) {
        let problem = format!(
            "holds {} copies of one image: a classifier learns from many different images of each class",
            train.len()
        );
        return Err(Error::file(train.root(), problem));
    }
    for ((name, alike), count) in train.class_names().iter().zip(alike).zip(train.counts()) {
        if alike && count > 1 {
            notes.push(format!("class {name:?} holds {count} copies of one image: add different ones"));
        }
    }
    Ok(())
}

fn no_images(path: &Path, skipped: &[Skipped]) -> Error {
    let faults = match skipped {
        [] => String::new(),
        [first, ..] => {
            let (name, reason) = (first.path.display(), &first.reason);
            format!(" ({} cannot be used, the first is {name}: {reason})", counted(skipped.len(), "file"))
        }
    };
    Error::file(path, format!("contains no image{faults}"))
}
