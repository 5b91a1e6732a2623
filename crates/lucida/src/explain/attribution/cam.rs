//! Class activation maps: a weighted sum of a layer's channels, rectified and upsampled to the image size. With `A_k`
//! channel `k` of the layer's output, `S` the score of the class and `g_k = dS/dA_k`:
//!
//! ```text
//! Grad-CAM     relu(sum over k of mean(g_k) A_k)
//! Grad-CAM++   relu(sum over k of w_k A_k), w_k = sum of a_k relu(g_k), a_k = g_k^2 / (2 g_k^2 + sum(A_k) g_k^3)
//! LayerCAM     relu(sum over k of relu(g_k) A_k)
//! Score-CAM    relu(sum over k of w_k A_k), w_k = softmax over k of (S(the image seen through A_k) - S(baseline))
//! ```
//!
//! In a network that ends in global average pooling and one dense layer, `mean(g_k)` is the dense layer's weight divided by
//! the number of positions: up to that factor, Grad-CAM is then the class activation map of Zhou et al. (2016).

use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::{Readout, plan_back};
use super::{CompletenessCheck, Method};
use crate::nn::{Network, Plan};
use crate::weights::Outputs;
use crate::{Cpu, Error, Result};

/// A plan for a forward pass, and a backward pass to a layer.
pub(super) struct CamPass {
    plan: Plan,
    layer: String,
    /// Height, width and channels of the layer's output.
    shape: [usize; 3],
}

/// The default layer of class activation maps: the last one whose output has spatial extent, before pooling, dropout and
/// flattening. For example, the last convolution of VGG16 and the last concatenation of InceptionV3.
///
/// ```
/// use lucida::explain::default_layer;
/// use lucida::prelude::*;
///
/// assert_eq!(default_layer(&applications::mnist_cnn(42)?)?, "conv2d_2");
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] when no layer of the network has spatial extent.
pub fn default_layer(network: &Network) -> Result<&str> {
    let nodes = network.nodes();
    let mut leads = vec![false; nodes.len()];
    network.outputs().iter().for_each(|&output| leads[output] = true);
    for index in (0..nodes.len()).rev() {
        if leads[index] {
            nodes[index].inputs().iter().for_each(|&input| leads[input] = true);
        }
    }
    let has_places = |index: usize| matches!(nodes[index].shape().as_image(), Some([h, w, _]) if h * w > 1);
    let mut last = (0..nodes.len()).rev().find(|&index| leads[index] && has_places(index));
    while let Some(index) = last {
        match *nodes[index].inputs() {
            [] => break,
            [input] if nodes[index].layer().spec().only_resamples() && has_places(input) => last = Some(input),
            _ => return Ok(nodes[index].name()),
        }
    }
    let name = network.name();
    Err(Error::Unsupported(format!(
        "network {name} has no layer with spatial extent, which a class activation map needs"
    )))
}

/// The layer with this name, or the [`default_layer`], with the height, width and channels of its output.
///
/// # Errors
/// [`Error::Argument`] when the layer does not exist, [`Error::Layer`] when its output has no spatial extent; as
/// [`default_layer`].
pub fn spatial_layer<'a>(network: &'a Network, layer: Option<&str>) -> Result<(&'a str, [usize; 3])> {
    let layer = match layer {
        Some(layer) => layer,
        None => default_layer(network)?,
    };
    let node = &network.nodes()[network.find(layer)?];
    match node.shape().as_image() {
        Some([height, width, channels]) if height * width > 1 => Ok((node.name(), [height, width, channels])),
        _ => {
            let problem = format!("its output of shape {} has no spatial extent for a heat map", node.shape());
            Err(Error::layer(layer, problem))
        }
    }
}

impl CamPass {
    fn new(network: &Network, outputs: &Outputs, layer: Option<&str>, cpu: Cpu) -> Result<Self> {
        let (layer, shape) = spatial_layer(network, layer)?;
        let plan = plan_back(network, outputs, cpu, 1).output(layer).gradient(layer).build()?;
        if plan.gradient(0).is_none() {
            return Err(Error::layer(layer, format!("the classes of network {} do not depend on it", network.name())));
        }
        Ok(Self { plan, layer: layer.to_owned(), shape })
    }
}

