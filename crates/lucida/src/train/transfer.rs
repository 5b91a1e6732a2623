//! Transfer learning: a new classifier on a pretrained network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::TargetKind;
use crate::nn::layers::{
    ActivationKind, BatchNormalization, Dense, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D,
};
use crate::nn::{Inference, Layer, Network, Node, Plan, Shape, applications};
use crate::weights::{Model, Task};
use crate::{Cpu, Error, Result};

use super::{Classifier, Samples, TargetSpec};

/// Networks whose published weights earlier versions could start from.
const BASES_OF_OLD: [&str; 3] = ["vgg16", "vgg19", "inception-v3"];

const KNOWN: &str = "flatten, gap, gmp, dense:UNITS, dropout:RATE, bn, standardize";

/// Lower limit for the variance of a standardized channel, as a share of the mean variance of all channels.
const LEAST_VARIANCE: f64 = 0.01;

/// The layers between a base and the output layer, in text form: `flatten,dense:1024,dropout:0.2`.
///
/// `gap` and `gmp` are global average and global max pooling, `dense` has a ReLU, `bn` is batch normalization, and
/// `standardize` standardizes each channel to mean zero and variance one, with statistics of the training images that are
/// measured once before training.
///
/// ```
/// use lucida::prelude::*;
///
/// let head: Head = "gap,dense:64,dropout:0.3".parse()?;
/// assert_eq!(head.layers(5).len(), 4, "and the output for five classes");
/// assert!("dense".parse::<Head>().is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head(Vec<HeadLayer>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum HeadLayer {
    Flatten,
    Gap,
    Gmp,
    Dense(usize),
    Dropout(f32),
    Bn,
    Standardize,
}

impl Default for Head {
    /// `standardize,flatten,dropout:0.5`: multinomial logistic regression on standardized features. With a few hundred
    /// photos, hidden layers become overconfident (measured in `docs/photos.md`).
    fn default() -> Self {
        Self(vec![HeadLayer::Standardize, HeadLayer::Flatten, HeadLayer::Dropout(0.5)])
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |part: &str| Error::argument(format!("unknown head layer {part:?}; expected one of {KNOWN}"));
        let part = |part: &str| match part.split_once(':').unwrap_or((part, "")) {
            ("flatten", "") => Ok(HeadLayer::Flatten),
            ("gap", "") => Ok(HeadLayer::Gap),
            ("gmp", "") => Ok(HeadLayer::Gmp),
            ("bn", "") => Ok(HeadLayer::Bn),
            ("standardize", "") => Ok(HeadLayer::Standardize),
            ("dense", units) => {
                let units = units.parse().ok().filter(|units| (1..=65_536).contains(units));
                units
                    .map(HeadLayer::Dense)
                    .ok_or_else(|| Error::argument("head: dense takes 1 to 65536 units, as in dense:256"))
            }
            ("dropout", part) => {
                let part = part.parse().ok().filter(|part| (0.0..1.0).contains(part));
                part.map(HeadLayer::Dropout)
                    .ok_or_else(|| Error::argument("head: dropout takes a part below 1, as in dropout:0.5"))
            }
            _ => Err(bad(part)),
        };
        text.split(',').map(|text| part(text.trim())).collect::<Result<Vec<_>>>().map(Self)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &HeadLayer| match part {
            HeadLayer::Flatten => "flatten".to_owned(),
            HeadLayer::Gap => "gap".to_owned(),
            HeadLayer::Gmp => "gmp".to_owned(),
            HeadLayer::Dense(units) => format!("dense:{units}"),
            HeadLayer::Dropout(part) => format!("dropout:{part}"),
            HeadLayer::Bn => "bn".to_owned(),
            HeadLayer::Standardize => "standardize".to_owned(),
        };
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join(","))
    }
}

impl Head {
    /// The default head for a base with this output shape.
    pub fn default_for(base: &Shape) -> Self {
        let head = Self::default();
        if base.as_flat().is_none() {
            return head;
        }
        // Nothing to flatten or pool.
        let spatial = |part: &HeadLayer| matches!(part, HeadLayer::Flatten | HeadLayer::Gap | HeadLayer::Gmp);
        Self(head.0.into_iter().filter(|part| !spatial(part)).collect())
    }

