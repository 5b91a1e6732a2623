//! Checks each attribution method against its defining property.

mod common;

use common::{Expected, agree, shared};
use lucida::Error;
use lucida::core::Step;
use lucida::data::{Dataset, Limits, Mnist, Preprocessing, Subset, idx};
use lucida::explain::{
    Baseline, ClassScore, CompletenessCheck, ExplainConfig, Explainer, HeatMap, Method, explain, sanity_check,
};
use lucida::nn::layers::{
    Activation, ActivationKind, Add, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Conv2DTranspose, Dense,
    DepthwiseConv2D, Flatten, GlobalAveragePooling2D, GroupNormalization, Input, LayerNormalization, LayerScale,
    LocalResponseNormalization, MaxPooling2D, Multiply, PReLU, Padding, SeparableConv2D,
};
use lucida::nn::{Layer, Network, Plan, TensorRef, applications};
use lucida::train::{TrainConfig, Trainer};
use lucida::weights::{self, Model};

/// Pseudorandom values between -1 and 1.
fn ramp(len: usize, start: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + start) * 7919) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Sets biases, scales and statistics to nontrivial values, so that errors in their handling show.
fn settle(mut network: Network) -> Network {
    for weight in network.weights_mut().iter_mut().filter(|weight| !weight.name().ends_with("kernel")) {
        let variance = weight.name().ends_with("variance");
        let values = weight.values_mut();
        values.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 5) as f32 * 0.1 + if variance { 0.5 } else { -0.15 });
    }
    network
}

fn conv(filters: usize, activation: ActivationKind) -> Conv2D {
    Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(activation)
}

fn chain(kind: ActivationKind, units: usize, end: ActivationKind) -> Network {
    let layers: [Layer; 6] = [
        conv(6, kind).into(),
        MaxPooling2D::default().into(),
        conv(8, kind).into(),
        Flatten::new().into(),
        Dense::new(12).activation(kind).into(),
        Dense::new(units).activation(end).into(),
    ];
    settle(Network::sequential(format!("{kind:?}"), [8, 8, 2], layers, 3).unwrap())
}

/// A network with addition and concatenation of branches, batch normalizations with and without an offset, and average
/// pooling.
fn branches() -> Network {
    let mut b = Network::builder("branches");
    let input = b.add(Input::new([8, 8, 2]), &[]).unwrap();
    let stem = b.add_named("stem", conv(6, ActivationKind::Relu), &[input]).unwrap();
    let left = b.add(conv(4, ActivationKind::Linear).without_bias(), &[stem]).unwrap();
    let left = b.add(BatchNormalization { center: false, ..Default::default() }, &[left]).unwrap();
    let left = b.add(Activation::new(ActivationKind::Relu), &[left]).unwrap();
    let right = b.add(conv(4, ActivationKind::Tanh), &[stem]).unwrap();
    let right = b.add(BatchNormalization { scale: false, ..Default::default() }, &[right]).unwrap();
    let sum = b.add(Add::new(), &[left, right]).unwrap();
    let mixed = b.add_named("mixed", Concatenate::new(), &[sum, stem]).unwrap();
    let pool = b.add(AveragePooling2D::default(), &[mixed]).unwrap();
    let last = b.add_named("last", conv(5, ActivationKind::Relu), &[pool]).unwrap();
    let flat = b.add(GlobalAveragePooling2D::new(), &[last]).unwrap();
    let out = b.add(Dense::new(3).activation(ActivationKind::Softmax), &[flat]).unwrap();
    settle(b.build(&[out], 5).unwrap())
}

/// A network with all other kinds of convolutions.
fn convolutions() -> Network {
    let (relu, tanh, same) = (ActivationKind::Relu, ActivationKind::Tanh, Padding::Same);
    let layers: [Layer; 9] = [
        Conv2D::new(6, [3, 3]).padding(same).dilation_rate([2, 2]).groups(2).activation(tanh).into(),
        DepthwiseConv2D::new([3, 3]).padding(same).depth_multiplier(2).without_bias().into(),
        BatchNormalization::default().into(),
        Activation::new(relu).into(),
        SeparableConv2D::new(5, [3, 3]).padding(same).strides([2, 2]).activation(tanh).into(),
        Conv2DTranspose::new(4, [3, 3]).padding(same).strides([2, 2]).activation(tanh).into(),
        DepthwiseConv2D::new([3, 3]).padding(same).activation(relu).into(),
        Flatten::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    let mut network = settle(Network::sequential("convolutions", [8, 8, 2], layers, 3).unwrap());
    // Depthwise kernels are initialized to such small values that the score would hardly depend on the input.
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name().contains("depthwise")) {
        weight.values_mut().iter_mut().for_each(|value| *value *= 4.0);
    }
    network
}

