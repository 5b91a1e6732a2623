//! Activation maximization on a network trained on the built-in digits.

mod common;

use std::sync::OnceLock;

use lucida::Cpu;
use lucida::data::{Dataset, LabeledImages, Mnist};
use lucida::explain::ClassScore;
use lucida::explain::maximize::{Fourier, KerasVis, Maximized, Method, Objective, Target, maximize};
use lucida::nn::{Network, Plan};
use lucida::weights::Model;

const SEED: u64 = 3;

struct Trained {
    model: Model,
    digits: LabeledImages,
}

/// Trained once for all tests: four epochs take a few seconds. The weights differ slightly between processors, and so do the
/// filters that are hardly active.
fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let digits = Mnist::builtin().unwrap().train;
        let model = common::digit_reader(&digits, 4, SEED);
        Trained { model, digits }
    })
}

fn images(model: &Model, target: &Target, count: usize, method: &Method) -> Vec<Maximized> {
    let objectives: Vec<_> = (0..count).map(Objective::Channel).collect();
    let preprocessing = model.preprocessing.as_ref();
    maximize(&model.network, preprocessing, target, &objectives, method, Cpu::detect(), &mut ()).unwrap()
}

/// Mean activation of each channel of a layer, for each input.
fn means(network: &Network, layer: &str, inputs: impl Iterator<Item = Vec<f32>>) -> Vec<Vec<f32>> {
    let mut plan = Plan::builder(network).output(layer).build().unwrap();
    inputs
        .map(|input| {
            plan.input_mut().copy_from_slice(&input);
            plan.forward(network).unwrap();
            let channels = plan.output_shape(0).channels();
            let mut sums = vec![0.0; channels];
            for position in plan.output(0).chunks_exact(channels) {
                sums.iter_mut().zip(position).for_each(|(sum, value)| *sum += value);
            }
            let positions = plan.output(0).len() / channels;
            sums.iter().map(|sum| sum / positions as f32).collect()
        })
        .collect()
}

#[test]
fn every_class_recognizes_its_image_by_both_methods() {
    let Trained { model, .. } = trained();
    let target = Target::classes(model).unwrap();
    let fourier = Method::Fourier(Fourier::classes(model.preprocessing.as_ref()));
    for method in [fourier, Method::KerasVis(KerasVis::default())] {
        let found = images(model, &target, 10, &method);
        let inputs: Vec<&[f32]> = found.iter().map(|found| found.input.as_slice()).collect();
        let probabilities = ClassScore::outputs(model, &inputs, Cpu::detect()).unwrap();
        for (class, probabilities) in probabilities.iter().enumerate() {
            assert!(probabilities[class] > 0.99, "{class} with {}", probabilities[class]);
        }
    }
}

/// An image that only one network classifies as a digit may be meaningless; one that another network classifies the same way
/// shows the digit.
#[test]
fn a_network_of_another_seed_reads_the_images_of_classes() {
    let Trained { model: reader, digits } = trained();
    for seed in [5, 6] {
        let model = common::digit_reader(digits, 4, seed);
        let fourier = Method::Fourier(Fourier::classes(model.preprocessing.as_ref()));
        let found = images(&model, &Target::classes(&model).unwrap(), 10, &fourier);
        let inputs: Vec<&[f32]> = found.iter().map(|found| found.input.as_slice()).collect();
        let probabilities = ClassScore::outputs(reader, &inputs, Cpu::detect()).unwrap();
        for (class, probabilities) in probabilities.iter().enumerate() {
            assert!(probabilities[class] > 0.5, "seed {seed}: {class} with {}", probabilities[class]);
        }
    }
}

#[test]
fn every_live_filter_answers_its_image_more_than_any_of_ten_thousand_digits() {
    let Trained { model, digits } = trained();
    let preprocessing = model.preprocessing.as_ref().unwrap();
    let input = |index| {
        let mut input = vec![0.0; 784];
        digits.fill(index, preprocessing, &mut input).unwrap();
        input
    };
    for (layer, filters) in [("conv2d", 24), ("conv2d_1", 48), ("conv2d_2", 64)] {
        let mut most = vec![0.0_f32; filters];
        for means in means(&model.network, layer, (0..digits.len()).map(input)) {
            most.iter_mut().zip(means).for_each(|(most, mean)| *most = most.max(mean));
        }
        let method = Method::Fourier(Fourier::filters(Some(preprocessing)));
        let found = images(model, &Target::layer(layer), filters, &method);
        let own = means(&model.network, layer, found.iter().map(|found| found.input.clone()));
        let live: Vec<usize> = (0..filters).filter(|&filter| most[filter] > 0.0).collect();
        assert!(live.len() > filters / 2, "{layer}: {} of {filters} live", live.len());
        for filter in live {
            let (own, digit) = (own[filter][filter], most[filter]);
            assert!(own > digit, "{layer}, filter {filter}: {own} for its image, {digit} for a digit");
        }
    }
}