impl Explainer<'_> {
    /// Runs the network on an image; the plan then holds the layer's output and its gradient.
    fn run_to_layer(&mut self, input: &[f32], readout: &Readout) -> Result<(&CamPass, f32)> {
        let Self { network, outputs, settings, cam, .. } = self;
        let cam = match cam {
            Some(cam) => cam,
            none => none.insert(CamPass::new(network, outputs, settings.layer.as_deref(), settings.cpu)?),
        };
        cam.plan.input_mut().copy_from_slice(input);
        cam.plan.forward(network)?;
        let score = readout.score(cam.plan.output(0));
        readout.score.write_gradient(cam.plan.grad_output_mut(0));
        cam.plan.backward(network);
        Ok((cam, score))
    }

    pub(super) fn grad_cam(&mut self, input: &[f32], readout: &Readout, method: Method) -> Result<RawAttribution> {
        self.passes.report(0, 1)?;
        let image = [self.shape[0], self.shape[1]];
        let (cam, score) = self.run_to_layer(input, readout)?;
        let values = cam.plan.output(1);
        let gradient = cam.plan.gradient(0).unwrap_or_default();
        let channels = cam.shape[2];
        let map = match method {
            Method::GradCam => weighted(values, &mean_gradients(gradient, channels)),
            Method::GradCamPlusPlus => weighted(values, &area_weights(values, gradient, channels)),
            _ => {
                let place =
                    |(a, g): (&[f32], &[f32])| a.iter().zip(g).map(|(a, g)| a * g.max(0.0)).sum::<f32>().max(0.0);
                values.chunks_exact(channels).zip(gradient.chunks_exact(channels)).map(place).collect()
            }
        };
        let found = of_layer(cam, score, map, image);
        self.passes.report(1, 1)?;
        Ok(found)
    }

    /// Score-CAM. The image is masked by a channel: `x0 + A (x - x0)`, with the channel `A` upsampled to the image size and
    /// scaled to 0..1, and the baseline `x0`. A constant channel gets weight 0.
    pub(super) fn score_cam(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let baseline = self.baseline(input);
        let [height, width, depth] = self.shape;
        let (cam, score) = self.run_to_layer(input, readout)?;
        let (values, [rows, columns, channels]) = (cam.plan.output(1).to_vec(), cam.shape);
        let mask = |channel: usize| {
            let map: Vec<f32> = values.iter().skip(channel).step_by(channels).copied().collect();
            unit_range(upsample(&map, [rows, columns], [height, width]))
        };
        let live: Vec<usize> = (0..channels).filter(|&channel| mask(channel).is_some()).collect();
        let mut scores = vec![0.0_f32; live.len() + 1];
        let fill = |i: usize, to: &mut [f32]| {
            to.copy_from_slice(&baseline);
            let Some(mask) = live.get(i).and_then(|&channel| mask(channel)) else { return };
            for ((to, x), &share) in to.chunks_exact_mut(depth).zip(input.chunks_exact(depth)).zip(&mask) {
                to.iter_mut().zip(x).for_each(|(to, x)| *to += share * (x - *to));
            }
        };
        let Self { scorer, passes, .. } = self;
        scorer.run(live.len() + 1, passes, fill, |i, row| scores[i] = readout.score(row))?;
        let nothing = scores.pop().unwrap_or_default();
        let most = scores.iter().map(|score| score - nothing).fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = scores.iter().map(|score| (score - nothing - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        let mut weights = vec![0.0; channels];
        live.iter().zip(powers).for_each(|(&channel, power)| weights[channel] = power / sum);
        let map = weighted(&values, &weights);
        match &self.cam {
            Some(cam) => Ok(of_layer(cam, score, map, [height, width])),
            None => Err(Error::Bug("the plan of the layer is missing".to_owned())),
        }
    }
}

fn of_layer(cam: &CamPass, score: f32, map: Vec<f32>, image: [usize; 2]) -> RawAttribution {
    let [rows, columns, _] = cam.shape;
    let values = upsample(&map, [rows, columns], image);
    RawAttribution {
        score,
        raw_shape: [rows, columns, 1],
        raw: map,
        values,
        completeness: CompletenessCheck::Layer(cam.layer.clone()),
    }
}

/// The weighted sum of the channels, rectified.
fn weighted(values: &[f32], weights: &[f32]) -> Vec<f32> {
    let place = |place: &[f32]| place.iter().zip(weights).map(|(a, w)| a * w).sum::<f32>().max(0.0);
    values.chunks_exact(weights.len()).map(place).collect()
}

fn mean_gradients(gradient: &[f32], channels: usize) -> Vec<f32> {
    let places = (gradient.len() / channels) as f32;
    (0..channels).map(|channel| gradient.iter().skip(channel).step_by(channels).sum::<f32>() / places).collect()
}

/// The weights of Grad-CAM++. The score is assumed to be an exponential, so that its second and third derivatives are
/// powers of the first (section 3.3 of the paper); the exponential itself is a common factor and is omitted.
fn area_weights(values: &[f32], gradient: &[f32], channels: usize) -> Vec<f32> {
    let of_channel = |channel: usize| {
        let pairs = || values.iter().zip(gradient).skip(channel).step_by(channels);
        let area: f32 = pairs().map(|(a, _)| a).sum();
        let place = |(_, &g): (&f32, &f32)| {
            let below = 2.0 * g * g + area * g * g * g;
            if g > 0.0 && below != 0.0 { g * g / below * g } else { 0.0 }
        };
        pairs().map(place).sum()
    };
    (0..channels).map(of_channel).collect()
}

/// Scales values to 0..1; `None` if all values are equal.
fn unit_range(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return None;
    }
    values.iter_mut().for_each(|value| *value = (*value - low) / span);
    Some(values)
}

