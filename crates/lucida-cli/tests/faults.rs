//! Kills and failing calls: whatever happens to a command at whatever moment, each file is the old one or a complete new one, and
//! repeating the command gives what an undisturbed one writes.
//!
//! `LUCIDA_FAULTS=200` tries that many moments for each command instead of a few.

#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::{shared, stderr, text};
use lucida::core::{Purpose, Rng};
use lucida::data::Image;
use lucida::style::FeedForwardStyle;
use lucida::weights::{inspect, load_model};
use serde_json::Value;
use tempfile::TempDir;

/// Moments tried for each command.
fn moments() -> u64 {
    std::env::var("LUCIDA_FAULTS").ok().and_then(|number| number.parse().ok()).unwrap_or(3)
}

/// The library that lets calls fail; none where rustc is missing.
fn failing_calls() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failing-calls-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/failing_calls.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "-O", "-D", "warnings", "--crate-type", "cdylib", "-o"]);
        match command.arg(&path).arg(source).output() {
            Ok(output) if output.status.success() => Some(path),
            Ok(output) => panic!("{}", stderr(&output)),
            Err(problem) => {
                println!("skipped: failing calls: rustc cannot be run: {problem}");
                None
            }
        }
    };
    LIBRARY.get_or_init(compile).as_deref()
}

/// What happens to a command.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Killed after this time.
    KilledAfter(Duration),
    /// At the n-th call that changes a file: killed, or an error number, for this call alone or for all that follow.
    Call { number: u64, action: &'static str },
}

const NO_SPACE: &str = "28+";
const READ_ONLY: &str = "30+";
const BROKEN_DEVICE: &str = "5";

/// The contents of files, as far as two runs with the same seed agree on them.
type Files = BTreeMap<String, Vec<u8>>;

/// A command that replaces earlier results.
struct Case {
    folder: TempDir,
    arguments: Vec<String>,
    /// Whether `--resume` continues it.
    resumes: bool,
    /// Its files before and after.
    old: Files,
    new: Files,
    /// How long it takes, and how many calls it makes that change files.
    time: Duration,
    calls: u64,
}

