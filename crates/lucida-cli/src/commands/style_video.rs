//! `lucida style-video`

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use lucida::core::{Progress, Step, Unit};
use lucida::data::Image;
use lucida::nn::counted;
use lucida::style::{
    FastFrames, FrameSequence, FrameStore, FrameStylizer, OptimizedFrames, StyleNetwork, VideoSource, stylize_video,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::style::{open_style, refuse_swapped, style_name};
use crate::bar::Bar;
use crate::cli::place::{free, name_of};
use crate::cli::{KeepColors, StyleVideo};
use crate::exit::Usage;
use crate::interrupt;
use crate::output::seconds;

pub(super) fn run(arguments: &StyleVideo, context: Context) -> Result<()> {
    let started = Instant::now();
    let context = context.quieted(arguments.json);
    refuse_options(arguments)?;
    let out = &place(arguments)?;
    let context = context.claim_file(out, arguments.force)?;
    let source = VideoSource::open(&arguments.video)?;
    // Whatever can fail at the end, and every input, is checked before the first frame.
    source.check_output(out)?;
    let first = source.frames()?.next().transpose()?.map(|frame| frame.image);
    let stylizer = Stylizer::open(arguments, first.as_ref(), context)?;
    interrupt::catch()?;
    let mut store = open_store(out, arguments)?;
    if store.done() > 0 {
        context.output.info(&format!("resuming after {}", counted(store.done(), "frame")));
    }
    let bar = RefCell::new(Bar::new(context.output));
    let mut progress = |step: &Step<'_>| bar.borrow_mut().update(step);
    let stylized = stylizer.run(&source, &mut store, &mut progress);
    let finished = stylized.and_then(|count| Ok((count, write(&source, out, count, &store, &bar)?)));
    let (count, [height, width]) = match finished {
        Ok(finished) => finished,
        Err(problem) => {
            bar.borrow().hide();
            if store.done() == 0 {
                // There is nothing to resume.
                store.remove()?;
            } else if matches!(problem.downcast_ref(), Some(lucida::Error::Interrupted)) {
                let done = counted(store.done(), "frame");
                context.output.info(&format!("{done} stylized; the same command resumes after them"));
            }
            return Err(problem);
        }
    };
    if !arguments.keep_frames {
        store.remove()?;
    }
    let taken = started.elapsed().as_secs_f64();
    if arguments.json {
        return context.output.json(&VideoJson { file: out, frames: count, width, height, seconds: taken });
    }
    bar.borrow().hide();
    context
        .output
        .written(out, &format!("{} of {width}x{height} pixels in {}", counted(count, "frame"), seconds(taken)))
}

/// Opens the folder of finished frames.
fn open_store(out: &Path, arguments: &StyleVideo) -> Result<FrameStore> {
    let folder = frames_folder(out);
    FrameStore::open(&folder, &record(arguments)?, arguments.force).map_err(|problem| match problem {
        lucida::Error::Exists { .. } => anyhow!(
            "{}: has frames of another conversion, or of other options; --force removes them and starts again",
            folder.display()
        ),
        other => other.into(),
    })
}

/// Writes the video; returns its height and width.
fn write(
    source: &VideoSource,
    out: &Path,
    count: usize,
    store: &FrameStore,
    bar: &RefCell<Bar>,
) -> lucida::Result<[usize; 2]> {
    let mut written = 0;
    source.write_as(out, count, |index| {
        written += 1;
        let mut step = Step::new(Unit::Images, written, count.max(written));
        step.stage = "encoding";
        if bar.borrow_mut().update(&step).is_break() {
            return Err(lucida::Error::Interrupted);
        }
        store.read(index)
    })
}

/// Output of `--json`.
#[derive(Serialize)]
struct VideoJson<'a> {
    file: &'a Path,
    frames: usize,
    width: usize,
    height: usize,
    seconds: f64,
}

fn refuse_options(arguments: &StyleVideo) -> Result<()> {
    let fast = arguments.fast.fast.is_some();
    refuse_swapped("style-video", &arguments.video, &arguments.styles)?;
    if fast && (arguments.transfer.is_about_optimization() || arguments.transfer.steps.is_some()) {
        return Err(Usage(
            "--fast stylizes each frame in one pass: no options of the optimization, such as --steps or --style-weight"
                .into(),
        )
        .into());
    }
    let colors = arguments.transfer.keep_colors;
    if colors == Some(KeepColors::Histogram) || (colors.is_some() && !fast) {
        bail!(
            "--keep-colors: colors matched to each frame would flicker; with --fast, --keep-colors luminance is possible"
        );
    }
    if arguments.fast.fast.is_some() {
        arguments.fast.file()?;
    }
    Ok(())
}

