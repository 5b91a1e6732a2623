//! `lucida style --fast`

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::batch_jobs;
use lucida::core::{Progress, Step, Unit};
use lucida::data::{FileKind, Image};
use lucida::files;
use lucida::nn::counted;
use lucida::style::{
    BRUSHWORK, Canvas, ContentFile, FeedForwardMasks, FeedForwardRequest, FeedForwardStyle, FeedForwardTransfer,
    InitialImage, PixelRange, Preset, StyleConfig, StyleLoss, StyleNetwork, StyleRequest, StyledImage, StylizerConfig,
    transfer,
};
use serde::Serialize;

use super::style::{enlarged, open_style};
use super::{Context, refuse_within};
use crate::arguments::StartArgument;
use crate::bar::Bar;
use crate::cli::place::{free, name_of, refuse_file_name};
use crate::cli::{FastArgs, FastNetwork, MixedStyle, Style, StyleArgs};
use crate::exit::{Reported, Usage, report};
use crate::interrupt;
use crate::output::seconds;

pub(super) fn run(arguments: &Style, context: Context) -> Result<()> {
    refuse_slow_options(arguments)?;
    let photos: Vec<&Path> =
        std::iter::once(&arguments.content).chain(&arguments.styles).map(PathBuf::as_path).collect();
    let bits: u8 = arguments.bits.parse()?;
    let context = context.quieted(arguments.place.json);
    let file = arguments.fast.file()?;
    let paths = output_paths(arguments, &photos, name_of(file), bits)?;
    let context = match &paths {
        OutputPaths::One { out } => context.claim_file(out, arguments.place.force)?,
        OutputPaths::Many { .. } => context,
    };
    let earlier = match &paths {
        OutputPaths::Many { out, photos } => {
            let names: Vec<&str> = photos.iter().map(|(_, name)| name.as_str()).collect();
            Some(files::claim_folder(out, &names, arguments.place.force)?)
        }
        OutputPaths::One { .. } => None,
    };
    let fast = arguments.fast.open(&arguments.transfer, arguments.mask.is_some(), context)?;
    let regions = match arguments.mask {
        Some(_) => MixedStyle::regions(&arguments.fast.mix, fast.style())?,
        None => Vec::new(),
    };
    let refinement = Refinement::open(arguments, context)?;
    interrupt::catch()?;
    let mut command =
        FastCommand { arguments, fast, regions, refinement, bits, bar: RefCell::new(Bar::new(context.output)) };
    let pairs: Vec<(PathBuf, PathBuf)> = match paths {
        OutputPaths::One { out } => vec![(photos[0].to_path_buf(), out)],
        OutputPaths::Many { out, photos } => photos.into_iter().map(|(photo, name)| (photo, out.join(name))).collect(),
    };
    let count = pairs.len();
    let Outcome { made: result, failed, stopped } = command.all(&pairs, context)?;
    // Each image is a separate result, so finished ones are kept.
    if let Some(earlier) = earlier.filter(|_| !result.is_empty()) {
        earlier.discard()?;
    }
    if arguments.place.json {
        match (count, result.first()) {
            (1, Some(one)) if !arguments.content.is_dir() => context.output.json(one)?,
            (1, None) => {}
            _ => context.output.json(&result)?,
        }
    }
    if stopped {
        command.bar.borrow().hide();
        if count > 1 {
            context.output.info(&format!("{} of {} are stylized", result.len(), counted(count, "photo")));
        }
        return Err(lucida::Error::Interrupted.into());
    }
    if failed > 0 { Err(Reported.into()) } else { Ok(()) }
}

fn is_interrupt(problem: &anyhow::Error) -> bool {
    matches!(problem.downcast_ref(), Some(lucida::Error::Interrupted))
}

/// Refuses options that do not apply to a feed-forward network.
fn refuse_slow_options(arguments: &Style) -> Result<(), Usage> {
    let Style { blend, preview, gif, show, bulk, transfer, .. } = arguments;
    if bulk.distributed.is_some() {
        return Err(Usage("--fast stylizes by one process: no --distributed".into()));
    }
    if !blend.is_empty() || preview.is_some() || gif.is_some() || *show {
        let problem = "--fast stylizes in one pass: no --blend (see --mix), --preview, --gif or --show";
        return Err(Usage(problem.into()));
    }
    if transfer.steps.is_some() || transfer.coarsest.is_some() || transfer.init != StartArgument::Content {
        return Err(Usage("--fast stylizes in one pass: no --steps (see --refine), --coarsest or --init".into()));
    }
    if arguments.refine.is_none() && transfer.is_about_optimization() {
        return Err(Usage(
            "--preset, --style-weight, --style-scale, --network, --weights, --optimizer, --pooling, --style-loss and \
             --smoothness are about the optimization: with --fast they require --refine"
                .into(),
        ));
    }
    Ok(())
}

