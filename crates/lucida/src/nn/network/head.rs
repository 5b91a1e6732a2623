//! Replaces the head of a trained network, and extracts the part of a network after a layer.
//!
//! Transfer learning: the first layers are kept and compute features of an image; a few new layers classify these features.
//! As long as the first layers do not change, neither do the features of an image, so that the rest can be
//! [extracted](Network::tail) and trained on cached features.

use super::{Layer, Network};
use crate::nn::layers::{Activation, ActivationKind, Flatten, Input, Rescaling};
use crate::{Error, Result};

/// Tolerance around 0 and 1 for limits that clip probabilities, which are there to avoid logarithms of zero.
const TINY: f32 = 1e-6;

impl Network {
    /// Appends layers, in sequence, to the single output: the head of transfer learning. Their weights are zero until
    /// [`initialize`](Self::initialize). Also returns the index of the first of them.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let base = applications::mnist_cnn(42)?.cut("flatten")?;
    /// let head = [Dense::new(3).activation(ActivationKind::Softmax).into()];
    /// let (mut network, first) = base.with_head(head)?;
    /// network.initialize(first, 42);
    /// assert_eq!(network.output()?.shape().sizes(), [3]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the first layer that does not accept its input.
    pub fn with_head(self, layers: impl IntoIterator<Item = Layer>) -> Result<(Self, usize)> {
        let end = self.find(self.output()?.name())?;
        let mut builder = Self::builder(self.name.clone());
        for node in &self.nodes {
            builder.add_copy(node, node.layer.clone(), &node.inputs)?;
        }
        let (first, mut last) = (self.nodes.len(), end);
        for layer in layers {
            last = builder.add(layer, &[last])?;
        }
        let mut whole = builder.finish(&[last])?;
        // Weights are in the order of the layers: those of the head come last.
        whole.weights.splice(..self.weights.len(), self.weights);
        Ok((whole, first))
    }

    /// The network with this activation at its single output: replaces an activation that turns logits into probabilities,
    /// and is otherwise appended.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there are several outputs.
    pub(crate) fn with_output_activation(mut self, activation: ActivationKind) -> Result<Self> {
        let end = self.find(self.output()?.name())?;
        let shared = self.nodes.iter().any(|node| node.inputs.contains(&end));
        let of_logits = matches!(
            self.nodes[end].activation(),
            ActivationKind::Linear | ActivationKind::Softmax | ActivationKind::LogSoftmax | ActivationKind::Sigmoid
        );
        if of_logits
            && !shared
            && let Some(own) = self.nodes[end].layer.activation_mut()
        {
            *own = activation;
            return Ok(self);
        }
        Ok(self.with_head([Activation::new(activation).into()])?.0)
    }

    /// The network with its softmax or sigmoid moved to the last layer, if only layers follow it that leave probabilities
    /// unchanged: dropout, flattening, pooling over one pixel, limits at 0 and 1. Other networks are returned unchanged.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there are several outputs.
    pub(crate) fn with_activation_last(mut self) -> Result<Self> {
        let end = self.find(self.output()?.name())?;
        let Some((found, passed)) = self.activation_behind(end) else { return Ok(self) };
        let kind = self.nodes[found].activation();
        match self.nodes[found].layer.activation_mut() {
            Some(activation) => *activation = ActivationKind::Linear,
            None => return Ok(self),
        }
        for node in passed {
            // These would change logits, so they become the identity.
            if let layer @ (Layer::Activation(_) | Layer::Rescaling(_)) = &mut self.nodes[node].layer {
                *layer = Activation::new(ActivationKind::Linear).into();
            }
        }
        self.with_output_activation(kind)
    }

    /// The softmax or sigmoid before the output, and the layers after it, if none of these changes probabilities.
    fn activation_behind(&self, end: usize) -> Option<(usize, Vec<usize>)> {
        let (mut at, mut passed) = (end, Vec::new());
        loop {
            let (node, consumers) =
                (&self.nodes[at], self.nodes.iter().filter(|node| node.inputs.contains(&at)).count());
            if consumers > usize::from(at != end) {
                return None;
            }
            let kind = node.activation();
            if matches!(kind, ActivationKind::Softmax | ActivationKind::Sigmoid | ActivationKind::LogSoftmax) {
                return (at != end).then_some((at, passed));
            }
            let &[before] = node.inputs.as_slice() else { return None };
            let one_pixel = match self.nodes[before].shape.as_image() {
                Some([height, width, _]) => height * width == 1,
                None => self.nodes[before].shape.as_flat().is_some(),
            };
            let keeps = match &node.layer {
                Layer::Dropout(_) | Layer::Activation(Activation { activation: ActivationKind::Linear }) => true,
                Layer::Activation(Activation { activation: ActivationKind::Relu | ActivationKind::Relu6 }) => true,
                Layer::Activation(Activation { activation: ActivationKind::Clip { min, max } }) => {
                    *min <= TINY && *max >= 1.0 - TINY
                }
                Layer::Rescaling(Rescaling { scale, offset }) => {
                    scale.iter().all(|&scale| scale == 1.0) && offset.iter().all(|&offset| offset == 0.0)
                }
                Layer::Flatten(_)
                | Layer::Reshape(_)
                | Layer::GlobalAveragePooling2D(_)
                | Layer::GlobalMaxPooling2D(_)
                | Layer::AdaptiveAveragePooling2D(_)
                | Layer::AveragePooling2D(_) => one_pixel,
                _ => false,
            };
            if !keeps {
                return None;
            }
            passed.push(at);
            at = before;
        }
    }

