//! Training with other targets than a single class, and other losses than cross-entropy.

use lucida::nn::losses::{BinaryCrossentropy, CategoricalCrossentropy, Huber, SparseCategoricalCrossentropy};
use lucida::prelude::*;
use lucida::train::metrics::MeanSquaredError;
use lucida::train::{Checkpoint, Monitor, TrainResult};
use lucida::weights::{ModelSpec, OutputKind, Outputs, Task, open, save_model};

const SIDE: usize = 8;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Positions of a bright pixel, and images with it; 64 images in shuffled order.
fn spots() -> (Vec<[usize; 2]>, Vec<u8>) {
    let places: Vec<[usize; 2]> =
        (0..SIDE * SIDE).map(|i| i * 37 % (SIDE * SIDE)).map(|i| [i / SIDE, i % SIDE]).collect();
    let image = |&[row, column]: &[usize; 2]| -> Vec<u8> {
        (0..SIDE * SIDE).map(|at| if at == row * SIDE + column { 255 } else { (at * 7 % 30) as u8 }).collect()
    };
    let pixels = places.iter().flat_map(image).collect();
    (places, pixels)
}

/// Targets: row and column, from 0 to 1.
fn positions() -> LabeledImages {
    let (places, pixels) = spots();
    let rows = places.iter().flatten().map(|&place| place as f32 / (SIDE - 1) as f32).collect();
    LabeledImages::with_values([SIDE, SIDE, 1], pixels, rows, names(&["row", "column"])).unwrap()
}

/// Labels: whether the pixel is in the upper half, and whether it is in the left half.
fn halves() -> LabeledImages {
    let (places, pixels) = spots();
    let rows = places.iter().flatten().map(|&place| f32::from(u8::from(place < SIDE / 2))).collect();
    LabeledImages::with_labels([SIDE, SIDE, 1], pixels, rows, names(&["above", "left"])).unwrap()
}

/// Labels: two or four classes.
fn classes(count: usize) -> LabeledImages {
    let (places, pixels) = spots();
    let class = |&[row, column]: &[usize; 2]| {
        let quarter = 2 * usize::from(row < SIDE / 2) + usize::from(column < SIDE / 2);
        quarter % count
    };
    let labels = places.iter().map(class).collect();
    LabeledImages::new([SIDE, SIDE, 1], pixels, labels, names(&["a", "b", "c", "d"][..count])).unwrap()
}

fn model(units: usize, activation: ActivationKind) -> Model {
    let network = Sequential::new("spots", [SIDE, SIDE, 1])
        .add(Flatten::new())
        .add(Dense::new(24).activation(ActivationKind::Relu))
        .add(Dense::new(units).activation(activation))
        .build(3)
        .unwrap();
    Model { preprocessing: Some(Preprocessing::unit(SIDE, SIDE, ColorMode::Grayscale)), ..Model::new(network) }
}

fn config(loss: Option<LossKind>) -> TrainConfig {
    let cpu = Cpu::detect().with_threads(1);
    TrainConfig { epochs: 60, batch_size: 16, learning_rate: 0.01.into(), loss, cpu, ..TrainConfig::default() }
}

fn fit(config: TrainConfig, model: &mut Model, data: &dyn Dataset) -> TrainResult {
    let result = Trainer::new(config).fit(model, data, Some(data)).unwrap();
    model.training = result.record.clone();
    result
}

fn bits(network: &Network) -> Vec<u32> {
    network.weights().iter().flat_map(|weight| weight.values().iter().map(|value| value.to_bits())).collect()
}

