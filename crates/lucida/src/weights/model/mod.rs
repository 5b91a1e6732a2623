//! A network with everything needed to use it.

mod array_layout;
mod class_names;
mod guess;
mod outputs;
mod settings;
mod task;

use std::fmt;

use serde_json::Value;

use crate::data::{ColorMode, Preprocessing};
use crate::nn::applications::{Architecture, Options};
use crate::nn::{Network, counted};
use crate::{Error, Result};

pub use array_layout::{ArrayLayout, ArrayLayouts, Quantization};
pub use class_names::{parse_class_names, read_class_names};
pub use outputs::{OutputKind, Outputs, argmax};
pub(crate) use outputs::{check_finite, is_finite, softmax};
pub use settings::{ModelSettings, settings_file};
pub use task::Task;

/// The default input size of a network that accepts any image size, in pixels.
pub(crate) const DEFAULT_SIZE: [usize; 2] = [224, 224];

/// A network with its preprocessing and the meaning of its outputs.
///
/// ```
/// use lucida::prelude::*;
///
/// let model = Model::new(applications::mnist_cnn(42)?)
///     .with_preprocessing(Preprocessing::mnist())
///     .with_class_names(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]);
/// model.check()?;
/// assert_eq!(model.class_name(7), "seven");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    /// The network and its weights.
    pub network: Network,
    /// The preprocessing of images; `None` if unknown.
    pub preprocessing: Option<Preprocessing>,
    /// The names of the classes, in the order of the outputs; empty if unknown.
    pub class_names: Vec<String>,
    /// The task of the network, if known; otherwise it is inferred from the last layers.
    pub task: Option<Task>,
    /// The training record: settings and results, for information.
    pub training: Value,
    /// Assumptions and changes made when it was opened.
    pub notes: Vec<Note>,
    /// The layouts of inputs and outputs in the file, if they differ from the network's: see [`run`](Self::run).
    pub layouts: ArrayLayouts,
}

/// An assumption or change made when a model was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The preprocessing is unknown: pixel values from 0 to 1 are assumed.
    Preprocessing,
    /// The network accepts any image size: this height and width is assumed.
    Size([usize; 2]),
    /// How the outputs were changed to probabilities.
    Task(String),
    /// Why a file of class names next to the model was ignored.
    ClassNames(String),
    /// Any other note.
    Other(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preprocessing => {
                f.write_str("the model does not say how images are prepared: assuming pixel values from 0 to 1")
            }
            Self::Size([height, width]) => {
                write!(f, "the network takes images of any size: assuming {height}x{width}")
            }
            Self::Task(note) | Self::ClassNames(note) | Self::Other(note) => f.write_str(note),
        }
    }
}

impl Model {
    /// A network without further information.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            preprocessing: None,
            class_names: Vec::new(),
            task: None,
            training: Value::Null,
            notes: Vec::new(),
            layouts: ArrayLayouts::default(),
        }
    }

    /// A known network with its preprocessing.
    ///
    /// # Errors
    /// As [`Architecture::build`].
    pub fn of_architecture(architecture: &Architecture, options: &Options) -> Result<Self> {
        let network = architecture.build(options)?;
        let [default_height, default_width, channels] = architecture.input;
        let [height, width] = options.size.unwrap_or([default_height, default_width]);
        let preprocessing = architecture.preprocessing([height, width, channels])?;
        Ok(Self { preprocessing: Some(preprocessing), ..Self::new(network) })
    }

    /// Notes that an input of open size was given the default size.
    pub(in crate::weights) fn note_default_size(&mut self) {
        self.notes.push(Note::Size(DEFAULT_SIZE));
    }

    /// Checks that preprocessing and class names fit the network.
    ///
    /// # Errors
    /// [`Error::Argument`] when they do not.
    pub fn check(&self) -> Result<()> {
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.check()?;
            let [height, width, channels] = preprocessing.output_shape();
            let shape = self.network.input_shape()?;
            if shape.as_image() != Some([height, width, channels]) {
                return Err(Error::argument(format!(
                    "the preprocessing gives images of ({height}, {width}, {channels}), the network takes {shape}"
                )));
            }
        }
        if !self.class_names.is_empty() {
            let expected = self.classes_by_shape()?;
            if self.class_names.len() != expected {
                let outputs = self.network.output()?.shape().len();
                return Err(Error::argument(format!(
                    "{} for a network with {}",
                    counted(self.class_names.len(), "class name"),
                    counted(outputs, "output")
                )));
            }
        }
        Ok(())
    }

    /// The number of class names that fit the outputs: one output can represent two classes, or one value.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the network has several outputs.
    pub fn classes_by_shape(&self) -> Result<usize> {
        let outputs = self.network.output()?.shape().len();
        let one = matches!(self.task, Some(Task::Regress | Task::Multilabel));
        Ok(if outputs == 1 && !one { 2 } else { outputs })
    }

    /// The preprocessing of images.
    ///
    /// # Errors
    /// [`Error::Argument`] when the network's input is not an image, or has an unsupported number of channels, or when the
    /// model was not [opened](super::open) and has no preprocessing.
    pub fn preprocessing(&self) -> Result<&Preprocessing> {
        let missing = || {
            let name = self.network.name();
            match self.network.input_shape().map(|shape| (shape.as_image(), shape)) {
                Ok((Some([_, _, channels]), _)) => match ColorMode::of_channels(channels) {
                    Err(problem) => problem,
                    Ok(_) => Error::argument(format!("model {name} does not say how images are prepared")),
                },
                Ok((None, shape)) => Error::argument(format!("model {name} takes inputs of {shape}, not images")),
                Err(problem) => problem,
            }
        };
        self.preprocessing.as_ref().ok_or_else(missing)
    }
}
