//! Shared by the tests of the command line: a small data set, a model trained on it, and helpers to run commands.
#![allow(dead_code)] // each test file uses only some of it

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use lucida::data::{Dataset, Mnist};
use tempfile::TempDir;

/// Numbers of training and test digits in the small data set.
pub(crate) const TRAIN: usize = 400;
pub(crate) const TEST: usize = 100;

/// A folder shared by all tests of a file: `data` has a small MNIST, `run` a model trained on it for one epoch.
pub(crate) struct Shared {
    folder: TempDir,
}

impl Shared {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }
}

/// The shared folder, created by the first test that needs it. A static is never dropped, so it is in the build folder and
/// is removed with it.
pub(crate) fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let shared = Shared { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        write_mnist(&shared.data());
        let run =
            lucida(["train", "mnist", "--epochs", "1", "--batch-size", "32", "--data", text(&shared.data()), "--out"])
                .arg(shared.run())
                .output()
                .unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        shared
    })
}

/// The program with arguments, isolated from the user's environment.
pub(crate) fn lucida<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::cargo_bin("lucida").unwrap();
    command.env_remove("LUCIDA_THREADS").env_remove("LUCIDA_SIMD").env_remove("LUCIDA_HUB").args(arguments);
    // Ignore the user's configuration and downloaded weights.
    command.env("LUCIDA_CONFIG", "");
    command.env("LUCIDA_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache"));
    command
}

/// Runs a command that must succeed, and returns its output.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = lucida(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// Runs a command that must fail with `code`, and returns its one-line error. Nothing else may be printed.
pub(crate) fn fail<'a>(code: i32, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = lucida(arguments).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(stdout(&output), "");
    assert!(message.starts_with("error: ") && message.lines().count() == 1, "{message:?}");
    message
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes the first built-in digits as the four MNIST files.
pub(crate) fn write_mnist(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let digits = Mnist::builtin().unwrap().train;
    for (prefix, first, count) in [("train", 0, TRAIN), ("t10k", TRAIN, TEST)] {
        let part = first..first + count;
        let pixels: Vec<u8> = part.clone().flat_map(|index| digits.pixels(index).to_vec()).collect();
        let labels: Vec<u8> = part.map(|index| digits.label(index) as u8).collect();
        fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), idx(&[count as u32, 28, 28], &pixels)).unwrap();
        fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), idx(&[count as u32], &labels)).unwrap();
    }
}

/// The bytes of an IDX file.
pub(crate) fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

/// Runs the program with file sizes limited to this many blocks of 512 or 1024 bytes: larger writes fail as on a full disk.
#[cfg(target_os = "linux")]
pub(crate) fn with_small_files(blocks: u32, arguments: &[&str]) -> std::process::Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let program = assert_cmd::cargo::cargo_bin("lucida");
    std::process::Command::new("bash").args(["-c", &script]).arg(program).args(arguments).output().unwrap()
}
