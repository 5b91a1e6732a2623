//! `lucida demo`

use std::path::Path;

use anyhow::Result;
use lucida::Error;
use lucida::nn::thousands;
use lucida::report::{Demo, Depth};
use serde::Serialize;

use super::Context;
use crate::cli::place::free;
use crate::output::percent;
use crate::progress::TrainingBar;
use crate::{cli, interrupt};

/// Output of `--json`.
#[derive(Serialize)]
struct DemoJson<'a> {
    report: &'a Path,
    /// Accuracy on the held-out digits.
    accuracy: f64,
    parameters: usize,
    training_seconds: f64,
}

pub(super) fn run(arguments: &cli::Demo, context: Context) -> Result<()> {
    let output = context.output.quieted(arguments.json);
    let folder = &free(arguments.out.as_deref(), arguments.force, "runs/demo".into());
    let earlier = Demo::claim_folder(folder, arguments.force)?;
    interrupt::catch()?;
    let demo = Demo::new(arguments.seed)?;
    let parts = demo.parts();
    output.info(&format!(
        "Training on {} of the built-in digits, validating on {}; {} are held out",
        thousands(parts.train.len()),
        thousands(parts.validation.len()),
        thousands(parts.held_out.len())
    ));
    let config = demo.config(arguments.seed, context.cpu);
    let result = demo.run(&config, TrainingBar::new(output, config.epochs))?;
    output.info("Deconstructing the network");
    result.save(folder, &Depth::default())?;
    earlier.discard()?;

    let report = folder.join(Demo::FILES[0]);
    if arguments.json {
        output.json(&DemoJson {
            report: &report,
            accuracy: result.evaluation.accuracy,
            parameters: result.model.network.parameters().0,
            training_seconds: result.times.training,
        })?;
        return if result.training.interrupted { Err(Error::Interrupted.into()) } else { Ok(()) };
    }
    output.result(&format!(
        "Accuracy {} on {} digits held out; {} parameters, trained in {:.1} s",
        percent(result.evaluation.accuracy),
        thousands(parts.held_out.len()),
        thousands(result.model.network.parameters().0),
        result.times.training
    ))?;
    output.result(&format!("Report: {}", report.display()))?;
    if result.training.interrupted {
        return Err(Error::Interrupted.into());
    }
    let model = folder.display();
    output.info(&format!("Try the model: lucida predict {model} --data mnist --index 0..10"));
    output.info(
        "Try your own photo: lucida predict photo.jpg, lucida explain photo.jpg, lucida style photo.jpg brushwork",
    );
    Ok(())
}
