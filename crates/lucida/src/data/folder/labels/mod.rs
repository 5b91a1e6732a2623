//! Labels and groups of images that are not sorted into sub-folders: from a table, or from file names.

mod columns;
mod pattern;
mod table;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Skipped;
use super::hints::is_image_file;
use super::layout::{FoundFile, FoundPart, Layout};
use super::walk::{check_folder, files_below};
use crate::data::{Limits, TargetKind};
use crate::nn::{counted, thousands};
use crate::{Error, Result};
use columns::Columns;
use pattern::NamePattern;
use table::Table;

/// The name of the pattern part that is the class.
const CLASS: &str = "class";
/// The maximum number of names in a summary.
const NAMED: usize = 6;

/// Where the labels of the images of a folder come from, if not from its sub-folders, and how images are grouped.
///
/// ```
/// use lucida::prelude::*;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # let mut rows = "file,indoor,night,house\n".to_owned();
/// # for index in 0..12_u8 {
/// #     Image::filled(8, 8, &[index, 90, 9 * index]).save_png(folder.join(format!("{index}.png")))?;
/// #     rows += &format!("{index}.png,{},{},h{}\n", index % 2, u8::from(index > 5), index % 4);
/// # }
/// # std::fs::write(folder.join("rooms.csv"), rows).unwrap();
/// // file,indoor,night,house
/// // 0.png,0,0,h0
/// // 1.png,1,0,h1 ...
/// let source =
///     LabelSource { table: Some(folder.join("rooms.csv")), group: Some("house".into()), ..LabelSource::default() };
/// let photos = Folder::builder(folder).labels(&source).split(0.25, 42).open()?;
/// assert_eq!(photos.train.targets(), Targets::Labels(2));
/// assert_eq!(photos.class_names(), ["indoor", "night"]);
/// // All images of a house are on one side.
/// let train = &photos.train;
/// assert!((0..train.len()).all(|index| train.group(index) != photos.validation.group(0)));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSource {
    /// A table with a row for each image: comma-, semicolon- or tab-separated values with the column names in the first
    /// row. Files are searched in the image folder, then in the table's folder; extensions may be omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// The column of the file names; by default the first one that contains file names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_column: Option<String>,
    /// The columns of the targets; by default all others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_columns: Vec<String>,
    /// The kind of targets; by default classes in one column of text or of a few integers, labels in several columns of 0
    /// and 1, and values in columns of other numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetKind>,
    /// Instead of a table, a pattern of file names, whose part `class` is the class: `{class}_*.jpg`, or a regular
    /// expression with named groups, such as `(?<class>[a-z]+)[0-9]+`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The column of the table, or the part of the pattern, whose values identify groups of related images: all images of a
    /// patient, of a speaker, of a camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A pattern of file names whose parts identify groups, for any source of labels: `*_{speaker}_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_pattern: Option<String>,
}

impl LabelSource {
    /// Whether the default applies: sub-folders are classes, and there are no groups.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The MD5 digest of a table, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn digest_of(table: &Path) -> Result<String> {
        Ok(table::digest(&crate::files::read_limited(table, Limits::default().file_bytes)?))
    }
}

/// How a [`LabelSource`] was resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedLabels {
    /// The source with the selected columns and kind of targets.
    pub source: LabelSource,
    /// The MD5 digest of the table, in hexadecimal.
    pub digest: Option<String>,
    /// A one-line description: `labels.csv: 1,200 images, 3 labels (cat, dog, indoor), multi-label`.
    pub summary: String,
}

/// The layout of a folder with these labels, and how they were resolved.
///
/// # Errors
/// [`Error::Table`] when the table is invalid; [`Error::Argument`] when a pattern is; [`Error::File`] when the folder is.
pub(super) fn find(
    folder: &Path,
    source: &LabelSource,
    limits: &Limits,
    notes: &mut Vec<String>,
) -> Result<(Layout, Option<ResolvedLabels>)> {
    let groups = source.group_pattern.as_deref().map(NamePattern::new).transpose()?;
    let (mut layout, found) = match (&source.table, &source.pattern) {
        (Some(table), None) => of_table(folder, &Table::read(table, limits)?, source, notes)?,
        (None, Some(pattern)) => of_names(folder, pattern, source)?,
        (None, None) if source.group.is_some() => {
            return Err(Error::argument("groups by name need a table or a pattern that has them"));
        }
        (None, None) => (Layout::find(folder)?, None),
        (Some(_), Some(_)) => return Err(Error::argument("labels are from a table or from the names, not from both")),
    };
    if let Some(pattern) = groups {
        for (_, part) in &mut layout.parts {
            group(part, &pattern, source.group_pattern.as_deref().unwrap_or_default())?;
        }
    }
    let found = found.map(|mut found| {
        found.summary += &groups_of(&layout);
        found
    });
    Ok((layout, found))
}

