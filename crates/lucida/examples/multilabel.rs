//! Multilabel classification: predicts which kinds of lines an image contains, any number of them.
//!
//! `cargo run --release --example multilabel`

use lucida::core::{Purpose, Rng};
use lucida::prelude::*;

const SIDE: usize = 12;
const LABELS: [&str; 3] = ["horizontal", "vertical", "diagonal"];

/// Gray noise images, each with or without a line of each kind; one label per kind.
fn lines(count: usize, seed: u64) -> Result<LabeledImages> {
    let mut rng = Rng::keyed(seed, Purpose::Choice, 0);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let holds = LABELS.map(|_| rng.coin());
        let [row, column] = [rng.below(SIDE), rng.below(SIDE)];
        let line = |at: usize| {
            let (y, x) = (at / SIDE, at % SIDE);
            holds[0] && y == row || holds[1] && x == column || holds[2] && y == x
        };
        pixels.extend((0..SIDE * SIDE).map(|at| if line(at) { 200 } else { rng.below(40) as u8 }));
        labels.extend(holds.map(|holds| f32::from(u8::from(holds))));
    }
    LabeledImages::with_labels([SIDE, SIDE, 1], pixels, labels, LABELS.map(String::from).to_vec())
}

fn main() -> Result<()> {
    // One sigmoid per label, trained with binary cross-entropy.
    let network = Sequential::new("lines", [SIDE, SIDE, 1])
        .add(Conv2D::new(8, [3, 3]).activation(ActivationKind::Relu))
        .add(Flatten::new())
        .add(Dense::new(32).activation(ActivationKind::Relu))
        .add(Dense::new(3).activation(ActivationKind::Sigmoid))
        .build(42)?;
    let mut model = Model {
        preprocessing: Some(Preprocessing::unit(SIDE, SIDE, ColorMode::Grayscale)),
        class_names: LABELS.map(String::from).to_vec(),
        ..Model::new(network)
    };
    let (train, validation) = (lines(800, 1)?, lines(200, 2)?);
    let config = TrainConfig { epochs: 20, ..TrainConfig::default() };
    Trainer::new(config).callback(EarlyStopping::new(5)).fit(&mut model, &train, Some(&validation))?;

    let MetricValues { loss, metrics } = evaluate_metrics(&model, &validation, &[], Cpu::detect())?;
    println!("loss {loss:.4}, {metrics:.4?}");
    assert!(metrics["binary_accuracy"] > 0.95 && metrics["mean_average_precision"] > 0.95, "it finds the lines");
    Ok(())
}
