//! `lucida train --folds`

use std::path::Path;

use anyhow::{Result, bail};
use lucida::data::{Dataset, Folder};
use lucida::nn::{counted, thousands};
use lucida::train::{
    CrossValidation, FoldResult, Origin, RunFolder, TargetEvaluation, TrainStart, evaluate, evaluate_cached,
    evaluate_targets, evaluate_targets_cached,
};
use lucida::weights::hub::cache_folder;
use serde_json::{Value, json};

use super::super::Context;
use super::folder::{Trained, open, origin, print_skipped, train_folder};
use super::request::TrainRequest;
use crate::cli::TrainFolder;
use crate::commands::tables::table;
use crate::exit::Usage;
use crate::interrupt;

/// Trains and evaluates one network per fold.
pub(super) fn run(
    arguments: &TrainFolder,
    (path, source): (&Path, &TrainStart),
    request: &TrainRequest,
    (out, count): (&Path, usize),
    context: Context,
) -> Result<()> {
    if request.group.is_some() {
        return Err(Usage("--folds is for one process: leave out --distributed".to_owned()).into());
    }
    let done = RunFolder::at(out).folds();
    if arguments.training.resume && !done.exists() {
        bail!("--resume: there is no cross-validation in {}; --out names the folder of one", out.display());
    }
    interrupt::catch()?;
    request.in_run(out, |run| {
        let folds =
            open(arguments, path, source.preprocessing()?, context, |builder| builder.open_folds(count))?;
        let notes = notes(&folds);
        tell(&folds[0], (count, &notes), context);
        let settings = settings(arguments, (path, source), request, (run, &folds[0]), context)?;
        let mut all = match arguments.training.resumes() && done.exists() {
            true => CrossValidation::load(&done)?,
            false => CrossValidation { count, settings: settings.clone(), notes, folds: Vec::new() },
        };
        if !all.matches(count, &settings) {
            bail!(
                "{}: this cross-validation was started with other data, labels or settings; resume it with the command line \
                 that it was started with, or start over with --force",
                done.display()
            );
        }
        if !arguments.training.resumes() {
            origin(arguments, path, source, &folds[0], None)?.save(run.origin())?;
        }
        all.save(&done)?;
        for (number, folder) in folds.into_iter().enumerate().map(|(index, folder)| (index + 1, folder)) {
            if all.folds.iter().any(|fold| fold.fold == number) {
                context.output.info(&format!("Fold {number} of {count} is done"));
                continue;
            }
            let images = [folder.train.len(), folder.validation.len()].map(thousands);
            context.output.info(&format!(
                "Fold {number} of {count}: {} training, {} validation images",
                images[0], images[1]
            ));
            let folder_of_fold = out.join(format!("fold-{number}"));
            let trained = request.in_run(&folder_of_fold, |run| {
                let fold = Some([number, count]);
                train_folder(arguments, (path, source.clone()), folder, request, (run, fold), context)
            })?;
            let Some(trained) = trained else { return Ok(()) };
            all.folds.push(FoldResult { fold: number, ..measure(arguments, &trained, context)? });
            all.save(&done)?;
            run.discard_earlier()?;
        }
        all.save_csv(run.folds_table())?;
        finish(arguments, &all, out, context)
    })
}

/// Prints how labels were parsed, and what was found.
fn tell(first: &Folder, (count, notes): (usize, &[String]), context: Context) {
    let output = context.output;
    if let Some(labels) = first.labels() {
        output.info(&labels.summary);
    }
    let images = first.train.len() + first.validation.len();
    output.info(&format!("{} in {}", counted(images, "image"), counted(count, "fold")));
    notes.iter().for_each(|note| output.note(note));
    print_skipped(first.skipped(), output);
}

