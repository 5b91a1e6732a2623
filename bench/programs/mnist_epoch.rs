//! Times epochs of the digit classifier on the full MNIST and prints the milliseconds as JSON, for `bench/run`.
//! `cargo run --release -p lucida-programs --bin mnist_epoch -- FOLDER [THREADS]`.
//!
//! An epoch is the same as in `lucida train mnist`: 48,000 digits, shuffled in each epoch, are preprocessed and trained on in
//! batches of 256; 12,000 digits are for validation; loss and accuracy are computed on both.

use std::ops::ControlFlow;
use std::time::Instant;

use lucida::Cpu;
use lucida::core::{Step, Unit};
use lucida::data::{Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::applications;
use lucida::train::{TrainConfig, Trainer};
use lucida::weights::Model;

const WARM_UP: usize = 1;
const EPOCHS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the folder of MNIST is missing")?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let digits = Mnist::train_only(folder)?;
    let split = stratified_split(&digits.labels(), 10, 0.2, 42)?;
    let [train, validation] = [split.train, split.validation].map(|part| Subset::new(&digits, part));
    let mut model = Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: digits.class_names().to_vec(),
        ..Model::new(applications::mnist_cnn(42)?)
    };
    let config = TrainConfig { epochs: WARM_UP + EPOCHS, batch_size: 256, cpu, ..TrainConfig::default() };
    let mut ends: Vec<Instant> = Vec::new();
    let note = |step: &Step<'_>| {
        if step.unit == Unit::Epochs {
            ends.push(Instant::now());
        }
        ControlFlow::Continue(())
    };
    Trainer::new(config).callback(note).fit(&mut model, &train?, Some(&validation?))?;
    let times: Vec<f64> = ends.windows(2).map(|ends| (ends[1] - ends[0]).as_secs_f64() * 1e3).collect();
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": &times[WARM_UP - 1..] }));
    Ok(())
}
