//! What the tests of the layers share: gradients by finite differences, in every instruction set this machine has.

use lucida_kernels::{Cpu, Isa};

use super::layers::{Add, Input};
use super::{Layer, Network, Plan, Shape, StepSeed, TensorRef};

const BATCH: usize = 3;
const SEED: StepSeed = StepSeed { seed: 5, first_sample: 2 };

/// Values between -1 and 1, no two closer than `2 / len` and none closer to zero than half of that, in no order: a step
/// smaller than that changes no maximum and crosses no ReLU.
fn spread(len: usize) -> Vec<f32> {
    let stride = (1..).map(|i| len * 5 / 8 + i).find(|&stride| gcd(stride, len) == 1).unwrap_or(1);
    (0..len)
        .map(|i| {
            (2.0 * (i * stride % len) as f32 + 1.0) / len as f32 - 1.0
                + if len % 2 == 1 { 0.5 / len as f32 } else { 0.0 }
        })
        .collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How much each output counts in the loss.
fn importance(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * i * 7 + i * 3 + 5) % 23) as f32 / 11.0 - 1.0).collect()
}

struct Rig {
    network: Network,
    plan: Plan,
    training: bool,
    inputs: Vec<Vec<f32>>,
}

impl Rig {
    /// The loss: the sum of the outputs, each as often as it counts.
    fn loss(&mut self) -> f64 {
        for (index, values) in self.inputs.iter().enumerate() {
            self.plan.input_mut_at(index).copy_from_slice(values);
        }
        if self.training {
            // The moving statistics that the pass changes play no part in training.
            self.plan.forward_training(&mut self.network, SEED).unwrap();
        } else {
            self.plan.forward(&self.network).unwrap();
        }
        let output = self.plan.output(0);
        output.iter().zip(importance(output.len())).map(|(&y, r)| f64::from(y) * f64::from(r)).sum()
    }

    fn slope(&mut self, step: f32, value: impl Fn(&mut Self) -> &mut f32) -> f64 {
        let original = *value(self);
        *value(self) = original + step;
        let (above, high) = (self.loss(), *value(self));
        *value(self) = original - step;
        let (below, low) = (self.loss(), *value(self));
        *value(self) = original;
        (above - below) / f64::from(high - low)
    }

    fn check(&mut self, what: &str) {
        self.loss();
        let seed = self.plan.grad_output_mut(0);
        let weights = importance(seed.len());
        seed.copy_from_slice(&weights);
        self.plan.backward(&self.network);
        for input in 0..self.inputs.len() {
            let gradient = self.plan.input_gradient_at(input).expect("the gradient was asked for").to_vec();
            let step = 0.6 / self.inputs[input].len() as f32;
            let slopes: Vec<f64> =
                (0..gradient.len()).map(|i| self.slope(step, |rig| &mut rig.inputs[input][i])).collect();
            compare(&gradient, &slopes, &format!("{what}: gradient of input {input}"));
        }
        for weight in 0..self.network.weights().len() {
            let name = self.network.weights()[weight].name().to_owned();
            let gradient = self.plan.weight_gradients()[weight].clone();
            assert_eq!(gradient.is_empty(), !self.network.weights()[weight].trainable(), "{what}: {name}");
            let slopes: Vec<f64> = (0..gradient.len())
                .map(|i| self.slope(0.01, |rig| &mut rig.network.weights_mut()[weight].values_mut()[i]))
                .collect();
            compare(&gradient, &slopes, &format!("{what}: gradient of {name}"));
        }
    }
}

fn compare(gradient: &[f32], slopes: &[f64], what: &str) {
    let largest = slopes.iter().fold(1e-2, |m: f64, x| m.max(x.abs()));
    for (index, (&g, &slope)) in gradient.iter().zip(slopes).enumerate() {
        assert!((f64::from(g) - slope).abs() <= 1e-3 * largest, "{what} at {index}: {g}, by differences {slope}");
    }
}

fn perturb(network: &mut Network) {
    // Biases, factors and moving statistics start at values at which mistakes can hide.
    for weight in network.weights_mut() {
        if !weight.name().ends_with("kernel") {
            let variance = weight.name().ends_with("variance");
            for (i, value) in weight.values_mut().iter_mut().enumerate() {
                *value = (i % 5) as f32 * 0.2 + if variance { 0.5 } else { -0.35 };
            }
        }
    }
}

/// Checks all gradients of a layer against finite differences, used as it is and as in training, once and (where it has
/// one input) twice in parallel, so that gradients have to be added.
pub(crate) fn check_layer(layer: impl Into<Layer>, shapes: &[Shape]) {
    let layer = layer.into();
    for isa in Isa::available() {
        for (training, twice) in [(false, false), (true, false), (false, true)] {
            if twice && shapes.len() > 1 {
                continue;
            }
            let mut builder = Network::builder("one_layer");
            let inputs: Vec<usize> =
                shapes.iter().map(|shape| builder.add(Input::new(shape.clone()), &[]).unwrap()).collect();
            let mut last = builder.add_named("layer", layer.clone(), &inputs).unwrap();
            if twice {
                let other = builder.add_named("other", layer.clone(), &inputs).unwrap();
                last = builder.add_named("sum", Add {}, &[last, other]).unwrap();
            }
            let mut network = builder.build(&[last], 11).unwrap();
            perturb(&mut network);
            let name = network.nodes()[last].name().to_owned();
            let mut plan = Plan::builder(&network)
                .cpu(Cpu::detect().with_isa(isa).with_threads(2))
                .batch_size(BATCH + 1)
                .output(&*name)
                .grad_output_at(TensorRef::output(name))
                .input_gradient()
                .weight_gradients();
            if training {
                plan = plan.training();
            }
            let mut plan = plan.build().unwrap();
            plan.set_batch(BATCH);
            let inputs = shapes.iter().map(|shape| spread(BATCH * shape.len())).collect();
            let what = format!("{layer:?} on {} training {training} twice {twice}", isa.name());
            Rig { network, plan, training, inputs }.check(&what);
        }
    }
}

/// Checks that a layer refuses inputs of these shapes with a message that says all of `parts`.
pub(crate) fn refuses(layer: impl Into<Layer>, shapes: &[Shape], parts: &[&str]) {
    let layer = layer.into();
    let message = layer.spec().output_shape(shapes).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "{layer:?} says {message:?}, not {part:?}");
    }
}

/// The output of a layer in training.
pub(crate) fn run_training(
    layer: impl Into<Layer>,
    shape: &Shape,
    input: &[f32],
    batch: usize,
    first: u64,
) -> Vec<f32> {
    let mut network = Network::sequential("one_layer", shape.clone(), [layer.into()], 1).unwrap();
    let mut plan = Plan::builder(&network).batch_size(batch).training().build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward_training(&mut network, StepSeed { seed: 1, first_sample: first }).unwrap();
    plan.output(0).to_vec()
}
