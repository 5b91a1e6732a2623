//! `lucida train FOLDER`: training, transfer, and resuming after a kill.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{fail, lucida, names, run, stderr, stdout, text};
use lucida::data::Image;

/// Writes red and blue 28x28 images, each with a different gradient, `count` per class.
fn write_images(folder: &Path, classes: &[&str], count: usize) {
    for (number, class) in classes.iter().enumerate() {
        let folder = folder.join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            let mut pixels = Vec::with_capacity(28 * 28 * 3);
            for pixel in 0..28 * 28 {
                let shade = ((pixel * (index + 3) + 17 * index) % 120) as u8;
                let mut color = [shade, 60, shade / 2];
                color[(2 * number) % 3] = 250 - shade;
                pixels.extend(color);
            }
            Image::new(28, 28, 3, pixels).unwrap().save_png(folder.join(format!("photo {index:03}.png"))).unwrap();
        }
    }
}

/// Arguments shared by all training runs here; from scratch, unless `more` names another network.
fn train<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let shared = ["train", data, "--out", out, "--size", "28", "--batch-size", "8", "--threads", "2"];
    let names_one = more.iter().any(|word| ["--model", "--base", "--continue"].contains(word));
    let scratch = if names_one { &[][..] } else { &["--model", "basic-cnn"] };
    shared.iter().chain(scratch).chain(more).copied().collect()
}

#[test]
fn a_folder_becomes_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("my photos"), folder.path().join("run"));
    write_images(&photos, &["Kühe", "big dogs"], 30);
    fs::write(photos.join("Kühe/notes.jpg"), "no image").unwrap();
    let (data, run_folder) = (text(&photos), text(&out));
    let output =
        lucida(train(data, run_folder, &["--epochs", "3", "--tensorboard", "--augment", "flip"])).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (printed, notes) = (stdout(&output), stderr(&output));
    let found = "Found 60 images belonging to 2 classes: 48 training, 12 validation; 1 file skipped.\n";
    assert!(printed.starts_with(found), "{printed}");
    assert!(printed.contains("Epoch 3/3") && printed.contains("Augmentation flip"), "{printed}");
    assert!(notes.contains("notes.jpg: not an image"), "{notes}");
    for name in ["model.safetensors", "last.safetensors", "history.csv", "curves.png", "skipped.csv"] {
        assert!(out.join(name).exists(), "{name}");
    }
    assert!(!out.join("checkpoint.safetensors").exists(), "of a finished run nobody needs it");
    assert_eq!(names(&out.join("tensorboard")), ["train", "validation"]);
    // The model stores its preprocessing.
    let printed = run(["predict", run_folder, text(&photos.join("big dogs/photo 000.png"))]);
    assert!(printed.contains("big dogs ("), "{printed}");
    let output = lucida(["evaluate", run_folder, "--data", data, "--json"]).output().unwrap();
    // The number of validation images is not mistaken for the total.
    let found = "note: Found 60 images belonging to 2 classes: 48 training, 12 validation; 1 file skipped.\n";
    assert!(stderr(&output).contains(found), "{}", stderr(&output));
    let printed = stdout(&output);
    let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(answer["accuracy"], 1.0, "{printed}");
    assert_eq!(answer["roc_auc"], 1.0, "{printed}");
    // The validation part by default, since accuracy on training images would be too optimistic.
    assert_eq!((&answer["part"], &answer["images"]), (&"validation".into(), &12.into()), "{printed}");
    for (part, images) in [("train", 48), ("all", 60)] {
        let printed = run(["evaluate", run_folder, "--data", data, "--part", part, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(answer["images"], images, "{printed}");
    }
    assert!(fail(1, ["evaluate", run_folder, "--data", data, "--part", "test"]).contains("has no test part"));
    let printed = run(["evaluate", run_folder, "--data", data]);
    assert!(printed.contains("run on 12 validation images of "), "{printed}");
    let origin: serde_json::Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(origin["model"], "basic-cnn");
    assert_eq!(origin["size"], serde_json::json!([28, 28]));
    assert!(origin["command"].as_str().unwrap().starts_with("lucida train '"), "{origin}");
    // A folder that has changed is split differently.
    fs::copy(photos.join("Kühe/photo 000.png"), photos.join("Kühe/photo 100.png")).unwrap();
    fs::copy(photos.join("Kühe/photo 001.png"), photos.join("Kühe/photo 101.png")).unwrap();
    let changed = lucida(["evaluate", run_folder, "--data", data]).output().unwrap();
    assert!(stderr(&changed).contains("has changed since the training"), "{}", stderr(&changed));
    fs::remove_file(photos.join("Kühe/photo 100.png")).unwrap();
    fs::remove_file(photos.join("Kühe/photo 101.png")).unwrap();
    assert!(answer["calibration"]["error"].as_f64().unwrap() < 0.5, "{printed}");
    let message = fail(1, train(data, run_folder, &["--quiet"]));
    assert!(message.contains("--force"), "{message}");

    let printed = run(["report", run_folder]);
    assert!(printed.ends_with("run/report.html\n"), "{printed}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Report of run") && page.contains("Kühe and big dogs"));
    // All predictions are correct, so no mistakes are listed.
    assert!(page.contains("every image was classified correctly"));
    assert!(run(["report", run_folder]).ends_with("run/report-2.html\n"));
    let page = out.join("report.html");
    assert!(fail(1, ["report", run_folder, "--out", text(&page)]).contains("--force"));
    assert!(fail(1, ["report", data]).contains("contains no run.json"));
}

