//! Conversion of a whole video, frame by frame, that can be stopped and resumed.
//!
//! Finished frames are kept in a folder until the video is written. Temporal consistency uses the previous frame rounded to
//! bytes, as it is stored, so a resumed conversion is bit-identical to an uninterrupted one.

use std::io::Write;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Compression, Encoder};
use serde_json::Value;

use super::flow::Flow;
use super::frames::SequenceRun;
use super::source::VideoSource;
use crate::core::{Progress, Step, Unit};
use crate::data::Image;
use crate::style::{Canvas, FeedForwardMasks, FeedForwardTransfer, FrameSequence, StyleNetwork};
use crate::{Cpu, Error, Result, files};

/// The temporal weight at which a stylized frame and the warped previous frame count equally. Chosen so that the default weight
/// of the command line, 100, leaves half of the flicker.
const BALANCE: f32 = 50.0;
/// A frame is a scene cut if a larger share of it was hidden in the previous frame.
const CUT: f32 = 0.6;
/// File that identifies the conversion that the frames belong to.
const RECORD: &str = "conversion.json";

/// Stylizes the frames of a video in order.
pub trait FrameStylizer {
    /// Stylizes the next frame; `place` is its index, from 0, and the estimated number of frames.
    ///
    /// # Errors
    /// [`Error::Argument`] when the frame's size differs from the previous ones; [`Error::Interrupted`] when `progress`
    /// stops it.
    fn stylize(&mut self, frame: &Image, place: [usize; 2], progress: &mut dyn Progress) -> Result<Image>;

    /// Resumes after `done` frames; `last` is the last one of them, and `styled` its stylized version.
    ///
    /// # Errors
    /// As [`stylize`](Self::stylize).
    fn resume(&mut self, done: usize, last: &Image, styled: &Image) -> Result<()>;
}

/// Stylizes frames by optimization, like [`stylize_frames`](crate::style::stylize_frames).
pub struct OptimizedFrames<'a> {
    run: SequenceRun<'a>,
}

impl<'a> OptimizedFrames<'a> {
    /// Creates a stylizer for about `count` frames.
    pub fn new(
        network: &'a StyleNetwork,
        styles: &'a [(Image, f32)],
        sequence: &'a FrameSequence,
        count: usize,
    ) -> Self {
        Self { run: SequenceRun::new(network, styles, sequence, count) }
    }
}

impl FrameStylizer for OptimizedFrames<'_> {
    fn stylize(&mut self, frame: &Image, _place: [usize; 2], progress: &mut dyn Progress) -> Result<Image> {
        let result = self.run.stylize(frame.clone(), progress)?;
        if result.stopped {
            return Err(Error::Interrupted);
        }
        let image = result.canvas.to_image()?;
        self.run.keep(Canvas::of_image(&image));
        Ok(image)
    }

    fn resume(&mut self, done: usize, last: &Image, styled: &Image) -> Result<()> {
        self.run.resume(done, last, Canvas::of_image(styled))
    }
}

/// Stylizes frames with a feed-forward style.
///
/// The network stylizes each frame on its own, so that small differences between frames can cause flicker. Where the optical
/// flow is reliable, a pixel `x` is therefore blended with the warped previous frame:
///
/// ```text
/// minimize  (x - stylized)^2 + w (x - moved)^2      w = weight / 50 * trust
/// ```
#[derive(Debug)]
pub struct FastFrames {
    transfer: FeedForwardTransfer,
    temporal_weight: f32,
    cpu: Cpu,
    /// The previous frame at the size of the result: original and stylized.
    before: Option<[Canvas; 2]>,
}

impl FastFrames {
    /// Creates a stylizer; a temporal weight of 0 disables temporal consistency.
    pub fn new(transfer: FeedForwardTransfer, temporal_weight: f32, cpu: Cpu) -> Self {
        Self { transfer, temporal_weight, cpu, before: None }
    }

    fn seen(&self, frame: &Image, size: [usize; 2]) -> Result<Canvas> {
        match [frame.height(), frame.width()] == size {
            true => Ok(Canvas::of_image(frame)),
            false => Canvas::of_image_at(frame, size),
        }
    }
}

