//! `lucida train FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use lucida::data::{Augmented, Dataset, Filter, Folder, Preprocessing, Skipped, memory_to_keep, save_skipped};
use lucida::nn::zoo::{self, Options};
use lucida::nn::{summary, thousands};
use lucida::train::RunFolder;
use lucida::weights::Model;
use serde_json::json;

use super::super::Context;
use super::report_best;
use super::settings::Wanted;
use crate::cli::TrainFolder;
use crate::interrupt;
use crate::output::{Output, percent};
use crate::progress::{Counter, Progress};

/// How many skipped files are named on standard error; all of them are in the table.
const NAMED: usize = 5;
/// Height and width of the pictures, unless told otherwise.
const SIZE: usize = 150;

pub(super) fn run(arguments: &TrainFolder, context: Context) -> Result<()> {
    let output = context.output;
    let path = arguments.folder.as_deref().ok_or_else(|| anyhow!("no folder of pictures was given"))?;
    let TrainFolder { epochs, batch_size, seed, training, .. } = arguments;
    let wanted = Wanted { arguments: training, epochs: *epochs, batch_size: *batch_size, seed: *seed };
    let out = arguments.out.clone().unwrap_or_else(|| default_out(path));
    let known = zoo::find(&arguments.model)?;
    let [height, width] = arguments.size.map_or([SIZE; 2], |size| [size.height, size.width]);
    let preprocessing = preprocessing(arguments, known.pixels, [height, width]);
    let run = wanted.open_run(&out)?;
    interrupt::catch()?;
    let folder = open(arguments, path, &preprocessing, context)?;
    if !folder.skipped().is_empty() {
        save_skipped(folder.skipped(), &run.skipped())?;
    }

    let options = Options::default().size(height, width).classes(folder.class_names().len()).seed(*seed);
    let mut model = Model {
        preprocessing: Some(preprocessing),
        class_names: folder.class_names().to_vec(),
        ..Model::new(known.build(&options)?)
    };
    let train = Augmented::new(&folder.train, arguments.augment.clone().unwrap_or_default(), *seed)?;
    let settings = wanted.settings(train.len(), context);
    let identity = json!({
        "training pictures": train.len(),
        "validation pictures": folder.validation.len(),
        "classes": folder.class_names(),
        "augmentation": train.augment().to_string(),
        "preprocessing": model.preprocessing,
    });
    let fit = wanted.fit(settings, &train, &run, identity)?;
    output.info(&format!(
        "Network {}: {} parameters; {} threads with {}",
        model.network.name(),
        thousands(model.network.parameters().0),
        context.cpu.threads(),
        context.cpu.isa().name()
    ));
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
    }
    if output.verbose() {
        output.info(summary(&model.network).trim_end());
    }

    let fitted = {
        let mut progress = Progress::new(output, settings.epochs);
        fit.run(&mut model, &train, Some(&folder.validation), &mut progress)?
    };
    model.training = fitted.record(&settings);
    if let (Some(augment), Some(record)) = (&arguments.augment, model.training.as_object_mut()) {
        record.insert("augment".to_owned(), augment.to_string().into());
    }
    run.save_best(&model)?;
    run.save_last(&model, &fitted.last)?;
    run.save_history(&fitted.history)?;
    report_best(&fitted, context);
    if fitted.stopped_early {
        output.info(&format!("Stopped early, after {} epochs", fitted.history.epochs.len()));
    }
    let written = format!("{}: {}", run.path().display(), RunFolder::FILES.join(", "));
    if fitted.interrupted {
        output.info(&format!("Stopped after {} of {} epochs", fitted.history.epochs.len(), settings.epochs));
        output.info(&format!("Written to {written}"));
        output.info("Go on with the same command line and --resume");
        return Err(lucida::Error::Interrupted.into());
    }
    if let Some(test) = folder.test.as_ref().filter(|test| !test.is_empty()) {
        let result = lucida::train::evaluate(&model, test, context.cpu)?;
        let (accuracy, loss) = (percent(result.accuracy), result.loss);
        output.result(&format!("Test accuracy {accuracy}, loss {loss:.4} on {} pictures", thousands(test.len())))?;
    }
    output.info(&format!("Written to {written}"));
    Ok(())
}

/// `runs/photos` for `/data/photos/`.
fn default_out(folder: &Path) -> PathBuf {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    Path::new("runs").join(whole.file_name().unwrap_or("photos".as_ref()))
}

fn preprocessing(arguments: &TrainFolder, pixels: zoo::Pixels, [height, width]: [usize; 2]) -> Preprocessing {
    let pixels = arguments.pixels.map_or(pixels, Into::into);
    let numbers = Model::preprocessing_of(pixels, height, width);
    numbers.with_fit(arguments.fit.into(), Filter::Bilinear)
}

/// Opens the folder, and says what was found in it and what not.
fn open(arguments: &TrainFolder, path: &Path, preprocessing: &Preprocessing, context: Context) -> Result<Folder> {
    let output = context.output;
    let counter = Counter::new(output, "Files");
    let watch = |done, total| counter.at(done, total);
    let bytes = arguments.cache_mb.map_or_else(memory_to_keep, |mb| mb.saturating_mul(1_000_000));
    let folder = Folder::builder(path)
        .strict(arguments.strict)
        .split(arguments.validation_split, arguments.seed)
        .cpu(context.cpu)
        .keep(preprocessing, bytes)
        .watch(&watch)
        .open()?;
    drop(counter);
    folder.found().iter().for_each(|found| output.info(found));
    folder.notes().iter().for_each(|note| output.note(note));
    tell_skipped(folder.skipped(), output);
    Ok(folder)
}

fn tell_skipped(skipped: &[Skipped], output: Output) {
    for Skipped { path, reason } in skipped.iter().take(NAMED) {
        output.note(&format!("skipped {}: {reason}", path.display()));
    }
    if skipped.len() > NAMED {
        output.note(&format!("{} files skipped in all: see skipped.csv", skipped.len()));
    }
}