#[test]
fn more_classes_have_a_softmax_and_conveniences_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("run"));
    write_images(&photos, &["a", "b"], 12);
    write_images(&photos, &["x", "y", "c"], 6);
    let more = [
        "--epochs",
        "30",
        "--steps-per-epoch",
        "3",
        "--validation-steps",
        "1",
        "--early-stopping",
        "2",
        "--reduce-on-plateau",
        "1",
        "--class-weights",
        "balanced",
        "--label-smoothing",
        "0.1",
        "--weight-decay",
        "0.01",
        "--clip-norm",
        "1",
        "--ema",
        "0.9",
        "--optimizer",
        "rmsprop",
        "--schedule",
        "cosine",
        "--warm-up",
        "3",
        "--monitor",
        "accuracy",
        "--quiet",
    ];
    run(train(text(&photos), text(&out), &more));
    let summary = run(["summary", text(&out)]);
    assert!(summary.contains("(None, 5)"), "{summary}");
    let history = fs::read_to_string(out.join("history.csv")).unwrap();
    assert!(history.lines().count() < 31, "{history}");
    let message = fail(1, train(text(&photos), text(&out), &["--force", "--class-weights", "dogs=2", "--quiet"]));
    assert!(message.contains("there is no class \"dogs\""), "{message}");
}

#[test]
fn the_loss_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("run"));
    write_images(&photos, &["a", "b"], 10);
    let (data, out) = (text(&photos), text(&out));
    let printed = run(train(data, out, &["--epochs", "1", "--loss", "huber:0.5"]));
    assert!(printed.contains("Loss huber:0.5\n"), "{printed}");
    let report = format!("{out}/report.html");
    run(["report", out, "--quiet"]);
    assert!(fs::read_to_string(report).unwrap().contains("<dt>Loss</dt><dd>huber:0.5</dd>"));
    // The loss of the training is the one that is evaluated: the squared errors of one sigmoid are below 0.5.
    let found: serde_json::Value = serde_json::from_str(&run(["evaluate", out, "--data", data, "--json"])).unwrap();
    assert!(found["loss"].as_f64().unwrap() <= 0.5, "{found}");
    let message = fail(1, train(data, out, &["--force", "--quiet", "--loss", "categorical_crossentropy"]));
    assert!(message.contains("use binary_crossentropy, mean_squared_error"), "{message}");
    // Invalid options are reported before anything is read.
    let output = lucida(["train", data, "--loss", "crossentropy"]).output().unwrap();
    let message = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{message}");
    assert!(message.contains("expected categorical_crossentropy, sparse_categorical_crossentropy"), "{message}");
    let message = fail(2, ["train", "no such folder", "--loss", "mse", "--label-smoothing", "0.1"]);
    assert!(message.contains("not for --loss mean_squared_error"), "{message}");
}

