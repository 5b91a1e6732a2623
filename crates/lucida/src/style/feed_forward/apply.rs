//! Applies a feed-forward style to images of any size: whole, or tile by tile when memory is limited.

use super::tiling::{Geometry, PROBE, TiledRun, unit_of};
use super::{FeedForwardStyle, PixelRange};
use crate::core::Progress;
use crate::nn::{Network, Plan};
use crate::style::Canvas;
use crate::weights::is_finite;
use crate::{Cpu, Error, Result};

/// Bytes held per pixel in addition to the network: the photo, the input image, its padded copy, and the result.
const HELD_PER_PIXEL: usize = 3 + 3 * 12;
/// Bytes per weight: the weight itself, and its transform for the convolutions.
const BYTES_PER_WEIGHT: usize = 4 + 22;

/// Memory limit and CPU of a feed-forward stylizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StylizerConfig {
    /// Approximate memory limit in bytes; larger images are processed in tiles.
    pub memory: Option<u64>,
    /// CPU to run on.
    pub cpu: Cpu,
}

/// Stylizes images with a mix of the styles of a [`FeedForwardStyle`]. Images of the same size share a plan.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{Canvas, StylizerConfig, FeedForwardSize, FeedForwardStyle, FeedForwardStylizer};
/// use lucida::style::transformation_network;
///
/// let style = FeedForwardStyle::new(transformation_network(FeedForwardSize::Small, [64, 64], 42)?, ["waves"])?;
/// let config = StylizerConfig { memory: None, cpu: Cpu::detect() };
/// let mut stylizer = FeedForwardStylizer::new(&style, &[1.0], config)?;
/// let stylized = stylizer.stylize(&Canvas::filled([75, 101], [200.0, 90.0, 30.0]), &mut ())?;
/// assert_eq!(stylized.size, [75, 101]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct FeedForwardStylizer {
    network: Network,
    ranges: [PixelRange; 2],
    config: StylizerConfig,
    /// Heights and widths must be multiples of this.
    unit: usize,
    /// Memory of a plan per pixel, in bytes.
    per_pixel: usize,
    /// None when the network can only process whole images.
    geometry: Option<Geometry>,
    /// Plan of the last image that was processed as a whole.
    whole: Option<SizedNetwork>,
}

/// A network for one image size, and its plan.
#[derive(Debug)]
struct SizedNetwork {
    size: [usize; 2],
    network: Network,
    plan: Plan,
}

impl SizedNetwork {
    fn new(network: &Network, size: [usize; 2], cpu: Cpu) -> Result<Self> {
        let network = network.clone().with_input_size(size[0], size[1])?;
        let plan = Plan::builder(&network).cpu(cpu).build()?;
        Ok(Self { size, network, plan })
    }
}

impl FeedForwardStylizer {
    /// Creates a stylizer for a mix of the styles: one weight per style.
    ///
    /// # Errors
    /// As [`FeedForwardStyle::model`]; [`Error::Unsupported`] when input and output size of the network differ.
    pub fn new(style: &FeedForwardStyle, mix: &[f32], config: StylizerConfig) -> Result<Self> {
        let network = style.model(mix)?.network;
        let unit = unit_of(&network)?;
        let probe = PROBE.next_multiple_of(unit);
        let sized = network.clone().with_input_size(probe, probe)?;
        let pixels = probe * probe;
        let per_pixel = Plan::builder(&sized).cpu(config.cpu).build()?.memory().div_ceil(pixels);
        let geometry = Geometry::of(&network, unit);
        let ranges = [style.input_range(), style.output_range()];
        Ok(Self { network, ranges, config, unit, per_pixel, geometry, whole: None })
    }

    /// Changes the mix of the styles.
    ///
    /// # Errors
    /// As [`FeedForwardStyle::model`].
    pub fn set_mix(&mut self, style: &FeedForwardStyle, mix: &[f32]) -> Result<()> {
        self.network = style.model(mix)?.network;
        if let Some(sized) = &mut self.whole {
            sized.network = self.network.clone().with_input_size(sized.size[0], sized.size[1])?;
        }
        Ok(())
    }

