//! Importing an ONNX graph as a network.
//!
//! The nodes are visited in topological order, with older forms rewritten ([`legacy`]). Constants are folded ([`fold`]);
//! moved axes are tracked ([`symbol`], [`memory`]); other operators become layers ([`connected`], [`pooling`],
//! [`geometry`], [`pointwise`], [`joining`]), which are simplified at the end ([`drafts`]).

mod as_strided;
mod batchless;
mod choice;
mod connected;
pub(super) mod drafts;
mod expand;
mod fold;
mod fold_math;
mod fold_moving;
mod geometry;
mod input;
mod joining;
mod layout;
mod legacy;
mod length;
mod memory;
mod merging;
mod name;
mod normalization;
mod operator;
mod patterns;
mod pointwise;
mod pooling;
mod products;
mod quantize;
mod symbol;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::file::OnnxFile;
use super::proto::{GraphProto, NodeProto};
use super::tensor::{Constant, MAX_VALUES, short};
use crate::nn::layers::Flatten;
use crate::nn::{Layer, Shape};
use crate::weights::foreign::{self, Step};
use crate::weights::model::DEFAULT_SIZE;
use crate::weights::topology::topological_order;
use crate::weights::{ArrayLayout, ArrayLayouts, Model, Note};
use crate::{Error, Result};
use as_strided::Strided;
use choice::Comparison;
use drafts::{LayerDraft, Source};
use fold::Folder;
use layout::GraphInput;
use operator::Operator;
pub(in crate::weights) use operator::{Fault, ImportResult, unsupported};
use symbol::{Order, Symbol, Value};

/// Suggestions for an unsupported operator.
fn instead(op_type: &str) -> String {
    let integers = ["QLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger"];
    if integers.iter().any(|start| op_type.starts_with(start)) {
        return ": quantize the model in the QDQ format (QuantizeLinear and DequantizeLinear), or take the one that is not \
                quantized"
            .into();
    }
    match op_type {
        "If" | "Loop" | "Scan" => {
            ": export the model with fixed conditions (PyTorch: torch.onnx.export(..., dynamo=True)), or \
                                   simplify the graph"
                .into()
        }
        _ => "; docs/models.md lists the operators that are".into(),
    }
}

/// Maximum number of layers.
const MAX_LAYERS: usize = 20_000;
/// Maximum number of nodes.
const MAX_NODES: usize = 200_000;
/// Maximum number of nodes in a message about a cycle.
const MAX_NAMED: usize = 5;
/// Parameters that a network may have beyond those in the file: scales and offsets with one value for all channels.
const FREE_PARAMETERS: u64 = 1 << 20;

/// Imports a graph. `size` is the height and width of inputs that leave these open; a default one is noted.
///
/// # Errors
/// [`Error::Unsupported`] names the operator and the node; [`Error::File`] says what is wrong with the graph.
pub(super) fn import(file: &OnnxFile, constants: HashMap<String, Constant>, size: Option<[usize; 2]>) -> Result<Model> {
    let known: HashSet<String> = constants.keys().cloned().collect();
    imported(file, constants, size).map_err(|problem| {
        foreign::explained(file.path(), problem, || {
            let steps = file.graph.node.iter().map(|node| Step {
                kind: &node.op_type,
                inputs: names(&node.input),
                outputs: names(&node.output),
            });
            let steps: Vec<Step<&str>> = steps.collect();
            let inputs = file.graph.input.iter().map(|input| input.name.as_str());
            foreign::foreign(&steps, inputs.filter(|name| !known.contains(*name)))
        })
    })
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect()
}

fn imported(file: &OnnxFile, constants: HashMap<String, Constant>, size: Option<[usize; 2]>) -> Result<Model> {
    let graph = &file.graph;
    if graph.node.len() > MAX_NODES {
        let what = format!("{}: nodes of the graph", file.path().display());
        return Err(Error::Limit { what, got: graph.node.len() as u64, limit: MAX_NODES as u64 });
    }
    let again = batchless::is_fixed(graph, &constants).then(|| constants.clone());
    match (import_as(file, constants, size, false), again) {
        // If both interpretations fail, report the error of the usual one.
        (Err(problem @ (Error::Unsupported(_) | Error::File { .. })), Some(constants)) => {
            import_as(file, constants, size, true).map_err(|_| problem)
        }
        (model, _) => model,
    }
}

