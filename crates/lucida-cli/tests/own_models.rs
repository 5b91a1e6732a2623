//! Models from other programs, whose files lack the preprocessing, the meaning of the outputs, or the class names.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, run, stderr, stdout, text};
use lucida::data::Image;
use lucida::nn::Network;
use lucida::nn::layers::{
    Activation, ActivationKind, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Layer, Rescaling,
};
use lucida::weights::{Model, save_model};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a photo, and room for models.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pixels = (0..24 * 20 * 3).map(|i: usize| (i * 7919 % 251) as u8).collect();
        Image::new(24, 20, 3, pixels).unwrap().save_png(folder.path().join("photo.png")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    /// Saves a network with these layers, for an input of `channels` channels.
    fn save(&self, name: &str, channels: usize, layers: Vec<Layer>) -> String {
        let network = Network::sequential("mine", [16, 16, channels], layers, 3).unwrap();
        save_model(&Model::new(network), Path::new(&self.at(name))).unwrap();
        self.at(name)
    }

    /// Saves a classifier that ends in these layers.
    fn classifier(&self, name: &str, end: Vec<Layer>) -> String {
        let start = [Conv2D::new(4, [3, 3]).activation(ActivationKind::Relu).into(), Flatten::new().into()];
        self.save(name, 3, start.into_iter().chain(end).collect())
    }

    fn probabilities(&self, arguments: &[&str]) -> Vec<f64> {
        let photo = self.at("photo.png");
        let answer = run(["predict", arguments[0], &photo, "--json", "--quiet"].iter().chain(&arguments[1..]).copied());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["predictions"][0]["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect()
    }
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn preprocessing_is_assumed_said_and_chosen() {
    let place = Place::new();
    let softmax = || vec![Dense::new(3).activation(ActivationKind::Softmax).into()];
    let photo = place.at("photo.png");
    for name in ["plain.keras", "plain.h5", "plain.onnx", "plain.safetensors"] {
        let model = place.classifier(name, softmax());
        let output = lucida(["predict", &model, &photo]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("assuming pixel values from 0 to 1 (--preprocessing"), "{}", stderr(&output));
        let chosen = lucida(["predict", &model, &photo, "--preprocessing", "unit"]).output().unwrap();
        assert_eq!((stdout(&chosen), stderr(&chosen)), (stdout(&output), String::new()), "{name}");
        assert!(!close(&place.probabilities(&[&model]), &place.probabilities(&[&model, "--preprocessing", "torch"])));
    }
    // 0..255, for a network that rescales its input itself.
    let scaled = Network::sequential(
        "mine",
        [16, 16, 3],
        [Rescaling::new(1.0 / 255.0, 0.0).into(), Flatten::new().into(), Dense::new(3).into()],
        3,
    );
    let plain = Network::sequential("mine", [16, 16, 3], [Flatten::new().into(), Dense::new(3).into()], 3);
    for ending in ["keras", "h5", "onnx", "safetensors"] {
        let (scaled_file, plain_file) = (place.at(&format!("scaled.{ending}")), place.at(&format!("same.{ending}")));
        save_model(&Model::new(scaled.as_ref().unwrap().clone()), Path::new(&scaled_file)).unwrap();
        save_model(&Model::new(plain.as_ref().unwrap().clone()), Path::new(&plain_file)).unwrap();
        let output = lucida(["predict", &scaled_file, &photo]).output().unwrap();
        assert!(!stderr(&output).contains("assuming"), "{}", stderr(&output));
        assert!(close(&place.probabilities(&[&scaled_file]), &place.probabilities(&[&plain_file])), "{ending}");
    }
    let model = place.at("plain.keras");
    let message = lucida(["predict", &model, &photo, "--preprocessing", "imagenet"]).output().unwrap();
    assert_eq!(message.status.code(), Some(2));
    assert!(stderr(&message).contains("expected unit, tf, caffe, torch, raw"), "{}", stderr(&message));
}

#[test]
fn gray_models_take_photos_and_four_channels_are_refused() {
    let place = Place::new();
    let end = || vec![Flatten::new().into(), Dense::new(2).activation(ActivationKind::Softmax).into()];
    let gray = place.save("gray.keras", 1, end());
    assert_eq!(place.probabilities(&[&gray]).len(), 2);
    let photo = place.at("photo.png");
    let message = fail(1, ["predict", &place.save("four.keras", 4, end()), &photo]);
    assert!(message.contains("takes inputs of 4 channels; images have 1 (gray) or 3"), "{message}");
    let message = fail(1, ["predict", &gray, &photo, "--preprocessing", "caffe"]);
    assert!(message.contains("the network takes gray images"), "{message}");
}

#[test]
fn every_ending_of_a_classifier_gives_the_same_probabilities() {
    let place = Place::new();
    let dense = |units: usize, activation| Layer::from(Dense::new(units).activation(activation));
    for ending in ["keras", "h5", "onnx", "safetensors"] {
        let of = |name: &str, end: Vec<Layer>| place.classifier(&format!("{name}.{ending}"), end);
        let softmax = of("softmax", vec![dense(3, ActivationKind::Softmax)]);
        let expected = place.probabilities(&[&softmax]);
        let log_softmax = Activation::new(ActivationKind::LogSoftmax).into();
        for (name, end) in [
            ("logits", vec![dense(3, ActivationKind::Linear)]),
            ("logsoftmax", vec![dense(3, ActivationKind::LogSoftmax)]),
            ("separate", vec![dense(3, ActivationKind::Linear), log_softmax]),
        ] {
            let model = of(name, end);
            assert!(close(&place.probabilities(&[&model]), &expected), "{name}.{ending}");
            let photo = place.at("photo.png");
            let quick = ["--method", "gradient", "--out"];
            let out = place.at(&format!("explained-{name}-{ending}"));
            let explained =
                run(["explain", &model, &photo, "--json"].iter().chain(&quick).copied().chain([out.as_str()]));
            let explained: Value = serde_json::from_str(&explained).unwrap();
            let probability = explained["probability"].as_f64().unwrap();
            assert!((probability - expected.iter().copied().fold(0.0, f64::max)).abs() < 1e-5, "{name}.{ending}");
        }
        let sigmoid = place.probabilities(&[&of("sigmoid", vec![dense(1, ActivationKind::Sigmoid)])]);
        let logit = place.probabilities(&[&of("logit", vec![dense(1, ActivationKind::Linear)])]);
        assert!(sigmoid.len() == 2 && close(&sigmoid, &logit), "{ending}");
    }
    // A model that ends in pooled features is not a classifier unless declared as one.
    let features =
        place.save("features.keras", 3, vec![Conv2D::new(5, [3, 3]).into(), GlobalAveragePooling2D::new().into()]);
    let message = fail(1, ["predict", &features, &place.at("photo.png"), "--quiet"]);
    assert!(message.contains("features"), "{message}");
    assert_eq!(place.probabilities(&[&features, "--task", "classify"]).len(), 5);
}

#[test]
fn labels_of_which_several_can_hold() {
    let place = Place::new();
    let model = place.classifier("labels.keras", vec![Dense::new(3).activation(ActivationKind::Sigmoid).into()]);
    let logits = place.classifier("logits.onnx", vec![Dense::new(3).into()]);
    let (photo, names) = (place.at("photo.png"), place.at("names.txt"));
    fs::write(&names, "day\nsea\nsnow\n").unwrap();
    let answer = |model: &str, task: &[&str]| -> Value {
        let arguments = ["predict", model, &photo, "--classes", &names, "--json", "--quiet"];
        serde_json::from_str(&run(arguments.into_iter().chain(task.iter().copied()))).unwrap()
    };
    let found = answer(&model, &[]);
    let of = |found: &Value| -> Vec<f64> {
        let probabilities = found["predictions"][0]["probabilities"].as_array().unwrap();
        probabilities.iter().map(|p| p.as_f64().unwrap()).collect()
    };
    // With --task multilabel, logits give the same labels.
    assert!(close(&of(&found), &of(&answer(&logits, &["--task", "multilabel"]))), "{found}");
    let mut above: Vec<(f64, &str)> = of(&found).into_iter().zip(["day", "sea", "snow"]).collect();
    above.retain(|(probability, _)| *probability >= 0.5);
    above.sort_by(|a, b| b.0.total_cmp(&a.0));
    let labels: Vec<&str> = above.iter().map(|(_, name)| *name).collect();
    assert_eq!(found["predictions"][0]["labels"], Value::from(labels.clone()));
    let printed = run(["predict", &model, &photo, "--classes", &names, "--quiet"]);
    assert!(labels.iter().all(|label| printed.contains(&format!("{label} ("))), "{printed}");
    // Each label can be explained separately.
    for (number, name) in ["day", "sea", "snow"].into_iter().enumerate() {
        let out = place.at(name);
        let options = ["--classes", &names, "--class", name, "--method", "gradient", "--out", &out, "--json"];
        let explained = run(["explain", &model, &photo, "--quiet"].into_iter().chain(options));
        let explained: Value = serde_json::from_str(&explained).unwrap();
        assert!((explained["probability"].as_f64().unwrap() - of(&found)[number]).abs() < 1e-5, "{explained}");
    }
    let options = ["--classes", &names, "--class", "3", "--out", &place.at("no"), "--quiet"];
    let message = fail(1, ["explain", &model, &photo].into_iter().chain(options));
    assert!(message.contains("its labels are 0 to 2"), "{message}");
    let csv = place.at("labels.csv");
    run(["predict", &model, &photo, "--classes", &names, "--quiet", "--csv", &csv]);
    assert!(fs::read_to_string(&csv).unwrap().starts_with("file,class,labels,p_day,p_sea,p_snow\n"));
}

#[test]
fn numbers_and_features() {
    let place = Place::new();
    let model = place.classifier("number.keras", vec![Dense::new(1).into()]);
    let photo = place.at("photo.png");
    let value = |extra: &[&str]| -> Value {
        let arguments = ["predict", &model, &photo, "--json", "--quiet"];
        let answer: Value = serde_json::from_str(&run(arguments.into_iter().chain(extra.iter().copied()))).unwrap();
        answer["predictions"][0].clone()
    };
    let number = value(&["--task", "regress"])["values"][0].as_f64().unwrap();
    let two = value(&[])["probabilities"].clone();
    assert!((1.0 / (1.0 + (-number).exp()) - two[1].as_f64().unwrap()).abs() < 1e-5, "{number} {two}");
    // A converted model keeps its task.
    let kept = place.at("kept.onnx");
    run(["weights", "convert", &model, &kept, "--task", "regress"]);
    let printed = run(["predict", &kept, &photo, "--quiet"]);
    let last: f64 = printed.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((last - number).abs() < 1e-5, "{printed}");
    let out = place.at("explained");
    let explained = run(["explain", &kept, &photo, "--method", "gradient", "--out", &out, "--json", "--quiet"]);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert!((explained["value"].as_f64().unwrap() - number).abs() < 1e-5, "{explained}");
    assert!(explained.get("probability").is_none());
    let message = fail(1, ["evaluate", &kept, "--data", &place.at(""), "--quiet"]);
    assert!(message.contains("predicts a number, which cannot be compared with classes"), "{message}");
    let features =
        place.save("features.keras", 3, vec![Conv2D::new(5, [3, 3]).into(), GlobalAveragePooling2D::new().into()]);
    let out = place.at("none");
    for command in [
        &["predict", &features, &photo][..],
        &["explain", &features, &photo, "--out", &out],
        &["classes", &features],
        &["evaluate", &features, "--data", &place.at("")],
    ] {
        let message = fail(1, command.iter().copied().chain(["--quiet"]));
        assert!(message.contains("ends in 5 features, not in classes; --task says what"), "{command:?}: {message}");
    }
}

#[test]
fn class_names_come_from_a_file() {
    let place = Place::new();
    let model = place.classifier("two.keras", vec![Dense::new(2).activation(ActivationKind::Softmax).into()]);
    let photo = place.at("photo.png");
    let names = place.at("names.json");
    fs::write(&names, r#"{"zebra": 1, "ant": 0}"#).unwrap();
    let printed = run(["predict", &model, &photo, "--quiet", "--classes", &names]);
    assert!(printed.contains("ant (") && printed.contains("zebra ("), "{printed}");
    fs::write(&names, r#"["ant", "bee", "cow"]"#).unwrap();
    let message = fail(1, ["predict", &model, &photo, "--classes", &names, "--quiet"]);
    assert!(message.contains("names.json: has 3 class names, the network has 2 classes"), "{message}");
    // Class names next to the model are used if their number matches.
    fs::write(place.at("labels.txt"), "0 ant\n1 bee\n").unwrap();
    assert!(run(["predict", &model, &photo, "--quiet"]).contains("bee ("));
    fs::write(place.at("labels.txt"), "ant\nbee\ncow\n").unwrap();
    let output = lucida(["predict", &model, &photo]).output().unwrap();
    assert!(stderr(&output).contains("labels.txt has 3 class names, the network has 2 classes: it is ignored"));
}

#[test]
fn convert_stores_what_was_chosen_and_nothing_that_was_assumed() {
    let place = Place::new();
    let model = place.classifier("mine.keras", vec![Dense::new(2).activation(ActivationKind::Softmax).into()]);
    let names = place.at("names.txt");
    fs::write(&names, "ant\nbee\n").unwrap();
    let photo = place.at("photo.png");
    let chosen = place.probabilities(&[&model, "--preprocessing", "torch,crop"]);
    for ending in ["onnx", "keras", "h5", "safetensors"] {
        let out = place.at(&format!("chosen.{ending}"));
        let options = ["--preprocessing", "torch,crop", "--classes", &names];
        let printed = run(["weights", "convert", &model, &out].iter().chain(&options).copied());
        assert!(printed.contains("(16, 16, 3), batch first, channels last: 16x16 RGB"), "{printed}");
        assert!(printed.contains("--preprocessing torch,crop") && printed.contains("ant, bee"), "{printed}");
        let output = lucida(["predict", &out, &photo]).output().unwrap();
        assert!(stderr(&output).is_empty() && stdout(&output).contains("bee ("), "{ending}: {}", stderr(&output));
        assert!(close(&place.probabilities(&[&out]), &chosen), "{ending}");
        let out = place.at(&format!("assumed.{ending}"));
        let printed = run(["weights", "convert", &model, &out]);
        assert!(printed.contains("how images are prepared is not stored"), "{printed}");
        let output = lucida(["predict", &out, &photo]).output().unwrap();
        assert!(stderr(&output).contains("assuming"), "{ending}");
    }
    // Logits stay logits unless a task is given.
    let logits = place.classifier("logits.keras", vec![Dense::new(2).into()]);
    let (raw, classifier) = (place.at("raw.onnx"), place.at("classifier.onnx"));
    run(["weights", "convert", &logits, &raw]);
    run(["weights", "convert", &logits, &classifier, "--task", "classify"]);
    let noted =
        |model: &str| stderr(&lucida(["predict", model, &photo]).output().unwrap()).contains("softmax was added");
    assert!(noted(&raw) && !noted(&classifier));
    // A file with only weights cannot be opened by itself, so writing one prints a note.
    for (ending, warned) in [("pth", true), ("weights.h5", true), ("keras", false)] {
        let out = place.at(&format!("alone.{ending}"));
        let output = lucida(["weights", "convert", &logits, &out]).output().unwrap();
        assert_eq!(stderr(&output).contains("and no network"), warned, "{ending}: {}", stderr(&output));
    }
}

#[test]
fn a_map_that_is_zero_is_said_to_be() {
    let place = Place::new();
    let convolution = Conv2D::new(4, [3, 3]).activation(ActivationKind::Relu);
    let layers = [
        convolution.into(),
        GlobalAveragePooling2D::new().into(),
        Dense::new(2).activation(ActivationKind::Softmax).into(),
    ];
    let mut network = Network::sequential("mine", [16, 16, 3], layers, 3).unwrap();
    // Every feature map lowers the score of the first class.
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name() == "dense/kernel") {
        weight
            .values_mut()
            .iter_mut()
            .enumerate()
            .for_each(|(at, value)| *value = if at % 2 == 0 { -1.0 } else { 1.0 });
    }
    let model = place.at("negative.keras");
    save_model(&Model::new(network), Path::new(&model)).unwrap();
    let explain = |class: &str, more: &[&str]| {
        let (photo, out) = (place.at("photo.png"), place.at("out"));
        let line =
            ["explain", &model, &photo, "--method", "grad-cam", "--class", class, "--out", &out, "--force", "-q"];
        run(line.iter().chain(more).copied())
    };
    let why = "the map is zero everywhere: no position of the layer raises the class's score";
    assert!(explain("0", &[]).contains(why) && !explain("1", &[]).contains("zero"), "{}", explain("0", &[]));
    let answer: Value = serde_json::from_str(&explain("0", &["--json"])).unwrap();
    assert_eq!(answer["methods"][0]["remark"], why);
}
