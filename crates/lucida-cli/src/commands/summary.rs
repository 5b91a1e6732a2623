//! `lucida summary`

use anyhow::Result;
use lucida::nn;

use super::Context;
use super::model::network;
use crate::cli::Summary;

pub(super) fn run(arguments: &Summary, context: Context) -> Result<()> {
    let network = network(&arguments.model)?;
    context.output.result(nn::summary(&network).trim_end())
}
