//! Runs stored by an earlier version open, and finish with the same result as in that version.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{run, text};
use lucida::weights::load_model;

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored")
}

/// A copy of a stored run, with the path of the images in its record updated.
fn copy_of(name: &str, folder: &Path) -> PathBuf {
    let copy = folder.join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(stored().join(name)).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let record = fs::read_to_string(copy.join("run.json")).unwrap();
    let photos = serde_json::to_string(&stored().join("photos")).unwrap();
    fs::write(copy.join("run.json"), record.replace("\"/photos\"", &photos)).unwrap();
    copy
}

/// Resumes a stored run from epoch 3 to 5, and compares the model with that of the earlier version.
fn resumes(name: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let copy = copy_of(name, folder.path());
    let (photos, base) = (stored().join("photos"), stored().join("base.keras"));
    let mut words = vec!["train", text(&photos), "--base", text(&base), "--epochs", "5", "--batch-size", "4"];
    words.extend(["--seed", "7", "--keep-checkpoint", "--resume", "--quiet", "--out", text(&copy)]);
    run(words.iter().chain(options).copied());
    let [resumed, expected] =
        ["model.safetensors", "after-5-epochs.safetensors"].map(|file| load_model(copy.join(file)).unwrap());
    assert_eq!((&resumed.class_names, &resumed.training), (&expected.class_names, &expected.training));
    for (found, expected) in resumed.network.weights().iter().zip(expected.network.weights()) {
        let largest = expected.values().iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (a, b) in found.values().iter().zip(expected.values()) {
            // Identical with the same instruction set.
            assert!((a - b).abs() <= 1e-4 * largest, "{name}: {}: {a} instead of {b}", found.name());
        }
    }
}

#[test]
fn a_head_on_a_frozen_base_is_resumed() {
    resumes("head", &["--augment", "flip,rotation=10"]);
}

#[test]
fn a_training_with_every_option_is_resumed() {
    let optimizer = ["--unfreeze", "norm", "--unfreeze-rate", "0.1", "--ema", "0.9", "--clip-norm", "1"];
    let schedule = ["--early-stopping", "5", "--reduce-on-plateau", "4", "--warmup", "2"];
    let loss = ["--weight-decay", "0.001", "--label-smoothing", "0.1", "--class-weight", "balanced"];
    resumes("tuned", &[&optimizer[..], &schedule, &loss].concat());
}

#[test]
fn a_stored_run_predicts_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, report) = (copy_of("tuned", folder.path()), folder.path().join("report.html"));
    let image = stored().join("photos/rows/1.png");
    let printed = run(["predict", text(&copy), text(&image)]);
    assert!(printed.contains("columns (") && printed.contains("rows ("), "{printed}");
    run(["report", text(&copy), "--out", text(&report), "--quiet"]);
    assert!(fs::read_to_string(&report).unwrap().contains("Confusion matrix"));
    run(["evaluate", text(&copy), "--data", text(&stored().join("photos")), "--quiet"]);
}
