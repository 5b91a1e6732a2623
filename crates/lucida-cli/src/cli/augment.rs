//! `lucida data augment`

use std::path::PathBuf;

use crate::numbers::whole;
use clap::{Args, ValueHint};
use lucida::data::Augment;

use super::place::FilePlace;
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida data augment cat.jpg
  lucida data augment cat.jpg --augment rotation=20,zoom=0.2,flip,fill=reflect
  lucida data augment cat.jpg dog.jpg --augment mixup=1,cutmix=1 --out mixed.png
  lucida data augment cat.jpg --augment auto --seed 7

As in Keras: rotation=DEGREES, width=FRACTION, height=FRACTION, shear=DEGREES, zoom=FRACTION or zoom=MIN:MAX, channel=VALUE, \
flip, vflip, brightness=MIN:MAX, fill=nearest|reflect|constant|wrap, cval=VALUE. In addition: crop=FRACTION, \
jitter=FRACTION, hue=FRACTION, cutout=FRACTION, mixup=ALPHA, cutmix=ALPHA, and auto for RandAugment.")]
pub(crate) struct DataAugment {
    /// Images, or - for one from standard input; mixup and cutmix mix each with one of the others
    #[arg(value_name = "IMAGE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) images: Vec<PathBuf>,

    /// Data augmentation
    #[arg(
        long,
        value_name = "NAME[=VALUE],...",
        default_value = "rotation=20,width=0.2,height=0.2,shear=10,zoom=0.2,flip"
    )]
    pub(crate) augment: Augment,

    /// Examples per image
    #[arg(long, value_name = "N", default_value = "11", value_parser = whole::<u32>(1..=1000))]
    pub(crate) count: u32,

    /// Height and width of the examples, in pixels
    #[arg(long, value_name = "PIXELS", default_value = "150", value_parser = whole::<u32>(8..=2048))]
    pub(crate) size: u32,

    /// Random seed; example 1 is what the first epoch of a training with this seed gets
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) place: FilePlace,
}
