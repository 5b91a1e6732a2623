//! Conventions of all commands: user defaults, standard input and output, JSON, man pages, colors.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, run, shared, stderr, stdout, text};
use lucida::core::{Purpose, Rng};
use serde_json::Value;
use tempfile::TempDir;

/// Runs a command with a config file; returns the exit code, standard output and standard error.
fn with_config(config: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let output =
        lucida(arguments.iter().copied()).env("LUCIDA_CONFIG", &path).current_dir(folder.path()).output().unwrap();
    (output.status.code(), stdout(&output), stderr(&output))
}

#[test]
fn defaults_come_from_the_command_line_then_the_environment_then_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "[data.show]\nfirst = 3\n").unwrap();
    let labels = |variables: &[(&str, &str)], more: &[&str]| {
        let words = ["data", "show", "mnist", "--json"].into_iter().chain(more.iter().copied());
        let output = lucida(words).env("LUCIDA_CONFIG", &config).envs(variables.iter().copied()).output().unwrap();
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        answer["labels"].as_array().unwrap().len()
    };
    assert_eq!(labels(&[], &[]), 3);
    assert_eq!(labels(&[("LUCIDA_DATA_SHOW_FIRST", "4")], &[]), 4);
    assert_eq!(labels(&[("LUCIDA_DATA_SHOW_FIRST", "4")], &["--first", "5"]), 5);
    assert_eq!(labels(&[("LUCIDA_CONFIG", "")], &[]), 10);
}

/// The command line wins over defaults that conflict with it; aliases of options work in the config file.
#[test]
fn defaults_yield_to_what_they_cannot_be_used_with() {
    let inputs = Inputs::new();
    let config = inputs.path().join("config.toml");
    let run = shared().run();
    let run = text(&run);
    let printed = |toml: &str, arguments: &[&str]| {
        fs::write(&config, toml).unwrap();
        let mut command = lucida(arguments.iter().copied());
        let output = command.env("LUCIDA_CONFIG", &config).current_dir(inputs.path()).output().unwrap();
        stdout(&output) + &stderr(&output)
    };
    let data = "[predict]\ndata = \"mnist\"\nindex = 3\n";
    assert!(printed(data, &["predict", run, "seven.png"]).contains("seven.png: "));
    assert!(printed("quiet = true\n", &["models", "--verbose"]).starts_with("family "));
    let said = printed("[train]\nlr = 0\n", &["train", "no-such-folder"]);
    assert!(said.contains("train.lr: expected a positive number"), "{said}");
    let said = printed("[train]\nlearning_rate = 0\n", &["train", "no-such-folder"]);
    assert!(said.contains("train.learning_rate: expected a positive number"), "{said}");
}

/// Global options, flags, and required options can have defaults.
#[test]
fn every_kind_of_option_can_have_a_default() {
    let (code, out, err) = with_config("threads = 1\nquiet = true\n[models]\njson = true\n", &["models"]);
    assert!(code == Some(0) && out.starts_with('{'), "{out}{err}");
    let (code, out, err) = with_config("[evaluate]\ndata = \"mnist\"\n", &["evaluate", "no-such-model"]);
    assert!(code == Some(1) && err.contains("no such model file"), "{out}{err}");
    let (code, out, err) = with_config("[explain]\nmethod = [\"lrp\", \"rise\"]\n", &["explain", "x", "y.png"]);
    assert!(code == Some(1), "{out}{err}");
    let (_, help, _) = with_config("[train.mnist]\nepochs = 7\n", &["train", "mnist", "--help"]);
    assert!(help.contains("[default: 7]"), "{help}");
}

