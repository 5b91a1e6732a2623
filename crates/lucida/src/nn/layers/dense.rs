//! Dense layers: `y = x W + b`.

use lucida_kernels::ops::{Update, sum_rows_workspace};
use lucida_kernels::{Buffer, Conv2dGradients, Conv2dShape, DenseGradient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::activation_kind::ActivationKind;
use super::built_in::BuiltInLayer;
use super::conv2d::{Convolution, TRAINING_OPTIONS, bias_gradient, kernel_and_bias, weight_gradients};
use super::spec::{Extent, FusingSpec, LayerSpec, one_input};
use crate::nn::keras_config::KerasConfig;
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Fused, Fusible, Op, OpConfig, OpStats, ReluBefore};
use crate::nn::{Initializer, Shape, WeightSpec};

/// A fully connected layer, `[features]` to `[units]`: the product with a kernel, plus a bias, followed by an activation.
/// With more axes it is applied to each position: `[height, width, channels]` to `[height, width, units]`.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("classifier", [64])
///     .add(Dense::new(32).activation(ActivationKind::Relu))
///     .add(Dense::new(10).activation(ActivationKind::Softmax))
///     .build(42)?;
/// assert_eq!(network.output()?.shape().sizes(), [10]);
/// assert_eq!(network.parameters().0, 64 * 32 + 32 + 32 * 10 + 10);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Dense {
    /// Number of outputs.
    pub units: usize,
    /// The activation.
    #[serde(default)]
    pub activation: ActivationKind,
    /// Whether to add a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The initializer of the kernel.
    #[serde(default = "glorot")]
    pub kernel_initializer: Initializer,
}

fn yes() -> bool {
    true
}

fn glorot() -> Initializer {
    Initializer::GlorotUniform
}

impl Dense {
    /// A dense layer with Keras's defaults: a bias, no activation.
    pub fn new(units: usize) -> Self {
        Self { units, activation: ActivationKind::Linear, use_bias: true, kernel_initializer: glorot() }
    }

    /// Sets the activation.
    pub fn activation(self, activation: ActivationKind) -> Self {
        Self { activation, ..self }
    }

    /// Removes the bias.
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }
}

impl LayerSpec for Dense {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = one_input(inputs)?;
        self.activation.check()?;
        if input.len() == 0 || self.units == 0 {
            return Err(format!("a dense layer of an input of {input} and {} units", self.units));
        }
        let mut sizes = input.sizes().to_vec();
        sizes.pop();
        sizes.push(self.units);
        Ok(Shape::from(&sizes[..]))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        kernel_and_bias(vec![inputs[0].channels(), self.units], self.units, self.use_bias, self.kernel_initializer)
    }

    fn activation(&self) -> ActivationKind {
        self.activation
    }

    fn extent(&self, inputs: &[Shape]) -> Extent {
        if inputs[0].as_flat().is_some() { Extent::Whole } else { Extent::Same }
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        self.prepare_fused(config, Fused::default())
    }

    fn fusing(&self) -> Option<&dyn FusingSpec> {
        Some(self)
    }
}

impl FusingSpec for Dense {
    fn fusible(&self) -> Fusible {
        Fusible {
            relu: true,
            activation: true,
            affine: !self.use_bias,
            residual: true,
            relu_before: ReluBefore::WholeGradient,
            ..Fusible::default()
        }
    }

    /// A dense layer is the 1x1 convolution of a 1x1 image in all passes: `dx = dy W^T`, `dW = x^T dy`, `db = sum dy`. With
    /// more axes, the image is a single row of all positions.
    fn prepare_fused(&self, config: &OpConfig, fused: Fused) -> Box<dyn Op> {
        let channels = config.inputs[0].channels();
        let positions = config.inputs[0].len() / channels;
        let pixel = Conv2dShape::dense(channels, self.units);
        let shape = Conv2dShape { width: positions, output: [1, positions], ..pixel };
        match UnpackedDense::suits(config, shape) {
            true => Box::new(UnpackedDense::new(config, &fused, shape, self.use_bias)),
            false => Box::new(Convolution::new(config, fused, shape, self.use_bias)),
        }
    }
}

/// Number of weights from which on skipping the packing pays off: 1 MiB, half of a typical L2 cache.
const MANY_WEIGHTS: usize = 1 << 18;
/// Number of units per sample of the batch from which on packing takes longer than it saves.
const UNITS_PER_SAMPLE: usize = 4;

/// A dense layer in training: its weights change at each step, so they are not packed.
struct UnpackedDense {
    dense: lucida_kernels::Dense,
    /// Computes the gradients of the weights.
    gradients: lucida_kernels::Conv2d,
    use_bias: bool,
    relu: bool,
    relu_before: bool,
    workspace: Buffer,
}