    /// The layers including the output for `classes` classes: one sigmoid for two, a softmax for more.
    pub fn layers(&self, classes: usize) -> Vec<Layer> {
        self.hidden().into_iter().chain([output_layer(classes).into()]).collect()
    }

    /// The layers without the output.
    fn hidden(&self) -> Vec<Layer> {
        let layer = |part: &HeadLayer| -> Layer {
            match *part {
                HeadLayer::Flatten => Flatten::new().into(),
                HeadLayer::Gap => GlobalAveragePooling2D::new().into(),
                HeadLayer::Gmp => GlobalMaxPooling2D::new().into(),
                HeadLayer::Dense(units) => Dense::new(units).activation(ActivationKind::Relu).into(),
                HeadLayer::Dropout(rate) => Dropout::new(rate).into(),
                HeadLayer::Bn => BatchNormalization::default().into(),
                HeadLayer::Standardize => STANDARDIZATION.into(),
            }
        };
        self.0.iter().map(layer).collect()
    }
}

/// One sigmoid for two classes, a softmax for more.
pub(super) fn output_layer(classes: usize) -> Dense {
    match classes {
        0..=2 => Dense::new(1).activation(ActivationKind::Sigmoid),
        classes => Dense::new(classes).activation(ActivationKind::Softmax),
    }
}

/// A batch normalization that is not trained: it uses fixed statistics, like Keras's `Normalization`. The moving averages of
/// a regular one take hundreds of steps to move away from their initial values, more than a few hundred photos provide:
/// until then, validation evaluates a different network from the trained one.
const STANDARDIZATION: BatchNormalization =
    BatchNormalization { momentum: 0.99, epsilon: 1e-3, center: false, scale: false };

/// Transfer learning: how to turn a pretrained base into a classifier for other classes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transfer {
    /// Last layer of the base; its output layer if none.
    pub cut: Option<String>,
    /// Layers after the base.
    pub head: Head,
    /// First trainable layer of the base; if none, the whole base is frozen.
    pub unfreeze: Option<String>,
}

/// A classifier to train: a base with a new head, or a previously trained model.
///
/// ```
/// use lucida::prelude::*;
///
/// // A network for ten digits becomes one for even and odd digits; its convolutions stay as they are.
/// let base = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let transfer = Transfer { cut: Some("flatten".into()), head: "dense:16".parse()?, unfreeze: None };
/// let new = transfer.apply(base, &["even".into(), "odd".into()], 42)?;
/// assert_eq!(new.end_of_base(), "flatten");
/// assert_eq!(new.model.network.output()?.shape().sizes(), [1]); // one sigmoid for two classes
/// assert_eq!(new.model.network.parameters().1, 576 * 16 + 16 + 16 + 1);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TransferModel {
    /// The complete network.
    pub model: Model,
    /// First trainable layer of the base; if none, the whole base is frozen.
    pub unfrozen: Option<String>,
    /// Whether the head is new: its standardization layers still need to be measured.
    pub fresh: bool,
    /// Index of the first layer of the head.
    pub head: usize,
    /// Index of the last frozen layer that all data passes through: its output can be cached.
    pub cut_point: usize,
}

impl Transfer {
    /// Adds a new head to a base, with random weights from `seed`. The output layer is initialized to zero: all classes are
    /// equally probable, and the initial loss is the logarithm of their number.
    ///
    /// # Errors
    /// [`Error::Argument`] when a layer does not exist, or the layer to unfreeze from comes after the cut; [`Error::Layer`]
    /// when the head does not fit.
    pub fn apply(&self, base: Model, class_names: &[String], seed: u64) -> Result<TransferModel> {
        self.apply_to(base, &TargetSpec::classes(class_names), seed)
    }

