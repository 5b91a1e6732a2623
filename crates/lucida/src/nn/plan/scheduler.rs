//! From the list of operations to a plan: which gradients are computed, and which tensors share a buffer.

use std::ops::Range;

use lucida_kernels::{Buffer, ChannelMap};

use super::activation_backward::ActivationBackward;
use super::fuse::fusible;
use super::lower::{LoweredOps, OpDraft};
use super::memory::{LiveRange, assign};
use super::request::{NodeValue, Request};
use super::run::Plan;
use super::sections::{Section, Traffic};
use super::step::{BufferSlot, InputGradient, LinearGradient, SharedGradients, Step, StepBackward, StepTimes};
use crate::core::memory_limit;
use crate::nn::layers::{ActivationKind, ActivationOp};
use crate::nn::op::{Fused, Op, OpConfig, ReluBefore, StepSlot, WantedGradients};
use crate::nn::{BackwardRule, Shape};
use crate::{Error, Fitting, Result};

/// A plan under construction.
pub(super) struct Scheduler<'a> {
    request: Request<'a>,
    lowered: LoweredOps,
    /// For each value: whether its gradient is computed.
    gradient: Vec<bool>,
    /// For each step in the backward pass: for each input, whether its gradient is computed, and if so whether it is added
    /// to one written before.
    flow: Vec<Option<Vec<Option<bool>>>>,
    sections: Vec<Section>,
    /// For each value: whether it is kept for the whole batch, instead of for the samples that a section processes at a
    /// time.
    whole: Vec<bool>,
}

impl<'a> Scheduler<'a> {
    pub(super) fn new(request: Request<'a>, lowered: LoweredOps) -> Self {
        let (gradient, flow, sections, whole) = Default::default();
        let mut scheduler = Self { request, lowered, gradient, flow, sections, whole };
        scheduler.trace_gradients();
        scheduler.cut_into_sections();
        scheduler
    }

    fn has_wanted_weights(&self, draft: &OpDraft) -> bool {
        let weights = self.request.network.nodes()[draft.node].weights();
        let wanted = |weight| self.request.weight_gradients.include(weight);
        draft.activation.is_none() && self.request.network.weights()[weights].iter().any(wanted)
    }

    /// A gradient is computed where it depends on a provided one and a requested one depends on it.
    fn trace_gradients(&mut self) {
        let mut leads = vec![false; self.lowered.values.len()];
        for input in self.request.network.inputs() {
            leads[self.lowered.at((input, false))] = self.request.input_gradient;
        }
        for &point in &self.request.gradients {
            leads[self.lowered.at(point)] = true;
        }
        let mut useful = Vec::new();
        for draft in &self.lowered.drafts {
            useful.push(self.has_wanted_weights(draft) || draft.inputs.iter().any(|&input| leads[input]));
            leads[draft.output] |= useful[useful.len() - 1];
        }
        // Traverse the steps backward: the output of a step comes after its inputs.
        let mut comes = vec![false; leads.len()];
        for &point in self.request.grad_outputs.iter().chain(&self.request.linear_gradients) {
            comes[self.lowered.at(point)] = true;
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
        self.written_gradients().for_each(|value| written[value] = true);
        for (draft, inputs) in self.lowered.drafts.iter().zip(&mut self.flow).rev() {
            for (&input, accumulate) in draft.inputs.iter().zip(inputs.iter_mut().flatten()) {
                if let Some(accumulate) = accumulate {
                    *accumulate = std::mem::replace(&mut written[input], true);
                }
            }
        }
        // A provided gradient has a buffer even if nothing depends on it.
        self.gradient = comes;
    }

    fn cut_into_sections(&mut self) {
        let (drafts, batch) = (&self.lowered.drafts, self.request.batch);
        let inference = !self.request.training && self.flow.iter().all(Option::is_none);
        let len = |&value: &usize| self.lowered.values[value].len();
        let weights = self.request.network.weights();
        let traffic = |draft: &OpDraft| Traffic {
            values: draft.inputs.iter().chain([&draft.output]).map(len).sum(),
            weights: weights[self.weights(draft)].iter().map(|weight| weight.values().len()).sum(),
        };
        self.sections = match inference {
            true => Section::of(&drafts.iter().map(traffic).collect::<Vec<_>>(), batch),
            false => Section::whole(drafts.len(), batch),
        };
        // A value is kept whole unless a single section writes and reads it.
        let mut within: Vec<Option<usize>> = vec![None; self.lowered.values.len()];
        self.whole = vec![false; within.len()];
        let inputs = self.request.network.inputs().map(|input| self.lowered.at((input, false)));
        let outputs = self.request.outputs.iter().map(|&point| self.lowered.at(point));
        inputs.chain(outputs).for_each(|value| self.whole[value] = true);
        for (number, section) in self.sections.iter().enumerate() {
            for draft in &drafts[section.steps.clone()] {
                for &value in draft.inputs.iter().chain([&draft.output]) {
                    self.whole[value] |= *within[value].get_or_insert(number) != number;
                }
            }
        }
    }

    /// The section that contains a step.
    fn section(&self, step: usize) -> &Section {
        self.sections.iter().find(|section| section.steps.contains(&step)).expect("each step is in a section")
    }

    /// Number of samples that a value's buffer holds.
    fn samples_of(&self, value: usize) -> usize {
        let steps = self.lowered.drafts.iter().position(|draft| draft.output == value);
        match steps {
            Some(step) if !self.whole[value] => self.section(step).samples,
            _ => self.request.batch,
        }
    }

    /// The values whose gradients are written before the backward pass starts.
    fn written_gradients(&self) -> impl Iterator<Item = usize> + '_ {
        let linear = self.request.linear_gradients.iter().filter(|&&point| self.adds_linear_gradient(point).is_none());
        self.request.grad_outputs.iter().chain(linear).map(|&point| self.lowered.at(point))
    }

