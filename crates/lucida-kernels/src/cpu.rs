//! What kernels run on: an instruction set and a number of threads.

use std::ops::Range;

#[cfg(feature = "threads")]
use crate::pool;
use crate::simd::Isa;

/// An instruction set and a number of threads; every kernel takes one.
///
/// The same kernel with the same input on the same `Cpu` returns the same bits: which thread computes a part may vary, but
/// how sums are split and in which order the parts are added does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    isa: Isa,
    threads: usize,
}

impl Cpu {
    /// The best instruction set, and all cores available to this process; one thread without the feature `threads`.
    pub fn detect() -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self { isa: Isa::best(), threads: if cfg!(feature = "threads") { cores() } else { 1 } }
    }

    /// As [`detect`](Self::detect), overridden by the environment: `LUCIDA_SIMD` names an instruction set, `LUCIDA_THREADS`
    /// is a number of threads. Empty variables count as unset.
    ///
    /// # Errors
    /// A message with the variable and its value, if that is not an instruction set or not a number from 1 to 1024.
    pub fn from_env() -> Result<Self, String> {
        let (cpu, problems) = Self::from_env_as_far_as_valid();
        problems.into_iter().next().map_or(Ok(cpu), Err)
    }

    /// As [`from_env`](Self::from_env), but ignores variables with invalid values and returns their errors.
    pub fn from_env_as_far_as_valid() -> (Self, Vec<String>) {
        let (mut cpu, mut problems) = (Self::detect(), Vec::new());
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(name) = variable("LUCIDA_SIMD") {
            match Isa::from_name(&name.to_lowercase()) {
                Ok(isa) => cpu.isa = isa,
                Err(problem) => problems.push(format!("LUCIDA_SIMD: {problem}")),
            }
        }
        if let Some(text) = variable("LUCIDA_THREADS") {
            match text.parse().ok().filter(|n| (1..=1024).contains(n)) {
                Some(threads) => cpu.threads = threads,
                None => problems.push(format!("LUCIDA_THREADS: {text:?} is not a number of threads (1 to 1024)")),
            }
        }
        (cpu, problems)
    }

    /// Returns a copy with another instruction set.
    #[must_use]
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Returns a copy with another number of threads, at least one.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The number of threads.
    pub fn threads(self) -> usize {
        self.threads
    }

    /// Calls `task(worker, item)` once for each `item < items`; `worker < threads` differs between calls that may run
    /// at the same time. Returns when all have returned.
    ///
    /// Without the feature `threads`, all run on the calling thread, one after another.
    ///
    /// # Panics
    /// When a task panics.
    pub fn parallel_for(self, items: usize, task: impl Fn(usize, usize) + Sync) {
        #[cfg(feature = "threads")]
        pool::parallel_for(self.threads, items, task);
        #[cfg(not(feature = "threads"))]
        (0..items).for_each(|item| task(0, item));
    }

    /// Calls `task(index, chunk)` once for each chunk of `len` values of `values` (the last may be shorter), on all
    /// threads.
    ///
    /// # Panics
    /// When a task panics, or `len` is zero.
    pub fn parallel_chunks<T: Send>(self, values: &mut [T], len: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        let chunks: Vec<std::sync::Mutex<&mut [T]>> = values.chunks_mut(len).map(std::sync::Mutex::new).collect();
        self.parallel_for(chunks.len(), |_, index| {
            let mut chunk = chunks[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            task(index, &mut chunk);
        });
    }

    /// Splits `0..len` into one range per thread, none shorter than `min` unless it is the only one, and calls `task(part,
    /// range)` for each. The split depends only on `len`, `min` and the number of threads.
    pub(crate) fn parallel_ranges(self, len: usize, min: usize, task: impl Fn(usize, Range<usize>) + Sync) {
        let parts = parts_of(len, min, self.threads);
        self.parallel_for(parts, |_, part| task(part, part_range(len, parts, part)));
    }
}

/// Number of parts of at least `min` items that `len` items split into, from one to `most`.
pub(crate) fn parts_of(len: usize, min: usize, most: usize) -> usize {
    (len / min.max(1)).clamp(1, most)
}

/// Range number `part` when `0..len` is split into `parts` nearly equal ranges.
pub(crate) fn part_range(len: usize, parts: usize, part: usize) -> Range<usize> {
    len * part / parts..len * (part + 1) / parts
}

/// A pointer into a slice that several threads write to, each to its own part.
///
/// The kernels split an output among threads in ways that `split_at_mut` cannot express (tiles, channels, rows with a
/// stride). Each use states why the parts do not overlap.
pub(crate) struct SharedMut<'a, T = f32> {
    start: *mut T,
    len: usize,
    _slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` whose users promise disjoint parts (see `slice` and `at`).
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), _slice: std::marker::PhantomData }
    }

    /// The part `range`; panics if it is out of bounds.
    ///
    /// # Safety
    /// No overlapping part is in use.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: within the slice; the caller promises that it is the only user of the part.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of value `at`.
    #[inline(always)]
    pub(crate) fn at(&self, at: usize) -> *mut T {
        debug_assert!(at <= self.len);
        self.start.wrapping_add(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_visited_once() {
        let mut values = vec![0; 103];
        Cpu::detect().with_threads(3).parallel_chunks(&mut values, 10, |index, chunk| {
            chunk.iter_mut().for_each(|value| *value += index + 1);
        });
        assert!(values.iter().enumerate().all(|(at, &value)| value == at / 10 + 1), "{values:?}");
    }

    #[test]
    fn parts_cover_the_range_once() {
        for len in 0..50 {
            for most in 1..6 {
                let parts = parts_of(len, 4, most);
                let ranges: Vec<_> = (0..parts).map(|part| part_range(len, parts, part)).collect();
                assert_eq!(ranges[0].start, 0);
                assert_eq!(ranges[parts - 1].end, len);
                assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert!(parts == 1 || ranges.iter().all(|range| range.len() >= 4), "{len} in {parts}: {ranges:?}");
            }
        }
    }
}
