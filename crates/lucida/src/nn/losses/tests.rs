//! Tests of all losses: values of Keras, finite differences, sample weights.

use super::*;
use crate::nn::layers::ActivationKind;

const VALUES: [f32; 6] = [0.3, -1.2, 0.8, 2.0, -0.4, 0.1];
const ONE_HOT: [f32; 6] = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
const LABELS: [f32; 6] = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
const NUMBERS: [f32; 6] = [0.3, -0.2, 2.0, 1.5, -0.4, -2.4];

/// A loss and its targets for [`VALUES`], two rows of three units.
fn cases() -> Vec<(Box<dyn Loss>, &'static [f32])> {
    vec![
        (Box::new(CategoricalCrossentropy::default()), &ONE_HOT),
        (Box::new(CategoricalCrossentropy { label_smoothing: 0.1 }), &ONE_HOT),
        (Box::new(SparseCategoricalCrossentropy), &[1.0, 0.0]),
        (Box::new(BinaryCrossentropy::default()), &LABELS),
        (Box::new(BinaryCrossentropy { label_smoothing: 0.2 }), &LABELS),
        (Box::new(MeanSquaredError), &NUMBERS),
        (Box::new(MeanAbsoluteError), &NUMBERS),
        (Box::new(Huber::default()), &NUMBERS),
        (Box::new(Huber { delta: 0.5 }), &NUMBERS),
    ]
}

fn close(found: f64, expected: f64, what: &dyn std::fmt::Debug) {
    assert!((found - expected).abs() < 2e-6 * expected.abs().max(0.1), "{what:?}: {found}, not {expected}");
}

/// `keras.losses` of Keras 3.15.1 with TensorFlow 2.21.0, the cross-entropies with `from_logits=True`: the value and the
/// gradient that `tf.GradientTape` finds, for the cases in their order.
#[test]
fn values_and_gradients_are_those_of_keras() {
    #[rustfmt::skip]
    let keras: [(f64, [f64; 6]); 9] = [
        (1.385_149_717, [0.174_103_722, -0.461_152_196, 0.287_048_519, -0.096_867_353, 0.036_571_361, 0.060_295_992]),
        (1.398_483_038, [0.157_437_056, -0.427_818_894, 0.270_381_838, -0.063_534_021, 0.019_904_694, 0.043_629_326]),
        (1.385_149_717, [0.174_103_722, -0.461_152_196, 0.287_048_519, -0.096_867_353, 0.036_571_361, 0.060_295_992]),
        (1.078_846_455, [-0.070_926_249, -0.128_087_461, 0.114_995_748, 0.146_799_520, 0.066_885_389, -0.079_170_138]),
        (1.025_512_934, [-0.054_259_583, -0.111_420_803, 0.098_329_082, 0.130_132_854, 0.050_218_724, -0.062_503_472]),
        (1.490_000_010, [0.0, -0.333_333_343, -0.400_000_036, 0.166_666_672, 0.0, 0.833_333_373]),
        (0.866_666_675, [0.0, -0.166_666_672, -0.166_666_672, 0.166_666_672, 0.0, 0.166_666_672]),
        (0.554_166_675, [0.0, -0.166_666_672, -0.166_666_672, 0.083_333_336, 0.0, 0.166_666_672]),
        (0.349_999_994, [0.0, -0.083_333_336, -0.083_333_336, 0.083_333_336, 0.0, 0.083_333_336]),
    ];
    for ((loss, targets), (value, expected)) in cases().into_iter().zip(keras) {
        let mut gradient = [f32::NAN; 6];
        close(loss.evaluate(3, &VALUES, targets, Some(&mut gradient)), value, &loss);
        gradient.iter().zip(expected).for_each(|(&found, expected)| close(found.into(), expected, &loss));
    }
}

/// As above, with `sample_weight=[2, 0.5]`.
#[test]
fn weighted_losses_are_those_of_keras() {
    let keras = [
        2.608_792_543,
        2.527_959_347,
        2.608_792_543,
        1.336_607_814,
        1.267_441_034,
        1.355_000_019,
        0.983_333_349,
        0.577_083_349,
        0.387_499_988,
    ];
    for ((loss, targets), expected) in cases().into_iter().zip(keras) {
        let (mut plain, mut weighted) = ([f32::NAN; 6], [f32::NAN; 6]);
        loss.evaluate(3, &VALUES, targets, Some(&mut plain));
        close(loss.evaluate_weighted(3, &VALUES, targets, &[2.0, 0.5], Some(&mut weighted)), expected, &loss);
        for (at, (plain, weighted)) in plain.iter().zip(weighted).enumerate() {
            assert_eq!(weighted, plain * if at < 3 { 2.0 } else { 0.5 }, "{loss:?}");
        }
    }
}

