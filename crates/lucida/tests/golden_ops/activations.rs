//! Element-wise functions, and the gated linear unit.

use lucida::nn::layers::{Activation, ActivationKind, Glu, Rescaling};
use lucida::nn::{Layer, Network};

use crate::harness::{Case, cases};

fn kind(case: &Case) -> Option<ActivationKind> {
    let number = |name: &str| case.config[name].as_f64().map(|number| number as f32);
    let given = |name: &str| number(name).unwrap_or_else(|| panic!("{}: no {name}", case.name));
    Some(match case.op.as_str() {
        "celu" | "CELU" => ActivationKind::Celu { alpha: given("alpha") },
        "elu" | "ELU" => ActivationKind::Elu { alpha: given("alpha") },
        "selu" | "SELU" => ActivationKind::Selu,
        "exponential" => ActivationKind::Exponential,
        "gelu" | "GELU" => match case.config["approximate"] == true || case.config["approximate"] == "tanh" {
            true => ActivationKind::GeluTanh,
            false => ActivationKind::Gelu,
        },
        "hard_sigmoid" | "Hardsigmoid" => ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        "hard_silu" | "Hardswish" => ActivationKind::HardSilu,
        "hard_tanh" => ActivationKind::Clip { min: -1.0, max: 1.0 },
        "Hardtanh" => ActivationKind::Clip { min: given("min_val"), max: given("max_val") },
        "leaky_relu" | "LeakyReLU" => ActivationKind::LeakyRelu { negative_slope: given("negative_slope") },
        "mish" | "Mish" => ActivationKind::Mish,
        "relu6" | "ReLU6" => ActivationKind::Relu6,
        "ReLU" => ActivationKind::GeneralRelu {
            negative_slope: number("negative_slope").unwrap_or(0.0),
            threshold: given("threshold"),
            max_value: number("max_value"),
        },
        "sigmoid" | "Sigmoid" => ActivationKind::Sigmoid,
        "LogSigmoid" => ActivationKind::LogSigmoid,
        "silu" | "SiLU" => ActivationKind::Silu,
        "softplus" | "Softplus" => ActivationKind::Softplus {
            beta: number("beta").unwrap_or(1.0),
            threshold: number("threshold").unwrap_or(20.0),
        },
        "softsign" | "Softsign" => ActivationKind::Softsign,
        "tanh" | "Tanh" => ActivationKind::Tanh,
        _ => return None,
    })
}

#[test]
fn activations() {
    for case in cases("activations") {
        let layers: Vec<Layer> = match kind(&case) {
            // Applied to a quarter of the input.
            Some(kind) if case.config["of"] == "x / 4" => {
                vec![Rescaling::new(0.25, 0.0).into(), Activation::new(kind).into()]
            }
            Some(kind) => vec![Activation::new(kind).into()],
            None if case.op == "GLU" => vec![Glu::new().into()],
            None => panic!("{}: {} is not compared", case.name, case.op),
        };
        case.check(&[], |shapes| Network::sequential("one_layer", shapes[0].clone(), layers, 1));
    }
}
