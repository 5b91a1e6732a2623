//! Recognizing the known network of a file from torchvision or timm.

use super::assign::{Names, match_names, read};
use super::entries::{Entry, entries};
use super::family::recognize_family;
use super::naming::published;
use super::{AssertedNetwork, Tensors, style_transformer, with_logits};
use crate::Result;
use crate::data::{Filter, Fit, Preprocessing};
use crate::nn::Network;
use crate::nn::applications::modules::FAMILIES;
use crate::nn::applications::{self, Options, PixelFormat};
use crate::weights::{ArrayLayouts, Model, Note};

/// A known network from torchvision, with the properties that identify its files before it is built.
struct KnownFile {
    name: &'static str,
    /// The name of the first tensor.
    first: &'static str,
    /// The number of tensors.
    tensors: usize,
    /// The number of those in the classifier.
    head: usize,
}

const NETWORKS: [KnownFile; 18] = [
    KnownFile { name: "vgg11", first: "features.0.weight", tensors: 22, head: 6 },
    KnownFile { name: "vgg13", first: "features.0.weight", tensors: 26, head: 6 },
    KnownFile { name: "vgg16", first: "features.0.weight", tensors: 32, head: 6 },
    KnownFile { name: "vgg19", first: "features.0.weight", tensors: 38, head: 6 },
    KnownFile { name: "vgg11-bn", first: "features.0.weight", tensors: 54, head: 6 },
    KnownFile { name: "vgg13-bn", first: "features.0.weight", tensors: 66, head: 6 },
    KnownFile { name: "vgg16-bn", first: "features.0.weight", tensors: 84, head: 6 },
    KnownFile { name: "vgg19-bn", first: "features.0.weight", tensors: 102, head: 6 },
    KnownFile { name: "alexnet", first: "features.0.weight", tensors: 16, head: 6 },
    KnownFile { name: "squeezenet1-0", first: "features.0.weight", tensors: 52, head: 2 },
    KnownFile { name: "squeezenet1-1", first: "features.0.weight", tensors: 52, head: 2 },
    KnownFile { name: "resnet18", first: "conv1.weight", tensors: 102, head: 2 },
    KnownFile { name: "resnet34", first: "conv1.weight", tensors: 182, head: 2 },
    KnownFile { name: "resnet50", first: "conv1.weight", tensors: 267, head: 2 },
    KnownFile { name: "resnet101", first: "conv1.weight", tensors: 522, head: 2 },
    KnownFile { name: "resnet152", first: "conv1.weight", tensors: 777, head: 2 },
    KnownFile { name: "densenet121", first: "features.conv0.weight", tensors: 606, head: 2 },
    KnownFile { name: "inception-v3-torch", first: "Conv2d_1a_3x3.conv.weight", tensors: 472, head: 2 },
];

/// The names of networks and families, for messages.
pub(in crate::weights) fn known() -> String {
    let networks = NETWORKS.iter().map(|known| known.name);
    networks
        .chain(FAMILIES.iter().map(|family| family.name))
        .chain([style_transformer::NAME])
        .collect::<Vec<_>>()
        .join(", ")
}

/// timm's networks that have the same tensors but compute differently: their anti-aliasing filters are not stored.
const TWINS: [(&str, &str); 2] = [("resnet18", "resnetblur18"), ("resnet50", "resnetaa50 and resnetblur50")];

/// The known network whose tensors, by names and shapes, a file has: at its default size, with the file's number of
/// classes, its weights and torchvision's preprocessing; otherwise another member of a family. It ends with logits. `None`
/// if there is no match.
///
/// # Errors
/// As [`fill`](super::fill); [`Error::WeightsOnly`](crate::Error::WeightsOnly) when it has a family's names but does not
/// fit.
pub(in crate::weights) fn recognize(file: &mut dyn Tensors) -> Result<Option<Model>> {
    recognize_among(file, None)
}

/// As [`recognize`], for a file that is asserted to be of this network: a family member with other sizes gets its strides
/// and activations.
///
/// # Errors
/// As [`recognize`].
pub(in crate::weights) fn recognize_as(file: &mut dyn Tensors, asserted: AssertedNetwork) -> Result<Option<Model>> {
    recognize_among(file, Some(asserted))
}

