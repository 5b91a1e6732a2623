//! Names of temporary files that tell whose they are, so that what a killed process has left can be told from what another
//! one is still writing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What all temporary names begin with.
const PREFIX: &str = ".lucida-";
/// What the names of temporary files end with.
pub(super) const SUFFIX: &str = ".part";
/// After this time without a change, what nothing is known of is abandoned: that of another machine, say.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// What the temporary names of this process begin with: `.lucida-HOST-BOOT-NAMESPACE-PID-`. A number alone would not do:
/// folders are shared with other machines, and with containers that number their processes anew; and after a restart of the
/// machine another process may have it.
pub(super) fn own_prefix() -> String {
    prefix(machine(), std::process::id())
}

fn prefix([host, boot, namespace]: &[String; 3], pid: u32) -> String {
    format!("{PREFIX}{host}-{boot}-{namespace}-{pid}-")
}

/// Where process numbers mean the same: this machine, since it was started, and its namespace of processes.
fn machine() -> &'static [String; 3] {
    static MACHINE: OnceLock<[String; 3]> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        [
            host.chars().filter(char::is_ascii_alphanumeric).take(16).collect(),
            boot.chars().filter(char::is_ascii_hexdigit).take(8).collect(),
            namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect(),
        ]
    })
}

/// Whether the process that a file or folder belongs to is gone.
pub(super) fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(tag) = name.strip_prefix(PREFIX) else { return false };
    let parts: Vec<&str> = tag.split('-').collect();
    let [own_host, own_boot, own_namespace] = machine();
    if let &[host, boot, namespace, pid, _] = &parts[..]
        && (host, Path::new("/proc/self").exists()) == (own_host, true)
    {
        if boot != own_boot {
            return true;
        }
        if namespace == own_namespace {
            return !Path::new("/proc").join(pid).exists();
        }
    }
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > OLD))
}

/// Removes the temporary files of killed processes from a folder, once for each folder.
pub(super) fn sweep(folder: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !swept.get_or_insert_default().insert(folder.to_owned()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(SUFFIX)) && is_abandoned(&entry.path()) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::SystemTime;

    use super::*;

    /// As [`own_prefix`], of a process that has ended.
    #[cfg(target_os = "linux")]
    pub(in super::super) fn prefix_of_a_dead_process() -> String {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        prefix(machine(), pid)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_files_of_processes_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: String| {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            path
        };
        let long_ago = SystemTime::now() - 2 * OLD;
        let aged = |path: PathBuf| {
            fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
            path
        };
        let [host, boot, namespace] = machine().clone();
        let elsewhere = prefix(&["other".into(), boot.clone(), namespace.clone()], 1);
        let restarted = prefix(&[host.clone(), "00000000".into(), namespace], 1);
        let container = prefix(&[host, boot, "1".into()], 1);
        let gone = prefix_of_a_dead_process();
        let abandoned = [
            place(format!("{gone}ab12{SUFFIX}")),
            place(format!("{restarted}ab12{SUFFIX}")),
            aged(place(format!("{elsewhere}old{SUFFIX}"))),
            aged(place(format!("{PREFIX}ab12{SUFFIX}"))),
        ];
        let kept = [
            aged(place(format!("{}ab12{SUFFIX}", own_prefix()))),
            place(format!("{elsewhere}ab12{SUFFIX}")),
            place(format!("{container}ab12{SUFFIX}")),
            place(format!("{PREFIX}ab12{SUFFIX}")),
            place(format!("{gone}notes.txt")),
            aged(place("photo.part".to_owned())),
        ];
        super::super::write_bytes(&folder.path().join("result"), b"new").unwrap();
        assert!(abandoned.iter().all(|path| !path.exists()), "{abandoned:?}");
        assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
    }
}
