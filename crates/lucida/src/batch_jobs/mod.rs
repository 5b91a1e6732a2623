//! Bulk work: the same question about very many images, by one process or several.
//!
//! Images come from a [folder, a list or a bucket](Source), and are dealt out one by one to whoever is [free](WorkQueue), so
//! that a slow member, or a large image, holds up nobody else. What is found about each goes into [a file of its
//! own](Results), written whole or not at all: that file is the only mark that the image is done. So a job that was
//! killed at any moment can be run again, by as many processes as one likes: it does what has no file yet, and nothing
//! twice.

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

/// Deals items out to those who work together.
pub trait WorkQueue {
    /// Whether this one keeps the list: it alone knows the items, and collects what has been found about them.
    fn leads(&self) -> bool;

    /// Calls `work` with each item that this one gets. Returns when no item is left, on the one that leads when all are
    /// done.
    ///
    /// # Errors
    /// Those of `work`: the others are left waiting, see to it that they end.
    fn for_each(&self, items: &mut dyn Iterator<Item = String>, work: &mut dyn FnMut(&str) -> Result<()>)
    -> Result<()>;
}

/// One process that does all.
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

/// What a question finds about an image: the entries of its result.
pub type Answer = Map<String, Value>;

/// What is asked about each image. It may write files of its own next to the result, see [`ResultPath::file`].
pub type ImageTask<'a> = dyn FnMut(&Image, &ResultPath) -> Result<Answer> + 'a;

/// Asks a question about all images of a source that have no result yet. An image that cannot be read, or asked about,
/// is a failure, which is noted, and tried again the next time. Progress counts the images that were dealt out, of all that
/// are left to do. Returns the summary on the one that leads.
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
    // Both the one that deals out and the one that works report.
    let progress = RefCell::new(progress);
    let report = || report(&mut **progress.borrow_mut(), &Step::new(Unit::Images, dealt.get(), left.len()));
    let mut items = left.iter().cloned().inspect(|_| {
        dealt.set(dealt.get() + 1);
        // A wish to stop is seen by the work on the item, which asks again.
        let _ = report();
    });
    queue.for_each(&mut items, &mut |item| {
        report()?;
        let place = results.result_path(item);
        match source.open(item).and_then(|image| question(&image, &place)) {
            Ok(answer) => results.finish(item, answer),
            // What is wrong with the disk is wrong with the job, not with the image.
            Err(problem @ (Error::Interrupted | Error::Io { action: "write", .. })) => Err(problem),
            Err(problem) => results.fail(item, &problem.to_string()),
        }
    })?;
    if queue.leads() { results.collect(&all, all.len() - left.len()).map(Some) } else { Ok(None) }
}
