//! Tests of process groups, with threads in place of MPI processes.

use std::ops::ControlFlow;
use std::sync::{Barrier, Mutex};

use super::*;
use crate::Cpu;
use crate::core::{Step, Unit};
use crate::data::{ColorMode, Dataset, LabeledImages, Mnist, Preprocessing, Subset, stratified_split};
use crate::nn::layers::{
    Activation, ActivationKind, AveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer,
    MaxPooling2D,
};
use crate::nn::{BucketSink, LossKind, Network, Optimizer, Plan, ProcessGroup, Shard, StepSeed};
use crate::train::{Callback, Checkpoint, Monitor, TrainConfig, TrainResult, Trainer};
use crate::weights::Model;

/// Shared state of a group of threads.
struct Table {
    barrier: Barrier,
    sums: Mutex<Vec<f64>>,
}

struct Member<'a> {
    table: &'a Table,
    rank: usize,
    size: usize,
}

impl ProcessGroup for Member<'_> {
    fn rank(&self) -> usize {
        self.rank
    }
    fn size(&self) -> usize {
        self.size
    }
    fn barrier(&self) {
        self.table.barrier.wait();
    }
    fn sum(&self, values: &mut [f64]) {
        for turn in 0..self.size {
            self.table.barrier.wait();
            if turn == self.rank {
                let mut sums = self.table.sums.lock().unwrap();
                if turn == 0 {
                    sums.clear();
                    sums.resize(values.len(), 0.0);
                }
                assert_eq!(sums.len(), values.len(), "members sum the same things");
                sums.iter_mut().zip(values.iter()).for_each(|(sum, value)| *sum += value);
            }
        }
        self.table.barrier.wait();
        values.copy_from_slice(&self.table.sums.lock().unwrap());
    }
    fn sum_behind(&self, buckets: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>)) {
        let mut next = 0;
        work(&mut |bucket: &mut Vec<f32>| {
            std::mem::swap(&mut buckets[next], bucket);
            assert_eq!(buckets[next].len(), bucket.len(), "the bucket that was announced");
            next += 1;
        });
        assert_eq!(next, buckets.len(), "all buckets are handed over");
        for bucket in buckets {
            let mut sums: Vec<f64> = bucket.iter().map(|&value| f64::from(value)).collect();
            self.sum(&mut sums);
            bucket.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum as f32);
        }
    }
}

/// Runs `work` on each member of a group, and returns their results in order of rank.
fn group<T: Send>(size: usize, work: impl Fn(&dyn ProcessGroup) -> T + Sync) -> Vec<T> {
    let table = Table { barrier: Barrier::new(size), sums: Mutex::default() };
    std::thread::scope(|scope| {
        let (table, work) = (&table, &work);
        let members: Vec<_> = (0..size).map(|rank| scope.spawn(move || work(&Member { table, rank, size }))).collect();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    })
}

/// A network with dropout and batch normalization, whose results depend on more than a single sample.
///
/// Among a hundred thousand ReLUs and maxima, one eventually flips due to a difference in the last bit, after which training
/// diverges; so runs of many steps are compared with a smooth network. Biases before a normalization are left out for the
/// same reason: their gradient is pure rounding error, which Adam would scale up.
fn network(activation: ActivationKind, pooling: Layer) -> Network {
    let layers = [
        Conv2D::new(8, [5, 5]).strides([2, 2]).without_bias().into(),
        BatchNormalization::default().into(),
        Activation::new(activation).into(),
        pooling,
        Flatten::new().into(),
        Dense::new(24).without_bias().into(),
        BatchNormalization { scale: false, momentum: 0.9, ..Default::default() }.into(),
        Activation::new(activation).into(),
        Dropout::new(0.4).into(),
        Dense::new(10).activation(ActivationKind::Softmax).into(),
    ];
    Network::sequential("group", [28, 28, 1], layers, 3).unwrap()
}

fn smooth() -> Network {
    network(ActivationKind::Tanh, AveragePooling2D::new([2, 2]).into())
}

fn digits() -> (Subset<LabeledImages>, Subset<LabeledImages>) {
    let all = Mnist::builtin().unwrap().train;
    let some = stratified_split(&all.labels(), 10, 0.05, 1).unwrap().validation;
    let (train, validation) = some.split_at(401);
    (Subset::new(all.clone(), train.to_vec()).unwrap(), Subset::new(all, validation.to_vec()).unwrap())
}

fn config(optimizer: Optimizer, epochs: usize) -> TrainConfig {
    let learning_rate = if optimizer == Optimizer::adam() { 1e-3 } else { 0.05 }.into();
    // 401 samples: the last batch has one sample, and some members have none.
    let cpu = Cpu::detect().with_threads(1);
    TrainConfig { epochs, batch_size: 40, learning_rate, optimizer, seed: 5, cpu, ..TrainConfig::default() }
}