    /// The network with its single output flattened.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there are several outputs.
    pub(crate) fn with_flat_output(self) -> Result<Self> {
        Ok(self.with_head([Flatten::new().into()])?.0)
    }

    /// The network with its single output layer replaced by another layer of the same name. The weights of the new layer
    /// are zero; the others are moved.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the layer does not accept its input.
    pub fn with_output_layer(self, layer: Layer) -> Result<Self> {
        let end = self.find(self.output()?.name())?;
        let mut builder = Self::builder(self.name.clone());
        for (index, node) in self.nodes.iter().enumerate() {
            match index == end {
                true => builder.add_named(node.name.clone(), layer.clone(), &node.inputs)?,
                false => builder.add_copy(node, node.layer.clone(), &node.inputs)?,
            };
        }
        let mut changed = builder.finish(&self.outputs)?;
        let replaced = self.nodes[end].own_weights();
        let kept = self.weights.into_iter().enumerate().filter(|(index, _)| !replaced.contains(index));
        let mut kept = kept.map(|(_, weight)| weight);
        let new = changed.nodes[end].weights.clone();
        let places = changed.weights.iter_mut().enumerate().filter(|(index, _)| !new.contains(index));
        places.zip(&mut kept).for_each(|((_, place), weight)| *place = weight);
        Ok(changed)
    }

    /// Initializes the weights of the layers from index `first` on with each layer's initializers.
    pub fn initialize(&mut self, first: usize, seed: u64) {
        let mut index = 0;
        for node in first..self.nodes.len() {
            let inputs = self.input_shapes(node);
            let specs = self.nodes[node].layer.spec().weights(&inputs);
            for (weight, spec) in self.weights[self.nodes[node].own_weights()].iter_mut().zip(specs) {
                spec.initializer.fill(&spec.shape, weight.values_mut(), seed, index);
                index += 1;
            }
        }
    }

    /// The last layer before index `first` that the layers from `first` on depend on exclusively: the network can be split
    /// there.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the network does not have exactly one input.
    pub fn cut_point(&self, first: usize) -> Result<usize> {
        self.input_shape()?;
        let mut cut_point = first.min(self.nodes.len()).saturating_sub(1);
        while let Some(lower) = self.taken_across(cut_point) {
            cut_point = lower;
        }
        Ok(cut_point)
    }

    /// The lowest layer before `cut_point` whose output or weights are used after it.
    fn taken_across(&self, cut_point: usize) -> Option<usize> {
        let above = &self.nodes[cut_point + 1..];
        let outputs = above.iter().flat_map(|node| &node.inputs).copied().filter(|&input| input < cut_point);
        let shared = above.iter().filter(|node| node.shared).filter_map(|node| {
            let owner = self.nodes.iter().position(|owner| owner.weights == node.weights);
            owner.filter(|&owner| owner <= cut_point).map(|owner| owner.saturating_sub(1))
        });
        outputs.chain(shared).min()
    }

    /// The layers after index `cut_point`, as a network whose input is that layer's output. Weights are copied.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = applications::mnist_cnn(42)?;
    /// let tail = network.tail(network.find("flatten")?)?;
    /// assert_eq!(tail.input_shape()?, network.nodes()[network.find("flatten")?].shape());
    /// assert_eq!(tail.output()?.shape().sizes(), [10]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when it depends on outputs of other layers too: see [`Network::cut_point`].
    pub fn tail(&self, cut_point: usize) -> Result<Self> {
        if cut_point + 1 >= self.nodes.len() || self.taken_across(cut_point).is_some() {
            return Err(Error::argument(format!("network {} cannot be split behind layer {cut_point}", self.name)));
        }
        let mut builder = Self::builder(self.name.clone());
        let node = &self.nodes[cut_point];
        builder.add_named(node.name.clone(), Input::new(node.shape.clone()), &[])?;
        for node in &self.nodes[cut_point + 1..] {
            let inputs: Vec<usize> = node.inputs.iter().map(|&input| input - cut_point).collect();
            builder.add_copy(node, node.layer.clone(), &inputs)?;
        }
        let outputs: Vec<usize> = self.outputs.iter().map(|&output| output - cut_point).collect();
        let mut tail = builder.finish(&outputs)?;
        tail.replace_with(self.clone())?;
        Ok(tail)
    }

