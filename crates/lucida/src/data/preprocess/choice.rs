//! Preprocessing by name: `unit`, `tf`, `caffe`, `torch`, `raw`, or a mean and a standard deviation.
//!
//! The names are those of Keras's `imagenet_utils.preprocess_input`, which are also used for other networks.

use std::fmt;
use std::str::FromStr;

use super::{ColorMode, Filter, Fit, Preprocessing};
use crate::nn::applications::{Architecture, PixelFormat};
use crate::{Error, Result};

/// The parts of a choice, for messages.
const EXPECTED: &str =
    "unit, tf, caffe, torch, raw, or mean=..,std=..; then rgb, bgr, or gray, and stretch, crop, or pad, and digit";

impl PixelFormat {
    /// The format with this name, except [`Digit`](Self::Digit).
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "unit" => Self::Unit,
            // The second names are those of earlier versions.
            "tf" | "symmetric" => Self::Tf,
            "caffe" => Self::Caffe,
            "torch" | "standardised" => Self::Torch,
            "raw" => Self::Raw,
            _ => return None,
        })
    }

    /// The preprocessing of images of `height` x `width` pixels for a network with one or three input channels.
    ///
    /// # Errors
    /// [`Error::Argument`] when the format does not support this number of channels.
    pub fn preprocessing(self, [height, width, channels]: [usize; 3]) -> Result<Preprocessing> {
        let color = Preprocessing::unit(height, width, ColorMode::Rgb);
        let format = match self {
            Self::Unit => color,
            Self::Digit => Preprocessing { digit: true, ..color },
            Self::Raw => Preprocessing { divisor: 1.0, ..color },
            Self::Lite => Preprocessing { divisor: 1.0, mean: vec![127.0; 3], std: vec![128.0; 3], ..color },
            Self::Tf => Preprocessing::inception(height).with_size(height, width),
            Self::Caffe => Preprocessing::vgg().with_size(height, width),
            Self::Torch => Preprocessing::torchvision(height).with_size(height, width),
        };
        format.with_channels(channels)
    }
}

/// Networks of torchvision that were trained with bicubic interpolation.
const BICUBIC: [&str; 9] = [
    "efficientnet-b0-torch",
    "efficientnet-b1-torch",
    "efficientnet-b2-torch",
    "efficientnet-b3-torch",
    "efficientnet-b4-torch",
    "efficientnet-b5-torch",
    "efficientnet-b6-torch",
    "efficientnet-b7-torch",
    "efficientnet-v2-l-torch",
];

impl Architecture {
    /// The published preprocessing of the network, for inputs of this height, width, and number of channels.
    ///
    /// # Errors
    /// As [`PixelFormat::preprocessing`].
    pub fn preprocessing(&self, input: [usize; 3]) -> Result<Preprocessing> {
        let preprocessing = self.pixels.preprocessing(input)?;
        let lite = self.pixels == PixelFormat::Lite;
        let filter = if lite || BICUBIC.contains(&self.name) { Filter::Bicubic } else { Filter::Bilinear };
        Ok(if self.crops() { preprocessing.with_fit(Fit::Crop, filter) } else { preprocessing })
    }
}

/// Preprocessing options in text form: `torch`, `unit,bgr`, `mean=0.5,std=0.5,crop`.
///
/// Parts are separated by commas: a [`PixelFormat`], or `mean` and `std` (one value, or one per channel in channel order;
/// for pixel values from 0 to 255 if one of them is above 1 or after `raw`, otherwise for values from 0 to 1); the channel
/// order (`rgb`, `bgr`, `gray`); how other aspect ratios are fitted (`stretch`, `crop`, `pad`); `digit` for photos of
/// digits, which are normalized as in MNIST. Parts that are not given remain unchanged.
///
/// ```
/// use lucida::data::{Fit, PreprocessingChoice};
/// use lucida::prelude::*;
///
/// let choice: PreprocessingChoice = "torch,crop".parse()?;
/// let preprocessing = choice.apply(Preprocessing::unit(224, 224, ColorMode::Rgb))?;
/// assert_eq!(preprocessing.fit, Fit::Crop);
/// assert_eq!(preprocessing.to_string(), "torch,crop");
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreprocessingChoice {
    format: Option<PixelFormat>,
    mean: Vec<f32>,
    std: Vec<f32>,
    color: Option<ColorMode>,
    fit: Option<Fit>,
    digit: bool,
}

