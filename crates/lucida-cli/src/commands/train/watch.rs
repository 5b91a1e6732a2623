//! How a training is shown, and what else is written along the way.

use std::ops::ControlFlow;

use anyhow::Result;
use lucida::core::{Detail, Progress, Step};
use lucida::nn::Network;
use lucida::train::{Callback, EpochRecord, EventFiles, History, RunFolder};

use crate::dashboard::Dashboard;
use crate::progress::TrainingBar;

/// Watches a training.
pub(super) struct Watch<'r> {
    display: Display,
    events: Option<EventFiles>,
    /// A file that cannot be written ends the training after the epoch.
    failed: Option<lucida::Error>,
    /// The run, which replaces an earlier one when it has a complete epoch.
    run: Option<&'r RunFolder>,
}

enum Display {
    Lines(Box<TrainingBar>),
    Dashboard(Box<Dashboard>),
    /// The first member of a group shows it.
    Nothing(()),
}

impl<'r> Watch<'r> {
    pub(super) fn lines(bar: TrainingBar) -> Self {
        Self { display: Display::Lines(Box::new(bar)), events: None, failed: None, run: None }
    }

    pub(super) fn dashboard(dashboard: Dashboard) -> Self {
        Self { display: Display::Dashboard(Box::new(dashboard)), events: None, failed: None, run: None }
    }

    pub(super) fn nothing() -> Self {
        Self { display: Display::Nothing(()), events: None, failed: None, run: None }
    }

    /// Of a training that leaves its files in this folder; event files for TensorBoard as well, where that is wanted.
    pub(super) fn in_run(self, run: &'r RunFolder, events: bool) -> Result<Self> {
        let events = events.then(|| EventFiles::create(&run.path().join("tensorboard"))).transpose()?;
        Ok(Self { events, run: Some(run), ..self })
    }

    fn display(&mut self) -> &mut dyn Callback {
        match &mut self.display {
            Display::Lines(bar) => &mut **bar,
            Display::Dashboard(dashboard) => &mut **dashboard,
            Display::Nothing(nothing) => nothing,
        }
    }
}

impl Progress for Watch<'_> {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        if let (Some(events), Detail::Training(report)) = (&mut self.events, &step.detail)
            && let Err(problem) = events.step(step.done, report.step_loss)
        {
            self.failed = Some(problem);
        }
        self.display().update(step)
    }
}

impl Callback for Watch<'_> {
    fn resumed(&mut self, history: &History, steps: usize) {
        self.display().resumed(history, steps);
    }

    fn epoch_end(&mut self, record: &EpochRecord, network: &Network, best: bool) -> lucida::Result<()> {
        if let Some(problem) = self.failed.take() {
            return Err(problem);
        }
        if let Some(events) = &mut self.events {
            events.epoch(record)?;
        }
        self.display().epoch_end(record, network, best)
    }

    fn saved(&mut self, history: &History) -> lucida::Result<()> {
        match self.run {
            Some(run) if !history.epochs.is_empty() => run.discard_earlier(),
            _ => Ok(()),
        }
    }
}
