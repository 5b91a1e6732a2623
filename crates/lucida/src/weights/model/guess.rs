//! Guessing the preprocessing of a network that does not store it: from its first layers, from its name, or else 0..1.

use super::{Model, Note};
use crate::nn::applications::{self, PixelFormat};
use crate::nn::layers::{Activation, ActivationKind, Layer, Rescaling};
use crate::nn::{Network, Node};

/// The widest plausible range of the first layers' outputs for pixel values from 0 to 255. Scaled pixels span 1 to 5;
/// pixels that are scaled twice the wrong way would span hundreds.
const WIDEST: f32 = 40.0;

/// The names of Keras's networks and their preprocessing (`keras.applications.*.preprocess_input`).
const BY_NAME: [(&str, PixelFormat); 20] = [
    ("vgg16", PixelFormat::Caffe),
    ("vgg19", PixelFormat::Caffe),
    ("resnet50v2", PixelFormat::Tf),
    ("resnet101v2", PixelFormat::Tf),
    ("resnet152v2", PixelFormat::Tf),
    ("resnet50", PixelFormat::Caffe),
    ("resnet101", PixelFormat::Caffe),
    ("resnet152", PixelFormat::Caffe),
    ("inception_v3", PixelFormat::Tf),
    ("inception_resnet_v2", PixelFormat::Tf),
    ("xception", PixelFormat::Tf),
    ("mobilenetv3", PixelFormat::Raw),
    ("mobilenetv2", PixelFormat::Tf),
    ("mobilenet_", PixelFormat::Tf),
    ("nasnet", PixelFormat::Tf),
    ("densenet", PixelFormat::Torch),
    ("efficientnet", PixelFormat::Raw),
    ("convnext", PixelFormat::Raw),
    ("regnet", PixelFormat::Raw),
    ("resnetrs", PixelFormat::Raw),
];

impl Model {
    /// Sets the preprocessing of a model that has none, and adds a note if it is only an assumption.
    pub(in crate::weights) fn guess_preprocessing(&mut self) {
        let shape = self.network.input_shape().ok().and_then(|shape| shape.as_image());
        let Some(shape @ [_, _, 1 | 3]) = shape else { return };
        let format = by_first_layers(&self.network).or_else(|| by_name(self.network.name()));
        let found = format.and_then(|format| format.preprocessing(shape).ok());
        if found.is_none() {
            self.notes.push(Note::Preprocessing);
        }
        self.preprocessing = found.or_else(|| PixelFormat::Unit.preprocessing(shape).ok());
    }
}

/// By a scale and an offset at the start of the network: Keras's `Rescaling` and `Normalization`, constants of an ONNX
/// graph.
fn by_first_layers(network: &Network) -> Option<PixelFormat> {
    let mut at = network.inputs().next()?;
    let mut first: Option<Affine> = None;
    while let Some(next) = only_consumer(network, past_moves(network, at)) {
        let node = &network.nodes()[next];
        match node.layer() {
            Layer::Dropout(_) | Layer::ZeroPadding2D(_) => {}
            // Augmentation layers are imported as a linear activation.
            Layer::Activation(Activation { activation: ActivationKind::Linear }) => {}
            _ => match Affine::of(network, node) {
                Some(next) => first = Some(first.map_or(next, |first| first.then(next))),
                None => break,
            },
        }
        at = next;
    }
    first?.pixels()
}

/// The effect of the first layers on pixel values, averaged over the channels.
#[derive(Debug, Clone, Copy)]
struct Affine {
    scale: f32,
    offset: f32,
}

impl Affine {
    /// The effect of a layer that only applies a fixed scale and offset.
    fn of(network: &Network, node: &Node) -> Option<Self> {
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
        match node.layer() {
            Layer::Rescaling(Rescaling { scale, offset }) => Some(Self { scale: mean(scale), offset: mean(offset) }),
            Layer::BatchNormalization(norm) => {
                let weights = &network.weights()[node.weights()];
                if weights.iter().any(|weight| weight.trainable()) {
                    return None;
                }
                let mut values = weights.iter().map(|weight| weight.values());
                let gamma = if norm.scale { values.next()? } else { &[1.0] };
                let beta = if norm.center { values.next()? } else { &[0.0] };
                let (centers, variances) = (values.next()?, values.next()?);
                let scale = mean(gamma) / (mean(variances) + norm.epsilon).sqrt();
                Some(Self { scale, offset: mean(beta) - mean(centers) * scale })
            }
            _ => None,
        }
    }