    /// Stylizes an image with red, green and blue from 0 to 255. When there are several tiles, progress counts their
    /// work, in parts of the whole.
    ///
    /// # Errors
    /// [`Error::Memory`] when the image does not fit the memory limit; [`Error::Interrupted`] when `progress` stops it.
    pub fn stylize(&mut self, content: &Canvas, progress: &mut dyn Progress) -> Result<Canvas> {
        let size = content.size.map(|side| side.next_multiple_of(self.unit));
        let border = [0, 1].map(|axis| size[axis] - content.size[axis]);
        let padded = if border == [0, 0] { None } else { Some(content.mirrored([0, border[0], 0, border[1]])) };
        let input = padded.as_ref().unwrap_or(content);
        let result = if self.pixels(size) >= size[0] * size[1] {
            self.run_whole(input)?
        } else {
            self.run_tiled(input, progress)?
        };
        if !is_finite(&result.values) {
            let why = "a value within exceeds what float32 holds";
            return Err(Error::Unsupported(format!(
                "the outputs of network {} are not finite: {why}",
                self.network.name()
            )));
        }
        Ok(if padded.is_some() { result.crop([0, 0], content.size) } else { result })
    }

    /// Number of plan pixels that fit in memory in addition to an image of a size.
    fn pixels(&self, size: [usize; 2]) -> usize {
        self.free(size).map_or(usize::MAX, |free| free / self.per_pixel.max(1))
    }

    /// Bytes left for activations in addition to an image of a size.
    fn free(&self, size: [usize; 2]) -> Option<usize> {
        let held = HELD_PER_PIXEL * size[0] * size[1] + BYTES_PER_WEIGHT * self.network.parameters().0;
        self.config.memory.map(|memory| (memory as usize).saturating_sub(held))
    }

    fn run_whole(&mut self, input: &Canvas) -> Result<Canvas> {
        if self.whole.as_ref().is_none_or(|sized| sized.size != input.size) {
            // Free the old plan first: two plans at a time would take twice the memory.
            self.whole = None;
            self.whole = Some(SizedNetwork::new(&self.network, input.size, self.config.cpu)?);
        }
        let sized = self.whole.as_mut().ok_or_else(|| Error::Bug("a plan is missing".into()))?;
        self.ranges[0].write(&input.values, sized.plan.input_mut());
        sized.plan.forward(&sized.network)?;
        let mut values = sized.plan.output(0).to_vec();
        self.ranges[1].read(&mut values);
        Ok(Canvas { size: input.size, values })
    }

    fn run_tiled(&mut self, input: &Canvas, progress: &mut dyn Progress) -> Result<Canvas> {
        self.whole = None;
        let size = input.size;
        let geometry =
            self.geometry.as_ref().ok_or_else(|| self.too_large(size, size[0] * size[1] * self.per_pixel))?;
        let free = self.free(size).unwrap_or(usize::MAX);
        let (network, input_range, cpu) = (&self.network, self.ranges[0], self.config.cpu);
        let run = TiledRun { geometry, network, input, input_range, free, cpu };
        let mut result = run.run(progress)?.map_err(|needed| self.too_large(size, needed))?;
        self.ranges[1].read(&mut result.values);
        Ok(result)
    }

    /// Error for an image that does not fit in memory even with the smallest tiles, which need these bytes.
    fn too_large(&self, size: [usize; 2], needed: usize) -> Error {
        let held = HELD_PER_PIXEL * size[0] * size[1] + BYTES_PER_WEIGHT * self.network.parameters().0;
        Error::Memory {
            what: format!("an image of {}x{} pixels", size[1], size[0]),
            needed: (held + needed) as u64,
            allowed: self.config.memory.unwrap_or(u64::MAX),
            fits: None,
        }
    }
}

