//! `lucida weights`

mod convert;
mod fetch;
mod inspect;
mod list;
mod remove;

use anyhow::Result;

use super::Context;
use crate::cli::Weights;

pub(super) fn run(arguments: &Weights, context: Context) -> Result<()> {
    match arguments {
        Weights::Fetch(arguments) => fetch::run(arguments, context),
        Weights::List(arguments) => list::run(arguments, context),
        Weights::Remove(arguments) => remove::run(Some(&arguments.network), arguments.dry_run, arguments.json, context),
        Weights::Clean(arguments) => remove::run(None, arguments.dry_run, arguments.json, context),
        Weights::Inspect(arguments) => inspect::run(arguments, context),
        Weights::Convert(arguments) => convert::run(arguments, context),
    }
}
