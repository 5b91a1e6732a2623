//! Known networks and weights files: `zoo`, `weights`, and models given by name.

mod common;
#[path = "../../lucida/tests/common/server.rs"]
mod server;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{fail, lucida, names, run, shared, stderr, stdout, text};
use serde_json::Value;
use server::{Server, head};
use tempfile::TempDir;

const NOTOP: &str = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5";
const NOTOP_SIZE: usize = 58_889_256;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

/// A file written by Keras.
fn keras(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../lucida/tests/keras/files")).join(name)
}

/// A cache with some files.
struct Cache(TempDir);

impl Cache {
    fn new(files: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("weights")).unwrap();
        for (name, len) in files {
            fs::write(folder.path().join("weights").join(name), vec![0; *len]).unwrap();
        }
        Self(folder)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("weights")
    }

    fn lucida(&self, arguments: &[&str], hub: &str) -> Command {
        let mut command = lucida(arguments.iter().copied());
        command.env("LUCIDA_CACHE", self.0.path());
        if !hub.is_empty() {
            command.env("LUCIDA_HUB", hub);
        }
        command
    }

    /// The last line on standard error of a command that must fail.
    fn fail(&self, arguments: &[&str], hub: &str) -> String {
        let output = self.lucida(arguments, hub).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let message = stderr(&output).lines().last().unwrap().to_owned();
        assert!(message.starts_with("error: "), "{message}");
        message
    }
}

