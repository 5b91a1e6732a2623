//! DeepDream (Mordvintsev, Olah and Tyka, 2015): amplifies the patterns that a layer detects in an image.
//!
//! Gradient ascent on the layer's activations is applied first to a small version of the image, then to larger ones
//! (octaves), so that shapes of all sizes appear. The added detail is carried over to the next octave.

use super::keras_vis::roll;
use super::objective::Objective;
use super::pixels::PixelSpace;
use super::spectrum::Spectrum;
use super::{Run, Target, positive};
use crate::core::Progress;
use crate::core::{Purpose, Rng};
use crate::data::{Image, Preprocessing, resize_floats};
use crate::nn::{Network, Plan};
use crate::{Cpu, Error, Result};

/// The minimum height and width of an image for [`dream`], in pixels: in a smaller one, layers have too few positions.
pub const DREAM_LEAST_SIDE: usize = 48;
/// The maximum memory of a plan's buffers in bytes.
const MEMORY: usize = 8 << 30;

/// The decay of frequency weights in a step, see [`Spectrum`]. With the plain pixel gradient, a dream is a lattice in neon
/// colors, because the gradients of networks, unlike photographs, have most energy at high frequencies.
const DECAY: f32 = 0.25;
/// Frequencies below this, in waves over the longer side, are not changed, to preserve the photograph's light and shade.
const LOWEST: f32 = 6.0;

/// Configuration of [`dream`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dream {
    /// The number of octaves; the last has the size of the image.
    pub octaves: usize,
    /// The scale factor between octaves.
    pub octave_scale: f32,
    /// Steps per octave.
    pub steps: usize,
    /// The mean change of a pixel per step, for pixels in 0..1.
    pub rate: f32,
    /// The maximum random shift of the image before a step, in pixels.
    pub jitter: usize,
    /// The seed of the shifts.
    pub seed: u64,
}

impl Default for Dream {
    fn default() -> Self {
        Self { octaves: 4, octave_scale: 1.4, steps: 20, rate: 0.002, jitter: 16, seed: 42 }
    }
}

/// Applies DeepDream to an image at its original size: gradient ascent on a part of a layer, usually [`Objective::Layer`].
/// When `progress` requests a stop, the current image is returned.
///
/// # Errors
/// [`Error::Argument`] when the layer does not exist, does not have the part or requires a fixed image size, or the image
/// is too small; [`Error::Limit`] when it is too large; [`Error::Unsupported`] when the network's input is not an image.
#[allow(clippy::too_many_arguments)] // each is of another kind, and all are needed
pub fn dream(
    network: &Network,
    preprocessing: Option<&Preprocessing>,
    target: &Target,
    objective: &Objective,
    image: &Image,
    settings: &Dream,
    cpu: Cpu,
    progress: &mut dyn Progress,
) -> Result<Image> {
    settings.check()?;
    let mut network = network.clone().cut(target.name())?;
    network.check_finite()?;
    let channels = PixelSpace::of(&network, preprocessing)?.channels();
    let image = image.in_channels(channels);
    let full = [image.height(), image.width()];
    let original: Vec<f32> = image.pixels().iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let sizes = settings.sizes(full)?;
    let objectives = [objective.clone()];
    let total = sizes.len() * settings.steps;

    let mut detail: Option<(Vec<f32>, [usize; 2])> = None;
    let mut dreamt = original.clone();
    for (octave, &size) in sizes.iter().enumerate() {
        network = network.with_input_size(size[0], size[1])?;
        let pixels = PixelSpace::of(&network, preprocessing)?;
        let seen = target.check(&network, &objectives, true)?;
        let plan = Plan::builder(&network).cpu(cpu).output(seen.point.clone()).grad_output_at(seen.point.clone());
        let plan = plan.input_gradient().exact(false).build()?;
        if plan.memory() > MEMORY {
            let what = format!("bytes of memory for DeepDream at {}x{} pixels (use a smaller image)", size[1], size[0]);
            return Err(Error::Limit { what, got: plan.memory() as u64, limit: MEMORY as u64 });
        }
        let base = resize_floats(&original, full, size, channels)?;
        dreamt = base.clone();
        if let Some((detail, from)) = &detail {
            let detail = resize_floats(detail, *from, size, channels)?;
            dreamt.iter_mut().zip(detail).for_each(|(value, detail)| *value = (*value + detail).clamp(0.0, 1.0));
        }
        let mut run = Run {
            network: &network,
            pixels: &pixels,
            seen: &seen,
            plan,
            first: octave,
            progress,
            before: octave * settings.steps,
            total,
            done: 0,
            stopped: false,
        };
        run.dream(settings, &objectives, &mut dreamt)?;
        if run.stopped {
            dreamt = resize_floats(&dreamt, size, full, channels)?;
            break;
        }
        detail = Some((dreamt.iter().zip(&base).map(|(value, base)| value - base).collect(), size));
    }
    let bytes = dreamt.iter().map(|value| (value * 255.0).round() as u8).collect();
    Image::new(full[1], full[0], channels, bytes)
}

