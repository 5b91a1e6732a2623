//! Stylized image files, with the opacity and the color profile of the content's file.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::Canvas;
use crate::data::{FileKind, Filter, Image, JPEG_QUALITY, Limits};
use crate::{Error, Result, files};

/// A content image file.
#[derive(Debug, Clone)]
pub struct ContentFile {
    /// The pixels, rotated according to the EXIF orientation.
    pub image: Image,
    /// The opacity as a gray image, unless fully opaque.
    pub alpha: Option<Image>,
    /// The ICC color profile.
    pub profile: Option<Vec<u8>>,
}

impl ContentFile {
    /// Reads an image file.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let limits = Limits::default();
        let bytes = files::read_limited(path, limits.file_bytes)?;
        let (image, alpha, profile) = Image::decode_all(&bytes, path, &limits)?;
        Ok(Self { image, alpha: alpha.filter(|alpha| alpha.pixels().iter().any(|&level| level != 255)), profile })
    }
}

/// A stylized image and its metadata.
#[derive(Debug, Clone)]
pub struct StyledImage<'a> {
    /// The image.
    pub canvas: &'a Canvas,
    /// The opacity, at any size, if not fully opaque.
    pub alpha: Option<&'a Image>,
    /// The ICC color profile.
    pub profile: Option<&'a [u8]>,
    /// A description of how the image was created, for the metadata.
    pub note: &'a str,
}

impl StyledImage<'_> {
    /// Encodes the image.
    ///
    /// # Errors
    /// [`Error::Argument`] when a side is too long for the format.
    pub fn bytes(&self, kind: FileKind, bits: u8) -> Result<Vec<u8>> {
        let [height, width] = self.canvas.size;
        let refused = |problem: String| Error::argument(format!("an image of {width}x{height} as a file: {problem}"));
        let [Ok(w), Ok(h)] = [width, height].map(u32::try_from) else {
            return Err(refused("it is too large".into()));
        };
        let opaque = kind == FileKind::Jpeg || self.alpha.is_none();
        let samples = self.samples(opaque)?;
        let channels = if opaque { 3 } else { 4 };
        let wide = bits == 16;
        // Both encoders expect 16-bit samples in native byte order.
        let bytes: Vec<u8> = match wide {
            true => samples.iter().flat_map(|value| ((value * 257.0).round() as u16).to_ne_bytes()).collect(),
            false => samples.iter().map(|value| value.round() as u8).collect(),
        };
        let color = match (wide, opaque) {
            (false, true) => ExtendedColorType::Rgb8,
            (false, false) => ExtendedColorType::Rgba8,
            (true, true) => ExtendedColorType::Rgb16,
            (true, false) => ExtendedColorType::Rgba16,
        };
        let profile = self.profile.map(<[u8]>::to_vec);
        let mut out = Vec::new();
        match kind {
            FileKind::Png => {
                let mut encoder =
                    PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive);
                if let Some(profile) = profile {
                    encoder.set_icc_profile(profile).map_err(|e| refused(e.to_string()))?;
                }
                encoder.write_image(&bytes, w, h, color).map_err(|e| refused(e.to_string()))?;
                Ok(with_png_text(out, self.note))
            }
            FileKind::Jpeg => {
                let mut encoder = JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY);
                if let Some(profile) = profile {
                    encoder.set_icc_profile(profile).map_err(|e| refused(e.to_string()))?;
                }
                encoder.write_image(&bytes, w, h, color).map_err(|e| refused(e.to_string()))?;
                Ok(with_jpeg_comment(out, self.note))
            }
            FileKind::Tiff => {
                tiff(&bytes, [w, h], channels, bits, self.profile, self.note).map_err(|e| refused(e.to_string()))
            }
        }
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// As [`StyledImage::bytes`], and [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, bits: u8) -> Result<()> {
        let path = path.as_ref();
        files::write_bytes(path, &self.bytes(FileKind::of_path(path, bits)?, bits)?)
    }

    /// Colors from 0 to 255, each pixel followed by its opacity, if any.
    fn samples(&self, opaque: bool) -> Result<Vec<f32>> {
        let colors = self.canvas.values.iter().map(|value| value.clamp(0.0, 255.0));
        let Some(alpha) = self.alpha.filter(|_| !opaque) else { return Ok(colors.collect()) };
        let [height, width] = self.canvas.size;
        let alpha = alpha.resize(width, height, Filter::Bilinear)?;
        let mut samples = Vec::with_capacity(4 * width * height);
        for (rgb, &level) in self.canvas.values.chunks_exact(3).zip(alpha.pixels()) {
            samples.extend(rgb.iter().map(|value| value.clamp(0.0, 255.0)));
            samples.push(f32::from(level));
        }
        Ok(samples)
    }
}