#[test]
fn the_zoo() {
    let cache = Cache::new(&[(NOTOP, 5)]);
    let print = |arguments: &[&str]| {
        let output = cache.lucida(arguments, "").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = stdout(&output);
        assert!(printed.lines().all(|line| line.chars().count() <= 100), "{printed}");
        printed
    };
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = print(&["zoo"]);
    assert!(printed.lines().count() < 50, "{printed}");
    let line = |start: &str| words(printed.lines().find(|line| line.starts_with(start)).unwrap());
    assert_eq!(line("vgg "), "vgg vgg16, vgg19 Keras 1 138.4-143.7 M 224");
    assert_eq!(line("resnet "), "resnet resnet{18, 34, 50, 101, 152} torchvision 11.7-60.3 M 224");
    assert!(line("small ").contains("mnist-cnn, lenet5, basic-cnn none"), "{printed}");
    assert!(printed.contains("vgg16-builtin ") && printed.contains(" built in "), "{printed}");

    let printed = print(&["models", "VGG"]);
    let line = |start: &str| words(printed.lines().find(|line| line.starts_with(start)).unwrap());
    assert_eq!(line("vgg16 "), "vgg16 224x224x3 138,357,544 14,714,688 here without top");
    assert!(line("vgg16-builtin").ends_with("built in") && line("vgg11 ").ends_with("not downloaded"), "{printed}");
    assert!(print(&["models", "small"]).contains("none published"));

    let printed = print(&["models", "resnet50"]);
    for expected in [
        "resnet50: ResNet50 (He et al., 2015; torchvision)",
        "224x224x3, --preprocessing torch,crop",
        "25,610,152; without the classifier 23,561,152",
        "about 102.5 MB from torchvision: `lucida weights fetch resnet50`",
        "SHA-256 0676ba61",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    for (name, expected) in
        [("ResNet50", "resnet50-keras: "), ("mobilenet_v2", "mobilenet-v2-torch: "), ("MobileNetV2", "mobilenet-v2: ")]
    {
        let printed = stdout(&cache.lucida(&["models", name], "").output().unwrap());
        assert!(printed.starts_with(expected), "{name}: {printed}");
    }
    assert!(print(&["models", "mobilenet-v2"]).contains("no checksum is published"));
    let message = cache.fail(&["models", "resnet5"], "");
    assert!(
        message.contains("unknown network or family \"resnet5\", did you mean \"resnet50\"?")
            || message.contains("did you mean \"resnet\""),
        "{message}"
    );

    let answer = json(&stdout(&cache.lucida(&["zoo", "--json"], "").output().unwrap()));
    let of = |name: &str| {
        let networks = answer["networks"].as_array().unwrap();
        networks.iter().find(|network| network["name"] == name).unwrap().clone()
    };
    assert_eq!(of("vgg19")["parameters_without_top"], 20_024_384);
    assert_eq!(of("vgg16")["weights"]["published"]["without_top"], text(&cache.folder().join(NOTOP)));
    assert_eq!(
        (of("lenet5")["weights"].as_str(), of("vgg16-builtin")["weights"].as_str()),
        (Some("none"), Some("built_in"))
    );
}

#[test]
fn the_doctor_finds_what_would_fail() {
    let cache = Cache::new(&[(NOTOP, NOTOP_SIZE)]);
    let well = cache.lucida(&["doctor"], "").output().unwrap();
    assert!(well.status.success(), "{}", stdout(&well));
    let printed = stdout(&well);
    for expected in ["\nInstruction set  ", "vgg16 without its classifier\n", "\nNo problems found."] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let answer = json(&stdout(&cache.lucida(&["doctor", "--json", "--threads", "1"], "").output().unwrap()));
    assert_eq!((&answer["threads"], answer["problems"].as_array().unwrap().len()), (&1.into(), 0));
    // Text and JSON list the same weights.
    let weights = [("efficientnet-lite0", true), ("vgg16-builtin", false), ("vgg16", false)];
    let weights = weights.map(|(name, with_top)| serde_json::json!({"network": name, "with_top": with_top}));
    assert_eq!(answer["weights"], serde_json::Value::from(weights.to_vec()));
    assert!(printed.contains("vgg16-builtin (built in), vgg16 without its classifier\n"), "{printed}");

    // A foreign file in the cache, and a cache path that is a file.
    let cache = Cache::new(&[(NOTOP, 5)]);
    let ill = cache.lucida(&["doctor"], "").output().unwrap();
    assert_eq!((ill.status.code(), stderr(&ill)), (Some(1), String::new()));
    assert!(
        stdout(&ill).contains("Problem: ") && stdout(&ill).contains("`lucida weights fetch vgg16`"),
        "{}",
        stdout(&ill)
    );
    let nowhere = cache.folder().join(NOTOP);
    let ill = lucida(["doctor", "--json"]).env("LUCIDA_CACHE", &nowhere).output().unwrap();
    assert_eq!(ill.status.code(), Some(1));
    assert!(json(&stdout(&ill))["problems"][0].as_str().unwrap().contains("cannot be written to"), "{}", stdout(&ill));
}

#[test]
fn the_list_of_weights() {
    let inception = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5";
    let cache = Cache::new(&[
        (NOTOP, NOTOP_SIZE),
        (&format!("{inception}.part"), 2_500_000),
        ("vgg19_weights_tf_dim_ordering_tf_kernels.h5", 22),
    ]);
    let printed = stdout(&cache.lucida(&["weights", "list"], "").output().unwrap());
    assert!(printed.starts_with(&format!("Weights in {}\n", cache.folder().display())), "{printed}");
    assert!(!printed.contains("not downloaded"), "{printed}");
    for expected in [
        &format!("vgg16         without            58.9 MB  {}", cache.folder().join(NOTOP).display())[..],
        "inception-v3  with               96.1 MB  2.5 MB of it are there",
        "`lucida weights fetch` knows the weights of ",
        "tf_kernels.h5, but of 22 bytes: not the published file",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let all = stdout(&cache.lucida(&["weights", "list", "--all"], "").output().unwrap());
    for (network, rest) in
        [("vgg16 ", "with 553.5 MB not downloaded"), ("resnet50 ", "with about 102.5 MB not downloaded")]
    {
        let line = all.lines().rev().find(|line| line.starts_with(network)).unwrap();
        assert!(line.split_whitespace().collect::<Vec<_>>().join(" ").ends_with(rest), "{line}");
    }
    let answer = json(&stdout(&cache.lucida(&["weights", "list", "--json"], "").output().unwrap()));
    assert!(answer["files"].as_array().unwrap().len() > 130);
    assert_eq!((&answer["files"][0]["state"], &answer["files"][0]["bytes"]), (&"present".into(), &NOTOP_SIZE.into()));
    assert_eq!(answer["files"][5]["state"], "partial");
    assert!(answer["files"][1]["url"].as_str().unwrap().starts_with("https://"));
    let output = cache.lucida(&["weights", "list"], "gopher://x").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: LUCIDA_HUB: \"gopher://x\" is not an address"), "{}", stderr(&output));
}