    /// As [`apply`](Self::apply), for any targets.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_to(&self, base: Model, targets: &TargetSpec, seed: u64) -> Result<TransferModel> {
        let network = match &self.cut {
            Some(layer) => base.network.cut(layer)?,
            None => base.network,
        };
        let (mut network, head) = network.with_head(self.head.hidden().into_iter().chain(targets.layers()))?;
        let output = network.output()?;
        if output.shape().as_flat().is_none() {
            let problem = format!(
                "the head ends in {}, not in one value for each class: begin it with flatten or gap",
                output.shape()
            );
            return Err(Error::layer(output.name(), problem));
        }
        network.initialize(head, seed);
        let first_output = network.nodes().len() - targets.layers().len();
        let output = network.nodes()[first_output].weights();
        network.weights_mut()[output].iter_mut().for_each(|weight| weight.values_mut().fill(0.0));
        // The task of the base, such as features, does not apply to the new head.
        let model = Model { network, class_names: targets.names.clone(), task: targets.task(), ..base };
        Ok(TransferModel { fresh: true, ..TransferModel::new(model, head, self.unfreeze.as_deref())? })
    }
}

/// Prepares a trained classifier for further training, on the same classes or others. The output weights are matched by
/// class name; those of new classes start at zero. Frozen layers stay frozen, unless `unfreeze` names a layer.
///
/// # Errors
/// [`Error::Unsupported`] when the model is not a classifier that ends in a dense layer; [`Error::Argument`] when its
/// classes have no names, when the layer to unfreeze from does not exist, or when no layers were frozen.
pub fn continue_training(model: Model, class_names: &[String], unfreeze: Option<&str>) -> Result<TransferModel> {
    let named = model.class_names.len() == Classifier::of(&model.network)?.classes();
    if !named {
        return Err(Error::argument(format!("the classes of network {} have no names", model.network.name())));
    }
    let network = match model.class_names == class_names {
        true => model.network,
        false => with_classes(model.network, &model.class_names, class_names)?,
    };
    continued(Model { network, class_names: class_names.to_vec(), ..model }, unfreeze)
}

/// Prepares a model whose outputs match for further training.
fn continued(model: Model, unfreeze: Option<&str>) -> Result<TransferModel> {
    let head = end_of_frozen(&model)?;
    if head == 0 && unfreeze.is_some() {
        return Err(Error::argument(format!("network {} has no frozen layers to unfreeze", model.network.name())));
    }
    let before = model.training["base"]["unfrozen"].as_str().map(str::to_owned);
    TransferModel::new(model, head, unfreeze.or(before.as_deref()))
}

/// As [`continue_training`], for any targets. Labels and values must match those of the model, in the same order.
///
/// # Errors
/// As [`continue_training`]; [`Error::Argument`] when the model has other targets.
pub fn continue_training_on(model: Model, targets: &TargetSpec, unfreeze: Option<&str>) -> Result<TransferModel> {
    let kind = match model.task {
        Some(Task::Multilabel) => TargetKind::Labels,
        Some(Task::Regress) => TargetKind::Values,
        _ => TargetKind::Classes,
    };
    if kind != targets.kind {
        let noun = |kind| match kind {
            TargetKind::Classes => "classes",
            TargetKind::Labels => "labels",
            TargetKind::Values => "values",
        };
        let (own, others) = (noun(kind), noun(targets.kind));
        return Err(Error::argument(format!("network {} has {own}, the data has {others}", model.network.name())));
    }
    if kind == TargetKind::Classes {
        return continue_training(model, &targets.names, unfreeze);
    }
    if model.class_names != targets.names {
        let (own, others) = (model.class_names.join(", "), targets.names.join(", "));
        return Err(Error::argument(format!("network {} predicts {own}, the data has {others}", model.network.name())));
    }
    continued(model, unfreeze)
}

/// Index of the first layer after the frozen base of a trained model; 0 if all layers were trained.
///
/// # Errors
/// [`Error::Argument`] when its training record names a layer that does not exist.
pub fn end_of_frozen(model: &Model) -> Result<usize> {
    let network = &model.network;
    if let Some(end) = model.training["base"]["end"].as_str() {
        return Ok(network.find(end)? + 1);
    }
    // Models of earlier versions do not record it: those that started from published weights had all of them frozen.
    let published = applications::find(network.name()).is_ok_and(|known| BASES_OF_OLD.contains(&known.name));
    let flattens = |node: &Node| {
        matches!(node.layer(), Layer::Flatten(_) | Layer::GlobalAveragePooling2D(_) | Layer::GlobalMaxPooling2D(_))
    };
    let head = published.then(|| network.nodes().iter().position(flattens)).flatten();
    Ok(head.unwrap_or(0))
}

