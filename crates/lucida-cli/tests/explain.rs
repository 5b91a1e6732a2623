//! `lucida explain`.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, shared, stderr, stdout, text};
use lucida::data::{Dataset, Image, Mnist, Preprocessing};
use lucida::nn::Network;
use lucida::nn::layers::{ActivationKind, Conv2D, Dense, Flatten};
use lucida::weights::{Model, safetensors};
use serde_json::Value;

/// Options that make all methods fast.
const QUICK: [&str; 6] = ["--masks", "60", "--samples", "5", "--stride", "4"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

#[test]
fn all_methods_on_one_sheet() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let out = folder.path().join("a/b");
    let arguments = ["explain", text(&model), "--data", "mnist", "--index", "7", "--out", text(&out)];
    let printed = run(arguments.into_iter().chain(QUICK));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("built-in digit no. 7 (a 3): ") && lines[0].ends_with(" %)"), "{}", lines[0]);
    assert_eq!(lines[2], "method                deletion  insertion");
    let first_words: Vec<&str> = lines[3..15].iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    let help = run(["explain", "--help"]);
    assert!(first_words.iter().all(|name| help.contains(name)), "{first_words:?}");
    assert!(lines[8].ends_with("of conv2d_2"), "{}", lines[8]);
    assert!(lines[16].ends_with("comparison.png"), "{printed}");
    assert_eq!(names(&out), ["comparison.png"]);
    let sheet = Image::open(out.join("comparison.png")).unwrap();
    assert!(sheet.width() > 5 * 224 && sheet.height() > 3 * 224);

    // Existing files are not overwritten; with --force, the result is identical.
    let before = fs::read(out.join("comparison.png")).unwrap();
    let message = fail(1, arguments.into_iter().chain(QUICK));
    assert!(message.contains("comparison.png already exists; use --force"), "{message}");
    assert_eq!(run(arguments.into_iter().chain(QUICK).chain(["--force"])), printed);
    assert!(fs::read(out.join("comparison.png")).unwrap() == before);
}

/// The index of a digit is not its class: the true label is printed next to the prediction.
#[test]
fn the_label_of_an_image_of_a_data_set_is_said() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let (out, photos) = (folder.path().join("out"), folder.path().join("photos"));
    for class in ["3", "8"] {
        fs::create_dir_all(photos.join(class)).unwrap();
        Mnist::builtin().unwrap().train.image(7).unwrap().save_png(photos.join(class).join("a.png")).unwrap();
    }
    let of = |data: &str, index: &str, more: &[&str]| {
        let words =
            ["explain", text(&model), "--data", data, "--index", index, "--method", "gradient", "--force", "--out"];
        run([&words[..], &[text(&out)], more].concat())
    };
    let eight = Mnist::builtin().unwrap().train.labels().iter().position(|&label| label == 8).unwrap().to_string();
    let printed = of("mnist", &eight, &[]);
    assert!(printed.starts_with(&format!("built-in digit no. {eight} (an 8): ")), "{printed}");
    assert_eq!(json(&of("mnist", "7", &["--json"]))["label"], "3");
    let printed = of(text(&photos), "1", &[]);
    assert!(printed.contains("8/a.png (labeled 8): "), "{printed}");
    assert_eq!(json(&of(text(&photos), "1", &["--json"]))["label"], "8");
}

