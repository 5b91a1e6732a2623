//! `lucida train FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use lucida::data::{
    Augment, Augmented, Dataset, Folder, FolderBuilder, FolderSet, LabelSource, Preprocessing, Skipped, TargetKind,
    memory_to_keep, save_skipped,
};
use lucida::nn::{ProcessGroup, counted, summary};
use lucida::train::{
    CachedFeatures, ImageSamples, Origin, ParamGroup, RunFolder, TrainConfig, TrainResult, TrainStart, Transfer,
    TransferModel,
};
use lucida::weights::Model;
use lucida::weights::hub::cache_folder;
use serde_json::{Value, json};

use super::super::{Context, run_of};
use super::finish_run::FinishRun;
use super::network;
use super::rate;
use super::request::{Defaults, TrainRequest, print_network};
use super::{command_line, cross_validation};
use crate::bar::Bar;
use crate::cli::TrainFolder;
use crate::cli::place::name_of;
use crate::exit::{self, Usage};
use crate::interrupt;
use crate::output::{Output, seconds};

/// Number of skipped files named on standard error; the table lists all of them.
const NAMED: usize = 5;

pub(super) fn run(arguments: &TrainFolder, group: Option<&dyn ProcessGroup>, context: Context) -> Result<()> {
    let context = Context { output: context.output.quieted(arguments.training.json), ..context };
    let labels = &arguments.labels;
    let path = labels.folder(arguments.folder.as_deref()).ok_or_else(|| anyhow!("no folder of images was given"))?;
    // A bare word that does not name a folder is a typo on the command line.
    if !labels.any() && !path.is_dir() && path.components().count() == 1 && !path.to_string_lossy().contains('.') {
        let near = exit::did_you_mean_data(&path.to_string_lossy());
        let message = format!("{}: no such folder; expected a folder of images, or mnist{near}", path.display());
        return Err(Usage(message).into());
    }
    if arguments.groups.group.is_some() && !labels.any() {
        let message = "--group names a column of --labels or a part of --label-pattern; for groups in file names, use \
                       --group-pattern";
        return Err(Usage(message.to_owned()).into());
    }
    let TrainFolder { epochs, batch_size, seed, training, .. } = arguments;
    let source = network::start(arguments, context)?;
    let defaults = if source.is_frozen()? { Defaults::HEAD } else { Defaults::WHOLE };
    let (epochs, batch_size, seed) = (*epochs, *batch_size, *seed);
    let request = TrainRequest { arguments: training, epochs, defaults, batch_size, seed, group };
    let out = request.place(arguments.out.as_deref(), &default_out(arguments, &path));
    if let Some(folds) = arguments.folds {
        return cross_validation::run(arguments, (&path, &source), &request, (&out, folds as usize), context);
    }
    if request.is_finished(&out, context)? {
        return Ok(());
    }
    interrupt::catch()?;
    request.in_run(&out, |run| {
        let folder = open(arguments, &path, source.preprocessing()?, context, |builder| builder.open())?;
        print_found(&folder, context.output);
        train_folder(arguments, (&path, source), folder, &request, (run, None), context).map(|_| ())
    })
}

/// A model trained on a folder, and its validation images.
pub(super) struct Trained {
    pub(super) model: Model,
    pub(super) validation: FolderSet,
    pub(super) images: [usize; 2],
    pub(super) best_epoch: Option<usize>,
}

