//! Progress and cancellation: the one protocol of all long-running functions.
//!
//! A long-running function takes a `&mut dyn Progress`, reports a [`Step`] as often as it can, and stops when
//! [`update`](Progress::update) returns [`ControlFlow::Break`]. Its documentation says whether it then returns the partial
//! result or [`Error::Interrupted`].
//!
//! ```
//! use std::ops::ControlFlow;
//! use lucida::core::{Progress, Step, Unit};
//!
//! fn count_to(total: usize, progress: &mut dyn Progress) -> usize {
//!     (1..=total).take_while(|&done| progress.update(&Step::new(Unit::Steps, done, total)).is_continue()).count()
//! }
//!
//! assert_eq!(count_to(5, &mut ()), 5);
//! let mut until_half = |step: &Step| match step.fraction() {
//!     Some(fraction) if fraction > 0.5 => ControlFlow::Break(()),
//!     _ => ControlFlow::Continue(()),
//! };
//! assert_eq!(count_to(5, &mut until_half), 2);
//! ```

use std::ops::ControlFlow;

use crate::{Error, Result};

/// Receives the progress of a long-running function, and may cancel it. Implemented for closures, and for `()`, which
/// ignores it.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use lucida::prelude::*;
///
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// // A closure that stops a training after ten steps.
/// let ten_steps = |step: &Step| match step.unit {
///     Unit::Steps if step.done >= 10 => ControlFlow::Break(()),
///     _ => ControlFlow::Continue(()),
/// };
/// let config = TrainConfig { batch_size: 16, ..TrainConfig::default() };
/// let result = Trainer::new(config).callback(ten_steps).fit(&mut model, &train, Some(&validation))?;
/// assert!(result.interrupted && result.history.epochs.is_empty());
/// # Ok::<(), lucida::Error>(())
/// ```
pub trait Progress {
    /// Reports progress. [`ControlFlow::Break`] requests a stop; an implementation that has returned it must keep returning
    /// it.
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()>;
}

impl<F: FnMut(&Step<'_>) -> ControlFlow<()>> Progress for F {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        self(step)
    }
}

impl Progress for () {
    fn update(&mut self, _step: &Step<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The unit of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Images processed.
    Images,
    /// Files read.
    Files,
    /// Images whose features are computed.
    Features,
    /// Optimizer steps, or other iterations.
    Steps,
    /// Epochs of training.
    Epochs,
    /// Passes through a network, forward or forward and backward.
    Passes,
    /// Bytes received or read.
    Bytes,
    /// Optimized pixels: those of the image, counted at each step.
    Pixels,
}

/// Additional information about a step.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Detail<'a> {
    /// Nothing.
    None,
    /// The operation waits, for this reason; reported repeatedly while it lasts.
    Waiting(&'a str),
    /// A training step.
    Training(BatchReport),
    /// A training step that was skipped.
    Skipped(SkippedStep<'a>),
    /// A style transfer step.
    Style(StyleProgress<'a>),
    /// A training step of a feed-forward style network.
    FeedForward(FeedForwardProgress),
}

/// A training step of a feed-forward style network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedForwardProgress {
    /// The weighted sum of all losses before the step, which is minimized.
    pub loss: f64,
    /// The content loss before the step.
    pub content_loss: f64,
    /// The style loss of all layers before the step.
    pub style_loss: f64,
    /// The temporal loss before the step.
    pub temporal_loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
}

/// A training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchReport {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Steps of this epoch completed so far.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy of this epoch so far, for classification.
    pub accuracy: Option<f64>,
    /// The loss of this step.
    pub step_loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Samples in this step.
    pub samples: usize,
}

/// A training step that was skipped because its loss or gradient was not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkippedStep<'a> {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps of this epoch that are done or left out.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// What is not finite, where, and in which images.
    pub why: &'a str,
}

