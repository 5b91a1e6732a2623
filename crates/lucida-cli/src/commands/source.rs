//! Images to run a model on: digits, or the images of a folder.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use lucida::data::{
    Dataset, Folder, FolderBuilder, FolderSet, Image, LabelSource, LabeledImages, Loader, Mnist, Part, Skipped,
    TargetKind, Targets, memory_to_keep,
};
use lucida::nn::thousands;
use lucida::train::Origin;
use lucida::weights::{Model, OutputKind, Outputs};

use super::{Context, note_blank};
use crate::arguments::{Indices, Source};
use crate::bar::Bar;
use crate::cli::{Evaluate, LabelArguments, PartName};
use crate::exit::Usage;
use crate::output::Output;

/// One part of a folder, split in the same way as for a training run.
fn split_of_run(
    builder: FolderBuilder<'_>,
    origin: &Origin,
    part: Part,
    output: Output,
) -> Result<(FolderSet, Vec<Skipped>, String)> {
    let folder = builder.fold(origin.fold).split(origin.validation_split, origin.seed).open()?;
    let found = [folder.train.len(), folder.validation.len()];
    if let Some([train, validation]) = origin.images.filter(|images| *images != found) {
        output.note(&format!(
            "{} has changed since the training, which split it into {train} and {validation} images (now {} and {}): the \
             model may have been trained on some of these",
            origin.data.display(),
            found[0],
            found[1]
        ));
    }
    let (skipped, all) = (folder.skipped().to_vec(), folder.summary());
    let set = match part {
        Part::Train => folder.train,
        Part::Validation => folder.validation,
        Part::Test => bail!("{}: has no test part", origin.data.display()),
    };
    Ok((set, skipped, all))
}

/// Whether the requested labels are those of the run; true if none are requested.
fn is_own(origin: &Origin, asked: &LabelArguments) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let own = origin.labels.as_ref();
    match (&asked.labels, &asked.label_pattern) {
        (Some(table), _) => own.and_then(|labels| labels.table.as_deref()).is_some_and(|own| real(own) == real(table)),
        (None, Some(pattern)) => own.and_then(|labels| labels.pattern.as_ref()) == Some(pattern),
        (None, None) => true,
    }
}

/// The requested labels, of the kind that the model predicts. The target columns default to the model's own labels or
/// values.
fn labels_for(asked: &LabelArguments, model: &Model) -> Result<LabelSource> {
    let kind = match Outputs::of(model)?.kind() {
        OutputKind::Classes | OutputKind::TwoClasses => TargetKind::Classes,
        OutputKind::Labels => TargetKind::Labels,
        OutputKind::Values => TargetKind::Values,
    };
    if asked.labels.is_none() {
        return Ok(asked.source(None));
    }
    let mut source = asked.source(Some(kind));
    if source.target_columns.is_empty() && kind != TargetKind::Classes {
        source.target_columns.clone_from(&model.class_names);
    }
    Ok(source)
}

/// Opens a folder of images. Preprocessed images are kept in memory as far as there is room.
fn keeping_builder<'a>(folder: &Path, model: &Model, context: Context, bar: &'a mut Bar) -> FolderBuilder<'a> {
    let builder = Folder::builder(folder).cpu(context.cpu).progress(bar);
    match model.preprocessing() {
        Ok(preprocessing) => builder.keep(preprocessing, memory_to_keep()),
        Err(_) => builder,
    }
}

/// The requested part; otherwise the last one of a folder in `parts`, otherwise the validation part of a run; `None` for all
/// images.
fn wanted_part(name: Option<PartName>, parts: &[Part], of_run: bool) -> Option<Part> {
    match name {
        Some(PartName::All) => None,
        Some(PartName::Train) => Some(Part::Train),
        Some(PartName::Validation) => Some(Part::Validation),
        Some(PartName::Test) => Some(Part::Test),
        None if parts.len() > 1 => parts.last().copied(),
        None => of_run.then_some(Part::Validation),
    }
}

/// Number of skipped files named on standard error; the table lists all of them.
const NAMED: usize = 5;
/// Batch size when checking for digits.
const DIGITS: usize = 256;

/// Images to run a model on, with names for messages.
pub(super) struct ImageSet {
    set: Set,
    /// Where they come from: `test digits of DIR`.
    pub(super) origin: String,
    /// Files of the folder that cannot be used.
    pub(super) skipped: Vec<Skipped>,
    /// Name of the part of the folder, if one was requested or matters.
    pub(super) part: Option<&'static str>,
}

enum Set {
    /// Digits, the name of a single one, and whether they are built in.
    Digits {
        images: LabeledImages,
        name: &'static str,
        builtin: bool,
    },
    Folder(FolderSet),
}

