//! Folders of images as data sets: `evaluate` and `predict`.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, shared, stderr, stdout, text};
use lucida::data::{Dataset, Mnist};
use serde_json::Value;

/// The first test digits as files, with one sub-folder per class.
fn write_folder(folder: &Path, count: usize) -> Vec<usize> {
    let digits = Mnist::test_only(shared().data()).unwrap();
    for index in 0..count {
        let class = folder.join(digits.label(index).to_string());
        fs::create_dir_all(&class).unwrap();
        digits.image(index).unwrap().save_png(class.join(format!("digit {index:02}.png"))).unwrap();
    }
    digits.labels()[..count].to_vec()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

#[test]
fn predict_lists_the_files_of_a_folder_that_it_skipped() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let labels = write_folder(folder.path(), 3);
    fs::write(folder.path().join(labels[0].to_string()).join("broken.png"), "no image").unwrap();
    let answer = json(&run(["predict", text(&model), text(folder.path()), "--json"]));
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 3);
    let skipped = &answer["errors"][0];
    assert!(skipped["image"].as_str().unwrap().ends_with("broken.png"), "{skipped}");
    assert!(skipped["error"].as_str().unwrap().contains("not an image"), "{skipped}");
}

#[test]
fn a_run_that_has_left_no_model_says_so() {
    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join("checkpoint.safetensors"), "").unwrap();
    let interrupted = "is a training run that was interrupted before it left a model";
    assert!(fail(1, ["summary", text(run.path())]).contains(interrupted));
    fs::write(run.path().join("run.json"), "{}").unwrap();
    assert!(fail(1, ["report", text(run.path())]).contains(interrupted));
}

#[test]
fn evaluate_takes_a_folder_and_names_what_it_skipped() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let photos = folder.path().join("my photos");
    write_folder(&photos, 60);
    fs::write(photos.join("3/notes.png"), "no image").unwrap();
    let out = folder.path().join("out");
    let csv = folder.path().join("all.csv");
    let arguments = ["evaluate", text(&model), "--data", text(&photos), "--out", text(&out), "--csv", text(&csv)];
    let output = lucida(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let notes = stderr(&output);
    assert!(notes.contains("note: Found 60 images belonging to 10 classes.\n"), "{notes}");
    assert!(notes.contains("notes.png: not an image: it starts with"), "{notes}");
    assert!(stdout(&output).contains(&format!("on 60 images of {}", photos.display())), "{}", stdout(&output));
    assert_eq!(names(&out), ["calibration.png", "calibration.svg", "confusion.png", "confusion.svg", "skipped.csv"]);
    assert_eq!(fs::read_to_string(out.join("skipped.csv")).unwrap().lines().count(), 2);
    let table = fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 61);
    assert!(table.starts_with("file,class,predicted,probability,p_0,p_1,"), "{table}");

    // The same digits in MNIST's own format give the same numbers.
    assert!(fail(1, arguments).contains("all.csv already exists; use --force"));
    let answer = json(&run(arguments.into_iter().chain(["--json", "--quiet", "--force"])));
    assert_eq!(answer["images"], 60);
    assert_eq!(answer["skipped"].as_array().unwrap().len(), 1);
    let data = format!("mnist:{}", shared().data().display());
    let digits = json(&run(["predict", text(&model), "--data", &data, "--index", "0..60", "--json"]));
    let right = digits["predictions"].as_array().unwrap().iter().filter(|p| p["class"] == p["label"]).count();
    assert!((answer["accuracy"].as_f64().unwrap() - right as f64 / 60.0).abs() < 1e-12);
    let wrong = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        fields[1] != fields[2]
    });
    assert_eq!(wrong.count(), 60 - right);

    let strict = fail(1, arguments.into_iter().chain(["--strict", "--force"]));
    assert!(strict.contains("3/notes.png: not an image"), "{strict}");
}