/// As above, for errors of exactly 0 and of exactly delta: 1, 0, -0.5 and -0.5.
#[test]
fn kinks_are_those_of_keras() {
    let (values, targets) = ([1.0, 0.5, -0.5, 2.0], [0.0, 0.5, 0.0, 2.5]);
    let cases: [(&dyn Loss, f64, [f32; 4]); 3] = [
        (&MeanAbsoluteError, 0.5, [0.25, 0.0, -0.25, -0.25]),
        (&Huber { delta: 1.0 }, 0.1875, [0.25, 0.0, -0.125, -0.125]),
        (&Huber { delta: 0.5 }, 0.15625, [0.125, 0.0, -0.125, -0.125]),
    ];
    for (loss, value, expected) in cases {
        let mut gradient = [f32::NAN; 4];
        assert_eq!(loss.evaluate(4, &values, &targets, Some(&mut gradient)), value, "{loss:?}");
        assert_eq!(gradient, expected, "{loss:?}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    // A power of two, so that adding it causes little rounding.
    let step = 2.0_f32.powi(-10);
    // Targets that are not one-hot, and no error at a kink.
    let soft = [0.0, 1.0, 0.0, 0.2, 0.3, 0.5];
    for (loss, targets) in cases() {
        let targets = if targets.len() == 6 { &soft } else { targets };
        for weights in [&[][..], &[2.0, 0.5]] {
            let mut gradient = [f32::NAN; 6];
            loss.evaluate_weighted(3, &VALUES, targets, weights, Some(&mut gradient));
            for i in 0..VALUES.len() {
                let at = |step: f32| {
                    let mut moved = VALUES;
                    moved[i] += step;
                    loss.evaluate_weighted(3, &moved, targets, weights, None)
                };
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                assert!((f64::from(gradient[i]) - numeric).abs() < 1e-4, "{loss:?}: {} for {numeric}", gradient[i]);
            }
        }
    }
}

/// Training may replace one by the other.
#[test]
fn class_indices_are_one_hot_rows_to_the_bit() {
    let (mut sparse, mut dense) = ([f32::NAN; 6], [f32::NAN; 6]);
    let value = SparseCategoricalCrossentropy.evaluate(3, &VALUES, &[1.0, 0.0], Some(&mut sparse));
    let expected = CategoricalCrossentropy::default().evaluate(3, &VALUES, &ONE_HOT, Some(&mut dense));
    assert_eq!((value.to_bits(), sparse.map(f32::to_bits)), (expected.to_bits(), dense.map(f32::to_bits)));
}

#[test]
#[should_panic(expected = "3 is not the index of a class")]
fn an_index_beyond_the_classes_is_a_mistake() {
    SparseCategoricalCrossentropy.evaluate(3, &VALUES, &[1.0, 3.0], None);
}

#[test]
fn confident_mistakes_stay_finite_and_lost_values_do_not() {
    assert_eq!(CategoricalCrossentropy::default().evaluate(2, &[500.0, -500.0], &[0.0, 1.0], None), 1000.0);
    assert_eq!(SparseCategoricalCrossentropy.evaluate(2, &[500.0, -500.0], &[1.0], None), 1000.0);
    assert_eq!(BinaryCrossentropy::default().evaluate(1, &[-800.0], &[1.0], None), 800.0);
    for loss in LossKind::ALL {
        let targets = if loss == LossKind::SparseCategoricalCrossentropy { &[0.0][..] } else { &[0.0, 1.0] };
        let mut gradient = [0.0; 2];
        let value = loss.build(0.0).evaluate(2, &[f32::NAN, 1.0], targets, Some(&mut gradient));
        assert!(value.is_nan() && gradient[0].is_nan(), "{loss}: {value} {gradient:?}");
    }
}

#[test]
fn names_are_read_and_written() {
    for kind in LossKind::ALL.into_iter().chain([LossKind::Huber { delta: 0.25 }]) {
        assert_eq!(kind.to_string().parse::<LossKind>().unwrap(), kind);
        let text = serde_json::to_string(&kind).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str::<LossKind>(&text).unwrap()), (&*format!("\"{kind}\""), kind));
    }
    assert_eq!("mae".parse::<LossKind>().unwrap(), LossKind::MeanAbsoluteError);
    for (text, expected) in [
        ("cross", "expected categorical_crossentropy"),
        ("huber:", "not a number"),
        ("huber:0", "positive number, not 0"),
        ("huber:NaN", "positive number"),
    ] {
        let message = text.parse::<LossKind>().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let logits = |kind: LossKind, activation| kind.build(0.0).takes_logits_of(activation);
    assert!(logits(LossKind::SparseCategoricalCrossentropy, ActivationKind::Softmax));
    assert!(logits(LossKind::BinaryCrossentropy, ActivationKind::Sigmoid));
    assert!(!logits(LossKind::BinaryCrossentropy, ActivationKind::Softmax));
    assert!(!logits(LossKind::MeanSquaredError, ActivationKind::Sigmoid));
}
