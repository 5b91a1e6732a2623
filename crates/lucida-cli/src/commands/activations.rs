//! `lucida activations`

use std::path::Path;

use anyhow::Result;
use lucida::explain::{LayerActivation, MapStatus, MapStyle, activations, feature_maps, overview};
use lucida::files;
use lucida::nn::counted;
use lucida::weights::{IncludeTop, Model};
use serde::Serialize;

use super::subject::Input;
use super::tables::{file_name, layer_names, table};
use super::{Context, is_true, open_model, refuse_folder};
use crate::cli::Activations;
use crate::output::as_json;

const OVERVIEW: &str = "overview.png";

/// Output of `--json`.
#[derive(Serialize)]
struct ActivationsJson<'a> {
    model: &'a str,
    image: String,
    /// Whether a digit was found; omitted if true.
    #[serde(skip_serializing_if = "is_true")]
    digit_found: bool,
    layers: Vec<LayerJson>,
}

#[derive(Serialize)]
struct LayerJson {
    layer: String,
    class_name: &'static str,
    shape: Vec<usize>,
    least: f32,
    mean: f64,
    greatest: f32,
    channels: usize,
    /// Channels that are zero everywhere.
    dead: Vec<usize>,
    file: String,
}

pub(super) fn run(arguments: &Activations, context: Context) -> Result<()> {
    refuse_folder(arguments.subject.image.as_deref())?;
    let out = &arguments.place.of(&arguments.subject.about(), "activations");
    let model = open_model(&arguments.model.spec(IncludeTop::Unneeded), context)?;
    let inputs = Input::load(&arguments.subject, out, &model, context)?;
    // Check names and folders before the forward pass, which may take long.
    let layers = layer_names(&model.network, &arguments.layers)?;
    for (_, folder) in &inputs {
        files::check_folder(folder, &[OVERVIEW], arguments.place.force)?;
    }
    let mut printed = Vec::new();
    for (input, folder) in inputs {
        printed.extend(one(arguments, &model, &layers, (input, &folder), context)?);
    }
    if arguments.place.json { context.output.json_of_images(&printed) } else { Ok(()) }
}

/// Writes the feature maps of one image to a folder. Returns the JSON to print, with `--json`.
fn one(
    arguments: &Activations,
    model: &Model,
    layers: &[&str],
    (input, folder): (Input, &Path),
    context: Context,
) -> Result<Option<String>> {
    let output = context.output;
    let found = activations(&model.network, layers, &input.values, context.cpu)?;
    let names: Vec<String> =
        found.iter().enumerate().map(|(index, layer)| file_name(Some(index + 1), &layer.layer)).collect();
    let images: Vec<String> = names.iter().map(|name| format!("{name}.png")).collect();
    let arrays: Vec<String> = names.iter().filter(|_| arguments.npy).map(|name| format!("{name}.npy")).collect();
    let claimed: Vec<&str> = images.iter().chain(&arrays).map(String::as_str).chain([OVERVIEW]).collect();
    let earlier = files::claim_folder(folder, &claimed, arguments.place.force)?;

    let style =
        MapStyle { scale: arguments.normalize.into(), colormap: arguments.colormap, channels: arguments.channels.0 };
    let write = |index: usize| -> lucida::Result<()> {
        let layer = &found[index];
        feature_maps(layer, &style)?.save_png(folder.join(&images[index]))?;
        match arrays.get(index) {
            Some(array) => files::write_npy(folder.join(array), layer.shape.sizes(), &layer.values),
            None => Ok(()),
        }
    };
    // A deep network has hundreds of sheets, and compressing them takes far longer than the forward pass.
    let mut written: Vec<lucida::Result<()>> = found.iter().map(|_| Ok(())).collect();
    context.cpu.parallel_chunks(&mut written, 1, |index, outcome| outcome[0] = write(index));
    written.into_iter().collect::<lucida::Result<()>>()?;
    overview(&found, &style)?.save_png(folder.join(OVERVIEW))?;
    earlier.discard()?;

    let layers: Vec<LayerJson> = found.iter().zip(&images).map(|(layer, file)| layer_json(layer, file)).collect();
    if arguments.place.json {
        let Input { name, digit_found, .. } = input;
        return as_json(&ActivationsJson { model: &arguments.model.model, image: name, digit_found, layers }).map(Some);
    }
    output.result(&text(&layers))?;
    let (layers, folder) = (counted(layers.len(), "layer"), folder.display());
    output.info(&format!("Written to {folder}: {OVERVIEW} and one sheet for each of {layers} of {}", input.name));
    Ok(None)
}

fn layer_json(layer: &LayerActivation, file: &str) -> LayerJson {
    let finite = || layer.values.iter().copied().filter(|value| value.is_finite());
    let channels = layer.shape.channels();
    let is_dead = |channel: &usize| MapStatus::of(&layer.map(*channel)) == MapStatus::Dead;
    // A unit of a vector that is zero for this one image is not dead.
    let dead = if layer.shape.as_image().is_some() { (0..channels).filter(is_dead).collect() } else { Vec::new() };
    LayerJson {
        layer: layer.layer.clone(),
        class_name: layer.class_name,
        shape: layer.shape.sizes().to_vec(),
        least: finite().fold(f32::INFINITY, f32::min),
        mean: finite().map(f64::from).sum::<f64>() / finite().count().max(1) as f64,
        greatest: finite().fold(f32::NEG_INFINITY, f32::max),
        channels,
        dead,
        file: file.to_owned(),
    }
}

fn text(layers: &[LayerJson]) -> String {
    let rows = layers.iter().map(|layer| {
        let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        let dead = match layer.dead.len() {
            0 => String::new(),
            count => format!("{count} of {}", layer.channels),
        };
        let numbers = [f64::from(layer.least), layer.mean, f64::from(layer.greatest)];
        let mut row = vec![layer.layer.clone(), layer.class_name.to_owned(), shape.join("x")];
        row.extend(numbers.map(|number| format!("{number:.4}")));
        row.extend([dead]);
        row
    });
    table(&["layer", "type", "output", ">min", ">mean", ">max", ">dead"], rows)
}
