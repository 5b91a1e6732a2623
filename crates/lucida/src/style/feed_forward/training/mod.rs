//! Training of a feed-forward style. Crops of photos go through the network; a loss network that was trained for
//! classification compares the output with the crop (content loss) and with the style image (style loss), like
//! [`Objective`](crate::style::Objective), and the gradient is propagated to the weights.

mod checkpoint;
mod parameters;
mod photos;
mod preview;
mod step;
mod temporal;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use lucida_kernels::ops::max_abs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::FeedForwardStyle;
use super::network::{FeedForwardSize, transformation_network};
use crate::core::{Detail, FeedForwardProgress, Progress, Step, Unit};
use crate::data::Image;
use crate::files::decimals;
use crate::nn::{Optimizer, Schedule};
use crate::style::losses::objective::not_finite;
use crate::style::{LayerWeight, LossConfig, Preset, StyleNetwork};
use crate::{Cpu, Error, Result};

use checkpoint::TrainingProgress;
use parameters::Parameters;
use photos::Crop;
pub use photos::Photos;
pub use preview::StylePreview;
pub use step::FeedForwardLosses;
use step::TrainStep;

/// Number of steps averaged in one record of the history.
const RECORD: usize = 20;
/// Interval of steps with a temporal loss, which needs a second forward pass.
const TWIN_EVERY: usize = 2;
/// Number of batches prepared in advance.
const AHEAD: usize = 2;

/// Configuration of the training of a feed-forward style.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForwardConfig {
    /// The size of the network.
    pub size: FeedForwardSize,
    /// Content, style and variation losses.
    pub loss: LossConfig,
    /// Weight of the temporal loss; 0 disables it.
    pub temporal_weight: f32,
    /// Longer side of the style images in pixels, for crops of `crop` pixels.
    pub style_size: usize,
    /// Side of a crop in pixels.
    pub crop: usize,
    /// Number of crops per step. In the same time, twice as many steps of one crop train better than steps of two.
    pub batch_size: usize,
    /// Total number of optimizer steps.
    pub steps: usize,
    /// Peak learning rate, after the warm-up; cosine decay to nearly 0.
    pub learning_rate: f64,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between previews.
    pub preview_every: usize,
    /// Random seed.
    pub seed: u64,
    /// CPU to run on.
    pub cpu: Cpu,
}

