//! `lucida train`

mod cross_validation;
mod finish_run;
mod folder;
mod mnist;
mod network;
mod rate;
mod request;

use anyhow::Result;

use super::{Context, distributed, shell_word};
use crate::cli::{Train, TrainKnown, TrainingArguments};
use crate::exit::Usage;

/// Fraction of MNIST's training digits used for validation.
const MNIST_VALIDATION: f64 = 0.2;

pub(super) fn run(arguments: &Train, context: Context) -> Result<()> {
    let training = match &arguments.known {
        Some(TrainKnown::Mnist(arguments)) => &arguments.training,
        None => &arguments.folder.training,
    };
    check_loss(training)?;
    match &arguments.known {
        Some(TrainKnown::Mnist(arguments)) => {
            distributed::run(arguments.training.distributed, context, |group, context| {
                mnist::run(arguments, group, context)
            })
        }
        None => distributed::run(arguments.folder.training.distributed, context, |group, context| {
            folder::run(&arguments.folder, group, context)
        }),
    }
}

/// Checks the loss options before anything is read.
///
/// # Errors [`Usage`] if label smoothing is requested for a loss without it.
fn check_loss(training: &TrainingArguments) -> Result<()> {
    match training.loss {
        Some(loss) if training.label_smoothing.is_some_and(|part| part > 0.0) && !loss.smooths_labels() => {
            let message = "--label-smoothing is for categorical_crossentropy and binary_crossentropy";
            Err(Usage(format!("{message}, not for --loss {loss}")).into())
        }
        _ => Ok(()),
    }
}

/// The command line, quoted for a shell, with only the name of the program.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let words = arguments.skip(1).map(|word| shell_word(&word));
    ["lucida".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_typed_again() {
        let line = ["/usr/bin/lucida", "train", "my photos", "--augment", "flip,zoom=0.2", "it's"];
        let text = command_line(line.into_iter().map(str::to_owned));
        assert_eq!(text, r"lucida train 'my photos' --augment flip,zoom=0.2 'it'\''s'");
    }
}
