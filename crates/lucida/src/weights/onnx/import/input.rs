//! The inputs of a graph.

use std::collections::{HashMap, HashSet};

use super::super::file::OnnxFile;
use super::super::proto::{GraphProto, NodeProto, ValueInfoProto};
use super::super::tensor::{Constant, short};
use super::Importer;
use super::drafts::{LayerDraft, Source};
use super::symbol::{Order, Symbol, Value};
use crate::nn::Shape;
use crate::nn::layers::Input;
use crate::{Error, Result};

/// The most values along an axis of an input.
const MAX_SIZE: usize = 1 << 24;

impl Importer {
    /// Adds an input layer for each input of the graph that is not a weight.
    pub(super) fn inputs(
        &mut self,
        file: &OnnxFile,
        constants: &HashMap<String, Constant>,
        size: [usize; 2],
    ) -> Result<()> {
        for input in file.graph.input.iter().filter(|input| !constants.contains_key(&input.name)) {
            let symbol = self.input(file, input, constants, size)?;
            self.values.insert(input.name.clone(), Value::Symbol(symbol));
        }
        Ok(())
    }

    fn input(
        &mut self,
        file: &OnnxFile,
        input: &ValueInfoProto,
        constants: &HashMap<String, Constant>,
        size: [usize; 2],
    ) -> Result<Symbol> {
        let (name, path) = (short(&input.name), file.path.display());
        let dims = input.dims().unwrap_or_default();
        let draft = self.drafts.len();
        if let Some(batch) = dims.first().and_then(|dim| dim.size()) {
            self.batch = Some(batch);
        }
        let sizes: Vec<Option<usize>> = dims.iter().skip(1).map(|dim| dim.size()).collect();
        let shown = input.shape();
        let (shape, symbol) = match sizes[..] {
            [Some(features)] => (Shape::flat(features), Symbol::vector(draft, features, 0, 1)),
            [_, _, _] => {
                let order = order(&file.graph, input, constants);
                let places = order.places();
                let mut image = [0; 3];
                for (atom, (to, place)) in image.iter_mut().zip(places).enumerate() {
                    *to = match sizes[place] {
                        Some(fixed) => fixed,
                        None if atom < 2 => {
                            self.any_size = true;
                            size[atom]
                        }
                        None => {
                            let problem = format!("input {name:?} of {shown} does not say how many channels it has");
                            return Err(Error::Unsupported(format!("{path}: {problem}")));
                        }
                    };
                }
                (Shape::from(image), Symbol::image(draft, image, order))
            }
            _ => {
                let problem = format!(
                    "input {name:?} of {shown} is not supported, only images (batch, channels, height, width) or \
                     (batch, height, width, channels) and vectors (batch, features)"
                );
                return Err(Error::Unsupported(format!("{path}: {problem}")));
            }
        };
        if let Some(&got) = shape.sizes().iter().find(|&&size| size > MAX_SIZE) {
            let what = format!("{path}: size of input {name:?}");
            return Err(Error::Limit { what, got: got as u64, limit: MAX_SIZE as u64 });
        }
        if shape.checked_len().is_none_or(|len| len > 1 << 40) || shape.len() == 0 {
            return Err(Error::file(&file.path, format!("input {name:?} of {shown} is too large")));
        }
        let node = NodeProto { name: input.name.clone(), ..Default::default() };
        let name = super::name::layer_name(&node, "", "input_layer");
        let layer = Input::new(shape.clone()).into();
        self.drafts.push(LayerDraft { name, layer, inputs: Vec::new(), shape, source: Source::Nothing });
        Ok(symbol)
    }
}

/// The order of an image's axes, which a graph does not say, but shows by what it does with it first.
fn order(graph: &GraphProto, input: &ValueInfoProto, constants: &HashMap<String, Constant>) -> Order {
    let sizes: Vec<Option<usize>> = input.dims().unwrap_or_default().iter().map(|dim| dim.size()).collect();
    let mut users: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for node in &graph.node {
        if let Some(name) = node.input.first() {
            users.entry(name).or_default().push(node);
        }
        // The operators of two inputs take the image as either.
        if let Some(name) = node.input.get(1).filter(|_| matches!(node.op_type.as_str(), "Add" | "Sub" | "Mul")) {
            users.entry(name).or_default().push(node);
        }
    }
    let mut seen = HashSet::new();
    let mut names = vec![input.name.as_str()];
    while let Some(name) = names.pop() {
        if !seen.insert(name) {
            continue;
        }
        for node in users.get(name).map_or(&[][..], Vec::as_slice) {
            let ints = |name: &str| {
                let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
                attribute.map_or(&[][..], |attribute| attribute.ints.as_slice())
            };
            match node.op_type.as_str() {
                "Transpose" if ints("perm") == [0, 3, 1, 2] => return Order::ChannelsLast,
                "Transpose" if ints("perm") == [0, 2, 3, 1] => return Order::ChannelsFirst,
                "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" | "BatchNormalization"
                | "Resize" | "Upsample" | "DepthToSpace" | "SpaceToDepth" => {
                    return Order::ChannelsFirst;
                }
                "ReduceMean" | "ReduceMax" if ints("axes") == [1, 2] => return Order::ChannelsLast,
                // One channel is moved to the front without a transposition.
                "Reshape" => {
                    let target = node.input.get(1).and_then(|name| constants.get(name));
                    let target = target.and_then(|target| target.known_ints().ok()).unwrap_or_default();
                    let known = |index: usize| sizes.get(index).copied().flatten().map(|size| size as i64);
                    if let [_, channels, rows, columns] = target[..] {
                        let moved = known(3) == Some(channels) && channels != rows;
                        if moved && [known(1), known(2)] == [Some(rows), Some(columns)] {
                            return Order::ChannelsLast;
                        }
                    }
                }
                "Identity" | "Cast" | "Add" | "Sub" | "Mul" | "Div" | "Relu" | "Sigmoid" | "Tanh" | "Clip"
                | "LeakyRelu" | "Pad" | "Dropout" | "Concat" | "Sum" => {
                    names.extend(node.output.first().map(String::as_str));
                }
                _ => {}
            }
        }
    }
    // Nothing says it; three or so are rather the channels than the height.
    let few = |size: Option<&Option<usize>>| matches!(size, Some(Some(1 | 3 | 4)));
    if few(sizes.get(3)) && !few(sizes.get(1)) { Order::ChannelsLast } else { Order::ChannelsFirst }
}
