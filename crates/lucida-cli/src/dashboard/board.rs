//! The state of the dashboard.

use std::collections::VecDeque;
use std::time::Instant;

use lucida::core::BatchReport;
use lucida::core::choose;
use lucida::data::{Dataset, Filter, Fit, Image};
use lucida::train::{EpochRecord, History, Samples};

/// Maximum number of example images shown with their predictions.
const EXAMPLES: usize = 12;
/// Seconds of throughput shown.
const SECONDS: usize = 120;
/// Side of a thumbnail in pixels: one terminal column per pixel, one line per two.
pub(super) const THUMBNAIL: usize = 16;

/// The contents of the screen.
pub(crate) struct Board {
    pub(super) title: String,
    pub(super) facts: String,
    pub(super) class_names: Vec<String>,
    pub(super) epochs: usize,
    pub(super) history: History,
    pub(super) report: Option<BatchReport>,
    pub(super) best: Option<EpochRecord>,
    pub(super) examples: Vec<Example>,
    /// Samples processed in each second; the last one is still in progress.
    pub(super) throughput: VecDeque<u64>,
    pub(super) started: Instant,
    pub(super) stopping: bool,
    second: u64,
    steps: usize,
}

/// An image, its label, and the network's prediction.
pub(super) struct Example {
    pub(super) image: Image,
    pub(super) label: usize,
    pub(super) input: Vec<f32>,
    pub(super) prediction: Option<(usize, f32)>,
}

impl Board {
    pub(crate) fn new(title: String, facts: String, class_names: Vec<String>, epochs: usize) -> Self {
        Self {
            title,
            facts,
            class_names,
            epochs,
            history: History::default(),
            report: None,
            best: None,
            examples: Vec::new(),
            throughput: VecDeque::from([0]),
            started: Instant::now(),
            stopping: false,
            second: 0,
            steps: 0,
        }
    }

    /// Adds example images from the validation data, both as thumbnails and as network inputs.
    pub(crate) fn with_examples(mut self, set: &dyn Dataset, samples: &dyn Samples) -> lucida::Result<Self> {
        let order = choose(set.len(), EXAMPLES, 0);
        samples.each(None, &order, 1, &mut |batch| {
            let image = set.image(batch.indices[0])?.to_rgb();
            let image = image.fit(THUMBNAIL, THUMBNAIL, Fit::Crop, Filter::Bilinear)?;
            let (label, input) = (batch.labels[0], batch.images.to_vec());
            self.examples.push(Example { image, label, input, prediction: None });
            Ok(true)
        })?;
        Ok(self)
    }

    /// Restores the history of epochs from before this process started.
    pub(super) fn resume(&mut self, history: &History) {
        self.history = history.clone();
        self.best = history.best().cloned();
    }

    /// Counts a completed step.
    pub(super) fn count(&mut self, report: &BatchReport) {
        self.report = Some(*report);
        self.steps += 1;
        let now = self.started.elapsed().as_secs();
        for _ in self.second..now.min(self.second + SECONDS as u64) {
            self.throughput.push_back(0);
        }
        self.second = now;
        while self.throughput.len() > SECONDS {
            self.throughput.pop_front();
        }
        if let Some(last) = self.throughput.back_mut() {
            *last += report.samples as u64;
        }
    }

    pub(super) fn end_epoch(&mut self, record: &EpochRecord, best: bool) {
        self.history.epochs.push(record.clone());
        if best {
            self.best = Some(record.clone());
        }
    }

    /// Samples per second, averaged over the last ten complete seconds.
    pub(super) fn rate(&self) -> f64 {
        let over: Vec<u64> = self.throughput.iter().rev().skip(1).take(10).copied().collect();
        match over.len() {
            0 => self.throughput.back().copied().unwrap_or(0) as f64,
            len => over.iter().sum::<u64>() as f64 / len as f64,
        }
    }

    /// Seconds left, at the average speed so far.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let report = self.report?;
        let done = (report.epoch - 1) * report.steps + report.step;
        let left = (self.epochs * report.steps).saturating_sub(done);
        (self.steps > 0).then(|| self.started.elapsed().as_secs_f64() * left as f64 / self.steps as f64)
    }
}
