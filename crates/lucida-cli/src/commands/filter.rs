//! `lucida filter`

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lucida::data::{Filter as Resampling, Image};
use lucida::explain::{CannyThresholds, Kernel, activation_before, canny, filtered};
use lucida::plot::{Cell, Grid};
use lucida::weights::{IncludeTop, ModelSpec, open};
use lucida::{files, nearest_name};

use super::subject::Input;
use super::tables::file_name;
use super::{Context, FolderJson, refuse_folder_to, shell_word};
use crate::cli::Filter;
use crate::cli::place::name_of;

const SHEET: &str = "filters.png";
/// Longest side of an image on the sheet, in pixels.
const TILE: usize = 420;
/// Smaller images are enlarged to about this size.
const SMALL: usize = 280;

/// The filter to apply.
enum Step {
    Canny,
    Kernel(Kernel),
}

impl Step {
    fn run(&self, image: &Image, arguments: &Filter, context: Context) -> lucida::Result<Image> {
        match self {
            Self::Canny => {
                let thresholds = CannyThresholds { low: arguments.low, high: arguments.high };
                canny(image, arguments.sigma, thresholds, context.cpu)
            }
            Self::Kernel(kernel) => filtered(image, kernel, context.cpu),
        }
    }
}

pub(super) fn run(arguments: &Filter, context: Context) -> Result<()> {
    let kernels = format!("filter --kernel {}", shell_word(&arguments.kernel.join(",")));
    refuse_folder_to(&kernels, &arguments.image)?;
    let output = context.output;
    let folder = &arguments.place.of(&name_of(&arguments.image), "filter");
    let steps = arguments.kernel.iter().map(|name| step(name, arguments.sigma)).collect::<Result<Vec<_>>>()?;
    let mut names: Vec<String> = arguments
        .kernel
        .iter()
        .map(|name| file_name(None, Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or("kernel")))
        .collect();
    let learned = arguments.model.as_deref().zip(arguments.layer.as_deref());
    if let Some((_, layer)) = learned {
        names.push(format!("{}_{}", file_name(None, layer), arguments.filter));
    }
    if let Some(twice) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
        bail!("--kernel: two of them are called {:?}", names[twice]);
    }
    let image = Image::open(&arguments.image)?;
    let learned = learned.map(|(name, layer)| answer(name, layer, arguments, context)).transpose()?;
    let mut files: Vec<String> = names.iter().map(|name| format!("{name}.png")).collect();
    let claimed: Vec<&str> = files.iter().map(String::as_str).chain([SHEET]).collect();
    let earlier = files::claim_folder(folder, &claimed, arguments.place.force)?;

    // Shrinking a large result would lose thin lines, so the sheet shows the filters applied to a smaller image.
    let small = tile(&image)?;
    let mut cells = vec![Cell::new(enlarged(&small)?).caption("the image")];
    for ((step, name), file) in steps.iter().zip(&names).zip(&files) {
        step.run(&image, arguments, context)?.save_png(folder.join(file))?;
        cells.push(Cell::new(enlarged(&step.run(&small, arguments, context)?)?).caption(name));
    }
    if let Some(result) = learned {
        let at = files.len() - 1;
        result.save_png(folder.join(&files[at]))?;
        cells.push(Cell::new(enlarged(&tile(&result)?)?).caption(format!("{}, learned", names[at])));
    }
    let columns = cells.len().min(4);
    Grid::new(cells).columns(columns).margin(12).padding(14).render()?.save_png(folder.join(SHEET))?;
    earlier.discard()?;
    files.insert(0, SHEET.to_owned());
    if arguments.place.json {
        return output.json(&FolderJson { folder, files: &files });
    }
    output.written(folder, &files.join(", "))
}

fn step(name: &str, sigma: f64) -> Result<Step> {
    if name == "canny" {
        Kernel::gaussian(sigma)?;
        return Ok(Step::Canny);
    }
    if let Some(kernel) = Kernel::named(name, sigma)? {
        return Ok(Step::Kernel(kernel));
    }
    if Path::new(name).exists() {
        return Ok(Step::Kernel(Kernel::read(Path::new(name))?));
    }
    let known = || Kernel::NAMES.into_iter().chain(["canny"]);
    let near = nearest_name(name, known()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let known: Vec<&str> = known().collect();
    bail!("--kernel {name}: unknown kernel, and no such file; expected one of {}{near}", known.join(", "))
}

/// The activation map of a learned filter for the image.
fn answer(name: &str, layer: &str, arguments: &Filter, context: Context) -> Result<Image> {
    let model = open(&ModelSpec { top: IncludeTop::Unneeded, ..ModelSpec::new(name) })?;
    let input = Input::open(&arguments.image, &model, context)?;
    let plane = activation_before(&model.network, layer, arguments.filter, &input.values, context.cpu)
        .with_context(|| name.to_owned())?;
    Ok(plane.signed_image(0.0))
}

/// Enlarges a small image by an integer factor.
fn enlarged(image: &Image) -> Result<Image> {
    let zoom = (SMALL / image.width().max(image.height())).max(1);
    Ok(image.resize(image.width() * zoom, image.height() * zoom, Resampling::Nearest)?)
}

/// Shrinks the image to fit on the sheet.
fn tile(image: &Image) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    if longest <= TILE {
        return Ok(image.clone());
    }
    let scaled = |side: usize| (side * TILE / longest).max(1);
    Ok(image.resize(scaled(width), scaled(height), Resampling::Lanczos3)?)
}
