//! Bulk mode: runs a command on very many images, shared among all processes that were started together.

use std::path::Path;

use anyhow::Result;
use lucida::batch_jobs::{self, Answer, ImageTask, Results, Source, Summary, WorkQueue};
use lucida::files::FolderLock;
use lucida::nn::{counted, thousands};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, distributed, refuse_within};
use crate::bar::Bar;
use crate::exit::Reported;
use crate::interrupt;

/// A bulk job.
pub(super) struct Job<'a> {
    pub(super) command: &'static str,
    /// A folder, a list or an address.
    pub(super) source: String,
    pub(super) out: &'a Path,
    /// Options that determine the results, apart from the images.
    pub(super) options: Value,
}

impl Job<'_> {
    /// Shares the job among all processes. `work` sets up the model once, then calls the function it receives with the task
    /// to run on each image.
    pub(super) fn share(
        &self,
        context: Context,
        work: impl FnOnce(Context, &mut dyn FnMut(&mut ImageTask<'_>) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        distributed::share(context, |queue, context| work(context, &mut |task| self.run(queue, context, task)))
    }

    fn run(&self, queue: &dyn WorkQueue, context: Context, task: &mut ImageTask<'_>) -> Result<()> {
        let source = Source::of(&self.source)?;
        if let Source::Folder(folder) = &source {
            refuse_within(self.out, folder)?;
        }
        let results = match queue.leads() {
            true => Results::create(
                self.out,
                &json!({"command": self.command, "pictures": self.source, "options": self.options}),
            )?,
            false => Results::at(self.out),
        };
        // Several processes share a job only where they were started together.
        let _lock = queue.leads().then(|| FolderLock::create(self.out)).transpose()?;
        interrupt::catch()?;
        let summary = batch_jobs::run(queue, &source, &results, task, &mut Bar::new(context.output))?;
        let Some(Summary { items, before, done, failed }) = summary else { return Ok(()) };
        let out = self.out.display();
        context.output.result(&format!(
            "{} of {} are done, {} were before: {out}/results.jsonl",
            thousands(done),
            counted(items, "image"),
            thousands(before)
        ))?;
        if failed > 0 {
            context.output.result(&format!("{failed} failed: {out}/failures.csv"))?;
            return Err(Reported.into());
        }
        Ok(())
    }
}

/// The fields of a value that serializes to a JSON object.
pub(super) fn answer(value: &impl Serialize) -> lucida::Result<Answer> {
    match serde_json::to_value(value).map(lucida::files::decimals) {
        Ok(Value::Object(entries)) => Ok(entries),
        other => Err(lucida::Error::Bug(format!("a result is not an object: {other:?}"))),
    }
}
