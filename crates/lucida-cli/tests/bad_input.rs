//! Invalid input: a one-line error that names the problem and the file, exit code 1, nothing half-written.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{TRAIN, fail, idx, lucida, names, shared, stderr, stdout, text, write_mnist};
use lucida::data::{Image, Preprocessing};
use lucida::nn::layers::{Dense, Flatten};
use lucida::nn::{Network, applications};
use lucida::weights::{Model, safetensors};
use tempfile::TempDir;

/// A copy of the small MNIST with one file replaced.
fn spoilt(file: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_mnist(&data);
    fs::write(data.join(file), bytes).unwrap();
    (folder, data)
}

/// Trains on unusable data: returns the error, after checking that nothing was written.
fn train_on(data: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let message = fail(1, ["train", "mnist", "--data", text(data), "--out", text(&out)]);
    assert!(!out.exists(), "a run folder was made");
    message
}

/// The limit applies to the shorter side, whatever the longer one.
#[test]
fn a_dream_that_is_too_small_says_what_is_large_enough() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    Image::filled(320, 180, &[99; 3]).save_png(Path::new(&at("wide.png"))).unwrap();
    Image::filled(320, 40, &[99; 3]).save_png(Path::new(&at("thin.png"))).unwrap();
    let (wide, out) = (at("wide.png"), at("out.png"));
    let words = |image, size| {
        ["dream", image, "--out", &out, "--quiet", "--force", "--steps", "1", "--octaves", "1", "--size", size]
    };
    let message = fail(1, words(&wide, "64"));
    assert!(message.contains("wide.png would have 64x36 pixels, and the shorter side needs at least 48"), "{message}");
    assert!(message.contains("take --size 84 or more"), "{message}");
    assert!(fail(1, words(&wide, "83")).contains("take --size 84 or more"));
    assert!(lucida(words(&wide, "84")).output().unwrap().status.success());
    let message = fail(1, words(&at("thin.png"), "8192"));
    assert!(message.contains("320x40 pixels is too small to dream about: at least 48x48 are needed"), "{message}");
}

#[test]
fn data_files_that_are_not_what_they_should_be() {
    let images = "train-images-idx3-ubyte";
    let whole = fs::read(shared().data().join(images)).unwrap();
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (&whole[..whole.len() / 2], "cut short"),
        (&whole[..2], "cut short"),
        (b"<html>not found</html>", "not an IDX file"),
        (&idx(&[TRAIN as u32], &vec![3; TRAIN]), "mislabeled"),
        (&idx(&[TRAIN as u32 - 1, 28, 28], &whole[16..16 + (TRAIN - 1) * 784]), "train-labels-idx1-ubyte"),
    ] {
        let (_folder, data) = spoilt(images, bytes);
        let message = train_on(&data);
        assert!(message.contains(expected) && message.contains(images), "{expected}: {message}");
    }
    let labels = "t10k-labels-idx1-ubyte";
    let (_folder, data) = spoilt(labels, &idx(&[100], &[17; 100]));
    assert!(train_on(&data).contains("label 0 is 17, but digits are 0 to 9"));
    let source = format!("mnist:{}", data.display());
    let message = fail(1, ["evaluate", text(&shared().run()), "--data", &source]);
    assert!(message.contains(labels), "{message}");
    assert!(fail(1, ["data", "show", "mnist", "--data", text(&data), "--test"]).contains(labels));
}

#[test]
fn folders_that_are_not_there() {
    let none = Path::new("no/such/folder");
    assert!(train_on(none).contains("no/such/folder: no such folder"));
    let empty = tempfile::tempdir().unwrap();
    let message = train_on(empty.path());
    assert!(message.contains("missing train-images-idx3-ubyte"), "{message}");
    assert!(message.contains(text(empty.path())), "{message}");
    let model = shared().run();
    let message = fail(1, ["evaluate", text(&model), "--data", "mnist:no/such/folder"]);
    assert!(message.contains("no/such/folder"), "{message}");
}

#[test]
fn models_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(shared().run().join("model.safetensors")).unwrap();
    let commands: [&[&str]; 3] = [
        &["predict", text(&path), "--data", "mnist", "--index", "0"],
        &["evaluate", text(&path), "--data", "mnist"],
        &["summary", text(&path)],
    ];
    for (bytes, expected) in [
        (&whole[..whole.len() / 2], "cut short"),
        (&whole[..100], "header"),
        (b"", "it is empty"),
        (b"just a text", "unknown model file format"),
    ] {
        fs::write(&path, bytes).unwrap();
        for command in commands {
            let message = fail(1, command.iter().copied());
            assert!(message.contains(expected) && message.contains("model.safetensors"), "{expected}: {message}");
        }
    }
    // Names that are not files.
    assert!(fail(1, ["predict", "none.safetensors", "a.png"]).contains("none.safetensors: no such model file"));
    let message = fail(1, ["predict", "mnist-cnn", "a.png"]);
    assert!(message.contains("mnist-cnn: this is the name of a network without weights"), "{message}");
    let message = fail(1, ["evaluate", text(folder.path().parent().unwrap()), "--data", "mnist"]);
    assert!(message.contains("is a folder, not a model file"), "{message}");
}