    fn then(self, next: Self) -> Self {
        Self { scale: self.scale * next.scale, offset: self.offset * next.scale + next.offset }
    }

    /// The pixel format for which the outputs are small. The subtracted mean indicates the middle of the expected range.
    fn pixels(self) -> Option<PixelFormat> {
        if self.scale.abs() < f32::EPSILON || (self.scale == 1.0 && self.offset == 0.0) {
            return None;
        }
        let middle = -self.offset / self.scale;
        let small = 255.0 * self.scale.abs() <= WIDEST;
        Some(match middle {
            _ if small || middle > 1.5 => PixelFormat::Raw,
            _ if middle < -0.02 => PixelFormat::Tf,
            _ => PixelFormat::Unit,
        })
    }
}

/// The only consumer of a layer's output.
fn only_consumer(network: &Network, at: usize) -> Option<usize> {
    let mut consumers = (0..network.nodes().len()).filter(|&node| network.nodes()[node].inputs().contains(&at));
    consumers.next().filter(|_| consumers.next().is_none())
}

/// Skips layers that only rearrange the output of a layer, such as slicing the channels and concatenating them in another
/// order, from RGB to BGR.
fn past_moves(network: &Network, mut at: usize) -> usize {
    let consumers =
        |at: usize| (0..network.nodes().len()).filter(move |&node| network.nodes()[node].inputs().contains(&at));
    let moves =
        |node: usize| matches!(network.nodes()[node].layer(), Layer::Slice(_) | Layer::Take(_) | Layer::Reshape(_));
    let end = |mut node: usize| {
        while let Some(next) = only_consumer(network, node).filter(|&next| moves(next)) {
            node = next;
        }
        node
    };
    loop {
        let mut ends: Vec<usize> = Vec::new();
        for consumer in consumers(at) {
            if !moves(consumer) {
                return at;
            }
            ends.push(end(consumer));
        }
        at = match ends.as_slice() {
            [] => return at,
            &[only] => only,
            ends => {
                let joined = only_consumer(network, ends[0]);
                let all = |node: usize| {
                    let node = &network.nodes()[node];
                    matches!(node.layer(), Layer::Concatenate(_))
                        && node.inputs().iter().all(|input| ends.contains(input))
                };
                match joined.filter(|&joined| all(joined)) {
                    Some(joined) => joined,
                    None => return at,
                }
            }
        };
    }
}

