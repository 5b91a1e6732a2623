//! The activations of a network's layers for an image.

use crate::nn::{Inference, Layer, Network, Plan, Shape};
use crate::{Cpu, Error, Result};

/// The output of a layer for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerActivation {
    /// The layer's name.
    pub layer: String,
    /// The layer's class: `Conv2D`.
    pub class_name: &'static str,
    /// The shape of its output.
    pub shape: Shape,
    /// The values, `[height, width, channels]` for an image.
    pub values: Vec<f32>,
}

impl LayerActivation {
    /// The feature map of one channel in row-major order; for a vector, one value.
    ///
    /// # Panics
    /// When the channel does not exist.
    pub fn map(&self, channel: usize) -> Vec<f32> {
        let channels = self.shape.channels();
        assert!(channel < channels, "channel {channel} of {channels}");
        self.values.iter().skip(channel).step_by(channels).copied().collect()
    }
}

/// The outputs of some layers for one image, in the given order. Without names: of all layers in network order, except
/// inputs, dropout and flattening, whose output equals their input.
///
/// Equal patches of the image give bitwise equal values.
///
/// ```
/// use lucida::explain::activations;
/// use lucida::prelude::*;
///
/// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// # let mut input = vec![0.0; 28 * 28];
/// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let found = activations(&model.network, &["conv2d", "dense"], &input, Cpu::detect())?;
/// assert_eq!(found[0].shape.sizes(), [28, 28, 24]);
/// assert_eq!(found[0].map(3).len(), 28 * 28); // of one filter
/// assert_eq!(found[1].values.len(), 128);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when a layer does not exist (the nearest name is suggested), or the size of `input` is not that of
/// one image.
pub fn activations(network: &Network, layers: &[&str], input: &[f32], cpu: Cpu) -> Result<Vec<LayerActivation>> {
    let repeats = |layer: &Layer| matches!(layer, Layer::Input(_) | Layer::Dropout(_) | Layer::Flatten(_));
    let chosen: Vec<usize> = match layers {
        [] => (0..network.nodes().len()).filter(|&node| !repeats(network.nodes()[node].layer())).collect(),
        names => names.iter().map(|name| network.find(name)).collect::<Result<_>>()?,
    };
    if chosen.is_empty() {
        return Err(Error::argument(format!("network {} has no layers with activations", network.name())));
    }
    let nodes = || chosen.iter().map(|&node| &network.nodes()[node]);
    let builder = Plan::builder(network).cpu(cpu).exact(true);
    let mut inference = Inference::new(nodes().fold(builder, |builder, node| builder.output(node.name())))?;
    inference.forward(1, input)?;
    let of = |(index, node): (usize, &crate::nn::Node)| LayerActivation {
        layer: node.name().to_owned(),
        class_name: node.layer().class_name(),
        shape: node.shape().clone(),
        values: inference.output(index).to_vec(),
    };
    Ok(nodes().enumerate().map(of).collect())
}

/// How a feature map varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapStatus {
    /// The values differ.
    Alive,
    /// All values are equal but not zero, or none is finite.
    Constant,
    /// All values are zero: the filter is inactive for this image, or for any.
    Dead,
}

impl MapStatus {
    /// Classifies a feature map. Differences within the rounding error of 32-bit sums are ignored.
    pub fn of(map: &[f32]) -> Self {
        let finite = || map.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if map.iter().all(|&value| value == 0.0) {
            Self::Dead
        } else if low > high || f64::from(high) - f64::from(low) <= 1e-6 * f64::from(high.abs().max(low.abs())) {
            Self::Constant
        } else {
            Self::Alive
        }
    }
}

/// Maps a feature map to 8-bit levels as in F. Chollet's "Deep learning with Python" (2017, section 5.4.1): subtract the
/// mean, divide by the standard deviation, multiply by 64, add 128, clip to 0..255, truncate. A constant map is 128
/// everywhere. Values that are not finite are excluded from the statistics and become 0.
pub fn chollet_normalization(map: &[f32]) -> Vec<u8> {
    let finite = || map.iter().copied().filter(|value| value.is_finite()).map(f64::from);
    let count = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / count;
    let deviation = (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let factor = if MapStatus::of(map) == MapStatus::Alive { 64.0 / deviation } else { 0.0 };
    let level = |&value: &f32| match value {
        // The cast truncates and clips.
        value if value.is_finite() => ((f64::from(value) - mean) * factor + 128.0) as u8,
        _ => 0,
    };
    map.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn all_layers_that_compute_or_those_asked_for() {
        let network = applications::mnist_cnn(3).unwrap();
        let input: Vec<f32> = (0..784).map(|i| (i % 29) as f32 / 29.0).collect();
        let all = activations(&network, &[], &input, Cpu::detect()).unwrap();
        let names: Vec<&str> = all.iter().map(|one| one.layer.as_str()).collect();
        let expected = ["conv2d", "max_pooling2d", "conv2d_1", "max_pooling2d_1", "conv2d_2", "dense", "dense_1"];
        assert_eq!(names.iter().filter(|name| expected.contains(name)).count(), expected.len(), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("flatten") || name.contains("input")), "{names:?}");
        assert_eq!(all[0].map(3).len(), 784);
        assert_eq!(all[0].map(3)[5], all[0].values[5 * 24 + 3]);
        let some = activations(&network, &["dense_1", "conv2d"], &input, Cpu::detect()).unwrap();
        assert_eq!(some[1].values, all[0].values);
        assert_eq!(some[0].map(2), [some[0].values[2]]);
        let message = activations(&network, &["conv2"], &input, Cpu::detect()).unwrap_err().to_string();
        assert!(message.contains("did you mean \"conv2d\"?"), "{message}");
        assert!(activations(&network, &[], &input[1..], Cpu::detect()).is_err());
    }

    /// numpy: x = np.array([0., 1., 2., 10.]); x -= x.mean(); x /= x.std(); x *= 64; x += 128;
    /// np.clip(x, 0, 255).astype('uint8') is [75, 91, 107, 237]
    #[test]
    fn levels_are_those_of_the_notebook() {
        assert_eq!(chollet_normalization(&[0.0, 1.0, 2.0, 10.0]), [75, 91, 107, 237]);
        let mut spike = vec![0.0; 99];
        spike.push(1.0);
        assert_eq!(chollet_normalization(&spike)[98..], [121, 255]);
        assert_eq!(chollet_normalization(&[3.0, 3.0]), [128, 128]);
        assert_eq!(chollet_normalization(&[f32::NAN, 0.0, 2.0]), [0, 64, 192]);
        assert_eq!(chollet_normalization(&[f32::MAX, f32::MIN]), [192, 64]);
    }

    #[test]
    fn dead_constant_and_alive() {
        assert_eq!(MapStatus::of(&[0.0, -0.0]), MapStatus::Dead);
        assert_eq!(MapStatus::of(&[1.0, 1.0 + f32::EPSILON]), MapStatus::Constant);
        assert_eq!(MapStatus::of(&[f32::NAN, f32::INFINITY]), MapStatus::Constant);
        assert_eq!(MapStatus::of(&[0.0, 1e-20]), MapStatus::Alive);
    }
}
