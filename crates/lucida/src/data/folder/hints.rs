//! Hints for folders whose images are not sorted into a sub-folder for each class.
//!
//! Data sets also come in other layouts: a table of labels, or the class in each file name. They are recognized by their
//! file names, to explain how to read or sort them; nothing is moved.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::nn::counted;

/// The extensions of files that are images, or are meant to be.
const IMAGES: [&str; 12] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "heic", "heif", "avif", "jfif"];
const TABLES: [&str; 2] = ["csv", "tsv"];
/// The maximum number of classes in file names; more are likely numbers.
const MOST_CLASSES: usize = 100;
/// How the images of a flat folder could be labeled or sorted, as a clause; for unrecognized names, only that they need
/// sorting.
pub(super) fn unsorted(folder: &Path, files: &[PathBuf]) -> String {
    let table = files.iter().find(|file| has_ending(file, &TABLES));
    let table = table.map(|table| {
        let name = table.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} may say which: lucida train --labels {} trains with it", quoted(table))
    });
    table
        .or_else(|| sort_by_name(folder, files))
        .unwrap_or_else(|| "move the images of each class into a folder of their own".to_owned())
}

/// Whether a file name has an image extension: `photo.jpg`. The file need not exist, nor have a supported format.
pub fn is_image_file(file: impl AsRef<Path>) -> bool {
    has_ending(file.as_ref(), &IMAGES)
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    let ending = file.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Shell commands that sort the images by the start of their names, if these consist of a few recurring words.
pub(super) fn sort_by_name(folder: &Path, files: &[PathBuf]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files.iter().filter(|file| is_image_file(file)) {
        let name = file.file_name()?.to_str()?;
        let end = name.find(|c: char| c.is_ascii_digit() || "._- (".contains(c)).unwrap_or(name.len());
        // cat.jpg is a single image of a cat, not the first of a class.
        let is_numbered = name[end..].chars().any(|c| c.is_ascii_digit());
        let word = &name[..end];
        if !is_numbered || word.is_empty() || !word.chars().all(char::is_alphabetic) {
            return None;
        }
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    let cameras = ["img", "dsc", "dscn", "dscf", "pxl", "image", "photo", "frame", "screenshot", "mvi", "p", "gopr"];
    let by_camera = counts.keys().all(|word| cameras.contains(&word.to_lowercase().as_str()));
    if !(2..=MOST_CLASSES).contains(&counts.len()) || counts.values().any(|&count| count < 2) || by_camera {
        return None;
    }
    let classes: Vec<&str> = counts.keys().map(String::as_str).collect();
    let pattern = r"^(?<class>\p{L}+)";
    Some(format!(
        "the names of the files seem to say which ({}): lucida train {} --label-pattern '{pattern}' reads them, or this sorts \
         them: cd {} && for class in {}; do mkdir -p \"$class\" && \
         mv -- \"$class\"[-0-9._\\ \\(]* \"$class\"/; done",
        counted(classes.len(), "class"),
        quoted(folder),
        quoted(folder),
        classes.join(" ")
    ))
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str], table: Option<(&str, &str)>) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        if let Some((name, text)) = table {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let names = names.iter().copied().chain(table.map(|(name, _)| name));
        let files = names.map(|name| folder.path().join(name)).collect();
        (folder, files)
    }

    /// Runs the commands of a hint in a shell, and returns the files that are then in sub-folders.
    #[cfg(unix)]
    fn sorted(folder: &Path, hint: &str) -> Vec<String> {
        let script = &hint[hint.find("cd ").unwrap()..];
        let script = script.split("; then open").next().unwrap();
        let done = std::process::Command::new("bash").arg("-c").arg(script).output().unwrap();
        assert!(done.status.success(), "{hint}: {}", String::from_utf8_lossy(&done.stderr));
        let mut skipped = Vec::new();
        let listing = super::super::walk::list(folder, &mut skipped).unwrap();
        let files = listing.folders.iter().flat_map(|inside| super::super::walk::files_below(inside, &mut skipped));
        files.map(|file| file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[cfg(unix)]
    #[test]
    fn the_lines_of_a_hint_sort_the_images() {
        let (folder, files) = folder(&["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.22.jpg"], None);
        let hint = unsorted(folder.path(), &files);
        let expected = ["cat/cat.1.jpg", "cat/cat.2.jpg", "dog/dog.1.jpg", "dog/dog.22.jpg"];
        assert_eq!(sorted(folder.path(), &hint), expected, "{hint}");

        let table = ("t.tsv", "1.png\t7\tcat\n2.png\t9\tdog\n");
        let (folder, files) = self::folder(&["1.png", "2.png"], Some(table));
        let hint = unsorted(folder.path(), &files);
        assert!(hint.starts_with("t.tsv may say which: lucida train --labels '/"), "{hint}");
    }

    #[test]
    fn names_that_tell_no_classes_are_left_alone() {
        let plain = "move the images of each class into a folder of their own";
        for names in [
            &["IMG_001.jpg", "IMG_002.jpg", "DSC0003.jpg", "DSC0004.jpg"][..],
            &["1.jpg", "2.jpg"],
            &["cat.jpg", "dog.jpg"],
            &["beach 1.jpg", "beach 2.jpg"],
            &["a1.jpg", "b1.jpg", "b2.jpg"],
        ] {
            let (folder, files) = folder(names, None);
            assert_eq!(unsorted(folder.path(), &files), plain, "{names:?}");
        }
    }
}
