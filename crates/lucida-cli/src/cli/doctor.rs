//! The options of `lucida doctor`.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida doctor
  lucida doctor --json

Exits with 1 if something is found that would make other commands fail.")]
pub(crate) struct Doctor {
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}