impl FrameStylizer for FastFrames {
    fn stylize(&mut self, frame: &Image, [index, count]: [usize; 2], progress: &mut dyn Progress) -> Result<Image> {
        // Progress counts frames, but can stop between the tiles of a frame.
        let mut at = |_: &Step<'_>| progress.update(&Step::new(Unit::Images, index, count));
        let mut result = self.transfer.transfer(frame, FeedForwardMasks::default(), &mut at)?;
        let seen = self.seen(frame, result.size)?;
        if let Some([last_seen, last]) = self.before.take().filter(|_| self.temporal_weight > 0.0) {
            if last.size != result.size {
                return Err(Error::argument(format!("frame {} has another size than the one before", index + 1)));
            }
            let flow = Flow::between(&seen, &last_seen, self.cpu);
            if flow.hidden.iter().sum::<f32>() <= CUT * flow.hidden.len() as f32 {
                let moved = flow.warp(&last)?;
                let pixels = result.values.chunks_exact_mut(3).zip(moved.values.chunks_exact(3));
                for ((stylized, moved), reliability) in pixels.zip(&flow.reliability) {
                    let weight = self.temporal_weight / BALANCE * reliability;
                    let share = weight / (1.0 + weight);
                    stylized
                        .iter_mut()
                        .zip(moved)
                        .for_each(|(x, moved)| *x = x.clamp(0.0, 255.0) * (1.0 - share) + share * moved);
                }
            }
        }
        let image = result.to_image()?;
        self.before = Some([seen, Canvas::of_image(&image)]);
        match progress.update(&Step::new(Unit::Images, index + 1, count.max(index + 1))).is_break() {
            true => Err(Error::Interrupted),
            false => Ok(image),
        }
    }

    fn resume(&mut self, _done: usize, last: &Image, styled: &Image) -> Result<()> {
        let styled = Canvas::of_image(styled);
        self.before = Some([self.seen(last, styled.size)?, styled]);
        Ok(())
    }
}

/// Folder with the finished frames of a video.
#[derive(Debug, Clone)]
pub struct FrameStore {
    folder: PathBuf,
    done: usize,
}

impl FrameStore {
    /// Opens the folder for the frames of the conversion that `record` describes. If it holds frames of the same conversion,
    /// that is resumed; frames of another one are an error, or removed if `restart` is set.
    ///
    /// # Errors
    /// [`Error::Exists`] when the folder holds frames of another conversion, [`Error::Io`] when it cannot be written.
    pub fn open(folder: impl AsRef<Path>, record: &Value, restart: bool) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        let path = folder.join(RECORD);
        let found = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let same = found.as_ref() == Some(record);
        let mut store = Self { folder, done: 0 };
        if store.folder.symlink_metadata().is_ok() && !same {
            if found.is_some() && !restart {
                return Err(Error::Exists { path: store.folder });
            }
            if found.is_none() {
                return Err(Error::argument(format!("{}: is not a folder of frames", store.folder.display())));
            }
            store.remove()?;
        }
        if same && restart {
            store.remove()?;
        }
        files::create_folder(&store.folder)?;
        store.done = (0..).take_while(|&index| store.frame(index).exists()).count();
        if !path.exists() {
            files::write_bytes(&path, record.to_string().as_bytes())?;
        }
        Ok(store)
    }

    /// Number of finished frames.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Reads finished frame number `index`, from 0.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn read(&self, index: usize) -> Result<Image> {
        Image::open(self.frame(index))
    }

    /// Stores the next frame.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn add(&mut self, image: &Image) -> Result<()> {
        let bytes = quick_png(image).map_err(|problem| Error::Bug(format!("a frame as PNG: {problem}")))?;
        files::write_bytes(self.frame(self.done), &bytes)?;
        self.done += 1;
        Ok(())
    }

    /// Removes the frames, and their folder if nothing else is in it.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::io(path, "remove", source)
        };
        for index in (0..).take_while(|&index| self.frame(index).exists()) {
            std::fs::remove_file(self.frame(index)).map_err(failed(&self.frame(index)))?;
        }
        let record = self.folder.join(RECORD);
        std::fs::remove_file(&record).map_err(failed(&record))?;
        std::fs::remove_dir(&self.folder).map_err(failed(&self.folder))
    }

    fn frame(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{:06}.png", index + 1))
    }
}

/// Encodes a PNG for speed rather than size.
fn quick_png(image: &Image) -> Result<Vec<u8>, png::EncodingError> {
    let rgb = image.in_channels(3);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, rgb.width() as u32, rgb.height() as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb.pixels())?;
    writer.finish()?;
    bytes.flush()?;
    Ok(bytes)
}

/// Stylizes the frames of a video that are not yet in the store. Returns the total number of frames.
///
/// # Errors
/// As [`VideoSource::frames`], [`FrameStylizer::stylize`] and [`FrameStore::add`]. Finished frames stay in the store.
pub fn stylize_video(
    source: &VideoSource,
    stylizer: &mut dyn FrameStylizer,
    store: &mut FrameStore,
    progress: &mut dyn Progress,
) -> Result<usize> {
    let estimate = source.frames_estimate().unwrap_or(0);
    let skipped = store.done();
    let mut count = 0;
    for (index, frame) in source.frames()?.enumerate() {
        let frame = frame?.image;
        count = index + 1;
        if count == skipped {
            stylizer.resume(skipped, &frame, &store.read(index)?)?;
        }
        if count > skipped {
            let image = stylizer.stylize(&frame, [index, estimate.max(count)], progress)?;
            store.add(&image)?;
        }
    }
    Ok(count)
}
