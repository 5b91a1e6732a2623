//! Activation maximization in the frequency domain (Olah, Mordvintsev and Schubert, 2017).

use super::competing_classes::subtract_competing_classes;
use super::diversity::{push_apart, push_images_apart};
use super::spectrum::Spectrum;
use super::transform::{Affine, Edge, TransformRanges};
use super::{Maximized, Objective, Run, positive};
use crate::core::{Purpose, Rng};
use crate::data::Preprocessing;
use crate::explain::receptive_field;
use crate::{Cpu, Error, Result};
use lucida_kernels::ops::{AdamStep, adam};

/// The number of steps in which a filter without any activation is shown random images.
const WAKING: usize = 64;

/// Images parameterized by frequencies.
///
/// In each step, every image is randomly transformed (shifted, rotated, zoomed), optionally with added noise. The gradient
/// is divided by its root mean square, which makes it independent of the scale of the network's activations, and Adam
/// updates the frequency coefficients. If a filter is not activated anywhere, so that its gradient is zero, it is first
/// shown random images until one of them activates it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fourier {
    /// The number of steps.
    pub steps: usize,
    /// The learning rate of Adam.
    pub rate: f32,
    /// Adam's epsilon, for gradients normalized to a root mean square of 1. Larger values suppress frequencies with small
    /// gradients, and keep uniform areas uniform.
    pub epsilon: f32,
    /// The decay of frequency weights: the weight of frequency `f` is `f^-decay`.
    pub decay: f32,
    /// Whether waves longer than two receptive fields of the layer get no more weight than those: no unit covers them, and
    /// they would add broad patches of another hue. The constant term keeps its weight.
    pub local: bool,
    /// The maximum shift, relative to the image's side.
    pub shift: f32,
    /// The maximum rotation in degrees.
    pub rotation: f32,
    /// The maximum relative change of size.
    pub zoom: f32,
    /// Whether images wrap around. If the objective does not prescribe a position, they are then shifted by any distance,
    /// so that every pixel is equally often at the edge, where the zero padding of convolutions has an effect.
    pub wrap: bool,
    /// The maximum contrast: the root mean square deviation from `start` before the sigmoid, which maps values to 0..1.
    /// That of photographs is about 1.
    pub contrast: Option<f32>,
    /// The final fraction of the steps, in which transformations, noise, pull and the learning rate decay to zero.
    pub rest: f32,
    /// Whether images are shifted so that their center of mass is in the middle, as in MNIST.
    pub centered: bool,
    /// The standard deviation of the noise added to the network's input, for pixels in 0..1. Noise hides faint patterns, so
    /// that strokes remain.
    pub noise: f32,
    /// The number of differently transformed samples of an image per step.
    pub samples: usize,
    /// The initial image before the sigmoid: 0 is mid-gray, -2 nearly black.
    pub start: f32,
    /// The standard deviation of the initial coefficients: with a small one, the image grows from a few places where the
    /// filter responds first, with a large one from many.
    pub spread: f32,
    /// The number of starts; the best image is kept. A filter with a small receptive field has local maxima far below the
    /// global one, and one that is rarely active must be found first.
    pub starts: usize,
    /// The strength of a pull of all pixels towards black, relative to the gradient's root mean square.
    pub pull: f32,
    /// The strength of a pull towards black outside the middle 20/28 of the image, relative to the gradient's root mean
    /// square; half as strong half way to the edge.
    pub frame: f32,
    /// The temperature of the competing classes: at a high one, all count equally; at a low one, only the most probable
    /// one. `None` maximizes the logit alone.
    pub competing_temperature: Option<f32>,
    /// The number of images per objective. A diversity term makes them differ.
    pub diversity: usize,
    /// The weight of the diversity term relative to the objective.
    pub diversity_weight: f32,
    /// The seed of the initial coefficients, the transformations and the noise.
    pub seed: u64,
}

