//! Training of a network that stylizes in one forward pass.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use lucida::batch_jobs;
use lucida::core::{Detail, FeedForwardProgress, Step};
use lucida::data::Image;
use lucida::plot::{Grid, jpeg_bytes};
use lucida::style::{
    BRUSHWORK, FeedForwardConfig, FeedForwardEvent, FeedForwardResult, FeedForwardSize, FeedForwardStyle,
    FeedForwardTraining, Photos, Pooling, StyleNetwork, StylePreview, choose_network,
};
use lucida::weights::BUILTIN;
use lucida::{Cpu, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::style::large_enough;
use super::{JobTask, Lane, Plan};
use crate::data::Source;
use crate::jobs::{Handle, Record};
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// File names of the network and of the checkpoint in the job's folder.
pub(in crate::jobs) const STYLE_NETWORK: &str = "style.lucida";
const CHECKPOINT: &str = "checkpoint.safetensors";
/// File with the original photos of the previews.
const PHOTOS: &str = "photos.jpg";
/// Maximum number of styles, and number of photos in a preview.
const STYLES: usize = 4;
const PREVIEWED: usize = 3;
/// Approximate number of previews and of curve points in a whole training, and maximum steps between two previews.
const PREVIEWS: usize = 60;
const POINTS: usize = 150;
const PREVIEW_EVERY: usize = 150;
/// Steps between two checkpoints.
const CHECKPOINT_EVERY: usize = 100;
/// Number of first steps that are not timed, because they take longer.
const UNTIMED: usize = 3;
/// Approximate seconds per step on one thread, used until a training has measured it.
const SECONDS: StyleTrainingSpeed = StyleTrainingSpeed { small: 0.3, base: 0.55 };

/// Request for a training of styles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StyleTrain {
    #[serde(default)]
    name: String,
    styles: Vec<StyleImage>,
    /// Photos to train on.
    #[serde(default)]
    photos: PhotoSet,
    #[serde(default)]
    size: FeedForwardSize,
    steps: usize,
    /// Factors for the default content weight and style size, which sets the size of the strokes.
    #[serde(default = "super::style::one")]
    content_weight: f32,
    #[serde(default = "super::style::one")]
    style_scale: f32,
    #[serde(default = "super::train::seed")]
    seed: u64,
}

/// A style image, and the name of its style.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StyleImage {
    image: String,
    #[serde(default)]
    name: String,
}

/// Photos to train on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PhotoSet {
    /// The built-in photo.
    #[default]
    Builtin,
    /// The folder given on the command line.
    Folder,
}

/// Seconds per training step, for each network size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct StyleTrainingSpeed {
    small: f64,
    base: f64,
}

impl StyleTrainingSpeed {
    /// Returns the speed measured by the newest training of each size, or else an estimate for the number of threads.
    /// `records` are newest first.
    pub(crate) fn of(records: &[Record], cpu: Cpu) -> Self {
        let measured = |size: FeedForwardSize| {
            let named = |record: &&Record| record.request["size"] == json!(size) && record.kind == KIND;
            records.iter().filter(named).find_map(|record| record.result["seconds_per_step"].as_f64())
        };
        // Vectors of four floats, not of eight or sixteen.
        let slower = if cfg!(target_family = "wasm") { 6.0 } else { 1.0 };
        let usual = |seconds: f64| slower * seconds / cpu.threads() as f64;
        Self {
            small: measured(FeedForwardSize::Small).unwrap_or_else(|| usual(SECONDS.small)),
            base: measured(FeedForwardSize::Base).unwrap_or_else(|| usual(SECONDS.base)),
        }
    }
}

const KIND: &str = "style-train";

struct StyleTraining {
    request: StyleTrain,
    /// Style images; `None` for uploads that are no longer kept.
    styles: Vec<Option<Image>>,
    folder: Option<PathBuf>,
    resume: bool,
}

