//! `lucida style`

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::core::{Detail, Progress, Step, StyleProgress};
use lucida::data::{FileKind, Filter, Image};
use lucida::files::{self, SetAside};
use lucida::nn::counted;
use lucida::style::{
    self, Canvas, ColorSource, ContentFile, GifRecorder, InitialImage, Lbfgs, Preset, StyleConfig, StyleNetwork,
    StyleOptimizer, StyleRequest, StyledImage, transfer,
};
use lucida::{batch_jobs, nearest_name};

use serde::Serialize;
use serde_json::json;

use super::bulk::answer;
use super::{Context, refuse_within, shell_word, style_fast};
use crate::arguments::StartArgument;
use crate::bar::Bar;
use crate::cli::place::{free, name_of, refuse_file_name};
use crate::cli::{KeepColors, Style, StyleArgs, StyleOptimizerName};
use crate::exit::{Reported, Usage, report};
use crate::interrupt;
use crate::output::seconds;
use crate::show::Screen;

/// Stylizes all images of a folder or list, shared among all processes.
fn share(arguments: &Style, context: Context) -> Result<()> {
    refuse_options_of_one(arguments, "--distributed stylizes many images")?;
    let bits: u8 = arguments.bits.parse()?;
    let out = &folder_of_results(arguments, true)?;
    let shared = super::bulk::Job {
        command: "style",
        source: arguments.content.display().to_string(),
        out,
        options: json!({
            "styles": arguments.styles,
            "blend": arguments.blend,
            "bits": bits,
            "keep_size": arguments.keep_size,
            "painting": format!("{:?}", arguments.transfer),
        }),
    };
    shared.share(context, |context, ask| {
        let (network, settings) = arguments.transfer.open(context)?;
        let name = network.name().to_owned();
        // Problems with the style images affect all images, so check them first.
        job(arguments, &without_metadata(Image::filled(64, 64, &[128; 3])))?;
        let library_error = |problem: anyhow::Error| match problem.downcast() {
            Ok(problem) => problem,
            Err(other) => lucida::Error::argument(format!("{other:#}")),
        };
        ask(&mut |image, place| {
            let original = without_metadata(image.clone());
            let job = job(arguments, &original).map_err(library_error)?;
            let result = transfer(&network, &job, &settings, &mut |_: &Step<'_>| interrupt::flow())?;
            if result.stopped {
                return Err(lucida::Error::Interrupted);
            }
            let canvas = match arguments.keep_size {
                true => enlarged(&result.canvas, &original.image).map_err(library_error)?,
                false => result.canvas,
            };
            let path = place.ready("png")?;
            let note = note(arguments, &name, &settings);
            StyledImage { canvas: &canvas, alpha: None, profile: None, note: &note }.save(&path, bits)?;
            let [height, width] = canvas.size;
            answer(&json!({
                "image": path.strip_prefix(out).unwrap_or(&path),
                "size": [height, width],
                "steps": result.steps,
                "loss": result.end.total,
            }))
        })
    })
}

/// An image without alpha channel or color profile.
fn without_metadata(image: Image) -> ContentFile {
    ContentFile { image, alpha: None, profile: None }
}

pub(super) fn run(arguments: &Style, context: Context) -> Result<()> {
    if arguments.fast.fast.is_some() {
        return style_fast::run(arguments, context);
    }
    refuse_swapped("style", &arguments.content, &arguments.styles)?;
    if arguments.bulk.distributed.is_some() {
        return share(arguments, context);
    }
    if arguments.content.is_dir() {
        return folder(arguments, context);
    }
    let context = context.quieted(arguments.place.json);
    let bits: u8 = arguments.bits.parse()?;
    let out = &arguments.place.of(&style_name(&arguments.content, &arguments.styles), "png");
    FileKind::of_path(out, bits)?;
    let force = arguments.place.force;
    let mut context = context.claim_file(out, force)?;
    if let Some(gif) = &arguments.gif {
        if !gif.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gif")) {
            bail!("--gif: {}: the name must end in .gif", gif.display());
        }
        context = context.claim_file(gif, force)?;
    }
    let earlier = match &arguments.preview {
        Some(folder) => {
            // Claim all previews of an earlier run: this one may write fewer.
            let mut names: Vec<String> =
                (1..).map(preview_name).take_while(|name| folder.join(name).exists()).collect();
            names.push(preview_name(names.len() + 1));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Some(files::claim_folder(folder, &names, force)?)
        }
        None => None,
    };
    let original = ContentFile::open(&arguments.content)?;
    let job = job(arguments, &original)?;
    let (network, settings) = arguments.transfer.open(context)?;
    check(&job, &settings, arguments)?;
    interrupt::catch()?;
    let stylizer = Stylizer { arguments, network, settings, bits, bar: Bar::new(context.output).into() };
    let result = stylizer.stylize(&original, &job, out, context)?;
    earlier.as_ref().map_or(Ok(()), SetAside::discard)?;
    if arguments.place.json {
        context.output.json(&result)?;
    }
    if result.stopped { Err(lucida::Error::Interrupted.into()) } else { Ok(()) }
}

