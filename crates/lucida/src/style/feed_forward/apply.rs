//! Applies a feed-forward style to images of any size: whole, or tile by tile when memory is limited.

use super::statistics::measured;
use super::{FeedForwardStyle, PixelRange};
use crate::core::{Progress, Step, Unit};
use crate::explain::receptive_fields;
use crate::nn::{Network, Plan};
use crate::style::Canvas;
use crate::style::pipeline::tiles::{Tile, tiles};
use crate::weights::is_finite;
use crate::{Cpu, Error, Result};

/// Bytes held per pixel in addition to the network: the photo, the input image, its padded copy, and the result.
const HELD_PER_PIXEL: usize = 3 + 3 * 12;
/// Bytes per weight: the weight itself, and its transform for the convolutions.
const BYTES_PER_WEIGHT: usize = 4 + 22;
/// Approximate side of the image on which the memory per pixel is measured.
const PROBE: usize = 256;
/// Largest supported total stride of a network.
const LARGEST_UNIT: usize = 64;
/// A network whose receptive field exceeds this can only process whole images.
const LARGEST_HALO: usize = 2048;

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
    /// Half of the receptive field, rounded up to whole units; none when it is the whole image even with fixed statistics.
    halo: Option<usize>,
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
        let halo = halo_of(&sized, unit);
        let ranges = [style.input_range(), style.output_range()];
        Ok(Self { network, ranges, config, unit, per_pixel, halo, whole: None })
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

    /// Stylizes an image with red, green and blue from 0 to 255. Progress counts tiles when there are several.
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
        let halo = self.halo.ok_or_else(|| self.too_large(input.size, 0))?;
        let tile = self.tile(input.size, halo)?;
        let parts = tiles(input.size, tile, halo, [0, 0]);
        let mut count = Tiles { done: 0, all: parts.len(), progress };
        let fixed = if self.network.normalizes_instances() {
            let memory = self.free(input.size).map(|free| free as u64);
            let config = StylizerConfig { memory, ..self.config };
            // Measuring the statistics takes about as long as stylizing, so it counts as half of the progress.
            let mut half = |done: usize, all: usize| {
                count.all = 2 * parts.len();
                count.at(parts.len() * done / all)
            };
            measured(&self.network, input, (self.ranges[0], self.unit), config, &mut half)?
        } else {
            self.network.clone()
        };
        let mut sized = SizedNetwork::new(&fixed, tile, self.config.cpu)?;
        let mut result = Canvas::filled(input.size, [0.0; 3]);
        for part in &parts {
            self.fill(&mut sized.plan, input, part, tile);
            sized.plan.forward(&sized.network)?;
            let [rows, columns] = part.core;
            for row in rows[0]..rows[1] {
                let from = 3 * ((row - part.origin[0]) * tile[1] + columns[0] - part.origin[1]);
                let to = 3 * (row * input.size[1] + columns[0]);
                let len = 3 * (columns[1] - columns[0]);
                result.values[to..to + len].copy_from_slice(&sized.plan.output(0)[from..from + len]);
            }
            count.next()?;
        }
        self.ranges[1].read(&mut result.values);
        Ok(result)
    }

    /// Copies a tile of the image to the input of a plan.
    fn fill(&self, plan: &mut Plan, input: &Canvas, part: &Tile, tile: [usize; 2]) {
        let to = plan.input_mut();
        for row in 0..tile[0] {
            let from = 3 * ((part.origin[0] + row) * input.size[1] + part.origin[1]);
            let len = 3 * tile[1];
            self.ranges[0].write(&input.values[from..from + len], &mut to[row * len..(row + 1) * len]);
        }
    }

    /// Tile size for an image.
    fn tile(&self, size: [usize; 2], halo: usize) -> Result<[usize; 2]> {
        let pixels = self.pixels(size);
        if size[0] * size[1] <= pixels {
            return Ok(size);
        }
        let side = (pixels as f64).sqrt() as usize;
        let mut tile = [0, 1].map(|axis| side.min(size[axis]) / self.unit * self.unit);
        // If one side is shorter than the tile, the other one gets the pixels that remain.
        for axis in 0..2 {
            let other = tile[1 - axis].max(1);
            tile[axis] = tile[axis].max((pixels / other).min(size[axis]) / self.unit * self.unit);
        }
        let least = 2 * halo + self.unit;
        if (0..2).any(|axis| tile[axis] < size[axis].min(least + self.unit)) {
            return Err(self.too_large(size, least + self.unit));
        }
        Ok(tile)
    }

    /// Error for an image that does not fit in memory even with tiles with a side of `least` pixels.
    fn too_large(&self, size: [usize; 2], least: usize) -> Error {
        let allowed = self.config.memory.unwrap_or(u64::MAX);
        let held = HELD_PER_PIXEL * size[0] * size[1] + BYTES_PER_WEIGHT * self.network.parameters().0;
        let tile = match self.halo {
            Some(_) => least * least * self.per_pixel,
            None => size[0] * size[1] * self.per_pixel,
        };
        Error::Memory {
            what: format!("an image of {}x{} pixels", size[1], size[0]),
            needed: (held + tile) as u64,
            allowed,
            largest: None,
        }
    }
}

