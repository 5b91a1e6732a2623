//! Images of all formats.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lucida::data::{Limits, Picture};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    if let Ok(picture) = Picture::decode(bytes, Path::new("fuzz"), &limits) {
        assert_eq!(picture.pixels().len(), picture.width() * picture.height() * picture.channels());
    }
});
