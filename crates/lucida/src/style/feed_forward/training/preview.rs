//! Previews of a training: the same photos again and again, as the network learns.

use crate::data::{Filter, Image};
use crate::plot::Grid;
use crate::style::pipeline::pyramid::longer_side;
use crate::style::{Canvas, FeedForwardStyle, FeedForwardStylizer, StylizerConfig};
use crate::{Cpu, Result};

/// The longer side of a photo in pixels.
const SIDE: usize = 384;

/// Photos to preview styles with.
#[derive(Debug, Clone)]
pub struct StylePreview {
    photos: Vec<Image>,
    cpu: Cpu,
}

impl StylePreview {
    /// Maximum number of styles that are shown.
    pub const STYLES: usize = 6;

    /// For photos of any size, which are made smaller.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn new(photos: impl IntoIterator<Item = Image>, cpu: Cpu) -> Result<Self> {
        let small = |photo: Image| {
            let own = [photo.height(), photo.width()];
            let [height, width] = longer_side(own, SIDE.min(own[0].max(own[1])));
            photo.resize(width, height, Filter::Lanczos3)
        };
        Ok(Self { photos: photos.into_iter().map(small).collect::<Result<_>>()?, cpu })
    }

    /// The photos, as they are taken.
    pub fn photos(&self) -> &[Image] {
        &self.photos
    }

    /// The photos side by side in each of the first styles.
    ///
    /// # Errors
    /// As [`FeedForwardStylizer::new`].
    pub fn sheet(&self, style: &FeedForwardStyle) -> Result<Image> {
        let config = StylizerConfig { memory: None, cpu: self.cpu };
        let mut stylizer = FeedForwardStylizer::new(style, &style.single_style_mix(0), config)?;
        let mut cells = Vec::new();
        for index in 0..style.names().len().min(Self::STYLES) {
            stylizer.set_mix(style, &style.single_style_mix(index))?;
            for photo in &self.photos {
                cells.push(stylizer.stylize(&Canvas::of_image(photo), &mut ())?.to_image()?);
            }
        }
        Grid::new(cells).columns(self.photos.len()).render()
    }
}
