//! `lucida style-train` on small crops with the built-in loss network, and uses of the files it writes.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, stderr, text};
use lucida::data::Image;
use lucida::style::FeedForwardStyle;
use tempfile::TempDir;

const SHORT: [&str; 8] = ["--crop", "32", "--steps", "6", "--batch-size", "1", "--style-scale", "0.2"];

/// An image with a color wave pattern.
fn image(side: usize, seed: f32) -> Image {
    let value = |i: usize| (128.0 + 100.0 * (i as f32 * 0.037 * seed + (i / (3 * side)) as f32 * 0.2).sin()) as u8;
    Image::new(side, side, 3, (0..3 * side * side).map(value).collect()).unwrap()
}

/// A folder with two style images and photos.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    image(80, 3.1).save_png(folder.path().join("waves.png")).unwrap();
    image(90, 0.7).save_png(folder.path().join("night.png")).unwrap();
    Image::filled(4, 4, &[9, 9, 9]).save_png(folder.path().join("dot.png")).unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    (1..=3).for_each(|number| image(64, number as f32).save_png(photos.join(format!("{number}.png"))).unwrap());
    folder
}

/// The command line of a short training run with these style images from the folder.
fn short(folder: &Path, styles: &[&str], out: &str, more: &[&str]) -> Vec<String> {
    let path = |name: &str| text(&folder.join(name)).to_owned();
    let mut all = vec!["style-train".to_owned()];
    all.extend(styles.iter().map(|style| path(style)));
    all.extend(["--content".to_owned(), path("photos"), "-o".to_owned(), path(out)]);
    all.extend(SHORT.iter().chain(more).map(|word| (*word).to_owned()));
    all
}

fn words(all: &[String]) -> impl Iterator<Item = &str> {
    all.iter().map(String::as_str)
}

#[test]
fn a_network_of_two_styles_and_its_report() {
    let folder = folder();
    let place = folder.path();
    fs::write(place.join("photos/broken.jpg"), "no image").unwrap();
    let all = short(place, &["waves.png", "night.png"], "two.lucida", &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&run(words(&all))).unwrap();
    assert_eq!((&answer["steps"], &answer["skipped"], &answer["stopped"]), (&6.into(), &1.into(), &false.into()));
    let style = FeedForwardStyle::open(place.join("two.lucida")).unwrap();
    assert_eq!(style.names(), ["waves", "night"]);
    assert_eq!(style.training()["steps"], 6);
    let previews: Vec<String> = (1..=6).map(|step| format!("preview-{step:05}.png")).collect();
    let written = names(&place.join("two-training"));
    assert!(previews.iter().all(|name| written.contains(name)), "{written:?}");
    assert!(!written.contains(&"checkpoint.safetensors".to_owned()), "it is finished");
    let report = fs::read_to_string(place.join("two-training/report.html")).unwrap();
    assert!(report.contains("waves, night") && report.contains("broken.jpg") && report.contains("6 steps"));
    // All other commands accept the file as a model.
    let summary = run(["summary", text(&place.join("two.lucida"))]);
    assert!(summary.contains("residual5_2_norm"), "{summary}");
    // A second run writes identical bytes.
    let again = short(place, &["waves.png", "night.png"], "again.lucida", &[]);
    run(words(&again));
    assert_eq!(fs::read(place.join("two.lucida")).unwrap(), fs::read(place.join("again.lucida")).unwrap());
    let finished = short(place, &["waves.png", "night.png"], "again.lucida", &["--resume"]);
    let message = fail(1, words(&finished));
    assert!(message.contains("is finished, after 6 steps"), "{message}");
    assert!(report.contains("After 6 steps; rows: waves, night; columns: 1.png, 2.png, 3.png"));
    assert!(report.contains("<dt>Content weight</dt><dd>1</dd>"));
    let message = fail(1, words(&again));
    assert!(message.contains("again.lucida already exists") && message.contains("--force"), "{message}");
    run(words(&short(place, &["waves.png", "night.png"], "again.lucida", &["--force"])));
}

