//! Video input: an animated image, or a file that ffmpeg decodes.

use std::path::Path;

use super::animation::{Animation, AnimationKind, write_animation};
use super::ffmpeg::{VideoEncoding, VideoFile, check_video, write_video};
use super::frame::{FrameTiming, VideoFrame};
use crate::data::Image;
use crate::{Error, Result};

/// A video to stylize.
#[derive(Debug, Clone)]
pub enum VideoSource {
    /// An animated GIF, PNG, or WebP.
    Animation(Animation),
    /// Any other video, decoded by ffmpeg.
    File(VideoFile),
}

impl VideoSource {
    /// Opens a file of either kind.
    ///
    /// # Errors
    /// As [`Animation::open`] and [`VideoFile::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(match Animation::open(path)? {
            Some(animation) => Self::Animation(animation),
            None => Self::File(VideoFile::open(path)?),
        })
    }

    /// Number of frames, if known; approximate for a video file.
    pub fn frames_estimate(&self) -> Option<usize> {
        match self {
            Self::Animation(animation) => Some(animation.timing().delays.len()),
            Self::File(file) => file.frames_estimate(),
        }
    }

    /// Decodes the frames in order.
    ///
    /// # Errors
    /// As [`Animation::frames`] and [`VideoFile::frames`].
    pub fn frames(&self) -> Result<Box<dyn Iterator<Item = Result<VideoFrame>> + '_>> {
        Ok(match self {
            Self::Animation(animation) => Box::new(animation.frames()?),
            Self::File(file) => Box::new(file.frames()?),
        })
    }

    /// Checks that this video can be written under a name, before any frame is stylized: ffmpeg encodes a moment of it.
    ///
    /// # Errors
    /// [`Error::Argument`] when the extension is not that of a video; [`Error::Unsupported`] when ffmpeg is needed and not
    /// installed; [`Error::File`] when ffmpeg cannot write the format, or not with this sound.
    pub fn check_output(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match AnimationKind::of_path(path) {
            Some(_) => Ok(()),
            None => check_video(path, self.sound()),
        }
    }

    /// The video whose sound is copied.
    fn sound(&self) -> Option<&VideoFile> {
        match self {
            Self::File(file) => Some(file).filter(|file| file.has_sound()),
            Self::Animation(_) => None,
        }
    }

    /// Writes `count` images as a video with the timing, the opacity and the sound of this one: an animated image or, with
    /// ffmpeg, a video file, depending on the extension. `image` returns number `index`, from 0. Returns the height and width
    /// of the video: those of a video file are even.
    ///
    /// # Errors
    /// As [`write_animation`] and [`write_video`], and those of `image`.
    pub fn write_as(
        &self,
        path: impl AsRef<Path>,
        count: usize,
        mut image: impl FnMut(usize) -> Result<Image>,
    ) -> Result<[usize; 2]> {
        let path = path.as_ref();
        if count == 0 {
            return Err(Error::argument(format!("{}: a video without a frame", path.display())));
        }
        let timing = match self {
            Self::Animation(animation) => animation.timing().clone(),
            Self::File(file) => FrameTiming::of_rate(count, file.rate()),
        };
        if let Some(kind) = AnimationKind::of_path(path) {
            let (mut opacity, mut size) = (self.opacity()?, [0; 2]);
            write_animation(path, kind, &timing, |index| {
                let image = image(index)?;
                size = [image.height(), image.width()];
                let alpha = opacity.next().transpose()?.flatten();
                let [width, height] = [image.width(), image.height()];
                let alpha =
                    alpha.map(|alpha| alpha.resize(width, height, crate::data::Filter::Bilinear)).transpose()?;
                Ok(VideoFrame { image, alpha })
            })?;
            return Ok(size);
        }
        let (rate, repeats) = match self {
            Self::Animation(_) => timing.constant_rate(),
            Self::File(file) => (file.rate(), vec![1; count]),
        };
        let first = image(0)?;
        let encoding = VideoEncoding { size: [first.height(), first.width()], rate, sound: self.sound() };
        let mut order = repeats.iter().enumerate().flat_map(|(index, &times)| std::iter::repeat_n(index, times));
        let mut held = (0, first);
        write_video(path, &encoding, || {
            let Some(index) = order.next() else { return Ok(None) };
            if held.0 != index {
                held = (index, image(index)?);
            }
            Ok(Some(held.1.clone()))
        })?;
        Ok(encoding.written_size())
    }

    /// The opacity of each frame.
    fn opacity(&self) -> Result<Box<dyn Iterator<Item = Result<Option<Image>>> + '_>> {
        Ok(match self {
            Self::Animation(animation) => Box::new(animation.frames()?.map(|frame| frame.map(|frame| frame.alpha))),
            Self::File(_) => Box::new(std::iter::repeat_with(|| Ok(None))),
        })
    }
}
