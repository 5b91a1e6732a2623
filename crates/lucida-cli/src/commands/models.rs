//! `lucida models`

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use lucida::nn::applications::{self, Architecture};
use lucida::nn::{counted, thousands};
use lucida::weights::hub::{Hub, PublishedFile, State, all_published, published};
use lucida::weights::{BUILTIN, builtin_vgg16, is_builtin};
use lucida::{Error, nearest_name};
use serde::Serialize;

use super::Context;
use crate::cli::Models;

/// Output of `--json`.
#[derive(Serialize)]
struct ModelsJson<'a> {
    networks: Vec<&'a NetworkJson>,
}

#[derive(Serialize)]
struct NetworkJson {
    name: &'static str,
    family: &'static str,
    description: &'static str,
    /// Publisher of the weights.
    publisher: Option<&'static str>,
    /// Height, width, channels.
    input: [usize; 3],
    /// In the syntax of `--preprocessing`.
    preprocessing: String,
    parameters: usize,
    parameters_without_top: Option<usize>,
    weights: Weights,
}

/// Where the weights are.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Weights {
    /// None are published: the network is for training from scratch.
    None,
    /// Built into the program.
    BuiltIn,
    /// Published; with the paths of those in the cache.
    Published { with_top: Option<PathBuf>, without_top: Option<PathBuf> },
}

impl Weights {
    fn text(&self) -> &'static str {
        match self {
            Self::None => "none published",
            Self::BuiltIn => "built in",
            Self::Published { with_top: None, without_top: None } => "not downloaded",
            Self::Published { with_top: None, .. } => "here without top",
            Self::Published { without_top: None, .. } => "here with top",
            Self::Published { .. } => "here with and without top",
        }
    }

    /// Whether any are on this machine.
    fn is_downloaded(&self) -> bool {
        !matches!(self, Self::None | Self::Published { with_top: None, without_top: None })
    }
}

impl NetworkJson {
    /// The source of the weights.
    fn origin(&self) -> &'static str {
        match (&self.weights, self.publisher) {
            (Weights::BuiltIn, _) => "built in",
            (Weights::Published { .. }, Some(publisher)) => publisher,
            _ => "none",
        }
    }
}

/// Width in columns of the network names.
const NAMES: usize = 36;

/// Families, with their titles and the prefixes of their networks. A network belongs to the family with the longest matching
/// prefix.
const FAMILIES: [(&str, &str, &[&str]); 21] = [
    ("alexnet", "AlexNet (Krizhevsky, 2014)", &["alexnet"]),
    ("convnext", "ConvNeXt (Liu et al., 2022)", &["convnext"]),
    ("densenet", "DenseNet (Huang et al., 2016)", &["densenet"]),
    ("efficientnet", "EfficientNet (Tan and Le, 2019)", &["efficientnet"]),
    ("efficientnet-lite", "EfficientNet-Lite (Liu, 2020)", &["efficientnet-lite"]),
    ("efficientnet-v2", "EfficientNetV2 (Tan and Le, 2021)", &["efficientnet-v2"]),
    ("googlenet", "GoogLeNet (Szegedy et al., 2014)", &["googlenet"]),
    ("inception", "Inception (Szegedy et al., 2016)", &["inception"]),
    ("mnasnet", "MNASNet (Tan et al., 2018)", &["mnasnet"]),
    ("mobilenet", "MobileNet (Howard et al., 2017 and 2019)", &["mobilenet"]),
    ("nasnet", "NASNet (Zoph et al., 2017)", &["nasnet"]),
    ("regnet", "RegNet (Radosavovic et al., 2020)", &["regnet"]),
    ("resnet", "ResNet (He et al., 2015 and 2016)", &["resnet"]),
    ("resnext", "ResNeXt (Xie et al., 2016)", &["resnext"]),
    ("shufflenet", "ShuffleNetV2 (Ma et al., 2018)", &["shufflenet"]),
    ("small", "Networks to train from scratch", &["mnist-cnn", "lenet5", "basic-cnn"]),
    ("squeezenet", "SqueezeNet (Iandola et al., 2016)", &["squeezenet"]),
    ("unet", "U-Net (Ronneberger et al., 2015)", &["unet"]),
    ("vgg", "VGG (Simonyan and Zisserman, 2014)", &["vgg"]),
    ("wide-resnet", "Wide ResNet (Zagoruyko and Komodakis, 2016)", &["wide-resnet"]),
    ("xception", "Xception (Chollet, 2016)", &["xception"]),
];

/// The family of a network.
fn family(name: &str) -> &'static str {
    let begins = |names: &[&str]| names.iter().filter(|start| name.starts_with(**start)).map(|start| start.len()).max();
    let found = FAMILIES.iter().filter_map(|(family, _, starts)| Some((begins(starts)?, *family))).max();
    found.map_or("other", |(_, family)| family)
}

