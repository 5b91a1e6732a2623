//! Published weights: downloaded once, verified, and kept in a cache folder.
//!
//! ```text
//! <cache>/weights/NAME.h5        a file whose checksum was found to be right
//! <cache>/weights/NAME.h5.part   what has arrived of it so far; the next attempt resumes from there
//! <cache>/weights/NAME.h5.tag    which version of the file that is a part of, by the server's word
//! <cache>/weights/NAME.h5.lock   held by the process that is fetching it
//! ```
//!
//! A file appears under its name only when it is complete and its checksum is correct, so it can be used without further
//! checks. For a few files, Keras lists no checksum: they are only downloaded over https, and their length must match the
//! network's parameters. One process downloads a file at a time; others wait for it.
//!
//! The environment variable `LUCIDA_CACHE` sets the folder, `LUCIDA_HUB` another server with the same files (a company
//! mirror, or a test server).

mod catalogue;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(not(feature = "hub"))]
mod offline;
mod part;

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;

pub use catalogue::{Checksum, PublishedFile, all_published, megabytes, networks, published, published_for};

use crate::core::Progress;
use crate::nn::applications::Architecture;
use crate::{Error, Result, files};
#[cfg(feature = "hub")]
use download::download;
#[cfg(feature = "hub")]
pub(crate) use fetch::fetch;
#[cfg(not(feature = "hub"))]
use offline::download;
#[cfg(not(feature = "hub"))]
pub(crate) use offline::fetch;
use part::Part;

/// Timeouts and retries for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Timeout for connecting.
    pub connect: Duration,
    /// Timeout for the next bytes.
    pub read: Duration,
    /// The number of retries without progress.
    pub retries: u32,
    /// The pause before the first retry; it doubles each time.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    /// 20 s to connect, 30 s for the next bytes, four retries after 0.5, 1, 2 and 4 s.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(20), read: seconds(30), retries: 4, pause: Duration::from_millis(500) }
    }
}

/// The state of a file in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Not present.
    Missing,
    /// Partially downloaded, with this number of bytes.
    Partial(u64),
    /// Present.
    Present,
    /// A file with its name but another size, in bytes, which was not downloaded by this program.
    Foreign(u64),
}

/// How a file came to be in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It was already present, and its checksum, if published, is correct.
    BeforeNow,
    /// It was downloaded.
    Now,
}

/// A server with published weights, and the cache folder.
#[derive(Debug, Clone)]
pub struct Hub {
    folder: PathBuf,
    /// The URL of a mirror; `None` for the publishers' servers.
    mirror: Option<String>,
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for downloads"))]
    patience: RetryPolicy,
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for downloads"))]
    certificates: Option<PathBuf>,
}

impl Hub {
    /// The publishers' servers and the user's cache, unless the environment variables `LUCIDA_HUB` (a mirror) and
    /// `LUCIDA_CACHE` override them; `SSL_CERT_FILE` sets the trusted certificates, as for other programs.
    ///
    /// # Errors
    /// [`Error::Argument`] when a variable is invalid, or the user has no home folder.
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

    /// A mirror at `https://...` (or `http://...`, for a local server: the checksums still protect), with `folder` as the
    /// cache. It serves the files of all publishers, at their paths.
    ///
    /// # Errors
    /// [`Error::Argument`] for another kind of address.
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

    /// Sets timeouts and retries.
    #[must_use]
    pub fn with_patience(self, patience: RetryPolicy) -> Self {
        Self { patience, ..self }
    }

    /// Trusts only the certificates in a PEM file. By default, those on Mozilla's list are trusted.
    #[must_use]
    pub fn with_certificates(self, file: impl AsRef<Path>) -> Self {
        Self { certificates: Some(file.as_ref().to_path_buf()), ..self }
    }

    /// The cache folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file in the cache, whether present or not.
    pub fn path(&self, file: &PublishedFile) -> PathBuf {
        self.folder.join(file.file_name())
    }

    /// The URL of a file.
    pub fn url(&self, file: &PublishedFile) -> String {
        format!("{}/{}", self.mirror.as_deref().unwrap_or(file.address), file.path)
    }

    /// The state of a file in the cache, by its size.
    pub fn state(&self, file: &PublishedFile) -> State {
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

    /// The bytes of a file, or of its partial download, in the cache.
    pub fn bytes(&self, file: &PublishedFile) -> u64 {
        let path = self.path(file);
        path.metadata().map_or_else(|_| Part::of(&path).len(), |found| found.len())
    }

    /// Removes a file or its partial download from the cache; a file with another size is kept, because it was not
    /// downloaded by this program. Returns the number of bytes freed; with `dry_run` nothing is removed.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be removed; [`Error::Interrupted`] when `progress`, called while another process
    /// downloads the file, requests a stop.
    pub fn remove(&self, file: &PublishedFile, dry_run: bool, progress: &mut dyn Progress) -> Result<u64> {
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

    /// The path of a network's weights in the cache.
    ///
    /// # Errors
    /// [`Error::NotFetched`] when the file is not there; [`Error::Argument`] when none is published.
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

    /// Makes sure that a file is in the cache: verifies an existing one, and downloads it if it is missing or invalid.
    ///
    /// Progress is in bytes of the file: those downloaded, including earlier attempts; then, in stage `checksum`, those
    /// verified. Waiting is reported as [`Detail::Waiting`](crate::core::Detail::Waiting).
    ///
    /// # Errors
    /// [`Error::Network`] when the server cannot be reached, or does not serve a file of this size and checksum, or serves
    /// a file without a checksum over plain HTTP, or when the library was built without the feature `hub`: the message
    /// explains what to download manually, and to where.
    /// [`Error::Io`] when the cache cannot be written, [`Error::Interrupted`] when `progress` requests a stop: received
    /// bytes are kept, and the next call resumes the download.
    pub fn fetch(&self, file: &PublishedFile, progress: &mut dyn Progress) -> Result<Fetched> {
        let target = self.path(file);
        let with_advice = |error| match error {
            Error::Network { url, problem } => {
                let advice = format!("or download {} yourself and save it as {}", self.url(file), target.display());
                Error::Network { url, problem: format!("{problem}; {advice}") }
            }
            error => error,
        };
        if cfg!(feature = "hub") {
            files::create_folder(&self.folder)?;
        } else if self.state(file) != State::Present {
            return download(self, file, &Part::of(&target), progress).map_err(with_advice).map(|()| Fetched::Now);
        }
        let part = Part::of(&target);
        let _lock = part.lock(progress)?;
        // The process that held the lock may have downloaded it.
        if self.state(file) == State::Present && is_right(file, &target, progress)? {
            return Ok(Fetched::BeforeNow);
        }
        download(self, file, &part, progress).map_err(with_advice)?;
        Ok(Fetched::Now)
    }
}

/// Whether a file's checksum is the published one, if there is one.
fn is_right(file: &PublishedFile, path: &Path, progress: &mut dyn Progress) -> Result<bool> {
    match file.checksum {
        Some(checksum) => Ok(part::hash(path, checksum, progress)?.starts_with(checksum.digits())),
        None => Ok(true),
    }
}

/// The cache folder of this program: `LUCIDA_CACHE`, or else the platform's (`~/.cache/lucida`, `~/Library/Caches/lucida`,
/// `%LOCALAPPDATA%\lucida`).
///
/// # Errors
/// [`Error::Argument`] when the user has no home folder.
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