/// Trains a run, or one fold of a cross-validation. Returns `None` after a learning-rate search, and in all processes but
/// rank 0.
pub(super) fn train_folder(
    arguments: &TrainFolder,
    (path, source): (&Path, TrainStart),
    mut folder: Folder,
    request: &TrainRequest,
    (run, fold): (&RunFolder, Option<[usize; 2]>),
    context: Context,
) -> Result<Option<Trained>> {
    let TrainFolder { seed, training, .. } = arguments;
    let mut origin = origin(arguments, path, &source, &folder, fold)?;
    let mut network = source.build(&folder.train, *seed)?;
    if !folder.skipped().is_empty() && request.is_main() {
        save_skipped(folder.skipped(), run.skipped())?;
    }
    if training.resumes() {
        let before = Origin::load(run.origin()).ok();
        before.as_ref().map_or(Ok(()), |before| same_table(before, &origin))?;
        // Features computed before the interruption are in the cache; their time still counts.
        origin.feature_seconds = before.and_then(|before| before.feature_seconds);
    }
    if !training.find_lr && request.is_main() {
        origin.save(run.origin())?;
    }
    let mut config = request.config(&folder.train, run, identity(arguments, &folder, &network, &origin), context)?;
    config.param_group = network.unfrozen.as_ref().map(|_| ParamGroup {
        through: network.end_of_base().to_owned(),
        factor: (arguments.unfreeze_rate / config.learning_rate.rate).min(1.0),
    });
    config.check(&network.model.network, folder.train.targets())?;
    // All folds have the same network.
    if fold.is_none_or(|[fold, _]| fold == 1) {
        tell(&network, arguments, context);
    }

    let data = (&mut folder, &mut origin);
    let Some(result) = train(arguments, request, &config, run, &mut network, data, context)? else {
        return Ok(None);
    };
    if !request.is_main() {
        return Ok(None);
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
            (config.class_weights.is_empty() && are_unbalanced(&folder.train.counts()))
                .then_some("--class-weights balanced, as some classes have few images"),
            arguments.augment.is_none().then_some("--augment flip,rotation=20,zoom=0.2"),
            (network.head == 0).then_some("a pretrained base: --model efficientnet-lite0, the default"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        of_fold: fold.is_some(),
    };
    finish.finish(&mut network.model, folder.test.as_ref().map(|test| test as &dyn Dataset), context)?;
    Ok(Some(Trained {
        model: network.model,
        images: [folder.train.len(), folder.validation.len()],
        validation: folder.validation,
        best_epoch: result.best_epoch,
    }))
}

/// Refuses to resume if the label table has changed since the run started.
fn same_table(before: &Origin, now: &Origin) -> Result<()> {
    let table = now.labels.as_ref().and_then(|labels| labels.table.as_ref());
    match (&before.table_digest, &now.table_digest, table) {
        (Some(before), Some(now), Some(table)) if before != now => bail!(
            "{}: has changed since this run began; resume it with the table as it was, or start over with --force",
            table.display()
        ),
        _ => Ok(()),
    }
}

/// Trains on images, or on cached features of the frozen layers. Returns `None` after a learning-rate search.
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
    let cached = request.rank_0_first(|| cache_features(arguments, network, folder, how, context))?;
    if let Some(cached) = cached.as_ref().filter(|_| request.is_main()) {
        origin.feature_seconds = Some(origin.feature_seconds.unwrap_or(0.0) + cached.seconds());
        if !arguments.training.find_lr {
            origin.save(run.origin())?;
        }
    }
    let (Some(cached), Some(_)) = (cached, copies) else {
        return train_on_images(arguments, request, config, run, network, folder, context);
    };
    print_cached(&cached, context.output);
    // The pixels are no longer needed.
    folder.train = folder.train.clone().without_cached_images();
    folder.validation = folder.validation.clone().without_cached_images();
    let (train, validation) = cached.sets(folder)?;
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

/// Computes the features of the frozen layers, as far as training needs them: for all (augmented) images if they are to be
/// cached, and for the training images if the head standardizes its input.
fn cache_features(
    arguments: &TrainFolder,
    network: &mut TransferModel,
    folder: &Folder,
    how: Option<(&Augment, u32, u64)>,
    context: Context,
) -> Result<Option<CachedFeatures>> {
    let Some(layer) = network.cacheable_layer().map(str::to_owned) else {
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
    let mut cached = CachedFeatures::open(&network.model, &layer, &cache, context.cpu)?;
    let mut bar = Bar::new(context.output);
    if network.standardizes() {
        cached.standardize(network, &folder.train, &mut bar)?;
    }
    if let Some(how) = how {
        cached.compute(&network.model, folder, how, &mut bar)?;
    }
    Ok(Some(cached))
}

/// Prints how many features were computed, and where they are.
fn print_cached(cached: &CachedFeatures, output: Output) {
    let (layer, place) = (cached.layer(), cached.folder().display());
    output.info(&match cached.computed() {
        0 => format!("The features of all {} at {layer} are in {place}", counted(cached.len(), "image")),
        computed => format!(
            "Computed the features of {} at {layer} in {}, kept in {place}",
            counted(computed, "image"),
            seconds(cached.seconds())
        ),
    });
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

/// The settings stored with the run, for reports and evaluations.
pub(super) fn origin(
    arguments: &TrainFolder,
    path: &Path,
    source: &TrainStart,
    folder: &Folder,
    fold: Option<[usize; 2]>,
) -> Result<Origin> {
    let preprocessing = source.preprocessing()?;
    let model = arguments.continued.as_ref().or(arguments.base.as_ref());
    let [cut, head, unfreeze] = match source {
        TrainStart::Scratch(..) => [None, None, None],
        TrainStart::Base(_, Transfer { cut, head, unfreeze }) => {
            [cut.clone(), Some(head.to_string()), unfreeze.clone()]
        }
        // The layers of the earlier run, as far as recorded.
        TrainStart::Continued(_, unfreeze) => {
            let before = arguments.continued.as_ref().and_then(|run| Origin::load(run_of(run).origin()).ok());
            let before = before.unwrap_or_default();
            [before.cut, before.head, unfreeze.clone().or(before.unfreeze)]
        }
    };
    Ok(Origin {
        data: path.canonicalize().unwrap_or_else(|_| path.to_path_buf()),
        labels: folder.labels().map(|found| found.source.clone()).or_else(|| {
            // Subfolders are the classes, but file names may define groups.
            let source = label_source(arguments);
            (!source.is_none()).then_some(source)
        }),
        table_digest: folder.labels().and_then(|found| found.digest.clone()),
        fold,
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

/// Default run folder: `runs/photos` for `/data/photos/` or for `photos.csv`.
fn default_out(arguments: &TrainFolder, folder: &Path) -> PathBuf {
    let table = arguments.labels.labels.as_deref().and_then(Path::file_stem);
    Path::new("runs").join(table.map_or_else(|| name_of(folder), |table| table.to_string_lossy().into_owned()))
}

/// The source of labels and groups.
fn label_source(arguments: &TrainFolder) -> LabelSource {
    let groups = &arguments.groups;
    LabelSource {
        group: groups.group.clone(),
        group_pattern: groups.group_pattern.clone(),
        ..arguments.labels.source(groups.task.map(TargetKind::from))
    }
}

/// What must not change for a run to be resumed, in addition to its configuration.
fn identity(arguments: &TrainFolder, folder: &Folder, network: &TransferModel, origin: &Origin) -> Value {
    let mut identity = json!({
        "training pictures": folder.train.len(),
        "validation pictures": folder.validation.len(),
        "classes": folder.class_names(),
        "augmentation": arguments.augment.as_ref().map(ToString::to_string),
        "augmented copies": arguments.augment_copies,
        "preprocessing": network.model.preprocessing,
    });
    if let Some(entries) = identity.as_object_mut().filter(|_| origin.labels.is_some() || origin.fold.is_some()) {
        entries.insert("table".to_owned(), json!(origin.table_digest));
        entries.insert("labels".to_owned(), json!(origin.labels));
        entries.insert("fold".to_owned(), json!(origin.fold));
    }
    identity
}

/// Prints what will be trained.
fn tell(network: &TransferModel, arguments: &TrainFolder, context: Context) {
    let (model, output) = (&network.model, context.output);
    print_network(&model.network, &arguments.training, context);
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
        if let (Some(layer), None) = (network.cacheable_layer(), arguments.augment_copies) {
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

/// Opens the folder of images; `read` determines the split.
pub(super) fn open<T>(
    arguments: &TrainFolder,
    path: &Path,
    preprocessing: &Preprocessing,
    context: Context,
    read: impl FnOnce(FolderBuilder<'_>) -> lucida::Result<T>,
) -> Result<T> {
    let mut bar = Bar::new(context.output);
    let bytes = arguments.cache_mb.map_or_else(memory_to_keep, |mb| mb.saturating_mul(1_000_000));
    let builder = Folder::builder(path)
        .labels(&label_source(arguments))
        .strict(arguments.strict)
        .split(arguments.validation_split, arguments.seed)
        .cpu(context.cpu)
        .keep(preprocessing, bytes)
        .progress(&mut bar);
    Ok(read(builder)?)
}

/// Whether the largest class has many times the images of the smallest non-empty one.
fn are_unbalanced(counts: &[usize]) -> bool {
    const MANY: usize = 4;
    let present = || counts.iter().copied().filter(|&count| count > 0);
    present().max().zip(present().min()).is_some_and(|(most, fewest)| most >= MANY * fewest)
}

/// Prints how labels were parsed, what was found and what was skipped.
fn print_found(folder: &Folder, output: Output) {
    if let Some(labels) = folder.labels() {
        output.info(&labels.summary);
    }
    output.info(&folder.summary());
    folder.notes().iter().for_each(|note| output.note(note));
    print_skipped(folder.skipped(), output);
}

pub(super) fn print_skipped(skipped: &[Skipped], output: Output) {
    for Skipped { path, reason } in skipped.iter().take(NAMED) {
        output.note(&format!("skipped {}: {reason}", path.display()));
    }
    if skipped.len() > NAMED {
        output.note(&format!("{} files skipped in all: see skipped.csv", skipped.len()));
    }
}