impl Default for Fourier {
    /// Settings for photographs.
    fn default() -> Self {
        Self {
            steps: 256,
            rate: 0.05,
            epsilon: 0.2,
            decay: 1.0,
            local: true,
            shift: 0.06,
            rotation: 10.0,
            zoom: 0.1,
            wrap: true,
            contrast: Some(1.0),
            rest: 0.25,
            centered: false,
            noise: 0.0,
            samples: 1,
            start: 0.0,
            spread: 0.01,
            starts: 1,
            pull: 0.0,
            frame: 0.0,
            competing_temperature: None,
            diversity: 1,
            diversity_weight: 0.3,
            seed: 42,
        }
    }
}

/// Offsets of `start` for successive starts: other local maxima are reached from a bright background, and on a nearly black
/// one those of filters that bright pixels suppress.
const GROUNDS: [f32; 3] = [0.0, 2.0, -3.5];

/// Additional starts, if several are requested, for filters that no start has activated. One of 64 filters of an MNIST
/// network that ten thousand digits hardly activate (1.5e-4 at most) was inactive after three starts, and active in 5 of 9
/// more.
const MORE_STARTS: usize = 6;

/// [`Fourier::competing_temperature`] for digits. With the logit alone, the image of a 1 was in two pieces for 3 of 6
/// networks trained on all of MNIST, and other networks classified some as a 2; at a temperature of 1, a 5 fell apart.
const DIGIT_TEMPERATURE: f32 = 8.0;

/// [`Fourier::competing_temperature`] for photos. Among a thousand classes, many are nearly alike, such as dog breeds.
const PHOTO_TEMPERATURE: f32 = 2.0;

