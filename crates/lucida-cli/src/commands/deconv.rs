//! `lucida deconv`

use std::path::Path;

use anyhow::{Result, bail};
use lucida::core::choose;
use lucida::data::{Dataset, Image, Subset};
use lucida::explain::{
    DeconvFigure, Deconvnet, Field, ReceptiveField, Target, TopActivationQuery, outlined_fields, peaks,
    projection_sheet, strongest_filters,
};
use lucida::files;
use lucida::nn::BackwardRule;
use lucida::weights::{IncludeTop, Model};
use serde::Serialize;

use super::maximize::{layer_by_default, takes_any_size};
use super::source::ImageSet;
use super::subject::{Input, places};
use super::tables::table;
use super::{Context, is_true, open_model, refuse_folder};
use crate::arguments::Selection;
use crate::bar::Bar;
use crate::cli::Deconv;
use crate::cli::place::about_image;
use crate::interrupt;
use crate::output::as_json;

const FIGURE: &str = "deconv.png";
const FIELDS: &str = "fields.png";
/// Default number of images per filter, or of filters for a single image.
const TOP: usize = 9;
/// The layer of the built-in classifier whose filters have a receptive field of 67 pixels: eyes and noses. Those of deeper
/// layers cover the whole image.
const CLASSIFIER_LAYER: &str = "_blocks.4";
/// Default number of filters in the figure of a data set.
const FILTERS: usize = 8;
/// Maximum number of projections kept in memory for an image or a figure.
const MOST: usize = 4096;
/// Number of unreadable images named.
const NAMED: usize = 5;

/// Output of `--json`.
#[derive(Serialize)]
struct DeconvJson<'a> {
    model: &'a str,
    layer: &'a str,
    /// Number of images examined.
    images: usize,
    /// Whether a digit was found in a single image; omitted if true.
    #[serde(skip_serializing_if = "is_true")]
    digit_found: bool,
    projections: Vec<ProjectionJson>,
    /// Filters that no image activates.
    dead: Vec<usize>,
}

#[derive(Serialize)]
struct ProjectionJson {
    filter: usize,
    image: String,
    activation: f32,
    /// Row and column in the feature map.
    position: [usize; 2],
    /// Receptive field in the network's input, in pixels: first row, end row (exclusive), first column, end column
    /// (exclusive).
    field: Option<[i64; 4]>,
}

/// The layer whose activations are projected.
#[derive(Clone, Copy)]
struct LayerRef<'a> {
    model: &'a Model,
    layer: &'a str,
}

pub(super) fn run(arguments: &Deconv, context: Context) -> Result<()> {
    refuse_folder(arguments.image.as_deref())?;
    let mut spec = arguments.model.spec(IncludeTop::Unneeded);
    if let (None, Some(path), true) = (spec.size, &arguments.image, takes_any_size(&spec.model)) {
        spec.size = Some(size_in_shape(&Image::open(path)?));
    }
    let model = open_model(&spec, context)?;
    model.preprocessing()?;
    let layer = match &arguments.layer {
        Some(layer) => layer.clone(),
        None => layer_by_default(&arguments.model.model, &model.network, CLASSIFIER_LAYER)?,
    };
    let of = LayerRef { model: &model, layer: &layer };
    let set = arguments.data.as_ref().map(|source| ImageSet::list(source, context)).transpose()?;
    let about = about_image(arguments.image.as_deref(), arguments.data.as_ref(), arguments.index.as_ref());
    let out = &arguments.place.of(&about, "deconv");
    let mut printed = Vec::new();
    match (&arguments.image, &set, &arguments.index) {
        (Some(path), _, _) => {
            printed.extend(project_image(arguments, of, &Input::open(path, &model, context)?, out, context)?);
        }
        (None, Some(set), Some(indices)) => {
            for (index, out) in places(set, indices, out)? {
                printed.extend(project_image(
                    arguments,
                    of,
                    &Input::of_set(set, index, &model, context)?,
                    &out,
                    context,
                )?);
            }
        }
        (None, Some(_), None) if arguments.position.is_some() => {
            bail!("--position is for one image: give IMAGE, or --index")
        }
        (None, Some(set), None) => printed.extend(project_set(arguments, of, set, out, context)?),
        (None, None, _) => bail!("neither an image nor a data set was given"),
    }
    if arguments.place.json { context.output.json_of_images(&printed) } else { Ok(()) }
}