#[test]
fn values_are_learned_with_each_loss_of_numbers() {
    let data = positions();
    for loss in [None, Some(LossKind::MeanAbsoluteError), Some(LossKind::Huber { delta: 0.1 })] {
        let mut model = model(2, ActivationKind::Linear);
        let before = evaluate_metrics(&Model { task: Some(Task::Regress), ..model.clone() }, &data, &[], Cpu::detect());
        let result = fit(config(loss), &mut model, &data);
        let found = evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap();
        assert!(found.metrics["r2_score"] > 0.9 && before.unwrap().metrics["r2_score"] < 0.1, "{loss:?} {found:?}");
        // The model has the weights of the best epoch, whose validation loss is the training loss function.
        let best = &result.history.epochs[result.best_epoch.unwrap() - 1];
        assert_eq!((best.val_loss, &best.val_metrics), (Some(found.loss), &found.metrics), "{loss:?}");
        assert_eq!((best.accuracy, best.val_accuracy), (None, None));
        assert!(best.metrics["mean_absolute_error"] > 0.0, "while it trains");
        assert_eq!(result.record["options"]["loss"].as_str(), loss.map(|loss| loss.to_string()).as_deref());
        assert_eq!(model.task, Some(Task::Regress));
    }
}

#[test]
fn labels_are_learned_any_number_of_them() {
    let data = halves();
    for (activation, loss) in
        [(ActivationKind::Sigmoid, None), (ActivationKind::Linear, Some(LossKind::MeanSquaredError))]
    {
        let mut model = model(2, activation);
        let config = TrainConfig {
            monitor: Monitor::F1,
            label_smoothing: if loss.is_none() { 0.05 } else { 0.0 },
            ..config(loss)
        };
        let result = fit(config, &mut model, &data);
        let found = evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap();
        for name in ["binary_accuracy", "f1_score", "mean_average_precision"] {
            assert!(found.metrics[name] > 0.95, "{activation:?} {found:?}");
        }
        // The first epoch with the highest F1 is kept.
        let f1: Vec<f64> = result.history.epochs.iter().map(|epoch| epoch.val_metrics["f1_score"]).collect();
        let best = f1.iter().copied().fold(0.0, f64::max);
        let at = f1.iter().position(|&f1| f1 == best).unwrap();
        assert_eq!(result.best_epoch, Some(at + 1));
        // Label smoothing applies to training only.
        assert_eq!(result.history.epochs[at].val_loss, Some(found.loss));
    }
    // A single label is not two classes.
    let (places, pixels) = spots();
    let rows = places.iter().map(|place| f32::from(u8::from(place[0] > 3))).collect();
    let data = LabeledImages::with_labels([SIDE, SIDE, 1], pixels, rows, names(&["below"])).unwrap();
    let mut model = Model { class_names: names(&["below"]), ..model(1, ActivationKind::Sigmoid) };
    fit(config(None), &mut model, &data);
    assert_eq!(Outputs::of(&model).unwrap().kind(), OutputKind::Labels);
    assert!(evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap().metrics["binary_accuracy"] > 0.95);
}

#[test]
fn classes_are_learned_with_every_loss_that_fits() {
    use ActivationKind::{Linear, Sigmoid, Softmax};
    let numbers = [LossKind::MeanSquaredError, LossKind::MeanAbsoluteError, LossKind::Huber { delta: 1.0 }];
    let cases = [
        (4, 4, Softmax, vec![LossKind::CategoricalCrossentropy, LossKind::SparseCategoricalCrossentropy]),
        (4, 4, Softmax, numbers.to_vec()),
        (4, 4, Linear, numbers.to_vec()),
        (4, 4, Sigmoid, vec![LossKind::BinaryCrossentropy, LossKind::MeanSquaredError]),
        (2, 1, Sigmoid, [&numbers[..], &[LossKind::BinaryCrossentropy]].concat()),
        (2, 2, Softmax, vec![LossKind::SparseCategoricalCrossentropy]),
    ];
    for (count, units, activation, losses) in cases {
        let data = classes(count);
        for loss in losses {
            let mut model = model(units, activation);
            model.class_names = data.class_names().to_vec();
            let result = fit(config(Some(loss)), &mut model, &data);
            let found = evaluate(&model, &data, Cpu::detect()).unwrap();
            assert!(found.accuracy > 0.9, "{loss} on {units} {activation:?}: {}", found.accuracy);
            let best = &result.history.epochs[result.best_epoch.unwrap() - 1];
            assert_eq!((best.val_loss, best.val_accuracy), (Some(found.loss), Some(found.accuracy)));
            assert!(best.accuracy.unwrap() > 0.8 && best.metrics.is_empty(), "{loss} on {units} {activation:?}");
        }
    }
}

