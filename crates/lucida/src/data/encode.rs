//! Encoding an [`Image`] as a file. The same image gives the same bytes.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::tiff::TiffEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Image;
use crate::nn::thousands;
use crate::{Error, Result, files};

/// The quality of JPEG files.
pub(crate) const JPEG_QUALITY: u8 = 95;

/// The formats of written image files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// PNG of 8 or 16 bits.
    Png,
    /// TIFF of 8 or 16 bits.
    Tiff,
    /// JPEG, 8 bits without alpha.
    Jpeg,
}

impl FileKind {
    /// The format given by a file's extension, for `bits` bits per channel; PNG for standard output and other streams.
    ///
    /// # Errors
    /// [`Error::Argument`] when the extension is unknown, or the format does not support this bit depth.
    pub fn of_path(path: impl AsRef<Path>, bits: u8) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        let kind = match ending.as_str() {
            "png" => Self::Png,
            "tif" | "tiff" => Self::Tiff,
            "jpg" | "jpeg" => Self::Jpeg,
            _ if files::is_stream(path) => Self::Png,
            _ => {
                let problem = "the name of the result must end in .png, .tif or .jpg";
                return Err(Error::argument(format!("{}: {problem}", path.display())));
            }
        };
        if bits != 8 && (bits != 16 || kind == Self::Jpeg) {
            return Err(Error::argument(format!("{}: {bits} bits go with .png and .tif only", path.display())));
        }
        Ok(kind)
    }
}

impl Image {
    /// Encodes an 8-bit gray or RGB image as PNG.
    ///
    /// # Errors
    /// [`Error::Argument`] when the image is empty, or a side is too long for the format.
    pub fn png_bytes(&self) -> Result<Vec<u8>> {
        self.bytes(FileKind::Png)
    }

    /// Encodes an 8-bit gray or RGB image.
    ///
    /// # Errors
    /// [`Error::Argument`] when the image is empty, or a side is too long for the format.
    pub fn bytes(&self, kind: FileKind) -> Result<Vec<u8>> {
        let (name, longest) = match kind {
            FileKind::Png => ("PNG", u32::MAX),
            FileKind::Tiff => ("TIFF", u32::MAX),
            FileKind::Jpeg => ("JPEG", 65_535),
        };
        let refused = |problem: String| {
            let (width, height) = (self.width(), self.height());
            Error::argument(format!("an image of {width}x{height} cannot be a {name} file: {problem}"))
        };
        let side = |side: usize| u32::try_from(side).ok().filter(|side| (1..=longest).contains(side));
        let (Some(width), Some(height)) = (side(self.width()), side(self.height())) else {
            return Err(refused(format!("each side must be 1 pixel to {}", thousands(longest as usize))));
        };
        let color = if self.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut out = Cursor::new(Vec::new());
        let written = match kind {
            FileKind::Png => PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive)
                .write_image(self.pixels(), width, height, color),
            FileKind::Tiff => TiffEncoder::new(&mut out).write_image(self.pixels(), width, height, color),
            FileKind::Jpeg => {
                JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY).write_image(self.pixels(), width, height, color)
            }
        };
        written.map_err(|e| refused(e.to_string()))?;
        Ok(out.into_inner())
    }

    /// Writes a PNG file atomically.
    ///
    /// # Errors
    /// As [`Image::png_bytes`], and [`Error::Io`] when the file cannot be written.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_bytes(path, &self.png_bytes()?)
    }

    /// Writes a file in the format given by its extension, atomically.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let folder = temporary.path();
    /// let image = Image::filled(4, 3, &[255, 128, 0]);
    /// for name in ["orange.png", "orange.tif", "orange.jpg"] {
    ///     image.save(folder.join(name))?;
    ///     assert_eq!(Image::open(folder.join(name))?.width(), 4);
    /// }
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`FileKind::of_path`] and [`Image::bytes`], and [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::write_bytes(path, &self.bytes(FileKind::of_path(path, 8)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Limits;

    #[test]
    fn the_ending_of_the_name_says_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let image = gradient(20, 10, 3);
        for (name, begins) in
            [("a.png", &b"\x89PNG"[..]), ("a.JPG", b"\xff\xd8\xff"), ("a.jpeg", b"\xff\xd8\xff"), ("a.tif", b"II*\0")]
        {
            let path = folder.path().join(name);
            image.save(&path).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(begins), "{name}");
            let read = Image::open(&path).unwrap();
            assert_eq!((read.width(), read.height()), (20, 10), "{name}");
        }
        for name in ["a.webp", "a", "png"] {
            let message = image.save(folder.path().join(name)).unwrap_err().to_string();
            assert!(message.ends_with("must end in .png, .tif or .jpg"), "{message}");
        }
        let message = gradient(70_000, 1, 1).bytes(FileKind::Jpeg).unwrap_err().to_string();
        assert!(message.contains("cannot be a JPEG file: each side must be 1 pixel to 65,535"), "{message}");
    }

    fn gradient(width: usize, height: usize, channels: usize) -> Image {
        let pixels = (0..width * height * channels).map(|i| (i * 7 % 256) as u8).collect();
        Image::new(width, height, channels, pixels).unwrap()
    }

    #[test]
    fn what_is_saved_is_what_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        for channels in [1, 3] {
            let image = gradient(13, 5, channels);
            let path = folder.path().join(format!("{channels}.png"));
            image.save_png(&path).unwrap();
            assert_eq!(Image::open(&path).unwrap(), image);
            assert_eq!(std::fs::read(&path).unwrap(), image.png_bytes().unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_empty_image_or_an_unwritable_folder_is_an_error() {
        let empty = Image::new(0, 4, 1, vec![]).unwrap();
        assert!(empty.png_bytes().unwrap_err().to_string().contains("an image of 0x4 cannot be a PNG file"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("a.png");
        assert!(matches!(gradient(2, 2, 1).save_png(&path), Err(Error::Io { action: "write", .. })));
    }

    #[test]
    fn a_long_thin_image_keeps_its_shape() {
        let image = gradient(3000, 1, 3);
        let bytes = image.png_bytes().unwrap();
        assert_eq!(Image::decode(&bytes, Path::new("thin.png"), &Limits::default()).unwrap(), image);
    }
}
