//! How a training is shown, and what else is written along the way.

use anyhow::Result;
use lucida::nn::Network;
use lucida::train::{BatchReport, EpochRecord, EventFiles, Flow, History, Observer, RunFolder, Silent};

use crate::dashboard::Dashboard;
use crate::progress::Progress;

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
    Lines(Box<Progress>),
    Dashboard(Box<Dashboard>),
    /// The first member of a group shows it.
    Nothing(Silent),
}

impl<'r> Watch<'r> {
    pub(super) fn lines(progress: Progress) -> Self {
        Self { display: Display::Lines(Box::new(progress)), events: None, failed: None, run: None }
    }

    pub(super) fn dashboard(dashboard: Dashboard) -> Self {
        Self { display: Display::Dashboard(Box::new(dashboard)), events: None, failed: None, run: None }
    }

    pub(super) fn nothing() -> Self {
        Self { display: Display::Nothing(Silent), events: None, failed: None, run: None }
    }

    /// Of a training that leaves its files in this folder; event files for TensorBoard as well, where that is wanted.
    pub(super) fn in_run(self, run: &'r RunFolder, events: bool) -> Result<Self> {
        let events = events.then(|| EventFiles::create(&run.path().join("tensorboard"))).transpose()?;
        Ok(Self { events, run: Some(run), ..self })
    }

    fn display(&mut self) -> &mut dyn Observer {
        match &mut self.display {
            Display::Lines(progress) => &mut **progress,
            Display::Dashboard(dashboard) => &mut **dashboard,
            Display::Nothing(silent) => silent,
        }
    }
}

impl Observer for Watch<'_> {
    fn resumed(&mut self, history: &History, steps: usize) {
        self.display().resumed(history, steps);
    }

    fn batch(&mut self, report: &BatchReport) -> Flow {
        if let Some(events) = &mut self.events {
            let step = ((report.epoch - 1) * report.steps + report.step) as u64;
            if let Err(problem) = events.step(step, report.step_loss) {
                self.failed = Some(problem);
            }
        }
        self.display().batch(report)
    }

    fn epoch(&mut self, record: &EpochRecord, network: &Network, best: bool) -> lucida::Result<Flow> {
        if let Some(problem) = self.failed.take() {
            return Err(problem);
        }
        if let Some(events) = &mut self.events {
            events.epoch(record)?;
        }
        self.display().epoch(record, network, best)
    }

    fn saved(&mut self, history: &History) -> lucida::Result<()> {
        match self.run {
            Some(run) if !history.epochs.is_empty() => run.discard_earlier(),
            _ => Ok(()),
        }
    }
}
