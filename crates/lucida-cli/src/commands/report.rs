//! `lucida report`

use std::path::Path;

use anyhow::{Result, bail};
use lucida::data::{Augment, Dataset, Folder, Mnist, Subset, memory_to_keep, stratified_split};
use lucida::files;
use lucida::report::{RunData, RunReport, cross_validation_report};
use lucida::train::{CrossValidation, History, Origin, RunFolder};
use lucida::weights::{Model, load_model};

use super::{Context, FileJson};
use crate::arguments::Source;
use crate::bar::Bar;
use crate::cli::ReportArguments;
use crate::cli::place::free;
use crate::interrupt;

pub(super) fn run(arguments: &ReportArguments, context: Context) -> Result<()> {
    let folder = &arguments.run;
    if !folder.is_dir() {
        return Err(lucida::Error::file(folder, "no such folder; expected that of a run of `lucida train`").into());
    }
    // Without its lock: a training that still runs can be reported.
    files::heal(folder);
    let run = RunFolder::at(folder);
    if !run.origin().exists() {
        bail!("{}: contains no run.json; expected the folder of a run of `lucida train`", folder.display());
    }
    if run.folds().exists() && !run.model().exists() {
        return of_folds(arguments, &run, context);
    }
    // For a run without a model, the error for the folder is more helpful.
    let model = load_model(&if run.model().exists() { run.model() } else { folder.clone() })?;
    let mut origin = Origin::load(run.origin())?;
    if let Some(data) = &arguments.data {
        origin.data = data.to_string().into();
    }
    let out = free(arguments.out.as_deref(), arguments.force, folder.join("report.html"));
    let context = context.claim_file(&out, arguments.force)?.quieted(arguments.json);
    let history = History::load_csv(run.history())?;
    interrupt::catch()?;
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    let make = |data: RunData| {
        check_classes(data.train.class_names(), &model, &origin)?;
        let augment: Augment = origin.augment.as_deref().unwrap_or_default().parse().unwrap_or_default();
        let report = RunReport {
            name: format!("Report of {name}"),
            model: &model,
            history: &history,
            data,
            augment: &augment,
            origin: &origin,
            cpu: context.cpu,
        };
        report.make()?.save(&out)?;
        match arguments.json {
            true => context.output.json(&FileJson { file: &out }),
            false => context.output.written(&out, ""),
        }
    };
    match source(&origin.data) {
        Source::Mnist(data) => of_digits(data.as_deref(), &origin, make),
        Source::Folder(data) => make(RunData::of_folder(&images(&data, &origin, &model, context)?)),
    }
}

/// Writes the report of a cross-validation from its fold results.
fn of_folds(arguments: &ReportArguments, run: &RunFolder, context: Context) -> Result<()> {
    let all = CrossValidation::load(run.folds())?;
    let origin = Origin::load(run.origin())?;
    let out = free(arguments.out.as_deref(), arguments.force, run.path().join("report.html"));
    let context = context.claim_file(&out, arguments.force)?.quieted(arguments.json);
    let name = run.path().file_name().unwrap_or(run.path().as_os_str()).to_string_lossy();
    cross_validation_report(&format!("Report of {name}"), &all, &origin).save(&out)?;
    match arguments.json {
        true => context.output.json(&FileJson { file: &out }),
        false => context.output.written(&out, ""),
    }
}

/// The data source of a run: anything but MNIST is a folder, existing or not.
fn source(data: &Path) -> Source {
    let text = data.to_str().filter(|text| *text == "mnist" || text.starts_with("mnist:"));
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| Source::Folder(data.to_owned()))
}

/// The images of a folder, split as in the run.
fn images(data: &Path, origin: &Origin, model: &Model, context: Context) -> Result<Folder> {
    let mut bar = Bar::new(context.output);
    origin.check_table()?;
    let builder = Origin { data: data.to_owned(), ..origin.clone() }.folder().cpu(context.cpu);
    Ok(builder.keep(model.preprocessing()?, memory_to_keep()).progress(&mut bar).open()?)
}

/// Digits, split as in the run.
fn of_digits(folder: Option<&Path>, origin: &Origin, make: impl FnOnce(RunData) -> Result<()>) -> Result<()> {
    let digits = folder.map_or_else(Mnist::builtin, Mnist::from_folder)?;
    let classes = digits.train.class_names().len();
    let split = stratified_split(&digits.train.labels(), classes, origin.validation_split, origin.seed)?;
    let (train, validation) = (Subset::new(&digits.train, split.train)?, Subset::new(&digits.train, split.validation)?);
    let test = digits.test.as_ref().map(|test| test as &dyn Dataset);
    make(RunData { train: &train, validation: &validation, test, folder: None })
}

fn check_classes(names: &[String], model: &Model, origin: &Origin) -> Result<()> {
    if names == model.class_names {
        return Ok(());
    }
    bail!(
        "{}: its classes ({}) are not those of the run ({})",
        origin.data.display(),
        names.join(", "),
        model.class_names.join(", ")
    )
}
