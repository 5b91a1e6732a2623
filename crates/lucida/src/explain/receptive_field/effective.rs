//! The effective receptive field: how strongly each pixel in the receptive field affects a unit.
//!
//! Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field in deep convolutional neural networks" (2016):
//! the gradient of a layer's central unit with respect to the image. It decays from the center approximately like a
//! Gaussian, and the effective part is much smaller than the receptive field.
//!
//! All channels have equal weight. A random sign per channel and image keeps the channels' gradients from canceling: over
//! many images, the mean square of the signed sum is the sum of the channels' mean squares.

use super::{Field, ReceptiveField, Span, receptive_field};
use crate::core::{Purpose, Rng};
use crate::data::{Image, Preprocessing};
use crate::explain::deconvnet::point;
use crate::explain::sheet::{enlarged, outline, zoom_to};
use crate::nn::{Network, Plan};
use crate::plot::{Colormap, Normalize, box_label, float_map};
use crate::{Cpu, Error, Result};

/// The relative gradient above which a pixel counts as effective: that of a Gaussian at two and a half standard deviations
/// (1 - 0.9545, as in the paper).
const SEEN: f32 = 0.0455;
/// The maximum memory of the plan in bytes; a plan for a single image may exceed it.
const MEMORY: usize = 384 << 20;
/// The size to which small maps are enlarged.
const MAP: usize = 224;

/// The effective receptive field of a layer's central unit (Luo et al., 2016).
#[derive(Debug, Clone)]
pub struct EffectiveField {
    /// The layer.
    pub layer: String,
    /// The row and column of the unit.
    pub position: [usize; 2],
    /// Its theoretical receptive field.
    pub field: Field,
    /// The root mean square of the gradient at each pixel, over images and channels, `[height, width]`.
    pub map: Vec<f32>,
    /// Height and width of the image.
    pub size: [usize; 2],
}

/// Configuration of a measurement of the effective receptive field.
#[derive(Debug, Clone, Copy)]
pub struct Measurement<'a> {
    /// The network.
    pub network: &'a Network,
    /// The layer.
    pub layer: &'a str,
    /// The number of images.
    pub samples: usize,
    /// The seed of the random signs.
    pub seed: u64,
    /// Instruction set and threads.
    pub cpu: Cpu,
}

/// Measures the effective receptive field of a layer's central unit over images written by `fill`, which receives the index
/// of the image and the network's input `[height, width, channels]`.
///
/// ```
/// use lucida::explain::{Measurement, effective_field, noise};
/// use lucida::prelude::*;
///
/// let network = applications::mnist_cnn(42)?;
/// let measurement = Measurement { network: &network, layer: "conv2d_1", samples: 8, seed: 42, cpu: Cpu::detect() };
/// let field = effective_field(&measurement, |number, input| {
///     noise(None, 42, number, input);
///     Ok(())
/// })?;
/// assert!(0.0 < field.side() && field.side() <= 8.0, "at most the receptive field of 8x8 pixels");
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the layer does not exist (the nearest name is suggested), is the input, or there are no images;
/// [`Error::Unsupported`] when the network's input is not a single image; and errors of `fill`.
pub fn effective_field(
    measurement: &Measurement,
    mut fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
) -> Result<EffectiveField> {
    let Measurement { network, layer, samples, seed, cpu } = *measurement;
    if samples == 0 {
        return Err(Error::argument("measuring the effective receptive field needs at least one image"));
    }
    let theory = receptive_field(network, layer)?;
    let shape = network.input_shape()?;
    let Some([height, width, channels]) = shape.as_image() else {
        return Err(Error::Unsupported(format!("network {} does not take an image", network.name())));
    };
    let (layout, position, field) = middle(&theory)?;
    let point = point(network, layer)?;
    let builder = Plan::builder(network).cpu(cpu).output(point.clone()).grad_output_at(point).input_gradient();
    let mut plan = builder.build_within(samples.min(16), MEMORY)?;
    let batch = plan.capacity();
    let mut signs = Rng::keyed(seed, Purpose::ReceptiveField, 0);
    let mut squares = vec![0.0_f64; height * width];
    for first in (0..samples).step_by(batch) {
        let count = batch.min(samples - first);
        plan.set_batch(count);
        for (index, input) in plan.input_mut().chunks_exact_mut(shape.len()).enumerate() {
            fill(first + index, input)?;
        }
        plan.forward(network)?;
        let unit = (position[0] * layout[1] + position[1]) * layout[2];
        let seed = plan.grad_output_mut(0);
        seed.fill(0.0);
        for sample in seed.chunks_exact_mut(layout.iter().product()) {
            let channels = &mut sample[unit..unit + layout[2]];
            channels.fill_with(|| if signs.coin() { 1.0 } else { -1.0 });
        }
        plan.backward(network);
        for sample in plan.input_gradient().unwrap_or_default().chunks_exact(shape.len()) {
            for (sum, pixel) in squares.iter_mut().zip(sample.chunks_exact(channels)) {
                *sum += pixel.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            }
        }
    }
    let map = squares.iter().map(|sum| (sum / samples as f64).sqrt() as f32).collect();
    Ok(EffectiveField { layer: layer.to_owned(), position, field, map, size: [height, width] })
}

