//! Animated images: reads and writes GIF, APNG and WebP, frame by frame.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use ::gif::{DisposalMethod, Encoder as GifEncoder, Frame as GifFrame, Repeat};
use ::png::{BitDepth, BlendOp, ColorType, Encoder as PngEncoder};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::metadata::LoopCount;
use image::{AnimationDecoder, ExtendedColorType, Frames, ImageDecoder, ImageResult, RgbaImage};

use super::frame::{FrameTiming, VideoFrame};
use crate::data::{Image, Limits};
use crate::{Error, Result, files, guard};

/// Speed of the choice of the 256 colors of a GIF frame, from 1 (best quality) to 30 (fastest).
const GIF_SPEED: i32 = 5;
/// Delay that programs use for a GIF frame without one, in milliseconds.
const DEFAULT_DELAY: u32 = 100;
/// Maximum number of frames.
const MAX_FRAMES: usize = 100_000;
/// Maximum side of a WebP image, in pixels.
const WEBP_SIDE: usize = 16_384;

/// A file format of animated images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnimationKind {
    /// GIF: 256 colors per frame; pixels are either opaque or transparent.
    Gif,
    /// Animated PNG.
    Apng,
    /// Animated WebP, written losslessly.
    WebP,
}

impl AnimationKind {
    /// The format that a file name's extension stands for; none for others.
    pub fn of_path(path: impl AsRef<Path>) -> Option<Self> {
        let ending = path.as_ref().extension()?.to_string_lossy().to_lowercase();
        match ending.as_str() {
            "gif" => Some(Self::Gif),
            "png" | "apng" => Some(Self::Apng),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// The format of a file with these first bytes.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match image::guess_format(bytes).ok()? {
            image::ImageFormat::Gif => Some(Self::Gif),
            image::ImageFormat::Png => Some(Self::Apng),
            image::ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::Apng => "PNG",
            Self::WebP => "WebP",
        }
    }
}

/// An animated image.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{Animation, AnimationKind, FrameTiming, VideoFrame, write_animation};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("blink.webp");
/// let timing = FrameTiming { delays: vec![80.0, 120.0], plays: 0 };
/// let frame = |index| Ok(VideoFrame { image: Image::filled(6, 4, &[index as u8 * 90; 3]), alpha: None });
/// write_animation(&path, AnimationKind::WebP, &timing, frame)?;
/// let animation = Animation::open(&path)?.expect("an animated image");
/// assert_eq!((animation.size(), animation.timing()), ([4, 6], &timing));
/// assert_eq!(animation.frames()?.count(), 2);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Animation {
    path: PathBuf,
    kind: AnimationKind,
    bytes: Vec<u8>,
    size: [usize; 2],
    timing: FrameTiming,
}

impl Animation {
    /// Opens an animated GIF, PNG or WebP file; none for files of other formats, such as a video.
    ///
    /// # Errors
    /// [`Error::File`] when it is a still image or damaged, [`Error::Io`] when it cannot be read, [`Error::Limit`] when it is
    /// too large.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        let mut start = [0; 16];
        let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start));
        let read = read.map_err(|source| Error::io(path, "read", source))?;
        let Some(kind) = AnimationKind::of_bytes(&start[..read]) else { return Ok(None) };
        let limits = Limits::default();
        let bytes = files::read_limited(path, limits.file_bytes)?;
        let (size, plays) = header(kind, &bytes, path, &limits)?;
        let mut animation =
            Self { path: path.to_owned(), kind, bytes, size, timing: FrameTiming { delays: Vec::new(), plays } };
        // Delays are stored between the frames, so all frames are decoded once to read them.
        let mut delays = Vec::new();
        for frame in animation.decoded()? {
            delays.push(frame?.1);
            if delays.len() > MAX_FRAMES {
                let what = format!("{}: frames", path.display());
                return Err(Error::Limit { what, got: delays.len() as u64, limit: MAX_FRAMES as u64 });
            }
        }
        if delays.is_empty() {
            return Err(Error::file(path, format!("a {} file without a frame", kind.name())));
        }
        animation.timing.delays = delays;
        Ok(Some(animation))
    }

    /// Height and width of the frames, in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Delays of the frames, and number of repetitions.
    pub fn timing(&self) -> &FrameTiming {
        &self.timing
    }

    /// Decodes the frames in order, each composited over the previous ones.
    ///
    /// # Errors
    /// [`Error::File`] when the file is damaged; each frame can fail in the same way.
    pub fn frames(&self) -> Result<impl Iterator<Item = Result<VideoFrame>> + '_> {
        Ok(self.decoded()?.map(|frame| frame.map(|(frame, _)| frame)))
    }

    /// Decodes the frames, with their delays in milliseconds.
    fn decoded(&self) -> Result<impl Iterator<Item = Result<(VideoFrame, f64)>> + '_> {
        let (kind, path) = (self.kind, &self.path);
        let damaged = move |error: image::ImageError| {
            Error::file(path, format!("is a damaged {} animation: {error}", kind.name()))
        };
        let guarded = || guard::decoder(path, kind.name(), || frames_of(kind, &self.bytes).map_err(damaged));
        let mut frames = guarded()?;
        Ok(std::iter::from_fn(move || {
            let next = || frames.next().transpose().map_err(damaged);
            let frame = guard::decoder(path, kind.name(), next).transpose()?;
            Some(frame.and_then(|frame| {
                let (numerator, denominator) = frame.delay().numer_denom_ms();
                let delay = f64::from(numerator) / f64::from(denominator.max(1));
                let delay = if delay == 0.0 { f64::from(DEFAULT_DELAY) } else { delay };
                Ok((VideoFrame::of_rgba(frame.into_buffer())?, delay))
            }))
        }))
    }
}

