//! Argument types with their own syntax.

use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, Command, ValueHint};
use lucida::data::PreprocessingChoice;
use lucida::nn::applications;
use lucida::weights::{CLASSIFIER, IncludeTop, ModelSpec, Task};

use crate::exit;

/// The model of a command, whatever it does with it.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ModelArguments {
    /// Model file, run folder, or name of a known network (see `lucida models`)
    #[arg(value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new(), default_value = CLASSIFIER)]
    pub(crate) model: String,

    /// Weights file, if MODEL is the name of a network [default: the downloaded weights]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "network")]
    pub(crate) weights: Option<PathBuf>,

    /// Name of the network, if MODEL is a file with weights only (see `lucida models`)
    #[arg(long, value_name = "NAME", value_parser = known_networks(), hide_possible_values = true)]
    pub(crate) network: Option<String>,

    /// Input size in pixels: 224, or HEIGHTxWIDTH such as 480x640 [default: the model's]
    #[arg(long)]
    pub(crate) size: Option<Size>,

    #[command(flatten)]
    pub(crate) meaning: MeaningArguments,
}

/// Help heading of the options in [`MeaningArguments`].
const MEANING: &str = "Input and output of the model";

/// What a model's file may not say: what goes in and what comes out.
#[derive(Debug, Clone, PartialEq, Default, Args)]
pub(crate) struct MeaningArguments {
    /// Preprocessing of images: unit (0..1), tf (-1..1), caffe (BGR minus the mean color), torch (ImageNet mean and std),
    /// raw (0..255), or mean=..,std=..; then rgb, bgr or gray, and stretch, crop or pad, separated by commas [default: the
    /// model's, else by its name and first layers, else unit]
    #[arg(long, value_name = "FORMAT", help_heading = MEANING)]
    pub(crate) preprocessing: Option<PreprocessingChoice>,

    /// File with class names: one per line, a JSON list, or Keras's class_indices [default: the model's, else labels.txt
    /// next to it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = MEANING)]
    pub(crate) classes: Option<PathBuf>,

    /// Meaning of the outputs: classify (softmax, or one sigmoid for two classes), multilabel (one sigmoid per label), regress,
    /// or features [default: by the last layers]
    #[arg(long, value_name = "TASK", value_parser = tasks(), help_heading = MEANING)]
    pub(crate) task: Option<Task>,
}

impl MeaningArguments {
    /// A model spec with these options and everything else at its default.
    pub(crate) fn spec(&self) -> ModelSpec {
        let Self { preprocessing, classes, task } = self.clone();
        ModelSpec { preprocessing, classes, task, ..ModelSpec::default() }
    }
}

/// Parser of task names.
fn tasks() -> impl TypedValueParser<Value = Task> {
    PossibleValuesParser::new(Task::ALL.map(|(name, _)| name)).try_map(|name| name.parse::<Task>())
}

impl ModelArguments {
    /// The model spec for the library.
    pub(crate) fn spec(&self, top: IncludeTop) -> ModelSpec {
        ModelSpec {
            model: self.model.clone(),
            weights: self.weights.clone(),
            network: self.network.clone(),
            size: self.size.map(|size| [size.height, size.width]),
            top,
            ..self.meaning.spec()
        }
    }
}

/// Parser of network names. The names used by Keras, torchvision and timm are accepted too, but neither listed nor
/// completed.
#[derive(Debug, Clone)]
pub(crate) struct KnownNetworks(PossibleValuesParser);

pub(crate) fn known_networks() -> KnownNetworks {
    KnownNetworks(PossibleValuesParser::new(applications::ALL.iter().map(|known| known.name)))
}

impl TypedValueParser for KnownNetworks {
    type Value = String;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        match value.to_str() {
            Some(name) if applications::find(name).is_ok() => Ok(name.to_owned()),
            _ => self.0.parse_ref(cmd, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// Image size: `224`, or `480x640` (height x width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=8192).contains(side));
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Ok(Self { height, width }),
            _ => Err("expected a size in pixels from 1 to 8192, as in 224 or 480x640".to_owned()),
        }
    }
}

