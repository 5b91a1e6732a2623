//! Maximization in spatial frequencies (Olah, Mordvintsev and Schubert, 2017).

use super::competing_classes::subtract_competing_classes;
use super::diversity::{push_apart, push_images_apart};
use super::spectrum::Spectrum;
use super::transform::{Affine, Edge, Movement};
use super::{Maximized, Objective, Run, positive};
use crate::core::{Purpose, Rng};
use crate::data::Preprocessing;
use crate::explain::receptive_field;
use crate::{Cpu, Error, Result};
use lucida_kernels::ops::{AdamStep, adam};

/// Steps in which a filter that says nothing at all is shown random images, to wake it.
const WAKING: usize = 64;

/// How images are parameterized by frequencies.
///
/// In each step every image is moved a little (shifted, turned, zoomed), perhaps with noise on it; the gradient that
/// comes back is divided by its root mean square, so that nothing depends on how large the numbers in the network are;
/// and Adam changes the coefficients of the frequencies. A filter that is silent everywhere, so that there is no gradient,
/// is shown random images first, until one of them wakes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fourier {
    /// Steps.
    pub steps: usize,
    /// The learning rate of Adam.
    pub rate: f32,
    /// Adam's epsilon, where the gradient of an image has a root mean square of 1. With more of it, frequencies that the
    /// gradient hardly asks for stay out, and even ground stays even.
    pub epsilon: f32,
    /// How fast the weight of a frequency falls as it grows: its power, negated.
    pub decay: f32,
    /// Whether waves longer than two receptive fields of the layer weigh no more than those: no unit sees them whole, and
    /// broad patches of another hue would come with them. Even ground keeps its weight.
    pub local: bool,
    /// The largest shift, as a part of the image's side.
    pub shift: f32,
    /// The largest turn in degrees.
    pub rotation: f32,
    /// The largest change of size, as a part of it.
    pub zoom: f32,
    /// Whether images are made to repeat themselves. Where the objective does not ask for a place, they are then rolled by
    /// any distance, so that every pixel is as often at the edge, where a convolution's zero padding answers, as any other.
    pub wrap: bool,
    /// The largest contrast: the deviation from `start`, before the sigmoid that makes values from 0 to 1. Photographs
    /// have about 1.
    pub contrast: Option<f32>,
    /// The last part of the steps, in which movements, noise, pull and the learning rate die away.
    pub rest: f32,
    /// Whether the network sees images moved so that their center of mass is in the middle, as MNIST's digits are.
    pub centered: bool,
    /// The deviation of the noise that is added to what the network sees, where pixels go from 0 to 1. Noise drowns faint
    /// patterns, so that strokes remain.
    pub noise: f32,
    /// How often an image is seen in one step, each time moved differently.
    pub samples: usize,
    /// What the image is before anything is in it: 0 is mid-gray, -2 nearly black.
    pub start: f32,
    /// The deviation of the first coefficients: with little of it the image grows from a few places where a filter speaks
    /// first, with more from many.
    pub spread: f32,
    /// How many starts are tried; the best image is kept. A filter of few pixels has hills that lead nowhere near its
    /// highest, and one that hardly ever speaks must be found first.
    pub starts: usize,
    /// How strongly every pixel is pulled towards black, in parts of the gradient's root mean square.
    pub pull: f32,
    /// How strongly pixels outside the middle 20 of 28 parts are pulled towards black, in parts of the gradient's root mean
    /// square; half as strongly half way to the edge.
    pub frame: f32,
    /// The temperature at which the other classes count against a class: high, all alike; low, the most probable one alone.
    /// `None` follows the logit, whatever the others have.
    pub competing_temperature: Option<f32>,
    /// Number of images per objective. They are pushed apart, to show different things that activate it.
    pub diversity: usize,
    /// How strongly they are pushed apart, relative to the objective.
    pub diversity_weight: f32,
    /// The seed of the first coefficients, the movements and the noise.
    pub seed: u64,
}

