//! A network prepared to run.
//!
//! A plan is made for one network, one largest batch, the values that are wanted and the gradients that are wanted. It
//! leaves out the layers that none of these needs, fuses a ReLU into the layer before it, decides what each layer keeps
//! for its way back, and owns every buffer; buffers whose lifetimes do not overlap share memory. A step then allocates
//! nothing.
//!
//! Everything above is a loop over a plan: training (forward, loss, backward to the weights), activation maximization
//! (forward, a gradient at one neuron, backward to the image), style transfer (forward, gradients at six layers, backward
//! to the image).
//!
//! The weights stay in the network, which is handed to each pass: a plan packs those that have changed since the last
//! one, so frozen weights are packed once.

mod backward;
mod builder;
mod flow;
mod lower;
mod memory;
mod profile;
mod rule;
mod team;
#[cfg(test)]
mod tests;

use lucida_kernels::{Buffer, ChannelMap, Cpu};

use super::layers::{Forward, Inputs};
use super::{Network, Shape};
use crate::{Error, Result};

pub use builder::PlanBuilder;
use lower::Step;
pub use profile::{PassTime, StepProfile};
pub use rule::BackwardRule;
pub use team::{HandOver, Share, Team};

/// A value in a network: the output of a layer, or what it is before the layer's activation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Point {
    /// The layer's name.
    pub layer: String,
    /// Whether the value before the activation is meant: the logits of a layer that ends in a softmax.
    pub before_activation: bool,
}

impl Point {
    /// The output of a layer.
    pub fn output(layer: impl Into<String>) -> Self {
        Self { layer: layer.into(), before_activation: false }
    }

    /// What a layer computes before its activation.
    pub fn before_activation(layer: impl Into<String>) -> Self {
        Self { layer: layer.into(), before_activation: true }
    }
}

impl From<&str> for Point {
    fn from(layer: &str) -> Self {
        Self::output(layer)
    }
}

/// What the random numbers of a training step are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed {
    /// The seed of the run.
    pub seed: u64,
    /// How many samples were trained on before this batch: each sample of a run draws from its own part of the stream.
    pub first_sample: u64,
}

/// A network prepared to run, for one largest batch, the values that are wanted and the gradients that are wanted; it owns
/// every buffer, and a step allocates nothing.
pub struct Plan {
    cpu: Cpu,
    capacity: usize,
    batch: usize,
    training: bool,
    /// Whether the passes of each step are timed.
    timed: bool,
    steps: Vec<Step>,
    buffers: Vec<Buffer>,
    /// The inputs of the network.
    inputs: Vec<Place>,
    /// The values that were asked for.
    outputs: Vec<Place>,
    /// Where gradients are put in.
    seeds: Vec<Place>,
    linear_seeds: Vec<LinearSeed>,
    /// The gradients of values that were asked for, where there are any.
    gradients: Vec<Option<Place>>,
    /// The gradients of the inputs, if wanted.
    input_gradients: Vec<Option<Place>>,
    /// One for each weight of the network; empty where none is wanted.
    weight_gradients: Vec<Vec<f32>>,
}

/// A tensor in a buffer: its length is that of one sample.
#[derive(Debug, Clone)]
struct Place {
    buffer: usize,
    len: usize,
    shape: Shape,
}

/// A gradient that is a linear function of a value.
#[derive(Debug)]
struct LinearSeed {
    map: ChannelMap,
    value: Place,
    /// The buffer it is put in before the pass backward; none where a step adds it to what it sends back.
    gradient: Option<usize>,
    /// Whether something has been put in there.
    accumulate: bool,
}

