//! Building a network from Keras's JSON config.
//!
//! Both variants are supported: that of Keras 3 (`config.json` of a `.keras` file, `model_config` of an `.h5`), and that of
//! Keras 2 and `tf.keras`. A nested model is replaced by its layers.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::assign::Counts;
use super::layers::layer;
use super::operation::{Computation, Operation, constant_array, sizes_of_lists};
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::layers::{AxisSlice, Input, Slice, augments};
use crate::nn::{Layer, Network, NetworkBuilder, Shape};
use crate::weights::topology::topological_order;
use crate::{Error, Result};

/// Maximum nesting of models.
const MAX_DEPTH: usize = 16;
/// Maximum number of layers, including nested models. InceptionV3 has 313.
const MAX_LAYERS: usize = 20_000;

/// A model built from its config, with zero weights.
#[derive(Debug)]
pub(in crate::weights) struct DescribedModel {
    pub(in crate::weights) network: Network,
    /// For each layer of the network: the path of its group in version 3 of the format.
    pub(in crate::weights) paths: Vec<(usize, String)>,
    /// Settings without a counterpart that do not affect predictions.
    pub(in crate::weights) notes: Vec<String>,
    /// Whether the height or the width of an input is open, so that the requested size or the default was used.
    pub(in crate::weights) any_size: bool,
}

/// Builds the network of a config. `most` is the maximum number of parameters that the file can hold, `size` the height and
/// width for inputs that leave theirs open.
///
/// # Errors
/// [`Error::Layer`] names the layer that cannot be represented; [`Error::Argument`] for other problems.
pub(in crate::weights) fn describe(description: &Value, most: u64, size: [usize; 2]) -> Result<DescribedModel> {
    let class = description["class_name"].as_str().unwrap_or_default();
    let config = &description["config"];
    let name = config["name"].as_str().unwrap_or("model");
    let mut reader = Reader {
        builder: Network::builder(name),
        paths: Vec::new(),
        calls: HashMap::new(),
        notes: Vec::new(),
        frozen: Vec::new(),
        layers: 0,
        size,
        any_size: false,
        keras_2: is_keras_2(description),
    };
    // Where the input shape of a Sequential is stored if its layers do not have it.
    let built = [&config["build_input_shape"], &description["build_config"]["input_shape"]];
    let built = built.into_iter().find(|shape| !shape.is_null());
    let outputs = reader.model(class, config, None, "layers", built, 0)?;
    let parameters = reader.builder.parameters();
    if parameters > most {
        return Err(Error::argument(format!(
            "its layers have {parameters} parameters, which the file is too small to hold"
        )));
    }
    let mut network = reader.builder.build_zeroed(&outputs)?;
    for name in reader.frozen {
        network.set_trainable(&name, false)?;
    }
    Ok(DescribedModel { network, paths: reader.paths, notes: reader.notes, any_size: reader.any_size })
}

pub(super) struct Reader {
    pub(super) builder: NetworkBuilder,
    paths: Vec<(usize, String)>,
    /// The calls so far of each layer with weights, by path.
    calls: HashMap<String, Vec<usize>>,
    notes: Vec<String>,
    frozen: Vec<String>,
    layers: usize,
    size: [usize; 2],
    any_size: bool,
    keras_2: bool,
}

/// Whether a class is a model of connected layers, which subclasses also keep in their config.
fn is_model(class: &str, config: &Value) -> bool {
    let functional = config["layers"].is_array() && !config["output_layers"].is_null();
    matches!(class, "Sequential" | "Functional" | "Model") || functional
}

/// The result of converting an item of a model's list of layers.
enum ConvertedItem {
    /// A layer yet to be added, and its input nodes.
    Layer(Layer, Vec<usize>),
    /// The outputs of layers that were added.
    Nodes(Vec<usize>),
}

/// Whether a config is from Keras 2, which names the shape of an input `batch_input_shape`.
fn is_keras_2(description: &Value) -> bool {
    match description {
        Value::Object(map) => map.contains_key("batch_input_shape") || map.values().any(is_keras_2),
        Value::Array(values) => values.iter().any(is_keras_2),
        _ => false,
    }
}

impl Reader {
    /// Adds the layers of a model and returns the indices of its outputs. `inputs` are the nodes it is called on; the
    /// outermost model has none.
    fn model(
        &mut self,
        class: &str,
        config: &Value,
        inputs: Option<&[usize]>,
        path: &str,
        built: Option<&Value>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        if depth > MAX_DEPTH {
            return Err(Error::argument(format!("models are nested deeper than {MAX_DEPTH}")));
        }
        match class {
            "Sequential" => self.sequential(config, inputs, path, built, depth),
            _ if is_model(class, config) => self.functional(config, inputs, path, depth),
            _ => Err(Error::Unsupported(format!(
                "a model of class {class:?} cannot be rebuilt from its description, only Sequential and Functional"
            ))),
        }
    }