/// Reports progress in tiles.
struct Tiles<'a> {
    done: usize,
    all: usize,
    progress: &'a mut dyn Progress,
}

impl Tiles<'_> {
    fn next(&mut self) -> Result<()> {
        self.at(self.done + 1)
    }

    fn at(&mut self, done: usize) -> Result<()> {
        self.done = done;
        match self.progress.update(&Step::new(Unit::Passes, self.done, self.all)).is_break() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}

/// The smallest power of two such that images whose sides are multiples of it keep their size.
fn unit_of(network: &Network) -> Result<usize> {
    let keeps = |side: usize| {
        let sized = network.clone().with_input_size(side, side).ok()?;
        let shape = sized.output().ok()?.shape().as_image()?;
        (shape == [side, side, 3]).then_some(())
    };
    let mut units = (0..).map(|power| 1_usize << power).take_while(|&unit| unit <= LARGEST_UNIT);
    let fits = |unit: &usize| [PROBE / unit + 1, PROBE / unit + 2].iter().all(|times| keeps(times * unit).is_some());
    units.find(fits).ok_or_else(|| {
        let [height, width, _] = network.input_shape().ok().and_then(|shape| shape.as_image()).unwrap_or_default();
        Error::Unsupported(format!(
            "network {} takes images of {width}x{height} pixels alone, or makes images of another size than it takes: export \
             it with a height and width that are left open (PyTorch: dynamic_axes or dynamic_shapes)",
            network.name()
        ))
    })
}

