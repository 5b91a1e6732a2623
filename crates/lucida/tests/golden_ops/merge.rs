//! Layers that merge several inputs.

use lucida::nn::layers::{
    Add, Average, Concatenate, Divide, Input, Layer, LayerScale, Maximum, Minimum, Multiply, Rescaling, Subtract,
};
use lucida::nn::{Network, Shape};

use crate::harness::{Case, WeightOf, cases};

/// A network of one layer that takes all inputs.
fn joined(layer: impl Into<Layer>, shapes: &[Shape]) -> lucida::Result<Network> {
    let mut builder = Network::builder("joined");
    let inputs =
        shapes.iter().map(|shape| builder.add(Input::new(shape.clone()), &[])).collect::<Result<Vec<_>, _>>()?;
    let last = builder.add_named("layer", layer, &inputs)?;
    builder.build(&[last], 1)
}

/// `a / (b b + 1)`
fn divided(shapes: &[Shape]) -> lucida::Result<Network> {
    let mut builder = Network::builder("divided");
    let a = builder.add_named("a", Input::new(shapes[0].clone()), &[])?;
    let b = builder.add_named("b", Input::new(shapes[1].clone()), &[])?;
    let square = builder.add(Multiply::new(), &[b, b])?;
    let divisor = builder.add(Rescaling::new(1.0, 1.0), &[square])?;
    let last = builder.add(Divide::new(), &[a, divisor])?;
    builder.build(&[last], 1)
}

fn check(case: &Case) {
    let layer: Layer = match case.op.as_str() {
        "Add" | "add" => Add::new().into(),
        "Concatenate" | "cat" => Concatenate::new().into(),
        "Subtract" | "subtract" => Subtract::new().into(),
        // A scale per channel that is the same for all samples is a weight.
        "mul" if case.name.ends_with("channel_scale") => {
            let gamma = WeightOf { recorded: "input.1", ours: "layer/gamma", axes: &[] };
            return case.check(&[gamma], |shapes| joined(LayerScale::new(1.0, shapes[0].channels()), shapes));
        }
        "Multiply" | "mul" => Multiply::new().into(),
        "Average" => Average::new().into(),
        "Maximum" | "maximum" => Maximum::new().into(),
        "Minimum" | "minimum" => Minimum::new().into(),
        "divide" if case.config["of"] == "a / (b * b + 1)" => return case.check(&[], divided),
        op => panic!("{}: {op} is not compared", case.name),
    };
    case.check(&[], |shapes| joined(layer, shapes));
}

#[test]
fn merge() {
    cases("merge").iter().for_each(check);
}