    fn sequential(
        &mut self,
        config: &Value,
        inputs: Option<&[usize]>,
        path: &str,
        built: Option<&Value>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        // The first versions stored only the list.
        let layers = config["layers"].as_array().or_else(|| config.as_array());
        let layers = layers.ok_or_else(|| Error::argument("a Sequential model without a list of layers"))?;
        let mut last = inputs.map(<[usize]>::to_vec);
        let mut counts = Counts::default();
        for (number, item) in layers.iter().enumerate() {
            let item = Item::new(item)?;
            if item.class == "InputLayer" {
                if last.is_none() {
                    last = Some(vec![self.input(&item)?]);
                }
                continue;
            }
            if last.is_none() && number == 0 {
                last = self.first_input(&item, built)?;
            }
            let Some(inputs) = &last else {
                return Err(Error::layer(
                    item.name,
                    "the shape of the model's input is unknown: build the model first, with model.build(input_shape)",
                ));
            };
            last = Some(self.item(&item, &inputs.clone(), &counts.path(path, item.class), false, depth)?);
        }
        last.ok_or_else(|| Error::argument("a Sequential model without layers"))
    }

    /// The input of a Sequential whose first layer is not an InputLayer: its shape is stored in the layer or in the model.
    fn first_input(&mut self, item: &Item, built: Option<&Value>) -> Result<Option<Vec<usize>>> {
        let mut first = item.config;
        let own = loop {
            let own = ["batch_shape", "batch_input_shape"].into_iter().map(|key| &first[key]).find(|s| !s.is_null());
            // The first layer may be a model, whose own first layer has the shape.
            match (own, first["layers"].get(0)) {
                (None, Some(inner)) => first = &inner["config"],
                _ => break own,
            }
        };
        let Some(value) = own.or(built) else { return Ok(None) };
        let shape = self.input_shape(value).map_err(|problem| Error::layer(item.name, problem))?;
        Ok(Some(vec![self.builder.add(Input::new(shape), &[])?]))
    }

    fn functional(&mut self, config: &Value, inputs: Option<&[usize]>, path: &str, depth: usize) -> Result<Vec<usize>> {
        let layers = config["layers"].as_array();
        let layers = layers.ok_or_else(|| Error::argument("a Functional model without a list of layers"))?;
        let names = references(&config["input_layers"])?;
        if inputs.is_some_and(|inputs| inputs.len() != names.len()) {
            return Err(Error::argument("a model is called on another number of inputs than it has"));
        }
        let items: Vec<Item> = layers.iter().map(Item::new).collect::<Result<_>>()?;
        let calls = calls(&items)?;
        let mut counts = Counts::default();
        let paths: Vec<String> = items.iter().map(|item| counts.path(path, item.class)).collect();
        let mut outputs = Outputs::new();
        for call in order(&items, &calls)? {
            let call = &calls[call];
            let item = &items[call.layer];
            let made = if item.class == "InputLayer" {
                match (inputs, names.iter().position(|source| source.layer == item.name)) {
                    (Some(inputs), Some(position)) => vec![inputs[position]],
                    (Some(_), None) => return Err(Error::layer(item.name, "is an input that the model does not list")),
                    (None, _) => vec![self.input(item)?],
                }
            } else {
                let nodes = call.sources.iter().map(|source| find(&outputs, source)).collect::<Result<Vec<_>, _>>();
                let nodes = nodes.map_err(|problem| Error::layer(item.name, problem))?;
                self.item(item, &nodes, &paths[call.layer], call.frozen, depth)?
            };
            outputs.insert((item.name, call.number), made);
        }
        let wanted = references(&config["output_layers"])?;
        wanted.iter().map(|wanted| find(&outputs, wanted).map_err(Error::argument)).collect()
    }

