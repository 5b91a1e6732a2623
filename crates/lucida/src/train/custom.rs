//! A loss and metrics of the caller's own, in addition to those that a configuration names.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::nn::losses::{Loss, LossKind};
use crate::{Error, Result};

use super::TrainConfig;
use super::history::COLUMNS;
use super::metrics::{Metric, MetricChoice, MetricKind};

/// Where a loss comes from.
#[derive(Debug, Clone, Default)]
pub(super) enum LossChoice {
    /// The usual one of the targets and the last activation.
    #[default]
    Usual,
    Named(LossKind),
    Custom(Arc<dyn Loss>),
}

impl From<Option<LossKind>> for LossChoice {
    fn from(kind: Option<LossKind>) -> Self {
        kind.map_or(Self::Usual, Self::Named)
    }
}

/// A metric of the caller's own, from which a copy without samples is made for each epoch.
pub(super) struct CustomMetric(Box<dyn Fn() -> Box<dyn Metric>>);

impl CustomMetric {
    pub(super) fn new(metric: impl Metric + Clone + 'static) -> Self {
        Self(Box::new(move || Box::new(metric.clone())))
    }

    pub(super) fn build(&self) -> Box<dyn Metric> {
        (self.0)()
    }
}

/// The loss and the metrics that a trainer was given.
#[derive(Default)]
pub(super) struct CustomObjective {
    pub(super) loss: Option<Arc<dyn Loss>>,
    pub(super) metrics: Vec<CustomMetric>,
}

impl CustomObjective {
    /// The loss to train with.
    ///
    /// # Errors
    /// [`Error::Argument`] when the configuration names another one.
    pub(super) fn loss(&self, config: &TrainConfig) -> Result<LossChoice> {
        match (&self.loss, config.loss) {
            (Some(loss), Some(kind)) => {
                Err(Error::argument(format!("two losses are given, {loss:?} and {kind}: choose one")))
            }
            (Some(loss), None) => Ok(LossChoice::Custom(Arc::clone(loss))),
            (None, kind) => Ok(kind.into()),
        }
    }

    /// The metrics to measure, in addition to those of these kinds.
    pub(super) fn metrics<'a>(&'a self, kinds: &'a [MetricKind]) -> MetricChoice<'a> {
        MetricChoice { kinds, custom: &self.metrics }
    }

    pub(super) fn metric_names(&self) -> Vec<String> {
        self.metrics.iter().map(|metric| metric.build().name()).collect()
    }

    /// Checks that each metric has a name of its own, which can be a column of the history.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first one that has not.
    pub(super) fn check_names(&self, kinds: &[MetricKind]) -> Result<()> {
        let mut taken: BTreeSet<String> = kinds.iter().map(|kind| kind.to_string()).collect();
        taken.extend(COLUMNS.map(str::to_owned));
        for name in self.metric_names() {
            if name.is_empty() || name.contains(|c: char| c == ',' || c.is_control()) || name.starts_with("val_") {
                return Err(Error::argument(format!(
                    "{name:?} cannot be a metric's name: it is a column of the history, without a comma and not val_..."
                )));
            }
            if !taken.insert(name.clone()) {
                return Err(Error::argument(format!("the metric's name {name} is used already")));
            }
        }
        Ok(())
    }
}
