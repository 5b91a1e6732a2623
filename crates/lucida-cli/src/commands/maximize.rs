//! `lucida filters` and `lucida classes`

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::data::Image;
use lucida::explain::maximize::{Fourier, KerasVis, Maximized, Method, Objective, Target, maximize};
use lucida::explain::{ClassScore, find_class};
use lucida::files::{self, SetAside};
use lucida::nn::{Layer, Network, applications};
use lucida::plot::{Cell, Grid, short_number};
use lucida::weights::{BUILTIN, CLASSIFIER, IncludeTop, Model, OutputKind, Outputs};
use serde::Serialize;

use super::tables::file_name;
use super::{Context, open_model, refuse_class_for_names};
use crate::arguments::{ClassChoice, Selection};
use crate::bar::Bar;
use crate::cli::{Classes, Filters, MaximizeArgs, MethodName};
use crate::interrupt;
use crate::output::{percent, seconds};

/// Images are enlarged to about this side in pixels, so that those of small networks are visible.
const SHOWN: usize = 112;

/// Side of the images for filters, in pixels, where the network takes any input size: a few times the receptive field of
/// most layers, and several times faster than the network's own size.
const SIDE: usize = 128;

/// The last layer of the built-in classifier before its feature maps become too coarse to locate anything; its filters
/// respond to parts of animals and buildings.
pub(super) const CLASSIFIER_LAYER: &str = "_blocks.10";
/// Default number of filters or classes where there are very many.
const SOME: usize = 16;
/// Above this number of classes, only some are shown by default.
const MANY_CLASSES: usize = 100;

/// Output of `--json`.
#[derive(Serialize)]
struct MaximizeJson<'a> {
    model: &'a str,
    layer: &'a str,
    method: &'static str,
    images: Vec<MaximizedJson>,
    file: String,
    seconds: f64,
}

#[derive(Serialize)]
struct MaximizedJson {
    #[serde(flatten)]
    of: Subject,
    /// Value of the objective for the image.
    value: f32,
    /// For a class: its predicted probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
}

/// The objective of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Filter(usize),
    Class(String),
    Direction(Vec<(usize, f32)>),
}

pub(super) fn filters(arguments: &Filters, context: Context) -> Result<()> {
    let mut spec = arguments.model.spec(IncludeTop::Unneeded);
    if spec.size.is_none() && takes_any_size(&spec.model) {
        spec.size = Some([SIDE, SIDE]);
    }
    let model = open_model(&spec, context)?;
    let layer = match &arguments.layer {
        Some(layer) => layer.clone(),
        None => layer_by_default(&arguments.model.model, &model.network, CLASSIFIER_LAYER)?,
    };
    let channels = model.network.nodes()[model.network.find(&layer)?].shape().channels();
    let choice = match &arguments.filters {
        Some(filters) => filters.clone(),
        None if arguments.layer.is_none() && channels > SOME => Selection::Random(SOME),
        None => Selection::All,
    };
    let parts: Vec<(Subject, Objective)> = match &arguments.direction {
        Some(direction) => vec![(Subject::Direction(direction.0.clone()), Objective::Direction(direction.0.clone()))],
        None => chosen(&choice, channels, arguments.options.seed, "filter", &layer)?
            .into_iter()
            .map(|channel| {
                let objective = match arguments.neuron {
                    Some(position) => Objective::Neuron { channel, position: position.0 },
                    None => Objective::Channel(channel),
                };
                (Subject::Filter(channel), objective)
            })
            .collect(),
    };
    let target = Target::layer(&layer);
    let fourier = Fourier::filters(model.preprocessing.as_ref());
    let about = format!("{}-{}-filters", arguments.model.about(), file_name(None, &layer));
    let synthesis = Synthesis { name: &arguments.model.model, model: &model, target, parts, fourier, about };
    synthesis.run(&arguments.options, context)
}

/// The layer whose filters are shown by default: the last convolution, addition or concatenation, since a pooling layer only
/// blurs; for the built-in classifier, `of_classifier`.
pub(super) fn layer_by_default(model: &str, network: &Network, of_classifier: &str) -> Result<String> {
    if model == CLASSIFIER {
        return Ok(of_classifier.to_owned());
    }
    let spatial = network.nodes().iter().rev().filter(|node| node.shape().as_image().is_some());
    let mut seeing = spatial.filter(|node| {
        let joins = matches!(node.layer(), Layer::Concatenate(_) | Layer::Add(_));
        joins || node.layer().is_convolution()
    });
    match seeing.next() {
        Some(node) => Ok(node.name().to_owned()),
        None => bail!("network {} has no layer of feature maps", network.name()),
    }
}

/// Whether a name refers to a known network that works without its classifier.
pub(super) fn takes_any_size(model: &str) -> bool {
    let known = || applications::find(model).is_ok_and(|known| known.parameters_without_top.is_some());
    !Path::new(model).exists() && (model == BUILTIN || known())
}