impl ImageSet {
    /// Loads the test digits of a folder with MNIST or the built-in digits, or opens a folder of images. Preprocessed images
    /// are kept in memory as far as there is room.
    pub(super) fn load(source: &Source, model: &Model, strict: bool, context: Context) -> Result<Self> {
        let folder = match source {
            Source::Mnist(folder) => return Self::digits(folder.as_deref()),
            Source::Folder(folder) => folder,
        };
        let mut bar = Bar::new(context.output);
        let builder = keeping_builder(folder, model, context, &mut bar).strict(strict);
        let (set, skipped) = builder.open_set()?;
        drop(bar);
        let origin = format!("images of {}", set.root().display());
        let found = set.summary();
        let images = Self { set: Set::Folder(set), origin, skipped, part: None };
        images.tell(found, context.output);
        Ok(images)
    }

    /// Loads the images to evaluate on: a part of a folder that is divided into parts, or of the folder the model was
    /// trained on, split as in its run; otherwise all images of the folder, or digits.
    pub(super) fn part(arguments: &Evaluate, origin: Option<&Origin>, model: &Model, context: Context) -> Result<Self> {
        let given = match &arguments.data {
            Some(Source::Folder(folder)) => Some(folder.as_path()),
            None => None,
            Some(digits) if arguments.part.is_some() || arguments.labels.any() => {
                let option = if arguments.part.is_some() { "--part is" } else { "--labels and --label-pattern are" };
                return Err(Usage(format!("{option} for folders of images, not for {digits}")).into());
            }
            Some(digits) => return Self::load(digits, model, arguments.strict, context),
        };
        let folder = &arguments.labels.folder(given).ok_or_else(|| anyhow!("no folder of images was given"))?;
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let origin = origin.filter(|origin| whole.starts_with(&origin.data));
        let own = origin.filter(|origin| origin.data == whole && is_own(origin, &arguments.labels));
        let labels = match own.and_then(|origin| origin.labels.clone()) {
            Some(labels) => labels,
            None => labels_for(&arguments.labels, model)?,
        };
        if let Some(Err(changed)) = own.map(Origin::check_table) {
            context.output.note(&format!(
                "{changed}: its split is another one, and the model may have been trained on some of these"
            ));
        }
        let mut bar = Bar::new(context.output);
        let builder = keeping_builder(folder, model, context, &mut bar).strict(arguments.strict).labels(&labels);
        let parts = builder.parts()?;
        let in_parts = parts.len() > 1;
        let wanted = wanted_part(arguments.part, &parts, own.is_some());
        let with_found = |(set, skipped): (FolderSet, Vec<Skipped>)| {
            // The size of the part alone would read as that of the whole folder.
            let found = wanted.map_or_else(|| set.summary(), |part| set.part_summary(part));
            (set, skipped, found)
        };
        let (set, skipped, found) = match (own, wanted) {
            (_, None) => with_found(builder.open_part(None)?),
            (_, Some(part)) if in_parts => with_found(builder.open_part(Some(part))?),
            (Some(origin), Some(part)) => split_of_run(builder, origin, part, context.output)?,
            (None, Some(_)) => bail!(
                "{}: is not in parts (train, validation, test), and not the folder that the model was trained on: leave \
                 out --part",
                folder.display()
            ),
        };
        drop(bar);
        let part = match wanted {
            Some(part) => Some(part.name()),
            None => (in_parts || own.is_some()).then_some("all"),
        };
        if origin.is_some() && matches!(wanted, None | Some(Part::Train)) {
            context.output.note(
                "the model was trained on these images, or on some of them: new images will be classified less accurately",
            );
        }
        let origin = match wanted {
            Some(part) => format!("{} images of {}", part.name(), folder.display()),
            None => format!("images of {}", folder.display()),
        };
        let images = Self { set: Set::Folder(set), origin, skipped, part };
        images.tell(found, context.output);
        Ok(images)
    }

    /// Like [`load`](Self::load), but reads the files of a folder only on demand.
    pub(super) fn list(source: &Source, context: Context) -> Result<Self> {
        let folder = match source {
            Source::Mnist(folder) => return Self::digits(folder.as_deref()),
            Source::Folder(folder) => folder,
        };
        let (set, skipped) = Folder::builder(folder).cpu(context.cpu).list()?;
        let origin = format!("images of {}", set.root().display());
        Ok(Self { set: Set::Folder(set), origin, skipped, part: None })
    }

    /// The test digits of a folder, or the built-in digits.
    fn digits(folder: Option<&Path>) -> Result<Self> {
        let (images, name, origin) = match folder {
            Some(folder) => (Mnist::test_only(folder)?, "test digit", format!("test digits of {}", folder.display())),
            None => (Mnist::builtin()?.train, "built-in digit", "built-in digits".to_owned()),
        };
        let set = Set::Digits { images, name, builtin: folder.is_none() };
        Ok(Self { set, origin, skipped: Vec::new(), part: None })
    }

