//! Making a plan.

use std::ops::Range;

use lucida_kernels::{Buffer, ChannelMap, Cpu};

use super::flow::{Gradients, unfused};
use super::lower::{Back, BackInput, Draft, Fusions, Lowered, Step, Wanted, lower};
use super::memory::{Life, assign};
use super::profile::StepTimes;
use super::rule::Gate;
use super::{BackwardRule, LinearSeed, Place, Plan, Point};
use crate::nn::layers::{Activating, Layer, Operation, Setting};
use crate::nn::{Network, Shape};
use crate::{Error, Result};

/// Says what a plan is for.
#[derive(Debug, Clone)]
pub struct PlanBuilder<'a> {
    pub(super) network: &'a Network,
    cpu: Option<Cpu>,
    batch: usize,
    training: bool,
    outputs: Vec<Point>,
    seeds: Vec<Point>,
    linear_seeds: Vec<Point>,
    gradients: Vec<Point>,
    pub(super) input_gradient: bool,
    pub(super) weight_gradients: Gradients,
    exact: Option<bool>,
    pub(super) rule: BackwardRule,
}

impl<'a> PlanBuilder<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Self {
            network,
            cpu: None,
            batch: 1,
            training: false,
            outputs: Vec::new(),
            seeds: Vec::new(),
            linear_seeds: Vec::new(),
            gradients: Vec::new(),
            input_gradient: false,
            weight_gradients: Gradients::None,
            exact: None,
            rule: BackwardRule::Gradient,
        }
    }

    /// What to run on; the best this machine has, unless told otherwise.
    pub fn cpu(self, cpu: Cpu) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    /// The largest batch; one, unless told otherwise.
    pub fn batch_size(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Behave as in training.
    pub fn training(self) -> Self {
        Self { training: true, ..self }
    }

    /// Keep this value. Wanted values are numbered in the order of these calls; without any, the outputs of the network
    /// are wanted.
    pub fn output(mut self, point: impl Into<Point>) -> Self {
        self.outputs.push(point.into());
        self
    }

    /// A gradient will be put in here. Seeds are numbered in the order of these calls.
    pub fn seed(mut self, point: impl Into<Point>) -> Self {
        self.seeds.push(point.into());
        self
    }

    /// The gradient that comes in here is a linear function of the value, the same at each pixel: see
    /// [`Plan::set_linear_seed`]. It need not be written down where a convolution follows, which adds it to what it sends
    /// back. Linear seeds are numbered in the order of these calls.
    pub fn linear_seed(mut self, point: impl Into<Point>) -> Self {
        self.linear_seeds.push(point.into());
        self
    }

    /// The gradient of this value is wanted. Such gradients are numbered in the order of these calls.
    pub fn gradient(mut self, point: impl Into<Point>) -> Self {
        self.gradients.push(point.into());
        self
    }

    /// The gradient of the input is wanted.
    pub fn input_gradient(self) -> Self {
        Self { input_gradient: true, ..self }
    }

    /// The gradients of all trainable weights are wanted.
    pub fn weight_gradients(self) -> Self {
        Self { weight_gradients: Gradients::Trainable, ..self }
    }

    /// The gradients of the biases and of the shifts of batch normalizations are wanted, of frozen layers too, and those
    /// of no other weights.
    pub fn shift_gradients(self) -> Self {
        Self { weight_gradients: Gradients::Shifts, ..self }
    }

    /// Whether equal patches of an image must give equal sums to the bit, which rules out Winograd's convolution.
    ///
    /// It matters where a maximum decides which way a gradient takes. Over the blank background of a digit all values of
    /// a pooling window are equal; rounding that differs from pixel to pixel picks another one than the first, and the
    /// gradient of the image moves to its neighbor. So plans are exact, unless told otherwise, when the gradient of the
    /// input is wanted, and take the faster algorithm when not: sums over a batch do not notice.
    pub fn exact(self, exact: bool) -> Self {
        Self { exact: Some(exact), ..self }
    }

    /// How the way back goes through rectifiers; as a gradient does, unless told otherwise.
    pub fn rule(self, rule: BackwardRule) -> Self {
        Self { rule, ..self }
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// [`Error::Argument`] when a point names no layer, the batch is empty, or there is a gradient to compute and
    /// nowhere to put one in; [`Error::Limit`] when the tensors are larger than memory can be addressed.
    pub fn build(self) -> Result<Plan> {
        if self.batch == 0 {
            return Err(Error::argument("a batch of 0 samples"));
        }
        let wants_gradients =
            self.input_gradient || self.weight_gradients != Gradients::None || !self.gradients.is_empty();
        if wants_gradients && self.seeds.is_empty() && self.linear_seeds.is_empty() {
            return Err(Error::argument("gradients are wanted, but no seed says where they come from"));
        }
        let find = |point: &Point| Ok((self.network.find(&point.layer)?, point.before_activation));
        let outputs = match self.outputs.is_empty() {
            false => self.outputs.iter().map(find).collect::<Result<Vec<_>>>()?,
            true => self.network.outputs().iter().map(|&node| (node, false)).collect(),
        };
        let seeds = self.seeds.iter().map(find).collect::<Result<Vec<_>>>()?;
        let linear_seeds = self.linear_seeds.iter().map(find).collect::<Result<Vec<_>>>()?;
        let gradients = self.gradients.iter().map(find).collect::<Result<Vec<_>>>()?;
        let apart = gradients.iter().flat_map(|&point| unfused(self.network, point, self.training));
        let wanted: Wanted = outputs.iter().chain(&seeds).chain(&linear_seeds).copied().chain(apart).collect();
        let fusions = Fusions {
            pooling: self.rule == BackwardRule::Gradient,
            // A way back goes through each layer by itself.
            normalization: !self.training && seeds.is_empty() && linear_seeds.is_empty(),
        };
        let lowered = lower(self.network, &wanted, self.training, fusions);
        // Different points may be the same value.
        let values: Vec<usize> = linear_seeds.iter().map(|&point| lowered.at(point)).collect();
        if let Some(twice) = (1..values.len()).find(|&at| values[..at].contains(&values[at])) {
            let layer = &self.linear_seeds[twice].layer;
            return Err(Error::argument(format!("two linear seeds at the layer {layer:?}: add up their matrices")));
        }
        for shape in &lowered.values {
            let bytes = shape.len().checked_mul(self.batch).and_then(|len| len.checked_mul(4));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
                let what = format!("a tensor of {shape} for a batch of {}, in bytes", self.batch);
                return Err(Error::Limit { what, got: u64::MAX, limit: isize::MAX as u64 });
            }
        }
        Assembly::new(self, lowered, [outputs, seeds, linear_seeds, gradients]).plan()
    }
}

