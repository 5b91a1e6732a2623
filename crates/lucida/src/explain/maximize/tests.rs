use super::*;
use crate::nn::layers::{ActivationKind, Conv2D, Dense, Flatten, MaxPooling2D, Padding};
use crate::weights::Model;

fn small(channels: usize) -> Network {
    let layers = [
        Conv2D::new(6, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
        Conv2D::new(4, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu).into(),
        Flatten::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    Network::sequential("small", [12, 10, channels], layers, 7).unwrap()
}

fn run(network: &Network, target: &Target, objectives: &[Objective], method: &Method) -> Result<Vec<Maximized>> {
    maximize(network, None, target, objectives, method, Cpu::detect(), &mut ())
}

/// The value of an objective for an input, by a forward-only plan.
fn value(network: &Network, layer: &str, channel: usize, input: &[f32]) -> f32 {
    let mut plan = Plan::builder(network).output(layer).build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward(network).unwrap();
    let channels = plan.output_shape(0).channels();
    let values: Vec<f32> = plan.output(0).iter().skip(channel).step_by(channels).copied().collect();
    values.iter().sum::<f32>() / values.len() as f32
}

/// Without the regularization for photographs: this tests the ascent itself.
fn unbounded(steps: usize) -> Method {
    Method::Fourier(Fourier { steps, epsilon: 1e-12, contrast: None, wrap: false, ..Fourier::default() })
}

fn quick() -> Method {
    unbounded(60)
}

#[test]
fn images_excite_their_filter_more_than_the_start_and_than_other_filters_images_do() {
    for channels in [1, 3] {
        let network = small(channels);
        let objectives: Vec<_> = (0..4).map(Objective::Channel).collect();
        let keras_vis = Method::KerasVis(KerasVis { steps: (30, 30), ..KerasVis::default() });
        for method in [quick(), keras_vis] {
            let found = run(&network, &Target::layer("conv2d_1"), &objectives, &method).unwrap();
            let gray = vec![0.5; 120 * channels];
            let mut live = 0;
            for (channel, own) in found.iter().enumerate() {
                let at = |input: &[f32]| value(&network, "conv2d_1", channel, input);
                assert!(
                    (own.value - at(&own.input)).abs() < 1e-3 * own.value.abs().max(1.0),
                    "the value is the image's"
                );
                // Like the package, this keras-vis cannot activate a filter that is inactive for the initial noise.
                if own.value == 0.0 && matches!(method, Method::KerasVis(_)) {
                    assert_eq!(at(&gray), 0.0, "{channel}");
                    continue;
                }
                live += 1;
                assert!(own.value > 1.5 * at(&gray), "{channel}: {} for gray {}", own.value, at(&gray));
                // keras-vis does not bound pixels, so the image of one filter may activate another one more.
                let bounded = matches!(method, Method::Fourier(_));
                for (other, image) in found.iter().enumerate().filter(|&(other, _)| bounded && other != channel) {
                    assert!(own.value > at(&image.input), "{channel} and {other}");
                }
            }
            assert!(live >= 2, "{live} of 4 filters live");
        }
    }
}

#[test]
fn contrast_stays_within_its_bound_however_long_the_ascent() {
    let network = small(3);
    let contrast = |method: &Method| {
        let found = run(&network, &Target::layer("conv2d_1"), &[Objective::Channel(0)], method).unwrap();
        let logits = found[0].input.iter().map(|&p| f64::from(p / (1.0 - p)).ln().powi(2));
        (logits.sum::<f64>() / found[0].input.len() as f64).sqrt()
    };
    let bounded = Fourier { steps: 300, epsilon: 1e-12, contrast: Some(0.5), ..Fourier::default() };
    let bounded = Method::Fourier(bounded);
    assert!(contrast(&bounded) < 0.51, "{}", contrast(&bounded));
    assert!(contrast(&unbounded(300)) > 1.0, "the bound is what holds it: {}", contrast(&unbounded(300)));
}

#[test]
fn images_do_not_depend_on_what_is_made_beside_them() {
    let network = small(3);
    let target = Target::layer("conv2d_1");
    let one = run(&network, &target, &[Objective::Channel(0)], &quick()).unwrap();
    let two = run(&network, &target, &[Objective::Channel(0), Objective::Channel(2)], &quick()).unwrap();
    assert_eq!(one[0].input, two[0].input);
    let again = run(&network, &target, &[Objective::Channel(0)], &quick()).unwrap();
    assert_eq!(one, again);
    let threads = Cpu::detect().with_threads(1);
    let single = maximize(&network, None, &target, &[Objective::Channel(0)], &quick(), threads, &mut ());
    assert_eq!(single.unwrap()[0].image, one[0].image);
}

#[test]
fn every_objective_grows() {
    let network = small(1);
    let layer = Target::layer("conv2d_1");
    let objectives = [
        Objective::Neuron { channel: 1, position: None },
        Objective::Neuron { channel: 1, position: Some([0, 4]) },
        Objective::Channel(3),
        Objective::Layer,
        Objective::Direction(vec![(0, 1.0), (2, -0.5)]),
    ];
    let steps = unbounded;
    let (early, late) = (
        run(&network, &layer, &objectives, &steps(1)).unwrap(),
        run(&network, &layer, &objectives, &steps(60)).unwrap(),
    );
    for ((early, late), objective) in early.iter().zip(&late).zip(&objectives) {
        assert!(late.value > early.value + 1e-3, "{objective:?}: {} to {}", early.value, late.value);
    }
    let classes = Target::classes(&Model::new(network.clone())).unwrap();
    let of = |steps_made| run(&network, &classes, &[Objective::Channel(2)], &steps(steps_made)).unwrap()[0].value;
    assert!(of(60) > of(1) + 0.2, "{} to {}", of(1), of(60));
}

/// After a pooling layer, there are no values before a ReLU to follow.
#[test]
fn silent_filters_behind_other_layers_are_woken_and_dead_ones_stay_even() {
    let layers = [
        Conv2D::new(2, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
    ];
    let mut network = Network::sequential("silent", [12, 12, 1], layers, 7).unwrap();
    // An edge filter that is inactive on uniform images, and a dead one.
    let kernel = network.weights_mut().iter_mut().find(|weight| weight.name() == "conv2d/kernel").unwrap();
    for (tap, values) in kernel.values_mut().chunks_exact_mut(2).enumerate() {
        values.copy_from_slice(&[[1.0, 0.0, -1.0][tap % 3], 0.0]);
    }
    let bias = network.weights_mut().iter_mut().find(|weight| weight.name() == "conv2d/bias").unwrap();
    bias.values_mut().copy_from_slice(&[-1.6, -1.0]);
    let gray = vec![0.5; 144];
    assert_eq!(value(&network, "max_pooling2d", 0, &gray), 0.0);
    let settings = Fourier { steps: 120, ..Fourier::default() };
    let objectives = [Objective::Channel(0), Objective::Channel(1)];
    let found = run(&network, &Target::layer("max_pooling2d"), &objectives, &Method::Fourier(settings)).unwrap();
    assert!(found[0].value > 0.05, "{}", found[0].value);
    assert_eq!(found[1].value, 0.0);
    assert!(found[1].image.pixels().iter().all(|pixel| pixel.abs_diff(128) <= 1));
}

#[test]
fn variants_differ() {
    let network = small(3);
    let similarity = |weight: f32| {
        let settings = Fourier { steps: 60, diversity: 2, diversity_weight: weight, ..Fourier::default() };
        let found =
            run(&network, &Target::layer("conv2d_1"), &[Objective::Channel(0)], &Method::Fourier(settings)).unwrap();
        assert_eq!(found.len(), 2);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - 0.5) * (b - 0.5)).sum::<f32>();
        let (a, b) = (&found[0].input, &found[1].input);
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    assert!(similarity(1.0) < similarity(0.0), "{} {}", similarity(1.0), similarity(0.0));
}

#[test]
fn the_work_can_be_stopped() {
    let network = small(1);
    let mut steps = 0;
    let mut stop = |step: &Step<'_>| {
        steps = step.done;
        assert_eq!(step.total, Some(60));
        if step.done < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (target, objectives) = (Target::layer("conv2d"), [Objective::Channel(0)]);
    let found = maximize(&network, None, &target, &objectives, &quick(), Cpu::detect(), &mut stop).unwrap();
    assert_eq!((found.len(), steps), (1, 5));
}

#[test]
fn what_is_not_there_is_refused() {
    let network = small(1);
    let message =
        |target: Target, objective: Objective| run(&network, &target, &[objective], &quick()).unwrap_err().to_string();
    let filters = Target::layer("conv2d_1");
    assert!(message(Target::layer("conv_2d"), Objective::Layer).contains("conv2d"));
    assert!(message(filters.clone(), Objective::Channel(4)).contains("0 to 3"));
    let outside = Objective::Neuron { channel: 0, position: Some([6, 0]) };
    assert!(message(filters.clone(), outside).contains("6,0"));
    assert!(message(filters.clone(), Objective::Direction(Vec::new())).contains("direction"));
    let settings = Method::Fourier(Fourier { steps: 0, ..Fourier::default() });
    assert!(run(&network, &filters, &[Objective::Layer], &settings).is_err());
    let four = Network::sequential("four", [4, 4, 4], [Flatten::new().into(), Dense::new(2).into()], 1).unwrap();
    assert!(run(&four, &Target::layer("dense"), &[Objective::Channel(0)], &quick()).is_err());
}

#[test]
fn what_is_not_finite_is_an_error_that_names_the_step() {
    let (target, objectives) = (Target::layer("conv2d"), [Objective::Channel(0)]);
    for method in [quick(), Method::KerasVis(KerasVis::default())] {
        let mut network = small(3);
        network.weights_mut()[0].values_mut().fill(f32::MAX);
        let message = run(&network, &target, &objectives, &method).unwrap_err().to_string();
        assert!(message.starts_with("step 1 of ") && message.contains("layer conv2d: the "), "{message}");
        network.weights_mut()[1].values_mut()[0] = f32::NAN;
        let message = run(&network, &target, &objectives, &method).unwrap_err().to_string();
        assert_eq!(message, "layer conv2d: its weights hold NaN or infinity (conv2d/bias)");
    }
}
