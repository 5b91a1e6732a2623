use std::ops::ControlFlow;

use super::*;
use crate::Cpu;
use crate::core::{Detail, Step};
use crate::data::{Augment, Augmented, Dataset, LabeledImages, Mnist, Preprocessing, Subset, stratified_split};
use crate::nn::{Network, applications};
use crate::weights::Model;

fn model(seed: u64) -> Model {
    Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        ..Model::new(applications::mnist_cnn(seed).unwrap())
    }
}

/// 2,400 training and 600 validation digits.
fn digits() -> (Subset<LabeledImages>, Subset<LabeledImages>) {
    let all = Mnist::builtin().unwrap().train;
    let some = stratified_split(&all.labels(), 10, 0.3, 1).unwrap().validation;
    let labels: Vec<usize> = some.iter().map(|&index| all.label(index)).collect();
    let split = stratified_split(&labels, 10, 0.2, 1).unwrap();
    let part =
        |indices: Vec<usize>| Subset::new(all.clone(), indices.into_iter().map(|index| some[index]).collect()).unwrap();
    (part(split.train), part(split.validation))
}

fn config(epochs: usize) -> TrainConfig {
    TrainConfig { epochs, batch_size: 64, ..TrainConfig::default() }
}

#[test]
fn a_network_learns_digits() {
    let (train, validation) = digits();
    let mut model = model(1);
    let fitted = Trainer::new(config(8)).fit(&mut model, &train, Some(&validation)).unwrap();
    assert_eq!(fitted.history.epochs.len(), 8);
    let (first, last) = (&fitted.history.epochs[0], &fitted.history.epochs[7]);
    assert!(last.loss < 0.2 * first.loss && last.accuracy.unwrap() > 0.95, "{last:?}");
    let evaluation = evaluate(&model, &validation, Cpu::detect()).unwrap();
    assert!(evaluation.accuracy > 0.9, "{}", evaluation.accuracy);
    // The model has the weights of the best epoch.
    let best = fitted.history.best().unwrap();
    assert_eq!(fitted.best_epoch, Some(best.epoch));
    assert_eq!(Some(evaluation.loss), best.val_loss);
    let mistakes = evaluation.mistakes(&validation);
    assert_eq!(mistakes.len() as u64, evaluation.confusion.total() - evaluation.confusion.correct());
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let (train, _) = digits();
    let run = |seed: u64, threads: usize| {
        let mut model = model(seed);
        let config = TrainConfig { seed, cpu: Cpu::detect().with_threads(threads), ..config(2) };
        Trainer::new(config).fit(&mut model, &train, None).unwrap();
        model.network.weights().iter().flat_map(|w| w.values().iter().map(|v| v.to_bits())).collect::<Vec<_>>()
    };
    assert!(run(1, 2) == run(1, 2));
    assert!(run(1, 2) != run(2, 2));
}

struct StopAfter(usize);

