//! `--force` over earlier results: in the end, either all files are new or all are old.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, shared, stderr, stdout, text};

/// Names and contents of the files in a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let of = |name: String| {
        let path = folder.join(&name);
        (name, if path.is_dir() { Vec::new() } else { fs::read(path).unwrap() })
    };
    names(folder).into_iter().map(of).collect()
}

fn copied(run: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(run) {
        fs::copy(run.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn a_training_that_fails_leaves_the_earlier_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    copied(&shared().run(), &out);
    fs::write(out.join("notes.txt"), "mine").unwrap();
    fs::write(out.join("checkpoint.safetensors"), "old").unwrap();
    let before = contents(&out);
    let data = shared().data();
    // The loss overflows in the first epoch.
    let message = fail(
        1,
        ["train", "mnist", "--data", text(&data), "--out", text(&out), "--force", "--quiet", "--optimizer", "sgd"]
            .into_iter()
            .chain(["--learning-rate", "1e30", "--checkpoint-every", "1"]),
    );
    assert!(message.contains("the first that are not finite"), "{message}");
    assert!(contents(&out) == before, "{:?}", names(&out));
}

#[cfg(unix)]
#[test]
#[expect(clippy::too_many_lines, reason = "one run, step by step")]
fn an_interrupted_or_killed_first_epoch_leaves_the_earlier_run() {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    copied(&shared().run(), &out);
    let before = contents(&out);
    let data = shared().data();
    // An endless epoch with a checkpoint after each step.
    let begin = |steps: &str, more: &[&str]| -> Child {
        let child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
            .args(["train", "mnist", "--data", text(&data), "--out", text(&out), "--force", "--batch-size", "4"])
            .args(["--steps-per-epoch", steps, "--checkpoint-every", "1"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !out.join("checkpoint.safetensors").exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    };
    let child = begin("1000000", &[]);
    assert!(!out.join("model.safetensors").exists(), "the earlier run is set aside");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stdout(&output).contains("keeps the run that was there before") && !stdout(&output).contains("--resume"));
    assert!(contents(&out) == before, "{:?}", names(&out));

    // Every command that opens or writes the run restores it.
    let open = [
        &["predict", text(&out), "--data", "mnist", "--index", "0"][..],
        &[
            "train",
            "mnist",
            "--data",
            text(&data),
            "--out",
            text(&out),
            "--epochs",
            "1",
            "--batch-size",
            "32",
            "--resume",
        ],
        &["summary", text(&out)],
    ];
    for command in open {
        let mut child = begin("1000000", &["--quiet"]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!out.join("model.safetensors").exists());
        let output = lucida(command.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        assert!(contents(&out) == before, "{command:?}: {:?}", names(&out));
    }

    // After its first epoch, the new run stays.
    let mut child = begin("2", &["--quiet", "--epochs", "100000"]);
    while names(&out).iter().any(|name| name.contains("previous") || name.contains("discarded")) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run(["train", "mnist", "--data", text(&data), "--out", text(&out), "--batch-size", "4", "--steps-per-epoch", "2"]
        .into_iter()
        .chain(["--epochs", "3", "--quiet", "--resume"]));
    assert!(fs::read_to_string(out.join("history.csv")).unwrap().lines().count() >= 3);
    let left: Vec<String> = names(&out).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn results_of_a_command_that_fails_are_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (shared().run(), folder.path().join("out"));
    let digits = ["activations", text(&model), "--data", "mnist", "--out", text(&out)];
    let with = |index: &'static str, more: &'static [&'static str]| {
        digits.into_iter().chain(["--index", index, "--quiet"]).chain(more.iter().copied())
    };
    run(with("0", &[]));
    let before = contents(&out);
    assert!(fail(1, with("1", &[])).contains("already exists; use --force"));
    run(with("1", &["--force"]));
    let after = contents(&out);
    assert!(before != after && names(&out) == before.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
}
