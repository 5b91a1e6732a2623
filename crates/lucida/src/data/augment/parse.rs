//! Augmentation in text form: `width=0.2,height=0.2,shear=0.2,zoom=0.2,flip`.

use std::fmt;
use std::str::FromStr;

use super::{Augment, FillMode};
use crate::similar::expected_one_of;
use crate::{Error, Result};

const KNOWN: &str = "rotation, width, height, shear, zoom, channel, flip, vflip, brightness, fill, cval, crop, jitter, hue, \
                     cutout, mixup, cutmix, auto";

impl FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut augment = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            if seen.contains(&name) {
                return Err(Error::argument(format!("augmentation: {name} is there twice")));
            }
            seen.push(name);
            augment.set(name, value)?;
        }
        if seen.is_empty() {
            return Err(Error::argument("augmentation: nothing is said; expected as in rotation=10,width=0.1,flip"));
        }
        augment.check()?;
        Ok(augment)
    }
}

impl Augment {
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let refuse = |expected: &str| {
            let given = value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
            Error::argument(format!("augmentation: {given:?} cannot be used, expected {expected}"))
        };
        let parsed = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let number = |example: &str| value.and_then(parsed).ok_or_else(|| refuse(&format!("as in {name}={example}")));
        let range = |example: &str| {
            let both = value.and_then(|value| match value.split_once(':') {
                Some((least, most)) => Some([parsed(least)?, parsed(most)?]),
                None => parsed(value).map(|part| [1.0 - part, 1.0 + part]),
            });
            both.ok_or_else(|| refuse(&format!("as in {name}={example}")))
        };
        let alone = || if value.is_none() { Ok(true) } else { Err(refuse(&format!("{name} alone"))) };
        match name {
            "rotation" => self.rotation = number("10")?,
            "width" => self.width_shift = number("0.2")?,
            "height" => self.height_shift = number("0.2")?,
            "shear" => self.shear = number("10")?,
            "zoom" => self.zoom = range("0.2 or zoom=0.8:1.1")?,
            "channel" => self.channel_shift = number("20")?,
            "flip" => self.horizontal_flip = alone()?,
            "vflip" => self.vertical_flip = alone()?,
            "brightness" => self.brightness = range("0.2 or brightness=0.8:1.1")?,
            "fill" => {
                self.fill = match value {
                    Some("nearest") => FillMode::Nearest,
                    Some("reflect") => FillMode::Reflect,
                    Some("constant") => FillMode::Constant,
                    Some("wrap") => FillMode::Wrap,
                    _ => return Err(refuse("fill=nearest, reflect, constant or wrap")),
                }
            }
            "cval" => self.fill_value = number("128")?,
            "crop" => self.crop = number("0.5")?,
            "jitter" => self.jitter = number("0.4")?,
            "hue" => self.hue = number("0.05")?,
            "cutout" => self.cutout = number("0.3")?,
            "mixup" => self.mixup = number("0.2")?,
            "cutmix" => self.cutmix = number("1")?,
            "auto" => self.auto = alone()?,
            _ => return Err(Error::argument(format!("unknown augmentation {name:?}{}", expected_one_of(name, KNOWN)))),
        }
        Ok(())
    }
}

/// The text form, without values that have no effect; `none` if there are no others.
impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = Self::default();
        let mut parts = Vec::new();
        let numbers = [
            ("rotation", self.rotation, none.rotation),
            ("width", self.width_shift, none.width_shift),
            ("height", self.height_shift, none.height_shift),
            ("shear", self.shear, none.shear),
            ("channel", self.channel_shift, none.channel_shift),
            ("cval", self.fill_value, none.fill_value),
            ("crop", self.crop, none.crop),
            ("jitter", self.jitter, none.jitter),
            ("hue", self.hue, none.hue),
            ("cutout", self.cutout, none.cutout),
            ("mixup", self.mixup, none.mixup),
            ("cutmix", self.cutmix, none.cutmix),
        ];
        parts.extend(
            numbers.iter().filter(|(_, value, none)| value != none).map(|(name, value, _)| format!("{name}={value}")),
        );
        for (name, [least, most]) in [("zoom", self.zoom), ("brightness", self.brightness)] {
            if [least, most] != [1.0; 2] {
                parts.push(format!("{name}={least}:{most}"));
            }
        }
        let switches = [("flip", self.horizontal_flip), ("vflip", self.vertical_flip), ("auto", self.auto)];
        parts.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
        if self.fill != none.fill {
            parts.push(format!("fill={}", format!("{:?}", self.fill).to_lowercase()));
        }
        f.write_str(if parts.is_empty() { "none".to_owned() } else { parts.join(",") }.as_str())
    }
}