/// Refuses the name of a built-in style given as the content.
pub(super) fn refuse_swapped(command: &str, content: &Path, styles: &[PathBuf]) -> Result<(), Usage> {
    let near = || content.to_str().and_then(|name| nearest_name(name, [style::BRUSHWORK]));
    let Some(name) = (!content.exists()).then(near).flatten() else { return Ok(()) };
    let word = |path: &Path| shell_word(&path.display().to_string());
    let (first, others) = styles.split_first().map_or((String::new(), styles), |(first, others)| (word(first), others));
    let others: String = others.iter().map(|path| format!(" {}", word(path))).collect();
    Err(Usage(format!(
        "{}: is a built-in style, and the content comes first: lucida {command} {first} {name}{others}",
        content.display()
    )))
}

/// Refuses options for a single image; `why` explains why there are many.
fn refuse_options_of_one(arguments: &Style, why: &str) -> Result<()> {
    let Style { mask, preserve, preview, gif, show, .. } = arguments;
    if mask.is_some() || preserve.is_some() || preview.is_some() || gif.is_some() || *show {
        return Err(Usage(format!("{why}: no --mask, --preserve, --preview, --gif or --show")).into());
    }
    Ok(())
}

/// The output folder for many images. (For a single image, `--out` is a file.)
fn folder_of_results(arguments: &Style, force: bool) -> Result<PathBuf, Usage> {
    let given = arguments.place.out.as_deref();
    given.map_or(Ok(()), refuse_file_name).map_err(|problem| Usage(format!("--out: {problem}")))?;
    Ok(free(given, force, style_name(&arguments.content, &arguments.styles).into()))
}

/// Stylizes all images of a folder in turn.
fn folder(arguments: &Style, context: Context) -> Result<()> {
    refuse_options_of_one(arguments, "a folder has many images")?;
    let context = context.quieted(arguments.place.json);
    let bits: u8 = arguments.bits.parse()?;
    let source = batch_jobs::Source::of(&arguments.content.display().to_string())?;
    let items = source.list()?;
    if items.is_empty() {
        bail!("{}: contains no image", arguments.content.display());
    }
    let names: Vec<String> =
        items.iter().map(|item| Path::new(item).with_extension("png").display().to_string()).collect();
    if let Some(twice) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
        bail!("{}: two images would both be written to {}", arguments.content.display(), names[twice]);
    }
    let force = arguments.place.force;
    let out = &folder_of_results(arguments, force)?;
    refuse_within(out, &arguments.content)?;
    let claimed: Vec<&str> = names.iter().map(String::as_str).collect();
    let earlier = files::claim_folder(out, &claimed, force)?;
    let (network, settings) = arguments.transfer.open(context)?;
    // Problems with the style images affect all images, so check them first.
    check(&job(arguments, &without_metadata(Image::filled(64, 64, &[128; 3])))?, &settings, arguments)?;
    interrupt::catch()?;
    let stylizer = Stylizer { arguments, network, settings, bits, bar: Bar::new(context.output).into() };
    let (mut stylized, mut failed) = (Vec::new(), 0);
    for (number, (item, name)) in items.iter().zip(&names).enumerate() {
        stylizer.bar.borrow_mut().begin_image(number, items.len());
        let result = source.open(item).map_err(anyhow::Error::from).and_then(|image| {
            let (original, path) = (without_metadata(image), out.join(name));
            path.parent().map_or(Ok(()), files::create_folder)?;
            stylizer.stylize(&original, &job(arguments, &original)?, &path, context)
        });
        match result {
            Ok(one) => {
                let stopped = one.stopped;
                stylized.push(one);
                if stopped {
                    break;
                }
            }
            Err(problem) => {
                failed += 1;
                stylizer.bar.borrow().suspend(|| report(&problem.context(item.clone())));
            }
        }
    }
    // Each image is a separate result, so finished ones are kept.
    if !stylized.is_empty() {
        earlier.discard()?;
    }
    if arguments.place.json {
        context.output.json(&stylized)?;
    }
    if stylized.last().is_some_and(|last| last.stopped) {
        return Err(lucida::Error::Interrupted.into());
    }
    if failed > 0 { Err(Reported.into()) } else { Ok(()) }
}

