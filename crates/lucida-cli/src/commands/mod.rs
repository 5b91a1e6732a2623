//! One file per command: each calls the library and prints the result.

mod activations;
mod augment;
mod bench;
mod bulk;
mod completions;
mod data;
mod deconv;
mod demo;
mod distributed;
mod doctor;
mod dream;
mod embed;
mod evaluate;
mod evaluate_targets;
mod explain;
mod filter;
mod kernels;
mod man;
mod maximize;
mod models;
mod predict;
mod predict_watch;
mod receptive_field;
mod report;
mod run;
mod serve;
mod source;
mod studio;
mod style;
mod style_fast;
mod style_frames;
mod style_train;
mod style_video;
mod subject;
mod summary;
mod tables;
mod train;
mod weights;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lucida::data::{FileKind, Image, free_memory};
use lucida::nn::Network;
use lucida::train::RunFolder;
use lucida::weights::{Model, ModelSpec, Note};
use lucida::{Cpu, files};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::cli::{Cli, Command, Global};
use crate::exit::Usage;
use crate::output::Output;

/// What every command receives in addition to its own arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) cpu: Cpu,
    pub(crate) output: Output,
    /// The memory limit in bytes, if one was set.
    pub(crate) memory: Option<u64>,
    /// Whether the number of threads was set explicitly.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub(crate) threads_chosen: bool,
}

impl Context {
    fn new(global: &Global) -> Result<Self, Usage> {
        Ok(Self::with_cpu(Cpu::from_env().map_err(Usage)?, global))
    }

    /// A context with the given processor, using the number of threads from the command line if there is one.
    fn with_cpu(mut cpu: Cpu, global: &Global) -> Self {
        if let Some(threads) = global.threads {
            cpu = cpu.with_threads(threads.into());
        }
        let threads_chosen = global.threads.is_some() || std::env::var_os("LUCIDA_THREADS").is_some();
        let (output, memory) = (Output::new(global.quiet, global.verbose), global.memory.map(|bytes| bytes.0));
        Self { cpu, output, memory, threads_chosen }
    }

    /// The memory limit in bytes for style transfer, which works in tiles: by default half of the free memory.
    fn memory_for_style(&self) -> u64 {
        self.memory.unwrap_or_else(|| free_memory() / 2)
    }

    /// The same context, reduced to results and errors if `quiet`.
    fn quieted(self, quiet: bool) -> Self {
        Self { output: self.output.quieted(quiet), ..self }
    }

    /// Checks that a file can be written, before any long work. If it is standard output, all other output moves to standard
    /// error.
    fn claim_file(self, path: &Path, force: bool) -> lucida::Result<Self> {
        files::claim_file(path, force)?;
        Ok(Self { output: self.output.sharing_stdout(files::is_stdout(path)), ..self })
    }

    /// Like [`claim_file`](Self::claim_file), for an 8-bit image whose format follows from its extension.
    fn claim_image(self, path: &Path, force: bool) -> lucida::Result<Self> {
        FileKind::of_path(path, 8)?;
        self.claim_file(path, force)
    }

    /// Like [`claim_file`](Self::claim_file), for a file that is only written if the command line names it.
    fn claim_named(self, path: Option<&Path>, force: bool) -> lucida::Result<Self> {
        path.map_or(Ok(self), |path| self.claim_file(path, force))
    }
}

/// Output of `--json` for a command that writes one file.
#[derive(Serialize)]
struct FileJson<'a> {
    file: &'a Path,
}

/// Output of `--json` for a command that writes files into a folder.
#[derive(Serialize)]
struct FolderJson<'a> {
    folder: &'a Path,
    files: &'a [String],
}

/// Path of a model file that supports random access: standard input is copied to a temporary file, which is removed on drop.
struct ModelFile {
    path: PathBuf,
    _temporary: Option<NamedTempFile>,
}

impl ModelFile {
    fn of(name: &Path) -> lucida::Result<Self> {
        if !files::is_stdin(name) {
            return Ok(Self { path: name.to_owned(), _temporary: None });
        }
        let failed = |error| lucida::Error::io(name, "read", error);
        let mut file = NamedTempFile::new().map_err(failed)?;
        io::copy(&mut io::stdin().lock(), &mut file).map_err(failed)?;
        Ok(Self { path: file.path().to_owned(), _temporary: Some(file) })
    }
}

/// Runs `open` on a model that may come from standard input.
fn with_model_file<T>(spec: &ModelSpec, open: impl FnOnce(&ModelSpec) -> lucida::Result<T>) -> lucida::Result<T> {
    if !files::is_stdin(Path::new(&spec.model)) {
        return open(spec);
    }
    let file = ModelFile::of(Path::new(&spec.model))?;
    open(&ModelSpec { model: file.path.display().to_string(), ..spec.clone() })
}

/// Opens the network of a model.
pub(crate) fn open_network(spec: &ModelSpec) -> lucida::Result<Network> {
    with_model_file(spec, lucida::weights::open_network)
}

/// Opens a model, and prints notes on what was assumed about it.
pub(crate) fn open_model(spec: &ModelSpec, context: Context) -> lucida::Result<Model> {
    let model = with_model_file(spec, lucida::weights::open)?;
    model.notes.iter().for_each(|note| context.output.note(&with_option(note)));
    Ok(model)
}

/// Whether a model's preprocessing is for digits.
fn is_for_digits(model: &Model) -> bool {
    model.preprocessing.as_ref().is_some_and(|preprocessing| preprocessing.digit)
}

