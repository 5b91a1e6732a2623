//! A convolution and its backward pass, step by step, with the numbers of `docs/mechanics.md`: `cargo run --example
//! mechanics`.
//!
//! Every number comes from a real layer. The gradients are computed twice: by the layer's backward pass, and as two
//! convolutions, as the chapter derives them.

use std::fmt::Write;

use lucida::nn::layers::Conv2D;
use lucida::nn::{Network, Plan};
use lucida::{Error, Result};

/// The input, 3x3.
const X: [f32; 9] = [1.0, 2.0, 0.0, 3.0, 1.0, 2.0, 0.0, 1.0, 4.0];
/// The filter, 2x2, and its bias.
const F: [f32; 4] = [1.0, -1.0, 2.0, 0.0];
const BIAS: f32 = 0.0;
/// The target output, 2x2.
const TARGET: [f32; 4] = [4.0, 3.0, 4.0, 0.0];
/// The learning rate.
const RATE: f32 = 0.05;

#[allow(dead_code)] // the test of the chapter has this file as a module
fn main() -> Result<()> {
    println!("{}", steps()?.join("\n\n"));
    Ok(())
}

/// The steps, each as a block of text.
///
/// # Errors
/// [`Error::Bug`] if the two ways to a gradient disagree.
pub(crate) fn steps() -> Result<Vec<String>> {
    let network = layer(3, &F, BIAS)?;
    let mut plan = Plan::builder(&network)
        .output("conv2d")
        .grad_output_at("conv2d")
        .input_gradient()
        .weight_gradients()
        .build()?;

    plan.input_mut().copy_from_slice(&X);
    plan.forward(&network)?;
    let output = plan.output(0).to_vec();
    let forward = format!("{}\n\n{}\n\n{}", grid("X", &X, 3), grid("F", &F, 2), grid("O", &output, 2));

    let of_output: Vec<f32> = output.iter().zip(TARGET).map(|(o, t)| o - t).collect();
    let before = loss(&output);
    let losses = format!("{}\n\nL = {}\n\n{}", grid("T", &TARGET, 2), number(before), grid("dL/dO", &of_output, 2));

    plan.grad_output_mut(0).copy_from_slice(&of_output);
    plan.backward(&network);
    let (of_filter, of_bias) = (plan.weight_gradients()[0].clone(), plan.weight_gradients()[1][0]);
    let of_input = plan.input_gradient().unwrap_or_default().to_vec();

    // dL/dF: the input, convolved with dL/dO.
    agree("dL/dF", &of_filter, &convolved(&X, 3, &of_output)?)?;
    let filter = format!("{}\n\ndL/db = {}", grid("dL/dF = X * dL/dO", &of_filter, 2), number(of_bias));

    // dL/dX: dL/dO, padded with zeros, convolved with the filter rotated by 180°.
    let turned: Vec<f32> = F.iter().rev().copied().collect();
    let mut bordered = [0.0; 16];
    for (at, value) in of_output.iter().enumerate() {
        bordered[(at / 2 + 1) * 4 + at % 2 + 1] = *value;
    }
    agree("dL/dX", &of_input, &convolved(&bordered, 4, &turned)?)?;
    let input = [
        grid("dL/dO padded", &bordered, 4),
        grid("F rotated", &turned, 2),
        grid("dL/dX = dL/dO padded * F rotated", &of_input, 3),
    ]
    .join("\n\n");

    let learned: Vec<f32> = F.iter().zip(&of_filter).map(|(f, g)| f - RATE * g).collect();
    let network = layer(3, &learned, BIAS - RATE * of_bias)?;
    plan.forward(&network)?;
    let after = loss(plan.output(0));
    let update =
        format!("{}\n\nL = {} (before: {})", grid("F after the step", &learned, 2), number(after), number(before));
    Ok(vec![forward, losses, filter, input, update])
}

/// A network of one convolution over a square of `side` pixels.
fn layer(side: usize, kernel: &[f32], bias: f32) -> Result<Network> {
    let mut network = Network::sequential("worked", [side, side, 1], [Conv2D::new(1, [2, 2]).into()], 0)?;
    let [kernel_of_layer, bias_of_layer] = network.weights_mut() else {
        return Err(Error::Bug("a convolution has a kernel and a bias".into()));
    };
    kernel_of_layer.values_mut().copy_from_slice(kernel);
    bias_of_layer.values_mut().copy_from_slice(&[bias]);
    Ok(network)
}

/// A square, convolved with a kernel of 2x2, without padding.
fn convolved(square: &[f32], side: usize, kernel: &[f32]) -> Result<Vec<f32>> {
    let network = layer(side, kernel, 0.0)?;
    let mut plan = Plan::builder(&network).build()?;
    plan.input_mut().copy_from_slice(square);
    plan.forward(&network)?;
    Ok(plan.output(0).to_vec())
}

/// Half the sum of the squared errors.
fn loss(output: &[f32]) -> f32 {
    output.iter().zip(TARGET).map(|(o, t)| (o - t) * (o - t)).sum::<f32>() / 2.0
}

fn agree(what: &str, layer: &[f32], convolution: &[f32]) -> Result<()> {
    let same = layer.len() == convolution.len() && layer.iter().zip(convolution).all(|(a, b)| (a - b).abs() < 1e-5);
    if same { Ok(()) } else { Err(Error::Bug(format!("{what}: {layer:?} by the layer, {convolution:?} by hand"))) }
}

/// Numbers in rows of `columns`, under a title.
fn grid(title: &str, values: &[f32], columns: usize) -> String {
    let mut text = title.to_owned();
    for row in values.chunks_exact(columns) {
        text.push('\n');
        row.iter().for_each(|&value| write!(text, "{:>7}", number(value)).expect("writing to a String never fails"));
    }
    text
}

/// At most three decimals, without trailing zeros.
fn number(value: f32) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
