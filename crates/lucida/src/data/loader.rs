//! Prefetching batches on background threads.
//!
//! A training step takes a finished batch while the next ones are read, decoded, resized and augmented. Threads take batch
//! numbers in turn, so the content and order of the batches do not depend on the number or speed of the threads. The number
//! of prefetched batches is bounded: memory does not grow.
//!
//! The threads are separate from the kernels' thread pool, which could not run matrix products while decoding. Without the
//! feature `threads`, a batch is loaded when it is needed.
//!
//! JPEG images are decoded at full size. A decoder that scales in its inverse cosine transform (jpeg-decoder 0.3) was
//! measured for comparison: for photos of 200x200, both take 0.2 to 0.3 ms, because entropy decoding is needed anyway; for
//! 12 megapixels it takes 40 ms instead of 75. That does not justify a second decoder with different pixels, because the
//! scaled pixels of the first epoch [stay in memory](super::FolderBuilder::keep).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Dataset, MixedSample, Preprocessing, batches};
use crate::nn::counted;
use crate::{Error, Result};

/// Loads batches of a data set, prefetched on other threads: images `[batch, height, width, channels]`.
///
/// ```
/// use lucida::data::{Loader, epoch_order};
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let (preprocessing, order) = (Preprocessing::mnist(), epoch_order(100, 42, 1));
/// let mut sizes = Vec::new();
/// Loader::new(&digits, &preprocessing).threads(2).each(&order, 32, |batch| {
///     assert_eq!(batch.images.len(), batch.labels.len() * 28 * 28);
///     sizes.push(batch.labels.len());
///     Ok(true)
/// })?;
/// assert_eq!(sizes, [32, 32, 32, 4]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    set: &'a dyn Dataset,
    preprocessing: &'a Preprocessing,
    epoch: Option<u32>,
    threads: usize,
    ahead: usize,
}

/// A loaded batch.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The indices of its images in the set.
    pub indices: &'a [usize],
    /// The preprocessed images, `[batch, height, width, channels]`.
    pub images: &'a [f32],
    /// Their classes.
    pub labels: &'a [usize],
    /// Their [target rows](Dataset::target), concatenated; empty for classes.
    pub targets: &'a [f32],
    /// What was mixed into each image.
    pub mixed: &'a [Option<MixedSample>],
}

impl<'a> Loader<'a> {
    /// Loads batches of `set` with this preprocessing, on one thread and up to two batches ahead.
    pub fn new(set: &'a dyn Dataset, preprocessing: &'a Preprocessing) -> Self {
        Self { set, preprocessing, epoch: None, threads: 1, ahead: 2 }
    }