/// A plan on its way: what flows back where.
pub(super) struct Assembly<'a> {
    pub(super) wish: PlanBuilder<'a>,
    cpu: Cpu,
    pub(super) lowered: Lowered,
    outputs: Vec<(usize, bool)>,
    pub(super) seeds: Vec<(usize, bool)>,
    pub(super) linear_seeds: Vec<(usize, bool)>,
    pub(super) gradients: Vec<(usize, bool)>,
    /// For each value: whether its gradient is computed.
    pub(super) gradient: Vec<bool>,
    /// For each step, if it takes part in the pass backward: for each input, whether its gradient is computed and if so
    /// whether it is added to one that is already there.
    pub(super) flow: Vec<Option<Vec<Option<bool>>>>,
}

impl<'a> Assembly<'a> {
    fn new(wish: PlanBuilder<'a>, lowered: Lowered, points: [Vec<(usize, bool)>; 4]) -> Self {
        let cpu = wish.cpu.unwrap_or_else(Cpu::detect);
        let [outputs, seeds, linear_seeds, gradients] = points;
        let (gradient, flow) = (Vec::new(), Vec::new());
        let mut assembly = Self { wish, cpu, lowered, outputs, seeds, linear_seeds, gradients, gradient, flow };
        assembly.trace_gradients();
        assembly
    }

    /// The weights of a step in the network.
    fn weights(&self, draft: &Draft) -> Range<usize> {
        let of = |node: usize| self.wish.network.nodes()[node].weights();
        match (draft.activation, draft.normalization) {
            (Some(_), _) => 0..0,
            (None, None) => of(draft.node),
            (None, Some(normalization)) => of(draft.node).start..of(normalization).end,
        }
    }

