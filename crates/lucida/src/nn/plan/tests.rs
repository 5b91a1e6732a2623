use super::*;
use crate::Cpu;
use crate::nn::layers::{
    Activation, ActivationKind, Add, BatchNormalization, Concatenate, Conv2D, Dense, DepthwiseConv2D, Flatten,
    GlobalAveragePooling2D, Input, MaxPooling2D, Padding, ZeroPadding2D,
};
use crate::nn::{Layer, Network, StepSeed, applications};

fn ramp(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 31) % 23) as f32 / 11.0 - 1.0).collect()
}

fn conv(filters: usize) -> Conv2D {
    Conv2D::new(filters, [3, 3]).padding(Padding::Same)
}

/// A network with branches that join by concatenation and addition, batch normalization followed by a separate ReLU, and a
/// value with three consumers.
fn branches() -> Network {
    let mut b = Network::builder("branches");
    let relu = || Activation::new(ActivationKind::Relu);
    let input = b.add(Input::new([8, 8, 3]), &[]).unwrap();
    let stem = b.add_named("stem", conv(6).activation(ActivationKind::Relu), &[input]).unwrap();
    let left = b.add_named("left", conv(4).without_bias(), &[stem]).unwrap();
    let left = b.add_named("left_bn", BatchNormalization::default(), &[left]).unwrap();
    let left = b.add_named("left_relu", relu(), &[left]).unwrap();
    let right = b.add_named("right", conv(4).activation(ActivationKind::Tanh), &[stem]).unwrap();
    let sum = b.add_named("sum", Add::new(), &[left, right]).unwrap();
    let mixed = b.add_named("mixed", Concatenate::new(), &[sum, stem, left]).unwrap();
    let pool = b.add_named("pool", MaxPooling2D::default(), &[mixed]).unwrap();
    let flat = b.add_named("gap", GlobalAveragePooling2D::new(), &[pool]).unwrap();
    let out = b.add_named("out", Dense::new(3).activation(ActivationKind::Softmax), &[flat]).unwrap();
    b.build(&[out], 9).unwrap()
}

/// The value at one point when nothing else is requested.
fn value_at(network: &Network, point: TensorRef, input: &[f32], batch: usize) -> Vec<f32> {
    let mut plan = Plan::builder(network).batch_size(batch).output(point).build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward(network).unwrap();
    plan.output(0).to_vec()
}

#[test]
fn what_is_wanted_does_not_depend_on_what_else_is() {
    let network = branches();
    let (batch, input) = (3, ramp(3 * 8 * 8 * 3));
    let points: Vec<TensorRef> =
        ["stem", "left", "left_bn", "left_relu", "right", "sum", "mixed", "pool", "gap", "out"]
            .into_iter()
            .flat_map(|layer| [TensorRef::output(layer), TensorRef::before_activation(layer)])
            .collect();
    let mut all = Plan::builder(&network).batch_size(batch);
    for point in &points {
        all = all.output(point.clone());
    }
    let mut all = all.build().unwrap();
    all.input_mut().copy_from_slice(&input);
    all.forward(&network).unwrap();
    for (index, point) in points.iter().enumerate() {
        assert_eq!(all.output(index), value_at(&network, point.clone(), &input, batch), "{point:?}");
    }
}

