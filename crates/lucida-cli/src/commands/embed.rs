//! `lucida embed`

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use lucida::core::choose;
use lucida::core::{Progress, Step, Unit};
use lucida::data::{Dataset, Filter, Fit, Image, Skipped, save_skipped};
use lucida::explain::embed::{FeatureReader, Features, Pca, Tsne, features, features_of, last_features};
use lucida::files::{self, csv_field};
use lucida::nn::{counted, thousands};
use lucida::plot::{Cell, Grid, Scatter};
use lucida::weights::{IncludeTop, Model};
use serde::Serialize;
use serde_json::json;

use super::bulk::{Job, answer};
use super::source::ImageSet;
use super::{Context, finds_digit, is_for_digits, note_blank, open_model};
use crate::arguments::Source;
use crate::bar::Bar;
use crate::cli::{Embed, Map};
use crate::exit::Usage;
use crate::interrupt;
use crate::output::percent;

/// Side of an image in the grid of neighbors, in pixels.
const SHOWN: usize = 96;

/// Output of `--json`.
#[derive(Serialize)]
struct EmbedJson<'a> {
    model: &'a str,
    data: String,
    layer: &'a str,
    /// Whether each feature is the mean of a channel (global average pooling).
    pooled: bool,
    images: usize,
    features: usize,
    /// Fraction of the variance explained by each principal component shown.
    explained: Vec<f64>,
    neighbors: Vec<Neighbors>,
    /// Images in which a digit model found no digit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_digit: Vec<String>,
    skipped: usize,
    files: Vec<String>,
}

/// A query image and its nearest neighbors.
#[derive(Serialize)]
struct Neighbors {
    image: String,
    nearest: Vec<Neighbor>,
}

#[derive(Serialize)]
struct Neighbor {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    likeness: f64,
    /// Its name in messages.
    #[serde(skip)]
    title: String,
    /// Index in the data set.
    #[serde(skip)]
    index: usize,
}

/// Computes the features of all images of a folder or list, shared among all processes.
fn share(arguments: &Embed, context: Context) -> Result<()> {
    let Source::Folder(source) = arguments.data() else {
        return Err(Usage("--distributed: --data says which folder, list or address".to_owned()).into());
    };
    let out = &arguments.place.fixed(&arguments.data().about(), "embed");
    let job = Job {
        command: "embed",
        source: source.display().to_string(),
        out,
        options: json!({"model": format!("{:?}", arguments.model), "layer": arguments.layer}),
    };
    job.share(context, |context, ask| {
        let model = open_network(arguments, context)?;
        let layer = layer_of(arguments, &model)?;
        let mut reader =
            FeatureReader::new(&model, layer, context.cpu).with_context(|| arguments.model.model.clone())?;
        ask(&mut |image, _| {
            let mut entries = answer(&json!({"layer": layer, "features": reader.read(image)?}))?;
            if !finds_digit(image, &model) {
                entries.insert("digit_found".to_owned(), false.into());
            }
            Ok(entries)
        })
    })
}

pub(super) fn run(arguments: &Embed, context: Context) -> Result<()> {
    if arguments.bulk.distributed.is_some() {
        return share(arguments, context);
    }
    let output = context.output;
    let model = open_network(arguments, context)?;
    let layer = layer_of(arguments, &model)?;
    model.network.find(layer)?;
    let expected = expected_files(arguments);
    let out = &arguments.place.of(&arguments.data().about(), "embed");
    let earlier = files::claim_folder(out, &expected, arguments.place.force)?;
    // Open these before the long computation, so that a wrong file name shows at once.
    let queries = open_queries(arguments, &model, context)?;
    interrupt::catch()?;
    let images = ImageSet::load(&arguments.data(), &model, arguments.strict, context)?;
    let chosen = choose(images.set().len(), arguments.sample as usize, arguments.seed);
    let features = features(&model, images.set(), &chosen, layer, context.cpu, &mut Bar::new(output))
        .with_context(|| arguments.model.model.clone())?;
    let blank = images.without_digit(&chosen, &model, context)?;
    let pca = Pca::of(&features, 2, arguments.seed, context.cpu)?;
    let (images, chosen, features, pca) = (&images, &chosen, &features, &pca);
    let embedding = Embedding { arguments, out, context, model: &model, images, chosen, layer, features, pca };
    if !arguments.place.json {
        embedding.describe();
    }
    let maps = embedding.maps()?;
    maps.iter().try_for_each(|map| embedding.draw(map))?;
    embedding.save_points(&maps, is_for_digits(&model).then_some(&blank))?;
    embedding.save_features()?;
    let neighbors = embedding.neighbors(&queries)?;
    let mut written: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
    written.extend(save_if_any(&images.skipped, out)?);
    earlier.discard()?;
    if arguments.place.json {
        return output.json(&embedding.to_json(neighbors, &blank, written));
    }
    embedding.print_neighbors(neighbors)?;
    output.info(&format!("Written to {}: {}", out.display(), written.join(", ")));
    Ok(())
}