impl StyleArgs {
    /// Whether any option was given that only applies to optimization.
    pub(super) fn is_about_optimization(&self) -> bool {
        let factors = [self.style_weight, self.style_scale, self.smoothness];
        self.preset != Preset::default()
            || factors.iter().any(|&factor| factor != 1.0)
            || self.network.is_some()
            || self.weights.is_some()
            || self.optimizer.is_some()
            || self.pooling != lucida::style::Pooling::Max
            || self.style_loss != StyleLoss::Gram
    }
}

/// Output locations.
enum OutputPaths {
    One {
        out: PathBuf,
    },
    /// Photos with the file names of their results.
    Many {
        out: PathBuf,
        photos: Vec<(PathBuf, String)>,
    },
}

fn output_paths(arguments: &Style, photos: &[&Path], style: String, bits: u8) -> Result<OutputPaths> {
    let one = photos.len() == 1 && !photos[0].is_dir();
    let name = format!("{}-{style}", name_of(photos[0]));
    if one {
        let out = arguments.place.of(&name, "png");
        FileKind::of_path(&out, bits)?;
        return Ok(OutputPaths::One { out });
    }
    if arguments.mask.is_some() || arguments.preserve.is_some() {
        return Err(Usage("a mask is for one image: no --mask or --preserve with several".into()).into());
    }
    let given = arguments.place.out.as_deref();
    given.map_or(Ok(()), refuse_file_name).map_err(|problem| Usage(format!("--out: {problem}")))?;
    let out = free(given, arguments.place.force, name.into());
    let mut found = Vec::new();
    for photo in photos {
        if !photo.is_dir() {
            let stem = photo.file_stem().unwrap_or_default().to_string_lossy();
            found.push((photo.to_path_buf(), format!("{stem}.png")));
            continue;
        }
        refuse_within(&out, photo)?;
        let items = batch_jobs::Source::of(&photo.display().to_string())?.list()?;
        if items.is_empty() {
            bail!("{}: contains no image", photo.display());
        }
        found.extend(
            items.iter().map(|item| (photo.join(item), Path::new(item).with_extension("png").display().to_string())),
        );
    }
    for (index, (photo, name)) in found.iter().enumerate() {
        if let Some((other, _)) = found[..index].iter().find(|(_, other)| other == name) {
            let place = out.join(name);
            bail!("{} and {} would both be written to {}", other.display(), photo.display(), place.display());
        }
    }
    Ok(OutputPaths::Many { out, photos: found })
}

impl FastArgs {
    /// The file of the network, or the name of the built-in style.
    pub(super) fn file(&self) -> Result<&Path, Usage> {
        let Some(FastNetwork::File(file)) = &self.fast else { return Ok(Path::new(BRUSHWORK)) };
        if FileKind::of_path(file, 8).is_ok() {
            return Err(Usage(format!(
                "--fast: {}: is an image, not a network: put --fast after the photos",
                file.display()
            )));
        }
        Ok(file)
    }

    /// Opens the file of the style.
    fn style(&self, context: Context) -> Result<FeedForwardStyle> {
        let Some(FastNetwork::File(_)) = self.fast else { return Ok(FeedForwardStyle::builtin()?) };
        let file = self.file()?;
        let style = FeedForwardStyle::open_with(file, self.preprocessing.as_ref()).map_err(without_network)?;
        let [input, output] = [style.input_range(), style.output_range()].map(range_text);
        let name = file.display();
        match style.guessed_ranges() {
            [true, _] => context.output.note(&format!(
                "{name} does not say the range of its pixels; a trial finds {input} for the input and {output} for the \
                 output: --preprocessing changes that"
            )),
            [false, true] if context.output.verbose() => {
                context.output.info(&format!("{name}: pixels from {input}; a trial finds {output} for the output"));
            }
            _ => {}
        }
        Ok(style)
    }