/// Reads the size of an animation and its number of plays.
fn header(kind: AnimationKind, bytes: &[u8], path: &Path, limits: &Limits) -> Result<([usize; 2], u32)> {
    let damaged = |problem: String| Error::file(path, format!("is a damaged {} file: {problem}", kind.name()));
    let still = || {
        Error::file(path, format!("is a still {} image, not an animation: `style` stylizes single images", kind.name()))
    };
    let of_count = |count: LoopCount| match count {
        LoopCount::Infinite => 0,
        LoopCount::Finite(times) => times.get(),
    };
    let cursor = Cursor::new(bytes);
    let ((width, height), plays) = match kind {
        AnimationKind::Gif => {
            let decoder = ::gif::Decoder::new(cursor).map_err(|error| damaged(error.to_string()))?;
            let size = (u32::from(decoder.width()), u32::from(decoder.height()));
            let plays = match gif_repeat(bytes) {
                Some(0) => 0,
                // The field counts repetitions after the first play.
                Some(again) => u32::from(again) + 1,
                None => 1,
            };
            (size, plays)
        }
        AnimationKind::Apng => {
            let decoder = PngDecoder::new(cursor).map_err(|error| damaged(error.to_string()))?;
            if !decoder.is_apng().map_err(|error| damaged(error.to_string()))? {
                return Err(still());
            }
            let size = decoder.dimensions();
            let decoder = decoder.apng().map_err(|error| damaged(error.to_string()))?;
            (size, of_count(decoder.loop_count()))
        }
        AnimationKind::WebP => {
            let decoder = WebPDecoder::new(cursor).map_err(|error| damaged(error.to_string()))?;
            if !decoder.has_animation() {
                return Err(still());
            }
            (decoder.dimensions(), of_count(decoder.loop_count()))
        }
    };
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        let what = format!("{}: pixels of a frame of {width}x{height}", path.display());
        return Err(Error::Limit { what, got: pixels, limit: limits.pixels });
    }
    if pixels == 0 {
        return Err(damaged("it has no pixels".into()));
    }
    Ok(([height as usize, width as usize], plays))
}

/// Reads the loop count from a GIF file's NETSCAPE2.0 extension, if there is one. The decoder does not distinguish a file
/// without the extension, which plays once, from one that loops forever.
fn gif_repeat(bytes: &[u8]) -> Option<u16> {
    const MARK: &[u8] = b"\x21\xff\x0bNETSCAPE2.0\x03\x01";
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn frames_of(kind: AnimationKind, bytes: &[u8]) -> ImageResult<Frames<'_>> {
    let cursor = Cursor::new(bytes);
    Ok(match kind {
        AnimationKind::Gif => GifDecoder::new(cursor)?.into_frames(),
        AnimationKind::Apng => PngDecoder::new(cursor)?.apng()?.into_frames(),
        AnimationKind::WebP => WebPDecoder::new(cursor)?.into_frames(),
    })
}

/// Writes an animation atomically; `frame` returns frame number `index`, from 0. All frames must have the size of the first.
///
/// # Errors
/// Those of `frame`; [`Error::Argument`] when the frames differ in size, or are too large for the format; [`Error::Io`] when
/// the file cannot be written.
pub fn write_animation(
    path: impl AsRef<Path>,
    kind: AnimationKind,
    timing: &FrameTiming,
    mut frame: impl FnMut(usize) -> Result<VideoFrame>,
) -> Result<()> {
    let path = path.as_ref();
    let first = frame(0)?;
    let size = [first.image.height(), first.image.width()];
    let mut first = Some(first);
    let mut next = |index: usize| {
        let frame = first.take().map_or_else(|| frame(index), Ok)?;
        if [frame.image.height(), frame.image.width()] != size {
            return Err(Error::argument(format!("frame {} has another size than the first", index + 1)));
        }
        Ok(frame.into_rgba())
    };
    let refused = |problem: String| {
        Error::argument(format!("{}: an animation of {}x{}: {problem}", path.display(), size[1], size[0]))
    };
    let bytes = match kind {
        AnimationKind::Gif => gif(size, timing, &mut next, &refused)?,
        AnimationKind::Apng => apng(size, timing, &mut next, &refused)?,
        AnimationKind::WebP => webp(size, timing, &mut next, &refused)?,
    };
    files::write_bytes(path, &bytes)
}