#[test]
fn predict_takes_a_folder_with_classes_or_without() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let photos = folder.path().join("photos");
    write_folder(&photos, 20);
    let csv = folder.path().join("all.csv");
    let printed = run(["predict", text(&model), "--data", text(&photos), "--csv", text(&csv), "--quiet"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 21, "{printed}");
    assert!(lines[20].contains(" of 20 predictions match the folder names: "), "{printed}");
    let wrong = lines.iter().filter(|line| line.contains(" - wrong, it is ")).count();
    assert!(lines[20].starts_with(&format!("{} of", 20 - wrong)), "{printed}");
    assert_eq!(fs::read_to_string(&csv).unwrap().lines().count(), 21);
    let answer = json(&run(["predict", text(&model), "--data", text(&photos), "--index", "3", "--json", "--quiet"]));
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 1);
    assert!(lines[3].starts_with(answer["predictions"][0]["image"].as_str().unwrap()));

    // A single class is a folder without classes, so there are no labels to compare with.
    let printed = run(["predict", text(&model), "--data", text(&photos.join("7")), "--quiet"]);
    assert!(!printed.contains("wrong") && !printed.contains("match the folder names"), "{printed}");
    let message = fail(1, ["evaluate", text(&model), "--data", text(&photos.join("7")), "--quiet"]);
    assert!(message.contains("has no sub-folders"), "{message}");
}

#[test]
fn folders_that_cannot_be_used() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let evaluate = |code: i32| fail(code, ["evaluate", text(&model), "--data", text(folder.path()), "--quiet"]);
    assert!(evaluate(1).ends_with(": contains no image\n"), "{}", evaluate(1));
    fs::create_dir(folder.path().join("cats")).unwrap();
    fs::write(folder.path().join("cats/x.jpg"), "x").unwrap();
    assert!(evaluate(1).contains("contains no image (1 file cannot be used, the first is "), "{}", evaluate(1));
    let digits = Mnist::builtin().unwrap().train;
    digits.image(0).unwrap().save_png(folder.path().join("cats/1.png")).unwrap();
    assert!(evaluate(1).contains("cats: is not one of the 10 classes (0, 1, 2, "), "{}", evaluate(1));
    let message = fail(1, ["predict", text(&model), "--data", text(folder.path()), "--index", "1", "--quiet"]);
    assert!(message.contains("there is no image 1: the images of "), "{message}");
    // In a folder with parts, only the requested part is used.
    let parts = tempfile::tempdir().unwrap();
    for (part, index) in [("train", 0), ("train", 1), ("validation", 2)] {
        let class = parts.path().join(part).join(digits.label(index).to_string());
        fs::create_dir_all(&class).unwrap();
        digits.image(index).unwrap().save_png(class.join(format!("{index}.png"))).unwrap();
    }
    let images = |more: &[&str]| {
        let shared = ["evaluate", text(&model), "--data", text(parts.path()), "--json", "--quiet"];
        json(&run(shared.iter().chain(more).copied()))["images"].clone()
    };
    assert_eq!((images(&[]), images(&["--part", "train"]), images(&["--part", "all"])), (1.into(), 2.into(), 3.into()));
    let part = |data: &str| fail(1, ["evaluate", text(&model), "--data", data, "--part", "test", "--quiet"]);
    assert!(part(text(parts.path())).contains("has no test part"));
    assert!(part(text(folder.path())).contains("is not in parts"));
    // A missing folder is reported first, whatever else is missing.
    let message = fail(1, ["predict", text(&model), "--data", "mnist:/no/such/folder", "--quiet"]);
    assert!(message.contains("/no/such/folder: no such folder"), "{message}");
    let message = fail(1, ["evaluate", text(&model), "--data", "no/such/folder", "--quiet"]);
    assert!(message.contains("no/such/folder: no such folder"), "{message}");
}

#[test]
fn the_files_of_a_command_are_replaced_together() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let path = |name: &str| folder.path().join(name);
    let (out, maps, good, bad) = (path("out"), path("maps"), path("good"), path("bad"));
    write_folder(&good, 20);
    write_folder(&bad, 20);
    fs::write(bad.join("3/notes.png"), "x").unwrap();
    let evaluate =
        |data: &Path| run(["evaluate", text(&model), "--data", text(data), "--out", text(&out), "--quiet", "--force"]);
    evaluate(&bad);
    fs::write(out.join("mine.txt"), "mine").unwrap();
    assert!(names(&out).contains(&"skipped.csv".to_owned()));
    // Nothing was skipped this time, so the earlier table is gone.
    evaluate(&good);
    let expected = ["calibration.png", "calibration.svg", "confusion.png", "confusion.svg", "mine.txt"];
    assert_eq!(names(&out), expected);

    let activations = ["activations", text(&model), "--data", "mnist", "--index", "0", "--out", text(&maps), "--quiet"];
    let all = ["--npy", "--force"];
    run(activations.iter().copied().chain(all));
    let first = names(&maps);
    run(activations.iter().copied().chain(all));
    assert_eq!(names(&maps), first);
    let message = fail(1, activations);
    assert!(message.contains("overview.png"), "{message}");
}
