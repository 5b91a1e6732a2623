//! What each command does on valid input.

mod common;

use std::fs;
use std::path::Path;

use common::{TEST, TRAIN, lucida, names, run, shared, stderr, stdout, text, write_mnist};
use lucida::data::{Dataset, Image, Mnist};
use serde_json::Value;

const RUN_FILES: [&str; 6] =
    ["curves.png", "curves.svg", "history.csv", "last.safetensors", "model.safetensors", "run.json"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

#[test]
fn train_tells_what_it_does_and_leaves_its_files() {
    let (folder, data) = (tempfile::tempdir().unwrap(), shared().data());
    let out = folder.path().join("a/b");
    let arguments =
        ["train", "mnist", "--epochs", "2", "--batch-size", "64", "--data", text(&data), "--out", text(&out)];
    let printed = run(arguments);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], format!("Training on 320 digits of {}, validating on 80, testing on 100", data.display()));
    assert!(lines[1].starts_with("Network mnist_cnn: 113,514 parameters; "), "{}", lines[1]);
    for (line, start) in lines[2..4].iter().zip(["Epoch 1/2 - ", "Epoch 2/2 - "]) {
        let names = ["ms/step - loss: ", " - accuracy: ", " - val_loss: ", " - val_accuracy: "];
        assert!(line.starts_with(start) && names.iter().all(|name| line.contains(name)), "{line}");
    }
    assert!(lines[4].starts_with("Best epoch ") && lines[4].contains(": validation loss "), "{}", lines[4]);
    assert!(lines[5].starts_with("Test accuracy ") && lines[5].ends_with(" on 100 digits"), "{}", lines[5]);
    assert!(lines[6].starts_with(&format!("Written to {}: model.safetensors, ", out.display())), "{}", lines[6]);
    // Such a short training run may get advice, too.
    let advice = &lines[7..lines.len() - 1];
    assert!(advice.iter().all(|line| line.contains("What may help: --augment rotation=10")), "{lines:?}");
    let place = out.display();
    assert_eq!(lines[lines.len() - 1], format!("Next: lucida predict {place} IMAGE, or lucida report {place}"));
    assert_eq!(names(&out), RUN_FILES);
    let history = fs::read_to_string(out.join("history.csv")).unwrap();
    assert_eq!(history.lines().count(), 3);
    assert_eq!(Image::open(out.join("curves.png")).unwrap().channels(), 3);

    // Again with --quiet: only the result is printed, and the model is identical.
    let again = folder.path().join("again");
    let quiet = run(arguments[..9].iter().copied().chain([text(&again), "--quiet"]));
    assert_eq!(quiet.lines().collect::<Vec<_>>(), [lines[5]]);
    for name in ["model.safetensors", "last.safetensors"] {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(again.join(name)).unwrap(), "{name} differs");
    }
    let other = folder.path().join("other");
    run(arguments[..9].iter().copied().chain([text(&other), "--quiet", "--seed", "43"]));
    assert!(fs::read(out.join(RUN_FILES[4])).unwrap() != fs::read(other.join(RUN_FILES[4])).unwrap());
}

#[test]
fn train_does_without_test_digits_and_with_a_force() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    write_mnist(&data);
    fs::remove_file(data.join("t10k-images-idx3-ubyte")).unwrap();
    fs::remove_file(data.join("t10k-labels-idx1-ubyte")).unwrap();
    let arguments = ["train", "mnist", "--epochs", "1", "--data", text(&data), "--out", text(&out)];
    let printed = run(arguments);
    assert!(!printed.to_lowercase().contains("test"), "{printed}");
    let before = fs::read(out.join("history.csv")).unwrap();
    let output = lucida(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("model.safetensors already exists; use --force"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(fs::read(out.join("history.csv")).unwrap(), before);
    run(arguments.into_iter().chain(["--force"]));
    assert_eq!(names(&out), RUN_FILES);
}

#[test]
fn evaluate_measures_the_test_digits() {
    let model = shared().run();
    let data = format!("mnist:{}", shared().data().display());
    let printed = run(["evaluate", text(&model), "--data", &data]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].ends_with(&format!("on 100 test digits of {}", shared().data().display())), "{}", lines[0]);
    assert!(lines[1].starts_with("accuracy ") && lines[1].contains(" %, loss "), "{}", lines[1]);
    assert!(lines.contains(&"confusion matrix (rows: true classes, columns: predictions)"));

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("plots");
    let answer = json(&run(["evaluate", text(&model), "--data", &data, "--json", "--out", text(&out)]));
    assert_eq!(names(&out), ["calibration.png", "calibration.svg", "confusion.png", "confusion.svg"]);
    assert_eq!(answer["images"], TEST);
    let accuracy = answer["accuracy"].as_f64().unwrap();
    assert!(lines[1].contains(&format!("accuracy {:.2} %", 100.0 * accuracy)), "{}", lines[1]);
    let confusion: Vec<Vec<u64>> = serde_json::from_value(answer["confusion"].clone()).unwrap();
    assert_eq!((confusion.len(), confusion.iter().flatten().sum::<u64>()), (10, TEST as u64));
    let right: u64 = (0..10).map(|class| confusion[class][class]).sum();
    assert!((accuracy - right as f64 / TEST as f64).abs() < 1e-12);
    let labels = Mnist::test_only(shared().data()).unwrap().labels();
    for (class, row) in confusion.iter().enumerate() {
        assert_eq!(row.iter().sum::<u64>(), labels.iter().filter(|&&label| label == class).count() as u64);
        let recall = answer["classes"][class]["recall"].as_f64().unwrap();
        assert!((recall - row[class] as f64 / row.iter().sum::<u64>() as f64).abs() < 1e-12);
    }
}

