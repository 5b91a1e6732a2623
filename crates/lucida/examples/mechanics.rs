//! A convolution, its backward pass and one step of gradient descent, with the numbers of `docs/mechanics.md`: `cargo run
//! --example mechanics`. The example `mechanics_backward` shows that both gradients are convolutions, too.

use lucida::Result;
use lucida::nn::{Network, Plan, layers::Conv2D};

/// The 3x3 input, the 2x2 filter, and the 2x2 target output.
pub(crate) const X: [f32; 9] = [1.0, 2.0, 0.0, 3.0, 1.0, 2.0, 0.0, 1.0, 4.0];
pub(crate) const F: [f32; 4] = [1.0, -1.0, 2.0, 0.0];
const TARGET: [f32; 4] = [4.0, 3.0, 4.0, 0.0];

#[allow(dead_code)] // the other example and the test of the chapter include this file as a module
fn main() -> Result<()> {
    println!("{}", steps()?.join("\n\n"));
    Ok(())
}

/// Returns O, dL/dO, dL/dF, dL/db and dL/dX, where L is half the sum of squared errors.
pub(crate) fn pass(filter: &[f32], bias: &[f32]) -> Result<[Vec<f32>; 5]> {
    let mut network = Network::sequential("worked", [3, 3, 1], [Conv2D::new(1, [2, 2]).into()], 0)?;
    network.weights_mut()[0].values_mut().copy_from_slice(filter);
    network.weights_mut()[1].values_mut().copy_from_slice(bias);
    let plan = Plan::builder(&network).output("conv2d").grad_output_at("conv2d");
    let mut plan = plan.input_gradient().weight_gradients().build()?;
    plan.input_mut().copy_from_slice(&X);
    plan.forward(&network)?;
    let output = plan.output(0).to_vec();
    let grad_output: Vec<f32> = output.iter().zip(TARGET).map(|(o, t)| o - t).collect();
    plan.grad_output_mut(0).copy_from_slice(&grad_output);
    plan.backward(&network);
    let grad_input = plan.input_gradient().unwrap_or_default().to_vec();
    Ok([output, grad_output, plan.weight_gradients()[0].clone(), plan.weight_gradients()[1].clone(), grad_input])
}

/// The steps, each as a text block.
pub(crate) fn steps() -> Result<Vec<String>> {
    let [o, of_o, of_f, of_b, _] = pass(&F, &[0.0])?;
    let descend = |(value, gradient): (&f32, &f32)| value - 0.05 * gradient;
    let learned: Vec<f32> = F.iter().zip(&of_f).map(descend).collect();
    let [_, of_o_after, ..] = pass(&learned, &[descend((&0.0, &of_b[0]))])?;
    let loss = |of_o: &[f32]| number(of_o.iter().map(|error| error * error).sum::<f32>() / 2.0);
    let (before, after) = (loss(&of_o), loss(&of_o_after));
    let forward = [grid("X", &X, 3), grid("F", &F, 2), grid("O", &o, 2)].join("\n\n");
    let errors = format!("{}\n\nL = {before}\n\n{}", grid("T", &TARGET, 2), grid("dL/dO", &of_o, 2));
    let backward = format!("{}\n\ndL/db = {}", grid("dL/dF = X * dL/dO", &of_f, 2), number(of_b[0]));
    let update = format!("{}\n\nL = {after} (before: {before})", grid("F after the step", &learned, 2));
    Ok(vec![forward, errors, backward, update])
}

/// Formats numbers in rows of `columns`, under a title.
pub(crate) fn grid(title: &str, values: &[f32], columns: usize) -> String {
    let row = |row: &[f32]| row.iter().map(|&value| format!("{:>7}", number(value))).collect::<String>();
    values.chunks_exact(columns).fold(title.to_owned(), |text, values| text + "\n" + &row(values))
}

/// Rounds to three decimals, and drops the sign of zero.
fn number(value: f32) -> f32 {
    (value * 1e3).round() / 1e3 + 0.0
}
