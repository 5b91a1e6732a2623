//! Feed-forward style: a network that was trained to stylize an image in one pass.
//!
//! One network may hold several styles, which differ in the factors and shifts of its instance normalizations only
//! (conditional instance normalization: V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation For Artistic Style",
//! 2017). The mean of the factors and shifts of two styles is a style between them.

pub(super) mod apply;
pub(super) mod network;
mod open_any;
mod store;
mod tiling;
pub(super) mod training;
pub(super) mod transfer;

use std::path::Path;

use crate::data::PreprocessingChoice;
use crate::nn::Network;
use crate::nn::layers::{GroupNormalization, Layer};
use crate::similar::nearest_name;
use crate::weights::{Model, fill_brushwork, onnx};
use crate::{Error, Result};

/// The numbers that stand for black and for white.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PixelRange {
    /// The number of black.
    pub black: f32,
    /// The number of white.
    pub white: f32,
}

impl PixelRange {
    /// From 0 to 255.
    pub const BYTES: Self = Self { black: 0.0, white: 255.0 };
}

/// A network from images to stylized images, and its styles.
///
/// ```
/// use lucida::style::{FeedForwardSize, FeedForwardStyle, transformation_network};
///
/// let network = transformation_network(FeedForwardSize::Small, [64, 64], 42)?;
/// let style = FeedForwardStyle::new(network, ["waves", "night"])?;
/// let folder = tempfile::tempdir().unwrap();
/// style.save(folder.path().join("two.lucida"))?;
/// let style = FeedForwardStyle::open(folder.path().join("two.lucida"))?;
/// assert_eq!(style.names(), ["waves", "night"]);
/// // An ordinary model for 70 % of one style and 30 % of the other, for images of any size.
/// let model = style.model(&[0.7, 0.3])?;
/// assert_eq!(model.network.with_input_size(96, 128)?.output()?.shape().sizes(), [96, 128, 3]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeedForwardStyle {
    /// The network with the factors and shifts of the first style.
    model: Model,
    names: Vec<String>,
    /// The numbers of the weights in which styles differ.
    conditional: Vec<usize>,
    /// For each style the values of these weights.
    sets: Vec<Vec<Vec<f32>>>,
    input_range: PixelRange,
    output_range: PixelRange,
    guessed: [bool; 2],
}

impl FeedForwardStyle {
    /// A network for styles of these names, all of which start with the factors and shifts that it has. It takes and gives
    /// red, green and blue from 0 to 255, as a [`transformation_network`](super::transformation_network).
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no name, or a name twice; [`Error::Unsupported`] when the network does not go from
    /// color images to color images of the same size, or several styles have no instance normalization to differ in.
    pub fn new<S: Into<String>>(network: Network, names: impl IntoIterator<Item = S>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let model = Model { preprocessing: Some(store::preprocessing(&network)?), ..Model::new(network) };
        let mut style = Self::of_model(model, "", [PixelRange::BYTES; 2])?;
        let own = style.sets.remove(0);
        style.sets = vec![own; names.len()];
        style.names = names;
        style.check()?;
        Ok(style)
    }

    /// The built-in network of the built-in style, [`brushwork`](super::brushwork()).
    ///
    /// ```
    /// let style = lucida::style::FeedForwardStyle::builtin()?;
    /// assert_eq!(style.names(), [lucida::style::BRUSHWORK]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// None in practice.
    pub fn builtin() -> Result<Self> {
        let mut network = network::transformation_network(network::FeedForwardSize::Small, [256; 2], 0)?;
        fill_brushwork(&mut network)?;
        Self::new(network, [super::BRUSHWORK])
    }

    /// A model of one style from elsewhere, with the numbers that its input and its output have for black and white.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it does not go from color images to color images of the same size.
    pub fn of_model(model: Model, name: impl Into<String>, ranges: [PixelRange; 2]) -> Result<Self> {
        let network = &model.network;
        let (input, output) = (network.input_shape()?, network.output()?.shape());
        if !matches!((input.as_image(), output.as_image()), (Some([_, _, 3]), Some([_, _, 3]))) {
            return Err(Error::Unsupported(format!(
                "network {} maps {input} to {output}; a style network maps color images to color images",
                network.name()
            )));
        }
        let conditional = conditional(network);
        let sets = vec![conditional.iter().map(|&weight| network.weights()[weight].values().to_vec()).collect()];
        let [input_range, output_range] = ranges;
        Ok(Self { model, names: vec![name.into()], conditional, sets, input_range, output_range, guessed: [false; 2] })
    }

