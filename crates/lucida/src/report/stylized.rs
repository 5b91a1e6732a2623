//! The cat of the demonstration, stylized.

use super::Depth;
use super::deconstruct::CAT;
use crate::data::{Filter, Image, Limits};
use crate::plot::{Content, Gallery};
use crate::style::{Pooling, Preset, StyleConfig, StyleNetwork, StyleRequest, brushwork, transfer};
use crate::weights::builtin_vgg16;
use crate::{Cpu, Result};

/// The file of the stylized image.
pub(super) const FILE: &str = "cat-painted.png";

/// A stylized image, with the content and the style in its size.
#[derive(Debug)]
pub(super) struct StylizedCat {
    content: Image,
    style: Image,
    pub(super) image: Image,
}

impl StylizedCat {
    pub(super) fn new(depth: &Depth, seed: u64, cpu: Cpu) -> Result<Self> {
        let cat = Image::decode(CAT, "chelsea.png", &Limits::default())?;
        let network = StyleNetwork::new(builtin_vgg16()?, Pooling::Max)?;
        let settings = Preset::Best.config(&network, cpu)?;
        let settings = StyleConfig {
            size: depth.painting_size,
            steps: depth.painting_steps,
            first_steps: depth.painting_steps,
            seed,
            ..settings
        };
        let job = StyleRequest::new(cat, vec![(brushwork()?, 1.0)]);
        let made = transfer(&network, &job, &settings, &mut ())?;
        let [height, width] = made.canvas.size;
        Ok(Self {
            content: job.content.resize(width, height, Filter::Bilinear)?,
            style: job.styles[0].0.resize(height, height, Filter::Bilinear)?,
            image: made.canvas.to_image()?,
        })
    }

    /// The section of the report.
    pub(super) fn section(&self) -> Result<Content> {
        let intro = "The same network stylizes images: the pixels of the photo are changed until the network sees in them \
                     the cat, as a deep layer tells it, and the strokes of another image, as the correlations between the \
                     filters of its layers tell them. `lucida style` does so with images of yours.";
        let gallery = Gallery::new(1)
            .item(self.content.clone(), "the content".to_owned(), false)
            .item(self.style.clone(), "the style".to_owned(), false)
            .item(self.image.clone(), "the result".to_owned(), false);
        Content::new().paragraph(intro).gallery(&gallery)
    }
}