impl FeedForwardConfig {
    /// Default configuration for a loss network.
    ///
    /// # Errors
    /// As [`Preset::config`].
    pub fn new(loss_network: &StyleNetwork, cpu: Cpu) -> Result<Self> {
        let best = Preset::Best.config(loss_network, cpu)?.loss;
        // Johnson's layers: the last of a block responds to larger structures than the first, which suits the optimization
        // of pixels.
        let layers = STYLE_LAYERS.iter().filter(|layer| loss_network.network().find(layer).is_ok());
        let layers: Vec<&str> = layers.copied().collect();
        let weight = 1.0 / layers.len() as f32;
        let loss = LossConfig {
            content: vec![LayerWeight::new(CONTENT_LAYER, 1.0)],
            content_weight: CONTENT_WEIGHT,
            style: layers.into_iter().map(|layer| LayerWeight::new(layer, weight)).collect(),
            ..best
        };
        Ok(Self {
            size: FeedForwardSize::Small,
            loss,
            temporal_weight: 4.0,
            style_size: 384,
            crop: 256,
            batch_size: 1,
            steps: 12_000,
            learning_rate: 2e-3,
            checkpoint_every: 200,
            preview_every: 200,
            seed: 42,
            cpu,
        })
    }

    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Argument`] names the invalid value.
    pub fn check(&self) -> Result<()> {
        self.loss.check()?;
        let refuse = |problem: String| Err(Error::argument(problem));
        if self.loss.style.is_empty() {
            return refuse("a style layer is needed".into());
        }
        if !(self.temporal_weight.is_finite() && self.temporal_weight >= 0.0) {
            return refuse(format!("a temporal weight of {}; it must be 0 or more", self.temporal_weight));
        }
        if !(32..=4096).contains(&self.style_size) {
            return refuse(format!("a style size of {} pixels; it must be 32 to 4096", self.style_size));
        }
        if !(32..=1024).contains(&self.crop) {
            return refuse(format!("crops of {} pixels; they must have 32 to 1024", self.crop));
        }
        let counts = [self.batch_size, self.steps, self.checkpoint_every, self.preview_every];
        if counts.contains(&0) {
            return refuse(
                "batch size, steps, and the steps between checkpoints and previews must be at least 1".into(),
            );
        }
        self.schedule().check()
    }

    /// Learning-rate schedule.
    fn schedule(&self) -> Schedule {
        let warm_up = (self.steps / 20).min(100) as u64;
        Schedule::cosine(self.learning_rate, self.steps as u64 - warm_up).with_warm_up(warm_up)
    }
}

/// Style layers; the built-in network lacks the last one.
const STYLE_LAYERS: [&str; 4] = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"];
/// Content layer.
const CONTENT_LAYER: &str = "block3_conv3";
/// Weight of the content loss, chosen by eye: with 0.15 results stay close to the photo and leave bright areas white, with
/// 0.03 windows and eyes dissolve.
const CONTENT_WEIGHT: f32 = 0.045;

/// Mean losses over some steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossRecord {
    /// Number of steps so far.
    pub step: usize,
    /// The mean losses.
    pub losses: FeedForwardLosses,
}

/// An event during training.
#[derive(Debug)]
#[non_exhaustive]
pub enum FeedForwardEvent<'a> {
    /// A preview of the current styles is due.
    Preview {
        /// Steps so far.
        step: usize,
        /// The current styles.
        style: &'a FeedForwardStyle,
        /// Photos that could not be read so far, and why.
        skipped: Vec<(String, String)>,
    },
    /// The checkpoint could not be written. Training continues, and the next one is tried again.
    Unsaved(&'a Error),
}

/// The result of a training.
#[derive(Debug, Clone)]
pub struct FeedForwardResult {
    /// The trained network.
    pub style: FeedForwardStyle,
    /// The losses during training.
    pub history: Vec<LossRecord>,
    /// Number of steps done.
    pub steps: usize,
    /// Whether training was stopped before the last step.
    pub stopped: bool,
}

/// Training of a feed-forward style.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{FeedForwardConfig, FeedForwardTraining, Photos, brushwork, choose_network};
///
/// # let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let config = FeedForwardConfig::new(&network, Cpu::detect())?;
/// let config = FeedForwardConfig { steps: 2, crop: 32, batch_size: 1, ..config };
/// let styles = [("brushwork".to_owned(), brushwork()?)];
/// let training = FeedForwardTraining::new(&network, &styles, Photos::builtin()?, config)?;
/// let result = training.run(None, &mut (), &mut |_| Ok(()))?;
/// assert_eq!((result.steps, result.style.names()), (2, &["brushwork".to_owned()][..]));
/// # Ok::<(), lucida::Error>(())
/// ```
pub struct FeedForwardTraining {
    config: FeedForwardConfig,
    photos: Photos,
    parameters: Parameters,
    step: TrainStep,
    identity: Value,
    done: TrainingProgress,
}

impl std::fmt::Debug for FeedForwardTraining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = (&self.config, self.done.steps);
        f.debug_tuple("FeedForwardTraining").field(&parts).finish()
    }
}

impl FeedForwardTraining {
    /// Creates a training from scratch, for styles by name.
    ///
    /// # Errors
    /// [`Error::Argument`] when a style image is too small, a name occurs twice, or a setting is invalid.
    pub fn new(
        loss_network: &StyleNetwork,
        styles: &[(String, Image)],
        photos: Photos,
        config: FeedForwardConfig,
    ) -> Result<Self> {
        config.check()?;
        let network = transformation_network(config.size, [config.crop; 2], config.seed)?;
        let style = FeedForwardStyle::new(network, styles.iter().map(|(name, _)| name.clone()))?;
        let optimizer = Optimizer::Adam { beta_1: 0.9, beta_2: 0.99, epsilon: 1e-8 };
        let parameters = Parameters::new(style, optimizer)?;
        let step = TrainStep::new(&parameters.network, loss_network, styles, &config)?;
        let identity = identity(loss_network, styles, &photos, &config);
        Ok(Self { config, photos, parameters, step, identity, done: TrainingProgress::default() })
    }

