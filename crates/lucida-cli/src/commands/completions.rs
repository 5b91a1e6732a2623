//! `lucida completions`

use anyhow::Result;
use clap::CommandFactory;

use super::Context;
use crate::cli::{Cli, Completions};

pub(super) fn run(arguments: &Completions, context: Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "lucida", &mut script);
    context.output.result(String::from_utf8_lossy(&script).trim_end())
}
