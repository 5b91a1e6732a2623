//! What the tests of the layers share.

use super::layers::Layer;
use super::{Network, Plan, Shape, StepSeed, check_gradients};

/// Checks all gradients of a layer against finite differences.
pub(crate) fn check_layer(layer: impl Into<Layer>, shapes: &[Shape]) {
    check_gradients(layer, shapes).unwrap();
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
