//! Style transfer from a content image and style images to a stylized image.

use crate::core::{Progress, StyleProgress};
use crate::core::{Purpose, Rng};
use crate::data::Image;
use crate::style::losses::objective::{Region, StyleTarget};
use crate::style::optim::adam::AdamState;
use crate::style::optim::lbfgs::LbfgsState;
use crate::style::pipeline::constrained_objective::{ConstrainedObjective, PreserveMask, TemporalTarget};
use crate::style::pipeline::feature_extractor::{FeatureExtractor, GradientMode, ViewConfig, unit_and_halo};
use crate::style::pipeline::geometry::Geometry;
use crate::style::pipeline::mask;
use crate::style::pipeline::pyramid::{LEAST_SIDE, scaled, sizes};
use crate::style::pipeline::run::{Run, ScaleResult};
use crate::style::{Canvas, ColorSource, InitialImage, Losses, Objective, StyleConfig, StyleNetwork, StyleOptimizer};
use crate::{Error, Result};

/// Images of the size of the canvas that are held in addition to what the network needs: twelve, and the features
/// of the content, which take as much as six at the most.
const HELD_CANVASES: usize = 18;
/// The part of each side of a style image that is not measured. A photo of a painting ends in bare canvas, a frame or the
/// border of a scan, and all Gram matrices would ask for such bars: where colors do not hold them back, as with
/// [`ColorSource::Luminance`], they appear as streaks.
const STYLE_EDGE: f32 = 0.03;
/// Bytes of the program itself, of files on their way in and out, and of smaller images.
const HELD_BESIDES: u64 = 128 << 20;

/// A content image, its styles, and how they are applied.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{brushwork, choose_network};
///
/// let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let preset = Preset::Best.config(&network, Cpu::detect())?;
/// let config = StyleConfig { size: 32, smallest: None, first_steps: 3, ..preset };
/// let request = StyleRequest::new(Image::filled(64, 64, &[90, 120, 200]), vec![(brushwork()?, 1.0)]);
/// let result = transfer(&network, &request, &config, &mut ())?;
/// assert_eq!((result.canvas.size, result.steps), ([32, 32], 3));
/// assert!(result.end.total < result.start.total);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StyleRequest {
    /// The image whose content is kept.
    pub content: Image,
    /// The images whose style is taken, and how much of each.
    pub styles: Vec<(Image, f32)>,
    /// Which part has which style, in the size of the content. In grays from the first style (black) to the last (white);
    /// with one style, white is where it is applied. In colors: red is the first style, then green, blue, yellow, magenta,
    /// cyan, black and white.
    pub mask: Option<Image>,
    /// What is left as it is in the content (white), in its size.
    pub preserve: Option<Image>,
    /// Whose colors the result has.
    pub colors: ColorSource,
}

impl StyleProgress<'_> {
    /// The image as it is now, in the size at hand.
    ///
    /// # Errors
    /// None in practice.
    pub fn image(&self) -> Result<Image> {
        let [height, width] = self.size;
        Image::new(width, height, 3, (self.rgb)())
    }
}