/// Height and width with the aspect ratio of an image and the area of 224x224 pixels, so that the image is not stretched.
fn size_in_shape(image: &Image) -> [usize; 2] {
    let aspect = (image.width() as f64 / image.height() as f64).clamp(0.25, 4.0).sqrt();
    [224.0 / aspect, 224.0 * aspect].map(|side| 8 * (side / 8.0).round() as usize)
}

/// Projects the filters' activations for one image. Returns the JSON to print, with `--json`.
fn project_image(
    arguments: &Deconv,
    LayerRef { model, layer }: LayerRef,
    input: &Input,
    out: &Path,
    context: Context,
) -> Result<Option<String>> {
    let network = &model.network;
    let mut deconvnet = Deconvnet::new(network, layer, TOP, context.cpu)?;
    if deconvnet.rule() == BackwardRule::GuidedBackprop {
        context.output.note("the network has no max pooling, and so no switches: guided backpropagation instead");
    }
    let layout = deconvnet.field().layout();
    let filters =
        arguments.filters.as_ref().map(|filters| chosen(filters, deconvnet.field(), arguments.seed)).transpose()?;
    let earlier = files::claim_folder(out, &[FIGURE, FIELDS], arguments.place.force)?;
    let values = deconvnet.activations(network, &input.values)?.to_vec();
    let targets = targets(arguments, filters.as_deref(), &values, layout);
    if targets.is_empty() {
        bail!(
            "{}: layer {} is silent, nothing activates {}",
            input.name,
            layer,
            match filters {
                Some(_) => "these filters",
                None => "any of its filters",
            }
        );
    }
    limited(targets.len())?;
    let inputs = vec![input.values.as_slice(); targets.len()];
    let projections = deconvnet.project(network, &inputs, &targets)?;
    let (field, preprocessing) = (deconvnet.field(), model.preprocessing()?);
    save(out, FIGURE, &projection_sheet(&input.values, &projections, field, preprocessing)?)?;
    save(out, FIELDS, &outlined_fields(&input.values, &projections, field, preprocessing)?)?;
    let is_dead = |projection: &&lucida::explain::Projection| projection.activation == 0.0;
    let result = DeconvJson {
        model: &arguments.model.model,
        layer,
        images: 1,
        digit_found: input.digit_found,
        dead: projections.iter().filter(is_dead).map(|projection| projection.filter).collect(),
        projections: projections
            .iter()
            .map(|projection| ProjectionJson {
                filter: projection.filter,
                image: input.name.clone(),
                activation: projection.activation,
                position: projection.position,
                field: field.at(projection.position).map(corners),
            })
            .collect(),
    };
    earlier.discard()?;
    print(&result, &[FIGURE, FIELDS], out, arguments.place.json, context)
}

/// The activations to project: those of the given filters, or of the filters with the strongest activations.
fn targets(arguments: &Deconv, filters: Option<&[usize]>, values: &[f32], layout: [usize; 3]) -> Vec<Target> {
    let top = arguments.top.map(usize::from);
    let Some(filters) = filters else {
        let strongest = strongest_filters(values, layout, top.unwrap_or(TOP));
        return strongest.into_iter().map(|filter| Target { filter, position: None }).collect();
    };
    let of_filter = |&filter: &usize| {
        let positions = match (arguments.position, top) {
            (Some(position), _) => vec![Some(position.0.unwrap_or([layout[0] / 2, layout[1] / 2]))],
            (None, None) => vec![None],
            (None, Some(top)) => peaks(values, layout, filter, top).into_iter().map(Some).collect(),
        };
        positions.into_iter().map(move |position| Target { filter, position })
    };
    filters.iter().flat_map(of_filter).collect()
}

