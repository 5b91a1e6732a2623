//! `lucida weights convert`

use anyhow::Result;
use lucida::nn::thousands;
use lucida::weights::{Model, ModelSpec, Note, Top, describe_format, save_model};

use crate::cli::WeightsConvert;
use crate::commands::{Context, open_model};

/// Class names that are printed; of more, the first ones.
const NAMED: usize = 10;

pub(super) fn run(arguments: &WeightsConvert, context: Context) -> Result<()> {
    let format = describe_format(&arguments.output)?;
    let context = context.claim_file(&arguments.output, arguments.force)?;
    let spec = ModelSpec {
        model: arguments.input.clone(),
        network: arguments.network.clone(),
        size: arguments.size.map(|size| [size.height, size.width]),
        // The outputs stay as they are unless --task says otherwise.
        top: Top::Unneeded,
        ..arguments.meaning.spec()
    };
    let mut model = open_model(&spec, context)?;
    if model.notes.contains(&Note::Preprocessing) {
        // What was only assumed is not written down as a fact.
        model.preprocessing = None;
    }
    save_model(&model, &arguments.output)?;
    let parameters = thousands(model.network.parameters().0);
    context.output.info(&format!("Written to {}: {format}, {parameters} parameters", arguments.output.display()));
    describe(&model, context);
    Ok(())
}

/// What goes into the model and what comes out: who uses it in another program has to know.
fn describe(model: &Model, context: Context) {
    let network = &model.network;
    let input = network.inputs().next().map(|input| network.nodes()[input].name()).unwrap_or_default();
    let shape = network.input_shape().map(ToString::to_string).unwrap_or_default();
    let prepared = match &model.preprocessing {
        Some(preprocessing) => format!("{}; --preprocessing {preprocessing}", preprocessing.describe()),
        None => "how images are prepared is not stored: --preprocessing does that".to_owned(),
    };
    context.output.info(&format!("Input {input:?} {shape}, batch first, channels last: {prepared}"));
    if let Ok(output) = network.output() {
        context.output.info(&format!("Output {:?} {}", output.name(), output.shape()));
    }
    if !model.class_names.is_empty() {
        let more = if model.class_names.len() > NAMED { ", ..." } else { "" };
        let names: Vec<&str> = model.class_names.iter().take(NAMED).map(String::as_str).collect();
        context.output.info(&format!("Classes, in the order of the outputs: {}{more}", names.join(", ")));
    }
}