fn fit(config: &TrainConfig, group: Option<&dyn ProcessGroup>, callback: impl Callback) -> (Network, TrainResult) {
    let (train, validation) = digits();
    let mut model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(smooth()) };
    model.class_names = (0..10).map(|digit| digit.to_string()).collect();
    let mut trainer = Trainer::new(config.clone()).process_group(group).callback(callback);
    let result = trainer.fit(&mut model, &train, Some(&validation)).unwrap();
    (model.network, result)
}

/// Distance between all weights of two networks, relative to their norm.
fn distance(a: &Network, b: &Network) -> f64 {
    let values = |network: &Network| -> Vec<f64> {
        network.weights().iter().flat_map(|weight| weight.values().iter().map(|&v| f64::from(v))).collect()
    };
    let (a, b) = (values(a), values(b));
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn a_team_learns_what_one_process_learns() {
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false };
    // 55 steps.
    let class_weights = (0..10).map(|class| if class == 3 { 2.0 } else { 1.0 }).collect();
    let training = TrainConfig { monitor: Monitor::Auc, class_weights, ..config(sgd, 5) };
    let training = TrainConfig { clip_norm: Some(5.0), ema: Some(0.9), ..training };
    let (one, alone) = fit(&training, None, ());
    for size in [2, 4] {
        let all = group(size, |group| fit(&training, Some(group), ()));
        for (network, fitted) in &all {
            let (network, last) = (distance(network, &one), distance(&fitted.last, &alone.last));
            assert!(network < 1e-5 && last < 1e-5, "{size}: {network:e} {last:e}");
            assert_eq!(fitted.best_epoch, alone.best_epoch);
            let (ours, theirs) = (&fitted.history.epochs[4], &alone.history.epochs[4]);
            assert!((ours.loss - theirs.loss).abs() < 1e-5 * theirs.loss, "{ours:?} {theirs:?}");
            assert!((ours.val_loss.unwrap() - theirs.val_loss.unwrap()).abs() < 1e-5 * theirs.val_loss.unwrap());
            let (weighted, expected) = (ours.val_weighted_loss.unwrap(), theirs.val_weighted_loss.unwrap());
            assert!((weighted - expected).abs() < 1e-5 * expected);
            assert!((ours.val_auc.unwrap() - theirs.val_auc.unwrap()).abs() < 1e-5, "{ours:?} {theirs:?}");
            assert_eq!((ours.accuracy, ours.val_accuracy), (theirs.accuracy, theirs.val_accuracy));
        }
        // The members agree bit for bit.
        assert_eq!(distance(&all[0].1.last, &all[size - 1].1.last), 0.0);
    }
    // The agreement is not by chance: with another seed, the weights are far apart.
    let (other, _) = fit(&TrainConfig { seed: 6, ..config(sgd, 5) }, None, ());
    assert!(distance(&other, &one) > 1e-2);
}

/// Labels and values: target rows, and metrics as sums over the members.
#[test]
fn a_team_learns_values_as_one_process_does() {
    // 33 images: the last batch has one, and some members have none; some have no validation data either.
    let pixels = (0..33 * 36).map(|i| (i * 31 % 251) as u8).collect();
    let rows: Vec<f32> = (0..33 * 2).map(|i| (i * 7 % 11) as f32 / 10.0).collect();
    let data = LabeledImages::with_values([6, 6, 1], pixels, rows, vec!["a".to_owned(), "b".to_owned()]).unwrap();
    let fit = |group: Option<&dyn ProcessGroup>| {
        let layers =
            [Flatten::new().into(), Dense::new(8).activation(ActivationKind::Tanh).into(), Dense::new(2).into()];
        let network = Network::sequential("values", [6, 6, 1], layers, 3).unwrap();
        let mut model =
            Model { preprocessing: Some(Preprocessing::unit(6, 6, ColorMode::Grayscale)), ..Model::new(network) };
        let loss = Some(LossKind::Huber { delta: 0.5 });
        let config =
            TrainConfig { batch_size: 8, loss, ..config(Optimizer::Sgd { momentum: 0.9, nesterov: false }, 4) };
        let result = Trainer::new(config).process_group(group).fit(&mut model, &data, Some(&data)).unwrap();
        (model.network, result)
    };
    let (one, alone) = fit(None);
    let expected = &alone.history.epochs[3];
    assert_eq!((expected.metrics.len(), expected.val_metrics.len()), (3, 3));
    for size in [2, 5, 40] {
        for (network, fitted) in group(size, |group| fit(Some(group))) {
            assert!(distance(&network, &one) < 1e-5, "{size}: {:e}", distance(&network, &one));
            let found = &fitted.history.epochs[3];
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * b.abs(), "{size}: {found:?} {expected:?}");
            close(found.loss, expected.loss);
            close(found.val_loss.unwrap(), expected.val_loss.unwrap());
            for (found, expected) in [(&found.metrics, &expected.metrics), (&found.val_metrics, &expected.val_metrics)]
            {
                assert_eq!(found.len(), expected.len());
                expected.iter().for_each(|(name, &value)| close(found[name], value));
            }
        }
    }
}