#[test]
fn the_cache_is_cleaned() {
    let vgg19 = "vgg19_weights_tf_dim_ordering_tf_kernels.h5";
    let part = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5.part";
    let cache = Cache::new(&[(NOTOP, NOTOP_SIZE), (part, 2_500_000), (vgg19, 22), ("notes.txt", 3)]);
    let run = |arguments: &[&str]| {
        let output = cache.lucida(arguments, "").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    let here = cache.folder().display().to_string();
    let (printed, notes) = run(&["weights", "clean", "--dry-run"]);
    assert!(printed.ends_with(&format!("Would free 61.4 MB in {here}\n")), "{printed}");
    assert!(printed.contains(&format!("would remove {here}/{NOTOP} (58.9 MB)")), "{printed}");
    assert!(notes.contains(&format!("{vgg19} is not the published file, and stays")), "{notes}");
    assert_eq!(names(&cache.folder()), [part, "notes.txt", NOTOP, vgg19]);
    assert!(run(&["weights", "remove", "vgg19"]).0.starts_with("Nothing to remove: no fetched weights of vgg19"));
    assert_eq!(run(&["weights", "remove", "vgg16", "--quiet"]).0, format!("Freed 58.9 MB in {here}\n"));
    assert!(cache.folder().join(part).exists() && !cache.folder().join(NOTOP).exists());
    assert!(run(&["weights", "clean"]).0.ends_with(&format!("Freed 2.5 MB in {here}\n")));
    let left: Vec<String> = names(&cache.folder()).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(left, ["notes.txt", vgg19]);
}

#[test]
fn a_server_that_is_not_there() {
    let cache = Cache::new(&[]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hub = format!("http://127.0.0.1:{port}");
    let output = cache.lucida(&["weights", "fetch", "vgg16"], &hub).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).starts_with("Fetching vgg16 without its classifier (58.9 MB) from http"),
        "{}",
        stdout(&output)
    );
    let messages = stderr(&output);
    let lines: Vec<&str> = messages.lines().collect();
    assert!(
        lines[0].starts_with("note: the connection failed: ") && lines[0].ends_with("; trying again"),
        "{messages}"
    );
    let expected =
        format!("or download {hub}/vgg16/{NOTOP} yourself and save it as {}", cache.folder().join(NOTOP).display());
    assert!(lines.last().unwrap().ends_with(&expected), "{messages}");
}

#[test]
fn a_server_without_the_file_or_with_another() {
    let cache = Cache::new(&[]);
    let server = Server::start(|_, _, out| head(out, "404 Not Found", &[("Content-Length", "0".into())]));
    let message = cache.fail(&["weights", "fetch", "vgg19", "--with-top"], &server.url());
    assert!(message.contains("the server has no such file (status 404)"), "{message}");
    assert_eq!(server.requests()[0].path, "/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5");

    let server = Server::start(|_, _, out| head(out, "200 OK", &[("Content-Length", "1000".into())]));
    let message = cache.fail(&["weights", "fetch", "inception-v3"], &server.url());
    assert!(message.contains("another size (1000 bytes or more, not 87910968)"), "{message}");
}

