//! The module names that correspond to the layers of a network.
//!
//! | network | layer here | module in torchvision |
//! | --- | --- | --- |
//! | VGG | `block1_conv1`, `block1_bn1` ... | `features.0`, `features.1` ...: counted with the ReLUs and poolings |
//! | | `fc1`, `fc2`, `predictions` | `classifier.0`, `.3`, `.6`; in timm `pre_logits.fc1`, `pre_logits.fc2`, `head.fc` |
//! | AlexNet | `conv1` ... `conv5` | `features.0`, `.3`, `.6`, `.8`, `.10` |
//! | | `fc1`, `fc2`, `predictions` | `classifier.1`, `.4`, `.6` |
//! | SqueezeNet | `conv1`, `fire2_squeeze`, `fire2_expand3x3` ... | `features.0`, `features.3.squeeze`, `features.3.expand3x3` ... |
//! | | `conv10` | `classifier.1` |
//! | ResNet | `conv1_conv`, `conv1_bn` | `conv1`, `bn1` |
//! | | `conv2_block1_1_conv`, `conv2_block1_1_bn` ... | `layer1.0.conv1`, `layer1.0.bn1` ... |
//! | | `conv2_block1_0_conv`, `conv2_block1_0_bn` | `layer1.0.downsample.0`, `layer1.0.downsample.1` |
//! | | `predictions` | `fc` |
//! | DenseNet | `conv1_conv`, `conv1_bn` | `features.conv0`, `features.norm0` |
//! | | `conv2_block1_0_bn`, `conv2_block1_1_conv` | `features.denseblock1.denselayer1.norm1`, `.conv1` |
//! | | `conv2_block1_1_bn`, `conv2_block1_2_conv` | `features.denseblock1.denselayer1.norm2`, `.conv2`; in files from before 2018 `.norm.2`, `.conv.2` |
//! | | `pool2_bn`, `pool2_conv` ... | `features.transition1.norm`, `features.transition1.conv` ... |
//! | | `bn`, `predictions` | `features.norm5`, `classifier` |
//! | InceptionV3 | `conv2d_1a_3x3_conv`, `conv2d_1a_3x3_bn` ... | `Conv2d_1a_3x3.conv`, `Conv2d_1a_3x3.bn` ... |
//! | | `mixed_5b_branch1x1_conv` ... | `Mixed_5b.branch1x1.conv` ... |
//! | | `predictions` | `fc` |
//!
//! Otherwise, timm uses torchvision's names.

use crate::nn::Network;

/// Pairs of a node with weights and the name of its module.
pub(in crate::weights) type Modules = Vec<(usize, String)>;

/// The possible names of a network's layers in a file, most likely first.
pub(super) fn namings(network: &Network) -> Vec<Modules> {
    let mut namings: Vec<Modules> = published(network).into_iter().map(|(_, modules)| modules).collect();
    namings.push(own(network));
    namings
}

/// The names used for writing a network: torchvision's if available, or else its own layer names.
pub(in crate::weights) fn own_or_torchvision(network: &Network) -> Modules {
    namings(network).swap_remove(0)
}

/// A family of networks, with the names of one library.
struct Family {
    /// A layer that all of its networks have.
    mark: &'static str,
    naming: fn(&Network) -> Naming,
    /// The prefixes of the head's modules.
    heads: &'static [&'static str],
}

const FAMILIES: [Family; 8] = [
    Family {
        mark: "block1_conv1",
        naming: |network| vgg(network, ["classifier.0", "classifier.3", "classifier.6"]),
        heads: &["classifier."],
    },
    Family {
        mark: "block1_conv1",
        naming: |network| vgg(network, ["pre_logits.fc1", "pre_logits.fc2", "head.fc"]),
        heads: &["pre_logits.", "head."],
    },
    Family { mark: "conv5", naming: |_| Box::new(|layer| alexnet(layer).map(str::to_owned)), heads: &["classifier."] },
    Family { mark: "fire2_squeeze", naming: squeezenet, heads: &["classifier."] },
    Family { mark: "conv1_conv", naming: |_| Box::new(resnet), heads: &["fc."] },
    Family { mark: "pool2_conv", naming: |_| Box::new(|layer| densenet(layer, "")), heads: &["classifier."] },
    // The weights published by torchvision.
    Family { mark: "pool2_conv", naming: |_| Box::new(|layer| densenet(layer, ".")), heads: &["classifier."] },
    Family { mark: "conv2d_1a_3x3_conv", naming: |_| Box::new(inception), heads: &["fc."] },
];

/// The names in torchvision and timm, with the prefixes of the head's modules, if all layers have such a name.
pub(super) fn published(network: &Network) -> Vec<(&'static [&'static str], Modules)> {
    let name_all = |family: &Family| -> Option<Modules> {
        network.nodes().iter().find(|node| node.name() == family.mark)?;
        let naming = (family.naming)(network);
        let weighted = (0..network.nodes().len()).filter(|&node| !network.nodes()[node].own_weights().is_empty());
        weighted.map(|node| Some((node, naming(network.nodes()[node].name())?))).collect()
    };
    FAMILIES.iter().filter_map(|family| Some((family.heads, name_all(family)?))).collect()
}

/// The names of the layers themselves.
pub(super) fn own(network: &Network) -> Modules {
    let weighted = network.nodes().iter().enumerate().filter(|(_, node)| !node.own_weights().is_empty());
    weighted.map(|(index, node)| (index, node.name().to_owned())).collect()
}

