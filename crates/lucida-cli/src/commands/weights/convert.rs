//! `lucida weights convert`

use anyhow::Result;
use lucida::files;
use lucida::nn::thousands;
use lucida::weights::{ModelSpec, Top, describe_format, open, save_model};

use crate::cli::WeightsConvert;
use crate::commands::Context;

pub(super) fn run(arguments: &WeightsConvert, context: Context) -> Result<()> {
    let format = describe_format(&arguments.output)?;
    files::claim_file(&arguments.output, arguments.force)?;
    let network = arguments.network.clone();
    let model = open(&ModelSpec { network, top: Top::Unneeded, ..ModelSpec::new(&arguments.input) })?;
    save_model(&model, &arguments.output)?;
    let parameters = thousands(model.network.parameters().0);
    context.output.info(&format!("Written to {}: {format}, {parameters} parameters", arguments.output.display()));
    Ok(())
}
