//! Regression: predicts the position of the bright spot in an image.
//!
//! `cargo run --release --example regression`

use lucida::core::{Purpose, Rng};
use lucida::prelude::*;

const SIDE: usize = 12;

/// Gray noise images with a bright spot of 2x2 pixels; the targets are its row and column, from 0 to 1.
fn spots(count: usize, seed: u64) -> Result<LabeledImages> {
    let mut rng = Rng::keyed(seed, Purpose::Choice, 0);
    let (mut pixels, mut positions) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let [row, column] = [rng.below(SIDE - 1), rng.below(SIDE - 1)];
        let spot = |at: usize| (row..row + 2).contains(&(at / SIDE)) && (column..column + 2).contains(&(at % SIDE));
        pixels.extend((0..SIDE * SIDE).map(|at| if spot(at) { 230 } else { rng.below(40) as u8 }));
        positions.extend([row, column].map(|place| place as f32 / (SIDE - 2) as f32));
    }
    LabeledImages::with_values([SIDE, SIDE, 1], pixels, positions, vec!["row".to_owned(), "column".to_owned()])
}

fn main() -> Result<()> {
    let network = Sequential::new("spots", [SIDE, SIDE, 1])
        .add(Conv2D::new(8, [3, 3]).activation(ActivationKind::Relu))
        .add(MaxPooling2D::default())
        .add(Flatten::new())
        .add(Dense::new(32).activation(ActivationKind::Relu))
        .add(Dense::new(2))
        .build(42)?;
    let mut model = Model {
        preprocessing: Some(Preprocessing::unit(SIDE, SIDE, ColorMode::Grayscale)),
        class_names: vec!["row".to_owned(), "column".to_owned()],
        ..Model::new(network)
    };
    let config = TrainConfig {
        epochs: 30,
        loss: Some(LossKind::Huber { delta: 0.5 }),
        monitor: lucida::train::Monitor::Metric(MetricKind::MeanAbsoluteError),
        ..TrainConfig::default()
    };
    let (train, validation) = (spots(800, 1)?, spots(200, 2)?);
    Trainer::new(config).fit(&mut model, &train, Some(&validation))?;

    let MetricValues { loss, metrics } = evaluate_metrics(&model, &validation, &[], Cpu::detect())?;
    println!("loss {loss:.5}, {metrics:.4?}");
    assert!(metrics["r2_score"] > 0.95, "it finds the spot");
    Ok(())
}
