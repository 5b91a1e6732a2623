//! Metadata about images and classes for other programs: the entries of ONNX's own list
//! (<https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md>), and a few similar ones for properties without a
//! standard name.
//!
//! | key | value |
//! | --- | --- |
//! | `Image.BitmapPixelFormat` | `Gray8`, `Rgb8`, `Bgr8`: channels and their order |
//! | `Image.ColorSpaceGamma` | `SRGB` |
//! | `Image.NominalPixelRange` | `NominalRange_0_255`, `Normalized_0_1`, `Normalized_1_1` |
//! | `Image.Mean`, `Image.Std` | per channel, of bytes: the input is `(byte - mean) / std` |
//! | `Image.Layout` | `NHWC` |
//! | `class_names` | a JSON list |

use super::file::OnnxFile;
use super::proto::StringStringEntryProto;
use crate::data::{ColorMode, Preprocessing};
use crate::weights::{Model, json};

const FORMAT: &str = "Image.BitmapPixelFormat";
const GAMMA: &str = "Image.ColorSpaceGamma";
const RANGE: &str = "Image.NominalPixelRange";
const MEAN: &str = "Image.Mean";
const STD: &str = "Image.Std";
const LAYOUT: &str = "Image.Layout";
const CLASS_NAMES: &str = "class_names";

/// The named ranges, with the divisor and the mean after it.
const RANGES: [(&str, f32, f32); 3] =
    [("NominalRange_0_255", 1.0, 0.0), ("Normalized_0_1", 255.0, 0.0), ("Normalized_1_1", 127.5, 1.0)];

/// The metadata entries of a model.
pub(super) fn entries(model: &Model) -> Vec<StringStringEntryProto> {
    let mut entries = Vec::new();
    let mut add = |key: &str, value: String| entries.push(StringStringEntryProto { key: key.into(), value });
    if let Some(preprocessing) = &model.preprocessing {
        let Preprocessing { color, divisor, mean, std, .. } = preprocessing;
        let format = match color {
            ColorMode::Grayscale => "Gray8",
            ColorMode::Rgb => "Rgb8",
            ColorMode::Bgr => "Bgr8",
        };
        add(FORMAT, format.into());
        add(GAMMA, "SRGB".into());
        add(LAYOUT, "NHWC".into());
        let named = RANGES.iter().find(|(_, by, less)| {
            by == divisor && mean.iter().all(|mean| mean == less) && std.iter().all(|&std| std == 1.0)
        });
        if let Some((name, ..)) = named {
            add(RANGE, (*name).into());
        }
        let of_bytes = |values: &[f32]| {
            let values: Vec<String> = values.iter().map(|value| (value * divisor).to_string()).collect();
            values.join(",")
        };
        add(MEAN, of_bytes(mean));
        add(STD, of_bytes(std));
    }
    if !model.class_names.is_empty() {
        add(CLASS_NAMES, serde_json::Value::from(model.class_names.clone()).to_string());
    }
    entries
}

/// Applies a file's entries to a model, if they fit the network.
pub(super) fn take(file: &OnnxFile, model: &mut Model) {
    let names = file.metadata(CLASS_NAMES).and_then(|text| json::parse(text.as_bytes()).ok());
    if let Some(Ok(names)) = names.map(serde_json::from_value) {
        model.class_names = names;
        if model.check().is_err() {
            model.class_names.clear();
        }
    }
    model.preprocessing = preprocessing(file, model);
    if model.check().is_err() {
        model.preprocessing = None;
    }
}

fn preprocessing(file: &OnnxFile, model: &Model) -> Option<Preprocessing> {
    let [height, width, channels] = model.network.input_shape().ok()?.as_image()?;
    let color = match (file.metadata(FORMAT), channels) {
        (Some("Gray8"), 1) => ColorMode::Grayscale,
        (Some("Rgb8"), 3) => ColorMode::Rgb,
        (Some("Bgr8"), 3) => ColorMode::Bgr,
        _ => return None,
    };
    let base = Preprocessing::unit(height, width, color);
    let list = |key: &str| -> Option<Vec<f32>> {
        file.metadata(key)?.split(',').map(|value| value.trim().parse().ok()).collect()
    };
    if let (Some(mean), Some(std)) = (list(MEAN), list(STD)) {
        return Some(Preprocessing { divisor: 1.0, mean, std, ..base });
    }
    let range = file.metadata(RANGE)?;
    let &(_, divisor, mean) = RANGES.iter().find(|(name, ..)| *name == range)?;
    Some(Preprocessing { divisor, mean: vec![mean; channels], ..base })
}