/// Half of the receptive field of an output pixel, in whole units; none when it is the whole image even with fixed
/// statistics.
fn halo_of(network: &Network, unit: usize) -> Option<usize> {
    let fixed = network.with_batch_statistics().ok()?;
    let mut side = PROBE.next_multiple_of(unit);
    while side <= LARGEST_HALO {
        let sized = fixed.clone().with_input_size(side, side).ok()?;
        let fields = receptive_fields(&sized).ok()?;
        let field = &fields[*sized.outputs().first()?];
        // Reflection padding changes the receptive field near the borders: measure in the center, at each offset within a
        // unit.
        let reach = |at: usize| -> Option<usize> {
            let found = field.at([at, at])?;
            let spans = [found.rows, found.columns];
            spans.iter().all(|span| span.start > 0 && span.end < side as i64).then_some(())?;
            spans.iter().map(|span| (at as i64 - span.start).max(span.end - 1 - at as i64) as usize).max()
        };
        let reaches: Option<Vec<usize>> = (side / 2..side / 2 + unit).map(reach).collect();
        if let Some(reach) = reaches.and_then(|reaches| reaches.into_iter().max()) {
            return Some(reach.next_multiple_of(unit));
        }
        side *= 2;
    }
    None
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
    use crate::data::{Image, Limits};

    fn stylizer(memory: Option<u64>) -> FeedForwardStylizer {
        let style = FeedForwardStyle::builtin().unwrap();
        FeedForwardStylizer::new(&style, &[1.0], StylizerConfig { memory, cpu: Cpu::detect() }).unwrap()
    }

    fn cat(size: [usize; 2]) -> Canvas {
        let cat = Image::decode(lucida_assets::CAT, "chelsea.png", &Limits::default()).unwrap();
        Canvas::of_image_at(&cat, size).unwrap()
    }

    fn mean_apart(a: &Canvas, b: &Canvas) -> f32 {
        a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.values.len() as f32
    }

    /// Mean absolute difference of each column from the previous one, then of each row.
    fn steps_across(image: &Canvas) -> Vec<f32> {
        let [height, width] = image.size;
        let columns =
            (1..width).map(|x| mean_apart(&image.crop([0, x - 1], [height, 1]), &image.crop([0, x], [height, 1])));
        let rows =
            (1..height).map(|y| mean_apart(&image.crop([y - 1, 0], [1, width]), &image.crop([y, 0], [1, width])));
        columns.chain(rows).collect()
    }

    #[test]
    fn tiles_give_nearly_the_whole_image_and_leave_no_seam() {
        let image = cat([402, 519]);
        let whole = stylizer(None).stylize(&image, &mut ()).unwrap();
        let mut tiled = stylizer(None);
        assert_eq!((tiled.unit, tiled.halo), (4, Some(56)));
        // Enough memory for tiles of 220x220.
        let held = HELD_PER_PIXEL * 404 * 520 + BYTES_PER_WEIGHT * tiled.network.parameters().0;
        tiled.config.memory = Some((held + 220 * 220 * tiled.per_pixel) as u64);
        let mut steps = Vec::new();
        let mut tell = |step: &Step<'_>| {
            steps.push((step.done, step.total));
            std::ops::ControlFlow::Continue(())
        };
        let parts = tiled.stylize(&image, &mut tell).unwrap();
        assert!(steps.len() > 8 && steps.last().is_some_and(|(done, total)| Some(*done) == *total), "{steps:?}");
        let mean = mean_apart(&whole, &parts);
        // Stylized on its own, a part of the image has different statistics.
        let alone = stylizer(None).stylize(&image.crop([0, 0], [220, 220]), &mut ()).unwrap();
        let apart_alone = mean_apart(&alone, &whole.crop([0, 0], [220, 220]));
        assert!(mean < 0.5 * apart_alone, "{mean} {apart_alone}");
        // No column or row differs from its neighbors more than in the untiled result.
        for (steps, of_whole) in steps_across(&parts).iter().zip(steps_across(&whole)) {
            assert!(*steps < 1.3 * of_whole + 1.0, "{steps} {of_whole}");
        }
        let mut stop = |_: &Step<'_>| std::ops::ControlFlow::Break(());
        assert!(matches!(tiled.stylize(&image, &mut stop), Err(Error::Interrupted)));
        tiled.config.memory = Some(1 << 20);
        let message = tiled.stylize(&image, &mut ()).unwrap_err().to_string();
        assert!(message.contains("519") || message.contains("520x404"), "{message}");
    }

    /// With the statistics of the whole image, a tile matches the same part of the untiled result exactly.
    #[test]
    fn fixed_statistics_make_tiles_exact() {
        let image = cat([240, 320]);
        let mut stylizer = stylizer(None);
        let (ranges, unit, config) = (stylizer.ranges, stylizer.unit, stylizer.config);
        stylizer.network = measured(&stylizer.network, &image, (ranges[0], unit), config, &mut |_, _| Ok(())).unwrap();
        let whole = stylizer.stylize(&image, &mut ()).unwrap();
        let held = HELD_PER_PIXEL * 240 * 320 + BYTES_PER_WEIGHT * stylizer.network.parameters().0;
        stylizer.config.memory = Some((held + 180 * 180 * stylizer.per_pixel) as u64);
        let parts = stylizer.stylize(&image, &mut ()).unwrap();
        let difference = whole.values.iter().zip(&parts.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 0.05, "{difference}");
    }
}