fn middle(theory: &ReceptiveField) -> Result<([usize; 3], [usize; 2], Field)> {
    let layout = theory.layout();
    let position = [layout[0] / 2, layout[1] / 2];
    let field = theory.at(position).ok_or_else(|| {
        Error::argument(format!("the receptive field of the center of layer {} contains only padding", theory.layer()))
    })?;
    Ok((layout, position, field))
}

impl EffectiveField {
    /// The side in pixels of a square with the effective area: the number of pixels whose gradient exceeds 4.55 % of the
    /// maximum. Zero without a gradient.
    pub fn side(&self) -> f64 {
        let most = self.map.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max);
        let seen = self.map.iter().filter(|&&value| most > 0.0 && value > SEEN * most).count();
        (seen as f64).sqrt()
    }

    /// The vertical and horizontal standard deviation of the squared gradient in pixels: for a Gaussian gradient with
    /// standard deviation `s`, this is `s / sqrt 2`.
    pub fn deviation(&self) -> [f64; 2] {
        let width = self.size[1];
        let weight = |index: usize| f64::from(self.map[index]).powi(2);
        let total: f64 = (0..self.map.len()).map(weight).sum();
        let along = |place: fn(usize, usize) -> usize| {
            let mean = |of: &dyn Fn(f64) -> f64| {
                (0..self.map.len()).map(|index| weight(index) * of(place(index, width) as f64)).sum::<f64>() / total
            };
            let center = mean(&|at| at);
            mean(&|at| (at - center).powi(2)).sqrt()
        };
        [along(|index, width| index / width), along(|index, width| index % width)]
    }

    /// Renders the map, brighter for larger gradients, with the outline of the theoretical receptive field, labeled with
    /// the layer and the field's height and width.
    ///
    /// # Errors
    /// [`Error::Limit`] when the enlarged image exceeds the size limit.
    pub fn image(&self, colormap: Colormap) -> Result<Image> {
        let [height, width] = self.size;
        let zoom = zoom_to(height.max(width), MAP);
        let most = self.map.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max);
        let plain = float_map(&self.map, width, height, Normalize::Range(0.0, most), colormap)?;
        let mut image = enlarged(&plain, zoom)?;
        let scaled = |span: Span| (span.start * zoom as i64, span.end * zoom as i64);
        outline(&mut image, scaled(self.field.rows), scaled(self.field.columns), [255; 3]);
        let label = format!("{} {}x{}", self.layer, self.field.rows.len(), self.field.columns.len());
        let corner = [self.field.rows, self.field.columns].map(|span| span.start.max(0) as usize * zoom);
        Ok(box_label(image, &label, corner, [255; 3]))
    }
}

