//! Default names of results, and standard input.

mod common;

use std::fs;
use std::path::Path;

use common::{lucida, names, shared, stderr, stdout, text, write_mnist};
use lucida::data::{Dataset, Image, Mnist};
use serde_json::Value;

/// Runs a command in a folder, and returns what it printed.
fn run_in(folder: &Path, words: &[&str]) -> String {
    let output = lucida(words.iter().copied()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

/// A folder with an image, and a folder of images in two classes.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pixels = (0..60 * 60 * 3).map(|i: usize| (i * i % 251) as u8).collect();
    Image::new(60, 60, 3, pixels).unwrap().save_png(folder.path().join("photo.png")).unwrap();
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..40 {
        let class = folder.path().join("digits").join(if digits.label(index) < 5 { "low" } else { "high" });
        fs::create_dir_all(&class).unwrap();
        digits.image(index).unwrap().save_png(class.join(format!("{index:02}.png"))).unwrap();
    }
    folder
}

#[test]
fn results_get_a_free_name_after_the_input_and_the_command() {
    let (folder, model) = (place(), shared().run());
    let model = text(&model);
    let style = ["style", "photo.png", "brushwork", "--size", "32", "--steps", "1", "--coarsest", "0"];
    let embed = ["embed", model, "--data", "digits", "--method", "pca"];
    let train = ["train", "digits", "--epochs", "1", "--size", "32"];
    let commands: [(&[&str], &str); 13] = [
        (&["activations", model, "photo.png"], "photo-activations"),
        (&["explain", model, "photo.png", "--method", "gradient"], "photo-explain"),
        (&["filters", model, "--layer", "conv2d", "--filters", "0", "--steps", "1"], "run-conv2d-filters.png"),
        (&["classes", model, "--class", "0", "--steps", "1"], "run-classes.png"),
        (&["deconv", model, "photo.png", "--layer", "conv2d"], "photo-deconv"),
        (&["receptive-field", model, "--effective", "--samples", "1"], "run-receptive-field"),
        (&["kernels", model], "run-kernels"),
        (&["filter", "photo.png", "--kernel", "sobel-x"], "photo-filter"),
        (&["dream", "photo.png", "--steps", "1", "--octaves", "1"], "photo-dream.png"),
        (&["data", "augment", "photo.png", "--size", "32", "--count", "2"], "photo-augmented.png"),
        (&style, "photo-brushwork.png"),
        (&embed, "digits-embed"),
        (&train, "runs/digits"),
    ];
    for (words, name) in commands {
        let (stem, ending) =
            name.split_once('.').map_or((name, String::new()), |(stem, rest)| (stem, format!(".{rest}")));
        for name in [name.to_owned(), format!("{stem}-2{ending}"), format!("{stem}-3{ending}")] {
            let printed = run_in(folder.path(), words);
            assert!(printed.contains(&format!("Written to {name}")), "{words:?}: {printed}");
            assert!(folder.path().join(&name).exists(), "{words:?}: {name}");
        }
        // With --force, the first name is used again.
        let forced: Vec<&str> = words.iter().copied().chain(["--force"]).collect();
        let printed = run_in(folder.path(), &forced);
        assert!(printed.contains(&format!("Written to {name}")), "{words:?}: {printed}");
        assert!(!folder.path().join(format!("{stem}-4{ending}")).exists(), "{words:?}");
    }
}

#[test]
fn a_folder_of_images_is_stylized() {
    let folder = place();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::copy(folder.path().join("photo.png"), photos.join("a.png")).unwrap();
    fs::copy(folder.path().join("photo.png"), photos.join("b.png")).unwrap();
    fs::write(photos.join("broken.jpg"), "no image").unwrap();
    let words = ["style", "photos", "brushwork", "--size", "32", "--steps", "1", "--coarsest", "0"];
    let output = lucida(words).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("broken.jpg"), "{}", stderr(&output));
    assert!(stdout(&output).contains("Written to photos-brushwork/a.png: 32x32 pixels"), "{}", stdout(&output));
    assert_eq!(names(&folder.path().join("photos-brushwork")), ["a.png", "b.png"]);
    let output = lucida(words.into_iter().chain(["--gif", "x.gif"])).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn predict_takes_folders_and_standard_input() {
    let (folder, model) = (place(), shared().run());
    let model = text(&model);
    let one = run_in(folder.path(), &["predict", model, "photo.png", "--quiet"]);
    let said = one.trim_end().strip_prefix("photo.png: ").unwrap();
    // Standard input may be an image or a list.
    let image = fs::read(folder.path().join("photo.png")).unwrap();
    let output =
        lucida(["predict", model, "-", "--quiet"]).current_dir(folder.path()).write_stdin(image).output().unwrap();
    assert_eq!(stdout(&output), format!("standard input: {said}\n"), "{}", stderr(&output));
    let list = "photo.png\n\n# a comment\nphoto.png\n";
    let output =
        lucida(["predict", model, "-", "--quiet"]).current_dir(folder.path()).write_stdin(list).output().unwrap();
    assert_eq!(stdout(&output), format!("{one}{one}"), "{}", stderr(&output));
    for nothing in ["", "\n", "\u{0}\u{1}"] {
        let output = lucida(["predict", model, "-"]).write_stdin(nothing).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("expected an image, or a list of paths of images"), "{}", stderr(&output));
    }
    // A folder is treated as with --data. A note says that its classes are not the model's, and they are kept in the table.
    let output = lucida(["predict", model, "digits", "--csv", "-"]).current_dir(folder.path()).output().unwrap();
    let note = stderr(&output);
    assert!(note.contains("the labels (high, low) are not among the model's classes (0, 1, 2, ...)"), "{note}");
    let table = stdout(&output);
    assert_eq!(table.lines().count(), 41, "{table}");
    assert!(table.lines().skip(1).all(|line| line.contains(",high,") || line.contains(",low,")), "{table}");
    let data =
        lucida(["predict", model, "--data", "digits", "--csv", "-"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(stdout(&data), table);
}

#[test]
fn answers_in_json() {
    let (folder, model) = (place(), shared().run());
    let model = text(&model);
    let json = |words: &[&str]| -> Value { serde_json::from_str(&run_in(folder.path(), words)).unwrap() };
    let summary = json(&["summary", model, "--json"]);
    let layers = summary["layers"].as_array().unwrap();
    assert_eq!(layers[0]["class_name"], "Input", "{summary}");
    assert_eq!(layers[1]["inputs"][0], layers[0]["name"]);
    assert_eq!(layers.iter().map(|layer| layer["parameters"].as_u64().unwrap()).sum::<u64>(), summary["parameters"]);
    let converted = json(&["weights", "convert", model, "digits.onnx", "--json"]);
    assert_eq!(converted["file"], "digits.onnx");
    assert_eq!(converted["input"]["shape"], serde_json::json!([28, 28, 1]), "{converted}");
    assert_eq!(converted["class_names"].as_array().unwrap().len(), 10);
    write_mnist(&folder.path().join("data"));
    let trained = json(&["train", "mnist", "--data", "data", "--epochs", "2", "--json"]);
    assert_eq!(trained["run"], "runs/mnist");
    assert_eq!(trained["epochs"].as_array().unwrap().len(), 2, "{trained}");
    assert!(trained["test"]["accuracy"].as_f64().unwrap() > 0.1, "{trained}");
}