/// A data set: `mnist` (built in), `mnist:DIR` (read from a folder), or a folder of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// MNIST, built in or read from a folder.
    Mnist(Option<PathBuf>),
    /// A folder of images, with or without a subfolder per class.
    Folder(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "mnist" => Ok(Self::Mnist(None)),
            Some(("mnist", "")) => Err("the folder after `mnist:` is missing".to_owned()),
            Some(("mnist", folder)) => Ok(Self::Mnist(Some(folder.into()))),
            // A bare word that does not name a folder is a typo on the command line; a path is checked when it is opened.
            _ if text.contains(['/', '\\', '.']) || Path::new(text).is_dir() => Ok(Self::Folder(text.into())),
            _ => {
                let near = exit::did_you_mean_data(text);
                Err(format!(
                    "there is no folder {text:?}; expected mnist (the built-in digits), mnist:DIR (a folder with MNIST's \
                     files) or a folder of images{near}"
                ))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mnist(None) => f.write_str("mnist"),
            Self::Mnist(Some(folder)) => write!(f, "mnist:{}", folder.display()),
            Self::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// Positions in a data set: `3`, `0..10` (10 excluded), `0,5,9`, or a comma-separated mix of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Indices(Vec<Range<usize>>);

impl Indices {
    /// The position, if there is exactly one.
    pub(crate) fn only(&self) -> Option<usize> {
        match self.0.as_slice() {
            [one] if one.len() == 1 => Some(one.start),
            _ => None,
        }
    }

    /// The positions in the given order if all are below `len`; otherwise the first that is not.
    pub(crate) fn below(&self, len: usize) -> Result<Vec<usize>, usize> {
        for range in &self.0 {
            // Checked before anything is collected: a range may be longer than memory.
            if range.end > len {
                return Err(range.start.max(len));
            }
        }
        Ok(self.0.iter().cloned().flatten().collect())
    }
}

impl FromStr for Indices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| -> Result<usize, String> {
            let number = text.parse().ok().filter(|&number| number < usize::MAX);
            number.ok_or_else(|| {
                format!("expected positions from 0 up, as in 3, 0..10 (without 10) or 0,5,9; {text:?} is not one")
            })
        };
        let ranges = text.split(',').map(|part| {
            let Some((start, end)) = part.split_once("..") else {
                let at = number(part)?;
                return Ok(at..at + 1);
            };
            let range = number(start)?..number(end)?;
            if range.is_empty() {
                Err(format!("{part} is empty; expected the smaller number first, as in 0..10"))
            } else {
                Ok(range)
            }
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

/// A selection: `all`, `0,3,11`, `0..16`, or `random:8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    These(Indices),
    Random(usize),
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("random", count)) => {
                let count = count.parse().ok().filter(|&count| count > 0);
                count
                    .map(Self::Random)
                    .ok_or_else(|| "expected a number of 1 or more after random:, as in random:8".to_owned())
            }
            _ => text.parse().map(Self::These).map_err(|problem| format!("{problem}; or all, or random:8")),
        }
    }
}

/// Classes by index or by name: `tabby,goldfinch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClassChoice {
    Numbered(Selection),
    Named(String),
}

impl FromStr for ClassChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(choice) => Ok(Self::Numbered(choice)),
            Err(problem) if text.contains("..") || text.starts_with("random:") => Err(problem),
            Err(_) => Ok(Self::Named(text.to_owned())),
        }
    }
}

/// A position in a feature map: `ROW,COLUMN`, or `middle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) Option<[usize; 2]>);

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "middle" {
            return Ok(Self(None));
        }
        let position = text.split_once(',').and_then(|(row, column)| Some([row.parse().ok()?, column.parse().ok()?]));
        position
            .map(|position| Self(Some(position)))
            .ok_or_else(|| "expected ROW,COLUMN as in 3,4, or middle".to_owned())
    }
}

/// A weighted sum of filters: `3:1,7:-0.5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Direction(pub(crate) Vec<(usize, f32)>);

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (filter, weight) = part.split_once(':')?;
            Some((filter.parse().ok()?, weight.parse().ok().filter(|weight: &f32| weight.is_finite())?))
        };
        let parts = text.split(',').map(part).collect::<Option<Vec<_>>>();
        parts.map(Self).ok_or_else(|| "expected FILTER:WEIGHT,... as in 3:1,7:-0.5".to_owned())
    }
}

/// A count: a number, or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) Option<usize>);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "all" => Ok(Self(None)),
            Ok(count @ 1..) => Ok(Self(Some(count))),
            _ => Err("expected a number of 1 or more, or all, as in 8".to_owned()),
        }
    }
}

/// Class weights: `balanced`, or `cats=1,dogs=2.5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClassWeights {
    Balanced,
    Named(Vec<(String, f32)>),
}

impl FromStr for ClassWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "balanced" {
            return Ok(Self::Balanced);
        }
        let one = |part: &str| {
            let (name, weight) = part.rsplit_once('=')?;
            Some((name.to_owned(), weight.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight >= 0.0)?))
        };
        let all = text.split(',').map(one).collect::<Option<Vec<_>>>();
        all.map(Self::Named).ok_or_else(|| "expected balanced, or NAME=WEIGHT,... as in cats=1,dogs=2.5".to_owned())
    }
}

/// A number of bytes: `800M`, `2G`, `1.5G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a size as in 800M or 2G".to_owned();
        let upper = text.to_ascii_uppercase();
        let digits = upper.strip_suffix('B').unwrap_or(&upper);
        let (number, unit) = match digits.strip_suffix(['K', 'M', 'G', 'T']) {
            Some(number) => (number, 1_u64 << (10 * (1 + "KMGT".find(&digits[number.len()..]).unwrap_or(0)))),
            None => (digits, 1),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * unit as f64;
        if (1.0..1e18).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

/// The initial image: `content`, `noise`, or an image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartArgument {
    Content,
    Noise,
    File(PathBuf),
}

