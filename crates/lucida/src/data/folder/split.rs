//! A part that validates, where a folder has none.

use super::{FolderSet, duplicates};
use crate::data::{Dataset, stratified_split};
use crate::nn::counted;
use crate::{Error, Result};

/// Splits a set: each class gives the same share. Copies of an image go with it, and a class of one image trains.
pub(super) fn split(
    set: FolderSet,
    fraction: f64,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<(FolderSet, FolderSet)> {
    let classes = set.class_names().len();
    let parts = stratified_split(&set.labels(), classes, fraction, seed)?;
    let mut validates = vec![false; set.len()];
    parts.validation.iter().for_each(|&index| validates[index] = true);

    let mut moved = 0;
    for (first, second) in duplicates::within(&set)? {
        if validates[first] != validates[second] {
            let other = if validates[first] { first } else { second };
            validates[other] = false;
            moved += 1;
        }
    }
    if moved > 0 {
        let images = counted(moved, "image");
        notes.push(format!("{images} with an exact copy on the training side kept there rather than validating"));
    }
    for class in 0..classes {
        let mut members = (0..set.len()).filter(|&index| set.label(index) == class).peekable();
        let Some(&first) = members.peek() else { continue };
        if members.all(|index| validates[index]) {
            validates[first] = false;
        }
    }
    let indices = |wanted: bool| (0..set.len()).filter(|&index| validates[index] == wanted).collect::<Vec<_>>();
    let (train, validation) = (indices(false), indices(true));
    if validation.is_empty() && fraction > 0.0 {
        let problem = match moved {
            0 => format!(
                "has too few images ({}) to hold out a fraction of {fraction} for validation: add images",
                set.len()
            ),
            _ => "has no validation image that is not an exact copy of a training image: remove the copies".to_owned(),
        };
        return Err(Error::file(set.root(), problem));
    }
    Ok((set.take(&train), set.take(&validation)))
}
