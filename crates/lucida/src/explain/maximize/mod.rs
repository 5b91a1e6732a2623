//! Activation maximization: images that maximize the response of a part of a network.
//!
//! The network's weights are fixed and the image is optimized by gradient ascent on an [`Objective`]. Without
//! regularization the result is noise, because patterns that no camera produces can activate a network; the methods differ
//! in how they regularize.
//!
//! - [`Fourier`] (the default): the image is parameterized by spatial frequencies, weighted towards low ones, in colors
//!   that are correlated as in photographs, and optimized under small random shifts, rotations and zooms (Olah, Mordvintsev
//!   and Schubert, 2017, "Feature visualization"). It needs no tuning per network, because the gradient is normalized.
//! - [`KerasVis`]: the image is optimized in pixels, with penalties on their norm and variation, as in the package
//!   keras-vis.
//!
//! All images of a layer are optimized as a batch, by a plan that ends at that layer.

mod competing_classes;
mod diversity;
mod dream;

mod fourier;
mod keras_vis;
mod objective;
mod pixels;
mod spectrum;
mod transform;

use std::ops::ControlFlow;

use lucida_kernels::ops::max_abs;

use crate::core::{Progress, Step, Unit, memory_limit};
use crate::data::{Image, Preprocessing};
use crate::nn::{Network, Plan};
use crate::{Cpu, Error, Result};

pub use dream::{DREAM_LEAST_SIDE, Dream, dream};
pub use fourier::Fourier;
pub use keras_vis::KerasVis;
use objective::ObjectiveTensor;
pub use objective::{Objective, Target};
use pixels::PixelSpace;

/// The maximum memory of a plan's buffers, beyond which images are optimized in several batches.
const PLAN_BYTES: usize = 1 << 30;

/// The optimization method.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// In the frequency domain, with random transformations.
    Fourier(Fourier),
    /// In pixels, with penalties.
    KerasVis(KerasVis),
}

/// The batch size needed per objective.
struct Extent {
    /// Inputs per image and step.
    samples: usize,
    steps: usize,
    /// Images per objective.
    variants: usize,
}

impl Method {
    /// # Errors
    /// [`Error::Argument`] when the settings are invalid.
    fn extent(&self) -> Result<Extent> {
        match self {
            Self::Fourier(settings) => {
                settings.check()?;
                let (samples, steps) = (settings.samples, settings.steps * settings.starts);
                Ok(Extent { samples, steps, variants: settings.diversity.max(1) })
            }
            Self::KerasVis(settings) => {
                settings.check()?;
                Ok(Extent { samples: 1, steps: settings.steps.0 + settings.steps.1, variants: 1 })
            }
        }
    }
}

/// An image that maximizes the activation of a part of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Maximized {
    /// The image for display.
    pub image: Image,
    /// The final input of the network, `[height, width, channels]`.
    pub input: Vec<f32>,
    /// The value of the objective for that input.
    pub value: f32,
}

