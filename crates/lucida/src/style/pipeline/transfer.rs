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
use crate::{Error, Fitting, Result};

/// Number of images of canvas size held in addition to the network: twelve, and the content's features, which take as much
/// as up to six.
const HELD_CANVASES: usize = 18;
/// Share of each side of a style image that is cropped. A photo of a painting ends in bare canvas, a frame or the border of
/// a scan; left in the Gram matrices, such bars would appear as streaks where colors do not prevent it, as with
/// [`ColorSource::Luminance`].
const STYLE_EDGE: f32 = 0.03;
/// Bytes for the program, file buffers, and smaller images.
const FIXED_BYTES: u64 = 128 << 20;

/// A content image, style images, and how they are combined.
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
    /// Content image.
    pub content: Image,
    /// Style images and their weights.
    pub styles: Vec<(Image, f32)>,
    /// Assigns styles to regions; same size as the content. A gray mask blends from the first style (black) to the last
    /// (white), or applies a single style where it is white. A color mask selects styles in the order red, green, blue,
    /// yellow, magenta, cyan, black and white.
    pub mask: Option<Image>,
    /// Preserves the content where it is white; same size as the content.
    pub preserve: Option<Image>,
    /// The image that the colors of the result come from.
    pub colors: ColorSource,
}

impl StyleProgress<'_> {
    /// The current image, at the size of the current scale.
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
    /// The image, at its final size.
    pub canvas: Canvas,
    /// Height and width of the last scale reached, in pixels. Smaller than `canvas` if the transfer was stopped at a coarser
    /// scale, whose result was enlarged.
    pub last_size: [usize; 2],
    /// Losses of the initial image, at the last scale reached.
    pub start: Losses,
    /// Losses of the final image, at that scale.
    pub end: Losses,
    /// Number of steps at all scales.
    pub steps: usize,
    /// Whether it was stopped early.
    pub stopped: bool,
}

/// Stylizes an image. Progress counts pixels times steps, with a [`Detail::Style`](crate::core::Detail::Style). If
/// `progress` stops it, the current image is returned.
///
/// # Errors
/// [`Error::Argument`] when an image is too small, a setting is invalid or a layer does not exist; [`Error::Memory`] when
/// even the smallest tiles exceed the memory limit.
pub fn transfer(
    network: &StyleNetwork,
    request: &StyleRequest,
    config: &StyleConfig,
    progress: &mut dyn Progress,
) -> Result<StyleResult> {
    transfer_frame(network, request, config, None, progress)
}

/// As [`transfer`], with a temporal loss at the last scale.
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
    let last_size = image.size;
    let mut canvas = image.resize(last)?;
    request.colors.finish(&mut canvas, &Canvas::of_image_at(&request.content, last)?);
    Ok(StyleResult { canvas, last_size, start, end, steps: pipeline.taken, stopped })
}

/// Work done (none) and total work, in pixels times steps.
pub(in crate::style) fn work(sizes: &[[usize; 2]], config: &StyleConfig) -> [u64; 2] {
    let steps = |index: usize| if index == 0 { config.first_steps } else { config.steps };
    let all = sizes.iter().enumerate().map(|(index, size)| (steps(index) * size[0] * size[1]) as u64).sum();
    [0, all]
}

impl StyleRequest {
    /// Creates a request without masks, with the colors of the styles.
    pub fn new(content: Image, styles: Vec<(Image, f32)>) -> Self {
        Self { content, styles, mask: None, preserve: None, colors: ColorSource::Style }
    }

    /// Validates the images, and returns the height and width of the result.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image is too small, a mask and the content differ in size, or there is no style.
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

/// Longer side of a style image, for a result of a size.
fn style_side(size: [usize; 2], config: &StyleConfig) -> usize {
    ((size[0].max(size[1]) as f32 * config.style_scale).round() as usize).max(1)
}

/// Resizes a style image, crops its edges, and places it on a canvas for a network with this unit.
pub(in crate::style) fn style_canvas(style: &Image, size: [usize; 2], unit: usize) -> Result<Canvas> {
    let cut = size.map(|side| (STYLE_EDGE * side as f32).ceil() as usize);
    let inner = [size[0] - 2 * cut[0], size[1] - 2 * cut[1]];
    let margins = Geometry::new(inner, unit).margins();
    Ok(Canvas::of_image_at(style, size)?.crop(cut, inner).mirrored(margins))
}

struct Pipeline<'a> {
    request: &'a StyleRequest,
    /// The content and the styles, with prepared colors.
    content: Image,
    styles: Vec<(Image, f32)>,
    masks: Option<Vec<Image>>,
    config: &'a StyleConfig,
    temporal: Option<&'a TemporalTarget>,
    unit: usize,
    /// The network, truncated after the deepest layer of the loss.
    network: StyleNetwork,
    /// Steps so far.
    taken: usize,
    /// Work done and total work, in pixels times steps.
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

    /// Checks that the largest scale fits in memory before the smaller ones are computed.
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

    /// Error for an image that does not fit in memory, whose smallest tile needs `tile` bytes.
    fn too_large(&self, last: [usize; 2], tile: u64, allowed: u64) -> Error {
        let longer = last[0].max(last[1]);
        let needed = |side: usize| {
            let size = last.map(|of| (of * side).div_ceil(longer));
            self.image_memory(Geometry::new(size, self.unit).canvas) + tile
        };
        // Memory grows with the side, so a binary search finds the largest one that fits.
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
            fits: (shorter >= LEAST_SIDE).then_some(Fitting::Side(fits)),
        }
    }

    /// Memory left for the network in addition to the images.
    fn memory_for(&self, canvas: [usize; 2]) -> Option<u64> {
        self.config.memory.map(|memory| memory.saturating_sub(self.image_memory(canvas)))
    }

    /// Bytes held in addition to the network.
    fn image_memory(&self, canvas: [usize; 2]) -> u64 {
        let history = match self.config.optimizer {
            StyleOptimizer::Adam(_) => 0,
            StyleOptimizer::Lbfgs(constants) => 2 * constants.history + 4,
        };
        12 * (canvas[0] * canvas[1] * (HELD_CANVASES + history)) as u64 + FIXED_BYTES
    }

    /// Places an image on a canvas.
    fn on_canvas(&self, image: &Image, geometry: Geometry) -> Result<Canvas> {
        Ok(Canvas::of_image_at(image, geometry.image)?.mirrored(geometry.margins()))
    }

    /// Style targets for a size of the result, and the regions where they apply.
    fn regions(&self, geometry: Geometry, view: ViewConfig) -> Result<Vec<Region>> {
        let mut targets = Vec::new();
        for (style, weight) in &self.styles {
            let [height, width] = [style.height(), style.width()];
            // At a small size, enlarge an elongated style image rather than reject it.
            let least = (LEAST_SIDE * height.max(width)).div_ceil(height.min(width));
            let longer = style_side(geometry.image, self.config).max(least);
            let size = scaled("the style", [height, width], longer)?;
            let canvas = style_canvas(style, size, self.unit)?;
            let target = StyleTarget::measure(&self.network, &self.config.loss, &canvas, view)?;
            targets.push((target, *weight));
        }
        // Preserved areas have no style.
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

    /// Adds gray noise to a canvas. In flat areas all pixels of a max pooling window are equal, and the first one gets the
    /// whole gradient: without noise, a grid of blocks as large as the stride of the deepest layer would appear.
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
