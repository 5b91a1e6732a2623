//! Custom losses and metrics, in addition to those that a configuration names.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::nn::losses::{Loss, LossKind};
use crate::{Error, Result};

use super::TrainConfig;
use super::history::COLUMNS;
use super::metrics::{Metric, MetricChoice, MetricKind};

/// The choice of a loss.
#[derive(Debug, Clone, Default)]
pub(super) enum LossChoice {
    /// The default for the targets and the final activation.
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

/// A custom metric; for each epoch a copy without samples is created.
pub(super) struct CustomMetric(Box<dyn Fn() -> Box<dyn Metric>>);

impl CustomMetric {
    pub(super) fn new(metric: impl Metric + Clone + 'static) -> Self {
        Self(Box::new(move || Box::new(metric.clone())))
    }

    pub(super) fn build(&self) -> Box<dyn Metric> {
        (self.0)()
    }
}

/// The custom loss and metrics of a trainer.
#[derive(Default)]
pub(super) struct CustomObjective {
    pub(super) loss: Option<Arc<dyn Loss>>,
    pub(super) metrics: Vec<CustomMetric>,
}

impl CustomObjective {
    /// The loss for training.
    ///
    /// # Errors
    /// [`Error::Argument`] when the configuration names a loss as well.
    pub(super) fn loss(&self, config: &TrainConfig) -> Result<LossChoice> {
        match (&self.loss, config.loss) {
            (Some(loss), Some(kind)) => {
                Err(Error::argument(format!("two losses are given, {loss:?} and {kind}: choose one")))
            }
            (Some(loss), None) => Ok(LossChoice::Custom(Arc::clone(loss))),
            (None, kind) => Ok(kind.into()),
        }
    }

    /// The metrics to measure: those of `kinds`, and the custom ones.
    pub(super) fn metrics<'a>(&'a self, kinds: &'a [MetricKind]) -> MetricChoice<'a> {
        MetricChoice { kinds, custom: &self.metrics }
    }

    pub(super) fn metric_names(&self) -> Vec<String> {
        self.metrics.iter().map(|metric| metric.build().name()).collect()
    }

    /// Checks that the names of all metrics are unique, and valid as columns of the history.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first invalid one.
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
