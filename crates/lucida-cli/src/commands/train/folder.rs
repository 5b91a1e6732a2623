//! `lucida train FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use lucida::data::{Augment, Augmented, Dataset, Folder, Preprocessing, Skipped, memory_to_keep, save_skipped};
use lucida::nn::{Team, summary, thousands};
use lucida::train::{Fit, Fitted, Origin, Pictures, RunFolder, Slow, Transfer, Transferred};
use lucida::weights::hub::cache_folder;
use serde_json::{Value, json};

use super::super::{Context, run_of};
use super::ending::Ending;
use super::network::Source;
use super::rate;
use super::remembered::Remembered;
use super::settings::{Defaults, Wanted};
use crate::cli::TrainFolder;
use crate::cli::place::name_of;
use crate::exit::Usage;
use crate::interrupt;
use crate::output::{Output, percent};
use crate::progress::Counter;

/// How many skipped files are named on standard error; all of them are in the table.
const NAMED: usize = 5;

pub(super) fn run(arguments: &TrainFolder, team: Option<&dyn Team>, context: Context) -> Result<()> {
    let context = Context { output: context.output.quieted(arguments.training.json), ..context };
    let path = arguments.folder.as_deref().ok_or_else(|| anyhow!("no folder of pictures was given"))?;
    // A bare word that is no folder is a mistake in the command line.
    if !path.is_dir() && path.components().count() == 1 && !path.to_string_lossy().contains('.') {
        let word = path.display();
        return Err(Usage(format!("{word}: there is no such folder; expected a folder of pictures, or mnist")).into());
    }
    let TrainFolder { epochs, batch_size, seed, training, .. } = arguments;
    let source = Source::of(arguments, context)?;
    let defaults = if source.is_frozen()? { Defaults::HEAD } else { Defaults::WHOLE };
    let (epochs, batch_size, seed) = (*epochs, *batch_size, *seed);
    let wanted = Wanted { arguments: training, epochs, defaults, batch_size, seed, team };
    let out = wanted.place(arguments.out.as_deref(), &default_out(path));
    if wanted.is_finished(&out, context)? {
        return Ok(());
    }
    interrupt::catch()?;
    wanted.in_run(&out, |run| run_in(arguments, (path, source), &wanted, run, context))
}

/// A run in its folder.
fn run_in(
    arguments: &TrainFolder,
    (path, source): (&Path, Source),
    wanted: &Wanted,
    run: &RunFolder,
    context: Context,
) -> Result<()> {
    let TrainFolder { seed, training, .. } = arguments;
    let mut folder = open(arguments, path, source.preprocessing()?, context)?;
    let mut origin = origin(arguments, path, &source, &folder)?;
    let mut network = source.build(folder.class_names(), *seed)?;
    if !folder.skipped().is_empty() && wanted.leads() {
        save_skipped(folder.skipped(), &run.skipped())?;
    }
    if training.resume {
        // What was computed before the interruption is in the cache now.
        origin.feature_seconds = Origin::load(&run.origin()).ok().and_then(|before| before.feature_seconds);
    }
    if !training.find_lr && wanted.leads() {
        origin.save(&run.origin())?;
    }
    let settings = wanted.settings(folder.train.len(), context);
    let slow = network.unfrozen.as_ref().map(|_| Slow {
        through: network.end_of_base().to_owned(),
        factor: (arguments.unfreeze_rate / settings.schedule.rate).min(1.0),
    });
    let fit = wanted.fit(settings, &folder.train, run, identity(arguments, &folder, &network), slow)?;
    tell(&network, arguments, context);

    let data = (&mut folder, &mut origin);
    let Some(fitted) = train(arguments, wanted, &fit, run, &mut network, data, context)? else {
        return Ok(());
    };
    if !wanted.leads() {
        return Ok(());
    }
    let ending = Ending {
        run,
        fitted: &fitted,
        fit: &fit,
        augment: arguments.augment.as_ref(),
        base: network.record(),
        keep_checkpoint: training.keep_checkpoint,
        json: training.json,
        samples: "images",
    };
    ending.finish(&mut network.model, folder.test.as_ref().map(|test| test as &dyn Dataset), context)?;
    context.output.info(&format!("See lucida report {}", run.path().display()));
    let pretrained = network.head > 0;
    if let Some(advice) = advice(&fitted, &folder.validation.counts(), [arguments.augment.is_some(), pretrained]) {
        context.output.info(&advice);
    }
    Ok(())
}

