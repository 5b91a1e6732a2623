//! Patterns of file names: `{class}_*.jpg`, or a regular expression with named groups.

use std::path::Path;

use regex::Regex;

use crate::{Error, Result};

/// A pattern that extracts named parts from file names.
///
/// A pattern with `/` is matched against the path relative to the image folder, others only against the file name, as in
/// `.gitignore`.
#[derive(Debug)]
pub(super) struct NamePattern {
    regex: Regex,
    of_path: bool,
}

impl NamePattern {
    /// Parses a pattern: a regular expression if it has a named group, `(?<class>...)`; otherwise a glob for the whole name
    /// with `{class}` for a part, `*` for any characters, `?` for one, and `[0-9]` for one of a set.
    ///
    /// Parts match as few characters as possible: `{class}_*.jpg` ends the class at the first underscore, and
    /// `{class}_[0-9]*.jpg` at the first one followed by a digit.
    ///
    /// # Errors
    /// [`Error::Argument`] when it is invalid, or has no named part.
    pub(super) fn new(text: &str) -> Result<Self> {
        let is_regex = ["(?<", "(?P<"].iter().any(|group| text.contains(group));
        let source = if is_regex { text.to_owned() } else { expression(text)? };
        let regex = Regex::new(&source).map_err(|problem| {
            let reason = problem.to_string();
            let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Error::argument(format!("pattern {text:?}: {last}"))
        })?;
        let pattern = Self { regex, of_path: text.contains('/') };
        if pattern.names().next().is_none() {
            return Err(Error::argument(format!(
                "pattern {text:?} has no named part: write {{name}} for the part that is meant, as in {{name}}_*.jpg"
            )));
        }
        Ok(pattern)
    }

    /// The names of the parts, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    /// The values of the parts in the path of a file below `root`; `None` if it does not match.
    pub(super) fn read(&self, root: &Path, path: &Path) -> Option<Vec<String>> {
        let text = match self.of_path {
            true => path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/"),
            false => path.file_name()?.to_string_lossy().into_owned(),
        };
        let found = self.regex.captures(&text)?;
        // An optional group of a regular expression may not participate.
        self.names().map(|name| Some(found.name(name)?.as_str().to_owned())).collect()
    }
}

/// Converts a pattern with `{name}`, `*`, `?` and `[...]` to a regular expression.
fn expression(text: &str) -> Result<String> {
    let bad = |problem: &str| Error::argument(format!("pattern {text:?}: {problem}"));
    let mut source = "^".to_owned();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let until = |end: char| rest.find(end).map(|at| (&rest[1..at], &rest[at + 1..]));
        rest = match first {
            '{' => {
                let (name, rest) = until('}').ok_or_else(|| bad("a { is not closed"))?;
                let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !letters || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    return Err(bad(&format!("{{{name}}} is not a name of letters, digits and _")));
                }
                source += &format!("(?<{name}>[^/]+?)");
                rest
            }
            '[' => {
                let (set, rest) = until(']').ok_or_else(|| bad("a [ is not closed"))?;
                let (not, set) = set.strip_prefix('!').map_or(("", set), |set| ("^", set));
                source += &format!("[{not}{}]", set.replace('\\', "\\\\"));
                rest
            }
            '*' => {
                source += "[^/]*?";
                &rest[1..]
            }
            '?' => {
                source += "[^/]";
                &rest[1..]
            }
            _ => {
                let (letter, rest) = rest.split_at(first.len_utf8());
                source += &regex::escape(letter);
                rest
            }
        };
    }
    Ok(source + "$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, path: &str) -> Option<Vec<String>> {
        NamePattern::new(pattern).unwrap().read(Path::new("photos"), &Path::new("photos").join(path))
    }

    #[test]
    fn parts_of_names_are_read() {
        let parts = |values: &[&str]| Some(values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
        assert_eq!(read("{class}_*.jpg", "cat_12.jpg"), parts(&["cat"]));
        assert_eq!(read("{class}_{speaker}_*.png", "7_jackson_32.png"), parts(&["7", "jackson"]));
        // As short as possible, whatever follows.
        assert_eq!(read("{class}_*.jpg", "great_pyrenees_12.jpg"), parts(&["great"]));
        assert_eq!(read("{class}_[0-9]*.jpg", "great_pyrenees_12.jpg"), parts(&["great_pyrenees"]));
        assert_eq!(read("{class}_[!0-9]*.jpg", "great_pyrenees_12.jpg"), parts(&["great"]));
        assert_eq!(read("{class}.??.*", "a+b.01.tif"), parts(&["a+b"]));
        assert_eq!(read("{class}_*.jpg", "cat.jpg"), None);
        assert_eq!(read("{class}_*.jpg", "cat_1.jpg.txt"), None);
        // Only the file name is matched, unless the pattern has a slash.
        assert_eq!(read("{class}_*.jpg", "day/cat_12.jpg"), parts(&["cat"]));
        assert_eq!(read("{patient}/{class}_*.jpg", "p7/cat_12.jpg"), parts(&["p7", "cat"]));
        assert_eq!(read("{patient}/{class}_*.jpg", "x/p7/cat_12.jpg"), None);
        assert_eq!(read(r"(?P<class>[a-z]+)\d{2}", "cat12.jpg"), parts(&["cat"]));
        assert_eq!(read(r"^(?<class>[a-z]+)-(?<group>\d+)", "cat-12.jpg"), parts(&["cat", "12"]));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for (pattern, expected) in [
            ("*.jpg", "no named part"),
            ("{class_*.jpg", "a { is not closed"),
            ("{a b}_*.jpg", "is not a name"),
            ("{class}_[0-9.jpg", "a [ is not closed"),
            ("(?<class>[a-z", "unclosed character class"),
            ("{a}_{a}", "duplicate capture group name"),
        ] {
            let message = NamePattern::new(pattern).unwrap_err().to_string();
            assert!(message.contains(expected), "{pattern}: {message}");
        }
    }
}