impl Case {
    /// Prepares a command whose outputs are below `out` in the folder: `$` in its arguments stands for the folder. With the
    /// second word instead of the first, it gives the earlier results.
    fn new(folder: TempDir, command: &str, [word, earlier]: [&str; 2], resumes: bool) -> Self {
        let words = |command: &str| -> Vec<String> {
            command.split_whitespace().map(|word| word.replace('$', text(folder.path()))).collect()
        };
        fs::create_dir(folder.path().join("out")).unwrap();
        let command = format!("{command} --force --threads 1 --quiet");
        let (arguments, earlier) = (words(&command), words(&command.replace(word, earlier)));
        let mut case =
            Self { folder, arguments, resumes, old: Files::new(), new: Files::new(), time: Duration::ZERO, calls: 0 };
        case.succeeds(&earlier);
        case.old = case.files();
        copy(&case.out(), &case.folder.path().join("old"));
        let begun = Instant::now();
        case.succeeds(&case.arguments);
        case.time = begun.elapsed();
        case.new = case.files();
        assert!(case.old != case.new, "the earlier results are the same");
        if let Some(library) = failing_calls() {
            case.put_back();
            let mark = case.mark();
            assert!(case.faulty(Fault::Call { number: 0, action: "0" }, library).status.success());
            case.calls = fs::read(mark).unwrap().len() as u64;
        }
        case
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// The file that exists once a call has failed.
    fn mark(&self) -> PathBuf {
        self.folder.path().join("mark")
    }

    fn put_back(&self) {
        fs::remove_dir_all(self.out()).unwrap();
        copy(&self.folder.path().join("old"), &self.out());
        let _ = fs::remove_file(self.mark());
    }

    fn succeeds(&self, arguments: &[String]) {
        let output = program(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        collect(&self.out(), "", &mut files);
        files
    }

    fn faulty(&self, fault: Fault, library: &Path) -> Output {
        let mut command = program(&self.arguments);
        match fault {
            Fault::KilledAfter(time) => {
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                std::thread::sleep(time);
                child.kill().unwrap();
                child.wait_with_output().unwrap()
            }
            Fault::Call { number, action } => command
                .env("LD_PRELOAD", library)
                .env("LUCIDA_FAULT", format!("any:{number}:{action}:{}", text(&self.out())))
                .env("LUCIDA_FAULT_MARK", self.mark())
                .output()
                .unwrap(),
        }
    }

    /// Lets one fault happen, and checks what is left.
    fn suffers(&self, fault: Fault, library: &Path) {
        self.put_back();
        let output = self.faulty(fault, library);
        let told = format!("{fault:?}: {}", stderr(&output));
        let code = output.status.code();
        // A kill may come too late, and a failure may not matter: the removal of what is not needed any more.
        let harmless = code == Some(0) && (self.files() == self.new || told.contains("note: "));
        let killed = output.status.signal() == Some(9)
            && !matches!(fault, Fault::Call { action: NO_SPACE | READ_ONLY | BROKEN_DEVICE, .. });
        let refused =
            code == Some(1) && told.contains("error: ") && told.contains(": cannot ") && told.contains("os error");
        assert!(harmless || killed || refused, "{:?}, {told}", output.status);
        // As a command that reads the results does.
        folders(&self.out()).iter().for_each(lucida::files::heal);
        self.are_whole(&told);
        let repeated = self.repeated();
        self.succeeds(&repeated);
        let (found, expected) = (self.files(), &self.new);
        let differ: Vec<&String> =
            found.keys().chain(expected.keys()).filter(|name| found.get(*name) != expected.get(*name)).collect();
        assert!(differ.is_empty(), "after {repeated:?}, other files than of an undisturbed run: {differ:?}; {told}");
        let hidden = hidden(&self.out());
        assert!(hidden.is_empty(), "left: {hidden:?}; {told}");
    }

    /// Each file is an old one or a complete new one. In a folder all are old, or none is.
    fn are_whole(&self, told: &str) {
        let found = self.files();
        let is = |files: &Files, name: &str| files.get(name) == found.get(name);
        for name in found.keys() {
            let whole = is(&self.old, name) || is(&self.new, name) || is_whole(&self.out().join(name));
            assert!(whole, "{name} is neither the old one nor a complete new one; {told}");
        }
        for folder in folders(&self.out()).iter().skip(1) {
            let prefix = format!("{}/", folder.strip_prefix(self.out()).unwrap().display());
            let within = || found.keys().filter(|name| name.starts_with(&prefix));
            if within().any(|name| !is(&self.old, name)) {
                let stale: Vec<&String> = within().filter(|name| is(&self.old, name) && !is(&self.new, name)).collect();
                assert!(stale.is_empty(), "{stale:?} are of the old run, others of {prefix} are not; {told}");
            } else {
                let missing: Vec<&String> =
                    self.old.keys().filter(|name| name.starts_with(&prefix) && !found.contains_key(*name)).collect();
                assert!(missing.is_empty(), "{missing:?} are gone, others of {prefix} are old; {told}");
            }
        }
    }

    /// The command line that completes the work.
    fn repeated(&self) -> Vec<String> {
        let mut arguments = self.arguments.clone();
        let begun = folders(&self.out()).iter().any(|folder| folder.join("checkpoint.safetensors").exists());
        if self.resumes && begun {
            arguments.retain(|word| word != "--force");
            arguments.push("--resume".to_owned());
        }
        arguments
    }

    /// Tries the moments.
    fn survives(&self, seed: u64) {
        let Some(library) = failing_calls() else { return };
        faults(seed, self.time, self.calls).for_each(|fault| self.suffers(fault, library));
    }
}

/// The moments for a command that takes this time and makes this many calls.
fn faults(seed: u64, time: Duration, calls: u64) -> impl Iterator<Item = Fault> {
    let mut rng = Rng::keyed(seed, Purpose::Choice, 0);
    let kinds = ["time", "kill", NO_SPACE, BROKEN_DEVICE, READ_ONLY];
    (0..moments()).map(move |moment| {
        let number = 1 + rng.below(calls as usize) as u64;
        // So that the few moments of all commands are of all kinds.
        match kinds[((seed + moment) % kinds.len() as u64) as usize] {
            "time" => Fault::KilledAfter(time.mul_f64(number as f64 / calls as f64)),
            action => Fault::Call { number, action },
        }
    })
}

/// The program, away from the user's settings.
fn program(arguments: &[String]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("lucida"));
    command
        .args(arguments)
        .env("LUCIDA_CONFIG", "")
        .env("LUCIDA_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache"));
    command
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A folder and all within it.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let within = entries(folder).into_iter().filter(|path| path.is_dir());
    std::iter::once(folder.to_owned()).chain(within.flat_map(|path| folders(&path))).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in entries(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, target).map(drop).unwrap() }
    }
}

