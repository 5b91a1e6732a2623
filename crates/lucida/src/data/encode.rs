//! From a [`Picture`] to a PNG file. The same image gives the same bytes.

use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::Picture;
use crate::{Error, Result, files};

impl Picture {
    /// The bytes of a PNG file of 8-bit gray or RGB.
    ///
    /// # Errors
    /// [`Error::Argument`] when the image is empty, or a side is too long for the format.
    pub fn png_bytes(&self) -> Result<Vec<u8>> {
        let refused = |problem: String| {
            Error::argument(format!("an image of {}x{} cannot be a PNG file: {problem}", self.width(), self.height()))
        };
        let [width, height] = [self.width(), self.height()].map(u32::try_from);
        let (Ok(width @ 1..), Ok(height @ 1..)) = (width, height) else {
            return Err(refused("each side must be 1 pixel to 4,294,967,295".to_owned()));
        };
        let colour = if self.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut bytes = Vec::new();
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
            .write_image(self.pixels(), width, height, colour)
            .map_err(|e| refused(e.to_string()))?;
        Ok(bytes)
    }

    /// Writes a PNG file, whole or not at all.
    ///
    /// # Errors
    /// As [`Picture::png_bytes`], and [`Error::Io`] when the file cannot be written.
    pub fn save_png(&self, path: &Path) -> Result<()> {
        files::write_bytes(path, &self.png_bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Limits;

    fn gradient(width: usize, height: usize, channels: usize) -> Picture {
        let pixels = (0..width * height * channels).map(|i| (i * 7 % 256) as u8).collect();
        Picture::new(width, height, channels, pixels).unwrap()
    }

    #[test]
    fn what_is_saved_is_what_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        for channels in [1, 3] {
            let picture = gradient(13, 5, channels);
            let path = folder.path().join(format!("{channels}.png"));
            picture.save_png(&path).unwrap();
            assert_eq!(Picture::open(&path).unwrap(), picture);
            assert_eq!(std::fs::read(&path).unwrap(), picture.png_bytes().unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_empty_picture_or_an_unwritable_folder_is_an_error() {
        let empty = Picture::new(0, 4, 1, vec![]).unwrap();
        assert!(empty.png_bytes().unwrap_err().to_string().contains("an image of 0x4 cannot be a PNG file"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("a.png");
        assert!(matches!(gradient(2, 2, 1).save_png(&path), Err(Error::Io { action: "write", .. })));
    }

    #[test]
    fn a_long_thin_picture_keeps_its_shape() {
        let picture = gradient(3000, 1, 3);
        let bytes = picture.png_bytes().unwrap();
        assert_eq!(Picture::decode(&bytes, Path::new("thin.png"), &Limits::default()).unwrap(), picture);
    }
}