pub(super) fn run(arguments: &Models, context: Context) -> Result<()> {
    let hub = Hub::from_env()?;
    let all = all(&hub)?;
    let chosen: Vec<&NetworkJson> = match &arguments.name {
        None => all.iter().collect(),
        Some(name) => choose(&all, name)?,
    };
    if arguments.json {
        return context.output.json(&ModelsJson { networks: chosen });
    }
    context.output.result(
        match (&arguments.name, chosen.as_slice()) {
            (None, _) => overview(&all),
            (Some(_), [known]) => details(known, &hub),
            (Some(_), networks) => table(networks),
        }
        .trim_end(),
    )
}

/// All networks; the built-in blocks are last.
fn all(hub: &Hub) -> Result<Vec<NetworkJson>> {
    let mut networks = Vec::new();
    for known in applications::ALL {
        networks.push(NetworkJson {
            name: known.name,
            family: family(known.name),
            description: known.description,
            publisher: known.publisher.name(),
            input: known.input,
            preprocessing: known.preprocessing(known.input)?.to_string(),
            parameters: known.parameters,
            parameters_without_top: known.parameters_without_top,
            weights: weights(known, hub),
        });
    }
    let builtin = builtin_vgg16()?;
    networks.push(NetworkJson {
        name: BUILTIN,
        family: family(BUILTIN),
        description: "the first three blocks of VGG16 with their weights, for images of any size",
        publisher: None,
        input: builtin.preprocessing()?.output_shape(),
        preprocessing: builtin.preprocessing()?.to_string(),
        parameters: builtin.network.parameters().0,
        parameters_without_top: None,
        weights: Weights::BuiltIn,
    });
    Ok(networks)
}

fn weights(known: &Architecture, hub: &Hub) -> Weights {
    let there = |with_top| {
        let file = published(known, with_top).ok().filter(|file| file.with_top == with_top)?;
        matches!(hub.state(file), State::Present | State::Foreign(_)).then(|| hub.path(file))
    };
    match published(known, true) {
        _ if is_builtin(known) => Weights::BuiltIn,
        Ok(_) => Weights::Published { with_top: there(true), without_top: there(false) },
        Err(_) => Weights::None,
    }
}

/// The networks of a family, or the single network with that name.
fn choose<'a>(all: &'a [NetworkJson], name: &str) -> lucida::Result<Vec<&'a NetworkJson>> {
    let plain = name.to_lowercase().replace('_', "-");
    let of_family: Vec<&NetworkJson> = all.iter().filter(|known| known.family == plain).collect();
    if !of_family.is_empty() {
        return Ok(of_family);
    }
    if let Ok(found) = applications::find(name)
        && let Some(known) = all.iter().find(|known| known.name == found.name)
    {
        return Ok(vec![known]);
    }
    let names = FAMILIES.iter().map(|(family, ..)| *family).chain(all.iter().map(|known| known.name));
    let near = nearest_name(&plain, names).map(|near| format!(", did you mean {near:?}?")).unwrap_or_default();
    let families: Vec<_> = FAMILIES.iter().map(|(family, ..)| *family).collect();
    Err(Error::argument(format!("unknown network or family {name:?}{near}: the families are {}", families.join(", "))))
}

/// One line per family and publisher.
fn overview(all: &[NetworkJson]) -> String {
    let mut text = row(["family", "networks", "weights from", "here", "parameters", "input"]);
    for (family, ..) in FAMILIES {
        let mut left: Vec<&NetworkJson> = all.iter().filter(|known| known.family == family).collect();
        let mut label = family;
        while let Some(origin) = left.first().map(|first| first.origin()) {
            let (networks, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|known| known.origin() == origin);
            text.push_str(&line(label, origin, &networks));
            (left, label) = (others, "");
        }
    }
    let (networks, here) =
        (counted(all.len(), "network"), all.iter().filter(|known| known.weights.is_downloaded()).count());
    let _ = write!(
        text,
        "\n{networks}, weights of {here} here. A family or a network in detail: `lucida models vgg`.\n\
         Download weights: `lucida weights fetch NETWORK`."
    );
    text
}

/// Summarizes networks of a family on one line.
fn line(family: &str, origin: &str, networks: &[&NetworkJson]) -> String {
    let names: Vec<&str> = networks.iter().map(|known| known.name).collect();
    let here = match networks.iter().filter(|known| known.weights.is_downloaded()).count() {
        0 => String::new(),
        count => count.to_string(),
    };
    let millions = |parameters: usize| format!("{:.1}", parameters as f64 / 1e6);
    let parameters = range(networks.iter().map(|known| known.parameters), millions) + " M";
    let input = range(networks.iter().map(|known| known.input[0]), |side| side.to_string());
    row([family, &in_short(&names), origin, &here, &parameters, &input])
}

fn row([family, networks, origin, here, parameters, input]: [&str; 6]) -> String {
    let row = format!("{family:<17}  {networks:<NAMES$}  {origin:<12}  {here:>4}  {parameters:>13}  {input:>7}");
    format!("{}\n", row.trim_end())
}

/// Formats the range of some numbers.
fn range(values: impl Iterator<Item = usize> + Clone, text: impl Fn(usize) -> String) -> String {
    let [least, most] = [values.clone().min(), values.max()].map(|value| text(value.unwrap_or(0)));
    if least == most { least } else { format!("{least}-{most}") }
}