impl StyleTrain {
    /// Validates a request, for a new training or for one that resumes.
    pub(super) fn plan(&self, studio: &Studio, resume: bool) -> Result<Plan> {
        let within = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
        let short = |name: &str| name.chars().count() <= 60;
        let fits = (1..=STYLES).contains(&self.styles.len())
            && (1..=100_000).contains(&self.steps)
            && within(self.content_weight, 0.01, 100.0)
            && within(self.style_scale, 0.25, 4.0)
            && short(&self.name)
            && self.styles.iter().all(|style| short(&style.name));
        if !fits {
            let limits = "1 to 4 styles, 1 to 100000 steps, a content weight of 0.01 to 100, a stroke size of 0.25 to 4, and \
                          names of up to 60 characters";
            return Err(Problem::invalid(format!("the training of a style needs {limits}")));
        }
        let names = self.names();
        if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return Err(Problem::invalid(format!("two styles have the name {:?}", names[at])));
        }
        let folder = match (self.photos, studio.data.source()) {
            (PhotoSet::Builtin, _) => None,
            (PhotoSet::Folder, Some(Source::Folder(folder))) => Some(folder.clone()),
            (PhotoSet::Folder, _) => {
                return Err(Problem::invalid("there is no folder of photos: start the studio with --data DIR"));
            }
        };
        let image = |(style, name): (&StyleImage, &String)| match studio.image(&style.image) {
            Ok(image) => large_enough(&format!("style {name}"), image.to_rgb()).map(Some),
            // A training that resumes has its own copy of the image.
            Err(_) if resume => Ok(None),
            Err(problem) => Err(problem),
        };
        let styles = self.styles.iter().zip(&names).map(image).collect::<Result<_>>()?;
        let task = Box::new(StyleTraining { request: self.clone(), styles, folder, resume });
        Ok(Plan { kind: KIND, title: self.title(), lane: Lane::Long, stamp: None, task })
    }

    fn title(&self) -> String {
        match self.name.trim() {
            "" => self.names().join(", "),
            name => name.to_owned(),
        }
    }

    /// The names of all styles.
    pub(in crate::jobs) fn names(&self) -> Vec<String> {
        let name = |(index, style): (usize, &StyleImage)| match (style.name.trim(), style.image.as_str()) {
            ("", BRUSHWORK) => BRUSHWORK.to_owned(),
            ("", _) => format!("style {}", index + 1),
            (name, _) => name.to_owned(),
        };
        self.styles.iter().enumerate().map(name).collect()
    }

    fn config(&self, network: &StyleNetwork, cpu: Cpu) -> lucida::Result<FeedForwardConfig> {
        let mut config = FeedForwardConfig::new(network, cpu)?;
        config.size = self.size;
        config.steps = self.steps;
        config.loss.content_weight *= self.content_weight;
        config.style_size = (config.style_size as f32 * self.style_scale).round() as usize;
        config.seed = self.seed;
        config.preview_every = (self.steps / PREVIEWS).clamp(1, PREVIEW_EVERY);
        config.checkpoint_every = CHECKPOINT_EVERY;
        Ok(config)
    }
}

impl StyleTraining {
    /// Returns the names and images of the styles. The images are copied to the job's folder, because uploads expire.
    fn styles(&self, job: &Handle) -> lucida::Result<Vec<(String, Image)>> {
        let image = |(index, kept): (usize, &Option<Image>)| {
            let name = format!("style-{index}.png");
            let path = job.folder().join(&name);
            match kept {
                _ if self.resume && path.is_file() => Image::open(path),
                Some(image) => job.save(&name, &image.png_bytes()?).map(|()| image.clone()),
                None => Err(Error::argument("the style image is no longer kept: start a new training")),
            }
        };
        let images = self.styles.iter().enumerate().map(image).collect::<lucida::Result<Vec<_>>>()?;
        Ok(self.request.names().into_iter().zip(images).collect())
    }
}

impl JobTask for StyleTraining {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let styles = self.styles(job)?;
        let photos = match &self.folder {
            Some(folder) => Photos::open(batch_jobs::Source::Folder(folder.clone()))?,
            None => Photos::builtin()?,
        };
        let network = StyleNetwork::new(choose_network(Some(BUILTIN), None)?, Pooling::Max)?;
        let config = self.request.config(&network, studio.cpu)?;
        let mut training = FeedForwardTraining::new(&network, &styles, photos, config.clone())?;
        let checkpoint = job.folder().join(CHECKPOINT);
        if self.resume && checkpoint.is_file() {
            training = training.resume(&checkpoint)?;
        }
        let previewed = training.photos().first(PREVIEWED)?;
        let preview = StylePreview::new(previewed.into_iter().map(|(_, photo)| photo), studio.cpu)?;
        if !job.has_published() {
            let all = Grid::new(preview.photos().iter().cloned()).columns(PREVIEWED).render()?;
            job.save(PHOTOS, &jpeg_bytes(&all)?)?;
            job.publish(json!({ "type": "start", "photos": training.photos().names().len(), "file": PHOTOS }));
        }
        let first = training.steps();
        let mut reporter = TrainingReporter::new(job, first);
        let mut skipped = 0;
        let result =
            training.run(
                Some(&checkpoint),
                &mut |step: &Step<'_>| reporter.update(step),
                &mut |event| match event {
                    FeedForwardEvent::Preview { step, style, skipped: now } => {
                        skipped = now.len();
                        self.show(job, &preview, step, style)
                    }
                    FeedForwardEvent::Unsaved(problem) => {
                        job.publish(json!({ "type": "unsaved", "problem": problem.to_string() }));
                        Ok(())
                    }
                    _ => Ok(()),
                },
            )?;
        if !result.stopped && checkpoint.is_file() {
            std::fs::remove_file(&checkpoint).map_err(|error| Error::io(&checkpoint, "remove", error))?;
        }
        Ok(self.summary(&result, skipped, reporter.seconds_per_step()))
    }
}