/// Synthesizes the images that maximize parts of one layer: one for each of `objectives`.
///
/// The images have the size and the channels (gray or RGB) of the network's input. Without a preprocessing, inputs are
/// assumed to be in 0..1. When `progress` requests a stop, the current images are returned.
///
/// ```
/// use lucida::explain::maximize::Method;
/// use lucida::prelude::*;
///
/// let network = applications::mnist_cnn(42)?;
/// let method = Method::Fourier(Fourier { steps: 8, starts: 1, ..Fourier::default() });
/// let (target, filters) = (Target::layer("conv2d"), [Objective::Channel(0), Objective::Channel(1)]);
/// let found = maximize(&network, None, &target, &filters, &method, Cpu::detect(), &mut ())?;
/// assert_eq!((found.len(), found[0].image.width()), (2, 28));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the layer does not exist or does not have the part, or the settings are invalid;
/// [`Error::Unsupported`] when the network's input is not a gray or a color image.
pub fn maximize(
    network: &Network,
    preprocessing: Option<&Preprocessing>,
    target: &Target,
    objectives: &[Objective],
    method: &Method,
    cpu: Cpu,
    progress: &mut dyn Progress,
) -> Result<Vec<Maximized>> {
    network.check_finite()?;
    let pixels = PixelSpace::of(network, preprocessing)?;
    let seen = target.check(network, objectives, matches!(method, Method::Fourier(_)))?;
    if objectives.is_empty() {
        return Ok(Vec::new());
    }
    let Extent { samples, steps, variants } = method.extent()?;
    let builder = |batch: usize| {
        // The rounding error of Winograd convolutions does not matter for the optimization.
        let plan = Plan::builder(network)
            .cpu(cpu)
            .batch_size(batch)
            .output(seen.point.clone())
            .grad_output_at(seen.point.clone());
        plan.input_gradient().exact(false).build()
    };
    // Variants of an image stay in one batch, because the diversity term compares them.
    let one = builder(samples * variants)?.memory().max(1);
    let allowed = memory_limit().map_or(PLAN_BYTES, |limit| PLAN_BYTES.min(limit as usize));
    let groups = (allowed / one).clamp(1, objectives.len());
    let batches: Vec<&[Objective]> = objectives.chunks(groups).collect();
    let total = batches.len() * steps;
    let mut found = Vec::with_capacity(objectives.len() * variants);
    for (number, objectives) in batches.into_iter().enumerate() {
        let plan = builder(objectives.len() * samples * variants)?;
        let mut run = Run {
            network,
            pixels: &pixels,
            seen: &seen,
            plan,
            first: found.len(),
            progress,
            before: number * steps,
            total,
            done: 0,
            stopped: false,
        };
        found.extend(match method {
            Method::Fourier(settings) => run.fourier(settings, objectives)?,
            Method::KerasVis(settings) => run.keras_vis(settings, objectives)?,
        });
        if run.stopped {
            break;
        }
    }
    Ok(found)
}

/// The optimization of one batch.
struct Run<'a> {
    network: &'a Network,
    pixels: &'a PixelSpace,
    seen: &'a ObjectiveTensor,
    plan: Plan,
    /// The index of the first image among all: each has its own random numbers.
    first: usize,
    progress: &'a mut dyn Progress,
    /// Steps of previous batches, and of all.
    before: usize,
    total: usize,
    /// Steps of this batch.
    done: usize,
    /// Whether `progress` has requested a stop.
    stopped: bool,
}

impl Run<'_> {
    /// Reports `done` steps of this batch.
    fn report(&mut self, done: usize) -> ControlFlow<()> {
        self.done = done;
        let flow = self.progress.update(&Step::new(Unit::Steps, self.before + done, self.total));
        self.stopped |= flow.is_break();
        flow
    }

    /// The values of the objectives for the inputs in the plan, and their gradients with respect to these inputs. A change
    /// to the gradient at the layer is propagated, too.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names the step when one of them is not finite.
    fn ascend(
        &mut self,
        objectives: &[Objective],
        values: &mut [f32],
        add: impl FnOnce(&ObjectiveTensor, &[f32], &mut [f32]),
    ) -> Result<&[f32]> {
        self.plan.forward(self.network)?;
        let (activations, gradient) = self.plan.output_and_grad_mut(0, 0);
        self.seen.follow(objectives, activations, gradient, values);
        add(self.seen, activations, gradient);
        self.plan.backward(self.network);
        let gradient = self.plan.input_gradient().expect("the plan was made for it");
        let at = || format!("step {} of {}, layer {}", self.before + self.done + 1, self.total, self.seen.point.layer);
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::Unsupported(format!("{}: the value that is maximized is {value}", at())));
        }
        if !max_abs(self.plan.cpu(), gradient).is_finite() {
            return Err(Error::Unsupported(format!("{}: the gradient of the image is not finite", at())));
        }
        Ok(gradient)
    }

    /// The values of the objectives for these inputs.
    fn values(&mut self, objectives: &[Objective], inputs: &[f32]) -> Result<Vec<f32>> {
        self.plan.set_batch(objectives.len());
        self.plan.input_mut().copy_from_slice(inputs);
        self.plan.forward(self.network)?;
        Ok(self.seen.values(objectives, self.plan.output(0)))
    }
}

fn positive(name: &str, value: f32) -> Result<()> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(Error::argument(format!("{name} is {value}, it must be above 0"))),
    }
}

#[cfg(test)]
mod tests;
