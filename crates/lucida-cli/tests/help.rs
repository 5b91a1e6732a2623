//! Help, versions, completions, and invalid command lines.

mod common;

use std::fs;

use common::{fail, lucida, run, stderr, stdout};

const COMMANDS: [&[&str]; 40] = [
    &[],
    &["demo"],
    &["train"],
    &["train", "mnist"],
    &["report"],
    &["summary"],
    &["evaluate"],
    &["predict"],
    &["run"],
    &["models"],
    &["weights"],
    &["weights", "fetch"],
    &["weights", "list"],
    &["weights", "remove"],
    &["weights", "clean"],
    &["weights", "inspect"],
    &["weights", "convert"],
    &["activations"],
    &["deconv"],
    &["receptive-field"],
    &["kernels"],
    &["filter"],
    &["filters"],
    &["classes"],
    &["dream"],
    &["explain"],
    &["data"],
    &["data", "show"],
    &["data", "augment"],
    &["embed"],
    &["bench"],
    &["bench", "plan"],
    &["style"],
    &["style-frames"],
    &["style-train"],
    &["style-video"],
    &["serve"],
    &["studio"],
    &["doctor"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_its_options_and_examples() {
    for command in COMMANDS {
        let long = run(command.iter().copied().chain(["--help"]));
        assert!(long.contains("Usage: lucida") && long.contains("--threads <N>"), "{command:?}: {long}");
        let is_leaf = !["weights", "data", "bench"].contains(&command.last().copied().unwrap_or_default());
        assert_eq!(long.contains("Examples:\n  lucida "), is_leaf, "{command:?}: {long}");
        check_wrapped(&long, 100, command);
        let narrow = lucida(command.iter().copied().chain(["--help"])).env("COLUMNS", "80").output().unwrap();
        check_wrapped(&stdout(&narrow), 80, command);
        assert!(run(command.iter().copied().chain(["-h"])).contains("Usage: lucida"));
    }
    assert_eq!(run(["--version"]), format!("lucida {}\n", env!("CARGO_PKG_VERSION")));
}

/// Checks that no line is longer than the terminal, and that wrapping did not break an example.
fn check_wrapped(help: &str, width: usize, command: &[&str]) {
    assert!(help.lines().all(|line| line.chars().count() <= width), "{command:?}: {help}");
    let examples = help.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| !line.is_empty());
    for line in examples {
        assert!(line.starts_with("  lucida ") || line.starts_with("      "), "{command:?} at {width}: {line}");
    }
}

/// The examples in the help parse: they may fail for missing files, but not for their syntax.
#[test]
fn the_examples_in_the_help_can_be_parsed() {
    let mut count = 0;
    for command in COMMANDS {
        let help = run(command.iter().copied().chain(["--help"])).replace("\\\n", "");
        let examples = help.lines().filter_map(|line| line.strip_prefix("  lucida "));
        for example in examples {
            let words: Vec<&str> =
                example.split("  ").next().unwrap().split(['|', '>']).next().unwrap().split_whitespace().collect();
            // An invalid option is reported before the help is printed.
            let output = lucida(words.iter().copied().chain(["--help"])).output().unwrap();
            assert!(output.status.success(), "{example}: {}", stderr(&output));
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of command lines")]
fn wrong_command_lines_end_with_2() {
    for (arguments, expected) in [
        (&["no-such-command"][..], "unrecognized subcommand"),
        (&["train", "mnist", "--epochs", "0"], "--epochs"),
        (
            &["train", "mnist", "--epochs", "many"],
            "error: --epochs: expected a whole number from 1 to 100000, as in 8, got \"many\"\n",
        ),
        (&["train", "mnist", "--optimizer", "adan"], "got \"adan\"; did you mean adam?"),
        (
            &["filter", "a.png", "--kernel", "canny", "--sigma", "x"],
            "--sigma: expected a number that is not negative, as in 0 or 1.5",
        ),
        (&["explain", "m", "--data", "mnist", "--index", "x"], "--index: expected positions from 0 up, as in 3, 0..10"),
        (&["train", "mnist", "--batch-size=-1"], "--batch-size"),
        (&["train", "mnist", "--learning-rate", "fast"], "expected a positive number"),
        (&["train", "mnist", "--learning-rate=-1"], "expected a positive number"),
        (&["train", "mnist", "--learning-rate", "-1"], "expected a positive number, as in 0.5 or 1e-3, got \"-1\""),
        (&["filter", "a.png", "--kernel", "canny", "--sigma", "-2"], "expected a number that is not negative"),
        (&["train", "cats"], "no such folder; expected a folder of images, or mnist"),
        (&["train", "./cats", "--model", "basic-cnn", "--cut", "flatten"], "--cut needs a pretrained network"),
        (
            &["train", "./cats", "--model", "vgg61"],
            "--model: expected the name of a network, got \"vgg61\"; did you mean vgg16 or vgg11? `lucida models` lists all",
        ),
        (&["train", "./cats", "--head", "conv:3"], "expected one of flatten, gap, gmp, dense:UNITS"),
        (&["train", "./cats", "--augment-copies", "3"], "--augment"),
        (&["train", "./cats", "--unfreeze-rate", "1e-4"], "--unfreeze"),
        (&["train", "./cats", "--class-weights", "cats"], "as in cats=1,dogs=2.5"),
        (&["train", "./cats", "--force", "--resume"], "cannot be used with"),
        (&["train", "./cats", "--ema", "1"], "less than 1"),
        (&["embed", "m"], "--data"),
        (&["embed", "m", "--data", "mnist", "--perplexity", "0"], "expected a number from 1 to 1000"),
        (&["train", "mnist", "--augment", "spin=3"], "unknown augmentation \"spin\"; expected one of rotation"),
        (&["data", "augment"], "<IMAGE>"),
        (&["data", "augment", "a.png", "--augment", "zoom=2"], "zoom is -1, it must be 0.01 to 100"),
        (&["evaluate", "m"], "--data"),
        (&["evaluate", "m", "--data", "cifar"], "mnist:DIR"),
        (&["predict", "m"], "<IMAGE>"),
        (&["predict", "m", "a.png", "--data", "mnist", "--index", "0"], "cannot be used with"),
        (&["predict", "m", "--data", "mnist"], "--index"),
        (&["predict", "m", "a.png", "--index", "0"], "cannot be used with"),
        (&["predict", "m", "a.png", "--strict"], "cannot be used with"),
        (&["activations", "m", "a.png", "--index", "0"], "cannot be used with"),
        (&["explain", "m", "a.png", "--index", "0"], "cannot be used with"),
        (&["deconv", "m", "a.png", "--layer", "l", "--index", "0"], "cannot be used with"),
        (&["deconv", "m", "a.png", "--layer", "l", "--first", "2"], "cannot be used with"),
        (&["predict", "m", "--data", "mnist", "--index", "5..2"], "5..2 is empty"),
        (&["predict", "", "a.png"], "value is required"),
        (&["activations", "m"], "<IMAGE>"),
        (&["activations", "m", "--data", "mnist"], "--index"),
        (&["activations", "m", "a.png", "--channels", "0"], "expected a number of 1 or more, or all, as in 8"),
        (&["activations", "m", "a.png", "--colormap", "jet"], "viridis"),
        (
            &["activations", "m", "a.png", "--normalize", "l2"],
            "--normalize: expected notebook, minmax or none, got \"l2\"",
        ),
        (&["deconv"], "<IMAGE>"),
        (&["deconv", "m", "--layer", "l"], "<IMAGE>"),
        (&["deconv", "m", "a.png", "--layer", "l", "--filters", "random:0"], "random:"),
        (&["deconv", "m", "a.png", "--layer", "l", "--position", "1,2"], "--filters"),
        (&["deconv", "m", "a.png", "--layer", "l", "--top", "0"], "--top"),
        (&["receptive-field", "m", "--data", "mnist"], "--effective"),
        (&["filter", "a.png"], "--kernel"),
        (&["filter", "a.png", "--kernel", "canny", "--layer", "l"], "--model"),
        (&["style", "a.png", "-o", "b.png"], "<STYLES>"),
        (&["style", "a.png"], "<STYLES>"),
        (&["style", "a.png", "b.png", "-o", "c.png", "--memory", "much"], "as in 800M or 2G"),
        (&["style", "a.png", "b.png", "-o", "c.png", "--init", "rubbish"], "expected content, noise"),
        (&["style", "a.png", "b.png", "-o", "c.png", "--network", "resnet"], "--network: expected vgg19, vgg16"),
        (&["style", "a.png", "b.png", "-o", "c.png", "--size", "8"], "--size"),
        (&["style-frames", "a"], "<STYLES>"),
        (&["style-train"], "<STYLES>"),
        (&["style-train", "a.png", "--crop", "8"], "--crop"),
        (&["data", "show", "cifar"], "<SET>: expected mnist, got \"cifar\""),
        (&["data", "show", "mnist", "--first", "0"], "--first"),
        (&["data", "show", "mnist", "--test"], "--data"),
        (
            &["weights", "fetch", "letter"],
            "<NETWORK>: expected the name of a network, got \"letter\"; `lucida models` lists all",
        ),
        (&["weights", "fetch"], "<NETWORK>"),
        (&["weights", "convert", "a"], "<OUT>"),
        (
            &["weights", "convert", "a", "b.keras", "--network", "vgg"],
            "--network: expected the name of a network, got \"vgg\"; did you mean ",
        ),
        (&["weights", "inspect"], "<FILE>"),
        (&["summary", "a", "--size", "big"], "as in 224 or 480x640"),
        (&["summary", "a", "--size", "0x5"], "as in 224 or 480x640"),
        (&["summary", "a", "--network", "vgg16", "--weights", "b"], "cannot be used with"),
        (&["studio", "--listen", "somewhere"], "--listen"),
        (&["serve", "m", "--host", "0.0.0.0"], "--listen says on which address"),
        (&["serve", "m", "--batch-size", "0"], "from 1 to 256"),
        (&["serve", "m", "--key", "a b"], "without spaces"),
        (&["predict", "m", "a.png", "--watch", "."], "cannot be used with"),
        (&["predict", "m", "--data", "mnist", "--watch", "."], "cannot be used with"),
        (&["completions", "cmd"], "expected bash, "),
        (&["summary", "mnist-cnn", "--threads", "0"], "--threads"),
        (&["summary", "mnist-cnn", "--quiet", "--verbose"], "cannot be used with"),
    ] {
        let output = lucida(arguments.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    // Without a command, the help is printed.
    let output = lucida([]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: lucida"));
}

/// Every kind of command suggests existing files with similar names.
#[test]
fn files_with_nearly_the_name_are_suggested() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    for name in ["model.keras", "cat.jpg"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    for (arguments, expected) in [
        (&["train", "phtos"][..], "did you mean photos?"),
        (&["train", "./phtos"], "did you mean ./photos?"),
        (&["predict", "modl.keras", "cat.jpg"], "did you mean model.keras?"),
        (&["summary", "model.kers"], "did you mean model.keras?"),
        (&["evaluate", "vgg16-builtin", "--data", "foto"], "expected mnist"),
        (&["evaluate", "vgg16-builtin", "--data", "photo"], "did you mean photos?"),
        (&["dream", "cta.jpg"], "did you mean cat.jpg?"),
        (&["activations", "vgg16-builtin", "cat.jpeg"], "did you mean cat.jpg?"),
        (&["filter", "cats.jpg", "--kernel", "canny"], "did you mean cat.jpg?"),
        (&["style", "cut.jpg", "brushwork", "-o", "out.png"], "did you mean cat.jpg?"),
        (&["weights", "inspect", "model.kears"], "did you mean model.keras?"),
        (&["report", "photo"], "did you mean photos?"),
        (&["train", "mnsit"], "did you mean mnist?"),
        (&["predict", "vgg16-builtin", "--data", "mnsit"], "did you mean mnist?"),
        (&["filter", "cat.jpg", "--kernel", "sobell"], "did you mean sobel-x?"),
        (&["explain", "vgg16", "cat.jpg", "--method", "gradcam"], "did you mean \"grad-cam\"?"),
        (&["train", "photos", "--augment", "flipp"], "did you mean \"flip\"?"),
        (&["activations", "vgg16-builtin", "cat.jpg", "--colormap", "virdis"], "did you mean"),
        (&["summary", "vgg61"], "did you mean \"vgg16\" or \"vgg11\"? `lucida models` lists all"),
    ] {
        let output = lucida(arguments.iter().copied()).current_dir(folder.path()).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

/// An argument in the wrong place is answered with the intended command line.
#[test]
fn arguments_in_the_place_of_others_are_recognized() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my photos")).unwrap();
    for name in ["cat.jpg", "van gogh.jpg"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let taken = "'my photos': is a folder, not an image; --data 'my photos' --index 0 takes the first of its images";
    let in_loop = |command: &str| {
        format!(
            "'my photos': is a folder, not an image; for all of its images: for image in 'my photos'/*; do lucida {command} \"$image\"; done"
        )
    };
    let swapped = "brushwork: is a built-in style, and the content comes first: lucida style";
    for (arguments, expected) in [
        (&["explain", "vgg16-builtin", "my photos"][..], taken.to_owned()),
        (&["activations", "vgg16-builtin", "my photos"], taken.to_owned()),
        (&["deconv", "vgg16-builtin", "my photos", "--layer", "block1_conv1"], taken.to_owned()),
        (&["dream", "my photos"], in_loop("dream")),
        (&["filter", "my photos", "--kernel", "canny"], in_loop("filter --kernel canny")),
        (&["data", "augment", "my photos"], in_loop("data augment")),
        (&["style", "brushwork", "cat.jpg"], format!("{swapped} cat.jpg brushwork\n")),
        (&["style", "brushwork", "van gogh.jpg", "cat.jpg"], format!("{swapped} 'van gogh.jpg' brushwork cat.jpg\n")),
        (&["style-frames", "brushwork", "my photos"], format!("{swapped}-frames 'my photos' brushwork\n")),
        (&["classes", "vgg16", "--classes", "3,11"], "--class 3,11 chooses classes".to_owned()),
        (&["explain", "vgg16", "cat.jpg", "--classes", "cats"], "--class cats chooses classes".to_owned()),
    ] {
        let output = lucida(arguments.iter().copied()).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(&expected), "{arguments:?}: {}", stderr(&output));
    }
    assert!(run(["style", "--help"]).contains("or a folder of images"));
}

/// An image and a data set are alternatives: neither the usage nor the missing arguments ask for both.
#[test]
fn images_and_data_sets_are_alternatives() {
    for (command, more) in [("predict", &[][..]), ("explain", &[]), ("activations", &[]), ("deconv", &["--layer", "x"])]
    {
        let words = [&[command, "vgg16-builtin", "--index", "3"], more].concat();
        let message = stderr(&lucida(words).output().unwrap());
        let missing = message.split("\n\n").next().unwrap();
        assert!(missing.contains("--data <mnist[:DIR]|FOLDER>") && !missing.contains("IMAGE"), "{message}");
        let usage = message.split("Usage: ").nth(1).unwrap();
        let (image, data) = (usage.lines().next().unwrap(), usage.lines().nth(1).unwrap());
        assert!(image.contains("[MODEL] <IMAGE>") && !image.contains("--data"), "{message}");
        assert!(data.contains("--data <DATA>") && !data.contains("IMAGE"), "{message}");
        // For a whole data set, deconv makes a figure.
        assert_eq!(data.contains("--index <INDICES>"), command != "deconv", "{message}");
    }
    let message = fail(2, ["predict", "vgg16-builtin", "--data", "mnist"]);
    assert!(message.contains("as in --index 0..10"), "{message}");
}

/// Options have the same name in every command; former names still work.
#[test]
fn options_go_by_the_same_names() {
    for (command, option, name) in [
        ("activations", "--layer", "--layers"),
        ("kernels", "--layer", "--layers"),
        ("receptive-field", "--layer", "--layers"),
        ("filters", "--filter", "--filters"),
        ("dream", "--filter", "--filters"),
        ("filters", "--position", "--neuron"),
        ("predict", "--indices", "--index"),
        ("explain", "--indices", "--index"),
        ("activations", "--indices", "--index"),
        ("deconv", "--indices", "--index"),
        ("receptive-field", "--sample", "--samples"),
    ] {
        // A known option refuses the empty value itself.
        let message = stderr(&lucida([command, "x", option, ""]).output().unwrap());
        assert!(!message.contains("unexpected argument") && message.contains(name), "{command} {option}: {message}");
    }
}

/// A name that resembles no other gets no suggestion, and a mistyped option no advice to treat it as a file.
#[test]
fn unrelated_words_get_no_suggestion() {
    for arguments in [
        &["train", "holiday"][..],
        &["summary", "zzzzz"],
        &["summary", "table"],
        &["filters", "vgg16-builtin", "--layer", "foo"],
        &["explain", "vgg16", "cat.jpg", "--method", "xyz"],
        &["train", "photos", "--augment", "spin"],
        &["filter", "cat.jpg", "--kernel", "emboss"],
        &["predict", "vgg16-builtin", "-1"],
        &["predict", "vgg16-builtin", "--idx", "3"],
    ] {
        let output = lucida(arguments.iter().copied()).output().unwrap();
        let message = stderr(&output);
        assert!(!output.status.success() && !message.contains("did you mean"), "{arguments:?}: {message}");
        assert!(!message.contains("as a value"), "{arguments:?}: {message}");
    }
}

#[test]
fn a_wrong_environment_ends_with_2_and_one_line() {
    for (name, value, expected) in [
        ("LUCIDA_SIMD", "mmx", "LUCIDA_SIMD: this processor has no instruction set \"mmx\"; it has "),
        ("LUCIDA_THREADS", "0", "LUCIDA_THREADS: \"0\" is not a number of threads (1 to 1024)"),
        ("LUCIDA_THREADS", "two", "LUCIDA_THREADS: \"two\" is not"),
    ] {
        let output = lucida(["summary", "mnist-cnn"]).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1);
    }
    // `doctor`, which is for finding such problems, reports all of them.
    let doctor = lucida(["doctor"]).env("LUCIDA_SIMD", "mmx").env("LUCIDA_THREADS", "two").output().unwrap();
    assert_eq!((doctor.status.code(), stderr(&doctor)), (Some(1), String::new()));
    for problem in ["Problem: LUCIDA_SIMD: this processor has", "Problem: LUCIDA_THREADS: \"two\" is not"] {
        assert!(stdout(&doctor).contains(problem), "{}", stdout(&doctor));
    }
    lucida(["summary", "mnist-cnn"]).env("LUCIDA_SIMD", "scalar").env("LUCIDA_THREADS", "1").assert().success();
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(["completions", shell]);
        assert!(
            ["learning-rate", "evaluate", "with-top", "convert"].iter().all(|word| script.contains(word)),
            "{shell}"
        );
    }
}

#[test]
fn summaries_of_known_networks() {
    let text = run(["summary", "mnist-cnn"]);
    assert!(text.starts_with("Model: \"mnist_cnn\"\n") && text.contains("Total params: 113,514 (443.41 KB)"), "{text}");
    let message = fail(1, ["summary", "mnist-cn"]);
    assert!(message.contains("mnist-cn: no such model file") && message.contains("mean \"mnist-cnn\""), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    for arguments in [&["summary", "mnist-cnn"][..], &["completions", "bash"], &["data", "show", "mnist"], &["--help"]]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("lucida"))
            .args(arguments)
            .stdout(full)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let message = stderr(&output);
        assert!(
            message.starts_with("error: cannot write to standard output: No space left"),
            "{arguments:?}: {message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    for arguments in [&["summary", "mnist-cnn"][..], &["completions", "zsh"], &["data", "show", "mnist"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("lucida"))
            .args(arguments)
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

/// An error about an unknown layer lists all layers of a small network, and counts those of a large one.
#[test]
fn a_layer_that_is_not_there_is_answered_with_those_that_are() {
    for arguments in [
        &["filters", "vgg16-builtin", "--layer", "conv9"][..],
        &["receptive-field", "vgg16-builtin", "--layers", "conv9"],
        &["kernels", "vgg16-builtin", "--layer", "conv9"],
        &["bench", "plan", "vgg16-builtin", "--cut", "conv9"],
    ] {
        let message = fail(1, arguments.iter().copied());
        assert!(
            message.contains("did you mean") && message.contains("Its layers are input_layer, block1_conv1, "),
            "{message}"
        );
    }
    let message = fail(1, ["receptive-field", "vgg16", "--layers", "conv9"]);
    assert!(message.contains("Its summary lists all 23 layers"), "{message}");
}

/// Options also have the names used by Keras and PyTorch.
#[test]
fn options_have_the_usual_names_too() {
    let help = run(["train", "mnist", "--help"]);
    for alias in ["--lr", "--bs", "--patience", "--warmup", "--wd", "--class-weight", "--clip-grad"] {
        assert!(
            help.contains(&format!("aliases: {alias}")) || help.contains(&format!("alias: {alias}")),
            "{alias}: {help}"
        );
    }
    let message =
        fail(1, ["train", "mnist", "--data", "no/such", "--lr", "1e-3", "--bs", "8", "--patience", "3", "--wd", "0.1"]);
    assert!(message.contains("no/such"), "{message}");
}
