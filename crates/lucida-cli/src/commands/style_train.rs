//! `lucida style-train`

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::batch_jobs::Source;
use lucida::core::{Progress, Step};
use lucida::data::Image;
use lucida::files::{self, FolderLock, SetAside};
use lucida::nn::counted;
use lucida::plot::png_bytes;
use lucida::report::{StyleTrainingData, style_training_report};
use lucida::style::{
    self, FeedForwardConfig, FeedForwardEvent, FeedForwardResult, FeedForwardStyle, FeedForwardTraining, Photos,
    Pooling, StyleNetwork, StylePreview,
};
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
    let place = Place::claim(&out, arguments)?;
    let network = StyleNetwork::new(
        style::choose_network(Some(arguments.network.as_deref().unwrap_or(lucida::weights::BUILTIN)), None)?,
        Pooling::Max,
    )?;
    let config = arguments.config(&network, context)?;
    let photos = photos(arguments, context)?;
    let mut training = FeedForwardTraining::new(&network, &styles, photos, config.clone())?;
    if arguments.resume {
        training = training.resume(place.checkpoint())?;
        context.output.info(&format!("Resuming after {}", counted(training.steps(), "step")));
    }
    let previewed = training.photos().first(PREVIEWED)?;
    let preview = StylePreview::new(previewed.into_iter().map(|(_, photo)| photo), context.cpu)?;
    interrupt::catch()?;
    let bar = Bar::new(context.output).into();
    Session { arguments, context, place, styles, config, preview, bar, told: Cell::new(false) }.train(training)
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
    let photos = Photos::open(Source::of(&content.display().to_string())?)?;
    context.output.info(&format!("Training on {}", counted(photos.names().len(), "photo")));
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
struct Place {
    out: PathBuf,
    folder: PathBuf,
    /// Files of an earlier run, kept until there are new ones to replace them.
    earlier: SetAside,
    /// Last, so that it is still held while an earlier run is restored.
    _lock: FolderLock,
}