/// As [`import`]; `batchless` if the first axis of the graph's tensors is not the batch.
fn import_as(
    file: &OnnxFile,
    constants: HashMap<String, Constant>,
    size: Option<[usize; 2]>,
    batchless: bool,
) -> Result<Model> {
    let mut importer = Importer {
        values: HashMap::new(),
        inputs: Vec::new(),
        notes: Vec::new(),
        drafts: Vec::new(),
        flat: HashMap::new(),
        argmax: HashSet::new(),
        compared: HashMap::new(),
        strided: HashMap::new(),
        batch: batchless.then_some(1),
        batchless,
        any_size: false,
        opset: file.opset()?,
        folder: Folder::new(file.len + FREE_PARAMETERS),
        spread: 0,
    };
    importer.inputs(file, &constants, size.unwrap_or(DEFAULT_SIZE))?;
    importer.values.extend(constants.into_iter().map(|(name, constant)| (name, Value::Constant(constant))));
    importer.nodes(file)?;
    let outputs = importer.outputs(file)?;
    let mut model = importer.model(file, outputs)?;
    model.notes.append(&mut importer.notes);
    if importer.any_size && size.is_none() {
        model.note_default_size();
    }
    Ok(model)
}

/// The nodes in topological order. The format requires it, but graph editors do not always comply, and ONNX Runtime sorts
/// them, too.
///
/// # Errors
/// When two nodes output tensors with the same name, or nodes form a cycle.
fn node_order(graph: &GraphProto) -> Result<Vec<usize>, String> {
    let named = |place: usize| {
        let node = &graph.node[place];
        format!("node {:?} ({})", short(&node.name), short(&node.op_type))
    };
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (place, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if let Some(other) = makers.insert(output, place) {
                return Err(format!("{} and {} both give {:?}", named(other), named(place), short(output)));
            }
        }
    }
    let dependencies: Vec<Vec<usize>> = graph
        .node
        .iter()
        .map(|node| node.input.iter().filter_map(|input| makers.get(input.as_str()).copied()).collect())
        .collect();
    topological_order(&dependencies).map_err(|cycle| {
        let path: Vec<String> = cycle.iter().chain(cycle.first()).take(MAX_NAMED).map(|&place| named(place)).collect();
        let more = if cycle.len() >= MAX_NAMED { " -> ..." } else { "" };
        format!("its nodes form a cycle: {}{more}", path.join(" -> "))
    })
}

/// The state of an import.
struct Importer {
    /// The tensors so far, by name.
    values: HashMap<String, Value>,
    /// The inputs of the graph.
    inputs: Vec<GraphInput>,
    /// Assumptions and changes.
    notes: Vec<Note>,
    drafts: Vec<LayerDraft>,
    /// The Flatten layer for each flattened image.
    flat: HashMap<usize, usize>,
    /// The outputs of `ArgMax`.
    argmax: HashSet<String>,
    /// The outputs of comparisons, represented by the compared value.
    compared: HashMap<String, Comparison>,
    /// The outputs that only a `Gather` from the memory of the whole batch may use.
    strided: HashMap<String, Strided>,
    /// The size of the batch, if fixed.
    batch: Option<usize>,
    /// Whether the graph has no batch axis; a batch of 1 is then added.
    batchless: bool,
    /// Whether an input leaves its height or width open.
    any_size: bool,
    opset: i64,
    folder: Folder,
    /// The number of values of filled tensors that layers have used.
    spread: u64,
}

impl Importer {
    /// The maximum number of parameters of the network: what is in the file, and what the graph fills with one number.
    fn most(&self, file: &OnnxFile) -> u64 {
        file.len + FREE_PARAMETERS + self.folder.filled()
    }

    /// Counts the values of filled tensors used by layers. They take no memory before, but a single one could be the
    /// parameters of very many layers. (Layers that are merged later may be counted twice.)
    fn count_spread(&mut self, file: &OnnxFile, node: &NodeProto) -> Result<()> {
        let constant = |name: &String| match self.values.get(name) {
            Some(Value::Constant(constant)) if constant.fill_value().is_some() => constant.len() as u64,
            _ => 0,
        };
        let is_layer = node.output.iter().any(|name| matches!(self.values.get(name), Some(Value::Symbol(_))));
        self.spread += if is_layer { node.input.iter().map(constant).sum() } else { 0 };
        let limit = 2 * self.most(file);
        if self.spread > limit {
            let what = format!("{}: parameters of the network", file.path().display());
            return Err(Error::Limit { what, got: self.spread, limit });
        }
        Ok(())
    }

