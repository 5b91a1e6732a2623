//! The images of a folder as a data set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Part;
use crate::data::{Dataset, Image, Limits, Preprocessing, TargetKind, Targets};
use crate::nn::counted;
use crate::{Cpu, Error, Result};

/// An image file that was decoded once.
#[derive(Debug, Clone)]
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    pub(super) label: usize,
    /// Its labels or values; empty for a class.
    pub(super) row: Vec<f32>,
    /// Its group, which a split must not separate.
    pub(super) group: Option<Arc<str>>,
    /// The length of the file in bytes, and its digest.
    pub(super) len: u64,
    pub(super) digest: [u8; 16],
    /// Its pixels at the network's input size, if kept in memory.
    pub(super) kept: Option<Arc<[u8]>>,
}

/// The images of a folder: by class in name order, or in the order of a label table.
#[derive(Debug, Clone)]
pub struct FolderSet {
    pub(super) root: PathBuf,
    pub(super) files: Vec<ImageFile>,
    pub(super) class_names: Vec<String>,
    pub(super) classified: bool,
    pub(super) kind: TargetKind,
    pub(super) limits: Limits,
    pub(super) cpu: Cpu,
    /// The preprocessing that kept pixels were resized for.
    pub(super) kept: Option<Preprocessing>,
}

impl FolderSet {
    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the images are labeled: by sub-folders, a table or their names. Otherwise, all images have one class, with
    /// the name of the folder.
    pub fn is_classified(&self) -> bool {
        self.classified
    }

    /// The file of an image.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn path(&self, index: usize) -> &Path {
        &self.files[index].path
    }

    /// The group of an image, if known, which a split must not separate.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn group(&self, index: usize) -> Option<&str> {
        self.files[index].group.as_deref()
    }

    pub(super) fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The MD5 digest of an image file.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn digest(&self, index: usize) -> [u8; 16] {
        self.files[index].digest
    }

    /// Drops the pixels kept in memory.
    #[must_use]
    pub fn without_cached_images(mut self) -> Self {
        self.files.iter_mut().for_each(|file| file.kept = None);
        self
    }

    /// The number of images of each class or label; empty for values.
    pub fn counts(&self) -> Vec<usize> {
        let names = self.class_names.len();
        match self.kind {
            TargetKind::Values => Vec::new(),
            TargetKind::Labels => {
                (0..names).map(|label| self.files.iter().filter(|file| file.row[label] > 0.5).count()).collect()
            }
            TargetKind::Classes => {
                let mut counts = vec![0; names];
                self.files.iter().for_each(|file| counts[file.label] += 1);
                counts
            }
        }
    }

    /// A summary in Keras's words: `Found 6000 images belonging to 2 classes.`
    pub fn summary(&self) -> String {
        self.summary_of("image")
    }

    /// As [`summary`](Self::summary), for a part of a folder: `Found 8 validation images belonging to 2 classes.`
    pub fn part_summary(&self, part: Part) -> String {
        self.summary_of(&format!("{} image", part.name()))
    }

    fn summary_of(&self, image: &str) -> String {
        let images = counted(self.files.len(), image);
        if !self.classified {
            return format!("Found {images} without classes.");
        }
        format!("Found {images} {}.", self.targets_in_words())
    }

    /// The targets as text: `belonging to 2 classes`, `with 3 labels`.
    pub(super) fn targets_in_words(&self) -> String {
        let count = self.class_names.len();
        match self.kind {
            TargetKind::Classes => format!("belonging to {}", counted(count, "class")),
            TargetKind::Labels => format!("with {}", counted(count, "label")),
            TargetKind::Values => format!("with {}", counted(count, "value")),
        }
    }

    /// The number of images kept in memory.
    pub fn cached_images(&self) -> usize {
        self.files.iter().filter(|file| file.kept.is_some()).count()
    }

    /// A subset of the images, by index.
    ///
    /// # Panics
    /// When an index is out of range.
    #[must_use]
    pub fn take(&self, indices: &[usize]) -> Self {
        Self { files: indices.iter().map(|&index| self.files[index].clone()).collect(), ..self.clone_without_files() }
    }

    /// Relabels the images for other class names, such as those of a model. Classes are matched by name; labels and values
    /// must be the same, in any order.
    ///
    /// # Errors
    /// [`Error::File`] names the first class without a match.
    pub fn with_classes(mut self, class_names: &[String]) -> Result<Self> {
        if self.kind != TargetKind::Classes {
            return self.with_columns(class_names);
        }
        let mut labels = Vec::with_capacity(self.class_names.len());
        for name in &self.class_names {
            let Some(label) = class_names.iter().position(|known| known == name) else {
                let some: Vec<&str> = class_names.iter().take(10).map(String::as_str).collect();
                let more = if class_names.len() > some.len() { ", …" } else { "" };
                let problem = format!("is not one of the {} classes ({}{more})", class_names.len(), some.join(", "));
                return Err(Error::file(self.root.join(name), problem));
            };
            labels.push(label);
        }
        self.files.iter_mut().for_each(|file| file.label = labels[file.label]);
        self.class_names = class_names.to_vec();
        Ok(self)
    }

    /// Reorders the columns of labels or values.
    fn with_columns(mut self, names: &[String]) -> Result<Self> {
        let column = |name: &String| self.class_names.iter().position(|known| known == name);
        let columns: Option<Vec<usize>> = names.iter().map(column).collect();
        let Some(columns) = columns.filter(|columns| columns.len() == self.class_names.len()) else {
            let (own, others) = (self.class_names.join(", "), names.join(", "));
            return Err(Error::argument(format!("the images have {own}, and not {others}")));
        };
        for file in &mut self.files {
            file.row = columns.iter().map(|&column| file.row[column]).collect();
        }
        self.class_names = names.to_vec();
        Ok(self)
    }

    /// Joins two sets, with the classes of both, as a set of `root`.
    pub(super) fn joined(self, other: Self, root: &Path) -> Result<Self> {
        let mut names = [&self.class_names[..], &other.class_names[..]].concat();
        names.sort();
        names.dedup();
        let (mut all, other) = (self.with_classes(&names)?, other.with_classes(&names)?);
        all.files.extend(other.files);
        root.clone_into(&mut all.root);
        Ok(all)
    }

    /// The set without classes that have no image, and their names.
    pub(super) fn without_empty_classes(mut self) -> (Self, Vec<String>) {
        let counts = self.counts();
        let mut labels = Vec::with_capacity(counts.len());
        let (mut names, mut empty) = (Vec::new(), Vec::new());
        for (name, count) in std::mem::take(&mut self.class_names).into_iter().zip(counts) {
            labels.push(names.len());
            if count > 0 { names.push(name) } else { empty.push(name) }
        }
        self.class_names = names;
        self.files.iter_mut().for_each(|file| file.label = labels[file.label]);
        (self, empty)
    }

    /// The names of the classes without images.
    pub(super) fn missing_classes(&self) -> Vec<String> {
        let counts = self.counts();
        self.class_names.iter().zip(counts).filter(|(_, count)| *count == 0).map(|(name, _)| name.clone()).collect()
    }

    /// The number of files read for this set, including skipped ones.
    pub(super) fn len_with<T>(&self, skipped: &[T]) -> usize {
        self.files.len() + skipped.len()
    }

    pub(super) fn files(&self) -> &[ImageFile] {
        &self.files
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn clone_without_files(&self) -> Self {
        let Self { root, class_names, classified, kind, limits, cpu, kept, .. } = self;
        let (root, class_names, limits, kept) = (root.clone(), class_names.clone(), limits.clone(), kept.clone());
        Self { root, files: Vec::new(), class_names, classified: *classified, kind: *kind, limits, cpu: *cpu, kept }
    }
}

