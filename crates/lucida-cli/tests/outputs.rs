//! Output files named on the command line follow the same rules in all commands.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{fail, lucida, names, run, shared, stderr, stdout, text};
use lucida::data::{Dataset, Filter, Image, Mnist};
use serde_json::Value;

/// The commands that write one file, up to its name, and its extension.
fn commands(folder: &Path) -> Vec<(Vec<String>, &'static str)> {
    let image = folder.join("image.png");
    let pixels = (0..60 * 60 * 3).map(|i: usize| (i * i % 251) as u8).collect();
    Image::new(60, 60, 3, pixels).unwrap().save_png(&image).unwrap();
    let (model, image, data) = (shared().run(), text(&image), format!("mnist:{}", shared().data().display()));
    let model = text(&model);
    let style = ["style", image, "brushwork", "--size", "32", "--steps", "1", "--coarsest", "0", "--out"];
    let filters = ["filters", model, "--layer", "conv2d", "--filters", "0", "--steps", "1", "--out"];
    [
        (&["predict", model, "--data", "mnist", "--index", "0..3", "--csv"][..], "csv"),
        (&["evaluate", model, "--data", &data, "--csv"], "csv"),
        (&["data", "show", "mnist", "--first", "3", "--out"], "png"),
        (&["data", "augment", image, "--size", "32", "--count", "2", "--out"], "png"),
        (&["weights", "convert", model], "safetensors"),
        (&filters, "png"),
        (&["dream", image, "--model", "vgg16-builtin", "--steps", "1", "--octaves", "1", "--out"], "png"),
        (&style, "png"),
    ]
    .map(|(words, ending)| (words.iter().map(|&word| word.to_owned()).collect(), ending))
    .into()
}

#[test]
fn files_are_overwritten_with_force_alone_and_links_stay() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (command, ending)) in commands(folder.path()).into_iter().enumerate() {
        let place = folder.path().join(number.to_string());
        fs::create_dir_all(place.join("sub")).unwrap();
        let [file, link, target] = ["file", "link", "sub/target"].map(|name| place.join(format!("{name}.{ending}")));
        let words = |out| command.iter().map(String::as_str).chain([out]);
        // A line says where the file is.
        let said = run(words(text(&file)));
        let last = said.lines().find(|line| line.starts_with("Written to ")).unwrap_or_default();
        assert!(last.starts_with(&format!("Written to {}", file.display())), "{command:?}: {said}");
        let first = fs::read(&file).unwrap();
        let refused = fail(1, words(text(&file)).chain(["--quiet"]));
        assert!(refused.contains(&format!("file.{ending} already exists; use --force")), "{command:?}: {refused}");
        fs::write(&file, "old").unwrap();
        run(words(text(&file)).chain(["--force"]));
        assert!(fs::read(&file).unwrap() == first, "{command:?}");
        // For a symbolic link, the target counts.
        symlink(format!("sub/target.{ending}"), &link).unwrap();
        run(words(text(&link)));
        assert!(fs::read(&target).unwrap() == first && link.is_symlink(), "{command:?}");
        assert!(fail(1, words(text(&link)).chain(["--quiet"])).contains("already exists"), "{command:?}");
        fs::write(&target, "old").unwrap();
        run(words(text(&link)).chain(["--force"]));
        assert!(fs::read(&target).unwrap() == first && link.is_symlink(), "{command:?}");
        assert_eq!(names(&place).len(), 3, "{command:?}");

        // Standard output receives the file and nothing else; so does a pipe.
        let printed = lucida(words("-")).output().unwrap();
        assert!(printed.status.success(), "{command:?}: {}", stderr(&printed));
        assert!(printed.stdout == first, "{command:?}: {} bytes, not {}", printed.stdout.len(), first.len());
        assert!(!stderr(&printed).contains("Written to"), "{command:?}: {}", stderr(&printed));
        let to_stdout = place.join("stdout");
        symlink("/dev/stdout", &to_stdout).unwrap();
        let whole = fs::File::create(place.join("redirected")).unwrap();
        let mut redirected = Command::new(assert_cmd::cargo::cargo_bin("lucida"));
        redirected.args(words(text(&to_stdout))).stdout(whole).stderr(Stdio::null());
        assert!(redirected.status().unwrap().success(), "{command:?}");
        assert!(fs::read(place.join("redirected")).unwrap() == first && to_stdout.is_symlink(), "{command:?}");
        let pipe = place.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        run(words(text(&pipe)).chain(["--quiet"]));
        assert!(reader.join().unwrap() == first, "{command:?}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "{command:?}");
    }
}

