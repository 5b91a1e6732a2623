//! The network of a family that a state dictionary is of: what the published ones have and it has otherwise is read from
//! the shapes of its tensors.

use super::Tensors;
use super::assign::{Names, match_names, read};
use super::entries::entries;
use super::naming::own;
use crate::nn::applications::modules::{FAMILIES, Family, TensorShapes};
use crate::nn::applications::{self, Architecture, Options};
use crate::weights::{ArrayLayouts, Model, Note};
use crate::{Error, Result};

/// How the problem begins of a file that has the marks of a family, and is of none of its networks.
const UNFIT: &str = "has the names of a network of the family ";

/// Whether an error is that of a file of a family which could not be read.
pub(in crate::weights) fn is_unfit(error: &Error) -> bool {
    matches!(error, Error::File { problem, .. } if problem.starts_with(UNFIT))
}

/// The model of a file that has the marks of a family under one of the readings of its names: a published network
/// where it has the parameters of one, else one of other sizes.
///
/// # Errors
/// [`Error::File`] names the family, and the tensors that are missing, left over, or of another shape.
pub(super) fn recognize_family(
    file: &mut dyn Tensors,
    readings: &[Names],
    among: impl Fn(&str) -> bool,
) -> Result<Option<Model>> {
    let mut unfit = None;
    for names in readings {
        let Some(family) = FAMILIES.iter().find(|family| family.marks.iter().all(|mark| names.find(mark).is_some()))
        else {
            continue;
        };
        let shapes = shapes(file, names);
        let published = published(family, &shapes);
        if !among(published.map_or(family.name, |known| known.name)) {
            continue;
        }
        match build(file, names, family, published, &shapes) {
            Ok(model) => return Ok(Some(model)),
            Err(problem) => {
                unfit.get_or_insert_with(|| {
                    Error::file(file.path(), format!("{UNFIT}{}, but {problem}: export it to ONNX", family.name))
                });
            }
        }
    }
    unfit.map_or(Ok(None), Err)
}

fn shapes(file: &dyn Tensors, names: &Names) -> TensorShapes {
    names.weights(file).map(|tensor| (names.name(tensor).to_owned(), file.infos()[tensor].shape.clone())).collect()
}

/// The network of the table that has as many parameters but for the classifier.
fn published(family: &Family, shapes: &TensorShapes) -> Option<&'static Architecture> {
    let counted = shapes.iter().filter(|(name, _)| !name.starts_with(family.head));
    let parameters: usize = counted.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let mut members = family.members.iter().filter_map(|name| applications::find(name).ok());
    members.find(|known| known.parameters_without_top == Some(parameters))
}

fn build(
    file: &mut dyn Tensors,
    names: &Names,
    family: &Family,
    published: Option<&'static Architecture>,
    shapes: &TensorShapes,
) -> Result<Model> {
    let name = published.map_or(family.name, |known| known.name);
    let network = family.build(name, &Options::default(), shapes)?;
    let wanted = entries(&network, &own(&network)).map_err(Error::argument)?;
    let places = match_names(file, names, wanted, &network, &[]).map_err(Error::argument)?;
    let like = match published {
        Some(known) => known,
        None => applications::find(family.members[0])?,
    };
    let mut model = Model::new(network);
    if let Some(shape) = model.network.input_shape()?.as_image() {
        model.preprocessing = Some(like.preprocessing(shape)?);
    }
    if published.is_none() {
        let note = format!("recognized as {} of other sizes: strides and activations as in {}", family.name, like.name);
        model.notes.push(Note::Other(note));
    }
    model.notes.extend(names.note().map(|note| Note::Other(note.to_owned())));
    model.layouts = ArrayLayouts::channels_first(&model.network);
    read(file, &places, &mut model.network)?;
    Ok(model)
}