/// Index of the last frozen layer that all data passes through; none if the first layers were trained.
pub(super) fn frozen_cut_point(model: &Model) -> Result<Option<usize>> {
    let head = end_of_frozen(model)?;
    let first = match model.training["base"]["unfrozen"].as_str() {
        Some(layer) => model.network.find(layer)?.min(head),
        None => head,
    };
    let cut_point = if first == 0 { 0 } else { model.network.cut_point(first)? };
    Ok((cut_point > 0).then_some(cut_point))
}

/// Adapts the output layer to other classes.
fn with_classes(network: Network, before: &[String], now: &[String]) -> Result<Network> {
    let output = network.output()?;
    let Layer::Dense(dense) = output.layer() else {
        return Err(Error::Unsupported(format!(
            "the last layer of network {}, {}, is not a dense layer: its classes cannot be changed",
            network.name(),
            output.name()
        )));
    };
    let layer = Dense { use_bias: dense.use_bias, ..output_layer(now.len()) };
    let weights = output.weights();
    let columns: Vec<Vec<Vec<f32>>> = network.weights()[weights.clone()]
        .iter()
        .map(|weight| change_columns(&columns_of(weight.values(), before.len()), before, now))
        .collect();
    let name = output.name().to_owned();
    let mut network = network.with_output_layer(layer.into())?;
    let weights = network.nodes()[network.find(&name)?].weights();
    for (weight, columns) in network.weights_mut()[weights].iter_mut().zip(columns) {
        let units = columns.len();
        for (at, value) in weight.values_mut().iter_mut().enumerate() {
            *value = columns[at % units][at / units];
        }
    }
    Ok(network)
}

/// Output weights of each class: one sigmoid is a softmax whose first class has zero weights.
fn columns_of(values: &[f32], classes: usize) -> Vec<Vec<f32>> {
    let units = if classes == 2 { 1 } else { classes };
    let column = |unit: usize| values.iter().skip(unit).step_by(units).copied().collect::<Vec<f32>>();
    match classes {
        2 => vec![vec![0.0; values.len()], column(0)],
        _ => (0..units).map(column).collect(),
    }
}

/// Output weights for other classes, matched by name; one column per output.
fn change_columns(columns: &[Vec<f32>], before: &[String], now: &[String]) -> Vec<Vec<f32>> {
    let zeros = vec![0.0; columns[0].len()];
    let column = |name: &String| before.iter().position(|known| known == name).map_or(&zeros, |at| &columns[at]);
    match now {
        [first, second] => {
            vec![column(second).iter().zip(column(first)).map(|(second, first)| second - first).collect()]
        }
        _ => now.iter().map(|name| column(name).clone()).collect(),
    }
}

/// Last layer that computes features: for a classifier, the one before the output layer; for other networks, the output.
///
/// # Errors
/// [`Error::Unsupported`] when the network has several outputs, or no layer before its classes.
pub fn end_of_features(network: &Network) -> Result<&str> {
    let mut node = network.output()?;
    // Skip the rescaling of predicted values.
    while let (Layer::Rescaling(_), Some(&before), Some(_)) =
        (node.layer(), node.inputs().first(), node.shape().as_flat())
    {
        node = &network.nodes()[before];
    }
    let tells_classes = |node: &Node| {
        node.shape().as_flat().is_some()
            && match node.layer() {
                Layer::Dense(_) => true,
                _ => matches!(node.activation(), ActivationKind::Softmax | ActivationKind::Sigmoid),
            }
    };
    while tells_classes(node) {
        let done = matches!(node.layer(), Layer::Dense(_));
        let Some(&before) = node.inputs().first() else { break };
        node = &network.nodes()[before];
        if done {
            while let (Layer::Dropout(_), Some(&before)) = (node.layer(), node.inputs().first()) {
                node = &network.nodes()[before];
            }
            break;
        }
    }
    Ok(node.name())
}

