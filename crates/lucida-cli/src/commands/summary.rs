//! `lucida summary`

use anyhow::Result;
use lucida::nn;
use lucida::weights::{Top, open_network};

use super::Context;
use crate::cli::Summary;

pub(super) fn run(arguments: &Summary, context: Context) -> Result<()> {
    let network = open_network(&arguments.model.spec(Top::Unneeded))?;
    context.output.result(nn::summary(&network).trim_end())
}
