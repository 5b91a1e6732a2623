//! IDX files, plain and gzipped.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lucida::data::Limits;
use lucida::data::idx::{Content, parse};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { unpacked_bytes: 16 << 20, ..Limits::default() };
    for content in [Content::Images, Content::Labels, Content::Any] {
        if let Ok(found) = parse(bytes, Path::new("fuzz"), content, &limits) {
            assert_eq!(found.dims.iter().product::<usize>(), found.data.len());
        }
    }
});