/// Paths below a folder whose names are hidden: temporary files, and earlier results that were set aside.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let is_hidden = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
    folders(folder).iter().flat_map(|folder| entries(folder)).filter(is_hidden).collect()
}

/// Collects the files below a folder, without hidden ones and without what differs between two runs with the same seed.
fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    for path in entries(folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let key = format!("{prefix}{name}");
        match name {
            _ if name.starts_with('.') => {}
            _ if path.is_dir() => collect(&path, &format!("{key}/"), files),
            "history.csv" => {
                let table = fs::read_to_string(&path).unwrap();
                let at = table.lines().next().unwrap_or_default().split(',').position(|column| column == "seconds");
                let without = |line: &str| {
                    let fields = line.split(',').enumerate().filter(|&(index, _)| Some(index) != at);
                    fields.map(|(_, field)| field).collect::<Vec<_>>().join(",") + "\n"
                };
                files.insert(key, table.lines().map(without).collect::<String>().into_bytes());
            }
            // They have the command line and times.
            "run.json" | "report.html" | "summary.json" => {
                assert!(is_whole(&path), "{}", path.display());
                files.insert(key, Vec::new());
            }
            _ => {
                files.insert(key, fs::read(&path).unwrap());
            }
        }
    }
}

/// Whether a file is complete: what reads it finds its end.
fn is_whole(path: &Path) -> bool {
    let ends = |end: &str| fs::read_to_string(path).is_ok_and(|text| text.trim_end().ends_with(end));
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "safetensors" if path.file_stem().is_some_and(|stem| stem == "checkpoint") => inspect(path).is_ok(),
        "safetensors" | "keras" | "onnx" => load_model(path).is_ok(),
        "lucida" => FeedForwardStyle::open(path).is_ok(),
        "png" => Image::open(path).is_ok(),
        "svg" => ends("</svg>"),
        "html" => ends("</html>"),
        "json" => serde_json::from_slice::<Value>(&fs::read(path).unwrap()).is_ok(),
        "csv" => fs::read(path).unwrap().ends_with(b"\n"),
        other => panic!("{}: what is whole for {other:?}?", path.display()),
    }
}

/// An image with a color wave pattern.
fn image(side: usize, seed: f32) -> Image {
    let value = |i: usize| (128.0 + 100.0 * (i as f32 * 0.037 * seed + (i / (3 * side)) as f32 * 0.2).sin()) as u8;
    Image::new(side, side, 3, (0..3 * side * side).map(value).collect()).unwrap()
}