    /// The step that adds a linear gradient to that of its input, if any: it supports that, and is the only reader of the
    /// value.
    fn adds_linear_gradient(&self, point: NodeValue) -> Option<usize> {
        let value = self.lowered.at(point);
        let mut consumers = self.consumers(value);
        let (step, None) = (consumers.next()?, consumers.next()) else { return None };
        let draft = &self.lowered.drafts[step];
        let able = fusible(self.request.network, draft).linear_gradient;
        let sends = self.flow[step].as_ref().is_some_and(|inputs| inputs.iter().any(Option::is_some));
        (able && sends).then_some(step)
    }

    /// The linear gradient that a step adds to the gradient of this input.
    fn linear_gradient(&self, step: usize, input: usize) -> Option<usize> {
        self.request
            .linear_gradients
            .iter()
            .position(|&point| self.lowered.at(point) == input && self.adds_linear_gradient(point) == Some(step))
    }

    fn consumers(&self, value: usize) -> impl Iterator<Item = usize> + '_ {
        let takes = move |(step, draft): (usize, &OpDraft)| draft.inputs.contains(&value).then_some(step);
        self.lowered.drafts.iter().enumerate().filter_map(takes)
    }

    /// Whether a step includes the backward pass of the ReLU before it, which saves a pass over the tensor: a max pooling
    /// drops the gradient of maxima that are not positive, a convolution sets its gradient, including accumulated values,
    /// to zero where its input is not positive.
    fn passes_relu(&self, step: usize) -> bool {
        let draft = &self.lowered.drafts[step];
        let able = fusible(self.request.network, draft).relu_before;
        if able == ReluBefore::No || self.request.rule != BackwardRule::Gradient {
            return false;
        }
        let value = draft.inputs[0];
        let from_relu =
            self.lowered.drafts.iter().any(|other| other.output == value && other.relu() && !other.max_pooling);
        let mut put_in = self.request.grad_outputs.iter().chain(&self.request.linear_gradients);
        let alone = able == ReluBefore::WholeGradient || !put_in.any(|&point| self.lowered.at(point) == value);
        from_relu && alone && self.consumers(value).count() == 1
    }

    /// Whether the backward pass of the step's own ReLU is left to the step after it, which takes part in the backward
    /// pass.
    fn left_to_consumer(&self, step: usize) -> bool {
        let back = |step: usize| self.flow[step].as_ref().is_some_and(|inputs| inputs.iter().any(Option::is_some));
        self.consumers(self.lowered.drafts[step].output).any(|consumer| self.passes_relu(consumer) && back(consumer))
    }

    /// How the gradient of a step's output is changed before the step uses it.
    fn activation_backward(&self, step: usize) -> Option<ActivationBackward> {
        let draft = &self.lowered.drafts[step];
        match self.request.rule {
            // A fused max pooling includes the backward pass of the ReLU.
            _ if draft.relu() && (draft.max_pooling || self.left_to_consumer(step)) => None,
            rule if draft.relu() => Some(ActivationBackward::Rectifier(rule)),
            BackwardRule::Relevance { epsilon } if draft.activation.is_none() => {
                let sums = !self.request.network.nodes()[draft.node].weights().is_empty();
                sums.then_some(ActivationBackward::Sum { epsilon })
            }
            _ => None,
        }
    }

    /// The range of a step's weights in the network.
    fn weights(&self, draft: &OpDraft) -> Range<usize> {
        let of = |node: usize| self.request.network.nodes()[node].weights();
        match (draft.activation, draft.affine) {
            (Some(_), _) => 0..0,
            (None, None) => of(draft.node),
            (None, Some(affine)) => of(draft.node).start..of(affine).end,
        }
    }

    fn prepare(&self, step: usize) -> Box<dyn Op> {
        let draft = &self.lowered.drafts[step];
        let nodes = self.request.network.nodes();
        let node = &nodes[draft.node];
        // The values of views keep the shape they were computed in; the layer needs its own.
        let inputs: Vec<Shape> = match draft.activation {
            Some(_) => draft.inputs.iter().map(|&input| self.lowered.values[input].clone()).collect(),
            None => node.inputs().iter().map(|&input| nodes[input].shape().clone()).collect(),
        };
        let weights = &self.request.network.weights()[self.weights(draft)];
        let frozen = !weights.is_empty() && weights.iter().all(|weight| !weight.trainable());
        let flow = self.flow[step].as_ref();
        let config = OpConfig {
            cpu: self.request.cpu,
            batch: self.section(step).samples,
            inputs: &inputs,
            output: node.shape(),
            training: self.request.training && !frozen,
            gradients: WantedGradients {
                inputs: flow.is_some_and(|inputs| inputs.iter().any(Option::is_some)),
                weights: flow.is_some() && self.has_wanted_weights(draft),
            },
            exact: self.request.exact,
            rule: self.request.rule,
        };
        let layer = node.layer().spec();
        match (draft.activation, layer.fusing()) {
            (Some(kind), _) => Box::new(ActivationOp::new(&config, kind)),
            (None, None) => layer.prepare(&config),
            (None, Some(layer)) => {
                let affine = draft.affine.and_then(|node| nodes[node].layer().spec().channel_affine());
                let fused = Fused {
                    activation: draft.fused_activation.and_then(ActivationKind::pointwise),
                    max_pooling: draft.max_pooling,
                    affine,
                    residual: draft.residual.is_some(),
                    padding: draft.padding.and_then(|node| nodes[node].layer().spec().zero_padding()),
                    relu_before: self.passes_relu(step),
                };
                layer.prepare_fused(&config, fused)
            }
        }
    }

    /// The live ranges of all values, followed by those of all their gradients. Times: the inputs are filled at 0, step `i`
    /// runs at `i + 1`, the loss at `steps + 1`, the backward pass of step `i` at `2 steps + 1 - i`, and outputs are read
    /// at the end.
    fn live_ranges(&self, ops: &[Box<dyn Op>]) -> Vec<LiveRange> {
        let steps = self.lowered.drafts.len();
        let (loss, end) = (steps + 1, 2 * steps + 2);
        let back_at = |step: usize| 2 * steps + 1 - step;
        let values = self.lowered.values.len();
        let mut live_ranges: Vec<LiveRange> = (0..2 * values)
            .map(|index| LiveRange {
                first: usize::MAX,
                last: 0,
                len: self.lowered.values[index % values].len() * self.samples_of(index % values),
            })
            .collect();
        let mut touch = |index: usize, moment: usize| {
            live_ranges[index].first = live_ranges[index].first.min(moment);
            live_ranges[index].last = live_ranges[index].last.max(moment);
        };
        for input in self.request.network.inputs() {
            let value = self.lowered.at((input, false));
            touch(value, 0);
            // An input is kept for the next pass, so that an optimizer of the input can update it in place.
            touch(value, end);
            if self.request.input_gradient && self.gradient[value] {
                touch(values + value, end);
            }
        }
        for &point in &self.request.outputs {
            touch(self.lowered.at(point), end);
        }
        for value in self.written_gradients() {
            touch(values + value, loss);
            touch(value, loss);
        }
        for value in
            self.request.gradients.iter().map(|&point| self.lowered.at(point)).filter(|&value| self.gradient[value])
        {
            touch(values + value, end);
        }
        for (step, draft) in self.lowered.drafts.iter().enumerate() {
            let Section { steps: section, samples } = self.section(step);
            for &value in draft.inputs.iter().chain([&draft.output]) {
                // A whole value that a section reads or writes in several runs must outlast all of them.
                let lasts = self.whole[value] && *samples < self.request.batch;
                let moments = if lasts { [section.start + 1, section.end] } else { [step + 1; 2] };
                moments.into_iter().for_each(|moment| touch(value, moment));
            }
            let Some(flow) = &self.flow[step] else { continue };
            let (needs, moment) = (ops[step].backward_needs(), back_at(step));
            touch(values + draft.output, moment);
            if needs.output || self.activation_backward(step).is_some_and(ActivationBackward::reads_output) {
                touch(draft.output, moment);
            }
            for (&input, through) in draft.inputs.iter().zip(flow) {
                if needs.inputs || self.linear_gradient(step, input).is_some() {
                    touch(input, moment);
                }
                if through.is_some() {
                    touch(values + input, moment);
                }
            }
        }
        live_ranges
    }

    /// Allocates buffers of these lengths, which are in proportion to the batch, if they and the gradients of the weights are
    /// within a limit in bytes.
    fn allocate(&self, lens: &[usize], limit: Option<u64>) -> Result<Vec<Buffer>> {
        let batch = self.request.batch;
        let bytes = lens.iter().fold(0_usize, |sum, len| sum.saturating_add(len.saturating_mul(4)));
        let gradients = 4 * self.weight_gradient_lens().iter().sum::<usize>();
        let needed = bytes.saturating_add(gradients) as u64;
        if let Some(allowed) = limit.filter(|&limit| needed > limit) {
            let per_sample = (bytes / batch).max(1) as u64;
            let fitting = (allowed.saturating_sub(gradients as u64) / per_sample) as usize;
            let what = format!("{} with a batch of {batch}", self.request.network.name());
            return Err(Error::Memory {
                what,
                needed,
                allowed,
                fits: (fitting > 0).then_some(Fitting::Batch(fitting)),
            });
        }
        let buffers = lens.iter().map(|&len| Buffer::try_zeroed(len)).collect::<Option<Vec<_>>>();
        buffers.ok_or_else(|| Error::no_memory("the plan", bytes))
    }

    pub(super) fn plan(self) -> Result<Plan> {
        let ops: Vec<_> = (0..self.lowered.drafts.len()).map(|step| self.prepare(step)).collect();
        let (buffer_of, lens) = self.assign_buffers(&ops);
        let buffers = self.allocate(&lens, memory_limit())?;
        let values = self.lowered.values.len();
        let slot = |index: usize| BufferSlot {
            buffer: buffer_of[index].expect("every tensor in use has a buffer"),
            len: self.lowered.values[index % values].len(),
            shape: self.lowered.values[index % values].clone(),
        };
        let weight_gradients = self.weight_gradient_lens().into_iter().map(|len| vec![0.0; len]).collect();
        let steps = ops.into_iter().enumerate().map(|(step, op)| self.step(step, op, &slot)).collect();
        let network = self.request.network;
        let shaped = |mut slot: BufferSlot, shape: &Shape| {
            slot.shape = shape.clone();
            slot
        };
        let node_shape = |(node, _): NodeValue| network.nodes()[node].shape();
        let linear_gradient = |&point: &NodeValue| {
            let value = self.lowered.at(point);
            LinearGradient {
                map: ChannelMap::new(self.request.cpu, self.lowered.values[value].channels()),
                value: slot(value),
                gradient: self.adds_linear_gradient(point).is_none().then(|| slot(values + value).buffer),
                accumulate: self.request.grad_outputs.iter().any(|&point| self.lowered.at(point) == value),
            }
        };
        let input_values: Vec<usize> = network.inputs().map(|input| self.lowered.at((input, false))).collect();
        Ok(Plan {
            cpu: self.request.cpu,
            capacity: self.request.batch,
            batch: self.request.batch,
            training: self.request.training,
            timed: false,
            steps,
            sections: self.sections.clone(),
            buffers,
            inputs: input_values.iter().map(|&value| slot(value)).collect(),
            outputs: self.request.outputs.iter().map(|&p| shaped(slot(self.lowered.at(p)), node_shape(p))).collect(),
            grad_outputs: self
                .request
                .grad_outputs
                .iter()
                .map(|&p| shaped(slot(values + self.lowered.at(p)), node_shape(p)))
                .collect(),
            linear_gradients: self.request.linear_gradients.iter().map(linear_gradient).collect(),
            gradients: self
                .request
                .gradients
                .iter()
                .map(|&p| (self.lowered.at(p), p))
                .map(|(value, p)| self.gradient[value].then(|| shaped(slot(values + value), node_shape(p))))
                .collect(),
            input_gradients: input_values
                .iter()
                .map(|&value| (self.request.input_gradient && self.gradient[value]).then(|| slot(values + value)))
                .collect(),
            weight_gradients,
        })
    }

    /// The buffer of each used tensor, and the length of each buffer.
    fn assign_buffers(&self, ops: &[Box<dyn Op>]) -> (Vec<Option<usize>>, Vec<usize>) {
        let live_ranges = self.live_ranges(ops);
        let used: Vec<usize> = (0..live_ranges.len()).filter(|&index| live_ranges[index].first != usize::MAX).collect();
        let (assigned, lens) = assign(&used.iter().map(|&index| live_ranges[index]).collect::<Vec<_>>());
        let mut buffer_of = vec![None; live_ranges.len()];
        for (&index, &buffer) in used.iter().zip(&assigned) {
            buffer_of[index] = Some(buffer);
        }
        (buffer_of, lens)
    }

    /// Allocates the gradients of the weights that are requested; empty for the others.
    fn weight_gradient_lens(&self) -> Vec<usize> {
        let weights = self.request.network.weights();
        let mut lens = vec![0; weights.len()];
        let drafts = self.lowered.drafts.iter().enumerate();
        for (_, draft) in drafts.filter(|(step, draft)| self.flow[*step].is_some() && self.has_wanted_weights(draft)) {
            for index in self.weights(draft) {
                if self.request.weight_gradients.include(&weights[index]) {
                    lens[index] = weights[index].values().len();
                }
            }
        }
        lens
    }

    /// How a step handles the gradients of its weights, if other steps compute gradients of the same ones.
    fn shared_gradients(&self, step: usize) -> Option<SharedGradients> {
        let draft = &self.lowered.drafts[step];
        let range = self.weights(draft);
        let shares = |other: usize| {
            let of = self.weights(&self.lowered.drafts[other]);
            other != step && self.flow[other].is_some() && of.start < range.end && range.start < of.end
        };
        let later = (step + 1..self.lowered.drafts.len()).any(shares);
        let earlier = (0..step).any(shares);
        let wanted = self.has_wanted_weights(draft) && (earlier || later);
        let weights = self.request.network.weights();
        let room = |index: usize| match self.request.weight_gradients.include(&weights[index]) {
            true => vec![0.0; weights[index].values().len()],
            false => Vec::new(),
        };
        wanted.then(|| SharedGradients {
            sums: if later { range.clone().map(room).collect() } else { Vec::new() },
            unfinished: earlier,
        })
    }

    /// Builds a step of the plan.
    fn step(&self, step: usize, op: Box<dyn Op>, slot: &dyn Fn(usize) -> BufferSlot) -> Step {
        let values = self.lowered.values.len();
        let at = |value: usize| {
            let BufferSlot { buffer, len, .. } = slot(value);
            StepSlot { buffer, len, whole: self.whole[value] }
        };
        let draft = &self.lowered.drafts[step];
        let backward = self.flow[step].as_ref().map(|flow| {
            let inputs = flow.iter().enumerate().filter_map(|(index, &through)| {
                let accumulate = through?;
                let input = draft.inputs[index];
                let linear_gradient = self.linear_gradient(step, input);
                Some(InputGradient { index, gradient: slot(values + input).buffer, accumulate, linear_gradient })
            });
            StepBackward {
                gradient: slot(values + draft.output).buffer,
                activation: self.activation_backward(step),
                weights: self.has_wanted_weights(draft),
                shared: self.shared_gradients(step),
                inputs: inputs.collect(),
            }
        });
        Step {
            op,
            name: self.step_name(step),
            node: draft.node,
            times: StepTimes::default(),
            inputs: draft.inputs.iter().map(|&input| at(input)).collect(),
            output: at(draft.output),
            weights: self.weights(draft),
            versions: Vec::new(),
            backward,
        }
    }

    /// The name of a step: its layer, and the layers fused into it.
    fn step_name(&self, step: usize) -> String {
        let draft = &self.lowered.drafts[step];
        let nodes = [draft.padding, Some(draft.node), draft.affine, draft.residual];
        let names = nodes.into_iter().flatten().map(|node| self.request.network.nodes()[node].name().to_owned());
        let mut name = names.collect::<Vec<_>>().join("+");
        if let Some(activation) = draft.activation.or(draft.fused_activation) {
            name += &format!("+{activation:?}").to_lowercase();
        }
        if draft.max_pooling {
            name += "+pool";
        }
        name
    }
}
