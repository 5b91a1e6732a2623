//! `lucida style-train`

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use lucida::batch_jobs::Source;
use lucida::core::{Progress, Step};
use lucida::data::{FileKind, Image};
use lucida::files::{self, FolderLock, SetAside};
use lucida::nn::counted;
use lucida::plot::png_bytes;
use lucida::report::{StyleTrainingData, style_training_report};
use lucida::style::{
    self, FeedForwardConfig, FeedForwardEvent, FeedForwardResult, FeedForwardStyle, FeedForwardTraining, Photos,
    Pooling, StyleNetwork, StylePreview,
};
use lucida::weights::Model;
use lucida::weights::hub::published_for;
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::style::open_style;
use crate::bar::Bar;
use crate::cli::StyleTrain;
use crate::cli::place::{free, name_of};
use crate::interrupt;
use crate::output::seconds;

/// File extension of feed-forward styles.
const ENDING: &str = "lucida";
const CHECKPOINT: &str = "checkpoint.safetensors";
const REPORT: &str = "report.html";
/// Number of photos in the previews.
const PREVIEWED: usize = 3;

pub(super) fn run(arguments: &StyleTrain, context: Context) -> Result<()> {
    let context = context.quieted(arguments.json);
    let styles = styles(&arguments.styles)?;
    let out =
        free(arguments.out.as_deref(), arguments.force || arguments.resume, format!("{}.{ENDING}", styles[0].0).into());
    if out.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case(ENDING)) {
        bail!("--out: {}: the name must end in .{ENDING}", out.display());
    }
    let paths = OutputPaths::claim(&out, arguments)?;
    let folder = paths.folder.clone();
    let result = train(arguments, paths, styles, context);
    if result.is_err() {
        // Fails if it is not empty, and then it is to stay.
        std::fs::remove_dir(folder).ok();
    }
    result
}

fn train(arguments: &StyleTrain, paths: OutputPaths, styles: Vec<(String, Image)>, context: Context) -> Result<()> {
    interrupt::catch()?;
    let network = StyleNetwork::new(loss_network(arguments)?, Pooling::Max)?;
    let config = arguments.config(&network, context)?;
    let photos = photos(arguments, context)?;
    let mut training = FeedForwardTraining::new(&network, &styles, photos, config.clone())?;
    if arguments.resume {
        training = training.resume(paths.checkpoint()).map_err(resume_as_before)?;
        context.output.info(&format!("Resuming after {}", counted(training.steps(), "step")));
    }
    let (names, previewed): (Vec<String>, Vec<Image>) = training.photos().first(PREVIEWED)?.into_iter().unzip();
    let preview = StylePreview::new(previewed, context.cpu)?;
    if interrupt::is_requested() {
        return Err(lucida::Error::Interrupted.into());
    }
    let bar = Bar::new(context.output).into();
    Session { arguments, context, paths, styles, config, names, preview, bar, failure_reported: Cell::new(false) }
        .train(training)
}

/// The loss network.
fn loss_network(arguments: &StyleTrain) -> Result<Model> {
    let name = arguments.network.as_deref().unwrap_or(lucida::weights::BUILTIN);
    // The usual hint names --weights, which this command does not have.
    style::choose_network(Some(name), None).map_err(|problem| match published_for(&problem) {
        Some(file) => anyhow!("{problem}; download them with `{}` ({})", file.command(), file.size_text()),
        None => problem.into(),
    })
}

/// Names the options of this command that a resumed training must repeat.
fn resume_as_before(problem: lucida::Error) -> anyhow::Error {
    let lucida::Error::Changed { field, before, now, .. } = &problem else { return problem.into() };
    let what = field.split(", ").next().unwrap_or(field);
    let values = format!(" ({before} then, {now} now)");
    let option = format!("--{}", what.replace(' ', "-"));
    let (what, option, values) = match what {
        "photos" => ("photos", "--content".to_owned(), values),
        "names of the photos" => ("photos", "--content".to_owned(), String::new()),
        "styles" => ("style images", "style images".to_owned(), String::new()),
        "loss network" | "content layers" | "style layers" => ("loss network", "--network".to_owned(), String::new()),
        "variation weight" => ("smoothness", "--smoothness".to_owned(), String::new()),
        // These are stored multiplied by their defaults.
        "content weight" | "temporal weight" => (what, option, String::new()),
        "style size" => ("style scale", "--style-scale".to_owned(), String::new()),
        "size" | "crop" | "batch size" | "steps" | "learning rate" | "seed" => (what, option, values),
        other => (other, "options".to_owned(), String::new()),
    };
    let differ = if matches!(what, "photos" | "style images" | "steps") { "differ" } else { "differs" };
    anyhow!(
        "--resume: this training was started with other settings: the {what} {differ}{values}; resume with the {option} of \
         the first command, or start over with --force"
    )
}