    /// The imported model, with these named outputs of the graph.
    fn model(&mut self, file: &OnnxFile, outputs: Vec<(String, Symbol)>) -> Result<Model> {
        let path = file.path().display();
        let mut nodes: Vec<usize> = outputs.iter().map(|(_, symbol)| symbol.draft).collect();
        let places = drafts::simplify(&mut self.drafts, &mut nodes);
        let name = match short(&file.graph.name).replace(char::is_control, "_") {
            name if name.is_empty() => "onnx".to_owned(),
            name => name,
        };
        let network = drafts::build(&name, &self.drafts, &nodes, self.most(file)).map_err(|problem| match problem {
            Error::Limit { what, got, limit } => Error::Limit { what: format!("{path}: {what}"), got, limit },
            other => Error::file(file.path(), format!("cannot be a network: {other}")),
        })?;
        let of_output = |((name, symbol), &place): ((String, Symbol), &usize)| {
            let layout = layout::of_symbol(name, &symbol, &network, place);
            ArrayLayout { batched: !self.batchless, ..layout }
        };
        let layouts = ArrayLayouts {
            inputs: self.inputs.iter().map(|input| input.layout(&network, places[input.symbol.draft])).collect(),
            outputs: outputs.into_iter().zip(&nodes).map(of_output).collect(),
        };
        Ok(Model { layouts, ..Model::new(network) })
    }

    /// Imports all nodes of the graph.
    fn nodes(&mut self, file: &OnnxFile) -> Result<()> {
        let path = file.path().display();
        let regrouped = normalization::regrouped(&file.graph);
        for &place in &node_order(&file.graph).map_err(|problem| Error::file(file.path(), problem))? {
            let node = regrouped.get(&place).unwrap_or(&file.graph.node[place]);
            let node = &*legacy::modern(node, self.opset);
            self.node(node).map_err(|fault| {
                let place = format!("node {:?} ({})", short(&node.name), short(&node.op_type));
                match fault {
                    Fault::Bad(problem) => Error::file(file.path(), format!("{place}: {problem}")),
                    Fault::Unsupported(problem) => Error::Unsupported(format!("{path}: {place}: {problem}")),
                }
            })?;
            self.count_spread(file, node)?;
            if self.drafts.len() > MAX_LAYERS {
                let what = format!("{path}: layers of the network");
                return Err(Error::Limit { what, got: self.drafts.len() as u64, limit: MAX_LAYERS as u64 });
            }
        }
        Ok(())
    }

    /// The named outputs of the graph.
    fn outputs(&mut self, file: &OnnxFile) -> Result<Vec<(String, Symbol)>> {
        let mut outputs: Vec<(String, Symbol)> = Vec::new();
        for output in &file.graph.output {
            let name = short(&output.name);
            let found = self
                .output(&output.name)
                .map_err(|problem| Error::file(file.path(), format!("output {name:?} of the graph {problem}")))?;
            let index = self.argmax.contains(&output.name);
            if index {
                let task = format!("output {name:?} is the index of the largest value: the values are used");
                self.notes.push(Note::Task(task));
            }
            // The index of a class next to its scores is redundant.
            if !(index && outputs.iter().any(|(_, symbol)| symbol.draft == found.draft)) {
                outputs.push((output.name.clone(), found));
            }
        }
        Ok(outputs)
    }

