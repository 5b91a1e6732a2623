//! Helpers shared by the tests of the layers.

use super::layers::{Input, Layer};
use super::{Network, Plan, Shape, StepSeed, TensorRef, check_gradients};

/// Checks all gradients of a layer against finite differences.
pub(crate) fn check_layer(layer: impl Into<Layer>, shapes: &[Shape]) {
    check_gradients(layer, shapes).unwrap();
}

/// Checks that a layer rejects inputs of these shapes with a message that contains all of `parts`.
pub(crate) fn refuses(layer: impl Into<Layer>, shapes: &[Shape], parts: &[&str]) {
    let layer = layer.into();
    let message = layer.spec().output_shape(shapes).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "{layer:?} says {message:?}, not {part:?}");
    }
}

/// The output of a layer in training mode.
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

/// The output of a layer that merges an image of two pixels and two channels with one of one pixel, and both input
/// gradients for an output gradient of 1, 2, 3, 4: for layers with kinks or poles, which finite differences cannot check.
pub(crate) fn merged(layer: impl Into<Layer>, inputs: [&[f32]; 2]) -> (Vec<f32>, [Vec<f32>; 2]) {
    let mut builder = Network::builder("merged");
    let image = builder.add(Input::new([1, 2, 2]), &[]).unwrap();
    let pixel = builder.add(Input::new([1, 1, 2]), &[]).unwrap();
    let last = builder.add_named("layer", layer, &[image, pixel]).unwrap();
    let network = builder.build(&[last], 1).unwrap();
    let plan = Plan::builder(&network).output("layer").grad_output_at(TensorRef::output("layer")).input_gradient();
    let mut plan = plan.build().unwrap();
    inputs.into_iter().enumerate().for_each(|(index, values)| plan.input_mut_at(index).copy_from_slice(values));
    plan.forward(&network).unwrap();
    let output = plan.output(0).to_vec();
    plan.grad_output_mut(0).copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    plan.backward(&network);
    (output, [0, 1].map(|index| plan.input_gradient_at(index).unwrap().to_vec()))
}

/// The output of a layer that merges two inputs of these shapes.
pub(crate) fn merged_of(layer: impl Into<Layer>, shapes: [&[usize]; 2], inputs: [&[f32]; 2]) -> Vec<f32> {
    let mut builder = Network::builder("merged");
    let inputs_of = shapes.map(|shape| builder.add(Input::new(Shape::from(shape)), &[]).unwrap());
    let last = builder.add_named("layer", layer, &inputs_of).unwrap();
    let network = builder.build(&[last], 1).unwrap();
    let mut plan = Plan::builder(&network).build().unwrap();
    inputs.into_iter().enumerate().for_each(|(index, values)| plan.input_mut_at(index).copy_from_slice(values));
    plan.forward(&network).unwrap();
    plan.output(0).to_vec()
}