/// The style images with their names.
fn styles(paths: &[PathBuf]) -> Result<Vec<(String, Image)>> {
    let mut styles: Vec<(String, Image)> = Vec::new();
    for path in paths {
        let name = name_of(path);
        if styles.iter().any(|(other, _)| *other == name) {
            bail!("{}: another style has the name {name}", path.display());
        }
        styles.push((name, open_style(path)?));
    }
    Ok(styles)
}

/// The training photos.
fn photos(arguments: &StyleTrain, context: Context) -> Result<Photos> {
    let Some(content) = &arguments.content else {
        context
            .output
            .note("training on the built-in photo; --content DIR takes your own, and a hundred of them give more");
        return Ok(Photos::builtin()?);
    };
    if content.is_file() && FileKind::of_path(content, 8).is_ok() {
        bail!("--content: {}: is an image; give a folder, or a text file that lists photos", content.display());
    }
    let photos = Photos::open(Source::of(&content.display().to_string())?)?;
    // Whether they can be read turns out when their turn comes.
    context.output.info(&format!("Training on {}", counted(photos.names().len(), "image file")));
    Ok(photos)
}

impl StyleTrain {
    fn config(&self, network: &StyleNetwork, context: Context) -> Result<FeedForwardConfig> {
        let mut config = FeedForwardConfig::new(network, context.cpu)?;
        config.size = self.size;
        config.seed = self.seed;
        config.loss.content_weight *= self.content_weight as f32;
        config.loss.variation_weight *= self.smoothness as f32;
        config.temporal_weight *= self.temporal_weight as f32;
        config.style_size = ((config.style_size as f64 * self.style_scale).round() as usize).max(1);
        config.batch_size = self.batch_size.map_or(config.batch_size, |size| size as usize);
        config.steps = self.steps.map_or(config.steps, |steps| steps as usize);
        config.crop = self.crop.map_or(config.crop, |side| side as usize);
        config.learning_rate = self.learning_rate.unwrap_or(config.learning_rate);
        let every = (config.steps / 20).clamp(1, 200);
        (config.checkpoint_every, config.preview_every) = (every, every);
        Ok(config)
    }
}

/// Where the training writes: the style file, and the run folder next to it.
struct OutputPaths {
    out: PathBuf,
    folder: PathBuf,
    /// Files of an earlier run, kept until there are new ones to replace them.
    earlier: SetAside,
    /// Last, so that it is still held while an earlier run is restored.
    _lock: FolderLock,
}

impl OutputPaths {
    /// Checks that the files can be written, before any long work.
    fn claim(out: &Path, arguments: &StyleTrain) -> Result<Self> {
        let stem = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = out.with_file_name(format!("{stem}-training"));
        let checkpoint = folder.join(CHECKPOINT);
        if arguments.resume && !checkpoint.is_file() {
            refuse_finished(out)?;
            bail!("--resume: {}: there is no checkpoint of a training to resume", checkpoint.display());
        }
        files::claim_file(out, arguments.force || arguments.resume)?;
        let lock = FolderLock::create(&folder)?;
        // A resumed run keeps its previews.
        let mut names = vec![CHECKPOINT.to_owned(), REPORT.to_owned()];
        names.extend(preview_files(&folder).into_iter().map(|(_, name)| name));
        let names: Vec<&str> = if arguments.resume { Vec::new() } else { names.iter().map(String::as_str).collect() };
        let earlier = files::claim_folder(&folder, &names, arguments.force)?;
        Ok(Self { out: out.to_owned(), folder, earlier, _lock: lock })
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
    }
}

