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
//! it. One process fetches a file at a time; others wait for it.
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

pub use catalogue::{PUBLISHED, Published, megabytes, networks, published, published_for};

use crate::core::Progress;
use crate::nn::applications::Architecture;
use crate::{Error, Result, files};
use client::Client;
use download::Job;
pub(crate) use fetch::fetch;
use part::Part;

/// Where Keras publishes its files.
const KERAS: &str = "https://storage.googleapis.com/tensorflow/keras-applications";

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
    /// It was there, and its checksum is right.
    BeforeNow,
    /// It was downloaded.
    Now,
}

/// A server with published weights, and the folder that keeps them.
#[derive(Debug, Clone)]
pub struct Hub {
    folder: PathBuf,
    address: String,
    patience: RetryPolicy,
    certificates: Option<PathBuf>,
}

impl Hub {
    /// The hub of Keras and the cache of this user, or what the environment variables `LUCIDA_HUB` and `LUCIDA_CACHE` say
    /// instead; `SSL_CERT_FILE` names the certificates to trust, as it does for other programs.
    ///
    /// # Errors
    /// [`Error::Argument`] when a variable cannot be used, or this user has no folder of their own.
    pub fn from_env() -> Result<Self> {
        let address = match std::env::var_os("LUCIDA_HUB").filter(|value| !value.is_empty()) {
            None => KERAS.to_owned(),
            Some(value) => value.into_string().map_err(|value| {
                Error::argument(format!("LUCIDA_HUB: {} is not an address", value.to_string_lossy()))
            })?,
        };
        let hub = Self::new(cache_folder()?.join("weights"), &address)
            .map_err(|problem| Error::argument(format!("LUCIDA_HUB: {problem}")))?;
        let certificates = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        Ok(Self { certificates: certificates.map(PathBuf::from), ..hub })
    }

    /// The server at an address, `https://...` (or `http://...`, for a server nearby: the checksums hold anyway), with
    /// files kept in `folder`.
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
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self { folder: folder.to_path_buf(), address, patience: RetryPolicy::default(), certificates: None })
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
        format!("{}/{}", self.address, file.path)
    }

    /// What is in the cache of a file, by its size.
    pub fn state(&self, file: &Published) -> State {
        let path = self.path(file);
        match path.metadata() {
            Ok(found) if found.is_file() && found.len() == file.size => State::Present,
            Ok(found) if found.is_file() => State::Foreign(found.len()),
            _ => match Part::of(&path).len() {
                0 => State::Missing,
                len => State::Partial(len),
            },
        }
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
        let freed = part.len() + if is_present { file.size } else { 0 };
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
                Err(Error::NotFetched { network, with_top: file.with_top, folder, size: file.size })
            }
        }
    }

    /// Makes sure that a file is in the cache: verifies what is there, and downloads it if it is not there or not right.
    ///
    /// Progress is in bytes of the file: those that have arrived, in earlier attempts too; then, as stage `checksum`, those
    /// that were verified. A wait is a [`Detail::Waiting`](crate::core::Detail::Waiting).
    ///
    /// # Errors
    /// [`Error::Network`] when the server cannot be reached, or does not give the file of this size and checksum: it
    /// says what to download by hand, and to where. [`Error::Io`] when the cache cannot be written,
    /// [`Error::Interrupted`] when `progress` stops it: what has arrived is kept, and the next call resumes from there.
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
        if self.state(file) == State::Present && part::checksum(&target, progress)? == file.md5 {
            return Ok(Fetched::BeforeNow);
        }
        let client = Client::new(&url, &self.patience, self.certificates.as_deref()).map_err(with_advice)?;
        let job = Job { url: &url, target: &target, size: file.size, md5: file.md5, patience: &self.patience };
        job.run(&client, &part, progress).map_err(with_advice)?;
        Ok(Fetched::Now)
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
