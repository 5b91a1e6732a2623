//! Built-in data: the sample photo, and the bytes of what is built in elsewhere.

use std::borrow::Cow;

use lucida_assets::{Asset, CAT};

use super::{Image, Limits};
use crate::{Error, Result};

/// The built-in photo, 451x300 pixels: a cat called Chelsea (by Stéfan van der Walt, from scikit-image, CC0).
///
/// # Errors
/// None in practice; [`Error::Io`] without the feature `embedded`, when the file cannot be read.
pub fn chelsea() -> Result<Image> {
    Image::decode(&asset_bytes(&CAT)?, CAT.name, &Limits::default())
}

/// Returns the bytes of built-in data.
pub(crate) fn asset_bytes(asset: &Asset) -> Result<Cow<'static, [u8]>> {
    asset.bytes().map_err(|source| Error::io(asset.name, "read the built-in", source))
}
