//! The commands that inspect a network: `activations`, `deconv`, `receptive-field`, `kernels`, `filter`.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, names, run, shared, text};
use lucida::data::{Dataset, Image, Mnist};
use lucida::nn::Network;
use lucida::nn::layers::Conv2D;
use lucida::weights::{Model, safetensors};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

/// A digit as a PNG file in its own folder.
fn digit() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digit.png");
    Mnist::builtin().unwrap().train.image(3).unwrap().save_png(&path).unwrap();
    let path = text(&path).to_owned();
    (folder, path)
}

fn image(folder: &Path, name: &str) -> Image {
    Image::open(folder.join(name)).unwrap()
}

/// With several images, each gets its own folder.
#[test]
fn ranges_of_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let model = shared().run();
    for (command, options, file) in [
        ("activations", &["--layers", "conv2d"][..], "overview.png"),
        ("deconv", &["--layer", "conv2d_1", "--filters", "3"], "deconv.png"),
        ("explain", &["--method", "gradient"], "gradient.png"),
    ] {
        let out = folder.path().join(command);
        let start = [command, text(&model), "--data", "mnist", "--out", text(&out), "--json", "--index"];
        let printed = run(start.into_iter().chain(["0..2,7"]).chain(options.iter().copied()));
        // One JSON document: an array for several images, an object for a single one.
        assert_eq!(json(&printed).as_array().map(Vec::len), Some(3), "{command}: {printed}");
        let alone = folder.path().join("alone").join(command);
        let one = [command, text(&model), "--data", "mnist", "--index", "7", "--json", "--out", text(&alone)];
        let one = json(&run(one.into_iter().chain(options.iter().copied())));
        assert!(one.is_object() && one["model"] == json(&printed)[2]["model"], "{command}: {one}");
        assert_eq!(names(&out), ["0", "1", "7"], "{command}");
        for index in ["0", "1", "7"] {
            assert!(out.join(index).join(file).is_file(), "{command} {index}");
        }
        let one = folder.path().join("one").join(command);
        run([command, text(&model), "--data", "mnist", "--index", "7", "--out", text(&one)]
            .into_iter()
            .chain(options.iter().copied()));
        assert!(
            std::fs::read(one.join(file)).unwrap() == std::fs::read(out.join("7").join(file)).unwrap(),
            "{command}"
        );
        let message = fail(1, start.into_iter().chain(["9999..10001"]).chain(options.iter().copied()));
        assert!(message.contains("there is no digit 10000"), "{message}");
    }
}

#[test]
fn activations_of_every_layer() {
    let (folder, digit) = digit();
    let (model, out) = (shared().run(), folder.path().join("maps"));
    let arguments = ["activations", text(&model), &digit, "--out", text(&out), "--npy"];
    let printed = run(arguments);
    assert!(printed.starts_with("layer  ") && printed.contains("\nconv2d_2 "), "{printed}");
    let files = names(&out);
    assert!(files.contains(&"overview.png".to_owned()) && files.contains(&"01_conv2d.png".to_owned()), "{files:?}");
    let npy = fs::read(out.join("01_conv2d.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY") && npy.len() > 4 * 28 * 28 * 24);
    assert!(image(&out, "01_conv2d.png").width() > 8 * 56);

    let message = fail(1, arguments);
    assert!(message.contains("already exists; use --force"), "{message}");
    let printed = run(arguments.into_iter().chain([
        "--force",
        "--json",
        "--layers",
        "conv2d_1,dense_1",
        "--channels",
        "3",
        "--normalize",
        "none",
        "--colormap",
        "magma",
    ]));
    let answer = json(&printed);
    assert_eq!(answer["layers"].as_array().unwrap().len(), 2);
    assert_eq!(answer["layers"][0]["shape"], serde_json::json!([14, 14, 48]));
    assert!(answer["layers"][1]["greatest"].as_f64().unwrap() <= 1.0);
    let set = run(["activations", text(&model), "--data", "mnist", "--index", "51", "--out", text(&out), "--force"]);
    assert!(set.contains("built-in digit 51"), "{set}");
}

