//! Files that a command line names: one rule for all commands that write them.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{fail, lucida, names, run, shared, stderr, stdout, text};
use lucida::data::Picture;

/// The commands that write one file, up to its name, and the ending of that.
fn commands(folder: &Path) -> Vec<(Vec<String>, &'static str)> {
    let image = folder.join("image.png");
    let pixels = (0..60 * 60 * 3).map(|i: usize| (i * i % 251) as u8).collect();
    Picture::new(60, 60, 3, pixels).unwrap().save_png(&image).unwrap();
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
        run(words(text(&file)));
        let first = fs::read(&file).unwrap();
        let refused = fail(1, words(text(&file)).chain(["--quiet"]));
        assert!(refused.contains(&format!("file.{ending} already exists: use --force")), "{command:?}: {refused}");
        fs::write(&file, "old").unwrap();
        run(words(text(&file)).chain(["--force"]));
        assert!(fs::read(&file).unwrap() == first, "{command:?}");
        // Of a link it is the file behind it that counts.
        symlink(format!("sub/target.{ending}"), &link).unwrap();
        run(words(text(&link)));
        assert!(fs::read(&target).unwrap() == first && link.is_symlink(), "{command:?}");
        assert!(fail(1, words(text(&link)).chain(["--quiet"])).contains("already exists"), "{command:?}");
        fs::write(&target, "old").unwrap();
        run(words(text(&link)).chain(["--force"]));
        assert!(fs::read(&target).unwrap() == first && link.is_symlink(), "{command:?}");
        assert_eq!(names(&place).len(), 3, "{command:?}");

        // Standard output has the file and nothing else; so has a pipe.
        let printed = lucida(words("-")).output().unwrap();
        assert!(printed.status.success(), "{command:?}: {}", stderr(&printed));
        assert!(printed.stdout == first, "{command:?}: {} bytes, not {}", printed.stdout.len(), first.len());
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

#[test]
fn a_table_on_standard_output_leaves_the_rest_to_standard_error() {
    let model = shared().run();
    let arguments = ["predict", text(&model), "--data", "mnist", "--index", "0..3", "--csv", "-"];
    let output = lucida(arguments).output().unwrap();
    assert!(stdout(&output).starts_with("file,class,predicted,"), "{}", stdout(&output));
    assert_eq!(stdout(&output).lines().count(), 4);
    assert!(stderr(&output).contains("built-in digit 0: "), "{}", stderr(&output));
    let output = lucida(arguments.into_iter().chain(["--json"])).output().unwrap();
    assert_eq!(stdout(&output).lines().count(), 4);
    assert!(stderr(&output).starts_with('{'), "{}", stderr(&output));
}
