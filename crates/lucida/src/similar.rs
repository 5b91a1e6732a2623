//! Similar names: suggestions for a misspelled one.

use std::fs;
use std::path::{Path, PathBuf};

/// The minimum number of insertions, deletions, substitutions and swaps of adjacent letters (Damerau, 1964; optimal string
/// alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|text| text.chars().take(256).collect::<Vec<char>>());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i][j - 1] + 1).min(rows[i - 1][j] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// The maximum edit distance: no suggestion is better than an unrelated word.
fn allowed(name: &str) -> usize {
    (name.chars().count() / 3).max(1)
}

/// The minimum length of a prefix or part that may stand for the whole name.
const PART: usize = 3;

/// The closest of the `known` names to a misspelled one: the whole name, or its part after a `_` or `-`, differs in a few
/// letters, or the name starts with the given text.
///
/// ```
/// use lucida::nearest_name;
///
/// assert_eq!(nearest_name("con2d", ["conv2d", "dense"]), Some("conv2d"));
/// assert_eq!(nearest_name("attention", ["conv2d", "dense"]), None);
/// ```
pub fn nearest_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_names(name, known, 1).first().copied()
}

/// The `most` closest names as by [`nearest_name`], closest first.
pub fn nearest_names<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let distances = known.into_iter().filter_map(|other| {
        let lower = other.to_lowercase();
        let begins = name.chars().count() >= PART && lower.starts_with(&name);
        let parts = lower.match_indices(['_', '-']).map(|(at, _)| &lower[at + 1..]);
        let parts = parts.filter(|part| part.chars().count() >= PART).chain([lower.as_str()]);
        // A part whose letters would all change is not a match.
        let near = |part: &str| {
            Some(edit_distance(part, &name)).filter(|&least| least <= allowed(&name) && least < part.chars().count())
        };
        let least = parts.filter_map(near).min();
        least.or_else(|| begins.then(|| edit_distance(&lower, &name))).map(|distance| (distance, other))
    });
    let mut found: Vec<(usize, &str)> = distances.collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().take(most).map(|(_, other)| other).collect()
}

/// The end of a message about an unknown name: a suggestion, and all of the `known` names, a list separated by `, `.
pub(crate) fn expected_one_of(name: &str, known: &str) -> String {
    match nearest_name(name, known.split(", ")) {
        Some(near) => format!("; did you mean {near:?}? Expected one of {known}"),
        None => format!("; expected one of {known}"),
    }
}

/// The maximum number of entries of a folder to compare.
const MOST: usize = 10_000;

/// For a path that does not exist, the closest existing one in its folder.
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
    let (_, nearest) = distances.filter(|(distance, _)| *distance <= allowed(&name)).min()?;
    Some(path.with_file_name(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_to_change() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("mnsit", "mnist"), 1);
    }

    #[test]
    fn names_that_were_meant() {
        let known =
            ["mnist", "brushwork", "grad-cam", "grad-cam++", "sobel-x", "flip", "conv2d", "max_pooling2d", "0", "7"];
        let pairs = [
            ("mnsit", "mnist"),
            ("brushwrk", "brushwork"),
            ("gradcam", "grad-cam"),
            ("Grad_CAM", "grad-cam"),
            ("sobell", "sobel-x"),
            ("sobel", "sobel-x"),
            ("flipp", "flip"),
            ("conv", "conv2d"),
            ("max_pool", "max_pooling2d"),
            ("pooling3d", "max_pooling2d"),
        ];
        for (name, near) in pairs {
            assert_eq!(nearest_name(name, known), Some(near), "{name}");
        }
        for name in ["", "x", "zzzzz", "frog", "foo", "seven", "table", "cifar", "photo", "12"] {
            assert_eq!(nearest_name(name, known), None, "{name}");
        }
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
