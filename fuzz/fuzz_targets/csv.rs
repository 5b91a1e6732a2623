//! Tables of labels for a folder of three images.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use lucida::data::{Dataset, Folder, Image, LabelSource};
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, level) in [("a", 10), ("b", 100), ("c", 200)] {
            let png = Image::filled(2, 2, &[level]).png_bytes().expect("an image in memory");
            fs::write(folder.path().join(name).with_extension("png"), png).expect("a file");
        }
        folder
    };
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let table = folder.path().join("labels.csv");
        fs::write(&table, bytes).expect("a file with the bytes");
        let source = LabelSource { table: Some(table), ..LabelSource::default() };
        if let Ok(found) = Folder::builder(folder.path()).labels(&source).split(0.34, 1).open() {
            for set in [&found.train, &found.validation] {
                assert!((0..set.len()).all(|index| set.target(index).len() == set.targets().row_len()));
                assert!((0..set.len()).all(|index| set.targets().row_len() > 0 || set.label(index) < set.class_names().len()));
            }
        }
    });
});