impl Dataset for FolderSet {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].label
    }

    fn targets(&self) -> Targets {
        self.kind.of(self.class_names.len())
    }

    fn target(&self, index: usize) -> &[f32] {
        &self.files[index].row
    }

    fn image_name(&self, index: usize) -> String {
        let path = self.path(index);
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    fn image(&self, index: usize) -> Result<Image> {
        Image::open_with(&self.files[index].path, &self.limits)
    }

    fn fill(&self, index: usize, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<()> {
        match (&self.files[index].kept, &self.kept) {
            (Some(pixels), Some(kept)) if kept.fits_alike(preprocessing) => preprocessing.convert_fitted(pixels, out),
            _ => preprocessing.apply(&self.image(index)?, out),
        }
    }

    fn fitted(&self, index: usize, preprocessing: &Preprocessing) -> Result<Image> {
        match (&self.files[index].kept, &self.kept) {
            (Some(pixels), Some(kept)) if kept.fits_alike(preprocessing) => {
                let [height, width, channels] = preprocessing.output_shape();
                Image::new(width, height, channels, pixels.to_vec())
            }
            _ => Ok(preprocessing.fitted(&self.image(index)?)?.into_owned()),
        }
    }

    fn is_slow(&self) -> bool {
        true
    }

    /// Decodes several images in parallel.
    fn fill_batch(
        &self,
        indices: &[usize],
        preprocessing: &Preprocessing,
        images: &mut [f32],
        labels: &mut [usize],
    ) -> Result<()> {
        let image_len: usize = preprocessing.output_shape().iter().product();
        if labels.len() != indices.len() || images.len() != indices.len() * image_len {
            return Err(Error::argument(format!(
                "a batch of {} images with {image_len} values each does not fit {} values and {} labels",
                indices.len(),
                images.len(),
                labels.len()
            )));
        }
        labels.iter_mut().zip(indices).for_each(|(label, &index)| *label = self.label(index));
        // Each item is locked once, by the thread that fills it.
        let items: Vec<_> =
            images.chunks_exact_mut(image_len.max(1)).map(|image| Mutex::new((image, Ok(())))).collect();
        self.cpu.parallel_for(items.len(), |_, item| {
            let mut item_mut = items[item].lock().unwrap_or_else(PoisonError::into_inner);
            let (image, outcome) = &mut *item_mut;
            *outcome = self.fill(indices[item], preprocessing, image);
        });
        // The error of the first image in batch order, independent of the threads.
        items.into_iter().try_for_each(|item| item.into_inner().unwrap_or_else(PoisonError::into_inner).1)
    }
}
