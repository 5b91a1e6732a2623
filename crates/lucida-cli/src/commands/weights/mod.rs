//! `lucida weights`

mod convert;
mod fetch;
mod inspect;
mod list;

use anyhow::Result;

use super::Context;
use crate::cli::Weights;

pub(super) fn run(arguments: &Weights, context: Context) -> Result<()> {
    match arguments {
        Weights::Fetch(arguments) => fetch::run(arguments, context),
        Weights::List(arguments) => list::run(arguments, context),
        Weights::Inspect(arguments) => inspect::run(arguments, context),
        Weights::Convert(arguments) => convert::run(arguments, context),
    }
}
