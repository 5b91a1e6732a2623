//! `lucida style-frames`

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lucida::core::{Progress, Step};
use lucida::data::Image;
use lucida::files;
use lucida::nn::counted;
use lucida::style::{FrameSequence, StyledImage, stylize_frames};
use serde::Serialize;

use super::Context;
use super::style::{open_style, refuse_swapped, style_name};
use crate::bar::Bar;
use crate::cli::StyleFrames;
use crate::cli::place::free;
use crate::interrupt;
use crate::output::seconds;

/// File extensions of images.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp"];

pub(super) fn run(arguments: &StyleFrames, context: Context) -> Result<()> {
    refuse_swapped("style-frames", &arguments.frames, &arguments.styles)?;
    let started = Instant::now();
    let context = context.quieted(arguments.place.json);
    if arguments.transfer.keep_colors.is_some() {
        bail!("--keep-colors is for single images: colors matched to each frame would flicker");
    }
    let frames = frames(&arguments.frames)?;
    let names: Vec<String> = frames.iter().map(|path| result_name(path)).collect();
    let named: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(pair) = frames.windows(2).find(|pair| result_name(&pair[0]) == result_name(&pair[1])) {
        let name = result_name(&pair[0]);
        bail!("{} and {} would both be written to {name}", pair[0].display(), pair[1].display());
    }
    let out = &folder_of_results(arguments)?;
    let earlier = files::claim_folder(out, &named, arguments.place.force)?;
    let styles = arguments.styles.iter().map(|path| Ok((open_style(path)?, 1.0))).collect::<Result<Vec<_>>>()?;
    let first = Image::open(&frames[0])?;
    let (network, mut settings) = arguments.transfer.open(context)?;
    if arguments.transfer.size.is_none() {
        settings.size = first.width().max(first.height());
    }
    interrupt::catch()?;
    let note = format!(
        "Lucida {}, neural style transfer of frames; {}",
        env!("CARGO_PKG_VERSION"),
        arguments.transfer.note(network.name(), &settings)
    );
    let sequence = FrameSequence {
        config: settings,
        steps: arguments.frame_steps as usize,
        temporal_weight: arguments.temporal_weight as f32,
    };
    let (output, total) = (context.output, frames.len());
    let bar = RefCell::new(Bar::new(output));
    let mut progress = |step: &Step<'_>| bar.borrow_mut().update(step);
    let mut written = 0;
    let read = |index: usize| Image::open(&frames[index]);
    let outcome = stylize_frames(&network, total, &styles, &sequence, read, &mut progress, |index, made| {
        let styled = StyledImage { canvas: &made.canvas, alpha: None, profile: None, note: &note };
        styled.save(out.join(&names[index]), 8)?;
        written += 1;
        bar.borrow()
            .suspend(|| output.info(&format!("{} ({}/{total}), loss {:.4}", names[index], index + 1, made.end.total)));
        Ok(())
    });
    if written > 0 {
        // Each frame is a separate result, so finished ones are kept.
        earlier.discard()?;
    }
    outcome.with_context(|| frames[written.min(total - 1)].display().to_string())?;
    let taken = started.elapsed().as_secs_f64();
    if arguments.place.json {
        return output.json(&FramesJson { folder: out, frames: total, seconds: taken });
    }
    output.written(out, &format!("{} in {}", counted(total, "frame"), seconds(taken)))
}

/// Output of `--json`.
#[derive(Serialize)]
struct FramesJson<'a> {
    folder: &'a Path,
    frames: usize,
    seconds: f64,
}

/// The output folder, which must differ from the input folder.
fn folder_of_results(arguments: &StyleFrames) -> Result<PathBuf> {
    let default = style_name(&arguments.frames, &arguments.styles).into();
    let out = free(arguments.place.out.as_deref(), arguments.place.force, default);
    if out.canonicalize().is_ok_and(|out| arguments.frames.canonicalize().is_ok_and(|dir| dir == out)) {
        bail!("{}: the stylized frames need a folder of their own", out.display());
    }
    Ok(out)
}

/// The images of a folder, sorted by the last number in their names.
fn frames(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot read the folder", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{}: cannot read the folder", folder.display()))?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !ENDINGS.contains(&ending.as_str()) {
            continue;
        }
        let Some(number) = number(&path) else {
            bail!("{}: has no number in its name; frames are taken in the order of their numbers", path.display());
        };
        found.push((number, path));
    }
    if found.is_empty() {
        bail!("{}: there are no images in this folder", folder.display());
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The last number in a file name.
fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let end = stem.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = stem[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + stem[at..].chars().next().map_or(1, char::len_utf8));
    stem[start..end].parse().ok()
}

fn result_name(path: &Path) -> String {
    format!("{}.png", path.file_stem().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names() {
        let number = |name: &str| number(Path::new(name));
        assert_eq!(number("frame0012.png"), Some(12));
        assert_eq!(number("take2_7b.jpg"), Some(7));
        assert_eq!(number("é9.png"), Some(9));
        assert_eq!(number("cover.png"), None);
    }

    #[test]
    fn frames_are_sorted_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f10.png", "f9.png", "f1.jpg", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = frames(folder.path()).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["f1.jpg", "f9.png", "f10.png"]);
    }
}
