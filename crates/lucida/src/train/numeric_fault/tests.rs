use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::Error;
use crate::core::{Detail, Step};
use crate::data::{MixedSample, Targets};
use crate::nn::layers::{ActivationKind, BatchNormalization, Dense, Dropout};
use crate::nn::{Loss, Optimizer, OptimizerState, Sequential};
use crate::train::custom::CustomObjective;
use crate::train::distributed::BatchShard;
use crate::train::train_step::TrainStep;
use crate::train::{Checkpoint, TrainConfig, TrainResult, Trainer};

const WIDTH: usize = 8;

/// Reproducible rows of values with two classes; some values are replaced.
struct Rows {
    rows: Vec<Vec<f32>>,
    names: Vec<String>,
}

impl Rows {
    fn new(count: usize) -> Self {
        let value = |row: usize, at: usize| ((row * 31 + at * 17) as f32).sin() + (row % 2) as f32;
        let rows = (0..count).map(|row| (0..WIDTH).map(|at| value(row, at)).collect()).collect();
        Self { rows, names: vec!["a".to_owned(), "b".to_owned()] }
    }

    fn with(mut self, row: usize, value: f32) -> Self {
        self.rows[row][3] = value;
        self
    }
}

impl Samples for Rows {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn label(&self, index: usize) -> usize {
        index % 2
    }

    fn targets(&self) -> Targets {
        Targets::Classes(2)
    }

    fn sample_name(&self, index: usize) -> String {
        format!("row-{index}.png")
    }

