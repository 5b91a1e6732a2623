//! Activation maximization in pixels, as in the package keras-vis 0.5 (Kotikalapudi, 2017), to reproduce its images.
//!
//! The loss for an image `x` of `n = height * width * channels` values is
//!
//! ```text
//! -activation + 10 (sum |x|^6)^(1/6) / n + 10 (sum of (down^2 + across^2)) / n
//! ```
//!
//! with `down` and `across` the differences to the next pixels. The gradient is divided by its norm, and RMSprop is applied
//! without a learning rate; before each step, the image is rolled by up to 5 % of its size. The result is the image after
//! the step with the lowest loss, normalized to a mean of mid-gray and a standard deviation of a tenth of the range. A
//! first run omits the variation, a second starts from its result.

use super::{Maximized, Objective, Run, positive};
use crate::core::{Purpose, Rng};
use crate::{Cpu, Result};

/// Configuration, with the constants and defaults of keras-vis.
#[derive(Debug, Clone, PartialEq)]
pub struct KerasVis {
    /// The steps of the first run, without the variation, and of the second.
    pub steps: (usize, usize),
    /// The weight of the norm.
    pub norm_weight: f32,
    /// The weight of the total variation in the second run.
    pub variation_weight: f32,
    /// The maximum roll before a step, relative to the image's side.
    pub jitter: f32,
    /// The seed of the initial images and of the rolls.
    pub seed: u64,
}

impl Default for KerasVis {
    fn default() -> Self {
        Self { steps: (300, 300), norm_weight: 10.0, variation_weight: 10.0, jitter: 0.05, seed: 42 }
    }
}

/// Keras's epsilon.
const EPSILON: f32 = 1e-7;
/// The decay of RMSprop's mean square.
const DECAY: f32 = 0.95;
/// The exponent of the norm.
const NORM: i32 = 6;

impl KerasVis {
    pub(super) fn check(&self) -> Result<()> {
        if self.steps.0 + self.steps.1 == 0 {
            return Err(crate::Error::argument("at least one step is needed"));
        }
        positive("1 + norm weight", 1.0 + self.norm_weight)?;
        positive("1 + total variation weight", 1.0 + self.variation_weight)?;
        positive("1 + jitter", 1.0 + self.jitter)
    }
}

/// The optimization of one image.
struct Track {
    image: Vec<f32>,
    squares: Vec<f32>,
    least: f32,
    best: Vec<f32>,
    rng: Rng,
}

/// The optimizations of one batch.
struct Tracks<'a> {
    settings: &'a KerasVis,
    /// Height, width and channels of an image.
    size: [usize; 3],
    /// The range of pixels, 0..1 or 0..255 depending on how the network was trained: keras-vis has no preprocessing.
    range: f32,
    tracks: Vec<Track>,
}

impl Run<'_> {
    pub(super) fn keras_vis(&mut self, settings: &KerasVis, objectives: &[Objective]) -> Result<Vec<Maximized>> {
        let pixels = self.pixels;
        let size = [pixels.height, pixels.width, pixels.channels()];
        let range = if pixels.is_unit() { 1.0 } else { 255.0 };
        let first =
            (0..objectives.len()).map(|index| Track::new(settings.seed, self.first + index, pixels.len(), range));
        let mut tracks = Tracks { settings, size, range, tracks: first.collect() };
        let mut unit = vec![0.0; objectives.len() * pixels.len()];
        let mut done = 0;
        let phases = [(0.0, settings.steps.0), (settings.variation_weight, settings.steps.1)];
        'phases: for (phase, (variation_weight, steps)) in phases.into_iter().enumerate() {
            if phase == 1 && settings.steps.0 > 0 {
                tracks.restart();
            }
            for _ in 0..steps {
                tracks.roll(self.plan.cpu());
                tracks.write_unit(&mut unit, |track| &track.image);
                let values = self.gradients(objectives, &mut unit)?;
                tracks.step(self.plan.cpu(), &values, &unit, variation_weight);
                done += 1;
                if self.report(done).is_break() {
                    break 'phases;
                }
            }
        }
        tracks.write_unit(&mut unit, |track| &track.best);
        let mut inputs = vec![0.0; unit.len()];
        pixels.to_input(&unit, &mut inputs);
        let values = self.values(objectives, &inputs)?;
        let each = tracks.tracks.iter().zip(inputs.chunks_exact(pixels.len())).zip(values);
        Ok(each
            .map(|((track, input), value)| {
                let image = pixels.image(&shown(&track.best));
                Maximized { image, input: input.to_vec(), value }
            })
            .collect())
    }

    /// The values of the objectives for images in 0..1, which are replaced with the gradients with respect to them.
    fn gradients(&mut self, objectives: &[Objective], unit: &mut [f32]) -> Result<Vec<f32>> {
        let (pixels, mut values) = (self.pixels, vec![0.0; objectives.len()]);
        self.plan.set_batch(objectives.len());
        pixels.to_input(unit, self.plan.input_mut());
        let gradients = self.ascend(objectives, &mut values, |_, _, _| {})?;
        pixels.gradient(gradients, unit);
        Ok(values)
    }
}

