//! Examples of augmented images.

use super::{Augment, Augmented};
use crate::data::{ColorMode, Dataset, Image, LabeledImages, Preprocessing};
use crate::{Error, Result};

impl Augment {
    /// For each image, scaled to `size` by `size`, `count` augmented examples: those of the epochs from 1 up.
    ///
    /// # Errors
    /// As [`Augment::check`]; [`Error::Argument`] without images, and those of scaling them.
    pub fn examples(&self, images: &[Image], size: usize, count: usize, seed: u64) -> Result<Vec<Vec<Image>>> {
        if images.is_empty() {
            return Err(Error::argument("there is no image to augment"));
        }
        let channels = images.iter().map(Image::channels).max().unwrap_or(3);
        let color = if channels == 1 { ColorMode::Grayscale } else { ColorMode::Rgb };
        let preprocessing = Preprocessing::unit(size, size, color);
        let mut pixels = Vec::with_capacity(images.len() * size * size * channels);
        for image in images {
            pixels.extend(preprocessing.fitted(image)?.pixels());
        }
        // Each image is its own class, so that a mixed one reveals its partner.
        let labels: Vec<usize> = (0..images.len()).collect();
        let names = labels.iter().map(usize::to_string).collect();
        let set =
            Augmented::new(LabeledImages::new([size, size, channels], pixels, labels, names)?, self.clone(), seed)?;
        (0..images.len())
            .map(|index| {
                let examples = (1..=count).map(|epoch| Ok(set.example(epoch as u32, index, &preprocessing)?.0));
                std::iter::once(set.image(index)).chain(examples).collect()
            })
            .collect()
    }
}