    fn each(
        &self,
        _pass: Option<u32>,
        order: &[usize],
        batch_size: usize,
        each: &mut dyn FnMut(Batch<'_>) -> Result<bool>,
    ) -> Result<bool> {
        for indices in order.chunks(batch_size) {
            let images: Vec<f32> = indices.iter().flat_map(|&index| &self.rows[index]).copied().collect();
            let labels: Vec<usize> = indices.iter().map(|&index| self.label(index)).collect();
            let mixed: Vec<Option<MixedSample>> = vec![None; indices.len()];
            if !each(Batch { indices, images: &images, labels: &labels, targets: &[], mixed: &mixed })? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn network() -> Network {
    let layers = Sequential::new("rows", [WIDTH]).add(Dense::new(12).activation(ActivationKind::Relu));
    let layers = layers.add(BatchNormalization::default()).add(Dropout::new(0.25));
    layers.add(Dense::new(2).activation(ActivationKind::Softmax)).build(7).unwrap()
}

fn config(on_nan: OnNan) -> TrainConfig {
    TrainConfig { epochs: 3, batch_size: 8, learning_rate: 0.01.into(), on_nan, ..TrainConfig::default() }
}

fn bits(network: &Network) -> Vec<u32> {
    network.weights().iter().flat_map(|weight| weight.values().iter().map(|value| value.to_bits())).collect()
}

fn fit(config: TrainConfig, train: &Rows, validation: Option<&Rows>) -> Result<(TrainResult, Network)> {
    let mut network = network();
    let validation = validation.map(|samples| samples as &dyn Samples);
    let result = Trainer::new(config).fit_network(&mut network, train, validation)?;
    Ok((result, network))
}

fn refused(config: TrainConfig, train: &Rows, validation: Option<&Rows>) -> (Error, String) {
    let error = fit(config, train, validation).unwrap_err();
    let message = error.to_string();
    (error, message)
}

#[test]
fn a_step_stops_the_training_with_its_layer_and_sample() {
    for value in [f32::NAN, f32::INFINITY] {
        let (error, message) = refused(config(OnNan::Stop), &Rows::new(32).with(13, value), None);
        assert!(matches!(error, Error::NotFinite { epoch: 1, layer: None, checkpoint: None, .. }), "{error:?}");
        assert!(message.contains("the loss is NaN: the input of row-13.png is not finite"), "{message}");
        assert!(message.contains("and 5 more"), "{message}");
    }
    // The input is finite, but not its product with a weight.
    let (error, message) = refused(config(OnNan::Stop), &Rows::new(32).with(13, f32::MAX), None);
    assert!(
        matches!(&error, Error::NotFinite { layer: Some(layer), .. } if layer == "batch_normalization"),
        "{error:?}"
    );
    assert!(message.contains("a learning rate below 0.01, or clipping"), "{message}");
    // The learning rate is too high.
    let rate = TrainConfig { learning_rate: 1e30.into(), optimizer: Optimizer::sgd(), ..config(OnNan::Stop) };
    let (error, message) = refused(rate, &Rows::new(32), None);
    assert!(matches!(&error, Error::NotFinite { layer: Some(_), .. }), "{message}");
}

#[test]
fn weights_that_are_not_finite_are_not_trained() {
    let mut network = network();
    network.weights_mut()[1].values_mut()[5] = f32::NAN;
    let error = Trainer::new(config(OnNan::Skip)).fit_network(&mut network, &Rows::new(8), None).unwrap_err();
    assert_eq!(error.to_string(), "layer dense: its weights hold NaN or infinity (dense/bias)");
}

#[test]
fn the_last_good_checkpoint_is_kept_and_resumed_with_skip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let with = |on_nan, resume| TrainConfig {
        checkpoint: Some(Checkpoint { path: path.clone(), every: Some(1), resume, identity: serde_json::Value::Null }),
        ..config(on_nan)
    };
    let data = Rows::new(64).with(13, f32::NAN);
    let (_, message) = refused(with(OnNan::Stop, false), &data, None);
    assert!(message.ends_with(&format!("; the last good checkpoint is kept in {}", path.display())), "{message}");
    let kept = std::fs::read(&path).unwrap();
    // Resuming fails at the same step, and leaves the file unchanged.
    assert_eq!(refused(with(OnNan::Stop, true), &data, None).1, message);
    assert_eq!(std::fs::read(&path).unwrap(), kept);
    let (resumed, network) = fit(with(OnNan::Skip, true), &data, None).unwrap();
    let (whole, same) = fit(config(OnNan::Skip), &data, None).unwrap();
    assert!(bits(&network) == bits(&same));
    assert_eq!((resumed.history.skipped_steps(), whole.history.skipped_steps()), (3, 3));
    assert_eq!(whole.record["skipped_steps"], 3);
}

/// Stops after some steps, skipped or not.
struct StopAfter(usize);

impl crate::core::Progress for StopAfter {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        if let Detail::Skipped(skipped) = step.detail {
            assert!(skipped.why.contains("row-13.png"), "{}", skipped.why);
        }
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn run(path: &Path, resume: bool, stop: usize) -> (TrainResult, Network) {
    let checkpoint = Checkpoint { path: path.to_path_buf(), every: None, resume, identity: serde_json::Value::Null };
    let (mut network, data) = (network(), Rows::new(60).with(13, f32::NAN));
    let config = TrainConfig { checkpoint: Some(checkpoint), ema: Some(0.9), ..config(OnNan::Skip) };
    let config = TrainConfig { learning_rate: crate::nn::Schedule::cosine(0.01, 24), ..config };
    let result = Trainer::new(config).callback(StopAfter(stop)).fit_network(&mut network, &data, Some(&Rows::new(6)));
    (result.unwrap(), network)
}

#[test]
fn a_training_that_skips_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, best) = run(&folder.path().join("whole"), false, usize::MAX);
    let skipped: Vec<usize> = whole.history.epochs.iter().map(|epoch| epoch.skipped_steps).collect();
    assert_eq!(skipped, [1, 1, 1]);
    for steps in 1..=24 {
        let path = folder.path().join(steps.to_string());
        assert!(run(&path, false, steps).0.history.epochs.len() < 3 || steps == 24);
        let (resumed, its_best) = run(&path, true, usize::MAX);
        assert!(bits(&resumed.last) == bits(&whole.last) && bits(&its_best) == bits(&best), "{steps}");
        let numbers = |result: &TrainResult| -> Vec<_> {
            result.history.epochs.iter().map(|e| (e.loss, e.val_loss, e.learning_rate, e.skipped_steps)).collect()
        };
        assert_eq!(numbers(&resumed), numbers(&whole));
    }
}

#[test]
fn too_many_skipped_steps_stop_the_training() {
    let mut data = Rows::new(160);
    data.rows.iter_mut().for_each(|row| row[0] = f32::NAN);
    let (_, message) = refused(config(OnNan::Skip), &data, None);
    assert!(message.starts_with("step 10 of epoch 1: 10 steps in a row were skipped: the loss is NaN"), "{message}");
    data.rows.truncate(16);
    let (_, message) = refused(config(OnNan::Skip), &data, None);
    assert!(message.starts_with("step 2 of epoch 1: all steps of the epoch were skipped: "), "{message}");
}

#[test]
fn where_nothing_is_skipped_the_bits_are_the_same() {
    let data = Rows::new(60);
    let trained = |on_nan| bits(&fit(config(on_nan), &data, None).unwrap().1);
    assert!(trained(OnNan::Stop) == trained(OnNan::Skip));
}

/// The squared error, with this value as its gradient where a target is 1.
#[derive(Debug)]
struct Broken(f32);

impl Loss for Broken {
    fn row(&self, values: &[f32], targets: &[f32], _batch: usize, gradient: Option<&mut [f32]>) -> f64 {
        for ((gradient, value), target) in gradient.into_iter().flatten().zip(values).zip(targets) {
            *gradient = if *target == 1.0 { self.0 } else { value - target };
        }
        f64::from(values[0] - targets[0]).powi(2)
    }
}

#[test]
fn a_skipped_step_leaves_weights_moments_and_statistics() {
    let data = Rows::new(8);
    let indices: Vec<usize> = (0..8).collect();
    for (value, clip_norm) in [(f32::NAN, None), (f32::INFINITY, Some(1.0)), (1e30, None)] {
        let config = TrainConfig { clip_norm, weight_decay: 0.1, ..config(OnNan::Skip) };
        let custom = CustomObjective { loss: Some(std::sync::Arc::new(Broken(value))), metrics: Vec::new() };
        let mut network = network();
        let mut step = TrainStep::new((&config, &custom), (&network, data.targets()), 8, None).unwrap();
        let mut optimizer = OptimizerState::new(config.optimizer, &network);
        let before = bits(&network);
        let moved = |data: &Rows, network: &mut Network, optimizer: &mut OptimizerState, step: &mut TrainStep<'_>| {
            let mut fault = None;
            data.each(None, &indices, 8, &mut |batch| {
                let outcome = step.step(network, optimizer, BatchShard::whole(batch), 0, 0.01, false)?;
                assert!(outcome.loss.is_finite());
                fault = outcome.fault;
                Ok(true)
            })
            .unwrap();
            fault
        };
        let fault = moved(&data, &mut network, &mut optimizer, &mut step);
        assert!(matches!(fault, Some(Fault::Gradient(_))), "{value} {fault:?}");
        assert!(bits(&network) == before && optimizer.steps() == 0);
        assert!(optimizer.slots().iter().flatten().all(|slot| slot.iter().all(|&value| value == 0.0)));
    }
}

#[test]
fn a_broken_gradient_is_named_and_large_ones_can_be_clipped() {
    let train = |value: f32, config: TrainConfig| {
        Trainer::new(config).loss(Broken(value)).fit_network(&mut network(), &Rows::new(32), None)
    };
    let message = train(f32::NAN, config(OnNan::Stop)).unwrap_err().to_string();
    assert!(
        message.contains("the step before has left weights of layer dense_1 that are not finite (dense_1/"),
        "{message}"
    );
    assert!(message.starts_with("step 2 of epoch 1: "), "{message}");
    let clipped = TrainConfig { clip_norm: Some(1.0), ..config(OnNan::Stop) };
    let message = train(f32::NAN, clipped.clone()).unwrap_err().to_string();
    assert!(message.contains("the gradient of layer dense_1 is not (dense_1/"), "{message}");
    train(1e25, clipped).unwrap();
}

#[test]
fn a_validation_loss_that_is_not_finite_names_the_sample() {
    let bad = Rows::new(40).with(33, f32::INFINITY);
    let (error, message) = refused(config(OnNan::Stop), &Rows::new(32), Some(&bad));
    assert!(matches!(error, Error::NotFinite { epoch: 1, step: 4, .. }), "{error:?}");
    assert!(message.contains("the validation loss is NaN: the input of row-33.png is not finite"), "{message}");
    // It is worse than any other loss, and is missing from the history.
    let (result, network) = fit(config(OnNan::Skip), &Rows::new(32), Some(&bad)).unwrap();
    assert!(result.history.epochs.iter().all(|epoch| epoch.val_loss.is_none()));
    assert!(network.weights().iter().all(|weight| is_finite(weight.values())));
}
