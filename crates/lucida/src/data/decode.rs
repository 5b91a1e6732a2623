//! From an image file to a [`Image`]: JPEG, PNG, BMP, GIF (its first frame), TIFF and WebP.
//!
//! Whatever the file holds becomes 8-bit gray or RGB: palettes are looked up, 16 bits and floats are rounded, CMYK is
//! converted, transparency is laid over white (as paper, and as most viewers show it), and the turn that a camera
//! notes in EXIF is made. The format is told by the content; the name of a file is never trusted.

mod tiff;

use std::io::Cursor;
use std::path::Path;

use image::codecs::tiff::TiffDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{Image, Limits};
use crate::{Error, Result, files, guard};

/// What the decoders may allocate for a pixel: four channels of 16 bits, twice.
const BYTES_PER_PIXEL: u64 = 16;

/// What they may allocate in addition, for tables and metadata.
const BYTES_BESIDES: u64 = 16 << 20;

/// An image, its opacity in gray and its ICC profile, where it has them.
pub(crate) type Parts = (Image, Option<Image>, Option<Vec<u8>>);

impl Image {
    /// Reads an image file, with the default limits.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, else as [`Image::decode`].
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

    /// Decodes the bytes of an image file; `name` is the file that errors name.
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
    /// [`Error::File`] when the bytes are not an image, or a damaged one, or one cut short, or the decoder fails on them;
    /// [`Error::Unsupported`]
    /// for a format or a variety that cannot be read; [`Error::Limit`] when the header declares more than
    /// `limits.pixels`, before anything is allocated for them.
    pub fn decode(bytes: &[u8], name: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let name = name.as_ref();
        Ok(Self::decode_all(bytes, name, limits)?.0)
    }

    /// An image from its pixels with `channels` 2 (gray and opacity) or 4 (RGB and opacity), laid over white, as transparent
    /// files are.
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

    /// As [`Image::decode`], with the opacity, in gray, and the ICC profile, where the file has them.
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
            return Err(Error::file(name, "is a JPEG image cut short: its end marker is missing"));
        }
        // Unreadable metadata does not make an image invalid.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let profile = match format {
            // Under limits this decoder allows a profile no more than a part of the pixels, too little for small images;
            // without them it has its own.
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

/// Checks the size that a header declares, before anything is allocated for it.
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

/// The format of an image, from its first bytes.
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

/// The name, with its article, of a format that phones store photos in, and that needs a video decoder: HEIC or AVIF.
fn phone_format(bytes: &[u8]) -> Option<&'static str> {
    // A box of the type `ftyp`, then the brand (ISO/IEC 23008-12).
    match (bytes.get(4..8)?, bytes.get(8..12)?) {
        (b"ftyp", b"avif" | b"avis") => Some("an AVIF"),
        (b"ftyp", b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => Some("a HEIC"),
        _ => None,
    }
}

/// The name of a format, as its makers write it.
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

/// The decoder's complaint in one line, under the right heading.
fn explain(error: ImageError, format: ImageFormat, name: &Path, limits: &Limits) -> Error {
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::file(name, format!("is a {} image cut short", title(format)))
        }
        ImageError::Limits(_) => Error::file(
            name,
            format!("needs more memory than its {format:?} decoder is given for {} pixels: {detail}", limits.pixels),
        ),
        ImageError::Unsupported(_) => Error::Unsupported(format!("{}: {detail}", name.display())),
        _ => Error::file(name, format!("is a damaged {} image: {detail}", title(format))),
    }
}

/// Whether a JPEG file reaches its end marker. The decoder fills what is missing with gray and does not say so.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut rest = &bytes[2.min(bytes.len())..];
    // Outside the scans the file is a chain of segments, each with its length; a thumbnail's end marker lies inside
    // one. Inside a scan, 0xff is followed by 0x00 (a stuffed byte) or 0xd0 to 0xd7 (a restart).
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

/// Gray or RGB of 8 bits; `None` for a color type that this version of the decoder does not have yet.
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

/// The opacity in gray, where there is any.
fn opacity(image: &DynamicImage) -> Option<Image> {
    if !image.color().has_alpha() {
        return None;
    }
    let levels = image.to_rgba8().pixels().map(|pixel| pixel.0[3]).collect();
    Image::new(image.width() as usize, image.height() as usize, 1, levels).ok()
}

/// The channels without alpha, and their bytes, of samples that `unit` maps to 0 to 1.
fn to_bytes<T: Copy>(samples: &[T], stride: u8, unit: impl Fn(T) -> f32) -> (u8, Vec<u8>) {
    if stride.is_multiple_of(2) {
        (stride - 1, over_white(samples, stride, unit))
    } else {
        (stride, samples.iter().map(|&value| byte(unit(value))).collect())
    }
}

/// Lays pixels, whose last channel is their opacity, over white.
fn over_white<T: Copy>(samples: &[T], stride: u8, unit: impl Fn(T) -> f32) -> Vec<u8> {
    let colors = usize::from(stride) - 1;
    let mut bytes = Vec::with_capacity(samples.len() / usize::from(stride) * colors);
    for pixel in samples.chunks_exact(usize::from(stride)) {
        let alpha = unit(pixel[colors]);
        bytes.extend(pixel[..colors].iter().map(|&value| byte(unit(value) * alpha + (1.0 - alpha))));
    }
    bytes
}

/// 0 to 1 as 0 to 255; values outside are clipped, and NaN is black.
fn byte(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests;
