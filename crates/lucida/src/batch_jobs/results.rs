//! The folder with the results of a batch job.
//!
//! ```text
//! job.json                        what the job is: another one cannot be mixed with it
//! items/3f/cat.jpg-3fa0....json   what was found about cats/cat.jpg, with what else was made next to it
//! failed/7c/dog.jpg-7c11....json  why dogs/dog.jpg failed
//! results.jsonl                   all results, in the order of the list, once the job is through
//! failures.csv                    all failures
//! ```
//!
//! 256 sub-folders, by the hash of the item's name, keep the number of files per folder manageable even for ten million
//! items.

use std::fs;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde_json::Value;

use super::Answer;
use crate::{Error, Result, files};

/// Maximum bytes of a result; the features of a large layer are the largest.
const RESULT: u64 = 64 << 20;
/// Characters of an item's name that are kept in the file name.
const SHOWN: usize = 60;

/// A folder with results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    folder: PathBuf,
}

/// Where the result for one item is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPath {
    stem: PathBuf,
}

/// How many items of a job succeeded and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The number of items.
    pub items: usize,
    /// Items done in earlier runs.
    pub before: usize,
    /// Items that have a result now.
    pub done: usize,
    /// Items that failed.
    pub failed: usize,
}

impl Results {
    /// Opens or creates a folder for the results of a job. `job` describes the task and its settings.
    ///
    /// # Errors
    /// [`Error::Argument`] when the folder has the results of another job; those of writing.
    pub fn create(folder: impl AsRef<Path>, job: &Value) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join("job.json");
        if path.exists() {
            let bytes = files::read_limited(&path, RESULT)?;
            let found: Value = serde_json::from_slice(&bytes)
                .map_err(|problem| Error::file(&path, format!("not a job description: {problem}")))?;
            if found != *job {
                return Err(Error::argument(format!(
                    "{} has the results of another job, {found}: each job needs a folder of its own",
                    folder.display()
                )));
            }
        } else {
            files::create_folder(folder)?;
            files::write_bytes(&path, job.to_string().as_bytes())?;
        }
        Ok(Self::at(folder))
    }

    /// The results in a folder that another process has created.
    pub fn at(folder: impl AsRef<Path>) -> Self {
        Self { folder: folder.as_ref().to_path_buf() }
    }

    /// Where the result for an item is stored.
    pub fn result_path(&self, item: &str) -> ResultPath {
        ResultPath { stem: self.stem("items", item) }
    }

    fn stem(&self, kind: &str, item: &str) -> PathBuf {
        let hash = Md5::digest(item.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = item.rsplit('/').next().unwrap_or(item);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let shown: String = name.chars().map(plain).take(SHOWN).collect();
        self.folder.join(kind).join(&hash[..2]).join(format!("{shown}-{hash}"))
    }

    /// Whether an item has a result.
    pub fn is_done(&self, item: &str) -> bool {
        self.result_path(item).file("json").exists()
    }

    /// Writes the result for an item atomically, which marks it as done.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(&self, item: &str, answer: Answer) -> Result<()> {
        write(&self.result_path(item).file("json"), item, answer)?;
        match fs::remove_file(self.failure(item)) {
            Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(self.failure(item), "write", problem))
            }
            _ => Ok(()),
        }
    }

    /// Records why an item failed.
    ///
    /// # Errors
    /// Those of writing.
    pub fn fail(&self, item: &str, problem: &str) -> Result<()> {
        let answer = Answer::from_iter([("error".to_owned(), Value::from(problem))]);
        write(&self.failure(item), item, answer)
    }

    fn failure(&self, item: &str) -> PathBuf {
        ResultPath { stem: self.stem("failed", item) }.file("json")
    }

    /// Collects all results into one file, and all failures into another.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn collect(&self, items: &[String], before: usize) -> Result<Summary> {
        let mut failures = Vec::new();
        let mut problem = None;
        let path = self.folder.join("results.jsonl");
        files::write_atomic(&path, |out| {
            for item in items {
                match files::read_limited(self.result_path(item).file("json"), RESULT) {
                    Ok(result) => {
                        out.write_all(&result)?;
                        out.write_all(b"\n")?;
                    }
                    Err(_) if !self.is_done(item) => failures.push(item),
                    Err(other) => {
                        problem.get_or_insert(other);
                    }
                }
            }
            Ok(())
        })?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let path = self.folder.join("failures.csv");
        if failures.is_empty() {
            let _ = fs::remove_file(&path);
        } else {
            let reason = |item: &str| -> String {
                let read = files::read_limited(self.failure(item), RESULT).ok();
                let note = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
                note.and_then(|note| note["error"].as_str().map(str::to_owned)).unwrap_or_default()
            };
            files::write_atomic(&path, |out| {
                writeln!(out, "item,error")?;
                failures.iter().try_for_each(|item| {
                    writeln!(out, "{},{}", files::csv_field(item), files::csv_field(&reason(item)))
                })
            })?;
        }
        let failed = failures.len();
        Ok(Summary { items: items.len(), before, done: items.len() - failed, failed })
    }
}

impl ResultPath {
    /// The path of an additional file for this item with this extension, such as `png`. Its folder exists once
    /// [`ready`](Self::ready) was called.
    pub fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        name.push(format!(".{ending}"));
        name.into()
    }

    /// As [`file`](Self::file), and creates the folder.
    ///
    /// # Errors
    /// Those of creating folders.
    pub fn ready(&self, ending: &str) -> Result<PathBuf> {
        let path = self.file(ending);
        path.parent().map_or(Ok(()), files::create_folder)?;
        Ok(path)
    }
}

/// Writes one line of JSON: the item and its entries.
fn write(path: &Path, item: &str, mut answer: Answer) -> Result<()> {
    path.parent().map_or(Ok(()), files::create_folder)?;
    answer.insert("item".to_owned(), Value::from(item));
    files::write_bytes(path, Value::Object(answer).to_string().as_bytes())
}
