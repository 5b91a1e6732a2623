//! The kinds of jobs: their requests and computations.

mod explain;
mod filter;
mod style;
mod style_train;
mod train;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

pub(super) use style_train::STYLE_NETWORK;
pub(crate) use style_train::StyleTrainingSpeed;
pub(crate) use train::{NetworkChoice, networks};

use super::{JobTask, Lane};
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Request for a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// The input that maximizes a filter or a class score.
    Maximize(filter::Maximize),
    /// The images of the data set with a filter's highest activations.
    Examples(filter::Examples),
    /// Explains a prediction with several attribution methods.
    Explain(explain::Explain),
    /// A training run.
    Train(train::Train),
    /// A style transfer.
    Style(style::Style),
    /// The training of a network that stylizes in one pass.
    #[serde(rename = "style-train")]
    StyleTrain(style_train::StyleTrain),
}

/// A validated request, ready to be queued.
pub(super) struct Plan {
    pub(super) kind: &'static str,
    /// Display name.
    pub(super) title: String,
    pub(super) lane: Lane,
    /// See `Record::stamp`; `None` if the job must always run.
    pub(super) stamp: Option<String>,
    pub(super) task: Box<dyn JobTask>,
}

impl Request {
    /// Validates a request, so that one that cannot be fulfilled is rejected before it is queued.
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        match self {
            Self::Maximize(request) => request.plan(studio),
            Self::Examples(request) => request.plan(studio),
            Self::Explain(request) => request.plan(studio),
            Self::Train(request) => request.plan(studio, false),
            Self::Style(request) => request.plan(studio),
            Self::StyleTrain(request) => request.plan(studio, false),
        }
    }

    /// Like [`Request::plan`], for a stopped job that resumes.
    pub(super) fn plan_again(&self, studio: &Studio) -> Result<Plan> {
        match self {
            Self::Train(request) => request.plan(studio, true),
            Self::StyleTrain(request) => request.plan(studio, true),
            _ => Err(Problem::new(
                StatusCode::CONFLICT,
                "only a training keeps a checkpoint to resume from; start this job again instead",
            )),
        }
    }
}

/// Returns the identifier and the current version of a model.
fn stamp(loaded: &Loaded) -> Option<String> {
    Some(format!("{}/{}", loaded.id, loaded.stamp))
}