/// Trains on images, or on what the frozen layers have said about them; nothing is left when a learning rate was looked
/// for.
fn train(
    arguments: &TrainFolder,
    wanted: &Wanted,
    fit: &Fit,
    run: &RunFolder,
    network: &mut Transferred,
    (folder, origin): (&mut Folder, &mut Origin),
    context: Context,
) -> Result<Option<Fitted>> {
    let augment = arguments.augment.clone().unwrap_or_default();
    let copies = if augment.is_none() { Some(1) } else { arguments.augment_copies };
    let how = copies.map(|copies| (&augment, copies, arguments.seed));
    let remembered = wanted.first_alone(|| remember(arguments, network, folder, how, context))?;
    if let Some(remembered) = remembered.as_ref().filter(|_| wanted.leads()) {
        origin.feature_seconds = Some(origin.feature_seconds.unwrap_or(0.0) + remembered.seconds);
        if !arguments.training.find_lr {
            origin.save(&run.origin())?;
        }
    }
    let (Some(remembered), Some(_)) = (remembered, copies) else {
        return train_on_images(arguments, wanted, fit, run, network, folder, context);
    };
    remembered.tell();
    // The pixels are not needed any more.
    folder.train = folder.train.clone().without_kept();
    folder.validation = folder.validation.clone().without_kept();
    let (train, validation) = remembered.sets(folder)?;
    let mut tail = network.model.network.tail(network.seam)?;
    if arguments.training.find_lr {
        rate::find(fit, &tail, &train, run, context)?;
        return Ok(None);
    }
    let fitted = {
        let mut watch = wanted.watch(&network.model, (&folder.validation, &validation), run, context)?;
        fit.run_on_in(wanted.team, &mut tail, &train, Some(&validation), &mut watch)?
    };
    let mut last = network.model.network.clone();
    last.take_over(fitted.last)?;
    network.model.network.take_over(tail)?;
    Ok(Some(Fitted { last, ..fitted }))
}

/// What the frozen layers say about the images, as far as the training needs it: for a head that standardizes, of the
/// training images; of all images, augmented so, if all of them are to be remembered.
fn remember(
    arguments: &TrainFolder,
    network: &mut Transferred,
    folder: &Folder,
    how: Option<(&Augment, u32, u64)>,
    context: Context,
) -> Result<Option<Remembered>> {
    let Some(layer) = network.remembered().map(str::to_owned) else {
        if network.standardizes() {
            let preprocessing = network.model.preprocessing()?.clone();
            let images = Pictures::new(&folder.train, &preprocessing, context.cpu.threads());
            network.standardize(&images, context.cpu)?;
        }
        return Ok(None);
    };
    if how.is_none() && !network.standardizes() {
        return Ok(None);
    }
    let cache = match &arguments.features {
        Some(folder) => folder.clone(),
        None => cache_folder()?.join("features"),
    };
    let mut remembered = Remembered::open(&network.model, &layer, &cache, context)?;
    if network.standardizes() {
        remembered.standardize(network, &folder.train)?;
    }
    if let Some(how) = how {
        remembered.compute(&network.model, folder, how)?;
    }
    Ok(Some(remembered))
}

