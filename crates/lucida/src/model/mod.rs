//! A model: load, save, predict, run.
//!
//! [`Model`] is a network with its preprocessing and class names.
//!
//! ```no_run
//! use lucida::prelude::*;
//!
//! let model = Model::load("resnet50.keras")?;
//! let predictions = model.predict(&[Image::open("photo.jpg")?])?;
//! if let Predicted::Class(found) = &predictions[0] {
//!     println!("{}: {:.3}", model.class_name(found.class), found.probability);
//! }
//! # Ok::<(), lucida::Error>(())
//! ```

mod predict;
mod record;
mod run;

use std::path::Path;

use crate::data::{Image, Preprocessing};
use crate::weights::{ModelSpec, open, open_files, save_model};
use crate::{Cpu, Result};

pub use crate::weights::Model;
pub use predict::{LABEL_THRESHOLD, Predicted, Prediction, Predictor, predict, predict_set};
pub use record::{NamedPrediction, NamedProbability, PredictionRecord, Scores};
pub use run::{ArraySpec, arrange, run};

impl Model {
    /// Loads a model: a file of any [format](crate::weights::Format), the folder of a run, or the name of a known network
    /// whose weights are available locally. Preprocessing and class names that are missing in the file come from the files
    /// next to it, or are [guessed](Self::notes). For more choices, [`open`] a [`ModelSpec`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        open(&ModelSpec::new(path.as_ref().to_string_lossy()))
    }

    /// Opens a model from the bytes of a file of any [format](crate::weights::Format); `name` is for messages. For more
    /// choices, or a model of several files, see [`open_files`].
    ///
    /// # Errors
    /// As [`open_files`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        open_files(vec![(name.to_owned(), bytes)], &ModelSpec::new(name))
    }

    /// Saves the model in the format given by the file extension: `.safetensors`, `.keras`, `.h5`, `.weights.h5`, `.pth`,
    /// `.pt`, `.onnx`.
    ///
    /// ```
    /// use lucida::nn::applications;
    /// use lucida::prelude::*;
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("digits.keras");
    /// Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist()).save(&path)?;
    /// assert_eq!(Model::load(&path)?.network.name(), "mnist_cnn");
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`save_model`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_model(self, path)
    }

    /// Predicts the class, labels or values of images of any size, in batches, on all threads. To choose the number of
    /// threads, or to read images one at a time, see [`predict()`](predict()), [`predict_set`] and [`Predictor`].
    ///
    /// ```
    /// use lucida::nn::applications;
    /// use lucida::prelude::*;
    ///
    /// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
    /// let predictions = model.predict(&[Image::filled(28, 28, &[0]), Image::filled(60, 80, &[255])])?;
    /// assert_eq!(predictions.len(), 2);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict()`](predict()).
    pub fn predict(&self, images: &[Image]) -> Result<Vec<Predicted>> {
        predict(self, images, Cpu::detect())
    }

    /// Sets the preprocessing.
    #[must_use]
    pub fn with_preprocessing(self, preprocessing: Preprocessing) -> Self {
        Self { preprocessing: Some(preprocessing), ..self }
    }

    /// Sets the class names, in the order of the outputs.
    #[must_use]
    pub fn with_class_names<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { class_names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// The name of a class, or its number where it has none.
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}