/// The output file. An interrupted conversion resumes under the same name.
fn place(arguments: &StyleVideo) -> Result<PathBuf> {
    let name = match arguments.fast.fast {
        Some(_) => format!("{}-{}", name_of(&arguments.video), name_of(arguments.fast.file()?)),
        None => style_name(&arguments.video, &arguments.styles),
    };
    let ending =
        arguments.video.extension().map_or_else(|| "mp4".into(), |ending| ending.to_string_lossy().into_owned());
    let out = free(arguments.out.as_deref(), arguments.force, format!("{name}.{ending}").into());
    if out.extension().is_none() {
        bail!("{}: needs a file extension: .gif, .png, .webp, .mp4, .mkv, .webm", out.display());
    }
    if out.canonicalize().is_ok_and(|out| arguments.video.canonicalize().is_ok_and(|video| video == out)) {
        bail!("{}: is the video itself; the result needs a name of its own", out.display());
    }
    Ok(out)
}

/// The folder with finished frames: `styled.mp4.frames`.
fn frames_folder(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".frames");
    out.with_file_name(name)
}

/// Everything that determines the frames: options, and files identified by path, size and modification time.
fn record(arguments: &StyleVideo) -> Result<Value> {
    let file = |path: &Path| -> Result<Value> {
        let Ok(found) = path.metadata() else { return Ok(json!(path.display().to_string())) };
        let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(json!([path.display().to_string(), found.len(), modified.map(|time| time.as_secs_f64())]))
    };
    let network = match arguments.fast.fast {
        Some(_) => Some(file(arguments.fast.file()?)?),
        None => None,
    };
    let styles = arguments.styles.iter().map(|path| file(path)).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "video": file(&arguments.video)?,
        "styles": styles,
        "network": network,
        "fast": format!("{:?}", arguments.fast),
        "temporal_weight": arguments.temporal_weight,
        "frame_steps": arguments.frame_steps,
        "transfer": format!("{:?}", arguments.transfer),
    }))
}

/// How frames are stylized.
enum Stylizer {
    Fast(Box<FastFrames>),
    /// By optimization, as `style-frames` does.
    Optimized {
        network: Box<StyleNetwork>,
        styles: Vec<(Image, f32)>,
        sequence: Box<FrameSequence>,
    },
}

impl Stylizer {
    /// Opens the networks and the style images; the results have the size of the first frame by default.
    fn open(arguments: &StyleVideo, first: Option<&Image>, context: Context) -> Result<Self> {
        let temporal_weight = arguments.temporal_weight as f32;
        if arguments.fast.fast.is_some() {
            let transfer = arguments.fast.open(&arguments.transfer, false, context)?;
            return Ok(Self::Fast(Box::new(FastFrames::new(transfer, temporal_weight, context.cpu))));
        }
        let styles = arguments.styles.iter().map(|path| Ok((open_style(path)?, 1.0))).collect::<Result<Vec<_>>>()?;
        let (network, mut config) = arguments.transfer.open(context)?;
        if arguments.transfer.size.is_none() {
            config.size = first.map_or(config.size, |first| first.width().max(first.height()));
        }
        let sequence = FrameSequence { config, steps: arguments.frame_steps as usize, temporal_weight };
        Ok(Self::Optimized { network: Box::new(network), styles, sequence: Box::new(sequence) })
    }

    /// Stylizes the frames that are not in the store; returns the number of all.
    fn run(self, source: &VideoSource, store: &mut FrameStore, progress: &mut dyn Progress) -> Result<usize> {
        match self {
            Self::Fast(mut frames) => Ok(stylize_video(source, &mut *frames, store, progress)?),
            Self::Optimized { network, styles, sequence } => {
                // If the file does not store its number of frames, they are counted: slow work needs a total for its
                // progress.
                let count = source.frames_estimate().map_or_else(|| source.frames().map(Iterator::count), Ok)?;
                let mut frames = OptimizedFrames::new(&network, &styles, &sequence, count);
                Ok(stylize_video(source, &mut frames as &mut dyn FrameStylizer, store, progress)?)
            }
        }
    }
}
