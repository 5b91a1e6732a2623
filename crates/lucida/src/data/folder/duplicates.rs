//! Duplicate images in a data set.
//!
//! A copy of a training image in the validation set makes a network look better than it is. Only exact copies of files are
//! found.

use std::collections::HashMap;
use std::path::PathBuf;

use super::FolderSet;
use crate::data::Dataset;
use crate::{Result, files};

/// Two files with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The first one, in the order of parts, classes and names.
    pub first: PathBuf,
    /// The copy.
    pub second: PathBuf,
    /// Whether they are in different parts: data leakage.
    pub across_parts: bool,
    /// Whether they are in different classes: contradictory labels.
    pub across_classes: bool,
}

/// The parts and indices of files with equal length and digest.
type Groups = HashMap<(u64, [u8; 16]), Vec<(usize, usize)>>;

/// Finds the copies within and across parts. Each copy is listed once, with the first file that has its bytes.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when a file that was read before cannot be read again.
pub(super) fn find(parts: &[Option<&FolderSet>]) -> Result<Vec<Duplicate>> {
    let mut groups: Groups = HashMap::new();
    let mut duplicates = Vec::new();
    for (part, set) in parts.iter().enumerate().filter_map(|(part, set)| Some((part, (*set)?))) {
        for (index, file) in set.files().iter().enumerate() {
            let group = groups.entry((file.len, file.digest)).or_default();
            let mut copy_of = None;
            for &(other_part, other) in group.iter() {
                let Some(other_set) = parts[other_part] else { continue };
                let limit = set.limits().file_bytes;
                let first = &other_set.files()[other];
                if files::read_limited(&first.path, limit)? == files::read_limited(&file.path, limit)? {
                    copy_of = Some((other_part, first));
                    break;
                }
            }
            match copy_of {
                Some((other_part, first)) => duplicates.push(Duplicate {
                    first: first.path.clone(),
                    second: file.path.clone(),
                    across_parts: other_part != part,
                    across_classes: first.label != file.label,
                }),
                None => group.push((part, index)),
            }
        }
    }
    Ok(duplicates)
}

/// The indices of files that are copies of an earlier one, each with the index of that one.
pub(super) fn within(set: &FolderSet) -> Result<Vec<(usize, usize)>> {
    let positions: HashMap<&PathBuf, usize> =
        set.files().iter().enumerate().map(|(index, file)| (&file.path, index)).collect();
    let pairs = find(&[Some(set)])?;
    Ok(pairs.iter().filter_map(|pair| Some((*positions.get(&pair.first)?, *positions.get(&pair.second)?))).collect())
}

/// Notes about copies: one sentence for each kind.
pub(super) fn notes(duplicates: &[Duplicate]) -> Vec<String> {
    let sentence = |one: &str, many: &str, kind: &dyn Fn(&Duplicate) -> bool| {
        let mut found = duplicates.iter().filter(|duplicate| kind(duplicate));
        let first = found.next()?;
        let count = 1 + found.count();
        let say = if count > 1 { ", for one" } else { "" };
        let (path, other) = (first.first.display(), first.second.display());
        let what = if count == 1 { one } else { many };
        Some(format!("{count} {what}: {path} and {other}{say}"))
    };
    let leaks = sentence(
        "validation or test image is an exact copy of an image in another part",
        "images that validate or test are exact copies of some in another part",
        &|d| d.across_parts,
    );
    let contradictions =
        sentence("image has an exact copy in another class", "images have exact copies in another class", &|d| {
            d.across_classes && !d.across_parts
        });
    let others = sentence(
        "image is an exact copy of another in its class",
        "images are exact copies of others in their class",
        &|d| !d.across_parts && !d.across_classes,
    );
    [leaks, contradictions, others].into_iter().flatten().collect()
}

impl FolderSet {
    /// Duplicate images in this set.
    ///
    /// # Errors
    /// Those of reading the files again.
    pub fn duplicates(&self) -> Result<Vec<Duplicate>> {
        if self.is_empty() { Ok(Vec::new()) } else { find(&[Some(self)]) }
    }
}