/// Networks of many kinds, each with a class to explain.
fn networks() -> Vec<(Model, usize)> {
    let mut frozen = chain(ActivationKind::Relu, 4, ActivationKind::Softmax);
    frozen.set_trainable("conv2d", false).unwrap();
    [
        (frozen, 2),
        (chain(ActivationKind::Tanh, 3, ActivationKind::Linear), 0),
        (chain(ActivationKind::Sigmoid, 3, ActivationKind::Softmax), 1),
        (chain(ActivationKind::LeakyRelu { negative_slope: 0.2 }, 3, ActivationKind::Softmax), 1),
        (chain(ActivationKind::Clip { min: 0.0, max: 0.4 }, 3, ActivationKind::Softmax), 2),
        (chain(ActivationKind::Clip { min: 0.1, max: 0.6 }, 3, ActivationKind::Softmax), 0),
        (chain(ActivationKind::Relu, 1, ActivationKind::Sigmoid), 0),
        (chain(ActivationKind::Relu, 1, ActivationKind::Sigmoid), 1),
        (branches(), 1),
        (convolutions(), 1),
    ]
    .map(|(network, class)| (Model::new(network), class))
    .into()
}

/// Computes the score of a class with a separate plan.
fn score(network: &Network, class: usize, input: &[f32]) -> f32 {
    let score = ClassScore::of(network, class).unwrap();
    let mut plan = Plan::builder(network).output(score.point()).build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward(network).unwrap();
    score.read(plan.output(0)).next().unwrap()
}

fn map(model: &Model, class: usize, method: Method, input: &[f32], settings: &ExplainConfig) -> HeatMap {
    let map = explain(model, input, class, method, settings).unwrap();
    assert_eq!((map.method, map.class), (method, class));
    assert_eq!(map.values.len(), map.size[0] * map.size[1]);
    assert_eq!(map.raw.len(), map.raw_shape.iter().product::<usize>());
    assert!(map.values.iter().all(|value| value.is_finite()), "{method}");
    map
}

#[test]
fn gradients_are_differences_of_scores() {
    for (model, class) in networks() {
        let input = ramp(128, 3);
        let found = map(&model, class, Method::Gradient, &input, &ExplainConfig::default());
        assert!((found.score - score(&model.network, class, &input)).abs() < 1e-5);
        let largest = found.raw.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        let mut outliers = 0;
        for i in 0..input.len() {
            let at = |step: f32| {
                let mut moved = input.clone();
                moved[i] += step;
                score(&model.network, class, &moved)
            };
            let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
            outliers += usize::from((slope - found.raw[i]).abs() > 0.01 * largest);
        }
        // A ReLU or a maximum may switch within the finite difference.
        assert!(outliers <= 6, "{}: {outliers} of 128", model.network.name());
        for (value, pixel) in found.values.iter().zip(found.raw.chunks(2)) {
            assert_eq!(*value, pixel[0].abs().max(pixel[1].abs()));
        }
        let product = map(&model, class, Method::GradientXInput, &input, &ExplainConfig::default());
        assert!(product.raw.iter().zip(&found.raw).zip(&input).all(|((p, g), x)| *p == g * x));
    }
}

#[test]
fn the_recorded_gradient_of_a_digit() {
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let Some(path) = shared("data/mnist/t10k-images-idx3-ubyte.gz") else { return };
    let pixels = idx::read(&path, idx::Content::Images, &Limits::default()).unwrap().data;
    let input: Vec<f32> = pixels[51 * 784..52 * 784].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let model = weights::load_model(shared("golden/mnist_cnn.keras").unwrap()).unwrap();
    let found = map(&model, 3, Method::Gradient, &input, &ExplainConfig::default());
    agree("dlogit3_dinput51", &found.raw, &expected.values("dlogit3_dinput51"));
}

