//! Images of all formats.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lucida::data::{Image, Limits};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    if let Ok(image) = Image::decode(bytes, Path::new("fuzz"), &limits) {
        assert_eq!(image.pixels().len(), image.width() * image.height() * image.channels());
    }
});
