//! What the dashboard knows.

use std::collections::VecDeque;
use std::time::Instant;

use lucida::core::BatchReport;
use lucida::core::choose;
use lucida::data::{Dataset, Filter, Fit, Image};
use lucida::train::{EpochRecord, History, Samples};

/// Images that are shown with their predictions, at most.
const EXAMPLES: usize = 12;
/// Seconds whose throughput is shown.
const SECONDS: usize = 120;
/// The pixels of a thumbnail: columns of the terminal, and twice its lines.
pub(super) const THUMBNAIL: usize = 16;

/// What is on the screen.
pub(crate) struct Board {
    pub(super) title: String,
    pub(super) facts: String,
    pub(super) class_names: Vec<String>,
    pub(super) epochs: usize,
    pub(super) history: History,
    pub(super) report: Option<BatchReport>,
    pub(super) best: Option<EpochRecord>,
    pub(super) examples: Vec<Example>,
    /// Samples of each second so far, the last one still running.
    pub(super) throughput: VecDeque<u64>,
    pub(super) started: Instant,
    pub(super) stopping: bool,
    second: u64,
    steps: usize,
}

/// An image, its class, and what the network says.
pub(super) struct Example {
    pub(super) image: Image,
    pub(super) label: usize,
    pub(super) input: Vec<f32>,
    pub(super) said: Option<(usize, f32)>,
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

    /// Takes images to show: some of the validation data, to look at and as the network takes them.
    pub(crate) fn with_examples(mut self, set: &dyn Dataset, samples: &dyn Samples) -> lucida::Result<Self> {
        let order = choose(set.len(), EXAMPLES, 0);
        samples.each(None, &order, 1, &mut |batch| {
            let image = set.image(batch.indices[0])?.to_rgb();
            let image = image.fit(THUMBNAIL, THUMBNAIL, Fit::Crop, Filter::Bilinear)?;
            let (label, input) = (batch.labels[0], batch.images.to_vec());
            self.examples.push(Example { image, label, input, said: None });
            Ok(true)
        })?;
        Ok(self)
    }

    /// What was done before this process began.
    pub(super) fn resume(&mut self, history: &History) {
        self.history = history.clone();
        self.best = history.best().cloned();
    }

    /// A step is done.
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

    /// Samples in a second, over the last ten of them that are over.
    pub(super) fn rate(&self) -> f64 {
        let over: Vec<u64> = self.throughput.iter().rev().skip(1).take(10).copied().collect();
        match over.len() {
            0 => self.throughput.back().copied().unwrap_or(0) as f64,
            len => over.iter().sum::<u64>() as f64 / len as f64,
        }
    }

    /// The seconds left, at the average speed so far.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let report = self.report?;
        let done = (report.epoch - 1) * report.steps + report.step;
        let left = (self.epochs * report.steps).saturating_sub(done);
        (self.steps > 0).then(|| self.started.elapsed().as_secs_f64() * left as f64 / self.steps as f64)
    }
}