#[test]
fn a_learning_rate_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("run"));
    write_images(&photos, &["a", "b"], 16);
    let printed = run(train(text(&photos), text(&out), &["--find-lr", "--quiet"]));
    assert!(printed.contains("Suggested learning rate "), "{printed}");
    assert_eq!(names(&out), ["lr-finder.csv", "lr-finder.png", "lr-finder.svg"]);
}

#[test]
fn a_base_of_ones_own_gets_a_new_head_and_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_images(&path("first"), &["a", "b"], 16);
    write_images(&path("second"), &["a", "x", "b"], 16);
    run(train(text(&path("first")), text(&path("base")), &["--epochs", "1", "--quiet"]));
    let (second, base, features) = (path("second"), path("base"), path("features"));
    let arguments = |out: &'static str, more: &[&'static str]| -> Vec<String> {
        let shared = ["train", text(&second), "--base", text(&base), "--features", text(&features), "--threads", "2"];
        let own = ["--out", text(&path(out)), "--epochs", "4", "--batch-size", "8"].map(str::to_owned);
        shared
            .iter()
            .map(|text| (*text).to_owned())
            .chain(own)
            .chain(more.iter().map(|text| (*text).to_owned()))
            .collect()
    };
    let go = |arguments: Vec<String>| run(arguments.iter().map(String::as_str));
    let printed = go(arguments("one", &[]));
    assert!(
        printed.contains("of them trained") && printed.contains("Computed the features of 48 images at dense_1"),
        "{printed}"
    );
    let printed = go(arguments("two", &[]));
    assert!(printed.contains("The features of all 48 images at dense_1 are in "), "{printed}");
    // Cached and computed features give the same model.
    assert!(fs::read(path("one/model.safetensors")).unwrap() == fs::read(path("two/model.safetensors")).unwrap());
    // Frozen layers stay frozen in the file, and the time for computing features is recorded.
    let printed = run(["summary", text(&path("one"))]);
    assert!(!printed.contains("Non-trainable params: 0 "), "{printed}");
    let seconds = |run: &str| {
        let text = fs::read_to_string(path(run).join("run.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["feature_seconds"].as_f64().unwrap()
    };
    assert!(seconds("one") > 0.0 && seconds("two") == 0.0);
    // The frozen part is unchanged.
    let inspect = |folder: &str| lucida::weights::load_model(path(folder).join("model.safetensors")).unwrap().network;
    let (one, first) = (inspect("one"), inspect("base"));
    assert_eq!(one.weight("conv2d_1/kernel").unwrap().values(), first.weight("conv2d_1/kernel").unwrap().values());

    let printed =
        go(arguments("three", &["--cut", "flatten", "--unfreeze", "conv2d_2", "--head", "dense:16,dropout:0.2"]));
    assert!(printed.contains("48 images at max_pooling2d_1"), "{printed}");
    let three = inspect("three");
    assert_eq!(three.weight("conv2d_1/kernel").unwrap().values(), first.weight("conv2d_1/kernel").unwrap().values());
    assert_ne!(three.weight("conv2d_2/kernel").unwrap().values(), first.weight("conv2d_2/kernel").unwrap().values());
    let printed = go(arguments("four", &["--augment", "flip,rotation=10", "--augment-copies", "2"]));
    assert!(printed.contains("Computed the features of 76 images"), "{printed}");
    assert!(go(arguments("five", &["--augment", "flip"])).contains("Epoch 4/4"));
    let refused = arguments("six", &["--augment", "mixup=0.2", "--augment-copies", "2", "--quiet"]);
    assert!(fail(1, refused.iter().map(String::as_str)).contains("leave out mixup"));
}

/// The table of epochs of a run, without the column of seconds.
fn history(run: &Path) -> Vec<Vec<String>> {
    let table = fs::read_to_string(run.join("history.csv")).unwrap();
    let at = table.lines().next().unwrap().split(',').position(|column| column == "seconds").unwrap();
    let without = |line: &str| {
        let fields = line.split(',').enumerate().filter(|&(index, _)| index != at);
        fields.map(|(_, field)| field.to_owned()).collect::<Vec<_>>()
    };
    table.lines().map(without).collect()
}

/// A run that is killed at any step and resumed, ten times in a row, ends with the same bytes as an uninterrupted one.
#[cfg(unix)]
#[test]
fn a_killed_training_goes_on_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let photos = path("photos");
    write_images(&photos, &["a", "b"], 40);
    let more = [
        "--epochs",
        "6",
        "--steps-per-epoch",
        "12",
        "--augment",
        "rotation=20,mixup=0.2",
        "--ema",
        "0.9",
        "--quiet",
        "--keep-checkpoint",
        "--checkpoint-every",
        "1",
    ];
    run(train(text(&photos), text(&path("whole")), &more));
    let killed = path("killed");
    let mut arguments = train(text(&photos), text(&killed), &more);
    let begun = |arguments: &[&str]| {
        let program = assert_cmd::cargo::cargo_bin("lucida");
        std::process::Command::new(program).args(arguments).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut kills = 0;
    let stamp = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    for round in 0..10 {
        let before = stamp(&killed.join("checkpoint.safetensors"));
        let mut child = begun(&arguments);
        // Wait for a new checkpoint, and then for a time that differs between rounds.
        while stamp(&killed.join("checkpoint.safetensors")) == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(7 * (round % 5)));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if round == 0 {
            arguments.push("--resume");
        }
    }
    assert!(kills >= 6, "only {kills} of ten were still running");
    assert!(!killed.join("history.csv").exists() || kills < 10);
    run(arguments.iter().copied());
    for name in ["model.safetensors", "last.safetensors"] {
        assert!(fs::read(path("whole").join(name)).unwrap() == fs::read(killed.join(name)).unwrap(), "{name}");
    }
    // The metrics are the same, although it was killed within epochs.
    assert_eq!(history(&killed), history(&path("whole")));
    // Resuming a finished run changes nothing; resuming with other settings is refused.
    run(arguments.iter().copied());
    assert!(fs::read(path("whole/model.safetensors")).unwrap() == fs::read(killed.join("model.safetensors")).unwrap());
    let other = fail(1, arguments.iter().copied().chain(["--seed", "7"]));
    assert!(other.contains("this training was started with other settings (seed: 42 then, 7 now)"), "{other}");
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("run"));
    fs::create_dir(&photos).unwrap();
    let data = text(&photos);
    let refused = |expected: &str| {
        let message = fail(1, train(data, text(&out), &["--quiet", "--epochs", "1", "--force"]));
        assert!(message.contains(expected), "{message}");
    };
    refused("has no sub-folders");
    write_images(&photos, &["only"], 3);
    refused("images of one class only");
    write_images(&photos, &["one"], 1);
    let output = lucida(train(data, text(&out), &["--epochs", "1", "--force"])).output().unwrap();
    assert!(stderr(&output).contains("class \"one\" has a single image to train on"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    let whole = fs::read(photos.join("only/photo 000.png")).unwrap();
    fs::write(photos.join("only/cut.png"), &whole[..whole.len() / 2]).unwrap();
    let message = fail(1, train(data, text(&out), &["--quiet", "--epochs", "1", "--force", "--strict"]));
    assert!(message.contains("only/cut.png"), "{message}");
    // A failed run leaves no folder behind, nor a newly created parent.
    let (none, inner) = (folder.path().join("none"), folder.path().join("none/inner"));
    fail(1, train(data, text(&inner), &["--quiet", "--strict"]));
    assert!(!none.exists());
    let message = fail(1, train("no/such/folder", text(&out), &["--quiet", "--force"]));
    assert!(message.contains("no/such/folder: no such folder"), "{message}");
}

/// The loss of the first epoch in the table of epochs.
fn first_loss(run: &Path) -> f64 {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let column = history.lines().next().unwrap().split(',').position(|name| name == "loss").unwrap();
    history.lines().nth(1).unwrap().split(',').nth(column).unwrap().parse().unwrap()
}

#[test]
fn a_run_is_continued_with_other_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_images(&path("two"), &["a", "b"], 16);
    write_images(&path("three"), &["a", "b", "c"], 16);
    run(train(text(&path("two")), text(&path("base")), &["--epochs", "1", "--quiet"]));
    // A head on a frozen base starts with equal probabilities, and is trained further from where it stopped.
    let features = path("features");
    let common = |data: &str, out: &str, more: &[&str]| -> Vec<String> {
        let shared = ["--features", text(&features), "--batch-size", "8", "--threads", "2", "--quiet"];
        let (data, out) = (path(data), path(out));
        let own = ["train", text(&data), "--out", text(&out)];
        own.iter().chain(&shared).chain(more).map(|text| (*text).to_owned()).collect()
    };
    let go = |arguments: Vec<String>| run(arguments.iter().map(String::as_str));
    let (base, old) = (path("base"), path("old"));
    let slow = ["--learning-rate", "1e-9", "--epochs", "1"];
    go(common("three", "slow", &[&["--base", text(&base)], &slow[..]].concat()));
    assert!((first_loss(&path("slow")) - 3.0_f64.ln()).abs() < 1e-3, "{}", first_loss(&path("slow")));
    go(common("two", "old", &["--base", text(&base), "--epochs", "20"]));
    let load = |name: &str| lucida::weights::load_model(path(name).join("model.safetensors")).unwrap();
    let (trained, output) = (load("old"), "dense_2");
    assert_eq!(trained.training["base"]["end"], "dense_1", "{}", trained.training);

    // With the same classes, the head stays; the frozen layers stay frozen.
    go(common("two", "same", &[&["--continue", text(&old)], &slow[..]].concat()));
    let kernel =
        |model: &lucida::weights::Model| model.network.weight(&format!("{output}/kernel")).unwrap().values().to_vec();
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    let same = load("same");
    assert!(near(&kernel(&same), &kernel(&trained)));
    let frozen = |model: &lucida::weights::Model| model.network.weight("conv2d_1/kernel").unwrap().values().to_vec();
    assert_eq!(frozen(&same), frozen(&trained));
    // With more classes, the known ones keep their weights, and the new one starts at zero.
    go(common("three", "more", &[&["--continue", text(&old)], &slow[..]].concat()));
    let more = kernel(&load("more"));
    let column = |class: usize| more.iter().skip(class).step_by(3).copied().collect::<Vec<f32>>();
    let known: Vec<f32> = column(1).iter().zip(column(0)).map(|(second, first)| second - first).collect();
    assert!(near(&known, &kernel(&trained)) && column(2).iter().all(|value| value.abs() < 1e-6));
    // With fewer classes, the remaining ones keep their weights.
    let three = path("more");
    go(common("two", "fewer", &[&["--continue", text(&three)], &slow[..]].concat()));
    assert!(near(&kernel(&load("fewer")), &kernel(&trained)));

    let refused = |more: &[&str]| {
        let arguments = common("two", "refused", more);
        let message = fail(1, arguments.iter().map(String::as_str));
        assert!(!path("refused").exists(), "{message}");
        message
    };
    assert!(refused(&["--continue", text(&base), "--unfreeze", "conv2d"]).contains("has no frozen layers to unfreeze"));
    // Weights from a whole-model file, given with the name of its network: a new head on its features.
    let file = base.join("model.safetensors");
    go(common("three", "again", &["--model", "basic-cnn", "--weights", text(&file), "--epochs", "1"]));
    let names: Vec<String> = load("again").network.nodes().iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("dense")).count(), 3, "{names:?}");

    // Features cached by the training give the same metrics as the whole network, to the bit.
    let evaluate = |features: &Path| {
        let data = path("two");
        let words = ["evaluate", text(&old), "--data", text(&data), "--features", text(features), "--json", "--quiet"];
        run(words)
    };
    assert_eq!(evaluate(&features), evaluate(&path("nothing")));
}