#[test]
fn integrated_gradients_sum_to_the_difference_of_scores() {
    for (model, class) in networks() {
        for baseline in [Baseline::Black, Baseline::Mean] {
            let input = ramp(128, 11);
            let settings = ExplainConfig { baseline, ..ExplainConfig::default() };
            let found = map(&model, class, Method::IntegratedGradients, &input, &settings);
            let mean = |channel| input.iter().skip(channel).step_by(2).sum::<f32>() / 64.0;
            let start = match baseline {
                Baseline::Black => vec![0.0; 128],
                Baseline::Mean => [mean(0), mean(1)].repeat(64),
            };
            let difference = score(&model.network, class, &input) - score(&model.network, class, &start);
            let sum: f32 = found.values.iter().sum();
            let name = model.network.name();
            assert!((sum - difference).abs() <= 0.01 * difference.abs(), "{name} {baseline:?}: {sum} {difference}");
            let CompletenessCheck::Completeness { difference: told, .. } = found.completeness else {
                panic!("{:?}", found.completeness)
            };
            assert!((told - f64::from(difference)).abs() < 1e-4);
            assert!(found.completeness.error().unwrap() <= 0.01);
        }
    }
}

#[test]
fn relevance_is_conserved() {
    for (model, class) in networks() {
        let input = ramp(128, 5);
        let found = map(&model, class, Method::Lrp, &input, &ExplainConfig::default());
        let CompletenessCheck::Conservation { score: told, inputs, biases } = found.completeness else {
            panic!("{:?}", found.completeness)
        };
        let expected = f64::from(score(&model.network, class, &input));
        let name = model.network.name();
        eprintln!("{name} class {class}: {inputs:.4} at the pixels, {biases:.4} at the biases, score {expected:.4}");
        assert!((told - expected).abs() < 1e-5);
        assert!((f64::from(found.values.iter().sum::<f32>()) - inputs).abs() < 1e-4);
        assert!((inputs + biases - expected).abs() <= 0.01 * expected.abs(), "{name}: {inputs} + {biases}, {expected}");
        assert!(biases.abs() > 0.01 * expected.abs(), "{name}: the biases matter here");
    }
}

/// A residual network with per-sample normalization, smooth activations, and a gate.
fn gated(kind: ActivationKind) -> Network {
    let mut b = Network::builder(format!("gated {kind:?}"));
    let input = b.add(Input::new([8, 8, 2]), &[]).unwrap();
    let stem = b.add(conv(6, kind), &[input]).unwrap();
    let norm = b.add(LayerNormalization { epsilon: 0.1, ..Default::default() }, &[stem]).unwrap();
    let branch = b.add(conv(6, kind), &[norm]).unwrap();
    let branch = b.add(GroupNormalization { epsilon: 0.1, ..GroupNormalization::new(2) }, &[branch]).unwrap();
    let branch = b.add(PReLU::shared(vec![0, 1]), &[branch]).unwrap();
    let squeezed = b.add(GlobalAveragePooling2D::new(), &[branch]).unwrap();
    let gate = b.add(Dense::new(6).activation(ActivationKind::Sigmoid), &[squeezed]).unwrap();
    let gated = b.add(Multiply::new(), &[branch, gate]).unwrap();
    let scaled = b.add(LayerScale::new(0.5, 6), &[gated]).unwrap();
    let sum = b.add(Add::new(), &[stem, scaled]).unwrap();
    let damped = b.add(LocalResponseNormalization { alpha: 0.5, ..Default::default() }, &[sum]).unwrap();
    let flat = b.add(GlobalAveragePooling2D::new(), &[damped]).unwrap();
    let out = b.add(Dense::new(3).activation(ActivationKind::Softmax), &[flat]).unwrap();
    settle(b.build(&[out], 5).unwrap())
}