/// What all style transfers of a command share.
struct Stylizer<'a> {
    arguments: &'a Style,
    network: StyleNetwork,
    settings: StyleConfig,
    bits: u8,
    bar: RefCell<Bar>,
}

impl Stylizer<'_> {
    /// Stylizes an image and writes the file.
    fn stylize(&self, original: &ContentFile, job: &StyleRequest, out: &Path, context: Context) -> Result<Stylized> {
        let Self { arguments, network, settings, bits, bar } = self;
        let started = Instant::now();
        let note = note(arguments, network.name(), settings);
        let mut preview = PreviewRecorder::new(arguments, job, settings)?;
        let mut written = Ok(());
        let result = transfer(network, job, settings, &mut |step: &Step<'_>| {
            let flow = bar.borrow_mut().update(step);
            if let Detail::Style(style) = &step.detail {
                written = bar.borrow().suspend(|| preview.step(style));
            }
            // A failed write ends the transfer.
            if written.is_err() { ControlFlow::Break(()) } else { flow }
        })?;
        written?;
        let coarse = (result.last_size != result.canvas.size).then(|| {
            let [height, width] = result.last_size;
            format!(" (the coarse stage of {width}x{height}, enlarged)")
        });
        let canvas = match arguments.keep_size {
            true => enlarged(&result.canvas, &original.image)?,
            false => result.canvas,
        };
        let (alpha, profile) = (original.alpha.as_ref(), original.profile.as_deref());
        StyledImage { canvas: &canvas, alpha, profile, note: &note }.save(out, *bits)?;
        preview.finish(&canvas)?;
        let [height, width] = canvas.size;
        let stylized = Stylized {
            file: out.to_owned(),
            width,
            height,
            steps: result.steps,
            initial_loss: result.start.total,
            loss: result.end.total,
            seconds: started.elapsed().as_secs_f64(),
            stopped: result.stopped,
        };
        if !arguments.place.json {
            let text = stylized.text(&coarse.unwrap_or_default());
            bar.borrow().suspend(|| context.output.written(out, &text))?;
        }
        Ok(stylized)
    }
}

/// Result for one image; the output of `--json`.
#[derive(Serialize)]
struct Stylized {
    file: PathBuf,
    width: usize,
    height: usize,
    steps: usize,
    initial_loss: f64,
    loss: f64,
    seconds: f64,
    /// Whether Ctrl-C stopped it before the last step.
    stopped: bool,
}

impl Stylized {
    fn text(&self, remark: &str) -> String {
        let Self { width, height, initial_loss, loss, .. } = self;
        let (steps, time) = (counted(self.steps, "step"), seconds(self.seconds));
        format!("{width}x{height} pixels{remark}, {steps} in {time}, loss {initial_loss:.4} to {loss:.4}")
    }
}

/// Default name of a result: `photo-starry_night`.
pub(super) fn style_name(content: &Path, styles: &[PathBuf]) -> String {
    format!("{}-{}", name_of(content), styles.first().map_or_else(String::new, |style| name_of(style)))
}

