//! Detecting groups in file names that a random split has separated.
//!
//! With recordings named like `7_jackson_32`, a random split puts each speaker on both sides, and a network that has
//! learned the voices looks better than it is. A recurring value at a fixed position of the names, which is neither the
//! class nor a counter, may be such a group. This is only a guess: only the owner of the data knows.

use std::collections::{BTreeMap, BTreeSet};

use super::set::FolderSet;
use crate::data::{Dataset, TargetKind};

/// The minimum number of images to detect a naming scheme.
const FEW: usize = 12;
/// The minimum number of different values: fewer are views (left and right) rather than groups.
const LEAST_VALUES: usize = 3;
/// The number of groups listed in a note.
const NAMED: usize = 3;

/// A file name split into words, with their separators.
struct Name {
    words: Vec<String>,
    separators: Vec<char>,
    class: usize,
    validates: bool,
}

fn names(set: &FolderSet, validates: bool, found: &mut Vec<Name>) {
    for index in 0..set.len() {
        let stem = set.path(index).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let is_separator = |c: char| !c.is_alphanumeric();
        found.push(Name {
            words: stem.split(is_separator).map(str::to_owned).collect(),
            separators: stem.chars().filter(|&c| is_separator(c)).collect(),
            class: set.label(index),
            validates,
        });
    }
}

/// A note about the position in the names that suggests separated groups, with a pattern that extracts them.
pub(super) fn note(train: &FolderSet, validation: &FolderSet) -> Option<String> {
    let mut all = Vec::with_capacity(train.len() + validation.len());
    names(train, false, &mut all);
    names(validation, true, &mut all);
    let words = all.first()?.words.len();
    if all.len() < FEW || all.iter().any(|name| name.words.len() != words) {
        return None;
    }
    let classified = train.kind() == TargetKind::Classes;
    let positions =
        (0..words).filter_map(|position| Some((position, groups_on_both_sides(&all, position, classified)?)));
    // A name is more likely a person's than a number.
    let is_number =
        |position: usize| values_at(&all, position).iter().all(|value| value.chars().all(|c| c.is_ascii_digit()));
    let (position, groups) = positions.min_by_key(|(position, _)| is_number(*position))?;
    let mut largest: Vec<(&str, usize)> = groups.iter().map(|(value, count)| (*value, *count)).collect();
    largest.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), value));
    let some = largest.iter().take(NAMED).map(|(value, count)| format!("{value} ({count} images)"));
    let more = if largest.len() > NAMED { ", …" } else { "" };
    let some = some.collect::<Vec<_>>().join(", ");
    let all_groups = values_at(&all, position).len();
    let affected =
        if largest.len() == all_groups { "all of them".to_owned() } else { format!("{} of them", largest.len()) };
    Some(format!(
        "the file names suggest {all_groups} groups, {affected} in training and in validation images: {some}{more}. If these are \
         patients, speakers or cameras, the validation metrics are too good for new ones; the group pattern '{}' keeps each \
         of them on one side",
        pattern(&all[0], position)
    ))
}

/// The pattern for a group at a position of the name.
fn pattern(name: &Name, position: usize) -> String {
    let mut text = String::new();
    for at in 0..=position {
        text += if at == position { "{group}" } else { "*" };
        text.extend(name.separators.get(at));
    }
    if position == name.separators.len() { text + ".*" } else { text + "*" }
}

fn values_at(names: &[Name], position: usize) -> BTreeSet<&str> {
    names.iter().map(|name| name.words[position].as_str()).collect()
}

/// The values at a position that occur on both sides, with their image counts, if they look like groups.
fn groups_on_both_sides(names: &[Name], position: usize, classified: bool) -> Option<BTreeMap<&str, usize>> {
    let values = values_at(names, position);
    let is_number = |value: &&str| value.trim_start_matches(char::is_alphabetic).chars().all(|c| c.is_ascii_digit());
    let prefixes: BTreeSet<&str> =
        values.iter().map(|value| value.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    // A number at the end of the name is a counter: `_32`, `_frame32`.
    let counts = position + 1 == names[0].words.len() && values.iter().all(is_number) && prefixes.len() == 1;
    if counts || values.len() < LEAST_VALUES || 2 * values.len() > names.len() || values.contains("") {
        return None;
    }
    let mut classes: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let (mut images, mut sides) = (BTreeMap::new(), BTreeMap::<&str, [bool; 2]>::new());
    for name in names {
        let value = name.words[position].as_str();
        classes.entry(value).or_default().insert(name.class);
        *images.entry(value).or_insert(0) += 1;
        sides.entry(value).or_default()[usize::from(name.validates)] = true;
    }
    // A one-to-one correspondence with classes: this is the class name.
    let all: BTreeSet<usize> = classes.values().flatten().copied().collect();
    if classified && classes.values().all(|classes| classes.len() == 1) && all.len() == values.len() {
        return None;
    }
    images.retain(|value, _| sides[value] == [true; 2]);
    (2 * images.len() >= values.len()).then_some(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&str]) -> Vec<Name> {
        let name = |(index, text): (usize, &&str)| Name {
            words: text.split(['_', '.']).map(str::to_owned).collect(),
            separators: text.chars().filter(|c| "_.".contains(*c)).collect(),
            class: usize::from(text.starts_with('b') || text.starts_with('1')),
            validates: index % 5 == 0,
        };
        names.iter().enumerate().map(name).collect()
    }

    #[test]
    fn words_that_come_again_on_both_sides_are_groups() {
        let speakers = ["ann", "bob", "cy"];
        let digits: Vec<String> =
            (0..36).map(|index| format!("{}_{}_{}", index % 2, speakers[index / 2 % 3], index / 6)).collect();
        let digits: Vec<&str> = digits.iter().map(String::as_str).collect();
        let names = all(&digits);
        assert_eq!(groups_on_both_sides(&names, 0, true), None, "the class");
        assert_eq!(groups_on_both_sides(&names, 1, true).unwrap().keys().copied().collect::<Vec<_>>(), speakers);
        assert_eq!(groups_on_both_sides(&names, 2, true), None, "a running number");
        assert_eq!(pattern(&names[0], 1), "*_{group}_*");
        assert_eq!(pattern(&names[0], 0), "{group}_*");
        assert_eq!(pattern(&names[0], 2), "*_*_{group}.*");
    }

    #[test]
    fn ordinary_names_are_not_suspected() {
        for prefix in ["a", "IMG"] {
            let photos: Vec<String> = (0..40).map(|index| format!("{prefix}_{index}")).collect();
            let names = all(&photos.iter().map(String::as_str).collect::<Vec<_>>());
            assert!((0..2).all(|position| groups_on_both_sides(&names, position, true).is_none()));
        }
        let views: Vec<String> =
            (0..40).map(|index| format!("{}_{}", index / 2, ["left", "right"][index % 2])).collect();
        let names = all(&views.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(groups_on_both_sides(&names, 1, true), None, "left and right");
    }
}
