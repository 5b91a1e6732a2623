//! How a training is shown, and what else is written along the way.

use anyhow::Result;
use lucida::nn::Network;
use lucida::train::{BatchReport, EpochRecord, EventFiles, Flow, History, Observer, RunFolder, Silent};

use crate::dashboard::Dashboard;
use crate::progress::Progress;

/// Watches a training.
pub(super) struct Watch<'a> {
    run: &'a RunFolder,
    display: Display,
    events: Option<EventFiles>,
    /// A file that cannot be written ends the training after the epoch.
    failed: Option<lucida::Error>,
}

enum Display {
    Lines(Box<Progress>),
    Dashboard(Box<Dashboard>),
    /// The first member of a team shows it.
    Nothing(Silent),
}

impl<'a> Watch<'a> {
    pub(super) fn lines(progress: Progress, run: &'a RunFolder) -> Self {
        Self { run, display: Display::Lines(Box::new(progress)), events: None, failed: None }
    }

    pub(super) fn dashboard(dashboard: Dashboard, run: &'a RunFolder) -> Self {
        Self { run, display: Display::Dashboard(Box::new(dashboard)), events: None, failed: None }
    }

    pub(super) fn nothing(run: &'a RunFolder) -> Self {
        Self { run, display: Display::Nothing(Silent), events: None, failed: None }
    }

    /// Writes event files for TensorBoard as well, where that is wanted.
    pub(super) fn with_events(self, wanted: bool) -> Result<Self> {
        let events = wanted.then(|| EventFiles::create(&self.run.path().join("tensorboard"))).transpose()?;
        Ok(Self { events, ..self })
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

    /// From now on there is something of the new run to resume from.
    fn saved(&mut self) -> lucida::Result<()> {
        self.run.discard_earlier()
    }
}