    /// Opens the style for stylizing photos, in regions if there is a mask.
    pub(super) fn open(&self, transfer: &StyleArgs, masked: bool, context: Context) -> Result<FeedForwardTransfer> {
        let style = self.style(context)?;
        if style.names().len() > 1 && self.mix.is_empty() {
            let names = style.names().join(", ");
            let use_of = if masked { "the mask's regions have them in this order" } else { "using the first" };
            context.output.note(&format!("the network has the styles {names}: {use_of}; --mix chooses others"));
        }
        let request = FeedForwardRequest {
            mix: if masked { style.single_style_mix(0) } else { MixedStyle::weights(&self.mix, &style)? },
            size: transfer.size.map(|size| size as usize),
            strength: self.strength as f32,
            colors: transfer.colors(),
        };
        let config = StylizerConfig { memory: Some(context.memory_for_style()), cpu: context.cpu };
        Ok(FeedForwardTransfer::new(style, request, config)?)
    }
}

/// Replaces the hint of a file with weights only, whose option this command does not have.
fn without_network(problem: lucida::Error) -> anyhow::Error {
    match problem {
        lucida::Error::WeightsOnly { .. } => anyhow::anyhow!(
            "{problem}; of files with weights alone, --fast opens those of PyTorch's example fast_neural_style: export other \
             networks to ONNX"
        ),
        other => other.into(),
    }
}

/// Describes a pixel range.
fn range_text(range: PixelRange) -> String {
    format!("{} to {}", range.black, range.white)
}

/// The network, settings and style images of `--refine`.
struct Refinement {
    network: StyleNetwork,
    config: StyleConfig,
    styles: Vec<(Image, f32)>,
}

impl Refinement {
    fn open(arguments: &Style, context: Context) -> Result<Option<Self>> {
        let Some(steps) = arguments.refine else { return Ok(None) };
        let styles = arguments.refine_styles.iter().map(|path| Ok((open_style(path)?, 1.0)));
        let styles = styles.collect::<Result<Vec<_>>>()?;
        let (network, config) = arguments.transfer.open(context)?;
        let config = StyleConfig { smallest: None, steps: steps as usize, first_steps: steps as usize, ..config };
        Ok(Some(Self { network, config, styles }))
    }

    /// Optimizes an image, starting from the feed-forward result. Returns it with the number of steps and the losses before
    /// and after.
    fn run(&self, job: StyleRequest, from: Canvas, progress: &mut dyn Progress) -> Result<(Canvas, RefinedJson)> {
        let job = StyleRequest { styles: self.styles.clone(), ..job };
        let size = from.size[0].max(from.size[1]);
        let config = StyleConfig { start: InitialImage::Canvas(from), size, ..self.config.clone() };
        let result = transfer(&self.network, &job, &config, progress)?;
        if result.stopped {
            return Err(lucida::Error::Interrupted.into());
        }
        Ok((
            result.canvas,
            RefinedJson { steps: result.steps, initial_loss: result.start.total, loss: result.end.total },
        ))
    }
}

/// Statistics of a refinement.
#[derive(Serialize)]
struct RefinedJson {
    steps: usize,
    initial_loss: f64,
    loss: f64,
}

/// Result for one photo; the output of `--json`.
#[derive(Serialize)]
struct Stylized {
    file: PathBuf,
    width: usize,
    height: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refined: Option<RefinedJson>,
}

struct FastCommand<'a> {
    arguments: &'a Style,
    fast: FeedForwardTransfer,
    /// Indices of the styles of the mask's regions.
    regions: Vec<usize>,
    refinement: Option<Refinement>,
    bits: u8,
    bar: RefCell<Bar>,
}

/// The results for all photos.
#[derive(Default)]
struct Outcome {
    made: Vec<Stylized>,
    failed: usize,
    /// Whether Ctrl-C stopped it before the last photo.
    stopped: bool,
}

