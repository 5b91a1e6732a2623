//! One file, from a server to its place.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::RetryPolicy;
use super::client::{Body, Client, FetchError};
use super::part::{self, Part};
use crate::core::progress::{Progress, Step, report};
use crate::{Error, Result};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What to fetch, and what it must be.
pub(super) struct Job<'a> {
    pub(super) url: &'a str,
    pub(super) target: &'a Path,
    pub(super) size: u64,
    pub(super) md5: &'a str,
    pub(super) patience: &'a RetryPolicy,
}

/// How an attempt ends that does not bring the whole file.
enum Stop {
    FetchError(FetchError),
    Failed(Error),
}

impl From<FetchError> for Stop {
    fn from(trouble: FetchError) -> Self {
        Self::FetchError(trouble)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn passing<T>(problem: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::FetchError(FetchError::Passing(problem.into())))
}

fn lasting<T>(problem: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::FetchError(FetchError::Lasting(problem.into())))
}

impl Job<'_> {
    /// Fetches what is missing, verifies the whole and moves it into place.
    pub(super) fn run(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<()> {
        let mut resumed = part.len() > 0;
        loop {
            self.complete(client, part, progress)?;
            let found = part.checksum(progress)?;
            if found == self.md5 {
                return part.finish(self.target);
            }
            part.discard()?;
            // Bytes of an earlier day may be to blame: once more, all from the server.
            if !std::mem::take(&mut resumed) {
                return Err(self.network(format!(
                    "the checksum of what arrived is wrong (MD5 {found}, not {}); it was removed",
                    self.md5
                )));
            }
        }
    }

    /// Attempts until all bytes are there, or as often as patience lasts without any more of them.
    fn complete(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<()> {
        let mut most = part.len();
        let mut failures = 0;
        let mut pause = self.patience.pause;
        loop {
            let problem = match self.attempt(client, part, progress) {
                Ok(()) => return Ok(()),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::FetchError(FetchError::Lasting(problem))) => return Err(self.network(problem)),
                Err(Stop::FetchError(FetchError::Passing(problem))) => problem,
            };
            if part.len() > most {
                (most, failures, pause) = (part.len(), 0, self.patience.pause);
            }
            failures += 1;
            if failures > self.patience.retries {
                let kept = match part.len() {
                    0 => String::new(),
                    len => format!("; the first {len} of {} bytes are kept", self.size),
                };
                return Err(self.network(format!("{problem} (attempts: {failures}){kept}")));
            }
            part::wait(pause, &format!("{problem}; trying again"), progress)?;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Asks for what is missing, and takes what comes.
    fn attempt(&self, client: &Client, part: &Part, progress: &mut dyn Progress) -> Result<(), Stop> {
        let have = part.len();
        if have == self.size {
            return Ok(());
        }
        if have > self.size {
            part.discard()?;
            return self.attempt(client, part, progress);
        }
        let answer = client.get(self.url, have, part.tag().as_deref())?;
        let (file, from) = match answer.status {
            200 => {
                self.check_size(answer.len)?;
                (part.restart(answer.tag.as_deref())?, 0)
            }
            206 if have > 0 => match answer.range {
                Some((from, whole)) if from == have => {
                    self.check_size(whole)?;
                    (part.append()?, have)
                }
                _ => {
                    part.discard()?;
                    return passing("the server sent another part of the file than was asked for");
                }
            },
            416 if have > 0 => {
                part.discard()?;
                return passing("the server cannot resume the download where it ended");
            }
            404 | 410 => return lasting(format!("the server has no such file (status {})", answer.status)),
            status @ (408 | 425 | 429 | 500..=599) => {
                return passing(format!("the server answers with status {status}"));
            }
            status => return lasting(format!("the server answers with status {status}")),
        };
        self.receive(answer.body, file, from, part, progress)
    }

    fn receive(
        &self,
        mut body: Body,
        mut file: std::fs::File,
        from: u64,
        part: &Part,
        progress: &mut dyn Progress,
    ) -> Result<(), Stop> {
        let mut bytes = vec![0; 1 << 16];
        let mut done = from;
        loop {
            report(progress, &Step::bytes(done, self.size))?;
            let read = body.read(&mut bytes)?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > self.size {
                part.discard()?;
                return self.check_size(Some(done));
            }
            file.write_all(&bytes[..read]).map_err(|source| part.failed(source))?;
        }
        if done < self.size {
            return passing(format!("the server stopped after {done} of {} bytes", self.size));
        }
        file.sync_all().map_err(|source| part.failed(source))?;
        Ok(())
    }

    /// Whether a size that the server names is the right one.
    fn check_size(&self, found: Option<u64>) -> Result<(), Stop> {
        match found {
            Some(found) if found != self.size => lasting(format!(
                "the server's file has another size ({found} bytes or more, not {}): it is not the published one",
                self.size
            )),
            _ => Ok(()),
        }
    }

    fn network(&self, problem: String) -> Error {
        Error::Network { url: self.url.to_owned(), problem }
    }
}
