//! Reading and writing whole files: writes are atomic, and every error names its path.

mod leftovers;
mod lock;
mod npy;
mod set_aside;
mod target;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) use leftovers::process_id;
pub use lock::FolderLock;
pub(crate) use npy::{MAGIC as NPY_MAGIC, parse_npy};
pub use npy::{npy_bytes, read_npy, write_npy};
use serde_json::Value;
pub use set_aside::{SetAside, heal};
use target::Target;

use crate::similar::similar_path;
use crate::{Error, Result};

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether a path means standard output: `-`, `/dev/stdout`, or a link to that.
pub fn is_stdout(path: impl AsRef<Path>) -> bool {
    matches!(Target::of(path.as_ref()), Ok(Target::Stdout))
}

/// Whether a path means standard input: `-`.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a path means a device, a pipe or standard output; the extension of such a path does not tell its format.
pub fn is_stream(path: impl AsRef<Path>) -> bool {
    matches!(Target::of(path.as_ref()), Ok(Target::Stdout | Target::Stream(_)))
}

/// Writes a file next to its target, syncs it and renames it, so that the target is either as it was or complete.
///
/// This holds for regular files and for those that do not exist yet. Symbolic links are followed and kept; a device or a
/// pipe is written to directly, and `-` is standard output.
///
/// ```
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// use lucida::files::write_atomic;
///
/// let path = folder.join("numbers.txt");
/// write_atomic(&path, |file| (1..=3).try_for_each(|number| writeln!(file, "{number}")))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] names `path`, whichever step failed; the temporary file is removed.
pub fn write_atomic(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let written = match Target::of(path) {
        Ok(Target::Stdout) => write_to(io::stdout().lock(), write),
        Ok(Target::Stream(path)) => File::options().append(true).open(path).and_then(|stream| write_to(stream, write)),
        Ok(Target::File(path)) => replace(&path, write),
        Err(problem) => Err(problem),
    };
    written.map_err(|source| Error::io(path, "write", source))
}

fn write_to(out: impl Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 16, out);
    write(&mut buffered)?;
    buffered.flush()
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    leftovers::sweep(folder);
    let prefix = format!("{}{}-", leftovers::PREFIX, leftovers::own_tag());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(leftovers::SUFFIX);
    exists(folder)?;
    // Not `tempfile_in`, whose files are private and named in its errors: a result has the usual permissions.
    let mut temporary = builder.make_in(folder, |path| File::create_new(path))?;
    write_to(temporary.as_file_mut(), write)?;
    temporary.as_file().sync_all()?;
    // Not `persist`, which calls the system without the C library, where the tests let calls fail.
    fs::rename(temporary.path(), path)?;
    temporary.disable_cleanup(true);
    Ok(())
}

/// Refuses a missing folder: the system's error does not say whether the file or its folder is missing.
fn exists(folder: &Path) -> io::Result<()> {
    let (kind, problem) = match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => (io::ErrorKind::NotADirectory, "is a file"),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => (missing.kind(), "does not exist"),
        found => return found.map(drop),
    };
    Err(io::Error::new(kind, format!("the folder {} {problem}", folder.display())))
}

/// Writes `bytes` as [`write_atomic`] does.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |out| out.write_all(bytes))
}

/// Reads a whole file of at most `limit` bytes; `-` is standard input, whose content is kept and can be read again.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Limit`] when it is larger.
pub fn read_limited(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let failed = |source| Error::io(path, "read", source);
    if is_stdin(path) {
        let mut kept = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match kept.take() {
            Some(bytes) => bytes,
            None => read_at_most(io::stdin().lock(), Vec::new(), path, limit)?,
        };
        return Ok(kept.insert(bytes).clone());
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder, not a file"));
    }
    if metadata.len() > limit {
        return Err(too_large(path, metadata.len(), limit));
    }
    read_at_most(file, with_room(metadata.len() as usize).map_err(failed)?, path, limit)
}

/// An empty vector with room for `len` values, for lengths that come from files: what the system has no memory for is an
/// error, where an ordinary allocation ends the process.
pub(crate) fn with_room<T>(len: usize) -> io::Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    Ok(values)
}

