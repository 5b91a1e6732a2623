//! A network: a graph of named layers and their weights.

mod assembly;
mod average;
mod batch_statistics;
mod cut;
mod head;
mod resize;
mod sequential;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lucida_kernels::Buffer;
use serde::{Deserialize, Serialize};

use super::layers::{ActivationKind, Input};
use super::{Layer, Shape, Weight};
use crate::similar::nearest_name;
use crate::{Error, Result};

pub use sequential::Sequential;

/// Maximum number of layers of a network that are all listed in the error for an unknown layer name.
const LISTED: usize = 20;

/// Maximum number of weights of a network: 2^31 are 8 GiB. A file that declares more is considered damaged.
const MAX_PARAMETERS: usize = 1 << 31;

/// A layer within a network.
#[derive(Debug, Clone)]
pub struct Node {
    name: String,
    layer: Layer,
    inputs: Vec<usize>,
    shape: Shape,
    weights: Range<usize>,
    /// The layer that its weights are named after, if that is a different one.
    weights_of: Option<String>,
    /// Whether an earlier layer has the same weights.
    shared: bool,
}

impl Node {
    /// The layer's name, unique in the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The indices of the nodes whose outputs are its inputs.
    pub fn inputs(&self) -> &[usize] {
        &self.inputs
    }

    /// The shape of its output.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The indices of its weights in [`Network::weights`].
    pub fn weights(&self) -> Range<usize> {
        self.weights.clone()
    }

    /// The indices of its weights that no earlier layer has: empty for a repeated call of a shared layer.
    pub fn own_weights(&self) -> Range<usize> {
        if self.shared { self.weights.start..self.weights.start } else { self.weights() }
    }

    /// The layer whose weights it shares, for a repeated call of a shared layer.
    pub fn weights_of(&self) -> Option<&str> {
        self.weights_of.as_deref()
    }
}

/// Layers, their connections, and their weights.
///
/// Nodes are in topological order: each comes after its inputs.
///
/// ```
/// use lucida::nn::layers::Input;
/// use lucida::prelude::*;
///
/// // A residual block: the input takes a shortcut around the convolution.
/// let mut builder = Network::builder("residual");
/// let image = builder.add(Input::new([28, 28, 8]), &[])?;
/// let conv = Conv2D::new(8, [3, 3]).padding(Padding::Same).activation(ActivationKind::Relu);
/// let branch = builder.add_named("branch", conv, &[image])?;
/// let sum = builder.add(Add::new(), &[branch, image])?;
/// let pooled = builder.add(GlobalAveragePooling2D::new(), &[sum])?;
/// let network = builder.build(&[pooled], 42)?;
/// assert_eq!(network.output()?.shape().sizes(), [8]);
/// assert_eq!(network.parameters().0, 3 * 3 * 8 * 8 + 8);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Network {
    name: String,
    nodes: Vec<Node>,
    weights: Vec<Weight>,
    outputs: Vec<usize>,
}

/// The architecture of a network in the format that `serde` reads and writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    name: String,
    layers: Vec<NamedLayer>,
    outputs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NamedLayer {
    name: String,
    #[serde(flatten)]
    layer: Layer,
    inputs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights_of: Option<String>,
}

impl Network {
    /// Starts a network layer by layer.
    pub fn builder(name: impl Into<String>) -> NetworkBuilder {
        NetworkBuilder { name: name.into(), nodes: Vec::new(), names: HashSet::new() }
    }

