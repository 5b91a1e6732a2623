//! Runs the parsers of a model format on a temporary file: they take paths, because large files are read in place.

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use lucida::Result;
use lucida::nn::Network;
use lucida::nn::applications::{Options, find};
use lucida::weights::{Inspection, Model};
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file"));
}

/// Writes the bytes to a file, and reads it in all ways that a format supports.
pub fn read_all(
    bytes: &[u8],
    inspect: fn(&Path) -> Result<Inspection>,
    load_model: fn(&Path) -> Result<Model>,
    load_weights: fn(&Path, &mut Network) -> Result<()>,
) {
    FILE.with_borrow_mut(|file| {
        let handle = file.as_file_mut();
        handle.set_len(0).and_then(|()| handle.seek(SeekFrom::Start(0))).expect("an empty file");
        handle.write_all(bytes).expect("a file with the bytes");
        let mut network = find("lenet5").and_then(|known| known.build(&Options::default())).expect("a known network");
        if let Ok(found) = inspect(file.path()) {
            let _ = found.parameters();
        }
        if let Ok(model) = load_model(file.path()) {
            model.check().expect("a model that is usable");
        }
        let _ = load_weights(file.path(), &mut network);
    });
}