fn open_network(arguments: &Embed, context: Context) -> Result<Model> {
    let top = if arguments.layer.is_some() { IncludeTop::Unneeded } else { IncludeTop::Needed };
    Ok(open_model(&arguments.model.spec(top), context)?)
}

/// The requested layer, or the last one with features.
fn layer_of<'a>(arguments: &'a Embed, model: &'a Model) -> Result<&'a str> {
    Ok(match &arguments.layer {
        Some(layer) => layer.as_str(),
        None => last_features(model)?,
    })
}

/// The query images of `--neighbors`.
fn open_queries(arguments: &Embed, model: &Model, context: Context) -> Result<Vec<Image>> {
    let queries = arguments.neighbors.iter().map(Image::open).collect::<lucida::Result<Vec<_>>>()?;
    for (path, query) in arguments.neighbors.iter().zip(&queries) {
        if !finds_digit(query, model) {
            note_blank(&path.display().to_string(), context);
        }
    }
    Ok(queries)
}

/// Names of the files to be written.
fn expected_files(arguments: &Embed) -> Vec<&'static str> {
    let mut names = match arguments.method {
        Map::Pca => vec!["pca.png", "pca.svg"],
        Map::Tsne => vec!["tsne.png", "tsne.svg"],
        Map::Both => vec!["pca.png", "pca.svg", "tsne.png", "tsne.svg"],
    };
    names.extend(["points.csv", "features.npy"]);
    if arguments.csv {
        names.push("features.csv");
    }
    if !arguments.neighbors.is_empty() {
        names.push("neighbors.png");
    }
    names
}

fn save_if_any(skipped: &[Skipped], folder: &Path) -> Result<Option<String>> {
    const NAME: &str = "skipped.csv";
    if skipped.is_empty() {
        return Ok(None);
    }
    save_skipped(skipped, folder.join(NAME))?;
    Ok(Some(NAME.to_owned()))
}

/// Positions of the images on a 2D map.
struct PointMap {
    /// Name used for its files and columns.
    name: &'static str,
    points: Vec<[f64; 2]>,
}

/// What all outputs are computed from.
struct Embedding<'a> {
    arguments: &'a Embed,
    out: &'a Path,
    context: Context,
    model: &'a Model,
    images: &'a ImageSet,
    /// Indices of the chosen images.
    chosen: &'a [usize],
    layer: &'a str,
    features: &'a Features,
    pca: &'a Pca,
}

impl<'a> Embedding<'a> {
    fn set(&self) -> &dyn Dataset {
        self.images.set()
    }

    /// Prints how many images, which features, and the explained variance.
    fn describe(&self) {
        let Self { images, layer, features, pca, .. } = self;
        let what = match features.are_pooled() {
            true => format!("means of {}", counted(features.width(), "channel")),
            false => counted(features.width(), "feature"),
        };
        self.context.output.info(&format!(
            "{} of {} {}: {what} of layer {layer}",
            thousands(features.len()),
            thousands(images.set().len()),
            images.origin
        ));
        let parts: Vec<String> = pca.explained().iter().map(|&part| percent(part)).collect();
        self.context.output.info(&format!("Explained variance of the principal components: {}", parts.join(", ")));
    }

    /// Computes the requested maps.
    fn maps(&self) -> Result<Vec<PointMap>> {
        let Self { arguments, context, .. } = self;
        let mut maps = Vec::new();
        if arguments.method != Map::Tsne {
            maps.push(PointMap { name: "pca", points: self.pca.plane() });
        }
        if arguments.method == Map::Both && self.features.len() < Tsne::FEWEST {
            let fewest = Tsne::FEWEST;
            context.output.note(&format!("no t-SNE: it needs at least {fewest} images"));
        } else if arguments.method != Map::Pca {
            let settings = Tsne {
                perplexity: arguments.perplexity,
                iterations: arguments.steps as usize,
                seed: arguments.seed,
                ..Tsne::default()
            };
            let points = settings.map(self.features, context.cpu, &mut Bar::new(context.output))?;
            maps.push(PointMap { name: "tsne", points });
        }
        Ok(maps)
    }

    /// Draws a map as PNG and SVG.
    fn draw(&self, PointMap { name, points }: &PointMap) -> Result<()> {
        let kind = if *name == "pca" { "PCA" } else { "t-SNE" };
        let classes = self.chosen.iter().map(|&index| self.set().label(index)).collect();
        let labels = self.chosen.iter().map(|&index| self.images.name(index)).collect();
        let (count, origin, layer) = (thousands(points.len()), &self.images.origin, self.layer);
        let scatter = Scatter::new(points, classes, self.set().class_names().to_vec())?
            .title(format!("{count} {origin} at layer {layer}: {kind}"))
            .labels(labels);
        let shown = scatter.with_room();
        let mut bar = Bar::new(self.context.output);
        let mut thumbnails = Vec::with_capacity(shown.len());
        // Shrink at once: photos are large.
        let size = 2 * scatter.thumbnail_size();
        for (number, &index) in shown.iter().enumerate() {
            let image = self.set().image(self.chosen[index])?;
            let large = image.width().min(image.height()) > size;
            let small = if large { image.fit(size, size, Fit::Crop, Filter::Bilinear)? } else { image };
            thumbnails.push((index, small));
            if bar.update(&Step::new(Unit::Images, number + 1, shown.len())).is_break() {
                return Err(lucida::Error::Interrupted.into());
            }
        }
        let out = self.out;
        scatter.image(&thumbnails)?.save_png(out.join(name).with_extension("png"))?;
        files::write_bytes(out.join(name).with_extension("svg"), scatter.svg(&thumbnails)?.as_bytes())?;
        Ok(())
    }

