use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::data::{Dataset, Folder, FolderSet, Image, Targets};

/// A folder with images of these names and different content.
fn images<'a>(names: impl IntoIterator<Item = &'a str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in names.into_iter().enumerate() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(4, 4, &[number as u8, (number >> 8) as u8, 7]).save_png(path).unwrap();
    }
    folder
}

fn numbered(count: usize) -> TempDir {
    let names: Vec<String> = (0..count).map(|index| format!("{index}.png")).collect();
    images(names.iter().map(String::as_str))
}

/// A source with a table of this text.
fn table(folder: &TempDir, text: &str) -> LabelSource {
    let path = folder.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    LabelSource { table: Some(path), ..LabelSource::default() }
}

fn open(folder: &TempDir, source: &LabelSource) -> Result<Folder> {
    Folder::builder(folder.path()).labels(source).split(0.25, 1).open()
}

fn names(set: &FolderSet) -> BTreeSet<String> {
    (0..set.len()).map(|index| file_name(set.path(index))).collect()
}

/// A table with these columns for each image number.
fn rows(count: usize, head: &str, row: impl Fn(usize) -> String) -> String {
    (0..count).fold(format!("{head}\n"), |text, index| text + &row(index) + "\n")
}

#[test]
fn a_column_of_text_has_the_classes() {
    let folder = numbered(12);
    // The index column of pandas has no name.
    let text = rows(12, ",file,species", |index| format!("{index},{index}.png,{}", ["dog", "cat, big"][index % 2]));
    let found = open(&folder, &table(&folder, &text.replace("cat, big", "\"cat, big\""))).unwrap();
    assert_eq!(found.class_names(), ["cat, big", "dog"]);
    let labels = found.labels().unwrap();
    assert_eq!(labels.summary, "labels.csv: 12 images, 2 classes in column species (cat, big, dog), classification");
    assert_eq!(labels.source.file_column.as_deref(), Some("file"));
    assert_eq!(
        (&labels.source.target_columns[..], labels.source.targets),
        (&["species".to_owned()][..], Some(TargetKind::Classes))
    );
    assert_eq!((found.train.len(), found.validation.len()), (9, 3));
    for set in [&found.train, &found.validation] {
        for index in 0..set.len() {
            let number: usize = set.path(index).file_stem().unwrap().to_str().unwrap().parse().unwrap();
            assert_eq!(set.label(index), 1 - number % 2);
        }
    }
    // Opening the resolved source gives the same result.
    let again = open(&folder, &labels.source).unwrap();
    assert_eq!(names(&again.validation), names(&found.validation));
}

#[test]
fn columns_of_zero_and_one_are_labels_and_other_numbers_are_values() {
    let folder = numbered(12);
    let text = rows(12, "id;indoor;night", |index| format!("{index};{};{}", index % 2, ["no", "yes"][index / 6]));
    let found = open(&folder, &table(&folder, &text)).unwrap();
    assert_eq!(found.train.targets(), Targets::Labels(2));
    assert!(
        found.summary().starts_with("Found 12 images with 2 labels: 9 training, 3 validation"),
        "{}",
        found.summary()
    );
    let all = Folder::builder(folder.path()).labels(&table(&folder, &text)).open_set().unwrap().0;
    assert_eq!((all.target(1), all.target(6)), (&[1.0, 0.0][..], &[0.0, 1.0][..]));
    assert_eq!(all.counts(), [6, 6]);
    let turned = all.with_classes(&["night".to_owned(), "indoor".to_owned()]).unwrap();
    assert_eq!(turned.target(1), [0.0, 1.0]);
    assert!(turned.with_classes(&["night".to_owned()]).is_err());

    let text = rows(12, "file\tage\theight", |index| format!("{index}.png\t{index}\t1,{index}"));
    let found = open(&folder, &table(&folder, &text)).unwrap();
    assert_eq!((found.train.targets(), found.class_names().len()), (Targets::Values(2), 2));
    let summary = "labels.csv: 12 images, 2 values (age, height), regression";
    assert_eq!(found.labels().unwrap().summary, summary);
    // A column of integers: a few different ones are classes, many are values, and an explicit kind takes precedence.
    let text = |count: usize| rows(12, "file,n", |index| format!("{index}.png,{}", index % count));
    let kind = |source: &LabelSource| open(&folder, source).unwrap().train.targets();
    assert_eq!(kind(&table(&folder, &text(3))), Targets::Classes(3));
    assert_eq!(kind(&table(&folder, &text(12))), Targets::Values(1));
    let chosen = LabelSource { targets: Some(TargetKind::Values), ..table(&folder, &text(3)) };
    assert_eq!(kind(&chosen), Targets::Values(1));
    let chosen = LabelSource { targets: Some(TargetKind::Labels), ..table(&folder, &text(2)) };
    assert_eq!(kind(&chosen), Targets::Labels(1));
}

