//! Training photos and random crops of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::batch_jobs::Source;
use crate::core::{Purpose, Rng};
use crate::data::{Filter, Image, chelsea};
use crate::{Error, Result};

/// Largest shift of a twin, in pixels.
pub(super) const MOST_SHIFT: usize = 8;
/// Largest standard deviation of a twin's noise, in levels of 0 to 255.
const MOST_NOISE: f64 = 6.0;
/// Minimum side of the window that becomes a crop, relative to the longest window that fits the photo, and to the crop. The
/// latter limits the upscaling of small photos: a blurred crop has no texture to stylize.
const WINDOW: [f64; 2] = [0.45, 0.8];
/// Capacity of the cache of decoded, downscaled photos, in bytes.
const KEPT: usize = 512 << 20;

/// Training photos: those of a folder or a list, or the built-in ones.
#[derive(Debug)]
pub struct Photos {
    source: Option<Source>,
    names: Vec<String>,
    /// Photos in memory; with a source, those that were read so far.
    kept: Mutex<HashMap<usize, Image>>,
    /// Photos that cannot be read, and why.
    skipped: Mutex<BTreeMap<String, String>>,
}

impl Photos {
    /// Lists the photos of a folder with its subfolders, or of a list. Photos that cannot be read are skipped when their
    /// turn comes.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are none; as [`Source::list`].
    pub fn open(source: Source) -> Result<Self> {
        let names = source.list()?;
        if names.is_empty() {
            let (Source::Folder(path) | Source::List(path)) = &source else {
                return Err(Error::argument("there is no photo to train on"));
            };
            return Err(Error::argument(format!("{}: contains no photo to train on", path.display())));
        }
        Ok(Self { source: Some(source), names, kept: Mutex::default(), skipped: Mutex::default() })
    }

    /// Uses images in memory.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are none.
    pub fn of_images(images: impl IntoIterator<Item = (String, Image)>) -> Result<Self> {
        let (names, images): (Vec<String>, Vec<Image>) = images.into_iter().unzip();
        if names.is_empty() {
            return Err(Error::argument("there is no photo to train on"));
        }
        let kept = images.into_iter().enumerate().collect();
        Ok(Self { source: None, names, kept: Mutex::new(kept), skipped: Mutex::default() })
    }

    /// The built-in photo: a cat. A single photo works, since its crops contain thousands of textures and edges, but less
    /// well than a hundred photos.
    ///
    /// # Errors
    /// None in practice.
    pub fn builtin() -> Result<Self> {
        let cat = chelsea()?;
        Self::of_images([("chelsea.png".to_owned(), cat)])
    }

    /// Names of all photos, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Photos that could not be read so far: name and reason.
    pub fn skipped(&self) -> Vec<(String, String)> {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.iter().map(|(name, why)| (name.clone(), why.clone())).collect()
    }

    /// Returns the first `count` photos that can be read.
    ///
    /// # Errors
    /// [`Error::Argument`] when none can be read.
    pub fn first(&self, count: usize) -> Result<Vec<(String, Image)>> {
        let mut found = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            if found.len() == count {
                break;
            }
            if let Some(photo) = self.read(index)? {
                found.push((name.clone(), photo));
            }
        }
        if found.is_empty() {
            return Err(self.unreadable());
        }
        Ok(found)
    }

    /// Reads a photo at full size; none when it cannot be read.
    fn read(&self, index: usize) -> Result<Option<Image>> {
        let name = &self.names[index];
        let Some(source) = &self.source else {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(kept.get(&index).cloned());
        };
        if self.skipped.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name) {
            return Ok(None);
        }
        match source.open(name) {
            Ok(photo) => Ok(Some(photo.in_channels(3).into_owned())),
            Err(problem) => {
                let why = problem.to_string();
                self.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), why);
                Ok(None)
            }
        }
    }

    /// Reads a photo, downscaled to a shorter side of at most `side`; none when it cannot be read.
    fn small(&self, index: usize, side: usize) -> Result<Option<Image>> {
        if let Some(photo) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&index) {
            return Ok(Some(photo.clone()));
        }
        let Some(mut photo) = self.read(index)? else { return Ok(None) };
        let shorter = photo.width().min(photo.height());
        if shorter > side {
            let [width, height] = [photo.width(), photo.height()].map(|length| (length * side).div_ceil(shorter));
            photo = photo.resize(width, height, Filter::Bilinear)?;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if (kept.len() + 1) * photo.pixels().len() <= KEPT {
            kept.insert(index, photo.clone());
        }
        Ok(Some(photo))
    }

    fn unreadable(&self) -> Error {
        let skipped = self.skipped();
        let first = skipped.first().map_or_else(String::new, |(_, why)| format!("; the first: {why}"));
        let photos = crate::nn::counted(self.names.len(), "photo");
        Error::argument(format!("none of {photos} can be read{first}"))
    }

    /// Returns crop number `index` of a training with this seed, `side` pixels square. Each photo occurs once per epoch; one
    /// that cannot be read is replaced by the next.
    pub(super) fn crop(&self, seed: u64, index: usize, side: usize) -> Result<Crop> {
        let (epoch, at) = (index / self.names.len(), index % self.names.len());
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        Rng::keyed(seed, Purpose::Order, epoch).shuffle(&mut order);
        for photo in order.iter().cycle().skip(at).take(order.len()) {
            if let Some(photo) = self.small(*photo, 2 * side)? {
                return Crop::of(&photo, &mut Rng::keyed(seed, Purpose::StyleCrop, index), side);
            }
        }
        Err(self.unreadable())
    }
}

