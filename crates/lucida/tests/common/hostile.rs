//! Shared helpers for tests with damaged and malicious files.
#![allow(dead_code)] // each test program uses a part of this module

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lucida::Result;
use lucida::core::{Purpose, Rng};
use lucida::nn::Network;
use lucida::weights::{self, Model};

/// Random numbers with a fixed seed.
pub(crate) fn random(seed: u64) -> Rng {
    Rng::keyed(seed, Purpose::Choice, 0)
}

/// Number of rounds: `usual`, times `LUCIDA_FUZZ` if set.
pub(crate) fn rounds(usual: usize) -> usize {
    usual * std::env::var("LUCIDA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Reads a file in all ways, each within limits of time and memory.
pub(crate) fn read_all(path: &Path, network: &Network) -> (Result<Model>, Result<()>) {
    let model = soon(path, || weights::load_model(path));
    let loaded = soon(path, || weights::load_weights(path, &mut network.clone()));
    let _ = soon(path, || weights::inspect(path));
    for problem in [model.as_ref().err(), loaded.as_ref().err()].into_iter().flatten() {
        assert!(!problem.to_string().contains('\n'), "{problem}");
        assert!(!matches!(problem, lucida::Error::Bug(_)), "{problem}");
    }
    if let Some(bytes) = peak_memory() {
        assert!(bytes < 1 << 30, "{}: {bytes} bytes of memory", path.display());
    }
    (model, loaded)
}

/// Asserts that `work` takes less than a second of CPU time (10 in debug builds), or of wall-clock time where the system
/// does not report that. Wall-clock time is limited to a minute in any case.
pub(crate) fn soon<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let (worked, start) = (worked(), Instant::now());
    let result = work();
    let elapsed = start.elapsed();
    let taken = worked.and_then(|before| self::worked()?.checked_sub(before)).unwrap_or(elapsed);
    let least = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(taken < Duration::from_secs(least), "{}: {taken:?}", path.display());
    assert!(elapsed < Duration::from_secs(60), "{}: {elapsed:?} by the clock", path.display());
    result
}

/// CPU time of this thread, if the system reports it.
fn worked() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Peak memory of this process in bytes, if the system reports it.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Reads each file truncated at 50 positions. `check` receives the length and the result.
pub(crate) fn cut_anywhere(
    files: &[PathBuf],
    network: &Network,
    check: impl Fn(&Path, usize, usize, &Result<Model>, &Result<()>),
) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = random(1);
    for file in files {
        let bytes = fs::read(file).unwrap();
        let path = folder.path().join(file.file_name().unwrap());
        for _ in 0..rounds(50) {
            let len = random.below(bytes.len());
            fs::write(&path, &bytes[..len]).unwrap();
            let (model, loaded) = read_all(&path, network);
            check(&path, len, bytes.len(), &model, &loaded);
        }
    }
}

/// Reads each file 200 times with a few bits flipped: half of the time anywhere, and otherwise in the first bytes, which
/// contain most of the structure.
pub(crate) fn flipped_bytes(files: &[PathBuf], network: &Network) {
    let folder = tempfile::tempdir().unwrap();
    for (seed, file) in (2..).zip(files) {
        let bytes = fs::read(file).unwrap();
        let path = folder.path().join(file.file_name().unwrap());
        let mut random = random(seed);
        for round in 0..rounds(200) {
            let mut damaged = bytes.clone();
            let range = if round % 2 == 0 { bytes.len() } else { bytes.len().min(8192) };
            for _ in 0..=round % 4 {
                damaged[random.below(range)] ^= 1 << random.below(8);
            }
            fs::write(&path, &damaged).unwrap();
            let _ = read_all(&path, network);
        }
    }
}

/// Reads each file 200 times with one number replaced by a very large, zero or negative one.
pub(crate) fn extreme_numbers(files: &[PathBuf], network: &Network) {
    let folder = tempfile::tempdir().unwrap();
    for (seed, file) in (20..).zip(files) {
        let bytes = fs::read(file).unwrap();
        let path = folder.path().join(file.file_name().unwrap());
        let mut random = random(seed);
        for round in 0..rounds(200) {
            let mut damaged = bytes.clone();
            let width = [1, 2, 4, 8][round % 4];
            let value: u64 = [u64::MAX, 0, 1 << 40, u64::MAX / 2, 0x7fff_ffff, 0x8000][random.below(6)];
            let at = random.below(bytes.len() - 8);
            damaged[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            fs::write(&path, &damaged).unwrap();
            let _ = read_all(&path, network);
        }
    }
}