    /// Builds a network in which each layer takes the output of the previous one, with weights initialized from `seed`.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let layers = [Flatten::new().into(), Dense::new(10).into()];
    /// let network = Network::sequential("linear", [28, 28, 1], layers, 42)?;
    /// assert_eq!(network.nodes().len(), 3, "the input is a layer, too");
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Layer`] names the first layer that does not accept its input.
    pub fn sequential(
        name: impl Into<String>,
        input: impl Into<Shape>,
        layers: impl IntoIterator<Item = Layer>,
        seed: u64,
    ) -> Result<Self> {
        let mut builder = Self::builder(name);
        let mut last = builder.add(Input::new(input), &[])?;
        for layer in layers {
            last = builder.add(layer, &[last])?;
        }
        builder.build(&[last], seed)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layers in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The indices of the output nodes.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// The indices of the input layers.
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&index| matches!(self.nodes[index].layer, Layer::Input(_)))
    }

    /// The shape of the single input.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there are several inputs.
    pub fn input_shape(&self) -> Result<&Shape> {
        let mut inputs = self.inputs();
        match (inputs.next(), inputs.next()) {
            (Some(input), None) => Ok(&self.nodes[input].shape),
            _ => Err(Error::Unsupported(format!(
                "network {} has {} inputs; networks with one are supported here",
                self.name,
                self.inputs().count()
            ))),
        }
    }

    /// The single output node, with its shape and activation.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there are several outputs.
    pub fn output(&self) -> Result<&Node> {
        match self.outputs.as_slice() {
            &[output] => Ok(&self.nodes[output]),
            outputs => {
                let names: Vec<&str> = outputs.iter().map(|&output| self.nodes[output].name()).collect();
                Err(Error::Unsupported(format!(
                    "network {} has {} outputs ({}), not one: save a model that ends in one of them (Keras: \
                     keras.Model(model.inputs, model.outputs[0]); ONNX: onnx.utils.extract_model)",
                    self.name,
                    outputs.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// The index of the layer with this name.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = applications::mnist_cnn(42)?;
    /// let dense = network.find("dense")?;
    /// assert_eq!(network.nodes()[dense].layer().class_name(), "Dense");
    /// let error = network.find("dens").unwrap_err().to_string();
    /// assert!(error.contains("did you mean \"dense\"?"));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] suggests the most similar name, and lists all layers of a small network.
    pub fn find(&self, name: &str) -> Result<usize> {
        if let Some(index) = self.nodes.iter().position(|node| node.name == name) {
            return Ok(index);
        }
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        let nearest = nearest_name(name, names.iter().copied());
        let hint = nearest.map_or_else(|| ";".to_owned(), |near| format!("; did you mean {near:?}?"));
        let its = if nearest.is_some() { "Its" } else { "its" };
        let layers = match names.len() {
            0 => String::new(),
            1..=LISTED => format!(" {its} layers are {}", names.join(", ")),
            count => format!(" {its} summary lists all {count} layers"),
        };
        Err(Error::argument(format!("network {} has no layer {name:?}{hint}{layers}", self.name)))
    }

    /// The indices of the layers in a comma-separated list of names. Names may contain commas: of the names that match at a
    /// position of the list, the longest is taken.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`find`](Self::find).
    pub fn find_list(&self, list: &str) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        let mut rest = Some(list);
        while let Some(text) = rest {
            let ends: Vec<usize> = text.match_indices(',').map(|(at, _)| at).chain([text.len()]).collect();
            let is_name = |end: &&usize| self.nodes.iter().any(|node| node.name == text[..**end]);
            let end = ends.iter().rev().find(is_name).copied().unwrap_or(ends[0]);
            found.push(self.find(&text[..end])?);
            rest = text.get(end + 1..);
        }
        Ok(found)
    }

    /// All weights, layer by layer.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// All weights, mutable.
    pub fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }

    /// The weight with this name, such as `conv2d/kernel`.
    pub fn weight(&self, name: &str) -> Option<&Weight> {
        self.weights.iter().find(|weight| weight.name() == name)
    }

    /// Number of parameters of a layer; those of a shared layer count for its first call only.
    pub fn parameters_of(&self, node: usize) -> usize {
        self.weights[self.nodes[node].own_weights()].iter().map(|weight| weight.values().len()).sum()
    }

    /// Number of parameters, and how many of them are trainable.
    pub fn parameters(&self) -> (usize, usize) {
        let count = |trainable_only: bool| {
            let counted = self.weights.iter().filter(|weight| weight.trainable() || !trainable_only);
            counted.map(|weight| weight.values().len()).sum()
        };
        (count(false), count(true))
    }

    /// Freezes or unfreezes a layer. Training does not change the weights of a frozen layer; a frozen batch normalization
    /// uses its moving statistics and does not update them.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let mut network = Sequential::new("head", [64]).add(Dense::new(32)).add(Dense::new(10)).build(42)?;
    /// network.set_trainable("dense", false)?;
    /// let (all, trainable) = network.parameters();
    /// assert_eq!((all - trainable, trainable), (64 * 32 + 32, 32 * 10 + 10));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when the layer does not exist.
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        let index = self.find(layer)?;
        let specs = self.specs_of(index);
        for (weight, spec) in self.weights[self.nodes[index].weights.clone()].iter_mut().zip(specs) {
            weight.set_trainable(trainable && spec);
        }
        Ok(())
    }

    /// For each of a layer's weights, whether it is trainable unless frozen.
    fn specs_of(&self, node: usize) -> Vec<bool> {
        let inputs = self.input_shapes(node);
        self.nodes[node].layer.spec().weights(&inputs).iter().map(|spec| spec.trainable).collect()
    }

    fn input_shapes(&self, node: usize) -> Vec<Shape> {
        self.nodes[node].inputs.iter().map(|&input| self.nodes[input].shape.clone()).collect()
    }

    /// The architecture as JSON, without the weights.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let network = Sequential::new("small", [8]).add(Dense::new(2)).build(42)?;
    /// let copy = Network::from_architecture(&network.architecture())?;
    /// assert_eq!(copy.output()?.shape(), network.output()?.shape());
    /// assert!(copy.weights()[0].values().iter().all(|&weight| weight == 0.0));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn architecture(&self) -> serde_json::Value {
        let name_of = |&index: &usize| self.nodes[index].name.clone();
        let layers = self.nodes.iter().map(|node| NamedLayer {
            name: node.name.clone(),
            layer: node.layer.clone(),
            inputs: node.inputs.iter().map(name_of).collect(),
            weights_of: node.weights_of.clone(),
        });
        let architecture = Architecture {
            name: self.name.clone(),
            layers: layers.collect(),
            outputs: self.outputs.iter().map(name_of).collect(),
        };
        crate::files::decimals(serde_json::to_value(architecture).expect("layers consist of numbers and names"))
    }

    /// The names of the layers that have trainable weights, but are frozen.
    pub fn frozen(&self) -> impl Iterator<Item = &str> {
        let frozen = |&node: &usize| {
            let own = &self.weights[self.nodes[node].weights.clone()];
            self.specs_of(node).contains(&true) && own.iter().all(|weight| !weight.trainable())
        };
        (0..self.nodes.len()).filter(frozen).map(|node| self.nodes[node].name.as_str())
    }

    /// Creates a network from a stored architecture; all weights are zero.
    ///
    /// # Errors
    /// [`Error::Argument`] describes an invalid architecture, [`Error::Layer`] names a layer that does not accept its
    /// inputs.
    pub fn from_architecture(value: &serde_json::Value) -> Result<Self> {
        let architecture = Architecture::deserialize(value)
            .map_err(|problem| Error::argument(format!("not the architecture of a network: {problem}")))?;
        let mut builder = Self::builder(architecture.name);
        let mut indices = HashMap::new();
        let known = |indices: &HashMap<String, usize>, name: &String, user: &str| {
            let missing = || Error::argument(format!("{user} refers to {name:?}, which is not a layer before it"));
            indices.get(name).copied().ok_or_else(missing)
        };
        for NamedLayer { name, layer, inputs, weights_of } in architecture.layers {
            let inputs = inputs.iter().map(|input| known(&indices, input, &name)).collect::<Result<Vec<_>>>()?;
            let index = builder.add_node(name.clone(), layer, &inputs, weights_of)?;
            indices.insert(name, index);
        }
        let outputs = architecture.outputs.iter().map(|output| known(&indices, output, "the list of outputs"));
        builder.finish(&outputs.collect::<Result<Vec<_>>>()?)
    }
}

/// Builds a [`Network`] from layers and connections.
#[derive(Debug, Clone)]
#[must_use]
pub struct NetworkBuilder {
    name: String,
    nodes: Vec<Node>,
    names: HashSet<String>,
}

impl NetworkBuilder {
    /// Adds a layer under Keras's default name (`conv2d`, `conv2d_1`, ...) and returns its index, which other layers take
    /// as an input.
    ///
    /// # Errors
    /// [`Error::Layer`] when the layer does not accept the inputs.
    pub fn add(&mut self, layer: impl Into<Layer>, inputs: &[usize]) -> Result<usize> {
        let layer = layer.into();
        let base = layer.default_name();
        let name = match (0..).find(|&n| !self.names.contains(&numbered(base, n))) {
            Some(n) => numbered(base, n),
            None => unreachable!("there are more numbers than layers"),
        };
        self.add_named(name, layer, inputs)
    }

    /// Adds a layer with a given name and returns its index.
    ///
    /// # Errors
    /// [`Error::Layer`] when the layer does not accept the inputs, or the name is taken or empty.
    pub fn add_named(&mut self, name: impl Into<String>, layer: impl Into<Layer>, inputs: &[usize]) -> Result<usize> {
        self.add_node(name.into(), layer.into(), inputs, None)
    }

    /// Calls the previously added layer `called` again, on other inputs: both calls share the same weights, whose gradient
    /// is the sum over all calls.
    ///
    /// ```
    /// use lucida::nn::layers::Input;
    /// use lucida::prelude::*;
    ///
    /// let mut builder = Network::builder("twins");
    /// let inputs = [builder.add(Input::new([8]), &[])?, builder.add(Input::new([8]), &[])?];
    /// let first = builder.add_named("features", Dense::new(4), &inputs[..1])?;
    /// let second = builder.add_shared("features_2", first, &inputs[1..])?;
    /// let sum = builder.add(Add::new(), &[first, second])?;
    /// let network = builder.build(&[sum], 42)?;
    /// assert_eq!(network.parameters().0, 8 * 4 + 4);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Layer`] as [`add_named`](Self::add_named); [`build`](Self::build) rejects inputs for which the layer's
    /// weights would have a different shape.
    ///
    /// # Panics
    /// When `called` is not the index of a layer.
    pub fn add_shared(&mut self, name: impl Into<String>, called: usize, inputs: &[usize]) -> Result<usize> {
        let called = &self.nodes[called];
        let owner = called.weights_of.clone().unwrap_or_else(|| called.name.clone());
        self.add_node(name.into(), called.layer.clone(), inputs, Some(owner))
    }

