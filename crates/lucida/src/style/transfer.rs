//! The whole way from a content and a style to an image.

use super::adam::AdamState;
use super::geometry::Geometry;
use super::lbfgs::LbfgsState;
use super::objective::{Region, StyleTarget};
use super::pyramid::{LEAST_SIDE, scaled, sizes};
use super::run::{Done, Run};
use super::scene::{Anchor, Kept, Scene};
use super::sight::{Back, Eye, Sight, unit_and_halo};
use super::{Canvas, Colours, Losses, Objective, Optimizer, Settings, Start, StyleNetwork, mask};
use crate::core::{Progress, StyleProgress};
use crate::data::Picture;
use crate::data::random::{Purpose, generator, unit};
use crate::{Error, Result};

/// Images of the size of the canvas that are held besides what the network needs: twelve, and what a content layer makes
/// of the content, which is as much as six at the most.
const HELD_CANVASES: usize = 18;
/// The part of each side of a style image that is not measured. A photo of a painting ends in bare canvas, a frame or the
/// border of a scan, and all Gram matrices would ask for such bars: where colors do not hold them back, as with
/// [`Colours::Luminance`], they appear as streaks.
const STYLE_EDGE: f32 = 0.03;
/// Bytes of the program itself, of files on their way in and out, and of smaller images.
const HELD_BESIDES: u64 = 128 << 20;

/// What is to be painted.
#[derive(Debug, Clone)]
pub struct Job {
    /// The image whose content is kept.
    pub content: Picture,
    /// The images whose style is taken, and how much of each.
    pub styles: Vec<(Picture, f32)>,
    /// Which part has which style, in the size of the content. In grays from the first style (black) to the last (white);
    /// with one style, white is where it is painted. In colors: red is the first style, then green, blue, yellow, magenta,
    /// cyan, black and white.
    pub mask: Option<Picture>,
    /// What is left as it is in the content (white), in its size.
    pub preserve: Option<Picture>,
    /// Whose colors the result has.
    pub colours: Colours,
}

/// An image that the result is to stay near to, where it is to be.
#[derive(Debug, Clone)]
pub(super) struct Near {
    /// In the size of the result.
    pub(super) canvas: Canvas,
    /// For each pixel how much, from 0 to 1.
    pub(super) mask: Vec<f32>,
    /// The weight of the mean squared difference.
    pub(super) weight: f32,
}

impl StyleProgress<'_> {
    /// The image as it is now, in the size at hand.
    ///
    /// # Errors
    /// None in practice.
    pub fn picture(&self) -> Result<Picture> {
        let [height, width] = self.size;
        Picture::new(width, height, 3, (self.rgb)())
    }
}

/// An image that was painted.
#[derive(Debug, Clone)]
pub struct Transferred {
    /// The image, in its final size.
    pub canvas: Canvas,
    /// Height and width of the last size that was painted, in pixels. Less than those of `canvas` where it was stopped in
    /// a coarse one, and enlarged.
    pub reached: [usize; 2],
    /// The losses of what was painted over, in the last size that was reached.
    pub start: Losses,
    /// Those of the image.
    pub end: Losses,
    /// Steps that were taken in all sizes.
    pub steps: usize,
    /// Whether the work was stopped before its end.
    pub stopped: bool,
}

