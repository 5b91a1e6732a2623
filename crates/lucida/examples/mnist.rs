//! Trains the digit classifier on MNIST and evaluates it: `cargo run --release --example mnist [-- FOLDER]`.
//!
//! Without a folder with the four MNIST files, it uses the built-in digits and evaluates on a tenth of them.

use lucida::Cpu;
use lucida::data::{Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::{applications, summary};
use lucida::train::{TrainConfig, Trainer, evaluate};
use lucida::weights::Model;

fn main() -> lucida::Result<()> {
    let seed = 42;
    let mnist = match std::env::args().nth(1) {
        Some(folder) => Mnist::from_folder(folder)?,
        None => Mnist::builtin()?,
    };
    let split = stratified_split(&mnist.train.labels(), 10, 0.2, seed)?;
    let train = Subset::new(&mnist.train, split.train)?;
    let validation = Subset::new(&mnist.train, split.validation)?;

    let network = applications::mnist_cnn(seed)?;
    println!("{}", summary(&network));
    let mut model = Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        ..Model::new(network)
    };
    let config = TrainConfig { epochs: 5, batch_size: 256, seed, ..TrainConfig::default() };
    let result = Trainer::new(config).fit(&mut model, &train, Some(&validation))?;
    for epoch in &result.history.epochs {
        println!("epoch {}: accuracy {:.4}, {:.1} s", epoch.epoch, epoch.accuracy.unwrap_or(0.0), epoch.seconds);
    }
    let tested: &dyn Dataset = match &mnist.test {
        Some(test) => test,
        None => &validation,
    };
    println!("accuracy on {} digits: {:.4}", tested.len(), evaluate(&model, tested, Cpu::detect())?.accuracy);
    Ok(())
}
