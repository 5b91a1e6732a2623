//! Training dashboard in the terminal: curves, throughput, and predictions for a few images.

mod board;
mod draw;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lucida::core::{Detail, Step};
use lucida::nn::{Inference, Network, Plan};
use lucida::train::{Callback, Classifier, TrainingState};
use lucida::{Cpu, Error};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

pub(crate) use board::Board;

use crate::interrupt;

/// Minimum time between two redraws.
const PERIOD: Duration = Duration::from_millis(100);

/// Draws the progress of a training run. Dropping it restores the terminal, also after a panic.
pub(crate) struct Dashboard {
    board: Board,
    terminal: DefaultTerminal,
    drawn: Option<Instant>,
    cpu: Cpu,
}

impl Dashboard {
    /// Takes over the terminal and draws the first frame.
    pub(crate) fn new(board: Board, cpu: Cpu) -> Result<Self> {
        let terminal = ratatui::try_init().context("cannot take over the terminal")?;
        let mut dashboard = Self { board, terminal, drawn: None, cpu };
        dashboard.draw()?;
        Ok(dashboard)
    }

    fn draw(&mut self) -> Result<(), Error> {
        let Self { board, terminal, .. } = self;
        let drawn = terminal.draw(|frame| draw::draw(frame, board));
        self.drawn = Some(Instant::now());
        drawn.map(drop).map_err(|source| Error::io("terminal", "draw on it", source))
    }

    /// Whether to stop: on a key press, since raw mode delivers Ctrl-C as a key, or on a signal.
    fn stop_wanted(&mut self) -> bool {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read()
                && stops(key)
            {
                self.board.stopping = true;
            }
        }
        self.board.stopping || interrupt::is_requested()
    }

    /// Updates the predictions for the examples.
    fn predict(&mut self, network: &Network) -> Result<(), Error> {
        let classifier = Classifier::of(network)?;
        let count = self.board.examples.len();
        if count == 0 {
            return Ok(());
        }
        let point = classifier.probabilities.clone();
        let mut inference = Inference::new(Plan::builder(network).cpu(self.cpu).batch_size(count).output(point))?;
        let mut predictions = Vec::with_capacity(count);
        let fill = |index: usize, input: &mut [f32]| {
            input.copy_from_slice(&self.board.examples[index].input);
            Ok(())
        };
        inference.each(count, fill, |_, row| {
            predictions.push(classifier.decide(row));
            Ok(())
        })?;
        for (example, prediction) in self.board.examples.iter_mut().zip(predictions) {
            example.prediction = Some(prediction);
        }
        Ok(())
    }
}

/// Whether a key stops the run: q, Escape or Ctrl-C.
fn stops(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

impl Callback for Dashboard {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        if let Detail::Training(report) = &step.detail {
            self.board.count(report);
        }
        let stop = self.stop_wanted();
        if stop || self.drawn.is_none_or(|drawn| drawn.elapsed() >= PERIOD) {
            // Training must survive a failing terminal.
            let _ = self.draw();
        }
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn resumed(&mut self, state: &mut TrainingState<'_>) {
        self.board.resume(state.history);
    }

    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> lucida::Result<()> {
        self.predict(state.network)?;
        if let Some(record) = state.record() {
            self.board.end_epoch(record, state.improved);
        }
        let _ = self.draw();
        Ok(())
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
