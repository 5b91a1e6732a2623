//! Which gradients flow where on the way back.

use super::BackwardRule;
use super::builder::Assembly;
use super::lower::Draft;
use super::rule::Gate;
use crate::nn::layers::Layer;
use crate::nn::{Network, Weight};

/// The weights whose gradients are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gradients {
    /// None.
    None,
    /// All that training changes.
    Trainable,
    /// Biases and the shifts of batch normalizations, frozen or not.
    Shifts,
}

impl Gradients {
    pub(super) fn include(self, weight: &Weight) -> bool {
        match self {
            Self::None => false,
            Self::Trainable => weight.trainable(),
            Self::Shifts => ["/bias", "/beta"].iter().any(|name| weight.name().ends_with(name)),
        }
    }
}

/// What must be wanted besides a value whose gradient is wanted: a fused ReLU turns the gradient of its output into that of
/// its input in place, so there must be none, neither in the layer nor in one that it is a mere view of.
pub(super) fn unfused(network: &Network, point: (usize, bool), training: bool) -> Vec<(usize, bool)> {
    let mut node = point.0;
    let mut points = vec![point, (node, true)];
    while network.nodes()[node].layer().mechanics().is_view(training) && !network.nodes()[node].inputs().is_empty() {
        node = network.nodes()[node].inputs()[0];
        points.push((node, true));
    }
    points
}

impl Assembly<'_> {
    pub(super) fn has_wanted_weights(&self, draft: &Draft) -> bool {
        let weights = self.wish.network.nodes()[draft.node].weights();
        let wanted = |weight| self.wish.weight_gradients.include(weight);
        draft.activation.is_none() && self.wish.network.weights()[weights].iter().any(wanted)
    }

    /// A gradient flows where it comes from a seed and leads to something wanted.
    pub(super) fn trace_gradients(&mut self) {
        let mut leads = vec![false; self.lowered.values.len()];
        for input in self.wish.network.inputs() {
            leads[self.lowered.at((input, false))] = self.wish.input_gradient;
        }
        for &point in &self.gradients {
            leads[self.lowered.at(point)] = true;
        }
        let mut useful = Vec::new();
        for draft in &self.lowered.drafts {
            useful.push(self.has_wanted_weights(draft) || draft.inputs.iter().any(|&input| leads[input]));
            leads[draft.output] |= useful[useful.len() - 1];
        }
        // Where gradients come from, last first: a step's output is behind its inputs.
        let mut comes = vec![false; leads.len()];
        for &seed in self.seeds.iter().chain(&self.linear_seeds) {
            comes[self.lowered.at(seed)] = true;
        }
        let flows = |step: usize, comes: &[bool]| useful[step] && comes[self.lowered.drafts[step].output];
        for (step, draft) in self.lowered.drafts.iter().enumerate().rev() {
            if flows(step, &comes) {
                draft.inputs.iter().filter(|&&input| leads[input]).for_each(|&input| comes[input] = true);
            }
        }
        self.flow = (0..useful.len())
            .map(|step| {
                let through = |&input: &usize| leads[input].then_some(false);
                flows(step, &comes).then(|| self.lowered.drafts[step].inputs.iter().map(through).collect())
            })
            .collect();
        let mut written = vec![false; leads.len()];
        self.written_seeds().for_each(|value| written[value] = true);
        for (draft, inputs) in self.lowered.drafts.iter().zip(&mut self.flow).rev() {
            for (&input, accumulate) in draft.inputs.iter().zip(inputs.iter_mut().flatten()) {
                if let Some(accumulate) = accumulate {
                    *accumulate = std::mem::replace(&mut written[input], true);
                }
            }
        }
        // A seed has a place for its gradient even when it leads nowhere.
        self.gradient = comes;
    }

    /// The values whose gradients are written down before the way back begins.
    pub(super) fn written_seeds(&self) -> impl Iterator<Item = usize> + '_ {
        let linear = self.linear_seeds.iter().filter(|&&point| self.adds_linear_seed(point).is_none());
        self.seeds.iter().chain(linear).map(|&point| self.lowered.at(point))
    }

    /// The step that adds a linear seed to what it sends back, if there is one: a convolution that alone takes the value.
    pub(super) fn adds_linear_seed(&self, point: (usize, bool)) -> Option<usize> {
        let value = self.lowered.at(point);
        let mut consumers = self.consumers(value);
        let (step, None) = (consumers.next()?, consumers.next()) else { return None };
        let draft = &self.lowered.drafts[step];
        let layer = self.wish.network.nodes()[draft.node].layer();
        let able = draft.activation.is_none() && matches!(layer, Layer::Conv2D(_));
        let sends = self.flow[step].as_ref().is_some_and(|inputs| inputs.iter().any(Option::is_some));
        (able && sends).then_some(step)
    }

    /// The linear seed that a step adds to the gradient of this input.
    pub(super) fn linear_seed(&self, step: usize, input: usize) -> Option<usize> {
        self.linear_seeds
            .iter()
            .position(|&point| self.lowered.at(point) == input && self.adds_linear_seed(point) == Some(step))
    }

    fn consumers(&self, value: usize) -> impl Iterator<Item = usize> + '_ {
        let takes = move |(step, draft): (usize, &Draft)| draft.inputs.contains(&value).then_some(step);
        self.lowered.drafts.iter().enumerate().filter_map(takes)
    }

    /// Whether a step does the backward pass of the ReLU before it as well, which saves a pass over the tensor: a
    /// max-pooling drops the gradient of maxima that are not positive, a convolution takes its sums to zero where its input
    /// is not positive, and with them what was there before.
    pub(super) fn passes_relu(&self, step: usize) -> bool {
        let draft = &self.lowered.drafts[step];
        if draft.activation.is_some() || self.wish.rule != BackwardRule::Gradient {
            return false;
        }
        let layer = self.wish.network.nodes()[draft.node].layer();
        let pooling = matches!(layer, Layer::MaxPooling2D(_));
        if !pooling && !matches!(layer, Layer::Conv2D(_) | Layer::Dense(_)) {
            return false;
        }
        let value = draft.inputs[0];
        let from_relu = self.lowered.drafts.iter().any(|other| other.output == value && other.relu && !other.pool);
        let seeded = self.seeds.iter().chain(&self.linear_seeds).any(|&seed| self.lowered.at(seed) == value);
        from_relu && !(pooling && seeded) && self.consumers(value).count() == 1
    }

    /// Whether the step's own ReLU is left to the one that follows, which takes part in the pass backward.
    fn left_to_consumer(&self, step: usize) -> bool {
        let back = |step: usize| self.flow[step].as_ref().is_some_and(|inputs| inputs.iter().any(Option::is_some));
        self.consumers(self.lowered.drafts[step].output).any(|consumer| self.passes_relu(consumer) && back(consumer))
    }

    /// What the gradient of a step's output passes before the step takes it.
    pub(super) fn gate(&self, step: usize) -> Option<Gate> {
        let draft = &self.lowered.drafts[step];
        match self.wish.rule {
            // A fused maximum goes through the ReLU as well.
            _ if draft.relu && (draft.pool || self.left_to_consumer(step)) => None,
            rule if draft.relu => Some(Gate::Rectifier(rule)),
            BackwardRule::Relevance { epsilon } if draft.activation.is_none() => {
                let sums = !self.wish.network.nodes()[draft.node].weights().is_empty();
                sums.then_some(Gate::Sum { epsilon })
            }
            _ => None,
        }
    }
}