/// Returns the RGBA bytes of a frame by its number.
type Next<'a> = &'a mut dyn FnMut(usize) -> Result<Vec<u8>>;

fn gif(
    [height, width]: [usize; 2],
    timing: &FrameTiming,
    next: Next<'_>,
    refused: &dyn Fn(String) -> Error,
) -> Result<Vec<u8>> {
    let [Ok(width), Ok(height)] = [width, height].map(u16::try_from) else {
        return Err(refused("a side of a GIF has at most 65535 pixels".into()));
    };
    let failed = |error: ::gif::EncodingError| refused(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes, width, height, &[]).map_err(failed)?;
    match timing.plays {
        0 => encoder.set_repeat(Repeat::Infinite).map_err(failed)?,
        1 => {}
        plays => {
            let again = u16::try_from(plays - 1).unwrap_or(u16::MAX);
            encoder.set_repeat(Repeat::Finite(again)).map_err(failed)?;
        }
    }
    for (index, delay) in timing.rounded(10.0).into_iter().enumerate() {
        let mut rgba = next(index)?;
        let mut opaque = true;
        for pixel in rgba.chunks_exact_mut(4) {
            pixel[3] = if pixel[3] < 128 { 0 } else { 255 };
            opaque &= pixel[3] == 255;
        }
        let mut frame = GifFrame::from_rgba_speed(width, height, &mut rgba, GIF_SPEED);
        frame.delay = u16::try_from(delay).unwrap_or(u16::MAX);
        // Transparent pixels must show the background, not the previous frame.
        frame.dispose = if opaque { DisposalMethod::Keep } else { DisposalMethod::Background };
        encoder.write_frame(&frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(bytes)
}

fn apng(
    [height, width]: [usize; 2],
    timing: &FrameTiming,
    next: Next<'_>,
    refused: &dyn Fn(String) -> Error,
) -> Result<Vec<u8>> {
    let failed = |error: ::png::EncodingError| refused(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_animated(timing.delays.len() as u32, timing.plays).map_err(failed)?;
    encoder.set_blend_op(BlendOp::Source).map_err(failed)?;
    let mut writer = encoder.write_header().map_err(failed)?;
    for (index, delay) in timing.rounded(1.0).into_iter().enumerate() {
        writer.set_frame_delay(u16::try_from(delay).unwrap_or(u16::MAX), 1000).map_err(failed)?;
        writer.write_image_data(&next(index)?).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// Writes a WebP container around still images: the encoder of the crate `image` does not support animations.
///
/// ```text
/// RIFF size WEBP | VP8X flags, width, height | ANIM ground, plays | ANMF place, size, delay, flags, VP8L ... | ANMF ...
/// ```
fn webp(
    [height, width]: [usize; 2],
    timing: &FrameTiming,
    next: Next<'_>,
    refused: &dyn Fn(String) -> Error,
) -> Result<Vec<u8>> {
    const ALPHA: u32 = 0x10;
    const ANIMATION: u32 = 0x02;
    /// Overwrite the previous frame instead of blending.
    const NO_BLEND: u8 = 0x02;
    if height.max(width) > WEBP_SIDE {
        return Err(refused(format!("a side of a WebP image has at most {WEBP_SIDE} pixels")));
    }
    let three = |value: usize| [value as u8, (value >> 8) as u8, (value >> 16) as u8];
    let size = [three(width - 1), three(height - 1)].concat();
    let mut chunks = b"WEBP".to_vec();
    append(&mut chunks, *b"VP8X", &[&(ALPHA | ANIMATION).to_le_bytes()[..], &size].concat());
    let plays = u16::try_from(timing.plays).unwrap_or(u16::MAX);
    append(&mut chunks, *b"ANIM", &[&[0; 4][..], &plays.to_le_bytes()].concat());
    for (index, delay) in timing.rounded(1.0).into_iter().enumerate() {
        let mut still = Vec::new();
        WebPEncoder::new_lossless(&mut still)
            .encode(&next(index)?, width as u32, height as u32, ExtendedColorType::Rgba8)
            .map_err(|error| refused(error.to_string()))?;
        // Skip the 12-byte header of a WebP file.
        let data = still.get(12..).filter(|data| data.starts_with(b"VP8L"));
        let data = data.ok_or_else(|| Error::Bug("a WebP image that does not start with its pixels".into()))?;
        let delay = three((delay as usize).min(0x00ff_ffff));
        append(&mut chunks, *b"ANMF", &[&[0; 6][..], &size, &delay, &[NO_BLEND], data].concat());
    }
    let Ok(length) = u32::try_from(chunks.len()) else {
        return Err(refused("the file would be larger than 4 GB".into()));
    };
    Ok([&b"RIFF"[..], &length.to_le_bytes(), &chunks].concat())
}

/// Appends a RIFF chunk, padded to an even length.
fn append(chunks: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    chunks.extend(name);
    chunks.extend((data.len() as u32).to_le_bytes());
    chunks.extend(data);
    chunks.resize(chunks.len().next_multiple_of(2), 0);
}

impl VideoFrame {
    /// Converts a decoded frame. Fully transparent pixels become white, as in other images.
    fn of_rgba(rgba: RgbaImage) -> Result<Self> {
        let (width, height) = (rgba.width() as usize, rgba.height() as usize);
        let alpha: Vec<u8> = rgba.pixels().map(|pixel| pixel.0[3]).collect();
        let rgb = rgba.pixels().flat_map(|&image::Rgba([r, g, b, a])| if a == 0 { [255; 3] } else { [r, g, b] });
        let image = Image::new(width, height, 3, rgb.collect())?;
        let opaque = alpha.iter().all(|&level| level == 255);
        let alpha = if opaque { None } else { Some(Image::new(width, height, 1, alpha)?) };
        Ok(Self { image, alpha })
    }

    fn into_rgba(self) -> Vec<u8> {
        let rgb = self.image.in_channels(3);
        let level = |index: usize| self.alpha.as_ref().map_or(255, |alpha| alpha.pixels()[index]);
        rgb.pixels().chunks_exact(3).enumerate().flat_map(|(at, p)| [p[0], p[1], p[2], level(at)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [20, 30];

    /// A square of few colors that moves over a transparent background.
    fn frame(index: usize) -> VideoFrame {
        let [height, width] = SIZE;
        let inside = |at: usize| {
            let (y, x) = (at / width, at % width);
            (4..12).contains(&y) && (3 * index + 2..3 * index + 12).contains(&x)
        };
        let rgb = (0..height * width).flat_map(|at| if inside(at) { [200, 40, 90] } else { [255; 3] });
        let alpha = (0..height * width).map(|at| if inside(at) { 255 } else { 0 });
        VideoFrame {
            image: Image::new(width, height, 3, rgb.collect()).unwrap(),
            alpha: Some(Image::new(width, height, 1, alpha.collect()).unwrap()),
        }
    }

    #[test]
    fn frames_delays_and_repetitions_come_back() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, name) in
            [(AnimationKind::Gif, "a.gif"), (AnimationKind::Apng, "a.png"), (AnimationKind::WebP, "a.webp")]
        {
            for plays in [0, 1, 3] {
                let path = folder.path().join(name);
                let timing = FrameTiming { delays: vec![50.0, 120.0, 300.0], plays };
                write_animation(&path, kind, &timing, |index| Ok(frame(index))).unwrap();
                let animation = Animation::open(&path).unwrap().unwrap();
                assert_eq!(AnimationKind::of_path(&path), Some(kind));
                assert_eq!((animation.size(), animation.timing()), (SIZE, &timing), "{name}");
                for (index, read) in animation.frames().unwrap().enumerate() {
                    let (read, wanted) = (read.unwrap(), frame(index));
                    assert_eq!(read.alpha, wanted.alpha, "{name} {index}");
                    let difference = read.image.pixels().iter().zip(wanted.image.pixels()).map(|(a, b)| a.abs_diff(*b));
                    assert!(difference.max() < Some(4), "{name} {index}");
                }
            }
        }
    }

    #[test]
    fn still_images_damage_and_videos() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("still.png");
        Image::filled(8, 8, &[9; 3]).save_png(&path).unwrap();
        assert!(Animation::open(&path).unwrap_err().to_string().contains("still PNG image"));
        std::fs::write(&path, b"\0\0\0\x20ftypisom").unwrap();
        assert!(Animation::open(&path).unwrap().is_none());
        let path = folder.path().join("cut.webp");
        let timing = FrameTiming { delays: vec![50.0; 3], plays: 0 };
        write_animation(&path, AnimationKind::WebP, &timing, |index| Ok(frame(index))).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
        assert!(Animation::open(&path).unwrap_err().to_string().contains("cut.webp"));
        let other = |index: usize| Ok(VideoFrame { image: Image::filled(8 + index, 8, &[1; 3]), alpha: None });
        let error = write_animation(&path, AnimationKind::Gif, &timing, other).unwrap_err();
        assert!(error.to_string().contains("frame 2 has another size"), "{error}");
    }
}
