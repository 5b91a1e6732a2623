//! Other images of the same things: what training on a few photos lives on.
//!
//! The first group has Keras's names and meaning (`ImageDataGenerator`): rotation, shifts, shear, zoom, channel shift,
//! flips, brightness. What moves pixels is put together into one affine map about the center of the image, so that each
//! pixel is interpolated once. There are two differences. Keras's generator shifts columns by `height_shift_range` and rows
//! by `width_shift_range`; here the names mean what they say. And Keras takes the center of an image that is not square for
//! that of its mirror image; here it is the center.
//!
//! The second group is newer: random crops, color jitter, cutout (T. DeVries and G. Taylor, 2017), mixup (H. Zhang and
//! others, 2018), CutMix (S. Yun and others, 2019), RandAugment (E. Cubuk and others, 2020).
//!
//! What happens to an image is drawn from the seed, the epoch and the number of the image in its set, and from nothing
//! else: any number of threads gives the same batches, and so does a training that resumes after an interruption.

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
pub use set::{Augmented, Mixed};

/// Data augmentation. [`Augment::default`] leaves images as they are.
///
/// It is read from a text as in `width=0.2,height=0.2,shear=0.2,zoom=0.2,flip`; `auto` stands for RandAugment.
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
    /// `rotation=DEGREES`: turned by up to so much either way.
    pub rotation: f64,
    /// `width=PART`: shifted along the rows by up to so much of the width either way; from 1 on, in pixels.
    pub width_shift: f64,
    /// `height=PART`: shifted along the columns, likewise.
    pub height_shift: f64,
    /// `shear=DEGREES`: slanted by up to so much either way. Keras's example of 0.2 is a fifth of a degree.
    pub shear: f64,
    /// `zoom=PART` or `zoom=LEAST:MOST`: how much of the image is seen along each side, drawn for each; 0.2 is 0.8:1.2.
    pub zoom: [f64; 2],
    /// `channel=VALUE`: all values of an image up or down by up to so much (of 255), within those it has.
    pub channel_shift: f64,
    /// `flip`: left and right exchanged in one of two images.
    pub horizontal_flip: bool,
    /// `vflip`: top and bottom exchanged in one of two images.
    pub vertical_flip: bool,
    /// `brightness=LEAST:MOST` or `brightness=PART`: all values times a factor; 0.2 is 0.8:1.2.
    pub brightness: [f64; 2],
    /// `fill=nearest|reflect|constant|wrap`: what is seen beyond the edges.
    pub fill: FillMode,
    /// `cval=VALUE`: what `fill=constant` fills with, 0 to 255.
    pub fill_value: f64,
    /// `crop=PART`: a random part of at least so much of the area, 3:4 to 4:3 in shape, at the size of the whole.
    pub crop: f64,
    /// `jitter=PART`: brightness, contrast and saturation each times 1 - PART to 1 + PART.
    pub jitter: f64,
    /// `hue=PART`: the hue turned by up to so much of the circle either way, at most 0.5.
    pub hue: f64,
    /// `cutout=PART`: a square of so much of the shorter side is covered with the mean color.
    pub cutout: f64,
    /// `mixup=ALPHA`: each image is laid over another one, by a share of the distribution Beta(ALPHA, ALPHA).
    pub mixup: f64,
    /// `cutmix=ALPHA`: a rectangle of each image is replaced by that of another, its area a share of the same kind.
    pub cutmix: f64,
    /// `auto`: RandAugment, two random operations of magnitude 9 of 30. Flips are not among them.
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
    /// Whether images are left as they are.
    pub fn is_none(&self) -> bool {
        // What to fill with does not matter when nothing is to be filled.
        *self == Self { fill: self.fill, fill_value: self.fill_value, ..Self::default() }
    }

    /// Whether the values can be used.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first one that cannot, and its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("rotation", self.rotation, 0.0, 360.0),
            ("width", self.width_shift, 0.0, 8192.0),
            ("height", self.height_shift, 0.0, 8192.0),
            // At a right angle nothing is left of the image.
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
