//! Activation maximization: the images that a part of a network responds to most.
//!
//! The network stays as it is and the image is trained: by gradient ascent on an [`Objective`]. Left alone that ends in
//! noise, for patterns that no camera produces can activate a network; the methods differ in how they keep to images.
//!
//! - [`Fourier`] (the default): the image is described by its spatial frequencies, low ones first, in colors that vary
//!   together as in photographs, and seen through small shifts, turns and zooms (Olah, Mordvintsev and Schubert, 2017,
//!   "Feature visualization"). It needs no tuning for the network at hand, because the gradient is normalized.
//! - [`KerasVis`]: the pixels themselves, with penalties on their norm and their variation, as the package keras-vis
//!   does.
//!
//! All images of a layer are made together, as one batch, by a plan that ends at that layer.

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

use crate::core::{Progress, Step, Unit};
use crate::data::{Image, Preprocessing};
use crate::nn::{Network, Plan};
use crate::{Cpu, Error, Result};

pub use dream::{DREAM_LEAST_SIDE, Dream, dream};
pub use fourier::Fourier;
pub use keras_vis::KerasVis;
use objective::Seen;
pub use objective::{Objective, Target};
use pixels::PixelSpace;

/// What the buffers of one plan may take: beyond it the images are made in several batches.
const PLAN_BYTES: usize = 1 << 30;

/// How images are optimized.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// In frequencies, through small movements.
    Fourier(Fourier),
    /// In pixels, with penalties.
    KerasVis(KerasVis),
}

/// What a method takes for each objective.
struct Extent {
    /// Inputs for each image in a step.
    samples: usize,
    steps: usize,
    /// Images for each objective.
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
    /// The image, to be looked at.
    pub image: Image,
    /// What the network was given at the end: (height, width, channels).
    pub input: Vec<f32>,
    /// The objective for that input.
    pub value: f32,
}

/// Synthesizes the images that maximize parts of one layer: one for each of `objectives`.
///
/// The images have the size of the network's input, and its channels: one (gray) or three. Without a preprocessing the
/// network is taken to want values from 0 to 1. When `progress` stops it, the images so far are the result.
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
/// [`Error::Argument`] when the layer does not exist or has no such part, or the settings are invalid;
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
        // Winograd's rounding is far below what the way to the image leaves open.
        let plan = Plan::builder(network)
            .cpu(cpu)
            .batch_size(batch)
            .output(seen.point.clone())
            .grad_output_at(seen.point.clone());
        plan.input_gradient().exact(false).build()
    };
    // Variants of one image are pushed apart, so they stay together.
    let one = builder(samples * variants)?.memory().max(1);
    let groups = (PLAN_BYTES / one).clamp(1, objectives.len());
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
    seen: &'a Seen,
    plan: Plan,
    /// The number of the first image among all: each draws its own random numbers.
    first: usize,
    progress: &'a mut dyn Progress,
    /// Steps of the batches before, and of all.
    before: usize,
    total: usize,
    /// Steps of this batch.
    done: usize,
    /// Whether `progress` has stopped it.
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

    /// The values of the objectives for the inputs in the plan, and their gradients with respect to these inputs.
    /// What is added to the gradient at the layer is followed as well.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names the step when one of them is not finite.
    fn ascend(
        &mut self,
        objectives: &[Objective],
        values: &mut [f32],
        add: impl FnOnce(&Seen, &[f32], &mut [f32]),
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

    /// The values of the objectives for inputs.
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
