//! `lucida train`

mod folder;
mod mnist;
mod network;
mod rate;
mod remembered;
mod settings;
mod watch;

use anyhow::Result;
use lucida::train::Fitted;

use super::{Context, distributed};
use crate::cli::{Train, TrainKnown};
use crate::output::percent;

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

/// Says which epoch is the best.
fn report_best(fitted: &Fitted, context: Context) {
    let best = fitted.best_epoch.and_then(|best| fitted.history.epochs.get(best - 1));
    let Some(best) = best else { return };
    let measured = match (best.val_loss, best.val_accuracy) {
        (Some(loss), Some(accuracy)) => format!("validation loss {loss:.4}, accuracy {}", percent(accuracy)),
        _ => format!("loss {:.4}, accuracy {}", best.loss, percent(best.accuracy)),
    };
    context.output.info(&format!("Best epoch {}: {measured}", best.epoch));
}
