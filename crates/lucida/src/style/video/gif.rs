//! Records the progress of an optimization as an animated GIF.

use std::path::Path;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

use crate::data::{Filter, Image};
use crate::{Error, Result, files};

/// Maximum longer side of an animation in pixels: GIF compresses poorly.
const LONGEST: usize = 480;
/// Duration of a frame, and of the last one, in milliseconds.
const DELAY: u32 = 80;
const LAST_DELAY: u32 = 2000;
/// Speed of the choice of the 256 colors of a frame, from 1 (best quality) to 30 (fastest).
const SPEED: i32 = 10;

/// Records frames of an animation.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::GifRecorder;
///
/// let mut recorder = GifRecorder::new([24, 32]);
/// for gray in [0, 100, 200] {
///     recorder.add(&Image::filled(64, 48, &[gray, gray, gray]))?;
/// }
/// assert!(recorder.gif()?.starts_with(b"GIF89a"));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GifRecorder {
    /// Width and height in pixels.
    size: [usize; 2],
    frames: Vec<Image>,
}

impl GifRecorder {
    /// Creates a recorder for images of a height and width.
    pub fn new([height, width]: [usize; 2]) -> Self {
        let longer = height.max(width).max(1);
        let scaled = |side: usize| (side * longer.min(LONGEST) / longer).max(1);
        Self { size: [scaled(width), scaled(height)], frames: Vec::new() }
    }

    /// Adds a frame of any size.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn add(&mut self, image: &Image) -> Result<()> {
        self.frames.push(image.to_rgb().resize(self.size[0], self.size[1], Filter::Bilinear)?);
        Ok(())
    }

    /// Encodes a GIF file that loops forever and pauses at the last frame.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no frame.
    pub fn gif(&self) -> Result<Vec<u8>> {
        let failed =
            |problem: String| Error::argument(format!("an animation of {} frames: {problem}", self.frames.len()));
        if self.frames.is_empty() {
            return Err(failed("there is nothing to show".into()));
        }
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
        encoder.set_repeat(Repeat::Infinite).map_err(|e| failed(e.to_string()))?;
        for (index, frame) in self.frames.iter().enumerate() {
            let rgba = frame.pixels().chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
            let buffer = RgbaImage::from_raw(self.size[0] as u32, self.size[1] as u32, rgba)
                .ok_or_else(|| Error::Bug("a frame of another size".into()))?;
            let delay = if index + 1 == self.frames.len() { LAST_DELAY } else { DELAY };
            let frame = Frame::from_parts(buffer, 0, 0, Delay::from_numer_denom_ms(delay, 1));
            encoder.encode_frame(frame).map_err(|e| failed(e.to_string()))?;
        }
        drop(encoder);
        Ok(bytes)
    }

    /// Writes the GIF file atomically.
    ///
    /// # Errors
    /// As [`GifRecorder::gif`], and [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_bytes(path, &self.gif()?)
    }
}

#[cfg(test)]
mod tests {
    use image::AnimationDecoder;

    use super::*;

    #[test]
    fn frames_come_back() {
        let mut recorder = GifRecorder::new([300, 960]);
        assert!(recorder.gif().unwrap_err().to_string().contains("nothing to show"));
        for level in [0, 120, 250] {
            recorder.add(&Image::filled(96, 30, &[level, 255 - level, 7])).unwrap();
        }
        let bytes = recorder.gif().unwrap();
        let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(&bytes)).unwrap();
        let frames = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2].buffer().dimensions(), (480, 150));
        assert!(frames[2].buffer().pixels().all(|p| p.0[0].abs_diff(250) < 4 && p.0[2].abs_diff(7) < 4));
        assert_eq!(frames[2].delay().numer_denom_ms().0, 2000);
    }
}
