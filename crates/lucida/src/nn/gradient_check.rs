//! Gradient checks by finite differences, `df/dx = (f(x + h) - f(x - h)) / 2h`, with every instruction set of this machine.

use lucida_kernels::{Cpu, Isa};

use super::layers::{Add, Input, Layer};
use super::network::Network;
use super::op::StepSeed;
use super::plan::{Plan, TensorRef};
use super::shape::Shape;
use crate::{Error, Result};

const BATCH: usize = 3;
const SEED: StepSeed = StepSeed { seed: 5, first_sample: 2 };

/// Shuffled values between -1 and 1, no two closer than `2 / len` and none closer to zero than half of that: a smaller step
/// changes no maximum and crosses the kink of no ReLU.
fn test_values(len: usize) -> Vec<f32> {
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

/// The weight of each output in the loss.
fn importance(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * i * 7 + i * 3 + 5) % 23) as f32 / 11.0 - 1.0).collect()
}

/// A network with only the layer, and the inputs at which it is checked.
struct GradientCheck {
    network: Network,
    plan: Plan,
    training: bool,
    inputs: Vec<Vec<f32>>,
}

impl GradientCheck {
    /// The loss: the weighted sum of the outputs.
    fn loss(&mut self) -> Result<f64> {
        for (index, values) in self.inputs.iter().enumerate() {
            self.plan.input_mut_at(index).copy_from_slice(values);
        }
        if self.training {
            // The pass updates moving statistics, but training does not use them.
            self.plan.forward_training(&mut self.network, SEED)?;
        } else {
            self.plan.forward(&self.network)?;
        }
        let output = self.plan.output(0);
        Ok(output.iter().zip(importance(output.len())).map(|(&y, r)| f64::from(y) * f64::from(r)).sum())
    }

    /// The derivative of the loss with respect to a value, by central differences.
    fn slope(&mut self, step: f32, value: impl Fn(&mut Self) -> &mut f32) -> Result<f64> {
        let original = *value(self);
        *value(self) = original + step;
        let (above, high) = (self.loss()?, *value(self));
        *value(self) = original - step;
        let (below, low) = (self.loss()?, *value(self));
        *value(self) = original;
        Ok((above - below) / f64::from(high - low))
    }

    fn run(&mut self) -> Result<()> {
        self.loss()?;
        let grad_output = self.plan.grad_output_mut(0);
        let weights = importance(grad_output.len());
        grad_output.copy_from_slice(&weights);
        self.plan.backward(&self.network);
        for input in 0..self.inputs.len() {
            let gradient = self.plan.input_gradient_at(input).unwrap_or_default().to_vec();
            let step = 0.6 / self.inputs[input].len() as f32;
            let slopes = (0..self.inputs[input].len())
                .map(|i| self.slope(step, |check| &mut check.inputs[input][i]))
                .collect::<Result<Vec<f64>>>()?;
            compare(&gradient, &slopes, &format!("input {input}"))?;
        }
        for weight in 0..self.network.weights().len() {
            let checked = &self.network.weights()[weight];
            let (name, len) = (checked.name().to_owned(), checked.values().len());
            let gradient = self.plan.weight_gradients()[weight].clone();
            let slopes = (0..if checked.trainable() { len } else { 0 })
                .map(|i| self.slope(0.01, |check| &mut check.network.weights_mut()[weight].values_mut()[i]))
                .collect::<Result<Vec<f64>>>()?;
            compare(&gradient, &slopes, &name)?;
        }
        Ok(())
    }
}

fn compare(gradient: &[f32], slopes: &[f64], what: &str) -> Result<()> {
    let wrong = |problem: String| Err(Error::layer("layer", format!("gradient of {what}: {problem}")));
    if gradient.len() != slopes.len() {
        return wrong(format!("{} values, expected {}", gradient.len(), slopes.len()));
    }
    let largest = slopes.iter().fold(1e-2, |m: f64, x| m.max(x.abs()));
    for (index, (&g, &slope)) in gradient.iter().zip(slopes).enumerate() {
        let off = (f64::from(g) - slope).abs();
        if off.is_nan() || off > 1e-3 * largest {
            return wrong(format!("{g} at {index}, by finite differences {slope}"));
        }
    }
    Ok(())
}

/// Changes biases, scales and moving statistics from their initial values, which can hide mistakes.
fn perturb(network: &mut Network) {
    for weight in network.weights_mut() {
        if !weight.name().ends_with("kernel") {
            let variance = weight.name().ends_with("variance");
            for (i, value) in weight.values_mut().iter_mut().enumerate() {
                *value = (i % 5) as f32 * 0.2 + if variance { 0.5 } else { -0.35 };
            }
        }
    }
}

/// Compares the gradients of a layer for inputs of these shapes, with respect to all inputs and all trainable weights, with
/// finite differences, to a thousandth of the largest: in inference and in training, with every instruction set of this
/// machine, and, if the layer has one input, also in two parallel copies, so that gradients have to be accumulated.
///
/// ```
/// use lucida::nn::check_gradients;
/// use lucida::nn::layers::Conv2D;
///
/// check_gradients(Conv2D::new(4, [3, 3]), &[[6, 5, 2].into()])?;
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Layer`] names the gradient that differs, and where; or says why the layer does not accept the shapes.
pub fn check_gradients(layer: impl Into<Layer>, shapes: &[Shape]) -> Result<()> {
    let layer = layer.into();
    for isa in Isa::available() {
        for (training, twice) in [(false, false), (true, false), (false, true)] {
            if twice && shapes.len() > 1 {
                continue;
            }
            let context = |error: Error| {
                let mode = if training { "in training" } else { "as used" };
                Error::layer(layer.class_name(), format!("{error} ({}, {mode}, twice: {twice})", isa.name()))
            };
            check_once(&layer, shapes, Cpu::detect().with_isa(isa).with_threads(2), training, twice)
                .map_err(context)?;
        }
    }
    Ok(())
}

fn check_once(layer: &Layer, shapes: &[Shape], cpu: Cpu, training: bool, twice: bool) -> Result<()> {
    let mut builder = Network::builder("one_layer");
    let inputs = shapes.iter().map(|shape| builder.add(Input::new(shape.clone()), &[])).collect::<Result<Vec<_>>>()?;
    let mut last = builder.add_named("layer", layer.clone(), &inputs)?;
    if twice {
        let other = builder.add_named("other", layer.clone(), &inputs)?;
        last = builder.add_named("sum", Add::new(), &[last, other])?;
    }
    let mut network = builder.build(&[last], 11)?;
    perturb(&mut network);
    let name = network.nodes()[last].name().to_owned();
    let mut plan = Plan::builder(&network)
        .cpu(cpu)
        .batch_size(BATCH + 1)
        .output(&*name)
        .grad_output_at(TensorRef::output(name))
        .input_gradient()
        .weight_gradients();
    if training {
        plan = plan.training();
    }
    let mut plan = plan.build()?;
    plan.set_batch(BATCH);
    let inputs = shapes.iter().map(|shape| test_values(BATCH * shape.len())).collect();
    GradientCheck { network, plan, training, inputs }.run()
}
