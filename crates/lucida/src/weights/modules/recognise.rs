//! Which network of the zoo a file of torchvision's or timm's is of.

use super::Tensors;
use super::assign::{Names, match_names, read};
use super::entries::{Entry, entries};
use super::naming::published;
use crate::Result;
use crate::data::Preprocessing;
use crate::nn::Network;
use crate::nn::zoo::{self, Options, Pixels};
use crate::weights::Model;

/// The networks of the zoo that torchvision has, and the tensor that their files have first.
const NETWORKS: [(&str, &str); 14] = [
    ("vgg11", "features.0.weight"),
    ("vgg13", "features.0.weight"),
    ("vgg16", "features.0.weight"),
    ("vgg19", "features.0.weight"),
    ("vgg11-bn", "features.0.weight"),
    ("vgg13-bn", "features.0.weight"),
    ("vgg16-bn", "features.0.weight"),
    ("vgg19-bn", "features.0.weight"),
    ("alexnet", "features.0.weight"),
    ("squeezenet1-0", "features.0.weight"),
    ("squeezenet1-1", "features.0.weight"),
    ("resnet18", "conv1.weight"),
    ("resnet50", "conv1.weight"),
    ("inception-v3-torch", "Conv2d_1a_3x3.conv.weight"),
];

/// Their names, for messages.
pub(in crate::weights) fn known() -> String {
    NETWORKS.map(|(name, _)| name).join(", ")
}

/// The network of the zoo whose tensors, by names and shapes, a file has: at its default size, with as many classes as
/// the file, its weights and torchvision's preprocessing. `None` when it is of none.
///
/// # Errors
/// As [`fill`](super::fill).
pub(in crate::weights) fn recognise(file: &mut dyn Tensors) -> Result<Option<Model>> {
    let names = Names::new(file);
    for (name, _) in NETWORKS.iter().filter(|(_, first)| names.find(first).is_some()) {
        let known = zoo::find(name)?;
        for without_top in [false, true] {
            let options = if without_top { Options::without_top() } else { Options::default() };
            let plain = known.build(&options)?;
            for (number, (_, modules)) in published(&plain).into_iter().enumerate() {
                let Ok(wanted) = entries(&plain, &modules) else { continue };
                let Some(options) = with_classes(file, &names, &plain, &wanted, &options) else { continue };
                let mut model = Model::of_architecture(known, &options)?;
                let Some((_, modules)) = published(&model.network).into_iter().nth(number) else { continue };
                let Ok(wanted) = entries(&model.network, &modules) else { continue };
                let Ok(places) = match_names(file, &names, wanted, &model.network, &[]) else { continue };
                if known.pixels == Pixels::Caffe {
                    // The zoo's own is Keras's.
                    let [height, width, _] = known.input;
                    model.preprocessing = Some(Preprocessing::torchvision(height).with_size(height, width));
                }
                read(file, &places, &mut model.network)?;
                return Ok(Some(model));
            }
        }
    }
    Ok(None)
}

/// The options with the number of classes that a file has. `None` when its tensors cannot be those of the network: the
/// first and the last are missing or of another kind.
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
    // The last weights are those of the classifier: a kernel, and a bias as long as there are classes.
    let &[classes] = shape_of(last)? else { return None };
    let features = network.weights()[last.weight].shape().len() == 1;
    (features && classes > 0).then(|| options.clone().classes(classes))
}