#[test]
fn gradients_through_branches_agree_with_finite_differences() {
    let network = branches();
    let batch = 2;
    let mut input: Vec<f32> = ramp(batch * 8 * 8 * 3).iter().enumerate().map(|(i, x)| x + 1e-3 * i as f32).collect();
    let mut plan = Plan::builder(&network)
        .batch_size(batch)
        .output(TensorRef::before_activation("out"))
        .grad_output_at(TensorRef::before_activation("out"))
        .grad_output_at("sum")
        .output("sum")
        .input_gradient()
        .weight_gradients()
        .build()
        .unwrap();
    let weigh = |i: usize| (i % 7) as f32 / 3.0 - 1.0;
    let loss = |plan: &mut Plan, network: &Network, input: &[f32]| -> f64 {
        plan.input_mut().copy_from_slice(input);
        plan.forward(network).unwrap();
        let part = |values: &[f32]| -> f64 { values.iter().enumerate().map(|(i, &y)| f64::from(y * weigh(i))).sum() };
        part(plan.output(0)) + 0.1 * part(plan.output(1))
    };
    loss(&mut plan, &network, &input);
    plan.grad_output_mut(0).iter_mut().enumerate().for_each(|(i, g)| *g = weigh(i));
    plan.grad_output_mut(1).iter_mut().enumerate().for_each(|(i, g)| *g = 0.1 * weigh(i));
    plan.backward(&network);
    let gradient = plan.input_gradient().unwrap().to_vec();
    let weight_gradients = plan.weight_gradients().to_vec();
    // A ReLU or maximum may switch within a step: nearly all gradients must agree, not every single one.
    let mut outliers = 0;
    let mut judge = |g: f32, slope: f64| {
        outliers += usize::from((f64::from(g) - slope).abs() > 2e-3 * (0.1 + slope.abs()));
    };
    let mut count = 0;
    for i in (0..input.len()).step_by(3) {
        let original = input[i];
        input[i] = original + 1e-3;
        let above = loss(&mut plan, &network, &input);
        input[i] = original - 1e-3;
        let below = loss(&mut plan, &network, &input);
        input[i] = original;
        judge(gradient[i], (above - below) / 2e-3);
        count += 1;
    }
    let mut network = network;
    for (index, gradient) in weight_gradients.iter().enumerate() {
        for i in (0..gradient.len()).step_by(11) {
            let original = network.weights()[index].values()[i];
            network.weights_mut()[index].values_mut()[i] = original + 1e-3;
            let above = loss(&mut plan, &network, &input);
            network.weights_mut()[index].values_mut()[i] = original - 1e-3;
            let below = loss(&mut plan, &network, &input);
            network.weights_mut()[index].values_mut()[i] = original;
            judge(gradient[i], (above - below) / 2e-3);
            count += 1;
        }
    }
    assert!(outliers * 50 <= count, "{outliers} of {count} gradients disagree");
}

