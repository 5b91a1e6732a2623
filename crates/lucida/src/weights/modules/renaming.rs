//! Alternative names for the modules of torchvision's networks: timm's, and those of DenseNets from before 2018.
//!
//! | here | MobileNet V2, V3 | EfficientNet |
//! | --- | --- | --- |
//! | `conv_stem`, `bn1` | `features.0.0`, `.1` | `features.0.0`, `.1` |
//! | `blocks.S.B.conv_pw`, `bn1` | `features.N.conv.0.0`, `.1`, or `block` for `conv` | `features.(S+1).B.block.0.0`, `.1` |
//! | `blocks.S.B.conv_dw`, `bn2` | the next pair | the next pair |
//! | `blocks.S.B.se.conv_reduce`, `conv_expand` | `.fc1`, `.fc2` of the next | `.fc1`, `.fc2` of the next |
//! | `blocks.S.B.conv_pwl`, `bn3` | the next two (V2), the next pair (V3) | the next pair |
//! | `conv_head`, `bn2` | `features.18.0`, `.1` (V2), `classifier.0` (V3) | `features.8.0`, `.1` |
//! | `classifier` | `classifier.1` (V2), `classifier.3` (V3) | `classifier.1` |

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::nn::applications::modules::Library;

/// Converts names to torchvision's, if they are of another kind, and returns the library they are from.
pub(super) fn renamed(names: &[String]) -> Option<(Vec<String>, Library)> {
    if names.iter().any(|name| name.contains(".denselayer1.norm.1.")) {
        let renamed = |name: &String| {
            ["norm", "conv"].iter().fold(name.clone(), |name, kind| {
                name.replace(&format!(".{kind}.1."), &format!(".{kind}1."))
                    .replace(&format!(".{kind}.2."), &format!(".{kind}2."))
            })
        };
        return Some((names.iter().map(renamed).collect(), Library::Torchvision));
    }
    names.iter().any(|name| name == "conv_stem.weight").then(|| Timm::new(names))?.renamed(names)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MobileNetV2,
    MobileNetV3,
    EfficientNet,
}

/// The properties of a timm file.
struct Timm {
    kind: Kind,
    /// For each block, given by stage and number: the modules in it.
    blocks: BTreeMap<(usize, usize), BTreeSet<String>>,
}

/// The stage, the number, and the rest of the name of a block's tensor.
fn block_of(name: &str) -> Option<((usize, usize), &str)> {
    let mut parts = name.strip_prefix("blocks.")?.splitn(3, '.');
    Some(((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?), parts.next()?))
}

impl Timm {
    fn new(names: &[String]) -> Self {
        let all: HashSet<&str> = names.iter().map(String::as_str).collect();
        let squeezes = names.iter().any(|name| name.contains(".se.conv_reduce."));
        let kind = match (all.contains("conv_head.bias"), squeezes) {
            (true, _) => Kind::MobileNetV3,
            (false, true) => Kind::EfficientNet,
            (false, false) => Kind::MobileNetV2,
        };
        let mut blocks: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for (at, rest) in names.iter().filter_map(|name| block_of(name)) {
            let module = rest.rsplit_once('.').map_or(rest, |(module, _)| module);
            blocks.entry(at).or_default().insert(module.to_owned());
        }
        Self { kind, blocks }
    }

    fn renamed(&self, names: &[String]) -> Option<(Vec<String>, Library)> {
        let all: Option<Vec<String>> = names.iter().map(|name| self.name(name)).collect();
        Some((all?, Library::Timm))
    }

    fn name(&self, name: &str) -> Option<String> {
        let (module, leaf) = name.rsplit_once('.')?;
        let stages = self.blocks.keys().map(|(stage, _)| stage + 1).max()?;
        let last = if self.kind == Kind::EfficientNet { stages } else { self.blocks.len() } + 1;
        let renamed = match (module, self.kind) {
            ("conv_stem", _) => "features.0.0".to_owned(),
            ("bn1", _) => "features.0.1".to_owned(),
            ("conv_head", Kind::MobileNetV3) => "classifier.0".to_owned(),
            ("classifier", Kind::MobileNetV3) => "classifier.3".to_owned(),
            ("conv_head", _) => format!("features.{last}.0"),
            ("bn2", _) => format!("features.{last}.1"),
            ("classifier", _) => "classifier.1".to_owned(),
            _ => self.in_block(module)?,
        };
        Some(format!("{renamed}.{leaf}"))
    }

    /// Converts the name of a module in a block.
    fn in_block(&self, name: &str) -> Option<String> {
        let (at, module) = block_of(name)?;
        let (modules, index) = (self.blocks.get(&at)?, self.blocks.keys().position(|key| *key == at)?);
        let has = |module: &str| modules.contains(module);
        let block = match self.kind {
            Kind::MobileNetV2 => format!("features.{}.conv", index + 1),
            Kind::MobileNetV3 => format!("features.{}.block", index + 1),
            Kind::EfficientNet => format!("features.{}.{}.block", at.0 + 1, at.1),
        };
        // The convolutions of a block in order, each with its normalization.
        let convs: Vec<&str> = if has("conv_pwl") && has("conv_dw") {
            vec!["conv_pw", "conv_dw", "conv_pwl"]
        } else if has("conv_dw") {
            vec!["conv_dw", "conv_pw"]
        } else if has("conv_exp") {
            vec!["conv_exp", "conv_pwl"]
        } else if self.kind == Kind::MobileNetV3 {
            // The last stage is a convolution rather than a block.
            return Some(format!("features.{}.{}", index + 1, usize::from(module == "bn1")));
        } else {
            vec!["conv"]
        };
        let squeeze = convs.len() - 1;
        if let Some(part) = module.strip_prefix("se.") {
            let layer = if part == "conv_reduce" { "fc1" } else { "fc2" };
            return Some(format!("{block}.{squeeze}.{layer}"));
        }
        let number = module.strip_prefix("bn").and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
        let place = number.or_else(|| convs.iter().position(|conv| *conv == module))?;
        let part = usize::from(number.is_some());
        let shifted = place + usize::from(has("se.conv_reduce") && place == squeeze);
        Some(match self.kind {
            // The last convolution and its normalization are separate modules.
            Kind::MobileNetV2 if place == squeeze => format!("{block}.{}", place + part),
            _ => format!("{block}.{shifted}.{part}"),
        })
    }
}