/// Abbreviates a list of names: `resnet{18, 34, 50}`, `regnet-y-400mf ... regnet-x-32gf`.
fn in_short(names: &[&str]) -> String {
    let (first, last) = (names.first().copied().unwrap_or_default(), names.last().copied().unwrap_or_default());
    let all = names.join(", ");
    if all.len() <= NAMES {
        return all;
    }
    let common = |same: &dyn Fn(usize, &str) -> bool| {
        let cut = |&len: &usize| names.iter().all(|name| len < name.len() && same(len, name));
        (0..first.len()).rev().find(cut).unwrap_or(0)
    };
    // Do not split words or numbers.
    let cuts = |len: usize, name: &str| {
        let ends = |like: fn(char) -> bool| name[..len].ends_with(like) && name[len..].starts_with(like);
        ends(char::is_alphabetic) || ends(char::is_numeric)
    };
    let start = common(&|len, name| name.starts_with(&first[..len]) && !cuts(len, name));
    let end = common(&|len, name| {
        let tail = &first[first.len() - len..];
        name.ends_with(tail) && start + len < name.len() && (len == 0 || tail.starts_with('-'))
    });
    let middles: Vec<&str> = names.iter().map(|name| &name[start..name.len() - end]).collect();
    let (before, after) = (&first[..start], &first[first.len() - end..]);
    let listed = format!("{before}{{{}}}{after}", middles.join(", "));
    let ends = format!("{first} ... {last}");
    let short = format!("{before}{{{} ... {}}}{after}", middles[0], middles[middles.len() - 1]);
    [listed, ends, short.clone()].into_iter().find(|text| text.len() <= NAMES).unwrap_or(short)
}

/// One line per network of a family.
fn table(networks: &[&NetworkJson]) -> String {
    let width = networks.iter().map(|known| known.name.len()).max().unwrap_or(0);
    let title = FAMILIES.iter().find(|(family, ..)| *family == networks[0].family).map_or("", |(_, title, _)| *title);
    let mut text = format!(
        "{title}\n\n{:<width$}  {:>9}  {:>11}  {:>11}  weights\n",
        "name", "input", "parameters", "without top"
    );
    for known in networks {
        let input = known.input.map(|size| size.to_string()).join("x");
        let without = known.parameters_without_top.map_or("–".to_owned(), thousands);
        let (parameters, weights) = (thousands(known.parameters), known.weights.text());
        let _ = writeln!(text, "{:<width$}  {input:>9}  {parameters:>11}  {without:>11}  {weights}", known.name);
        let _ = writeln!(text, "    {}", known.description);
    }
    text
}

/// Everything known about a network.
fn details(known: &NetworkJson, hub: &Hub) -> String {
    let mut text = format!("{}: {}\n\n", known.name, known.description);
    let [height, width, channels] = known.input;
    let top = known.parameters_without_top.map(|count| format!("; without the classifier {}", thousands(count)));
    let _ = writeln!(text, "Family         {}", known.family);
    let _ = writeln!(text, "Input          {height}x{width}x{channels}, --preprocessing {}", known.preprocessing);
    let _ = writeln!(text, "Parameters     {}{}", thousands(known.parameters), top.unwrap_or_default());
    let _ = writeln!(text, "Weights        {}", known.weights.text());
    for file in all_published().iter().filter(|file| file.network == known.name) {
        text.push_str(&about(file, hub));
    }
    text
}

/// A weights file, and how to get it.
fn about(file: &PublishedFile, hub: &Hub) -> String {
    let top = if file.with_top { "with the classifier" } else { "without the classifier" };
    let state = match hub.state(file) {
        State::Present => hub.path(file).display().to_string(),
        _ => format!("{} from {}: `{}`", file.size_text(), file.publisher(), file.command()),
    };
    let checksum = match file.checksum {
        Some(checksum) => format!("{} {}", checksum.name(), checksum.digits()),
        None => "no checksum is published".to_owned(),
    };
    format!("  {top}\n      {state}\n      {checksum}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_a_few_words() {
        for (names, expected) in [
            (&["vgg16", "vgg19"][..], "vgg16, vgg19"),
            (&["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"], "resnet{18, 34, 50, 101, 152}"),
            (
                &["efficientnet-b0-torch", "efficientnet-b1-torch", "efficientnet-b7-torch"],
                "efficientnet-b{0, 1, 7}-torch",
            ),
            (&["densenet121-keras", "densenet169-keras", "densenet201-keras"], "densenet{121, 169, 201}-keras"),
            (
                &["mobilenet", "mobilenet-v2", "mobilenet-v3-small", "mobilenet-v3-large"],
                "mobilenet ... mobilenet-v3-large",
            ),
        ] {
            assert_eq!(in_short(names), expected);
        }
    }

    #[test]
    fn every_network_is_of_a_family() {
        for known in applications::ALL {
            assert_ne!(family(known.name), "other", "{}", known.name);
        }
        let families =
            ["efficientnet-lite0", "efficientnet-b0", "wide-resnet50-2", "resnet50v2", "basic-cnn"].map(family);
        assert_eq!(families, ["efficientnet-lite", "efficientnet", "wide-resnet", "resnet", "small"]);
    }
}