#[test]
fn numbers_and_raw_maps() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let out = folder.path().join("out");
    let digit = folder.path().join("digit.png");
    Mnist::builtin().unwrap().train.image(7).unwrap().save_png(&digit).unwrap();
    let methods = ["integrated-gradients,lrp,grad-cam,gradient", "--json", "--npy", "--check"];
    let arguments = ["explain", text(&model), text(&digit), "--class", "3", "--out", text(&out), "--method"];
    let answer = json(&run(arguments.into_iter().chain(methods)));
    assert_eq!((&answer["class"], &answer["class_number"]), (&Value::from("3"), &Value::from(3)));
    let probability = answer["probability"].as_f64().unwrap();
    let files = ["comparison.png", "integrated-gradients.npy", "lrp.npy", "grad-cam.npy", "gradient.npy", "check.png"];
    assert_eq!(answer["files"], serde_json::to_value(files).unwrap());
    assert_eq!(names(&out).len(), files.len());
    for (one, name) in answer["methods"].as_array().unwrap().iter().zip(methods[0].split(',')) {
        assert_eq!(one["method"], name);
        let curve: Vec<f64> = serde_json::from_value(one["deletion"].clone()).unwrap();
        assert!(curve.len() == 29 && (curve[0] - probability).abs() < 1e-5, "{curve:?}");
        let area = (curve.iter().sum::<f64>() - (curve[0] + curve[28]) / 2.0) / 28.0;
        assert!((one["deletion_area"].as_f64().unwrap() - area).abs() < 1e-5);
        if let Some(sum) = one.get("sum") {
            let [pixels, biases, expected] = ["pixels", "biases", "expected"].map(|name| sum[name].as_f64().unwrap());
            assert!((pixels + biases - expected).abs() <= 0.01 * expected.abs(), "{sum}");
        }
    }
    assert_eq!(answer["methods"][2]["layer"], "conv2d_2");
    assert_eq!(answer["check"][3]["stages"][4]["layer"], "conv2d");
    let array = |name: &str| fs::read(out.join(name)).unwrap();
    assert!(String::from_utf8_lossy(&array("gradient.npy")).contains("'shape': (28, 28), "));
    assert!(String::from_utf8_lossy(&array("grad-cam.npy")).contains("'shape': (7, 7), "));

    let table = run(arguments.into_iter().chain(["gradient,lrp", "--check", "--force"]));
    assert!(
        table.contains("\nRandom weights from the top down")
            && table.contains("\n  conv2d_1 ")
            && table.contains("rank  |rank|    SSIM"),
        "{table}"
    );
}

/// Images unlike MNIST's: the format is detected from the bytes, and the size is adapted to the network.
#[test]
fn images_of_any_kind() {
    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let at = |name: &str| folder.path().join(name);
    Image::filled(1, 1, &[200, 10, 10]).save_png(at("one.png")).unwrap();
    Image::filled(300, 40, &[255, 250, 245]).save_png(at("wide.png")).unwrap();
    // Eight bits per pixel, with a palette of two colors.
    fs::write(at("palette.bmp"), bmp(4, 4, 8, &[[0, 0, 0, 0], [90, 200, 255, 0]], &[[1, 0, 0, 1]; 4].concat()))
        .unwrap();
    let out = at("out");
    let explain = |image: &Path| {
        ["explain", text(&model), text(image), "--method", "grad-cam,occlusion", "--force", "--out", text(&out)]
            .map(str::to_owned)
    };
    for name in ["one.png", "wide.png", "palette.bmp"] {
        let arguments = explain(&at(name));
        let printed = run(arguments.iter().map(String::as_str));
        assert!(printed.starts_with(&format!("{}: ", at(name).display())), "{printed}");
    }
    // Images that are too large are refused based on their header.
    fs::write(at("huge.bmp"), bmp(20_000, 20_000, 24, &[], &[])).unwrap();
    fs::write(at("text.png"), "I am not an image").unwrap();
    for (name, expected) in [
        ("huge.bmp", "size in pixels (20000x20000): 400000000 is over the limit of 100000000"),
        ("text.png", "not an image"),
        ("none.png", "No such file"),
    ] {
        let message = fail(1, explain(&at(name)).iter().map(String::as_str));
        assert!(message.contains(name) && message.contains(expected), "{message}");
    }
}

