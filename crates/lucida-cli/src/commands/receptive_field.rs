//! `lucida receptive-field`

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lucida::explain::{EffectiveField, Measurement, ReceptiveField, effective_field, noise, receptive_fields};
use lucida::nn::Network;
use lucida::plot::{Cell, Grid};
use lucida::weights::{IncludeTop, Model};
use lucida::{Error, files};
use serde::Serialize;

use super::source::ImageSet;
use super::tables::table;
use super::{Context, open_model, open_network};
use crate::{cli, interrupt};

const FIGURE: &str = "effective.png";
/// Maximum number of layers measured if none are named.
const MOST: usize = 16;

/// Output of `--json`.
#[derive(Serialize)]
struct ReceptiveFieldsJson<'a> {
    model: &'a str,
    network: &'a str,
    input: &'a [usize],
    layers: Vec<LayerJson>,
}

/// Pairs are (vertical, horizontal), in pixels; `null` means that the value differs between units or is undefined.
#[derive(Serialize)]
struct LayerJson {
    layer: String,
    class_name: &'static str,
    output: Vec<usize>,
    size: Option<[i64; 2]>,
    stride: Option<[i64; 2]>,
    padding: Option<[i64; 2]>,
    center: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<EffectiveFieldJson>,
}

#[derive(Serialize)]
struct EffectiveFieldJson {
    /// Row and column of the unit.
    unit: [usize; 2],
    side: f64,
    deviation: Option<[f64; 2]>,
}

pub(super) fn run(arguments: &cli::ReceptiveField, context: Context) -> Result<()> {
    let (measured, network) = match arguments.effective {
        true => (Some(open_model(&arguments.model.spec(IncludeTop::Unneeded), context)?), None),
        false => (None, Some(open_network(&arguments.model.spec(IncludeTop::Unneeded))?)),
    };
    let network = match (&measured, &network) {
        (Some(model), _) => &model.network,
        (None, Some(network)) => network,
        (None, None) => bail!("{}: there is no network", arguments.model.model),
    };
    let fields = receptive_fields(network).with_context(|| arguments.model.model.clone())?;
    let chosen = arguments.layers.iter().map(|list| network.find_list(list)).collect::<lucida::Result<Vec<_>>>()?;
    let chosen = chosen.concat();
    let shown = match chosen.as_slice() {
        [] => (0..fields.len()).collect(),
        _ => chosen.clone(),
    };
    let mut layers: Vec<LayerJson> = shown.iter().map(|&index| layer_json(&fields[index])).collect();
    let out = &arguments.place.of(&arguments.model.about(), "receptive-field");
    if let Some(model) = &measured {
        let earlier = files::claim_folder(out, &[FIGURE], arguments.place.force)?;
        let measured = if chosen.is_empty() { default_layers(network) } else { chosen };
        let found = measure(model, &measured, arguments, context)?;
        for effective in &found {
            if let Some(layer) = layers.iter_mut().find(|layer| layer.layer == effective.layer) {
                let deviation = effective.deviation();
                let deviation = deviation.iter().all(|value| value.is_finite()).then_some(deviation);
                layer.effective =
                    Some(EffectiveFieldJson { unit: effective.position, side: effective.side(), deviation });
            }
        }
        sheet(&found, out, arguments)?;
        earlier.discard()?;
    }
    if arguments.place.json {
        let input = network.input_shape()?.sizes();
        let result = ReceptiveFieldsJson { model: &arguments.model.model, network: network.name(), input, layers };
        return context.output.json(&result);
    }
    context.output.result(&text(&layers, arguments.effective))?;
    if arguments.effective {
        context.output.info(&format!("Written to {}: {FIGURE}", out.display()));
    }
    Ok(())
}

/// All convolutions; if there are too many, an even selection including the first and the last.
fn default_layers(network: &Network) -> Vec<usize> {
    let is_convolution = |index: &usize| network.nodes()[*index].layer().is_convolution();
    let all: Vec<usize> = (0..network.nodes().len()).filter(is_convolution).collect();
    let count = all.len().min(MOST);
    (0..count).map(|i| all[if count > 1 { i * (all.len() - 1) / (count - 1) } else { 0 }]).collect()
}

