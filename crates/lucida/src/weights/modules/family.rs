//! Identifying the network of a family from a state dict.
//!
//! Tensors do not contain strides, activations, or the epsilon of normalizations. A file is accepted if all its shapes are
//! those of a published network, or if they differ only in what the authors' class leaves free: the widths, and in some
//! families the depth. Any other difference is refused, unless the caller asserts the network.

use std::collections::{BTreeSet, HashMap};

use super::assign::{Names, match_names, read};
use super::entries::entries;
use super::naming::{own, own_or_torchvision};
use super::{AssertedNetwork, Tensors, with_logits};
use crate::data::Preprocessing;
use crate::nn::applications::modules::{FAMILIES, Family, FreeParameters, Library, TIMM, TensorShapes};
use crate::nn::applications::{self, Architecture, Options, PixelFormat};
use crate::weights::{ArrayLayouts, Model, Note};
use crate::{Error, Result};

/// The start of the error for a file that has a family's names, but none of its networks.
const UNFIT: &str = "has the names of a network of ";
/// How to convert such a file.
const EXPORT: &str = "export it with torch.onnx.export(model, torch.randn(1, 3, 224, 224), \"model.onnx\")";

/// Whether an error is about a file of a family that could not be read.
pub(in crate::weights) fn is_unfit(error: &Error) -> bool {
    match error {
        Error::File { problem, .. } => problem.starts_with(UNFIT),
        error => matches!(error, Error::WeightsOnly { problem: Some(_), .. }),
    }
}

/// The networks of the table for which timm only has weights converted from TensorFlow.
const OF_TENSORFLOW: [&str; 5] = [
    "efficientnet-b6-torch",
    "efficientnet-b7-torch",
    "efficientnet-v2-s-torch",
    "efficientnet-v2-m-torch",
    "efficientnet-v2-l-torch",
];

/// The model of a file that has a family's names under one of the interpretations.
///
/// # Errors
/// [`Error::WeightsOnly`] names the family of a file that is none of its networks; [`Error::File`] when a part does not
/// occur in any network of the family.
pub(super) fn recognize_family(
    file: &mut dyn Tensors,
    readings: &[Names],
    asserted: Option<AssertedNetwork>,
) -> Result<Option<Model>> {
    let mut unfit = None;
    for names in readings {
        let marked = |family: &&Family| family.marks.iter().all(|mark| names.find(mark).is_some());
        let Some(family) = FAMILIES.iter().find(marked) else { continue };
        let Some(shapes) = shapes(file, names, family) else { continue };
        if asserted.is_some_and(|asserted| !family.members.contains(&asserted.known.name)) {
            continue;
        }
        let reading = Reading { names, family, shapes, asserted };
        match reading.template().and_then(|template| reading.build(file, template)) {
            Ok(model) => return Ok(Some(model)),
            Err(problem) => {
                unfit.get_or_insert_with(|| reading.unfit(file, problem));
            }
        }
    }
    unfit.map_or(Ok(None), Err)
}

/// The shapes of a file under these names; `None` if its first kernel is not for images.
fn shapes(file: &dyn Tensors, names: &Names, family: &Family) -> Option<TensorShapes> {
    let named = |tensor| (names.name(tensor).to_owned(), file.infos()[tensor].shape.clone());
    let shapes: HashMap<String, Vec<usize>> = names.weights(file).map(named).collect();
    let &[_, channels, _, _] = shapes.get(family.stem)?.as_slice() else { return None };
    Some(TensorShapes { shapes, channels, library: names.library() })
}

/// The published network that a file is read as.
#[derive(Clone, Copy)]
struct Template {
    known: &'static Architecture,
    /// Whether all shapes match, except those of the classifier and the input.
    exact: bool,
}

/// A file under one interpretation of its names, as a member of a family.
struct Reading<'a> {
    names: &'a Names,
    family: &'static Family,
    shapes: TensorShapes,
    asserted: Option<AssertedNetwork>,
}

