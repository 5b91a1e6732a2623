//! Softmax and log-softmax, and the parametric ReLU.

use lucida::nn::layers::{Activation, ActivationKind, Input, PReLU, Softmax};
use lucida::nn::{Layer, Network};

use crate::harness::{WeightOf, cases};

#[test]
fn softmax() {
    for case in cases("softmax") {
        let log = match case.op.as_str() {
            "Softmax" => false,
            "log_softmax" | "LogSoftmax" => true,
            op => panic!("{}: {op} is not compared", case.name),
        };
        // Axes as in Keras and PyTorch, where the batch is axis 0; the channels are the last axis, axis 1 in PyTorch.
        let over_channels = case.config["axis"] == -1 || case.config["dim"] == 1;
        let axes: Vec<usize> = match case.config["axis"].as_array() {
            Some(axes) => axes.iter().map(|axis| axis.as_u64().unwrap() as usize - 1).collect(),
            None => vec![2],
        };
        assert!(over_channels || axes == [0, 1], "{}: {}", case.name, case.config);
        let general = Softmax { axes, log };
        case.check(&[], |shapes| Network::sequential("one", shapes[0].clone(), [general.into()], 1));
        if over_channels {
            let kind = if log { ActivationKind::LogSoftmax } else { ActivationKind::Softmax };
            let layer: Layer = Activation::new(kind).into();
            case.check(&[], |shapes| Network::sequential("one", shapes[0].clone(), [layer], 1));
        }
    }
}

#[test]
fn prelu() {
    for case in cases("prelu") {
        assert_eq!(case.op, "PReLU", "{}", case.name);
        let (recorded, shared_axes) = match case.framework.as_str() {
            "keras" => {
                let axes = case.config["shared_axes"].as_array().map_or(&[][..], Vec::as_slice);
                ("alpha", axes.iter().map(|axis| axis.as_u64().unwrap() as usize - 1).collect())
            }
            _ if case.config["num_parameters"] == 1 => ("weight", vec![0, 1, 2]),
            _ => ("weight", vec![0, 1]),
        };
        let weights = [WeightOf { recorded, ours: "layer/alpha", axes: &[] }];
        assert!(case.weight(recorded).is_some());
        case.check(&weights, |shapes| {
            let mut builder = Network::builder("one_layer");
            let input = builder.add(Input::new(shapes[0].clone()), &[])?;
            let last = builder.add_named("layer", PReLU::shared(shared_axes), &[input])?;
            builder.build(&[last], 1)
        });
    }
}
