//! `lucida train mnist`

use std::path::Path;

use anyhow::Result;
use lucida::data::{Augmented, Dataset, Mnist, Preprocessing, Subset, stratified_split};
use lucida::nn::{Network, ProcessGroup, applications, counted, summary, thousands};
use lucida::train::{ImageSamples, Origin, RunFolder};
use lucida::weights::Model;
use serde_json::json;

use super::super::Context;
use super::finish_run::FinishRun;
use super::rate;
use super::request::{Defaults, TrainRequest, print_network};
use super::{MNIST_VALIDATION, command_line};
use crate::arguments::Source;
use crate::cli::TrainMnist;
use crate::interrupt;

pub(super) fn run(arguments: &TrainMnist, group: Option<&dyn ProcessGroup>, context: Context) -> Result<()> {
    let context = Context { output: context.output.quieted(arguments.training.json), ..context };
    let (digits, origin) = match &arguments.data {
        Some(folder) => (Mnist::from_folder(folder)?, folder.display().to_string()),
        None => (Mnist::builtin()?, "the built-in digits".to_owned()),
    };
    let TrainMnist { epochs, batch_size, seed, training, .. } = arguments;
    let request = TrainRequest {
        arguments: training,
        epochs: Some(*epochs),
        defaults: Defaults::WHOLE,
        batch_size: *batch_size,
        seed: *seed,
        group,
    };
    let out = request.place(arguments.out.as_deref(), Path::new("runs/mnist"));
    if request.is_finished(&out, context)? {
        return Ok(());
    }
    request.in_run(&out, |run| run_in(arguments, &request, (digits, &origin), run, context))
}

/// Trains in a run folder.
fn run_in(
    arguments: &TrainMnist,
    request: &TrainRequest,
    (digits, origin): (Mnist, &str),
    run: &RunFolder,
    context: Context,
) -> Result<()> {
    let training = &arguments.training;
    let classes = digits.train.class_names().len();
    let split = stratified_split(&digits.train.labels(), classes, MNIST_VALIDATION, arguments.seed)?;
    let augment = arguments.augment.clone().unwrap_or_default();
    let train = Augmented::new(Subset::new(&digits.train, split.train)?, augment, arguments.seed)?;
    let validation = Subset::new(&digits.train, split.validation)?;
    let identity = json!({
        "training digits": train.len(),
        "validation digits": validation.len(),
        "augmentation": train.augment().to_string(),
    });
    let config = request.config(&train, run, identity, context)?;
    let sizes =
        Sizes { train: train.len(), validation: validation.len(), test: digits.test.as_ref().map(|test| test.len()) };
    let mut model = new_model(&digits, arguments.seed)?;
    config.check(&model.network, train.targets())?;
    print_training(arguments, origin, &sizes, &model.network, context);

    interrupt::catch()?;
    if !training.find_lr && request.is_main() {
        describe(arguments, [sizes.train, sizes.validation]).save(run.origin())?;
    }
    if training.find_lr {
        let preprocessing = model.preprocessing()?;
        let samples = ImageSamples::new(&train, preprocessing, context.cpu.threads());
        return rate::find(&config, &model.network, &samples, run, context);
    }
    let validating: Option<&dyn Dataset> = if validation.is_empty() { None } else { Some(&validation) };
    let result = {
        let preprocessing = model.preprocessing()?.clone();
        let samples = ImageSamples::new(&validation, &preprocessing, context.cpu.threads());
        let mut trainer = request.trainer(&config, &model, (&validation, &samples), run, context)?;
        trainer.fit(&mut model, &train, validating)?
    };
    if !request.is_main() {
        return Ok(());
    }
    let finish = FinishRun {
        run,
        result: &result,
        config: &config,
        augment: arguments.augment.as_ref(),
        base: None,
        keep_checkpoint: training.keep_checkpoint,
        json: training.json,
        samples: "digits",
        validation: counts(&validation),
        // A flipped digit is a different one, or not a digit at all.
        remedies: match arguments.augment {
            None => vec!["--augment rotation=10,width=0.1,height=0.1,zoom=0.1"],
            Some(_) => Vec::new(),
        },
        of_fold: false,
    };
    finish.finish(&mut model, digits.test.as_ref().map(|test| test as &dyn Dataset), context)
}

/// Number of digits in each part.
struct Sizes {
    train: usize,
    validation: usize,
    test: Option<usize>,
}

/// A new network for these digits.
fn new_model(digits: &Mnist, seed: u64) -> Result<Model> {
    Ok(Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: digits.train.class_names().to_vec(),
        ..Model::new(applications::mnist_cnn(seed)?)
    })
}

/// Prints what will be trained, and on what data.
fn print_training(arguments: &TrainMnist, origin: &str, sizes: &Sizes, network: &Network, context: Context) {
    let output = context.output;
    output.info(&format!(
        "Training on {} of {origin}, validating on {}{}",
        counted(sizes.train, "digit"),
        thousands(sizes.validation),
        sizes.test.map(|test| format!(", testing on {}", thousands(test))).unwrap_or_default()
    ));
    print_network(network, &arguments.training, context);
    if let Some(augment) = &arguments.augment {
        output.info(&format!("Augmentation {augment}"));
    }
    if output.verbose() {
        output.info(summary(network).trim_end());
    }
}

/// The settings stored with the run, for reports.
fn describe(arguments: &TrainMnist, images: [usize; 2]) -> Origin {
    let data = match &arguments.data {
        Some(folder) => Source::Mnist(Some(folder.canonicalize().unwrap_or_else(|_| folder.clone()))),
        None => Source::Mnist(None),
    };
    Origin {
        data: data.to_string().into(),
        validation_split: MNIST_VALIDATION,
        seed: arguments.seed,
        augment: arguments.augment.as_ref().map(ToString::to_string),
        model: Some("mnist-cnn".to_owned()),
        size: Some([28, 28]),
        images: Some(images),
        command: Some(command_line(std::env::args())),
        ..Origin::default()
    }
}

/// Number of digits per class.
fn counts(digits: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; digits.class_names().len()];
    digits.labels().into_iter().for_each(|label| counts[label] += 1);
    counts
}
