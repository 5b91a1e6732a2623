//! What the tests with damaged files share.
#![allow(dead_code)] // each test program uses its own part

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lucida::Result;
use lucida::nn::Network;
use lucida::weights::{self, Model};

/// Numbers that are the same in every run (Knuth's MMIX generator).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// How often to try: as given, or so many times as often as `LUCIDA_FUZZ` says.
pub(crate) fn rounds(usual: usize) -> usize {
    usual * std::env::var("LUCIDA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Everything that reads a file; none of it may take long.
pub(crate) fn read_all(path: &Path, network: &Network) -> (Result<Model>, Result<()>) {
    let start = Instant::now();
    let model = weights::load_model(path);
    let loaded = weights::load_weights(path, &mut network.clone());
    let _ = weights::inspect(path);
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(3), "{}: {taken:?}", path.display());
    for problem in [model.as_ref().err(), loaded.as_ref().err()].into_iter().flatten() {
        assert!(!problem.to_string().contains('\n'), "{problem}");
        assert!(!matches!(problem, lucida::Error::Bug(_)), "{problem}");
    }
    (model, loaded)
}

/// Flips bits, up to four bytes at a time; half of the rounds in the first `structure` bytes.
pub(crate) fn flip_bytes(file: &Path, path: &Path, network: &Network, structure: usize, seed: u64) {
    let bytes = fs::read(file).unwrap();
    let mut random = Random(seed);
    for round in 0..rounds(200) {
        let mut damaged = bytes.clone();
        let range = if round % 2 == 0 { bytes.len() } else { bytes.len().min(structure) };
        for _ in 0..=round % 4 {
            damaged[random.below(range)] ^= 1 << random.below(8);
        }
        fs::write(path, &damaged).unwrap();
        let _ = read_all(path, network);
    }
}

/// Writes very large and very small numbers over others.
pub(crate) fn extreme_numbers(file: &Path, path: &Path, network: &Network, seed: u64) {
    let bytes = fs::read(file).unwrap();
    let mut random = Random(seed);
    for round in 0..rounds(200) {
        let mut damaged = bytes.clone();
        let width = [1, 2, 4, 8][round % 4];
        let value: u64 = [u64::MAX, 0, 1 << 40, u64::MAX / 2, 0x7fff_ffff, 0x8000][random.below(6)];
        let at = random.below(bytes.len() - 8);
        damaged[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        fs::write(path, &damaged).unwrap();
        let _ = read_all(path, network);
    }
}