#[test]
fn a_run_that_does_not_exist_is_not_resumed_and_one_that_does_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (photos, out) = (path("photos"), path("run"));
    write_images(&photos, &["a", "b"], 12);
    let (data, run_folder) = (text(&photos), text(&out));
    let missing =
        format!("--resume: there is no run in {run_folder}: neither checkpoint.safetensors nor model.safetensors");
    for words in [train(data, run_folder, &["--resume"]), vec!["train", "mnist", "--out", run_folder, "--resume"]] {
        let message = fail(1, words);
        assert!(message.contains(&missing) && message.contains("--auto-resume"), "{message}");
        assert!(!out.exists());
    }
    // A scheduler can repeat the same command: neither a missing nor a finished run is an error.
    let printed = run(train(data, run_folder, &["--epochs", "1", "--auto-resume"]));
    assert!(printed.contains("Epoch 1/1"), "{printed}");
    let printed = run(train(data, run_folder, &["--epochs", "1", "--auto-resume"]));
    assert!(printed.contains("this run of 1 epoch is finished"), "{printed}");
    let message = fail(1, train(data, run_folder, &["--epochs", "1", "--quiet"]));
    assert!(
        message.contains("use --force") && message.contains(&format!("--continue {run_folder} --out DIR")),
        "{message}"
    );
    fs::write(out.join("checkpoint.safetensors"), "").unwrap();
    let message = fail(1, train(data, run_folder, &["--epochs", "1", "--quiet"]));
    assert!(message.contains("use --force") && message.contains("--resume continues this run"), "{message}");
}

