//! Files of feed-forward styles: a model with the first style, plus the scales and shifts of all styles.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FeedForwardStyle, PixelRange, conditional};
use crate::data::{ColorMode, Preprocessing};
use crate::nn::Network;
use crate::weights::Format;
use crate::weights::safetensors::{NamedTensor, TensorFile, VARIANT, VARIANTS, load_model, save_variants};
use crate::{Error, Result};

/// Version of the metadata entry.
const VERSION: u32 = 1;
/// Maximum number of styles in a file.
const MAX_STYLES: usize = 1000;

/// The metadata entry that marks a model as a feed-forward style.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    version: u32,
    names: Vec<String>,
    input: PixelRange,
    output: PixelRange,
}

/// Identity preprocessing: pixels from 0 to 255.
pub(super) fn preprocessing(network: &Network) -> Result<Preprocessing> {
    let [height, width, _] = network.input_shape()?.as_image().unwrap_or_default();
    Ok(Preprocessing { divisor: 1.0, ..Preprocessing::unit(height, width, ColorMode::Rgb) })
}

/// Name and shape of the tensor that holds a weight for all styles.
fn tensor(style: &FeedForwardStyle, weight: usize) -> (String, [usize; 2]) {
    let weight = &style.model.network.weights()[weight];
    (format!("{VARIANT}{}", weight.name()), [style.names.len(), weight.values().len()])
}

pub(super) fn save(style: &FeedForwardStyle, path: &Path) -> Result<()> {
    let (input, output) = (style.input_range, style.output_range);
    let entry = Entry { version: VERSION, names: style.names.clone(), input, output };
    let entry = serde_json::to_string(&entry)
        .map_err(|problem| Error::Bug(format!("styles that cannot be written as JSON: {problem}")))?;
    let described: Vec<_> = style.conditional.iter().map(|&weight| tensor(style, weight)).collect();
    let values: Vec<Vec<f32>> = (0..described.len())
        .map(|index| style.sets.iter().flat_map(|set| set[index].iter().copied()).collect())
        .collect();
    let tensors = described.iter().zip(&values);
    let tensors: Vec<NamedTensor> =
        tensors.map(|((name, shape), values)| (name.clone(), &shape[..], values.as_slice())).collect();
    let mut one = vec![0.0; style.names.len()];
    one[0] = 1.0;
    save_variants(&style.model(&one)?, entry, &tensors, path)
}

/// Opens a file written by [`save`]; returns none for other files.
pub(super) fn open(path: &Path) -> Result<Option<FeedForwardStyle>> {
    if Format::of(path)? != Format::Safetensors {
        return Ok(None);
    }
    let mut file = TensorFile::open(path)?;
    let Some(text) = file.text(VARIANTS) else { return Ok(None) };
    let damaged = |problem: String| Error::file(path, format!("not a usable style network: {problem}"));
    let value: serde_json::Value = serde_json::from_str(text).map_err(|problem| damaged(problem.to_string()))?;
    if value["version"] != VERSION {
        return Err(damaged(format!("it is of version {}, this program reads version {VERSION}", value["version"])));
    }
    let entry = Entry::deserialize(value).map_err(|problem| damaged(problem.to_string()))?;
    let numbers = [entry.input, entry.output].map(|range| [range.black, range.white]);
    if numbers.iter().any(|[black, white]| !(black.is_finite() && white.is_finite() && black < white)) {
        return Err(damaged(format!("black and white are {numbers:?}")));
    }
    if entry.names.len() > MAX_STYLES {
        let what = format!("{}: styles", path.display());
        return Err(Error::Limit { what, got: entry.names.len() as u64, limit: MAX_STYLES as u64 });
    }
    let model = load_model(path)?;
    let conditional = conditional(&model.network);
    let mut style = FeedForwardStyle::of_model(model, "", [entry.input, entry.output])?;
    style.names = entry.names;
    style.check().map_err(|problem| damaged(problem.to_string()))?;
    let mut sets = vec![Vec::new(); style.names.len()];
    for weight in conditional {
        let (name, shape) = tensor(&style, weight);
        let mut values = vec![0.0; shape[0] * shape[1]];
        file.read_into(&name, &mut values)?;
        sets.iter_mut().zip(values.chunks_exact(shape[1])).for_each(|(set, own)| set.push(own.to_vec()));
    }
    style.sets = sets;
    Ok(Some(style))
}
