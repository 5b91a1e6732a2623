//! Building a plan.

use lucida_kernels::{Buffer, Cpu};

use super::fuse::{Fusions, fuse};
use super::lower::{RequiredValues, lower};
use super::request::{NodeValue, Request, WeightGradients};
use super::run::Plan;
use super::scheduler::Scheduler;
use crate::core::memory_limit;
use crate::nn::{BackwardRule, Network};
use crate::{Error, Fitting, Result};

/// A value in a network: the output of a layer, or its value before the layer's activation.
///
/// ```
/// use lucida::nn::TensorRef;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("relu", [2]).add(Dense::new(8).activation(ActivationKind::Relu)).build(42)?;
/// let mut plan = Plan::builder(&network).output("dense").output(TensorRef::before_activation("dense")).build()?;
/// plan.input_mut().fill(1.0);
/// plan.forward(&network)?;
/// let pairs = plan.output(0).iter().zip(plan.output(1));
/// assert!(pairs.clone().count() == 8 && pairs.clone().all(|(&after, &before)| after == before.max(0.0)));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorRef {
    /// The layer's name.
    pub layer: String,
    /// Whether to take the value before the activation: the logits of a layer that ends in a softmax.
    pub before_activation: bool,
}

impl TensorRef {
    /// The output of a layer.
    pub fn output(layer: impl Into<String>) -> Self {
        Self { layer: layer.into(), before_activation: false }
    }

    /// The value of a layer before its activation.
    pub fn before_activation(layer: impl Into<String>) -> Self {
        Self { layer: layer.into(), before_activation: true }
    }
}

impl From<&str> for TensorRef {
    fn from(layer: &str) -> Self {
        Self::output(layer)
    }
}

impl Plan {
    /// Starts a plan for a network.
    pub fn builder(network: &Network) -> PlanBuilder<'_> {
        PlanBuilder::new(network)
    }
}

/// Builds a [`Plan`]: the batch size, the outputs and the gradients to compute.
#[derive(Debug, Clone)]
#[must_use]
pub struct PlanBuilder<'a> {
    network: &'a Network,
    cpu: Option<Cpu>,
    batch: usize,
    training: bool,
    outputs: Vec<TensorRef>,
    grad_outputs: Vec<TensorRef>,
    linear_gradients: Vec<TensorRef>,
    gradients: Vec<TensorRef>,
    input_gradient: bool,
    weight_gradients: WeightGradients,
    exact: Option<bool>,
    rule: BackwardRule,
}