/// The style-transfer request of a command line.
fn job(arguments: &Style, original: &ContentFile) -> Result<StyleRequest> {
    let weights = match arguments.blend.len() {
        0 => vec![1.0; arguments.styles.len()],
        count if count == arguments.styles.len() => arguments.blend.iter().map(|&weight| weight as f32).collect(),
        count => bail!("--blend: {} for {}", counted(count, "weight"), counted(arguments.styles.len(), "style")),
    };
    let styles = arguments.styles.iter().zip(weights).map(|(path, weight)| Ok((open_style(path)?, weight)));
    let open = |path: &Option<PathBuf>| path.as_deref().map(Image::open).transpose();
    Ok(StyleRequest {
        mask: open(&arguments.mask)?,
        preserve: open(&arguments.preserve)?,
        colors: arguments.transfer.colors(),
        ..StyleRequest::new(original.image.clone(), styles.collect::<Result<_>>()?)
    })
}

/// Opens a style image: a file, or a built-in style by name.
pub(super) fn open_style(path: &Path) -> lucida::Result<Image> {
    if path.exists() {
        return Image::open(path);
    }
    if path.as_os_str() == style::BRUSHWORK {
        return style::brushwork();
    }
    match path.to_str().and_then(|name| nearest_name(name, [style::BRUSHWORK])) {
        Some(near) => Err(lucida::Error::argument(format!("{}: no such file; did you mean {near}?", path.display()))),
        None => Image::open(path),
    }
}

/// Checks the request; errors name the files instead of "the content" or "style 1".
fn check(job: &StyleRequest, settings: &StyleConfig, arguments: &Style) -> Result<()> {
    job.check(settings).map(drop).map_err(|problem| {
        let mut text = problem.to_string();
        let name = |path: &Path| path.display().to_string();
        let mut put = |what: &str, path: &Path| {
            if let Some(rest) = text.strip_prefix(what) {
                text = format!("{}{rest}", name(path));
            }
        };
        put("the content", &arguments.content);
        put("the style", &arguments.styles[0]);
        for (index, path) in arguments.styles.iter().enumerate() {
            put(&format!("style {}", index + 1), path);
        }
        if let Some(path) = &arguments.preserve {
            put("the mask of what is preserved", path);
        }
        if let Some(path) = &arguments.mask {
            put("the mask", path);
        }
        anyhow::anyhow!(text)
    })
}

impl StyleArgs {
    /// The feature network and the configuration.
    pub(super) fn open(&self, context: Context) -> Result<(StyleNetwork, StyleConfig)> {
        let model = style::choose_network(self.network.as_deref(), self.weights.as_deref())?;
        let builtin = model.network.name() == "vgg16_builtin";
        if builtin && self.network.is_none() {
            context.output.note(
                "using the built-in blocks 1 to 3 of VGG16; `lucida weights fetch vgg19` downloads a deeper network, \
                 which captures larger shapes",
            );
        }
        let network = StyleNetwork::new(model, self.pooling)?;
        let mut settings = self.preset.config(&network, context.cpu)?;
        settings.size = self.size.map_or(settings.size, |size| size as usize);
        settings.style_scale = self.style_scale as f32;
        settings.seed = self.seed;
        settings.memory = Some(context.memory_for_style());
        settings.loss.style_weight *= self.style_weight as f32;
        settings.loss.variation_weight *= self.smoothness as f32;
        settings.loss.style_loss = self.style_loss;
        if let Some(steps) = self.steps {
            (settings.steps, settings.first_steps) = (steps as usize, steps as usize);
        }
        if let Some(coarsest) = self.coarsest {
            settings.smallest = (coarsest > 0).then_some(coarsest as usize);
        }
        match self.optimizer {
            Some(StyleOptimizerName::Lbfgs) => settings.optimizer = StyleOptimizer::Lbfgs(Lbfgs { history: 10 }),
            Some(StyleOptimizerName::Adam) if !matches!(settings.optimizer, StyleOptimizer::Adam(_)) => {
                settings.optimizer = Preset::Best.config(&network, context.cpu)?.optimizer;
            }
            _ => {}
        }
        settings.start = match &self.init {
            StartArgument::Content => InitialImage::Content,
            StartArgument::Noise => InitialImage::Noise,
            StartArgument::File(path) => InitialImage::Image(Image::open(path)?),
        };
        Ok((network, settings))
    }

