//! `lucida dream`

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::data::{Filter, Image};
use lucida::explain::maximize::{DREAM_LEAST_SIDE, Dream, Objective, Target, dream};
use lucida::weights::{CLASSIFIER, IncludeTop, Model, ModelSpec};
use serde::Serialize;

use super::maximize::{CLASSIFIER_LAYER, layer_by_default};
use super::{Context, open_model, refuse_folder_to};
use crate::bar::Bar;
use crate::cli::DreamArguments;
use crate::cli::place::name_of;
use crate::interrupt;
use crate::output::seconds;

/// Default step size.
const RATE: f64 = 0.002;
/// Default step size for the built-in classifier, whose gradients are smaller.
const CLASSIFIER_RATE: f64 = 0.01;

/// Output of `--json`.
#[derive(Serialize)]
struct DreamJson<'a> {
    file: &'a Path,
    width: usize,
    height: usize,
    layer: String,
    seconds: f64,
}

pub(super) fn run(arguments: &DreamArguments, context: Context) -> Result<()> {
    refuse_folder_to("dream", &arguments.image)?;
    let started = Instant::now();
    let out = &arguments.place.of(&format!("{}-dream", name_of(&arguments.image)), "png");
    let context = context.claim_image(out, arguments.place.force)?;
    interrupt::catch()?;
    let image = image(arguments)?;
    let spec = ModelSpec {
        weights: arguments.weights.clone(),
        top: IncludeTop::Unneeded,
        model: arguments.model.clone(),
        ..arguments.meaning.spec()
    };
    let Model { network, preprocessing, .. } = open_model(&spec, context)?;
    let layer = match &arguments.layer {
        Some(layer) => layer.clone(),
        None => layer_by_default(&arguments.model, &network, CLASSIFIER_LAYER)?,
    };
    let channels = network.nodes()[network.find(&layer)?].shape().channels();
    let objective = match &arguments.filters {
        None => Objective::Layer,
        Some(filters) => match filters.below(channels) {
            Ok(filters) => Objective::Direction(filters.into_iter().map(|filter| (filter, 1.0)).collect()),
            Err(filter) => bail!("--filters: layer {layer} has no filter {filter}: they are 0 to {}", channels - 1),
        },
    };
    let settings = Dream {
        octaves: arguments.octaves as usize,
        octave_scale: arguments.octave_scale as f32,
        steps: arguments.steps as usize,
        rate: arguments.rate.unwrap_or(if arguments.model == CLASSIFIER { CLASSIFIER_RATE } else { RATE }) as f32,
        seed: arguments.seed,
        ..Dream::default()
    };
    let mut bar = Bar::new(context.output.quieted(arguments.place.json));
    let (target, about) = (Target::layer(&layer), preprocessing.as_ref());
    let dreamt = dream(&network, about, &target, &objective, &image, &settings, context.cpu, &mut bar)
        .with_context(|| arguments.model.clone())?;
    drop(bar);
    dreamt.save(out)?;
    let size = (dreamt.width(), dreamt.height());
    let taken = started.elapsed().as_secs_f64();
    if arguments.place.json {
        context.output.json(&DreamJson { file: out, width: size.0, height: size.1, layer, seconds: taken })?;
    } else {
        let about = format!("{}x{} pixels, layer {layer}, in {}", size.0, size.1, seconds(taken));
        context.output.written(out, &about)?;
    }
    if interrupt::is_requested() { Err(lucida::Error::Interrupted.into()) } else { Ok(()) }
}

/// Opens the image, shrunk to `--size`.
fn image(arguments: &DreamArguments) -> Result<Image> {
    let image = Image::open(&arguments.image)?;
    let (longer, most) = (image.width().max(image.height()), arguments.size as usize);
    if longer <= most {
        return Ok(image);
    }
    let scaled = |side: usize| (side * most).div_ceil(longer);
    let shorter = image.width().min(image.height());
    if scaled(shorter) < DREAM_LEAST_SIDE && shorter >= DREAM_LEAST_SIDE {
        let (name, width, height) = (arguments.image.display(), scaled(image.width()), scaled(image.height()));
        // The smallest size for which the shorter side, rounded up, is long enough.
        let least = (DREAM_LEAST_SIDE - 1) * longer / shorter + 1;
        bail!(
            "--size {most}: {name} would have {width}x{height} pixels, and the shorter side needs at least \
             {DREAM_LEAST_SIDE}, as a layer has too few positions for a smaller image: take --size {least} or more"
        );
    }
    Ok(image.resize(scaled(image.width()), scaled(image.height()), Filter::Lanczos3)?)
}