/// Notes on the data; those of a single fold start with its number.
fn notes(folds: &[Folder]) -> Vec<String> {
    let shared = |note: &&String| folds.iter().all(|fold| fold.notes().contains(note));
    // This note contains numbers that differ between folds, but should be printed once.
    let suspicion = |note: &&String| note.starts_with("the file names suggest");
    let mut notes: Vec<String> =
        folds[0].notes().iter().filter(|note| shared(note) || suspicion(note)).cloned().collect();
    for (index, fold) in folds.iter().enumerate() {
        let own = fold.notes().iter().filter(|note| !shared(note) && !suspicion(note));
        notes.extend(own.map(|note| format!("fold {}: {note}", index + 1)));
    }
    notes
}

/// Settings that must not change for completed folds to be reused.
fn settings(
    arguments: &TrainFolder,
    (path, source): (&Path, &TrainStart),
    request: &TrainRequest,
    (run, first): (&RunFolder, &Folder),
    context: Context,
) -> Result<Value> {
    let origin = origin(arguments, path, source, first, None)?;
    let config = request.config(&first.train, run, Value::Null, context)?;
    Ok(json!({
        "run": Origin { command: None, images: None, ..origin },
        "images": first.train.len() + first.validation.len(),
        "classes": first.class_names(),
        "epochs": config.epochs,
        "batch size": config.batch_size,
        "learning rate": config.learning_rate,
        "optimizer": config.optimizer,
        "options": config,
        "early stopping": arguments.training.early_stopping,
        "plateau": arguments.training.reduce_on_plateau,
    }))
}

/// Evaluates a fold on its validation images.
fn measure(arguments: &TrainFolder, trained: &Trained, context: Context) -> Result<FoldResult> {
    let Trained { model, validation, images, best_epoch } = trained;
    let cache = match &arguments.features {
        Some(folder) => folder.clone(),
        None => cache_folder()?.join("features"),
    };
    let cpu = context.cpu;
    let measured = if validation.targets().row_len() > 0 {
        let cached = evaluate_targets_cached(model, validation, &cache, cpu)?;
        FoldResult::from(&cached.map_or_else(|| evaluate_targets(model, validation, cpu), Ok::<TargetEvaluation, _>)?)
    } else {
        let cached = evaluate_cached(model, validation, &cache, cpu)?;
        FoldResult::from(&cached.map_or_else(|| evaluate(model, validation, cpu), Ok)?)
    };
    Ok(FoldResult { images: *images, best_epoch: *best_epoch, ..measured })
}

/// Prints the results of the folds, with means and standard deviations.
fn finish(arguments: &TrainFolder, all: &CrossValidation, out: &Path, context: Context) -> Result<()> {
    let output = context.output;
    if arguments.training.json {
        return output.json(&json!({
            "run": out.display().to_string(),
            "folds": all.folds,
            "metrics": all.summary(),
        }));
    }
    output.result(&format!("{}-fold cross-validation", all.count))?;
    output.result(&folds_table(all))?;
    output.info(&format!("Written to {}: fold-1 to fold-{}, folds.csv, folds.json", out.display(), all.count));
    output.info(&format!("Next: lucida report {}", out.display()));
    Ok(())
}

/// One row per fold, then mean and standard deviation.
fn folds_table(all: &CrossValidation) -> String {
    let names = all.names();
    let head: Vec<String> =
        ["fold", ">images"].into_iter().map(str::to_owned).chain(names.iter().map(|name| format!(">{name}"))).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
    let row = |title: String, images: String, value: &dyn Fn(&str) -> Option<f64>| {
        [title, images].into_iter().chain(names.iter().map(|name| number(value(name)))).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = all
        .folds
        .iter()
        .map(|fold| row(fold.fold.to_string(), thousands(fold.images[1]), &|name| fold.metrics.get(name).copied()))
        .collect();
    let images = all.folds.iter().map(|fold| fold.images[1]).sum();
    rows.push(row("mean".to_owned(), thousands(images), &|name| all.mean(name)));
    rows.push(row("std".to_owned(), String::new(), &|name| all.deviation(name)));
    table(&head, rows)
}
