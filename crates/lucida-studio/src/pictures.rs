//! Uploaded pictures: decoded under limits, made smaller, kept in memory for a while, and never given out as they came.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lucida::data::{Filter, Limits, Picture};
use sha2::{Digest, Sha256};

use crate::problem::Result;

/// The longer side of a kept picture.
const SIDE: usize = 1024;
/// The most bytes of pixels that are kept, and the most pictures.
const BYTES: usize = 64 << 20;
const COUNT: usize = 64;

/// The pictures, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    kept: Mutex<VecDeque<(String, Arc<Picture>)>>,
}

impl Pictures {
    /// Decodes a picture, and keeps it under an identifier that is made of its pixels.
    pub(crate) fn add(&self, bytes: &[u8], pixels: u64) -> Result<(String, Arc<Picture>)> {
        let limits = Limits { file_bytes: bytes.len() as u64, pixels, ..Limits::default() };
        let picture = Picture::decode(bytes, Path::new("the picture"), &limits)?;
        self.keep(smaller(picture, SIDE)?)
    }

    /// Keeps a picture.
    pub(crate) fn keep(&self, picture: Picture) -> Result<(String, Arc<Picture>)> {
        let mut hash = Sha256::new();
        hash.update([picture.width() as u64, picture.height() as u64].map(u64::to_le_bytes).concat());
        hash.update(picture.pixels());
        let hex: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let (name, picture) = (format!("up-{hex}"), Arc::new(picture));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| *other != name);
        kept.push_back((name.clone(), Arc::clone(&picture)));
        while kept.len() > COUNT || kept.iter().map(|(_, picture)| picture.pixels().len()).sum::<usize>() > BYTES {
            kept.pop_front();
        }
        Ok((name, picture))
    }

    /// A kept picture.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Picture>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == name)?;
        // What is in use stays longest.
        let entry = kept.remove(at)?;
        kept.push_back(entry.clone());
        Some(entry.1)
    }
}

/// The picture with its longer side at most `side` pixels.
pub(crate) fn smaller(picture: Picture, side: usize) -> Result<Picture> {
    let longer = picture.width().max(picture.height());
    if longer <= side {
        return Ok(picture);
    }
    let scaled = |length: usize| (length * side / longer).max(1);
    Ok(picture.resize(scaled(picture.width()), scaled(picture.height()), Filter::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_kept_for_a_while_and_made_smaller() {
        let pictures = Pictures::default();
        let png = Picture::filled(3000, 1000, &[9, 20, 31]).png_bytes().unwrap();
        let (name, kept) = pictures.add(&png, 40_000_000).unwrap();
        assert_eq!((kept.width(), kept.height()), (1024, 341));
        assert_eq!(pictures.add(&png, 40_000_000).unwrap().0, name);
        for shade in 0..COUNT as u8 {
            pictures.get(&name).unwrap();
            pictures.keep(Picture::filled(4, 4, &[shade])).unwrap();
        }
        assert!(pictures.get(&name).is_some());
        for shade in 0..COUNT as u8 {
            pictures.keep(Picture::filled(5, 4, &[shade])).unwrap();
        }
        assert!(pictures.get(&name).is_none());
        assert!(pictures.add(&png, 2_999_999).is_err());
        assert!(pictures.add(b"not a picture", 10).is_err());
    }
}
