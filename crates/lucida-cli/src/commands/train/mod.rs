//! `lucida train`

mod ending;
mod folder;
mod mnist;
mod network;
mod rate;
mod remembered;
mod settings;
mod watch;

use anyhow::Result;

use super::{Context, distributed};
use crate::cli::{Train, TrainKnown};

pub(super) fn run(arguments: &Train, context: Context) -> Result<()> {
    match &arguments.known {
        Some(TrainKnown::Mnist(arguments)) => {
            distributed::run(arguments.training.together, context, |team, context| mnist::run(arguments, team, context))
        }
        None => distributed::run(arguments.folder.training.together, context, |team, context| {
            folder::run(&arguments.folder, team, context)
        }),
    }
}
