//! Reading class names from separate files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Model, Note};
use crate::nn::counted;
use crate::weights::json;
use crate::{Error, Result};

/// Class name files next to a model, in search order.
const NAME_FILES: [&str; 4] = ["labels.txt", "classes.txt", "class_indices.json", "metadata.json"];
/// Maximum bytes of a file: a thousand names take about 20 KB.
const MAX_BYTES: u64 = 4 << 20;

/// Reads class names: one per line, a JSON list, or a JSON object from name to index (like Keras's `class_indices`) or from
/// index to name (like `imagenet_class_index.json`), or with a list of `labels` (like Teachable Machine's `metadata.json`).
/// Lines may start with their number, as in Teachable Machine's files (`0 cat`).
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when it has no names, a missing or duplicate index, or a duplicate
/// name.
pub fn read_class_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    let failed = |source| Error::io(path, "read", source);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES {
        let what = format!("{}: bytes of a file of class names", path.display());
        return Err(Error::Limit { what, got: length, limit: MAX_BYTES });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not text in UTF-8"))?;
    names_in(&text).map_err(|problem| Error::file(path, problem))
}

/// Parses class names in any of the forms supported by [`read_class_names`].
///
/// ```
/// use lucida::weights::parse_class_names;
///
/// assert_eq!(parse_class_names("cat\ndog\n")?, ["cat", "dog"]);
/// assert_eq!(parse_class_names(r#"{"dog": 1, "cat": 0}"#)?, ["cat", "dog"]);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] says what is wrong with it.
pub fn parse_class_names(text: &str) -> Result<Vec<String>> {
    names_in(text).map_err(|problem| Error::argument(format!("the text {problem}")))
}

fn names_in(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let names = match text.trim_start().chars().next() {
        Some('[' | '{') => of_json(text)?,
        _ => of_lines(text),
    };
    if names.is_empty() {
        return Err("contains no class names: expected one per line, or JSON".to_owned());
    }
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("names the class {:?} twice", pair[0])),
        None => Ok(names),
    }
}

fn of_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let unnumbered = lines.iter().enumerate().map(|(index, line)| {
        let (number, name) = line.split_once([' ', '\t', ':', ','])?;
        let name = name.trim_start_matches([' ', '\t', ':', ',']);
        (number.parse() == Ok(index) && !name.is_empty()).then(|| name.to_owned())
    });
    let unnumbered: Option<Vec<String>> = unnumbered.collect();
    unnumbered.unwrap_or_else(|| lines.into_iter().map(str::to_owned).collect())
}

fn of_json(text: &str) -> Result<Vec<String>, String> {
    let not = |value: &Value| format!("not a list of names, or an object of names and indices: {value}");
    match json::parse(text.as_bytes()).map_err(|problem| format!("is not valid JSON: {problem}"))? {
        Value::Array(values) => {
            values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(|| not(value))).collect()
        }
        Value::Object(object) if object.get("labels").is_some_and(Value::is_array) => {
            of_json(&object["labels"].to_string())
        }
        Value::Object(object) => {
            let mut names = vec![None; object.len()];
            for (key, value) in &object {
                // {"cat": 0}, {"0": "cat"}, or {"0": ["n02123045", "tabby"]}
                let (index, name) = match (value.as_u64(), value.as_str(), value.get(1).and_then(Value::as_str)) {
                    (Some(index), _, _) => (usize::try_from(index).ok(), key.as_str()),
                    (_, Some(name), _) | (_, _, Some(name)) => (key.parse().ok(), name),
                    _ => return Err(not(value)),
                };
                let slot = index.and_then(|index| names.get_mut(index));
                let slot =
                    slot.ok_or_else(|| format!("the index of {name:?} is not from 0 to {}", object.len() - 1))?;
                if slot.replace(name.to_owned()).is_some() {
                    return Err(format!("gives the index of {name:?} to two names"));
                }
            }
            Ok(names.into_iter().flatten().collect())
        }
        other => Err(not(&other)),
    }
}

impl Model {
    /// Sets the class names from a file next to the model file, if one matches.
    pub(in crate::weights) fn find_class_names(&mut self, model_file: &Path) {
        let Ok(expected) = self.classes_by_shape() else { return };
        let own = model_file.with_extension("labels.txt");
        let shared = NAME_FILES.iter().map(|name| model_file.with_file_name(name));
        let mut ignored = None;
        for path in std::iter::once(own).chain(shared).filter(|path: &PathBuf| path.is_file()) {
            let problem = match read_class_names(&path) {
                Ok(names) if names.len() == expected => {
                    self.class_names = names;
                    return;
                }
                Ok(names) => format!(
                    "{} has {}, the network has {}: it is ignored",
                    path.display(),
                    counted(names.len(), "class name"),
                    counted(expected, "class")
                ),
                Err(problem) => format!("ignored: {problem}"),
            };
            ignored.get_or_insert(problem);
        }
        self.notes.extend(ignored.map(Note::ClassNames));
    }

    /// Sets the class names from this file.
    ///
    /// # Errors
    /// As [`read_class_names`]; [`Error::File`] when their number does not match.
    pub(in crate::weights) fn set_class_names(&mut self, path: &Path) -> Result<()> {
        let names = read_class_names(path)?;
        let expected = self.classes_by_shape()?;
        if names.len() != expected {
            let problem =
                format!("has {}, the network has {}", counted(names.len(), "class name"), counted(expected, "class"));
            return Err(Error::file(path, problem));
        }
        self.class_names = names;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        fs::write(&path, text).unwrap();
        read_class_names(&path)
    }

    #[test]
    fn every_usual_form_is_read() {
        for text in [
            "cat\ndog\n",
            "\u{feff}cat\r\n\r\ndog\r\n",
            "0 cat\n1 dog",
            "0: cat\n1: dog",
            "0,cat\n1,dog",
            r#"["cat", "dog"]"#,
            r#"{"dog": 1, "cat": 0}"#,
            r#"{"1": "dog", "0": "cat"}"#,
            r#"{"0": ["n1", "cat"], "1": ["n2", "dog"]}"#,
            r#"{"modelName": "pets", "labels": ["cat", "dog"], "imageSize": 224}"#,
        ] {
            assert_eq!(read(text).unwrap(), ["cat", "dog"], "{text}");
        }
        // Numbers that are not consecutive are part of the name.
        assert_eq!(read("7 up\n8 mile").unwrap(), ["7 up", "8 mile"]);
        assert_eq!(read("great white shark\ntiger shark").unwrap(), ["great white shark", "tiger shark"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "no class names"),
            ("cat\ncat", "twice"),
            ("[1, 2]", "not a list of names"),
            (r#"{"cat": 0, "dog": 2}"#, "0 to 1"),
            (r#"{"cat": 0, "dog": 0}"#, "two names"),
            (r#"{"cat": {}}"#, "not a list of names"),
            ("[", "not valid JSON"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            let error = parse_class_names(text).unwrap_err().to_string();
            assert!(error.starts_with("the text ") && error.contains(expected), "{text}: {error}");
        }
    }
}