    /// Prints what was found and skipped on standard error, which leaves standard output to the results.
    fn tell(&self, found: String, output: Output) {
        output.note(&found);
        for Skipped { path, reason } in self.skipped.iter().take(NAMED) {
            output.note(&format!("skipped {}: {reason}", path.display()));
        }
        if self.skipped.len() > NAMED {
            output.note(&format!("{} files skipped in all", self.skipped.len()));
        }
    }

    /// The same images with labels in the order of the model's classes, for comparison with its predictions.
    pub(super) fn labeled_for(self, model: &Model, output: Output) -> Result<Self> {
        let numbered = |set: &FolderSet| set.class_names().iter().enumerate().all(|(at, name)| *name == at.to_string());
        if let (Set::Folder(set), true) = (&self.set, model.class_names.is_empty())
            && !numbered(set)
            && matches!(set.targets(), Targets::Classes(_))
        {
            output.note(&format!(
                "the model does not name its classes: taking the folders in alphabetical order ({}); --classes names them",
                set.class_names().join(", ")
            ));
        }
        let set = match self.set {
            Set::Folder(set) if !set.is_classified() => bail!(
                "{}: has no sub-folders, which name the classes of the images; expected one for each class",
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

    /// The underlying folder, if there is one.
    pub(super) fn folder(&self) -> Option<&FolderSet> {
        match &self.set {
            Set::Folder(set) => Some(set),
            Set::Digits { .. } => None,
        }
    }

    /// Whether these are the built-in digits, which a model trained here may have seen.
    pub(super) fn are_builtin(&self) -> bool {
        matches!(self.set, Set::Digits { builtin: true, .. })
    }

    pub(super) fn are_digits(&self) -> bool {
        matches!(self.set, Set::Digits { .. })
    }

    /// Name of an image in a message, where its index must not be mistaken for its class: `test digit no. 3 (a 7)`, or its
    /// file.
    pub(super) fn title(&self, index: usize) -> String {
        match &self.set {
            Set::Digits { name, images, .. } => {
                let digit = images.class_names()[images.label(index)].as_str();
                let article = if digit == "8" { "an" } else { "a" };
                format!("{name} no. {index} ({article} {digit})")
            }
            Set::Folder(_) => self.name(index),
        }
    }

    /// Name of an image in a table: `test digit 3`, or its file.
    pub(super) fn name(&self, index: usize) -> String {
        match &self.set {
            Set::Digits { name, .. } => format!("{name} {index}"),
            Set::Folder(set) => set.path(index).display().to_string(),
        }
    }

    /// Checks that an index is in range.
    pub(super) fn check(&self, index: usize) -> Result<()> {
        let len = self.set().len();
        if index >= len {
            let one = if self.are_digits() { "digit" } else { "image" };
            bail!("--index: there is no {one} {index}: the {} are 0..{len}", self.origin);
        }
        Ok(())
    }

    /// The original image.
    pub(super) fn image(&self, index: usize) -> Result<Image> {
        self.check(index)?;
        Ok(self.set().image(index)?)
    }

    /// Name of the image's class; `None` if unknown.
    pub(super) fn label(&self, index: usize) -> Option<&str> {
        let known = match &self.set {
            Set::Digits { .. } => true,
            Set::Folder(set) => set.is_classified() && matches!(set.targets(), Targets::Classes(_)),
        };
        known.then(|| self.set().class_names()[self.set().label(index)].as_str())
    }

    /// The requested indices, or all.
    pub(super) fn positions(&self, indices: Option<&Indices>) -> Result<Vec<usize>> {
        let len = self.set().len();
        let Some(indices) = indices else { return Ok((0..len).collect()) };
        match indices.below(len) {
            Ok(indices) => Ok(indices),
            Err(index) => Err(self.check(index).err().unwrap_or_else(|| anyhow!("there is no image {index}"))),
        }
    }

    /// Those of `indices` whose images contain no digit, if the model is for digits; prints a note about them.
    pub(super) fn without_digit(&self, indices: &[usize], model: &Model, context: Context) -> Result<BTreeSet<usize>> {
        let mut blank = BTreeSet::new();
        let Some(preprocessing) = model.preprocessing.as_ref().filter(|preprocessing| preprocessing.digit) else {
            return Ok(blank);
        };
        let len: usize = preprocessing.output_shape().iter().product();
        Loader::new(self.set(), preprocessing).threads(context.cpu.threads()).each(indices, DIGITS, |batch| {
            let images = batch.indices.iter().zip(batch.images.chunks_exact(len));
            blank.extend(images.filter(|(_, image)| !preprocessing.finds_digit(image)).map(|(&index, _)| index));
            Ok(true)
        })?;
        let names = || blank.iter().map(|&index| self.name(index));
        if blank.len() <= NAMED {
            names().for_each(|name| note_blank(&name, context));
        } else {
            let first: Vec<String> = names().take(NAMED).collect();
            context.output.note(&format!(
                "no digit was found in {} of {} images ({}, ...); the network gets blank images for them",
                thousands(blank.len()),
                thousands(indices.len()),
                first.join(", ")
            ));
        }
        Ok(blank)
    }
}
