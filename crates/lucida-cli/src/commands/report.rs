//! `lucida report`

use anyhow::{Result, bail};
use lucida::data::{Augment, Folder, memory_to_keep};
use lucida::report::RunReport;
use lucida::train::{History, Origin, RunFolder};
use lucida::weights::load_model;

use super::Context;
use crate::cli::ReportArguments;
use crate::cli::place::free;
use crate::interrupt;
use crate::progress::Counter;

pub(super) fn run(arguments: &ReportArguments, context: Context) -> Result<()> {
    let folder = &arguments.run;
    if !folder.is_dir() {
        bail!("{}: there is no such folder; expected that of a run of `lucida train FOLDER`", folder.display());
    }
    let run = RunFolder::reopen(folder)?;
    if !run.origin().exists() {
        bail!("{}: holds no run.json: only runs of `lucida train FOLDER` have a report", folder.display());
    }
    let mut origin = Origin::load(&run.origin())?;
    if let Some(data) = &arguments.data {
        origin.data.clone_from(data);
    }
    let out = free(arguments.out.as_deref(), arguments.force, folder.join("report.html"));
    let context = context.claim_file(&out, arguments.force)?;
    let model = load_model(&run.model())?;
    let history = History::load_csv(&run.history())?;
    let augment: Augment = origin.augment.as_deref().unwrap_or_default().parse().unwrap_or_default();
    interrupt::catch()?;
    let counter = Counter::new(context.output, "Files");
    let watch = |done, total| counter.at(done, total);
    let pictures = Folder::builder(&origin.data)
        .split(origin.validation_split, origin.seed)
        .cpu(context.cpu)
        .keep(model.preprocessing()?, memory_to_keep())
        .watch(&watch)
        .open()?;
    drop(counter);
    if pictures.class_names() != model.class_names {
        bail!(
            "{}: its classes ({}) are not those of the run ({})",
            origin.data.display(),
            pictures.class_names().join(", "),
            model.class_names.join(", ")
        );
    }
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    let report = RunReport {
        name: format!("Report of {name}"),
        model: &model,
        history: &history,
        folder: &pictures,
        augment: &augment,
        origin: &origin,
        cpu: context.cpu,
    };
    report.make()?.save(&out)?;
    context.output.result(&format!("Written to {}", out.display()))
}