/// Draws the paper's figure for a data set. Returns the JSON to print, with `--json`.
fn project_set(
    arguments: &Deconv,
    LayerRef { model, layer }: LayerRef,
    set: &ImageSet,
    out: &Path,
    context: Context,
) -> Result<Option<String>> {
    let network = &model.network;
    let field = lucida::explain::receptive_field(network, layer)?;
    let filters = match &arguments.filters {
        Some(filters) => chosen(filters, &field, arguments.seed)?,
        None => (0..field.layout()[2].min(FILTERS)).collect(),
    };
    let count = arguments.top.map_or(TOP, usize::from);
    limited(filters.len().saturating_mul(count))?;
    let earlier = files::claim_folder(out, &[FIGURE], arguments.place.force)?;
    interrupt::catch()?;
    let mut bar = Bar::new(context.output);
    let images_to_search = images_to_search(arguments, set.set().len());
    let images = Subset::new(set.set(), images_to_search.clone())?;
    let query = TopActivationQuery {
        network,
        preprocessing: model.preprocessing()?,
        layer,
        filters: &filters,
        count,
        cpu: context.cpu,
    };
    let figure = DeconvFigure::new(&query, &images as &dyn Dataset, &mut bar)?;
    drop(bar);
    for (_, error) in figure.skipped.iter().take(NAMED) {
        context.output.note(&format!("skipped {error}"));
    }
    if figure.skipped.len() > NAMED {
        context.output.note(&format!("{} images skipped in all", figure.skipped.len()));
    }
    save(out, FIGURE, &figure.render()?)?;
    let projected = figure.filters.iter().flat_map(|filter| filter.examples.iter().map(|e| (filter.filter, e)));
    let result = DeconvJson {
        model: &arguments.model.model,
        layer,
        images: figure.images,
        digit_found: true,
        dead: figure.filters.iter().filter(|filter| filter.examples.is_empty()).map(|filter| filter.filter).collect(),
        projections: projected
            .map(|(filter, example)| ProjectionJson {
                filter,
                image: set.name(images_to_search[example.image]),
                activation: example.activation,
                position: example.position,
                field: example.field.map(corners),
            })
            .collect(),
    };
    earlier.discard()?;
    print(&result, &[FIGURE], out, arguments.place.json, context)
}

/// Indices of the images to search for activations, in a data set of `len` images.
fn images_to_search(arguments: &Deconv, len: usize) -> Vec<usize> {
    match (arguments.first, arguments.sample) {
        (_, Some(sample)) => choose(len, sample as usize, arguments.seed),
        (first, None) => (0..first.map_or(len, |first| len.min(first as usize))).collect(),
    }
}

fn save(folder: &Path, name: &str, image: &Image) -> lucida::Result<()> {
    image.save_png(folder.join(name))
}

fn print(result: &DeconvJson, names: &[&str], out: &Path, json: bool, context: Context) -> Result<Option<String>> {
    if json {
        return as_json(result).map(Some);
    }
    let rows = result.projections.iter().map(|projection| {
        let [row, column] = projection.position;
        let (filter, activation) = (projection.filter.to_string(), format!("{:.4}", projection.activation));
        vec![filter, activation, format!("{row}, {column}"), projection.image.clone()]
    });
    context.output.result(&table(&[">filter", ">activation", ">position", "image"], rows))?;
    if !result.dead.is_empty() {
        let dead: Vec<String> = result.dead.iter().map(usize::to_string).collect();
        context.output.result(&format!("dead: filter {}", dead.join(", ")))?;
    }
    context.output.info(&format!("Written to {}: {}", out.display(), names.join(", ")));
    Ok(None)
}

/// Indices of the filters selected on the command line.
fn chosen(choice: &Selection, field: &ReceptiveField, seed: u64) -> Result<Vec<usize>> {
    let filters = field.layout()[2];
    match choice {
        Selection::All => Ok((0..filters).collect()),
        Selection::Random(count) => Ok(choose(filters, *count, seed)),
        Selection::These(indices) => match indices.below(filters) {
            Ok(chosen) => Ok(chosen),
            Err(filter) => {
                bail!("layer {} has no filter {filter}: its filters are 0 to {}", field.layer(), filters - 1)
            }
        },
    }
}

fn limited(count: usize) -> Result<()> {
    if count > MOST {
        bail!("{count} projections are more than one image can show: {MOST} at most; choose --filters or --top");
    }
    Ok(())
}

fn corners(field: Field) -> [i64; 4] {
    [field.rows.start, field.rows.end, field.columns.start, field.columns.end]
}