impl Dream {
    fn check(&self) -> Result<()> {
        positive("the learning rate", self.rate)?;
        if !(1..=32).contains(&self.octaves) || self.steps == 0 {
            return Err(Error::argument("1 to 32 octaves of at least one step are needed"));
        }
        if !(1.01..=4.0).contains(&self.octave_scale) {
            return Err(Error::argument(format!("an octave scale of {}: it must be 1.01 to 4", self.octave_scale)));
        }
        Ok(())
    }

    /// Height and width of the octaves, the smallest first.
    fn sizes(&self, full: [usize; 2]) -> Result<Vec<[usize; 2]>> {
        if full[0].min(full[1]) < DREAM_LEAST_SIDE {
            return Err(Error::argument(format!(
                "an image of {}x{} pixels is too small to dream about: at least {DREAM_LEAST_SIDE}x{DREAM_LEAST_SIDE} are needed, as \
                 layers have too few positions for a smaller one",
                full[1], full[0]
            )));
        }
        let at =
            |octave: usize| full.map(|side| (side as f32 / self.octave_scale.powi(octave as i32)).round() as usize);
        let sizes = (0..self.octaves).rev().map(at);
        Ok(sizes.filter(|size| size[0].min(size[1]) >= DREAM_LEAST_SIDE).collect())
    }
}

impl Run<'_> {
    fn dream(&mut self, settings: &Dream, objectives: &[Objective], image: &mut Vec<f32>) -> Result<()> {
        let pixels = self.pixels;
        let shape = [pixels.height, pixels.width, pixels.channels()];
        let mut rng = Rng::keyed(settings.seed, Purpose::Maximize, self.first);
        let mut gradient = vec![0.0; image.len()];
        let spectrum = Spectrum::new(shape, DECAY, 1.0, 0.0);
        let mut value = [0.0];
        for step in 0..settings.steps {
            let by = [0, 1].map(|axis| rng.offset(settings.jitter.min(shape[axis] / 4)));
            *image = roll(image, shape, by);
            pixels.to_input(image, self.plan.input_mut());
            let input_gradient = self.ascend(objectives, &mut value, |_, _, _| {})?;
            pixels.gradient(input_gradient, &mut gradient);
            spectrum.precondition(&mut gradient, LOWEST);
            let mean = gradient.iter().map(|g| f64::from(g.abs())).sum::<f64>() / gradient.len() as f64;
            if mean > 0.0 {
                let rate = (f64::from(settings.rate) / mean) as f32;
                let moved = image.iter_mut().zip(&gradient);
                moved.for_each(|(value, g)| *value = (*value + rate * g).clamp(0.0, 1.0));
            }
            *image = roll(image, shape, by.map(|by| -by));
            if self.report(step + 1).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    fn photo() -> Image {
        let pixels = (0..64 * 80 * 3).map(|i| ((i * 7) % 97 + (i / 240) * 2) as u8).collect();
        Image::new(80, 64, 3, pixels).unwrap()
    }

    #[test]
    fn a_dream_makes_the_layer_respond_more_and_keeps_size_and_subject() {
        let network = applications::find("vgg16")
            .unwrap()
            .build(&applications::Options::without_top().size(64, 80).seed(3))
            .unwrap();
        let (target, preprocessing) = (Target::layer("block2_conv1"), Preprocessing::vgg().with_size(64, 80));
        // Without jitter: with wraparound, the gradient in this image would have an edge.
        let settings = Dream { octaves: 2, steps: 5, rate: 0.006, jitter: 0, ..Dream::default() };
        let (photo, cpu) = (photo(), Cpu::detect());
        let of = |settings: &Dream| {
            let about = (&network, Some(&preprocessing), &target, &Objective::Layer, &photo);
            dream(about.0, about.1, about.2, about.3, about.4, settings, cpu, &mut ())
        };
        let dreamt = of(&settings).unwrap();
        assert_eq!((dreamt.width(), dreamt.height()), (80, 64));
        assert_eq!(dreamt, of(&settings).unwrap());
        let response = |image: &Image| {
            let mut plan = Plan::builder(&network).output("block2_conv1").build().unwrap();
            preprocessing.apply(image, plan.input_mut()).unwrap();
            plan.forward(&network).unwrap();
            plan.output(0).iter().map(|value| value * value).sum::<f32>()
        };
        assert!(response(&dreamt) > 1.2 * response(&photo), "{} {}", response(&photo), response(&dreamt));
        let difference =
            dreamt.pixels().iter().zip(photo.pixels()).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>();
        let mean = difference / photo.pixels().len() as f64;
        assert!(mean > 1.0 && mean < 40.0, "{mean}");
    }

    #[test]
    fn octaves_grow_to_the_image() {
        let settings = Dream { octaves: 3, octave_scale: 2.0, ..Dream::default() };
        assert_eq!(settings.sizes([400, 200]).unwrap(), [[100, 50], [200, 100], [400, 200]]);
        assert_eq!(settings.sizes([100, 60]).unwrap(), [[100, 60]]);
        assert!(settings.sizes([47, 500]).unwrap_err().to_string().contains("too small"));
    }
}