/// Resizes a map by bilinear interpolation between pixel centers.
pub(super) fn upsample(map: &[f32], [rows, columns]: [usize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
    let taps = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        (0..to)
            .map(|i| {
                let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
                let low = at as usize;
                (low, (low + 1).min(from - 1), at - low as f32)
            })
            .collect()
    };
    let (down, across) = (taps(rows, height), taps(columns, width));
    let mix = |a: f32, b: f32, part: f32| a + part * (b - a);
    let mut values = Vec::with_capacity(height * width);
    for (top, bottom, below) in down {
        for &(left, right, part) in &across {
            let upper = mix(map[top * columns + left], map[top * columns + right], part);
            let lower = mix(map[bottom * columns + left], map[bottom * columns + right], part);
            values.push(mix(upper, lower, below));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;
    use crate::nn::layers::{Activation, ActivationKind, Conv2D, Dense, Flatten, GlobalAveragePooling2D};

    #[test]
    fn maps_are_interpolated_between_the_middles() {
        assert_eq!(upsample(&[0.0, 4.0], [1, 2], [2, 4]), [0.0, 1.0, 3.0, 4.0, 0.0, 1.0, 3.0, 4.0]);
        assert_eq!(upsample(&[1.0, 2.0, 3.0, 4.0], [2, 2], [2, 2]), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(upsample(&[7.0], [1, 1], [2, 3]), [7.0; 6]);
        // A larger map is sampled.
        assert_eq!(upsample(&[0.0, 1.0, 2.0, 3.0], [1, 4], [1, 2]), [0.5, 2.5]);
    }

    #[test]
    fn the_default_layer_is_the_last_with_places() {
        assert_eq!(default_layer(&applications::mnist_cnn(1).unwrap()).unwrap(), "conv2d_2");
        let inception = applications::inception_v3(&applications::Options::default()).unwrap();
        assert_eq!(default_layer(&inception).unwrap(), "mixed10");
        let layers = [
            Conv2D::new(2, [3, 3]).into(),
            Activation::new(ActivationKind::Tanh).into(),
            GlobalAveragePooling2D::new().into(),
            Dense::new(3).into(),
        ];
        assert_eq!(default_layer(&Network::sequential("s", [5, 5, 1], layers, 1).unwrap()).unwrap(), "activation");
        let flat = Network::sequential("flat", [5, 5, 1], [Flatten::new().into(), Dense::new(3).into()], 1).unwrap();
        assert!(default_layer(&flat).unwrap_err().to_string().contains("network flat has no layer"));
    }
}