    /// Adds a layer, or the layers of a nested model.
    fn item(&mut self, item: &Item, inputs: &[usize], path: &str, frozen: bool, depth: usize) -> Result<Vec<usize>> {
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            let what = "layers of a model".into();
            return Err(Error::Limit { what, got: self.layers as u64, limit: MAX_LAYERS as u64 });
        }
        if is_model(item.class, item.config) {
            let before = self.paths.len();
            let built = Some(&item.whole["build_config"]["input_shape"]).filter(|shape| !shape.is_null());
            let inner = format!("{path}/layers");
            let outputs = self.model(item.class, item.config, Some(inputs), &inner, built, depth + 1)?;
            if frozen {
                let inside: Vec<usize> = self.paths[before..].iter().map(|(node, _)| *node).collect();
                inside.into_iter().for_each(|node| self.freeze_statistics(node));
            }
            return Ok(outputs);
        }
        let options = item.options().ok_or_else(|| Error::layer(item.name, "has no configuration"))?;
        let options = options.as_ref();
        let mut notes = Vec::new();
        let (layer, inputs) = match self.layer_of(item, options, inputs, &mut notes)? {
            ConvertedItem::Layer(layer, inputs) => (layer, inputs),
            ConvertedItem::Nodes(nodes) => return Ok(nodes),
        };
        let inputs = &inputs;
        if let Some(&called) = self.calls.get(path).and_then(|calls| calls.first()) {
            return Ok(vec![self.call_again(item.name, path, called, inputs)?]);
        }
        let name = self.free_name(item.name);
        let node = self.builder.add_named(name.clone(), layer, inputs)?;
        if self.builder.has_weights(node) {
            self.calls.insert(path.to_owned(), vec![node]);
        }
        self.notes.extend(notes.into_iter().map(|note| format!("{name}: {note}")));
        // Keras's Normalization has statistics that training does not change.
        if options.get("trainable") == Some(&Value::Bool(false)) || item.class == "Normalization" {
            self.frozen.push(name);
        }
        self.paths.push((node, path.to_owned()));
        if frozen {
            self.freeze_statistics(node);
        }
        Ok(vec![node])
    }

    /// Converts an item of the list: to a layer and its inputs, or to the outputs of layers that were added.
    fn layer_of(
        &mut self,
        item: &Item,
        options: &Map<String, Value>,
        inputs: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<ConvertedItem> {
        let first = inputs.first().map(|&input| self.builder.shape(input).clone());
        let first = first.ok_or_else(|| Error::layer(item.name, "is not connected to any layer"))?;
        let (class, options) = match item.operation().map(|operation| operation.computes) {
            Some(Computation::Layers(mut layers)) => {
                let last = layers.pop().ok_or_else(|| Error::layer(item.name, "computes nothing"))?;
                let mut inputs = inputs.to_vec();
                for layer in layers {
                    inputs = vec![self.part(item.name, layer, &inputs)?];
                }
                return Ok(ConvertedItem::Layer(last, inputs));
            }
            Some(Computation::Class(class, options)) => (class, Cow::Owned(options)),
            None => (item.class, Cow::Borrowed(options)),
        };
        if class == "Split" {
            return self.split(item.name, &options, inputs).map(ConvertedItem::Nodes);
        }
        if let Some(node) = self.composed(item.name, class, &options, inputs)? {
            return Ok(ConvertedItem::Nodes(vec![node]));
        }
        let layer = layer(class, &options, &first, self.keras_2, notes);
        Ok(ConvertedItem::Layer(layer.map_err(|problem| Error::layer(item.name, problem))?, inputs.to_vec()))
    }

    /// Splits an input along an axis: adds a slice for each part.
    fn split(&mut self, name: &str, options: &Map<String, Value>, inputs: &[usize]) -> Result<Vec<usize>> {
        let shape = self.builder.shape(inputs[0]).clone();
        let mut notes = Vec::new();
        let mut config = KerasConfig::new(options, &shape, &mut notes);
        let parts = parts(&mut config, &shape).map_err(|problem| Error::layer(name, problem))?;
        let slice = |(axis, [start, stop]): (usize, [usize; 2])| {
            let part = AxisSlice::Range { start: Some(start as i64), stop: Some(stop as i64), step: 1 };
            let name = self.free_name(name);
            self.builder.add_named(name, Slice::of_axis(axis, part), inputs)
        };
        parts.into_iter().map(slice).collect()
    }

    /// Adds another call of a layer with weights.
    fn call_again(&mut self, name: &str, path: &str, called: usize, inputs: &[usize]) -> Result<usize> {
        let number = 1 + self.calls.get(path).map_or(0, Vec::len);
        let name = self.free_name(&format!("{name}_call_{number}"));
        let node = self.builder.add_shared(name, called, inputs)?;
        self.calls.entry(path.to_owned()).or_default().push(node);
        Ok(node)
    }

    /// A batch normalization called with `training=False` always uses its moving statistics, like a frozen one.
    fn freeze_statistics(&mut self, node: usize) {
        let node = self.builder.node(node);
        let name = node.name();
        if node.layer().class_name() == "BatchNormalization" {
            self.notes.push(format!("{name}: called with training=False, taken as frozen"));
            self.frozen.push(name.to_owned());
        }
    }

    fn input(&mut self, item: &Item) -> Result<usize> {
        let shape = ["batch_shape", "batch_input_shape"].into_iter().map(|key| &item.config[key]);
        let shape = shape.into_iter().find(|shape| !shape.is_null()).unwrap_or(&Value::Null);
        for option in ["sparse", "ragged", "optional"] {
            if item.config[option] == true {
                return Err(Error::layer(item.name, format!("an input that is {option} is not supported")));
            }
        }
        let shape = self.input_shape(shape).map_err(|problem| Error::layer(item.name, problem))?;
        let name = self.free_name(item.name);
        self.builder.add_named(name, Input::new(shape), &[])
    }

    /// The shape of an input, without the batch.
    fn input_shape(&mut self, value: &Value) -> Result<Shape, String> {
        let sizes = value.as_array().filter(|sizes| sizes.len() > 1);
        let sizes = &sizes.ok_or_else(|| format!("the shape of the input is {}", short(value)))?[1..];
        let fixed = |index: usize| match &sizes[index] {
            // Height and width of an image may be open.
            Value::Null if sizes.len() == 3 && index < 2 => Some(self.size[index]),
            size => usize::try_from(size.as_u64()?).ok(),
        };
        let shape: Option<Vec<usize>> = (0..sizes.len()).map(fixed).collect();
        let shape = shape.ok_or_else(|| format!("an input of shape {} is not supported", short(value)))?;
        self.any_size |= sizes.iter().any(Value::is_null);
        Ok(Shape::from(&shape[..]))
    }

    /// This name, or a similar one if it is already taken by a layer of another model.
    pub(super) fn free_name(&self, name: &str) -> String {
        let numbered = (1..).map(|n| format!("{name}_{n}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !self.builder.has_name(name)).unwrap_or_else(|| name.to_owned())
    }
}

/// The axis and the range of each part of an operation `Split`.
fn parts(config: &mut KerasConfig, shape: &Shape) -> Result<Vec<(usize, [usize; 2])>, String> {
    let axes = config.axes("axis")?.unwrap_or_default();
    let &[axis] = axes.as_slice() else { return Err("has no axis that is split".into()) };
    let size = shape.sizes()[axis];
    let value = config.required("indices_or_sections")?;
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let cuts: Option<Vec<usize>> = match (value.as_array(), number(value)) {
        (Some(values), _) => values.iter().map(number).collect(),
        (_, Some(parts)) if parts > 0 && size.is_multiple_of(parts) => {
            Some((1..parts).map(|part| part * (size / parts)).collect())
        }
        _ => None,
    };
    let bad = || format!("splits an axis of {size} in {}", short(value));
    let cuts = cuts.filter(|cuts| cuts.len() < size).ok_or_else(bad)?;
    let bounds: Vec<usize> = std::iter::once(0).chain(cuts).chain([size]).collect();
    let parts: Vec<_> = bounds.windows(2).map(|bounds| (axis, [bounds[0], bounds[1]])).collect();
    if parts.iter().any(|(_, [start, stop])| start >= stop) { Err(bad()) } else { Ok(parts) }
}

/// A layer in a list of layers.
struct Item<'a> {
    whole: &'a Value,
    class: &'a str,
    name: &'a str,
    config: &'a Value,
}

/// An output of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference<'a> {
    layer: &'a str,
    /// The index of the call: a shared layer has several.
    call: usize,
    output: usize,
}

