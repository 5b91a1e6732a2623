//! A new classifier on a network that has learned something else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nn::Layer;
use crate::nn::layers::{
    ActivationKind, BatchNormalization, Dense, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D,
};
use crate::weights::Model;
use crate::{Error, Result};

const KNOWN: &str = "flatten, gap, gmp, dense:UNITS, dropout:PART, bn";

/// The layers between a base and the layer that tells the classes: `flatten,dense:1024,dropout:0.2`.
///
/// `gap` and `gmp` are the global average and the global maximum of each channel, `dense` has a ReLU, `bn` normalises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Part {
    Flatten,
    Gap,
    Gmp,
    Dense(usize),
    Dropout(f32),
    Bn,
}

impl Default for Head {
    /// `flatten,dense:256,dropout:0.5`
    fn default() -> Self {
        Self(vec![Part::Flatten, Part::Dense(256), Part::Dropout(0.5)])
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |part: &str| Error::argument(format!("head: {part:?} is not known; there are {KNOWN}"));
        let part = |part: &str| match part.split_once(':').unwrap_or((part, "")) {
            ("flatten", "") => Ok(Part::Flatten),
            ("gap", "") => Ok(Part::Gap),
            ("gmp", "") => Ok(Part::Gmp),
            ("bn", "") => Ok(Part::Bn),
            ("dense", units) => {
                let units = units.parse().ok().filter(|units| (1..=65_536).contains(units));
                units
                    .map(Part::Dense)
                    .ok_or_else(|| Error::argument("head: dense takes 1 to 65536 units, as in dense:256"))
            }
            ("dropout", part) => {
                let part = part.parse().ok().filter(|part| (0.0..1.0).contains(part));
                part.map(Part::Dropout)
                    .ok_or_else(|| Error::argument("head: dropout takes a part below 1, as in dropout:0.5"))
            }
            _ => Err(bad(part)),
        };
        text.split(',').map(|text| part(text.trim())).collect::<Result<Vec<_>>>().map(Self)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Part| match part {
            Part::Flatten => "flatten".to_owned(),
            Part::Gap => "gap".to_owned(),
            Part::Gmp => "gmp".to_owned(),
            Part::Dense(units) => format!("dense:{units}"),
            Part::Dropout(part) => format!("dropout:{part}"),
            Part::Bn => "bn".to_owned(),
        };
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join(","))
    }
}

impl Head {
    /// The layers, and the one that tells so many classes apart: one sigmoid for two, a softmax for more.
    pub fn layers(&self, classes: usize) -> Vec<Layer> {
        let layer = |part: &Part| -> Layer {
            match *part {
                Part::Flatten => Flatten {}.into(),
                Part::Gap => GlobalAveragePooling2D {}.into(),
                Part::Gmp => GlobalMaxPooling2D {}.into(),
                Part::Dense(units) => Dense::new(units).activation(ActivationKind::Relu).into(),
                Part::Dropout(rate) => Dropout::new(rate).into(),
                Part::Bn => BatchNormalization::default().into(),
            }
        };
        let last = match classes {
            0..=2 => Dense::new(1).activation(ActivationKind::Sigmoid),
            classes => Dense::new(classes).activation(ActivationKind::Softmax),
        };
        self.0.iter().map(layer).chain([last.into()]).collect()
    }
}

/// How a base becomes a classifier of other classes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transfer {
    /// The last layer of the base; its output layer, when there is none.
    pub cut: Option<String>,
    /// What comes behind it.
    pub head: Head,
    /// The first layer of the base that learns as well; none, when there is none.
    pub unfreeze: Option<String>,
}

/// A base with a new head.
#[derive(Debug, Clone)]
pub struct Transferred {
    /// The whole network.
    pub model: Model,
    /// The number of the first layer of the head.
    pub head: usize,
    /// The number of the last frozen layer through which all goes: what it says can be remembered.
    pub seam: usize,
}

