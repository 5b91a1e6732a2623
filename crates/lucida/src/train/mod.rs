//! Training and evaluation: loops over a plan.
//!
//! - [`Trainer::fit`]: epochs of forward pass, loss, backward pass, optimizer; keeps the best epoch, and the last.
//! - [`evaluate`]: loss, accuracy, confusion matrix, precision and recall on labeled data; [`evaluate_metrics`]: loss and
//!   [`metrics`] of any outputs.
//! - [`RunFolder`]: the output files of a run.

mod batch_schedule;
mod calibration;
mod callbacks;
mod checkpoint;
mod classifier;
mod config;
mod confusion;
mod cross_validation;
mod custom;
pub mod distributed;
mod evaluate;
mod features;
mod history;
mod lr_finder;
mod metric_values;
pub mod metrics;
mod numeric_fault;
mod origin;
mod record;
mod roc_auc;
mod run_folder;
mod samples;
mod start;
mod table;
mod target_evaluation;
mod target_spec;
mod train_step;
mod trainer;
mod training_loop;
mod training_output;
mod transfer;
mod validation;

#[cfg(test)]
mod tests;

pub use calibration::{Calibration, CalibrationBin};
pub use callbacks::{Callback, CsvLogger, EarlyStopping, ReduceLrOnPlateau, TensorBoard, TrainingState};
pub(crate) use checkpoint::same as same_run;
pub use classifier::Classifier;
pub use config::{Checkpoint, Monitor, ParamGroup, TrainConfig, balanced_class_weights};
pub use confusion::Confusion;
pub use cross_validation::{CrossValidation, FoldResult};
pub use evaluate::{Evaluation, evaluate, evaluate_cached, evaluate_samples};
pub use features::{CachedFeatures, FeatureSet, FeatureStore, Key, augmented_keys, features_of_base, image_keys};
pub use history::{EpochRecord, History};
pub use lr_finder::LearningRateCurve;
pub use metric_values::{MetricValues, evaluate_metrics};
pub use metrics::{Metric, MetricKind};
pub use numeric_fault::OnNan;
pub use origin::Origin;
pub use run_folder::RunFolder;
pub use samples::{ImageSamples, Samples};
pub use start::{StartOptions, TrainStart, base_size};
pub use table::{PredictionLog, PredictionTable};
pub use target_evaluation::{LabelScores, TargetEvaluation, ValueScores, evaluate_targets, evaluate_targets_cached};
pub use target_spec::TargetSpec;
pub use trainer::{TrainResult, Trainer};
pub use transfer::{
    Head, Transfer, TransferModel, continue_training, continue_training_on, end_of_features, end_of_frozen,
};
