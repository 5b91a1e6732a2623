//! Compares an MNIST network trained in Keras with Keras's results, from all three Keras formats.

mod common;

use common::{Expected, agree, shared};
use lucida::data::{Limits, idx};
use lucida::nn::losses::{CategoricalCrossentropy, Loss};
use lucida::nn::{Network, Plan, TensorRef, applications};
use lucida::weights;

const FILES: [&str; 3] = ["golden/mnist_cnn.keras", "golden/mnist_cnn.h5", "golden/mnist_cnn.weights.h5"];

/// Opens the network from each file, by each method that the file supports.
fn networks() -> Option<Vec<(&'static str, Network)>> {
    FILES
        .into_iter()
        .map(|name| {
            let path = shared(name)?;
            let network = if name.ends_with(".weights.h5") {
                let mut network = applications::mnist_cnn(1).unwrap();
                weights::load_weights(&path, &mut network).unwrap();
                network
            } else {
                weights::load_model(&path).unwrap().network
            };
            Some((name, network))
        })
        .collect()
}

/// Images as the network's input, pixel / 255, and their labels.
fn images(set: &str, range: std::ops::Range<usize>) -> Option<(Vec<f32>, Vec<u8>)> {
    let read = |kind: &str, content| {
        let path = shared(&format!("data/mnist/{set}-{kind}-ubyte.gz"))?;
        Some(idx::read(&path, content, &Limits::default()).unwrap().data)
    };
    let pixels = read("images-idx3", idx::Content::Images)?;
    let labels = read("labels-idx1", idx::Content::Labels)?;
    let input = pixels[784 * range.start..784 * range.end].iter().map(|&pixel| f32::from(pixel) / 255.0);
    Some((input.collect(), labels[range].to_vec()))
}

#[test]
fn predictions_of_all_three_files() {
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let (Some(networks), Some((input, _))) = (networks(), images("t10k", 0..10)) else { return };
    let expected = expected.values("predict_first10");
    for (name, network) in networks {
        assert_eq!(network.parameters().0, 113_514, "{name}");
        let mut plan = Plan::builder(&network).batch_size(10).build().unwrap();
        plan.input_mut().copy_from_slice(&input);
        plan.forward(&network).unwrap();
        let worst = plan.output(0).iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        eprintln!("{name}: largest difference of a probability {worst:.1e}");
        assert!(worst <= 1e-5, "{name}: {worst:e}");
    }
}

#[test]
fn all_files_hold_the_same_weights() {
    let Some(networks) = networks() else { return };
    let (first, rest) = networks.split_first().unwrap();
    for (name, network) in rest {
        for (a, b) in first.1.weights().iter().zip(network.weights()) {
            assert_eq!((a.name(), a.shape(), a.values()), (b.name(), b.shape(), b.values()), "{name}");
        }
        assert_eq!(network.architecture()["layers"], first.1.architecture()["layers"], "{name}");
    }
}

#[test]
fn activations_and_the_gradient_of_the_input() {
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let (Some(networks), Some((input, _))) = (networks(), images("t10k", 51..52)) else { return };
    let network = &networks[0].1;
    let mut plan = Plan::builder(network)
        .output("conv2d")
        .output("conv2d_1")
        .output("conv2d_2")
        .grad_output_at(TensorRef::before_activation("dense_1"))
        .input_gradient()
        .build()
        .unwrap();
    plan.input_mut().copy_from_slice(&input);
    plan.forward(network).unwrap();
    for index in 0..3 {
        let name = format!("activation51.{}", index + 1);
        agree(&name, plan.output(index), &expected.values(&name));
    }
    plan.grad_output_mut(0).fill(0.0);
    plan.grad_output_mut(0)[3] = 1.0;
    plan.backward(network);
    agree("dlogit3_dinput51", plan.input_gradient().unwrap(), &expected.values("dlogit3_dinput51"));
}

#[test]
fn the_loss_and_the_gradients_of_all_weights() {
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let (Some(networks), Some((input, labels))) = (networks(), images("train", 0..8)) else { return };
    let network = &networks[0].1;
    let logits = TensorRef::before_activation("dense_1");
    let mut plan = Plan::builder(network)
        .batch_size(8)
        .output(logits.clone())
        .grad_output_at(logits)
        .weight_gradients()
        .build()
        .unwrap();
    plan.input_mut().copy_from_slice(&input);
    plan.forward(network).unwrap();
    let mut targets = vec![0.0; 80];
    labels.iter().enumerate().for_each(|(row, &label)| targets[10 * row + usize::from(label)] = 1.0);
    let (values, seed) = plan.output_and_grad_mut(0, 0);
    let loss = CategoricalCrossentropy::default().evaluate(10, values, &targets, Some(seed));
    agree("loss_train8", &[loss as f32], &expected.values("loss_train8"));
    plan.backward(network);
    let recorded = expected.names().iter().filter(|name| name.starts_with("dloss.")).count();
    assert_eq!(recorded, network.weights().len());
    for (weight, gradient) in network.weights().iter().zip(plan.weight_gradients()) {
        let name = format!("dloss.{}", weight.name().replace('/', "."));
        agree(&name, gradient, &expected.values(&name));
    }
}