    /// Adds a layer that replaces a node of another network: it has the same name and shares weights in the same way.
    pub(crate) fn add_copy(&mut self, node: &Node, layer: Layer, inputs: &[usize]) -> Result<usize> {
        self.add_node(node.name.clone(), layer, inputs, node.weights_of.clone())
    }

    fn add_node(&mut self, name: String, layer: Layer, inputs: &[usize], weights_of: Option<String>) -> Result<usize> {
        if name.is_empty() || name.chars().any(|c| c.is_control()) {
            return Err(Error::layer(format!("{name:?}"), "not a name"));
        }
        if let Some(&missing) = inputs.iter().find(|&&input| input >= self.nodes.len()) {
            return Err(Error::layer(
                name,
                format!("takes the output of layer number {missing}, which does not exist"),
            ));
        }
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.nodes[input].shape.clone()).collect();
        let shape = layer.spec().output_shape(&shapes).map_err(|problem| Error::layer(&name, problem))?;
        if shape.checked_len().is_none() {
            return Err(Error::layer(name, format!("an output of shape {shape} is too large")));
        }
        if !self.names.insert(name.clone()) {
            return Err(Error::layer(name, "there is another layer of this name"));
        }
        // The weights are named after that layer, so its name is taken even if the layer is not part of the network.
        self.names.extend(weights_of.clone());
        self.nodes.push(Node { name, layer, inputs: inputs.to_vec(), shape, weights: 0..0, weights_of, shared: false });
        Ok(self.nodes.len() - 1)
    }

    /// The output shape of a previously added layer.
    ///
    /// # Panics
    /// When `node` is not the index of a layer.
    pub fn shape(&self, node: usize) -> &Shape {
        &self.nodes[node].shape
    }

    /// Builds the network, with weights drawn from `seed` by each layer's initializers.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no output or no input; [`Error::Limit`] when there are too many weights.
    pub fn build(self, outputs: &[usize], seed: u64) -> Result<Network> {
        let mut network = self.finish(outputs)?;
        network.initialize(0, seed);
        Ok(network)
    }

    /// Builds the network with zero weights.
    fn finish(mut self, outputs: &[usize]) -> Result<Network> {
        if outputs.is_empty() || outputs.iter().any(|&output| output >= self.nodes.len()) {
            return Err(Error::argument(format!("network {} has no output", self.name)));
        }
        if !self.nodes.iter().any(|node| matches!(node.layer, Layer::Input(_))) {
            return Err(Error::argument(format!("network {} has no input layer", self.name)));
        }
        let mut specs = Vec::new();
        let mut total = 0_usize;
        let mut owners: HashMap<String, Range<usize>> = HashMap::new();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let inputs: Vec<Shape> = node.inputs.iter().map(|&input| self.nodes[input].shape.clone()).collect();
            let owner = node.weights_of.as_ref().unwrap_or(&node.name).clone();
            let first = specs.len();
            let wanted = node.layer.spec().weights(&inputs);
            if let Some(range) = owners.get(&owner) {
                let same = specs[range.clone()].iter().map(|(_, shape, _)| shape).eq(wanted.iter().map(|w| &w.shape));
                if !same {
                    let problem = format!("shares the weights of {owner}, but would have some of other shapes");
                    return Err(Error::layer(&node.name, problem));
                }
                (self.nodes[index].weights, self.nodes[index].shared) = (range.clone(), true);
                continue;
            }
            for spec in wanted {
                let len = spec.shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size));
                total = len.and_then(|len| total.checked_add(len)).unwrap_or(usize::MAX);
                if total > MAX_PARAMETERS {
                    let what = format!("network {}: number of parameters up to layer {}", self.name, node.name);
                    return Err(Error::Limit { what, got: total as u64, limit: MAX_PARAMETERS as u64 });
                }
                specs.push((format!("{owner}/{}", spec.name), spec.shape, spec.trainable));
            }
            self.nodes[index].weights = first..specs.len();
            owners.insert(owner, first..specs.len());
        }
        // Before they are allocated one by one, which cannot fail.
        if Buffer::try_zeroed(total).is_none() {
            return Err(Error::no_memory(&format!("network {}", self.name), 4 * total));
        }
        let weights = specs.into_iter().map(|(name, shape, trainable)| Weight::zeros(name, shape, trainable)).collect();
        Ok(Network { name: self.name, nodes: self.nodes, weights, outputs: outputs.to_vec() })
    }
}

impl Node {
    /// The activation at the end of the layer.
    pub fn activation(&self) -> ActivationKind {
        self.layer.spec().activation()
    }
}

fn numbered(base: &str, n: usize) -> String {
    if n == 0 { base.to_owned() } else { format!("{base}_{n}") }
}

#[cfg(test)]
mod tests;