    /// Resumes from a checkpoint: with the same settings the result is bit-identical to that of an uninterrupted training.
    ///
    /// # Errors
    /// [`Error::File`] when it is not a checkpoint, or damaged; [`Error::Changed`] names the first setting that differs;
    /// [`Error::Io`] when it cannot be read.
    pub fn resume(mut self, checkpoint: impl AsRef<Path>) -> Result<Self> {
        self.done = checkpoint::load(checkpoint.as_ref(), &self.identity, &mut self.parameters)?;
        Ok(self)
    }

    /// Number of steps done.
    pub fn steps(&self) -> usize {
        self.done.steps
    }

    /// The training photos.
    pub fn photos(&self) -> &Photos {
        &self.photos
    }

    /// Trains to the last step, or until `progress` stops it, which returns the styles so far. Checkpoints are written
    /// regularly, and at the end.
    ///
    /// # Errors
    /// [`Error::Argument`] when no photo can be read, or the loss is no longer finite; those of `event`.
    pub fn run(
        mut self,
        checkpoint: Option<&Path>,
        progress: &mut dyn Progress,
        event: &mut dyn FnMut(FeedForwardEvent<'_>) -> Result<()>,
    ) -> Result<FeedForwardResult> {
        let (first, last) = (self.done.steps, self.config.steps);
        let FeedForwardConfig { seed, batch_size, crop, .. } = self.config;
        let Self { photos, config, parameters, step, identity, done } = &mut self;
        let photos = &*photos;
        let crops = |step: usize| -> Result<Vec<Crop>> {
            let numbers = step * batch_size..(step + 1) * batch_size;
            numbers.map(|number| photos.crop(seed, number, crop)).collect()
        };
        let mut training = Running { config, photos, parameters, step, identity, done, checkpoint };
        let stopped = if cfg!(feature = "threads") {
            std::thread::scope(|scope| {
                let (send, batches) = sync_channel(AHEAD);
                // The receiver is gone once training has stopped.
                scope.spawn(move || (first..last).try_for_each(|step| send.send(crops(step))));
                let died = |_| Error::Bug("the thread that makes crops has died".to_owned());
                training.run(&mut |_| batches.recv().map_err(died)?, progress, event)
            })?
        } else {
            training.run(&mut |step| crops(step), progress, event)?
        };
        let Self { mut parameters, done, .. } = self;
        Ok(FeedForwardResult { style: parameters.style().clone(), history: done.history, steps: done.steps, stopped })
    }
}

/// A running training.
struct Running<'a> {
    config: &'a FeedForwardConfig,
    photos: &'a Photos,
    parameters: &'a mut Parameters,
    step: &'a mut TrainStep,
    identity: &'a Value,
    done: &'a mut TrainingProgress,
    checkpoint: Option<&'a Path>,
}