/// The content of standard input, once read.
static STDIN: Mutex<Option<Vec<u8>>> = Mutex::new(None);

fn read_at_most(source: impl Read, mut bytes: Vec<u8>, path: &Path, limit: u64) -> Result<Vec<u8>> {
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|source| Error::io(path, "read", source))?;
    if bytes.len() as u64 > limit { Err(too_large(path, bytes.len() as u64, limit)) } else { Ok(bytes) }
}

fn too_large(path: &Path, got: u64, limit: u64) -> Error {
    Error::Limit { what: format!("{}: size in bytes", path.display()), got, limit }
}

/// A field of comma-separated values, quoted where necessary (RFC 4180). Text that a spreadsheet would evaluate as a
/// formula gets a leading apostrophe, which marks it as text.
///
/// ```
/// use lucida::files::csv_field;
///
/// assert_eq!(csv_field("cat"), "cat");
/// assert_eq!(csv_field("cats, dogs"), "\"cats, dogs\"");
/// assert_eq!(csv_field("=HYPERLINK(A1).jpg"), "'=HYPERLINK(A1).jpg");
/// assert_eq!(csv_field("-1"), "-1");
/// ```
pub fn csv_field(text: &str) -> Cow<'_, str> {
    let is_formula = is_formula(text);
    let mark = if is_formula { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{mark}{}\"", text.replace('"', "\"\"")).into()
    } else if is_formula {
        format!("{mark}{text}").into()
    } else {
        text.into()
    }
}

fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err()
}

/// Reverses the apostrophe of [`csv_field`] in a field that was read.
pub(crate) fn csv_text(field: &str) -> &str {
    field.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(field)
}

/// A number for a table, with six significant digits: 0.25, 0.333333, 1.23457e-12.
pub fn csv_number(value: f32) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(f64::from(value));
    let small = rounded != 0.0 && rounded.abs() < 1e-4;
    if small || rounded.abs() >= 1e15 { format!("{rounded:e}") } else { rounded.to_string() }
}