impl FromStr for PreprocessingChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut choice = Self::default();
        // The list that a number without a name belongs to, as in mean=1,2,3,std=4,5,6.
        let mut list: Option<&str> = None;
        for part in text.split(',').map(str::trim) {
            let (name, value) = match part.split_once('=') {
                Some((name @ ("mean" | "std"), value)) => (Some(name), value.trim()),
                _ => (list, part),
            };
            if let (Some(name), Ok(value)) = (name, value.parse::<f32>()) {
                let values = if name == "mean" { &mut choice.mean } else { &mut choice.std };
                values.push(value);
                list = Some(name);
                continue;
            }
            list = None;
            choice.word(part)?;
        }
        choice.check()?;
        Ok(choice)
    }
}

impl PreprocessingChoice {
    fn word(&mut self, word: &str) -> Result<()> {
        let taken = match word {
            "rgb" => self.color.replace(ColorMode::Rgb).is_some(),
            "bgr" => self.color.replace(ColorMode::Bgr).is_some(),
            "gray" => self.color.replace(ColorMode::Grayscale).is_some(),
            "stretch" => self.fit.replace(Fit::Stretch).is_some(),
            "crop" => self.fit.replace(Fit::Crop).is_some(),
            "pad" => self.fit.replace(Fit::Pad).is_some(),
            "digit" => std::mem::replace(&mut self.digit, true),
            word => {
                let unknown = || Error::argument(format!("preprocessing: {word:?} is unknown; expected {EXPECTED}"));
                self.format.replace(PixelFormat::named(word).ok_or_else(unknown)?).is_some()
            }
        };
        match taken {
            true => Err(Error::argument(format!("preprocessing: {word:?} contradicts what stands before it"))),
            false => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        let refuse = |problem: &str| Err(Error::argument(format!("preprocessing: {problem}")));
        for values in [&self.mean, &self.std] {
            if !matches!(values.len(), 0 | 1 | 3) {
                return refuse("mean and std take one value, or three: one per channel");
            }
            if values.iter().any(|value| !value.is_finite()) {
                return refuse("mean and std must be finite numbers");
            }
        }
        if self.std.iter().any(|&value| value <= 0.0) {
            return refuse("std must be above 0");
        }
        let standardizes = !self.mean.is_empty() || !self.std.is_empty();
        if standardizes && !matches!(self.format, None | Some(PixelFormat::Unit | PixelFormat::Raw)) {
            return refuse("mean and std go with unit or raw, or alone: the other names have their own");
        }
        Ok(())
    }

    /// Applies the choice to a preprocessing.
    ///
    /// # Errors
    /// [`Error::Argument`] when it does not fit the number of channels.
    pub fn apply(&self, base: Preprocessing) -> Result<Preprocessing> {
        let Preprocessing { fit, filter, .. } = base;
        let channels = base.color.channels();
        let mut changed = match self.format {
            Some(format) => {
                let [height, width, _] = base.output_shape();
                Preprocessing { fit, filter, ..format.preprocessing([height, width, channels])? }
            }
            None => base,
        };
        if let Some(color) = self.color {
            if color.channels() != channels {
                let said = if color == ColorMode::Grayscale { "gray" } else { "rgb and bgr" };
                return Err(Error::argument(format!(
                    "preprocessing: the network takes {channels} channel(s), which {said} does not have"
                )));
            }
            if color != changed.color {
                // The constants of a known format move with their channels.
                changed.mean.reverse();
                changed.std.reverse();
                changed.color = color;
            }
        }
        if !self.mean.is_empty() || !self.std.is_empty() {
            changed.divisor = self.divisor();
            changed.mean = per_channel(&self.mean, 0.0, channels)?;
            changed.std = per_channel(&self.std, 1.0, channels)?;
        }
        if self.digit && channels != 1 {
            return Err(Error::argument("preprocessing: digit is for gray images, the network takes color images"));
        }
        changed.digit |= self.digit;
        changed.fit = self.fit.unwrap_or(changed.fit);
        changed.check()?;
        Ok(changed)
    }

    /// The divisor that mean and standard deviation refer to.
    fn divisor(&self) -> f32 {
        let of_bytes = self.mean.iter().any(|mean| mean.abs() > 1.0) || self.std.iter().any(|&std| std > 1.0);
        match self.format {
            Some(PixelFormat::Raw) => 1.0,
            None if of_bytes => 1.0,
            _ => 255.0,
        }
    }
}

fn per_channel(values: &[f32], default: f32, channels: usize) -> Result<Vec<f32>> {
    match *values {
        [] => Ok(vec![default; channels]),
        [one] => Ok(vec![one; channels]),
        _ if values.len() == channels => Ok(values.to_vec()),
        _ => Err(Error::argument(format!(
            "preprocessing: {} values of mean or std for {channels} channel(s)",
            values.len()
        ))),
    }
}

/// The text form that [`PreprocessingChoice`] parses: `unit`, or `caffe,crop`; [`Fit::Stretch`] and the default channel
/// order are omitted.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.color.channels();
        let numbers = |other: &Self| (other.divisor, other.mean.clone(), other.std.clone());
        let names = [
            ("unit", PixelFormat::Unit),
            ("raw", PixelFormat::Raw),
            ("tf", PixelFormat::Tf),
            ("caffe", PixelFormat::Caffe),
            ("torch", PixelFormat::Torch),
        ];
        let known = names.into_iter().find(|(_, format)| {
            let usual = format.preprocessing([self.height, self.width, channels]);
            usual.is_ok_and(|usual| {
                numbers(&usual) == numbers(self)
                    && (channels == 1 || *format != PixelFormat::Caffe || usual.color == self.color)
            })
        });
        let usual_color = if known.is_some_and(|(name, _)| name == "caffe") { ColorMode::Bgr } else { ColorMode::Rgb };
        match known {
            Some((name, _)) => f.write_str(name)?,
            None => {
                // In the unit in which it is parsed: for bytes if a value is above 1.
                let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
                let unit = if self.divisor == 255.0 { "unit" } else { "raw" };
                let factor = if self.divisor == 255.0 { 1.0 } else { self.divisor };
                let times = |values: &[f32]| values.iter().map(|value| value * factor).collect::<Vec<_>>();
                write!(f, "{unit},mean={},std={}", list(&times(&self.mean)), list(&times(&self.std)))?;
            }
        }
        if channels == 3 && self.color != usual_color {
            f.write_str(if self.color == ColorMode::Bgr { ",bgr" } else { ",rgb" })?;
        }
        f.write_str(match self.fit {
            Fit::Stretch => "",
            Fit::Crop => ",crop",
            Fit::Pad => ",pad",
        })?;
        f.write_str(if self.digit { ",digit" } else { "" })
    }
}

