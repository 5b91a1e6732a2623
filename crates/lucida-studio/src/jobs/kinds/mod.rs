//! The kinds of jobs: what a request asks for, and what does it.

mod explain;
mod filter;
mod train;

use serde::{Deserialize, Serialize};

use super::{Lane, Work};
use crate::models::Loaded;
use crate::problem::Result;
use crate::state::Studio;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// The picture that excites a filter, or a class, most.
    Maximize(filter::Maximize),
    /// The pictures of the data set that excite a filter most.
    Examples(filter::Examples),
    /// Why a picture is taken for a class, by several methods.
    Explain(explain::Explain),
    /// A training run.
    Train(train::Train),
}

/// What is to be done for a request.
pub(super) struct Plan {
    pub(super) kind: &'static str,
    /// For people.
    pub(super) title: String,
    pub(super) lane: Lane,
    /// What it is about, where doing it again would give the same.
    pub(super) stamp: Option<String>,
    pub(super) work: Box<dyn Work>,
}

impl Request {
    /// Looks at a request, so that one that cannot be fulfilled is refused at once.
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        match self {
            Self::Maximize(request) => request.plan(studio),
            Self::Examples(request) => request.plan(studio),
            Self::Explain(request) => request.plan(studio),
            Self::Train(request) => request.plan(studio),
        }
    }
}

/// A model as it is now.
fn stamp(loaded: &Loaded) -> Option<String> {
    Some(format!("{}/{}", loaded.id, loaded.stamp))
}