impl TransferModel {
    /// Freezes the layers before `head`, except those from `unfreeze` on.
    fn new(mut model: Model, head: usize, unfreeze: Option<&str>) -> Result<Self> {
        let network = &mut model.network;
        let first = unfreeze.map_or(Ok(head), |layer| network.find(layer))?;
        if first >= head && unfreeze.is_some() {
            return Err(Error::argument("the layer to unfreeze from is one of the head, which learns anyway"));
        }
        network.freeze_below(first, head);
        let cut_point = if head == 0 { 0 } else { network.cut_point(first)? };
        Ok(Self { model, unfrozen: unfreeze.map(str::to_owned), fresh: false, head, cut_point })
    }

    /// A network with all layers trainable.
    pub fn from_scratch(model: Model) -> Self {
        Self { model, unfrozen: None, fresh: false, head: 0, cut_point: 0 }
    }

    /// Information about the base for the training record, which [`continue_training`] reads; none if there is no base.
    pub fn record(&self) -> Option<Value> {
        (self.head > 0).then(|| json!({ "end": self.end_of_base(), "unfrozen": self.unfrozen }))
    }

    /// Whether [`standardize`](Self::standardize) must be called before training.
    pub fn standardizes(&self) -> bool {
        self.fresh && self.standardizations().next().is_some()
    }