/// Whether the image contains a digit; always true for a model that is not for digits. This preprocesses the image once
/// more, which is cheap since the inputs of digit models are small.
fn finds_digit(image: &Image, model: &Model) -> bool {
    let Some(digits) = model.preprocessing.as_ref().filter(|preprocessing| preprocessing.digit) else {
        return true;
    };
    let mut values = vec![0.0; digits.output_shape().iter().product()];
    // An image that cannot be preprocessed becomes an error in the prediction.
    digits.apply(image, &mut values).is_err() || digits.finds_digit(&values)
}

/// Notes that no digit was found in an image.
fn note_blank(name: &str, context: Context) {
    context.output.note(&format!("{name}: no digit was found; the network takes a blank image"));
}

/// For `skip_serializing_if`: `digit_found` is only written if false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Refuses an output folder inside the input folder, which is read recursively.
fn refuse_within(out: &Path, input: &Path) -> Result<()> {
    // A folder that does not exist yet is resolved through its nearest existing ancestor.
    let real = out.ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.canonicalize().ok()
    });
    if input.canonicalize().is_ok_and(|input| real.is_some_and(|real| real.starts_with(input))) {
        bail!("--out: {} is within {}: results would become images", out.display(), input.display());
    }
    Ok(())
}

/// Quotes a word for a shell, if necessary.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_=./,:+@%".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Refuses a folder given as the image, for commands that take a folder as a data set.
fn refuse_folder(image: Option<&Path>) -> Result<(), Usage> {
    let Some(folder) = image.filter(|path| path.is_dir()) else { return Ok(()) };
    let folder = shell_word(&folder.display().to_string());
    Err(Usage(format!(
        "{folder}: is a folder, not an image; --data {folder} --index 0 takes the first of its images, --index 0..10 the \
         first ten"
    )))
}

/// Refuses a folder given as the image, for a command without data sets.
fn refuse_folder_to(command: &str, image: &Path) -> Result<(), Usage> {
    if !image.is_dir() {
        return Ok(());
    }
    let folder = shell_word(&image.display().to_string());
    let folder = folder.trim_end_matches('/');
    Err(Usage(format!(
        "{folder}: is a folder, not an image; for all of its images: for image in {folder}/*; do lucida {command} \
         \"$image\"; done"
    )))
}

/// Refuses a class given as the file with class names: `--class` and `--classes` are easily confused.
fn refuse_class_for_names(classes: Option<&Path>, is_class: impl Fn(&str) -> bool) -> Result<(), Usage> {
    let text = classes.filter(|path| !path.exists()).and_then(Path::to_str).filter(|text| is_class(text));
    text.map_or(Ok(()), |text| {
        Err(Usage(format!("--classes: there is no file {text:?} with class names; --class {text} chooses classes")))
    })
}

/// The run that a model may belong to: the folder itself, or the folder of the file.
fn run_of(model: &Path) -> RunFolder {
    RunFolder::at(if model.is_file() { model.parent().unwrap_or(model) } else { model })
}

/// Adds the option that overrides an assumption to the note about it.
fn with_option(note: &Note) -> String {
    let option = match note {
        Note::Preprocessing => "--preprocessing changes that",
        Note::Size(_) => "--size changes that",
        Note::Task(_) => "--task changes that",
        Note::ClassNames(_) => "--classes names another file",
        _ => return note.to_string(),
    };
    format!("{note} ({option})")
}

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> Result<()> {
    // It reports an invalid environment instead of failing on it.
    if let Command::Doctor(arguments) = &cli.command {
        return doctor::run(arguments, &cli.global);
    }
    let context = Context::new(&cli.global)?;
    if !matches!(&cli.command, Command::Style(_) | Command::StyleFrames(_) | Command::StyleVideo(_)) {
        lucida::core::set_memory_limit(context.memory);
    }
    match &cli.command {
        Command::Demo(arguments) => demo::run(arguments, context),
        Command::Train(arguments) => train::run(arguments, context),
        Command::Report(arguments) => report::run(arguments, context),
        Command::Summary(arguments) => summary::run(arguments, context),
        Command::Evaluate(arguments) => evaluate::run(arguments, context),
        Command::Predict(arguments) => predict::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::Filters(arguments) => maximize::filters(arguments, context),
        Command::Classes(arguments) => maximize::classes(arguments, context),
        Command::Embed(arguments) => embed::run(arguments, context),
        Command::Activations(arguments) => activations::run(arguments, context),
        Command::Deconv(arguments) => deconv::run(arguments, context),
        Command::ReceptiveField(arguments) => receptive_field::run(arguments, context),
        Command::Kernels(arguments) => kernels::run(arguments, context),
        Command::Filter(arguments) => filter::run(arguments, context),
        Command::Models(arguments) => models::run(arguments, context),
        Command::Weights(arguments) => weights::run(arguments, context),
        Command::Dream(arguments) => dream::run(arguments, context),
        Command::Style(arguments) => style::run(arguments, context),
        Command::StyleFrames(arguments) => style_frames::run(arguments, context),
        Command::StyleTrain(arguments) => style_train::run(arguments, context),
        Command::StyleVideo(arguments) => style_video::run(arguments, context),
        Command::Explain(arguments) => explain::run(arguments, context),
        Command::Serve(arguments) => serve::run(arguments, context),
        Command::Studio(arguments) => studio::run(arguments, context),
        Command::Data(arguments) => data::run(arguments, context),
        Command::Bench(command) => bench::run(command, context),
        Command::Doctor(_) => Ok(()),
        Command::Completions(arguments) => completions::run(arguments, context),
        Command::Man(arguments) => man::run(arguments, context),
    }
}
