//! `lucida summary`

use anyhow::Result;
use lucida::nn::{self, Network};
use lucida::weights::IncludeTop;
use serde::Serialize;

use super::{Context, open_network};
use crate::cli::Summary;

/// Output of `--json`. Shapes exclude the batch dimension.
#[derive(Serialize)]
struct SummaryJson<'a> {
    network: &'a str,
    parameters: usize,
    trainable: usize,
    layers: Vec<LayerJson<'a>>,
    outputs: Vec<&'a str>,
}

#[derive(Serialize)]
struct LayerJson<'a> {
    name: &'a str,
    class_name: &'static str,
    shape: &'a [usize],
    parameters: usize,
    /// Names of its input layers.
    inputs: Vec<&'a str>,
}

pub(super) fn run(arguments: &Summary, context: Context) -> Result<()> {
    let network = open_network(&arguments.model.spec(IncludeTop::Unneeded))?;
    if arguments.json {
        return context.output.json(&summary_json(&network));
    }
    context.output.result(nn::summary(&network).trim_end())
}

fn summary_json(network: &Network) -> SummaryJson<'_> {
    let (parameters, trainable) = network.parameters();
    let name = |&node: &usize| network.nodes()[node].name();
    let layers = network.nodes().iter().enumerate().map(|(index, node)| LayerJson {
        name: node.name(),
        class_name: node.layer().class_name(),
        shape: node.shape().sizes(),
        parameters: network.parameters_of(index),
        inputs: node.inputs().iter().map(name).collect(),
    });
    let outputs = network.outputs().iter().map(name).collect();
    SummaryJson { network: network.name(), parameters, trainable, layers: layers.collect(), outputs }
}
