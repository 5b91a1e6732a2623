//! Small files written by PyTorch (`tests/torch/fixtures.py`): one network in all forms of state dictionaries.

use std::path::PathBuf;

use lucida::nn::applications::{self, Options};
use lucida::nn::layers::{Activation, ActivationKind, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D};
use lucida::nn::{Network, Plan};
use lucida::weights::{self, Format, torch};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/files")).join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(file("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

const STATES: [&str; 10] = [
    "zip.pth",
    "legacy.pth",
    "float16.pth",
    "bfloat16.pth",
    "float64.pth",
    "strided.pth",
    "strided_legacy.pth",
    "data_parallel.pth",
    "parameters.pth",
    "checkpoint.pth",
];

/// The network of the files. Its layers are named differently from the PyTorch modules.
fn network() -> Network {
    let layers = [
        Conv2D::new(4, [3, 3]).into(),
        BatchNormalization { momentum: 0.9, epsilon: 1e-5, ..Default::default() }.into(),
        Activation::new(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    Network::sequential("small", [6, 7, 3], layers, 1).unwrap()
}

#[test]
fn all_forms_give_the_same_weights_and_what_pytorch_computes() {
    let expected = expected();
    for name in STATES.into_iter().chain(["checkpoint_legacy.pth"]) {
        assert_eq!(Format::of(file(name)).unwrap(), Format::Torch, "{name}");
        let mut network = network();
        weights::load_weights(file(name), &mut network).unwrap_or_else(|problem| panic!("{problem}"));
        let values = |name: &str| network.weight(name).unwrap().values().to_vec();
        let tensor = |name: &str| numbers(&expected["tensors"][name]);
        assert_eq!(values("conv2d/bias"), tensor("0.bias"), "{name}");
        assert_eq!(values("batch_normalization/moving_variance"), tensor("1.running_var"), "{name}");
        let (ours, theirs) = (values("conv2d/kernel"), tensor("0.weight"));
        for (at, value) in ours.into_iter().enumerate() {
            let [filter, channel, pixel] = [at % 4, at / 4 % 3, at / 12];
            assert_eq!(value, theirs[(filter * 3 + channel) * 9 + pixel], "{name}");
        }
        let (ours, theirs) = (values("dense/kernel"), tensor("5.weight"));
        for (at, value) in ours.into_iter().enumerate() {
            let [unit, channel, pixel] = [at % 3, at / 3 % 4, at / 12];
            assert_eq!(value, theirs[unit * 16 + channel * 4 + pixel], "{name}");
        }
        let mut plan = Plan::builder(&network).batch_size(2).build().unwrap();
        plan.input_mut().copy_from_slice(&numbers(&expected["input"]));
        plan.forward(&network).unwrap();
        for (got, expected) in plan.output(0).iter().zip(numbers(&expected["output"])) {
            assert!((got - expected).abs() < 1e-5, "{name}: {got} for {expected}");
        }
    }
}

#[test]
fn inspection_says_what_is_there() {
    for name in STATES {
        let inspection = weights::inspect(file(name)).unwrap();
        let prefix = if name == "data_parallel.pth" { "module." } else { "" };
        let found: Vec<_> =
            inspection.tensors.iter().map(|t| (t.name.strip_prefix(prefix).unwrap(), t.shape.as_slice())).collect();
        assert_eq!(found[0], ("0.weight", &[4, 3, 3, 3][..]), "{name}");
        assert_eq!(found[6], ("1.num_batches_tracked", &[][..]), "{name}");
        assert_eq!((found.len(), found[7]), (9, ("5.weight", &[3, 16][..])), "{name}");
        let dtype = if name.contains("float") { name.trim_end_matches(".pth") } else { "float32" };
        assert_eq!(inspection.tensors[0].dtype, dtype, "{name}");
        assert_eq!(inspection.tensors[6].dtype, "int64", "{name}");
        // The batch counter is not a parameter.
        assert_eq!(inspection.parameters(), network().parameters().0, "{name}");
        let before = name.contains("legacy");
        assert_eq!(inspection.format.contains("before 1.6"), before, "{name}: {}", inspection.format);
        let attributes: &[(String, String)] = match name {
            "checkpoint.pth" => &[("epoch".into(), "3".into()), ("arch".into(), "small".into())],
            _ => &[],
        };
        assert_eq!(inspection.attributes, attributes, "{name}");
    }
}

#[test]
fn what_is_no_state_dictionary_is_refused_with_advice() {
    for (name, expected) in [
        ("zip.pth", &["state dictionary", "resnet50", "build it and load the weights"][..]),
        ("module.pth", &["would run code: torch.nn.modules", "refused", "state_dict()"]),
        ("script.pt", &["TorchScript"]),
    ] {
        let message = weights::load_model(file(name)).unwrap_err().to_string();
        for part in expected.iter().chain(&[name]) {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
        assert!(!message.contains('\n'), "{message}");
    }
}

/// A network whose weights all have different values.
fn filled(mut network: Network) -> Network {
    let mut next = 0_u32;
    for weight in network.weights_mut() {
        for value in weight.values_mut() {
            next = next.wrapping_add(0x9e37_79b9);
            *value = f32::from_bits(next >> 9 | 0x3f80_0000) - 1.5;
        }
    }
    network
}

fn survives(network: Network) {
    let network = filled(network);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.pth");
    torch::save_weights(&network, &path).unwrap();
    let mut again = Network::from_architecture(&network.architecture()).unwrap();
    weights::load_weights(&path, &mut again).unwrap();
    for (a, b) in network.weights().iter().zip(again.weights()) {
        assert!(a.values() == b.values(), "{}: {}", network.name(), a.name());
    }
}

#[test]
fn small_networks_survive_a_round_to_the_bit() {
    survives(network());
    survives(applications::mnist_cnn(1).unwrap());
    survives(applications::inception_v3(&Options::default().size(75, 75).classes(3)).unwrap());
}

#[test]
fn networks_of_torchvision_survive_a_round_to_the_bit() {
    let small = || Options::default().size(64, 64).classes(3);
    survives(applications::vgg16(&Options::default().size(32, 32).classes(3)).unwrap());
    survives(applications::vgg19_bn(&Options::without_top()).unwrap());
    survives(applications::alexnet(&Options::without_top()).unwrap());
    survives(applications::resnet18(&small()).unwrap());
    survives(applications::resnet50(&small()).unwrap());
    survives(applications::inception_v3_torch(&small().size(75, 75)).unwrap());
}

#[test]
fn a_network_of_torchvision_is_told_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.pth");
    for build in [applications::squeezenet1_0, applications::squeezenet1_1] {
        let network = filled(build(&Options::default().classes(5)).unwrap());
        torch::save_weights(&network, &path).unwrap();
        let model = weights::load_model(&path).unwrap();
        // PyTorch includes the softmax in the loss.
        let logits = network.clone().with_output_layer(Activation::new(ActivationKind::Linear).into()).unwrap();
        assert_eq!(model.network.architecture(), logits.architecture());
        let preprocessing = model.preprocessing.unwrap();
        assert_eq!((preprocessing.std[0], preprocessing.divisor), (0.229, 255.0));
        for (a, b) in network.weights().iter().zip(model.network.weights()) {
            assert!(a.values() == b.values(), "{}: {}", network.name(), a.name());
        }
        // Saving is deterministic.
        let first = std::fs::read(&path).unwrap();
        torch::save_weights(&model.network, &path).unwrap();
        assert!(first == std::fs::read(&path).unwrap());
    }
}