/// A folder with the model of the shared run, MNIST files, and photos of two classes, which are styles too, and some of them.
fn inputs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&shared().run(), &folder.path().join("model"));
    copy(&shared().data(), &folder.path().join("data"));
    for (class, seed) in [("a", 1.0), ("b", 3.1)] {
        for (photos, count) in [("photos", 8), ("few", 5)] {
            let photos = folder.path().join(photos).join(class);
            fs::create_dir_all(&photos).unwrap();
            for number in 0..count {
                image(32, seed + 0.05 * number as f32).save_png(photos.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    folder
}

#[test]
fn training_on_digits_survives() {
    let command = "train mnist --data $/data --seed 1 --epochs 2 --steps-per-epoch 3 --validation-steps 1 --batch-size 16 \
                   --checkpoint-every 1 --out $/out/run";
    Case::new(inputs(), command, ["--seed 1", "--seed 7"], true).survives(0);
}

#[test]
fn training_on_photos_survives() {
    let command = "train $/photos --seed 1 --model basic-cnn --size 28 --epochs 2 --batch-size 4 --checkpoint-every 1 --augment flip \
                   --out $/out/run";
    Case::new(inputs(), command, ["--seed 1", "--seed 7"], true).survives(1);
}

#[test]
fn training_a_head_on_cached_features_survives() {
    // The cache is among the outputs, and the earlier run has filled a part of it.
    let command = "train $/photos --seed 1 --model efficientnet-lite0 --size 32 --epochs 2 --batch-size 4 --checkpoint-every 1 \
                   --features $/out/features --out $/out/run";
    Case::new(inputs(), command, ["$/photos --seed 1", "$/few --seed 7"], true).survives(2);
}

#[test]
fn training_styles_survives() {
    let command = "style-train $/photos/a/0.png --content $/photos/b --crop 32 --steps 4 --batch-size 1 --seed 1 --style-scale 0.2 \
                   -o $/out/a.lucida";
    Case::new(inputs(), command, ["--seed 1", "--seed 7"], true).survives(3);
}

/// With `--quiet`, a preview was missing once, and nothing said so.
#[test]
fn a_preview_that_cannot_be_written_is_told_with_quiet_too() {
    let Some(library) = failing_calls() else { return };
    let inputs = inputs();
    let folder = text(inputs.path());
    let command = format!(
        "style-train {folder}/photos/a/0.png --content {folder}/photos/b --crop 32 --steps 4 --batch-size 1 --style-scale 0.2 \
         -o {folder}/a.lucida --quiet"
    );
    let preview = format!("{folder}/a-training/preview-00002.png");
    let mut command = program(&command.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    command.env("LD_PRELOAD", library).env("LUCIDA_FAULT_MARK", inputs.path().join("mark"));
    let output = command.env("LUCIDA_FAULT", format!("rename:1:{BROKEN_DEVICE}:{preview}")).output().unwrap();
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    let expected = format!("note: {preview}: cannot write: Input/output error (os error 5); training continues");
    assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
}

#[test]
fn a_style_transfer_survives() {
    let command = "style $/photos/a/0.png $/photos/b/0.png --size 48 --steps 2 --coarsest 0 -o $/out/a.png";
    Case::new(inputs(), command, ["--steps 2", "--steps 1"], false).survives(4);
}

#[test]
fn a_table_of_predictions_survives() {
    Case::new(inputs(), "predict $/model $/photos --csv $/out/all.csv", ["$/photos", "$/few"], false).survives(5);
}

#[test]
fn explanations_survive() {
    let command = "explain $/model --data mnist:$/data --index 0 --method gradient,lrp --out $/out/explained";
    Case::new(inputs(), command, ["--index 0", "--index 1"], false).survives(6);
}

#[test]
fn conversions_survive() {
    for (seed, ending) in [(7, "onnx"), (8, "keras")] {
        let folder = inputs();
        let mut other = load_model(folder.path().join("model/model.safetensors")).unwrap();
        other.network = lucida::nn::applications::mnist_cnn(7).unwrap();
        lucida::weights::save_model(&other, folder.path().join("other.safetensors")).unwrap();
        let command = format!("weights convert $/model $/out/model.{ending}");
        Case::new(folder, &command, ["$/model ", "$/other.safetensors "], false).survives(seed);
    }
}

/// A studio in a process of its own, with its runs in `out`.
struct Studio {
    child: Child,
    host: String,
}

impl Studio {
    /// Starts it; none if it ends before it listens.
    fn start(folder: &Path, fault: Option<(Fault, &Path)>) -> Option<Self> {
        let arguments = format!("studio --data mnist:{0}/data --runs {0}/out --port 0 --threads 1", text(folder));
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let mut command = program(&arguments);
        if let Some((Fault::Call { number, action }, library)) = fault {
            let fault = format!("any:{number}:{action}:{}/out", text(folder));
            command.env("LD_PRELOAD", library).env("LUCIDA_FAULT", fault);
            command.env("LUCIDA_FAULT_MARK", folder.join("mark"));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim_end().trim_end_matches('/').split_once("http://") {
            Some((_, host)) => Some(Self { child, host: host.to_owned() }),
            None => {
                child.wait().unwrap();
                None
            }
        }
    }

    /// The response to a request; null if the studio has ended.
    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let (host, len) = (&self.host, body.len());
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json");
        let mut answer = String::new();
        let asked = TcpStream::connect(host).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            stream.write_all(format!("{head}\r\nContent-Length: {len}\r\n\r\n{body}").as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        asked.ok().and_then(|_| serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()).unwrap_or_default()
    }

    /// Waits until a job has ended, or the studio; returns the job as it was last.
    fn wait(&mut self, id: &str) -> Value {
        loop {
            let job = self.ask("GET", &format!("/api/jobs/{id}"), "");
            if !["queued", "running"].contains(&job["state"].as_str().unwrap_or_default()) {
                return job;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const JOB: &str = r#"{"kind":"train","epochs":2,"batch_size":32,"learning_rate":0.002}"#;

/// Lets a fault happen to a studio that trains, starts another one over its folder, and completes the training there.
fn studio_suffers(folder: &Path, fault: Fault, library: &Path, expected: Option<&[u8]>) -> Vec<u8> {
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    if let Some(mut studio) = Studio::start(folder, Some((fault, library))) {
        let id = studio.ask("POST", "/api/jobs", JOB)["id"].as_str().unwrap_or_default().to_owned();
        match fault {
            Fault::KilledAfter(time) => std::thread::sleep(time),
            // A failing call fails the job, or the request for it, and the studio stays.
            Fault::Call { action, .. } => {
                let job = studio.wait(&id);
                let ended = studio.child.try_wait().unwrap();
                assert!(ended.is_none() || action == "kill", "{fault:?}: {ended:?}, {job}");
                assert!(
                    job["state"] != "failed" || job["error"].as_str().unwrap().contains("os error"),
                    "{fault:?}: {job}"
                );
            }
        }
    }
    for path in folders(&out).iter().flat_map(|folder| entries(folder)).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The first is a log, whose last line may be cut off.
        assert!(
            name == "news.jsonl" || name == "last-job" || name.starts_with('.') || is_whole(&path),
            "{fault:?}: {name}"
        );
    }
    let mut studio = Studio::start(folder, None).expect("a studio over what the other one left");
    let jobs = studio.ask("GET", "/api/jobs", "");
    let job = jobs.as_array().and_then(|jobs| jobs.first().cloned()).unwrap_or_default();
    let resumable = ["interrupted", "failed"].contains(&job["state"].as_str().unwrap_or_default());
    let job = match job["id"].as_str() {
        Some(id) if resumable => studio.ask("POST", &format!("/api/jobs/{id}/resume"), ""),
        Some(_) => job,
        None => studio.ask("POST", "/api/jobs", JOB),
    };
    let id = job["id"].as_str().unwrap_or_else(|| panic!("{fault:?}: {job}")).to_owned();
    let job = studio.wait(&id);
    assert_eq!(job["state"], "done", "{fault:?}: {job}");
    let model = fs::read(out.join("studio").join(id).join("model.safetensors")).unwrap();
    assert!(expected.is_none_or(|expected| expected == model), "{fault:?}: another model than of an undisturbed job");
    let hidden = hidden(&out);
    assert!(hidden.is_empty(), "{fault:?}: left: {hidden:?}");
    model
}

#[test]
fn jobs_of_the_studio_survive() {
    let Some(library) = failing_calls() else { return };
    let inputs = inputs();
    let begun = Instant::now();
    let model = studio_suffers(inputs.path(), Fault::Call { number: 0, action: "0" }, library, None);
    let (time, calls) = (begun.elapsed(), fs::read(inputs.path().join("mark")).unwrap().len());
    for fault in faults(9, time, calls as u64) {
        studio_suffers(inputs.path(), fault, library, Some(&model));
    }
}