#[test]
fn relevance_is_conserved_through_gates_and_normalizations() {
    let hard = ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };
    for kind in [ActivationKind::Gelu, ActivationKind::Silu, ActivationKind::Elu { alpha: 1.0 }, SOFTPLUS, hard] {
        let model = Model::new(gated(kind));
        let found = map(&model, 1, Method::Lrp, &ramp(128, 5), &ExplainConfig::default());
        let CompletenessCheck::Conservation { score: told, inputs, biases } = found.completeness else { panic!() };
        eprintln!("{kind:?}: {inputs:.4} at the pixels, {biases:.4} at the biases, score {told:.4}");
        assert!((inputs + biases - told).abs() <= 0.02 * told.abs(), "{kind:?}: {inputs} + {biases}, {told}");
        assert!(inputs.abs() > 1e-3 * told.abs(), "{kind:?}");
    }
}

const SOFTPLUS: ActivationKind = ActivationKind::Softplus { beta: 1.0, threshold: 20.0 };

/// Without biases, with ReLUs and a small epsilon, the epsilon rule equals gradient times input.
#[test]
fn relevance_of_a_network_without_biases() {
    let layers: [Layer; 4] = [
        Conv2D::new(5, [3, 3]).activation(ActivationKind::Relu).without_bias().into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(3).without_bias().into(),
    ];
    let model = Model::new(Network::sequential("free", [8, 8, 2], layers, 7).unwrap());
    let settings = ExplainConfig { epsilon: 1e-9, ..ExplainConfig::default() };
    let [relevance, product] =
        [Method::Lrp, Method::GradientXInput].map(|method| map(&model, 1, method, &ramp(128, 0), &settings));
    for (r, p) in relevance.raw.iter().zip(&product.raw) {
        assert!((r - p).abs() < 1e-6, "{r} {p}");
    }
    let CompletenessCheck::Conservation { biases, .. } = relevance.completeness else { panic!() };
    assert_eq!(biases, 0.0);
}

#[test]
fn smoothgrad_is_the_mean_gradient_of_noisy_copies() {
    for (model, class) in networks() {
        let input = ramp(128, 21);
        let gradient = map(&model, class, Method::Gradient, &input, &ExplainConfig::default());
        let still =
            map(&model, class, Method::SmoothGrad, &input, &ExplainConfig { noise: 0.0, ..ExplainConfig::default() });
        assert!(still.raw.iter().zip(&gradient.raw).all(|(a, b)| (a - b).abs() < 1e-6));
        let moved = |seed, samples| {
            let settings = ExplainConfig { noise: 0.1, samples, seed, ..ExplainConfig::default() };
            map(&model, class, Method::SmoothGrad, &input, &settings).raw
        };
        assert_eq!(moved(1, 9), moved(1, 9));
        assert_ne!(moved(1, 9), moved(2, 9));
        // Means of many samples differ less than means of few.
        let apart =
            |samples| -> f32 { moved(1, samples).iter().zip(moved(2, samples)).map(|(a, b)| (a - b).powi(2)).sum() };
        let (few, many) = (apart(4), apart(200));
        assert!(many < few || few == 0.0, "{}: {few} {many}", model.network.name());
    }
}

