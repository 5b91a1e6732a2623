//! Third-party feed-forward style networks: models of any format that map color images to color images.
//!
//! Model files seldom store the pixel range. State dictionaries of PyTorch's example are recognized by the names of their
//! tensors; for other files the network is run on a photo with several ranges, and the range whose output has the same range
//! is chosen.

use std::path::Path;

use super::FeedForwardStyle;
use super::PixelRange;
use crate::data::{ColorMode, Preprocessing, PreprocessingChoice};
use crate::nn::layers::Rescaling;
use crate::nn::{Network, Plan};
use crate::style::brushwork;
use crate::weights::{FAST_NEURAL_STYLE, IncludeTop, Model, ModelSpec, Note, open};
use crate::{Error, Result};

/// Side of the image that a network is run on, in pixels.
const TRIED: usize = 128;
/// An output whose values span more than this, outliers excluded, ranges from 0 to 255.
const BYTES_SPAN: f32 = 8.0;
/// An output with values below this, outliers excluded, ranges from -1 to 1 rather than from 0 to 1.
const BELOW_ZERO: f32 = -0.25;
/// Share of the values at either end that are treated as outliers.
const OUTERMOST: f64 = 0.02;
impl PixelRange {
    /// From 0 to 1.
    pub const UNIT: Self = Self { black: 0.0, white: 1.0 };
    /// From -1 to 1.
    pub const SIGNED: Self = Self { black: -1.0, white: 1.0 };

    /// The range that a preprocessing produces, if it is the same for all channels.
    fn of_preprocessing(preprocessing: &Preprocessing) -> Option<Self> {
        let ends = |channel: usize| {
            [0.0, 255.0]
                .map(|value| (value / preprocessing.divisor - preprocessing.mean[channel]) / preprocessing.std[channel])
        };
        let [black, white] = ends(0);
        (1..3).all(|channel| ends(channel) == [black, white]).then_some(Self { black, white })
    }
}

/// Opens a model. `preprocessing` applies if the file does not specify one, or overrides it.
pub(super) fn open_any(path: &Path, preprocessing: Option<&PreprocessingChoice>) -> Result<FeedForwardStyle> {
    let spec = ModelSpec {
        preprocessing: preprocessing.cloned(),
        top: IncludeTop::Unchanged,
        ..ModelSpec::new(path.to_string_lossy())
    };
    let mut model = open(&spec)?;
    let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    // PyTorch's fast_neural_style, recognized by the names of its tensors, uses 0 to 255 for input and output.
    if model.network.name() == FAST_NEURAL_STYLE && preprocessing.is_none() {
        return FeedForwardStyle::of_model(model, name, [PixelRange::BYTES; 2]);
    }
    // Fail early if the model cannot be a style network.
    FeedForwardStyle::of_model(model.clone(), &name, [PixelRange::BYTES; 2])?;
    let said = match model.notes.contains(&Note::Preprocessing) {
        true => None,
        false => Some(model.preprocessing()?.clone()),
    };
    let guessed = [said.is_none(), true];
    let ranges = match said {
        None => tried(&model.network)?,
        Some(said) => {
            if said.color != ColorMode::Rgb {
                let order = "expects its channels in another order than red, green, blue: export it for RGB";
                return Err(Error::Unsupported(format!("{}: {order}", path.display())));
            }
            match PixelRange::of_preprocessing(&said) {
                Some(range) => [range, output_range(&run(&model.network, range)?)],
                None => {
                    model = standardized(model, &said)?;
                    [PixelRange::BYTES, output_range(&run(&model.network, PixelRange::BYTES)?)]
                }
            }
        }
    };
    Ok(FeedForwardStyle { guessed, ..FeedForwardStyle::of_model(model, name, ranges)? })
}

/// Finds the pixel range that the network maps to itself; otherwise 0 to 255 for the input, and the range of its output.
fn tried(network: &Network) -> Result<[PixelRange; 2]> {
    let mut for_bytes = None;
    for range in [PixelRange::BYTES, PixelRange::UNIT, PixelRange::SIGNED] {
        let found = output_range(&run(network, range)?);
        for_bytes.get_or_insert(found);
        if found == range {
            return Ok([range; 2]);
        }
    }
    Ok([PixelRange::BYTES, for_bytes.unwrap_or(PixelRange::BYTES)])
}

/// Runs the network on an image with bright and dark areas of all colors.
fn run(network: &Network, range: PixelRange) -> Result<Vec<f32>> {
    let image = brushwork()?.resize(TRIED, TRIED, crate::data::Filter::Bilinear)?;
    let network = network.clone().with_input_size(TRIED, TRIED)?;
    let mut plan = Plan::builder(&network).build()?;
    let pixels: Vec<f32> = image.in_channels(3).pixels().iter().map(|&byte| f32::from(byte)).collect();
    range.write(&pixels, plan.input_mut());
    plan.forward(&network)?;
    Ok(plan.output(0).to_vec())
}