    pub(super) fn colors(&self) -> ColorSource {
        match self.keep_colors {
            None => ColorSource::Style,
            Some(KeepColors::Luminance) => ColorSource::Luminance,
            Some(KeepColors::Histogram) => ColorSource::Histogram,
        }
    }

    /// The options that determine the result, for its metadata.
    pub(super) fn note(&self, network: &str, settings: &StyleConfig) -> String {
        format!(
            "preset {:?}, network {network}, size {}, style weight {}, style scale {}, seed {}",
            self.preset, settings.size, self.style_weight, self.style_scale, self.seed
        )
        .to_lowercase()
    }
}

/// Describes how the image was made, for its metadata.
fn note(arguments: &Style, network: &str, settings: &StyleConfig) -> String {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let styles: Vec<String> = arguments.styles.iter().map(|path| name(path)).collect();
    format!(
        "Lucida {}, neural style transfer: {} in the style of {}; {}, {} steps in each size, {:?}",
        env!("CARGO_PKG_VERSION"),
        name(&arguments.content),
        styles.join(" and "),
        arguments.transfer.note(network, settings),
        settings.steps,
        settings.optimizer
    )
}

/// Scales the result to the size of the content.
pub(super) fn enlarged(canvas: &Canvas, content: &Image) -> Result<Canvas> {
    let size = [content.height(), content.width()];
    if size[0] * size[1] <= canvas.size[0] * canvas.size[1] {
        return Ok(canvas.resize(size)?);
    }
    let image = canvas.to_image()?.resize(size[1], size[0], Filter::Lanczos3)?;
    Ok(Canvas::of_image(&image))
}

fn preview_name(number: usize) -> String {
    format!("{number:05}.png")
}

/// Writes and shows intermediate images.
struct PreviewRecorder<'a> {
    arguments: &'a Style,
    gif: Option<GifRecorder>,
    screen: Option<Screen>,
    shown: bool,
    steps: usize,
    written: usize,
}

impl<'a> PreviewRecorder<'a> {
    fn new(arguments: &'a Style, job: &StyleRequest, settings: &StyleConfig) -> Result<Self> {
        let gif = arguments.gif.is_some().then(|| job.check(settings).map(GifRecorder::new)).transpose()?;
        let screen = if arguments.show { Screen::detect() } else { None };
        Ok(Self { arguments, gif, screen, shown: false, steps: 0, written: 0 })
    }

    fn step(&mut self, style: &StyleProgress<'_>) -> lucida::Result<()> {
        self.steps += 1;
        let wanted = self.gif.is_some() || self.arguments.preview.is_some() || self.screen.is_some();
        if !wanted || !(self.steps == 1 || self.steps.is_multiple_of(self.arguments.every as usize)) {
            return Ok(());
        }
        let image = style.image()?;
        if let Some(gif) = &mut self.gif {
            gif.add(&image)?;
        }
        if let Some(folder) = &self.arguments.preview {
            self.written += 1;
            image.save_png(folder.join(preview_name(self.written)))?;
        }
        if let Some(screen) = self.screen {
            // If the terminal fails, the image files are still written.
            if screen.show(&image, self.shown).is_err() {
                self.screen = None;
            }
            self.shown = true;
        }
        Ok(())
    }

    fn finish(mut self, canvas: &Canvas) -> Result<()> {
        let image = canvas.to_image()?;
        if let (Some(gif), Some(path)) = (&mut self.gif, &self.arguments.gif) {
            gif.add(&image)?;
            gif.save(path).with_context(|| path.display().to_string())?;
        }
        if let Some(screen) = self.screen {
            screen.show(&image, self.shown)?;
        }
        Ok(())
    }
}
