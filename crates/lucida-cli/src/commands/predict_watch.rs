//! `lucida predict --watch`: predictions for images as they arrive in a folder.

use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use lucida::batch_jobs::FolderWatch;
use lucida::data::{Image, Preprocessing};
use lucida::model::{PredictionRecord, Predictor};
use lucida::nn::{counted, thousands};
use lucida::train::PredictionLog;
use lucida::weights::{IncludeTop, Model, Outputs};
use serde::Serialize;

use super::predict::{FailedImageJson, Printer, table_for};
use super::{Context, note_blank, open_model};
use crate::cli::Predict;
use crate::{exit, interrupt};

/// Number of images read and predicted together.
const BATCH: usize = 16;
/// Minimum pause between two scans of the folder. After a slow scan (a large or remote folder), the pause is longer, so that
/// at most a quarter of the time is spent scanning.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_PER_SCAN: u32 = 3;
/// How often to check for Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// Output of `--json` for one image.
#[derive(Serialize)]
struct WatchLineJson {
    image: String,
    #[serde(flatten)]
    record: PredictionRecord,
}

/// A preprocessed image.
struct PreparedImage {
    input: Vec<f32>,
    digit_found: bool,
}

impl AsRef<[f32]> for PreparedImage {
    fn as_ref(&self) -> &[f32] {
        &self.input
    }
}

/// Predicts the images of a folder as they arrive.
struct WatchSession<'a> {
    model: &'a Model,
    predictor: Predictor<'a>,
    watch: FolderWatch,
    log: Option<PredictionLog>,
    json: bool,
    /// Rows in the table of each image.
    top: usize,
    context: Context,
    /// Number of images predicted, and of images that could not be read.
    done: usize,
    failed: usize,
}

pub(super) fn run(arguments: &Predict, folder: &Path, context: Context) -> Result<()> {
    let mut watch = FolderWatch::new(folder)?;
    // An existing table is appended to.
    let context = context.claim_named(arguments.csv.as_deref(), true)?;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let named = || arguments.model.model.clone();
    let predictor = Predictor::new(&model, BATCH, context.cpu).with_context(named)?;
    let mut log = None;
    if let Some(path) = &arguments.csv {
        let table = table_for(&model, &Outputs::of(&model)?);
        let (opened, done) = PredictionLog::open(path, table, arguments.force)?;
        if !done.is_empty() {
            context.output.note(&format!(
                "{} has {}, which are left out",
                path.display(),
                counted(done.len(), "image")
            ));
        }
        let items = done.iter().filter_map(|file| Path::new(file).strip_prefix(folder).ok()?.to_str());
        watch.skip(items.map(str::to_owned));
        log = Some(opened);
    }
    let top = arguments.top.map_or(0, usize::from);
    let mut watcher =
        WatchSession { model: &model, predictor, watch, log, json: arguments.json, top, context, done: 0, failed: 0 };
    interrupt::catch_quietly()?;
    context.output.note(&format!("watching {}; Ctrl-C ends it", folder.display()));
    watcher.until_stopped()?;
    let failed =
        if watcher.failed > 0 { format!(", {} could not be read", thousands(watcher.failed)) } else { String::new() };
    let summary = format!("{} predicted{failed}", counted(watcher.done, "image"));
    context.output.note(&summary);
    if let (Some(path), false) = (&arguments.csv, arguments.json) {
        context.output.also_written(path, "");
    }
    Ok(())
}

impl WatchSession<'_> {
    fn until_stopped(&mut self) -> Result<()> {
        let mut is_away = false;
        while !interrupt::is_requested() {
            let started = Instant::now();
            let found = self.watch.look(started);
            let pause = PAUSE.max(started.elapsed() * PAUSE_PER_SCAN);
            match found {
                Ok(items) => {
                    if std::mem::take(&mut is_away) {
                        self.context.output.note("the folder is back");
                    }
                    for items in items.chunks(BATCH) {
                        if interrupt::is_requested() {
                            return Ok(());
                        }
                        self.predict(items)?;
                    }
                }
                // A network drive may come back.
                Err(problem) => {
                    if !std::mem::replace(&mut is_away, true) {
                        self.context.output.note(&format!("{problem}; still watching"));
                    }
                }
            }
            let rest = Instant::now();
            while rest.elapsed() < pause && !interrupt::is_requested() {
                thread::sleep(TICK);
            }
        }
        Ok(())
    }

    /// Predicts a batch of images, and reports those that cannot be read.
    fn predict(&mut self, items: &[String]) -> Result<()> {
        let read = self.read(items)?;
        let (mut names, mut prepared) = (Vec::new(), Vec::new());
        for (item, read) in items.iter().zip(read) {
            let name = self.watch.path(item).display().to_string();
            match read {
                Ok(image) => {
                    names.push(name);
                    prepared.push(image);
                }
                Err(problem) => self.report(item, name, problem)?,
            }
        }
        if prepared.is_empty() {
            return Ok(());
        }
        let found = self.predictor.predict_prepared(&prepared)?;
        for ((name, predicted), PreparedImage { digit_found, .. }) in names.into_iter().zip(found).zip(prepared) {
            let predicted = predicted.with_context(|| name.clone())?;
            if !digit_found {
                note_blank(&name, self.context);
            }
            if let Some(log) = &mut self.log {
                log.push(&name, None, &predicted, digit_found)?;
            }
            self.done += 1;
            if self.json {
                let record = PredictionRecord::new(self.model, predicted, digit_found);
                self.context.output.json(&WatchLineJson { image: name, record })?;
            } else {
                Printer { model: self.model, output: self.context.output, top: self.top }
                    .print(&name, &predicted, "")?;
            }
        }
        Ok(())
    }

    /// Reports an image that cannot be read, unless it may still be being written.
    fn report(&mut self, item: &str, name: String, problem: lucida::Error) -> Result<()> {
        if !self.watch.failed(item, Instant::now()) {
            return Ok(());
        }
        self.failed += 1;
        let problem = Error::new(problem);
        exit::report(&problem);
        if self.json {
            self.context.output.json(&FailedImageJson { image: name, error: exit::one_line(&problem) })?;
        }
        Ok(())
    }

    /// Reads and preprocesses images on all threads.
    fn read(&self, items: &[String]) -> Result<Vec<lucida::Result<PreparedImage>>> {
        let preprocessing = self.model.preprocessing()?;
        let watch = &self.watch;
        let share = items.len().div_ceil(self.context.cpu.threads()).max(1);
        Ok(thread::scope(|scope| {
            let prepare = |item: &String| prepared(&watch.path(item), preprocessing);
            let threads: Vec<_> = items
                .chunks(share)
                .map(|items| scope.spawn(move || items.iter().map(prepare).collect::<Vec<_>>()))
                .collect();
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            threads.into_iter().flat_map(join).collect()
        }))
    }
}

fn prepared(path: &Path, preprocessing: &Preprocessing) -> lucida::Result<PreparedImage> {
    let image = Image::open(path)?;
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    preprocessing.apply(&image, &mut input)?;
    let digit_found = preprocessing.finds_digit(&input);
    Ok(PreparedImage { input, digit_found })
}