#[test]
fn styles_are_converted_for_images_of_any_size() {
    let folder = folder();
    let place = folder.path();
    run(words(&short(place, &["waves.png", "night.png"], "two.lucida", &[])));
    let (two, onnx) = (place.join("two.lucida"), place.join("two.onnx"));
    let convert =
        |mix: &str| lucida(["weights", "convert", text(&two), text(&onnx), "--force", "--mix", mix]).output().unwrap();
    let told = convert("waves=0.7,night=0.3");
    assert!(told.status.success(), "{}", stderr(&told));
    assert!(!stderr(&told).contains("converting waves"), "{}", stderr(&told));
    let first = lucida(["weights", "convert", text(&two), text(&onnx), "--force"]).output().unwrap();
    assert!(stderr(&first).contains("converting waves: --mix"), "{}", stderr(&first));
    assert!(convert("waves=0.7,night=0.3").status.success());
    let pth = place.join("two.pth");
    let note = lucida(["weights", "convert", text(&two), text(&pth)]).output().unwrap();
    assert!(stderr(&note).contains("no network"), "{}", stderr(&note));
    let message = fail(1, ["style", text(&place.join("waves.png")), "--fast", text(&pth)]);
    assert!(message.contains("fast_neural_style") && !message.contains("--network"), "{message}");
    let bytes = fs::read(&onnx).unwrap();
    assert!(bytes.windows(6).any(|window| window == b"height"), "a dimension that is open");
    // The written file opens again, as the mixed network.
    let style = FeedForwardStyle::open(&two).unwrap();
    let mixed = style.model(&style.mix(&[("waves", 0.7), ("night", 0.3)]).unwrap()).unwrap();
    let model = lucida::weights::load_model(&onnx).unwrap();
    for (ours, theirs) in mixed.network.weights().iter().zip(model.network.weights()) {
        assert_eq!((ours.name(), ours.values()), (theirs.name(), theirs.values()));
    }
    let refused = convert("wave=1");
    assert!(!refused.status.success() && stderr(&refused).contains("did you mean waves?"), "{}", stderr(&refused));
    let message = fail(1, ["weights", "convert", "mnist-cnn", text(&place.join("x.onnx")), "--mix", "a"]);
    assert!(message.contains("--mix"), "{message}");
}

#[test]
fn what_cannot_be_trained_says_why_and_leaves_nothing() {
    let folder = folder();
    let place = folder.path();
    let refused = |styles: &[&str], more: &[&str]| {
        let message = fail(1, words(&short(place, styles, "out.lucida", more)).chain(["--quiet"]));
        assert!(!place.join("out.lucida").exists() && !place.join("out-training").exists());
        message
    };
    assert!(refused(&["dot.png"], &[]).contains("style dot has 4x4 pixels; at least 32x32"));
    assert!(refused(&["missing.png"], &[]).contains("missing.png"));
    assert!(refused(&["waves.png", "waves.png"], &[]).contains("another style has the name waves"));
    let odd = fail(
        1,
        words(&short(place, &["waves.png"], "out.lucida", &["--quiet"])).map(|word| match word {
            "32" => "34",
            other => other,
        }),
    );
    assert!(odd.contains("(--crop) must be a multiple of 4"), "{odd}");
    assert!(refused(&["waves.png"], &["--network", "vgg19"]).contains("lucida weights fetch vgg19"));
    assert!(!refused(&["waves.png"], &["--network", "vgg19"]).contains("--weights"));
    assert!(refused(&["waves.png"], &["--resume"]).contains("there is no checkpoint"));
    let mut image = short(place, &["waves.png"], "out.lucida", &[]);
    let at = image.iter().position(|word| word == "--content").unwrap() + 1;
    image[at] = text(&place.join("night.png")).to_owned();
    assert!(fail(1, words(&image)).contains("is an image; give a folder"));
    fs::remove_dir_all(place.join("photos")).unwrap();
    assert!(refused(&["waves.png"], &[]).contains("no such folder"));
    fs::create_dir(place.join("photos")).unwrap();
    assert!(refused(&["waves.png"], &[]).contains("contains no photo to train on"));
    fs::write(place.join("photos/a.jpg"), "no image").unwrap();
    assert!(refused(&["waves.png"], &[]).contains("none of 1 photo can be read"));
    let message = fail(1, words(&short(place, &["waves.png"], "out.png", &[])));
    assert!(message.contains("must end in .lucida"), "{message}");
}

/// There is no room for the network or a checkpoint, neither here nor in the temporary folder.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_once_and_keeps_the_earlier_network() {
    let folder = folder();
    let place = folder.path();
    fs::write(place.join("out.lucida"), "earlier").unwrap();
    let all = short(place, &["waves.png"], "out.lucida", &["--force"]);
    let output = common::with_small_files(20, &words(&all).collect::<Vec<_>>());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.matches("training continues").count(), 1, "{told}");
    assert!(told.contains("the network cannot be written anywhere else"), "{told}");
    assert_eq!(fs::read_to_string(place.join("out.lucida")).unwrap(), "earlier");
    assert!(!place.join("out-training").exists());
}