/// A style transfer step.
#[derive(Clone, Copy)]
pub struct StyleProgress<'a> {
    /// The current scale, counted from 1, and the number of scales.
    pub scale: [usize; 2],
    /// Height and width of the image at this scale, in pixels.
    pub size: [usize; 2],
    /// The current step within this scale, counted from 1, and the number of steps in it.
    pub step: [usize; 2],
    /// The current frame, counted from 1, and the number of frames, when stylizing video frames.
    pub frame: Option<[usize; 2]>,
    /// The weighted sum of all losses before the step, which is minimized.
    pub loss: f64,
    /// The content loss before the step.
    pub content_loss: f64,
    /// The style loss of all layers before the step.
    pub style_loss: f64,
    /// Renders the current image as RGB bytes, `[height, width, 3]`. A closure, because few receivers need it at each step.
    pub(crate) rgb: &'a dyn Fn() -> Vec<u8>,
}

impl std::fmt::Debug for StyleProgress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scale, size, step, frame, loss, content_loss, style_loss, rgb: _ } = self;
        let numbers = (scale, size, step, frame, loss, content_loss, style_loss);
        f.debug_tuple("StyleProgress").field(&numbers).finish()
    }
}

/// How far an operation has progressed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The current stage, of several: `"insertion"`. Empty otherwise. Each stage counts from 0.
    pub stage: &'a str,
    /// The unit of progress.
    pub unit: Unit,
    /// Units done.
    pub done: u64,
    /// All units; `None` where unknown.
    pub total: Option<u64>,
    /// Additional information.
    pub detail: Detail<'a>,
}

impl<'a> Step<'a> {
    /// `done` of `total` units.
    pub fn new(unit: Unit, done: usize, total: usize) -> Self {
        Self { stage: "", unit, done: done as u64, total: Some(total as u64), detail: Detail::None }
    }

    /// `done` of `total` bytes.
    pub fn bytes(done: u64, total: u64) -> Self {
        Self { stage: "", unit: Unit::Bytes, done, total: Some(total), detail: Detail::None }
    }

    /// A wait within a download, and its reason.
    pub fn waiting(why: &'a str) -> Self {
        Self { total: None, ..Self::bytes(0, 0) }.detail(Detail::Waiting(why))
    }

    /// Sets the stage.
    #[must_use]
    pub fn stage(self, stage: &'a str) -> Self {
        Self { stage, ..self }
    }

    /// Sets the detail.
    #[must_use]
    pub fn detail(self, detail: Detail<'a>) -> Self {
        Self { detail, ..self }
    }

    /// The completed fraction, from 0 to 1; 1 if there is nothing to do. `None` where the total is unknown.
    pub fn fraction(&self) -> Option<f64> {
        self.total.map(|total| if total == 0 { 1.0 } else { self.done as f64 / total as f64 })
    }
}

/// Reports a step; a requested stop becomes [`Error::Interrupted`].
pub(crate) fn report(progress: &mut dyn Progress, step: &Step<'_>) -> Result<()> {
    match progress.update(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_told_and_may_stop() {
        let mut told = Vec::new();
        let mut stop = |step: &Step<'_>| {
            told.push((step.stage.to_owned(), step.done, step.total));
            if step.done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let results: Vec<_> =
            (1..=2).map(|done| report(&mut stop, &Step::new(Unit::Files, done, 4).stage("scan"))).collect();
        assert!(results[0].is_ok() && matches!(results[1], Err(Error::Interrupted)));
        assert_eq!(told, [("scan".to_owned(), 1, Some(4)), ("scan".to_owned(), 2, Some(4))]);
        assert!(().update(&Step::new(Unit::Steps, 1, 1)).is_continue());
    }

    #[test]
    fn fractions() {
        let step = Step::new(Unit::Steps, 1, 4);
        assert_eq!(step.fraction(), Some(0.25));
        assert_eq!(Step::new(Unit::Steps, 0, 0).fraction(), Some(1.0));
        assert_eq!(Step { total: None, ..step }.fraction(), None);
    }
}