impl Tracks<'_> {
    /// Starts the second run from the normalized images.
    fn restart(&mut self) {
        for track in &mut self.tracks {
            track.image = shown(&track.best).iter().map(|value| self.range * value).collect();
            track.squares.fill(0.0);
            track.least = f32::INFINITY;
        }
    }

    /// Rolls each image by a random distance.
    fn roll(&mut self, cpu: Cpu) {
        let size = self.size;
        let jitter = [0, 1].map(|axis| (self.settings.jitter * size[axis] as f32) as usize);
        cpu.parallel_chunks(&mut self.tracks, 1, |_, track| {
            let [track] = track else { return };
            let by = jitter.map(|most| track.rng.offset(most));
            track.image = roll(&track.image, size, by);
        });
    }

    /// Writes an image of each track scaled to 0..1.
    fn write_unit(&self, unit: &mut [f32], image: impl Fn(&Track) -> &[f32]) {
        let len = self.size.iter().product();
        for (unit, track) in unit.chunks_exact_mut(len).zip(&self.tracks) {
            unit.iter_mut().zip(image(track)).for_each(|(unit, value)| *unit = value / self.range);
        }
    }

    /// One step for each image, given the values of the objectives and their gradients with respect to images in 0..1.
    fn step(&mut self, cpu: Cpu, values: &[f32], gradients: &[f32], variation_weight: f32) {
        let Self { settings, size, range, .. } = *self;
        let len: usize = size.iter().product();
        cpu.parallel_chunks(&mut self.tracks, 1, |index, track| {
            let [track] = track else { return };
            let mut gradient: Vec<f32> = gradients[index * len..][..len].iter().map(|g| -g / range).collect();
            let loss = -values[index]
                + norm(&track.image, settings.norm_weight, &mut gradient)
                + variation(&track.image, size, variation_weight, &mut gradient);
            track.step(loss, &gradient);
        });
    }
}

impl Track {
    /// Starts from noise around mid-gray.
    fn new(seed: u64, number: usize, len: usize, range: f32) -> Self {
        let mut rng = Rng::keyed(seed, Purpose::Maximize, number);
        let mut image: Vec<f32> = (0..len).map(|_| rng.uniform_f32()).collect();
        standardize(&mut image);
        image.iter_mut().for_each(|value| *value = range * (0.5 + 0.05 * *value));
        Self { image, squares: vec![0.0; len], least: f32::INFINITY, best: Vec::new(), rng }
    }

    /// An RMSprop step with the normalized gradient; the image after the step with the lowest loss is kept.
    fn step(&mut self, loss: f32, gradient: &[f32]) {
        let square: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        let length = square.max(1e-12).sqrt() as f32;
        for ((value, square), gradient) in self.image.iter_mut().zip(&mut self.squares).zip(gradient) {
            let gradient = gradient / length;
            *square = DECAY * *square + (1.0 - DECAY) * gradient * gradient;
            *value -= gradient / (*square + EPSILON).sqrt();
        }
        if loss < self.least || self.best.is_empty() {
            self.least = loss;
            self.best.clone_from(&self.image);
        }
    }
}

/// The result image: a mean of mid-gray, a standard deviation of 0.1, clipped to 0..1.
fn shown(image: &[f32]) -> Vec<f32> {
    let mut shown = image.to_vec();
    standardize(&mut shown);
    shown.iter_mut().for_each(|value| *value = (0.5 + 0.1 * *value).clamp(0.0, 1.0));
    shown
}