fn train_on_images(
    arguments: &TrainFolder,
    wanted: &Wanted,
    fit: &Fit,
    run: &RunFolder,
    network: &mut Transferred,
    folder: &Folder,
    context: Context,
) -> Result<Option<Fitted>> {
    let train = Augmented::new(&folder.train, arguments.augment.clone().unwrap_or_default(), arguments.seed)?;
    let preprocessing = network.model.preprocessing()?.clone();
    let images = |set| Pictures::new(set, &preprocessing, context.cpu.threads());
    let (samples, validation) = (images(&train), images(&folder.validation));
    let network = &mut network.model;
    if arguments.training.find_lr {
        rate::find(fit, &network.network, &samples, run, context)?;
        return Ok(None);
    }
    let mut watch = wanted.watch(network, (&folder.validation, &validation), run, context)?;
    Ok(Some(fit.run_on_in(wanted.team, &mut network.network, &samples, Some(&validation), &mut watch)?))
}

/// What is kept of the command line, for the report and for evaluations.
fn origin(arguments: &TrainFolder, path: &Path, source: &Source, folder: &Folder) -> Result<Origin> {
    let preprocessing = source.preprocessing()?;
    let model = arguments.continued.as_ref().or(arguments.base.as_ref());
    let [cut, head, unfreeze] = match source {
        Source::Scratch(..) => [None, None, None],
        Source::Base(_, Transfer { cut, head, unfreeze }) => [cut.clone(), Some(head.to_string()), unfreeze.clone()],
        // The layers are those of the run before, as far as it says.
        Source::Continued(_, unfreeze) => {
            let before = arguments.continued.as_ref().and_then(|run| Origin::load(&run_of(run).origin()).ok());
            let before = before.unwrap_or_default();
            [before.cut, before.head, unfreeze.clone().or(before.unfreeze)]
        }
    };
    Ok(Origin {
        data: path.canonicalize().unwrap_or_else(|_| path.to_path_buf()),
        validation_split: arguments.validation_split,
        seed: arguments.seed,
        augment: arguments.augment.as_ref().map(ToString::to_string),
        model: Some(model.map_or_else(|| arguments.model.clone(), |path| path.display().to_string())),
        size: Some([preprocessing.height, preprocessing.width]),
        cut,
        head,
        unfreeze,
        images: Some([folder.train.len(), folder.validation.len()]),
        feature_seconds: None,
        command: Some(command_line(std::env::args())),
    })
}

/// A command line that a shell reads as these arguments; the program by its name alone.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_=./,:+@%".contains(c));
    let quoted = |text: String| if plain(&text) { text } else { format!("'{}'", text.replace('\'', "'\\''")) };
    ["lucida".to_owned()].into_iter().chain(arguments.skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}

/// What would help a training that overfits, or that hardly learns; `tried` says whether images were augmented, and whether
/// the base was pretrained. `counts` are the validation images of each class.
fn advice(fitted: &Fitted, counts: &[usize], [augmented, pretrained]: [bool; 2]) -> Option<String> {
    let epochs = &fitted.history.epochs;
    let (best, last) = (fitted.history.best()?, epochs.last()?);
    let accuracy = epochs.get(fitted.best_epoch? - 1)?.val_accuracy?;
    let options: Vec<&str> = [
        (!augmented, "--augment flip,rotation=20,zoom=0.2"),
        (!pretrained, "a pretrained base: --model vgg16 (after lucida weights fetch vgg16)"),
    ]
    .into_iter()
    .filter_map(|(missing, option)| missing.then_some(option))
    .collect();
    if options.is_empty() {
        return None;
    }
    let help = options.join(", or ");
    let chance = counts.iter().copied().max()? as f64 / counts.iter().sum::<usize>().max(1) as f64;
    // The loss on the validation data rises while that on the training data falls on.
    let overfits = last.val_loss? > 1.1 * best.val_loss? && last.loss < best.loss;
    if overfits {
        return Some(format!(
            "Overfitting: after epoch {} the validation loss rose from {:.4} to {:.4} while the training loss fell to {:.4}. \
             What may help: {help}",
            best.epoch, best.val_loss?, last.val_loss?, last.loss
        ));
    }
    // Less than two fifths of the way from always naming the largest class to being always right.
    let learned = (accuracy - chance) / (1.0 - chance).max(f64::MIN_POSITIVE);
    (learned < 0.4 && chance < 1.0).then(|| {
        format!(
            "Low accuracy: {} on the validation images, where always naming the largest class gives {}. What may help: {help}",
            percent(accuracy),
            percent(chance)
        )
    })
}

