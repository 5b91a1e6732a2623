//! `lucida weights convert`

use std::path::Path;

use anyhow::{Result, bail};
use lucida::data::Preprocessing;
use lucida::nn::{Node, thousands};
use lucida::style::FeedForwardStyle;
use lucida::weights::{IncludeTop, Model, ModelSpec, Note, describe_format, load_model, save_model};
use serde::Serialize;

use crate::cli::{MixedStyle, WeightsConvert};
use crate::commands::{Context, open_model};

/// Maximum number of class names printed.
const NAMED: usize = 10;

pub(super) fn run(arguments: &WeightsConvert, context: Context) -> Result<()> {
    let format = describe_format(&arguments.output)?;
    let context = context.claim_file(&arguments.output, arguments.force)?;
    let spec = ModelSpec {
        model: arguments.input.clone(),
        network: arguments.network.clone(),
        size: arguments.size.map(|size| [size.height, size.width]),
        // The outputs stay unchanged unless --task is given.
        top: IncludeTop::Unneeded,
        ..arguments.meaning.spec()
    };
    if let Some(style) = style(arguments)? {
        return convert_style(arguments, &style, format, context);
    }
    let mut model = open_model(&spec, context)?;
    if model.notes.contains(&Note::Preprocessing) {
        // An assumption must not be stored as a fact.
        model.preprocessing = None;
    }
    save_model(&model, &arguments.output)?;
    note_of_weights(&arguments.output, &model, context);
    let about = About::of(&model);
    if arguments.json {
        return context.output.json(&ConvertJson { file: &arguments.output, format, about });
    }
    let parameters = thousands(about.parameters);
    context.output.also_written(&arguments.output, &format!("{format}, {parameters} parameters"));
    about.tell(context);
    Ok(())
}

/// Opens a feed-forward style; `None` if the input is something else.
fn style(arguments: &WeightsConvert) -> Result<Option<FeedForwardStyle>> {
    let path = Path::new(&arguments.input);
    let style = if path.is_file() { FeedForwardStyle::open_own(path)? } else { None };
    if style.is_none() && !arguments.mix.is_empty() {
        bail!("--mix: {}: is not a feed-forward style, as style-train writes them", arguments.input);
    }
    Ok(style)
}

/// Converts a mix of feed-forward styles to ONNX with dynamic image sizes.
fn convert_style(
    arguments: &WeightsConvert,
    style: &FeedForwardStyle,
    format: &'static str,
    context: Context,
) -> Result<()> {
    let mix = MixedStyle::weights(&arguments.mix, style)?;
    if let ([first, _, ..], true) = (style.names(), arguments.mix.is_empty()) {
        let (input, names) = (&arguments.input, style.names().join(", "));
        context.output.note(&format!("{input} has the styles {names}; converting {first}: --mix chooses others"));
    }
    let mut model = style.model(&mix)?;
    if let Some(size) = arguments.size {
        model.network = model.network.with_input_size(size.height, size.width)?;
        model.preprocessing = model.preprocessing.map(|pixels| pixels.with_size(size.height, size.width));
    }
    let any_size = arguments.size.is_none() && format == describe_format(Path::new("style.onnx"))?;
    match any_size {
        true => style.save_onnx(&mix, &arguments.output)?,
        false => save_model(&model, &arguments.output)?,
    }
    note_of_weights(&arguments.output, &model, context);
    let about = About::of(&model);
    if arguments.json {
        return context.output.json(&ConvertJson { file: &arguments.output, format, about });
    }
    let parameters = thousands(about.parameters);
    context.output.also_written(&arguments.output, &format!("{format}, {parameters} parameters"));
    if any_size {
        context
            .output
            .info("Images of any height and width, red, green and blue from 0 to 255; multiples of 4 keep their size");
    }
    Ok(())
}

/// Prints a note if a converted file cannot be opened as a model by itself.
fn note_of_weights(file: &Path, model: &Model, context: Context) {
    if !has_network(file) {
        context.output.note(&format!(
            "{} has the weights of {} and no network: a program needs the network to load them; .safetensors, .keras and \
             .onnx have both",
            file.display(),
            model.network.name()
        ));
    }
}

/// Whether a converted file can be opened as a model by itself. A file with only weights cannot, unless their names and
/// shapes identify the network.
fn has_network(file: &Path) -> bool {
    let name = file.to_string_lossy().to_lowercase();
    let weights_only = [".pth", ".pt", ".weights.h5"].iter().any(|ending| name.ends_with(ending));
    !weights_only || load_model(file).is_ok()
}

/// Output of `--json`.
#[derive(Serialize)]
struct ConvertJson<'a> {
    file: &'a Path,
    format: &'static str,
    #[serde(flatten)]
    about: About<'a>,
}

/// The model's inputs and outputs, as needed to use it in another program.
#[derive(Serialize)]
struct About<'a> {
    parameters: usize,
    input: Tensor<'a>,
    /// In the syntax of `--preprocessing`; `None` if not stored.
    preprocessing: Option<String>,
    #[serde(skip)]
    prepared: String,
    output: Option<Tensor<'a>>,
    class_names: &'a [String],
}

/// A tensor, batch first and channels last.
#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    /// Without the batch dimension.
    shape: &'a [usize],
}

impl<'a> About<'a> {
    fn of(model: &'a Model) -> Self {
        let network = &model.network;
        let tensor = |node: &'a Node| Tensor { name: node.name(), shape: node.shape().sizes() };
        let input = network.inputs().next().map(|input| tensor(&network.nodes()[input]));
        Self {
            parameters: network.parameters().0,
            input: input.unwrap_or(Tensor { name: "", shape: &[] }),
            preprocessing: model.preprocessing.as_ref().map(ToString::to_string),
            prepared: model.preprocessing.as_ref().map(Preprocessing::describe).unwrap_or_default(),
            output: network.output().ok().map(tensor),
            class_names: &model.class_names,
        }
    }

    fn tell(&self, context: Context) {
        let shape = |tensor: &Tensor| {
            let sizes: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        };
        let prepared = match &self.preprocessing {
            Some(choice) => format!("{}; --preprocessing {choice}", self.prepared),
            None => "how images are prepared is not stored: --preprocessing does that".to_owned(),
        };
        let (name, input) = (self.input.name, shape(&self.input));
        context.output.info(&format!("Input {name:?} {input}, batch first, channels last: {prepared}"));
        if let Some(output) = &self.output {
            context.output.info(&format!("Output {:?} {}", output.name, shape(output)));
        }
        if let ([first, second], Some(&[1])) = (self.class_names, self.output.as_ref().map(|output| output.shape)) {
            context.output.info(&format!("Classes: the one output is that of {second}; {first} has the rest of it"));
        } else if !self.class_names.is_empty() {
            let more = if self.class_names.len() > NAMED { ", ..." } else { "" };
            let names: Vec<&str> = self.class_names.iter().take(NAMED).map(String::as_str).collect();
            context.output.info(&format!("Classes, in the order of the outputs: {}{more}", names.join(", ")));
        }
    }
}
