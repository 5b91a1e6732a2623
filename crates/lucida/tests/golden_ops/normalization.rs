//! Normalizations.

use lucida::nn::layers::{
    BatchNormalization, GroupNormalization, LayerNormalization, LocalResponseNormalization, RMSNormalization,
    UnitNormalization,
};
use lucida::nn::{Layer, Network};

use crate::harness::{Case, WeightOf, cases};

fn weight(recorded: &'static str, ours: &'static str, axes: &'static [usize]) -> WeightOf {
    WeightOf { recorded, ours, axes }
}

/// Keeps the weights that are in the record.
fn recorded(case: &Case, weights: Vec<WeightOf>) -> Vec<WeightOf> {
    weights.into_iter().filter(|weight| case.weight(weight.recorded).is_some()).collect()
}

/// Scale and shift, by the names of Keras and PyTorch.
fn gamma_and_beta(case: &Case, axes: &'static [usize]) -> Vec<WeightOf> {
    let all = vec![
        weight("gamma", "layer/gamma", axes),
        weight("beta", "layer/beta", axes),
        weight("weight", "layer/gamma", axes),
        weight("bias", "layer/beta", axes),
    ];
    recorded(case, all)
}

fn has(weights: &[WeightOf], ours: &str) -> bool {
    weights.iter().any(|weight| weight.ours == ours)
}

fn epsilon(case: &Case, default: f32) -> f32 {
    let given = case.config["epsilon"].as_f64().or(case.config["eps"].as_f64());
    given.map_or(default, |epsilon| epsilon as f32)
}

fn check(case: &Case, weights: &[WeightOf], layer: impl Into<Layer>) {
    case.check(weights, |shapes| {
        let mut builder = Network::builder("one_layer");
        let input = builder.add(lucida::nn::layers::Input::new(shapes[0].clone()), &[])?;
        let last = builder.add_named("layer", layer, &[input])?;
        builder.build(&[last], 1)
    });
}

#[test]
fn layer_norm() {
    for case in cases("layer_norm") {
        let axes = match case.op.as_str() {
            "LayerNormalization" => case.config["axis"].as_array().map_or(1, Vec::len),
            "LayerNorm" => case.config["normalized_shape"].as_array().unwrap().len(),
            op => panic!("{}: {op} is not compared", case.name),
        };
        // PyTorch's weights over whole images are channels first.
        let order: &[usize] = if case.framework == "torch" && axes == 3 { &[1, 2, 0] } else { &[] };
        let weights = gamma_and_beta(&case, order);
        let layer = LayerNormalization {
            axes,
            epsilon: epsilon(&case, 1e-3),
            center: has(&weights, "layer/beta"),
            scale: has(&weights, "layer/gamma"),
        };
        check(&case, &weights, layer);
    }
}

#[test]
fn rms_norm() {
    for case in cases("rms_norm") {
        assert!(["RMSNormalization", "RMSNorm"].contains(&&*case.op), "{}: {} is not compared", case.name, case.op);
        let all = vec![weight("scale", "layer/scale", &[]), weight("weight", "layer/scale", &[])];
        let weights = recorded(&case, all);
        assert_eq!(weights.len(), 1);
        check(&case, &weights, RMSNormalization { epsilon: epsilon(&case, 1e-6) });
    }
}

#[test]
fn unit_norm() {
    for case in cases("unit_norm") {
        assert_eq!(case.op, "UnitNormalization", "{}", case.name);
        check(&case, &[], UnitNormalization::new());
    }
}

#[test]
fn group_and_instance_norm() {
    for case in cases("group_norm").into_iter().chain(cases("instance_norm")) {
        let number = |name: &str| case.config[name].as_i64().unwrap();
        let groups = match case.op.as_str() {
            "GroupNormalization" => usize::try_from(number("groups")).ok(),
            "GroupNorm" => Some(number("num_groups") as usize),
            "InstanceNorm2d" => None,
            op => panic!("{}: {op} is not compared", case.name),
        };
        let weights = gamma_and_beta(&case, &[]);
        let layer = GroupNormalization {
            groups,
            epsilon: epsilon(&case, 1e-3),
            center: has(&weights, "layer/beta"),
            scale: has(&weights, "layer/gamma"),
        };
        check(&case, &weights, layer);
    }
}

#[test]
fn batch_norm() {
    for case in cases("batch_norm") {
        assert!(["BatchNormalization", "BatchNorm2d"].contains(&&*case.op), "{}: {}", case.name, case.op);
        let mut weights = gamma_and_beta(&case, &[]);
        let moving = vec![
            weight("moving_mean", "layer/moving_mean", &[]),
            weight("moving_variance", "layer/moving_variance", &[]),
            weight("running_mean", "layer/moving_mean", &[]),
            weight("running_var", "layer/moving_variance", &[]),
        ];
        weights.extend(recorded(&case, moving));
        let momentum = case.config["momentum"].as_f64().unwrap_or(0.99) as f32;
        let layer = BatchNormalization {
            // PyTorch's momentum is the weight of the new value.
            momentum: if case.framework == "torch" { 1.0 - momentum } else { momentum },
            epsilon: epsilon(&case, 1e-3),
            center: has(&weights, "layer/beta"),
            scale: has(&weights, "layer/gamma"),
        };
        check(&case, &weights, layer);
    }
}

#[test]
fn local_response_norm() {
    for case in cases("local_response_norm") {
        assert_eq!(case.op, "LocalResponseNorm", "{}", case.name);
        let number = |name: &str| case.config[name].as_f64().unwrap() as f32;
        let layer = LocalResponseNormalization {
            size: number("size") as usize,
            alpha: number("alpha"),
            beta: number("beta"),
            bias: number("k"),
        };
        check(&case, &[], layer);
    }
}