/// A filter with a very negative bias: hatched in the image, and listed in the output.
#[test]
fn dead_channels_are_named() {
    let (folder, digit) = digit();
    let path = folder.path().join("model.safetensors");
    let mut model = lucida::weights::load_model(shared().run().join("model.safetensors")).unwrap();
    let bias = model.network.weights_mut().iter_mut().find(|weight| weight.name() == "conv2d/bias").unwrap();
    bias.values_mut()[4] = -100.0;
    safetensors::save_model(&model, &path).unwrap();
    let out = folder.path().join("out");
    let layers = ["--layers", "conv2d", "--json", "--out", text(&out)];
    let answer = json(&run(["activations", text(&path), &digit].into_iter().chain(layers)));
    assert!(answer["layers"][0]["dead"].as_array().unwrap().contains(&4.into()), "{answer}");

    let figure = ["--data", "mnist", "--first", "40", "--layer", "conv2d", "--filters", "3,4", "--top", "2"];
    let rest = ["--json", "--out", text(&out)];
    let answer = json(&run(["deconv", text(&path)].into_iter().chain(figure).chain(rest)));
    assert_eq!((&answer["dead"], &answer["images"]), (&serde_json::json!([4]), &40.into()));
    assert_eq!(answer["projections"].as_array().unwrap().len(), 2);
}

#[test]
fn deconv_of_a_image() {
    let (folder, digit) = digit();
    let (model, out) = (shared().run(), folder.path().join("out"));
    let base = ["deconv", text(&model), &digit, "--layer", "conv2d_1", "--out", text(&out)];
    let printed = run(base);
    assert_eq!(printed.lines().filter(|line| line.ends_with("digit.png")).count(), 9, "{printed}");
    assert_eq!(names(&out), ["deconv.png", "fields.png"]);
    assert_eq!(image(&out, "fields.png").width(), 448);

    let force = base.into_iter().chain(["--force", "--json"]);
    let one = json(&run(force.clone().chain(["--filter", "7", "--position", "6,5"])));
    assert_eq!(one["projections"][0]["position"], serde_json::json!([6, 5]));
    // 3x3, pooling by 2, 3x3: a receptive field of 8 pixels, stride 2, padding 3.
    assert_eq!(one["projections"][0]["field"], serde_json::json!([9, 17, 7, 15]));
    let middle = json(&run(force.clone().chain(["--filter", "7", "--position", "middle"])));
    assert_eq!(middle["projections"][0]["position"], serde_json::json!([7, 7]));
    let several = json(&run(force.clone().chain(["--filters", "random:5", "--seed", "3"])));
    assert_eq!(several["projections"].as_array().unwrap().len(), 5);
    let class = ["deconv", text(&model), &digit, "--layer", "dense_1", "--out", text(&out), "--force", "--json"];
    let class = json(&run(class.into_iter().chain(["--filter", "1"])));
    assert_eq!(class["projections"][0]["field"], serde_json::json!([0, 28, 0, 28]));
}

/// With ignored signals (`nohup`, or `&` in a script) the command runs, and the signals stay ignored.
#[cfg(unix)]
#[test]
fn programs_that_ignore_signals_may_start_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("filters.png");
    let program = assert_cmd::cargo::cargo_bin("lucida");
    let shell = std::process::Command::new("sh")
        .args(["-c", "trap '' INT HUP; exec \"$@\"", "sh", text(&program), "filters", text(&shared().run())])
        .args(["--layer", "conv2d", "--filters", "0..2", "--steps", "2", "--out", text(&out)])
        .output()
        .unwrap();
    assert!(shell.status.success(), "{}", common::stderr(&shell));
    assert!(Image::open(&out).unwrap().width() > 2 * 112);
}