/// In a folder of results, too, the target of a link is replaced.
#[test]
fn links_in_result_folders_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (out, store, model) = (folder.path().join("out"), folder.path().join("store"), shared().run());
    let activations = |index: &'static str, more: &'static [&'static str]| {
        let words = ["activations", text(&model), "--data", "mnist", "--layers", "conv2d", "--quiet"];
        run(words.into_iter().chain(["--out", text(&out), "--index", index]).chain(more.iter().copied()))
    };
    activations("0", &[]);
    let first = fs::read(out.join("overview.png")).unwrap();
    fs::create_dir(&store).unwrap();
    fs::rename(out.join("overview.png"), store.join("kept.png")).unwrap();
    symlink("../store/kept.png", out.join("overview.png")).unwrap();
    activations("1", &["--force"]);
    assert!(out.join("overview.png").is_symlink() && fs::read(store.join("kept.png")).unwrap() != first);
    activations("0", &["--force"]);
    assert!(out.join("overview.png").is_symlink() && fs::read(store.join("kept.png")).unwrap() == first);
    assert_eq!((names(&out).len(), names(&store)), (2, vec!["kept.png".to_owned()]));
}

#[test]
fn the_ending_of_an_image_says_its_format() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (command, _)) in commands(folder.path()).into_iter().filter(|(_, ending)| *ending == "png").enumerate()
    {
        for (ending, begins) in [("png", &b"\x89PNG"[..]), ("jpg", b"\xff\xd8\xff"), ("tif", b"II")] {
            let path = folder.path().join(format!("{number}.{ending}"));
            run(command.iter().map(String::as_str).chain([text(&path), "--quiet"]));
            assert!(fs::read(&path).unwrap().starts_with(begins), "{command:?} {ending}");
        }
        for name in ["x.webp", "x"] {
            let message =
                fail(1, command.iter().map(String::as_str).chain([text(&folder.path().join(name)), "--quiet"]));
            assert!(message.contains("must end in .png, .tif or .jpg"), "{command:?}: {message}");
        }
    }
}

/// The messages are ours, not the operating system's.
#[test]
fn a_file_where_a_folder_is_needed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    commands(folder.path());
    let (run, at) = (shared().run(), |name: &str| text(&folder.path().join(name)).to_owned());
    let (model, image, inside, each) = (text(&run), at("image.png"), at("image.png/x"), at("image.png/x.png"));
    let filters = ["filters", model, "--layer", "conv2d", "--filters", "0", "--steps", "1", "--out"];
    for words in [
        &["activations", model, "--data", "mnist", "--index", "0", "--out", &image][..],
        &["kernels", model, "--out", &inside],
        &["evaluate", model, "--data", "mnist", "--out", &image],
        &["train", "mnist", "--out", &inside],
        &[&filters[..], &[&at("y.png"), "--each", &image]].concat(),
        &[&filters[..], &[&each]].concat(),
        &["data", "show", "mnist", "--out", &each],
    ] {
        let message = stderr(&lucida(words.iter().copied()).output().unwrap());
        assert!(message.contains("image.png: is a file; a folder is needed"), "{words:?}: {message}");
        assert!(!message.contains("os error"), "{words:?}: {message}");
    }
    let message = fail(1, ["data", "show", "mnist", "--out", &at("none/x.png")]);
    assert!(message.contains("none: no such folder"), "{message}");
    // The folder was given with --each, so another --out would not help.
    let [first, second, each] = ["z1.png", "z2.png", "each"].map(at);
    common::run([&filters[..], &[&first, "--each", &each]].concat());
    let message = fail(1, [&filters[..], &[&second, "--each", &each]].concat());
    assert!(message.contains("filter-0.png already exists") && !message.contains("--out"), "{message}");
}