impl Place {
    /// Checks that the files can be written, before any long work.
    fn claim(out: &Path, arguments: &StyleTrain) -> Result<Self> {
        let stem = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = out.with_file_name(format!("{stem}-training"));
        let checkpoint = folder.join(CHECKPOINT);
        if arguments.resume && !checkpoint.is_file() {
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
    place: Place,
    styles: Vec<(String, Image)>,
    config: FeedForwardConfig,
    preview: StylePreview,
    bar: RefCell<Bar>,
    /// Whether a failed save has been reported.
    told: Cell<bool>,
}

impl Session<'_> {
    fn train(self, training: FeedForwardTraining) -> Result<()> {
        let started = Instant::now();
        let checkpoint = self.place.checkpoint();
        let mut skipped = Vec::new();
        let mut progress = |step: &Step<'_>| -> ControlFlow<()> { self.bar.borrow_mut().update(step) };
        let result = training.run(Some(&checkpoint), &mut progress, &mut |event| match event {
            FeedForwardEvent::Preview { step, style, skipped: now } => {
                skipped = now;
                self.show(step, style)
            }
            FeedForwardEvent::Unsaved(problem) => {
                self.unsaved(problem);
                Ok(())
            }
            _ => Ok(()),
        })?;
        let taken = started.elapsed().as_secs_f64();
        self.finish(&result, skipped, taken)
    }

    /// Writes a preview and the current network, which can be used while the training continues.
    fn show(&self, step: usize, style: &FeedForwardStyle) -> lucida::Result<()> {
        let path = self.place.folder.join(format!("preview-{step:05}.png"));
        let written = files::write_bytes(&path, &png_bytes(&self.preview.sheet(style)?)?)
            .and_then(|()| style.clone().with_training(self.record(step)).save(&self.place.out));
        match written {
            Ok(()) => {
                self.told.set(false);
                self.place.earlier.discard()
            }
            // A full disk does not end the training.
            Err(problem @ lucida::Error::Io { .. }) => {
                self.unsaved(&problem);
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }

    /// Reports a failed save, once until the next successful one.
    fn unsaved(&self, problem: &lucida::Error) {
        if self.told.replace(true) {
            return;
        }
        let words = format!("{problem}; training continues, and tries again at each checkpoint");
        self.bar.borrow().suspend(|| self.context.output.problem(&words));
    }

    /// The training settings, stored in the file of the network.
    fn record(&self, steps: usize) -> serde_json::Value {
        let FeedForwardConfig { batch_size, crop, style_size, seed, learning_rate, loss, .. } = &self.config;
        json!({
            "steps": steps, "of": self.config.steps, "batch size": batch_size, "crop": crop, "style size": style_size,
            "learning rate": learning_rate, "content weight": loss.content_weight, "seed": seed,
            "temporal weight": self.config.temporal_weight,
        })
    }

    fn finish(&self, result: &FeedForwardResult, skipped: Vec<(String, String)>, taken: f64) -> Result<()> {
        let Self { place, context, arguments, .. } = self;
        let output = context.output;
        self.bar.borrow().hide();
        let style = result.style.clone().with_training(self.record(result.steps));
        if let Err(problem) = style.save(&place.out) {
            return Err(self.rescue(&style, problem));
        }
        if let Some((name, why)) = skipped.first() {
            let others = if skipped.len() > 1 { format!(", and {} others", skipped.len() - 1) } else { String::new() };
            output.note(&format!("skipped {name}{others}: {why}"));
        }
        let report = place.folder.join(REPORT);
        style_training_report(result, &self.report_data(&skipped, taken)?)?.save(&report)?;
        let loss = result.history.last().map_or(f64::NAN, |record| record.losses.total);
        if arguments.json {
            output.json(&Trained {
                file: &place.out,
                folder: &place.folder,
                styles: result.style.names(),
                steps: result.steps,
                loss,
                seconds: taken,
                skipped: skipped.len(),
                stopped: result.stopped,
            })?;
        } else {
            let steps = counted(result.steps, "step");
            output.written(&place.out, &format!("{steps} in {}, loss {loss:.4}", seconds(taken)))?;
            output.info(&format!("Written to {}: {REPORT}, previews", place.folder.display()));
        }
        if result.stopped {
            output.info("Resume with the same command line and --resume");
            return Err(lucida::Error::Interrupted.into());
        }
        let checkpoint = place.checkpoint();
        if checkpoint.is_file() {
            std::fs::remove_file(&checkpoint).with_context(|| checkpoint.display().to_string())?;
        }
        Ok(())
    }

    /// If the network cannot be written to its file, saves it to the temporary folder and says so.
    fn rescue(&self, style: &FeedForwardStyle, problem: lucida::Error) -> anyhow::Error {
        let name = self.place.out.file_name().unwrap_or_default();
        let path = free(None, false, std::env::temp_dir().join(name));
        let kept = match style.save(&path) {
            Ok(()) => format!("the network is in {} instead", path.display()),
            Err(_) if self.place.checkpoint().is_file() => {
                "make room, then resume from the last checkpoint with the same command line and --resume".to_owned()
            }
            Err(_) => "the network cannot be written anywhere else".to_owned(),
        };
        anyhow::Error::new(problem).context(kept)
    }

    fn report_data(&self, skipped: &[(String, String)], taken: f64) -> Result<StyleTrainingData> {
        let folder = &self.place.folder;
        let open = |(step, name): (usize, String)| Ok((step, Image::open(folder.join(name))?));
        let mut settings = vec![("Network".to_owned(), self.config.size.name().to_owned())];
        if let serde_json::Value::Object(record) = self.record(self.config.steps) {
            settings.extend(
                record.into_iter().filter(|(name, _)| name != "of").map(|(name, value)| (name, value.to_string())),
            );
        }
        Ok(StyleTrainingData {
            styles: self.styles.clone(),
            previews: preview_files(folder).into_iter().map(open).collect::<lucida::Result<_>>()?,
            photos: self.preview.photos().to_vec(),
            settings,
            skipped: skipped.to_vec(),
            seconds: taken,
            file: self.place.out.clone(),
        })
    }
}

/// Output of `--json`.
#[derive(Serialize)]
struct Trained<'a> {
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