impl UnpackedDense {
    fn suits(config: &OpConfig, shape: Conv2dShape) -> bool {
        let few_samples = shape.width == 1 && UNITS_PER_SAMPLE * config.batch <= shape.filters;
        let fits = lucida_kernels::Dense::fits(config.cpu, shape.filters);
        config.gradients.weights && few_samples && fits && shape.kernel_len() >= MANY_WEIGHTS
    }

    fn new(config: &OpConfig, fused: &Fused, shape: Conv2dShape, use_bias: bool) -> Self {
        let (cpu, batch) = (config.cpu, config.batch);
        let gradients = Conv2dGradients { input: false, kernel: true };
        Self {
            dense: lucida_kernels::Dense::new(cpu, shape.channels, shape.filters, batch),
            gradients: lucida_kernels::Conv2d::direct(cpu, shape, batch, gradients),
            use_bias,
            relu: fused.relu(),
            relu_before: fused.relu_before,
            workspace: Buffer::zeroed(sum_rows_workspace(cpu, shape.filters)),
        }
    }
}

impl Op for UnpackedDense {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let bias = self.use_bias.then(|| pass.weights[1].values());
        self.dense.forward(pass.batch, pass.inputs.get(0), pass.weights[0].values(), bias, self.relu, output);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let gate = self.relu_before.then(|| pass.inputs.get(0));
        let gradient = DenseGradient { values: grad_input, accumulate, gate };
        self.dense.backward_input(pass.batch, pass.grad_output, pass.weights[0].values(), gradient);
    }

    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        weight_gradients(&mut self.gradients, pass, gradients, &mut self.workspace);
    }

    fn updates(&self) -> Option<usize> {
        Some(0)
    }

    fn backward_update(&mut self, pass: &Backward, weight: &mut [f32], update: Update<'_>, gradients: &mut [Vec<f32>]) {
        self.dense.update(pass.batch, pass.inputs.get(0), pass.grad_output, weight, update);
        bias_gradient(&self.gradients, pass, &mut gradients[1..], &mut self.workspace);
    }

    fn stats(&self) -> OpStats {
        let [_, _, backward_weights] = self.gradients.algorithms();
        let unpacked = Some("product, unpacked");
        let operations = self.gradients.operations();
        OpStats { forward: unpacked, backward_input: unpacked, backward_weights, operations, ..OpStats::default() }
    }
}

