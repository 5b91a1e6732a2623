//! Matching the tensors of a file to the weights of a network.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Tensors;
use super::entries::{Entry, entries};
use super::layout::Filling;
use super::naming::{Modules, namings, own, published};
use super::renaming::renamed;
use crate::nn::applications::modules::Library;
use crate::nn::{Layer, Network, counted};
use crate::{Error, Result};

/// Maximum number of wrapper modules that are removed from names: `DataParallel` prefixes all names with `module.`,
/// `torch.compile` with `_orig_mod.`, Lightning and custom classes with `model.`, `net.`, `backbone.`.
const MAX_WRAPPERS: usize = 4;
/// The names given to a separate classifier next to a backbone module.
const HEADS: [&str; 2] = ["fc", "classifier"];
/// The names of a single-layer classifier in the published networks.
const PLACES: [&str; 3] = ["fc", "classifier", "classifier.1"];
/// The names of the last layer of a multi-layer classifier in the published networks.
const LAST: [&str; 3] = ["classifier.2", "classifier.3", "classifier.6"];
/// The prefixes of a classifier's tensors in networks whose layers are named after modules.
const OWN_HEADS: [&str; 3] = ["classifier.", "fc.", "_fc."];
/// The prefixes of the training-only parts of torchvision's InceptionV3 and GoogLeNet.
const AUXILIARY: [&str; 3] = ["AuxLogits.", "aux1.", "aux2."];

/// Weights, each with the index of its tensor.
pub(super) type Places = Vec<(Entry, usize)>;

/// The names of a file's tensors.
pub(super) struct Names {
    /// For each tensor, its name within the network.
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    /// The library whose names were converted to torchvision's.
    library: Library,
}

impl Names {
    /// All interpretations of a file's names: unchanged, and with wrapper modules removed one by one. If the backbone and
    /// the classifier are separate modules (`backbone.conv1.weight`, `head.weight`), they are also combined, with the
    /// classifier named as in each of [`HEADS`].
    pub(super) fn readings(file: &dyn Tensors) -> Vec<Self> {
        let mut names: Vec<&str> = file.infos().iter().map(|tensor| tensor.name.as_str()).collect();
        let mut readings = vec![Self::new(names.iter().map(|name| (*name).to_owned()).collect())];
        for _ in 0..MAX_WRAPPERS {
            readings.extend(Self::with_backbone(&names));
            let Some(inner) = names.first().and_then(|name| name.split_once('.')).and_then(|(wrapper, _)| {
                let parts = names.iter().map(|name| name.strip_prefix(wrapper)?.strip_prefix('.'));
                parts.collect::<Option<Vec<_>>>()
            }) else {
                break;
            };
            readings.push(Self::new(inner.iter().map(|name| (*name).to_owned()).collect()));
            names = inner;
        }
        let replaced: Vec<Self> = readings.iter().flat_map(|reading| reading.with_replaced_head()).collect();
        readings.extend(replaced);
        let renamed: Vec<Self> = readings
            .iter()
            .filter_map(|reading| {
                let (names, library) = renamed(&reading.names)?;
                Some(Self { library, ..Self::new(names) })
            })
            .collect();
        readings.extend(renamed);
        readings
    }

    /// Combines the names of a backbone and of a separate single-layer classifier into those of one network.
    fn with_backbone(names: &[&str]) -> Vec<Self> {
        let first = |name: &str| name.split_once('.').map_or(name.to_owned(), |(first, _)| first.to_owned());
        let outer: BTreeSet<String> = names.iter().map(|name| first(name)).collect();
        let modules = |outer: &str| -> BTreeSet<&str> {
            let of = names.iter().filter(|name| first(name) == outer);
            of.filter_map(|name| Some(name.rsplit_once('.')?.0)).collect()
        };
        let [one, two] = &outer.into_iter().collect::<Vec<_>>()[..] else { return Vec::new() };
        let (backbone, head) = if modules(one).len() > 1 { (one, two) } else { (two, one) };
        let heads = modules(head);
        let (Some(head), 1) = (heads.first(), heads.len()) else { return Vec::new() };
        let rename = |as_head: &str| {
            let part = |name: &&str| match name.strip_prefix(&format!("{backbone}.")[..]) {
                Some(inner) => inner.to_owned(),
                None => name.replacen(head, as_head, 1),
            };
            Self::new(names.iter().map(part).collect())
        };
        HEADS.iter().map(|as_head| rename(as_head)).collect()
    }

