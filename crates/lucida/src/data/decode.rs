//! Decoding image files to [`Image`]: JPEG, PNG, BMP, GIF (first frame), TIFF and WebP.
//!
//! The result is always 8-bit gray or RGB: palettes are resolved, 16-bit and float samples are rounded, CMYK is converted,
//! transparency is composited over white (like paper, and as in most viewers), and the EXIF orientation is applied. The
//! format is detected from the content; the file name is never trusted.

mod tiff;

use std::io::Cursor;
use std::path::Path;

use image::codecs::tiff::TiffDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{Image, Limits};
use crate::{Error, Result, files, guard};

/// The decoders' allocation limit in bytes per pixel: four channels of 16 bits, twice.
const BYTES_PER_PIXEL: u64 = 16;

/// The additional allocation limit in bytes, for tables and metadata.
const BYTES_BESIDES: u64 = 16 << 20;

/// An image with its alpha channel as gray, and its ICC profile, if present.
pub(crate) type Parts = (Image, Option<Image>, Option<Vec<u8>>);

impl Image {
    /// Reads an image file, with the default limits.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; as [`Image::decode`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_with(path, &Limits::default())
    }

    /// Reads an image file of at most `limits.file_bytes` bytes and `limits.pixels` pixels.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        Self::decode(&files::read_limited(path, limits.file_bytes)?, path, limits)
    }

    /// Decodes the bytes of an image file; `name` is used in errors.
    ///
    /// ```
    /// use lucida::data::Limits;
    /// use lucida::prelude::*;
    ///
    /// let file = Image::filled(4, 3, &[255, 0, 0]).png_bytes()?;
    /// let image = Image::decode(&file, "red.png", &Limits::default())?;
    /// assert_eq!(image.pixel(0, 0), [255, 0, 0]);
    /// assert!(Image::decode(b"not an image", "red.png", &Limits::default()).is_err());
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] when the bytes are not an image, are damaged or truncated, or the decoder fails;
    /// [`Error::Unsupported`] for an unsupported format or variant; [`Error::Limit`] when the header declares more than
    /// `limits.pixels`, before anything is allocated for them.
    pub fn decode(bytes: &[u8], name: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let name = name.as_ref();
        Ok(Self::decode_all(bytes, name, limits)?.0)
    }

    /// Creates an image from pixels with 2 (gray and alpha) or 4 (RGBA) channels, composited over white like transparent
    /// files.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let image = Image::over_white(2, 1, 4, &[255, 0, 0, 255, 255, 0, 0, 0])?;
    /// assert_eq!(image.pixels(), [255, 0, 0, 255, 255, 255]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn over_white(width: usize, height: usize, channels: usize, pixels: &[u8]) -> Result<Self> {
        let stride = match channels {
            2 => 2,
            4 => 4,
            _ => return Err(Error::argument(format!("an image with opacity has 2 or 4 channels, not {channels}"))),
        };
        if !pixels.len().is_multiple_of(channels) {
            return Err(Error::argument(format!("{} bytes are not pixels of {channels} channels", pixels.len())));
        }
        Self::new(width, height, channels - 1, over_white(pixels, stride, |value| f32::from(value) / 255.0))
    }

    /// As [`Image::decode`], with the alpha channel as gray and the ICC profile, if present.
    pub(crate) fn decode_all(bytes: &[u8], name: &Path, limits: &Limits) -> Result<Parts> {
        let format = recognize(bytes, name)?;
        guard::decoder(name, &format!("{format:?}"), || Self::decode_as(format, bytes, name, limits))
    }

    fn decode_as(format: ImageFormat, bytes: &[u8], name: &Path, limits: &Limits) -> Result<Parts> {
        let failed = |error| explain(error, format, name, limits);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut allowed = image::Limits::no_limits();
        allowed.max_alloc = Some(limits.pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(BYTES_BESIDES));
        reader.limits(allowed);
        let mut decoder = match reader.into_decoder() {
            Err(ImageError::Unsupported(unsupported)) if format == ImageFormat::Tiff => {
                let image = tiff::read(bytes, name, limits)?;
                let image = image.ok_or_else(|| failed(ImageError::Unsupported(unsupported)))?;
                return Self::of_decoded(image, name, None);
            }
            decoder => decoder.map_err(failed)?,
        };
        let (width, height) = decoder.dimensions();
        check_size(width, height, name, limits)?;
        if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
            return Err(Error::file(name, "truncated JPEG: the end marker is missing"));
        }
        // Invalid metadata does not make an image invalid.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let profile = match format {
            // With limits, this decoder restricts profiles to a fraction of the pixel size, which is too little for small
            // images. Without them, it has its own limit.
            ImageFormat::Tiff => TiffDecoder::new(Cursor::new(bytes)).and_then(|mut decoder| decoder.icc_profile()),
            _ => decoder.icc_profile(),
        };
        let profile = profile.ok().flatten();
        let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
        image.apply_orientation(orientation);
        Self::of_decoded(image, name, profile)
    }

    fn of_decoded(image: DynamicImage, name: &Path, profile: Option<Vec<u8>>) -> Result<Parts> {
        let alpha = opacity(&image);
        let missing = || Error::Bug(format!("{}: a color type without a conversion", name.display()));
        Ok((from_image(image).ok_or_else(missing)?, alpha, profile))
    }
}