impl<'a> PlanBuilder<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Self {
            network,
            cpu: None,
            batch: 1,
            training: false,
            outputs: Vec::new(),
            grad_outputs: Vec::new(),
            linear_gradients: Vec::new(),
            gradients: Vec::new(),
            input_gradient: false,
            weight_gradients: WeightGradients::None,
            exact: None,
            rule: BackwardRule::Gradient,
        }
    }

    /// The network of the plan.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// The processor to run on; by default the best this machine supports.
    pub fn cpu(self, cpu: Cpu) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    /// The maximum batch size; by default one.
    pub fn batch_size(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Run in training mode.
    pub fn training(self) -> Self {
        Self { training: true, ..self }
    }

    /// Adds an output of the plan. Outputs are numbered in the order of these calls; by default they are those of the
    /// network.
    pub fn output(mut self, tensor: impl Into<TensorRef>) -> Self {
        self.outputs.push(tensor.into());
        self
    }

    /// Adds a value whose gradient the caller provides: see [`Plan::grad_output_mut`]. They are numbered in the order of
    /// these calls.
    pub fn grad_output_at(mut self, tensor: impl Into<TensorRef>) -> Self {
        self.grad_outputs.push(tensor.into());
        self
    }

    /// Adds a value with a gradient that is a linear function of it, the same at each pixel: see
    /// [`Plan::set_linear_gradient`]. The gradient is not stored if a convolution follows, which adds it to the gradient of
    /// its input. Linear gradients are numbered in the order of these calls.
    pub fn linear_gradient_at(mut self, tensor: impl Into<TensorRef>) -> Self {
        self.linear_gradients.push(tensor.into());
        self
    }

    /// Requests the gradient of this value. Requested gradients are numbered in the order of these calls.
    pub fn gradient(mut self, tensor: impl Into<TensorRef>) -> Self {
        self.gradients.push(tensor.into());
        self
    }

    /// Requests the gradient of the input.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("line", [3]).add(Dense::new(1)).build(42)?;
    /// let mut plan = Plan::builder(&network).grad_output_at("dense").input_gradient().build()?;
    /// plan.input_mut().fill(1.0);
    /// plan.forward(&network)?;
    /// plan.grad_output_mut(0).fill(1.0);
    /// plan.backward(&network);
    /// // The gradient of a linear function is its kernel.
    /// assert_eq!(plan.input_gradient(), network.weight("dense/kernel").map(|kernel| kernel.values()));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn input_gradient(self) -> Self {
        Self { input_gradient: true, ..self }
    }

    /// Requests the gradients of all trainable weights.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("line", [2]).add(Dense::new(1)).build(42)?;
    /// let mut plan = Plan::builder(&network).grad_output_at("dense").weight_gradients().build()?;
    /// plan.input_mut().copy_from_slice(&[3.0, 5.0]);
    /// plan.forward(&network)?;
    /// plan.grad_output_mut(0).fill(1.0);
    /// plan.backward(&network);
    /// assert_eq!(plan.weight_gradients(), [vec![3.0, 5.0], vec![1.0]]); // kernel, bias
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn weight_gradients(self) -> Self {
        Self { weight_gradients: WeightGradients::Trainable, ..self }
    }

    /// Requests the gradients of the biases and of the offsets of batch normalizations, including frozen layers, and of no
    /// other weights.
    pub fn shift_gradients(self) -> Self {
        Self { weight_gradients: WeightGradients::Shifts, ..self }
    }

    /// Whether equal patches of an image must give bitwise equal sums, which excludes Winograd convolution.
    ///
    /// This matters where a maximum decides which path a gradient takes. Over the blank background of a digit all values of
    /// a pooling window are equal; if rounding differs from pixel to pixel, another value than the first may become the
    /// maximum, and the gradient of the image moves to a neighboring pixel. So by default plans are exact if the gradient
    /// of the input is requested, and use the faster algorithm otherwise: sums over a batch are not affected.
    pub fn exact(self, exact: bool) -> Self {
        Self { exact: Some(exact), ..self }
    }

    /// How the backward pass treats rectifiers; by default as the gradient does.
    pub fn rule(self, rule: BackwardRule) -> Self {
        Self { rule, ..self }
    }

    /// Builds the plan with the largest batch size of up to `most` samples that fits in `memory` bytes and in the
    /// [limit](crate::core::set_memory_limit) of the process, at least one.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_within(self, most: usize, memory: usize) -> Result<Plan> {
        let memory = memory_limit().map_or(memory, |limit| memory.min(limit as usize));
        let one = self.clone().batch_size(1).build()?;
        let batch = most.min((memory / one.memory().max(1)).max(1));
        if batch <= 1 {
            return Ok(one);
        }
        drop(one);
        self.batch_size(batch).build()
    }

    /// Builds the plan, with a smaller batch size if that is all that the [limit](crate::core::set_memory_limit) of the process
    /// allows.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(crate) fn build_up_to(self) -> Result<Plan> {
        match self.clone().build() {
            Err(Error::Memory { fits: Some(Fitting::Batch(batch)), .. }) => self.batch_size(batch).build(),
            // The error of one sample says what the least is.
            Err(Error::Memory { .. }) => self.batch_size(1).build(),
            built => built,
        }
    }

    /// Builds the plan.
    ///
    /// # Errors
    /// [`Error::Argument`] when a name is not a layer's, the batch is empty, or gradients are requested and none is
    /// provided; [`Error::Limit`] when the tensors exceed the address space; [`Error::Memory`] when they exceed the
    /// [limit](crate::core::set_memory_limit).
    pub fn build(self) -> Result<Plan> {
        if self.batch == 0 {
            return Err(Error::argument("a batch of 0 samples"));
        }
        let wants_gradients =
            self.input_gradient || self.weight_gradients != WeightGradients::None || !self.gradients.is_empty();
        if wants_gradients && self.grad_outputs.is_empty() && self.linear_gradients.is_empty() {
            return Err(Error::argument("gradients are wanted, but no output gradient is named: see grad_output_at"));
        }
        let request = self.request()?;
        let is_backward = !request.grad_outputs.is_empty() || !request.linear_gradients.is_empty();
        let unfused_values =
            request.gradients.iter().flat_map(|&value| unfused(request.network, value, request.training));
        let kept = request.outputs.iter().chain(&request.grad_outputs).chain(&request.linear_gradients);
        let wanted: RequiredValues = kept.copied().chain(unfused_values).collect();
        let fusions = Fusions {
            max_pooling: request.rule == BackwardRule::Gradient,
            // The backward pass needs each layer separately.
            inference: !request.training && !is_backward,
        };
        let mut lowered = lower(request.network, &wanted, request.training);
        fuse(request.network, &wanted, fusions, &mut lowered);
        // Different names may refer to the same value.
        let values: Vec<usize> = request.linear_gradients.iter().map(|&value| lowered.at(value)).collect();
        if let Some(twice) = (1..values.len()).find(|&at| values[..at].contains(&values[at])) {
            let layer = &self.linear_gradients[twice].layer;
            return Err(Error::argument(format!("two linear gradients at the layer {layer:?}: add up their matrices")));
        }
        for shape in &lowered.values {
            let bytes = shape.len().checked_mul(request.batch).and_then(|len| len.checked_mul(4));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
                let what = format!("a tensor of {shape} for a batch of {}, in bytes", request.batch);
                return Err(Error::Limit { what, got: u64::MAX, limit: isize::MAX as u64 });
            }
            // Before layers make tables for such a tensor: they cannot fail.
            let len = shape.len() * request.batch;
            if Buffer::try_zeroed(len).is_none() {
                return Err(Error::no_memory(
                    &format!("a tensor of {shape} for a batch of {}", request.batch),
                    4 * len,
                ));
            }
        }
        Scheduler::new(request, lowered).plan()
    }

    fn request(&self) -> Result<Request<'a>> {
        let find = |tensor: &TensorRef| Ok((self.network.find(&tensor.layer)?, tensor.before_activation));
        let find_all = |tensors: &[TensorRef]| tensors.iter().map(find).collect::<Result<Vec<NodeValue>>>();
        let outputs = match self.outputs.is_empty() {
            false => find_all(&self.outputs)?,
            true => self.network.outputs().iter().map(|&node| (node, false)).collect(),
        };
        Ok(Request {
            network: self.network,
            cpu: self.cpu.unwrap_or_else(Cpu::detect),
            batch: self.batch,
            training: self.training,
            exact: self.exact.unwrap_or(self.input_gradient),
            rule: self.rule,
            outputs,
            grad_outputs: find_all(&self.grad_outputs)?,
            linear_gradients: find_all(&self.linear_gradients)?,
            gradients: find_all(&self.gradients)?,
            input_gradient: self.input_gradient,
            weight_gradients: self.weight_gradients,
        })
    }
}

/// The values that must exist along with one whose gradient is requested: a fused ReLU replaces the gradient of its output
/// by that of its input in place, so it must not be fused, neither in the layer nor in one that the layer is a mere view
/// of.
fn unfused(network: &Network, value: NodeValue, training: bool) -> Vec<NodeValue> {
    let mut node = value.0;
    let mut values = vec![value, (node, true)];
    while network.nodes()[node].layer().spec().is_view(training) && !network.nodes()[node].inputs().is_empty() {
        node = network.nodes()[node].inputs()[0];
        values.push((node, true));
    }
    values
}