impl StyleTraining {
    /// Saves a preview and the current network, which can already be used during the training.
    fn show(&self, job: &Handle, preview: &StylePreview, step: usize, style: &FeedForwardStyle) -> lucida::Result<()> {
        let file = preview_of(step);
        job.save(&file, &jpeg_bytes(&preview.sheet(style)?)?)?;
        let record = json!({ "steps": step, "of": self.request.steps, "seed": self.request.seed });
        style.clone().with_training(record).save(job.folder().join(STYLE_NETWORK))?;
        job.publish_file(STYLE_NETWORK);
        job.publish(json!({ "type": "preview", "step": step, "file": file }));
        Ok(())
    }

    fn summary(&self, result: &FeedForwardResult, skipped: usize, seconds_per_step: Option<f64>) -> Value {
        json!({
            "picture": preview_of(result.steps),
            "styles": result.style.names(),
            "steps": result.steps,
            "of": self.request.steps,
            "stopped": result.stopped,
            "loss": result.history.last().map(|record| record.losses.total),
            "seconds_per_step": seconds_per_step,
            "skipped": skipped,
        })
    }
}

/// File name of the preview after a number of steps.
fn preview_of(step: usize) -> String {
    format!("preview-{step:06}.jpg")
}

/// Reports the progress of a training.
struct TrainingReporter<'a> {
    job: &'a Handle<'a>,
    /// Number of steps before this run.
    first: usize,
    /// Start of the timing and steps done by then; seconds since then and steps that they took.
    begun: Option<(Instant, usize)>,
    timed: Option<(f64, usize)>,
    /// Sums of the losses since the last point of the curves: total, content, style.
    sums: [f64; 3],
    count: usize,
}

impl<'a> TrainingReporter<'a> {
    fn new(job: &'a Handle<'a>, first: usize) -> Self {
        Self { job, first, begun: None, timed: None, sums: [0.0; 3], count: 0 }
    }

    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        let Detail::FeedForward(losses) = &step.detail else { return self.job.flow() };
        let (done, total) = (step.done as usize, step.total.unwrap_or(0) as usize);
        match self.begun {
            None if done >= self.first + UNTIMED => self.begun = Some((Instant::now(), done)),
            Some((begun, from)) => self.timed = Some((begun.elapsed().as_secs_f64(), done - from)),
            None => {}
        }
        self.note(done, total, losses);
        let left = (total - done) as f64;
        let left = self.seconds_per_step().filter(|_| left > 0.0).map(|seconds| time_left(seconds * left));
        let doing =
            [Some(format!("step {done} of {total}")), left].into_iter().flatten().collect::<Vec<_>>().join(", ");
        self.job.progress(done, total, &doing)
    }

    /// Adds a step to the curves.
    fn note(&mut self, done: usize, total: usize, losses: &FeedForwardProgress) {
        let all = [losses.loss, losses.content_loss, losses.style_loss];
        self.sums.iter_mut().zip(all).for_each(|(sum, loss)| *sum += loss);
        self.count += 1;
        if done.is_multiple_of(total.div_ceil(POINTS)) || done == total {
            let [loss, content, style] = self.sums.map(|sum| sum / self.count as f64);
            self.job.publish(json!({ "type": "loss", "step": done, "loss": loss, "content": content, "style": style }));
            (self.sums, self.count) = ([0.0; 3], 0);
        }
    }

    fn seconds_per_step(&self) -> Option<f64> {
        self.timed.filter(|(_, steps)| *steps > 0).map(|(seconds, steps)| seconds / steps as f64)
    }
}

/// Formats the remaining time: `4 min left`.
fn time_left(seconds: f64) -> String {
    match seconds {
        ..10.0 => "a few seconds left".to_owned(),
        ..90.0 => format!("{seconds:.0} s left"),
        ..5400.0 => format!("{:.0} min left", seconds / 60.0),
        _ => format!("{:.1} h left", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_people_say_it() {
        let told = [3.0, 42.0, 95.0, 900.0, 9000.0].map(time_left);
        assert_eq!(told, ["a few seconds left", "42 s left", "2 min left", "15 min left", "2.5 h left"]);
    }
}
