//! Training and evaluation: loops over a plan.
//!
//! - [`fit`]: epochs of forward, loss, backward, optimizer; keeps the best epoch by validation loss, and the last.
//! - [`evaluate`]: loss, accuracy, confusion matrix, precision and recall on labeled data.
//! - [`predict`], [`predict_set`]: the class or labels of images, or the values that a model computes from them.
//! - [`RunFolder`]: where a run leaves its files.

mod checkpoint;
mod classifier;
mod confusion;
mod course;
pub mod distributed;
mod evaluate;
mod features;
mod finder;
mod fit;
mod history;
mod metrics;
mod options;
mod origin;
mod predict;
mod record;
mod run_folder;
mod samples;
mod stream;
mod table;
mod tensorboard;
mod trainer;
mod transfer;

pub use classifier::Classifier;
pub use confusion::Confusion;
pub use evaluate::{Evaluation, evaluate, evaluate_remembered, evaluate_samples};
pub use features::{FeatureSet, FeatureStore, Key, augmented_keys, features_of_base, picture_keys};
pub use finder::RateCurve;
pub use fit::{BatchReport, Callback, Checkpoints, Fit, Fitted, Settings, fit};
pub use history::{EpochRecord, History};
pub use metrics::{Calibration, CalibrationBin};
pub use options::{Monitor, Options, Plateau, Slow, balanced_class_weights};
pub use origin::Origin;
pub use predict::{LABEL_THRESHOLD, Predicted, Prediction, Predictor, predict, predict_set};
pub use run_folder::RunFolder;
pub use samples::{Pictures, Samples};
pub use table::PredictionTable;
pub use tensorboard::EventFiles;
pub use transfer::{Head, Transfer, Transferred, continue_training, end_of_features, end_of_frozen};