/// Inserts a comment into a PNG file as UTF-8 (iTXt), after its header.
fn with_png_text(png: Vec<u8>, note: &str) -> Vec<u8> {
    const HEADER: usize = 33;
    let mut data = b"iTXtComment\0\0\0\0\0".to_vec();
    data.extend_from_slice(note.as_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    let mut out = png[..HEADER].to_vec();
    out.extend(((data.len() - 4) as u32).to_be_bytes());
    out.extend(&data);
    out.extend(crc.sum().to_be_bytes());
    out.extend(&png[HEADER..]);
    out
}

/// Inserts a comment into a JPEG file, after its first segment.
fn with_jpeg_comment(jpeg: Vec<u8>, note: &str) -> Vec<u8> {
    let first = 2 + 2 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    let note = &note.as_bytes()[..note.len().min(65_000)];
    let mut out = jpeg[..first].to_vec();
    out.extend([0xff, 0xfe]);
    out.extend((note.len() as u16 + 2).to_be_bytes());
    out.extend(note);
    out.extend(&jpeg[first..]);
    out
}

/// Encodes a baseline TIFF with a single strip, Deflate compression, and native byte order.
fn tiff(
    samples: &[u8],
    [width, height]: [u32; 2],
    channels: u16,
    bits: u8,
    profile: Option<&[u8]>,
    note: &str,
) -> std::io::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(samples)?;
    let strip = packed.finish()?;
    let mut out = if cfg!(target_endian = "little") { b"II".to_vec() } else { b"MM".to_vec() };
    out.extend(42_u16.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    let mut entries: Vec<(u16, u16, u32, [u8; 4])> = Vec::new();
    let short = |value: u16| {
        let [a, b] = value.to_ne_bytes();
        [a, b, 0, 0]
    };
    let mut append = |bytes: &[u8]| {
        out.resize(out.len().next_multiple_of(2), 0);
        let at = out.len() as u32;
        out.extend_from_slice(bytes);
        at.to_ne_bytes()
    };
    let depths: Vec<u8> = (0..channels).flat_map(|_| u16::from(bits).to_ne_bytes()).collect();
    let text = [note.as_bytes(), b"\0"].concat();
    let software = concat!("Lucida ", env!("CARGO_PKG_VERSION"), "\0").as_bytes();
    let (byte, ascii, small, large) = (1, 2, 3, 4);
    entries.push((256, large, 1, width.to_ne_bytes()));
    entries.push((257, large, 1, height.to_ne_bytes()));
    entries.push((258, small, channels.into(), append(&depths)));
    entries.push((259, small, 1, short(8)));
    entries.push((262, small, 1, short(2)));
    entries.push((270, ascii, text.len() as u32, append(&text)));
    entries.push((273, large, 1, append(&strip)));
    entries.push((277, small, 1, short(channels)));
    entries.push((278, large, 1, height.to_ne_bytes()));
    entries.push((279, large, 1, (strip.len() as u32).to_ne_bytes()));
    entries.push((284, small, 1, short(1)));
    entries.push((305, ascii, software.len() as u32, append(software)));
    if channels == 4 {
        entries.push((338, small, 1, short(2)));
    }
    if let Some(profile) = profile {
        entries.push((34_675, byte, profile.len() as u32, append(profile)));
    }
    let directory = append(&[]);
    out[4..8].copy_from_slice(&directory);
    out.extend((entries.len() as u16).to_ne_bytes());
    for (tag, kind, count, value) in entries {
        out.extend(tag.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(count.to_ne_bytes());
        out.extend(value);
    }
    out.extend(0_u32.to_ne_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use image::ImageDecoder;

    use super::*;

    fn canvas() -> Canvas {
        Canvas { size: [9, 14], values: (0..9 * 14 * 3).map(|i| (i % 256) as f32 + 0.25).collect() }
    }

    #[test]
    fn files_hold_pixels_opacity_profile_and_note() {
        let canvas = canvas();
        let alpha = Image::new(14, 9, 1, (0..126).map(|i| 2 * i as u8).collect()).unwrap();
        let profile: &[u8] = b"a profile of some length";
        for (name, bits) in [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tif", 16), ("a.jpg", 8)] {
            for alpha in [None, Some(&alpha)] {
                let styled = StyledImage { canvas: &canvas, alpha, profile: Some(profile), note: "made by hand: ü" };
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join(name);
                styled.save(&path, bits).unwrap();
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(16).any(|window| window == "made by hand: ü".as_bytes());
                assert!(found, "{name}");
                let mut decoder = image::ImageReader::new(std::io::Cursor::new(&bytes))
                    .with_guessed_format()
                    .unwrap()
                    .into_decoder()
                    .unwrap();
                // The decoder rejects a profile in a TIFF as small as this one; our own reader is tested below.
                if FileKind::of_path(&path, bits).unwrap() != FileKind::Tiff {
                    assert_eq!(decoder.icc_profile().unwrap().as_deref(), Some(profile), "{name}");
                }
                let decoded = image::DynamicImage::from_decoder(decoder).unwrap();
                assert_eq!((decoded.width(), decoded.height()), (14, 9));
                if name == "a.jpg" {
                    continue;
                }
                assert_eq!(decoded.color().has_alpha(), alpha.is_some());
                assert_eq!(decoded.color().bytes_per_pixel() / decoded.color().channel_count(), bits / 8);
                let got = decoded.to_rgba16();
                for (pixel, values) in got.pixels().zip(canvas.values.chunks(3)) {
                    for (&got, &value) in pixel.0.iter().zip(values) {
                        let difference = f32::from(got) / 257.0 - value.min(255.0);
                        assert!(
                            difference.abs() <= if bits == 16 { 0.002 } else { 0.5 },
                            "{name} {bits}: {difference}"
                        );
                    }
                }
                let original = ContentFile::open(&path).unwrap();
                assert_eq!(original.profile.as_deref(), Some(profile), "{name}");
                assert_eq!(original.alpha.as_ref(), alpha);
            }
        }
    }

    #[test]
    fn names_say_the_kind() {
        assert_eq!(FileKind::of_path(Path::new("a.TIFF"), 16).unwrap(), FileKind::Tiff);
        assert!(FileKind::of_path(Path::new("a.gif"), 8).unwrap_err().to_string().contains("must end in .png"));
        assert!(FileKind::of_path(Path::new("a.jpg"), 16).unwrap_err().to_string().contains("16 bits go with"));
    }
}