#[test]
fn a_finished_run_is_not_resumed_and_other_data_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (photos, out) = (path("photos"), path("run"));
    write_images(&photos, &["a", "b"], 12);
    let (data, run_folder) = (text(&photos), text(&out));
    run(train(data, run_folder, &["--epochs", "2", "--quiet"]));
    let printed = run(train(data, run_folder, &["--epochs", "2", "--resume"]));
    assert!(printed.contains("this run of 2 epochs is finished") && printed.contains("--continue"), "{printed}");
    let message = fail(1, train(data, run_folder, &["--epochs", "3", "--resume", "--quiet"]));
    assert!(message.contains("--continue") && message.contains("--keep-checkpoint"), "{message}");

    let kept = path("kept");
    run(train(data, text(&kept), &["--epochs", "1", "--quiet", "--keep-checkpoint"]));
    run(train(data, text(&kept), &["--epochs", "2", "--quiet", "--keep-checkpoint", "--resume"]));
    for name in ["model.safetensors", "last.safetensors"] {
        let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
        // The files record the number of epochs requested last, which is the same here.
        assert!(read(&kept) == read(&out), "{name}");
    }
    let resume =
        |more: &[&str]| fail(1, train(data, text(&kept), &[&["--resume", "--quiet", "--epochs", "3"], more].concat()));
    let message = resume(&["--label-smoothing", "0.1"]);
    assert!(
        message.contains("(label smoothing: 0.0 then, 0.1") && message.contains("--label-smoothing 0.0"),
        "{message}"
    );
    let message = resume(&["--early-stopping", "4"]);
    assert!(message.contains("(early stopping: none then, 4 now); resume with --early-stopping 0"), "{message}");
    write_images(&photos, &["a", "b"], 14);
    assert!(resume(&[]).contains("images: ") && resume(&[]).contains("--continue"), "{}", resume(&[]));
    write_images(&photos, &["a", "b", "c"], 14);
    assert!(resume(&[]).contains("(classes: a, b then, a, b, c now)"), "{}", resume(&[]));
}