impl Reading<'_> {
    /// The published network that determines strides, activations and normalization.
    fn template(&self) -> Result<Template, Problem> {
        self.check_stem()?;
        let members = self.family.members.iter().map(|name| applications::find(name));
        let members = members.collect::<Result<Vec<_>>>()?;
        let parameters = self.parameters();
        let exact = members.iter().find(|known| {
            known.parameters_without_top == Some(parameters) && self.is_like(known, |a, b| a == b).unwrap_or(false)
        });
        match (exact, self.asserted) {
            (Some(known), Some(asserted)) if known.name != asserted.known.name => {
                let (found, named) = (known.name, asserted.known.name);
                return Err(Error::argument(format!("its tensors are those of {found}, not of {named}")).into());
            }
            (Some(known), _) => return Ok(Template { known, exact: true }),
            (None, Some(asserted)) => return Ok(Template { known: asserted.known, exact: false }),
            (None, None) => {}
        }
        // timm has many EfficientNets that differ only in their widths, and in properties that tensors do not show.
        let of_timm = self.shapes.library != Library::Torchvision && self.family.name == "efficientnet";
        let like = match self.family.free {
            FreeParameters::WidthsAndDepth => members.first(),
            FreeParameters::Widths if of_timm => None,
            FreeParameters::Widths => members.iter().find(|known| self.is_like(known, same_kernels).unwrap_or(false)),
        };
        like.map(|known| Template { known, exact: false }).ok_or_else(|| {
            Error::argument(
                "its layers are those of no published one, and their strides and activations are not in the file",
            )
            .into()
        })
    }

    /// Refuses a first convolution that differs from the published one: a ResNet for images of 32x32 pixels has a 3x3
    /// convolution without a stride and no pooling, but otherwise the same tensors.
    fn check_stem(&self) -> Result<(), Problem> {
        let found = &self.shapes.shapes[self.family.stem][2..];
        match self.family.stem_kernel {
            Some([height, width]) if found != [height, width] => Err(Problem::Unknowable(format!(
                "its first convolution is of {}x{} pixels, not of {height}x{width}: its stride, and whether a pooling \
                 follows, are not in the file",
                found[0], found[1]
            ))),
            _ => Ok(()),
        }
    }

    /// The number of parameters without the classifier, for three input channels.
    fn parameters(&self) -> usize {
        let counted = self.shapes.shapes.iter().filter(|(name, _)| !name.starts_with(self.family.head));
        let parameters = |(name, shape): (&String, &Vec<usize>)| -> usize {
            let channels = if name == self.family.stem { 3 } else { shape.get(1).copied().unwrap_or(1) };
            shape.iter().enumerate().map(|(axis, &size)| if axis == 1 { channels } else { size }).product()
        };
        counted.map(parameters).sum()
    }

    /// Whether a published network has tensors with the same names and similar shapes, except for the classifier and the
    /// input channels.
    fn is_like(&self, known: &Architecture, alike: impl Fn(&[usize], &[usize]) -> bool) -> Result<bool> {
        let network = known.build(&Options::without_top())?;
        let published = entries(&network, &own_or_torchvision(&network)).map_err(Error::argument)?;
        let is_of_body = |name: &&String| !name.starts_with(self.family.head);
        if self.shapes.shapes.keys().filter(is_of_body).count() != published.len() {
            return Ok(false);
        }
        Ok(published.iter().all(|entry| {
            let Some(found) = self.shapes.shapes.get(&entry.name) else { return false };
            entry.shapes.iter().any(|shape| {
                let mut shape = shape.clone();
                if entry.name == self.family.stem {
                    shape[1] = self.shapes.channels;
                }
                alike(found, &shape)
            })
        }))
    }

    fn build(&self, file: &mut dyn Tensors, Template { known, exact }: Template) -> Result<Model, Problem> {
        self.check_head()?;
        let mut shapes = TensorShapes { shapes: self.shapes.shapes.clone(), ..self.shapes };
        if shapes.library == Library::Timm {
            let asserted = self.asserted.and_then(|asserted| asserted.library);
            let default = if OF_TENSORFLOW.contains(&known.name) { Library::TimmOfTensorFlow } else { Library::Timm };
            shapes.library = asserted.unwrap_or(default);
        }
        let is_known = exact || self.asserted.is_some() || matches!(self.family.free, FreeParameters::Widths);
        let name = if is_known { known.name } else { self.family.name };
        let network = self.family.build(name, &Options::default(), &shapes)?;
        let wanted = entries(&network, &own(&network)).map_err(Error::argument)?;
        let places = match_names(file, self.names, wanted, &network, &[]).map_err(Error::argument)?;
        let mut model = Model::new(network);
        if let Some(shape) = model.network.input_shape()?.as_image() {
            model.preprocessing = preprocessing(known, shapes.library, shape)?;
        }
        model.layouts = ArrayLayouts::channels_first(&model.network);
        let note = [self.note_on_sizes(known, exact), self.note_on_timm(known, shapes.library)];
        let note = note.into_iter().flatten().collect::<Vec<_>>().join("; ");
        if !note.is_empty() {
            model.notes.push(Note::Other(note));
        }
        read(file, &places, &mut model.network)?;
        Ok(with_logits(model)?)
    }

    /// What was assumed about an unpublished network.
    fn note_on_sizes(&self, known: &Architecture, exact: bool) -> Option<String> {
        let what = match self.shapes.library {
            Library::Torchvision => "strides, activations, and normalization are taken from it",
            _ => "strides and activations are taken from it",
        };
        match (exact, self.asserted) {
            (true, _) => None,
            (false, Some(_)) => Some(format!("not of the sizes of {}: {what}", known.name)),
            (false, None) => Some(format!("read as {} of other sizes: {what}", known.name)),
        }
    }

    /// Which of two timm networks with the same tensors was chosen.
    fn note_on_timm(&self, known: &Architecture, library: Library) -> Option<String> {
        if self.asserted.is_some_and(|asserted| asserted.library.is_some()) {
            return None;
        }
        let (name, _) = TIMM.iter().find(|(_, ours)| *ours == known.name)?;
        let (taken, other) = match library {
            Library::Torchvision => return None,
            Library::Timm => (name.to_string(), format!("tf_{name}")),
            Library::TimmOfTensorFlow => (format!("tf_{name}"), name.to_string()),
        };
        Some(format!(
            "read as timm's {taken}; {other} has the same tensors, but pads and normalizes otherwise: give that name as \
             the network if it is meant"
        ))
    }

    /// Refuses a multi-layer classifier: the activations between its layers are not in the file.
    fn check_head(&self) -> Result<(), Problem> {
        let of_head =
            self.shapes.shapes.iter().filter(|(name, shape)| {
                name.starts_with(self.family.head) && name.ends_with(".weight") && shape.len() > 1
            });
        let layers: BTreeSet<&str> = of_head.filter_map(|(name, _)| name.strip_suffix(".weight")).collect();
        if layers.len() < 2 || layers.iter().all(|layer| self.family.classifier.contains(layer)) {
            return Ok(());
        }
        let layers: Vec<&str> = layers.into_iter().collect();
        Err(Problem::Unknowable(format!(
            "its classifier has several layers ({}), and the activations between them are not in the file",
            layers.join(", ")
        )))
    }

    fn unfit(&self, file: &dyn Tensors, problem: Problem) -> Error {
        let path = file.path().to_path_buf();
        // timm's names do not identify the family.
        let of = match self.shapes.library {
            Library::Torchvision => format!("{UNFIT}the family {}", self.family.name),
            _ => format!("{UNFIT}timm"),
        };
        match problem {
            Problem::Unknowable(problem) => Error::file(path, format!("{of}, but {problem}: {EXPORT}")),
            Problem::Other(problem) if self.shapes.library == Library::Torchvision => {
                Error::WeightsOnly { path, problem: Some(format!("{of}, but {problem}: {EXPORT}")) }
            }
            Problem::Other(_) => {
                let problem = format!(
                    "{of}, but is none of those whose strides and activations are known (mobilenetv2, mobilenetv3, \
                     efficientnet_b0 to b7, efficientnetv2_s to l): {EXPORT}"
                );
                Error::WeightsOnly { path, problem: Some(problem) }
            }
        }
    }
}