fn bmp(width: u32, height: u32, bits: u16, palette: &[[u8; 4]], pixels: &[u8]) -> Vec<u8> {
    let start = 54 + 4 * palette.len() as u32;
    let mut bytes = b"BM".to_vec();
    bytes.extend((start + pixels.len() as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(start.to_le_bytes());
    bytes.extend([40, width, height].map(u32::to_le_bytes).concat());
    bytes.extend([1, bits].map(u16::to_le_bytes).concat());
    bytes.extend([0, pixels.len() as u32, 0, 0, palette.len() as u32, 0].map(u32::to_le_bytes).concat());
    bytes.extend(palette.concat());
    bytes.extend(pixels);
    bytes
}

#[test]
fn what_cannot_be_explained() {
    let (folder, run_folder) = (tempfile::tempdir().unwrap(), shared().run());
    let out = folder.path().join("out");
    let explain = |model: &str, more: &[&str]| {
        let digit = ["explain", model, "--data", "mnist", "--index", "0", "--out", text(&out)];
        fail(1, digit.into_iter().chain(more.iter().copied()))
    };
    let trained = text(&run_folder).to_owned();
    for (more, expected) in [
        (&["--class", "10"][..], "no class \"10\""),
        (&["--class", "seven"], "no class \"seven\": its classes are 0 to 9"),
        (&["--method", "grad-cam", "--layer", "conv2d_3"], "did you mean \"conv2d_1\"?"),
        (&["--layer", "dense"], "layer dense: its output of shape (128)"),
        (&["--method", "rise", "--masks", "0"], "0 masks: it must be 1"),
        (&["--epsilon", "0"], "an epsilon of 0"),
    ] {
        let message = explain(&trained, more);
        assert!(message.contains(expected), "{message}");
    }
    let message = fail(1, ["explain", &trained, "--data", "mnist", "--index", "10000"]);
    assert!(message.contains("there is no digit 10000"), "{message}");

    let save = |name: &str, network: Network| {
        let path = folder.path().join(name);
        let model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(network) };
        safetensors::save_model(&model, &path).unwrap();
        text(&path).to_owned()
    };
    let headless = Network::sequential("headless", [28, 28, 1], [Conv2D::new(2, [3, 3]).into()], 1).unwrap();
    let message = explain(&save("headless.safetensors", headless), &[]);
    assert!(message.contains("headless.safetensors") && message.contains("has no layer of classes"), "{message}");
    // A purely dense network has no layer for class activation maps; all other methods run.
    let softmax = Dense::new(3).activation(ActivationKind::Softmax);
    let dense = Network::sequential("flat", [28, 28, 1], [Flatten::new().into(), softmax.clone().into()], 1).unwrap();
    let flat = save("flat.safetensors", dense);
    assert!(explain(&flat, &["--method", "layer-cam"]).contains("network flat has no layer with spatial extent"));
    let output = lucida(["explain", &flat, "--data", "mnist", "--index", "0", "--out", text(&out)])
        .args(QUICK)
        .output()
        .unwrap();
    let notes = stderr(&output);
    assert!(output.status.success() && notes.contains("note: network flat has no layer"), "{notes}");
    assert!(!stdout(&output).contains("cam") && stdout(&output).contains("\nrise "), "{}", stdout(&output));

    let four = Network::sequential("four", [28, 28, 4], [Flatten::new().into(), softmax.into()], 1).unwrap();
    let path = folder.path().join("four.safetensors");
    safetensors::save_model(&Model::new(four), &path).unwrap();
    assert!(explain(text(&path), &[]).contains("takes inputs of 4 channels"));
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let message = fail(1, ["explain", &trained, "--data", "mnist", "--index", "0", "--out", text(&file.join("x"))]);
    assert!(message.contains("file: is a file; a folder is needed"), "{message}");
}

#[test]
fn wrong_command_lines_end_with_2() {
    for (arguments, expected) in [
        (&["explain", "m"][..], "<IMAGE>"),
        (
            &["explain", "m", "a.png", "--method", "gradcam"],
            "did you mean \"grad-cam\"? Expected one of gradient, smoothgrad",
        ),
        (&["explain", "m", "a.png", "--data", "mnist", "--index", "0"], "cannot be used with"),
        (&["explain", "m", "--data", "mnist"], "--index"),
        (&["explain", "m", "a.png", "--baseline", "white"], "expected black or mean"),
    ] {
        let output = lucida(arguments.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

/// Ctrl-C during the second method: the map of the first is written.
#[cfg(unix)]
#[test]
fn an_interrupted_explanation_leaves_what_is_finished() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let (folder, model) = (tempfile::tempdir().unwrap(), shared().run());
    let out = folder.path().join("out");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(["explain", text(&model), "--data", "mnist", "--index", "7", "--npy", "--check", "--out", text(&out)])
        .args(["--method", "gradient,smoothgrad", "--samples", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("gradient ")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).trim().ends_with("error: interrupted"), "{}", stderr(&output));
    assert_eq!(names(&out), ["gradient.npy", "gradient.png"]);
    assert!(rest.last().unwrap().ends_with("gradient.png, gradient.npy"), "{rest:?}");
}