/// Checks the size declared by a header, before anything is allocated for it.
fn check_size(width: u32, height: u32, name: &Path, limits: &Limits) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        let what = format!("{}: size in pixels ({width}x{height})", name.display());
        return Err(Error::Limit { what, got: pixels, limit: limits.pixels });
    }
    if pixels == 0 {
        return Err(Error::file(name, format!("has no pixels: its size is {width}x{height}")));
    }
    Ok(())
}

/// Detects the format of an image from its first bytes.
fn recognize(bytes: &[u8], name: &Path) -> Result<ImageFormat> {
    if bytes.is_empty() {
        return Err(Error::file(name, "not an image: the file is empty"));
    }
    if let Some(kind) = phone_format(bytes) {
        return Err(Error::Unsupported(format!(
            "{}: is {kind} image, which is not supported: convert it to JPEG first, as with `magick mogrify -format jpg \
             FILE` (ImageMagick), or let the phone store JPEG",
            name.display()
        )));
    }
    match image::guess_format(bytes) {
        Ok(format) if format.reading_enabled() => Ok(format),
        Ok(format) => Err(Error::Unsupported(format!(
            "{}: {format:?} images are not supported; use JPEG, PNG, BMP, GIF, TIFF or WebP",
            name.display()
        ))),
        Err(_) => {
            let start = &bytes[..bytes.len().min(12)];
            let shown = if start.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic()) {
                format!("\"{}\"", String::from_utf8_lossy(start))
            } else {
                start.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
            };
            let problem = format!("not an image: it starts with {shown}; expected JPEG, PNG, BMP, GIF, TIFF or WebP");
            Err(Error::file(name, problem))
        }
    }
}

/// The name, with an article, of a format for phone photos that would need a video decoder: HEIC or AVIF.
fn phone_format(bytes: &[u8]) -> Option<&'static str> {
    // A box of type `ftyp`, followed by the brand (ISO/IEC 23008-12).
    match (bytes.get(4..8)?, bytes.get(8..12)?) {
        (b"ftyp", b"avif" | b"avis") => Some("an AVIF"),
        (b"ftyp", b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => Some("a HEIC"),
        _ => None,
    }
}

/// The official name of a format.
fn title(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::WebP => "WebP",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Png => "PNG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        _ => "encoded",
    }
}

/// Converts a decoder's error to the corresponding kind, with a one-line message.
fn explain(error: ImageError, format: ImageFormat, name: &Path, limits: &Limits) -> Error {
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::file(name, format!("truncated {} image", title(format)))
        }
        ImageError::Limits(_) => Error::file(
            name,
            format!("needs more memory than its {format:?} decoder is given for {} pixels: {detail}", limits.pixels),
        ),
        ImageError::Unsupported(_) => Error::Unsupported(format!("{}: {detail}", name.display())),
        _ => Error::file(name, format!("is a damaged {} image: {detail}", title(format))),
    }
}