#[test]
fn gray_networks_are_trained_and_other_channels_refused() {
    use lucida::nn::Network;
    use lucida::nn::layers::{ActivationKind, Dense, Flatten};
    use lucida::weights::{Model, safetensors};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_images(&path("photos"), &["a", "b"], 12);
    let (photos, out) = (path("photos"), path("gray"));
    let data = text(&photos);
    run([
        "train",
        data,
        "--model",
        "basic-cnn",
        "--channels",
        "1",
        "--size",
        "40x36",
        "--epochs",
        "4",
        "--out",
        text(&out),
        "--quiet",
    ]);
    let model = lucida::weights::load_model(out.join("model.safetensors")).unwrap();
    assert_eq!(model.preprocessing().unwrap().output_shape(), [40, 36, 1]);
    let image = photos.join("a/photo 000.png");
    run(["predict", text(&out), text(&image)]);
    run(["evaluate", text(&out), "--data", data, "--quiet"]);
    run(["explain", text(&out), text(&image), "--out", text(&path("explained")), "--quiet"]);
    let message = fail(1, ["train", data, "--model", "basic-cnn", "--channels", "1", "--pixels", "caffe", "--quiet"]);
    assert!(message.contains("use unit (0 to 1), tf (-1 to 1)"), "{message}");

    // Bases with various numbers of channels, and without preprocessing.
    for channels in [1, 2, 3, 4, 7] {
        let layers =
            [Flatten::new().into(), Dense::new(4).into(), Dense::new(2).activation(ActivationKind::Softmax).into()];
        let network = Network::sequential("base", [12, 12, channels], layers, 1).unwrap();
        let file = path(&format!("{channels}.safetensors"));
        safetensors::save_model(&Model::new(network), &file).unwrap();
        let (out, features) = (path(&format!("run{channels}")), path("features"));
        let arguments = ["train", data, "--base", text(&file), "--pixels", "unit", "--epochs", "1", "--quiet", "--out"];
        let arguments = arguments.into_iter().chain([text(&out), "--features", text(&features)]);
        if [1, 3].contains(&channels) {
            run(arguments);
        } else {
            let message = fail(1, arguments);
            assert!(
                message.contains(&format!("inputs of {channels} channels; images have 1 (gray) or 3")),
                "{message}"
            );
            assert!(!out.exists());
        }
    }
}