    fn standardizations(&self) -> impl Iterator<Item = usize> + '_ {
        let is_standardization =
            |node: &usize| *self.model.network.nodes()[*node].layer() == Layer::from(STANDARDIZATION);
        (self.head..self.model.network.nodes().len()).filter(is_standardization)
    }

    /// Measures mean and variance of each channel over all samples, for the standardization layers of the head. The samples
    /// are inputs of the network after the [cut point](Self::cut_point): the cached features of the training images.
    ///
    /// # Errors
    /// Those of reading the samples; [`Error::Argument`] when their shape does not match.
    pub fn standardize(&mut self, samples: &dyn Samples, cpu: Cpu) -> Result<()> {
        for node in self.standardizations().collect::<Vec<_>>() {
            let (mean, variance) = self.moments_before(node, samples, cpu)?;
            let range = self.model.network.nodes()[node].weights();
            for (weight, values) in self.model.network.weights_mut()[range].iter_mut().zip([mean, variance]) {
                weight.values_mut().copy_from_slice(&values);
            }
        }
        Ok(())
    }

    /// Mean and variance of each channel of a layer's input.
    fn moments_before(&self, node: usize, samples: &dyn Samples, cpu: Cpu) -> Result<(Vec<f32>, Vec<f32>)> {
        let tail = self.model.network.tail(self.cut_point)?;
        let source = tail.nodes()[node - self.cut_point].inputs()[0];
        let before = &tail.nodes()[source];
        let order: Vec<usize> = (0..samples.len()).collect();
        let most = order.len().clamp(1, 32);
        let plan = Plan::builder(&tail).cpu(cpu).batch_size(most).output(before.name());
        let mut inference = if source == 0 { None } else { Some(Inference::new(plan)?) };
        let batch = inference.as_ref().map_or(most, Inference::batch_size);
        let channels = before.shape().channels();
        let (mut sums, mut squares, mut count) = (vec![0.0_f64; channels], vec![0.0_f64; channels], 0.0);
        samples.each(None, &order, batch, &mut |batch| {
            let values = match &mut inference {
                Some(inference) => {
                    inference.forward(batch.indices.len(), batch.images)?;
                    inference.output(0)
                }
                None => batch.images,
            };
            for pixel in values.chunks_exact(channels) {
                count += 1.0;
                for (channel, &value) in pixel.iter().enumerate() {
                    sums[channel] += f64::from(value);
                    squares[channel] += f64::from(value) * f64::from(value);
                }
            }
            Ok(true)
        })?;
        let mean: Vec<f64> = sums.iter().map(|sum| sum / f64::max(count, 1.0)).collect();
        let variance =
            squares.iter().zip(&mean).map(|(square, mean)| (square / f64::max(count, 1.0) - mean * mean).max(0.0));
        let variance: Vec<f64> = variance.collect();
        // A channel that is nearly constant on the training images would be amplified without limit on others.
        let least = LEAST_VARIANCE * variance.iter().sum::<f64>() / channels as f64;
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok((narrow(mean), narrow(variance.into_iter().map(|value| value.max(least)).collect())))
    }

    /// Name of the last layer of the base.
    pub fn end_of_base(&self) -> &str {
        self.model.network.nodes()[self.head - 1].name()
    }

    /// Layer whose outputs can be cached, unless that is the input.
    pub fn cacheable_layer(&self) -> Option<&str> {
        (self.cut_point > 0).then(|| self.model.network.nodes()[self.cut_point].name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn heads_are_read_and_written() {
        let text = "gap,bn,dense:64,dropout:0.25";
        assert_eq!(text.parse::<Head>().unwrap().to_string(), text);
        assert_eq!(Head::default().to_string(), "standardize,flatten,dropout:0.5");
        assert_eq!(Head::default_for(&Shape::from([7])).to_string(), "standardize,dropout:0.5");
        for wrong in ["", "dense", "dense:0", "dense:x", "dropout:1", "conv:3", "flatten:2", "gap,,gap"] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_notebooks_head_has_its_parameters() {
        let known = applications::find("inception-v3").unwrap();
        let base = Model::of_architecture(known, &applications::Options::without_top().size(150, 150)).unwrap();
        let head = "flatten,dense:1024,dropout:0.2".parse().unwrap();
        let transfer = Transfer { cut: Some("mixed7".to_owned()), head, unfreeze: None };
        let names = ["cats", "dogs"].map(String::from);
        let done = transfer.apply(base.clone(), &names, 1).unwrap();
        // Keras: 8,975,264 parameters in the base up to mixed7, and 38,537,217 trainable ones.
        assert_eq!(done.model.network.parameters(), (47_512_481, 38_537_217));
        assert_eq!((done.end_of_base(), done.cacheable_layer()), ("mixed7", Some("mixed7")));
        done.model.check().unwrap();

        let unfrozen = |layer: &str| Transfer { unfreeze: Some(layer.to_owned()), ..transfer.clone() };
        let done = unfrozen("mixed7").apply(base.clone(), &names, 1).unwrap();
        assert_eq!(done.model.network.parameters().1, 38_537_217);
        let first = done.model.network.nodes()[done.model.network.find("mixed6").unwrap() + 1].name().to_owned();
        let done = unfrozen(&first).apply(base.clone(), &names, 1).unwrap();
        assert_eq!(done.cacheable_layer(), Some("mixed6"));
        assert!(unfrozen("dense").apply(base.clone(), &names, 1).is_err());
        assert!(unfrozen("mixed9").apply(base, &names, 1).is_err());
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Two values per sample, as input of a network.
    struct Pairs(Vec<[f32; 2]>, Vec<String>);

    impl Samples for Pairs {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn class_names(&self) -> &[String] {
            &self.1
        }

        fn label(&self, _: usize) -> usize {
            0
        }

        fn each(
            &self,
            _: Option<u32>,
            order: &[usize],
            batch_size: usize,
            each: &mut dyn FnMut(crate::data::Batch<'_>) -> Result<bool>,
        ) -> Result<bool> {
            for indices in order.chunks(batch_size) {
                let images: Vec<f32> = indices.iter().flat_map(|&index| self.0[index]).collect();
                let (labels, mixed) = (vec![0; indices.len()], vec![None; indices.len()]);
                if !each(crate::data::Batch { indices, images: &images, labels: &labels, targets: &[], mixed: &mixed })?
                {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }

    #[test]
    fn standardization_is_measured_over_all_samples_and_the_head_starts_undecided() {
        let base = Network::sequential("base", [2], [Dense::new(2).into()], 3).unwrap();
        let transfer = Transfer { head: Head::default_for(&Shape::from([2])), ..Transfer::default() };
        let mut done = transfer.apply(Model::new(base), &names(&["a", "b", "c"]), 1).unwrap();
        assert!(done.standardizes());
        let samples = Pairs((0..100).map(|i| [i as f32, 500.0]).collect(), names(&["a", "b", "c"]));
        done.standardize(&samples, Cpu::detect()).unwrap();
        let values = |name: &str| done.model.network.weight(&format!("batch_normalization/{name}")).unwrap().values();
        assert_eq!(values("moving_mean"), [49.5, 500.0]);
        let variance = values("moving_variance");
        // 0, 1, ... 99; and a constant channel, whose variance has a lower limit.
        assert!((variance[0] - 833.25).abs() < 1e-2 && variance[1] > 1.0, "{variance:?}");
        let mut plan = Plan::builder(&done.model.network).build().unwrap();
        plan.input_mut().copy_from_slice(&[3e3, -1e4]);
        plan.forward(&done.model.network).unwrap();
        assert!(plan.output(0).iter().all(|value| (value - 1.0 / 3.0).abs() < 1e-6), "{:?}", plan.output(0));
        assert_eq!(done.model.network.parameters().1, 3 * 3);
    }

    #[test]
    fn classes_keep_their_weights_by_name() {
        let network = |classes: usize| {
            let dense = output_layer(classes);
            let mut network = Network::sequential("n", [2], [Dense::new(3).into(), dense.into()], 7).unwrap();
            network.weights_mut()[3].values_mut().iter_mut().enumerate().for_each(|(at, value)| *value = at as f32);
            network
        };
        let probabilities = |network: &Network| {
            let mut plan = Plan::builder(network).build().unwrap();
            plan.input_mut().copy_from_slice(&[0.3, -0.8]);
            plan.forward(network).unwrap();
            let output = plan.output(0).to_vec();
            if output.len() == 1 { vec![1.0 - output[0], output[0]] } else { output }
        };
        let model = |classes: &[&str]| Model { class_names: names(classes), ..Model::new(network(classes.len())) };
        let continued = |classes: &[&str], now: &[&str]| {
            continue_training(model(classes), &names(now), None).unwrap().model.network
        };
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5 * b.abs().max(1e-3);
        for before in [&["a", "b"][..], &["a", "b", "c", "d"]] {
            let old = probabilities(&network(before.len()));
            assert_eq!(probabilities(&continued(before, before)), old);
            // Adding a class changes the probabilities of the others, but not their odds.
            let new = probabilities(&continued(before, &["0", "a", "b"]));
            assert!(near(new[2] / new[1], old[1] / old[0]), "{old:?} {new:?}");
            let two = probabilities(&continued(before, &["a", "b"]));
            assert!(near(two[1] / two[0], old[1] / old[0]), "{old:?} {two:?}");
        }
        let unnamed = Model::new(network(3));
        assert!(
            continue_training(unnamed, &names(&["a", "b"]), None).unwrap_err().to_string().contains("have no names")
        );
        let frozen = continue_training(model(&["a", "b"]), &names(&["a", "b"]), Some("dense")).unwrap_err().to_string();
        assert!(frozen.contains("has no frozen layers"), "{frozen}");
    }

    #[test]
    fn features_end_before_the_classes() {
        let dense = |units| -> Layer { Dense::new(units).into() };
        let network = |layers: Vec<Layer>| Network::sequential("n", [4, 4, 3], layers, 1).unwrap();
        let classifier = vec![Flatten::new().into(), dense(5), Dropout::new(0.5).into(), output_layer(3).into()];
        assert_eq!(end_of_features(&network(classifier)).unwrap(), "dense");
        assert_eq!(
            end_of_features(&network(vec![GlobalAveragePooling2D::new().into()])).unwrap(),
            "global_average_pooling2d"
        );
        assert_eq!(end_of_features(&network(vec![Flatten::new().into(), dense(5)])).unwrap(), "flatten");
    }

    #[test]
    fn a_head_that_does_not_fit_is_named() {
        let base = Model::of_architecture(applications::find("vgg16").unwrap(), &applications::Options::without_top())
            .unwrap();
        let transfer = Transfer { head: "dense:4".parse().unwrap(), ..Transfer::default() };
        let message = transfer.apply(base, &["a".to_owned(), "b".to_owned()], 1).unwrap_err().to_string();
        assert!(message.contains("layer dense_1: the head ends in (7, 7, 1)"), "{message}");
    }
}