/// A call of a layer.
struct Call<'a> {
    /// The index of the layer in the list.
    layer: usize,
    /// The index among the layer's calls.
    number: usize,
    sources: Vec<Reference<'a>>,
    /// Whether it is called with `training=False`.
    frozen: bool,
}

/// The nodes for the outputs of a layer's call.
type Outputs<'a> = HashMap<(&'a str, usize), Vec<usize>>;

impl<'a> Item<'a> {
    fn new(whole: &'a Value) -> Result<Self> {
        let config = &whole["config"];
        let name = config["name"].as_str().or_else(|| whole["name"].as_str()).unwrap_or_default();
        let class = whole["class_name"].as_str();
        let class = class.ok_or_else(|| Error::layer(name, "has no class_name"))?;
        if name.is_empty() {
            return Err(Error::argument(format!("a layer of class {class:?} has no name")));
        }
        Ok(Self { whole, class, name, config })
    }

    /// Its options. Some options of Keras 3's operations are arguments of their call.
    fn options(&self) -> Option<Cow<'a, Map<String, Value>>> {
        let options = self.config.as_object()?;
        let call = self.calls().first().unwrap_or(&Value::Null);
        let (name, given) = match self.class {
            "GetItem" => ("key", &call["args"][1]),
            "Pad" => ("constant_values", &call["kwargs"]["constant_values"]),
            _ => return Some(Cow::Borrowed(options)),
        };
        let mut options = options.clone();
        options.insert(name.into(), given.clone());
        Some(Cow::Owned(options))
    }

    /// The calls as stored in the config.
    fn calls(&self) -> &'a [Value] {
        self.whole["inbound_nodes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// A bare operation, such as `x / 255.0`, with its operands.
    fn operation(&self) -> Option<Operation<'a>> {
        let [call] = self.calls() else { return None };
        Operation::new(self.whole, call)
    }

    /// The outputs that a call uses as inputs, and whether it has `training=False`.
    fn sources(&self, call: &'a Value) -> Result<(Vec<Reference<'a>>, bool)> {
        let bad = |problem: String| Error::layer(self.name, problem);
        if let Some(operation) = self.operation() {
            return Ok((operation.sources, false));
        }
        let mut sources = Vec::new();
        let mut options = Vec::new();
        match (call.as_array(), call.as_object()) {
            (Some(old), _) => {
                // [[name, call, output, options], ...], or a single one of these.
                let alone = old.first().is_some_and(Value::is_string);
                for source in if alone { std::slice::from_ref(call) } else { old.as_slice() } {
                    sources.push(reference(source).ok_or_else(|| bad(format!("has a connection {}", short(source))))?);
                    options.extend(source.get(3).and_then(Value::as_object));
                }
            }
            (_, Some(new)) => {
                let arguments = new.get("args").unwrap_or(&Value::Null);
                let arguments = if self.class == "GetItem" { &arguments[0] } else { arguments };
                tensors(arguments, &mut sources).map_err(bad)?;
                options.extend(new.get("kwargs").and_then(Value::as_object));
            }
            _ => return Err(bad(format!("has a connection {}", short(call)))),
        }
        let frozen = options.iter().any(|options| options.get("training") == Some(&Value::Bool(false)));
        for (name, value) in options.into_iter().flat_map(Map::iter) {
            // Augmentation layers are called with training=True by default. Keras 3 overrides this for any layer in
            // predict() and evaluate(); Keras 2, whose calls are lists, does not.
            let trained = *value == true && (call.is_object() || augments(self.class) || self.class == "RandomCrop");
            let read = self.class == "Pad" && name == "constant_values";
            let harmless = read || value.is_null() || (name == "training" && (*value == false || trained));
            if !harmless {
                return Err(bad(format!("is called with {name}={}, which is not supported", short(value))));
            }
        }
        Ok((sources, frozen))
    }
}