struct StopAt(usize);

impl Callback for StopAt {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        let stops = step.unit == Unit::Steps && step.done == self.0 as u64;
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Stopped by one member, and resumed by a group of another size.
#[test]
fn a_team_of_another_size_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let training = |path: std::path::PathBuf, resume: bool| {
        let checkpoint = Checkpoint { path, every: None, resume, identity: serde_json::json!({}) };
        TrainConfig { checkpoint: Some(checkpoint), ..config(Optimizer::adam(), 3) }
    };
    let path = folder.path().join("checkpoint.safetensors");
    let (_, whole) = fit(&config(Optimizer::adam(), 3), None, ());
    let stopped = group(3, |group| {
        fit(&training(path.clone(), false), Some(group), StopAt(if group.rank() == 1 { 16 } else { 99 }))
    });
    assert!(stopped.iter().all(|(_, fitted)| fitted.interrupted && fitted.history.epochs.len() == 1));
    // Only the first member reads the checkpoint.
    let ended = group(2, |group| {
        let path = if group.rank() == 0 { path.clone() } else { "nowhere".into() };
        fit(&training(path, true), Some(group), ()).1
    });
    for fitted in ended {
        let distance = distance(&fitted.last, &whole.last);
        assert!(distance < 1e-4 && fitted.history.epochs.len() == 3, "{distance:e}");
    }
}

/// A pass over 6 samples, split among the members of a group; members without a part process another sample.
#[test]
fn a_pass_of_a_team_is_that_of_one() {
    let network = network(ActivationKind::Relu, MaxPooling2D::default().into());
    let images: Vec<f32> = (0..6 * 784).map(|i| (i * 31 % 17) as f32 / 17.0 + (i % 101) as f32 / 50.0).collect();
    let seeds: Vec<f32> = (0..6 * 10).map(|i| (i * 7 % 5) as f32 - 2.0).collect();
    let pass = |group: Option<&dyn ProcessGroup>, bucket: usize| {
        let part = group.map_or(0..6, |group| part::range(6, group.rank(), group.size()));
        let (samples, shard) = (part.len().max(1), group.map(|group| Shard { group, counts: !part.is_empty() }));
        let logits = crate::nn::TensorRef::before_activation("dense_1");
        let plan = Plan::builder(&network).cpu(Cpu::detect().with_threads(1)).batch_size(samples).training();
        let mut plan = plan.output(logits.clone()).grad_output_at(logits).weight_gradients().build().unwrap();
        let mut network = network.clone();
        plan.input_mut().copy_from_slice(&images[part.start * 784..][..samples * 784]);
        let seed = StepSeed { seed: 1, first_sample: part.start as u64 };
        plan.forward_shared(&mut network, seed, shard).unwrap();
        match part.is_empty() {
            true => plan.grad_output_mut(0).fill(0.0),
            false => plan.grad_output_mut(0).copy_from_slice(&seeds[part.start * 10..part.end * 10]),
        }
        match shard {
            Some(shard) => Buckets::of_size(&network, &plan, bucket).backward(&mut plan, &network, shard),
            None => plan.backward(&network),
        }
        (plan.weight_gradients().to_vec(), network)
    };
    let (gradients, after) = pass(None, 0);
    let close = |a: &[f32], b: &[f32], what: &str| {
        let largest = b.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(a.len() == b.len() && worst <= 1e-5 * largest, "{what}: {worst:e} of {largest:e}");
    };
    for (size, bucket) in [(1, 1), (1, 100), (1, 1 << 20), (2, 100), (3, 1 << 20), (4, 1000), (8, 1 << 20)] {
        for (ours, network) in group(size, |group| pass(Some(group), bucket)) {
            for (index, weight) in network.weights().iter().enumerate() {
                let what = format!("{size}, {bucket}: {}", weight.name());
                close(&ours[index], &gradients[index], &what);
                close(weight.values(), after.weights()[index].values(), &what);
            }
        }
    }
}

#[test]
fn parts_are_fair_and_leave_nothing_out() {
    for (len, size) in [(256, 4), (10, 3), (2, 5), (0, 2)] {
        let parts: Vec<_> = (0..size).map(|rank| part::range(len, rank, size)).collect();
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start) && parts[size - 1].end == len);
        let lens: Vec<usize> = parts.iter().map(ExactSizeIterator::len).collect();
        assert!(lens.iter().max().unwrap() - lens.iter().min().unwrap() <= 1, "{lens:?}");
    }
}
