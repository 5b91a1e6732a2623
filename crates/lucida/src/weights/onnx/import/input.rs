//! The inputs of a graph.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::super::file::OnnxFile;
use super::super::proto::{GraphProto, NodeProto, ValueInfoProto};
use super::super::tensor::{Constant, MAX_VALUES, short};
use super::Importer;
use super::drafts::{LayerDraft, Source};
use super::layout::GraphInput;
use super::symbol::{MAX_RANK, Order, Symbol, Value};
use crate::nn::Shape;
use crate::nn::layers::Input;
use crate::{Error, Result};

/// Maximum size of an input's axis.
const MAX_SIZE: usize = 1 << 24;

impl Importer {
    /// Adds an input layer for each input of the graph that is not an initializer.
    pub(super) fn inputs(
        &mut self,
        file: &OnnxFile,
        constants: &HashMap<String, Constant>,
        size: [usize; 2],
    ) -> Result<()> {
        for input in file.graph.input.iter().filter(|input| !constants.contains_key(&input.name)) {
            let batched = !self.batchless && has_batch(file, input, constants);
            let symbol = self.input(file, input, batched, constants, size)?;
            self.inputs.push(GraphInput { name: input.name.clone(), symbol: symbol.clone(), batched });
            self.values.insert(input.name.clone(), Value::Symbol(symbol));
        }
        Ok(())
    }

    fn input(
        &mut self,
        file: &OnnxFile,
        input: &ValueInfoProto,
        batched: bool,
        constants: &HashMap<String, Constant>,
        size: [usize; 2],
    ) -> Result<Symbol> {
        let (name, path) = (short(&input.name), file.path().display());
        let dims = input.dims().unwrap_or_default();
        let draft = self.drafts.len();
        if let Some(batch) = dims.first().and_then(|dim| dim.size()).filter(|_| batched) {
            self.batch = self.batch.max(Some(batch));
        }
        let mut sizes: Vec<Option<usize>> = dims.iter().skip(usize::from(batched)).map(|dim| dim.size()).collect();
        let shown = input.shape();
        if sizes.len() >= MAX_RANK || input.dims().is_none() {
            let problem = format!("input {name:?} of shape {shown} is not supported: its number of axes must be known");
            return Err(Error::Unsupported(format!("{path}: {problem}")));
        }
        // With an axis before the channels, that axis belongs to the image.
        let order = if self.batchless { Order::ChannelsLast } else { order(&file.graph, input, constants) };
        if let ([_, _, _], false) = (&sizes[..], self.batchless) {
            for (atom, place) in order.places().into_iter().enumerate().take(2) {
                if sizes[place].is_none() {
                    self.any_size = true;
                    sizes[place] = Some(size[atom]);
                }
            }
        }
        let sizes: Option<Vec<usize>> = sizes.into_iter().collect();
        let Some(sizes) = sizes else {
            let what = if dims.len() == 4 { "how many channels it has" } else { "how large it is" };
            let problem = format!("input {name:?} of {shown} does not say {what}");
            return Err(Error::Unsupported(format!("{path}: {problem}")));
        };
        let (shape, symbol) = self.input_symbol(draft, &sizes, order);
        if let Some(&got) = shape.sizes().iter().find(|&&size| size > MAX_SIZE) {
            let what = format!("{path}: size of input {name:?}");
            return Err(Error::Limit { what, got: got as u64, limit: MAX_SIZE as u64 });
        }
        if shape.checked_len().is_none_or(|len| len as u64 > MAX_VALUES) || shape.len() == 0 {
            return Err(Error::file(file.path(), format!("input {name:?} of {shown} is too large")));
        }
        let node = NodeProto { name: input.name.clone(), ..Default::default() };
        let name = super::name::layer_name(&node, "", "input_layer");
        let layer = Input::new(shape.clone()).into();
        self.drafts.push(LayerDraft { name, layer, inputs: Vec::new(), shape, source: Source::Nothing });
        Ok(symbol)
    }

    /// The shape of an input with these sizes in the network, and its axes. Channels-first inputs become channels-last,
    /// whatever the number of axes; a batch of scalars becomes a vector of length one.
    fn input_symbol(&self, draft: usize, sizes: &[usize], order: Order) -> (Shape, Symbol) {
        match (sizes, order) {
            ([], _) => (Shape::flat(1), Symbol { draft, atoms: [1].into(), whole: [1].into(), axes: Vec::new() }),
            (&[features], _) => (Shape::flat(features), Symbol::vector(draft, features, 0, 1)),
            (&[channels, ref places @ ..], Order::ChannelsFirst) => {
                let atoms: Vec<usize> = places.iter().copied().chain([channels]).collect();
                let axes = [places.len()].into_iter().chain(0..places.len()).map(|atom| vec![atom]).collect();
                let shape = Shape::from(atoms.as_slice());
                let atoms: Rc<[usize]> = atoms.into();
                (shape, Symbol { draft, whole: atoms.clone(), atoms, axes }.normal())
            }
            (sizes, Order::ChannelsLast) => (Shape::from(sizes), Symbol::in_order(draft, sizes)),
        }
    }
}