fn recognize_among(file: &mut dyn Tensors, asserted: Option<AssertedNetwork>) -> Result<Option<Model>> {
    let readings = Names::readings(file);
    let among = |known: &&KnownFile| asserted.is_none_or(|asserted| asserted.known.name == known.name);
    for names in &readings {
        for network in NETWORKS.iter().filter(|known| names.find(known.first).is_some()).filter(among) {
            if let Some(model) = recognize_in(file, names, network)? {
                let mut model = with_logits(model)?;
                let twin = TWINS.iter().find(|(name, _)| *name == network.name && asserted.is_none());
                model.notes.extend(twin.map(|(name, twins)| {
                    Note::Other(format!(
                        "read as {name}, not as timm's {twins}, whose filters against aliasing have no tensors: export those \
                         to ONNX"
                    ))
                }));
                model.layouts = ArrayLayouts::channels_first(&model.network);
                return Ok(Some(model));
            }
        }
    }
    if asserted.is_none()
        && let Some(model) = style_transformer::recognize(file, &readings)?
    {
        return Ok(Some(model));
    }
    recognize_family(file, &readings, asserted)
}

/// The model, if the file has the tensors of this network with these names.
fn recognize_in(file: &mut dyn Tensors, names: &Names, network: &KnownFile) -> Result<Option<Model>> {
    let tensors = names.weights(file).count();
    let known = applications::find(network.name)?;
    for without_top in [false, true] {
        if tensors != network.tensors - if without_top { network.head } else { 0 } {
            continue;
        }
        let first = names.find(network.first).map(|tensor| file.infos()[tensor].shape.as_slice());
        let Some(&[_, channels, _, _]) = first else { return Ok(None) };
        let channels = (channels != 3).then_some(channels);
        let options = Options { top: !without_top, channels, ..Options::default() };
        // Some networks can only be built for RGB images; their families also support others.
        let Ok(plain) = known.build(&options) else { continue };
        for (number, (_, modules)) in published(&plain).into_iter().enumerate() {
            let Ok(wanted) = entries(&plain, &modules) else { continue };
            let Some(options) = with_classes(file, names, &plain, &wanted, &options) else { continue };
            let mut model = Model::of_architecture(known, &options)?;
            let Some((_, modules)) = published(&model.network).into_iter().nth(number) else { continue };
            let Ok(wanted) = entries(&model.network, &modules) else { continue };
            let Ok(places) = match_names(file, names, wanted, &model.network, &[]) else { continue };
            if channels.is_some() {
                // The preprocessing of RGB images does not apply to other channels.
                model.preprocessing = None;
            } else if known.pixels == PixelFormat::Caffe {
                // The architecture's own preprocessing is Keras's.
                let [height, width, _] = known.input;
                let torchvision = Preprocessing::torchvision(height).with_size(height, width);
                model.preprocessing = Some(torchvision.with_fit(Fit::Crop, Filter::Bilinear));
            }
            read(file, &places, &mut model.network)?;
            return Ok(Some(model));
        }
    }
    Ok(None)
}

/// The options with the file's number of classes. `None` if its tensors cannot be those of the network: the first and the
/// last are missing or of another kind.
fn with_classes(
    file: &dyn Tensors,
    names: &Names,
    network: &Network,
    wanted: &[Entry],
    options: &Options,
) -> Option<Options> {
    let (first, last) = (wanted.first()?, wanted.last()?);
    let shape_of = |entry: &Entry| Some(file.infos()[names.find(&entry.name)?].shape.as_slice());
    if !first.shapes.iter().any(|shape| Some(shape.as_slice()) == shape_of(first)) || names.find(&last.name).is_none() {
        return None;
    }
    if !options.top {
        return Some(options.clone());
    }
    // The last weights are those of the classifier: a kernel, and a bias with one value per class.
    let &[classes] = shape_of(last)? else { return None };
    let features = network.weights()[last.weight].shape().len() == 1;
    (features && classes > 0).then(|| options.clone().classes(classes))
}
