//! Batch jobs: the same task for a large number of images, by one process or several.
//!
//! Images come from a [folder, a list or a bucket](Source), and are handed out one by one to the next [free
//! process](WorkQueue), so that a slow process or a large image does not delay the others. The result for each image goes
//! into [a file of its own](Results), written atomically: only that file marks the image as done. So a job that was killed
//! at any time can be run again, by any number of processes: it processes the images without a result file, and none twice.

mod bucket;
mod results;
mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::{Cell, RefCell};

use serde_json::{Map, Value};

pub use results::{ResultPath, Results, Summary};
pub use source::{Source, lines};
pub use watch::FolderWatch;

use crate::core::progress::{Progress, Step, Unit, report};
use crate::data::Image;
use crate::{Error, Result};

/// Distributes items to cooperating processes.
pub trait WorkQueue {
    /// Whether this process is the coordinator: it alone knows the items, and collects the results.
    fn leads(&self) -> bool;

    /// Calls `work` with each item assigned to this process. Returns when no item is left; on the coordinator, when all are
    /// done.
    ///
    /// # Errors
    /// Those of `work`. The other processes are then left waiting: the caller must make sure that they end.
    fn for_each(&self, items: &mut dyn Iterator<Item = String>, work: &mut dyn FnMut(&str) -> Result<()>)
    -> Result<()>;
}

/// A single process that handles all items.
#[derive(Debug, Clone, Copy, Default)]
pub struct SingleProcess;

impl WorkQueue for SingleProcess {
    fn leads(&self) -> bool {
        true
    }

    fn for_each(
        &self,
        items: &mut dyn Iterator<Item = String>,
        work: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        for item in items {
            work(&item)?;
        }
        Ok(())
    }
}

/// The result of a task for an image, as the entries of a JSON object.
pub type Answer = Map<String, Value>;

/// The task for each image. It may write additional files next to the result, see [`ResultPath::file`].
pub type ImageTask<'a> = dyn FnMut(&Image, &ResultPath) -> Result<Answer> + 'a;

/// Runs a task for all images of a source that have no result yet. An image that cannot be read or processed counts as
/// failed: the failure is recorded, and the image is tried again in the next run. Progress counts the images handed out, of
/// all that are left. Returns the summary on the coordinator.
///
/// # Errors
/// Those of listing the source and of writing results; [`Error::Interrupted`] when `progress` stops it.
pub fn run(
    queue: &dyn WorkQueue,
    source: &Source,
    results: &Results,
    question: &mut ImageTask<'_>,
    progress: &mut dyn Progress,
) -> Result<Option<Summary>> {
    let all = if queue.leads() { source.list()? } else { Vec::new() };
    let left: Vec<String> = all.iter().filter(|item| !results.is_done(item)).cloned().collect();
    let dealt = Cell::new(0);
    // Both the distribution of items and the work on them report progress.
    let progress = RefCell::new(progress);
    let report = || report(&mut **progress.borrow_mut(), &Step::new(Unit::Images, dealt.get(), left.len()));
    let mut items = left.iter().cloned().inspect(|_| {
        dealt.set(dealt.get() + 1);
        // A requested stop is handled in the work on the item, which reports again.
        let _ = report();
    });
    queue.for_each(&mut items, &mut |item| {
        report()?;
        let place = results.result_path(item);
        match source.open(item).and_then(|image| question(&image, &place)) {
            Ok(answer) => results.finish(item, answer),
            // A write error (full disk, permissions) concerns the whole job, not this image.
            Err(problem @ (Error::Interrupted | Error::Io { action: "write", .. })) => Err(problem),
            Err(problem) => results.fail(item, &problem.to_string()),
        }
    })?;
    if queue.leads() { results.collect(&all, all.len() - left.len()).map(Some) } else { Ok(None) }
}
