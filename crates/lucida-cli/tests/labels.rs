//! Labels from a table or from file names, groups, and cross-validation.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{fail, lucida, names, run, stderr, stdout, text};
use lucida::data::{Dataset, Mnist};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Number of digits written as PNG files.
const DIGITS: usize = 240;

/// A folder with digits named `7_w3_012.png`, by five writers, and a table with a row for each.
struct Digits {
    folder: TempDir,
}

impl Digits {
    fn new(head: &str, row: impl Fn(usize, &str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let digits = Mnist::builtin().unwrap().train;
        let images = folder.path().join("images");
        fs::create_dir_all(&images).unwrap();
        let mut table = head.to_owned() + "\n";
        for index in 0..DIGITS {
            let name = format!("{}_w{}_{index:03}.png", digits.label(index), (index / 3) % 5);
            digits.image(index).unwrap().save_png(images.join(&name)).unwrap();
            let _ = writeln!(table, "{}", row(digits.label(index), &name));
        }
        fs::write(folder.path().join("digits.csv"), table).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command line of a short training run.
    fn train<'a>(&self, data: &[&'a str], out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let shared = [
            "--epochs",
            "2",
            "--size",
            "28",
            "--model",
            "basic-cnn",
            "--channels",
            "1",
            "--threads",
            "2",
            "--out",
            text(out),
        ];
        ["train"].into_iter().chain(data.iter().copied()).chain(shared).chain(more.iter().copied()).collect()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

fn read(path: &Path) -> Value {
    json(&fs::read_to_string(path).unwrap())
}

#[test]
fn a_table_of_labels_is_trained_evaluated_predicted_and_reported() {
    let digits = Digits::new("file;even;large", |digit, name| {
        format!("{name};{};{}", u8::from(digit % 2 == 0), u8::from(digit > 4))
    });
    let (table, images, out) = (digits.path("digits.csv"), digits.path("images"), digits.path("run"));
    let data = ["--labels", text(&table), "--images", text(&images)];
    let output = lucida(digits.train(&data, &out, &["--augment", "width=0.1"])).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(printed.starts_with("digits.csv: 240 images, 2 labels (even, large), multi-label\n"), "{printed}");
    assert!(printed.contains("Found 240 images with 2 labels: 192 training, 48 validation."), "{printed}");
    assert!(printed.contains("val_mean_average_precision: "), "{printed}");
    // The file names suggest that writers are in both parts.
    let note = stderr(&output);
    assert!(note.contains("suggest 5 groups, all of them in training and in validation images"), "{note}");
    let origin = read(&out.join("run.json"));
    assert_eq!(origin["labels"]["target_columns"], json!(["even", "large"]));
    assert_eq!(origin["labels"]["targets"], "labels");

    // For the run's own table, the held-out images are evaluated; otherwise all.
    let run_folder = text(&out);
    for more in [&["--labels", text(&table), "--images", text(&images)][..], &["--data", text(&images)]] {
        let answer = json(&run([&["evaluate", run_folder, "--json"], more].concat()));
        assert_eq!((&answer["images"], &answer["part"]), (&48.into(), &"validation".into()), "{answer}");
        assert_eq!((answer["labels"].as_array().unwrap().len(), &answer["labels"][1]["label"]), (2, &"large".into()));
        assert!(answer["metrics"]["mean_average_precision"].is_number(), "{answer}");
    }
    let other = digits.path("other.csv");
    fs::copy(&table, &other).unwrap();
    let csv = digits.path("table.csv");
    let all = ["evaluate", run_folder, "--labels", text(&other), "--images", text(&images), "--csv", text(&csv)];
    let printed = run(all);
    assert!(printed.contains(" on 240 images of ") && printed.contains("label  images  precision"), "{printed}");
    assert!(fs::read_to_string(&csv).unwrap().starts_with("file,true_even,p_even,true_large,p_large\n"));

    let image = images.join(&names(&images)[0]);
    let answer = json(&run(["predict", run_folder, text(&image), "--json"]));
    assert_eq!(answer["class_names"], json!(["even", "large"]));
    assert!(answer["predictions"][0]["labels"].is_array(), "{answer}");
    let maps = digits.path("maps");
    run(["explain", run_folder, text(&image), "--class", "large", "--out", text(&maps)]);
    run(["report", run_folder]);
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    for part in ["Metrics by label", "average precision", "ROC", "Largest errors", "even", "Training images"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("Confusion matrix"));

    // A changed table is another data set.
    let before = fs::read_to_string(&table).unwrap();
    fs::write(&table, before.replacen(";1;", ";0;", 1)).unwrap();
    assert!(fail(1, ["report", run_folder, "--force"]).contains("digits.csv: has changed since the run was trained"));
    let output = lucida(["evaluate", run_folder, "--data", text(&images)]).output().unwrap();
    assert!(
        stderr(&output).contains("has changed since the run was trained with it: its split"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_table_of_numbers_is_a_regression_that_resumes_with_the_same_table_only() {
    let digits = Digits::new("file,size,weight", |digit, name| format!("{name},{}.5,{}", digit, 1000 * digit));
    let (table, images, out) = (digits.path("digits.csv"), digits.path("images"), digits.path("run"));
    let data = ["--labels", text(&table), "--images", text(&images)];
    let printed = run(digits.train(&data, &out, &["--keep-checkpoint"]));
    assert!(printed.starts_with("digits.csv: 240 images, 2 values (size, weight), regression\n"), "{printed}");
    let answer = json(&run(["evaluate", text(&out), "--data", text(&images), "--json"]));
    assert_eq!((&answer["values"][0]["value"], answer["values"].as_array().unwrap().len()), (&"size".into(), 2));
    // Each value is learned on its own scale: the errors are at most about twice the standard deviations.
    let rmse = |at: usize| answer["values"][at]["rmse"].as_f64().unwrap();
    assert!(rmse(0) < 6.0 && (1.0..6000.0).contains(&rmse(1)), "{answer}");
    let image = images.join(&names(&images)[0]);
    let printed = run(["predict", text(&out), text(&image)]);
    assert!(printed.contains(": size ") && printed.contains(", weight "), "{printed}");
    run(["report", text(&out)]);
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("Metrics by value"));

    let mut more = digits.train(&data, &out, &["--keep-checkpoint", "--resume"]);
    let epochs = more.iter().position(|word| *word == "--epochs").unwrap();
    more[epochs + 1] = "3";
    assert!(run(more.clone()).contains("Epoch 3/3"));
    let before = fs::read_to_string(&table).unwrap();
    fs::write(&table, before.replacen("000\n", "001\n", 1)).unwrap();
    let message = lucida(more).output().unwrap();
    assert!(
        stderr(&message).contains("digits.csv: has changed since this run began; resume it with"),
        "{}",
        stderr(&message)
    );
    assert_eq!(message.status.code(), Some(1));
}

#[test]
fn groups_stay_whole_and_folds_are_summed_up() {
    let digits = Digits::new("file,class", |digit, name| format!("{name},{digit}"));
    let (images, out) = (digits.path("images"), digits.path("folds"));
    let data = [text(&images), "--label-pattern", "{class}_{writer}_*.png"];
    let folds = ["--group", "writer", "--folds", "3"];
    let output = lucida(digits.train(&data, &out, &folds)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(printed.contains(", classification, 5 groups\n240 images in 3 folds\n"), "{printed}");
    assert!(
        printed.contains("Fold 3 of 3: ") && printed.contains("3-fold cross-validation\nfold  images "),
        "{printed}"
    );
    assert!(!stderr(&output).contains("suggest"), "{}", stderr(&output));
    for name in ["fold-1", "fold-2", "fold-3", "folds.csv", "folds.json", "run.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let all = read(&out.join("folds.json"));
    let accuracies: Vec<f64> =
        all["folds"].as_array().unwrap().iter().map(|fold| fold["metrics"]["accuracy"].as_f64().unwrap()).collect();
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!(printed.contains(&format!("{mean:.4}")), "{mean} {printed}");
    // Each writer is in the validation part of one fold, and evaluating a fold gives the recorded accuracy.
    let mut validated = Vec::new();
    for (number, accuracy) in accuracies.iter().enumerate() {
        let fold = out.join(format!("fold-{}", number + 1));
        let csv = digits.path("fold.csv");
        let answer =
            json(&run(["evaluate", text(&fold), "--data", text(&images), "--json", "--csv", text(&csv), "--force"]));
        assert!((answer["accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-9, "{answer}");
        let rows = fs::read_to_string(&csv).unwrap();
        let mut writers: Vec<String> =
            rows.lines().skip(1).map(|row| row.split('_').nth(1).unwrap().to_owned()).collect();
        writers.sort();
        writers.dedup();
        validated.extend(writers);
    }
    validated.sort();
    assert_eq!(validated, ["w0", "w1", "w2", "w3", "w4"]);

    run(["report", text(&out)]);
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("3-fold cross-validation") && html.contains("±") && html.contains("standard deviation"));
    // When resumed, completed folds are reused, and other settings are refused.
    let again = digits.train(&data, &out, &["--group", "writer", "--folds", "3", "--resume", "--json"]);
    assert_eq!(
        json(&run(again))["metrics"]["accuracy"]["mean"].as_f64().map(|value| (value - mean).abs() < 1e-9),
        Some(true)
    );
    let other = lucida(digits.train(&data, &out, &["--folds", "3", "--resume"])).output().unwrap();
    assert!(stderr(&other).contains("was started with other data, labels or settings"), "{}", stderr(&other));
    let exists = lucida(digits.train(&data, &out, &folds)).output().unwrap();
    assert!(stderr(&exists).contains("folds.json already exists"), "{}", stderr(&exists));
    // The same seed gives the same folds and networks.
    let second = digits.path("second");
    run(digits.train(&data, &second, &folds));
    assert_eq!(read(&second.join("folds.json"))["folds"], all["folds"]);
}

#[test]
fn what_a_command_line_lacks_is_said() {
    let digits = Digits::new("file,class,writer", |digit, name| format!("{name},c{digit},w"));
    let (table, images) = (digits.path("digits.csv"), digits.path("images"));
    let (table, images) = (text(&table), text(&images));
    let out = digits.path("run");
    let train = |more: &[&str]| {
        let arguments: Vec<&str> = ["train", "--out", text(&out)].iter().chain(more).copied().collect();
        let output = lucida(arguments).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        stderr(&output)
    };
    let labels = ["--labels", table, "--images", images];
    let message = train(&labels);
    assert!(message.contains("row 2, column \"class\": \"c5\" is neither a label (0 or 1) nor a number"), "{message}");
    assert!(message.contains("; --target-column NAME,... names the columns to learn"), "{message}");
    let message = train(&[&labels[..], &["--target-column", "clas"]].concat());
    assert!(message.contains("there is no column \"clas\"") && message.contains("did you mean class?"), "{message}");
    let message = train(&["--labels", table, "--images", text(digits.folder.path())]);
    assert!(message.contains("no column names files in ") && message.contains("--file-column"), "{message}");
    let message = train(&[images, "--group", "writer"]);
    assert!(message.contains("--group names a column of --labels") && message.contains("--group-pattern"), "{message}");
    assert!(train(&[images, "--label-pattern", "*.png"]).contains("has no named part"));
    assert!(train(&[images, "--labels", table, "--label-pattern", "{class}_*"]).contains("cannot be used with"));
    let message = train(&[images]);
    assert!(message.contains("expected one per class"), "{message}");
    assert!(!out.exists(), "nothing is left of what failed");
}