impl Preprocessing {
    /// A one-line description: `224x224 RGB, values from 0 to 1`.
    pub fn describe(&self) -> String {
        let color = match self.color {
            ColorMode::Grayscale => "gray",
            ColorMode::Rgb => "RGB",
            ColorMode::Bgr => "BGR",
        };
        let [low, high] = self.range();
        let same = |values: &[f32]| values.iter().all(|&value| value == values[0]);
        let values = match same(&self.mean) && same(&self.std) {
            true => format!("values from {low} to {high}"),
            false if same(&self.std) && self.std[0] == 1.0 && self.divisor == 1.0 => "minus the mean color".to_owned(),
            false => "standardized by a mean and a standard deviation per channel".to_owned(),
        };
        let fit = match self.fit {
            Fit::Stretch => "",
            Fit::Crop => ", center crop",
            Fit::Pad => ", padded",
        };
        let digit = if self.digit { ", a digit centered and scaled as MNIST's are" } else { "" };
        format!("{}x{} {color}, {values}{fit}{digit}", self.height, self.width)
    }

    /// The range of the network's input: what 0 and 255 map to, minimum and maximum over the channels.
    pub fn range(&self) -> [f32; 2] {
        let value = |byte: f32| {
            let pairs = self.mean.iter().zip(&self.std);
            pairs.map(move |(mean, std)| (byte / self.divisor - mean) / std).collect::<Vec<_>>()
        };
        [
            value(0.0).into_iter().fold(f32::INFINITY, f32::min),
            value(255.0).into_iter().fold(f32::NEG_INFINITY, f32::max),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Preprocessing {
        Preprocessing::unit(8, 6, ColorMode::Rgb)
    }

    fn chosen(text: &str) -> Preprocessing {
        text.parse::<PreprocessingChoice>().unwrap().apply(base()).unwrap()
    }

    #[test]
    fn names_are_those_of_keras() {
        assert_eq!(chosen("unit"), base());
        assert_eq!(chosen("tf"), Preprocessing::inception(8).with_size(8, 6));
        assert_eq!(chosen("caffe"), Preprocessing::vgg().with_size(8, 6));
        assert_eq!(chosen("torch"), Preprocessing::torchvision(8).with_size(8, 6));
        assert_eq!(chosen("raw"), Preprocessing { divisor: 1.0, ..base() });
        assert_eq!(chosen("crop"), Preprocessing { fit: Fit::Crop, ..base() });
        assert_eq!(chosen("unit, bgr, pad"), Preprocessing { color: ColorMode::Bgr, fit: Fit::Pad, ..base() });
    }

    #[test]
    fn mean_and_std_have_the_unit_that_their_size_says() {
        assert_eq!(chosen("mean=0.5,std=0.5").range(), [-1.0, 1.0]);
        // EfficientNet-Lite: (x - 127) / 128
        assert_eq!(chosen("mean=127,std=128").range(), [-127.0 / 128.0, 1.0]);
        let torch = chosen("mean=0.485,0.456,0.406,std=0.229,0.224,0.225,crop");
        assert_eq!(torch, Preprocessing { fit: Fit::Crop, ..chosen("torch") });
        assert_eq!(chosen("raw,mean=1").range(), [-1.0, 254.0]);
    }

    #[test]
    fn constants_follow_their_channels() {
        let rgb = chosen("caffe,rgb");
        assert_eq!((rgb.mean, rgb.color), (vec![123.68, 116.779, 103.939], ColorMode::Rgb));
        let bgr = chosen("torch,bgr");
        assert_eq!((bgr.mean[0], bgr.std[0]), (0.406, 0.225));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "unit",
            "tf",
            "caffe",
            "torch",
            "raw",
            "unit,bgr",
            "caffe,rgb",
            "torch,crop",
            "mean=127,std=128",
            "tf,pad",
            "mean=0.5,0.25,1,std=1,0.5,0.25,bgr",
        ] {
            let first = chosen(text);
            assert_eq!(chosen(&first.to_string()), first, "{text}: {first}");
        }
        assert_eq!(chosen("torch,crop").to_string(), "torch,crop");
        let gray = Preprocessing::unit(4, 4, ColorMode::Grayscale);
        assert_eq!(gray.to_string(), "unit");
        let digit = Preprocessing::mnist();
        assert_eq!(digit.to_string(), "unit,digit");
        assert_eq!("unit,digit".parse::<PreprocessingChoice>().unwrap().apply(digit.clone()).unwrap(), digit);
        assert!("digit".parse::<PreprocessingChoice>().unwrap().apply(base()).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "unknown"),
            ("keras", "keras"),
            ("unit,raw", "contradicts"),
            ("rgb,bgr", "contradicts"),
            ("mean=1,2", "three"),
            ("std=0", "above 0"),
            ("mean=nan", "finite"),
            ("torch,mean=0.5", "their own"),
            ("mean", "unknown"),
        ] {
            let error = text.parse::<PreprocessingChoice>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let gray = Preprocessing::unit(4, 4, ColorMode::Grayscale);
        for text in ["caffe", "bgr", "mean=1,2,3"] {
            assert!(text.parse::<PreprocessingChoice>().unwrap().apply(gray.clone()).is_err(), "{text}");
        }
        assert!(PixelFormat::Unit.preprocessing([4, 4, 4]).unwrap_err().to_string().contains("4 channels"));
    }

    #[test]
    fn a_line_says_what_goes_in() {
        assert_eq!(base().describe(), "8x6 RGB, values from 0 to 1");
        assert_eq!(chosen("caffe,crop").describe(), "8x6 BGR, minus the mean color, center crop");
        assert_eq!(chosen("tf").describe(), "8x6 RGB, values from -1 to 1");
    }
}