#[test]
fn a_run_that_fails_leaves_the_run_that_it_was_to_replace() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_images(&path("photos"), &["a", "b"], 12);
    let (photos, out) = (path("photos"), path("run"));
    let train = [
        "train",
        text(&photos),
        "--model",
        "basic-cnn",
        "--size",
        "32",
        "--epochs",
        "1",
        "--keep-checkpoint",
        "--quiet",
        "--out",
    ];
    run(train.into_iter().chain([text(&out)]));
    let files = || {
        let names = names(&out);
        names.into_iter().map(|name| (fs::read(out.join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let before = files();
    // A single class: an error that is only found after the run folder was claimed.
    write_images(&path("one"), &["a"], 12);
    let one = path("one");
    fail(1, ["train", text(&one), "--size", "32", "--quiet", "--force", "--out", text(&out)]);
    assert!(files() == before, "{:?}", names(&out));
    // A successful run replaces the earlier one completely, and leaves other files alone.
    run([
        "train",
        text(&photos),
        "--size",
        "32",
        "--epochs",
        "1",
        "--seed",
        "7",
        "--quiet",
        "--force",
        "--out",
        text(&out),
    ]);
    let after = names(&out);
    assert!(
        after.contains(&"notes.txt".to_owned()) && !after.contains(&"checkpoint.safetensors".to_owned()),
        "{after:?}"
    );
    assert!(after.iter().all(|name| !name.starts_with(".lucida-")), "{after:?}");
}

#[test]
fn a_resumed_run_has_the_history_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_images(&path("photos"), &["a", "b"], 16);
    let (photos, whole, parts) = (path("photos"), path("whole"), path("parts"));
    let train = |epochs: &str, out: &Path, more: &[&str]| {
        let arguments = [
            "train",
            text(&photos),
            "--model",
            "basic-cnn",
            "--size",
            "32",
            "--keep-checkpoint",
            "--quiet",
            "--monitor",
            "f1",
        ];
        let arguments = arguments.into_iter().chain(["--ema", "0.9", "--epochs", epochs, "--out", text(out)]);
        run(arguments.chain(more.iter().copied()));
        history(out)
    };
    let expected = train("4", &whole, &[]);
    train("2", &parts, &[]);
    assert_eq!(train("4", &parts, &["--resume"]), expected);
}

/// A run, and a new training run to replace it, whose first epoch is too long even for a fast machine to finish.
#[cfg(unix)]
struct Replaced {
    folder: tempfile::TempDir,
}

#[cfg(unix)]
impl Replaced {
    fn new(more: &[&str]) -> Self {
        let replaced = Self { folder: tempfile::tempdir().unwrap() };
        write_images(&replaced.path("few"), &["a", "b"], 12);
        run(train(text(&replaced.path("few")), text(&replaced.path("run")), &[&["--quiet"], more].concat()));
        fs::write(replaced.path("run/notes.txt"), "mine").unwrap();
        fs::write(replaced.path("run/report.html"), "old").unwrap();
        replaced
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Names and contents of all files of the run.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (name.clone(), fs::read(self.path("run").join(name)).unwrap_or_default());
        names(&self.path("run")).into_iter().map(read).collect()
    }

    /// Starts the new training run, and waits until it is in its first epoch and has written a checkpoint.
    fn in_first_epoch(&self) -> std::process::Child {
        let (few, out) = (self.path("few"), self.path("run"));
        let more =
            ["--force", "--epochs", "1", "--steps-per-epoch", "1000000", "--checkpoint-every", "1", "--tensorboard"];
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("lucida"));
        command.args(train(text(&few), text(&out), &more)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let aside = || names(&out).iter().any(|name| name.starts_with(".lucida-") && name.ends_with("-previous"));
        while !(aside() && out.join("checkpoint.safetensors").exists() && out.join("tensorboard").exists()) {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_comes_back_when_its_successor_is_killed_in_its_first_epoch() {
    let replaced = Replaced::new(&["--epochs", "1"]);
    let (before, out) = (replaced.files(), replaced.path("run"));
    let image = replaced.path("few/a/photo 000.png");
    let kill = || {
        let mut child = replaced.in_first_epoch();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!out.join("model.safetensors").exists());
    };
    // Restored by a command that reads the run, one that resumes it, and one that writes to it.
    kill();
    run(["predict", text(&out), text(&image)]);
    assert!(replaced.files() == before, "{:?}", names(&out));
    kill();
    let few = replaced.path("few");
    let printed = run(train(text(&few), text(&out), &["--epochs", "1", "--resume"]));
    assert!(printed.contains("this run of 1 epoch is finished"), "{printed}");
    assert!(replaced.files() == before, "{:?}", names(&out));
    kill();
    assert!(fail(1, train(text(&few), text(&out), &["--quiet"])).contains("--force"));
    assert!(replaced.files() == before, "{:?}", names(&out));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_comes_back_when_its_successor_is_interrupted_in_its_first_epoch() {
    let replaced = Replaced::new(&["--epochs", "1"]);
    let before = replaced.files();
    let child = replaced.in_first_epoch();
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(stdout(&output).contains("keeps the run that was there before"), "{}", stdout(&output));
    assert!(replaced.files() == before, "{:?}", names(&replaced.path("run")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_comes_back_when_the_disk_is_full() {
    let replaced = Replaced::new(&["--epochs", "2", "--keep-checkpoint"]);
    let (before, few, out) = (replaced.files(), replaced.path("few"), replaced.path("run"));
    for blocks in [0, 1, 20] {
        let more = ["--force", "--quiet", "--epochs", "2", "--seed", "7"];
        let output = common::with_small_files(blocks, &train(text(&few), text(&out), &more));
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("cannot "), "{}", stderr(&output));
        assert!(replaced.files() == before, "{blocks} blocks: {:?}", names(&out));
    }
    // The restored run can be resumed.
    run(train(text(&few), text(&out), &["--epochs", "3", "--keep-checkpoint", "--resume", "--quiet"]));
}

#[test]
fn a_new_run_has_nothing_of_the_run_before() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("run"));
    write_images(&photos, &["a", "b"], 12);
    fs::write(photos.join("a/broken.png"), "x").unwrap();
    let data = text(&photos);
    run(train(data, text(&out), &["--epochs", "1", "--tensorboard", "--keep-checkpoint", "--quiet"]));
    fs::write(out.join("report.html"), "old").unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    fs::remove_file(photos.join("a/broken.png")).unwrap();
    run(train(data, text(&out), &["--epochs", "1", "--force", "--quiet"]));
    let expected =
        ["curves.png", "curves.svg", "history.csv", "last.safetensors", "model.safetensors", "notes.txt", "run.json"];
    assert_eq!(names(&out), expected);
}
