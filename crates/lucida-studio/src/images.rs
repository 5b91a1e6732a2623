//! Uploaded images: decoded within limits, downscaled, stored in a folder, and never served as they were uploaded.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lucida::data::{Filter, Image, Limits};
use lucida::files;

use crate::identifiers::{is_identifier, of_content};
use crate::problem::Result;

/// Prefix of the identifiers of uploads.
const PREFIX: &str = "up";
/// Maximum length of the longer side of a stored image, in pixels.
const SIDE: usize = 1024;
/// Maximum bytes of pixels kept in memory, and maximum number of stored images.
const BYTES: usize = 64 << 20;
const COUNT: usize = 64;

/// An uploaded image: always stored in its file, and kept in memory while recently used.
#[derive(Debug)]
struct Upload {
    name: String,
    image: Option<Arc<Image>>,
}

/// All uploaded images, the most recently used last.
#[derive(Debug)]
pub(crate) struct ImageStore {
    folder: PathBuf,
    uploads: Mutex<VecDeque<Upload>>,
}

impl ImageStore {
    /// Opens the images of a folder, which is created once there is something to store.
    pub(crate) fn open(folder: PathBuf) -> Self {
        let uploaded = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.strip_suffix(".png")?.to_owned();
            is_upload(&name).then_some((entry.metadata().ok()?.modified().ok()?, name))
        };
        let mut found: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().filter_map(uploaded).collect();
        found.sort();
        let uploads = found.into_iter().map(|(_, name)| Upload { name, image: None }).collect();
        Self { folder, uploads: Mutex::new(uploads) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.png"))
    }

    /// The identifiers of all images, the most recently used first.
    pub(crate) fn names(&self) -> Vec<String> {
        let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.iter().rev().map(|upload| upload.name.clone()).collect()
    }

    /// Decodes an image and stores it under an identifier derived from the hash of its pixels. `name` is the file name for
    /// error messages; `pixels` is the maximum number of pixels.
    pub(crate) fn add(&self, name: &str, bytes: &[u8], pixels: u64) -> Result<(String, Arc<Image>)> {
        let limits = Limits { file_bytes: bytes.len() as u64, pixels, ..Limits::default() };
        let image = Image::decode(bytes, Path::new(name), &limits)?;
        self.keep(downscaled(image, SIDE)?)
    }

    /// Stores an image.
    pub(crate) fn keep(&self, image: Image) -> Result<(String, Arc<Image>)> {
        let size = [image.width() as u64, image.height() as u64].map(u64::to_le_bytes).concat();
        let (name, image) = (of_content(PREFIX, &[&size, image.pixels()]), Arc::new(image));
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.file(&name).exists() {
            files::create_folder(&self.folder)?;
            files::write_bytes(self.file(&name), &image.png_bytes()?)?;
        }
        uploads.retain(|other| other.name != name);
        uploads.push_back(Upload { name: name.clone(), image: Some(Arc::clone(&image)) });
        self.evict(&mut uploads);
        Ok((name, image))
    }

    /// Deletes the files of the oldest images beyond `COUNT`, and drops the pixels of the oldest beyond `BYTES`.
    fn evict(&self, uploads: &mut VecDeque<Upload>) {
        while uploads.len() > COUNT {
            let Some(oldest) = uploads.pop_front() else { return };
            // A file that cannot be deleted is found again at the next start.
            let _ = fs::remove_file(self.file(&oldest.name));
        }
        let mut bytes = 0;
        for upload in uploads.iter_mut().rev() {
            bytes += upload.image.as_ref().map_or(0, |image| image.pixels().len());
            if bytes > BYTES {
                upload.image = None;
            }
        }
    }

    /// Returns a stored image.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Image>> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let at = uploads.iter().position(|other| other.name == name)?;
        // Move it to the end: the most recently used images are kept longest.
        let mut entry = uploads.remove(at)?;
        let image = match entry.image.take() {
            Some(image) => image,
            None => Arc::new(Image::open(self.file(name)).ok()?),
        };
        entry.image = Some(Arc::clone(&image));
        uploads.push_back(entry);
        self.evict(&mut uploads);
        Some(image)
    }
}

/// Whether a text is the identifier of an upload.
pub(crate) fn is_upload(name: &str) -> bool {
    is_identifier(PREFIX, name)
}

/// Downscales an image so that its longer side is at most `side` pixels.
pub(crate) fn downscaled(image: Image, side: usize) -> Result<Image> {
    let longer = image.width().max(image.height());
    if longer <= side {
        return Ok(image);
    }
    let scaled = |length: usize| (length * side / longer).max(1);
    Ok(image.resize(scaled(image.width()), scaled(image.height()), Filter::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_kept_for_a_while_and_made_smaller() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path().join("images"));
        let png = Image::filled(3000, 1000, &[9, 20, 31]).png_bytes().unwrap();
        let (name, uploads) = images.add("x.png", &png, 40_000_000).unwrap();
        assert_eq!((uploads.width(), uploads.height()), (1024, 341));
        assert_eq!(images.add("x.png", &png, 40_000_000).unwrap().0, name);
        for shade in 0..COUNT as u8 {
            images.get(&name).unwrap();
            images.keep(Image::filled(4, 4, &[shade])).unwrap();
        }
        assert!(images.get(&name).is_some());
        // After a restart, the images are found again with the same pixels.
        let again = ImageStore::open(folder.path().join("images"));
        assert_eq!(again.names().len(), COUNT);
        assert_eq!(again.get(&name).unwrap().pixels(), uploads.pixels());
        assert_eq!(again.names()[0], name);
        for shade in 0..COUNT as u8 {
            images.keep(Image::filled(5, 4, &[shade])).unwrap();
        }
        assert!(images.get(&name).is_none());
        assert!(images.add("x.png", &png, 2_999_999).is_err());
        assert!(images.add("x.png", b"not an image", 10).is_err());
    }
}