#[test]
fn models_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let evaluate = || fail(1, ["evaluate", text(&path), "--data", "mnist", "--quiet"]);

    let five =
        applications::find("lenet5").unwrap().build(&applications::Options::default().classes(5).seed(1)).unwrap();
    let model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(five) };
    safetensors::save_model(&model, &path).unwrap();
    let message = evaluate();
    assert!(message.contains("the data has 10 classes, the network has 5"), "{message}");
    assert!(message.contains("model.safetensors"), "{message}");

    // Images never have two channels.
    let two = Network::sequential("two", [28, 28, 2], [Flatten::new().into(), Dense::new(10).into()], 1).unwrap();
    safetensors::save_model(&Model::new(two), &path).unwrap();
    let message = evaluate();
    assert!(message.contains("takes inputs of 2 channels"), "{message}");

    // The architecture of one network with the tensors of another.
    let run = shared().run().join("model.safetensors");
    let bytes = fs::read(&run).unwrap();
    let text_of = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let at = 8 + text_of.find("\\\"filters\\\":24").unwrap();
    let mut changed = bytes.clone();
    changed[at..at + 14].copy_from_slice(b"\\\"filters\\\":25");
    fs::write(&path, changed).unwrap();
    let message = evaluate();
    assert!(message.contains("conv2d") && message.contains("has shape"), "{message}");
}

#[test]
fn positions_that_are_not_there() {
    let model = shared().run();
    let message = fail(1, ["predict", text(&model), "--data", "mnist", "--index", "0..10001"]);
    assert!(message.contains("there is no digit 10000: the built-in digits are 0..10000"), "{message}");
    let message = fail(1, ["data", "show", "mnist", "--first", "10001"]);
    assert!(message.contains("there are only 10,000 built-in digits"), "{message}");
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let inside = file.join("run");
    let started = std::time::Instant::now();
    let data = shared().data();
    for arguments in [
        &["train", "mnist", "--epochs", "100000", "--data", text(&data), "--out", text(&inside)][..],
        &["demo", "--out", text(&inside)],
        &["evaluate", text(&shared().run()), "--data", "mnist", "--quiet", "--out", text(&inside)],
        &["data", "show", "mnist", "--out", text(&inside.with_extension("png"))],
    ] {
        let message = fail(1, arguments.iter().copied());
        assert!(message.ends_with("/file: is a file; a folder is needed\n"), "{message}");
    }
    assert!(started.elapsed().as_secs() < 20, "found out too late");
    assert_eq!(fs::read(&file).unwrap(), b"x");
    assert_eq!(names(folder.path()), ["file"]);

    let demo = folder.path().join("demo");
    fs::create_dir(&demo).unwrap();
    fs::write(demo.join("index.html"), "mine").unwrap();
    let message = fail(1, ["demo", "--out", text(&demo)]);
    assert!(message.contains("index.html already exists; use --force"), "{message}");
    assert_eq!(fs::read(demo.join("index.html")).unwrap(), b"mine");
}

/// A folder that not even the superuser can write to.
#[cfg(target_os = "linux")]
#[test]
fn folders_of_the_system() {
    let data = shared().data();
    let output = lucida(["train", "mnist", "--data", text(&data), "--out", "/proc/self"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).starts_with("error: /proc/self: cannot write to the folder: "), "{}", stderr(&output));
}

/// File names with terminal escape sequences or spreadsheet formulas.
#[cfg(target_os = "linux")]
#[test]
fn names_steer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    let photo = Image::filled(32, 32, &[200, 90, 30]);
    photo.save_png(photos.join("a\x1b[2Jb\nerror: forged.png")).unwrap();
    photo.save_png(photos.join("=1+1.png")).unwrap();
    let output = lucida(["predict", "./photos"]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    assert!(lines.contains("a\\u{1b}[2Jb\\nerror: forged.png: "), "{lines}");
    assert_eq!((lines.lines().count(), lines.contains('\x1b')), (2, false), "{lines}");
    let missing = lucida(["predict", "\x1b]0;title\x07.png"]).output().unwrap();
    assert!(stderr(&missing).contains("\\u{1b}]0;title\\u{7}.png"), "{}", stderr(&missing));

    let table = folder.path().join("one.csv");
    lucida(["predict", "=1+1.png", "--csv", text(&table)]).current_dir(&photos).output().unwrap();
    assert!(fs::read_to_string(&table).unwrap().contains("\n'=1+1.png,"));
}

/// The learning rate is so high that the loss explodes: a failed run, not a panic, and no model.
#[test]
fn a_training_that_diverges() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = shared().data();
    let output = lucida(["train", "mnist", "--data", text(&data), "--learning-rate", "1e30", "--batch-size", "32"])
        .args(["--out", text(&out)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the first that are not finite"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stderr(&output).contains("; --on-nan skip leaves such steps out"), "{}", stderr(&output));
    assert!(!out.exists(), "a folder without anything in it");

    // The checkpoint of the first step is kept, and the run can be resumed, which does not help here.
    let train = |options: &[&str]| {
        let common = ["train", "mnist", "--data", text(&data), "--learning-rate", "1e30", "--batch-size", "32"];
        lucida(common).args(["--checkpoint-every", "1", "--out", text(&out)]).args(options).output().unwrap()
    };
    let stopped = stderr(&train(&[]));
    assert!(stopped.contains("the last good checkpoint is kept in") && stopped.contains("image "), "{stopped}");
    assert!(stopped.contains("; --resume --on-nan skip continues from it and leaves such steps out"), "{stopped}");
    let skipped = train(&["--resume", "--on-nan", "skip"]);
    let lines = stderr(&skipped);
    assert_eq!((skipped.status.code(), lines.lines().count()), (Some(1), 10), "{lines}");
    assert!(lines.starts_with("note: step 2 of epoch 1 is left out: the loss is "), "{lines}");
    assert!(lines.contains(": 10 steps in a row were skipped: the loss is "), "{lines}");
    assert!(out.join("checkpoint.safetensors").exists());
}
