//! Training and evaluation: loops over a plan.
//!
//! - [`fit`]: epochs of forward, loss, backward, optimizer; keeps the best epoch by validation loss, and the last.
//! - [`evaluate`]: loss, accuracy, confusion matrix, precision and recall on labelled data.
//! - [`predict`], [`predict_set`]: the class of pictures.
//! - [`RunFolder`]: where a run leaves its files.

mod classifier;
mod confusion;
mod evaluate;
mod fit;
mod history;
mod predict;
mod record;
mod run_folder;
mod table;

pub use classifier::Classifier;
pub use confusion::Confusion;
pub use evaluate::{Evaluation, evaluate};
pub use fit::{BatchReport, Fitted, Flow, Observer, Settings, Silent, fit};
pub use history::{EpochRecord, History};
pub use predict::{Prediction, predict, predict_set};
pub use run_folder::RunFolder;
pub use table::PredictionTable;