/// Guesses the range of an output.
fn output_range(values: &[f32]) -> PixelRange {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let [low, high] = [at(OUTERMOST), at(1.0 - OUTERMOST)];
    match high - low {
        span if span > BYTES_SPAN => PixelRange::BYTES,
        _ if low < BELOW_ZERO => PixelRange::SIGNED,
        _ => PixelRange::UNIT,
    }
}

/// Wraps the model in rescaling layers so that its input ranges from 0 to 255, for a mean and standard deviation per
/// channel. If some of its output is negative, that is assumed to be standardized as well, and is scaled back.
fn standardized(model: Model, preprocessing: &Preprocessing) -> Result<Model> {
    let Preprocessing { divisor, mean, std, .. } = preprocessing;
    let scale: Vec<f32> = std.iter().map(|std| 1.0 / (divisor * std)).collect();
    let offset: Vec<f32> = mean.iter().zip(std).map(|(mean, std)| -mean / std).collect();
    let network = with_rescaling(&model.network, Some(Rescaling { scale, offset }), None)?;
    let network = match output_range(&run(&network, PixelRange::BYTES)?) {
        PixelRange::SIGNED => {
            let scale = std.iter().map(|std| divisor * std).collect();
            let offset = mean.iter().map(|mean| divisor * mean).collect();
            with_rescaling(&network, None, Some(Rescaling { scale, offset }))?
        }
        _ => network,
    };
    Ok(Model { network, ..model })
}

fn with_rescaling(network: &Network, before: Option<Rescaling>, after: Option<Rescaling>) -> Result<Network> {
    let mut builder = Network::builder(network.name());
    let mut places = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let inputs: Vec<usize> = node.inputs().iter().map(|&input| places[input]).collect();
        let mut place = builder.add_copy(node, node.layer().clone(), &inputs)?;
        if let (true, Some(before)) = (inputs.is_empty(), &before) {
            place = builder.add_named("from_bytes", before.clone(), &[place])?;
        }
        places.push(place);
    }
    let mut output = places[network.outputs()[0]];
    if let Some(after) = after {
        output = builder.add_named("to_bytes", after, &[output])?;
    }
    let mut built = builder.build_zeroed(&[output])?;
    built.replace_with(network.clone())?;
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Sequential;
    use crate::nn::layers::{ActivationKind, Conv2D};

    /// An identity network with an activation.
    fn opened(activation: ActivationKind, preprocessing: Option<&str>) -> Result<FeedForwardStyle> {
        let conv = Conv2D::new(3, [1, 1]).activation(activation);
        let mut network = Sequential::new("a", [32, 32, 3]).add(conv).build(1)?;
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        network.weights_mut()[0].values_mut().copy_from_slice(&identity);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.onnx");
        Model::new(network).save(&path)?;
        let choice = preprocessing.map(|text| text.parse::<PreprocessingChoice>()).transpose()?;
        FeedForwardStyle::open_with(&path, choice.as_ref())
    }

    #[test]
    fn ranges_are_those_that_come_out_again() {
        for (activation, preprocessing, expected) in [
            (ActivationKind::Linear, None, [PixelRange::BYTES; 2]),
            (ActivationKind::Sigmoid, None, [PixelRange::UNIT; 2]),
            (ActivationKind::Linear, Some("unit"), [PixelRange::UNIT; 2]),
            (ActivationKind::Linear, Some("tf"), [PixelRange::SIGNED; 2]),
            (ActivationKind::Sigmoid, Some("raw"), [PixelRange::BYTES, PixelRange::UNIT]),
        ] {
            let style = opened(activation, preprocessing).unwrap();
            let found = [style.input_range(), style.output_range()];
            assert_eq!(found, expected, "{activation:?} {preprocessing:?}");
            assert_eq!(style.names(), ["own"]);
            assert_eq!(style.guessed_ranges(), [preprocessing.is_none(), true]);
        }
        let message = opened(ActivationKind::Linear, Some("caffe")).unwrap_err().to_string();
        assert!(message.contains("red, green, blue"), "{message}");
    }

    #[test]
    fn means_and_deviations_become_layers() {
        let style = opened(ActivationKind::Linear, Some("torch")).unwrap();
        assert_eq!([style.input_range(), style.output_range()], [PixelRange::BYTES; 2]);
        let network = style.model(&[1.0]).unwrap().network;
        let pixels = run(&network, PixelRange::BYTES).unwrap();
        assert_eq!(output_range(&pixels), PixelRange::BYTES);
        let mut plan = Plan::builder(&network).build().unwrap();
        plan.input_mut().fill(77.0);
        plan.forward(&network).unwrap();
        assert!(plan.output(0).iter().all(|value| (value - 77.0).abs() < 1e-3));
    }
}