#[test]
fn deconv_over_a_folder_skips_what_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images/of mine");
    fs::create_dir_all(&images).unwrap();
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..6 {
        digits.image(index).unwrap().save_png(images.join(format!("{index}.png"))).unwrap();
    }
    fs::write(images.join("bad.jpg"), "no image").unwrap();
    fs::write(images.join("notes.txt"), "nothing").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), images.join("loop")).unwrap();
    let (model, out) = (shared().run(), folder.path().join("out"));
    let all = text(&images);
    let base = ["deconv", text(&model), "--data", all, "--layer", "conv2d_2", "--out", text(&out), "--json"];
    let output = common::lucida(base).args(["--filters", "0..3", "--top", "4"]).output().unwrap();
    assert!(output.status.success(), "{}", common::stderr(&output));
    let answer = json(&common::stdout(&output));
    assert_eq!(answer["images"], 6, "the link back was followed: {answer}");
    assert!(answer["projections"][0]["image"].as_str().unwrap().ends_with(".png"));
    assert!(common::stderr(&output).contains("bad.jpg"), "{}", common::stderr(&output));
    assert!(image(&out, "deconv.png").width() > 500);
    let digits = format!("mnist:{}", shared().data().display());
    let some =
        ["deconv", text(&model), "--data", &digits, "--layer", "conv2d_2", "--filters", "0", "--out", text(&out)];
    let some = json(&run(some.into_iter().chain(["--sample", "3", "--seed", "5", "--force", "--json"])));
    assert_eq!(some["images"], 3, "{some}");
}

#[test]
fn receptive_fields_as_a_table_as_json_and_measured() {
    let printed = run(["receptive-field", "vgg16"]);
    let row = printed.lines().find(|line| line.starts_with("block5_conv3")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[2..], ["14x14x512", "196", "16", "90", "7.5"]);
    let answer = json(&run(["receptive-field", "inception-v3", "--json", "--layers", "mixed0"]));
    assert_eq!(answer["layers"].as_array().unwrap().len(), 1);
    assert_eq!(answer["layers"][0]["stride"], serde_json::json!([8, 8]));

    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (shared().run(), folder.path().join("out"));
    let base = ["receptive-field", text(&model), "--effective", "--samples", "4", "--out", text(&out), "--json"];
    let answer = json(&run(base.into_iter().chain(["--data", "mnist"])));
    let layers = answer["layers"].as_array().unwrap();
    let measured: Vec<&Value> = layers.iter().filter(|layer| layer["effective"].is_object()).collect();
    assert_eq!(measured.len(), 3, "{answer}");
    for layer in measured {
        let side = layer["effective"]["side"].as_f64().unwrap();
        assert!(side > 1.0 && side <= layer["size"][0].as_f64().unwrap(), "{layer}");
    }
    assert!(image(&out, "effective.png").width() > 2 * 224);
}

#[test]
fn kernels_and_filters() {
    let (folder, digit) = digit();
    let (model, out) = (shared().run(), folder.path().join("kernels"));
    run(["kernels", text(&model), "--out", text(&out)]);
    assert_eq!(names(&out), ["kernels_conv2d.png", "kernels_conv2d_1.png", "kernels_conv2d_2.png"]);
    let out = folder.path().join("few");
    run(["kernels", text(&model), "--layer", "conv2d_1", "--filters", "2", "--shared", "--out", text(&out)]);
    assert_eq!(names(&out), ["kernels_conv2d_1.png"]);

    let kernel = folder.path().join("emboss.txt");
    fs::write(&kernel, "-2 -1 0\n-1 1 1\n0 1 2\n").unwrap();
    let list = format!("sobel-x,canny,gaussian,{}", text(&kernel));
    let out = folder.path().join("filtered");
    let learned = ["--model", text(&model), "--layer", "conv2d", "--filter", "3"];
    run(["filter", &digit, "--kernel", &list, "--out", text(&out)].into_iter().chain(learned));
    assert_eq!(names(&out), ["canny.png", "conv2d_3.png", "emboss.png", "filters.png", "gaussian.png", "sobel-x.png"]);
    assert_eq!((image(&out, "sobel-x.png").width(), image(&out, "conv2d_3.png").height()), (28, 28));
    // A single pixel: no edges, no panic.
    let dot = folder.path().join("dot.png");
    Image::filled(1, 1, &[9, 99, 199]).save_png(&dot).unwrap();
    let out = folder.path().join("dot");
    run(["filter", text(&dot), "--kernel", "sobel-x,sobel-y,laplacian,gaussian,sharpen,canny", "--out", text(&out)]);
    assert_eq!(image(&out, "canny.png").pixel(0, 0), [0]);
    assert_eq!(image(&out, "sharpen.png").pixel(0, 0), [9, 99, 199]);
    run(["deconv", text(&model), text(&dot), "--layer", "conv2d", "--filter", "0", "--out", text(&out)]);
}

