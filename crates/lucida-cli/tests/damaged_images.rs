//! Damaged image files, on which a decoder may panic: every command names them and processes the others.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, run, stderr, stdout, text};
use lucida::data::Image;

/// A CMYK JPEG with changed bytes, on which zune-jpeg 0.5.15 panics.
const DAMAGED: &[u8] = include_bytes!("../../lucida/tests/pictures/damaged-cmyk.jpg");
const PROBLEM: &str = "damaged.jpg: cannot decode: the Jpeg decoder failed on it";

/// Two easily separable classes of images, and a damaged file.
fn images(folder: &Path) {
    for (class, level) in [("dark", 20), ("light", 220)] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for index in 0..12 {
            let image = Image::filled(28, 28, &[level, level + index, level]);
            image.save_png(folder.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    fs::write(folder.join("dark/damaged.jpg"), DAMAGED).unwrap();
}

#[test]
fn a_training_skips_what_a_decoder_panics_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    images(&data);
    let (data, out) = (text(&data), text(&out));
    // Fewer epochs do not separate the classes, which the prediction below requires.
    let train = ["train", data, "--out", out, "--size", "28", "--batch-size", "8", "--epochs", "20"];
    let output = lucida(train).output().unwrap();
    let (printed, notes) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{notes}");
    assert!(printed.contains("Found 24 images") && printed.contains("1 file skipped"), "{printed}");
    assert!(notes.contains(PROBLEM) && !notes.contains("panicked"), "{notes}");
    let skipped = fs::read_to_string(folder.path().join("run/skipped.csv")).unwrap();
    assert!(skipped.contains("damaged.jpg") && skipped.contains("cannot decode"), "{skipped}");

    let output = lucida(["evaluate", out, "--data", data, "--json"]).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains(PROBLEM), "{}", stderr(&output));
    let output = lucida(["predict", out, "--data", data]).output().unwrap();
    assert!(output.status.success() && stdout(&output).lines().count() >= 24, "{}", stderr(&output));

    // Named on the command line, it is an error, but the other image is still classified.
    let (damaged, good) = (format!("{data}/dark/damaged.jpg"), format!("{data}/dark/0.png"));
    let output = lucida(["predict", out, &damaged, &good]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("dark/0.png: "), "{}", stdout(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains(PROBLEM), "{}", stderr(&output));
    assert!(fail(1, ["explain", out, &damaged]).contains(PROBLEM));
    let strict = lucida(["evaluate", out, "--data", data, "--strict"]).output().unwrap();
    assert!(!strict.status.success() && stderr(&strict).contains(PROBLEM), "{}", stderr(&strict));
}

#[test]
fn floating_point_tiff_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/float.tif");
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    images(&data);
    run(["train", text(&data), "--out", text(&out), "--size", "28", "--batch-size", "8", "--epochs", "1"]);
    let printed = run(["predict", text(&out), text(&path)]);
    assert!(printed.contains("float.tif: "), "{printed}");
}
