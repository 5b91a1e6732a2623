//! TIFF images with floating-point samples (16, 32 and 64 bits) or wide integers, which the `image` crate rejects or
//! supports only as 32-bit RGB.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageBuffer};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

use super::byte;
use crate::data::Limits;
use crate::{Error, Result};

/// Samples in separate planes (TIFF 6.0, PlanarConfiguration).
const PLANAR: u16 = 2;

/// Reads gray, RGB and RGBA images whose samples are floats from 0 (black) to 1 (white), or unsigned integers of 32 and 64
/// bits; `None` for any other sample type or color.
///
/// # Errors
/// [`Error::File`] when the file is damaged, [`Error::Limit`] when it declares more than `limits.pixels`.
pub(super) fn read(bytes: &[u8], name: &Path, limits: &Limits) -> Result<Option<DynamicImage>> {
    let failed = |problem: tiff::TiffError| Error::file(name, format!("is a damaged TIFF image: {problem}"));
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    super::check_size(width, height, name, limits)?;
    let (ColorType::Gray(bits) | ColorType::RGB(bits) | ColorType::RGBA(bits)) = decoder.colortype().map_err(failed)?
    else {
        return Ok(None);
    };
    let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(failed)?;
    let channels = decoder.colortype().map_err(failed)?.num_samples();
    if bits < 16 || planar == Some(PLANAR) && channels > 1 {
        return Ok(None);
    }
    let mut allowed = tiff::decoder::Limits::default();
    let pixels = usize::try_from(limits.pixels).unwrap_or(usize::MAX);
    allowed.decoding_buffer_size = pixels.saturating_mul(usize::from(bits / 8) * usize::from(channels));
    let samples = match decoder.with_limits(allowed).read_image().map_err(failed)? {
        DecodingResult::F16(values) => bytes_of(&values, |value| value.to_f32()),
        DecodingResult::F32(values) => bytes_of(&values, |value| value),
        DecodingResult::F64(values) => bytes_of(&values, |value| value as f32),
        DecodingResult::U32(values) => bytes_of(&values, |value| (f64::from(value) / f64::from(u32::MAX)) as f32),
        DecodingResult::U64(values) => bytes_of(&values, |value| (value as f64 / u64::MAX as f64) as f32),
        _ => return Ok(None),
    };
    Ok(match channels {
        1 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        3 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
        _ => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8),
    })
}

fn bytes_of<T: Copy>(samples: &[T], unit: impl Fn(T) -> f32) -> Vec<u8> {
    samples.iter().map(|&value| byte(unit(value))).collect()
}