/// The folder may contain a single image, but the command chooses its name.
#[test]
fn a_new_folder_is_not_called_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    commands(folder.path());
    let (run, at) = (shared().run(), |name: &str| text(&folder.path().join(name)).to_owned());
    let (model, image, photos) = (text(&run), at("image.png"), at("photos"));
    fs::create_dir(&photos).unwrap();
    fs::copy(&image, at("photos/a.png")).unwrap();
    let before = names(folder.path());
    for words in [
        &["filter", &image, "--kernel", "sobel-x"][..],
        &["kernels", model, "--layer", "conv2d"],
        &["activations", model, &image],
        &["explain", model, &image, "--method", "gradient"],
        &["deconv", model, &image, "--layer", "conv2d"],
        &["receptive-field", model, "--effective"],
        &["embed", model, "--data", "mnist"],
        &["evaluate", model, "--data", "mnist"],
        &["style", &photos, "brushwork"],
        &["style-frames", &photos, "brushwork"],
        &["train", "mnist"],
        &["train", &photos],
        &["demo"],
    ] {
        let message = stderr(&lucida(words.iter().copied().chain(["--out", &at("x.png")])).output().unwrap());
        let expected = format!(
            "--out: expected a folder for the results; {:?} is the name of a file, try {}",
            at("x.png"),
            at("x")
        );
        assert!(message.contains(&expected), "{words:?}: {message}");
    }
    for (words, option) in
        [(&["filters", model, "--layer", "conv2d"][..], "--each"), (&["style", &image, "brushwork"], "--preview")]
    {
        let message = stderr(&lucida(words.iter().copied().chain([option, &at("x.png")])).output().unwrap());
        assert!(message.contains(&format!("{option}: expected a folder for the results")), "{words:?}: {message}");
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn a_table_on_standard_output_leaves_the_rest_to_standard_error() {
    let model = shared().run();
    let arguments = ["predict", text(&model), "--data", "mnist", "--index", "0..3", "--csv", "-"];
    let output = lucida(arguments).output().unwrap();
    assert!(stdout(&output).starts_with("file,class,predicted,"), "{}", stdout(&output));
    assert_eq!(stdout(&output).lines().count(), 4);
    assert!(stderr(&output).contains("built-in digit no. 0 (a 5): "), "{}", stderr(&output));
    let output = lucida(arguments.into_iter().chain(["--json"])).output().unwrap();
    assert_eq!(stdout(&output).lines().count(), 4);
    assert!(stderr(&output).starts_with('{'), "{}", stderr(&output));
}

/// Runs a command whose standard output and error are closed pipes.
fn unread(words: &[&str]) -> std::process::ExitStatus {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let program = lucida([]).get_program().to_owned();
    Command::new(program).args(words).stdout(closed()).stderr(closed()).status().unwrap()
}

#[test]
fn results_in_files_are_finished_where_nobody_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    commands(folder.path());
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let (run, image, table, out) = (shared().run(), at("image.png"), at("table.csv"), at("out"));
    let model = text(&run);
    let status = unread(&["predict", model, &image, &image, &image, "--csv", &table]);
    assert!(status.success() && fs::read_to_string(&table).unwrap().lines().count() == 4, "{status}");
    let status = unread(&["explain", model, &image, "--method", "gradient,grad-cam", "--out", &out]);
    assert!(status.success() && names(Path::new(&out)).len() == 1, "{status}");
    // One image fails, although the error cannot be printed.
    let photos = at("photos");
    fs::create_dir(&photos).unwrap();
    fs::copy(&image, Path::new(&photos).join("a.png")).unwrap();
    fs::write(Path::new(&photos).join("b.png"), "text").unwrap();
    let styled = at("styled");
    let status =
        unread(&["style", &photos, "brushwork", "--size", "32", "--steps", "1", "--coarsest", "0", "--out", &styled]);
    assert_eq!((status.code(), names(Path::new(&styled))), (Some(1), vec!["a.png".to_owned()]));
}

#[test]
fn standard_output_is_no_folder_and_the_name_of_a_link_is_not_its_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    commands(folder.path());
    let run = shared().run();
    let said = |out: &str| {
        let mut command = lucida(["kernels", text(&run), "-q", "--out", out]);
        stderr(&command.current_dir(folder.path()).output().unwrap())
    };
    assert!(said("-").contains("- is standard output, which takes one file"), "{}", said("-"));
    symlink("nowhere/file.png", folder.path().join("dangling.png")).unwrap();
    let message =
        fail(1, ["dream", text(&folder.path().join("image.png")), "--out", text(&folder.path().join("dangling.png"))]);
    assert!(!message.contains("did you mean"), "{message}");
}

