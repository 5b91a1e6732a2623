//! Random descriptions of networks: an error, or a network with the same outputs on all instruction sets; never a panic.

mod random_networks;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lucida::core::{Purpose, Rng};
use lucida::nn::Layer;
use random_networks::{description, try_network};
use serde_json::{Value, json};

/// Number of rounds: `usual`, times the environment variable `LUCIDA_FUZZ` if it is set.
fn rounds(usual: usize) -> usize {
    usual * std::env::var("LUCIDA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

#[test]
fn random_networks_are_refused_or_run_alike_on_every_instruction_set() {
    let (mut built, rounds) = (0, rounds(4000));
    for seed in 0..rounds {
        let mut rng = Rng::keyed(seed as u64, Purpose::Choice, 0);
        let described = description(&mut |count| rng.below(count));
        match catch_unwind(AssertUnwindSafe(|| try_network(&described))) {
            Ok(tried) => built += usize::from(tried),
            Err(_) => panic!("seed {seed}: {described}"),
        }
    }
    assert!(built > rounds / 10, "{built} of {rounds}");
}

/// Every kind of layer has a template, and every template can be read as a layer: a misspelled key would silently exclude it
/// from the random networks.
#[test]
fn templates_are_layers_of_all_kinds() {
    let mut missing: BTreeSet<&str> = Layer::KINDS.iter().copied().filter(|&kind| kind != "Input").collect();
    for line in include_str!("random_networks/layers.jsonl").lines() {
        let layer: Value = serde_json::from_str(line).unwrap();
        missing.remove(layer["class_name"].as_str().unwrap());
        let input = json!({"name": "a", "class_name": "Input", "config": {"shape": [8, 8, 4]}, "inputs": []});
        let named = json!({"name": "b", "class_name": layer["class_name"], "config": layer["config"], "inputs": ["a"]});
        let network = json!({"name": "one", "layers": [input, named], "outputs": ["b"]});
        let problem = lucida::nn::Network::from_architecture(&network).err().map(|problem| problem.to_string());
        let unread = problem.filter(|problem| problem.contains("not the architecture"));
        assert_eq!(unread, None, "{line}");
    }
    assert!(missing.is_empty(), "not in random_networks/layers.jsonl: {missing:?}");
}

/// The backward pass of a convolution has one part for each position modulo the stride: with huge strides, it took all
/// memory or panicked.
#[test]
fn a_convolution_with_a_stride_of_the_address_space_trains() {
    for stride in [usize::MAX >> 1, 1 << 30] {
        let convolution = json!({"filters": 2, "kernel_size": [3, 3], "padding": "same", "strides": [1, stride]});
        let layers = json!([
            {"name": "a", "class_name": "Input", "config": {"shape": [6, 5, 3]}, "inputs": []},
            {"name": "b", "class_name": "Conv2D", "config": convolution, "inputs": ["a"]},
            {"name": "c", "class_name": "Conv2D", "config": convolution, "inputs": ["b"]},
        ]);
        assert!(try_network(&json!({"name": "far", "layers": layers, "outputs": ["c"]})), "{stride}");
    }
}

/// A short description of a network that exceeds the memory of any machine: its plan panicked.
#[test]
fn a_network_that_takes_all_memory_is_refused() {
    let input =
        json!({"name": "a", "class_name": "Input", "config": {"shape": [9_999_999, 9_999_999, 99]}, "inputs": []});
    let description = json!({"name": "", "layers": [input], "outputs": ["a"]});
    let network = lucida::nn::Network::from_architecture(&description).unwrap();
    let problem = lucida::nn::Plan::builder(&network).build().map(drop).unwrap_err().to_string();
    assert!(problem.contains("GiB of memory, which the system does not give"), "{problem}");
}
