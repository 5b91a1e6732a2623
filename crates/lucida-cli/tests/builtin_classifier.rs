//! The built-in classifier: the default model, and the default base for training.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fail, lucida, names, run, stderr, stdout, text};
use lucida::data::{Filter, Image};

fn json(printed: &str) -> serde_json::Value {
    serde_json::from_str(printed).unwrap()
}

fn cat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/chelsea.png")
}

#[test]
fn a_photo_is_classified_without_a_model() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(cat(), folder.path().join("cat.png")).unwrap();
    let output = lucida(["predict", "cat.png"]).current_dir(folder.path()).output().unwrap();
    let printed = stdout(&output);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("cat.png: Egyptian cat (3"), "{printed}");
    assert_eq!(lines.len(), 6, "{printed}");
    for (line, class) in lines[1..].iter().zip(["Egyptian cat", "tiger cat", "tabby", "lynx"]) {
        assert!(line.trim_start().starts_with(class) && line.contains(" %"), "{printed}");
    }
    // It is the network of that name, and also handles folders and standard input.
    let mut named = lucida(["predict", "efficientnet-lite0", "cat.png"]);
    assert_eq!(stdout(&named.current_dir(folder.path()).output().unwrap()), printed);
    let whole = lucida(["predict", ".", "--json"]).current_dir(folder.path()).output().unwrap();
    let whole = json(&stdout(&whole));
    assert_eq!(whole["model"], "efficientnet-lite0");
    assert_eq!(whole["predictions"][0]["class"], "Egyptian cat");
    assert_eq!(whole["class_names"][281], "tabby");
    let piped = lucida(["predict", "-"]).write_stdin(fs::read(cat()).unwrap()).output().unwrap();
    assert!(stdout(&piped).starts_with("standard input: Egyptian cat"), "{}", stderr(&piped));
    let missing = fail(1, ["predict", "no-photo.jpg"]);
    assert!(missing.contains("no-photo.jpg: cannot read"), "{missing}");
}

#[test]
fn it_is_explained_and_taken_apart() {
    let folder = tempfile::tempdir().unwrap();
    let photo = cat();
    let photo = text(&photo);
    let at = |name: &str| folder.path().join(name);
    let explained = run(["explain", photo, "--method", "grad-cam", "--out", text(&at("why"))]);
    assert!(explained.contains("Egyptian cat") && explained.contains("_conv_head_activation"), "{explained}");
    let output = lucida(["deconv", photo, "--out", text(&at("deconv")), "--json"]).output().unwrap();
    let projected = json(&stdout(&output));
    assert_eq!(projected["layer"], "_blocks.4");
    assert_eq!(projected["projections"].as_array().unwrap().len(), 9);
    assert!(stderr(&output).contains("guided backpropagation"), "{}", stderr(&output));
    let filters =
        ["filters", "--steps", "2", "--size", "64", "--out", text(&at("filters.png")), "--json"].map(str::to_owned);
    let filters = json(&run(filters.iter().map(String::as_str)));
    assert_eq!((&filters["layer"], filters["images"].as_array().unwrap().len()), (&"_blocks.10".into(), 16));
    let dream =
        run(["dream", photo, "--steps", "2", "--octaves", "1", "--size", "96", "--out", text(&at("dream.png"))]);
    assert!(dream.contains("layer _blocks.10"), "{dream}");
    let summary = run(["summary"]);
    assert!(summary.contains("Total params: 4,694,024"), "{summary}");
}

/// Training by default puts a new head on its features, which are cached.
#[test]
fn a_training_begins_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let cat = Image::open(cat()).unwrap();
    for (class, shade) in [("cat", None), ("wall", Some(90))] {
        let photos = folder.path().join("photos").join(class);
        fs::create_dir_all(&photos).unwrap();
        for number in 0..8 {
            let (side, x) = (200 + number, 10 * number);
            let part = cat.crop(x, number, side, side).unwrap();
            let part = part.resize(160, 160, Filter::Bilinear).unwrap();
            let image = shade.map_or(part, |shade| Image::filled(160, 160, &[shade, shade + number as u8, 30]));
            image.save_png(photos.join(format!("{number}.png"))).unwrap();
        }
    }
    let run = |words: &[&str]| {
        let mut command = lucida(words.iter().copied());
        command.current_dir(folder.path()).env("LUCIDA_CACHE", folder.path().join("cache"));
        command.output().unwrap()
    };
    let trained = run(&["train", "photos", "--epochs", "4"]);
    let printed = stdout(&trained);
    assert!(printed.contains("Network efficientnet-lite0: 3,416,865 parameters, 1,281 of them trained"), "{printed}");
    assert!(printed.contains("features of 16 images at avgpool"), "{printed}");
    let last = printed.lines().last().unwrap();
    assert_eq!(last, "Next: lucida predict runs/photos IMAGE, or lucida report runs/photos");
    assert!(names(&folder.path().join("runs/photos")).contains(&"model.safetensors".to_owned()));
    let predicted = run(&["predict", "runs/photos", "photos/cat/0.png"]);
    assert!(stdout(&predicted).starts_with("photos/cat/0.png: cat ("), "{}", stdout(&predicted));
}