/// All calls of all layers, in list order. An input is called once.
fn calls<'a>(items: &[Item<'a>]) -> Result<Vec<Call<'a>>> {
    let mut calls = Vec::new();
    let mut names = HashSet::new();
    for (layer, item) in items.iter().enumerate() {
        if !names.insert(item.name) {
            return Err(Error::layer(item.name, "there is another layer of this name in the same model"));
        }
        if item.class == "InputLayer" {
            calls.push(Call { layer, number: 0, sources: Vec::new(), frozen: false });
            continue;
        }
        if item.calls().is_empty() {
            return Err(Error::layer(item.name, "is not connected to any layer"));
        }
        for (number, call) in item.calls().iter().enumerate() {
            let (sources, frozen) = item.sources(call)?;
            calls.push(Call { layer, number, sources, frozen });
        }
    }
    Ok(calls)
}

/// A topological order of the calls: later calls of a shared layer use outputs of layers listed after it.
fn order(items: &[Item], calls: &[Call]) -> Result<Vec<usize>> {
    let places: HashMap<(&str, usize), usize> =
        calls.iter().enumerate().map(|(place, call)| ((items[call.layer].name, call.number), place)).collect();
    let mut dependencies = Vec::with_capacity(calls.len());
    for call in calls {
        let mut takes = Vec::with_capacity(call.sources.len());
        for source in &call.sources {
            let place = places.get(&(source.layer, source.call)).copied();
            takes.push(place.ok_or_else(|| Error::layer(items[call.layer].name, unknown(source)))?);
        }
        dependencies.push(takes);
    }
    topological_order(&dependencies).map_err(|cycle| {
        let name = cycle.first().map_or("", |&call| items[calls[call].layer].name);
        Error::layer(name, "takes its own output, by way of the layers after it: the layers form a cycle")
    })
}

fn unknown(source: &Reference) -> String {
    match source.call {
        0 => format!("refers to {:?}, which is not a layer of the model", source.layer),
        call => format!("refers to call {call} of layer {:?}, which does not exist", source.layer),
    }
}

/// Collects the tensors among the arguments of a call.
fn tensors<'a>(value: &'a Value, found: &mut Vec<Reference<'a>>) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::Array(values) => values.iter().try_for_each(|value| tensors(value, found)),
        value if value["class_name"] == "__keras_tensor__" => {
            let history = &value["config"]["keras_history"];
            found.push(reference(history).ok_or_else(|| format!("has a connection {}", short(history)))?);
            Ok(())
        }
        value => match constant_array(value) {
            Some(array) => Err(format!(
                "is called with a constant of the shape {:?}; a number, or one for each channel, is supported",
                sizes_of_lists(array)
            )),
            None => Err(format!("is called with {}, only tensors are supported", short(value))),
        },
    }
}

/// Parses `[name, call, output]`.
pub(super) fn reference(value: &Value) -> Option<Reference<'_>> {
    let layer = value.get(0)?.as_str()?;
    let number = |place: usize| usize::try_from(value.get(place)?.as_u64()?).ok();
    Some(Reference { layer, call: number(1)?, output: number(2)? })
}

/// Parses one reference, a list of them, or an object with references as values.
fn references(value: &Value) -> Result<Vec<Reference<'_>>> {
    if let Some(one) = reference(value) {
        return Ok(vec![one]);
    }
    let values: Vec<&Value> = match value {
        Value::Array(values) => values.iter().collect(),
        Value::Object(values) => values.values().collect(),
        _ => Vec::new(),
    };
    let found: Option<Vec<_>> = values.into_iter().map(reference).collect();
    found.ok_or_else(|| Error::argument(format!("the list of inputs or outputs is {}", short(value))))
}

