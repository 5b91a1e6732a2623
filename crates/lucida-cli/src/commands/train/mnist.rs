//! `lucida train mnist`

use std::path::Path;

use anyhow::Result;
use lucida::data::{Augmented, Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::{Team, summary, thousands, zoo};
use lucida::train::{Pictures, RunFolder};
use lucida::weights::Model;
use serde_json::json;

use super::super::Context;
use super::ending::Ending;
use super::rate;
use super::settings::{Defaults, Wanted};
use crate::cli::TrainMnist;
use crate::interrupt;

/// The part of the training digits that validates.
const VALIDATION: f64 = 0.2;

pub(super) fn run(arguments: &TrainMnist, team: Option<&dyn Team>, context: Context) -> Result<()> {
    let context = Context { output: context.output.quieted(arguments.training.json), ..context };
    let (digits, origin) = match &arguments.data {
        Some(folder) => (Mnist::from_folder(folder)?, folder.display().to_string()),
        None => (Mnist::builtin()?, "the built-in digits".to_owned()),
    };
    let TrainMnist { epochs, batch_size, seed, training, .. } = arguments;
    let wanted = Wanted {
        arguments: training,
        epochs: Some(*epochs),
        defaults: Defaults::WHOLE,
        batch_size: *batch_size,
        seed: *seed,
        team,
    };
    let out = wanted.place(arguments.out.as_deref(), Path::new("runs/mnist"));
    if wanted.is_finished(&out, context)? {
        return Ok(());
    }
    wanted.in_run(&out, |run| run_in(arguments, &wanted, (digits, &origin), run, context))
}

/// A run in its folder.
fn run_in(
    arguments: &TrainMnist,
    wanted: &Wanted,
    (digits, origin): (Mnist, &str),
    run: &RunFolder,
    context: Context,
) -> Result<()> {
    let (output, training, team) = (context.output, &arguments.training, wanted.team);
    let classes = digits.train.class_names().len();
    let split = stratified_split(&digits.train.labels(), classes, VALIDATION, arguments.seed)?;
    let augment = arguments.augment.clone().unwrap_or_default();
    let train = Augmented::new(Subset::new(&digits.train, split.train)?, augment, arguments.seed)?;
    let validation = Subset::new(&digits.train, split.validation)?;
    let settings = wanted.settings(train.len(), context);
    let identity = json!({
        "training digits": train.len(),
        "validation digits": validation.len(),
        "augmentation": train.augment().to_string(),
    });
    let fit = wanted.fit(settings, &train, run, identity, None)?;
    let mut model = Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: digits.train.class_names().to_vec(),
        ..Model::new(zoo::mnist_cnn(arguments.seed)?)
    };
    output.info(&format!(
        "Training on {} digits of {origin}, validating on {}{}",
        thousands(train.len()),
        thousands(validation.len()),
        digits.test.as_ref().map(|test| format!(", testing on {}", thousands(test.len()))).unwrap_or_default()
    ));
    output.info(&format!(
        "Network {}: {} parameters; {} threads with {}",
        model.network.name(),
        thousands(model.network.parameters().0),
        context.cpu.threads(),
        context.cpu.isa().name()
    ));
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
    }
    if output.verbose() {
        output.info(summary(&model.network).trim_end());
    }

    interrupt::catch()?;
    if training.find_lr {
        let preprocessing = model.preprocessing()?;
        let samples = Pictures::new(&train, preprocessing, context.cpu.threads());
        return rate::find(&fit, &model.network, &samples, run, context);
    }
    let validating: Option<&dyn Dataset> = if validation.is_empty() { None } else { Some(&validation) };
    let fitted = {
        let preprocessing = model.preprocessing()?.clone();
        let samples = Pictures::new(&validation, &preprocessing, context.cpu.threads());
        let mut watch = wanted.watch(&model, (&validation, &samples), run, context)?;
        fit.run_in(team, &mut model, &train, validating, &mut watch)?
    };
    if !wanted.leads() {
        return Ok(());
    }
    let ending = Ending {
        run,
        fitted: &fitted,
        fit: &fit,
        augment: arguments.augment.as_ref(),
        base: None,
        keep_checkpoint: training.keep_checkpoint,
        json: training.json,
        samples: "digits",
    };
    ending.finish(&mut model, digits.test.as_ref().map(|test| test as &dyn Dataset), context)
}
