//! Two processes and one folder: the second is refused with a message that names the folder, and nothing is damaged.

#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{fail, lucida, names, run, shared, stderr, text};
use lucida::data::Image;

/// A command in the background, which is killed in the end.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("lucida"));
        command.args(arguments).env("LUCIDA_CONFIG", "").stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits for a file.
    fn until(mut self, file: &Path) -> Self {
        while !file.exists() {
            assert!(self.0.try_wait().unwrap().is_none(), "it ended before {} was there", file.display());
            std::thread::sleep(Duration::from_millis(2));
        }
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ADVICE: &str =
    "another process is writing to this folder; wait until it has ended, or name another folder with --out";

#[test]
fn two_trainings_and_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (out, data) = (folder.path().join("run"), shared().data());
    let train = |more: &'static str| {
        let words = format!(
            "train mnist --data {} --out {} --batch-size 4 --checkpoint-every 1 --quiet ",
            text(&data),
            text(&out)
        );
        (words + more).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let words = |more| train(more).iter().map(String::as_str).map(str::to_owned).collect::<Vec<String>>();
    let endless = words("--epochs 1000 --steps-per-epoch 50");
    let first = Running::start(&endless.iter().map(String::as_str).collect::<Vec<_>>());
    let first = first.until(&out.join("checkpoint.safetensors"));
    for more in ["", "--force", "--resume", "--auto-resume"] {
        let message = fail(1, words(more).iter().map(String::as_str));
        assert_eq!(message, format!("error: {}: {ADVICE}\n", out.display()), "{more}");
    }
    // Who reads is not kept out.
    let left: Vec<String> = names(&out).into_iter().filter(|name| name.starts_with("run.json")).collect();
    assert_eq!(left, ["run.json"]);
    // The lock ends with the process, however that ends.
    drop(first);
    run(words("--epochs 2 --steps-per-epoch 50 --resume").iter().map(String::as_str));
    assert!(out.join("model.safetensors").exists());
    assert!(names(&out).iter().all(|name| !name.starts_with('.')), "{:?}", names(&out));
}

#[test]
fn two_trainings_of_styles_and_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    Image::filled(64, 64, &[200, 90, 40]).save_png(at("style.png")).unwrap();
    let words = format!(
        "style-train {} -o {} --crop 32 --batch-size 1 --style-scale 0.2 --quiet",
        text(&at("style.png")),
        text(&at("a.lucida"))
    );
    let with = |more: &str| format!("{words} {more}").split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    let long = with("--steps 100000");
    let first = Running::start(&long.iter().map(String::as_str).collect::<Vec<_>>());
    let training = at("a-training");
    let first = first.until(&training);
    let message = fail(1, with("--steps 4 --force").iter().map(String::as_str));
    assert_eq!(message, format!("error: {}: {ADVICE}\n", training.display()));
    drop(first);
    run(with("--steps 4 --force").iter().map(String::as_str));
}

#[test]
fn two_studios_and_one_folder_of_runs() {
    let folder = tempfile::tempdir().unwrap();
    let runs = text(folder.path());
    let words = ["studio", "--port", "0", "--runs", runs];
    let mut first = Running::start(&words);
    let mut line = String::new();
    BufReader::new(first.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("The studio is at "), "{line}");
    let message = fail(1, words);
    let advice =
        "another studio uses this folder; open the address that it has printed, or name other runs with --runs DIR";
    assert_eq!(message, format!("error: {runs}/studio: {advice}\n"));
    drop(first);
    let mut second = Running::start(&words);
    line.clear();
    BufReader::new(second.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("The studio is at "), "{line}");
}

/// The files of the cache are complete and never change, so that two may fill it.
#[test]
fn two_trainings_and_one_cache_of_features() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for class in ["a", "b"] {
        fs::create_dir_all(at("photos").join(class)).unwrap();
        for number in 0..20_u8 {
            let color = [if class == "a" { 250 } else { 0 }, 11 * number, 90];
            Image::filled(32, 32, &color).save_png(at("photos").join(class).join(format!("{number}.png"))).unwrap();
        }
    }
    let (photos, features) = (at("photos"), at("features"));
    let train = |out: &str| {
        let words =
            format!("train {} --size 32 --epochs 2 --quiet --features {} --out", text(&photos), text(&features));
        words.split_whitespace().map(str::to_owned).chain([text(&at(out)).to_owned()]).collect::<Vec<_>>()
    };
    let mut both: Vec<Child> = ["one", "two"]
        .iter()
        .map(|out| {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin("lucida"));
            command.args(train(out)).env("LUCIDA_CONFIG", "").stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    both.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    let output = lucida(train("three").iter().map(String::as_str)).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let model = |out: &str| fs::read(at(out).join("model.safetensors")).unwrap();
    assert!(model("one") == model("two") && model("two") == model("three"));
}