impl FromStr for StartArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "content" => Ok(Self::Content),
            "noise" => Ok(Self::Noise),
            _ if text.contains(['/', '\\', '.']) => Ok(Self::File(text.into())),
            _ => Err("expected content, noise, or an image file, as in start.png".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_names_of_their_libraries_too() {
        let parse = |name: &str| known_networks().parse_ref(&Command::new("lucida"), None, OsStr::new(name));
        for name in ["vgg16", "MobileNetV2", "mobilenet_v2", "tf_mobilenetv3_large_100"] {
            assert_eq!(parse(name).unwrap(), name);
        }
        assert!(parse("mobilenet_v9").is_err());
    }

    #[test]
    fn sources() {
        let parse = |text: &str| text.parse::<Source>();
        assert_eq!(parse("mnist"), Ok(Source::Mnist(None)));
        assert_eq!(parse("mnist:C:\\data"), Ok(Source::Mnist(Some("C:\\data".into()))));
        assert_eq!(parse("mnist:../x").unwrap().to_string(), "mnist:../x");
        assert_eq!(parse("src").unwrap(), Source::Folder("src".into()));
        assert_eq!(parse("./src").unwrap().to_string(), "./src");
        for wrong in ["", "MNIST", "mnist:", "cifar", "mnistx:a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn indices() {
        let parse = |text: &str| text.parse::<Indices>();
        assert_eq!(parse("3").unwrap().below(10), Ok(vec![3]));
        assert_eq!(parse("0..4").unwrap().below(10), Ok(vec![0, 1, 2, 3]));
        assert_eq!(parse("9,0,2..4").unwrap().below(10), Ok(vec![9, 0, 2, 3]));
        assert_eq!(parse("0..11").unwrap().below(10), Err(10));
        assert_eq!(parse("12..13").unwrap().below(10), Err(12));
        assert_eq!(parse("0..999999999999").unwrap().below(10), Err(10));
        for wrong in ["", "a", "-1", "3..", "..3", "5..5", "5..4", "1,,2", "1,", "0x3", "18446744073709551615"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn choices() {
        assert_eq!("all".parse(), Ok(Selection::All));
        assert_eq!("random:8".parse(), Ok(Selection::Random(8)));
        assert_eq!("0,3".parse(), Ok(Selection::These("0,3".parse().unwrap())));
        for wrong in ["", "some", "random:", "random:0", "random:-1", "1:2"] {
            assert!(wrong.parse::<Selection>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn positions_and_directions() {
        assert_eq!("3,4".parse(), Ok(Position(Some([3, 4]))));
        assert_eq!("middle".parse(), Ok(Position(None)));
        assert!("3".parse::<Position>().is_err() && "3,-1".parse::<Position>().is_err());
        assert_eq!("3:1,7:-0.5".parse(), Ok(Direction(vec![(3, 1.0), (7, -0.5)])));
        for wrong in ["", "3", "3:", "3:x", "3:inf", "a:1"] {
            assert!(wrong.parse::<Direction>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        let parse = |text: &str| text.parse::<Size>();
        assert_eq!(parse("224"), Ok(Size { height: 224, width: 224 }));
        assert_eq!(parse("480x640"), Ok(Size { height: 480, width: 640 }));
        for wrong in ["", "0", "x", "480x", "x640", "1x2x3", "-5", "9000", "2.5", "99999999999999999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts() {
        assert_eq!("all".parse(), Ok(Amount(None)));
        assert_eq!("8".parse(), Ok(Amount(Some(8))));
        assert!(["", "0", "-1", "some"].iter().all(|text| text.parse::<Amount>().is_err()));
    }

    #[test]
    fn weights_of_classes() {
        let parse = |text: &str| text.parse::<ClassWeights>();
        assert_eq!(parse("balanced"), Ok(ClassWeights::Balanced));
        assert_eq!(parse("a=b=1,c=2.5"), Ok(ClassWeights::Named(vec![("a=b".into(), 1.0), ("c".into(), 2.5)])));
        for wrong in ["", "cats", "cats=", "cats=-1", "cats=nan", "cats=1,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_in_bytes() {
        assert_eq!("2G".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("1.5g".parse(), Ok(Bytes(3 << 29)));
        assert_eq!("800MB".parse(), Ok(Bytes(800 << 20)));
        assert_eq!("4096".parse(), Ok(Bytes(4096)));
        for wrong in ["", "G", "-1G", "0", "2X", "nan", "infG", "1e30T", "much"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn starts() {
        assert_eq!("noise".parse(), Ok(StartArgument::Noise));
        assert_eq!("a.png".parse(), Ok(StartArgument::File("a.png".into())));
        assert!("random".parse::<StartArgument>().is_err());
    }
}