    /// Renames a classifier that is at another position in its module than the published one: a single layer within `fc`
    /// (`fc.1`, after a dropout), within or directly as `classifier`, or within the last layer of a multi-layer classifier.
    fn with_replaced_head(&self) -> Vec<Self> {
        let replaced = HEADS.iter().flat_map(|head| {
            let modules: BTreeSet<&str> = self
                .names
                .iter()
                .filter_map(|name| Some(name.rsplit_once('.')?.0))
                .filter(|module| module.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
                .collect();
            if let (Some(&found), 1) = (modules.first(), modules.len()) {
                let places = PLACES.iter().filter(|place| place.split('.').next() == Some(head) && **place != found);
                return places.map(|place| self.with_module(found, place)).collect::<Vec<_>>();
            }
            let within = |place: &&str| {
                let mut inner = modules
                    .iter()
                    .filter(|module| module.strip_prefix(*place).is_some_and(|rest| rest.starts_with('.')));
                inner.next().filter(|_| inner.next().is_none()).map(|found| self.with_module(found, place))
            };
            LAST.iter().filter_map(within).collect()
        });
        replaced.collect()
    }

    /// Renames a module.
    fn with_module(&self, module: &str, renamed: &str) -> Self {
        let rename = |name: &String| match name.rsplit_once('.') {
            Some((of, leaf)) if of == module => format!("{renamed}.{leaf}"),
            _ => name.clone(),
        };
        Self::new(self.names.iter().map(rename).collect())
    }

    fn new(names: Vec<String>) -> Self {
        let by_name = names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        Self { names, by_name, library: Library::Torchvision }
    }

    /// The tensors that may be weights: floats that are not training-only.
    pub(super) fn weights<'a>(&'a self, file: &'a dyn Tensors) -> impl Iterator<Item = usize> + 'a {
        (0..self.names.len()).filter(|&index| {
            file.is_float(index) && !AUXILIARY.iter().any(|auxiliary| self.names[index].starts_with(auxiliary))
        })
    }

    /// The name of a tensor.
    pub(super) fn name(&self, tensor: usize) -> &str {
        &self.names[tensor]
    }

    /// The library whose naming the file uses.
    pub(super) fn library(&self) -> Library {
        self.library
    }

    /// The tensor with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// Reads the tensors of a file into a network: by the layers' names in torchvision or timm, by the network's own layer
/// names, or in file order.
///
/// Returns the names of ignored tensors: those of the classifier, if the network has none.
///
/// # Errors
/// [`Error::File`] when they do not match; the network is then unchanged.
pub(in crate::weights) fn fill(file: &mut dyn Tensors, network: &mut Network) -> Result<Vec<String>> {
    let readings = Names::readings(file);
    let (names, places) = places(file, &readings, network)
        .map_err(|problem| Error::file(file.path(), format!("does not fit network {}: {problem}", network.name())))?;
    read(file, &places, network)?;
    let used: HashSet<usize> = places.iter().map(|(_, tensor)| *tensor).collect();
    let left = names.weights(file).filter(|tensor| !used.contains(tensor));
    Ok(left.map(|tensor| file.infos()[tensor].name.clone()).collect())
}

/// Reads tensors into weights.
pub(super) fn read(file: &mut dyn Tensors, places: &[(Entry, usize)], network: &mut Network) -> Result<()> {
    for (entry, tensor) in places {
        let mut filling = Filling::new(entry.layout, network.weights_mut()[entry.weight].values_mut());
        file.read(*tensor, &mut |values| filling.take(values))?;
    }
    Ok(())
}

/// For each weight its tensor, and the interpretation of the names that led to it.
fn places<'n>(file: &dyn Tensors, readings: &'n [Names], network: &Network) -> Result<(&'n Names, Places), String> {
    let mut best: Option<(usize, &Names, Vec<Entry>)> = None;
    for modules in namings(network) {
        let entries = entries(network, &modules)?;
        for names in readings {
            let known = entries.iter().filter(|entry| names.find(&entry.name).is_some()).count();
            if best.as_ref().is_none_or(|(most, ..)| known > *most) {
                best = Some((known, names, entries.clone()));
            }
        }
    }
    let (known, names, by_name) = best.ok_or("it has no names")?;
    if known < by_name.len() && known == 0 && file.in_order() {
        return Ok((names, in_order(file, names, network)?));
    }
    let heads = missing_head(network);
    Ok((names, match_names(file, names, by_name, network, &heads)?))
}

/// The prefixes of the head's tensors, if the network has none. The file of a whole network may be read into one without
/// its head.
fn missing_head(network: &Network) -> Vec<&'static str> {
    if network.find("predictions").is_ok() || network.find("conv10").is_ok() {
        return Vec::new();
    }
    let known = published(network);
    if known.is_empty() && network.output().is_ok_and(|output| output.shape().as_flat().is_none()) {
        return OWN_HEADS.to_vec();
    }
    known.iter().flat_map(|(heads, _)| heads.iter().copied()).collect()
}