/// The number of groups as text, if there are any.
fn groups_of(layout: &Layout) -> String {
    let files = layout.parts.iter().flat_map(|(_, part)| &part.files);
    let groups: std::collections::HashSet<&str> = files.filter_map(|file| file.group.as_deref()).collect();
    if groups.is_empty() { String::new() } else { format!(", {}", counted(groups.len(), "group")) }
}

/// Reads the groups of files from their names.
fn group(part: &mut FoundPart, pattern: &NamePattern, text: &str) -> Result<()> {
    let FoundPart { path: root, files, .. } = part;
    for file in files.iter_mut() {
        let found = pattern.read(root, &file.path).ok_or_else(|| {
            let problem = format!("its name does not match the pattern {text:?} of the groups");
            Error::file(&file.path, problem)
        })?;
        file.group = Some(found.join(" ").into());
    }
    Ok(())
}

/// A folder whose labels are in a table.
fn of_table(
    folder: &Path,
    table: &Table,
    source: &LabelSource,
    notes: &mut Vec<String>,
) -> Result<(Layout, Option<ResolvedLabels>)> {
    check_folder(folder)?;
    let columns = Columns::choose(table, folder, source)?;
    let (class_names, targets) = columns.targets(table)?;
    let paths = columns.files(table, folder)?;
    let groups = columns.groups(table)?;
    let files: Vec<FoundFile> = paths
        .into_iter()
        .zip(targets)
        .zip(groups)
        .map(|((path, (label, row)), group)| FoundFile { path, label, row, group })
        .collect();
    let listed: std::collections::HashSet<&PathBuf> = files.iter().map(|file| &file.path).collect();
    let others =
        files_below(folder, &mut Vec::new()).into_iter().filter(|file| is_image_file(file) && !listed.contains(file));
    let (name, others) = (file_name(table.path()), others.count());
    if others > 0 {
        let (images, are) = (counted(others, "image"), if others == 1 { "is" } else { "are" });
        notes.push(format!("{images} of {} {are} not in {name} and {are} left out", folder.display()));
    }
    let summary = format!("{name}: {}", summary(columns.kind, &class_names, files.len(), &columns.described(table)));
    let found =
        ResolvedLabels { source: columns.resolved(table, source), digest: Some(table.digest().to_owned()), summary };
    let part = FoundPart { path: folder.to_owned(), class_names, classified: true, kind: columns.kind, files };
    Ok((Layout::of_one(part, Vec::new()), Some(found)))
}

/// A folder whose classes are in the names of its files.
fn of_names(folder: &Path, text: &str, source: &LabelSource) -> Result<(Layout, Option<ResolvedLabels>)> {
    check_folder(folder)?;
    let pattern = NamePattern::new(text)?;
    let part = |name: &str| {
        pattern.names().position(|known| known == name).ok_or_else(|| {
            let known: Vec<&str> = pattern.names().collect();
            Error::argument(format!("pattern {text:?} has no part {name:?}; its parts are {}", known.join(", ")))
        })
    };
    let (class, group) = (part(CLASS)?, source.group.as_deref().map(part).transpose()?);
    let mut skipped = Vec::new();
    let mut named = Vec::new();
    for path in files_below(folder, &mut skipped) {
        match pattern.read(folder, &path) {
            Some(mut parts) => {
                let group = group.map(|group| parts[group].clone().into());
                named.push((path, std::mem::take(&mut parts[class]), group));
            }
            None => skipped.push(Skipped::new(path, format!("its name does not match the pattern {text:?}"))),
        }
    }
    if named.is_empty() {
        let first = skipped.first().map(|file| format!(", such as {}", file_name(&file.path))).unwrap_or_default();
        let problem = format!("has no file whose name matches the pattern {text:?}: {} do not{first}", skipped.len());
        return Err(Error::file(folder, problem));
    }
    let mut class_names: Vec<String> = named.iter().map(|(_, class, _)| class.clone()).collect();
    class_names.sort();
    class_names.dedup();
    let files: Vec<FoundFile> = named
        .into_iter()
        .map(|(path, class, group)| {
            let label = class_names.binary_search(&class).unwrap_or_default();
            FoundFile { path, label, row: Vec::new(), group }
        })
        .collect();
    let summary = format!("{text}: {}", summary(TargetKind::Classes, &class_names, files.len(), ""));
    let found = ResolvedLabels { source: source.clone(), digest: None, summary };
    let (path, kind) = (folder.to_owned(), TargetKind::Classes);
    let part = FoundPart { path, class_names, classified: true, kind, files };
    Ok((Layout::of_one(part, skipped), Some(found)))
}

/// `1,200 images, 3 labels (cat, dog, indoor), multi-label`; `described` names the column of the classes.
fn summary(kind: TargetKind, names: &[String], images: usize, described: &str) -> String {
    let some = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED { ", …" } else { "" };
    let (noun, task) = match kind {
        TargetKind::Classes => ("class", "classification"),
        TargetKind::Labels => ("label", "multi-label"),
        TargetKind::Values => ("value", "regression"),
    };
    let count = counted(names.len(), noun);
    format!("{} images, {count}{described} ({some}{more}), {task}", thousands(images))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
