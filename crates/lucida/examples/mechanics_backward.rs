//! The gradients of a convolution are convolutions, too, as `docs/mechanics.md` derives: `cargo run --example
//! mechanics_backward` computes them with formula (1) of that chapter, and compares them with the layer's backward pass.

use lucida::Result;

#[path = "mechanics.rs"]
pub(crate) mod mechanics;
use mechanics::{F, X, grid, pass};

#[allow(dead_code)] // the test of the chapter includes this file as a module
fn main() -> Result<()> {
    println!("{}", gradients()?);
    Ok(())
}

/// The computation of dL/dX, as a text block.
///
/// # Panics If the formula and the layer disagree.
pub(crate) fn gradients() -> Result<String> {
    let [_, of_output, of_filter, _, of_input] = pass(&F, &[0.0])?;
    // dL/dF: the input, convolved with dL/dO.
    assert_eq!(of_filter, convolved(&X, 3, &of_output));
    // dL/dX: dL/dO padded with zeros, convolved with the filter rotated by 180°.
    let rotated: Vec<f32> = F.iter().rev().copied().collect();
    let mut padded = [0.0; 16];
    of_output.iter().enumerate().for_each(|(at, &value)| padded[(at / 2 + 1) * 4 + at % 2 + 1] = value);
    assert_eq!(of_input, convolved(&padded, 4, &rotated));
    let steps = [
        grid("dL/dO padded", &padded, 4),
        grid("F rotated", &rotated, 2),
        grid("dL/dX = dL/dO padded * F rotated", &of_input, 3),
    ];
    Ok(steps.join("\n\n"))
}

/// Formula (1) without a bias: a `side` x `side` input, convolved with a 2x2 filter.
fn convolved(x: &[f32], side: usize, f: &[f32]) -> Vec<f32> {
    let output = |r, c| (0..4).map(|at| x[(r + at / 2) * side + c + at % 2] * f[at]).sum();
    (0..(side - 1).pow(2)).map(|at| output(at / (side - 1), at % (side - 1))).collect()
}