pub(super) fn classes(arguments: &Classes, context: Context) -> Result<()> {
    let is_class = |text: &str| text.parse::<Selection>().is_ok() || !text.contains(['.', '/', '\\']);
    refuse_class_for_names(arguments.model.meaning.classes.as_deref(), is_class)?;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let outputs = Outputs::of(&model).with_context(|| arguments.model.model.clone())?;
    let sigmoid = outputs.kind() == OutputKind::TwoClasses;
    let seed = arguments.options.seed;
    let of_number = |choice: &Selection| chosen(choice, outputs.count(), seed, outputs.noun(), &arguments.model.model);
    let classes = match &arguments.class {
        Some(ClassChoice::Numbered(choice)) => of_number(choice)?,
        Some(ClassChoice::Named(names)) => named(&model, names).with_context(|| arguments.model.model.clone())?,
        None if outputs.count() > MANY_CLASSES => of_number(&Selection::Random(SOME))?,
        None => of_number(&Selection::All)?,
    };
    let parts = classes
        .into_iter()
        .map(|class| {
            // A single sigmoid output is the probability of the second class.
            let objective = match (sigmoid, class) {
                (true, 0) => Objective::Direction(vec![(0, -1.0)]),
                (true, _) => Objective::Channel(0),
                (false, class) => Objective::Channel(class),
            };
            (Subject::Class(model.class_name(class)), objective)
        })
        .collect();
    let target = Target::classes(&model)?;
    let fourier = Fourier::classes(model.preprocessing.as_ref());
    let about = format!("{}-classes", arguments.model.about());
    let synthesis = Synthesis { name: &arguments.model.model, model: &model, target, parts, fourier, about };
    synthesis.run(&arguments.options, context)
}

/// Parses comma-separated class names; a name may contain commas itself.
fn named(model: &Model, names: &str) -> lucida::Result<Vec<usize>> {
    find_class(model, names).map(|class| vec![class]).or_else(|problem| match names.contains(',') {
        true => names.split(',').map(|name| find_class(model, name.trim())).collect(),
        false => Err(problem),
    })
}

/// The indices selected by a choice.
fn chosen(choice: &Selection, count: usize, seed: u64, what: &str, of: &str) -> Result<Vec<usize>> {
    Ok(match choice {
        Selection::All => (0..count).collect(),
        Selection::Random(some) => lucida::core::choose(count, *some, seed),
        Selection::These(indices) => match indices.below(count) {
            Ok(indices) => indices,
            Err(index) => bail!("{of} has no {what} {index}: they are 0 to {}", count - 1),
        },
    })
}

/// A set of images to synthesize.
struct Synthesis<'a> {
    name: &'a str,
    model: &'a Model,
    target: Target,
    parts: Vec<(Subject, Objective)>,
    fourier: Fourier,
    /// File name of the grid, without extension.
    about: String,
}