/// Why a file cannot be read as a network of a family.
enum Problem {
    /// Asserting a network would not help.
    Unknowable(String),
    Other(Error),
}

impl From<Error> for Problem {
    fn from(problem: Error) -> Self {
        Self::Other(problem)
    }
}

/// Whether two shapes differ only in their channels.
fn same_kernels(a: &[usize], b: &[usize]) -> bool {
    match (a, b) {
        ([_, a_channels, a @ ..], [_, b_channels, b @ ..]) if a.len() == 2 => {
            a == b && (*a_channels == 1) == (*b_channels == 1)
        }
        _ => a.len() == b.len(),
    }
}

/// The preprocessing of images. That of RGB images does not apply to gray images or other channels.
fn preprocessing(
    known: &Architecture,
    library: Library,
    [height, width, channels]: [usize; 3],
) -> Result<Option<Preprocessing>> {
    if channels != 3 {
        return Ok(None);
    }
    let own = known.preprocessing([height, width, channels])?;
    let inception = known.name.starts_with("mobilenet-v3") || known.name.starts_with("efficientnet-v2");
    if library == Library::TimmOfTensorFlow && inception {
        let pixels = PixelFormat::Tf.preprocessing([height, width, channels])?;
        return Ok(Some(pixels.with_fit(own.fit, own.filter)));
    }
    Ok(Some(own))
}
