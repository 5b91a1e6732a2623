//! Names that are nearly another: what somebody meant who made a typing error.

use std::fs;
use std::path::{Path, PathBuf};

/// The least number of letters to insert, delete or replace (Levenshtein, 1966).
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(256).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(256).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// The most names of a folder that are looked at.
const MOST: usize = 10_000;

/// The path of a file or folder that is there, for one that is not and differs in a few letters.
pub(crate) fn similar_path(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return similar_path(parent).map(|parent| parent.join(name)).filter(|path| path.exists());
    }
    let name = name.to_str()?.to_lowercase();
    let names = fs::read_dir(parent).ok()?.take(MOST).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let distances =
        names.filter(|other| !other.starts_with('.')).map(|other| (edit_distance(&other.to_lowercase(), &name), other));
    let allowed = (name.chars().count() / 3).max(1);
    let (_, nearest) = distances.filter(|(distance, _)| *distance <= allowed).min()?;
    Some(path.with_file_name(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_to_change() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn paths_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("photos")).unwrap();
        fs::write(folder.path().join("photos/cat.jpg"), "").unwrap();
        fs::write(folder.path().join("model.keras"), "").unwrap();
        let near = |name: &str| {
            similar_path(&folder.path().join(name)).map(|path| path.strip_prefix(&folder).unwrap().to_owned())
        };
        assert_eq!(near("phtos"), Some("photos".into()));
        assert_eq!(near("Photo"), Some("photos".into()));
        assert_eq!(near("mdel.keras"), Some("model.keras".into()));
        assert_eq!(near("phtos/cat.jpg"), Some("photos/cat.jpg".into()));
        assert_eq!(near("photos/cta.jpg"), Some("photos/cat.jpg".into()));
        for name in ["photos", "something", "phtos/none", "x"] {
            assert_eq!(near(name), None, "{name}");
        }
    }
}