    /// Opens a file that [`save`](Self::save) has written, or any model that maps color images to color images.
    ///
    /// # Errors
    /// As [`load_model`](crate::weights::load_model); [`Error::Unsupported`] when the model is not a style network.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, None)
    }

    /// As [`open`](Self::open); a model from elsewhere takes its images prepared in this way. Without it, the range of its
    /// pixels is what the file says, else that of a trial whose result has the range of its input.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, preprocessing: Option<&PreprocessingChoice>) -> Result<Self> {
        let path = path.as_ref();
        match Self::open_own(path)? {
            Some(style) => Ok(style),
            None => open_any::open_any(path, preprocessing),
        }
    }

    /// Opens a file that [`save`](Self::save) has written; none when it is another one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_own(path: impl AsRef<Path>) -> Result<Option<Self>> {
        store::open(path.as_ref())
    }

    /// Writes the file: safetensors of 16-bit floats, which any command that takes a model opens as one of the first style.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; then there is none, or still the old one.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        store::save(self, path.as_ref())
    }

    /// Writes a mix of the styles as ONNX, for images of any height and width.
    ///
    /// # Errors
    /// As [`model`](Self::model) and [`onnx::save_model_any_size`].
    pub fn save_onnx(&self, mix: &[f32], path: impl AsRef<Path>) -> Result<()> {
        onnx::save_model_any_size(&self.model(mix)?, path)
    }

    /// The names of the styles.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What stands for black and white in the network's input.
    pub fn input_range(&self) -> PixelRange {
        self.input_range
    }

    /// What stands for black and white in the network's output, which may go beyond.
    pub fn output_range(&self) -> PixelRange {
        self.output_range
    }

    /// Whether the ranges of the input and of the output were found by a trial, as the file does not say them.
    pub fn guessed_ranges(&self) -> [bool; 2] {
        self.guessed
    }

    /// How it was trained, for people to read.
    pub fn training(&self) -> &serde_json::Value {
        &self.model.training
    }

    /// Notes how it was trained.
    #[must_use]
    pub fn with_training(mut self, training: serde_json::Value) -> Self {
        self.model.training = training;
        self
    }

    /// The mix in which each of these styles has this weight.
    ///
    /// # Errors
    /// [`Error::Argument`] names a style that there is not.
    pub fn mix(&self, weights: &[(&str, f32)]) -> Result<Vec<f32>> {
        let mut mix = vec![0.0; self.names.len()];
        for &(name, weight) in weights {
            let index = self.names.iter().position(|known| known == name).ok_or_else(|| {
                let near = nearest_name(name, self.names.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                Error::argument(format!("there is no style {name:?} among {}{hint}", self.names.join(", ")))
            })?;
            mix[index] += weight;
        }
        Ok(mix)
    }

    /// The mix of one style alone, by its number.
    pub fn single_style_mix(&self, index: usize) -> Vec<f32> {
        (0..self.names.len()).map(|at| f32::from(u8::from(at == index))).collect()
    }

    /// The network for a mix of the styles: an ordinary model, in whose normalizations the mean of the styles' factors and
    /// shifts is baked. There is a weight for each style, 0 or more; only their proportions matter.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is another number of weights, one is not a number of 0 or more, or all are 0.
    pub fn model(&self, mix: &[f32]) -> Result<Model> {
        let total: f32 = mix.iter().sum();
        if mix.len() != self.names.len() {
            let styles = crate::nn::counted(self.names.len(), "style");
            return Err(Error::argument(format!("{} for {styles}", crate::nn::counted(mix.len(), "weight"))));
        }
        if !mix.iter().all(|&weight| weight >= 0.0) || !total.is_finite() || total <= 0.0 {
            return Err(Error::argument(format!("weights {mix:?} of styles: they must be 0 or more, and one above 0")));
        }
        let mut model = self.model.clone();
        for (index, &weight) in self.conditional.iter().enumerate() {
            let values = model.network.weights_mut()[weight].values_mut();
            values.fill(0.0);
            for (set, part) in self.sets.iter().zip(mix).filter(|(_, part)| **part > 0.0) {
                values.iter_mut().zip(&set[index]).for_each(|(value, own)| *value += part / total * own);
            }
        }
        Ok(model)
    }

    /// Checks the styles.
    fn check(&self) -> Result<()> {
        let names = &self.names;
        if names.is_empty() {
            return Err(Error::argument("a style network without a style"));
        }
        if let Some(at) = (0..names.len()).find(|&at| names[at].trim().is_empty() || names[..at].contains(&names[at])) {
            return Err(Error::argument(format!("two styles, or none, of the name {:?}", names[at])));
        }
        if names.len() > 1 && self.conditional.is_empty() {
            return Err(Error::Unsupported(format!(
                "network {} has no instance normalization, in which several styles could differ",
                self.model.network.name()
            )));
        }
        Ok(())
    }
}

/// The factors and shifts of all instance normalizations, by number.
fn conditional(network: &Network) -> Vec<usize> {
    let nodes = network.nodes().iter();
    let norms =
        nodes.filter(|node| matches!(node.layer(), Layer::GroupNormalization(GroupNormalization { groups: None, .. })));
    norms.flat_map(|node| node.own_weights()).collect()
}

#[cfg(test)]
mod tests;