/// A crop of a photo, `[side, side, 3]`, red, green and blue from 0 to 255.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Crop {
    pub(super) pixels: Vec<f32>,
    /// The same crop, shifted and with noise.
    pub(super) twin: Vec<f32>,
    /// Shift of the twin: down and to the right, in pixels.
    pub(super) shift: [isize; 2],
}

impl Crop {
    fn of(photo: &Image, rng: &mut Rng, side: usize) -> Result<Self> {
        let longest = photo.width().min(photo.height());
        let [of_longest, of_crop] = WINDOW;
        let least = (of_longest * longest as f64).max(of_crop * side as f64).min(longest as f64);
        let window = (rng.between([least, longest as f64]).round() as usize).clamp(1, longest);
        let [x, y] = [photo.width(), photo.height()].map(|length| rng.below(length - window + 1));
        let wide = side + 2 * MOST_SHIFT;
        let part = photo.crop(x, y, window, window)?.in_channels(3).resize(wide, wide, Filter::Lanczos3)?;
        let flipped = rng.coin();
        let shift = [0, 1].map(|_| rng.offset(MOST_SHIFT));
        let noise = rng.between([0.0, MOST_NOISE]);
        let cut = |[top, left]: [usize; 2]| -> Vec<f32> {
            let mut pixels = Vec::with_capacity(3 * side * side);
            for y in top..top + side {
                for x in left..left + side {
                    let x = if flipped { wide - 1 - x } else { x };
                    pixels.extend(part.pixel(x, y).iter().map(|&level| f32::from(level)));
                }
            }
            pixels
        };
        let pixels = cut([MOST_SHIFT; 2]);
        let mut twin = cut(shift.map(|shift| MOST_SHIFT.saturating_add_signed(shift)));
        twin.iter_mut().for_each(|value| *value += noise as f32 * rng.approximately_normal());
        Ok(Self { pixels, twin, shift })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_follow_from_seed_and_number() {
        let photos = Photos::builtin().unwrap();
        let crop = photos.crop(1, 5, 32).unwrap();
        assert_eq!(crop, photos.crop(1, 5, 32).unwrap());
        assert_ne!(crop, photos.crop(1, 6, 32).unwrap());
        assert_ne!(crop, photos.crop(2, 5, 32).unwrap());
        assert_eq!((crop.pixels.len(), crop.twin.len()), (3 * 32 * 32, 3 * 32 * 32));
        // The twin is the same crop, shifted, with noise.
        let [dy, dx] = crop.shift;
        let mut difference = 0.0;
        for y in 8..24 {
            for x in 8..24 {
                let other = (y as isize + dy) as usize * 32 + (x as isize + dx) as usize;
                difference += (crop.twin[3 * (y * 32 + x)] - crop.pixels[3 * other]).abs();
            }
        }
        assert!(difference / 256.0 < MOST_NOISE as f32, "{}", difference / 256.0);
    }

    #[test]
    fn photos_that_cannot_be_read_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Photos::open(Source::Folder(folder.path().to_owned()));
        assert!(open().unwrap_err().to_string().contains("contains no photo"));
        std::fs::write(folder.path().join("a.jpg"), "no image").unwrap();
        let photos = open().unwrap();
        let problem = photos.crop(1, 0, 32).unwrap_err().to_string();
        assert!(problem.contains("none of 1 photo") && problem.contains("a.jpg"), "{problem}");
        chelsea().unwrap().save(folder.path().join("b.png")).unwrap();
        let photos = open().unwrap();
        (0..4).for_each(|index| drop(photos.crop(1, index, 32).unwrap()));
        assert_eq!(photos.skipped().len(), 1);
        assert_eq!(photos.first(3).unwrap().len(), 1);
    }
}