fn find(outputs: &Outputs, source: &Reference) -> Result<usize, String> {
    let &Reference { layer, call, output } = source;
    let nodes = outputs.get(&(layer, call)).ok_or_else(|| unknown(source))?;
    nodes.get(output).copied().ok_or_else(|| format!("refers to output {output} of {layer:?}, which does not exist"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(sources: &[(&str, usize)]) -> Value {
        let tensor = |&(name, call): &(&str, usize)| json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [name, call, 0] } });
        json!({ "args": sources.iter().map(tensor).collect::<Vec<_>>(), "kwargs": {} })
    }

    fn layer(class: &str, name: &str, mut config: Value, calls: &[Value]) -> Value {
        config["name"] = name.into();
        json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": calls })
    }

    fn described(layers: &[Value], output: (&str, usize)) -> Result<DescribedModel> {
        let input = layer("InputLayer", "in", json!({ "batch_shape": [null, 6, 6, 2] }), &[]);
        let layers: Vec<Value> = std::iter::once(input).chain(layers.iter().cloned()).collect();
        let config = json!({
            "name": "shared", "layers": layers, "input_layers": ["in", 0, 0], "output_layers": [output.0, output.1, 0],
        });
        describe(&json!({ "class_name": "Functional", "config": config }), 1000, [6, 6])
    }

    fn conv() -> Value {
        json!({ "filters": 2, "kernel_size": [3, 3] })
    }

    #[test]
    fn a_shared_layer_without_weights_is_a_layer_for_each_call() {
        // In Keras's order: the second call of the ReLU uses a layer that is listed after it.
        let layers = [
            layer("Conv2D", "one", conv(), &[call(&[("in", 0)])]),
            layer("ReLU", "relu", json!({}), &[call(&[("one", 0)]), call(&[("two", 0)])]),
            layer("Conv2D", "two", conv(), &[call(&[("relu", 0)])]),
            layer("Flatten", "flat", json!({}), &[call(&[("relu", 1)])]),
        ];
        let found = described(&layers, ("flat", 0)).unwrap();
        let names: Vec<&str> = found.network.nodes().iter().map(|node| node.name()).collect();
        assert_eq!(names, ["in", "one", "relu", "two", "relu_1", "flat"]);
        assert_eq!(found.network.nodes()[5].inputs(), [4]);
        let path_of = |node: usize| found.paths.iter().find(|(index, _)| *index == node).unwrap().1.as_str();
        assert_eq!([path_of(1), path_of(3)], ["layers/conv2d", "layers/conv2d_1"]);
        let early = described(&layers, ("relu", 0)).unwrap();
        assert_eq!(early.network.output().unwrap().name(), "relu");
    }

    #[test]
    fn arithmetic_with_constants_is_a_rescaling() {
        let with = |class: &str, constant: Value| {
            let mut call = call(&[("in", 0)]);
            call["args"].as_array_mut().unwrap().push(constant);
            described(&[layer(class, "end", json!({}), &[call])], ("end", 0))
        };
        for (class, constant, scale, offset) in [
            ("TrueDivide", json!(2.0), 0.5, 0.0),
            ("Multiply", json!(3), 3.0, 0.0),
            ("Subtract", json!(1.5), 1.0, -1.5),
            ("Add", json!([2.0, 2.0]), 1.0, 2.0),
        ] {
            let found = with(class, constant).unwrap();
            let Layer::Rescaling(rescaling) = found.network.output().unwrap().layer() else { panic!("{class}") };
            assert!(rescaling.scale.iter().all(|&value| value == scale), "{class}: {rescaling:?}");
            assert!(rescaling.offset.iter().all(|&value| value == offset), "{class}: {rescaling:?}");
        }
        assert!(with("GetItem", json!(["..."])).is_err());
        // As Keras's preprocess_input subtracts a mean color.
        let tensor =
            |value: Value| json!({ "class_name": "__tensor__", "config": { "value": value, "dtype": "float32" } });
        let found = with("Add", tensor(json!([[[[-1.0, 2.0]]]]))).unwrap();
        let Layer::Rescaling(rescaling) = found.network.output().unwrap().layer() else { panic!() };
        assert_eq!(rescaling.offset, [-1.0, 2.0]);
        let message = with("Add", tensor(json!([[[[1.0, 2.0]], [[1.0, 2.0]]]]))).unwrap_err().to_string();
        assert!(
            message.contains("constant of the shape [1, 2, 1, 2]") && message.contains("each channel"),
            "{message}"
        );
    }

    /// The output of an operation's network for an input of 6x6 pixels and 2 channels with the values 1, 2, 3, ...
    fn computed(class: &str, config: Value, args: Value) -> Result<(Vec<usize>, Vec<f32>)> {
        let mut operation = layer(class, "end", config, &[json!({ "args": args, "kwargs": {} })]);
        operation["module"] = "keras.src.ops.numpy".into();
        let network = described(&[operation], ("end", 0))?.network;
        let mut plan = crate::nn::Plan::builder(&network).build()?;
        plan.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = i as f32 + 1.0);
        plan.forward(&network)?;
        Ok((network.output()?.shape().sizes().to_vec(), plan.output(0).to_vec()))
    }

    #[test]
    fn operations_that_take_several_layers() {
        let tensor = || json!({ "class_name": "__keras_tensor__", "config": { "keras_history": ["in", 0, 0] } });
        let one = |class: &str, config: Value| computed(class, config, json!([tensor()])).unwrap();
        let (shape, values) = one("Mean", json!({ "axis": -1, "keepdims": true }));
        assert_eq!((shape, &values[..3]), (vec![6, 6, 1], &[1.5, 3.5, 5.5][..]));
        let (shape, values) = one("Max", json!({ "axis": [3], "keepdims": false }));
        assert_eq!((shape, &values[..3]), (vec![6, 6], &[2.0, 4.0, 6.0][..]));
        let (shape, values) = one("Min", json!({ "axis": 1, "keepdims": true }));
        assert_eq!((shape, &values[..3]), (vec![1, 6, 2], &[1.0, 2.0, 3.0][..]));
        let (shape, values) = one("Sum", json!({ "axis": [1, 2, 3] }));
        assert_eq!(shape, [1]);
        assert!((values[0] - 2628.0).abs() < 0.01, "{values:?}");
        let (shape, values) = one("Std", json!({ "axis": -1, "keepdims": true }));
        assert_eq!((shape, values[7]), (vec![6, 6, 1], 0.5));
        let (_, values) = one("Absolute", json!({}));
        assert_eq!(values[..2], [1.0, 2.0]);
        let (_, values) = computed("TrueDivide", json!({}), json!([6.0, tensor()])).unwrap();
        assert_eq!(values[..3], [6.0, 3.0, 2.0]);
        let (_, values) = one("Log", json!({}));
        assert!((values[1] - 2.0_f32.ln()).abs() < 1e-6);
        let (shape, values) = computed("Stack", json!({ "axis": -1 }), json!([[tensor(), tensor()]])).unwrap();
        assert_eq!((shape, &values[..4]), (vec![6, 6, 2, 2], &[1.0, 1.0, 2.0, 2.0][..]));
        let message = computed("Mean", json!({ "axis": null }), json!([tensor()])).unwrap_err().to_string();
        assert!(message.contains("Mean over all axes, the batch among them"), "{message}");
    }

    #[test]
    fn the_cosine_of_two_vectors() {
        let flat = |name: &str| layer("Flatten", name, json!({}), &[call(&[("in", 0)])]);
        let both = json!({ "args": [call(&[("a", 0), ("b", 0)])["args"]], "kwargs": {} });
        let dot = layer("Dot", "end", json!({ "axes": 1, "normalize": true }), &[both]);
        let network = described(&[flat("a"), flat("b"), dot], ("end", 0)).unwrap().network;
        let mut plan = crate::nn::Plan::builder(&network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = i as f32 - 30.0);
        plan.forward(&network).unwrap();
        assert!((plan.output(0)[0] - 1.0).abs() < 1e-6, "{:?}", plan.output(0));
    }

    #[test]
    fn a_subclass_of_a_functional_model_has_its_layers_in_the_file() {
        let input = layer("InputLayer", "in", json!({ "batch_shape": [null, 6, 6, 2] }), &[]);
        let relu = layer("ReLU", "end", json!({}), &[call(&[("in", 0)])]);
        let config = json!({
            "name": "own", "layers": [input, relu], "input_layers": ["in", 0, 0], "output_layers": ["end", 0, 0],
        });
        assert!(describe(&json!({ "class_name": "MyModel", "config": config }), 1000, [6, 6]).is_ok());
        let message =
            describe(&json!({ "class_name": "MyModel", "config": {} }), 1000, [6, 6]).unwrap_err().to_string();
        assert!(message.contains("MyModel"), "{message}");
    }

    #[test]
    fn operations_are_given_options_when_they_are_called() {
        let called = |class: &str, config: Value, given: Option<Value>, kwargs: Value| {
            let mut call = call(&[("in", 0)]);
            call["args"].as_array_mut().unwrap().extend(given);
            call["kwargs"] = kwargs;
            let found = described(&[layer(class, "end", config, &[call])], ("end", 0));
            found.map(|found| found.network.output().unwrap().shape().sizes().to_vec())
        };
        let slice = |start: Value, stop: Value, step: Value| json!({ "class_name": "__slice__", "config": { "start": start, "stop": stop, "step": step } });
        let all = || slice(Value::Null, Value::Null, Value::Null);
        let item = |key: Value| called("GetItem", json!({}), Some(key), json!({}));
        assert_eq!(item(json!([all(), slice(1.into(), (-1).into(), 2.into())])).unwrap(), [2, 6, 2]);
        assert_eq!(item(json!([{ "class_name": "__ellipsis__", "config": {} }, 0])).unwrap(), [6, 6]);
        assert!(item(json!([slice(1.into(), Value::Null, Value::Null)])).unwrap_err().to_string().contains("batch"));
        let pad = |kwargs: Value| {
            let config = json!({ "pad_width": [[0, 0], [1, 2], [0, 1], [0, 0]], "mode": "constant" });
            called("Pad", config, None, kwargs)
        };
        assert_eq!(pad(json!({ "constant_values": 0.5 })).unwrap(), [9, 7, 2]);
        assert_eq!(pad(json!({ "constant_values": null })).unwrap(), [9, 7, 2]);
        let config = json!({ "pad_width": [[0, 0], [0, 0], [0, 0], [1, 0]], "mode": "edge" });
        assert!(called("Pad", config, None, json!({})).unwrap_err().to_string().contains("height and width"));
    }

    #[test]
    fn a_split_has_several_outputs() {
        let split = |sections: Value, output: usize| {
            let mut second = call(&[("parts", 0)]);
            second["args"][0]["config"]["keras_history"][2] = output.into();
            let config = json!({ "indices_or_sections": sections, "axis": 2 });
            let layers =
                [layer("Split", "parts", config, &[call(&[("in", 0)])]), layer("ReLU", "end", json!({}), &[second])];
            described(&layers, ("end", 0)).map(|found| {
                let network = found.network;
                let input = network.output().unwrap().inputs()[0];
                (network.nodes()[input].name().to_owned(), network.output().unwrap().shape().sizes().to_vec())
            })
        };
        assert_eq!(split(json!(3), 1).unwrap(), ("parts_1".into(), vec![6, 2, 2]));
        assert_eq!(split(json!([1, 4]), 2).unwrap(), ("parts_2".into(), vec![6, 2, 2]));
        assert!(split(json!(3), 3).unwrap_err().to_string().contains("output 3"));
        assert!(split(json!(4), 0).unwrap_err().to_string().contains("an axis of 6 in 4"));
        assert!(split(json!([4, 4]), 0).is_err() && split(json!(0), 0).is_err());
    }

    /// Keras stores `training=True` for augmentation layers. Its own `predict` overrides it only in version 3.
    #[test]
    fn called_as_in_training() {
        let trained =
            |class: &str, call: Value| described(&[layer(class, "end", json!({ "rate": 0.5 }), &[call])], ("end", 0));
        let mut keras3 = call(&[("in", 0)]);
        keras3["kwargs"]["training"] = true.into();
        let keras2 = json!([["in", 0, 0, { "training": true }]]);
        for (class, call) in [("RandomFlip", &keras3), ("RandomFlip", &keras2), ("Dropout", &keras3)] {
            assert!(trained(class, call.clone()).is_ok(), "{class} {call}");
        }
        let message = trained("Dropout", keras2).unwrap_err().to_string();
        assert!(message.contains("is called with training=true"), "{message}");
    }

    #[test]
    fn a_shared_layer_has_its_weights_once() {
        let twice = [call(&[("in", 0)]), call(&[("conv", 0)])];
        let same = json!({ "filters": 2, "kernel_size": [3, 3], "padding": "same" });
        let layers = [
            layer("Conv2D", "conv", same.clone(), &twice),
            layer("Conv2D", "other", same.clone(), &[call(&[("conv", 1)])]),
        ];
        let found = described(&layers, ("other", 0)).unwrap();
        let names: Vec<&str> = found.network.nodes().iter().map(|node| node.name()).collect();
        assert_eq!(names, ["in", "conv", "conv_call_2", "other"]);
        let weights: Vec<&str> = found.network.weights().iter().map(|weight| weight.name()).collect();
        assert_eq!(weights, ["conv/kernel", "conv/bias", "other/kernel", "other/bias"]);
        assert_eq!(found.paths.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [1, 3]);
        // The same holds for a model that is called twice.
        let inner = json!({ "name": "block", "layers": [layer("Conv2D", "deep", same, &[])] });
        let twice = [call(&[("in", 0)]), call(&[("block", 0)])];
        let found = described(&[layer("Sequential", "block", inner, &twice)], ("block", 1)).unwrap();
        assert_eq!((found.network.nodes().len(), found.network.weights().len()), (3, 2));
        assert_eq!(found.network.output().unwrap().weights_of(), Some("deep"));
    }

    #[test]
    fn unfit_shared_layers_and_cycles_are_refused() {
        let refused = |layers: &[Value], parts: &[&str]| {
            let message = described(layers, ("end", 0)).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        };
        let end = |from: (&str, usize)| layer("ReLU", "end", json!({}), &[call(&[from])]);
        let wide = json!({ "filters": 3, "kernel_size": [1, 1] });
        let twice = [call(&[("in", 0)]), call(&[("conv", 0)])];
        refused(&[layer("Conv2D", "conv", wide, &twice), end(("conv", 1))], &["conv_call_2", "weights of conv"]);
        let cycle = layer("ReLU", "loop", json!({}), &[call(&[("end", 0)])]);
        refused(&[cycle, end(("loop", 0))], &["cycle"]);
        refused(&[end(("none", 0))], &["end", "\"none\", which is not a layer"]);
        refused(&[end(("in", 3))], &["call 3 of layer \"in\""]);
    }
}
