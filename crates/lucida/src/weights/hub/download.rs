//! Downloading a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::client::{Client, FetchError, Response, is_own_machine};
use super::part::{self, Part};
use super::{Hub, PublishedFile, RetryPolicy};
use crate::core::progress::{Progress, Step, report};
use crate::{Error, Result};

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Downloads a file to the cache, resuming what has arrived in `part`.
pub(super) fn download(hub: &Hub, file: &PublishedFile, part: &Part, progress: &mut dyn Progress) -> Result<()> {
    let (url, target) = (hub.url(file), hub.path(file));
    if file.checksum.is_none() && !url.starts_with("https://") && !is_own_machine(&url) {
        let problem = "no checksum of this file is published: it is fetched over https only".to_owned();
        return Err(Error::Network { url, problem });
    }
    let client = Client::new(&url, &hub.patience, hub.certificates.as_deref())?;
    Job { url: &url, target: &target, file, patience: &hub.patience }.run(&client, part, progress)
}

/// A file to download, and where to.
struct Job<'a> {
    url: &'a str,
    target: &'a Path,
    file: &'a PublishedFile,
    patience: &'a RetryPolicy,
}

/// Why an attempt did not complete the file.
enum DownloadFailure {
    FetchError(FetchError),
    Failed(Error),
}

impl From<FetchError> for DownloadFailure {
    fn from(trouble: FetchError) -> Self {
        Self::FetchError(trouble)
    }
}

impl From<Error> for DownloadFailure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn transient<T>(problem: impl Into<String>) -> Result<T, DownloadFailure> {
    Err(DownloadFailure::FetchError(FetchError::Passing(problem.into())))
}

fn permanent<T>(problem: impl Into<String>) -> Result<T, DownloadFailure> {
    Err(DownloadFailure::FetchError(FetchError::Lasting(problem.into())))
}

impl Job<'_> {
    /// Downloads the missing bytes, verifies the file and moves it into place.
    fn run(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<()> {
        let mut resumed = part.len() > 0;
        loop {
            self.complete(client, part, progress)?;
            let Some(checksum) = self.file.checksum else { return part.finish(self.target) };
            let found = part.hash(checksum, progress)?;
            if found.starts_with(checksum.digits()) {
                return part.finish(self.target);
            }
            part.discard()?;
            // Bytes from an earlier download may be to blame: download everything once more.
            if !std::mem::take(&mut resumed) {
                return Err(self.network(format!(
                    "the checksum of what arrived is wrong ({} {}, not {}); it was removed",
                    checksum.name(),
                    &found[..checksum.digits().len()],
                    checksum.digits()
                )));
            }
        }
    }

    /// Makes attempts until all bytes have arrived, or the retries without progress are used up.
    fn complete(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<()> {
        let mut most = part.len();
        let mut failures = 0;
        let mut pause = self.patience.pause;
        loop {
            let problem = match self.attempt(client, part, progress) {
                Ok(()) => return Ok(()),
                Err(DownloadFailure::Failed(error)) => return Err(error),
                Err(DownloadFailure::FetchError(FetchError::Lasting(problem))) => return Err(self.network(problem)),
                Err(DownloadFailure::FetchError(FetchError::Passing(problem))) => problem,
            };
            if part.len() > most {
                (most, failures, pause) = (part.len(), 0, self.patience.pause);
            }
            failures += 1;
            if failures > self.patience.retries {
                let kept = match part.len() {
                    0 => String::new(),
                    len => match self.file.size {
                        Some(size) => format!("; the first {len} of {size} bytes are kept"),
                        None => format!("; the first {len} bytes are kept"),
                    },
                };
                return Err(self.network(format!("{problem} (attempts: {failures}){kept}")));
            }
            part::wait(pause, &format!("{problem}; trying again"), progress)?;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Requests the missing bytes and receives them.
    fn attempt(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<(), DownloadFailure> {
        // Without a checksum, only the tag shows that the partial file belongs to the server's current version.
        let is_of_any_version = self.file.checksum.is_none() && part.tag().is_none();
        if part.len() > self.file.largest() || is_of_any_version {
            part.discard()?;
        }
        let have = part.len();
        if self.file.size == Some(have) {
            return Ok(());
        }
        let answer = client.get(self.url, have, part.tag().as_deref())?;
        match answer.status {
            200 => {
                self.check_size(answer.len)?;
                let (file, whole) = (part.restart(answer.tag.as_deref())?, answer.len);
                self.receive(answer, file, (0, whole), part, progress)
            }
            206 if have > 0 => match answer.range {
                Some((from, whole)) if from == have => {
                    self.check_size(whole)?;
                    self.receive(answer, part.append()?, (have, whole), part, progress)
                }
                _ => {
                    part.discard()?;
                    transient("the server sent another part of the file than was asked for")
                }
            },
            416 if have > 0 => {
                part.discard()?;
                transient("the server cannot resume the download where it ended")
            }
            404 | 410 => permanent(format!("the server has no such file (status {})", answer.status)),
            status @ (408 | 425 | 429 | 500..=599) => transient(format!("the server answers with status {status}")),
            status => permanent(format!("the server answers with status {status}")),
        }
    }

    /// Receives the bytes of a response, from `from` to the end of the file.
    fn receive(
        &self,
        mut answer: Response,
        mut file: File,
        (from, whole): (u64, Option<u64>),
        part: &Part,
        progress: &mut dyn Progress,
    ) -> Result<(), DownloadFailure> {
        let whole = self.file.size.or(whole);
        let mut bytes = vec![0; 1 << 16];
        let mut done = from;
        loop {
            report(progress, &Step::bytes(done, whole.unwrap_or(self.file.about.max(done))))?;
            let read = answer.body.read(&mut bytes)?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > whole.unwrap_or(self.file.largest()) {
                part.discard()?;
                return permanent(self.other_size(done));
            }
            file.write_all(&bytes[..read]).map_err(|source| part.failed(source))?;
        }
        match whole {
            Some(whole) if done < whole => {
                return transient(format!("the server stopped after {done} of {whole} bytes"));
            }
            // The length is unknown: only a file that is too short can be detected.
            None if !self.file.fits(done) => return permanent(self.other_size(done)),
            _ => {}
        }
        file.sync_all().map_err(|source| part.failed(source))?;
        Ok(())
    }

    /// Checks a size reported by the server.
    fn check_size(&self, found: Option<u64>) -> Result<(), DownloadFailure> {
        match found {
            Some(found) if !self.file.fits(found) => permanent(self.other_size(found)),
            _ => Ok(()),
        }
    }

    fn other_size(&self, found: u64) -> String {
        let expected = self.file.bytes_text();
        format!(
            "the server's file has another size ({found} bytes or more, not {expected}): it is not the published one"
        )
    }

    fn network(&self, problem: String) -> Error {
        Error::Network { url: self.url.to_owned(), problem }
    }
}
