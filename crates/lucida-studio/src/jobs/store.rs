//! Storage of jobs: a folder for each, with its record, its events and its files.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lucida::files::{self, FolderLock};
use lucida::{Error, Result};
use serde_json::Value;

use super::{Record, State};

const RECORD: &str = "job.json";
const NEWS: &str = "news.jsonl";
/// File with the number of the newest job, even if that job was removed.
const LAST: &str = "last-job";
/// Maximum size in bytes of a record, and of a job's events.
const BYTES: u64 = 64 << 20;

/// The folder of all jobs.
pub(super) struct Store {
    folder: PathBuf,
    /// A second studio would take the jobs of the first for interrupted ones.
    _lock: FolderLock,
}

impl Store {
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let lock = FolderLock::create(&folder)?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Loads all records, sorted by number. Folders without a valid record are ignored.
    pub(super) fn load(&self) -> Vec<Record> {
        let Ok(folders) = fs::read_dir(&self.folder) else { return Vec::new() };
        let read = |folder: PathBuf| -> Option<Record> {
            if folder.file_name()?.to_str().and_then(number).is_some() && !folder.join(RECORD).exists() {
                // The studio was killed before it had written the record. Anything else in the folder keeps it.
                files::heal(&folder);
                let _ = fs::remove_dir(&folder);
            }
            let bytes = files::read_limited(folder.join(RECORD), BYTES).ok()?;
            let mut record: Record = serde_json::from_slice(&bytes).ok()?;
            // Reject a record from another folder, and one with a path in its list of files.
            if folder.file_name()?.to_str()? != record.id || record.files.iter().any(|file| !is_plain(file)) {
                return None;
            }
            if matches!(record.state, State::Queued | State::Running) {
                record.interrupt();
                let _ = self.save(&record);
            }
            Some(record)
        };
        let mut records: Vec<Record> = folders.flatten().filter_map(|folder| read(folder.path())).collect();
        records.sort_by_key(|record| number(&record.id));
        records
    }

    /// Returns the identifier of the next job: larger than any used before, so that an old link never leads to a new job.
    pub(super) fn next(&self, records: &[Record]) -> Result<String> {
        let used = files::read_limited(self.folder.join(LAST), 64).ok();
        let used = used.and_then(|text| number(String::from_utf8(text).ok()?.trim())).unwrap_or(0);
        let last = records.iter().filter_map(|record| number(&record.id)).max().unwrap_or(0).max(used);
        let free = |number: &u64| !self.folder.join(format!("{number:04}")).exists();
        let number = (last + 1..).find(free).unwrap_or(last + 1);
        files::write_bytes(self.folder.join(LAST), format!("{number}\n").as_bytes())?;
        Ok(format!("{number:04}"))
    }

    pub(super) fn create(&self, record: &Record) -> Result<()> {
        files::create_folder(self.folder(&record.id))?;
        self.save(record).inspect_err(|_| {
            // A folder without a record would be no job, and stay.
            let _ = fs::remove_dir_all(self.folder(&record.id));
        })
    }

    pub(super) fn save(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| Error::Bug(error.to_string()))?;
        files::write_bytes(self.folder(&record.id).join(RECORD), &bytes)
    }

    /// Appends an event to a job's log. A failed write, on a full disk for example, does not end the job.
    pub(super) fn append(&self, id: &str, news: &Value) {
        let _ = append_line(&self.folder(id).join(NEWS), &news.to_string());
    }

    /// Reads the events of a job.
    pub(super) fn news(&self, id: &str) -> Vec<Value> {
        let Ok(bytes) = files::read_limited(self.folder(id).join(NEWS), BYTES) else { return Vec::new() };
        bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    pub(super) fn remove(&self, id: &str) -> Result<()> {
        let folder = self.folder(id);
        fs::remove_dir_all(&folder).map_err(|error| Error::io(&folder, "remove", error))
    }
}

/// Appends a line. A last line that a killed process or a full disk has cut off is ended first, so that it spoils itself alone.
fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    let end = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{end}{line}\n").as_bytes())
}

/// Whether a text is a plain file name, not a path.
fn is_plain(file: &str) -> bool {
    let path = Path::new(file);
    path.file_name().is_some_and(|name| name == path.as_os_str()) && !file.contains(['/', '\\'])
}

fn number(id: &str) -> Option<u64> {
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by kills and failing calls.
    #[test]
    fn a_folder_without_a_record_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path().to_owned()).unwrap();
        for name in ["0001", "0002", "images"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("0002/notes.txt"), "mine").unwrap();
        assert!(open().load().is_empty());
        assert_eq!(["0001", "0002", "images"].map(|name| folder.path().join(name).exists()), [false, true, true]);
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        fs::create_dir(store.folder("0001")).unwrap();
        let news = |number: u32| serde_json::json!({"epoch": number});
        store.append("0001", &news(1));
        let path = store.folder("0001").join(NEWS);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"epo"].concat()).unwrap();
        store.append("0001", &news(2));
        store.append("0001", &news(3));
        assert_eq!(store.news("0001"), [1, 2, 3].map(news));
    }
}
