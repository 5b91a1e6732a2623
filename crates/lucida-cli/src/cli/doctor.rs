//! The options of `lucida doctor`.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida doctor
  lucida doctor --json

Exits with 1 if there is a problem that would make other commands fail.")]
pub(crate) struct Doctor {
    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}
