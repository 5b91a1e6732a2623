//! `lucida train`

mod cached_features;
mod finish_run;
mod folder;
mod mnist;
mod network;
mod rate;
mod request;

use anyhow::Result;

use super::{Context, distributed, shell_word};
use crate::cli::{Train, TrainKnown};

/// The part of MNIST's training digits that validates.
const MNIST_VALIDATION: f64 = 0.2;

pub(super) fn run(arguments: &Train, context: Context) -> Result<()> {
    match &arguments.known {
        Some(TrainKnown::Mnist(arguments)) => {
            distributed::run(arguments.training.together, context, |group, context| {
                mnist::run(arguments, group, context)
            })
        }
        None => distributed::run(arguments.folder.training.together, context, |group, context| {
            folder::run(&arguments.folder, group, context)
        }),
    }
}

/// A command line as a shell reads it; the program by its name alone.
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