/// Whether a JPEG file reaches its end marker. The decoder silently fills missing parts with gray.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut rest = &bytes[2.min(bytes.len())..];
    // Outside of scans, the file is a sequence of segments with lengths; a thumbnail's end marker is inside a segment.
    // Inside a scan, 0xff is followed by 0x00 (a stuffed byte) or 0xd0 to 0xd7 (a restart).
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        let Some(&marker) = rest.get(at + 1) else { return false };
        rest = match marker {
            END => return true,
            0xff => &rest[at + 1..],
            0x00 | 0x01 | 0xd0..=0xd8 => &rest[at + 2..],
            _ => {
                let Some(&[high, low]) = rest.get(at + 2..at + 4) else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(at + 2 + length..) else { return false };
                after
            }
        };
    }
    false
}

/// Converts to 8-bit gray or RGB; `None` for a color type unknown to this version.
fn from_image(image: DynamicImage) -> Option<Image> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (channels, pixels) = match image.color() {
        ColorType::L8 | ColorType::Rgb8 => (image.color().channel_count(), image.into_bytes()),
        ColorType::La8 | ColorType::Rgba8 => {
            let stride = image.color().channel_count();
            (stride - 1, over_white(&image.into_bytes(), stride, |value| f32::from(value) / 255.0))
        }
        ColorType::L16 | ColorType::Rgb16 | ColorType::La16 | ColorType::Rgba16 => {
            let stride = image.color().channel_count();
            let samples: &[u16] = match &image {
                DynamicImage::ImageLuma16(buffer) => buffer,
                DynamicImage::ImageRgb16(buffer) => buffer,
                DynamicImage::ImageLumaA16(buffer) => buffer,
                DynamicImage::ImageRgba16(buffer) => buffer,
                _ => return None,
            };
            to_bytes(samples, stride, |value| f32::from(value) / 65535.0)
        }
        ColorType::Rgb32F | ColorType::Rgba32F => {
            let stride = image.color().channel_count();
            let samples: &[f32] = match &image {
                DynamicImage::ImageRgb32F(buffer) => buffer,
                DynamicImage::ImageRgba32F(buffer) => buffer,
                _ => return None,
            };
            to_bytes(samples, stride, |value| value)
        }
        _ => return None,
    };
    Image::new(width, height, channels.into(), pixels).ok()
}

/// The alpha channel as gray, if present.
fn opacity(image: &DynamicImage) -> Option<Image> {
    if !image.color().has_alpha() {
        return None;
    }
    let levels = image.to_rgba8().pixels().map(|pixel| pixel.0[3]).collect();
    Image::new(image.width() as usize, image.height() as usize, 1, levels).ok()
}

/// The channels without alpha, and their bytes; `unit` maps samples to 0..1.
fn to_bytes<T: Copy>(samples: &[T], stride: u8, unit: impl Fn(T) -> f32) -> (u8, Vec<u8>) {
    if stride.is_multiple_of(2) {
        (stride - 1, over_white(samples, stride, unit))
    } else {
        (stride, samples.iter().map(|&value| byte(unit(value))).collect())
    }
}

/// Composites pixels, whose last channel is alpha, over white.
fn over_white<T: Copy>(samples: &[T], stride: u8, unit: impl Fn(T) -> f32) -> Vec<u8> {
    let colors = usize::from(stride) - 1;
    let mut bytes = Vec::with_capacity(samples.len() / usize::from(stride) * colors);
    for pixel in samples.chunks_exact(usize::from(stride)) {
        let alpha = unit(pixel[colors]);
        bytes.extend(pixel[..colors].iter().map(|&value| byte(unit(value) * alpha + (1.0 - alpha))));
    }
    bytes
}

/// Maps 0..1 to 0..255; values outside are clipped, and NaN becomes 0.
fn byte(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests;