/// The header of a PNG file of 20,000 x 20,000 pixels, without any image data.
fn huge() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend([20_000_u32, 20_000].iter().flat_map(|side| side.to_be_bytes()));
    header.extend([8, 2, 0, 0, 0]);
    let crc = header.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    bytes.extend(13_u32.to_be_bytes());
    bytes.extend(header);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(b"IDAT");
    bytes
}

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let (folder, digit) = digit();
    let model = shared().run();
    let model = text(&model);
    let out = folder.path().join("out");
    let out = text(&out);
    let large = folder.path().join("large.png");
    fs::write(&large, huge()).unwrap();
    let large = text(&large);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let broken = folder.path().join("broken.txt");
    fs::write(&broken, "1 2\n3\n").unwrap();
    // Images never have four channels.
    let bare = folder.path().join("bare.safetensors");
    let four = Network::sequential("four", [8, 8, 4], [Conv2D::new(2, [3, 3]).into()], 1).unwrap();
    safetensors::save_model(&Model::new(four), &bare).unwrap();
    for (arguments, expected) in [
        (&["deconv", model, &digit, "--layer", "conv2"][..], "did you mean \"conv2d\"?"),
        (&["deconv", model, &digit, "--layer", "conv2d", "--filter", "24"], "no filter 24: its filters are 0 to 23"),
        (&["deconv", model, &digit, "--layer", "conv2d", "--filter", "1", "--position", "28,0"], "no position (28, 0)"),
        (&["deconv", model, &digit, "--layer", "input_layer"], "is the input"),
        (&["deconv", model, large, "--layer", "conv2d"], "large.png"),
        (&["deconv", model, "none.png", "--layer", "conv2d"], "none.png"),
        (&["deconv", model, "--data", "mnist", "--index", "99999", "--layer", "conv2d"], "no digit 99999"),
        (&["deconv", model, "--data", "no/folder", "--layer", "conv2d"], "no/folder: no such folder"),
        (&["deconv", model, "--data", text(&empty), "--layer", "conv2d"], "contains no image"),
        (&["deconv", model, "--data", "mnist", "--layer", "dense", "--filters", "all", "--top", "99"], "4096 at most"),
        (
            &["deconv", text(&bare), &digit, "--layer", "conv2d"],
            "takes inputs of 4 channels; images have 1 (gray) or 3",
        ),
        (&["activations", model, &digit, "--layers", "conv2d,max_pool"], "did you mean \"max_pooling2d\"?"),
        (&["activations", model, large], "large.png"),
        (&["kernels", model, "--layer", "dense"], "has no kernels; these have: conv2d"),
        (&["kernels", model, "--layer", "konv2d"], "did you mean \"conv2d\"?"),
        (&["receptive-field", model, "--layers", "conv"], "did you mean"),
        (&["receptive-field", "vgg17"], "did you mean \"vgg1"),
        (&["filter", &digit, "--kernel", "sobel"], "unknown kernel, and no such file; expected one of sobel-x"),
        (&["filter", &digit, "--kernel", "sobel-x,sobel-x"], "two of them are called \"sobel-x\""),
        (&["filter", &digit, "--kernel", text(&broken)], "line 2 has 1 numbers"),
        (&["filter", &digit, "--kernel", "gaussian", "--sigma", "0"], "must be 0.1 to 40"),
        (&["filter", &digit, "--kernel", "canny", "--low", "0.5", "--high", "0.1"], "thresholds of 0.5 and 0.1"),
        (&["filter", large, "--kernel", "sobel-x"], "large.png"),
    ] {
        let place: &[&str] = if arguments.contains(&"--out") { &[] } else { &["--out", out] };
        let message = fail(1, arguments.iter().chain(place).copied());
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert!(!Path::new(out).join("deconv.png").exists());
}
