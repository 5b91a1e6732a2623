//! Times workloads on photos and prints the milliseconds as JSON, for `bench/run`.
//!
//! `cargo run --release -p lucida-programs --bin photos -- WHAT [--weights FILE] [--data FOLDER] [THREADS]`; WHAT is
//! one of
//!
//! - `step`: training steps of basic-cnn, batch 32 at 150x150;
//! - `mixed7`: InceptionV3 up to mixed7, batch 32 at 150x150;
//! - `epoch`: a cold epoch of basic-cnn: reading and decoding a folder of photos, and training on them with augmentation;
//! - `features`: VGG16 to block5_pool over the first 500 photos of each class, decoding included, batch 32 at 150x150.

use std::time::Instant;

use lucida::Cpu;
use lucida::data::{Augmented, ColorMode, Dataset, Folder, Loader, Preprocessing};
use lucida::nn::applications::{self, Options};
use lucida::nn::losses::{BinaryCrossentropy, Loss};
use lucida::nn::{Network, Optimizer, OptimizerState, Plan, StepSeed};
use lucida::train::{Classifier, TrainConfig, Trainer};
use lucida::weights::{IncludeTop, Model, ModelSpec, open};

const BATCH: usize = 32;
const SIZE: usize = 150;
const AUGMENT: &str = "width=0.2,height=0.2,shear=0.2,zoom=0.2,flip";
const PHOTOS_OF_A_CLASS: usize = 500;

type Times = Result<Vec<f64>, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cpu = Cpu::from_env()?;
    let (mut mode, mut weights, mut data) = (String::new(), None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--weights" => weights = arguments.next(),
            "--data" => data = arguments.next(),
            _ if mode.is_empty() => mode = argument,
            threads => cpu = cpu.with_threads(threads.parse()?),
        }
    }
    let times = match mode.as_str() {
        "step" => steps(cpu)?,
        "mixed7" => mixed7(cpu, weights)?,
        "epoch" => epoch(cpu, &data.ok_or("--data FOLDER is missing")?)?,
        "features" => features(cpu, weights, &data.ok_or("--data FOLDER is missing")?)?,
        other => return Err(format!("{other:?} is not step, mixed7, epoch or features").into()),
    };
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times }));
    Ok(())
}

/// Times `runs` calls in milliseconds, after `warm_up` untimed ones.
fn time(warm_up: usize, runs: usize, mut run: impl FnMut() -> lucida::Result<()>) -> Times {
    let mut times = Vec::new();
    for number in 0..warm_up + runs {
        let start = Instant::now();
        run()?;
        if number >= warm_up {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(times)
}

fn basic_cnn() -> lucida::Result<Network> {
    applications::basic_cnn(&Options::default().size(SIZE, SIZE).classes(2).seed(42))
}

fn steps(cpu: Cpu) -> Times {
    let mut network = basic_cnn()?;
    let Classifier { logits, units, .. } = Classifier::of(&network)?;
    let loss = BinaryCrossentropy::default();
    let builder = Plan::builder(&network).cpu(cpu).batch_size(BATCH).training();
    let mut plan = builder.output(logits.clone()).grad_output_at(logits).weight_gradients().build()?;
    let mut optimizer = OptimizerState::new(Optimizer::adam(), &network);
    let images: Vec<f32> = (0..BATCH * SIZE * SIZE * 3).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let targets: Vec<f32> = (0..BATCH).map(|i| (i % 2) as f32).collect();
    let mut samples = 0;
    time(5, 25, || {
        plan.input_mut().copy_from_slice(&images);
        plan.forward_training(&mut network, StepSeed { seed: 42, first_sample: samples })?;
        let (values, gradient) = plan.output_and_grad_mut(0, 0);
        loss.evaluate(units, values, &targets, Some(gradient));
        plan.backward_and_apply(&mut network, &mut optimizer, |_| 1e-3);
        samples += BATCH as u64;
        Ok(())
    })
}

/// Opens a network with Keras's weights, without its classifier.
fn base(name: &str, weights: Option<String>) -> Result<Model, Box<dyn std::error::Error>> {
    let weights = Some(weights.ok_or("--weights FILE is missing")?.into());
    Ok(open(&ModelSpec { weights, size: Some([SIZE; 2]), top: IncludeTop::Unneeded, ..ModelSpec::new(name) })?)
}

fn mixed7(cpu: Cpu, weights: Option<String>) -> Times {
    let network = base("inception-v3", weights)?.network;
    let mut plan = Plan::builder(&network).cpu(cpu).batch_size(BATCH).output("mixed7").build()?;
    let images: Vec<f32> = (0..BATCH * SIZE * SIZE * 3).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    time(5, 25, || {
        plan.input_mut().copy_from_slice(&images);
        plan.forward(&network)
    })
}

fn epoch(cpu: Cpu, data: &str) -> Times {
    time(0, 1, || {
        let preprocessing = Preprocessing::unit(SIZE, SIZE, ColorMode::Rgb);
        let (set, _) = Folder::builder(data).cpu(cpu).keep(&preprocessing, 1 << 30).open_set()?;
        let class_names = set.class_names().to_vec();
        let set = Augmented::new(set, AUGMENT.parse()?, 42)?;
        let mut model = Model { preprocessing: Some(preprocessing), class_names, ..Model::new(basic_cnn()?) };
        let config = TrainConfig { epochs: 1, batch_size: BATCH, cpu, ..TrainConfig::default() };
        Trainer::new(config).fit(&mut model, &set, None).map(drop)
    })
}

fn features(cpu: Cpu, weights: Option<String>, data: &str) -> Times {
    let model = base("vgg16", weights)?;
    let preprocessing = model.preprocessing()?;
    let (set, _) = Folder::builder(data).cpu(cpu).list()?;
    let mut left = vec![PHOTOS_OF_A_CLASS; set.class_names().len()];
    let mut photos: Vec<usize> = (0..set.len()).collect();
    photos.retain(|&photo| {
        let left = &mut left[set.label(photo)];
        let wanted = *left > 0;
        *left -= usize::from(wanted);
        wanted
    });
    let mut plan = Plan::builder(&model.network).cpu(cpu).batch_size(BATCH).output("block5_pool").build()?;
    let mut features_of = |photos: &[usize]| -> lucida::Result<()> {
        let mut features = Vec::new();
        Loader::new(&set, preprocessing).threads(cpu.threads()).each(photos, BATCH, |batch| {
            plan.set_batch(batch.indices.len());
            plan.input_mut().copy_from_slice(batch.images);
            plan.forward(&model.network)?;
            features.extend_from_slice(plan.output(0));
            Ok(true)
        })?;
        Ok(())
    };
    features_of(&photos[..BATCH])?;
    time(0, 1, || features_of(&photos))
}