/// Paints. Progress is in pixels of all steps, with a [`Detail::Style`](crate::core::Detail::Style). When it stops the work,
/// the image so far is the result.
///
/// # Errors
/// [`Error::Argument`] when an image is too small, a setting is invalid or a layer does not exist; [`Error::Memory`] when
/// the memory is too small for the smallest tiles.
pub fn transfer(
    network: StyleNetwork,
    job: &Job,
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Transferred> {
    Ok(transfer_near(network, job, settings, None, progress)?.0)
}

/// As [`transfer`], near to an image in the last size; gives the network back.
pub(super) fn transfer_near(
    network: StyleNetwork,
    job: &Job,
    settings: &Settings,
    near: Option<&Near>,
    progress: &mut dyn Progress,
) -> Result<(Transferred, StyleNetwork)> {
    settings.check()?;
    let last = job.check(settings)?;
    let sizes = sizes(last, settings.smallest);
    let network = network.cut(&settings.look.layers())?;
    let [unit, _] = unit_and_halo(&network, &settings.look.layers())?;
    let styles = job.styles.iter().map(|(style, weight)| Ok((job.colours.prepare(&job.content, style)?, *weight)));
    let mut painting = Painting {
        job,
        content: job.colours.content(&job.content),
        styles: styles.collect::<Result<_>>()?,
        masks: job.mask.as_ref().map(|mask| mask::regions(mask, job.styles.len())).transpose()?,
        settings,
        near,
        unit,
        network: Some(network),
        taken: 0,
        work: work(&sizes, settings),
    };
    painting.check_memory(last)?;
    let mut done: Option<Done> = None;
    for (number, &size) in sizes.iter().enumerate() {
        let painted = painting.paint([number, sizes.len()], size, done.take(), progress)?;
        let stopped = painted.stopped;
        done = Some(painted);
        if stopped {
            break;
        }
    }
    let Some(Done { picture, start, end, stopped, .. }) = done else {
        return Err(Error::Bug("no size was painted".into()));
    };
    let reached = picture.size;
    let mut canvas = picture.resize(last)?;
    job.colours.finish(&mut canvas, &Canvas::of_picture_at(&job.content, last)?);
    let network = painting.network.take().ok_or_else(|| Error::Bug("the network is in use".into()))?;
    Ok((Transferred { canvas, reached, start, end, steps: painting.taken, stopped }, network))
}

/// The work of all steps: pixels.
pub(super) fn work(sizes: &[[usize; 2]], settings: &Settings) -> [u64; 2] {
    let steps = |index: usize| if index == 0 { settings.first_steps } else { settings.steps };
    let all = sizes.iter().enumerate().map(|(index, size)| (steps(index) * size[0] * size[1]) as u64).sum();
    [0, all]
}

impl Job {
    /// A content in the style of these images, their colors included.
    pub fn new(content: Picture, styles: Vec<(Picture, f32)>) -> Self {
        Self { content, styles, mask: None, preserve: None, colours: Colours::Style }
    }

    /// Checks the images, and returns the size of the result: height and width.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image is too small, a mask has not the size of the content, or there is no style.
    pub fn check(&self, settings: &Settings) -> Result<[usize; 2]> {
        if self.styles.is_empty() {
            return Err(Error::argument("an image of style is needed"));
        }
        let size = scaled("the content", [self.content.height(), self.content.width()], settings.size)?;
        for (number, (style, weight)) in self.styles.iter().enumerate() {
            let what = if self.styles.len() == 1 { "the style".to_owned() } else { format!("style {}", number + 1) };
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Error::argument(format!("{what} has a weight of {weight}; it must be positive")));
            }
            scaled(&what, [style.height(), style.width()], style_side(size, settings))?;
        }
        for (what, picture) in [("the mask", &self.mask), ("the mask of what is preserved", &self.preserve)] {
            if let Some(picture) = picture {
                mask::check_size(what, picture, &self.content)?;
            }
        }
        Ok(size)
    }
}

/// The longer side of a style image for a result of a size.
fn style_side(size: [usize; 2], settings: &Settings) -> usize {
    ((size[0].max(size[1]) as f32 * settings.style_scale).round() as usize).max(1)
}

struct Painting<'a> {
    job: &'a Job,
    /// The content and the styles with the colors that they are painted with.
    content: Picture,
    styles: Vec<(Picture, f32)>,
    masks: Option<Vec<Picture>>,
    settings: &'a Settings,
    near: Option<&'a Near>,
    unit: usize,
    network: Option<StyleNetwork>,
    /// Steps so far.
    taken: usize,
    /// Pixels of the steps that are done, and of all.
    work: [u64; 2],
}