/// The previews in the run folder, as steps and file names.
fn preview_files(folder: &Path) -> Vec<(usize, String)> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(usize, String)> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix("preview-")?.strip_suffix(".png")?.parse().ok()?, name))
        })
        .collect();
    found.sort();
    found
}

/// A training run and its outputs.
struct Session<'a> {
    arguments: &'a StyleTrain,
    context: Context,
    paths: OutputPaths,
    styles: Vec<(String, Image)>,
    config: FeedForwardConfig,
    /// Names of the photos of the previews.
    names: Vec<String>,
    preview: StylePreview,
    bar: RefCell<Bar>,
    /// Whether a failed save has been reported.
    failure_reported: Cell<bool>,
}

impl Session<'_> {
    fn train(self, training: FeedForwardTraining) -> Result<()> {
        let started = Instant::now();
        let checkpoint = self.paths.checkpoint();
        let mut skipped = Vec::new();
        let mut progress = |step: &Step<'_>| -> ControlFlow<()> { self.bar.borrow_mut().update(step) };
        let result = training.run(Some(&checkpoint), &mut progress, &mut |event| match event {
            FeedForwardEvent::Preview { step, style, skipped: now } => {
                skipped = now;
                self.show(step, style)
            }
            FeedForwardEvent::Unsaved(problem) => {
                self.report_failed_save(problem);
                Ok(())
            }
            _ => Ok(()),
        })?;
        let taken = started.elapsed().as_secs_f64();
        self.finish(&result, skipped, taken)
    }

    /// Writes a preview and the current network, which can be used while the training continues.
    fn show(&self, step: usize, style: &FeedForwardStyle) -> lucida::Result<()> {
        let path = self.paths.folder.join(format!("preview-{step:05}.png"));
        let written = files::write_bytes(&path, &png_bytes(&self.preview.sheet(style)?)?)
            .and_then(|()| style.clone().with_training(self.record(step)).save(&self.paths.out));
        match written {
            Ok(()) => {
                self.failure_reported.set(false);
                self.paths.earlier.discard()
            }
            // A full disk does not end the training.
            Err(problem @ lucida::Error::Io { .. }) => {
                self.report_failed_save(&problem);
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }

    /// Reports a failed save, once until the next successful one.
    fn report_failed_save(&self, problem: &lucida::Error) {
        if self.failure_reported.replace(true) {
            return;
        }
        let words = format!("{problem}; training continues, and tries again at each checkpoint");
        self.bar.borrow().suspend(|| self.context.output.problem(&words));
    }

    /// The training settings, stored in the file of the network.
    fn record(&self, steps: usize) -> serde_json::Value {
        let FeedForwardConfig { batch_size, crop, style_size, seed, learning_rate, .. } = &self.config;
        // The weights are the factors of the command line.
        let StyleTrain { content_weight, temporal_weight, smoothness, .. } = self.arguments;
        json!({
            "steps": steps, "of": self.config.steps, "batch size": batch_size, "crop": crop, "style size": style_size,
            "learning rate": learning_rate, "content weight": content_weight, "seed": seed, "smoothness": smoothness,
            "temporal weight": temporal_weight,
        })
    }

    fn finish(&self, result: &FeedForwardResult, skipped: Vec<(String, String)>, taken: f64) -> Result<()> {
        let Self { paths, context, arguments, .. } = self;
        let output = context.output;
        self.bar.borrow().hide();
        let style = result.style.clone().with_training(self.record(result.steps));
        if let Err(problem) = style.save(&paths.out) {
            return Err(self.save_elsewhere(&style, problem));
        }
        if let Some((name, why)) = skipped.first() {
            let others = if skipped.len() > 1 { format!(", and {} others", skipped.len() - 1) } else { String::new() };
            output.note(&format!("skipped {name}{others}: {why}"));
        }
        let report = paths.folder.join(REPORT);
        style_training_report(result, &self.report_data(&skipped, taken)?)?.save(&report)?;
        let loss = result.history.last().map_or(f64::NAN, |record| record.losses.total);
        if arguments.json {
            output.json(&StyleTrainJson {
                file: &paths.out,
                folder: &paths.folder,
                styles: result.style.names(),
                steps: result.steps,
                loss,
                seconds: taken,
                skipped: skipped.len(),
                stopped: result.stopped,
            })?;
        } else {
            let steps = counted(result.steps, "step");
            output.written(&paths.out, &format!("{steps} in {}, loss {loss:.4}", seconds(taken)))?;
            output.info(&format!("Written to {}: {REPORT}, previews", paths.folder.display()));
        }
        if result.stopped {
            output.info("Resume with the same command line and --resume");
            return Err(lucida::Error::Interrupted.into());
        }
        let checkpoint = paths.checkpoint();
        if checkpoint.is_file() {
            std::fs::remove_file(&checkpoint).with_context(|| checkpoint.display().to_string())?;
        }
        Ok(())
    }

    /// If the network cannot be written to its file, saves it to the temporary folder and says so.
    fn save_elsewhere(&self, style: &FeedForwardStyle, problem: lucida::Error) -> anyhow::Error {
        let name = self.paths.out.file_name().unwrap_or_default();
        let path = free(None, false, std::env::temp_dir().join(name));
        let kept = match style.save(&path) {
            Ok(()) => format!("the network is in {} instead", path.display()),
            Err(_) if self.paths.checkpoint().is_file() => {
                "make room, then resume from the last checkpoint with the same command line and --resume".to_owned()
            }
            Err(_) => "the network cannot be written anywhere else".to_owned(),
        };
        anyhow::Error::new(problem).context(kept)
    }

    fn report_data(&self, skipped: &[(String, String)], taken: f64) -> Result<StyleTrainingData> {
        let folder = &self.paths.folder;
        let open = |(step, name): (usize, String)| Ok((step, Image::open(folder.join(name))?));
        let mut settings = vec![("Network".to_owned(), self.config.size.name().to_owned())];
        if let serde_json::Value::Object(record) = self.record(self.config.steps) {
            settings.extend(
                record.iter().filter(|(name, _)| *name != "of").map(|(name, value)| (capitalized(name), number(value))),
            );
        }
        Ok(StyleTrainingData {
            styles: self.styles.clone(),
            previews: preview_files(folder).into_iter().map(open).collect::<lucida::Result<_>>()?,
            photos: self.names.iter().cloned().zip(self.preview.photos().iter().cloned()).collect(),
            settings,
            skipped: skipped.to_vec(),
            seconds: taken,
            file: self.paths.out.clone(),
        })
    }
}

/// Refuses to resume a training that has done all of its steps.
fn refuse_finished(out: &Path) -> Result<()> {
    let style = if out.is_file() { FeedForwardStyle::open_own(out).ok().flatten() } else { None };
    let Some(style) = style else { return Ok(()) };
    let training = style.training();
    if let (Some(steps), Some(all)) = (training["steps"].as_u64(), training["of"].as_u64())
        && steps >= all
    {
        bail!(
            "--resume: the training of {} is finished, after {}; --force starts over",
            out.display(),
            counted(steps as usize, "step")
        );
    }
    Ok(())
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A number without a trailing `.0`.
fn number(value: &serde_json::Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string())
}

/// Output of `--json`.
#[derive(Serialize)]
struct StyleTrainJson<'a> {
    file: &'a Path,
    folder: &'a Path,
    styles: &'a [String],
    steps: usize,
    loss: f64,
    seconds: f64,
    /// Number of photos that could not be read.
    skipped: usize,
    /// Whether Ctrl-C stopped it before the last step.
    stopped: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_training_names_options_that_exist() {
        let changed = |field: &str| {
            let (path, field) = (PathBuf::from("checkpoint.safetensors"), field.to_owned());
            let problem = lucida::Error::Changed { path, field, before: "7efc".into(), now: "81aa".into() };
            resume_as_before(problem).to_string()
        };
        for (field, option) in [
            ("names of the photos", "the photos differ; resume with the --content of the first command"),
            ("photos", "the photos differ (7efc then, 81aa now); resume with the --content"),
            ("styles, layer starry-night, name", "the style images differ; resume with the style images of"),
            ("content weight", "the content weight differs; resume with the --content-weight"),
            ("style size", "the style scale differs; resume with the --style-scale"),
            ("batch size", "the batch size differs (7efc then, 81aa now); resume with the --batch-size"),
            ("style layers, layer block4_conv3, name", "the loss network differs; resume with the --network"),
        ] {
            let message = changed(field);
            assert!(message.contains(option) && message.contains("--force"), "{field}: {message}");
        }
    }
}