    fn prepare(&self, step: usize) -> Box<dyn Operation> {
        let draft = &self.lowered.drafts[step];
        let node = &self.wish.network.nodes()[draft.node];
        let shapes: Vec<Shape> = draft.inputs.iter().map(|&input| self.lowered.values[input].clone()).collect();
        let weights = &self.wish.network.weights()[self.weights(draft)];
        let normalization = draft.normalization.map(|node| match self.wish.network.nodes()[node].layer() {
            Layer::BatchNormalization(normalization) => *normalization,
            other => unreachable!("{other:?} is no normalization"),
        });
        // The values of views keep the shape they were computed in; the layer counts on its own.
        let inputs: Vec<Shape> = match draft.activation {
            Some(_) => shapes,
            None => node.inputs().iter().map(|&input| self.wish.network.nodes()[input].shape().clone()).collect(),
        };
        let frozen = !weights.is_empty() && weights.iter().all(|weight| !weight.trainable());
        let flow = self.flow[step].as_ref();
        let setting = Setting {
            cpu: self.cpu,
            batch: self.wish.batch,
            inputs: &inputs,
            output: node.shape(),
            training: self.wish.training && !frozen,
            relu: draft.relu,
            pool: draft.pool,
            normalization,
            through_relu: self.passes_relu(step),
            grad_input: flow.is_some_and(|inputs| inputs.iter().any(Option::is_some)),
            grad_weights: flow.is_some() && self.has_wanted_weights(draft),
            exact: self.wish.exact.unwrap_or(self.wish.input_gradient),
            rule: self.wish.rule,
            stream: draft.node as u64,
        };
        match draft.activation {
            Some(kind) => Box::new(Activating::new(&setting, kind)),
            None => node.layer().mechanics().prepare(&setting),
        }
    }

    /// The lives of all values and then of all their gradients. The moments: the inputs are filled at 0, step `i` runs
    /// at `i + 1`, the loss at `steps + 1`, the way back of step `i` at `2 steps + 1 - i`, and at last all is read.
    fn lives(&self, operations: &[Box<dyn Operation>]) -> Vec<Life> {
        let steps = self.lowered.drafts.len();
        let (loss, end) = (steps + 1, 2 * steps + 2);
        let back_at = |step: usize| 2 * steps + 1 - step;
        let values = self.lowered.values.len();
        let mut lives: Vec<Life> = (0..2 * values)
            .map(|index| Life {
                first: usize::MAX,
                last: 0,
                len: self.lowered.values[index % values].len() * self.wish.batch,
            })
            .collect();
        let mut touch = |index: usize, moment: usize| {
            lives[index].first = lives[index].first.min(moment);
            lives[index].last = lives[index].last.max(moment);
        };
        for input in self.wish.network.inputs() {
            let value = self.lowered.at((input, false));
            touch(value, 0);
            // An input stays for the next pass, so that whoever optimizes it can change it in place.
            touch(value, end);
            if self.wish.input_gradient && self.gradient[value] {
                touch(values + value, end);
            }
        }
        for &point in &self.outputs {
            touch(self.lowered.at(point), end);
        }
        for value in self.written_seeds() {
            touch(values + value, loss);
            touch(value, loss);
        }
        for value in self.gradients.iter().map(|&point| self.lowered.at(point)).filter(|&value| self.gradient[value]) {
            touch(values + value, end);
        }
        for (step, draft) in self.lowered.drafts.iter().enumerate() {
            touch(draft.output, step + 1);
            draft.inputs.iter().for_each(|&input| touch(input, step + 1));
            let Some(flow) = &self.flow[step] else { continue };
            let (reads, moment) = (operations[step].backward_reads(), back_at(step));
            touch(values + draft.output, moment);
            if reads.output || self.gate(step).is_some_and(Gate::reads_output) {
                touch(draft.output, moment);
            }
            for (&input, through) in draft.inputs.iter().zip(flow) {
                if reads.inputs || self.linear_seed(step, input).is_some() {
                    touch(input, moment);
                }
                if through.is_some() {
                    touch(values + input, moment);
                }
            }
        }
        lives
    }