/// Finds the tensor of each entry, and checks that nothing is left over, except names with a prefix in `spare`.
pub(super) fn match_names(
    file: &dyn Tensors,
    names: &Names,
    entries: Vec<Entry>,
    network: &Network,
    spare: &[&str],
) -> Result<Places, String> {
    let mut places = Vec::with_capacity(entries.len());
    let mut used = HashSet::new();
    for entry in entries {
        let weight = network.weights()[entry.weight].name();
        let tensor = names.find(&entry.name);
        let tensor = tensor.ok_or_else(|| format!("tensor {:?} ({weight}) is missing", entry.name))?;
        check(file, &entry, tensor, network)?;
        used.insert(tensor);
        places.push((entry, tensor));
    }
    let left = names.weights(file).filter(|index| !used.contains(index));
    let extra = left.filter(|&index| !spare.iter().any(|spare| names.names[index].starts_with(spare)));
    let extra: Vec<&String> = extra.map(|index| &file.infos()[index].name).collect();
    match &extra[..] {
        [] => Ok(places),
        [extra] => Err(format!("tensor {extra:?} belongs to none of its layers")),
        [first, ..] => Err(format!("{} belong to none of its layers, first {first:?}", counted(extra.len(), "tensor"))),
    }
}

/// Checks the type and the shape of a tensor.
fn check(file: &dyn Tensors, entry: &Entry, tensor: usize, network: &Network) -> Result<(), String> {
    let info = &file.infos()[tensor];
    if !entry.shapes.contains(&info.shape) {
        let weight = network.weights()[entry.weight].name();
        return Err(format!("tensor {:?} ({weight}) has shape {:?}, not {:?}", info.name, info.shape, entry.shapes[0]));
    }
    if !file.is_float(tensor) {
        return Err(format!("tensor {:?} is of type {}, not of floating-point numbers", info.name, info.dtype));
    }
    Ok(())
}

/// Matches the tensors to a chain of layers by order: the modules of the file are its layers, one by one.
fn in_order(file: &dyn Tensors, names: &Names, network: &Network) -> Result<Places, String> {
    let first = own(network).first().map(|(node, _)| network.nodes()[*node].name().to_owned()).unwrap_or_default();
    if !network.nodes().iter().enumerate().skip(1).all(|(index, node)| node.inputs() == [index - 1]) {
        return Err(format!(
            "none of its tensors has the name of a layer (as \"{first}.weight\"), and the layers are not a plain chain \
             that could be filled in the order of the file"
        ));
    }
    let mut modules: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for (index, name) in names.names.iter().enumerate().filter(|(index, _)| file.is_float(*index)) {
        let (module, _) = name.rsplit_once('.').ok_or_else(|| {
            format!("tensor {:?} belongs to no module, and none has the name of a layer", file.infos()[index].name)
        })?;
        if seen.insert(module) {
            modules.push(module);
        }
    }
    let layers = own(network);
    if modules.len() != layers.len() {
        return Err(format!(
            "it holds the tensors of {}, the network has {}",
            counted(modules.len(), "module"),
            counted(layers.len(), "layer")
        ));
    }
    let modules: Modules =
        layers.iter().zip(&modules).map(|((node, _), module)| (*node, (*module).to_owned())).collect();
    for (node, module) in &modules {
        // Only a normalization has a mean: check the kind of layer before comparing shapes.
        let normalizes = matches!(network.nodes()[*node].layer(), Layer::BatchNormalization(_));
        if normalizes != names.find(&format!("{module}.running_mean")).is_some() {
            let layer = &network.nodes()[*node];
            return Err(format!(
                "module {module:?} stands where the network has layer {} ({}), and is of another kind",
                layer.name(),
                layer.layer().class_name()
            ));
        }
    }
    match_names(file, names, entries(network, &modules)?, network, &[])
}