fn measure(
    model: &Model,
    layers: &[usize],
    arguments: &cli::ReceptiveField,
    context: Context,
) -> Result<Vec<EffectiveField>> {
    let set = arguments.data.as_ref().map(|source| ImageSet::list(source, context)).transpose()?;
    let samples = match &set {
        Some(set) => set.set().len().min(arguments.samples as usize),
        None => arguments.samples as usize,
    };
    let (network, seed, cpu) = (&model.network, arguments.seed, context.cpu);
    if set.is_some() {
        model.preprocessing()?;
    }
    interrupt::catch()?;
    let fill = |number: usize, input: &mut [f32]| {
        if interrupt::is_requested() {
            return Err(Error::Interrupted);
        }
        match (&set, &model.preprocessing) {
            // Spread evenly over the set.
            (Some(set), Some(preprocessing)) => {
                set.set().fill(number * set.set().len() / samples, preprocessing, input)?;
            }
            (_, preprocessing) => noise(preprocessing.as_ref(), seed, number, input),
        }
        Ok(())
    };
    layers
        .iter()
        .map(|&index| {
            let measurement = Measurement { network, layer: network.nodes()[index].name(), samples, seed, cpu };
            Ok(effective_field(&measurement, fill)?)
        })
        .collect()
}

fn sheet(found: &[EffectiveField], out: &Path, arguments: &cli::ReceptiveField) -> Result<()> {
    let cells = found
        .iter()
        .map(|field| {
            let (height, width) = (field.field.rows.len(), field.field.columns.len());
            let caption =
                format!("{}\n{height}x{width} px, effective {side:.0}x{side:.0}", field.layer, side = field.side());
            Ok(Cell::new(field.image(arguments.colormap)?).caption(caption))
        })
        .collect::<lucida::Result<Vec<_>>>()?;
    let columns = cells.len().min(4);
    let grid = Grid::new(cells).columns(columns).margin(14).padding(16);
    let title = "Receptive field of the center unit (box) and its gradient (bright)";
    Ok(grid.title(title).render()?.save_png(out.join(FIGURE))?)
}

fn layer_json(field: &ReceptiveField) -> LayerJson {
    LayerJson {
        layer: field.layer().to_owned(),
        class_name: field.class_name(),
        output: field.shape().sizes().to_vec(),
        size: field.size(),
        // With a single position there is no stride.
        stride: field.stride().filter(|_| field.is_map()),
        padding: field.padding(),
        center: field.center(),
        effective: None,
    }
}

fn text(layers: &[LayerJson], effective: bool) -> String {
    let rows = layers.iter().map(|layer| {
        let output: Vec<String> = layer.output.iter().map(usize::to_string).collect();
        let mut row = vec![layer.layer.clone(), layer.class_name.to_owned(), output.join("x")];
        let is_map = layer.output.len() == 3;
        row.push(pair(layer.size, "x", "varies"));
        row.push(pair(layer.stride, "x", if is_map { "varies" } else { "–" }));
        row.push(pair(layer.padding, "x", "varies"));
        row.push(pair(layer.center, ", ", "varies"));
        if effective {
            row.push(layer.effective.as_ref().map(|e| format!("{:.1}", e.side)).unwrap_or_default());
        }
        row
    });
    let mut headings = vec!["layer", "type", "output", ">size", ">stride", ">padding", ">center"];
    if effective {
        headings.push(">effective");
    }
    table(&headings, rows)
}

/// Formats a pair, as one number if both are equal.
fn pair<T: PartialEq + std::fmt::Display>(pair: Option<[T; 2]>, between: &str, none: &str) -> String {
    match pair {
        Some([a, b]) if a == b => a.to_string(),
        Some([a, b]) => format!("{a}{between}{b}"),
        None => none.to_owned(),
    }
}