/// Naming the default loss of the activation gives bit-identical results; so do one-hot rows and indices.
#[test]
fn a_named_loss_is_the_default_one_to_the_bit() {
    let run = |units, activation, loss: Option<LossKind>| {
        let mut model = model(units, activation);
        let result = fit(TrainConfig { epochs: 3, ..config(loss) }, &mut model, &classes(units.max(2)));
        (bits(&model.network), result.history.epochs[2].val_loss)
    };
    let softmax = |loss| run(4, ActivationKind::Softmax, loss);
    assert!(softmax(None) == softmax(Some(LossKind::CategoricalCrossentropy)));
    assert!(softmax(None) == softmax(Some(LossKind::SparseCategoricalCrossentropy)));
    assert!(softmax(None) != softmax(Some(LossKind::MeanSquaredError)));
    let sigmoid = |loss| run(1, ActivationKind::Sigmoid, loss);
    assert!(sigmoid(None) == sigmoid(Some(LossKind::BinaryCrossentropy)));
    assert!(sigmoid(None) != sigmoid(Some(LossKind::MeanSquaredError)));
}

#[test]
fn metrics_of_classes_are_measured_where_they_are_wanted() {
    let data = classes(4);
    let metrics = vec![MetricKind::CategoricalAccuracy, MetricKind::TopKCategoricalAccuracy(2)];
    let monitor = Monitor::Metric(MetricKind::MeanSquaredError);
    let mut model = model(4, ActivationKind::Softmax);
    let result = fit(TrainConfig { metrics, monitor, epochs: 5, ..config(None) }, &mut model, &data);
    for epoch in &result.history.epochs {
        let value = |name: &str| (epoch.metrics[name], epoch.val_metrics[name]);
        assert_eq!(value("categorical_accuracy"), (epoch.accuracy.unwrap(), epoch.val_accuracy.unwrap()));
        assert!(value("top_2_categorical_accuracy").1 >= value("categorical_accuracy").1);
    }
    let errors: Vec<f64> = result.history.epochs.iter().map(|epoch| epoch.val_metrics["mean_squared_error"]).collect();
    assert!(errors.iter().all(|error| *error >= errors[result.best_epoch.unwrap() - 1]), "{errors:?}");
    let found = evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap();
    assert_eq!(found.metrics["categorical_accuracy"], evaluate(&model, &data, Cpu::detect()).unwrap().accuracy);
}