    fn plan(self) -> Result<Plan> {
        let operations: Vec<_> = (0..self.lowered.drafts.len()).map(|step| self.prepare(step)).collect();
        let lives = self.lives(&operations);
        let used: Vec<usize> = (0..lives.len()).filter(|&index| lives[index].first != usize::MAX).collect();
        let (assigned, lens) = assign(&used.iter().map(|&index| lives[index]).collect::<Vec<_>>());
        let mut buffer_of = vec![None; lives.len()];
        for (&index, &buffer) in used.iter().zip(&assigned) {
            buffer_of[index] = Some(buffer);
        }
        let values = self.lowered.values.len();
        let place = |index: usize| Place {
            buffer: buffer_of[index].expect("every tensor in use has a buffer"),
            len: self.lowered.values[index % values].len(),
            shape: self.lowered.values[index % values].clone(),
        };
        let at = |index: usize| (place(index).buffer, place(index).len);
        let network = self.wish.network;
        let mut weight_gradients = vec![Vec::new(); network.weights().len()];
        let mut steps = Vec::new();
        for (step, operation) in operations.into_iter().enumerate() {
            let draft = &self.lowered.drafts[step];
            let weights = self.weights(draft);
            let back = self.flow[step].as_ref().map(|flow| {
                let wanted = self.has_wanted_weights(draft);
                for index in weights.clone().filter(|_| wanted) {
                    let weight = &network.weights()[index];
                    let len = if self.wish.weight_gradients.include(weight) { weight.values().len() } else { 0 };
                    weight_gradients[index] = vec![0.0; len];
                }
                let inputs = flow.iter().enumerate().filter_map(|(index, &through)| {
                    let accumulate = through?;
                    let input = draft.inputs[index];
                    let linear_seed = self.linear_seed(step, input);
                    Some(BackInput { index, gradient: place(values + input).buffer, accumulate, linear_seed })
                });
                Back {
                    gradient: place(values + draft.output).buffer,
                    gate: self.gate(step),
                    weights: wanted,
                    inputs: inputs.collect(),
                }
            });
            let inputs = draft.inputs.iter().map(|&input| at(input)).collect();
            steps.push(Step {
                operation,
                name: self.step_name(step),
                times: StepTimes::default(),
                inputs,
                output: at(draft.output),
                weights,
                versions: Vec::new(),
                back,
            });
        }
        let shaped = |mut place: Place, shape: &Shape| {
            place.shape = shape.clone();
            place
        };
        let node_shape = |(node, _): (usize, bool)| network.nodes()[node].shape();
        let linear_seed = |&point: &(usize, bool)| {
            let value = self.lowered.at(point);
            LinearSeed {
                map: ChannelMap::new(self.cpu, self.lowered.values[value].channels()),
                value: place(value),
                gradient: self.adds_linear_seed(point).is_none().then(|| place(values + value).buffer),
                accumulate: self.seeds.iter().any(|&seed| self.lowered.at(seed) == value),
            }
        };
        let input_values: Vec<usize> = network.inputs().map(|input| self.lowered.at((input, false))).collect();
        Ok(Plan {
            cpu: self.cpu,
            capacity: self.wish.batch,
            batch: self.wish.batch,
            training: self.wish.training,
            timed: false,
            steps,
            buffers: lens.into_iter().map(Buffer::zeroed).collect(),
            inputs: input_values.iter().map(|&value| place(value)).collect(),
            outputs: self.outputs.iter().map(|&p| shaped(place(self.lowered.at(p)), node_shape(p))).collect(),
            seeds: self.seeds.iter().map(|&p| shaped(place(values + self.lowered.at(p)), node_shape(p))).collect(),
            linear_seeds: self.linear_seeds.iter().map(linear_seed).collect(),
            gradients: self
                .gradients
                .iter()
                .map(|&p| (self.lowered.at(p), p))
                .map(|(value, p)| self.gradient[value].then(|| shaped(place(values + value), node_shape(p))))
                .collect(),
            input_gradients: input_values
                .iter()
                .map(|&value| (self.wish.input_gradient && self.gradient[value]).then(|| place(values + value)))
                .collect(),
            weight_gradients,
        })
    }
}
