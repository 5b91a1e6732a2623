//! Metadata about images and classes: TensorFlow Lite's metadata, and the quantization of the input.

use super::flatbuffer::Bytes;
use super::schema::Schema;
use crate::data::{ColorMode, Preprocessing};
use crate::weights::archive::Archive;
use crate::weights::model_file::ModelFile;
use crate::weights::{Model, Note, Quantization, parse_class_names};

/// The metadata entry with TensorFlow Lite's own metadata, which is also a FlatBuffer.
const ENTRY: &str = "TFLITE_METADATA";
/// Maximum bytes of a list of names.
const MAX_NAMES: u64 = 4 << 20;
/// The end-of-archive signature of a zip archive.
const END_OF_ARCHIVE: &[u8] = b"PK\x05\x06";

/// Applies a file's metadata to a model, if it fits the network.
pub(super) fn take(file: ModelFile, schema: &Schema, bytes: &[u8], model: &mut Model) {
    model.preprocessing = preprocessing(schema, bytes, model);
    if model.check().is_err() {
        model.preprocessing = None;
    }
    for (layouts, tensors) in
        [(&mut model.layouts.inputs, &schema.inputs), (&mut model.layouts.outputs, &schema.outputs)]
    {
        // The index output of a classifier with scores is omitted here.
        let same = layouts.len() == tensors.len();
        for (layout, &tensor) in layouts.iter_mut().zip(tensors).filter(|_| same) {
            let step = schema.tensors[tensor].step();
            layout.quantization = step.map(|(scale, zero)| Quantization { scale, zero });
        }
    }
    let end = &bytes[bytes.len().saturating_sub(1 << 16)..];
    if end.windows(END_OF_ARCHIVE.len()).any(|window| window == END_OF_ARCHIVE) {
        class_names(file, model);
    }
}

/// Sets the class names from the first list of matching length in the archive at the end of the file.
fn class_names(file: ModelFile, model: &mut Model) {
    let Ok(mut archive) = Archive::open(file) else { return };
    let mut problem = None;
    for name in archive.names().into_iter().filter(|name| name.ends_with(".txt")) {
        let Ok(text) = archive.read(&name, MAX_NAMES) else { continue };
        match parse_class_names(&String::from_utf8_lossy(&text)) {
            Ok(names) => model.class_names = names,
            Err(_) => continue,
        }
        match model.check() {
            Ok(()) => return,
            Err(found) => problem = problem.or(Some(format!("{name} in the file is not used: {found}"))),
        }
        model.class_names.clear();
    }
    model.notes.extend(problem.map(Note::ClassNames));
}

fn preprocessing(schema: &Schema, bytes: &[u8], model: &Model) -> Option<Preprocessing> {
    let [height, width, channels] = model.network.input_shape().ok()?.as_image()?;
    let color = match channels {
        1 => ColorMode::Grayscale,
        3 => ColorMode::Rgb,
        _ => return None,
    };
    let base = Preprocessing { divisor: 1.0, ..Preprocessing::unit(height, width, color) };
    let all = |values: Vec<f32>| if let [value] = values[..] { vec![value; channels] } else { values };
    if let Some((mean, std)) = schema.metadata.get(ENTRY).and_then(|place| normalization(&bytes[place.clone()])) {
        return Some(Preprocessing { mean: all(mean), std: all(std), ..base });
    }
    let &[input] = schema.inputs.as_slice() else { return None };
    let tensor = &schema.tensors[input];
    let (scale, zero) = tensor.step()?;
    // The quantized number is the image's byte, possibly shifted by 128.
    let zero = match tensor.type_name() {
        "UINT8" => zero,
        "INT8" => zero + 128.0,
        _ => return None,
    };
    Some(Preprocessing { mean: vec![zero; channels], std: vec![1.0 / scale; channels], ..base })
}

/// Mean and standard deviation of the first input's pixels, from the metadata.
fn normalization(bytes: &[u8]) -> Option<(Vec<f32>, Vec<f32>)> {
    let file = Bytes::new(bytes);
    // ModelMetadata.subgraph_metadata, SubGraphMetadata.input_tensor_metadata, TensorMetadata.process_units
    let graph = file.root().ok()?.tables(3).ok()?.into_iter().next()?;
    let input = graph.tables(2).ok()?.into_iter().next()?;
    let unit = input.tables(4).ok()?.into_iter().next()?;
    if unit.byte(0) != Ok(1) {
        return None;
    }
    let options = unit.table(1).ok()??;
    let (mean, std) = (options.floats(0).ok()?, options.floats(1).ok()?);
    (!mean.is_empty() && !std.is_empty()).then_some((mean, std))
}
