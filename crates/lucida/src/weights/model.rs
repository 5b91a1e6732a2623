//! A network with all that is needed to use it.

use serde_json::Value;

use crate::data::{Colour, Preprocessing};
use crate::nn::Network;
use crate::nn::zoo::{Architecture, Options, Pixels};
use crate::{Error, Result};

/// A network, how its pictures are prepared, and what its outputs mean.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network and its weights.
    pub network: Network,
    /// How a picture becomes its input; `None` when nobody has said.
    pub preprocessing: Option<Preprocessing>,
    /// The names of the classes, in the order of the outputs; empty when nobody has said.
    pub class_names: Vec<String>,
    /// How it was trained: settings and results, for people to read.
    pub training: Value,
}

impl Model {
    /// A network of which nothing else is known.
    pub fn new(network: Network) -> Self {
        Self { network, preprocessing: None, class_names: Vec::new(), training: Value::Null }
    }

    /// A known network, with the preprocessing it is meant for.
    ///
    /// # Errors
    /// As [`Architecture::build`].
    pub fn of_architecture(architecture: &Architecture, options: &Options) -> Result<Self> {
        let network = architecture.build(options)?;
        let [default_height, default_width, _] = architecture.input;
        let [height, width] = options.size.unwrap_or([default_height, default_width]);
        let preprocessing = Self::preprocessing_of(architecture.pixels, height, width);
        Ok(Self { preprocessing: Some(preprocessing), ..Self::new(network) })
    }

    /// How pictures of this size become what a network of the zoo takes.
    pub fn preprocessing_of(pixels: Pixels, height: usize, width: usize) -> Preprocessing {
        let numbers = match pixels {
            Pixels::Digit => Preprocessing::mnist(),
            Pixels::Unit => Preprocessing::unit(height, width, Colour::Rgb),
            Pixels::Caffe => Preprocessing::vgg(),
            Pixels::Standardised => Preprocessing::torchvision(height),
            Pixels::Symmetric => Preprocessing::inception(height),
        };
        numbers.with_size(height, width)
    }

    /// Checks that preprocessing and class names fit the network.
    ///
    /// # Errors
    /// [`Error::Argument`] says what does not fit.
    pub fn check(&self) -> Result<()> {
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.check()?;
            let [height, width, channels] = preprocessing.output_shape();
            let shape = self.network.input_shape()?;
            if shape.as_picture() != Some([height, width, channels]) {
                return Err(Error::argument(format!(
                    "the preprocessing makes pictures of ({height}, {width}, {channels}), the network takes {shape}"
                )));
            }
        }
        if !self.class_names.is_empty() {
            let outputs = self.network.output()?.shape().len();
            // One sigmoid tells two classes apart.
            let expected = if outputs == 1 { 2 } else { outputs };
            if self.class_names.len() != expected {
                return Err(Error::argument(format!(
                    "{} class names for a network with {outputs} outputs",
                    self.class_names.len()
                )));
            }
        }
        Ok(())
    }

    /// How a picture becomes the network's input.
    ///
    /// # Errors
    /// [`Error::Argument`] when the model does not say.
    pub fn preprocessing(&self) -> Result<&Preprocessing> {
        let missing =
            || Error::argument(format!("model {} does not say how pictures are prepared", self.network.name()));
        self.preprocessing.as_ref().ok_or_else(missing)
    }
}