#[test]
fn small_batches_give_what_large_ones_give() {
    let network = applications::mnist_cnn(3).unwrap();
    let input = ramp(7 * 784);
    let whole = value_at(&network, TensorRef::output("dense_1"), &input, 7);
    let mut plan = Plan::builder(&network).batch_size(7).build().unwrap();
    for (n, expected) in whole.chunks(10).enumerate() {
        plan.set_batch(1);
        plan.input_mut().copy_from_slice(&input[n * 784..(n + 1) * 784]);
        plan.forward(&network).unwrap();
        for (a, b) in plan.output(0).iter().zip(expected) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}

#[test]
fn changed_weights_are_noticed() {
    let mut network = applications::mnist_cnn(3).unwrap();
    let input = ramp(784);
    let mut plan = Plan::builder(&network).build().unwrap();
    plan.input_mut().copy_from_slice(&input);
    plan.forward(&network).unwrap();
    let before = plan.output(0).to_vec();
    network.weights_mut()[0].values_mut()[0] += 1.0;
    plan.forward(&network).unwrap();
    assert_ne!(before, plan.output(0));
    assert_eq!(plan.output(0), value_at(&network, TensorRef::output("dense_1"), &input, 1));
    // Another network of the same architecture.
    let other = applications::mnist_cnn(4).unwrap();
    plan.forward(&other).unwrap();
    assert_eq!(plan.output(0), value_at(&other, TensorRef::output("dense_1"), &input, 1));
}

#[test]
fn only_what_is_needed_is_computed_and_kept() {
    let network = applications::mnist_cnn(3).unwrap();
    let first = Plan::builder(&network).batch_size(4).output("conv2d").build().unwrap();
    assert_eq!(first.steps.len(), 1);
    let whole = Plan::builder(&network).batch_size(4).build().unwrap();
    // The input is preserved, and the chain of layers alternates between two buffers.
    assert_eq!(whole.buffers.len(), 3);
    assert!(whole.memory() <= 4 * 4 * (784 + 784 * 24 + 784 * 24 / 4));
}

#[test]
fn frozen_layers_get_no_gradient_and_stop_its_way() {
    let mut network = applications::mnist_cnn(3).unwrap();
    for layer in ["conv2d", "conv2d_1", "conv2d_2"] {
        network.set_trainable(layer, false).unwrap();
    }
    let logits = TensorRef::before_activation("dense_1");
    let plan =
        Plan::builder(&network).output(logits.clone()).grad_output_at(logits).weight_gradients().build().unwrap();
    assert!(plan.weight_gradients()[..6].iter().all(Vec::is_empty));
    assert!(plan.weight_gradients()[6..].iter().all(|gradient| !gradient.is_empty()));
    assert_eq!(plan.steps.iter().filter(|step| step.backward.is_some()).count(), 2);
}

/// The gradient of a bias is the sum, over the pixels and the batch, of the gradient of the value that it is added to.
#[test]
fn gradients_between_the_layers() {
    let mut network = branches();
    network.set_trainable("stem", false).unwrap();
    let (batch, input) = (3, ramp(3 * 192));
    let logits = TensorRef::before_activation("out");
    let points =
        [TensorRef::before_activation("stem"), TensorRef::output("stem"), TensorRef::output("right"), "mixed".into()];
    let gradients = |builder: PlanBuilder| {
        let mut plan = builder.batch_size(batch).grad_output_at(logits.clone()).build().unwrap();
        plan.input_mut().copy_from_slice(&input);
        plan.forward(&network).unwrap();
        plan.grad_output_mut(0).copy_from_slice(&ramp(9));
        plan.backward(&network);
        plan
    };
    let mut all = Plan::builder(&network).output("stem").input_gradient().shift_gradients();
    for point in &points {
        all = all.gradient(point.clone());
    }
    let whole = gradients(all);
    let stem = whole.gradient(0).unwrap();
    let index = network.weights().iter().position(|weight| weight.name() == "stem/bias").unwrap();
    let sums: Vec<f32> = (0..6).map(|channel| stem.iter().skip(channel).step_by(6).sum()).collect();
    for (sum, bias) in sums.iter().zip(&whole.weight_gradients()[index]) {
        assert!((sum - bias).abs() < 1e-5, "{sum} {bias}");
    }
    let through = whole.gradient(1).unwrap().iter().zip(whole.output(0));
    assert!(through.zip(stem).all(|((&after, &y), &before)| before == if y > 0.0 { after } else { 0.0 }));
    assert!(whole.gradient(1).unwrap() != stem, "some unit of the stem is closed");
    // Only biases and offsets, frozen or not.
    for (weight, gradient) in network.weights().iter().zip(whole.weight_gradients()) {
        let shift = weight.name().ends_with("/bias") || weight.name().ends_with("/beta");
        assert_eq!(gradient.is_empty(), !shift, "{}", weight.name());
    }
    // A single gradient is the same, and earlier layers are omitted.
    for (index, point) in points.iter().enumerate() {
        let alone = gradients(Plan::builder(&network).exact(true).gradient(point.clone()));
        assert_eq!(alone.gradient(0), whole.gradient(index), "{point:?}");
        assert!(alone.steps[0].backward.is_none());
    }
    let no_way = gradients(Plan::builder(&network).output("out").gradient("out"));
    assert_eq!((no_way.gradient(0), no_way.gradient(1)), (None, None));
}

#[test]
fn a_step_allocates_no_buffers_and_repeats_to_the_bit() {
    let run = |threads: usize| {
        let network = branches();
        let mut plan = Plan::builder(&network)
            .cpu(Cpu::detect().with_threads(threads))
            .batch_size(5)
            .output("out")
            .grad_output_at("out")
            .weight_gradients()
            .build()
            .unwrap();
        plan.input_mut().copy_from_slice(&ramp(5 * 192));
        plan.forward(&network).unwrap();
        plan.grad_output_mut(0).copy_from_slice(&ramp(15));
        plan.backward(&network);
        plan.weight_gradients().to_vec()
    };
    assert_eq!(run(2), run(2));
    assert_eq!(run(3), run(3));
}

#[test]
fn mistakes_are_refused() {
    let mut network = applications::mnist_cnn(3).unwrap();
    let refused = |builder: PlanBuilder, expected: &str| {
        let message = builder.build().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(Plan::builder(&network).output("conv2d_9"), "conv2d_9");
    refused(Plan::builder(&network).batch_size(0), "0 samples");
    refused(Plan::builder(&network).input_gradient(), "no output gradient");
    refused(Plan::builder(&network).batch_size(usize::MAX / 8), "over the limit");
    let mut plan = Plan::builder(&network).build().unwrap();
    let small = Network::sequential("small", [4, 4, 1], [Layer::from(Flatten::new())], 0).unwrap();
    assert!(plan.forward(&small).is_err());
    assert!(plan.forward_training(&mut network, StepSeed { seed: 0, first_sample: 0 }).is_err());
}

#[test]
fn a_convolution_computes_the_normalization_that_follows_to_the_same_bits() {
    for (filters, channels) in [(5, 3), (24, 16)] {
        let mut b = Network::builder("normalized");
        let input = b.add(Input::new([12, 13, channels]), &[]).unwrap();
        let sums = b.add_named("sums", conv(filters).without_bias(), &[input]).unwrap();
        let normalized = b.add_named("normalized", BatchNormalization::default(), &[sums]).unwrap();
        let relu = b.add_named("relu", Activation::new(ActivationKind::Relu), &[normalized]).unwrap();
        let pool = b.add_named("pool", MaxPooling2D::default(), &[relu]).unwrap();
        let mut network = b.build(&[pool], 3).unwrap();
        for weight in network.weights_mut().iter_mut().skip(1) {
            for (index, value) in weight.values_mut().iter_mut().enumerate() {
                *value += (index % 5) as f32 / 7.0;
            }
        }
        let (batch, image) = (2, ramp(2 * 12 * 13 * channels));
        let steps = |plan: &Plan| plan.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        let layers = ["sums", "normalized", "relu", "pool"];
        let unfused = layers.iter().fold(Plan::builder(&network).batch_size(batch), |plan, &layer| plan.output(layer));
        let mut unfused = unfused.build().unwrap();
        assert_eq!(steps(&unfused), ["sums", "normalized", "relu+relu", "pool"]);
        unfused.input_mut().copy_from_slice(&image);
        unfused.forward(&network).unwrap();
        for (index, (layer, names)) in [
            ("sums", vec!["sums"]),
            ("normalized", vec!["sums+normalized"]),
            ("relu", vec!["sums+normalized+relu"]),
            ("pool", vec!["sums+normalized+relu+pool"]),
        ]
        .into_iter()
        .enumerate()
        {
            let mut plan = Plan::builder(&network).batch_size(batch).output(layer).build().unwrap();
            assert_eq!(steps(&plan), names);
            plan.input_mut().copy_from_slice(&image);
            plan.forward(&network).unwrap();
            assert_eq!(plan.output(0), unfused.output(index), "{layer}");
        }
    }
}

/// Large layers process one sample at a time, small ones several; values that cross sections, including a residual, are
/// kept for the whole batch.
#[test]
fn sections_give_what_single_samples_give() {
    let mut b = Network::builder("sections");
    let input = b.add(Input::new([320, 320, 3]), &[]).unwrap();
    let stem = b.add_named("stem", conv(8).activation(ActivationKind::Silu), &[input]).unwrap();
    let large = b.add_named("large", conv(8), &[stem]).unwrap();
    let large = b.add_named("sum", Add::new(), &[large, stem]).unwrap();
    let pooled = b.add_named("pooled", MaxPooling2D::new([16, 16]), &[large]).unwrap();
    let small = b.add_named("small", conv(8), &[pooled]).unwrap();
    let small = b.add_named("small_sum", Add::new(), &[small, pooled]).unwrap();
    let out = b.add_named("out", GlobalAveragePooling2D::new(), &[small]).unwrap();
    let network = b.build(&[out], 9).unwrap();
    let (batch, len) = (5, 320 * 320 * 3);
    let image = ramp(batch * len);
    let plan = |batch| Plan::builder(&network).batch_size(batch).output("stem").output("out").build().unwrap();
    let (mut all, mut one) = (plan(batch), plan(1));
    let samples: Vec<usize> = all.sections.iter().map(|section| section.samples).collect();
    assert!(samples.len() > 1 && samples[0] == 1 && samples.ends_with(&[batch]), "{samples:?}");
    for batch in [batch, 2] {
        all.set_batch(batch);
        all.input_mut().copy_from_slice(&image[..batch * len]);
        all.forward(&network).unwrap();
        for sample in 0..batch {
            one.input_mut().copy_from_slice(&image[sample * len..][..len]);
            one.forward(&network).unwrap();
            for output in 0..2 {
                let expected = one.output(output);
                assert!(all.output(output)[sample * expected.len()..][..expected.len()] == *expected, "{sample}");
            }
        }
    }
}

/// A block with zero padding, activations of several kinds, and two residuals: one of the block's input, one of a branch
/// that is computed after the main one.
fn blocks() -> Network {
    let mut b = Network::builder("blocks");
    let input = b.add(Input::new([9, 8, 6]), &[]).unwrap();
    let depthwise = DepthwiseConv2D::new([3, 3]).padding(Padding::Same).activation(ActivationKind::Silu);
    let x = b.add_named("depthwise", depthwise, &[input]).unwrap();
    let x = b.add_named("project", Conv2D::new(6, [1, 1]).without_bias(), &[x]).unwrap();
    let x = b.add_named("project_bn", BatchNormalization::default(), &[x]).unwrap();
    let x = b.add_named("first_sum", Add::new(), &[x, input]).unwrap();
    let x = b.add_named("relu6", Activation::new(ActivationKind::Relu6), &[x]).unwrap();
    let pad = ZeroPadding2D { padding: [[1, 0], [0, 2]] };
    let main = b.add_named("pad", pad, &[x]).unwrap();
    let main = b.add_named("main", Conv2D::new(5, [3, 3]).strides([2, 2]), &[main]).unwrap();
    let side = b.add_named("side_pad", pad, &[x]).unwrap();
    let side = b.add_named("side", Conv2D::new(5, [3, 3]).strides([2, 2]).without_bias(), &[side]).unwrap();
    let side = b.add_named("side_bn", BatchNormalization::default(), &[side]).unwrap();
    let x = b.add_named("second_sum", Add::new(), &[main, side]).unwrap();
    let x = b.add_named("gelu", Activation::new(ActivationKind::Gelu), &[x]).unwrap();
    let mut network = b.build(&[x], 9).unwrap();
    // Moments other than zero and one.
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name().contains("_bn/")) {
        let values = (0..weight.values().len()).map(|i| 0.5 + i as f32 / 10.0).collect::<Vec<_>>();
        weight.values_mut().copy_from_slice(&values);
    }
    network
}

#[test]
fn what_is_fused_computes_the_same() {
    let network = blocks();
    let (batch, input) = (2, ramp(2 * 9 * 8 * 6));
    let mut fused = Plan::builder(&network).batch_size(batch).build().unwrap();
    let names: Vec<String> = fused.profile().into_iter().map(|step| step.name).collect();
    let expected =
        ["depthwise+silu", "project+project_bn+first_sum+relu6", "pad+main", "side_pad+side+side_bn+second_sum+gelu"];
    assert_eq!(names, expected);
    // Nothing is fused if every value is requested.
    let mut all = Plan::builder(&network).batch_size(batch);
    for node in network.nodes() {
        all = all.output(node.name()).output(TensorRef::before_activation(node.name()));
    }
    let mut all = all.build().unwrap();
    for plan in [&mut fused, &mut all] {
        plan.input_mut().copy_from_slice(&input);
        plan.forward(&network).unwrap();
    }
    assert!(all.profile().len() > 2 * expected.len());
    let unfused = all.output(2 * network.nodes().len() - 2);
    let pairs = fused.output(0).iter().zip(unfused);
    assert!(
        pairs.len() == batch * 4 * 4 * 5 && pairs.clone().all(|(a, b)| (a - b).abs() < 2e-6),
        "{:?}",
        pairs.collect::<Vec<_>>()
    );
}

/// A gradient is propagated through each layer, except for zero padding.
#[test]
fn little_is_fused_where_a_gradient_comes_back() {
    let network = blocks();
    let plan = Plan::builder(&network).grad_output_at("gelu").input_gradient().build().unwrap();
    let names: Vec<String> = plan.profile().into_iter().map(|step| step.name).collect();
    assert!(names.iter().any(|name| name == "pad+main"), "{names:?}");
    assert!(names.iter().any(|name| name == "first_sum") && names.iter().any(|name| name == "side_bn"), "{names:?}");
}

/// A chain of convolutions; `c1` is followed by a convolution, `c2` by a pooling, `c3` is the last.
fn chain() -> Network {
    let mut b = Network::builder("chain");
    let relu = |filters| conv(filters).activation(ActivationKind::Relu);
    let input = b.add(Input::new([9, 8, 3]), &[]).unwrap();
    let first = b.add_named("c1", relu(17), &[input]).unwrap();
    let second = b.add_named("c2", relu(12), &[first]).unwrap();
    let pool = b.add_named("pool", MaxPooling2D::default(), &[second]).unwrap();
    let third = b.add_named("c3", relu(5), &[pool]).unwrap();
    b.build(&[third], 9).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one plan, step by step")]
fn a_linear_seed_is_what_it_stands_for() {
    let batch = 2;
    for (network, linear) in
        [(chain(), vec!["c1", "c2", "c3"]), (chain(), vec!["c1"]), (branches(), vec!["stem", "sum"])]
    {
        for exact in [false, true] {
            // The last one has an additional provided gradient.
            let last = linear[linear.len() - 1];
            let maps: Vec<_> = linear
                .iter()
                .map(|layer| {
                    let channels = network.nodes()[network.find(layer).unwrap()].shape().channels();
                    (ramp(channels * channels), if *layer == "c1" { ramp(channels) } else { Vec::new() })
                })
                .collect();
            let builder = || Plan::builder(&network).batch_size(batch).exact(exact).input_gradient().weight_gradients();
            let mut plan = linear
                .iter()
                .fold(builder().grad_output_at(last), |plan, layer| plan.linear_gradient_at(*layer))
                .build()
                .unwrap();
            let mut wanted = builder();
            for layer in &linear {
                wanted = wanted.grad_output_at(*layer).output(*layer);
            }
            let mut wanted = wanted.build().unwrap();
            for plan in [&mut plan, &mut wanted] {
                let input = plan.input_mut();
                let values = ramp(input.len());
                input.copy_from_slice(&values);
                plan.forward(&network).unwrap();
            }
            let seed = |len: usize| -> Vec<f32> { ramp(len).iter().map(|x| 0.3 * x).collect() };
            for (index, (matrix, shift)) in maps.iter().enumerate() {
                plan.set_linear_gradient(index, matrix, shift);
                let (value, gradient) = wanted.output_and_grad_mut(index, index);
                let own = if linear[index] == last { seed(gradient.len()) } else { vec![0.0; gradient.len()] };
                let channels = (matrix.len() as f64).sqrt() as usize;
                for (at, gradient) in gradient.iter_mut().enumerate() {
                    let (pixel, j) = (at / channels * channels, at % channels);
                    let sum: f32 = (0..channels).map(|i| value[pixel + i] * matrix[i * channels + j]).sum();
                    *gradient = own[at] + sum + shift.get(j).unwrap_or(&0.0);
                }
            }
            let own = plan.grad_output_mut(0);
            let values = seed(own.len());
            own.copy_from_slice(&values);
            plan.backward(&network);
            wanted.backward(&network);
            let gradients = |plan: &Plan| -> Vec<Vec<f32>> {
                [plan.input_gradient().unwrap().to_vec()].into_iter().chain(plan.weight_gradients().to_vec()).collect()
            };
            for (got, wanted) in gradients(&plan).iter().zip(&gradients(&wanted)) {
                let scale = wanted.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
                let difference = got.iter().zip(wanted).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(difference <= 1e-5 * scale, "{linear:?}, exact {exact}: {difference:e} of {scale:e}");
            }
        }
    }
    let twice = Plan::builder(&chain()).linear_gradient_at("c1").linear_gradient_at("c1").input_gradient().build();
    assert!(twice.unwrap_err().to_string().contains("c1"));
    // A layer without an activation has the same value before and after it.
    let network = branches();
    let twice =
        Plan::builder(&network).linear_gradient_at("sum").linear_gradient_at(TensorRef::before_activation("sum"));
    assert!(twice.input_gradient().build().unwrap_err().to_string().contains("sum"));
}

#[test]
fn the_gradient_of_a_shared_layer_is_the_sum_over_its_calls() {
    let layer = || Conv2D::new(2, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu);
    let network = |shared: bool| {
        let mut builder = Network::builder("twice");
        let input = builder.add(Input::new([5, 6, 2]), &[]).unwrap();
        let first = builder.add_named("first", layer(), &[input]).unwrap();
        let second = match shared {
            true => builder.add_shared("second", first, &[first]).unwrap(),
            false => builder.add_named("second", layer(), &[first]).unwrap(),
        };
        let mut network = builder.build(&[second], 4).unwrap();
        let values: Vec<Vec<f32>> = network.weights()[..2].iter().map(|weight| weight.values().to_vec()).collect();
        for (index, weight) in network.weights_mut().iter_mut().enumerate() {
            weight.values_mut().copy_from_slice(&values[index % 2]);
        }
        network
    };
    let gradients = |network: &Network| {
        let mut plan =
            Plan::builder(network).batch_size(2).weight_gradients().grad_output_at("second").build().unwrap();
        let mut ready = Vec::new();
        // Twice: the second pass must not depend on the first.
        for _ in 0..2 {
            plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 11) as f32 / 5.0 - 1.0);
            plan.forward(network).unwrap();
            plan.grad_output_mut(0).iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
            ready.clear();
            plan.backward_shared(network, None, &mut |weights, _| ready.push(weights));
        }
        (plan.weight_gradients().to_vec(), ready)
    };
    let (separate, _) = gradients(&network(false));
    let (shared, ready) = gradients(&network(true));
    assert_eq!(shared.len(), 2);
    assert!(ready.len() == 1 && ready[0] == (0..2), "{ready:?}");
    for weight in 0..2 {
        let sum: Vec<f32> = separate[weight].iter().zip(&separate[weight + 2]).map(|(a, b)| a + b).collect();
        let difference = shared[weight].iter().zip(&sum).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(difference < 1e-4, "{weight}: {difference}");
    }
}
