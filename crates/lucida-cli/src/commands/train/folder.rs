//! `lucida train FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use lucida::data::{Augment, Augmented, Dataset, Folder, Preprocessing, Skipped, memory_to_keep, save_skipped};
use lucida::nn::{ProcessGroup, summary};
use lucida::train::{ImageSamples, Origin, ParamGroup, RunFolder, TrainConfig, TrainResult, Transfer, TransferModel};
use lucida::weights::hub::cache_folder;
use serde_json::{Value, json};

use super::super::{Context, run_of};
use super::cached_features::CachedFeatures;
use super::command_line;
use super::finish_run::FinishRun;
use super::network::Source;
use super::rate;
use super::request::{Defaults, TrainRequest, tell_network};
use crate::bar::Bar;
use crate::cli::TrainFolder;
use crate::cli::place::name_of;
use crate::exit::{self, Usage};
use crate::interrupt;
use crate::output::Output;

/// How many skipped files are named on standard error; all of them are in the table.
const NAMED: usize = 5;

pub(super) fn run(arguments: &TrainFolder, group: Option<&dyn ProcessGroup>, context: Context) -> Result<()> {
    let context = Context { output: context.output.quieted(arguments.training.json), ..context };
    let path = arguments.folder.as_deref().ok_or_else(|| anyhow!("no folder of images was given"))?;
    // A bare word that does not name a folder is a mistake in the command line.
    if !path.is_dir() && path.components().count() == 1 && !path.to_string_lossy().contains('.') {
        let near = exit::did_you_mean_data(&path.to_string_lossy());
        let message = format!("{}: no such folder; expected a folder of images, or mnist{near}", path.display());
        return Err(Usage(message).into());
    }
    let TrainFolder { epochs, batch_size, seed, training, .. } = arguments;
    let source = Source::of(arguments, context)?;
    let defaults = if source.is_frozen()? { Defaults::HEAD } else { Defaults::WHOLE };
    let (epochs, batch_size, seed) = (*epochs, *batch_size, *seed);
    let request = TrainRequest { arguments: training, epochs, defaults, batch_size, seed, group };
    let out = request.place(arguments.out.as_deref(), &default_out(path));
    if request.is_finished(&out, context)? {
        return Ok(());
    }
    interrupt::catch()?;
    request.in_run(&out, |run| run_in(arguments, (path, source), &request, run, context))
}

/// A run in its folder.
fn run_in(
    arguments: &TrainFolder,
    (path, source): (&Path, Source),
    request: &TrainRequest,
    run: &RunFolder,
    context: Context,
) -> Result<()> {
    let TrainFolder { seed, training, .. } = arguments;
    let mut folder = open(arguments, path, source.preprocessing()?, context)?;
    let mut origin = origin(arguments, path, &source, &folder)?;
    let mut network = source.build(folder.class_names(), *seed)?;
    if !folder.skipped().is_empty() && request.leads() {
        save_skipped(folder.skipped(), run.skipped())?;
    }
    if training.resumes() {
        // What was computed before the interruption is in the cache now.
        origin.feature_seconds = Origin::load(run.origin()).ok().and_then(|before| before.feature_seconds);
    }
    if !training.find_lr && request.leads() {
        origin.save(run.origin())?;
    }
    let mut config = request.config(&folder.train, run, identity(arguments, &folder, &network), context)?;
    config.param_group = network.unfrozen.as_ref().map(|_| ParamGroup {
        through: network.end_of_base().to_owned(),
        factor: (arguments.unfreeze_rate / config.learning_rate.rate).min(1.0),
    });
    config.check(&network.model.network, folder.train.targets())?;
    tell(&network, arguments, context);

    let data = (&mut folder, &mut origin);
    let Some(result) = train(arguments, request, &config, run, &mut network, data, context)? else {
        return Ok(());
    };
    if !request.leads() {
        return Ok(());
    }
    let finish = FinishRun {
        run,
        result: &result,
        config: &config,
        augment: arguments.augment.as_ref(),
        base: network.record(),
        keep_checkpoint: training.keep_checkpoint,
        json: training.json,
        samples: "images",
        validation: folder.validation.counts(),
        remedies: [
            arguments.augment.is_none().then_some("--augment flip,rotation=20,zoom=0.2"),
            (network.head == 0).then_some("a pretrained base: --model vgg16 (after lucida weights fetch vgg16)"),
        ],
    };
    finish.finish(&mut network.model, folder.test.as_ref().map(|test| test as &dyn Dataset), context)
}