/// Normalizes to mean 0 and standard deviation 1.
fn standardize(values: &mut [f32]) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance.sqrt() + f64::from(EPSILON));
    values.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
}

/// Shifts all pixels down and to the right with wraparound.
pub(super) fn roll(image: &[f32], [height, width, channels]: [usize; 3], [down, across]: [isize; 2]) -> Vec<f32> {
    let mut rolled = Vec::with_capacity(image.len());
    let wrap = |at: usize, by: isize, size: usize| (at as isize - by).rem_euclid(size as isize) as usize;
    for row in 0..height {
        let from = wrap(row, down, height) * width * channels;
        let row = &image[from..from + width * channels];
        let split = wrap(0, across, width) * channels;
        rolled.extend_from_slice(&row[split..]);
        rolled.extend_from_slice(&row[..split]);
    }
    rolled
}

/// Returns `weight (sum |x|^6)^(1/6) / n`, and adds its gradient.
fn norm(image: &[f32], weight: f32, gradient: &mut [f32]) -> f32 {
    let sum: f64 = image.iter().map(|&x| f64::from(x).powi(NORM)).sum();
    let (count, norm) = (image.len() as f64, sum.powf(1.0 / f64::from(NORM)));
    if weight == 0.0 || norm == 0.0 {
        return 0.0;
    }
    let factor = f64::from(weight) / count;
    for (gradient, &x) in gradient.iter_mut().zip(image) {
        *gradient += (factor * (f64::from(x) / norm).powi(NORM - 1)) as f32;
    }
    (factor * norm) as f32
}

/// Returns `weight (sum of squared differences to the next pixels) / n`, and adds its gradient. As in keras-vis, the last
/// row and column are omitted.
fn variation(image: &[f32], [height, width, channels]: [usize; 3], weight: f32, gradient: &mut [f32]) -> f32 {
    if weight == 0.0 {
        return 0.0;
    }
    let factor = weight / image.len() as f32;
    let mut sum = 0.0_f64;
    for row in 0..height.saturating_sub(1) {
        let start = row * width * channels;
        for at in start..start + (width - 1) * channels {
            for next in [at + channels, at + width * channels] {
                let difference = image[next] - image[at];
                sum += f64::from(difference) * f64::from(difference);
                gradient[next] += 2.0 * factor * difference;
                gradient[at] -= 2.0 * factor * difference;
            }
        }
    }
    (f64::from(factor) * sum) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<f32> {
        let mut rng = Rng::keyed(3, Purpose::Maximize, 1);
        (0..5 * 4 * 3).map(|_| rng.uniform_f32() - 0.3).collect()
    }

    #[test]
    fn penalties_and_their_gradients() {
        let image = image();
        let (mut gradient, mut none) = (vec![0.0; 60], vec![0.0; 60]);
        let losses = |image: &[f32], gradient: &mut [f32]| {
            norm(image, 10.0, gradient) + variation(image, [5, 4, 3], 10.0, gradient)
        };
        losses(&image, &mut gradient);
        for at in [0, 7, 30, 59] {
            let mut moved = |by: f32| {
                let mut image = image.clone();
                image[at] += by;
                losses(&image, &mut none)
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((gradient[at] - expected).abs() < 2e-3, "{at}: {}, not {expected}", gradient[at]);
        }
        // By hand: a white pixel at the top left of black ones differs from two neighbors.
        let mut white = vec![0.0; 4];
        white[0] = 2.0;
        assert!((variation(&white, [2, 2, 1], 1.0, &mut [0.0; 4]) - 2.0).abs() < 1e-6);
        assert!((norm(&white, 1.0, &mut [0.0; 4]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn rolling_brings_back_what_leaves() {
        let image: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(roll(&image, [2, 3, 1], [1, 1]), [5.0, 3.0, 4.0, 2.0, 0.0, 1.0]);
        assert_eq!(roll(&image, [2, 3, 1], [0, -1]), [1.0, 2.0, 0.0, 4.0, 5.0, 3.0]);
    }

    #[test]
    fn what_is_shown_has_the_deviation_of_keras_vis() {
        let shown = shown(&image());
        let mean = shown.iter().sum::<f32>() / 60.0;
        let deviation = (shown.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 60.0).sqrt();
        assert!((mean - 0.5).abs() < 1e-3 && (deviation - 0.1).abs() < 1e-3, "{mean} {deviation}");
    }
}