/// Computed layer by layer with loops: a convolution, its ReLU, a dense layer, its ReLU, a dense layer.
#[test]
fn guided_backprop_by_hand() {
    let layers: [Layer; 4] = [
        Conv2D::new(3, [3, 3]).activation(ActivationKind::Relu).into(),
        Flatten::new().into(),
        Dense::new(7).activation(ActivationKind::Relu).into(),
        Dense::new(2).into(),
    ];
    let network = settle(Network::sequential("hand", [6, 5, 2], layers, 2).unwrap());
    let weight = |name: &str| network.weight(name).unwrap().values();
    let input = ramp(60, 8);
    let kernel = |i: usize, j: usize, c: usize, f: usize| weight("conv2d/kernel")[((i * 3 + j) * 2 + c) * 3 + f];
    let mut first = [0.0_f32; 4 * 3 * 3];
    for (at, value) in first.iter_mut().enumerate() {
        let (y, x, f) = (at / 9, at / 3 % 3, at % 3);
        *value = weight("conv2d/bias")[f];
        for (i, j, c) in (0..18).map(|n| (n / 6, n / 2 % 3, n % 2)) {
            *value += input[((y + i) * 5 + x + j) * 2 + c] * kernel(i, j, c, f);
        }
        *value = value.max(0.0);
    }
    let second: Vec<f32> = (0..7)
        .map(|u| {
            let sum: f32 = first.iter().enumerate().map(|(i, x)| x * weight("dense/kernel")[i * 7 + u]).sum();
            (sum + weight("dense/bias")[u]).max(0.0)
        })
        .collect();
    let guide = |open: f32, signal: f32| if open > 0.0 { signal.max(0.0) } else { 0.0 };
    for class in 0..2 {
        let at_second: Vec<f32> = (0..7).map(|u| guide(second[u], weight("dense_1/kernel")[u * 2 + class])).collect();
        let at_first: Vec<f32> = (0..36)
            .map(|i| guide(first[i], (0..7).map(|u| at_second[u] * weight("dense/kernel")[i * 7 + u]).sum()))
            .collect();
        let mut expected = vec![0.0_f32; 60];
        for (at, signal) in at_first.iter().enumerate() {
            let (y, x, f) = (at / 9, at / 3 % 3, at % 3);
            for (i, j, c) in (0..18).map(|n| (n / 6, n / 2 % 3, n % 2)) {
                expected[((y + i) * 5 + x + j) * 2 + c] += signal * kernel(i, j, c, f);
            }
        }
        let model = Model::new(network.clone());
        let found = map(&model, class, Method::GuidedBackprop, &input, &ExplainConfig::default());
        assert!(expected.iter().any(|&value| value != 0.0));
        assert!(found.raw.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn occlusion_by_brute_force() {
    let (model, class) = (Model::new(branches()), 2);
    let input = ramp(128, 9);
    let whole = score(&model.network, class, &input);
    for (patch, stride) in [(3, 1), (3, 2), (2, 5), (8, 3), (20, 1)] {
        let settings = ExplainConfig { patch: Some(patch), stride: Some(stride), ..ExplainConfig::default() };
        let found = map(&model, class, Method::Occlusion, &input, &settings);
        let side = patch.min(8);
        let mut starts: Vec<usize> = (0..8 - side).step_by(stride.min(patch)).collect();
        starts.push(8 - side);
        for y in 0..8 {
            for x in 0..8 {
                let mut drops = Vec::new();
                for &top in starts.iter().filter(|&&top| (top..top + side).contains(&y)) {
                    for &left in starts.iter().filter(|&&left| (left..left + side).contains(&x)) {
                        let mut covered = input.clone();
                        for at in 0..64 {
                            if (top..top + side).contains(&(at / 8)) && (left..left + side).contains(&(at % 8)) {
                                covered[2 * at..2 * at + 2].fill(0.0);
                            }
                        }
                        drops.push(whole - score(&model.network, class, &covered));
                    }
                }
                let expected = drops.iter().sum::<f32>() / drops.len() as f32;
                let got = found.values[8 * y + x];
                assert!((got - expected).abs() < 1e-4, "patch {patch} stride {stride} ({y}, {x}): {got} {expected}");
            }
        }
    }
}

/// For convolutions, global average pooling and one dense layer, the class activation map of Zhou et al. is the sum of the
/// channels, weighted by the class. All gradients of a channel are equal, so the other maps have closed forms as well.
#[test]
fn class_activation_maps_of_a_network_with_global_pooling() {
    let layers: [Layer; 4] = [
        conv(7, ActivationKind::Relu).into(),
        conv(6, ActivationKind::Relu).into(),
        GlobalAveragePooling2D::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    let model = Model::new(settle(Network::sequential("pooled", [5, 6, 2], layers, 4).unwrap()));
    let input = ramp(60, 2);
    let mut plan = Plan::builder(&model.network).output("conv2d_1").build().unwrap();
    plan.input_mut().copy_from_slice(&input);
    plan.forward(&model.network).unwrap();
    let channels = plan.output(0);
    let areas: Vec<f32> = (0..6).map(|k| channels.iter().skip(k).step_by(6).sum()).collect();
    let mut seen = 0;
    for class in 0..3 {
        let slopes: Vec<f32> =
            (0..6).map(|k| model.network.weight("dense/kernel").unwrap().values()[3 * k + class] / 30.0).collect();
        let plus = |k: usize| if slopes[k] > 0.0 { 30.0 * slopes[k] / (2.0 + areas[k] * slopes[k]) } else { 0.0 };
        for (method, weights) in [
            (Method::GradCam, slopes.clone()),
            (Method::GradCamPlusPlus, (0..6).map(plus).collect()),
            (Method::LayerCam, slopes.iter().map(|slope| slope.max(0.0)).collect()),
        ] {
            let found = map(&model, class, method, &input, &ExplainConfig::default());
            let expected = |place: &[f32]| place.iter().zip(&weights).map(|(a, w)| a * w).sum::<f32>().max(0.0);
            assert_eq!(
                (found.raw_shape, &found.completeness),
                ([5, 6, 1], &CompletenessCheck::Layer("conv2d_1".to_owned()))
            );
            for (got, place) in found.values.iter().zip(channels.chunks(6)) {
                let expected = expected(place);
                assert!((got - expected).abs() < 1e-5, "{method} of class {class}: {got} {expected}");
            }
            seen += usize::from(found.values.iter().any(|&value| value > 0.0));
        }
    }
    // A map is blank if all channels count against the class, but not all maps may be.
    assert!(seen >= 6, "{seen} of 9 maps show something");
}

#[test]
fn score_cam_by_brute_force() {
    let (model, class) = (Model::new(branches()), 0);
    let input = ramp(128, 31);
    let settings = ExplainConfig { layer: Some("last".to_owned()), ..ExplainConfig::default() };
    let found = map(&model, class, Method::ScoreCam, &input, &settings);
    let mut plan = Plan::builder(&model.network).output("last").build().unwrap();
    plan.input_mut().copy_from_slice(&input);
    plan.forward(&model.network).unwrap();
    let values = plan.output(0);
    let nothing = score(&model.network, class, &[0.0; 128]);
    let mut powers = vec![0.0; 5];
    for (k, power) in powers.iter_mut().enumerate() {
        let channel: Vec<f32> = values.iter().skip(k).step_by(5).copied().collect();
        let (low, high) = channel.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        if low == high {
            continue;
        }
        // From 4x4 to 8x8, with half-pixel centers.
        let at = |y: usize, x: usize| {
            let tap = |i: usize| ((i as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, 3.0);
            let (v, u) = (tap(y), tap(x));
            let (t, l) = (v as usize, u as usize);
            let (b, r) = ((t + 1).min(3), (l + 1).min(3));
            let (dv, du) = (v - t as f32, u - l as f32);
            channel[4 * t + l] * (1.0 - dv) * (1.0 - du)
                + channel[4 * t + r] * (1.0 - dv) * du
                + channel[4 * b + l] * dv * (1.0 - du)
                + channel[4 * b + r] * dv * du
        };
        let fine: Vec<f32> = (0..64).map(|i| at(i / 8, i % 8)).collect();
        let (low, high) = fine.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let seen: Vec<f32> = (0..128).map(|i| input[i] * (fine[i / 2] - low) / (high - low)).collect();
        *power = (score(&model.network, class, &seen) - nothing).exp();
    }
    let sum: f32 = powers.iter().sum();
    for (got, place) in found.raw.iter().zip(values.chunks(5)) {
        let expected = place.iter().zip(&powers).map(|(a, p)| a * p / sum).sum::<f32>().max(0.0);
        assert!((got - expected).abs() < 1e-4, "{got} {expected}");
    }
}

/// A network that responds to a single patch.
#[test]
fn rise_and_occlusion_find_a_planted_patch() {
    let mut network = Network::sequential(
        "patch",
        [21, 21, 1],
        [Flatten::new().into(), Dense::new(1).activation(ActivationKind::Sigmoid).into()],
        1,
    )
    .unwrap();
    let inside = |at: usize| (6..11).contains(&(at / 21)) && (12..17).contains(&(at % 21));
    let weights = network.weights_mut();
    weights[0].values_mut().iter_mut().enumerate().for_each(|(at, w)| *w = if inside(at) { 0.4 } else { 0.0 });
    weights[1].values_mut()[0] = -5.0;
    let model = Model::new(network);
    for method in [Method::Rise, Method::Occlusion] {
        let found = map(&model, 1, method, &[1.0; 441], &ExplainConfig::default());
        let mut order: Vec<usize> = (0..441).collect();
        order.sort_by(|&a, &b| found.values[b].total_cmp(&found.values[a]));
        let hits = order[..25].iter().filter(|&&at| inside(at)).count();
        assert!(hits >= 20, "{method}: {hits} of the 25 highest lie in the patch");
    }
}

/// A network trained for a second on built-in digits, and digits held out from training.
fn trained() -> (Model, Vec<Vec<f32>>) {
    let digits = Mnist::builtin().unwrap().train;
    let mut model =
        Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(applications::mnist_cnn(1).unwrap()) };
    let config =
        TrainConfig { epochs: 2, batch_size: 64, learning_rate: 2e-3.into(), seed: 1, ..TrainConfig::default() };
    let train = Subset::new(&digits, (0..4000).collect()).unwrap();
    Trainer::new(config).fit(&mut model, &train, None).unwrap();
    let input = |index: usize| {
        let mut input = vec![0.0; 784];
        digits.fill(index, model.preprocessing().unwrap(), &mut input).unwrap();
        input
    };
    let inputs = (5000..5010).map(input).collect();
    (model, inputs)
}

#[test]
fn maps_of_digits_are_better_than_chance_and_depend_on_the_network() {
    let (model, digits) = trained();
    let settings = ExplainConfig { masks: 500, ..ExplainConfig::default() };
    let mut explainer = Explainer::new(&model, &settings).unwrap();
    let mut means = |found: &mut dyn FnMut(&mut Explainer, &[f32], usize) -> HeatMap| {
        let mut sums = [0.0; 2];
        for digit in &digits {
            let (class, probability) = explainer.predict(digit).unwrap();
            assert!(probability > 0.5);
            let map = found(&mut explainer, digit, class);
            let curves = explainer.faithfulness(digit, &map).unwrap();
            assert!((curves.deletion[0] - probability).abs() < 1e-4);
            assert!((curves.insertion.last().unwrap() - probability).abs() < 1e-4);
            sums[0] += curves.deletion_area() / digits.len() as f64;
            sums[1] += curves.insertion_area() / digits.len() as f64;
        }
        sums
    };
    let [chance_deletion, chance_insertion] = means(&mut |explainer, digit, class| {
        let map = explainer.explain(digit, class, Method::Gradient).unwrap();
        HeatMap { values: ramp(784, 0), ..map }
    });
    eprintln!("chance: deletion {chance_deletion:.3}, insertion {chance_insertion:.3}");
    for method in Method::ALL {
        let [deletion, insertion] =
            means(&mut |explainer, digit, class| explainer.explain(digit, class, method).unwrap());
        eprintln!("{method}: deletion {deletion:.3}, insertion {insertion:.3}");
        assert!(deletion < chance_deletion, "{method}: {deletion}, by chance {chance_deletion}");
        assert!(insertion > chance_insertion, "{method}: {insertion}, by chance {chance_insertion}");
    }

    let methods = [Method::Gradient, Method::GuidedBackprop, Method::GradCam, Method::IntegratedGradients];
    let (class, _) = explainer.predict(&digits[0]).unwrap();
    let mut told = 0;
    let checks = sanity_check(&model, &digits[0], class, &methods, &settings, &mut |_: &Step<'_>| {
        told += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(told > 0);
    for check in &checks {
        let layers: Vec<&str> = check.stages.iter().map(|stage| stage.layer.as_str()).collect();
        assert_eq!(layers, ["dense_1", "dense", "conv2d_2", "conv2d_1", "conv2d"]);
        let last = &check.stages[4];
        let method = check.original.method;
        eprintln!(
            "{method}: {:.3} {:.3} {:.3}",
            last.rank_correlation, last.rank_correlation_of_magnitudes, last.structural_similarity
        );
        assert!(last.structural_similarity < 0.9 && last.map.values != check.original.values, "{method}");
    }
    assert!(!checks[2].is_suspicious(), "Grad-CAM depends on the weights");
}

#[test]
fn what_cannot_be_explained() {
    let model = |network| Model::new(network);
    let classes = model(chain(ActivationKind::Relu, 4, ActivationKind::Softmax));
    let input = ramp(128, 0);
    let refused = |model: &Model, input: &[f32], class, method, settings: &ExplainConfig, expected: &str| {
        let error = explain(model, input, class, method, settings).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    let with = |layer: &str| ExplainConfig { layer: Some(layer.to_owned()), ..ExplainConfig::default() };
    let plain = ExplainConfig::default();
    refused(&classes, &input, 4, Method::Gradient, &plain, "no class 4: its classes are 0 to 3");
    refused(&classes, &input[1..], 0, Method::Gradient, &plain, "127 values are not an input of (8, 8, 2)");
    for method in [Method::GradCam, Method::ScoreCam] {
        refused(&classes, &input, 0, method, &with("conv2d_7"), "did you mean \"conv2d");
        refused(&classes, &input, 0, method, &with("dense"), "layer dense: its output of shape (12)");
    }
    refused(&classes, &input, 0, Method::Rise, &ExplainConfig { masks: 0, ..plain.clone() }, "0 masks");

    let layers: [Layer; 2] = [conv(4, ActivationKind::Relu).into(), MaxPooling2D::default().into()];
    let headless = model(Network::sequential("headless", [8, 8, 2], layers, 1).unwrap());
    refused(&headless, &input, 0, Method::Gradient, &plain, "network headless has no layer of classes");
    let flat = model(Network::sequential("flat", [8, 8, 2], [Flatten::new().into(), Dense::new(3).into()], 1).unwrap());
    refused(&flat, &input, 0, Method::GradCam, &plain, "network flat has no layer with spatial extent");
    map(&flat, 0, Method::Lrp, &input, &plain);
    let vector = model(Network::sequential("vector", [9], [Dense::new(3).into()], 1).unwrap());
    refused(&vector, &input[..9], 0, Method::Lrp, &plain, "takes values of shape (9), not images");

    // A branch that does not affect the classes.
    let mut b = Network::builder("two");
    let first = b.add(Input::new([4, 4, 1]), &[]).unwrap();
    b.add_named("aside", conv(2, ActivationKind::Relu), &[first]).unwrap();
    let flat = b.add(Flatten::new(), &[first]).unwrap();
    let out = b.add(Dense::new(2), &[flat]).unwrap();
    let aside = model(b.build(&[out], 1).unwrap());
    refused(&aside, &[0.5; 16], 0, Method::GradCam, &with("aside"), "layer aside: the classes");

    let mut explainer = Explainer::new(&classes, &plain).unwrap().progress(|step: &Step<'_>| {
        if step.done > 0 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    });
    assert!(matches!(explainer.explain(&input, 0, Method::Rise), Err(Error::Interrupted)));
}

/// A single-pixel image, and one equal to the baseline: no division by zero.
#[test]
fn images_with_nothing_in_them() {
    let tiny = Network::sequential("tiny", [1, 1, 3], [Flatten::new().into(), Dense::new(2).into()], 1).unwrap();
    let tiny = Model::new(tiny);
    let classes = Model::new(chain(ActivationKind::Relu, 4, ActivationKind::Softmax));
    for method in Method::ALL {
        let settings = ExplainConfig { masks: 20, ..ExplainConfig::default() };
        if !method.is_of_layer() {
            let found = map(&tiny, 1, method, &[0.3, 0.2, 0.1], &settings);
            let curves = Explainer::new(&tiny, &settings).unwrap().faithfulness(&[0.3, 0.2, 0.1], &found).unwrap();
            assert!(curves.deletion_area().is_finite() && curves.insertion.len() == 2);
        }
        let blank = map(&classes, 1, method, &[0.0; 128], &settings);
        assert!(blank.completeness.error().is_none_or(|error| error <= 0.01), "{method}: {:?}", blank.completeness);
    }
}

/// The plans are reused for all images: results do not depend on previous images.
#[test]
fn one_explainer_for_many_images() {
    let model = Model::new(branches());
    let settings = ExplainConfig { masks: 70, ..ExplainConfig::default() };
    let mut explainer = Explainer::new(&model, &settings).unwrap();
    for start in 0..3 {
        for method in Method::ALL {
            let input = ramp(128, 100 * start);
            let again = explainer.explain(&input, start % 3, method).unwrap();
            assert_eq!(again, explain(&model, &input, start % 3, method, &settings).unwrap(), "{method}");
        }
    }
    let point = TensorRef::before_activation("dense");
    assert_eq!(ClassScore::of(&model.network, 0).unwrap().point(), point);
}
