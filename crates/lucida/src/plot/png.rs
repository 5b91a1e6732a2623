//! Encoding images as PNG and JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::data::Image;
use crate::{Error, Result};

/// Encodes an image as PNG, 8-bit gray or RGB; equal images give equal bytes.
///
/// # Errors
/// [`Error::Argument`] when the image has no pixels or too many for the format.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>> {
    let (width, height) = (image.width(), image.height());
    let refuse = |why: String| Error::argument(format!("an image of {width}x{height} cannot be a PNG file: {why}"));
    let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(refuse("it is too large".into()));
    };
    if w == 0 || h == 0 {
        return Err(refuse("it is empty".into()));
    }
    let color = if image.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(image.pixels(), w, h, color)
        .map_err(|e| refuse(e.to_string()))?;
    Ok(bytes)
}

/// Encodes an image as JPEG with quality 85, for photos in HTML.
///
/// # Errors
/// [`Error::Argument`] when the image has no pixels or too many for the format.
pub fn jpeg_bytes(image: &Image) -> Result<Vec<u8>> {
    let (width, height) = (image.width(), image.height());
    let refuse = |why: String| Error::argument(format!("an image of {width}x{height} cannot be a JPEG file: {why}"));
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(refuse("it is too large".into()));
    };
    if w == 0 || h == 0 {
        return Err(refuse("it is empty".into()));
    }
    let color = if image.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85)
        .write_image(image.pixels(), w.into(), h.into(), color)
        .map_err(|e| refuse(e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_to_the_same_pixels() {
        for channels in [1, 3] {
            let pixels: Vec<u8> = (0..7 * 5 * channels).map(|i| (i * 37 % 256) as u8).collect();
            let image = Image::new(7, 5, channels, pixels.clone()).unwrap();
            let bytes = png_bytes(&image).unwrap();
            assert_eq!(bytes, png_bytes(&image).unwrap());
            let decoded = image::load_from_memory(&bytes).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (7, 5));
            assert_eq!(usize::from(decoded.color().channel_count()), channels);
            assert_eq!(decoded.into_bytes(), pixels);
        }
        assert!(png_bytes(&Image::filled(0, 3, &[0])).is_err());
        assert!(jpeg_bytes(&Image::filled(0, 3, &[0])).is_err());
        let photo = image::load_from_memory(&jpeg_bytes(&Image::filled(9, 4, &[200, 100, 50])).unwrap()).unwrap();
        assert_eq!((photo.width(), photo.height()), (9, 4));
        assert!(photo.to_rgb8().get_pixel(4, 2).0.iter().zip([200_u8, 100, 50]).all(|(a, b)| a.abs_diff(b) < 6));
    }
}