/// The file has the right size but the wrong content.
#[test]
fn a_wrong_checksum_leaves_what_was_there() {
    let cache = Cache::new(&[(NOTOP, 3)]);
    let server = Server::start(|_, _, out| {
        head(out, "200 OK", &[("Content-Length", NOTOP_SIZE.to_string())])?;
        out.write_all(&vec![0; NOTOP_SIZE])
    });
    let output = cache.lucida(&["weights", "fetch", "vgg16"], &server.url()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (printed, messages) = (stdout(&output), stderr(&output));
    assert_eq!(printed.lines().count(), 10, "{printed}");
    assert!(printed.ends_with("58.9 MB of 58.9 MB (100 %)\n"), "{printed}");
    assert!(
        messages.contains("has 3 bytes and is not the published file, which has 58889256: it will be replaced"),
        "{messages}"
    );
    assert!(messages.contains("the checksum of what arrived is wrong (MD5 "), "{messages}");
    assert!(messages.contains("not 6d6bbae143d832006294945121d1f1fc); it was removed"), "{messages}");
    assert_eq!(names(&cache.folder()), [NOTOP, &format!("{NOTOP}.lock")]);
    assert_eq!(fs::metadata(cache.folder().join(NOTOP)).unwrap().len(), 3);
    let quiet = cache.lucida(&["weights", "fetch", "vgg16", "--quiet"], &server.url()).output().unwrap();
    assert_eq!((stdout(&quiet).as_str(), stderr(&quiet).lines().count()), ("", 1), "{}", stderr(&quiet));
}

/// Keras publishes no checksum for MobileNet, which is noted before and after the download. A local mirror may do without
/// https.
#[test]
fn weights_without_a_checksum_are_said_to_be_unverified() {
    let cache = Cache::new(&[]);
    let server = Server::start(|_, _, out| {
        head(out, "200 OK", &[("Content-Length", "17225924".into())])?;
        out.write_all(&vec![0; 17_225_924])
    });
    let arguments = ["weights", "fetch", "mobilenet", "--with-top"];
    let output = cache.lucida(&arguments, &server.url()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let note = "note: Keras publishes no checksum of this file: only its size will be checked";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("17.2 MB, unverified: no checksum is published\n"), "{}", stdout(&output));
    assert_eq!(server.requests()[0].path, "/mobilenet/mobilenet_1_0_224_tf.h5");
    let answer = json(&stdout(&cache.lucida(&[&arguments[..], &["--json"]].concat(), "").output().unwrap()));
    assert_eq!((&answer["verified"], &answer["downloaded"]), (&false.into(), &false.into()));
    let message = cache.fail(&arguments[..3], "http://mirror.invalid");
    assert!(message.contains("no checksum of this file is published: it is fetched over https only"), "{message}");
}

/// The second waits for the first, and finds its file.
#[test]
fn two_processes_fetch_a_file_once() {
    let cache = Cache::new(&[]);
    let server = Server::start(|_, _, out| {
        head(out, "200 OK", &[("Content-Length", "17225924".into())])?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        out.write_all(&vec![0; 17_225_924])
    });
    let fetch = || {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("lucida"));
        command.args(["weights", "fetch", "mobilenet", "--with-top", "--quiet"]).env("LUCIDA_CONFIG", "");
        command.env("LUCIDA_CACHE", cache.0.path()).env("LUCIDA_HUB", server.url()).spawn().unwrap()
    };
    for mut process in [fetch(), fetch()] {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(server.requests().len(), 1);
    let file = "mobilenet_1_0_224_tf.h5";
    assert_eq!(names(&cache.folder()), [file, &format!("{file}.lock")]);
    assert_eq!(fs::metadata(cache.folder().join(file)).unwrap().len(), 17_225_924);
}

/// Ctrl-C during a download keeps the part that has arrived.
#[cfg(unix)]
#[test]
fn an_interrupted_download_is_kept() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::Duration;

    let cache = Cache::new(&[]);
    let server = Server::start(|_, _, out| {
        head(out, "200 OK", &[("Content-Length", NOTOP_SIZE.to_string())])?;
        loop {
            out.write_all(&[0; 200_000])?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(["weights", "fetch", "vgg16"])
        .env("LUCIDA_CACHE", cache.0.path())
        .env("LUCIDA_HUB", server.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.ends_with("(10 %)")));
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(rest.last().unwrap(), "What has arrived is kept: the same command resumes from there");
    let listed = stdout(&cache.lucida(&["weights", "list"], "").output().unwrap());
    assert!(listed.contains(" MB of it are there"), "{listed}");
}

#[test]
fn inspection_of_every_format() {
    let run_model = shared().run().join("model.safetensors");
    let printed = run(["weights", "inspect", text(&run_model)]);
    let first = format!("{}: Lucida model, 10 tensors, 113,514 parameters", run_model.display());
    assert_eq!(printed.lines().next(), Some(&first[..]));
    assert!(printed.contains("  conv2d/kernel    F32  (3, 3, 1, 24)\n"), "{printed}");
    assert!(printed.contains("\nModel: \"mnist_cnn\"\n"), "{printed}");
    for (name, format) in [
        ("model.keras", "Keras model (zip)"),
        ("model.h5", "Keras model (HDF5)"),
        ("model_npz.keras", "Keras model (zip)"),
        ("model.weights.h5", "Keras 3 weights (HDF5)"),
    ] {
        let printed = run(["weights", "inspect", text(&keras(name))]);
        assert!(printed.lines().next().unwrap().contains(format), "{printed}");
        let weights_only = name.contains(".weights.");
        assert_eq!(printed.ends_with("\nThe file describes no network\n"), weights_only, "{printed}");
        assert_eq!(printed.contains("Total params: "), !weights_only, "{printed}");
        let answer = json(&run(["weights", "inspect", text(&keras(name)), "--json"]));
        assert_eq!((answer["format"].as_str(), answer["architecture"].is_null()), (Some(format), weights_only));
        let tensors = answer["tensors"].as_array().unwrap();
        let sizes = tensors.iter().map(|tensor| {
            tensor["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).product::<u64>()
        });
        assert_eq!(Some(sizes.sum()), answer["parameters"].as_u64());
    }
    assert!(fail(1, ["weights", "inspect", "none.h5"]).contains("none.h5: cannot read"));
    // A run folder stands for its model; other folders are refused.
    let of_run = run(["weights", "inspect", text(&shared().run())]);
    assert_eq!(of_run, run(["weights", "inspect", text(&shared().run().join("model.safetensors"))]));
    assert!(fail(1, ["weights", "inspect", text(&shared().data())]).contains("is a folder, not a model file"));
    assert!(fail(1, ["weights", "inspect", text(&shared().run().join("history.csv"))]).contains("unknown model file"));
}

/// Converts through every format and back: the predictions are identical.
#[test]
fn conversion_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let predict = |model: &Path| {
        let answer = json(&run(["predict", text(model), "--data", "mnist", "--index", "0..5", "--json"]));
        (answer["predictions"].clone(), answer["class_names"].clone())
    };
    let expected = predict(&shared().run());
    let mut from = shared().run();
    for name in ["a.keras", "a.h5", "b.safetensors"] {
        let printed = run(["weights", "convert", text(&from), text(&path(name))]);
        assert!(printed.starts_with(&format!("Written to {}: ", path(name).display())), "{printed}");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[0].ends_with(", 113,514 parameters"), "{printed}");
        // Inputs and outputs, for use in another program.
        assert!(lines[1].contains("(28, 28, 1), batch first, channels last: 28x28 gray"), "{printed}");
        assert!(lines[1].ends_with("; --preprocessing unit,digit") && lines[2].starts_with("Output "), "{printed}");
        assert!(lines[3].ends_with(": 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), "{printed}");
        assert_eq!(predict(&path(name)), expected, "{name}");
        from = path(name);
    }
    assert!(fs::read(shared().run().join("model.safetensors")).unwrap() == fs::read(path("b.safetensors")).unwrap());

    // A file with only weights needs --network.
    let bare = path("a.weights.h5");
    run(["weights", "convert", text(&from), text(&bare), "--quiet"]);
    let message = fail(1, ["weights", "convert", text(&bare), text(&path("c.keras"))]);
    assert!(message.contains("contains weights but no network; say whose they are with --network NAME"), "{message}");
    assert!(!path("c.keras").exists());
    run(["weights", "convert", text(&bare), text(&path("c.keras")), "--network", "mnist-cnn"]);
    assert_eq!(predict(&path("c.keras")).0[0]["probabilities"], expected.0[0]["probabilities"]);
    let by_name = run(["predict", "mnist-cnn", "--weights", text(&bare), "--data", "mnist", "--index", "0", "--json"]);
    assert_eq!(json(&by_name)["predictions"][0]["probabilities"], expected.0[0]["probabilities"]);
    let message = fail(1, ["weights", "convert", text(&bare), text(&path("d.keras")), "--network", "lenet5"]);
    assert!(message.contains("does not fit network lenet5"), "{message}");
    assert!(!path("d.keras").exists());

    run(["weights", "convert", "vgg16-builtin", text(&path("start.keras"))]);
    assert!(run(["summary", text(&path("start.keras")), "--size", "64x32"]).contains("(None, 64, 32, 64)"));
}

#[test]
fn conversions_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = shared().run();
    let convert = |to: &Path| fail(1, ["weights", "convert", text(&model), text(to)]);
    let message = convert(&path("a.txt"));
    assert!(message.contains("a.txt: unsupported file extension; expected one of"), "{message}");
    assert!(message.contains(".safetensors (") && message.contains(".weights.h5 ("), "{message}");

    let there = path("there.keras");
    fs::write(&there, "mine").unwrap();
    assert!(convert(&there).contains("there.keras already exists; use --force to overwrite it"));
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    run(["weights", "convert", text(&model), text(&there), "--force"]);
    assert!(fs::metadata(&there).unwrap().len() > 400_000);
    assert!(convert(&path("no/such/a.keras")).contains("no/such: no such folder"));
    fs::create_dir(path("folder.keras")).unwrap();
    assert!(convert(&path("folder.keras")).contains("folder.keras: is a folder, not a file"));
    let inside = there.join("a.keras");
    assert!(convert(&inside).contains("is a file; a folder is needed"));

    let message = fail(1, ["weights", "convert", "none.keras", text(&path("b.keras"))]);
    assert!(message.contains("none.keras: no such model file"), "{message}");
    // Weights that have not been downloaded.
    let message = fail(1, ["weights", "convert", "inception-v3", text(&path("b.h5"))]);
    assert!(message.contains("lucida weights fetch inception-v3"), "{message}");
    assert_eq!(names(folder.path()), ["folder.keras", "there.keras"]);
}

#[test]
fn models_by_name() {
    let cache = Cache::new(&[]);
    for (arguments, expected) in [
        (
            &["predict", "vgg16", "a.png"][..],
            "download them with `lucida weights fetch vgg16 --with-top` (553.5 MB), or give a file with --weights FILE",
        ),
        (&["weights", "convert", "vgg19", "a.keras"], "download them with `lucida weights fetch vgg19` (80.1 MB)"),
        (&["predict", "lenet5", "a.png"], "lenet5: this is the name of a network without weights"),
        (&["predict", "vgg16", "a.png", "--weights", "none.h5"], "none.h5: cannot read"),
        (&["predict", "x.keras", "a.png", "--weights", "none.h5"], "x.keras: no such model file"),
        (&["summary", "vgg16", "--size", "16"], "vgg16 takes images of 32x32 pixels or more, not 16x16"),
    ] {
        let message = cache.fail(arguments, "");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    let model = shared().run();
    let message = fail(1, ["predict", text(&model), "a.png", "--weights", "b.h5"]);
    assert!(message.contains("a file of weights goes with the name of a network"), "{message}");
    let message = fail(1, ["summary", text(&model), "--size", "56"]);
    assert!(message.contains("cannot take 56x56 pixels: dense/kernel"), "{message}");
    assert!(run(["summary", "vgg16-builtin", "--size", "40x64"]).contains("(None, 5, 8, 256)"));
    assert!(run(["summary", "inception-v3", "--size", "150"]).contains("(None, 150, 150, 3)"));
    assert!(run(["summary", "mnist-cnn", "--weights", text(&model.join("model.safetensors"))]).contains("113,514"));
}