#[test]
fn what_does_not_fit_is_refused_and_what_does_is_named() {
    use ActivationKind::{Linear, Sigmoid, Softmax};
    let refused = |model: &mut Model, config: TrainConfig, data: &dyn Dataset, expected: &str| {
        let message = Trainer::new(config).fit(model, data, None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let of = |loss| config(Some(loss));
    refused(
        &mut model(3, Linear),
        config(None),
        &positions(),
        "the data has 2 values for each sample, the network has 3 outputs",
    );
    refused(&mut model(3, Sigmoid), config(None), &halves(), "the data has 2 labels, the network has 3 outputs");
    refused(&mut model(3, Linear), of(LossKind::MeanSquaredError), &classes(4), "4 classes, the network has 3");
    refused(&mut model(4, Linear), config(None), &classes(4), "not a classifier");
    let cross = of(LossKind::CategoricalCrossentropy);
    let message = "categorical_crossentropy does not fit 1 output (sigmoid) and 2 classes: use binary_crossentropy, mean_squared_error";
    refused(&mut model(1, Sigmoid), cross.clone(), &classes(2), message);
    refused(&mut model(2, Softmax), cross.clone(), &halves(), "and 2 labels: use mean_squared_error");
    refused(
        &mut model(2, Linear),
        cross,
        &positions(),
        "(linear) and 2 values: use mean_squared_error, mean_absolute_error, huber",
    );
    refused(&mut model(1, Linear), of(LossKind::MeanSquaredError), &classes(2), "take one sigmoid");
    refused(&mut model(2, Linear), of(LossKind::Huber { delta: 0.0 }), &positions(), "positive number");
    let weights = TrainConfig { class_weights: vec![1.0, 2.0], ..config(None) };
    refused(&mut model(2, Linear), weights, &positions(), "class weights are for classes");
    let smoothing = TrainConfig { label_smoothing: 0.1, ..config(None) };
    refused(&mut model(2, Linear), smoothing, &positions(), "not for mean_squared_error");
    for (monitor, expected) in [
        (Monitor::Accuracy, "Accuracy as monitor is for classes"),
        (Monitor::Metric(MetricKind::F1Score), "f1_score is not defined for values"),
    ] {
        refused(&mut model(2, Linear), TrainConfig { monitor, ..config(None) }, &positions(), expected);
    }
    let auc = TrainConfig { monitor: Monitor::Auc, ..config(None) };
    refused(&mut model(2, Sigmoid), auc, &halves(), "labels take mean_average_precision");
    let precision = TrainConfig { monitor: Monitor::Metric(MetricKind::MeanAveragePrecision), ..config(None) };
    refused(&mut model(2, Sigmoid), precision, &halves(), "needs validation data");
    let other = Trainer::new(config(None)).fit(&mut model(2, Sigmoid), &halves(), Some(&positions()));
    assert!(other.unwrap_err().to_string().contains("the validation data has values"));
    let message = evaluate(&model(2, Sigmoid), &halves(), Cpu::detect()).unwrap_err().to_string();
    assert!(message.contains("evaluate_metrics"), "{message}");
    let rows = |rows| LabeledImages::with_labels([1, 1, 1], vec![0, 1], rows, names(&["a"])).unwrap_err().to_string();
    assert!(rows(vec![0.0, 2.0]).contains("label \"a\" of image 1 is 2") && rows(vec![0.0]).contains("1 targets"));
    let value = LabeledImages::with_values([1, 1, 1], vec![0], vec![f32::NAN], names(&["a"]));
    assert!(value.unwrap_err().to_string().contains("not a finite number"));
}

/// Augmentation mixes target rows in the same way as images.
#[test]
fn mixed_images_have_mixed_rows() {
    let data = positions();
    let preprocessing = Preprocessing::unit(SIDE, SIDE, ColorMode::Grayscale);
    // In a reordered subset, rows still belong to their images.
    let some = Subset::new(&data, (0..40).rev().collect()).unwrap();
    let mixed = Augmented::new(&some, "mixup=1".parse().unwrap(), 5).unwrap();
    let mut image = vec![0.0; SIDE * SIDE];
    for index in 0..40 {
        let found = mixed.fill_training(1, index, &preprocessing, &mut image).unwrap().unwrap();
        let other = (0..40).find(|&other| some.target(other) == found.target).unwrap();
        let [mut own, mut others] = [vec![0.0; SIDE * SIDE], vec![0.0; SIDE * SIDE]];
        some.fill(index, &preprocessing, &mut own).unwrap();
        some.fill(other, &preprocessing, &mut others).unwrap();
        let expected = own.iter().zip(&others).map(|(own, other)| (1.0 - found.share) * own + found.share * other);
        assert!(image.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{index} and {other}");
    }
    let mut model = model(2, ActivationKind::Linear);
    let augmented = Augmented::new(&data, "mixup=0.2".parse().unwrap(), 5).unwrap();
    Trainer::new(config(None)).fit(&mut model, &augmented, Some(&data)).unwrap();
    assert!(evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap().metrics["r2_score"] > 0.8);
}

/// Stopped within an epoch, training resumes to bit-identical weights and metrics.
#[test]
fn a_regression_resumes_to_the_same_bits() {
    let (data, folder) = (positions(), tempfile::tempdir().unwrap());
    let run = |name: &str, resume: bool, stop: u64| {
        let path = folder.path().join(name);
        let checkpoint = Some(Checkpoint { path, every: Some(2), resume, identity: serde_json::json!({}) });
        let config = TrainConfig { epochs: 4, checkpoint, ..config(Some(LossKind::MeanAbsoluteError)) };
        let stops = move |step: &Step<'_>| {
            if step.unit == Unit::Steps && step.done == stop {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        };
        let mut model = model(2, ActivationKind::Linear);
        let result = Trainer::new(config)
            .callback(stops)
            .callback(EarlyStopping::new(3))
            .fit(&mut model, &data, Some(&data))
            .unwrap();
        let epochs = result.history.epochs.iter().map(|epoch| (epoch.metrics.clone(), epoch.val_metrics.clone()));
        (result.interrupted, bits(&result.last), epochs.collect::<Vec<_>>())
    };
    let whole = run("whole", false, 0);
    assert!(!whole.0 && whole.2.len() == 4);
    for stop in [3, 6] {
        let name = format!("stopped {stop}");
        assert!(run(&name, false, stop).0);
        assert!(run(&name, true, 0) == whole, "{stop}");
    }
    // A different loss identifies a different run.
    let path = folder.path().join("whole");
    let checkpoint = Some(Checkpoint { path, every: None, resume: true, identity: serde_json::json!({}) });
    let other = TrainConfig { epochs: 4, checkpoint, ..config(None) };
    let message =
        Trainer::new(other).callback(EarlyStopping::new(3)).fit(&mut model(2, ActivationKind::Linear), &data, None);
    let message = message.unwrap_err().to_string();
    assert!(message.contains("loss: mean_absolute_error then, none now"), "{message}");
}

/// A built-in loss and metric passed as custom ones give bit-identical results: on classes, from logits, with class weights,
/// interrupted and resumed.
#[test]
#[expect(clippy::too_many_lines, reason = "one training, its resumption, and what must not resume it")]
fn a_custom_loss_and_metric_are_those_of_their_names_to_the_bit() {
    #[derive(Debug, Clone, Default)]
    struct Renamed(MeanSquaredError);
    impl Metric for Renamed {
        fn update(&mut self, units: usize, outputs: &[f32], targets: &[f32]) {
            self.0.update(units, outputs, targets);
        }
        fn result(&self) -> Option<f64> {
            self.0.result()
        }
        fn name(&self) -> String {
            "brier".to_owned()
        }
        fn higher_is_better(&self) -> bool {
            false
        }
        fn sums(&mut self) -> Option<&mut [f64]> {
            self.0.sums()
        }
    }

    let (data, folder) = (classes(4), tempfile::tempdir().unwrap());
    let metrics = vec![MetricKind::MeanSquaredError];
    let base = TrainConfig { metrics, class_weights: vec![1.0, 2.0, 0.5, 1.0], epochs: 3, ..config(None) };
    let mut named = model(4, ActivationKind::Softmax);
    let expected = fit(base.clone(), &mut named, &data);
    let path = folder.path().join("checkpoint");
    let run = |epochs: usize| {
        let checkpoint =
            Some(Checkpoint { path: path.clone(), every: None, resume: true, identity: serde_json::Value::default() });
        let mut own = model(4, ActivationKind::Softmax);
        let mut trainer = Trainer::new(TrainConfig { epochs, checkpoint, ..base.clone() })
            .loss(CategoricalCrossentropy::default())
            .metric(Renamed::default());
        let result = trainer.fit(&mut own, &data, Some(&data)).unwrap();
        (own, result)
    };
    run(1);
    let (own, result) = run(3);
    assert!(bits(&own.network) == bits(&named.network));
    for (epoch, expected) in result.history.epochs.iter().zip(&expected.history.epochs) {
        assert_eq!(
            (epoch.loss, epoch.val_loss, epoch.val_weighted_loss),
            (expected.loss, expected.val_loss, expected.val_weighted_loss)
        );
        assert_eq!(
            (epoch.metrics["brier"], epoch.val_metrics["brier"]),
            (expected.metrics["mean_squared_error"], expected.val_metrics["mean_squared_error"])
        );
    }
    let table = folder.path().join("history.csv");
    result.history.save_csv(&table).unwrap();
    let read = lucida::train::History::load_csv(&table).unwrap();
    assert!((read.epochs[2].val_metrics["brier"] - result.history.epochs[2].val_metrics["brier"]).abs() < 1e-6);
    assert_eq!(result.record["options"]["custom_metrics"], serde_json::json!(["brier"]));
    // A different loss or different metrics identify a different run.
    let checkpoint =
        Some(Checkpoint { path: path.clone(), every: None, resume: true, identity: serde_json::Value::default() });
    let other = TrainConfig { epochs: 4, checkpoint, ..base.clone() };
    let resumed = |mut trainer: Trainer<'_>| {
        trainer.fit(&mut model(4, ActivationKind::Softmax), &data, Some(&data)).unwrap_err().to_string()
    };
    let smooth = CategoricalCrossentropy { label_smoothing: 0.5 };
    let message = resumed(Trainer::new(other.clone()).loss(smooth).metric(Renamed::default()));
    assert!(message.contains("loss: CategoricalCrossentropy { label_smoothing: 0.0 } then"), "{message}");
    let message = resumed(Trainer::new(other).loss(CategoricalCrossentropy::default()));
    assert!(message.contains("custom metrics: brier then, none now"), "{message}");
}

#[test]
fn a_custom_loss_or_metric_that_cannot_be_used_is_refused() {
    use ActivationKind::{Linear, Sigmoid, Softmax};
    let refused = |model: &mut Model, mut trainer: Trainer<'_>, data: &dyn Dataset, expected: &str| {
        let message = trainer.fit(model, data, None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let trainer = || Trainer::new(config(None));
    let both = Trainer::new(config(Some(LossKind::MeanAbsoluteError))).loss(Huber::default());
    refused(&mut model(2, Linear), both, &positions(), "Huber { delta: 1.0 } and mean_absolute_error: choose one");
    let rows = trainer().loss(SparseCategoricalCrossentropy);
    refused(&mut model(4, Softmax), rows, &classes(4), "takes 1 target for a sample, a training has 4 targets here");
    refused(&mut model(1, Linear), trainer().loss(Huber::default()), &classes(2), "must be a sigmoid");
    let smoothing = TrainConfig { label_smoothing: 0.1, ..config(None) };
    let smoothing = Trainer::new(smoothing).loss(BinaryCrossentropy::default());
    refused(&mut model(2, Sigmoid), smoothing, &halves(), "not for BinaryCrossentropy");
    let taken = trainer().metric(MeanSquaredError::default());
    refused(&mut model(2, Linear), taken, &positions(), "the metric's name mean_squared_error is used already");
}

/// A model file stores the kind of the outputs: values stay values.
#[test]
fn a_trained_regressor_is_opened_as_one() {
    let (data, folder) = (positions(), tempfile::tempdir().unwrap());
    let mut model = Model { class_names: data.class_names().to_vec(), ..model(2, ActivationKind::Linear) };
    fit(TrainConfig { epochs: 2, ..config(Some(LossKind::Huber { delta: 0.5 })) }, &mut model, &data);
    let path = folder.path().join("model.safetensors");
    save_model(&model, &path).unwrap();
    let opened = open(&ModelSpec::new(path.to_string_lossy())).unwrap();
    assert_eq!(Outputs::of(&opened).unwrap().kind(), OutputKind::Values);
    assert_eq!(
        evaluate_metrics(&opened, &data, &[], Cpu::detect()).unwrap(),
        evaluate_metrics(&model, &data, &[], Cpu::detect()).unwrap()
    );
}

#[test]
fn a_learning_rate_is_found_for_a_regression() {
    let data = positions();
    let preprocessing = Preprocessing::unit(SIDE, SIDE, ColorMode::Grayscale);
    let samples = lucida::train::ImageSamples::new(&data, &preprocessing, 1);
    let trainer = Trainer::new(config(None));
    let network = model(2, ActivationKind::Linear).network;
    let curve = trainer.find_learning_rate(&network, &samples, [1e-5, 10.0], 150, &mut ()).unwrap();
    let rate = curve.suggestion.unwrap();
    assert!((1e-4..0.5).contains(&rate), "{rate}");
}
