//! Splitting off a validation set, for a folder without one.

use super::set::FolderSet;
use super::{duplicates, groups};
use crate::data::{Dataset, TargetKind, stratified_split};
use crate::nn::counted;
use crate::{Error, Result};

/// Splits a set: groups stay together; without groups, the split is stratified by class, and copies of an image stay
/// together.
pub(super) fn split(
    set: FolderSet,
    fraction: f64,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<(FolderSet, FolderSet)> {
    check_fraction(fraction)?;
    let of_images = groups::numbered(&set);
    let (groups, noun) = match (of_images, set.kind()) {
        (Some(groups), _) => (groups, "group"),
        (None, TargetKind::Classes) => return stratified(set, fraction, seed, notes),
        (None, _) => (groups::of_copies(set.len(), &duplicates::within(&set)?), "image"),
    };
    let count = groups.iter().max().map_or(0, |last| last + 1);
    if fraction == 0.0 {
        let none = set.take(&[]);
        return Ok((set, none));
    }
    let parts = groups::assign(&set, &groups, &[1.0 - fraction, fraction], seed);
    let (train, validation) = (of_part(&set, &parts, |part| part == 0), of_part(&set, &parts, |part| part == 1));
    if train.is_empty() || validation.is_empty() {
        let problem = format!(
            "has {}, too few to hold out a fraction of {fraction} for validation: add images, or choose another fraction",
            counted(count, noun)
        );
        return Err(Error::file(set.root(), problem));
    }
    if noun == "group" {
        let held_out = groups.iter().zip(&parts).filter(|(_, part)| **part == 1);
        let held_out = held_out.map(|(group, _)| group).collect::<std::collections::BTreeSet<_>>().len();
        notes.push(format!("{held_out} of {} held out for validation", counted(count, "group")));
    }
    note_absent(&train, &validation, notes);
    Ok((train, validation))
}

/// The folds of a cross-validation: each image is in one validation set. Groups stay together; without groups, copies do.
pub(super) fn folds(set: &FolderSet, count: usize, seed: u64) -> Result<Vec<(FolderSet, FolderSet, Vec<String>)>> {
    let (groups, noun) = match groups::numbered(set) {
        Some(groups) => (groups, "group"),
        None => (groups::of_copies(set.len(), &duplicates::within(set)?), "image"),
    };
    let available = groups.iter().max().map_or(0, |last| last + 1);
    if count < 2 || available < count {
        let problem = match count {
            0 | 1 => format!("cross-validation takes 2 folds or more, not {count}"),
            _ => format!("has {}, too few for {count} folds", counted(available, noun)),
        };
        return Err(Error::file(set.root(), problem));
    }
    let parts = groups::assign(set, &groups, &vec![1.0 / count as f64; count], seed);
    (0..count)
        .map(|fold| {
            let train = of_part(set, &parts, |part| part != fold);
            let validation = of_part(set, &parts, |part| part == fold);
            if validation.is_empty() {
                let problem = format!("cannot be divided into {count} folds that all have images: use fewer folds");
                return Err(Error::file(set.root(), problem));
            }
            let mut notes = Vec::new();
            note_absent(&train, &validation, &mut notes);
            Ok((train, validation, notes))
        })
        .collect()
}

fn check_fraction(fraction: f64) -> Result<()> {
    stratified_split(&[], 0, fraction, 0).map(|_| ())
}

fn of_part(set: &FolderSet, parts: &[usize], wanted: impl Fn(usize) -> bool) -> FolderSet {
    let indices: Vec<usize> = (0..set.len()).filter(|&index| wanted(parts[index])).collect();
    set.take(&indices)
}

/// Notes classes and labels that are missing on one side: groups that stay together may contain all images of a class.
fn note_absent(train: &FolderSet, validation: &FolderSet, notes: &mut Vec<String>) {
    let noun = if train.kind() == TargetKind::Labels { "label" } else { "class" };
    for (set, side) in [(train, "training"), (validation, "validation")] {
        for (name, _) in set.class_names().iter().zip(set.counts()).filter(|(_, count)| *count == 0) {
            notes.push(format!("{noun} {name:?} has no {side} image"));
        }
    }
}

/// A stratified split of classes without groups.
fn stratified(set: FolderSet, fraction: f64, seed: u64, notes: &mut Vec<String>) -> Result<(FolderSet, FolderSet)> {
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
