//! `lucida train mnist`

use anyhow::Result;
use lucida::data::{Augmented, Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::{Team, summary, thousands, zoo};
use lucida::train::{Pictures, RunFolder, evaluate};
use lucida::weights::Model;
use serde_json::json;

use super::super::Context;
use super::settings::Wanted;
use super::{rate, report_best};
use crate::cli::TrainMnist;
use crate::interrupt;
use crate::output::percent;

/// The part of the training digits that validates.
const VALIDATION: f64 = 0.2;

pub(super) fn run(arguments: &TrainMnist, team: Option<&dyn Team>, context: Context) -> Result<()> {
    let output = context.output;
    let (digits, origin) = match &arguments.data {
        Some(folder) => (Mnist::from_folder(folder)?, folder.display().to_string()),
        None => (Mnist::builtin()?, "the built-in digits".to_owned()),
    };
    let TrainMnist { epochs, batch_size, seed, training, .. } = arguments;
    let wanted = Wanted { arguments: training, epochs: *epochs, batch_size: *batch_size, seed: *seed, team };
    let run = wanted.open_run(&arguments.out)?;
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
    let fit = wanted.fit(settings, &train, &run, identity, None)?;
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
        return rate::find(&fit, &model.network, &samples, &run, context);
    }
    let validating: Option<&dyn Dataset> = if validation.is_empty() { None } else { Some(&validation) };
    let fitted = {
        let preprocessing = model.preprocessing()?.clone();
        let samples = Pictures::new(&validation, &preprocessing, context.cpu.threads());
        let mut watch = wanted.watch(&model, (&validation, &samples), &run, context)?;
        fit.run_in(team, &mut model, &train, validating, &mut watch)?
    };
    if !wanted.leads() {
        return Ok(());
    }
    model.training = fitted.record(&settings);
    if let (Some(augment), Some(record)) = (&arguments.augment, model.training.as_object_mut()) {
        record.insert("augment".to_owned(), augment.to_string().into());
    }
    run.save_best(&model)?;
    run.save_last(&model, &fitted.last)?;
    run.save_history(&fitted.history)?;

    report_best(&fitted, context);
    let written = format!("{}: {}", run.path().display(), RunFolder::FILES.join(", "));
    if fitted.interrupted {
        output.info(&format!("Stopped after {} of {} epochs", fitted.history.epochs.len(), settings.epochs));
        output.info(&format!("Written to {written}"));
        return Err(lucida::Error::Interrupted.into());
    }
    if let Some(test) = digits.test.as_ref().filter(|test| !test.is_empty()) {
        let test_result = evaluate(&model, test, context.cpu)?;
        let (accuracy, loss) = (percent(test_result.accuracy), test_result.loss);
        output.result(&format!("Test accuracy {accuracy}, loss {loss:.4} on {} digits", thousands(test.len())))?;
    }
    output.info(&format!("Written to {written}"));
    Ok(())
}
