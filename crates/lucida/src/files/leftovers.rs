//! Names of temporary files that identify their process, so that leftovers of killed processes can be distinguished from
//! files that are still being written.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The prefix of all temporary names.
pub(super) const PREFIX: &str = ".lucida-";
/// The suffix of temporary files.
pub(super) const SUFFIX: &str = ".part";

/// Identifies this process within a name: `BOOT-NAMESPACE-PID`. The process ID alone is ambiguous: folders are shared with
/// other machines, and with containers that have their own process IDs.
pub(super) fn own_tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| format!("{}-{}", machine(), process_id()))
}

/// The ID of this process; zero in WebAssembly, which has no processes, and where [`std::process::id`] panics.
pub(crate) fn process_id() -> u32 {
    if cfg!(target_family = "wasm") { 0 } else { std::process::id() }
}

/// Identifies the scope of process IDs: this boot of this machine, and this PID namespace.
fn machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        format!("{boot}-{namespace}")
    })
}

/// Whether the process that a name `.lucida-TAG-...` belongs to is known to have ended. False for processes of other
/// machines, whose state is unknown.
pub(super) fn is_abandoned(name: &str) -> bool {
    let own = |rest: &str| {
        let pid = rest.strip_prefix(machine())?.strip_prefix('-')?;
        pid.split(['-', '.']).next()?.parse::<u32>().ok()
    };
    let pid = name.strip_prefix(PREFIX).and_then(own);
    // Without /proc, no process is known to have ended.
    pid.is_some_and(|pid| Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes temporary files of killed processes from a folder, once per folder.
pub(super) fn sweep(folder: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !swept.get_or_insert_default().insert(folder.to_owned()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(SUFFIX) && is_abandoned(name)) {
            // A file that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_files_of_processes_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let place = |name: String| {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            path
        };
        let abandoned = place(format!("{PREFIX}{}-{gone}-ab12{SUFFIX}", machine()));
        let kept = [
            place(format!("{PREFIX}{}-ab12{SUFFIX}", own_tag())),
            place(format!("{PREFIX}00000000-1-{gone}-ab12{SUFFIX}")),
            place(format!("{PREFIX}{}-{gone}-notes.txt", machine())),
            place("photo.part".to_owned()),
        ];
        super::super::write_bytes(folder.path().join("result"), b"new").unwrap();
        assert!(!abandoned.exists());
        assert!(kept.iter().all(|path| path.exists()));
    }
}
