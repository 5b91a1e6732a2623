//! Previews of a training: the same photos again and again, as the network learns.

use crate::data::{Filter, Image};
use crate::nn::Plan;
use crate::plot::Grid;
use crate::style::{Canvas, FeedForwardStyle};
use crate::{Cpu, Result};

/// The longer side of a photo in pixels.
const SIDE: usize = 384;
/// Sides are multiples of this many pixels, which the network keeps.
const UNIT: usize = 4;
/// Styles that are shown at the most.
const STYLES: usize = 6;

/// Photos to preview styles with.
#[derive(Debug, Clone)]
pub struct StylePreview {
    photos: Vec<Image>,
    cpu: Cpu,
}

impl StylePreview {
    /// For photos of any size, which are made smaller.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn new(photos: impl IntoIterator<Item = Image>, cpu: Cpu) -> Result<Self> {
        let small = |photo: Image| {
            let longer = photo.width().max(photo.height());
            let [width, height] = [photo.width(), photo.height()]
                .map(|side| ((side * SIDE.min(longer)) as f64 / longer as f64 / UNIT as f64).round() as usize * UNIT);
            photo.resize(width.max(4 * UNIT), height.max(4 * UNIT), Filter::Lanczos3)
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
    /// None in practice.
    pub fn sheet(&self, style: &FeedForwardStyle) -> Result<Image> {
        let count = style.names().len();
        let mut cells = Vec::new();
        for index in 0..count.min(STYLES) {
            let mut mix = vec![0.0; count];
            mix[index] = 1.0;
            let network = style.model(&mix)?.network;
            for photo in &self.photos {
                let content = Canvas::of_image(photo);
                let network = network.clone().with_input_size(content.size[0], content.size[1])?;
                let mut plan = Plan::builder(&network).cpu(self.cpu).build()?;
                plan.input_mut().copy_from_slice(&content.values);
                plan.forward(&network)?;
                cells.push(Canvas { values: plan.output(0).to_vec(), ..content }.to_image()?);
            }
        }
        Grid::new(cells).columns(self.photos.len()).render()
    }
}
