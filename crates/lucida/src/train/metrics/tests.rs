//! Compares all metrics with Keras and scikit-learn, in batches and at once.

use super::*;
use crate::data::Targets;

type Rows = &'static [f32];

const CLASSES: (Rows, Rows) = (
    &[0.1, 0.6, 0.3, 0.5, 0.25, 0.25, 0.2, 0.2, 0.6, 0.7, 0.2, 0.1],
    &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
);
const LABELS: (Rows, Rows) = (
    &[0.9, 0.4, 0.2, 0.5, 0.1, 0.8, 0.7, 0.6, 0.3, 0.2, 0.55, 0.65],
    &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
);
const VALUES: (Rows, Rows) =
    (&[1.5, 9.0, 2.0, 22.0, 2.0, 14.0, 5.0, 7.5], &[1.0, 10.0, 2.0, 20.0, 3.0, 15.0, 4.5, 5.0]);

/// `keras.metrics` of Keras 3.15.1; the average precision is `average_precision_score` of scikit-learn 1.9.1.
#[test]
fn results_are_those_of_keras_and_scikit_learn() {
    let cases: [(MetricKind, usize, (Rows, Rows), f64); 11] = [
        (MetricKind::CategoricalAccuracy, 3, CLASSES, 0.5),
        (MetricKind::TopKCategoricalAccuracy(1), 3, CLASSES, 0.5),
        (MetricKind::TopKCategoricalAccuracy(2), 3, CLASSES, 1.0),
        (MetricKind::TopKCategoricalAccuracy(5), 3, CLASSES, 1.0),
        (MetricKind::BinaryAccuracy, 3, LABELS, 0.75),
        (MetricKind::F1Score, 3, LABELS, 0.722_222_15),
        (MetricKind::MeanAveragePrecision, 3, LABELS, 0.861_111_111),
        (MetricKind::MeanAbsoluteError, 2, VALUES, 1.0625),
        (MetricKind::MeanSquaredError, 2, VALUES, 1.71875),
        (MetricKind::R2Score, 2, VALUES, 0.838_850_5),
        (MetricKind::R2Score, 2, (&[1.5, 9.0, 1.0, 22.0], &[1.0, 10.0, 1.0, 20.0]), 0.45),
    ];
    for (kind, units, (outputs, targets), expected) in cases {
        let mut metric = kind.build(units);
        // A batch of one row, then a batch with the rest.
        metric.update(units, &outputs[..units], &targets[..units]);
        metric.update(units, &outputs[units..], &targets[units..]);
        let found = metric.result().unwrap();
        assert!((found - expected).abs() < 1e-6, "{kind}: {found}, not {expected}");
    }
}

/// As above.
#[test]
fn average_precision_of_equal_scores_and_of_labels_that_never_hold() {
    let mut one = MeanAveragePrecision::new(1);
    one.update(1, &[0.5, 0.5, 0.5, 0.25, 0.125], &[1.0, 0.0, 1.0, 0.0, 1.0]);
    assert!((one.result().unwrap() - 0.644_444_444).abs() < 1e-9);
    let mut two = MeanAveragePrecision::new(2);
    two.update(2, &[0.2, 0.1, 0.9, 0.5, 0.8, 0.3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert!((two.result().unwrap() - 0.583_333_333).abs() < 1e-9);
    let mut none = MeanAveragePrecision::new(1);
    none.update(1, &[0.2], &[0.0]);
    assert_eq!(none.result(), None);
    // Keras: 0.333; a label that is neither present nor predicted counts.
    let mut f1 = F1Score::new(2);
    f1.update(2, &[0.9, 0.1, 0.8, 0.2], &[1.0, 0.0, 0.0, 0.0]);
    assert!((f1.result().unwrap() - 1.0 / 3.0).abs() < 1e-9);
}

/// As in training: batch by batch, and in several processes whose sums are added.
#[test]
fn sums_of_parts_give_the_result_of_all() {
    for (kinds, units, (outputs, targets)) in [
        (&MetricKind::ALL[..2], 3, CLASSES),
        (MetricKind::defaults(Targets::Labels(3)), 3, LABELS),
        (MetricKind::defaults(Targets::Values(2)), 2, VALUES),
    ] {
        let mut parts = RunningMetrics::in_training(kinds.into(), units);
        parts.update(units, &outputs[..units], &targets[..units]);
        let mut sums = parts.take_sums();
        parts.update(units, &outputs[units..], &targets[units..]);
        sums.iter_mut().zip(parts.take_sums()).for_each(|(sum, more)| *sum += more);
        let mut all = RunningMetrics::new(kinds.into(), units);
        assert!(all.results().is_empty(), "nothing is defined without samples");
        all.update(units, outputs, targets);
        let mut expected = all.results();
        assert_eq!(expected.len(), kinds.len());
        expected.remove("mean_average_precision");
        let found = parts.results_of(&sums);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        found.values().zip(expected.values()).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
        assert!(parts.take_sums().iter().all(|&sum| sum == 0.0));
    }
}

#[test]
fn names_are_read_and_written_and_what_does_not_fit_is_named() {
    for kind in MetricKind::ALL.into_iter().chain([MetricKind::TopKCategoricalAccuracy(3)]) {
        assert_eq!(kind.to_string().parse::<MetricKind>().unwrap(), kind);
        assert_eq!(kind.build(1).name(), kind.to_string());
        let lower = matches!(kind, MetricKind::MeanAbsoluteError | MetricKind::MeanSquaredError);
        assert_eq!(kind.build(1).higher_is_better(), !lower);
    }
    assert_eq!("r2".parse::<MetricKind>().unwrap(), MetricKind::R2Score);
    assert!("top_0_categorical_accuracy".parse::<MetricKind>().is_err());
    assert!("auc".parse::<MetricKind>().unwrap_err().to_string().contains("expected categorical_accuracy"));
    let message = MetricKind::R2Score.check(Targets::Classes(3), 3).unwrap_err().to_string();
    assert!(message.contains("r2_score is not defined for classes; use categorical_accuracy"), "{message}");
    let message = MetricKind::CategoricalAccuracy.check(Targets::Classes(2), 1).unwrap_err().to_string();
    assert!(message.contains("use binary_accuracy, mean_absolute_error"), "{message}");
}