/// `runs/photos` for `/data/photos/`.
fn default_out(folder: &Path) -> PathBuf {
    Path::new("runs").join(name_of(folder))
}

/// What must be the same for a training to go on, beside its settings.
fn identity(arguments: &TrainFolder, folder: &Folder, network: &Transferred) -> Value {
    json!({
        "training pictures": folder.train.len(),
        "validation pictures": folder.validation.len(),
        "classes": folder.class_names(),
        "augmentation": arguments.augment.as_ref().map(ToString::to_string),
        "augmented copies": arguments.augment_copies,
        "preprocessing": network.model.preprocessing,
    })
}

/// Says what is going to be trained.
fn tell(network: &Transferred, arguments: &TrainFolder, context: Context) {
    let (model, output) = (&network.model, context.output);
    let (all, trainable) = model.network.parameters();
    let frozen = match all - trainable {
        0 => String::new(),
        _ => format!(", {} of them trained", thousands(trainable)),
    };
    output.info(&format!(
        "Network {}: {} parameters{frozen}; {} threads with {}",
        model.network.name(),
        thousands(all),
        context.cpu.threads(),
        context.cpu.isa().name()
    ));
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
        if let (Some(layer), None) = (network.remembered(), arguments.augment_copies) {
            output.note(&format!(
                "the frozen layers up to {layer} run in every step, as each picture is another one; --augment-copies N \
                 runs them over N copies of each, once"
            ));
        }
    }
    if output.verbose() {
        output.info(summary(&model.network).trim_end());
    }
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
    output.info(&folder.found());
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

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::train::{EpochRecord, History};

    fn history(epochs: &[[f64; 3]]) -> Fitted {
        let record = |(index, &[loss, val_loss, val_accuracy]): (usize, &[f64; 3])| EpochRecord {
            epoch: index + 1,
            loss,
            val_loss: Some(val_loss),
            val_accuracy: Some(val_accuracy),
            ..EpochRecord::default()
        };
        let history = History { epochs: epochs.iter().enumerate().map(record).collect() };
        let best_epoch = history.best().map(|best| best.epoch);
        let last = lucida::nn::zoo::mnist_cnn(0).unwrap();
        Fitted { history, best_epoch, last, interrupted: false, stopped_early: false }
    }

    #[test]
    fn a_training_that_overfits_or_stalls_is_told_what_helps() {
        let overfits = history(&[[0.6, 0.6, 0.7], [0.4, 0.5, 0.75], [0.1, 0.9, 0.74]]);
        let text = advice(&overfits, &[50, 50], [false, false]).unwrap();
        assert!(text.starts_with("Overfitting: after epoch 2") && text.contains("--augment"), "{text}");
        assert!(text.contains("--model vgg16"), "{text}");
        assert!(!advice(&overfits, &[50, 50], [true, false]).unwrap().contains("--augment"));
        assert_eq!(advice(&overfits, &[50, 50], [true, true]), None);
        let stalls = history(&[[0.69, 0.69, 0.55], [0.66, 0.66, 0.6]]);
        assert!(advice(&stalls, &[50, 50], [false, false]).unwrap().starts_with("Low accuracy: 60.00 %"));
        // As good as always naming the class of nine in ten.
        assert!(advice(&history(&[[0.3, 0.3, 0.9]]), &[90, 10], [false, false]).is_some());
        assert_eq!(advice(&history(&[[0.2, 0.2, 0.93]]), &[50, 50], [false, false]), None);
        assert_eq!(advice(&history(&[]), &[50, 50], [false, false]), None);
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        let line = ["/usr/bin/lucida", "train", "my photos", "--augment", "flip,zoom=0.2", "it's"];
        let text = command_line(line.into_iter().map(str::to_owned));
        assert_eq!(text, r"lucida train 'my photos' --augment flip,zoom=0.2 'it'\''s'");
    }
}