/// Maps the name of a layer to that of its module.
type Naming = Box<dyn Fn(&str) -> Option<String>>;

/// VGG: the modules of a chain are numbered. Each convolution is followed by a ReLU, with a normalization in between if the
/// network has any.
fn vgg(network: &Network, [fc1, fc2, predictions]: [&str; 3]) -> Naming {
    let mut modules = Vec::new();
    let mut next = 0;
    for node in network.nodes() {
        let name = node.name();
        let Some((_, part)) = name.strip_prefix("block").and_then(|rest| rest.split_once('_')) else { continue };
        if part.starts_with("conv") || part.starts_with("bn") {
            // The normalization takes the number of the previous convolution's ReLU, which comes after it.
            next -= usize::from(part.starts_with("bn"));
            modules.push((name.to_owned(), format!("features.{next}")));
            next += 2;
        } else if part == "pool" {
            next += 1;
        }
    }
    for (layer, module) in [("fc1", fc1), ("fc2", fc2), ("predictions", predictions)] {
        modules.push((layer.to_owned(), module.to_owned()));
    }
    Box::new(move |layer| modules.iter().find(|(name, _)| name == layer).map(|(_, module)| module.clone()))
}

fn alexnet(layer: &str) -> Option<&'static str> {
    Some(match layer {
        "conv1" => "features.0",
        "conv2" => "features.3",
        "conv3" => "features.6",
        "conv4" => "features.8",
        "conv5" => "features.10",
        "fc1" => "classifier.1",
        "fc2" => "classifier.4",
        "predictions" => "classifier.6",
        _ => return None,
    })
}

/// SqueezeNet: a convolution and its ReLU are two modules, a fire module and a pooling one each.
fn squeezenet(network: &Network) -> Naming {
    let mut fires: Vec<(String, usize)> = Vec::new();
    let mut next = 2;
    for node in network.nodes() {
        if let Some(fire) = node.name().strip_suffix("_squeeze") {
            fires.push((fire.to_owned(), next));
            next += 1;
        } else if node.name().starts_with("pool") && !node.name().ends_with("_pad") {
            next += 1;
        }
    }
    Box::new(move |layer| match layer {
        "conv1" => Some("features.0".to_owned()),
        "conv10" => Some("classifier.1".to_owned()),
        layer => {
            let (fire, part) = layer.split_once('_').filter(|(fire, _)| fire.starts_with("fire"))?;
            let (_, number) = fires.iter().find(|(name, _)| name == fire)?;
            matches!(part, "squeeze" | "expand1x1" | "expand3x3").then(|| format!("features.{number}.{part}"))
        }
    })
}

fn resnet(layer: &str) -> Option<String> {
    match layer {
        "conv1_conv" => return Some("conv1".to_owned()),
        "conv1_bn" => return Some("bn1".to_owned()),
        "predictions" => return Some("fc".to_owned()),
        _ => {}
    }
    let mut parts = layer.strip_prefix("conv")?.split('_');
    let stage: usize = parts.next()?.parse().ok()?;
    let block: usize = parts.next()?.strip_prefix("block")?.parse().ok()?;
    let (number, kind) = (parts.next()?, parts.next()?);
    if parts.next().is_some() || stage < 2 || block < 1 {
        return None;
    }
    let part = match (number, kind) {
        ("0", "conv") => "downsample.0".to_owned(),
        ("0", "bn") => "downsample.1".to_owned(),
        ("1" | "2" | "3", "conv" | "bn") => format!("{kind}{number}"),
        _ => return None,
    };
    Some(format!("layer{}.{}.{part}", stage - 1, block - 1))
}

/// DenseNet; `dot` is between the kind of a module in a block's layer and its number.
fn densenet(layer: &str, dot: &str) -> Option<String> {
    let kind_of = |kind: &str| match kind {
        "conv" => Some("conv"),
        "bn" => Some("norm"),
        _ => None,
    };
    match layer {
        "conv1_conv" => return Some("features.conv0".to_owned()),
        "conv1_bn" => return Some("features.norm0".to_owned()),
        "bn" => return Some("features.norm5".to_owned()),
        "predictions" => return Some("classifier".to_owned()),
        _ => {}
    }
    if let Some((stage, kind)) = layer.strip_prefix("pool").and_then(|rest| rest.split_once('_')) {
        let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
        return Some(format!("features.transition{stage}.{}", kind_of(kind)?));
    }
    let parts: Vec<&str> = layer.strip_prefix("conv")?.split('_').collect();
    let &[stage, block, number, kind] = parts.as_slice() else { return None };
    let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
    let block: usize = block.strip_prefix("block")?.parse().ok()?;
    // Here a normalization has the number of the previous convolution, there of the next one.
    let number = number.parse::<usize>().ok()? + usize::from(kind == "bn");
    let kind = kind_of(kind)?;
    Some(format!("features.denseblock{stage}.denselayer{block}.{kind}{dot}{number}"))
}

fn inception(layer: &str) -> Option<String> {
    if layer == "predictions" {
        return Some("fc".to_owned());
    }
    let (block, part) = layer.rsplit_once('_').filter(|(_, part)| matches!(*part, "conv" | "bn"))?;
    if let Some(rest) = block.strip_prefix("mixed_") {
        let (number, branch) = rest.split_once('_')?;
        return Some(format!("Mixed_{number}.{branch}.{part}"));
    }
    Some(format!("Conv2d_{}.{part}", block.strip_prefix("conv2d_")?))
}