/// Whether the first axis of an input is the batch. A vector that the graph broadcasts over another input has fewer, all
/// fixed axes that match the end of the other's; its first axis is not a batch.
fn has_batch(file: &OnnxFile, input: &ValueInfoProto, constants: &HashMap<String, Constant>) -> bool {
    let fixed = |input: &ValueInfoProto| {
        let dims = input.dims().unwrap_or_default();
        let sizes: Option<Vec<usize>> = dims.iter().map(|dim| dim.size()).collect();
        sizes
    };
    let Some(own) = fixed(input) else { return true };
    if own.is_empty() {
        return false;
    }
    let inputs = file.graph.input.iter().filter(|input| !constants.contains_key(&input.name));
    let with = |other: &[usize]| other.len() > own.len() && other.ends_with(&own);
    !inputs.into_iter().filter_map(fixed).any(|other| with(&other) && other.first() != own.first())
}

/// The axis order of an image input, which a graph does not declare: inferred from its first uses.
fn order(graph: &GraphProto, input: &ValueInfoProto, constants: &HashMap<String, Constant>) -> Order {
    let sizes: Vec<Option<usize>> = input.dims().unwrap_or_default().iter().map(|dim| dim.size()).collect();
    let mut users: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for node in &graph.node {
        if let Some(name) = node.input.first() {
            users.entry(name).or_default().push(node);
        }
        // The image may be either operand of a binary operator.
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
            if let Some(order) = order_of_user(node, &sizes, constants) {
                return order;
            }
            if KEEPS_ORDER.contains(&node.op_type.as_str()) {
                names.extend(node.output.first().map(String::as_str));
            }
        }
    }
    if sizes.len() != 4 {
        return Order::ChannelsLast;
    }
    // Undetermined: a size of three or so is more likely the channels than the height.
    let few = |size: Option<&Option<usize>>| matches!(size, Some(Some(1 | 3 | 4)));
    if few(sizes.get(3)) && !few(sizes.get(1)) { Order::ChannelsLast } else { Order::ChannelsFirst }
}

/// Operators that keep the axis order and do not determine it.
const KEEPS_ORDER: [&str; 18] = [
    "Identity",
    "Cast",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Relu",
    "Sigmoid",
    "Tanh",
    "Clip",
    "LeakyRelu",
    "Pad",
    "Dropout",
    "Concat",
    "Sum",
    "Unsqueeze",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// Channels-first operators.
const CHANNELS_FIRST: [&str; 14] = [
    "Resize",
    "Upsample",
    "DepthToSpace",
    "SpaceToDepth",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LRN",
];

/// The axis order that an operator expects of an input with these sizes, if any.
fn order_of_user(node: &NodeProto, sizes: &[Option<usize>], constants: &HashMap<String, Constant>) -> Option<Order> {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let ints = |name: &str| attribute(name).map_or(&[][..], |attribute| attribute.ints.as_slice());
    match node.op_type.as_str() {
        kind if CHANNELS_FIRST.contains(&kind) => Some(Order::ChannelsFirst),
        "Transpose" if ints("perm") == [0, 3, 1, 2] => Some(Order::ChannelsLast),
        "Transpose" if ints("perm") == [0, 2, 3, 1] => Some(Order::ChannelsFirst),
        "ReduceMean" | "ReduceMax" if ints("axes") == [1, 2] => Some(Order::ChannelsLast),
        // A softmax is over the channels.
        "Softmax" | "LogSoftmax" => match attribute("axis")?.i {
            1 => Some(Order::ChannelsFirst),
            axis if axis == -1 || axis + 1 == sizes.len() as i64 => Some(Order::ChannelsLast),
            _ => None,
        },
        // A single channel is moved to the front without a transposition.
        "Reshape" => {
            let target = constants.get(node.input.get(1)?)?.known_ints().ok()?;
            let known = |index: usize| sizes.get(index).copied().flatten().map(|size| size as i64);
            let [_, channels, rows, columns] = target[..] else { return None };
            let moved = known(3) == Some(channels) && channels != rows;
            (moved && [known(1), known(2)] == [Some(rows), Some(columns)]).then_some(Order::ChannelsLast)
        }
        _ => None,
    }
}
