//! Runs the commands in the README and the guides as a reader would: from top to bottom in a fresh folder, and then again.
//! Data and workloads are small; examples that need a download, a terminal or a cluster are skipped with a message.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{lucida, stderr, text, write_mnist};
use lucida::data::{Dataset, Filter, Image, Mnist};

/// Options that make commands fast. They replace those of the example.
const SMALL: [(&str, &str); 11] = [
    ("train", "--epochs 1"),
    ("classes", "--steps 2"),
    ("filters", "--steps 2"),
    ("dream", "--size 96 --steps 1 --octaves 1"),
    ("style", "--size 64 --steps 2"),
    ("style-frames", "--size 64 --steps 2 --frame-steps 1"),
    ("style-train", "--steps 2 --crop 32"),
    ("embed", "--sample 60 --steps 20 --perplexity 5"),
    ("explain", "--masks 20 --samples 2"),
    ("receptive-field", "--samples 1"),
    ("bench", "--rounds 1 --size 64"),
];

/// Parts of examples that are not run, with the reason.
const SKIPPED: [(&str, &str); 18] = [
    ("lucida studio", "serves until it is stopped"),
    ("lucida serve", "serves until it is stopped"),
    ("--watch", "watches until it is stopped"),
    ("lucida weights fetch", "downloads"),
    ("--tui", "needs a terminal"),
    ("train photos --model vgg16", "needs fetched weights"),
    ("train photos --model inception-v3", "needs fetched weights"),
    ("train photos --model resnet50", "needs fetched weights"),
    ("predict resnet50", "needs fetched weights"),
    ("--unfreeze block5_conv1", "needs fetched weights"),
    ("runs/other", "needs a model of the reader's"),
    ("--distributed", "needs several processes"),
    ("lucida completions", "prints a script"),
    ("lucida man --out", "writes to the reader's home"),
    ("--labels", "needs a table of the reader's"),
    ("--label-pattern", "needs the reader's file names"),
    ("--group-pattern", "needs the reader's file names"),
    ("runs/xrays", "needs a table of the reader's"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The `lucida` commands in the shell blocks of a page.
fn examples(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut found = Vec::new();
    let mut in_shell = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_shell = matches!(language, "sh" | "console");
        } else if in_shell && let Some(command) = line.trim_start_matches("$ ").strip_prefix("lucida ") {
            found.push(format!("lucida {}", command.split(" #").next().unwrap().trim()));
        }
    }
    found
}

/// A striped image whose color identifies its class.
fn photo(path: &Path, color: [u8; 3], seed: u8) {
    let pixels = (0..64 * 48).flat_map(|at| color.map(|c| c.wrapping_add((at % 7) as u8 * (seed % 9)))).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Image::new(64, 48, 3, pixels).unwrap().save_png(path).unwrap();
}

/// Creates the files that the examples use.
fn furnish(folder: &Path) {
    write_mnist(&folder.join("DIR"));
    for (class, color) in [("cat", [200, 60, 40]), ("dog", [40, 80, 200])] {
        for index in 0..10 {
            photo(&folder.join(format!("photos/{class}s/{class}.{index}.jpg")), color, index);
        }
    }
    for (index, name) in ["photo.jpg", "new.jpg", "cat.jpg", "painting.jpg", "a.jpg", "b.jpg"].into_iter().enumerate() {
        photo(&folder.join(name), [180, 120, 60], index as u8);
    }
    (1..3).for_each(|frame| photo(&folder.join(format!("frames/{frame:03}.png")), [90, 120, 150], frame));
    // The first style on the left, the second on the right.
    let mask = (0..64 * 48).map(|at| if at % 64 < 32 { 0 } else { 255 }).collect();
    Image::new(64, 48, 1, mask).unwrap().save_png(folder.join("mask.png")).unwrap();
    let seven = Mnist::builtin().unwrap().train.image(15).unwrap().resize(140, 140, Filter::Bicubic).unwrap();
    for name in ["seven.png", "photo.png"] {
        seven.pad(200, 180, 20, 20).unwrap().save_png(folder.join(name)).unwrap();
    }
    fs::create_dir(folder.join("assets")).unwrap();
    for copy in ["assets/chelsea.png", "chelsea.png"] {
        fs::copy(root().join("assets/chelsea.png"), folder.join(copy)).unwrap();
    }
    fs::write(folder.join("labels.txt"), "cats\ndogs\n").unwrap();
}

/// The words of an example, with fast options, and with real names for placeholders.
fn words(example: &str) -> Vec<String> {
    let mut words: Vec<String> = example.split_whitespace().skip(1).map(str::to_owned).collect();
    words.iter_mut().filter(|word| *word == "MODEL").for_each(|word| *word = "runs/photos".to_owned());
    let small = SMALL.iter().find(|(command, _)| words[0] == *command).map_or("", |(_, options)| options);
    let small: Vec<&str> = small.split_whitespace().collect();
    for option in small.chunks_exact(2) {
        if let Some(at) = words.iter().position(|word| word == option[0]) {
            words.drain(at..at + 2);
        }
    }
    words.extend(small.into_iter().map(str::to_owned));
    words
}

/// Runs a command in a folder; returns the error, if any.
fn problem(folder: &Path, words: &[String]) -> Option<String> {
    let output = lucida(words.iter().map(String::as_str)).current_dir(folder).output().unwrap();
    (!output.status.success()).then(|| stderr(&output))
}

/// Runs the examples of a page twice, after the commands in `first`.
fn check(page: &str, first: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path());
    for line in first {
        assert_eq!(problem(folder.path(), &words(line)), None, "{line}");
    }
    let mut failed = Vec::new();
    let mut count = 0;
    for again in [false, true] {
        for example in examples(page) {
            if let Some((_, why)) = SKIPPED.iter().find(|(word, _)| example.contains(word)) {
                if !again {
                    eprintln!("{page}: skipped ({why}): {example}");
                }
                continue;
            }
            count += 1;
            if let Some(message) = problem(folder.path(), &words(&example)) {
                failed.push(format!("{example}{}: {message}", if again { " (again)" } else { "" }));
            }
        }
    }
    assert!(count > 0, "{page}: no examples");
    assert!(failed.is_empty(), "{page}, in {}:\n{}", text(folder.path()), failed.join(""));
}

#[test]
fn the_readme() {
    check("README.md", &[]);
}

#[test]
fn the_tour_of_the_commands() {
    check("docs/commands.md", &[]);
}

#[test]
fn the_guide_to_deconstruction() {
    check("docs/deconstruct.md", &[]);
}

#[test]
fn the_guide_to_installing() {
    check("docs/install.md", &[]);
}

#[test]
fn the_guide_to_models() {
    let first = [
        "lucida train photos --model basic-cnn --size 32 --quiet",
        "lucida weights convert runs/photos my.keras",
        "lucida weights convert runs/photos resnet.onnx",
    ];
    check("docs/models.md", &first);
}

#[test]
fn the_guide_to_photos() {
    check("docs/photos.md", &[]);
}

#[test]
fn the_guide_to_style() {
    check("docs/style.md", &[]);
}

/// Every page with runnable examples has a test here.
#[test]
fn no_page_is_forgotten() {
    let tested = ["commands.md", "deconstruct.md", "install.md", "models.md", "photos.md", "style.md"];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") && !tested.contains(&name.as_str()) {
            let left = examples(&format!("docs/{name}"));
            let runs: Vec<_> =
                left.iter().filter(|line| !SKIPPED.iter().any(|(word, _)| line.contains(word))).collect();
            assert!(runs.is_empty(), "docs/{name}: {runs:?}");
        }
    }
}
