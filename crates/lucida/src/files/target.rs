//! What an output path refers to: a file, a stream, or standard output.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The maximum number of links to follow, as on Linux.
const MAX_LINKS: usize = 40;

/// Where the bytes written to a path go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `-`, or a path of the system for standard output.
    Stdout,
    /// A device, a pipe or an open file descriptor, which is written to directly.
    Stream(PathBuf),
    /// A regular file, or one that does not exist yet, behind all symbolic links.
    File(PathBuf),
}

impl Target {
    /// # Errors
    /// When symbolic links form a cycle, or cannot be read.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            // These paths are links to an open file descriptor, which may be a regular file but must not be replaced.
            match descriptor(&path) {
                Some("1") => return Ok(Self::Stdout),
                Some(_) => return Ok(Self::Stream(path)),
                None => {}
            }
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => path = super::folder_of(&path).join(fs::read_link(&path)?),
                Ok(found) if !found.is_file() && !found.is_dir() => return Ok(Self::Stream(path)),
                // Other problems are reported when writing.
                _ => return Ok(Self::File(path)),
            }
        }
        Err(io::Error::other("too many levels of symbolic links"))
    }
}

/// The file descriptor that a path refers to.
fn descriptor(path: &Path) -> Option<&str> {
    match path.to_str()? {
        "/dev/stdin" => Some("0"),
        "/dev/stdout" => Some("1"),
        "/dev/stderr" => Some("2"),
        path => path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_output_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        assert_eq!(Target::of(Path::new("-")).unwrap(), Target::Stdout);
        assert_eq!(Target::of(&file).unwrap(), Target::File(file.clone()));
        fs::write(&file, "x").unwrap();
        assert_eq!(Target::of(&file).unwrap(), Target::File(file));
        assert_eq!(Target::of(Path::new("./-")).unwrap(), Target::File("./-".into()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn links_are_followed_and_devices_are_streams() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, to) in [("link", "sub/file"), ("sub/up", "../link"), ("round", "round"), ("out", "/dev/stdout")] {
            fs::create_dir_all(at("sub")).unwrap();
            symlink(to, at(name)).unwrap();
        }
        assert_eq!(Target::of(&at("link")).unwrap(), Target::File(at("sub/file")));
        assert_eq!(Target::of(&at("sub/up")).unwrap(), Target::File(at("sub/../sub/file")));
        assert!(Target::of(&at("round")).is_err());
        for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert_eq!(Target::of(Path::new(path)).unwrap(), Target::Stdout, "{path}");
        }
        assert_eq!(Target::of(&at("out")).unwrap(), Target::Stdout);
        for path in ["/dev/null", "/dev/stderr", "/dev/fd/63"] {
            assert_eq!(Target::of(Path::new(path)).unwrap(), Target::Stream(path.into()));
        }
    }
}