impl Callback for StopAfter {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        if let Detail::Training(report) = step.detail {
            assert!(report.step <= report.steps && report.loss.is_finite());
            self.0 = self.0.saturating_sub(1);
        }
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn a_stop_keeps_what_was_done() {
    let (train, validation) = digits();
    let steps = train.len().div_ceil(64);
    let mut within = model(1);
    let before = within.network.weights()[0].values().to_vec();
    let fitted = Trainer::new(config(5)).callback(StopAfter(3)).fit(&mut within, &train, Some(&validation)).unwrap();
    assert!(fitted.interrupted && fitted.best_epoch.is_none() && fitted.history.epochs.is_empty());
    assert_ne!(before, within.network.weights()[0].values());
    let mut later = model(1);
    let fitted =
        Trainer::new(config(5)).callback(StopAfter(steps + 3)).fit(&mut later, &train, Some(&validation)).unwrap();
    assert!(fitted.interrupted && fitted.best_epoch == Some(1) && fitted.history.epochs.len() == 1);
    assert_ne!(fitted.last.weights()[0].values(), later.network.weights()[0].values());
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let (train, _) = digits();
    let refused = |model: &mut Model, config: TrainConfig, expected: &str| {
        let message = Trainer::new(config).fit(model, &train, None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(&mut model(1), TrainConfig { batch_size: 0, ..config(1) }, "at least one epoch");
    refused(&mut model(1), TrainConfig { learning_rate: (-1.0).into(), ..config(1) }, "-1");
    refused(&mut model(1), TrainConfig { learning_rate: 1e30.into(), ..config(9) }, "the first that are not finite");
    let flat = [crate::nn::layers::Flatten::new().into()];
    let mut no_classifier = Model {
        preprocessing: Some(Preprocessing::mnist()),
        ..Model::new(Network::sequential("flat", [28, 28, 1], flat, 0).unwrap())
    };
    refused(&mut no_classifier, config(1), "not a classifier");
    let two = [
        crate::nn::layers::Flatten::new().into(),
        crate::nn::layers::Dense::new(2).activation(crate::nn::layers::ActivationKind::Softmax).into(),
    ];
    let mut two = Model {
        preprocessing: Some(Preprocessing::mnist()),
        ..Model::new(Network::sequential("two", [28, 28, 1], two, 0).unwrap())
    };
    refused(&mut two, config(1), "10 classes");
    let empty = LabeledImages::new([28, 28, 1], Vec::new(), Vec::new(), Vec::new()).unwrap();
    let start = TrainStart::scratch(applications::find("basic-cnn").unwrap(), &StartOptions::default()).unwrap();
    assert_eq!(start.build(&empty, 1).unwrap_err().to_string(), "there are no images to train on");
}

/// Prefetched and augmented batches give the same weights for any number of loading threads.
#[test]
fn augmented_images_are_trained_on_and_repeatable() {
    let (train, validation) = digits();
    let augment: Augment = "rotation=10,width=0.1,height=0.1,zoom=0.1,mixup=0.2".parse().unwrap();
    let train = Subset::new(&train, (0..640).collect()).unwrap();
    let run = |seed: u64| {
        let mut model = model(1);
        let augmented = Augmented::new(&train, augment.clone(), seed).unwrap();
        let fitted = Trainer::new(config(3)).fit(&mut model, &augmented, Some(&validation)).unwrap();
        let losses: Vec<u64> = fitted.history.epochs.iter().map(|epoch| epoch.loss.to_bits()).collect();
        (losses, fitted.history.epochs[2].val_accuracy.unwrap())
    };
    let (losses, accuracy) = run(5);
    assert_eq!(run(5).0, losses);
    assert_ne!(run(6).0, losses);
    assert!(accuracy > 0.5, "{accuracy}");
}

fn bits(network: &Network) -> Vec<u32> {
    network.weights().iter().flat_map(|weight| weight.values().iter().map(|value| value.to_bits())).collect()
}

/// Stopped after any step and resumed as in another process, training ends with the same weights.
#[test]
fn a_training_goes_on_to_the_same_bits() {
    let (train, validation) = digits();
    let train = Subset::new(&train, (0..320).collect()).unwrap();
    let augmented = Augmented::new(&train, "rotation=10,mixup=0.2".parse().unwrap(), 3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = |name: &str, resume: bool, data: &str| {
        let path = folder.path().join(name);
        Checkpoint { path, every: Some(3), resume, identity: serde_json::json!({ "data": data }) }
    };
    let trainer = |checkpoint: Checkpoint| {
        let checkpoint = Some(checkpoint);
        let config = TrainConfig { steps_per_epoch: Some(4), ema: Some(0.9), checkpoint, ..config(3) };
        Trainer::new(config).callback(ReduceLrOnPlateau::new(1, 0.5).unwrap())
    };
    let run = |name: &str, resume: bool, callback: &mut dyn Callback| {
        let mut model = model(1);
        let mut trainer = trainer(checkpoint(name, resume, "digits")).callback(|step: &Step<'_>| callback.update(step));
        let result = trainer.fit(&mut model, &augmented, Some(&validation)).unwrap();
        (result, bits(&model.network))
    };
    let (whole, best) = run("whole", false, &mut ());
    assert!(!whole.interrupted && whole.history.epochs.len() == 3);
    for steps in [1, 4, 6, 11] {
        let name = format!("stopped {steps}");
        assert!(run(&name, false, &mut StopAfter(steps)).0.interrupted);
        let (gone_on, its_best) = run(&name, true, &mut ());
        assert!(bits(&gone_on.last) == bits(&whole.last) && its_best == best, "{steps}");
        let losses = |result: &TrainResult| -> Vec<_> {
            result.history.epochs.iter().map(|epoch| (epoch.loss, epoch.val_loss, epoch.learning_rate)).collect()
        };
        assert_eq!(losses(&gone_on), losses(&whole));
    }
    // Without a checkpoint it starts from scratch; the checkpoint of another run is rejected.
    assert!(run("none", true, &mut ()).1 == best);
    let refused = |data: &str| {
        let mut trainer = trainer(checkpoint("whole", true, data));
        trainer.fit(&mut model(1), &augmented, Some(&validation)).unwrap_err().to_string()
    };
    let message = refused("cats");
    assert!(message.contains("(data: digits then, cats now)"), "{message}");
    std::fs::write(folder.path().join("whole"), b"damaged").unwrap();
    assert!(refused("digits").contains("whole: not a model file"), "{}", refused("digits"));
}

#[test]
fn a_training_that_gets_no_better_is_ended() {
    let (train, validation) = digits();
    let train = Subset::new(&train, (0..64).collect()).unwrap();
    // A learning rate too low to learn anything: the first epoch stays the best, or nearly so.
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = |resume: bool| {
        let path = folder.path().join("checkpoint");
        Some(Checkpoint { path, every: None, resume, identity: serde_json::json!({}) })
    };
    let run = |resume: bool| {
        let config = TrainConfig { learning_rate: 1e-12.into(), checkpoint: checkpoint(resume), ..config(50) };
        let trainer = Trainer::new(config).callback(EarlyStopping::new(2));
        let mut trainer = trainer.callback(ReduceLrOnPlateau::new(1, 0.5).unwrap());
        trainer.fit(&mut model(1), &train, Some(&validation)).unwrap()
    };
    let fitted = run(false);
    assert!(fitted.stopped_early && !fitted.interrupted);
    let epochs = &fitted.history.epochs;
    assert!(epochs.len() < 50 && epochs.len() >= 3);
    assert_eq!(fitted.best_epoch, Some(epochs.len() - 2));
    assert!(epochs[epochs.len() - 1].learning_rate < 1e-12);
    assert_eq!(fitted.record["options"]["early_stopping"], 2);
    assert_eq!(fitted.record["options"]["plateau"]["factor"], 0.5);
    // The run was complete: there is nothing to resume.
    let resumed = run(true);
    assert!(resumed.stopped_early && resumed.history == fitted.history);
}

#[test]
fn classes_without_weight_are_not_learned_and_slow_layers_stay_behind() {
    let (train, _) = digits();
    let train = Subset::new(&train, (0..640).collect()).unwrap();
    let after = |config: TrainConfig| {
        let mut model = model(1);
        Trainer::new(config).fit(&mut model, &train, None).unwrap();
        model
    };
    let weights: Vec<f32> = (0..10).map(|class| if class == 3 { 0.0 } else { 1.0 }).collect();
    let blind = evaluate(&after(TrainConfig { class_weights: weights, ..config(3) }), &train, Cpu::detect()).unwrap();
    assert_eq!(blind.confusion.recall(3), Some(0.0));
    assert!(blind.confusion.recall(1).unwrap() > 0.5);

    let moved = |model: &Model, weight: usize| {
        let before = applications::mnist_cnn(1).unwrap();
        let pairs = model.network.weights()[weight].values().iter().zip(before.weights()[weight].values());
        pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>()
    };
    let param_group = Some(ParamGroup { through: "conv2d_1".to_owned(), factor: 0.01 });
    let (slow, plain) = (after(TrainConfig { param_group, ..config(3) }), after(config(3)));
    assert!(moved(&slow, 0) < 0.05 * moved(&plain, 0) && moved(&slow, 2) < 0.05 * moved(&plain, 2));
    assert!(moved(&slow, 4) > 0.3 * moved(&plain, 4));
    let clipped = after(TrainConfig { clip_norm: Some(1e-6), weight_decay: 0.5, ..config(3) });
    assert!(moved(&clipped, 0) > 0.0);
}

#[test]
fn the_monitor_decides_which_epoch_is_kept() {
    let (train, validation) = digits();
    let train = Subset::new(&train, (0..640).collect()).unwrap();
    type Value = fn(&EpochRecord) -> Option<f64>;
    type Measure = fn(&Evaluation) -> Option<f64>;
    let cases: [(Monitor, Value, Measure); 2] = [
        (Monitor::F1, |epoch| epoch.val_f1, |found| found.confusion.macro_mean(Confusion::f1)),
        (Monitor::Auc, |epoch| epoch.val_auc, Evaluation::mean_roc_auc),
    ];
    for (monitor, value, measure) in cases {
        let mut model = model(1);
        let config = TrainConfig { monitor, ..config(4) };
        let fitted = Trainer::new(config.clone()).fit(&mut model, &train, Some(&validation)).unwrap();
        let values: Vec<f64> = fitted.history.epochs.iter().map(|epoch| value(epoch).unwrap()).collect();
        let best = fitted.best_epoch.unwrap();
        assert!(values.iter().all(|other| *other <= values[best - 1]), "{monitor:?} {values:?} {best}");
        let found = evaluate(&model, &validation, Cpu::detect()).unwrap();
        assert_eq!(measure(&found), Some(values[best - 1]));
        let message = Trainer::new(config).fit(&mut model, &train, None);
        assert!(message.unwrap_err().to_string().contains("needs validation data"));
    }
}

#[test]
fn the_weighted_loss_decides_with_class_weights() {
    let (train, validation) = digits();
    let train = Subset::new(&train, (0..640).collect()).unwrap();
    let weights: Vec<f32> = (0..10).map(|class| if class == 3 { 20.0 } else { 0.5 }).collect();
    let mut model = model(1);
    let config = TrainConfig { class_weights: weights.clone(), ..config(4) };
    let fitted = Trainer::new(config).fit(&mut model, &train, Some(&validation)).unwrap();
    let losses: Vec<f64> = fitted.history.epochs.iter().map(|epoch| epoch.val_weighted_loss.unwrap()).collect();
    let best = fitted.best_epoch.unwrap();
    assert!(losses.iter().all(|other| *other >= losses[best - 1]), "{losses:?} {best}");
    assert_eq!(fitted.history.best().unwrap().epoch, best);
    // Mean of weight times loss, as in Keras.
    let found = evaluate(&model, &validation, Cpu::detect()).unwrap();
    let loss = |(row, &label): (&Vec<f32>, &usize)| -f64::from(weights[label]) * f64::from(row[label]).ln();
    let mean = found.probabilities.iter().zip(&found.labels).map(loss).sum::<f64>() / found.labels.len() as f64;
    assert!((mean - losses[best - 1]).abs() < 1e-4 * mean, "{mean} {losses:?}");
    assert_eq!(fitted.history.epochs[best - 1].val_loss, Some(found.loss));
    assert!((mean - found.loss).abs() > 0.05 * mean);
}

/// Validation uses the moving average of the weights, and so does the network of the last epoch.
#[test]
fn with_a_mean_of_the_weights_the_last_network_has_the_historys_loss() {
    let (train, validation) = digits();
    let train = Subset::new(&train, (0..640).collect()).unwrap();
    let mut model = model(1);
    let config = TrainConfig { ema: Some(0.9), ..config(2) };
    let fitted = Trainer::new(config).fit(&mut model, &train, Some(&validation)).unwrap();
    let last = Model { network: fitted.last.clone(), ..model };
    let found = evaluate(&last, &validation, Cpu::detect()).unwrap();
    let epoch = &fitted.history.epochs[1];
    assert_eq!((epoch.val_loss, epoch.val_accuracy, epoch.ema), (Some(found.loss), Some(found.accuracy), Some(0.9)));
}