impl Transfer {
    /// Puts a new head, with weights drawn from `seed`, on a base.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such layer, or the layer to unfreeze from lies behind the cut; [`Error::Layer`]
    /// when the head does not fit.
    pub fn apply(&self, base: Model, class_names: &[String], seed: u64) -> Result<Transferred> {
        let network = match &self.cut {
            Some(layer) => base.network.cut(layer)?,
            None => base.network,
        };
        let (mut network, head) = network.with_head(self.head.layers(class_names.len()))?;
        network.initialize(head, seed);
        let first = match &self.unfreeze {
            Some(layer) => network.find(layer)?,
            None => head,
        };
        if first >= head && self.unfreeze.is_some() {
            return Err(Error::argument("the layer to unfreeze from is one of the head, which learns anyway"));
        }
        network.freeze_below(first, head);
        let seam = network.seam(first)?;
        let model = Model { network, class_names: class_names.to_vec(), ..base };
        Ok(Transferred { model, head, seam })
    }
}

impl Transferred {
    /// The name of the last layer of the base.
    pub fn end_of_base(&self) -> &str {
        self.model.network.nodes()[self.head - 1].name()
    }

    /// The layer whose outputs can be remembered, if it is more than the input.
    pub fn remembered(&self) -> Option<&str> {
        (self.seam > 0).then(|| self.model.network.nodes()[self.seam].name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::zoo;

    #[test]
    fn heads_are_read_and_written() {
        let text = "gap,bn,dense:64,dropout:0.25";
        assert_eq!(text.parse::<Head>().unwrap().to_string(), text);
        assert_eq!(Head::default().to_string(), "flatten,dense:256,dropout:0.5");
        for wrong in ["", "dense", "dense:0", "dense:x", "dropout:1", "conv:3", "flatten:2", "gap,,gap"] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_notebooks_head_has_its_parameters() {
        let known = zoo::find("inception-v3").unwrap();
        let base = Model::of_architecture(known, &zoo::Options::without_top().size(150, 150)).unwrap();
        let head = "flatten,dense:1024,dropout:0.2".parse().unwrap();
        let transfer = Transfer { cut: Some("mixed7".to_owned()), head, unfreeze: None };
        let names = ["cats", "dogs"].map(String::from);
        let done = transfer.apply(base.clone(), &names, 1).unwrap();
        // Keras: 8,975,264 of the base up to mixed7, and 38,537,217 that are trained.
        assert_eq!(done.model.network.parameters(), (47_512_481, 38_537_217));
        assert_eq!((done.end_of_base(), done.remembered()), ("mixed7", Some("mixed7")));
        done.model.check().unwrap();

        let unfrozen = |layer: &str| Transfer { unfreeze: Some(layer.to_owned()), ..transfer.clone() };
        let done = unfrozen("mixed7").apply(base.clone(), &names, 1).unwrap();
        assert_eq!(done.model.network.parameters().1, 38_537_217);
        let first = done.model.network.nodes()[done.model.network.find("mixed6").unwrap() + 1].name().to_owned();
        let done = unfrozen(&first).apply(base.clone(), &names, 1).unwrap();
        assert_eq!(done.remembered(), Some("mixed6"));
        assert!(unfrozen("dense").apply(base.clone(), &names, 1).is_err());
        assert!(unfrozen("mixed9").apply(base, &names, 1).is_err());
    }

    #[test]
    fn a_head_that_does_not_fit_is_named() {
        let base = Model::of_architecture(zoo::find("vgg16").unwrap(), &zoo::Options::without_top()).unwrap();
        let transfer = Transfer { head: "dense:4".parse().unwrap(), ..Transfer::default() };
        let message = transfer.apply(base, &["a".to_owned(), "b".to_owned()], 1).unwrap_err().to_string();
        assert!(message.contains("layer dense: takes a flat input"), "{message}");
    }
}