/// A folder with two photos of digits, and `count` photos without one.
fn photos_without_digit(folder: &Path, count: usize) {
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..2 {
        let class = folder.join(digits.label(index).to_string());
        fs::create_dir_all(&class).unwrap();
        let digit = digits.image(index).unwrap().resize(84, 84, Filter::Bilinear).unwrap();
        digit.save_png(class.join(format!("digit{index}.png"))).unwrap();
        for blank in 0..count / 2 {
            Image::filled(40, 40, &[255; 3]).save_png(class.join(format!("white{index}{blank}.png"))).unwrap();
        }
    }
}

#[test]
fn an_image_without_a_digit_is_said_to_be_blank() {
    let folder = tempfile::tempdir().unwrap();
    let (at, model) = (|name: &str| text(&folder.path().join(name)).to_owned(), shared().run());
    Image::filled(40, 40, &[255, 255, 255]).save_png(Path::new(&at("white.png"))).unwrap();
    photos_without_digit(Path::new(&at("few")), 4);
    photos_without_digit(Path::new(&at("many")), 12);
    let (model, white, few, many, out) = (text(&model), &at("white.png"), &at("few"), &at("many"), &at("out"));
    let stderr_of = |words: &[&str]| {
        let output = lucida(words.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stderr(&output)
    };
    const BLANK: &str = "white.png: no digit was found; the network takes a blank image";
    let of_image = ["--out", out, "--force"];
    for words in [
        &["predict", model, white][..],
        &[&["explain", model, white, "--method", "gradient"], &of_image[..]].concat(),
        &[&["activations", model, white], &of_image[..]].concat(),
        &[&["deconv", model, white, "--layer", "conv2d"], &of_image[..]].concat(),
        &[&["embed", model, "--data", few, "--method", "pca", "--neighbors", white], &of_image[..]].concat(),
    ] {
        let notes = stderr_of(words);
        assert!(notes.contains(BLANK), "{words:?}: {notes}");
    }
    let (embed, evaluate) =
        (["embed", model, "--method", "pca", "--out", out, "--force", "--data"], ["evaluate", model]);
    for words in
        [&["predict", model][..], &["predict", model, "--data"], &embed, &[&evaluate[..], &["--data"]].concat()]
    {
        let notes = stderr_of(&[words, &[few]].concat());
        assert_eq!(
            notes.matches(": no digit was found; the network takes a blank image").count(),
            4,
            "{words:?}: {notes}"
        );
        let notes = stderr_of(&[words, &[many]].concat());
        assert!(notes.contains("no digit was found in 12 of 14 images ("), "{words:?}: {notes}");
        assert_eq!(notes.matches("no digit was found").count(), 1, "{words:?}: {notes}");
    }
    let answer: Value = serde_json::from_str(&run(["predict", model, few, "--json", "-q"])).unwrap();
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(predictions.iter().filter(|one| one["digit_found"] == false).count(), 4, "{answer}");
    let answer: Value = serde_json::from_str(&run([
        "explain", model, white, "--method", "gradient", "--json", "-q", "--out", out, "--force",
    ]))
    .unwrap();
    assert_eq!(answer["digit_found"], false);
    for words in [&embed[..], &["evaluate", model, "--data"]] {
        let answer: Value = serde_json::from_str(&run([words, &[few, "--json", "-q"]].concat())).unwrap();
        assert_eq!(answer["without_digit"].as_array().map(Vec::len), Some(4), "{answer}");
    }
    for words in [&["predict", model, few][..], &["evaluate", model, "--data", few]] {
        let output = lucida([words, &["--csv", "-", "-q"]].concat()).output().unwrap();
        let table = stdout(&output);
        assert!(table.lines().next().unwrap().ends_with(",digit_found"), "{table}");
        assert_eq!(table.lines().filter(|line| line.ends_with(",false")).count(), 4, "{table}");
    }
    let points = fs::read_to_string(Path::new(out).join("points.csv")).unwrap();
    assert_eq!(points.lines().filter(|line| line.ends_with(",false")).count(), 4, "{points}");
}