impl PixelRange {
    /// Maps pixels from 0 to 255 to this range.
    pub(super) fn write(self, pixels: &[f32], to: &mut [f32]) {
        let (scale, offset) = ((self.white - self.black) / 255.0, self.black);
        to.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel * scale + offset);
    }

    /// Maps values of this range to pixels from 0 to 255, in place.
    fn read(self, values: &mut [f32]) {
        let scale = 255.0 / (self.white - self.black);
        values.iter_mut().for_each(|value| *value = (*value - self.black) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Step;
    use crate::data::chelsea;

    fn stylizer(memory: Option<u64>) -> FeedForwardStylizer {
        let style = FeedForwardStyle::builtin().unwrap();
        FeedForwardStylizer::new(&style, &[1.0], StylizerConfig { memory, cpu: Cpu::detect() }).unwrap()
    }

    fn cat(size: [usize; 2]) -> Canvas {
        let cat = chelsea().unwrap();
        Canvas::of_image_at(&cat, size).unwrap()
    }

    /// Memory limit that leaves a stylizer this many bytes for the activations of an image.
    fn limit(stylizer: &FeedForwardStylizer, image: &Canvas, free: usize) -> Option<u64> {
        let size = image.size.map(|side| side.next_multiple_of(stylizer.unit));
        Some((HELD_PER_PIXEL * size[0] * size[1] + BYTES_PER_WEIGHT * stylizer.network.parameters().0 + free) as u64)
    }

    #[test]
    fn tiles_give_the_whole_image() {
        let image = cat([238, 319]);
        let whole = stylizer(None).stylize(&image, &mut ()).unwrap();
        let mut tiled = stylizer(None);
        for megabytes in [20, 12] {
            tiled.config.memory = limit(&tiled, &image, megabytes << 20);
            let mut steps = Vec::new();
            let mut tell = |step: &Step<'_>| {
                steps.push((step.done, step.total));
                std::ops::ControlFlow::Continue(())
            };
            let parts = tiled.stylize(&image, &mut tell).unwrap();
            assert!(steps.len() > 15 && steps.last().is_some_and(|(done, total)| Some(*done) == *total), "{steps:?}");
            let apart = whole.values.iter().zip(&parts.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 0.1, "{megabytes} MiB: {apart}");
        }
        let mut stop = |_: &Step<'_>| std::ops::ControlFlow::Break(());
        assert!(matches!(tiled.stylize(&image, &mut stop), Err(Error::Interrupted)));
        tiled.config.memory = Some(1 << 20);
        let Err(Error::Memory { what, needed, .. }) = tiled.stylize(&image, &mut ()) else {
            panic!("it has no memory")
        };
        assert!(what.contains("320x240"), "{what}");
        // What the error asks for is enough.
        tiled.config.memory = Some(needed);
        tiled.stylize(&image, &mut ()).unwrap();
    }

    /// Branches of several resolutions, zeros at the border, and a normalization that has fixed statistics already.
    #[test]
    fn networks_of_other_shapes_run_in_tiles() {
        use crate::nn::layers::{
            BatchNormalization, Concatenate, Conv2D, GroupNormalization, Input, MaxPooling2D, Padding, UpSampling2D,
        };
        let mut builder = Network::builder("branches");
        let input = builder.add(Input::new([64, 64, 3]), &[]).unwrap();
        let conv = |filters: usize, side: usize| Conv2D::new(filters, [side; 2]).padding(Padding::Same);
        let norm = || GroupNormalization { epsilon: 1e-5, ..GroupNormalization::per_channel() };
        let mut block = |from: usize, filters: usize, side: usize| {
            let conv = builder.add(conv(filters, side), &[from]).unwrap();
            builder.add(norm(), &[conv]).unwrap()
        };
        let first = block(input, 6, 5);
        let other = block(input, 4, 3);
        let pooled = builder.add(MaxPooling2D::new([2, 2]), &[first]).unwrap();
        let coarse = builder.add(conv(8, 3), &[pooled]).unwrap();
        let coarse = builder.add(norm(), &[coarse]).unwrap();
        let fine = builder.add(UpSampling2D::new([2, 2]), &[coarse]).unwrap();
        let fixed = builder.add(BatchNormalization::default(), &[input]).unwrap();
        let joined = builder.add(Concatenate::new(), &[fine, first, other, fixed]).unwrap();
        let last = builder.add(conv(3, 7), &[joined]).unwrap();
        let network = builder.build(&[last], 5).unwrap();
        let style = FeedForwardStyle::new(network, ["a"]).unwrap();
        let stylizer =
            |memory| FeedForwardStylizer::new(&style, &[1.0], StylizerConfig { memory, cpu: Cpu::detect() }).unwrap();
        let image = cat([150, 222]);
        let whole = stylizer(None).stylize(&image, &mut ()).unwrap();
        let scale = whole.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for kilobytes in [500, 1000, 3000] {
            let mut tiled = stylizer(None);
            tiled.config.memory = limit(&tiled, &image, kilobytes << 10);
            let parts = tiled.stylize(&image, &mut ()).unwrap();
            let apart = whole.values.iter().zip(&parts.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4 * scale, "{kilobytes} KiB: {apart} of {scale}");
        }
    }
}
