//! Layers that join several inputs.

use lucida::nn::layers::{Add, Concatenate, Input, Layer};
use lucida::nn::{Network, Shape};

use crate::harness::cases;

/// A network of one layer that takes all inputs.
fn joined(layer: impl Into<Layer>, shapes: &[Shape]) -> lucida::Result<Network> {
    let mut builder = Network::builder("joined");
    let inputs =
        shapes.iter().map(|shape| builder.add(Input::new(shape.clone()), &[])).collect::<Result<Vec<_>, _>>()?;
    let last = builder.add_named("layer", layer, &inputs)?;
    builder.build(&[last], 1)
}

#[test]
fn merge() {
    for case in cases("merge") {
        match case.op.as_str() {
            "Add" | "add" => case.check(&[], |shapes| joined(Add::new(), shapes)),
            "Concatenate" | "cat" => case.check(&[], |shapes| joined(Concatenate::new(), shapes)),
            op => eprintln!("not compared: {op}"),
        }
    }
}