    /// Writes the coordinates of each image on each map and, for a digit model, whether a digit was found.
    fn save_points(&self, maps: &[PointMap], blank: Option<&BTreeSet<usize>>) -> Result<()> {
        files::write_atomic(self.out.join("points.csv"), |out| {
            write!(out, "file,class")?;
            maps.iter().try_for_each(|PointMap { name, .. }| write!(out, ",{name}_x,{name}_y"))?;
            if blank.is_some() {
                write!(out, ",digit_found")?;
            }
            for (row, &index) in self.chosen.iter().enumerate() {
                let (name, class) = (self.images.name(index), self.images.label(index).unwrap_or(""));
                write!(out, "\n{},{}", csv_field(&name), csv_field(class))?;
                maps.iter().map(|map| map.points[row]).try_for_each(|[x, y]| write!(out, ",{x:.6},{y:.6}"))?;
                if let Some(blank) = blank {
                    write!(out, ",{}", !blank.contains(&index))?;
                }
            }
            writeln!(out)
        })?;
        Ok(())
    }

    fn save_features(&self) -> Result<()> {
        self.features.save_npy(self.out.join("features.npy"))?;
        if self.arguments.csv {
            let names: Vec<String> = self.chosen.iter().map(|&index| self.images.name(index)).collect();
            self.features.save_csv(&names, self.out.join("features.csv"))?;
        }
        Ok(())
    }

    /// Finds the nearest neighbors of the query images, and draws them in a grid.
    fn neighbors(&self, queries: &[Image]) -> Result<Vec<Neighbors>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let of_queries = features_of(self.model, queries, self.layer, self.context.cpu)?;
        let mut cells = Vec::new();
        let mut all = Vec::new();
        for (number, path) in self.arguments.neighbors.iter().enumerate() {
            let nearest = self.features.nearest(of_queries.row(number), self.arguments.count as usize)?;
            let nearest: Vec<Neighbor> = nearest
                .into_iter()
                .map(|(row, likeness)| {
                    let index = self.chosen[row];
                    let class = self.images.label(index).map(str::to_owned);
                    let (image, title) = (self.images.name(index), self.images.title(index));
                    Neighbor { image, class, likeness, title, index }
                })
                .collect();
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            cells.push(Cell::new(shown(&queries[number])?).caption(format!("{name}\nis most like")));
            for neighbor in &nearest {
                let name = neighbor.class.clone().unwrap_or_else(|| neighbor.image.clone());
                let name =
                    Path::new(&name).file_name().map_or(name.clone(), |name| name.to_string_lossy().into_owned());
                let caption = format!("{name}\n{:.3}", neighbor.likeness);
                cells.push(Cell::new(shown(&self.set().image(neighbor.index)?)?).caption(caption));
            }
            all.push(Neighbors { image: path.display().to_string(), nearest });
        }
        // One row per query, even with few images.
        let columns = cells.len() / queries.len();
        let title = format!("The nearest at layer {}", self.layer);
        let grid = Grid::new(cells).columns(columns).padding(10).margin(8).title(title).render()?;
        grid.save_png(self.out.join("neighbors.png"))?;
        Ok(all)
    }

    /// Builds the output of `--json`.
    fn to_json(&self, neighbors: Vec<Neighbors>, blank: &BTreeSet<usize>, files: Vec<String>) -> EmbedJson<'a> {
        EmbedJson {
            model: &self.arguments.model.model,
            data: self.arguments.data().to_string(),
            layer: self.layer,
            pooled: self.features.are_pooled(),
            images: self.features.len(),
            features: self.features.width(),
            explained: self.pca.explained().to_vec(),
            neighbors,
            without_digit: blank.iter().map(|&index| self.images.name(index)).collect(),
            skipped: self.images.skipped.len(),
            files,
        }
    }

    fn print_neighbors(&self, neighbors: Vec<Neighbors>) -> Result<()> {
        let output = self.context.output;
        for Neighbors { image, nearest } in neighbors {
            output.result(&format!("{image}: most like"))?;
            for Neighbor { title, class, likeness, .. } in nearest {
                // The title of a digit already states its class.
                let class = class.filter(|_| !self.images.are_digits()).map(|class| format!(" ({class})"));
                output.result(&format!("  {likeness:.4}  {title}{}", class.unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

/// Scales an image to the size of a grid cell.
fn shown(image: &Image) -> lucida::Result<Image> {
    image.fit(SHOWN, SHOWN, Fit::Crop, Filter::Bilinear)
}