impl Default for Fourier {
    /// For photographs.
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

/// How much brighter the ground of a start is: other hills are near on bright ground, and on nearly black ground those of
/// filters that a bright pixel silences.
const GROUNDS: [f32; 3] = [0.0, 2.0, -3.5];

/// More starts, where several are wanted, for those that no start has made speak. One of 64 filters of an MNIST network that
/// ten thousand digits hardly wake (1.5e-4 at most) was silent after three starts, and spoke after 5 of 9 more.
const MORE_STARTS: usize = 6;

/// [`Fourier::competing_temperature`] for digits. By the logit alone, the image of a 1 was in two pieces for 3 of 6 networks
/// that had read all of MNIST, and other networks took some for a 2; at a temperature of 1, a 5 fell apart.
const DIGIT_TEMPERATURE: f32 = 8.0;

/// [`Fourier::competing_temperature`] for photos. A thousand classes have many nearly alike: breeds of dogs.
const PHOTO_TEMPERATURE: f32 = 2.0;

impl Fourier {
    /// For filters of a network that takes what `preprocessing` makes.
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

    /// For the classes of a network that takes what `preprocessing` makes. Digits are white strokes on black within a
    /// frame, as MNIST's are, and stay so.
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

    /// How much is still changed: 1, and down to 0 towards the end, so that the image comes to rest as the network sees it.
    fn calm(&self, step: usize) -> f32 {
        let left = (self.steps - step) as f32 / self.steps as f32;
        (left / self.rest).min(1.0)
    }
}

impl Run<'_> {
    /// The best images of all starts.
    pub(super) fn fourier(&mut self, settings: &Fourier, objectives: &[Objective]) -> Result<Vec<Maximized>> {
        // One for each variant of each objective.
        let objectives: Vec<Objective> =
            objectives.iter().flat_map(|objective| vec![objective.clone(); settings.diversity]).collect();
        let mut best: Vec<Maximized> = Vec::new();
        let more = if settings.starts > 1 { MORE_STARTS } else { 0 };
        for number in 0..settings.starts + more {
            let tried: Vec<usize> = match best.is_empty() || number < settings.starts {
                true => (0..objectives.len()).collect(),
                // In step with the variants next to them, which they are pushed apart from.
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

    /// The frequency, in waves over the image's longer side, whose wave is as long as two receptive fields of the layer; 1
    /// where these are larger than half the image or unknown.
    fn lowest_frequency(&self) -> f32 {
        let field = receptive_field(self.network, &self.seen.point.layer).ok().and_then(|field| field.size());
        let side = self.pixels.height.max(self.pixels.width) as f32;
        field.map_or(1.0, |[height, width]| (side / (2 * height.max(width)) as f32).max(1.0))
    }

    /// Start `number` for those of the objectives (one for each variant) that are to be `tried`.
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
            // More starts than were announced take no part in the progress.
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

/// The state of one start: the coefficients of all images, which Adam changes, and what is computed from them.
struct Ascent<'a> {
    settings: &'a Fourier,
    spectrum: Spectrum,
    /// Height, width and channels of an image, and the number of its values.
    size: [usize; 2],
    channels: usize,
    len: usize,
    /// The number of each image, which decides its random numbers, whatever images are computed next to it.
    numbers: Vec<usize>,
    edge: Edge,
    /// Whether images are rolled by any distance, as they wrap around.
    rolls: bool,
    /// The pull towards the ground outside of the middle, for each value.
    frame: Vec<f32>,
    coefficients: Vec<f32>,
    moments: Vec<f32>,
    squares: Vec<f32>,
    images: Vec<f32>,
    gradients: Vec<f32>,
    /// The gradients of the coefficients, negated.
    descent: Vec<f32>,
    /// Images as the network sees them, moved, and then their gradients: `samples` for each image.
    seen: Vec<f32>,
}

/// How the images are seen in one step.
struct Views {
    step: usize,
    movement: Movement,
    /// What brings each image into the middle.
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
            // Digits lie on black.
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

    /// Computes the images from their coefficients, and how the network sees them in this step.
    fn render(&mut self, step: usize, cpu: Cpu) -> Views {
        let settings = self.settings;
        let calm = settings.calm(step);
        let movement = Movement { shift: settings.shift, rotation: settings.rotation, zoom: settings.zoom };
        let shift = if self.rolls { 0.5 } else { calm * settings.shift };
        let movement = Movement { shift, ..movement.scaled(calm) };
        self.spectrum.images(cpu, &self.coefficients, &mut self.images);
        let center = |image| if settings.centered { off_center(image, self.size, self.channels) } else { [0.0; 2] };
        let centers = self.images.chunks_exact(self.len).map(center).collect();
        let views = Views { step, movement, centers };
        let mut all_seen = std::mem::take(&mut self.seen);
        cpu.parallel_chunks(&mut all_seen, self.len, |index, seen| {
            let (affine, mut rng) = self.draw(&views, index);
            let image = &self.images[index % self.numbers.len() * self.len..][..self.len];
            affine.apply(image, self.size, self.channels, self.edge, seen);
            if settings.noise > 0.0 {
                seen.iter_mut().for_each(|value| *value += calm * settings.noise * rng.approximately_normal());
            }
        });
        self.seen = all_seen;
        views
    }

    /// The random numbers of an image after its initial values: those of draw `number`, which uses less than 2^26 words.
    fn rng(&self, image: usize, number: usize) -> Rng {
        Rng::keyed(self.settings.seed, Purpose::Maximize, self.numbers[image]).at((number as u128) << 26)
    }

    /// How one sample of an image is moved, and its random numbers: they depend on the image, the step and the sample, not
    /// on how these are spread over threads.
    fn draw(&self, views: &Views, index: usize) -> (Affine, Rng) {
        let (image, sample) = (index % self.numbers.len(), index / self.numbers.len());
        let mut rng = self.rng(image, views.step * self.settings.samples + sample + 1);
        (views.movement.draw(self.size[0], self.size[1], &mut rng).moved(views.centers[image]), rng)
    }

    /// Sums the gradients of an image's samples, moved back, and normalizes them.
    fn sum_gradients(&mut self, views: &Views, cpu: Cpu) {
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

    /// The images without a gradient.
    fn silent(&self) -> Vec<usize> {
        let gradients = self.gradients.chunks_exact(self.len).enumerate();
        gradients.filter(|(_, gradient)| is_zero(gradient)).map(|(image, _)| image).collect()
    }

    /// A step of Adam on the coefficients.
    fn update(&mut self, step: usize, cpu: Cpu) {
        let settings = self.settings;
        let calm = settings.calm(step);
        // Adam descends.
        for gradients in self.gradients.chunks_exact_mut(self.len) {
            let pixels = gradients.iter_mut().zip(&self.frame);
            pixels.for_each(|(gradient, frame)| *gradient = calm * settings.pull + frame - *gradient);
        }
        self.spectrum.back(cpu, &self.images, &self.gradients, &mut self.descent);
        let (beta_1, beta_2) = (0.9_f32, 0.999_f32);
        let t = step as i32 + 1;
        let rate = calm * settings.rate * (1.0 - beta_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t));
        let adam_step = AdamStep { rate, beta_1, beta_2, epsilon: settings.epsilon, keep: 1.0 };
        adam(cpu, adam_step, &mut self.coefficients, &self.descent, &mut self.moments, &mut self.squares);
        if let Some(limit) = settings.contrast {
            self.coefficients.chunks_exact_mut(self.len).for_each(|c| self.spectrum.limit_contrast(c, limit));
        }
    }

    /// Draws the coefficients of these images anew, the louder the later.
    fn restart(&mut self, images: &[usize], step: usize) {
        let settings = self.settings;
        for &image in images {
            let mut rng = self.rng(image, settings.steps * settings.samples + step + 1);
            let loud = loudness(step);
            let coefficients = &mut self.coefficients[image * self.len..][..self.len];
            coefficients.iter_mut().for_each(|c| *c = loud * rng.approximately_normal());
        }
    }

    /// The images at the end.
    fn finish(mut self, cpu: Cpu) -> Vec<f32> {
        let (size, channels) = (self.size, self.channels);
        self.spectrum.images(cpu, &self.coefficients, &mut self.images);
        if self.settings.centered {
            for image in self.images.chunks_exact_mut(self.len) {
                let still = Movement::default().draw(
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

/// The deviation of the coefficients that a silent filter is shown after a step: more and more, up to an image of strong
/// contrast. In the end there is none, and the image of a dead filter is even.
fn loudness(step: usize) -> f32 {
    if step < WAKING { 0.05 * 1.083_f32.powi(step as i32) } else { 0.0 }
}

/// How far a pixel is outside the middle 20 of 28 parts of an image: 0 inside, 1 at the edge.
fn outside(row: usize, column: usize, [height, width]: [usize; 2]) -> f32 {
    let along = |at: usize, size: usize| {
        let beyond = ((at as f32 + 0.5) / size as f32 - 0.5).abs() - 10.0 / 28.0;
        if beyond > 0.0 { beyond / (0.5 - 10.0 / 28.0 - 0.5 / size as f32) } else { 0.0 }
    };
    along(row, height).max(along(column, width))
}

/// How far, in whole pixels (x, y), the center of an image's mass lies from its middle.
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

/// Divides a gradient by its root mean square; one of zeros stays.
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