impl Synthesis<'_> {
    fn run(self, options: &MaximizeArgs, context: Context) -> Result<()> {
        let started = Instant::now();
        interrupt::catch()?;
        let out = options.place.of(&self.about, "png");
        let context = context.claim_image(&out, options.place.force)?;
        let variants = options.diversity as usize;
        let names = self.names(variants);
        let claim = |folder| {
            let files: Vec<&str> = names.iter().map(String::as_str).collect();
            files::claim_folder(folder, &files, options.place.force)
        };
        let earlier = options.each.as_deref().map(claim).transpose()?;
        let method = self.method(options)?;
        let objectives: Vec<Objective> = self.parts.iter().map(|(_, objective)| objective.clone()).collect();
        let mut bar = Bar::new(context.output);
        let Model { network, preprocessing, .. } = self.model;
        let found =
            maximize(network, preprocessing.as_ref(), &self.target, &objectives, &method, context.cpu, &mut bar)
                .with_context(|| self.name.to_owned())?;
        drop(bar);
        let made: Vec<(Subject, &Maximized)> =
            found.iter().enumerate().map(|(index, found)| (self.parts[index / variants].0.clone(), found)).collect();
        let probabilities = self.probabilities(&made, variants, context)?;
        let grid = self.grid(&made, &probabilities, options)?;
        grid.save(&out)?;
        if let Some(folder) = &options.each {
            for ((_, found), name) in made.iter().zip(&names) {
                found.image.save_png(folder.join(name))?;
            }
        }
        earlier.as_ref().map_or(Ok(()), SetAside::discard)?;
        let seconds_taken = started.elapsed().as_secs_f64();
        self.report(&made, &probabilities, &out, seconds_taken, options, context)?;
        if interrupt::is_requested() { Err(lucida::Error::Interrupted.into()) } else { Ok(()) }
    }

    /// File names of the single images.
    fn names(&self, variants: usize) -> Vec<String> {
        let name = |of: &Subject| match of {
            Subject::Filter(filter) => format!("filter-{filter}"),
            Subject::Class(class) => format!("class-{}", class.replace(['/', '\\', ':', ' '], "_")),
            Subject::Direction(_) => "direction".to_owned(),
        };
        let each = self.parts.iter().map(|(of, _)| name(of));
        match variants {
            1 => each.map(|name| format!("{name}.png")).collect(),
            _ => each.flat_map(|name| (1..=variants).map(move |n| format!("{name}-{n}.png"))).collect(),
        }
    }

    fn method(&self, options: &MaximizeArgs) -> Result<Method> {
        let (steps, seed) = (options.steps.map(|steps| steps as usize), options.seed);
        Ok(match options.method {
            MethodName::Fourier => {
                let fourier = self.fourier.clone();
                let steps = steps.unwrap_or(fourier.steps);
                Method::Fourier(Fourier { steps, seed, diversity: options.diversity as usize, ..fourier })
            }
            MethodName::KerasVis if options.diversity > 1 => bail!("--diversity goes with --method fourier only"),
            MethodName::KerasVis => {
                let default = KerasVis::default();
                let steps = steps.map_or(default.steps, |steps| (steps / 2, steps - steps / 2));
                Method::KerasVis(KerasVis { steps, seed, ..default })
            }
        })
    }

    /// For classes: the predicted probability of each for its image.
    fn probabilities(
        &self,
        made: &[(Subject, &Maximized)],
        variants: usize,
        context: Context,
    ) -> Result<Vec<Option<f32>>> {
        if !matches!(made.first(), Some((Subject::Class(_), _))) {
            return Ok(vec![None; made.len()]);
        }
        let inputs: Vec<&[f32]> = made.iter().map(|(_, found)| found.input.as_slice()).collect();
        let outputs = Outputs::of(self.model)?;
        if outputs.kind() == OutputKind::Values {
            return Ok(vec![None; made.len()]);
        }
        let all = ClassScore::outputs(self.model, &inputs, context.cpu)?;
        let class = |index: usize| match &self.parts[index / variants].1 {
            // The second class of a sigmoid model is the one whose objective is the single output.
            Objective::Channel(0) if outputs.kind() == OutputKind::TwoClasses => 1,
            Objective::Channel(class) => *class,
            _ => 0,
        };
        Ok((0..made.len()).map(|index| all[index].get(class(index)).copied()).collect())
    }

    fn grid(
        &self,
        made: &[(Subject, &Maximized)],
        probabilities: &[Option<f32>],
        options: &MaximizeArgs,
    ) -> Result<Image> {
        let keras_vis = options.method == MethodName::KerasVis;
        let columns = options.columns.map_or(if keras_vis { 4 } else { 8 }, |columns| columns as usize);
        // The grid of keras-vis has no captions and does not scale its images.
        if keras_vis {
            return Ok(Grid::new(made.iter().map(|(_, found)| found.image.clone())).columns(columns).render()?);
        }
        let cells = made.iter().zip(probabilities).map(|((of, found), probability)| {
            let name = match of {
                Subject::Filter(filter) => format!("filter {filter}"),
                Subject::Class(class) => class.clone(),
                Subject::Direction(weights) => {
                    let terms: Vec<String> =
                        weights.iter().map(|(filter, weight)| format!("{filter}:{weight}")).collect();
                    format!("filters {}", terms.join(", "))
                }
            };
            let value = match probability {
                Some(probability) => percent(*probability),
                None => short_number(found.value),
            };
            // A filter that its own image does not activate is dead.
            let dead = matches!(of, Subject::Filter(_)) && found.value <= 0.0;
            let value = if dead { "dead".to_owned() } else { value };
            Cell::new(found.image.clone()).caption(format!("{name}\n{value}")).flagged(dead)
        });
        let side = made.iter().map(|(_, found)| found.image.width()).max().unwrap_or(1);
        let zoom = (SHOWN / side.max(1)).max(1);
        let title = format!("{} of {}", self.target.name(), self.model.network.name());
        Ok(Grid::new(cells).columns(columns).zoom(zoom).padding(12).margin(8).title(title).render()?)
    }

    fn report(
        &self,
        made: &[(Subject, &Maximized)],
        probabilities: &[Option<f32>],
        out: &Path,
        taken: f64,
        options: &MaximizeArgs,
        context: Context,
    ) -> Result<()> {
        if options.place.json {
            let images = made.iter().zip(probabilities).map(|((of, found), &probability)| MaximizedJson {
                of: of.clone(),
                value: found.value,
                probability,
            });
            return context.output.json(&MaximizeJson {
                model: self.name,
                layer: self.target.name(),
                method: if options.method == MethodName::Fourier { "fourier" } else { "keras-vis" },
                images: images.collect(),
                file: out.display().to_string(),
                seconds: taken,
            });
        }
        let what = match (made.first(), made.len()) {
            (Some((Subject::Class(_), _)), 1) => format!("image of a {}", Outputs::of(self.model)?.noun()),
            (Some((Subject::Class(_), _)), n) => format!("{n} images of {}", Outputs::of(self.model)?.nouns()),
            (_, 1) => "image".to_owned(),
            (_, n) => format!("{n} images"),
        };
        let of = self.target.name();
        context.output.written(out, &format!("{what}, layer {of}, in {}", seconds(taken)))
    }
}