impl Fourier {
    /// Settings for the filters of a network with this preprocessing.
    pub fn filters(preprocessing: Option<&Preprocessing>) -> Self {
        match preprocessing {
            Some(digits) if digits.digit => Self {
                steps: 512,
                epsilon: 0.1,
                decay: 0.8,
                local: false,
                shift: 0.04,
                rotation: 5.0,
                zoom: 0.05,
                wrap: false,
                contrast: None,
                start: -3.0,
                spread: 1.0,
                starts: 3,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// Settings for the classes of a network with this preprocessing. Digits remain white strokes on black within a frame,
    /// as in MNIST.
    pub fn classes(preprocessing: Option<&Preprocessing>) -> Self {
        match preprocessing {
            Some(digits) if digits.digit => Self {
                steps: 320,
                epsilon: 0.05,
                decay: 1.5,
                local: false,
                shift: 0.12,
                rotation: 15.0,
                zoom: 0.2,
                wrap: false,
                contrast: None,
                rest: 0.75,
                centered: true,
                noise: 0.15,
                samples: 4,
                start: -0.5,
                pull: 0.3,
                frame: 2.0,
                competing_temperature: Some(DIGIT_TEMPERATURE),
                ..Self::default()
            },
            _ => Self { competing_temperature: Some(PHOTO_TEMPERATURE), ..Self::default() },
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("the learning rate", self.rate)?;
        let within = [
            ("epsilon", self.epsilon, 1e6),
            ("spread", self.spread, 100.0),
            ("decay", self.decay, 4.0),
            ("cool-down fraction", self.rest, 1.0),
            ("contrast", self.contrast.unwrap_or(0.0), 100.0),
            ("shift", self.shift, 1.0),
            ("rotation", self.rotation, 180.0),
            ("zoom", self.zoom, 0.9),
            ("noise", self.noise, 10.0),
            ("pull", self.pull, 100.0),
            ("frame", self.frame, 100.0),
            ("diversity weight", self.diversity_weight, 100.0),
        ];
        for (name, value, most) in within {
            if !(0.0..=most).contains(&value) {
                return Err(Error::argument(format!("the {name} is {value}, it must be 0 to {most}")));
            }
        }
        self.competing_temperature
            .map_or(Ok(()), |temperature| positive("the temperature of the competing classes", temperature))?;
        if !(-20.0..=20.0).contains(&self.start) {
            return Err(Error::argument(format!("the start is {}, it must be -20 to 20", self.start)));
        }
        let counts = [self.samples, self.diversity, self.starts];
        if self.steps == 0 || !counts.iter().all(|count| (1..=64).contains(count)) {
            return Err(Error::argument("at least one step, and 1 to 64 samples, variants and starts, are needed"));
        }
        Ok(())
    }

    /// The factor of all random changes: 1, decaying to 0 at the end, so that the final image is the one that was
    /// optimized.
    fn annealing(&self, step: usize) -> f32 {
        let left = (self.steps - step) as f32 / self.steps as f32;
        (left / self.rest).min(1.0)
    }
}

impl Run<'_> {
    /// The best image of all starts for each objective.
    pub(super) fn fourier(&mut self, settings: &Fourier, objectives: &[Objective]) -> Result<Vec<Maximized>> {
        // One objective per image.
        let objectives: Vec<Objective> =
            objectives.iter().flat_map(|objective| vec![objective.clone(); settings.diversity]).collect();
        let mut best: Vec<Maximized> = Vec::new();
        let more = if settings.starts > 1 { MORE_STARTS } else { 0 };
        for number in 0..settings.starts + more {
            let tried: Vec<usize> = match best.is_empty() || number < settings.starts {
                true => (0..objectives.len()).collect(),
                // All variants of a group together, because the diversity term compares them.
                false => {
                    (0..objectives.len()).filter(|&at| silent(variants_of(&best, at, settings.diversity))).collect()
                }
            };
            if tried.is_empty() || self.stopped {
                break;
            }
            let start = settings.start + GROUNDS[number % GROUNDS.len()];
            let seed = settings.seed.wrapping_add(number as u64);
            let found = self.climb(&Fourier { start, seed, ..settings.clone() }, number, &objectives, &tried)?;
            if best.is_empty() {
                best = found;
                continue;
            }
            for (at, found) in tried.into_iter().zip(found) {
                if found.value > best[at].value {
                    best[at] = found;
                }
            }
        }
        Ok(best)
    }

    /// The frequency, in waves over the image's longer side, whose wavelength is two receptive fields of the layer; 1 if
    /// these are larger than half the image, or unknown.
    fn lowest_frequency(&self) -> f32 {
        let field = receptive_field(self.network, &self.seen.point.layer).ok().and_then(|field| field.size());
        let side = self.pixels.height.max(self.pixels.width) as f32;
        field.map_or(1.0, |[height, width]| (side / (2 * height.max(width)) as f32).max(1.0))
    }

    /// Runs start `number` for the objectives (one per variant) in `tried`.
    fn climb(
        &mut self,
        settings: &Fourier,
        number: usize,
        objectives: &[Objective],
        tried: &[usize],
    ) -> Result<Vec<Maximized>> {
        let (pixels, cpu) = (self.pixels, self.plan.cpu());
        let objectives: Vec<Objective> = tried.iter().map(|&at| objectives[at].clone()).collect();
        let numbers = tried.iter().map(|&at| self.first + at).collect();
        let mut ascent = Ascent::new(self, settings, &objectives, numbers);
        let mut values = vec![0.0; ascent.batch()];
        let variants = settings.diversity;
        let by_layer = variants > 1 && self.seen.shape().as_image().is_some();
        let weight = if by_layer { settings.diversity_weight } else { 0.0 };
        for step in 0..settings.steps {
            let views = ascent.render(step, cpu);
            self.plan.set_batch(ascent.batch());
            pixels.to_input(&ascent.seen, self.plan.input_mut());
            let input_gradients = self.ascend(&objectives, &mut values, |layer, activations, gradients| {
                if weight > 0.0 {
                    push_apart(layer, activations, gradients, variants, weight);
                }
                if let Some(temperature) = settings.competing_temperature.filter(|_| layer.has_competing_classes()) {
                    subtract_competing_classes(&objectives, layer.shape().len(), activations, gradients, temperature);
                }
            })?;
            pixels.gradient(input_gradients, &mut ascent.seen);
            ascent.sum_gradients(&views, cpu);
            let silent = ascent.silent();
            if variants > 1 && !by_layer {
                push_images_apart(
                    &ascent.images,
                    &mut ascent.gradients,
                    variants,
                    ascent.len,
                    settings.diversity_weight,
                );
            }
            ascent.update(step, cpu);
            ascent.restart(&silent, step);
            // Additional starts are not included in the progress.
            let done = (number * settings.steps + step + 1).min(settings.starts * settings.steps);
            if self.report(done).is_break() {
                break;
            }
        }
        let images = ascent.finish(cpu);
        let len = pixels.len();
        let mut inputs = vec![0.0; images.len()];
        pixels.to_input(&images, &mut inputs);
        let values = self.values(&objectives, &inputs)?;
        let each = images.chunks_exact(len).zip(inputs.chunks_exact(len)).zip(values);
        Ok(each
            .map(|((image, input), value)| Maximized { image: pixels.image(image), input: input.to_vec(), value })
            .collect())
    }
}

/// The state of one start: the coefficients of all images, which Adam updates, and derived values.
struct Ascent<'a> {
    settings: &'a Fourier,
    spectrum: Spectrum,
    /// Height and width of an image, its channels, and the number of its values.
    size: [usize; 2],
    channels: usize,
    len: usize,
    /// The index of each image, which determines its random numbers, whatever other images are in the batch.
    numbers: Vec<usize>,
    edge: Edge,
    /// Whether images wrap around and are shifted by any distance.
    rolls: bool,
    /// The pull towards black outside the middle, for each value.
    frame: Vec<f32>,
    coefficients: Vec<f32>,
    moments: Vec<f32>,
    squares: Vec<f32>,
    images: Vec<f32>,
    gradients: Vec<f32>,
    /// The negative gradients of the coefficients.
    descent: Vec<f32>,
    /// The transformed images, the network's inputs, and then their gradients: `samples` for each image.
    seen: Vec<f32>,
}

/// The transformations of the images in one step.
struct StepTransforms {
    step: usize,
    movement: TransformRanges,
    /// The shift that centers each image.
    centers: Vec<[f32; 2]>,
}

impl<'a> Ascent<'a> {
    fn new(run: &Run<'_>, settings: &'a Fourier, objectives: &[Objective], numbers: Vec<usize>) -> Self {
        let pixels = run.pixels;
        let (size, channels, len) = ([pixels.height, pixels.width], pixels.channels(), pixels.len());
        let lowest = if settings.local { run.lowest_frequency() } else { 1.0 };
        let spectrum = Spectrum::new([size[0], size[1], channels], settings.decay, lowest, settings.start);
        let rolls = settings.wrap && run.seen.is_anywhere(objectives);
        let edge = match rolls {
            true => Edge::Wrap,
            // Digits have a black background.
            false if settings.centered => Edge::Background(0.0),
            false => Edge::Background(spectrum.background()),
        };
        let all = numbers.len() * len;
        let mut coefficients: Vec<f32> = Vec::with_capacity(all);
        for &number in &numbers {
            let mut rng = Rng::keyed(settings.seed, Purpose::Maximize, number);
            coefficients.extend((0..len).map(|_| settings.spread * rng.approximately_normal()));
        }
        let outside = |at: usize| outside(at / channels / size[1], at / channels % size[1], size);
        Self {
            settings,
            spectrum,
            size,
            channels,
            len,
            edge,
            rolls,
            frame: (0..len).map(|at| settings.frame * outside(at)).collect(),
            coefficients,
            moments: vec![0.0; all],
            squares: vec![0.0; all],
            images: vec![0.0; all],
            gradients: vec![0.0; all],
            descent: vec![0.0; all],
            seen: vec![0.0; all * settings.samples],
            numbers,
        }
    }

    fn batch(&self) -> usize {
        self.numbers.len() * self.settings.samples
    }

    /// Computes the images from their coefficients, and their transformed samples for this step.
    fn render(&mut self, step: usize, cpu: Cpu) -> StepTransforms {
        let settings = self.settings;
        let annealing = settings.annealing(step);
        let movement = TransformRanges { shift: settings.shift, rotation: settings.rotation, zoom: settings.zoom };
        let shift = if self.rolls { 0.5 } else { annealing * settings.shift };
        let movement = TransformRanges { shift, ..movement.scaled(annealing) };
        self.spectrum.images(cpu, &self.coefficients, &mut self.images);
        let center = |image| if settings.centered { off_center(image, self.size, self.channels) } else { [0.0; 2] };
        let centers = self.images.chunks_exact(self.len).map(center).collect();
        let views = StepTransforms { step, movement, centers };
        let mut all_seen = std::mem::take(&mut self.seen);
        cpu.parallel_chunks(&mut all_seen, self.len, |index, seen| {
            let (affine, mut rng) = self.draw(&views, index);
            let image = &self.images[index % self.numbers.len() * self.len..][..self.len];
            affine.apply(image, self.size, self.channels, self.edge, seen);
            if settings.noise > 0.0 {
                seen.iter_mut().for_each(|value| *value += annealing * settings.noise * rng.approximately_normal());
            }
        });
        self.seen = all_seen;
        views
    }

    /// The generator for draw `number` of an image after its initial values; a draw uses less than 2^26 words.
    fn rng(&self, image: usize, number: usize) -> Rng {
        Rng::keyed(self.settings.seed, Purpose::Maximize, self.numbers[image]).at((number as u128) << 26)
    }

    /// The transformation of a sample of an image, and its random numbers: they depend on the image, the step and the
    /// sample, not on the distribution over threads.
    fn draw(&self, views: &StepTransforms, index: usize) -> (Affine, Rng) {
        let (image, sample) = (index % self.numbers.len(), index / self.numbers.len());
        let mut rng = self.rng(image, views.step * self.settings.samples + sample + 1);
        (views.movement.draw(self.size[0], self.size[1], &mut rng).moved(views.centers[image]), rng)
    }

    /// Transforms the gradients of an image's samples back, sums and normalizes them.
    fn sum_gradients(&mut self, views: &StepTransforms, cpu: Cpu) {
        let count = self.numbers.len();
        let mut gradients = std::mem::take(&mut self.gradients);
        cpu.parallel_chunks(&mut gradients, self.len, |image, gradient| {
            gradient.fill(0.0);
            for index in (image..self.batch()).step_by(count) {
                let seen = &self.seen[index * self.len..][..self.len];
                self.draw(views, index).0.back(seen, self.size, self.channels, self.edge, gradient);
            }
            normalize(gradient);
        });
        self.gradients = gradients;
    }

    /// The images with a zero gradient.
    fn silent(&self) -> Vec<usize> {
        let gradients = self.gradients.chunks_exact(self.len).enumerate();
        gradients.filter(|(_, gradient)| is_zero(gradient)).map(|(image, _)| image).collect()
    }

    /// An Adam step for the coefficients.
    fn update(&mut self, step: usize, cpu: Cpu) {
        let settings = self.settings;
        let annealing = settings.annealing(step);
        // Adam minimizes.
        for gradients in self.gradients.chunks_exact_mut(self.len) {
            let pixels = gradients.iter_mut().zip(&self.frame);
            pixels.for_each(|(gradient, frame)| *gradient = annealing * settings.pull + frame - *gradient);
        }
        self.spectrum.back(cpu, &self.images, &self.gradients, &mut self.descent);
        let (beta_1, beta_2) = (0.9_f32, 0.999_f32);
        let t = step as i32 + 1;
        let rate = annealing * settings.rate * (1.0 - beta_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t));
        let adam_step = AdamStep { rate, beta_1, beta_2, epsilon: settings.epsilon, keep: 1.0 };
        adam(cpu, adam_step, &mut self.coefficients, &self.descent, &mut self.moments, &mut self.squares);
        if let Some(limit) = settings.contrast {
            self.coefficients.chunks_exact_mut(self.len).for_each(|c| self.spectrum.limit_contrast(c, limit));
        }
    }

    /// Draws new coefficients for these images, with an amplitude that grows with the step.
    fn restart(&mut self, images: &[usize], step: usize) {
        let settings = self.settings;
        for &image in images {
            let mut rng = self.rng(image, settings.steps * settings.samples + step + 1);
            let loud = silent_filter_deviation(step);
            let coefficients = &mut self.coefficients[image * self.len..][..self.len];
            coefficients.iter_mut().for_each(|c| *c = loud * rng.approximately_normal());
        }
    }

    /// The final images.
    fn finish(mut self, cpu: Cpu) -> Vec<f32> {
        let (size, channels) = (self.size, self.channels);
        self.spectrum.images(cpu, &self.coefficients, &mut self.images);
        if self.settings.centered {
            for image in self.images.chunks_exact_mut(self.len) {
                let still = TransformRanges::default().draw(
                    size[0],
                    size[1],
                    &mut Rng::keyed(self.settings.seed, Purpose::Maximize, 0),
                );
                let from = image.to_vec();
                still.moved(off_center(&from, size, channels)).apply(&from, size, channels, self.edge, image);
            }
        }
        self.images
    }
}

fn variants_of(found: &[Maximized], at: usize, variants: usize) -> &[Maximized] {
    let first = at / variants * variants;
    &found[first..first + variants]
}

fn silent(found: &[Maximized]) -> bool {
    found.iter().all(|found| found.value <= 0.0)
}

fn is_zero(gradient: &[f32]) -> bool {
    gradient.iter().all(|&value| value == 0.0)
}

/// The standard deviation of the random coefficients for a silent filter: it grows up to an image of strong contrast. In
/// the end it is zero, so that the image of a dead filter is uniform.
fn silent_filter_deviation(step: usize) -> f32 {
    if step < WAKING { 0.05 * 1.083_f32.powi(step as i32) } else { 0.0 }
}

/// How far a pixel is outside the middle 20/28 of an image: 0 inside, 1 at the edge.
fn outside(row: usize, column: usize, [height, width]: [usize; 2]) -> f32 {
    let along = |at: usize, size: usize| {
        let beyond = ((at as f32 + 0.5) / size as f32 - 0.5).abs() - 10.0 / 28.0;
        if beyond > 0.0 { beyond / (0.5 - 10.0 / 28.0 - 0.5 / size as f32) } else { 0.0 }
    };
    along(row, height).max(along(column, width))
}

/// The offset (x, y) of an image's center of mass from its middle, in whole pixels.
fn off_center(image: &[f32], [height, width]: [usize; 2], channels: usize) -> [f32; 2] {
    let mass = |at: usize| image[at * channels..][..channels].iter().sum::<f32>();
    let (mut total, mut across, mut down) = (0.0_f32, 0.0_f32, 0.0_f32);
    for at in 0..height * width {
        total += mass(at);
        across += mass(at) * (at % width) as f32;
        down += mass(at) * (at / width) as f32;
    }
    if total <= 0.0 {
        return [0.0; 2];
    }
    let off = |sum: f32, size: usize| (sum / total - (size as f32 - 1.0) / 2.0).round();
    [off(across, width), off(down, height)]
}

/// Divides a gradient by its root mean square; a zero gradient stays zero.
pub(super) fn normalize(gradient: &mut [f32]) {
    let square: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
    let root = (square / gradient.len() as f64).sqrt() as f32;
    if root > 0.0 && root.is_finite() {
        gradient.iter_mut().for_each(|g| *g /= root);
    } else {
        gradient.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_center_of_mass_is_that_of_the_ink() {
        let mut image = vec![0.0; 8 * 10];
        (image[8 + 6], image[8 * 3 + 6]) = (1.0, 1.0);
        assert_eq!(off_center(&image, [10, 8], 1), [3.0, -3.0]);
        assert_eq!(off_center(&[0.0; 80], [10, 8], 1), [0.0; 2]);
    }

    #[test]
    fn the_frame_of_a_digit_is_four_pixels_wide() {
        let row: Vec<f32> = (0..28).map(|column| outside(14, column, [28, 28])).collect();
        assert!(row[4..24].iter().all(|&part| part == 0.0) && row[3] > 0.0 && row[24] > 0.0);
        assert!((row[0] - 1.0).abs() < 1e-5 && (row[27] - 1.0).abs() < 1e-5, "{row:?}");
        assert!((outside(0, 3, [28, 28]) - 1.0).abs() < 1e-5);
        assert_eq!((outside(0, 0, [1, 2]), outside(2, 2, [3, 3])), (0.0, 0.0));
    }
}