#[test]
fn bad_tables_are_refused_with_row_and_column() {
    let folder = numbered(8);
    fs::write(folder.path().join("note.txt"), "x").unwrap();
    let text = |change: &str, row: &str| {
        let rows = rows(8, "file,class,age", |index| format!("{index}.png,{},{index}", ["cat", "dog"][index % 2]));
        rows.replace(change, row)
    };
    let class = |source: LabelSource| LabelSource { target_columns: vec!["class".to_owned()], ..source };
    let refused = |source: &LabelSource, expected: &str| {
        let message = open(&folder, source).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let table = |text: &str| table(&folder, text);
    refused(
        &class(table(&text("3.png", "33.png"))),
        "labels.csv, row 5, column \"file\": there is no file \"33.png\" in ",
    );
    refused(&class(table(&text("3.png", "2.png"))), "row 5, column \"file\": \"2.png\" is in row 4 already");
    refused(&class(table(&text("3.png", ""))), "row 5, column \"file\": is empty: expected the name of a file");
    refused(&class(table(&text("3.png,dog", "3.png,"))), "row 5, column \"class\": is empty: fill the cell in");
    refused(
        &LabelSource { group: Some("age".to_owned()), ..class(table(&text("dog,3", "dog,"))) },
        "column \"age\": is empty: every image needs a group",
    );
    let wrong = |name: &str| LabelSource { target_columns: vec![name.to_owned()], ..table(&text("", "")) };
    refused(&wrong("clas"), "there is no column \"clas\"; the columns are file, class, age; did you mean class?");
    refused(&wrong("file"), "column \"file\": is the column of the file names, not of a target");
    refused(
        &LabelSource { group: Some("patient".to_owned()), ..class(table(&text("", ""))) },
        "there is no column \"patient\"",
    );
    refused(&LabelSource { group: Some("class".to_owned()), ..wrong("class") }, "is the column of the groups");
    // Text next to numbers: it is ambiguous which column is meant.
    refused(&table(&text("", "")), "row 2, column \"class\": \"cat\" is neither a label (0 or 1) nor a number");
    refused(
        &LabelSource { targets: Some(TargetKind::Values), ..class(table(&text("", ""))) },
        "row 2, column \"class\": is \"cat\": expected a number",
    );
    refused(
        &LabelSource { targets: Some(TargetKind::Labels), ..wrong("age") },
        "row 4, column \"age\": is \"2\": a label is 0 or 1",
    );
    refused(
        &LabelSource { targets: Some(TargetKind::Classes), ..table(&text("", "")) },
        "classes are in one column, not in 2 (class, age)",
    );
    refused(
        &LabelSource { targets: Some(TargetKind::Classes), ..wrong("age") },
        "column \"age\": has another value in every row",
    );
    refused(&table(&rows(8, "name,class", |index| format!("x{index}.png,{}", index % 2))), "no column names files in ");
    refused(
        &table(&rows(8, "0.png,cat", |index| format!("{index}.png,dog")).replacen("0.png,dog\n", "", 1)),
        "row 1: \"0.png\" is a file: the names of the columns are missing",
    );
    refused(&table(&rows(8, "file,", |index| format!("{index}.png,{index}"))), "no column of labels next to");
    refused(&table(&rows(8, "file,class", |index| format!("{index}.png,cat"))), "all images are of one class, \"cat\"");
}

#[test]
fn images_that_no_row_names_are_left_out_and_damaged_ones_skipped() {
    let folder = images(["a/1.png", "a/2.png", "b/3.png", "b/4.png", "5.png"]);
    fs::write(folder.path().join("b/4.png"), "no image").unwrap();
    let source = table(&folder, "file,n\na\\1.png,0.5\na/2,1.5\nb/3.png,2\nb/4.png,3\n");
    let found = open(&folder, &source).unwrap();
    assert_eq!((found.train.len() + found.validation.len(), found.skipped().len()), (3, 1));
    let note = found.notes().iter().find(|note| note.starts_with("1 image of ")).unwrap();
    assert!(note.ends_with(" is not in labels.csv and is left out"), "{note}");
}

#[test]
fn a_pattern_reads_the_classes_of_a_flat_folder() {
    let names: Vec<String> = (0..16)
        .map(|index| format!("{}_{}_{index}.png", ["cat", "dog"][index % 2], ["ann", "bob"][index / 8]))
        .collect();
    let folder = images(names.iter().map(String::as_str));
    fs::write(folder.path().join("readme.txt"), "x").unwrap();
    let source = LabelSource { pattern: Some("{class}_*.png".to_owned()), ..LabelSource::default() };
    let found = open(&folder, &source).unwrap();
    assert_eq!(found.class_names(), ["cat", "dog"]);
    assert_eq!(found.labels().unwrap().summary, "{class}_*.png: 16 images, 2 classes (cat, dog), classification");
    assert!(found.skipped()[0].reason.contains("does not match the pattern"), "{:?}", found.skipped());
    let source =
        LabelSource { pattern: Some("{class}_{owner}_*.png".to_owned()), group: Some("owner".to_owned()), ..source };
    let found = open(&folder, &source).unwrap();
    assert_eq!((found.train.len(), found.validation.len()), (8, 8));
    assert!(found.notes().contains(&"1 of 2 groups held out for validation".to_owned()), "{:?}", found.notes());
    for (source, expected) in [
        (LabelSource { group: Some("camera".to_owned()), ..source.clone() }, "has no part \"camera\""),
        (LabelSource { pattern: Some("{kind}_*".to_owned()), group: None, ..source.clone() }, "has no part \"class\""),
        (LabelSource { pattern: Some("{class}-*".to_owned()), group: None, ..source.clone() }, "no file whose name"),
        (LabelSource { group_pattern: Some("*-{g}".to_owned()), group: None, ..source }, "does not match the pattern"),
    ] {
        let message = open(&folder, &source).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// Names of 90 images: 2 classes, 9 owners with 5 to 15 images each.
fn owned() -> Vec<String> {
    let mut names = Vec::new();
    for owner in 0..9 {
        let count = 5 + (owner * 7) % 11;
        names.extend((0..count).map(|index| format!("{}_o{owner}x_{index}.png", ["cat", "dog"][index % 2])));
    }
    names
}

fn owners(set: &FolderSet) -> BTreeSet<String> {
    (0..set.len()).map(|index| set.group(index).unwrap().to_owned()).collect()
}

#[test]
fn a_split_never_tears_a_group() {
    let names = owned();
    let folder = images(names.iter().map(String::as_str));
    let source = LabelSource {
        pattern: Some("{class}_*.png".to_owned()),
        group_pattern: Some("*_{owner}_*".to_owned()),
        ..LabelSource::default()
    };
    let split = |fraction, seed| Folder::builder(folder.path()).labels(&source).split(fraction, seed).open().unwrap();
    let mut held_out = BTreeSet::new();
    for seed in 0..12 {
        let found = split(0.3, seed);
        let (train, validation) = (owners(&found.train), owners(&found.validation));
        assert!(train.is_disjoint(&validation), "{train:?} {validation:?}");
        assert_eq!(train.len() + validation.len(), 9);
        let share = found.validation.len() as f64 / names.len() as f64;
        assert!((0.2..0.4).contains(&share), "{share}");
        // Both classes, in nearly equal numbers.
        let counts = found.validation.counts();
        assert!(counts[0].abs_diff(counts[1]) <= 4, "{counts:?}");
        held_out.insert(validation);
        // Names are not examined for groups if the groups are known.
        assert!(!found.notes().iter().any(|note| note.contains("suggest")), "{:?}", found.notes());
    }
    assert!(held_out.len() > 1, "the seed chooses");
    assert_eq!(owners(&split(0.3, 5).validation), owners(&split(0.3, 5).validation));
    let torn = LabelSource { group_pattern: None, ..source };
    let found = Folder::builder(folder.path()).labels(&torn).split(0.3, 1).open().unwrap();
    let note = found.notes().iter().find(|note| note.contains("suggest")).unwrap();
    assert!(note.contains("9 groups, all of them in training and in validation images: "), "{note}");
    assert!(note.contains("the group pattern '*_{group}_*' keeps"), "{note}");
}

#[test]
fn folds_are_a_partition_with_whole_groups() {
    let names = owned();
    let folder = images(names.iter().map(String::as_str));
    // A copy of an image stays in its part.
    fs::copy(folder.path().join("cat_o0x_0.png"), folder.path().join("cat_o8x_99.png")).unwrap();
    let all = 1 + names.len();
    let pattern = LabelSource { pattern: Some("{class}_{owner}_*.png".to_owned()), ..LabelSource::default() };
    let grouped = LabelSource { group: Some("owner".to_owned()), ..pattern.clone() };
    for (source, most) in [(&pattern, 1), (&grouped, 12)] {
        let folds = |seed| Folder::builder(folder.path()).labels(source).split(0.2, seed).open_folds(4).unwrap();
        let found = folds(3);
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for fold in &found {
            let (train, validation) = (super::tests::names(&fold.train), super::tests::names(&fold.validation));
            assert!(train.is_disjoint(&validation) && train.len() + validation.len() == all);
            validation.into_iter().for_each(|name| *times.entry(name).or_default() += 1);
            assert!(fold.validation.len().abs_diff(all / 4) <= most, "{}", fold.validation.len());
            if source.group.is_some() {
                assert!(owners(&fold.train).is_disjoint(&owners(&fold.validation)));
            } else {
                let counts = fold.validation.counts();
                assert!(counts[0].abs_diff(counts[1]) <= 3, "{counts:?}");
                let copies =
                    ["cat_o0x_0.png", "cat_o8x_99.png"].map(|name| super::tests::names(&fold.train).contains(name));
                assert_eq!(copies[0], copies[1]);
            }
        }
        assert!(times.len() == all && times.values().all(|&times| times == 1), "each image validates once");
        let again = Folder::builder(folder.path()).labels(source).split(0.2, 3).fold(Some([2, 4])).open().unwrap();
        assert_eq!(super::tests::names(&again.validation), super::tests::names(&found[1].validation));
        assert!(
            (4..9).any(
                |seed| super::tests::names(&folds(seed)[0].validation) != super::tests::names(&found[0].validation)
            )
        );
    }
    let folds = |count| Folder::builder(folder.path()).labels(&grouped).open_folds(count).unwrap_err().to_string();
    assert!(folds(10).ends_with("has 9 groups, too few for 10 folds"), "{}", folds(10));
    assert!(folds(1).contains("2 folds or more"));
}

#[test]
fn folders_of_classes_have_groups_and_folds_too() {
    let names: Vec<String> = owned().iter().map(|name| name.replacen('_', "/", 1)).collect();
    let folder = images(names.iter().map(String::as_str));
    let source = LabelSource { group_pattern: Some("^(?<owner>o[0-9]+x)_".to_owned()), ..LabelSource::default() };
    let found = open(&folder, &source).unwrap();
    assert!(owners(&found.train).is_disjoint(&owners(&found.validation)) && found.labels().is_none());
    assert_eq!(Folder::builder(folder.path()).labels(&source).open_folds(3).unwrap().len(), 3);
    let parts = images(["train/cats/1.png", "train/dogs/2.png", "val/cats/3.png", "val/dogs/4.png"]);
    let message = Folder::builder(parts.path()).open_folds(2).unwrap_err().to_string();
    assert!(message.contains("is the validation part of its folder"), "{message}");
}

#[test]
fn two_sources_of_labels_are_refused() {
    let folder = numbered(4);
    let both = LabelSource { pattern: Some("{class}*".to_owned()), ..table(&folder, "file,n\n0.png,1\n") };
    assert!(open(&folder, &both).unwrap_err().to_string().contains("not from both"));
    let none = LabelSource { group: Some("owner".to_owned()), ..LabelSource::default() };
    assert!(open(&folder, &none).unwrap_err().to_string().contains("need a table or a pattern"));
}