impl BuiltInLayer for Dense {
    const KERAS_CLASSES: &'static [&'static str] = &["Dense"];

    fn from_keras(_class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        let [units] = config.sizes("units")?;
        config.must_be("quantization_config", &[])?;
        config.must_be("lora_rank", &[])?;
        config.ignore(&["input_dim", "lora_alpha"]);
        config.note(&TRAINING_OPTIONS);
        let dense = Self {
            use_bias: config.flag("use_bias", true)?,
            kernel_initializer: Initializer::from_keras(config, "kernel_initializer"),
            ..Self::new(units).activation(ActivationKind::from_keras(config)?)
        };
        Ok(dense.into())
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(json!({
            "units": self.units,
            "activation": self.activation.to_keras()?,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer.to_keras(),
        }))
    }

    /// The kernel's rows are the channels, which come last in a matrix product, but first in the images of a graph.
    fn to_onnx(&self, layer: &mut OnnxLayer) {
        if layer.shapes[0].as_flat().is_some() {
            return layer.result("Gemm", layer.inputs_and_weights(), vec![]);
        }
        let order = |axes| vec![("perm", OnnxAttribute::ints(axes))];
        let last = layer.intermediate("nhwc", "Transpose", vec![layer.input()], order([0, 2, 3, 1]));
        let mut result = layer.intermediate("product", "MatMul", vec![last, layer.weights[0].clone()], vec![]);
        if self.use_bias {
            result = layer.intermediate("sum", "Add", vec![result, layer.weights[1].clone()], vec![]);
        }
        layer.result("Transpose", vec![result], order([0, 3, 1, 2]));
    }

    fn activation_mut(&mut self) -> Option<&mut ActivationKind> {
        Some(&mut self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::nn::layers::Input;
    use crate::nn::testing::{check_layer, refuses};
    use crate::nn::{Network, Optimizer, OptimizerState, Plan, StepProfile, StepSeed};

    #[test]
    fn gradients() {
        check_layer(Dense::new(7), &[[13].into()]);
        check_layer(Dense::new(33).without_bias(), &[[20].into()]);
        check_layer(Dense::new(5).activation(ActivationKind::Softmax), &[[9].into()]);
        check_layer(Dense::new(5).activation(ActivationKind::Sigmoid), &[[9].into()]);
        check_layer(Dense::new(5).activation(ActivationKind::Tanh), &[[3, 4, 6].into()]);
        check_layer(Dense::new(4).without_bias(), &[[3, 6].into()]);
    }

    /// A plan for few samples does not pack weights, one for many samples does.
    #[test]
    fn packed_or_not_all_passes_agree() {
        let mut builder = Network::builder("two");
        let input = builder.add(Input::new([600]), &[]).unwrap();
        let hidden = builder.add(Dense::new(512).activation(ActivationKind::Relu), &[input]).unwrap();
        let output = builder.add(Dense::new(512), &[hidden]).unwrap();
        let mut network = builder.build(&[output], 3).unwrap();
        let batch = 5;
        let mut results = [batch, 512].map(|capacity| {
            let builder = Plan::builder(&network).batch_size(capacity).training().input_gradient().weight_gradients();
            let mut plan = builder.grad_output_at(network.nodes()[output].name()).build().unwrap();
            let unpacked = |step: &StepProfile| step.forward.algorithm == Some("product, unpacked");
            assert!(plan.profile().iter().all(|step| unpacked(step) == (capacity == batch)));
            plan.set_batch(batch);
            plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i * 31 % 23) as f32 / 11.0 - 1.0);
            plan.forward_training(&mut network, StepSeed { seed: 1, first_sample: 0 }).unwrap();
            plan.grad_output_mut(0).iter_mut().enumerate().for_each(|(i, g)| *g = (i * 17 % 13) as f32 / 6.0 - 1.0);
            let output = plan.output(0).to_vec();
            plan.backward(&network);
            let mut all = vec![output, plan.input_gradient().unwrap().to_vec()];
            all.extend(plan.weight_gradients().to_vec());
            all
        });
        let [few, many] = &mut results;
        for (few, many) in few.iter().zip(many.iter()) {
            let most = many.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            assert!(most > 0.0 && few.iter().zip(many).all(|(a, b)| (a - b).abs() <= 1e-5 * most));
        }
    }

    /// The block-by-block optimizer step, fused with the gradient, is equal to the separate one.
    #[test]
    fn an_update_on_the_way_is_the_step_after_it() {
        let network = || {
            let mut builder = Network::builder("three");
            let input = builder.add(Input::new([600]), &[]).unwrap();
            let wide = builder.add(Dense::new(512).activation(ActivationKind::Relu), &[input]).unwrap();
            let next = builder.add(Dense::new(512).activation(ActivationKind::Tanh), &[wide]).unwrap();
            let output = builder.add(Dense::new(7), &[next]).unwrap();
            builder.build(&[output], 3).unwrap()
        };
        for optimizer in [Optimizer::sgd(), Optimizer::rmsprop(), Optimizer::adam(), Optimizer::adam_w()] {
            let mut networks = [network(), network()];
            for (at, network) in networks.iter_mut().enumerate() {
                let last = network.nodes().last().unwrap().name().to_owned();
                let builder = Plan::builder(network).batch_size(5).training().weight_gradients();
                let mut plan = builder.grad_output_at(last.as_str()).build().unwrap();
                let mut state = OptimizerState::new(optimizer, network);
                // A smaller learning rate for some weights.
                let rate = |weight: usize| if weight < 2 { 1e-4 } else { 1e-3 };
                for step in 0..4 {
                    // The last batch is smaller.
                    plan.set_batch(if step < 3 { 5 } else { 2 });
                    plan.input_mut()
                        .iter_mut()
                        .enumerate()
                        .for_each(|(i, x)| *x = ((i + step) % 23) as f32 / 11.0 - 1.0);
                    plan.forward_training(network, StepSeed { seed: 1, first_sample: 0 }).unwrap();
                    plan.grad_output_mut(0)
                        .iter_mut()
                        .enumerate()
                        .for_each(|(i, g)| *g = (i * 17 % 13) as f32 / 6.0 - 1.0);
                    if at == 0 {
                        plan.backward_and_apply(network, &mut state, rate);
                        assert!(plan.weight_gradients()[2].iter().all(|&g| g == 0.0), "it is never whole");
                    } else {
                        plan.backward(network);
                        state.apply_at(Cpu::detect(), network, plan.weight_gradients(), rate);
                    }
                }
                assert_eq!(state.steps(), 4);
            }
            let [on_the_way, after] = networks;
            for (a, b) in on_the_way.weights().iter().zip(after.weights()) {
                let most = b.values().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * most;
                assert!(a.values().iter().zip(b.values()).all(near), "{optimizer:?} {}", a.name());
            }
        }
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(Dense::new(0), &[[7, 7, 64].into()], &["(7, 7, 64)", "0 units"]);
        refuses(Dense::new(7), &[[7].into(), [8].into()], &["one input", "2"]);
    }
}