    /// Loads for training in this epoch: a set that augments its images does so.
    #[must_use]
    pub fn training(self, epoch: u32) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// Sets the number of threads, at least one. Up to one more batch than that is finished or in progress.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        let threads = threads.max(1);
        Self { threads, ahead: threads + 1, ..self }
    }

    /// Passes the batches of an order to `each`, one after another, until it returns `false`. Returns whether all were
    /// passed.
    ///
    /// # Errors
    /// [`Error::Argument`] when `batch_size` is 0 or an index is out of range; those of reading and preprocessing images,
    /// of the first batch with an error; those of `each`.
    pub fn each(
        &self,
        order: &[usize],
        batch_size: usize,
        mut each: impl FnMut(Batch<'_>) -> Result<bool>,
    ) -> Result<bool> {
        if let Some(index) = order.iter().find(|&&index| index >= self.set.len()) {
            return Err(Error::argument(format!(
                "there is no image {index}: the set has {}",
                counted(self.set.len(), "image")
            )));
        }
        self.preprocessing.check()?;
        let all: Vec<&[usize]> = batches(order, batch_size)?.collect();
        if !cfg!(feature = "threads") {
            return self.each_when_needed(&all, each);
        }
        let shelf = PrefetchQueue { state: Mutex::default(), changed: Condvar::new(), ahead: self.ahead };
        std::thread::scope(|scope| {
            // Stop the threads on any exit.
            let _end = EndOnDrop(&shelf);
            for _ in 0..self.threads.min(all.len()) {
                scope.spawn(|| self.work(&all, &shelf));
            }
            for (number, indices) in all.iter().enumerate() {
                let Some(filled) = shelf.take(number) else {
                    return Err(Error::Bug("a thread that makes batches has died".to_owned()));
                };
                let filled = filled?;
                if !each(filled.batch(indices))? {
                    return Ok(false);
                }
                shelf.recycle(filled.images);
            }
            Ok(true)
        })
    }

    /// As [`each`](Self::each), on the calling thread.
    fn each_when_needed(&self, all: &[&[usize]], mut each: impl FnMut(Batch<'_>) -> Result<bool>) -> Result<bool> {
        let mut buffer = Vec::new();
        for indices in all {
            let filled = self.fill(indices, buffer)?;
            if !each(filled.batch(indices))? {
                return Ok(false);
            }
            buffer = filled.images;
        }
        Ok(true)
    }

    /// Loads batches until none is left or the queue has ended.
    fn work(&self, all: &[&[usize]], shelf: &PrefetchQueue) {
        let _end = EndOnPanic(shelf);
        while let Some((number, buffer)) = shelf.next(all.len()) {
            shelf.put(number, self.fill(all[number], buffer));
        }
    }

    fn fill(&self, indices: &[usize], mut images: Vec<f32>) -> Result<Filled> {
        let image_len: usize = self.preprocessing.output_shape().iter().product();
        images.resize(indices.len() * image_len, 0.0);
        let labels = indices.iter().map(|&index| self.set.label(index)).collect();
        let targets = indices.iter().flat_map(|&index| self.set.target(index)).copied().collect();
        let mut mixed = Vec::with_capacity(indices.len());
        for (&index, image) in indices.iter().zip(images.chunks_exact_mut(image_len.max(1))) {
            mixed.push(match self.epoch {
                Some(epoch) => self.set.fill_training(epoch, index, self.preprocessing, image)?,
                None => self.set.fill(index, self.preprocessing, image).map(|()| None)?,
            });
        }
        Ok(Filled { images, labels, targets, mixed })
    }
}

struct Filled {
    images: Vec<f32>,
    labels: Vec<usize>,
    targets: Vec<f32>,
    mixed: Vec<Option<MixedSample>>,
}

impl Filled {
    fn batch<'a>(&'a self, indices: &'a [usize]) -> Batch<'a> {
        Batch { indices, images: &self.images, labels: &self.labels, targets: &self.targets, mixed: &self.mixed }
    }
}

/// Finished batches that wait for their use.
struct PrefetchQueue {
    state: Mutex<State>,
    changed: Condvar,
    ahead: usize,
}

#[derive(Default)]
struct State {
    /// The numbers of the next batch to load, and of the next one to use.
    next_to_load: usize,
    next_to_use: usize,
    ready: Vec<(usize, Result<Filled>)>,
    /// Buffers of used batches.
    unused_buffers: Vec<Vec<f32>>,
    /// No more batches are needed, or none will be produced.
    ended: bool,
}

impl PrefetchQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a batch to load and a buffer for it, once there is room in the queue.
    fn next(&self, count: usize) -> Option<(usize, Vec<f32>)> {
        let mut state = self.lock();
        while !state.ended && state.next_to_load < count && state.next_to_load >= state.next_to_use + self.ahead {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended || state.next_to_load >= count {
            return None;
        }
        state.next_to_load += 1;
        Some((state.next_to_load - 1, state.unused_buffers.pop().unwrap_or_default()))
    }

    fn put(&self, number: usize, filled: Result<Filled>) {
        self.lock().ready.push((number, filled));
        self.changed.notify_all();
    }

    /// Waits for a batch; `None` if the threads have ended.
    fn take(&self, number: usize) -> Option<Result<Filled>> {
        let mut state = self.lock();
        loop {
            if let Some(at) = state.ready.iter().position(|(ready, _)| *ready == number) {
                state.next_to_use = number + 1;
                self.changed.notify_all();
                return Some(state.ready.swap_remove(at).1);
            }
            if state.ended {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn recycle(&self, images: Vec<f32>) {
        self.lock().unused_buffers.push(images);
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Ends the queue when dropped.
struct EndOnDrop<'a>(&'a PrefetchQueue);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Ends the queue if its thread panics, so that no one waits forever.
struct EndOnPanic<'a>(&'a PrefetchQueue);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::{ColorMode, Image, LabeledImages};

    /// One-pixel images with their number as value; those from `bad` on cannot be read, and `panics` panics.
    struct BatchCursor {
        images: LabeledImages,
        bad: usize,
        panics: usize,
        made: AtomicUsize,
    }

    impl BatchCursor {
        fn new(len: usize) -> Self {
            let names = vec!["even".to_owned(), "odd".to_owned()];
            let labels = (0..len).map(|index| index % 2).collect();
            let images = LabeledImages::new([1, 1, 1], (0..len).map(|i| i as u8).collect(), labels, names).unwrap();
            Self { images, bad: usize::MAX, panics: usize::MAX, made: AtomicUsize::new(0) }
        }
    }

    impl Dataset for BatchCursor {
        fn len(&self) -> usize {
            self.images.len()
        }
        fn image_shape(&self) -> Option<[usize; 3]> {
            None
        }
        fn class_names(&self) -> &[String] {
            self.images.class_names()
        }
        fn label(&self, index: usize) -> usize {
            self.images.label(index)
        }
        fn image(&self, index: usize) -> Result<Image> {
            self.made.fetch_add(1, Ordering::Relaxed);
            assert!(index != self.panics, "image {index} panics");
            // Later images are faster, and would overtake earlier ones without ordering.
            std::thread::sleep(std::time::Duration::from_micros(200 - index as u64));
            if index >= self.bad { Err(Error::file("x", format!("image {index}"))) } else { self.images.image(index) }
        }
    }

    fn preprocessing() -> Preprocessing {
        Preprocessing { divisor: 1.0, ..Preprocessing::unit(1, 1, ColorMode::Grayscale) }
    }

    #[test]
    fn batches_come_in_order_whatever_the_number_of_threads() {
        let (set, preprocessing) = (BatchCursor::new(50), preprocessing());
        let order: Vec<usize> = (0..50).rev().collect();
        for threads in [1, 2, 5] {
            let mut seen = Vec::new();
            let all = Loader::new(&set, &preprocessing).threads(threads).each(&order, 8, |batch| {
                assert_eq!(batch.labels, batch.indices.iter().map(|index| index % 2).collect::<Vec<_>>());
                seen.extend(batch.images.iter().map(|&value| value as usize));
                Ok(true)
            });
            assert!(all.unwrap());
            assert_eq!(seen, order);
        }
    }

    #[test]
    fn no_more_than_a_few_batches_are_made_ahead() {
        let (set, preprocessing) = (BatchCursor::new(100), preprocessing());
        let order: Vec<usize> = (0..100).collect();
        let all = Loader::new(&set, &preprocessing).threads(2).each(&order, 5, |batch| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let made = set.made.load(Ordering::Relaxed);
            // The current batch, and three prefetched ones.
            assert!(made <= batch.indices[0] + 5 * 4, "{made} at {}", batch.indices[0]);
            Ok(batch.indices[0] < 50)
        });
        assert!(!all.unwrap(), "stopped half way");
        assert!(set.made.load(Ordering::Relaxed) <= 75);
    }

    #[test]
    fn without_threads_a_batch_is_made_when_it_is_needed() {
        let (set, preprocessing) = (BatchCursor::new(50), preprocessing());
        let all: Vec<Vec<usize>> = (0..5).map(|batch| (10 * batch..10 * batch + 10).collect()).collect();
        let all: Vec<&[usize]> = all.iter().map(Vec::as_slice).collect();
        let mut seen = Vec::new();
        let done = Loader::new(&set, &preprocessing).each_when_needed(&all, |batch| {
            assert_eq!(set.made.load(Ordering::Relaxed), batch.indices[0] + 10);
            seen.extend(batch.images.iter().map(|&value| value as usize));
            Ok(batch.indices[0] < 30)
        });
        assert!(!done.unwrap(), "stopped after the fourth batch");
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
        let set = BatchCursor { bad: 23, ..BatchCursor::new(50) };
        let error = Loader::new(&set, &preprocessing).each_when_needed(&all, |_| Ok(true)).unwrap_err();
        assert_eq!(error.to_string(), "x: image 23");
    }

    #[test]
    fn the_first_error_is_told_and_a_panic_is_passed_on() {
        let preprocessing = preprocessing();
        let order: Vec<usize> = (0..50).collect();
        let set = BatchCursor { bad: 23, ..BatchCursor::new(50) };
        let mut batches = 0;
        let error = Loader::new(&set, &preprocessing).threads(4).each(&order, 10, |_| {
            batches += 1;
            Ok(true)
        });
        assert_eq!((error.unwrap_err().to_string(), batches), ("x: image 23".to_owned(), 2));
        assert!(Loader::new(&set, &preprocessing).each(&[50], 1, |_| Ok(true)).is_err());
        assert!(Loader::new(&set, &preprocessing).each(&[0], 0, |_| Ok(true)).is_err());

        let set = BatchCursor { panics: 23, ..BatchCursor::new(50) };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = Loader::new(&set, &preprocessing).threads(2).each(&order, 10, |_| Ok(true));
        }));
        assert!(outcome.is_err());
    }
}