impl FastCommand<'_> {
    /// Stylizes photos into files. A photo that fails does not stop the others.
    fn all(&mut self, pairs: &[(PathBuf, PathBuf)], context: Context) -> Result<Outcome> {
        let (mut outcome, count) = (Outcome::default(), pairs.len());
        for (number, (photo, out)) in pairs.iter().enumerate() {
            // A photo that is stylized as a whole is finished first.
            outcome.stopped = interrupt::is_requested();
            if outcome.stopped {
                break;
            }
            match self.stylize(photo, out, [number, count], context) {
                Ok(one) => outcome.made.push(one),
                Err(problem) if is_interrupt(&problem) => {
                    outcome.stopped = true;
                    break;
                }
                Err(problem) if count == 1 => return Err(problem),
                Err(problem) => {
                    outcome.failed += 1;
                    self.bar.borrow().suspend(|| report(&problem));
                }
            }
        }
        Ok(outcome)
    }

    /// Stylizes a photo and writes the file.
    fn stylize(&mut self, photo: &Path, out: &Path, [number, count]: [usize; 2], context: Context) -> Result<Stylized> {
        let started = Instant::now();
        let named = || photo.display().to_string();
        let original = ContentFile::open(photo)?;
        let open = |path: &Option<PathBuf>| path.as_deref().map(Image::open).transpose();
        let (mask, preserve) = (open(&self.arguments.mask)?, open(&self.arguments.preserve)?);
        let masks = FeedForwardMasks { mask: mask.as_ref(), regions: &self.regions, preserve: preserve.as_ref() };
        let bar = &self.bar;
        bar.borrow_mut().begin_image(number, count);
        let mut progress = |step: &Step<'_>| match count {
            1 => bar.borrow_mut().update(step),
            // With many photos, progress counts photos rather than tiles.
            _ => bar.borrow_mut().update(&Step::new(Unit::Images, number, count)),
        };
        let result = self.fast.transfer(&original.image, masks, &mut progress);
        let result = result.map_err(|problem| self.with_mask_hint(problem)).with_context(named)?;
        let (canvas, refined) = match &self.refinement {
            Some(refinement) => {
                let colors = self.fast.request().colors;
                let job =
                    StyleRequest { mask, preserve, colors, ..StyleRequest::new(original.image.clone(), Vec::new()) };
                let (canvas, refined) = refinement
                    .run(job, result, &mut |step: &Step<'_>| bar.borrow_mut().update(step))
                    .with_context(named)?;
                (canvas, Some(refined))
            }
            None => (result, None),
        };
        let canvas = if self.arguments.keep_size { enlarged(&canvas, &original.image)? } else { canvas };
        let (alpha, profile) = (original.alpha.as_ref(), original.profile.as_deref());
        out.parent().filter(|_| count > 1).map_or(Ok(()), files::create_folder)?;
        let note = self.note(photo, refined.as_ref());
        StyledImage { canvas: &canvas, alpha, profile, note: &note }.save(out, self.bits)?;
        let [height, width] = canvas.size;
        let taken = started.elapsed().as_secs_f64();
        if !self.arguments.place.json {
            let refinement = refined.as_ref().map_or_else(String::new, |refined| {
                let RefinedJson { steps, initial_loss, loss } = refined;
                format!(", {} of refinement, loss {initial_loss:.4} to {loss:.4}", counted(*steps, "step"))
            });
            let text = format!("{width}x{height} pixels in {}{refinement}", seconds(taken));
            bar.borrow().suspend(|| context.output.written(out, &text))?;
        }
        let file = out.to_owned();
        Ok(Stylized { file, width, height, seconds: taken, refined })
    }

    /// Adds how to choose the styles of regions to an error about the mask's regions.
    fn with_mask_hint(&self, problem: lucida::Error) -> lucida::Error {
        match problem {
            lucida::Error::Argument(text)
                if self.arguments.mask.is_some() && self.regions.is_empty() && self.fast.style().names().len() > 1 =>
            {
                lucida::Error::Argument(format!("{text}; --mix NAME,NAME names the style of each region"))
            }
            other => other,
        }
    }

    /// Describes how the image was made, for its metadata.
    fn note(&self, photo: &Path, refined: Option<&RefinedJson>) -> String {
        let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let request = self.fast.request();
        let names = self.fast.style().names();
        let mixed = names.iter().zip(&request.mix).filter(|(_, weight)| **weight > 0.0);
        let styles: Vec<String> = match (&self.arguments.mask, self.regions.is_empty()) {
            (None, _) => mixed.map(|(name, weight)| format!("{name} {weight}")).collect(),
            (Some(_), true) => names.to_vec(),
            (Some(_), false) => self.regions.iter().map(|&index| names[index].clone()).collect(),
        };
        let file = self.arguments.fast.file().map_or_else(|_| String::new(), name);
        let refinement = refined.map_or_else(String::new, |refined| format!(", {} refinement steps", refined.steps));
        format!(
            "Lucida {}, feed-forward style transfer: {} by {file}; styles {}, strength {}{refinement}",
            env!("CARGO_PKG_VERSION"),
            name(photo),
            styles.join(" and "),
            request.strength
        )
    }
}