#[test]
fn evaluate_says_that_the_built_in_digits_are_no_test() {
    let model = shared().run().join("model.safetensors");
    let output = lucida(["evaluate", text(&model), "--data", "mnist", "--json"]).output().unwrap();
    assert!(stderr(&output).starts_with("note: the built-in digits are part of MNIST"), "{}", stderr(&output));
    assert_eq!(json(&stdout(&output))["images"], 10_000);
}

#[test]
fn predict_tells_the_class_of_digits() {
    let model = shared().run();
    let data = format!("mnist:{}", shared().data().display());
    let printed = run(["predict", text(&model), "--data", &data, "--index", "0..4,9"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 6, "{printed}");
    for (line, index) in lines.iter().zip([0, 1, 2, 3, 9]) {
        assert!(line.starts_with(&format!("test digit no. {index} (")) && line.contains(" %), then "), "{line}");
    }
    let answer = json(&run(["predict", text(&model), "--data", &data, "--index", "0..4,9", "--json"]));
    let predictions = answer["predictions"].as_array().unwrap();
    let classes: Vec<&str> = predictions.iter().map(|prediction| prediction["class"].as_str().unwrap()).collect();
    assert_eq!(classes.join(" "), lines[5]);
    let test = Mnist::test_only(shared().data()).unwrap();
    for (prediction, index) in predictions.iter().zip([0, 1, 2, 3, 9]) {
        assert_eq!(prediction["index"], index);
        assert_eq!(prediction["label"], test.label(index).to_string());
        let probabilities: Vec<f64> = serde_json::from_value(prediction["probabilities"].clone()).unwrap();
        assert!(probabilities.len() == 10 && (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let class: usize = prediction["class"].as_str().unwrap().parse().unwrap();
        assert_eq!(prediction["probability"], prediction["probabilities"][class]);
        assert!(probabilities.iter().all(|&p| p <= probabilities[class]));
    }
    assert_eq!(answer["class_names"].as_array().unwrap().len(), 10);
    assert_eq!(answer["errors"], Value::Array(vec![]));
    let built_in = run(["predict", text(&model), "--data", "mnist", "--index", "9999"]);
    assert!(built_in.starts_with("built-in digit no. 9999 ("), "{built_in}");
}

#[test]
fn predict_reads_images_of_any_size_and_goes_on_after_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let digit = Mnist::test_only(shared().data()).unwrap().image(0).unwrap();
    digit.save_png(at("digit.png")).unwrap();
    Image::filled(300, 200, &[255, 255, 255]).save_png(at("white.png")).unwrap();
    fs::write(at("text.png"), "I am not an image").unwrap();
    fs::write(at("empty.png"), "").unwrap();
    let mut half = fs::read(at("digit.png")).unwrap();
    half.truncate(half.len() / 2);
    fs::write(at("half.png"), half).unwrap();

    let model = shared().run();
    let paths = ["digit.png", "text.png", "white.png", "empty.png", "half.png", "none.png"].map(at);
    let arguments = || ["predict", text(&model)].into_iter().chain(paths.iter().map(|path| text(path)));
    let output = lucida(arguments()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (good, bad) = (stdout(&output), stderr(&output));
    assert_eq!(good.lines().count(), 2, "{good}");
    assert!(good.starts_with(&format!("{}: ", paths[0].display())), "{good}");
    let (notes, errors): (Vec<&str>, Vec<&str>) = bad.lines().partition(|line| line.starts_with("note: "));
    assert!(notes.len() == 1 && notes[0].contains("white.png: no digit was found"), "{bad}");
    assert_eq!(errors.len(), 4, "{bad}");
    for ((line, name), problem) in errors.into_iter().zip(["text.png", "empty.png", "half.png", "none.png"]).zip([
        "not an image: it starts with",
        "not an image: the file is empty",
        "truncated",
        "No such file",
    ]) {
        assert!(line.starts_with("error: ") && line.contains(name) && line.contains(problem), "{line}");
    }
    let output = lucida(arguments().chain(["--json"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer = json(&stdout(&output));
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 4);
    assert_eq!(answer["errors"][1]["image"], text(&paths[3]));

    // A 28x28 file is used unchanged, so it gives the same result as the digit of the data set.
    let data = format!("mnist:{}", shared().data().display());
    let digit = json(&run(["predict", text(&model), "--data", &data, "--index", "0", "--json"]));
    assert_eq!(answer["predictions"][0]["probabilities"], digit["predictions"][0]["probabilities"]);
    let verbose = run(["predict", text(&model), text(&paths[0]), "--verbose"]);
    assert_eq!(verbose.lines().count(), 11, "{verbose}");
}

#[test]
fn data_show_draws_digits() {
    let printed = run(["data", "show", "mnist", "--first", "7"]);
    assert!(printed.starts_with("The first 7 of 10,000 built-in digits\n"), "{printed}");
    let labels: String = printed.lines().filter(|line| line.chars().all(|c| c == ' ' || c.is_ascii_digit())).collect();
    assert_eq!(labels.split_whitespace().collect::<Vec<_>>(), ["5", "0", "4", "1", "9", "2", "1"]);
    assert!(printed.lines().all(|line| line.chars().count() <= 80));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strip.png");
    run(["data", "show", "mnist", "--first", "12", "--data", text(&shared().data()), "--test", "--out", text(&path)]);
    let strip = Image::open(&path).unwrap();
    assert!(strip.width() > 10 * 56 && strip.height() > 2 * 56, "{}x{}", strip.width(), strip.height());
    let set = text(&shared().data()).to_owned();
    assert!(run(["data", "show", "mnist", "--data", &set]).starts_with(&format!("The first 10 of {TRAIN} training")));
}

#[test]
fn summary_of_a_model_file() {
    let file = shared().run().join("model.safetensors");
    assert_eq!(run(["summary", text(&file)]), run(["summary", "mnist-cnn"]));
    assert_eq!(run(["summary", text(&shared().run())]), run(["summary", "mnist-cnn"]));
}

#[test]
fn threads_change_nothing_that_is_seen() {
    let model = shared().run();
    let of = |threads| {
        let answer =
            run(["predict", text(&model), "--data", "mnist", "--index", "0..20", "--threads", threads, "--json"]);
        let answer = json(&answer);
        answer["predictions"].as_array().unwrap().iter().map(|p| p["class"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("1"), of("3"));
}

/// Ctrl-C during training: results so far are saved, and the exit code says so.
#[cfg(unix)]
#[test]
fn an_interrupted_training_is_saved() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(["train", "mnist", "--epochs", "100000", "--data", text(&shared().data()), "--out", text(&out)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // After an epoch, the handler is installed and there is something to keep.
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("Epoch 1/100000")));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(rest.iter().any(|line| line.starts_with("Stopped after ")), "{rest:?}");
    assert!(stderr(&output).trim().ends_with("error: interrupted"), "{}", stderr(&output));
    assert_eq!(names(&out)[..1], ["checkpoint.safetensors"], "to resume from");
    assert_eq!(names(&out)[1..], RUN_FILES);
    assert!(
        run(["predict", text(&out), "--data", "mnist", "--index", "0"]).starts_with("built-in digit no. 0 (a 5): ")
    );
    assert!(fs::read_to_string(out.join("history.csv")).unwrap().lines().count() >= 2);
}

/// An idle studio has nothing to save, and ends silently.
#[cfg(unix)]
#[test]
fn a_studio_without_a_running_job_ends_quietly() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
            .args(["studio", "--port", "0", "--runs", text(folder.path())])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("The studio is at http://127.0.0.1:")));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal}: {}", stderr(&output));
        assert!(!stderr(&output).contains("stopping") && !stderr(&output).contains("error"), "{}", stderr(&output));
    }
}

/// The full demonstration takes too long in a debug build, so it is stopped early here.
#[cfg(unix)]
#[test]
fn a_demonstration_that_is_stopped_shows_what_it_has() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(["demo", "--out", text(&out)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("Epoch 1/")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        rest.iter().any(|line| line.starts_with("Accuracy ") && line.contains("on 2,000 digits held out")),
        "{rest:?}"
    );
    assert!(rest.contains(&format!("Report: {}", out.join("index.html").display())), "{rest:?}");
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Training was stopped after"));
    assert!(Path::new(&out.join("model.safetensors")).exists());
}

#[test]
fn a_report_of_digits() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, page) = (shared().run(), folder.path().join("report.html"));
    let printed = run(["report", text(&run_folder), "--out", text(&page)]);
    assert_eq!(printed, format!("Written to {}\n", page.display()));
    let html = fs::read_to_string(&page).unwrap();
    for part in ["mnist-cnn", "28 x 28 pixels", "lucida train mnist --epochs 1", "on 100 test", "number ", "Confusion"]
    {
        assert!(html.contains(part), "{part}");
    }
    let described: Value = json(&fs::read_to_string(run_folder.join("run.json")).unwrap());
    assert_eq!(described["data"], format!("mnist:{}", shared().data().canonicalize().unwrap().display()));
    assert_eq!((&described["model"], &described["images"]), (&"mnist-cnn".into(), &serde_json::json!([320, 80])));
    // On other data: the built-in digits have no test part.
    let other = folder.path().join("other.html");
    run(["report", text(&run_folder), "--data", "mnist", "--out", text(&other)]);
    assert!(fs::read_to_string(other).unwrap().contains("validation"));
}