/// Converts a 32-bit number by its shortest decimal form: 0.99 rather than 0.9900000095367432.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Rewrites the 32-bit numbers in a JSON value in their shortest decimal form. `json!` and `to_value` widen them: 0.9
/// becomes 0.8999999761581421.
#[must_use]
pub fn decimals(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(wide) if f64::from(wide as f32) == wide => decimal(wide as f32).into(),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(decimals).collect(),
        Value::Object(entries) => entries.into_iter().map(|(name, value)| (name, decimals(value))).collect(),
        other => other,
    }
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Argument`] for `-`, which means standard output; [`Error::Io`] when it cannot be created.
pub fn create_folder(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if path.as_os_str() == "-" {
        return Err(Error::argument("- is standard output, which takes one file: name a folder, or write ./-"));
    }
    check_folders(path)?;
    fs::create_dir_all(path).map_err(|source| Error::io(path, "create the folder", source))
}

/// Refuses a folder if it, or one of its parents, is a file: the system's messages differ for that, and do not name the
/// file.
fn check_folders(path: &Path) -> Result<()> {
    match path.ancestors().find(|path| path.exists()) {
        Some(file) if !file.is_dir() => Err(Error::file(file, "is a file; a folder is needed")),
        _ => Ok(()),
    }
}

/// Checks that a file can be written before any long computation: the rule for every output file on a command line.
///
/// An existing file is replaced only with `force`. Standard output (`-`), devices and pipes are always written to, as
/// nothing is lost.
///
/// ```
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// use lucida::files::{claim_file, write_bytes};
///
/// let path = folder.join("result.csv");
/// claim_file(&path, false)?;
/// write_bytes(&path, b"class,probability\n")?;
/// assert!(claim_file(&path, false).is_err(), "it is not replaced");
/// claim_file(&path, true)?; // with force
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Exists`] when the file already exists and `force` is not set; [`Error::Io`] when its folder cannot be written
/// to, [`Error::File`] when it is a folder itself, or its folder does not exist or is a file.
pub fn claim_file(path: impl AsRef<Path>, force: bool) -> Result<()> {
    let path = path.as_ref();
    let failed = |source| Error::io(path, "write", source);
    let Target::File(target) = Target::of(path).map_err(failed)? else { return Ok(()) };
    if target.is_dir() {
        return Err(Error::file(path, "is a folder, not a file"));
    }
    if !force && target.exists() {
        return Err(Error::Exists { path: path.to_path_buf() });
    }
    let folder = folder_of(&target);
    check_folders(folder)?;
    if !folder.is_dir() {
        return Err(Error::file(folder, "no such folder"));
    }
    check_writable(folder).map_err(failed)
}

/// Creates a folder for files with these names, and checks that it can be written to before any long computation. Existing
/// files with these names are set aside until the new ones are complete, and restored if the command fails.
///
/// # Errors
/// [`Error::Exists`] when one of them already exists and `force` is not set; [`Error::Io`] when the folder cannot be
/// created or written to.
pub fn claim_folder(path: impl AsRef<Path>, names: &[&str], force: bool) -> Result<SetAside> {
    let path = path.as_ref();
    check_folder(path, names, force)?;
    SetAside::new(path, names)
}

/// As [`claim_folder`], but leaves all files where they are.
///
/// # Errors
/// As [`claim_folder`].
pub fn check_folder(path: impl AsRef<Path>, names: &[&str], force: bool) -> Result<()> {
    let path = path.as_ref();
    heal(path);
    // Also restore what killed processes had set aside in folders within this one.
    set_aside::places(path, names)?.iter().for_each(|place| set_aside::heal_one(&place.folder));
    let existing = names.iter().map(|name| path.join(name)).find(|file| file.exists());
    if let Some(path) = existing.filter(|_| !force) {
        return Err(Error::Exists { path });
    }
    create_folder(path)?;
    check_writable(path).map_err(|source| Error::io(path, "write to the folder", source))
}

/// Checks that files can be written in a folder, by creating an unnamed temporary one.
///
/// # Errors
/// Those of the system.
pub fn check_writable(folder: impl AsRef<Path>) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// For a path that does not exist, the closest existing file or folder name in the same folder, to suggest a correction.
pub fn similar(path: impl AsRef<Path>) -> Option<PathBuf> {
    similar_path(path.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/dir/m.onnx");
        let Err(Error::Io { source, .. }) = write_bytes(&path, b"x") else { panic!("written") };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        assert_eq!(source.to_string(), format!("the folder {} does not exist", folder.path().join("no/dir").display()));
        write_bytes(folder.path().join("no"), b"x").unwrap();
        let message = write_bytes(folder.path().join("no/m.onnx"), b"x").unwrap_err().to_string();
        assert!(message.ends_with("no is a file"), "{message}");
    }

    #[test]
    fn room_that_the_system_does_not_have_is_an_error() {
        assert_eq!(with_room::<u8>(3).unwrap().capacity(), 3);
        let problem = with_room::<f32>(usize::MAX / 8).unwrap_err();
        assert_eq!((problem.kind(), problem.to_string()), (io::ErrorKind::OutOfMemory, "out of memory".to_owned()));
    }

    #[test]
    fn numbers_of_tables_have_six_digits() {
        let numbers = [0.0, 0.25, 1.0 / 3.0, 0.999_999_9, 1.234_567_8e-12, 0.000_1, -123_456.79, f32::NAN];
        let texts = numbers.map(csv_number);
        assert_eq!(texts, ["0", "0.25", "0.333333", "1", "1.23457e-12", "0.0001", "-123457", "NaN"]);
    }

    #[test]
    fn numbers_of_32_bits_are_written_as_short_as_they_are() {
        let value = serde_json::json!({"beta": 0.9_f32, "rates": [0.1_f32, 1e-3, 2.5e-7_f32, 1.0 / 3.0], "n": 3});
        assert!(value.to_string().contains("0.8999999761581421"), "{value}");
        let expected = r#"{"beta":0.9,"n":3,"rates":[0.1,0.001,2.5e-7,0.3333333333333333]}"#;
        assert_eq!(decimals(value).to_string(), expected);
    }
}
