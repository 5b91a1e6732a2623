//! Tests of feed-forward styles.

use super::network::{FeedForwardSize, transformation_network};
use super::*;
use crate::nn::Plan;

/// A small network with three styles that have different scales and shifts.
fn three() -> FeedForwardStyle {
    let network = transformation_network(FeedForwardSize::Small, [16, 16], 7).unwrap();
    let mut style = FeedForwardStyle::new(network, ["a", "b", "c"]).unwrap();
    for (number, set) in style.sets.iter_mut().enumerate() {
        let values = set.iter_mut().flatten().enumerate();
        values.for_each(|(at, value)| *value += ((at + 3 * number) % 7) as f32 / 16.0);
    }
    style
}

fn run(model: &Model) -> Vec<f32> {
    let mut plan = Plan::builder(&model.network).build().unwrap();
    plan.input_mut().iter_mut().enumerate().for_each(|(at, value)| *value = (at * 37 % 256) as f32);
    plan.forward(&model.network).unwrap();
    plan.output(0).to_vec()
}

#[test]
fn a_file_holds_all_styles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("three.lucida");
    let style = three();
    style.save(&path).unwrap();
    assert!(path.metadata().unwrap().len() < 1 << 20);
    let opened = FeedForwardStyle::open(&path).unwrap();
    assert_eq!((opened.names(), &opened.sets), (style.names(), &style.sets), "all are multiples of 1/16");
    // Values that were rounded to 16 bits once do not change again.
    let again = folder.path().join("again.lucida");
    opened.save(&again).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    // Other readers see a model with the first style.
    let model = crate::weights::load_model(&path).unwrap();
    assert_eq!(run(&model), run(&opened.model(&[1.0, 0.0, 0.0]).unwrap()));
    assert_ne!(run(&model), run(&opened.model(&[0.0, 1.0, 0.0]).unwrap()));
}

#[test]
fn a_mix_is_the_mean_of_factors_and_shifts() {
    let style = three();
    let mixed = style.model(&style.mix(&[("a", 1.0), ("c", 3.0)]).unwrap()).unwrap();
    let mut baked = style.model(&[1.0, 0.0, 0.0]).unwrap();
    for (index, &weight) in style.conditional.iter().enumerate() {
        for (at, value) in baked.network.weights_mut()[weight].values_mut().iter_mut().enumerate() {
            *value = 0.25 * style.sets[0][index][at] + 0.75 * style.sets[2][index][at];
        }
    }
    assert_eq!(run(&mixed), run(&baked));
    for (mix, words) in [
        (&[1.0, 1.0][..], "2 weights for 3 styles"),
        (&[0.0; 3], "above 0"),
        (&[-1.0, 1.0, 1.0], "0 or more"),
        (&[f32::NAN, 1.0, 1.0], "0 or more"),
    ] {
        assert!(style.model(mix).unwrap_err().to_string().contains(words), "{mix:?}");
    }
    assert_eq!(style.mix(&[("a", 0.25), ("c", 0.75)]).unwrap(), [0.25, 0.0, 0.75]);
    let problem = style.mix(&[("aa", 1.0)]).unwrap_err().to_string();
    assert!(problem.contains("a, b, c"), "{problem}");
}

#[test]
fn what_is_not_a_network_of_style() {
    let gray = crate::nn::applications::mnist_cnn(1).unwrap();
    assert!(FeedForwardStyle::new(gray, ["a"]).unwrap_err().to_string().contains("color images"));
    let network = || transformation_network(FeedForwardSize::Small, [16, 16], 7).unwrap();
    assert!(FeedForwardStyle::new(network(), ["a", "a"]).unwrap_err().to_string().contains("\"a\""));
    assert!(FeedForwardStyle::new(network(), [""; 0]).unwrap_err().to_string().contains("without a style"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.lucida");
    three().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    assert!(FeedForwardStyle::open(&path).unwrap_err().to_string().contains("cut short"));
}
