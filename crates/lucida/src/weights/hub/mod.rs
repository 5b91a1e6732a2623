//! Published weights: fetched once, verified, and kept in a cache folder.
//!
//! ```text
//! <cache>/weights/NAME.h5        a file whose checksum was found to be right
//! <cache>/weights/NAME.h5.part   what has arrived of it so far; the next attempt resumes from there
//! <cache>/weights/NAME.h5.tag    which version of the file that is a part of, by the server's word
//! <cache>/weights/NAME.h5.lock   held by the process that is fetching it
//! ```
//!
//! A file appears under its name only when it is complete and its checksum is right, so whoever finds it there can use
//! it. Of a few files, Keras names no checksum: they are fetched over https alone, and their length must be that of the
//! network's parameters. One process fetches a file at a time; others wait for it.
//!
//! The environment variable `LUCIDA_CACHE` names the folder, `LUCIDA_HUB` another server with the same files (a mirror
//! within a company, or one for tests).

mod catalogue;
mod client;
mod download;
mod fetch;
mod part;

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;

pub use catalogue::{Checksum, Published, all_published, megabytes, networks, published, published_for};

use crate::core::Progress;
use crate::nn::applications::Architecture;
use crate::{Error, Result, files};
use client::{Client, is_own_machine};
use download::Job;
pub(crate) use fetch::fetch;
use part::Part;

/// How long to wait for a server, and how often to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub read: Duration,
    /// How often to try again when nothing more arrives.
    pub retries: u32,
    /// Before the first of these; it doubles each time.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    /// 20 s for a connection, 30 s for the next bytes, four retries after 0.5, 1, 2 and 4 s.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(20), read: seconds(30), retries: 4, pause: Duration::from_millis(500) }
    }
}

/// What is in the cache of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nothing.
    Missing,
    /// The first bytes, this many of them.
    Partial(u64),
    /// The file.
    Present,
    /// A file of its name, but of another size, in bytes. Somebody has put it there.
    Foreign(u64),
}

/// How a file came to be in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It was there, and its checksum, if one is published, is right.
    BeforeNow,
    /// It was downloaded.
    Now,
}

/// A server with published weights, and the folder that keeps them.
#[derive(Debug, Clone)]
pub struct Hub {
    folder: PathBuf,
    /// The address of a mirror; without one, files come from their publishers.
    mirror: Option<String>,
    patience: RetryPolicy,
    certificates: Option<PathBuf>,
}

impl Hub {
    /// The servers of the publishers and the cache of this user, or what the environment variables `LUCIDA_HUB` (a mirror)
    /// and `LUCIDA_CACHE` say instead; `SSL_CERT_FILE` names the certificates to trust, as it does for other programs.
    ///
    /// # Errors
    /// [`Error::Argument`] when a variable cannot be used, or this user has no folder of their own.
    pub fn from_env() -> Result<Self> {
        let folder = cache_folder()?.join("weights");
        let hub = match std::env::var_os("LUCIDA_HUB").filter(|value| !value.is_empty()) {
            None => Self::at(&folder, None),
            Some(value) => {
                let address = value.into_string().map_err(|value| {
                    Error::argument(format!("LUCIDA_HUB: {} is not an address", value.to_string_lossy()))
                })?;
                Self::new(folder, &address).map_err(|problem| Error::argument(format!("LUCIDA_HUB: {problem}")))?
            }
        };
        let certificates = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        Ok(Self { certificates: certificates.map(PathBuf::from), ..hub })
    }