fn by_name(name: &str) -> Option<PixelFormat> {
    let name = name.to_ascii_lowercase();
    // For networks in both libraries, Keras's names have no hyphen: its `resnet50` is not torchvision's.
    if let (true, Ok(known)) = (name.contains('-'), applications::find(&name)) {
        return Some(known.pixels);
    }
    let of_keras = BY_NAME.iter().find(|(known, _)| name.starts_with(known)).map(|&(_, format)| format);
    of_keras.or_else(|| Some(applications::find(&name.replace('_', "-")).ok()?.pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;
    use crate::nn::layers::{Conv2D, Flatten};

    #[test]
    fn channels_that_change_places_first_are_looked_past() {
        let mut builder = Network::builder("a");
        let input = builder.add(crate::nn::layers::Input::new([8, 8, 3]), &[]).unwrap();
        let channel = |place: i64| {
            let part = crate::nn::layers::AxisSlice::Range { start: Some(place), stop: Some(place + 1), step: 1 };
            crate::nn::layers::Slice::of_axis(2, part)
        };
        let parts: Vec<usize> = [2, 1, 0].map(|place| builder.add(channel(place), &[input]).unwrap()).to_vec();
        let bgr = builder.add(crate::nn::layers::Concatenate::new(), &parts).unwrap();
        let caffe = Rescaling { scale: vec![1.0; 3], offset: vec![-103.94, -116.78, -123.68] };
        let shifted = builder.add(caffe, &[bgr]).unwrap();
        let flat = builder.add(Flatten::new(), &[shifted]).unwrap();
        let mut model = Model::new(builder.build(&[flat], 1).unwrap());
        model.guess_preprocessing();
        assert_eq!(model.preprocessing.unwrap().to_string(), "raw");
    }

    fn by_keras(name: &str) -> bool {
        BY_NAME.iter().any(|(known, _)| name.starts_with(known))
    }

    fn guessed(name: &str, first: Vec<Layer>, channels: usize) -> (Option<String>, usize) {
        let layers = first.into_iter().chain([Conv2D::new(2, [3, 3]).into(), Flatten::new().into()]);
        let mut model = Model::new(Network::sequential(name, [8, 8, channels], layers, 1).unwrap());
        model.guess_preprocessing();
        (model.preprocessing.map(|preprocessing| preprocessing.to_string()), model.notes.len())
    }

    #[test]
    fn a_rescaling_takes_raw_pixels() {
        let raw = || Some("raw".to_owned());
        assert_eq!(guessed("a", vec![Rescaling::new(1.0 / 255.0, 0.0).into()], 3), (raw(), 0));
        assert_eq!(guessed("vgg16", vec![Rescaling::new(1.0 / 127.5, -1.0).into()], 3), (raw(), 0));
        // EfficientNet: divide by 255, then standardize with the means and standard deviations of ImageNet.
        let std = Rescaling { scale: vec![4.37, 4.46, 4.44], offset: vec![-2.1, -2.0, -1.8] };
        assert_eq!(guessed("a", vec![Rescaling::new(1.0 / 255.0, 0.0).into(), std.clone().into()], 3), (raw(), 0));
        let flip = Activation::new(ActivationKind::Linear).into();
        assert_eq!(guessed("a", vec![flip, Rescaling::new(1.0 / 255.0, 0.0).into()], 3), (raw(), 0));
        // The second scaling alone expects pixels that are already scaled.
        assert_eq!(guessed("a", vec![std.into()], 3), (Some("unit".to_owned()), 0));
        assert_eq!(guessed("a", vec![Rescaling::new(2.0, -1.0).into()], 1), (Some("unit".to_owned()), 0));
        // Only the means of ImageNet; values from -1 to 1 with a mean slightly below zero; no scaling.
        let caffe = Rescaling { scale: vec![1.0; 3], offset: vec![-123.68, -116.78, -103.94] };
        assert_eq!(guessed("a", vec![caffe.into()], 3), (raw(), 0));
        assert_eq!(guessed("a", vec![Rescaling::new(2.1, 0.2).into()], 3), (Some("tf".to_owned()), 0));
        assert_eq!(guessed("a", vec![Rescaling::new(1.0, 0.0).into()], 3), (Some("unit".to_owned()), 1));
    }

    #[test]
    fn a_known_name_tells() {
        for (name, expected) in [
            ("vgg16", "caffe"),
            ("alexnet", "torch"),
            ("mobilenetv2_1.00_224", "tf"),
            ("ResNet50V2", "tf"),
            ("densenet121", "torch"),
        ] {
            assert_eq!(guessed(name, vec![], 3), (Some(expected.to_owned()), 0), "{name}");
        }
        // The names of Keras's models, with the results of its preprocessing for the pixel (10, 100, 250).
        for line in include_str!("../../../tests/preprocessing/networks.tsv").lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let expected = match columns[5] {
                _ if columns[1] == "-" => applications::find(columns[0]).unwrap().pixels.preprocessing([1, 1, 3]),
                first => [PixelFormat::Raw, PixelFormat::Caffe, PixelFormat::Tf, PixelFormat::Torch]
                    .map(|format| format.preprocessing([1, 1, 3]).unwrap())
                    .into_iter()
                    .find(|format| {
                        let mut out = [0.0; 3];
                        format.apply(&Image::filled(1, 1, &[10, 100, 250]), &mut out).unwrap();
                        (out[0] - first.parse::<f32>().unwrap()).abs() < 1e-4
                    })
                    .ok_or(crate::Error::argument("another mode")),
            };
            let name = if columns[1] == "-" { columns[0] } else { columns[1] };
            // Keras also has networks with these names, which have other layer names.
            if columns[1] == "-" && !name.contains('-') && by_keras(name) {
                continue;
            }
            assert_eq!(guessed(name, vec![], 3), (Some(expected.unwrap().to_string()), 0), "{name}");
        }
        assert_eq!(guessed("sequential", vec![], 3), (Some("unit".to_owned()), 1));
        // The preprocessing of a known name is not defined for one channel.
        assert_eq!(guessed("vgg16", vec![], 1), (Some("unit".to_owned()), 1));
        assert_eq!(guessed("sequential", vec![], 4), (None, 0));
    }
}