impl Plan {
    /// Starts a plan for a network.
    pub fn builder(network: &Network) -> PlanBuilder<'_> {
        PlanBuilder::new(network)
    }

    /// What the plan runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The largest batch.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The size of the batch at hand; the largest at first.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sets the size of the batch at hand, for the inputs, outputs and gradients that follow.
    ///
    /// # Panics
    /// When it is zero or larger than the capacity.
    pub fn set_batch(&mut self, batch: usize) {
        assert!((1..=self.capacity).contains(&batch), "a batch of {batch} in a plan for {}", self.capacity);
        self.batch = batch;
    }

    /// The memory of all activations and gradients of activations, in bytes.
    pub fn memory(&self) -> usize {
        self.buffers.iter().map(|buffer| 4 * buffer.len()).sum()
    }

    /// The network's only input, to be filled before a pass: (batch, ...). It is kept until the next forward pass.
    ///
    /// # Panics
    /// When the plan has several inputs.
    pub fn input_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.inputs.len(), 1, "the plan has several inputs");
        self.input_mut_at(0)
    }

    /// Input number `index`, in the order of the network's input layers.
    pub fn input_mut_at(&mut self, index: usize) -> &mut [f32] {
        let place = &self.inputs[index];
        &mut self.buffers[place.buffer][..self.batch * place.len]
    }

    /// Wanted value number `index` after a pass: (batch, ...).
    pub fn output(&self, index: usize) -> &[f32] {
        let place = &self.outputs[index];
        &self.buffers[place.buffer][..self.batch * place.len]
    }

    /// The shape of wanted value number `index`, without the batch.
    pub fn output_shape(&self, index: usize) -> &Shape {
        &self.outputs[index].shape
    }

    /// The gradient to put in at seed number `index`, to be filled between the passes.
    pub fn seed_mut(&mut self, index: usize) -> &mut [f32] {
        let place = &self.seeds[index];
        &mut self.buffers[place.buffer][..self.batch * place.len]
    }

    /// Sets linear seed number `index`: at each pixel the gradient `sum over channels i of value[i] matrix[i][j] + shift[j]`
    /// for channel `j`; zero until then. An empty `shift` is none.
    ///
    /// # Panics
    /// When `matrix` has not the square of the value's channels, or `shift` another number than these.
    pub fn set_linear_seed(&mut self, index: usize, matrix: &[f32], shift: &[f32]) {
        self.linear_seeds[index].map.set(matrix, shift);
    }

    /// A wanted value and the gradient of a seed together: what a loss reads and writes.
    ///
    /// # Panics
    /// When the plan keeps both in one place, which it never does.
    pub fn output_and_seed_mut(&mut self, output: usize, seed: usize) -> (&[f32], &mut [f32]) {
        let (output, seed) = (&self.outputs[output], &self.seeds[seed]);
        let [value, gradient] = self
            .buffers
            .get_disjoint_mut([output.buffer, seed.buffer])
            .expect("a value and its gradient lie in different buffers");
        (&value[..self.batch * output.len], &mut gradient[..self.batch * seed.len])
    }

    /// The gradient of the network's only (or first) input after a pass backward, if it was asked for.
    pub fn input_gradient(&self) -> Option<&[f32]> {
        self.input_gradient_at(0)
    }

    /// The gradient of input number `index` after a pass backward, if it was asked for and there is one.
    pub fn input_gradient_at(&self, index: usize) -> Option<&[f32]> {
        let place = self.input_gradients.get(index)?.as_ref()?;
        Some(&self.buffers[place.buffer][..self.batch * place.len])
    }

    /// Wanted gradient number `index` after a pass backward: (batch, ...), if any seed's way leads there.
    pub fn gradient(&self, index: usize) -> Option<&[f32]> {
        let place = self.gradients.get(index)?.as_ref()?;
        Some(&self.buffers[place.buffer][..self.batch * place.len])
    }

    /// The gradients of the weights after a pass backward: one for each weight of the network, empty where none is
    /// wanted.
    pub fn weight_gradients(&self) -> &[Vec<f32>] {
        &self.weight_gradients
    }

    /// The same gradients, to be changed before an optimizer sees them.
    pub fn weight_gradients_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.weight_gradients
    }

    /// Computes the wanted values from the inputs.
    ///
    /// # Errors
    /// [`Error::Argument`] when the plan was made for another network, or for training.
    pub fn forward(&mut self, network: &Network) -> Result<()> {
        if self.training {
            return Err(Error::argument("a plan for training needs a seed for each step: call forward_training"));
        }
        self.pass(network, None, None)
    }

    /// Computes the wanted values from the inputs as in training: dropout drops, batch normalization uses the batch and
    /// brings the moving statistics in `network` up to date.
    ///
    /// # Errors
    /// [`Error::Argument`] when the plan was made for another network, or not for training.
    pub fn forward_training(&mut self, network: &mut Network, seed: StepSeed) -> Result<()> {
        self.forward_shared(network, seed, None)
    }

    /// The same for a member of a team, whose batch is a part of that of all: batch normalization uses the whole batch.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_shared(&mut self, network: &mut Network, seed: StepSeed, share: Option<Share<'_>>) -> Result<()> {
        if !self.training {
            return Err(Error::argument("the plan was not made for training"));
        }
        self.pass(network, Some(seed), share)?;
        for step in &mut self.steps {
            if !step.weights.is_empty() {
                step.operation.update_statistics(&mut network.weights_mut()[step.weights.clone()]);
            }
        }
        Ok(())
    }

    fn pass(&mut self, network: &Network, seed: Option<StepSeed>, share: Option<Share<'_>>) -> Result<()> {
        if network.weights().len() != self.weight_gradients.len() {
            return Err(Error::argument(format!("the plan was made for another network than {}", network.name())));
        }
        for step in &mut self.steps {
            let weights = &network.weights()[step.weights.clone()];
            if weights.iter().map(|weight| weight.version()).ne(step.versions.iter().copied()) {
                step.versions.clear();
                step.versions.extend(weights.iter().map(|weight| weight.version()));
                profile::timed(self.timed, &mut step.times.pack, || step.operation.set_weights(weights));
            }
            // The output leaves its place while the others are borrowed; moving a buffer moves a pointer.
            let mut output = std::mem::take(&mut self.buffers[step.output.0]);
            let inputs = Inputs { buffers: &self.buffers, places: &step.inputs, batch: self.batch };
            let pass = Forward { batch: self.batch, inputs, weights, seed, share };
            let to = &mut output[..self.batch * step.output.1];
            profile::timed(self.timed, &mut step.times.forward, || step.operation.forward(&pass, to));
            self.buffers[step.output.0] = output;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = self.memory() as f64 / f64::from(1 << 20);
        write!(
            f,
            "Plan({} steps, batch {}, {} buffers, {mib:.1} MiB)",
            self.steps.len(),
            self.capacity,
            self.buffers.len()
        )
    }
}
