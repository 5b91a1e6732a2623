//! `lucida train FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use lucida::data::{Augmented, Dataset, Folder, Preprocessing, Skipped, memory_to_keep, save_skipped};
use lucida::nn::{Team, summary, thousands};
use lucida::train::{Fit, Fitted, Origin, Pictures, RunFolder, Slow, Transferred};
use lucida::weights::hub::cache_folder;
use serde_json::{Value, json};

use super::super::Context;
use super::ending::Ending;
use super::network::Source;
use super::rate;
use super::remembered::Remembered;
use super::settings::Wanted;
use crate::cli::TrainFolder;
use crate::exit::Usage;
use crate::interrupt;
use crate::output::{Output, percent};
use crate::progress::Counter;

/// How many skipped files are named on standard error; all of them are in the table.
const NAMED: usize = 5;

pub(super) fn run(arguments: &TrainFolder, team: Option<&dyn Team>, context: Context) -> Result<()> {
    let path = arguments.folder.as_deref().ok_or_else(|| anyhow!("no folder of pictures was given"))?;
    // A bare word that is no folder is a mistake in the command line.
    if !path.is_dir() && path.components().count() == 1 && !path.to_string_lossy().contains('.') {
        let word = path.display();
        return Err(Usage(format!("{word}: there is no such folder; expected a folder of pictures, or mnist")).into());
    }
    let TrainFolder { epochs, batch_size, seed, training, .. } = arguments;
    let wanted = Wanted { arguments: training, epochs: *epochs, batch_size: *batch_size, seed: *seed, team };
    let out = arguments.out.clone().unwrap_or_else(|| default_out(path));
    let source = Source::of(arguments)?;
    let run = wanted.open_run(&out)?;
    interrupt::catch()?;
    let mut folder = open(arguments, path, source.preprocessing()?, context)?;
    if !folder.skipped().is_empty() && wanted.leads() {
        save_skipped(folder.skipped(), &run.skipped())?;
    }
    let mut origin = origin(arguments, path, &source, &folder)?;
    if training.resume {
        // What was computed before the interruption is in the cache now.
        origin.feature_seconds = Origin::load(&run.origin()).ok().and_then(|before| before.feature_seconds);
    }
    if !training.find_lr && wanted.leads() {
        origin.save(&run.origin())?;
    }
    let mut network = source.build(folder.class_names(), *seed)?;
    let settings = wanted.settings(folder.train.len(), context);
    let slow = arguments.unfreeze.as_ref().map(|_| Slow {
        through: network.end_of_base().to_owned(),
        factor: (arguments.unfreeze_rate / training.learning_rate).min(1.0),
    });
    let fit = wanted.fit(settings, &folder.train, &run, identity(arguments, &folder, &network), slow)?;
    tell(&network, arguments, context);

    let data = (&mut folder, &mut origin);
    let Some(fitted) = train(arguments, &wanted, &fit, &run, &mut network, data, context)? else {
        return Ok(());
    };
    if !wanted.leads() {
        return Ok(());
    }
    let mut model = network.model;
    let augment = arguments.augment.as_ref();
    let ending = Ending { run: &run, fitted: &fitted, fit: &fit, augment, samples: "pictures" };
    ending.finish(&mut model, folder.test.as_ref().map(|test| test as &dyn Dataset), context)?;
    context.output.info(&format!("See lucida report {}", run.path().display()));
    let pretrained = origin.head.is_some();
    if let Some(advice) = advice(&fitted, &folder.validation.counts(), [arguments.augment.is_some(), pretrained]) {
        context.output.info(&advice);
    }
    Ok(())
}

/// Trains on pictures, or on what the frozen layers have said about them; nothing is left when a learning rate was looked
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
    let (Some(layer), Some(copies)) = (network.remembered().map(str::to_owned), copies) else {
        let train = Augmented::new(&folder.train, augment, arguments.seed)?;
        let preprocessing = network.model.preprocessing()?.clone();
        let pictures = |set| Pictures::new(set, &preprocessing, context.cpu.threads());
        let (samples, validation) = (pictures(&train), pictures(&folder.validation));
        if arguments.training.find_lr {
            rate::find(fit, &network.model.network, &samples, run, context)?;
            return Ok(None);
        }
        let mut watch = wanted.watch(&network.model, (&folder.validation, &validation), run, context)?;
        return Ok(Some(fit.run_on_in(
            wanted.team,
            &mut network.model.network,
            &samples,
            Some(&validation),
            &mut watch,
        )?));
    };
    let cache = match &arguments.features {
        Some(folder) => folder.clone(),
        None => cache_folder()?.join("features"),
    };
    let how = (&augment, copies, arguments.seed);
    // The first of a team computes what is not remembered yet; the others then find it.
    let wait = || wanted.team.map_or((), Team::meet);
    if !wanted.leads() {
        wait();
    }
    let remembered = Remembered::compute(&network.model, &layer, folder, how, &cache, context)?;
    if wanted.leads() {
        origin.feature_seconds = Some(origin.feature_seconds.unwrap_or(0.0) + remembered.seconds);
        if !arguments.training.find_lr {
            origin.save(&run.origin())?;
        }
        wait();
    }
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

/// What is kept of the command line, for the report and for evaluations.
fn origin(arguments: &TrainFolder, path: &Path, source: &Source, folder: &Folder) -> Result<Origin> {
    let preprocessing = source.preprocessing()?;
    let transfer = match source {
        Source::Scratch(..) => None,
        Source::Base(_, transfer) => Some(transfer),
    };
    let model = arguments.base.as_ref().map_or_else(|| arguments.model.clone(), |base| base.display().to_string());
    Ok(Origin {
        data: path.canonicalize().unwrap_or_else(|_| path.to_path_buf()),
        validation_split: arguments.validation_split,
        seed: arguments.seed,
        augment: arguments.augment.as_ref().map(ToString::to_string),
        model: Some(model),
        size: Some([preprocessing.height, preprocessing.width]),
        cut: transfer.and_then(|transfer| transfer.cut.clone()),
        head: transfer.map(|transfer| transfer.head.to_string()),
        unfreeze: transfer.and_then(|transfer| transfer.unfreeze.clone()),
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
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    Path::new("runs").join(whole.file_name().unwrap_or("photos".as_ref()))
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