impl Painting<'_> {
    fn paint(
        &mut self,
        scale: [usize; 2],
        size: [usize; 2],
        before: Option<Done>,
        progress: &mut dyn Progress,
    ) -> Result<Done> {
        let settings = self.settings;
        let geometry = Geometry::new(size, self.unit);
        let eye = Eye { cpu: settings.cpu, exact: false, memory: self.memory_for(geometry.canvas) };
        let network = self.network.take().ok_or_else(|| Error::Bug("the network is in use".into()))?;
        let (regions, network) = self.regions(network, geometry, eye)?;
        let content = self.on_canvas(&self.content, geometry)?;
        let objective = Objective::with_regions(network, &settings.look, &content, regions, eye)?;
        let mut scene = self.scene(objective, scale, geometry, &content)?;
        let over = match before {
            Some(_) => {
                let start = scene.seen(self.start(geometry, &content)?);
                Some(scene.evaluate(&start, [0, 0], &mut vec![0.0; start.values.len()])?)
            }
            None => None,
        };
        let (start, adam) = match before {
            None => (self.start(geometry, &content)?, None),
            Some(done) => {
                let change = |canvas: &Canvas| {
                    let inner = canvas.crop(done.geometry.origin, done.geometry.picture);
                    Ok(inner.resize(size)?.mirrored(geometry.margins()))
                };
                let start = done.picture.resize(size)?.mirrored(geometry.margins());
                (start, done.adam.map(|adam| adam.changed(change)).transpose()?)
            }
        };
        drop(content);
        let steps = if scale[0] == 0 { settings.first_steps } else { settings.steps };
        let mut run = Run { settings, geometry, scale, steps, progress, work: &mut self.work, taken: &mut self.taken };
        let mut done = match settings.optimizer {
            Optimizer::Adam(constants) => {
                let state = adam.unwrap_or_else(|| AdamState::new(constants, geometry.canvas));
                run.adam(&mut scene, start, state)?
            }
            Optimizer::Lbfgs(constants) => run.lbfgs(&mut scene, start, LbfgsState::new(constants, 1.0))?,
        };
        if let Some(over) = over {
            done.start = over;
        }
        self.network = Some(scene.objective.into_network());
        Ok(done)
    }

    fn scene(
        &self,
        objective: Objective,
        [number, scales]: [usize; 2],
        geometry: Geometry,
        content: &Canvas,
    ) -> Result<Scene> {
        let kept = match &self.job.preserve {
            Some(mask) => Some(Kept { canvas: content.clone(), mask: mask::plane(mask, geometry)? }),
            None => None,
        };
        let anchor = self.near.filter(|_| number + 1 == scales).map(|near| Anchor {
            canvas: near.canvas.mirrored(geometry.margins()),
            mask: geometry.plane(&near.mask),
            weight: near.weight,
        });
        Ok(Scene { objective, kept, anchor })
    }

    /// Whether the largest image can be painted in the memory there is, before the small ones are.
    fn check_memory(&mut self, last: [usize; 2]) -> Result<()> {
        let geometry = Geometry::new(last, self.unit);
        let (settings, memory) = (self.settings, self.memory_for(geometry.canvas));
        let (Some(allowed), Some(memory)) = (settings.memory, memory) else { return Ok(()) };
        let Some(network) = self.network.take() else { return Ok(()) };
        let eye = Eye { cpu: settings.cpu, exact: false, memory: Some(memory) };
        match Sight::new(network, &settings.look.layers(), geometry.canvas, eye, Back::Written) {
            Ok(sight) => {
                self.network = Some(sight.into_network());
                Ok(())
            }
            Err(Error::Limit { got, .. }) => Err(self.too_large(last, got, allowed)),
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
        self.settings.memory.map(|memory| memory.saturating_sub(self.held(canvas)))
    }

    /// What is held besides the network, in bytes.
    fn held(&self, canvas: [usize; 2]) -> u64 {
        let history = match self.settings.optimizer {
            Optimizer::Adam(_) => 0,
            Optimizer::Lbfgs(constants) => 2 * constants.history + 4,
        };
        12 * (canvas[0] * canvas[1] * (HELD_CANVASES + history)) as u64 + HELD_BESIDES
    }

    /// An image on a canvas.
    fn on_canvas(&self, picture: &Picture, geometry: Geometry) -> Result<Canvas> {
        Ok(Canvas::of_picture_at(picture, geometry.picture)?.mirrored(geometry.margins()))
    }

    /// A style image at a size, without its edge, on a canvas.
    fn style_canvas(&self, style: &Picture, size: [usize; 2]) -> Result<Canvas> {
        let cut = size.map(|side| (STYLE_EDGE * side as f32).ceil() as usize);
        let inner = [size[0] - 2 * cut[0], size[1] - 2 * cut[1]];
        let margins = Geometry::new(inner, self.unit).margins();
        Ok(Canvas::of_picture_at(style, size)?.crop(cut, inner).mirrored(margins))
    }

    /// The styles at a size of the result, and where each is painted.
    fn regions(&self, network: StyleNetwork, geometry: Geometry, eye: Eye) -> Result<(Vec<Region>, StyleNetwork)> {
        let mut network = network;
        let mut targets = Vec::new();
        for (style, weight) in &self.styles {
            let [height, width] = [style.height(), style.width()];
            // In a small size a long style is seen larger than it should be rather than not at all.
            let least = (LEAST_SIDE * height.max(width)).div_ceil(height.min(width));
            let longer = style_side(geometry.picture, self.settings).max(least);
            let size = scaled("the style", [height, width], longer)?;
            let canvas = self.style_canvas(style, size)?;
            let (target, back) = StyleTarget::measure(network, &self.settings.look, &canvas, eye)?;
            targets.push((target, *weight));
            network = back;
        }
        // What is preserved has no style.
        let free = match &self.job.preserve {
            Some(mask) => Some(mask::plane(mask, geometry)?.iter().map(|keep| 1.0 - keep).collect::<Vec<f32>>()),
            None => None,
        };
        let Some(masks) = &self.masks else {
            let parts: Vec<_> = targets.iter().map(|(target, weight)| (target, *weight)).collect();
            return Ok((vec![Region { mask: free, style: StyleTarget::blend(&parts) }], network));
        };
        let mut regions = Vec::new();
        for (mask, (style, _)) in masks.iter().zip(targets) {
            let mut mask = mask::plane(mask, geometry)?;
            if let Some(free) = &free {
                mask.iter_mut().zip(free).for_each(|(value, free)| *value *= free);
            }
            regions.push(Region { mask: Some(mask), style });
        }
        Ok((regions, network))
    }

    fn start(&self, geometry: Geometry, content: &Canvas) -> Result<Canvas> {
        Ok(match &self.settings.start {
            Start::Content => self.dithered(content),
            Start::Picture(picture) => self.on_canvas(picture, geometry)?,
            Start::Canvas(canvas) => canvas.resize(geometry.picture)?.mirrored(geometry.margins()),
            Start::Noise => {
                let mut random = generator(self.settings.seed, Purpose::Canvas, 0);
                let count = 3 * geometry.canvas[0] * geometry.canvas[1];
                let values = (0..count).map(|_| (255.0 * unit(&mut random)) as f32).collect();
                Canvas { size: geometry.canvas, values }
            }
        })
    }

    /// A canvas with gray noise. Where an image is flat, all pixels of a pooling window are the maximum, and the first
    /// one gets the whole gradient: without noise such an area would be painted on a grid of blocks, as large as the
    /// stride of the deepest layer.
    fn dithered(&self, canvas: &Canvas) -> Canvas {
        let amplitude = f64::from(self.settings.dither);
        if amplitude == 0.0 {
            return canvas.clone();
        }
        let mut random = generator(self.settings.seed, Purpose::Canvas, 2);
        let pixels = canvas.values.chunks_exact(3).flat_map(|pixel| {
            let noise = (amplitude * (2.0 * unit(&mut random) - 1.0)) as f32;
            [0, 1, 2].map(|c: usize| pixel[c] + noise)
        });
        Canvas { size: canvas.size, values: pixels.collect() }
    }
}
