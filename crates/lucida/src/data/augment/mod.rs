//! Data augmentation.
//!
//! The first group has the names and semantics of Keras's `ImageDataGenerator`: rotation, shifts, shear, zoom, channel
//! shift, flips, brightness. All geometric operations are combined into one affine map about the center of the image, so
//! that each pixel is interpolated once. There are two differences. Keras's generator shifts columns by
//! `height_shift_range` and rows by `width_shift_range`; here the names mean what they say. And Keras swaps the coordinates
//! of the center of a non-square image; here it is the true center.
//!
//! The second group is newer: random crops, color jitter, cutout (T. DeVries and G. Taylor, 2017), mixup (H. Zhang and
//! others, 2018), CutMix (S. Yun and others, 2019), RandAugment (E. Cubuk and others, 2020).
//!
//! The augmentation of an image depends only on the seed, the epoch and the index of the image in its set: any number of
//! threads gives the same batches, and so does resuming a training run.

mod affine;
mod color;
mod mix;
mod parse;
mod rand_augment;
mod sample;
mod set;
mod sheet;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use affine::{Affine, FillMode};
pub use set::{Augmented, MixedSample};

/// Data augmentation. [`Augment::default`] does not change images.
///
/// It is parsed from text such as `width=0.2,height=0.2,shear=0.2,zoom=0.2,flip`; `auto` stands for RandAugment.
///
/// ```
/// use lucida::prelude::*;
///
/// let augment: Augment = "rotation=10,width=0.1,zoom=0.2,flip".parse()?;
/// assert_eq!((augment.rotation, augment.zoom, augment.horizontal_flip), (10.0, [0.8, 1.2], true));
/// assert!("rotate=10".parse::<Augment>().is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// `rotation=DEGREES`: rotation by up to this in either direction.
    pub rotation: f64,
    /// `width=PART`: horizontal shift by up to this fraction of the width in either direction; from 1 up, in pixels.
    pub width_shift: f64,
    /// `height=PART`: vertical shift, likewise.
    pub height_shift: f64,
    /// `shear=DEGREES`: shear by up to this in either direction. The 0.2 of Keras's example is a fifth of a degree.
    pub shear: f64,
    /// `zoom=PART` or `zoom=LEAST:MOST`: the visible fraction of each side, drawn independently; 0.2 is 0.8:1.2.
    pub zoom: [f64; 2],
    /// `channel=VALUE`: shift of all values of an image by up to this (of 255), clipped to its range.
    pub channel_shift: f64,
    /// `flip`: horizontal flip with probability 1/2.
    pub horizontal_flip: bool,
    /// `vflip`: vertical flip with probability 1/2.
    pub vertical_flip: bool,
    /// `brightness=LEAST:MOST` or `brightness=PART`: multiplication of all values by a factor; 0.2 is 0.8:1.2.
    pub brightness: [f64; 2],
    /// `fill=nearest|reflect|constant|wrap`: the values beyond the edges.
    pub fill: FillMode,
    /// `cval=VALUE`: the value for `fill=constant`, 0 to 255.
    pub fill_value: f64,
    /// `crop=PART`: a random crop of at least this fraction of the area, with an aspect ratio of 3:4 to 4:3, resized to the
    /// full size.
    pub crop: f64,
    /// `jitter=PART`: brightness, contrast and saturation, each scaled by 1 - PART to 1 + PART.
    pub jitter: f64,
    /// `hue=PART`: hue rotation by up to this fraction of the color circle in either direction, at most 0.5.
    pub hue: f64,
    /// `cutout=PART`: a square with this fraction of the shorter side is covered with the mean color.
    pub cutout: f64,
    /// `mixup=ALPHA`: each image is blended with another one, with a weight from the distribution Beta(ALPHA, ALPHA).
    pub mixup: f64,
    /// `cutmix=ALPHA`: a rectangle of each image is replaced with that of another, with an area from the same distribution.
    pub cutmix: f64,
    /// `auto`: RandAugment, two random operations of magnitude 9 of 30. Flips are not included.
    pub auto: bool,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            rotation: 0.0,
            width_shift: 0.0,
            height_shift: 0.0,
            shear: 0.0,
            zoom: [1.0; 2],
            channel_shift: 0.0,
            horizontal_flip: false,
            vertical_flip: false,
            brightness: [1.0; 2],
            fill: FillMode::Nearest,
            fill_value: 0.0,
            crop: 1.0,
            jitter: 0.0,
            hue: 0.0,
            cutout: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            auto: false,
        }
    }
}

impl Augment {
    /// Whether images are left unchanged.
    pub fn is_none(&self) -> bool {
        // Without a geometric operation, the fill mode does not matter.
        *self == Self { fill: self.fill, fill_value: self.fill_value, ..Self::default() }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first invalid value and its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("rotation", self.rotation, 0.0, 360.0),
            ("width", self.width_shift, 0.0, 8192.0),
            ("height", self.height_shift, 0.0, 8192.0),
            // A shear of 90° would collapse the image.
            ("shear", self.shear, 0.0, 80.0),
            ("zoom", self.zoom[0], 0.01, 100.0),
            ("zoom", self.zoom[1], 0.01, 100.0),
            ("channel", self.channel_shift, 0.0, 255.0),
            ("brightness", self.brightness[0], 0.0, 100.0),
            ("brightness", self.brightness[1], 0.0, 100.0),
            ("cval", self.fill_value, 0.0, 255.0),
            ("crop", self.crop, 0.01, 1.0),
            ("jitter", self.jitter, 0.0, 1.0),
            ("hue", self.hue, 0.0, 0.5),
            ("cutout", self.cutout, 0.0, 1.0),
            ("mixup", self.mixup, 0.0, 4.0),
            ("cutmix", self.cutmix, 0.0, 4.0),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::argument(format!("augmentation: {name} is {value}, it must be {least} to {most}")));
            }
        }
        for (name, [least, most]) in [("zoom", self.zoom), ("brightness", self.brightness)] {
            if least > most {
                return Err(Error::argument(format!("augmentation: {name} goes from {least} down to {most}")));
            }
        }
        Ok(())
    }
}
