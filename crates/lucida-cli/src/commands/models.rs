//! `lucida models`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use lucida::nn::{applications, thousands};
use lucida::weights::hub::{Hub, Published, State, published};
use lucida::weights::{BUILTIN, builtin_vgg16};
use serde::Serialize;

use super::Context;
use crate::cli::Models;

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    networks: Vec<Known>,
}

#[derive(Serialize)]
struct Known {
    name: &'static str,
    description: &'static str,
    /// Height, width, channels.
    input: [usize; 3],
    parameters: usize,
    parameters_without_top: Option<usize>,
    weights: Weights,
}

/// Where weights are.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Weights {
    /// Nobody publishes any: the network is there to be trained.
    None,
    /// In the program.
    BuiltIn,
    /// Published, and perhaps in the cache.
    Published { with_top: Option<PathBuf>, without_top: Option<PathBuf> },
}

impl Weights {
    fn text(&self) -> &'static str {
        match self {
            Self::None => "none published",
            Self::BuiltIn => "built in",
            Self::Published { with_top: None, without_top: None } => "not downloaded",
            Self::Published { with_top: None, .. } => "here without top",
            Self::Published { without_top: None, .. } => "here with top",
            Self::Published { .. } => "here with and without top",
        }
    }
}

pub(super) fn run(arguments: &Models, context: Context) -> Result<()> {
    let hub = Hub::from_env()?;
    let there =
        |file: &Published| matches!(hub.state(file), State::Present | State::Foreign(_)).then(|| hub.path(file));
    let mut networks: Vec<Known> = Vec::new();
    for known in applications::ALL {
        let weights = match (published(known, true), published(known, false)) {
            (Ok(with), Ok(without)) => Weights::Published { with_top: there(with), without_top: there(without) },
            _ => Weights::None,
        };
        networks.push(Known {
            name: known.name,
            description: known.description,
            input: known.input,
            parameters: known.parameters,
            parameters_without_top: known.parameters_without_top,
            weights,
        });
    }
    let builtin = builtin_vgg16()?;
    networks.push(Known {
        name: BUILTIN,
        description: "the first three blocks of VGG16 with their weights, for images of any size",
        input: builtin.preprocessing()?.output_shape(),
        parameters: builtin.network.parameters().0,
        parameters_without_top: None,
        weights: Weights::BuiltIn,
    });
    if arguments.json {
        return context.output.json(&Answer { networks });
    }
    context.output.result(table(&networks).trim_end())
}

fn table(networks: &[Known]) -> String {
    let width = networks.iter().map(|known| known.name.len()).max().unwrap_or(0);
    let mut text =
        format!("{:<width$}  {:>9}  {:>11}  {:>11}  weights\n", "name", "input", "parameters", "without top");
    for known in networks {
        let input = known.input.map(|size| size.to_string()).join("x");
        let without = known.parameters_without_top.map_or("–".to_owned(), thousands);
        let (parameters, weights) = (thousands(known.parameters), known.weights.text());
        let _ = writeln!(text, "{:<width$}  {input:>9}  {parameters:>11}  {without:>11}  {weights}", known.name);
        let _ = writeln!(text, "    {}", known.description);
    }
    text
}