/// A stylized image.
#[derive(Debug, Clone)]
pub struct StyleResult {
    /// The image, in its final size.
    pub canvas: Canvas,
    /// Height and width of the last scale that was reached, in pixels. Less than those of `canvas` where it was stopped at a
    /// coarse one, and enlarged.
    pub reached: [usize; 2],
    /// The losses of the initial image, at the last scale that was reached.
    pub start: Losses,
    /// Those of the image.
    pub end: Losses,
    /// Steps that were taken in all sizes.
    pub steps: usize,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// Stylizes an image. Progress is in pixels of all steps, with a [`Detail::Style`](crate::core::Detail::Style). When it
/// stops the work, the image so far is the result.
///
/// # Errors
/// [`Error::Argument`] when an image is too small, a setting is invalid or a layer does not exist; [`Error::Memory`] when
/// the memory is too small for the smallest tiles.
pub fn transfer(
    network: &StyleNetwork,
    request: &StyleRequest,
    config: &StyleConfig,
    progress: &mut dyn Progress,
) -> Result<StyleResult> {
    transfer_frame(network, request, config, None, progress)
}

/// As [`transfer`], near to an image in the last size.
pub(in crate::style) fn transfer_frame(
    network: &StyleNetwork,
    request: &StyleRequest,
    config: &StyleConfig,
    temporal: Option<&TemporalTarget>,
    progress: &mut dyn Progress,
) -> Result<StyleResult> {
    config.check()?;
    let last = request.check(config)?;
    let sizes = sizes(last, config.smallest);
    let network = network.cut(&config.loss.layers())?;
    network.network.check_finite()?;
    let [unit, _] = unit_and_halo(&network, &config.loss.layers())?;
    let styles =
        request.styles.iter().map(|(style, weight)| Ok((request.colors.prepare(&request.content, style)?, *weight)));
    let mut pipeline = Pipeline {
        request,
        content: request.colors.content(&request.content),
        styles: styles.collect::<Result<_>>()?,
        masks: request.mask.as_ref().map(|mask| mask::regions(mask, request.styles.len())).transpose()?,
        config,
        temporal,
        unit,
        network,
        taken: 0,
        work: work(&sizes, config),
    };
    pipeline.check_memory(last)?;
    let mut done = pipeline.run_scale([0, sizes.len()], sizes[0], None, progress)?;
    for (number, &size) in sizes.iter().enumerate().skip(1) {
        if done.stopped {
            break;
        }
        done = pipeline.run_scale([number, sizes.len()], size, Some(done), progress)?;
    }
    let ScaleResult { image, start, end, stopped, .. } = done;
    let reached = image.size;
    let mut canvas = image.resize(last)?;
    request.colors.finish(&mut canvas, &Canvas::of_image_at(&request.content, last)?);
    Ok(StyleResult { canvas, reached, start, end, steps: pipeline.taken, stopped })
}

/// The number of pixels of all steps.
pub(in crate::style) fn work(sizes: &[[usize; 2]], config: &StyleConfig) -> [u64; 2] {
    let steps = |index: usize| if index == 0 { config.first_steps } else { config.steps };
    let all = sizes.iter().enumerate().map(|(index, size)| (steps(index) * size[0] * size[1]) as u64).sum();
    [0, all]
}

impl StyleRequest {
    /// A content in the style of these images, their colors included.
    pub fn new(content: Image, styles: Vec<(Image, f32)>) -> Self {
        Self { content, styles, mask: None, preserve: None, colors: ColorSource::Style }
    }

    /// Checks the images, and returns the size of the result: height and width.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image is too small, a mask has not the size of the content, or there is no style.
    pub fn check(&self, config: &StyleConfig) -> Result<[usize; 2]> {
        if self.styles.is_empty() {
            return Err(Error::argument("an image of style is needed"));
        }
        let size = scaled("the content", [self.content.height(), self.content.width()], config.size)?;
        for (number, (style, weight)) in self.styles.iter().enumerate() {
            let what = if self.styles.len() == 1 { "the style".to_owned() } else { format!("style {}", number + 1) };
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Error::argument(format!("{what} has a weight of {weight}; it must be positive")));
            }
            scaled(&what, [style.height(), style.width()], style_side(size, config))?;
        }
        for (what, image) in [("the mask", &self.mask), ("the mask of what is preserved", &self.preserve)] {
            if let Some(image) = image {
                mask::check_size(what, image, &self.content)?;
            }
        }
        Ok(size)
    }
}

/// The longer side of a style image for a result of a size.
fn style_side(size: [usize; 2], config: &StyleConfig) -> usize {
    ((size[0].max(size[1]) as f32 * config.style_scale).round() as usize).max(1)
}

/// A style image at a size, without its edge, on a canvas for a network of this unit.
pub(in crate::style) fn style_canvas(style: &Image, size: [usize; 2], unit: usize) -> Result<Canvas> {
    let cut = size.map(|side| (STYLE_EDGE * side as f32).ceil() as usize);
    let inner = [size[0] - 2 * cut[0], size[1] - 2 * cut[1]];
    let margins = Geometry::new(inner, unit).margins();
    Ok(Canvas::of_image_at(style, size)?.crop(cut, inner).mirrored(margins))
}

struct Pipeline<'a> {
    request: &'a StyleRequest,
    /// The content and the styles with matched colors.
    content: Image,
    styles: Vec<(Image, f32)>,
    masks: Option<Vec<Image>>,
    config: &'a StyleConfig,
    temporal: Option<&'a TemporalTarget>,
    unit: usize,
    /// The part of the network that the layers need.
    network: StyleNetwork,
    /// Steps so far.
    taken: usize,
    /// Pixels of the steps that are done, and of all.
    work: [u64; 2],
}