    /// The mirror at an address, `https://...` (or `http://...`, for a server nearby: the checksums hold anyway), with
    /// files kept in `folder`. It has the files of all publishers, at their paths.
    ///
    /// # Errors
    /// [`Error::Argument`] when the address is none of these.
    pub fn new(folder: impl AsRef<Path>, address: &str) -> Result<Self> {
        let folder = folder.as_ref();
        let rest = ["https://", "http://"].iter().find_map(|scheme| address.strip_prefix(scheme));
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@');
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || !rest.chars().all(plain)) {
            return Err(Error::argument(format!("{address:?} is not an address that begins with https:// or http://")));
        }
        Ok(Self::at(folder, Some(address.trim_end_matches('/').to_owned())))
    }

    fn at(folder: &Path, mirror: Option<String>) -> Self {
        Self { folder: folder.to_path_buf(), mirror, patience: RetryPolicy::default(), certificates: None }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: RetryPolicy) -> Self {
        Self { patience, ..self }
    }

    /// The same, trusting the certificates of a PEM file and no others. By default, those on Mozilla's list are trusted.
    #[must_use]
    pub fn with_certificates(self, file: impl AsRef<Path>) -> Self {
        Self { certificates: Some(file.as_ref().to_path_buf()), ..self }
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file is, or will be.
    pub fn path(&self, file: &Published) -> PathBuf {
        self.folder.join(file.file_name())
    }

    /// Where a file comes from.
    pub fn url(&self, file: &Published) -> String {
        format!("{}/{}", self.mirror.as_deref().unwrap_or(file.address), file.path)
    }

    /// What is in the cache of a file, by its size.
    pub fn state(&self, file: &Published) -> State {
        let path = self.path(file);
        match path.metadata() {
            Ok(found) if found.is_file() && file.fits(found.len()) => State::Present,
            Ok(found) if found.is_file() => State::Foreign(found.len()),
            _ => match Part::of(&path).len() {
                0 => State::Missing,
                len => State::Partial(len),
            },
        }
    }

    /// The bytes in the cache of a file, or of its part.
    pub fn bytes(&self, file: &Published) -> u64 {
        let path = self.path(file);
        path.metadata().map_or_else(|_| Part::of(&path).len(), |found| found.len())
    }

    /// Removes a file from the cache, or what has arrived of it; one of its name but of another size stays, as somebody has
    /// put it there. Returns how many bytes that frees; with `dry_run` nothing is removed.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be removed; [`Error::Interrupted`] when `progress` stops it, which is told while
    /// another process fetches the file.
    pub fn remove(&self, file: &Published, dry_run: bool, progress: &mut dyn Progress) -> Result<u64> {
        let target = self.path(file);
        let part = Part::of(&target);
        let is_present = self.state(file) == State::Present;
        let freed = part.len() + if is_present { self.bytes(file) } else { 0 };
        if freed == 0 || dry_run {
            return Ok(freed);
        }
        let _lock = part.lock(progress)?;
        part.discard()?;
        if is_present {
            part::remove(&target)?;
        }
        Ok(freed)
    }

    /// The file of a network's weights in the cache.
    ///
    /// # Errors
    /// [`Error::NotFetched`] when it is not there; [`Error::Argument`] when none is published.
    pub fn locate(&self, network: &Architecture, with_top: bool) -> Result<PathBuf> {
        let file = published(network, with_top)?;
        match self.state(file) {
            State::Present | State::Foreign(_) => Ok(self.path(file)),
            State::Missing | State::Partial(_) => {
                let (network, folder) = (file.network, self.folder.clone());
                Err(Error::NotFetched { network, with_top: file.with_top, folder })
            }
        }
    }

    /// Makes sure that a file is in the cache: verifies what is there, and downloads it if it is not there or not right.
    ///
    /// Progress is in bytes of the file: those that have arrived, in earlier attempts too; then, as stage `checksum`, those
    /// that were verified. A wait is a [`Detail::Waiting`](crate::core::Detail::Waiting).
    ///
    /// # Errors
    /// [`Error::Network`] when the server cannot be reached, or does not give the file of this size and checksum, or over
    /// plain HTTP one without a checksum: it says what to download by hand, and to where. [`Error::Io`] when the cache
    /// cannot be written, [`Error::Interrupted`] when `progress` stops it: what has arrived is kept, and the next call
    /// resumes from there.
    pub fn fetch(&self, file: &Published, progress: &mut dyn Progress) -> Result<Fetched> {
        let (target, url) = (self.path(file), self.url(file));
        let with_advice = |error| match error {
            Error::Network { url, problem } => {
                let advice = format!("or download {} yourself and save it as {}", self.url(file), target.display());
                Error::Network { url, problem: format!("{problem}; {advice}") }
            }
            error => error,
        };
        files::create_folder(&self.folder)?;
        let part = Part::of(&target);
        let _lock = part.lock(progress)?;
        // Perhaps by the process that was waited for.
        if self.state(file) == State::Present && is_right(file, &target, progress)? {
            return Ok(Fetched::BeforeNow);
        }
        if file.checksum.is_none() && !url.starts_with("https://") && !is_own_machine(&url) {
            let problem = "no checksum of this file is published: it is fetched over https only".to_owned();
            return Err(with_advice(Error::Network { url, problem }));
        }
        let client = Client::new(&url, &self.patience, self.certificates.as_deref()).map_err(with_advice)?;
        let job = Job { url: &url, target: &target, file, patience: &self.patience };
        job.run(&client, &part, progress).map_err(with_advice)?;
        Ok(Fetched::Now)
    }
}

/// Whether the checksum of what is there is the published one, if one is published.
fn is_right(file: &Published, path: &Path, progress: &mut dyn Progress) -> Result<bool> {
    match file.checksum {
        Some(checksum) => Ok(part::hash(path, checksum, progress)?.starts_with(checksum.digits())),
        None => Ok(true),
    }
}

/// The folder of this program for what can be fetched again: `LUCIDA_CACHE`, else the one that the platform has for it
/// (`~/.cache/lucida`, `~/Library/Caches/lucida`, `%LOCALAPPDATA%\lucida`).
///
/// # Errors
/// [`Error::Argument`] when this user has no folder of their own.
pub fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("LUCIDA_CACHE").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let platform = etcetera::base_strategy::choose_native_strategy();
    let platform = platform.map_err(|problem| {
        Error::argument(format!("there is no folder for the cache ({problem}): set LUCIDA_CACHE to one"))
    })?;
    Ok(platform.cache_dir().join("lucida"))
}