impl Running<'_> {
    /// Runs the training on the batch of each step; returns whether it was stopped.
    fn run(
        &mut self,
        batches: &mut dyn FnMut(usize) -> Result<Vec<Crop>>,
        progress: &mut dyn Progress,
        event: &mut dyn FnMut(FeedForwardEvent<'_>) -> Result<()>,
    ) -> Result<bool> {
        let FeedForwardConfig { steps, cpu, checkpoint_every, preview_every, .. } = *self.config;
        let schedule = self.config.schedule();
        while self.done.steps < steps {
            let number = self.done.steps;
            let batch = batches(number)?;
            let styles = self.parameters.own.len();
            let (style, round) = (number % styles, number / styles);
            self.parameters.choose(style);
            let twin = round.is_multiple_of(TWIN_EVERY);
            let losses = self.step.run(&self.parameters.network, &batch, style, twin);
            let losses = losses.and_then(|losses| self.check_gradients(&losses).map(|()| losses));
            let losses = losses.map_err(|problem| self.at(number + 1, problem))?;
            let learning_rate = schedule.at(number as u64);
            self.parameters.apply(cpu, self.step.gradients(), learning_rate);
            self.note(&losses);
            let done = self.done.steps;
            let detail = FeedForwardProgress {
                loss: losses.total,
                content_loss: losses.content,
                style_loss: losses.style,
                temporal_loss: losses.temporal,
                learning_rate,
            };
            let flow = progress.update(&Step::new(Unit::Steps, done, steps).detail(Detail::FeedForward(detail)));
            let stopped = flow == ControlFlow::Break(()) && done < steps;
            if done.is_multiple_of(preview_every) || stopped || done == steps {
                let skipped = self.photos.skipped();
                event(FeedForwardEvent::Preview { step: done, style: self.parameters.style(), skipped })?;
            }
            if done.is_multiple_of(checkpoint_every) || stopped || done == steps {
                self.save(event)?;
            }
            if stopped {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses a step after which the weights would not be finite.
    fn check_gradients(&mut self, losses: &FeedForwardLosses) -> Result<()> {
        if !losses.total.is_finite() {
            return Err(not_finite(losses.total));
        }
        let gradients = self.step.gradients();
        let Some(weight) = gradients.iter().rposition(|gradient| !max_abs(self.config.cpu, gradient).is_finite())
        else {
            return Ok(());
        };
        let network = &self.parameters.network;
        let layer = network.owner_of(weight);
        Err(Error::layer(layer, format!("the gradient of {} is not finite", network.weights()[weight].name())))
    }

    /// The error of a step, with its number, and where the training can be resumed from.
    fn at(&self, step: usize, problem: Error) -> Error {
        let text = match problem {
            Error::Argument(text) => text,
            Error::Layer { layer, problem } => format!("layer {layer}: {problem}"),
            other => return other,
        };
        let kept = self.checkpoint.filter(|path| path.exists());
        let kept = kept.map(|path| format!("; the last good checkpoint is kept in {}", path.display()));
        let steps = self.config.steps;
        Error::argument(format!("step {step} of {steps}: {text}{}", kept.unwrap_or_default()))
    }

    /// Counts a step, and adds its losses to the history.
    fn note(&mut self, losses: &FeedForwardLosses) {
        let TrainingProgress { steps, history } = self.done;
        if steps.is_multiple_of(RECORD) {
            history.push(LossRecord { step: *steps, losses: FeedForwardLosses::default() });
        }
        *steps += 1;
        if let Some(record) = history.last_mut() {
            // Running mean over the steps of this record.
            let count = (*steps - 1) % RECORD + 1;
            let before = record.losses;
            record.step = *steps;
            record.losses = FeedForwardLosses::default();
            record.losses.add(1.0 - 1.0 / count as f64, &before);
            record.losses.add(1.0 / count as f64, losses);
        }
    }

    /// Writes the checkpoint. A full disk does not end the training: space may be available at the next checkpoint.
    fn save(&mut self, event: &mut dyn FnMut(FeedForwardEvent<'_>) -> Result<()>) -> Result<()> {
        let Some(path) = self.checkpoint else { return Ok(()) };
        match checkpoint::save(path, self.identity, self.parameters, self.done) {
            Err(problem @ Error::Io { .. }) => event(FeedForwardEvent::Unsaved(&problem)),
            other => other,
        }
    }
}

/// Settings and data that identify a training.
fn identity(
    loss_network: &StyleNetwork,
    styles: &[(String, Image)],
    photos: &Photos,
    config: &FeedForwardConfig,
) -> Value {
    let digest =
        |bytes: &[u8]| Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    let layers = |layers: &[crate::style::LayerWeight]| -> Vec<Value> {
        layers.iter().map(|layer| json!({ "name": layer.name, "weight": layer.weight })).collect()
    };
    let loss = &config.loss;
    decimals(json!({
        "size": config.size.name(),
        "loss network": loss_network.name(),
        "content layers": layers(&loss.content),
        "content weight": loss.content_weight,
        "style layers": layers(&loss.style),
        "style weight": loss.style_weight,
        "style loss": format!("{:?}", loss.style_loss),
        "variation weight": loss.variation_weight,
        "temporal weight": config.temporal_weight,
        "style size": config.style_size,
        "crop": config.crop,
        "batch size": config.batch_size,
        "steps": config.steps,
        "learning rate": config.learning_rate,
        "seed": config.seed,
        "styles": styles.iter().map(|(name, image)| json!({
            "name": name,
            "pixels": [image.height(), image.width()],
            "digest": digest(image.pixels()),
        })).collect::<Vec<_>>(),
        "photos": photos.names().len(),
        "names of the photos": digest(photos.names().join("\n").as_bytes()),
    }))
}