/// Fills a network's input with noise: preprocessed pixels with uniformly distributed brightness, or numbers between -1 and
/// 1 without a preprocessing. The same seed and number give the same image.
pub fn noise(preprocessing: Option<&Preprocessing>, seed: u64, number: usize, input: &mut [f32]) {
    let mut random = Rng::keyed(seed, Purpose::ReceptiveField, number + 1);
    let channels = preprocessing.map_or(1, |preprocessing| preprocessing.color.channels());
    for (index, value) in input.iter_mut().enumerate() {
        let unit = random.uniform_f32();
        *value = match preprocessing {
            Some(p) => ((255.0 * unit).round() / p.divisor - p.mean[index % channels]) / p.std[index % channels],
            None => 2.0 * unit - 1.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{ActivationKind, Conv2D};
    use crate::nn::{Layer, applications};

    fn measured(network: &Network, layer: &str, samples: usize) -> EffectiveField {
        let measurement = Measurement { network, layer, samples, seed: 3, cpu: Cpu::detect() };
        effective_field(&measurement, |number, input| {
            noise(None, 5, number, input);
            Ok(())
        })
        .unwrap()
    }

    /// For random weights with mean zero, the expected squared gradient is the convolution of the kernels' windows: a
    /// window of `k` pixels has the variance `(k^2 - 1) / 12`, and variances add up. For many windows it is a Gaussian.
    #[test]
    fn random_weights_have_the_field_that_theory_gives_them() {
        let layers = (0..6).map(|_| Layer::from(Conv2D::new(24, [3, 5])));
        let network = Network::sequential("linear", [33, 45, 2], layers, 17).unwrap();
        let field = measured(&network, "conv2d_5", 64);
        let [down, across] = field.deviation();
        let expected = |window: f64| (6.0 * (window * window - 1.0) / 12.0).sqrt();
        assert!((down / expected(3.0) - 1.0).abs() < 0.05, "{down} and not {}", expected(3.0));
        assert!((across / expected(5.0) - 1.0).abs() < 0.05, "{across} and not {}", expected(5.0));

        // Summed over the rows and both sides of the center, it decays as a Gaussian of that standard deviation.
        let column = |at: usize| -> f64 { (0..33).map(|row| f64::from(field.map[row * 45 + at]).powi(2)).sum() };
        let middle = 10 + 12;
        for away in [2, 4, 6, 8] {
            let got = (column(middle - away) + column(middle + away)) / (2.0 * column(middle));
            let gaussian = (-(away as f64).powi(2) / (2.0 * across * across)).exp();
            assert!((got - gaussian).abs() < 0.08, "{away} pixels away: {got}, a Gaussian has {gaussian}");
        }
        assert_eq!(field.field.rows.len(), 13);
        assert!(field.side() < (13.0_f64 * 25.0).sqrt() && field.side() > 5.0, "{}", field.side());
    }

    #[test]
    fn nothing_outside_of_the_field_matters() {
        let network = applications::mnist_cnn(3).unwrap();
        for layer in ["conv2d", "conv2d_2", "dense_1"] {
            let found = measured(&network, layer, 8);
            let inside = |at: usize, span: Span| (span.start..span.end).contains(&(at as i64));
            for (index, &value) in found.map.iter().enumerate() {
                assert!(
                    value == 0.0 || inside(index / 28, found.field.rows) && inside(index % 28, found.field.columns),
                    "{layer} at {index}"
                );
            }
            assert!(found.side() >= 1.0);
            assert_eq!(found.image(Colormap::Inferno).unwrap().width(), 224);
        }
    }

    #[test]
    fn a_dead_layer_sees_nothing() {
        let layers = [Layer::from(Conv2D::new(2, [3, 3]).activation(ActivationKind::Relu))];
        let mut network = Network::sequential("dead", [9, 9, 1], layers, 1).unwrap();
        network.weights_mut()[1].values_mut().fill(-1e6);
        let field = measured(&network, "conv2d", 2);
        assert_eq!(field.side(), 0.0);
        assert!(field.image(Colormap::Viridis).is_ok());
        let none = Measurement { network: &network, layer: "conv2d", samples: 0, seed: 0, cpu: Cpu::detect() };
        assert!(effective_field(&none, |_, _| Ok(())).is_err());
        let typo = Measurement { layer: "conv2", samples: 1, ..none };
        assert!(effective_field(&typo, |_, _| Ok(())).unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn noise_is_of_the_range_of_pixels() {
        let mut input = vec![0.0; 3 * 5000];
        noise(Some(&Preprocessing::vgg()), 1, 0, &mut input);
        let (low, high) = input.iter().fold((0.0_f32, 0.0_f32), |(l, h), &v| (l.min(v), h.max(v)));
        assert!((-123.7..-120.0).contains(&low) && (148.0..151.1).contains(&high), "{low} {high}");
        let mut other = input.clone();
        noise(Some(&Preprocessing::vgg()), 1, 1, &mut other);
        assert_ne!(input, other);
    }
}
