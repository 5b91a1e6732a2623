//! Training on digits or on a folder of photos, from the start or from a checkpoint.

mod digits;
mod epochs;
mod photos;
mod reporter;
mod sheet;
mod training_job;

use lucida::data::Dataset;
use lucida::nn::counted;
use lucida::train::RunFolder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{JobTask, Lane, Plan};
use crate::data::Source;
use crate::jobs::Handle;
use crate::problem::{Problem, Result};
use crate::state::Studio;
use training_job::TrainingJob;

pub(crate) use photos::{NetworkChoice, networks};

/// Request for a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Train {
    #[serde(default)]
    name: String,
    #[serde(default)]
    data: DataChoice,
    /// The network to train on photos; digits have only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    epochs: usize,
    batch_size: usize,
    learning_rate: f64,
    #[serde(default = "seed")]
    seed: u64,
}

/// Training data of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DataChoice {
    /// The MNIST digits of the folder given on the command line, or else the built-in digits.
    #[default]
    Digits,
    /// The photos of the folder given on the command line.
    Photos,
}

impl Train {
    /// Indices of the validation digits among the digits of the data set, for a run on digits.
    pub(crate) fn validation_digits(&self, digits: &dyn Dataset) -> Option<lucida::Result<Vec<usize>>> {
        let split = || Ok(digits::split(digits, self.seed)?.validation);
        (self.data == DataChoice::Digits).then(split)
    }
}

pub(super) fn seed() -> u64 {
    42
}

struct Training {
    request: Train,
    source: Option<Source>,
    resume: bool,
}

impl Train {
    /// Validates a request, for a new run or for one that resumes.
    pub(super) fn plan(&self, studio: &Studio, resume: bool) -> Result<Plan> {
        let fits = (1..=1000).contains(&self.epochs)
            && (1..=4096).contains(&self.batch_size)
            && self.learning_rate > 0.0
            && self.learning_rate <= 10.0
            && self.name.chars().count() <= 60;
        if !fits {
            let limits = "1 to 1000 epochs, a batch size of 1 to 4096, a learning rate above 0 and up to 10";
            return Err(Problem::invalid(format!("a run needs {limits}, and a name of up to 60 characters")));
        }
        let what = match (self.data, self.network.as_deref()) {
            (DataChoice::Digits, None) => "Digits",
            (DataChoice::Digits, Some(_)) => {
                return Err(Problem::invalid(
                    "training on digits always uses mnist-cnn; name a network only for photos",
                ));
            }
            (DataChoice::Photos, network) => {
                photos::check(studio, network)?;
                "Photos"
            }
        };
        let title = match self.name.trim() {
            "" => format!("{what}, {}", counted(self.epochs, "epoch")),
            name => name.to_owned(),
        };
        let source = studio.data.source().cloned();
        let task = Box::new(Training { request: self.clone(), source, resume });
        Ok(Plan { kind: "train", title, lane: Lane::Long, stamp: None, task })
    }
}

impl JobTask for Training {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Self { request, source, resume } = *self;
        let run = if resume {
            RunFolder::reopen(job.folder())?
        } else {
            let run = RunFolder::create(job.folder(), true)?;
            run.discard_earlier()?;
            run
        };
        let mut training = TrainingJob { request: &request, job, run: &run, cpu: studio.cpu, resume, skipped: 0 };
        match request.data {
            DataChoice::Digits => digits::learn(&training, source.as_ref()),
            DataChoice::Photos => photos::learn(&mut training, source.as_ref(), studio.features.as_deref()),
        }
    }
}
