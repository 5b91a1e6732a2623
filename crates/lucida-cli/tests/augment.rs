//! `data augment` and `train --augment`.

mod common;

use std::fs;

use common::{fail, run, shared, text};
use lucida::data::Image;

#[test]
fn a_sheet_of_examples() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pixels = (0..40 * 30 * 3).map(|i: usize| (i * i % 251) as u8).collect();
    Image::new(40, 30, 3, pixels).unwrap().save_png(at("a.png")).unwrap();
    Image::filled(20, 20, &[200]).save_png(at("b.png")).unwrap();
    let (a, b, sheet) = (at("a.png"), at("b.png"), at("sheet.png"));
    let arguments = ["data", "augment", text(&a), text(&b), "--size", "32", "--count", "5", "--out", text(&sheet)];
    assert_eq!(run(arguments), format!("Written to {}\n", sheet.display()));
    let first = fs::read(&sheet).unwrap();
    assert!(fail(1, arguments).contains("sheet.png already exists; use --force"));
    run(arguments.into_iter().chain(["--force"]));
    assert_eq!(fs::read(&sheet).unwrap(), first, "the same seed gives the same sheet");
    for other in [&["--seed", "7"][..], &["--augment", "auto"], &["--augment", "mixup=1,cutmix=1,cutout=0.3"]] {
        run(arguments.into_iter().chain(["--force"]).chain(other.iter().copied()));
        assert_ne!(fs::read(&sheet).unwrap(), first, "{other:?}");
    }
    fs::write(at("text.png"), "no image").unwrap();
    let message = fail(1, ["data", "augment", text(&at("text.png")), "--out", text(&at("x.png"))]);
    assert!(message.contains("text.png: not an image") && !at("x.png").exists(), "{message}");
    let message = fail(1, ["data", "augment", text(&a), "--out", text(&at("none/x.png"))]);
    assert!(message.ends_with("none: no such folder\n"), "{message}");
}

#[test]
fn digits_are_augmented_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let data = shared().data();
    let train = |name: &str, augment: &[&str]| {
        let out = folder.path().join(name);
        let arguments =
            ["train", "mnist", "--epochs", "1", "--batch-size", "64", "--data", text(&data), "--out", text(&out)];
        let printed = run(arguments.into_iter().chain(augment.iter().copied()));
        (printed, fs::read(out.join("model.safetensors")).unwrap())
    };
    let augment = ["--augment", "rotation=10,width=0.1,zoom=0.1"];
    let (printed, model) = train("a", &augment);
    assert!(printed.contains("Augmentation rotation=10,width=0.1,zoom=0.9:1.1\n"), "{printed}");
    assert_eq!(train("b", &[&augment[..], &["--threads", "2"]].concat()).1.len(), model.len());
    assert_eq!(train("c", &augment).1, model);
    assert_ne!(train("d", &[]).1, model);
    assert!(String::from_utf8_lossy(&model).contains("rotation=10,width=0.1"));
}