impl Pipeline<'_> {
    fn run_scale(
        &mut self,
        scale: [usize; 2],
        size: [usize; 2],
        before: Option<ScaleResult>,
        progress: &mut dyn Progress,
    ) -> Result<ScaleResult> {
        let config = self.config;
        let geometry = Geometry::new(size, self.unit);
        let view = ViewConfig { cpu: config.cpu, exact: false, memory: self.memory_for(geometry.canvas) };
        let regions = self.regions(geometry, view)?;
        let content = self.on_canvas(&self.content, geometry)?;
        let objective = Objective::with_regions(&self.network, &config.loss, &content, regions, view)?;
        let mut objective = self.constrain(objective, scale, geometry, &content)?;
        let over = match before {
            Some(_) => {
                let start = objective.visible(self.start(geometry, &content)?);
                Some(objective.evaluate(&start, [0, 0], &mut vec![0.0; start.values.len()])?)
            }
            None => None,
        };
        let (start, adam) = match before {
            None => (self.start(geometry, &content)?, None),
            Some(done) => {
                let change = |canvas: &Canvas| {
                    let inner = canvas.crop(done.geometry.origin, done.geometry.image);
                    Ok(inner.resize(size)?.mirrored(geometry.margins()))
                };
                let start = done.image.resize(size)?.mirrored(geometry.margins());
                (start, done.adam.map(|adam| adam.changed(change)).transpose()?)
            }
        };
        drop(content);
        let steps = if scale[0] == 0 { config.first_steps } else { config.steps };
        let mut run = Run { config, geometry, scale, steps, progress, work: &mut self.work, taken: &mut self.taken };
        let mut done = match config.optimizer {
            StyleOptimizer::Adam(constants) => {
                let state = adam.unwrap_or_else(|| AdamState::new(constants, geometry.canvas));
                run.adam(&mut objective, start, state)?
            }
            StyleOptimizer::Lbfgs(constants) => run.lbfgs(&mut objective, start, LbfgsState::new(constants, 1.0))?,
        };
        if let Some(over) = over {
            done.start = over;
        }
        Ok(done)
    }

    fn constrain(
        &self,
        objective: Objective,
        [number, scales]: [usize; 2],
        geometry: Geometry,
        content: &Canvas,
    ) -> Result<ConstrainedObjective> {
        let preserve = match &self.request.preserve {
            Some(mask) => Some(PreserveMask { canvas: content.clone(), mask: mask::plane(mask, geometry)? }),
            None => None,
        };
        let temporal = self.temporal.filter(|_| number + 1 == scales).map(|temporal| TemporalTarget {
            canvas: temporal.canvas.mirrored(geometry.margins()),
            mask: geometry.plane(&temporal.mask),
            weight: temporal.weight,
        });
        Ok(ConstrainedObjective { objective, preserve, temporal })
    }

    /// Checks that the largest scale fits the memory, before the small ones are computed.
    fn check_memory(&self, last: [usize; 2]) -> Result<()> {
        let geometry = Geometry::new(last, self.unit);
        let (config, memory) = (self.config, self.memory_for(geometry.canvas));
        let (Some(allowed), Some(memory)) = (config.memory, memory) else { return Ok(()) };
        let view = ViewConfig { cpu: config.cpu, exact: false, memory: Some(memory) };
        match FeatureExtractor::new(&self.network, &config.loss.layers(), geometry.canvas, view, GradientMode::Written)
        {
            Ok(_) => Ok(()),
            Err(Error::Memory { needed, .. }) => Err(self.too_large(last, needed, allowed)),
            Err(other) => Err(other),
        }
    }

    /// The error of an image that does not fit the memory, of which its smallest tile needs so much.
    fn too_large(&self, last: [usize; 2], tile: u64, allowed: u64) -> Error {
        let longer = last[0].max(last[1]);
        let needed = |side: usize| {
            let size = last.map(|of| (of * side).div_ceil(longer));
            self.held(Geometry::new(size, self.unit).canvas) + tile
        };
        // What is held grows with the side, so the largest that fits is found by halving.
        let (mut fits, mut fails) = (0, longer);
        while fails - fits > 1 {
            let middle = usize::midpoint(fits, fails);
            *(if needed(middle) <= allowed { &mut fits } else { &mut fails }) = middle;
        }
        let shorter = last[0].min(last[1]) * fits / longer;
        Error::Memory {
            what: format!("a result of {}x{} pixels", last[1], last[0]),
            needed: needed(longer),
            allowed,
            largest: (shorter >= LEAST_SIDE).then_some(fits),
        }
    }

    /// What is left for the network after the images.
    fn memory_for(&self, canvas: [usize; 2]) -> Option<u64> {
        self.config.memory.map(|memory| memory.saturating_sub(self.held(canvas)))
    }

    /// What is held in addition to the network, in bytes.
    fn held(&self, canvas: [usize; 2]) -> u64 {
        let history = match self.config.optimizer {
            StyleOptimizer::Adam(_) => 0,
            StyleOptimizer::Lbfgs(constants) => 2 * constants.history + 4,
        };
        12 * (canvas[0] * canvas[1] * (HELD_CANVASES + history)) as u64 + HELD_BESIDES
    }

    /// An image on a canvas.
    fn on_canvas(&self, image: &Image, geometry: Geometry) -> Result<Canvas> {
        Ok(Canvas::of_image_at(image, geometry.image)?.mirrored(geometry.margins()))
    }

    /// The styles at a size of the result, and where each is applied.
    fn regions(&self, geometry: Geometry, view: ViewConfig) -> Result<Vec<Region>> {
        let mut targets = Vec::new();
        for (style, weight) in &self.styles {
            let [height, width] = [style.height(), style.width()];
            // In a small size a long style is seen larger than it should be rather than not at all.
            let least = (LEAST_SIDE * height.max(width)).div_ceil(height.min(width));
            let longer = style_side(geometry.image, self.config).max(least);
            let size = scaled("the style", [height, width], longer)?;
            let canvas = style_canvas(style, size, self.unit)?;
            let target = StyleTarget::measure(&self.network, &self.config.loss, &canvas, view)?;
            targets.push((target, *weight));
        }
        // What is preserved has no style.
        let free = match &self.request.preserve {
            Some(mask) => Some(mask::plane(mask, geometry)?.iter().map(|keep| 1.0 - keep).collect::<Vec<f32>>()),
            None => None,
        };
        let Some(masks) = &self.masks else {
            let parts: Vec<_> = targets.iter().map(|(target, weight)| (target, *weight)).collect();
            return Ok(vec![Region { mask: free, style: StyleTarget::blend(&parts) }]);
        };
        let mut regions = Vec::new();
        for (mask, (style, _)) in masks.iter().zip(targets) {
            let mut mask = mask::plane(mask, geometry)?;
            if let Some(free) = &free {
                mask.iter_mut().zip(free).for_each(|(value, free)| *value *= free);
            }
            regions.push(Region { mask: Some(mask), style });
        }
        Ok(regions)
    }

    fn start(&self, geometry: Geometry, content: &Canvas) -> Result<Canvas> {
        Ok(match &self.config.start {
            InitialImage::Content => self.dithered(content),
            InitialImage::Image(image) => self.on_canvas(image, geometry)?,
            InitialImage::Canvas(canvas) => canvas.resize(geometry.image)?.mirrored(geometry.margins()),
            InitialImage::Noise => {
                let mut random = Rng::keyed(self.config.seed, Purpose::Canvas, 0);
                let count = 3 * geometry.canvas[0] * geometry.canvas[1];
                let values = (0..count).map(|_| (255.0 * random.uniform()) as f32).collect();
                Canvas { size: geometry.canvas, values }
            }
        })
    }

    /// A canvas with gray noise. Where an image is flat, all pixels of a pooling window are the maximum, and the first
    /// one gets the whole gradient: without noise such an area would show a grid of blocks, as large as the
    /// stride of the deepest layer.
    fn dithered(&self, canvas: &Canvas) -> Canvas {
        let amplitude = f64::from(self.config.dither);
        if amplitude == 0.0 {
            return canvas.clone();
        }
        let mut random = Rng::keyed(self.config.seed, Purpose::Canvas, 2);
        let pixels = canvas.values.chunks_exact(3).flat_map(|pixel| {
            let noise = (amplitude * (2.0 * random.uniform() - 1.0)) as f32;
            [0, 1, 2].map(|c: usize| pixel[c] + noise)
        });
        Canvas { size: canvas.size, values: pixels.collect() }
    }
}