#[test]
fn a_wrong_config_file_says_where_and_what() {
    for (config, expected) in [
        ("thread = 2\n", "`lucida` has no option thread; did you mean threads?"),
        ("[trian]\nepochs = 1\n", "`lucida` has no command trian; did you mean train?"),
        ("train = 1\n", "train is a section of its own: [train]"),
        ("quiet = true\nverbose = true\n", "verbose: cannot have a default together with quiet"),
        (
            "[train]\noptimizer = \"adan\"\n",
            "train.optimizer: expected adam, rmsprop, sgd or nesterov, got \"adan\"; did",
        ),
        ("[train]\nepochs = 0\n", "train.epochs: expected a whole number from 1"),
        ("[train]\nepochs = { a = 1 }\n", "train.epochs: expected a string, a number, true or false"),
        ("[train]\ntui = 3\n", "train.tui: expected true or false, got 3"),
        ("[train]\nforce = true\n", "force cannot have a default"),
        ("\nepochs =\n", "config.toml: line 2: "),
    ] {
        let (code, _, message) = with_config(config, &["train", "no-such-folder"]);
        assert!(code == Some(2) && message.contains(expected), "{config}: {message}");
        assert!(message.starts_with("error: ") && message.lines().count() == 1, "{message}");
        // `doctor`, which is for finding such problems, reports it.
        let (code, out, _) = with_config(config, &["doctor"]);
        assert!(code == Some(1) && out.contains(expected), "{config}: {out}");
    }
    // An error in the section of one command affects neither other commands nor the help.
    for arguments in [&["models"][..], &["train", "--help"], &["--version"]] {
        assert_eq!(with_config("[train]\nepochs = 0\n", arguments).0, Some(0), "{arguments:?}");
    }
    let missing = lucida(["models"]).env("LUCIDA_CONFIG", "no/such/file").output().unwrap();
    assert!(stderr(&missing).contains("no/such/file: cannot read the config file"), "{}", stderr(&missing));
    let output = lucida(["doctor"]).env("LUCIDA_CONFIG", "").env("LUCIDA_TRAIN_EPOCS", "3").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = "LUCIDA_TRAIN_EPOCS: no option has this variable; did you mean LUCIDA_TRAIN_EPOCHS?";
    assert!(shown.contains(problem) && output.status.code() == Some(1), "{shown}");
    let output = lucida(["train", "x"]).env("LUCIDA_TRAIN_EPOCHS", "many").output().unwrap();
    assert!(stderr(&output).starts_with("error: LUCIDA_TRAIN_EPOCHS: expected a whole number"), "{}", stderr(&output));
    let (_, out, _) = with_config("[train]\nepochs = 3\n", &["doctor", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert!(answer["config"].as_str().unwrap().ends_with("config.toml"), "{out}");
}

/// Damaged config files are a line on standard error, whatever is in them: the file is read before every command.
#[test]
fn damaged_config_files_are_refused_in_a_line_or_harmless() {
    let good =
        b"threads = 1\n[train]\nepochs = 3\nlearning_rate = 1e-3\n[train.mnist]\nbatch_size = 7\n[predict]\ntop = 3\n";
    let rounds = 60 * std::env::var("LUCIDA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let mut random = Rng::keyed(5, Purpose::Choice, 0);
    for round in 0..rounds {
        let mut bytes = good.to_vec();
        for _ in 0..=round % 4 {
            let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.extend_from_within(at.min(other)..at.max(other)),
                _ => bytes[at] = b"\"'[]={}.-\n0"[random.below(11)],
            }
        }
        fs::write(&path, &bytes).unwrap();
        let output = lucida(["train", "no-such-folder"]).env("LUCIDA_CONFIG", &path).output().unwrap();
        let (code, lines) = (output.status.code(), stderr(&output));
        let written = String::from_utf8_lossy(&bytes);
        assert!(matches!(code, Some(1 | 2)) && lines.starts_with("error: "), "{written}: {code:?} {lines}");
        assert!(lines.lines().count() == 1 && !lines.contains("panicked"), "{written}: {lines}");
    }
}

/// An image and a model for the tests.
struct Inputs {
    folder: TempDir,
}

impl Inputs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seven.png");
        lucida::data::Image::filled(56, 56, &[90]).save_png(&image).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command in the folder, with a file as standard input.
    fn run(&self, arguments: &[&str], input: &Path) -> String {
        let mut command = lucida(arguments.iter().copied());
        let output = command.current_dir(self.path()).write_stdin(fs::read(input).unwrap()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }
}

#[test]
fn images_and_models_come_from_standard_input() {
    let inputs = Inputs::new();
    let image = inputs.path().join("seven.png");
    let (run, model) = (shared().run(), shared().run().join("model.safetensors"));
    let run = text(&run);
    for arguments in [
        &["predict", run, "-", "--json"][..],
        &["explain", run, "-", "--method", "gradient", "--json"],
        &["activations", run, "-", "--layers", "conv2d", "--json"],
        &["deconv", run, "-", "--layer", "conv2d_2", "--json"],
        &["filter", "-", "--kernel", "canny", "--json"],
        &["data", "augment", "-", "--count", "1", "--json"],
        &["style", "-", "brushwork", "--size", "32", "--steps", "1", "--json", "--out", "s.png"],
    ] {
        serde_json::from_str::<Value>(&inputs.run(arguments, &image)).unwrap();
    }
    let named = inputs.run(&["summary", text(&model)], &image);
    assert_eq!(inputs.run(&["summary", "-"], &model), named);
    assert!(inputs.run(&["weights", "inspect", "-"], &model).starts_with("standard input: "));
    inputs.run(&["weights", "convert", "-", "out.keras"], &model);
    assert_eq!(inputs.run(&["summary", "out.keras"], &image).lines().count(), named.lines().count());
    inputs.run(&["predict", "-", "seven.png"], &model);
    let message = fail(1, ["explain", run, "-"]);
    assert!(message.starts_with("error: standard input: "), "{message}");
}

/// Every command with results prints them as one JSON document.
#[test]
fn json_is_one_document() {
    let inputs = Inputs::new();
    let image = inputs.path().join("seven.png");
    let run = shared().run();
    let run = text(&run);
    for (arguments, key) in [
        (&["kernels", run][..], "files"),
        (&["filter", "seven.png", "--kernel", "sobel-x"], "files"),
        (&["data", "show", "mnist"], "labels"),
        (&["data", "augment", "seven.png"], "file"),
        (&["dream", "seven.png", "--model", run, "--steps", "1", "--octaves", "1"], "layer"),
        (&["style", "seven.png", "brushwork", "--size", "32", "--steps", "2", "--out", "s.png"], "loss"),
        (&["report", run, "--out", "report.html", "--data", "mnist"], "file"),
        (&["weights", "clean", "--dry-run"], "files"),
        (&["weights", "remove", "vgg16"], "bytes"),
        (&["doctor"], "config"),
        (&["models"], "networks"),
    ] {
        let words = [arguments, &["--json"]].concat();
        let printed = inputs.run(&words, &image);
        let answer: Value =
            serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{words:?}: {error}: {printed}"));
        assert!(answer.get(key).is_some(), "{words:?}: {printed}");
    }
}

/// Existing files are only overwritten with `--force`.
#[test]
fn files_that_exist_are_overwritten_with_force_only() {
    let inputs = Inputs::new();
    let out = inputs.path().join("out.png");
    fs::write(&out, "mine").unwrap();
    for arguments in [
        &["data", "augment", "seven.png", "--out", "out.png"][..],
        &["style", "seven.png", "brushwork", "--out", "out.png"],
        &["dream", "seven.png", "--out", "out.png"],
        &["data", "show", "mnist", "--out", "out.png"],
    ] {
        let output = lucida(arguments.iter().copied()).current_dir(inputs.path()).output().unwrap();
        let message = stderr(&output);
        assert!(message.contains("out.png already exists; use --force to overwrite it"), "{arguments:?}: {message}");
        assert_eq!(fs::read(&out).unwrap(), b"mine");
    }
}

#[test]
fn manual_pages() {
    let page = run(["man"]);
    assert!(page.contains(".TH lucida 1") && page.contains("neural style transfer"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    run(["man", "--out", text(&out)]);
    for name in ["lucida.1", "lucida-train.1", "lucida-train-mnist.1", "lucida-weights-convert.1"] {
        assert!(fs::read_to_string(out.join(name)).unwrap().contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(fail(1, ["man", "--out", text(&out)]).contains("use --force"));
}

/// The former name of a command still works.
#[test]
fn zoo_is_models() {
    assert_eq!(run(["zoo"]), run(["models"]));
}

/// There are no escape sequences if the output is not a terminal, or if the user wants none.
#[test]
fn no_colors_but_on_a_terminal() {
    for variables in [&[][..], &[("NO_COLOR", "1")]] {
        for arguments in [&["--help"][..], &["train", "mnist", "--epochs", "0"], &["nonsense"], &["models"]] {
            let output = lucida(arguments.iter().copied()).envs(variables.iter().copied()).output().unwrap();
            assert!(!stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'), "{arguments:?}");
        }
    }
}
