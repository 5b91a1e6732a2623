//! A photo in a feed-forward style: sizes, masks, strength, colors.

use super::FeedForwardStyle;
use super::apply::{FeedForwardStylizer, StylizerConfig};
use crate::core::Progress;
use crate::data::Image;
use crate::style::pipeline::constrained_objective::PreserveMask;
use crate::style::pipeline::mask;
use crate::style::pipeline::pyramid::longer_side;
use crate::style::{Canvas, ColorSource};
use crate::{Error, Result};

/// How photos are stylized in one pass.
///
/// ```
/// use lucida::style::FeedForwardRequest;
///
/// let half = FeedForwardRequest { strength: 0.5, ..FeedForwardRequest::default() };
/// assert_eq!((half.size, half.mix.len()), (None, 0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForwardRequest {
    /// The weight of each style; empty: the first style alone.
    pub mix: Vec<f32>,
    /// The longer side of results in pixels; none: that of the photo.
    pub size: Option<usize>,
    /// From 0 (the photo) to 1 (the style).
    pub strength: f32,
    /// Whose colors results have.
    pub colors: ColorSource,
}

impl Default for FeedForwardRequest {
    fn default() -> Self {
        Self { mix: Vec::new(), size: None, strength: 1.0, colors: ColorSource::Style }
    }
}

impl FeedForwardRequest {
    /// The request with a weight for each style.
    fn checked(mut self, style: &FeedForwardStyle) -> Result<Self> {
        if !(0.0..=1.0).contains(&self.strength) {
            return Err(Error::argument(format!("a strength of {}; it must be 0 to 1", self.strength)));
        }
        if self.size == Some(0) {
            return Err(Error::argument("a size of 0 pixels"));
        }
        if self.mix.is_empty() {
            self.mix = style.single_style_mix(0);
        }
        Ok(self)
    }
}

/// Masks of a photo, in its size.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedForwardMasks<'a> {
    /// Which part has which style, as in [`StyleRequest`](crate::style::StyleRequest).
    pub mask: Option<&'a Image>,
    /// Indices of the styles of the mask's regions, in order; empty: all styles of the network.
    pub regions: &'a [usize],
    /// What is left as it is (white).
    pub preserve: Option<&'a Image>,
}

/// Stylizes photo after photo in one pass each. Photos of one size share a plan.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{StylizerConfig, FeedForwardMasks, FeedForwardRequest, FeedForwardSize, FeedForwardStyle};
/// use lucida::style::{FeedForwardTransfer, transformation_network};
///
/// let style = FeedForwardStyle::new(transformation_network(FeedForwardSize::Small, [64, 64], 42)?, ["waves"])?;
/// let config = StylizerConfig { memory: None, cpu: Cpu::detect() };
/// let mut transfer = FeedForwardTransfer::new(style, FeedForwardRequest::default(), config)?;
/// let photo = Image::filled(61, 40, &[90, 120, 200]);
/// let result = transfer.transfer(&photo, FeedForwardMasks::default(), &mut ())?;
/// assert_eq!(result.size, [40, 61]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct FeedForwardTransfer {
    style: FeedForwardStyle,
    request: FeedForwardRequest,
    stylizer: FeedForwardStylizer,
}

impl FeedForwardTransfer {
    /// Prepares a style.
    ///
    /// # Errors
    /// [`Error::Argument`] when the strength or the size is invalid; else as [`FeedForwardStylizer::new`].
    pub fn new(style: FeedForwardStyle, request: FeedForwardRequest, config: StylizerConfig) -> Result<Self> {
        let request = request.checked(&style)?;
        let stylizer = FeedForwardStylizer::new(&style, &request.mix, config)?;
        Ok(Self { style, request, stylizer })
    }

