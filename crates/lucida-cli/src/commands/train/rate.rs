//! `--find-lr`

use anyhow::Result;
use lucida::nn::Network;
use lucida::train::{RunFolder, Samples, TrainConfig, Trainer};

use super::super::Context;
use crate::bar::Bar;

/// Range of learning rates to try, and maximum number of steps.
const RATES: [f64; 2] = [1e-7, 10.0];
const STEPS: usize = 200;
const NAME: &str = "lr-finder";

/// Runs the learning-rate finder, and writes the curve to the run folder.
pub(super) fn find(
    config: &TrainConfig,
    network: &Network,
    train: &dyn Samples,
    run: &RunFolder,
    context: Context,
) -> Result<()> {
    let output = context.output;
    let trainer = Trainer::new(config.clone());
    let curve = trainer.find_learning_rate(network, train, RATES, STEPS, &mut Bar::new(output))?;
    let file = |finish: &str| run.path().join(NAME).with_extension(finish);
    let figure = curve.chart().figure();
    curve.save_csv(file("csv"))?;
    figure.save_svg(file("svg"))?;
    figure.image(2.0)?.save_png(file("png"))?;
    output.result(&match curve.suggestion {
        Some(rate) => format!("Suggested learning rate {rate:.1e}: --learning-rate {rate:.0e}"),
        None => "The loss does not fall at any rate: is there something to learn?".to_owned(),
    })?;
    output.info(&format!("Written to {}: {NAME}.csv, {NAME}.png, {NAME}.svg", run.path().display()));
    Ok(())
}
