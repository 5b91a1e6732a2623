//! Where a command writes: one rule for all of them.
//!
//! What the command line names is never overwritten without `--force`. What it does not name gets a free name in the working
//! folder, after the input and the command.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, ValueHint};

use lucida::files;
use lucida::weights::MODEL_EXTENSIONS;

use crate::arguments::{Indices, ModelArguments, Source};

/// Several files, in a folder.
#[derive(Debug, Args)]
pub(crate) struct FolderPlace {
    /// Output folder [default: a new one in the current folder, named after the input and the command]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

/// One file.
#[derive(Debug, Args)]
pub(crate) struct FilePlace {
    /// Output file (.png, .tif or .jpg), or - for standard output, as PNG [default: a new one in the current folder, named after
    /// the input and the command]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

impl FolderPlace {
    /// The folder: `about-command`, where the command line names none.
    pub(crate) fn of(&self, about: &str, command: &str) -> PathBuf {
        free(self.out.as_deref(), self.force, format!("{about}-{command}").into())
    }

    /// As [`of`](Self::of), for a job that is resumed where it was stopped: the name is always the same.
    pub(crate) fn fixed(&self, about: &str, command: &str) -> PathBuf {
        free(self.out.as_deref(), true, format!("{about}-{command}").into())
    }
}

impl FilePlace {
    /// The file: `name.ending`, where the command line names none.
    pub(crate) fn of(&self, name: &str, ending: &str) -> PathBuf {
        free(self.out.as_deref(), self.force, format!("{name}.{ending}").into())
    }
}

/// Endings of files that Lucida writes or reads, in addition to [`MODEL_EXTENSIONS`]: nobody means a folder by such a name.
const FILE_ENDINGS: [&str; 15] =
    ["png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "svg", "csv", "json", "npy", "html", "lucida", "hdf5"];

/// A parser of folders for results: a new one is not called as a file is.
pub(crate) fn result_folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| refuse_file_name(&path).map(|()| path))
}

/// Says why a folder for results cannot be made under the name of a file. A path that exists says itself what it is.
pub(crate) fn refuse_file_name(path: &Path) -> Result<(), String> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_file = FILE_ENDINGS.contains(&ending.as_str()) || MODEL_EXTENSIONS.contains(&ending.as_str());
    if !is_file || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let (name, folder) = (path.display().to_string(), path.with_extension(""));
    Err(format!("expected a folder for the results; {name:?} is the name of a file, try {}", folder.display()))
}

/// The place that is given; else `default`, or where that exists and is not to be overwritten, the first of `default-2`,
/// `default-3`, … that does not.
pub(crate) fn free(given: Option<&Path>, force: bool, default: PathBuf) -> PathBuf {
    match given {
        Some(given) => given.to_owned(),
        None if force => default,
        None => numbered(&default, first_free(&default)),
    }
}

/// The number of the first free name of `path`, `path-2`, `path-3`, …
pub(crate) fn first_free(path: &Path) -> u32 {
    (1..).find(|&number| numbered(path, number).symlink_metadata().is_err()).unwrap_or(1)
}

/// `photo-2.png` of `photo.png`; the first is the path itself.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = (part(path.file_stem()), part(path.extension()));
    let name = if ending.is_empty() { format!("{stem}-{number}") } else { format!("{stem}-{number}.{ending}") };
    path.with_file_name(name)
}

/// What a file or folder is called in the names of results: `photo` of `photos/photo.jpg`.
pub(crate) fn name_of(path: &Path) -> String {
    if files::is_stdin(path) {
        return "stdin".to_owned();
    }
    let whole = if path.is_dir() { path.canonicalize().unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() };
    let name = if path.is_dir() { whole.file_name() } else { whole.file_stem() };
    let kept = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.unwrap_or_default().to_string_lossy().chars().take(80).map(kept).collect();
    let name = name.trim_matches('.');
    if name.is_empty() { "result".to_owned() } else { name.to_owned() }
}

impl ModelArguments {
    /// What the model is called in the names of results: a file of a run has the name of its folder.
    pub(crate) fn about(&self) -> String {
        about_model(&self.model)
    }
}

/// As [`ModelArguments::about`].
pub(crate) fn about_model(model: &str) -> String {
    let path = Path::new(model);
    let in_run = path.is_file() && matches!(path.file_stem().and_then(|stem| stem.to_str()), Some("model" | "last"));
    match path.parent().filter(|folder| in_run && !folder.as_os_str().is_empty()) {
        Some(folder) => name_of(folder),
        None => name_of(path),
    }
}

impl Source {
    /// What the data is called in the names of results.
    pub(crate) fn about(&self) -> String {
        match self {
            Self::Mnist(_) => "mnist".to_owned(),
            Self::Folder(folder) => name_of(folder),
        }
    }
}

/// What an image is called in the names of results: a file, or one of a data set.
pub(crate) fn about_image(image: Option<&Path>, data: Option<&Source>, index: Option<&Indices>) -> String {
    match (image, data, index) {
        (Some(image), ..) => name_of(image),
        (None, Some(data), index) => match index.and_then(Indices::only) {
            Some(index) => format!("{}-{index}", data.about()),
            None => data.about(),
        },
        (None, None, _) => "image".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let default = || at("photo-dream.png");
        assert_eq!(free(None, false, default()), default());
        std::fs::write(default(), "").unwrap();
        assert_eq!(free(None, false, default()), at("photo-dream-2.png"));
        std::fs::write(at("photo-dream-2.png"), "").unwrap();
        assert_eq!(free(None, false, default()), at("photo-dream-3.png"));
        assert_eq!(free(None, true, default()), default());
        assert_eq!(free(Some(&at("x")), false, default()), at("x"));
        assert_eq!(numbered(Path::new("runs/photos"), 2), Path::new("runs/photos-2"));
    }

    #[test]
    fn a_new_folder_is_not_called_as_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| refuse_file_name(&folder.path().join(name));
        assert!(["maps", "v1.2", "photos.d", "."].into_iter().all(|name| at(name).is_ok()));
        for name in ["x.png", "x.JPG", "a.b.csv", "model.keras"] {
            assert!(at(name).unwrap_err().contains("expected a folder for the results"), "{name}");
        }
        std::fs::create_dir(folder.path().join("old.png")).unwrap();
        assert_eq!(at("old.png"), Ok(()));
    }

    #[test]
    fn names_say_what_results_are_about() {
        assert_eq!(name_of(Path::new("a/my photo.tar.jpg")), "my_photo.tar");
        assert_eq!(about_model("vgg16-builtin"), "vgg16-builtin");
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("cats.dogs");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("model.safetensors"), "").unwrap();
        assert_eq!(about_model(run.to_str().unwrap()), "cats.dogs");
        assert_eq!(about_model(run.join("model.safetensors").to_str().unwrap()), "cats.dogs");
        let index = about_image(None, Some(&Source::Mnist(None)), Some(&"3".parse().unwrap()));
        assert_eq!((index.as_str(), name_of(Path::new("-"))), ("mnist-3", "stdin".to_owned()));
        assert_eq!(name_of(Path::new("..")), name_of(&Path::new("..").canonicalize().unwrap()));
    }
}