    /// The inputs of a node; `None` for omitted ones.
    fn inputs_of(&self, node: &NodeProto) -> ImportResult<Vec<Option<Value>>> {
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match (name.as_str(), self.values.get(name)) {
                ("", _) => None,
                (_, Some(value)) => Some(value.clone()),
                (name, None) => {
                    let problem = format!(
                        "takes {:?}, which nothing gives: no input, initializer or first output of a node has this \
                         name (further outputs are not supported)",
                        short(name)
                    );
                    return Err(Fault::Bad(problem));
                }
            });
        }
        Ok(inputs)
    }

    /// Passes on the index of a maximum or the result of a comparison, which are represented by other values, through nodes
    /// that do not change them; returns whether the node is one. The type of an index does not matter.
    fn passed_on(&mut self, node: &NodeProto) -> bool {
        let ([name, ..], [output, ..]) = (node.input.as_slice(), node.output.as_slice()) else { return false };
        let Some(value) = self.values.get(name).cloned() else { return false };
        match (&*node.op_type, self.compared.get(name).copied()) {
            ("Identity" | "Cast", None) if self.argmax.contains(name) => _ = self.argmax.insert(output.clone()),
            ("Identity", Some(comparison)) => _ = self.compared.insert(output.clone(), comparison),
            _ => return false,
        }
        self.values.insert(output.clone(), value);
        true
    }

    fn node(&mut self, node: &NodeProto) -> ImportResult<()> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            let hint = match node.domain.as_str() {
                domain if domain.starts_with("pkg.") => ": inline its functions (onnx.inliner.inline_local_functions)",
                "com.microsoft" => ": take the model before ONNX Runtime optimized it",
                _ => "",
            };
            return unsupported(format!("operators of the domain {:?} are not supported{hint}", short(&node.domain)));
        }
        if self.passed_on(node) {
            return Ok(());
        }
        if let Some(name) = node.input.iter().find(|name| self.argmax.contains(*name)) {
            return unsupported(format!("of {:?}, the index of the largest value, is not supported", short(name)));
        }
        let compares = matches!(node.op_type.as_str(), "Where" | "Not" | "Cast");
        if let Some(name) = node.input.iter().find(|name| !compares && self.compared.contains_key(*name)) {
            return unsupported(format!(
                "of {:?}, the result of a comparison, is not supported, only Where, Not and Cast of one",
                short(name)
            ));
        }
        if self.as_strided(node)? {
            return Ok(());
        }
        let inputs = self.inputs_of(node)?;
        let mut op = Operator { node, inputs, opset: self.opset };
        op.align_broadcast()?;
        if node.op_type == "Split" {
            let node = if self.batchless { batchless::with_batch(&mut op)? } else { Cow::Borrowed(node) };
            return self.split(&Operator { node: &node, ..op });
        }
        let value = match self.shape(&op)? {
            Some(value) => value,
            None => match fold::fold(&op, &mut self.folder)? {
                Some(value) => value,
                None if self.batchless => {
                    let node = batchless::with_batch(&mut op)?;
                    Value::Symbol(self.layer(&Operator { node: &node, ..op })?)
                }
                None => Value::Symbol(self.layer(&op)?),
            },
        };
        if node.op_type == "DequantizeLinear" {
            self.note_quantized();
        }
        if let Some(output) = node.output.first().filter(|name| !name.is_empty()) {
            self.values.insert(output.clone(), value);
        }
        Ok(())
    }

    /// The shape of a tensor whose batch has a fixed size.
    fn shape(&self, op: &Operator) -> ImportResult<Option<Value>> {
        let fixed = self.batch.is_some() && op.node.op_type == "Shape";
        let Some(Value::Symbol(symbol)) = op.value(0).filter(|_| fixed) else { return Ok(None) };
        let shape = fold::shape_of(symbol, self.batch).split_off(usize::from(self.batchless));
        fold::shape_part(op, shape).map(Some)
    }

    fn layer(&mut self, op: &Operator) -> ImportResult<Symbol> {
        if let Some(found) = self.along_a_length(op)? {
            return Ok(found);
        }
        let op = &self.with_images(op)?;
        match op.node.op_type.as_str() {
            "Conv" => self.conv(op),
            "ConvTranspose" => self.conv_transpose(op),
            "Gemm" => self.gemm(op),
            "MatMul" => self.mat_mul(op),
            "BatchNormalization" => self.batch_normalization(op),
            "InstanceNormalization" => self.instance_normalization(op),
            normalization::GROUPED => self.instance_normalization_of_groups(op),
            "GroupNormalization" => self.group_normalization(op),
            "LayerNormalization" => self.layer_normalization(op),
            "LRN" => self.local_response(op),
            "LpNormalization" => self.unit(op),
            "PRelu" => self.prelu(op),
            "Relu" | "Sigmoid" | "Tanh" | "LeakyRelu" | "Clip" => self.activation(op),
            "Elu" | "Selu" | "Celu" | "Gelu" | "HardSigmoid" | "HardSwish" | "Swish" | "Softplus" | "Softsign"
            | "Mish" | "Exp" | "Log" | "Erf" | "Sqrt" | "Reciprocal" | "ThresholdedRelu" | "Shrink" => {
                self.smooth_activation(op)
            }
            "Max" | "Min" => self.bound(op),
            "Mean" => self.merge(op),
            "Pow" => self.power(op),
            "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" => self.comparison(op),
            "Not" => self.negated(op),
            "Where" => self.choice(op),
            "Neg" => self.negative(op),
            "Abs" => self.absolute(op),
            "Softmax" | "LogSoftmax" => self.softmax(op),
            "ArgMax" => self.arg_max(op),
            "MaxPool" | "AveragePool" => self.pool(op),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(op),
            "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceSum" => self.reduce(op),
            "ReduceL1" | "ReduceL2" | "ReduceSumSquare" => self.norm(op),
            "Concat" => self.concat(op),
            "Add" | "Sub" | "Mul" | "Div" | "Sum" => self.arithmetic(op),
            "Pad" => self.pad(op),
            "Resize" | "Upsample" => self.resize(op),
            "DepthToSpace" | "SpaceToDepth" => self.depth(op),
            "Slice" => self.slice(op),
            "Gather" => self.gather(op),
            "Tile" => self.tile(op),
            "Expand" => self.expand(op),
            "Dropout" => self.dropout(op),
            "QuantizeLinear" => self.quantize(op),
            "DequantizeLinear" => Ok(op.symbol(0)?.clone()),
            "Identity" => Ok(op.symbol(0)?.clone()),
            "Cast" => self.cast(op),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => self.moved(op),
            other => unsupported(format!("{} is not supported{}", short(other), instead(other))),
        }
    }

    /// Operators that only move axes.
    fn moved(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?;
        let moved = match op.node.op_type.as_str() {
            "Transpose" => match op.ints("perm") {
                Some(permutation) => symbol.transpose(permutation),
                None => return unsupported("without perm moves the batch, which is not supported"),
            },
            "Reshape" => {
                let target = match op.shape_attribute() {
                    Some(shape) => shape,
                    None => op.needed(1)?.ints()?.to_vec(),
                };
                let zero = op.int("allowzero", 0) != 0;
                match symbol.reshape(&target, self.batch, zero) {
                    Err(problem) if problem.ends_with(symbol::CUTS_ACROSS) => {
                        // A zero in the target shape is the size of the tensor's current axis.
                        let sizes: Vec<usize> = (0..symbol.axes.len()).map(|axis| symbol.size(axis)).collect();
                        let flat = self.in_memory(symbol, &(0..sizes.len()).collect::<Vec<_>>(), true)?;
                        Symbol::in_order(flat, &[symbol.len()]).reshape_from(&sizes, &target, self.batch, zero)
                    }
                    result => result,
                }
            }
            "Squeeze" => symbol.squeeze(op.numbers(1, "axes")?.as_deref(), self.batch),
            "Unsqueeze" => symbol.unsqueeze(&op.numbers(1, "axes")?.ok_or("axes are missing")?),
            _ => {
                let axis = op.int("axis", 1);
                let rank = symbol.axes.len() as i64 + 1;
                if axis != 1 && axis != 1 - rank {
                    return unsupported(format!("at axis {axis} is not supported, only 1"));
                }
                Ok(Symbol { axes: vec![symbol.axes.concat()], ..symbol.clone() })
            }
        };
        Ok(moved?)
    }

    /// Adds a layer and returns its index. `weight` is the name of its weight, if it has one.
    fn add(
        &mut self,
        (node, weight): (&NodeProto, &str),
        layer: impl Into<Layer>,
        inputs: &[usize],
        source: Source,
    ) -> ImportResult<usize> {
        let layer = layer.into();
        let name = name::layer_name(node, weight, layer.default_name());
        Ok(self.add_named(name, layer, inputs, source)?)
    }

    fn add_named(&mut self, name: String, layer: Layer, inputs: &[usize], source: Source) -> Result<usize, String> {
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.drafts[input].shape.clone()).collect();
        let shape = layer.spec().output_shape(&shapes)?;
        if shape.checked_len().is_none_or(|len| len as u64 > MAX_VALUES) {
            return Err(format!("an output of shape {shape} is too large"));
        }
        self.drafts.push(LayerDraft { name, layer, inputs: inputs.to_vec(), shape, source });
        Ok(self.drafts.len() - 1)
    }

    /// Adds a layer with the shape of its only input.
    fn add_alike(&mut self, op: &Operator, symbol: &Symbol, layer: impl Into<Layer>) -> ImportResult<Symbol> {
        let draft = self.add((op.node, ""), layer, &[symbol.draft], Source::Nothing)?;
        Ok(Symbol { draft, ..symbol.clone() })
    }

    /// The image input of an operator, whose axes must be (batch, channels, height, width).
    fn image(&self, symbol: &Symbol) -> ImportResult<[usize; 3]> {
        let image = self.drafts[symbol.draft].shape.as_image();
        match (symbol.order(), image) {
            (Some(Order::ChannelsFirst), Some(image)) => Ok(image),
            (Some(Order::ChannelsLast), Some(_)) => {
                Err(format!("takes its input of {} as (batch, height, width, channels)", symbol.shape()).into())
            }
            _ => unsupported(format!("of an input of {} is not supported, only of images", symbol.shape())),
        }
    }

    /// A flat layer with all values of a symbol, its axis, and the index of each value if they are in another order.
    fn features(&mut self, symbol: &Symbol) -> ImportResult<(Symbol, usize, Option<Vec<usize>>)> {
        let Some((axis, order)) = symbol.features() else {
            return unsupported(format!("of an input of {} is not supported: it must be flat", symbol.shape()));
        };
        let draft = self.flatten(symbol.draft)?;
        Ok((Symbol { draft, ..symbol.clone() }, axis, order))
    }

    /// The flattened output of a layer.
    fn flatten(&mut self, draft: usize) -> Result<usize, String> {
        if self.drafts[draft].shape.as_flat().is_some() {
            return Ok(draft);
        }
        if let Some(&flat) = self.flat.get(&draft) {
            return Ok(flat);
        }
        let flat = self.add_named("flatten".into(), Flatten::new().into(), &[draft], Source::Nothing)?;
        self.flat.insert(draft, flat);
        Ok(flat)
    }

    /// An output of the graph, as a layer with the shape of the tensor, or with channels moved to the end; [`layout`]
    /// describes which. Other reorderings become layers.
    fn output(&mut self, name: &str) -> Result<Symbol, String> {
        let symbol = match self.values.get(name) {
            _ if self.compared.contains_key(name) => {
                return Err("is the result of a comparison: cast it to a number".into());
            }
            Some(Value::Symbol(symbol)) => symbol.clone(),
            Some(Value::Constant(_)) => return Err("does not depend on the input".into()),
            None if self.strided.contains_key(name) => {
                return Err("merges the batch with other axes, which is not supported".into());
            }
            None => return Err("is given by no node".into()),
        };
        let image = self.drafts[symbol.draft].shape.as_image().is_some();
        if symbol.axes.is_empty() && !image || symbol.order().is_some() && image {
            return Ok(symbol);
        }
        if matches!(symbol.features(), Some((_, None))) {
            return Ok(Symbol { draft: self.flatten(symbol.draft)?, ..symbol });
        }
        let as_they_are: Vec<usize> = (0..symbol.axes.len()).collect();
        let channels_last: Vec<usize> = as_they_are.iter().copied().skip(1).chain([0]).collect();
        let order = if symbol.axes.len() == 3 {
            // By default, output images have the axis order of input images.
            let order = self.inputs.iter().find_map(|input| input.symbol.order());
            order.unwrap_or(Order::ChannelsFirst).places().to_vec()
        } else if !symbol.in_order_of(&as_they_are) && symbol.in_order_of(&channels_last) {
            channels_last
        } else {
            as_they_are
        };
        let draft = self.in_memory(&symbol, &order, false)?;
        let sizes: Vec<usize> = order.iter().map(|&axis| symbol.size(axis)).collect();
        Ok(Symbol::of_axes(draft, &sizes, &order))
    }
}