/// Trains on images, or on what the frozen layers have said about them; nothing is left when a learning rate was looked
/// for.
fn train(
    arguments: &TrainFolder,
    request: &TrainRequest,
    config: &TrainConfig,
    run: &RunFolder,
    network: &mut TransferModel,
    (folder, origin): (&mut Folder, &mut Origin),
    context: Context,
) -> Result<Option<TrainResult>> {
    let augment = arguments.augment.clone().unwrap_or_default();
    let copies = if augment.is_none() { Some(1) } else { arguments.augment_copies };
    let how = copies.map(|copies| (&augment, copies, arguments.seed));
    let remembered = request.first_alone(|| remember(arguments, network, folder, how, context))?;
    if let Some(remembered) = remembered.as_ref().filter(|_| request.leads()) {
        origin.feature_seconds = Some(origin.feature_seconds.unwrap_or(0.0) + remembered.seconds);
        if !arguments.training.find_lr {
            origin.save(run.origin())?;
        }
    }
    let (Some(remembered), Some(_)) = (remembered, copies) else {
        return train_on_images(arguments, request, config, run, network, folder, context);
    };
    remembered.tell();
    // The pixels are not needed any more.
    folder.train = folder.train.clone().without_kept();
    folder.validation = folder.validation.clone().without_kept();
    let (train, validation) = remembered.sets(folder)?;
    let mut tail = network.model.network.tail(network.cut_point)?;
    if arguments.training.find_lr {
        rate::find(config, &tail, &train, run, context)?;
        return Ok(None);
    }
    let result = request
        .trainer(config, &network.model, (&folder.validation, &validation), run, context)?
        .fit_network(&mut tail, &train, Some(&validation))?;
    let mut last = network.model.network.clone();
    last.load_weights_from(result.last)?;
    network.model.network.load_weights_from(tail)?;
    Ok(Some(TrainResult { last, ..result }))
}

/// What the frozen layers say about the images, as far as the training needs it: for a head that standardizes, of the
/// training images; of all images, augmented so, if all of them are to be remembered.
fn remember(
    arguments: &TrainFolder,
    network: &mut TransferModel,
    folder: &Folder,
    how: Option<(&Augment, u32, u64)>,
    context: Context,
) -> Result<Option<CachedFeatures>> {
    let Some(layer) = network.remembered().map(str::to_owned) else {
        if network.standardizes() {
            let preprocessing = network.model.preprocessing()?.clone();
            let images = ImageSamples::new(&folder.train, &preprocessing, context.cpu.threads());
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
    let mut remembered = CachedFeatures::open(&network.model, &layer, &cache, context)?;
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
    request: &TrainRequest,
    config: &TrainConfig,
    run: &RunFolder,
    network: &mut TransferModel,
    folder: &Folder,
    context: Context,
) -> Result<Option<TrainResult>> {
    let train = Augmented::new(&folder.train, arguments.augment.clone().unwrap_or_default(), arguments.seed)?;
    let preprocessing = network.model.preprocessing()?.clone();
    let images = |set| ImageSamples::new(set, &preprocessing, context.cpu.threads());
    let (samples, validation) = (images(&train), images(&folder.validation));
    let network = &mut network.model;
    if arguments.training.find_lr {
        rate::find(config, &network.network, &samples, run, context)?;
        return Ok(None);
    }
    let mut trainer = request.trainer(config, network, (&folder.validation, &validation), run, context)?;
    Ok(Some(trainer.fit_network(&mut network.network, &samples, Some(&validation))?))
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
            let before = arguments.continued.as_ref().and_then(|run| Origin::load(run_of(run).origin()).ok());
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

/// `runs/photos` for `/data/photos/`.
fn default_out(folder: &Path) -> PathBuf {
    Path::new("runs").join(name_of(folder))
}

/// What must be the same for a training to resume, in addition to its settings.
fn identity(arguments: &TrainFolder, folder: &Folder, network: &TransferModel) -> Value {
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
fn tell(network: &TransferModel, arguments: &TrainFolder, context: Context) {
    let (model, output) = (&network.model, context.output);
    tell_network(&model.network, &arguments.training, context);
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
        if let (Some(layer), None) = (network.remembered(), arguments.augment_copies) {
            output.note(&format!(
                "the frozen layers up to {layer} run in every step, as each image is another one; --augment-copies N \
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
    let mut bar = Bar::new(output);
    let bytes = arguments.cache_mb.map_or_else(memory_to_keep, |mb| mb.saturating_mul(1_000_000));
    let folder = Folder::builder(path)
        .strict(arguments.strict)
        .split(arguments.validation_split, arguments.seed)
        .cpu(context.cpu)
        .keep(preprocessing, bytes)
        .progress(&mut bar)
        .open()?;
    drop(bar);
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
