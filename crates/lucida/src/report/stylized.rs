//! The cat of the demonstration, stylized.

use super::Depth;
use crate::data::{Filter, Image, chelsea};
use crate::plot::{Content, Gallery};
use crate::style::{Pooling, Preset, StyleConfig, StyleNetwork, StyleRequest, brushwork, transfer};
use crate::weights::builtin_vgg16;
use crate::{Cpu, Result};

/// The file of the stylized image.
pub(super) const FILE: &str = "cat-painted.png";

/// A stylized image, with the content and the style at the same size.
#[derive(Debug)]
pub(super) struct StylizedCat {
    content: Image,
    style: Image,
    pub(super) image: Image,
}

impl StylizedCat {
    pub(super) fn new(depth: &Depth, seed: u64, cpu: Cpu) -> Result<Self> {
        let cat = chelsea()?;
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
        let intro = "Gradient descent changes the pixels of the photo until the features of a deep layer match the photo (the \
                     content) and the Gram matrices of several layers match another image (the style). `lucida style` does \
                     this with your own images.";
        let gallery = Gallery::new(1)
            .item(self.content.clone(), "content".to_owned(), false)
            .item(self.style.clone(), "style".to_owned(), false)
            .item(self.image.clone(), "result".to_owned(), false);
        Content::new().paragraph(intro).gallery(&gallery)
    }
}