    /// Continues with another request; the plan stays as long as the size of the results does.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn set_request(&mut self, request: FeedForwardRequest) -> Result<()> {
        let request = request.checked(&self.style)?;
        if request.mix != self.request.mix {
            self.stylizer.set_mix(&self.style, &request.mix)?;
        }
        self.request = request;
        Ok(())
    }

    /// The style.
    pub fn style(&self) -> &FeedForwardStyle {
        &self.style
    }

    /// How photos are stylized.
    pub fn request(&self) -> &FeedForwardRequest {
        &self.request
    }

    /// Stylizes a photo: the result has its proportions. Progress is in tiles, where there are several.
    ///
    /// # Errors
    /// [`Error::Argument`] when a mask does not fit the photo or the styles; else as [`FeedForwardStylizer::stylize`].
    pub fn transfer(
        &mut self,
        photo: &Image,
        masks: FeedForwardMasks<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Canvas> {
        for (what, image) in [("the mask", masks.mask), ("the mask of what is preserved", masks.preserve)] {
            image.map_or(Ok(()), |image| mask::check_size(what, image, photo))?;
        }
        let own = [photo.height(), photo.width()];
        let size = self.request.size.map_or(own, |longer| longer_side(own, longer));
        let content = if size == own { Canvas::of_image(photo) } else { Canvas::of_image_at(photo, size)? };
        let mut result = match masks.mask {
            Some(mask) => self.by_regions(&content, mask, masks.regions, progress)?,
            None => self.stylizer.stylize(&content, progress)?,
        };
        self.request.colors.recolor(&mut result, &content);
        let strength = self.request.strength;
        if strength < 1.0 {
            let pairs = result.values.iter_mut().zip(&content.values);
            pairs.for_each(|(value, photo)| *value = photo + strength * (value.clamp(0.0, 255.0) - photo));
        }
        match masks.preserve {
            Some(preserve) => {
                let mask = mask::levels(preserve, size)?;
                Ok(PreserveMask { canvas: content, mask }.over(&result))
            }
            None => Ok(result),
        }
    }

    /// Each style where the mask has it; the photo where it has none.
    fn by_regions(
        &mut self,
        content: &Canvas,
        mask: &Image,
        styles: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Canvas> {
        let count = self.style.names().len();
        let all: Vec<usize> = (0..count).collect();
        let styles = if styles.is_empty() { &all } else { styles };
        if let Some(index) = styles.iter().find(|&&index| index >= count) {
            return Err(Error::argument(format!("there is no style number {} among {count}", index + 1)));
        }
        let mut result = content.clone();
        for (region, &index) in mask::regions(mask, styles.len())?.iter().zip(styles) {
            self.stylizer.set_mix(&self.style, &self.style.single_style_mix(index))?;
            let levels = mask::levels(region, content.size)?;
            let styled = self.stylizer.stylize(content, progress)?;
            let pixels = result.values.chunks_exact_mut(3).zip(styled.values.chunks_exact(3));
            for (((to, styled), photo), level) in pixels.zip(content.values.chunks_exact(3)).zip(levels) {
                (0..3).for_each(|c| to[c] += level * (styled[c] - photo[c]));
            }
        }
        self.stylizer.set_mix(&self.style, &self.request.mix)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::style::{FeedForwardSize, transformation_network};

    #[test]
    fn another_request_gives_what_a_new_transfer_would() {
        let network = transformation_network(FeedForwardSize::Small, [16; 2], 7).unwrap();
        let mut style = FeedForwardStyle::new(network, ["a", "b"]).unwrap();
        style.sets[1].iter_mut().flatten().for_each(|value| *value += 0.5);
        let config = StylizerConfig { memory: None, cpu: Cpu::detect() };
        let photo = Image::filled(24, 20, &[90, 120, 200]);
        let mut kept = FeedForwardTransfer::new(style.clone(), FeedForwardRequest::default(), config).unwrap();
        let mut last = kept.transfer(&photo, FeedForwardMasks::default(), &mut ()).unwrap();
        let requests = [
            FeedForwardRequest { mix: vec![0.0, 1.0], ..FeedForwardRequest::default() },
            FeedForwardRequest { mix: vec![0.0, 1.0], strength: 0.5, ..FeedForwardRequest::default() },
            FeedForwardRequest { size: Some(16), ..FeedForwardRequest::default() },
        ];
        for request in requests {
            kept.set_request(request.clone()).unwrap();
            let result = kept.transfer(&photo, FeedForwardMasks::default(), &mut ()).unwrap();
            let mut new = FeedForwardTransfer::new(style.clone(), request, config).unwrap();
            assert_eq!(result, new.transfer(&photo, FeedForwardMasks::default(), &mut ()).unwrap());
            assert_ne!(result, last);
            last = result;
        }
        let pixels = (0..24 * 20).map(|i| if i % 24 < 12 { 0 } else { 255 }).collect();
        let halves = Image::new(24, 20, 1, pixels).unwrap();
        kept.set_request(FeedForwardRequest::default()).unwrap();
        let mut masked = |regions: &[usize]| {
            let masks = FeedForwardMasks { mask: Some(&halves), regions, preserve: None };
            kept.transfer(&photo, masks, &mut ()).unwrap()
        };
        let (all, swapped) = (masked(&[]), masked(&[1, 0]));
        assert_eq!(all, masked(&[0, 1]));
        assert_ne!(all, swapped);
        assert_eq!(masked(&[1, 1]).crop([0, 0], [20, 12]), swapped.crop([0, 0], [20, 12]));
        assert_eq!(masked(&[1]).crop([0, 0], [20, 12]), Canvas::of_image(&photo).crop([0, 0], [20, 12]));
        assert!(kept.set_request(FeedForwardRequest { strength: 2.0, ..FeedForwardRequest::default() }).is_err());
        assert!(kept.set_request(FeedForwardRequest { mix: vec![1.0], ..FeedForwardRequest::default() }).is_err());
    }
}