    /// Loads the weights of a part of this network, by name.
    ///
    /// # Errors
    /// [`Error::Argument`] when this network lacks a weight, or it has a different shape.
    pub fn load_weights_from(&mut self, part: Self) -> Result<()> {
        let mut part = part.weights.into_iter().peekable();
        for weight in &mut self.weights {
            if let Some(other) = part.next_if(|other| other.name() == weight.name() && other.shape() == weight.shape())
            {
                *weight = other;
            }
        }
        match part.next() {
            Some(other) => Err(Error::argument(format!("network {} has no {}", self.name, other.name()))),
            None => Ok(()),
        }
    }

    /// Freezes the layers below index `first`, and unfreezes the others. Batch normalizations below `kept` stay frozen,
    /// including their statistics: a few images would ruin statistics learned from many.
    pub fn freeze_below(&mut self, first: usize, kept: usize) {
        for node in 0..self.nodes.len() {
            let normalizes = matches!(self.nodes[node].layer, Layer::BatchNormalization(_));
            let trainable = node >= first && !(normalizes && node < kept);
            let specs = self.specs_of(node);
            for (weight, spec) in self.weights[self.nodes[node].weights.clone()].iter_mut().zip(specs) {
                weight.set_trainable(trainable && spec);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{ActivationKind, Dense, Flatten};
    use crate::nn::{Plan, Shape, applications};

    fn head() -> [Layer; 2] {
        [Flatten::new().into(), Dense::new(1).activation(ActivationKind::Sigmoid).into()]
    }

    fn base() -> Network {
        let known = applications::find("inception-v3").unwrap();
        known.build(&applications::Options::without_top().size(75, 75).seed(1)).unwrap().cut("mixed1").unwrap()
    }

    fn output(network: &Network, input: &[f32]) -> Vec<f32> {
        let mut plan = Plan::builder(network).build().unwrap();
        plan.input_mut().copy_from_slice(input);
        plan.forward(network).unwrap();
        plan.output(0).to_vec()
    }

    #[test]
    fn a_tail_behind_remembered_outputs_is_the_whole() {
        let base = base();
        let input: Vec<f32> = (0..75 * 75 * 3).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let remembered = output(&base, &input);
        let count = base.nodes().len();
        let (mut whole, first) = base.with_head(head()).unwrap();
        assert_eq!(first, count);
        whole.initialize(first, 7);
        assert_eq!(whole.cut_point(first).unwrap(), first - 1);
        let tail = whole.tail(first - 1).unwrap();
        assert_eq!(tail.input_shape().unwrap(), &Shape::from([7, 7, 288]));
        assert_eq!(output(&tail, &remembered), output(&whole, &input));
        let mut changed = tail.clone();
        // A weight for an input that is not zero.
        let alive = remembered.iter().position(|&value| value > 1e-3).unwrap();
        changed.weights_mut()[0].values_mut()[alive] += 1.0;
        whole.load_weights_from(changed).unwrap();
        assert_ne!(output(&tail, &remembered), output(&whole, &input));
        assert!(whole.load_weights_from(applications::mnist_cnn(1).unwrap()).is_err());
    }

    #[test]
    fn a_seam_is_where_a_single_line_leads_on() {
        let network = base();
        let at = |name: &str| network.find(name).unwrap();
        // Inside a block of four branches there is no cut point: only before it.
        let inside = (0..network.nodes().len()).rfind(|&i| i < at("mixed1") && network.nodes()[i].name() != "mixed0");
        assert_eq!(network.cut_point(inside.unwrap()).unwrap(), at("mixed0"));
        assert_eq!(network.cut_point(at("mixed0") + 1).unwrap(), at("mixed0"));
        assert!(network.tail(at("mixed1") - 1).is_err());
        assert_eq!(network.cut_point(1).unwrap(), 0);
    }

    #[test]
    fn frozen_layers_and_normalizations_stay() {
        let (mut whole, first) = base().with_head(head()).unwrap();
        whole.freeze_below(first, first);
        assert_eq!(whole.parameters().1, 7 * 7 * 288 + 1);
        let from = whole.find("mixed0").unwrap();
        whole.freeze_below(from, first);
        let trainable = whole.weights().iter().filter(|weight| weight.trainable());
        assert!(trainable.clone().count() > 2 && trainable.clone().all(|w| !w.name().contains("batch_norm")));
    }
}
