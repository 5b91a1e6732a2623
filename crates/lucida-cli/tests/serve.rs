//! `lucida serve` and `lucida predict --watch`, from start to Ctrl-C.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use common::{fail, lucida, run, shared, stderr, text};
use lucida::data::{Dataset, Mnist};
use serde_json::Value;

/// A command that runs until it is stopped, and the lines it prints.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
            .args(arguments)
            .env("LUCIDA_CONFIG", "")
            .env_remove("LUCIDA_KEY")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").unwrap()
    }

    /// Stops the command with a signal; returns the rest of its output.
    fn stop(self, signal: &str) -> (String, Output) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
        let rest = self.lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
        (rest, self.child.wait_with_output().unwrap())
    }
}

/// In the background of a script Ctrl-C is ignored; SIGTERM still ends a server cleanly.
#[cfg(target_os = "linux")]
#[test]
fn a_server_in_the_background_of_a_script_obeys_sigterm() {
    for (ignored, signal) in [("INT", "-TERM"), ("TERM", "-INT")] {
        let program = assert_cmd::cargo::cargo_bin("lucida");
        let script = format!("trap '' {ignored}; exec {} serve --port 0", text(&program));
        let mut child =
            Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Running { child, lines };
        while !server.line().contains("Ctrl-C ends it") {}
        let (_, output) = server.stop(signal);
        assert_eq!(output.status.code(), Some(0), "{ignored} is ignored: {}", stderr(&output));
    }
}

/// Posts a request; returns the status and the body of the response.
fn post(url: &str, path: &str, more: &str, body: &[u8]) -> (u16, Value) {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn save(digit: usize, path: &Path) {
    Mnist::builtin().unwrap().train.image(digit).unwrap().save_png(path).unwrap();
}

#[test]
fn a_server_predicts_as_predict_does_and_ends_with_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("digit.png");
    save(3, &image);
    let model = shared().run();
    let expected: Value = serde_json::from_str(&run(["predict", text(&model), text(&image), "--json"])).unwrap();
    for (signal, key) in [("-INT", None), ("-TERM", Some("secret"))] {
        let variables: Vec<_> = key.map(|key| ("LUCIDA_KEY", key)).into_iter().collect();
        let mut server = Running::start(&["serve", text(&model), "--port", "0"], &variables);
        let line = server.line();
        assert!(line.contains("10 classes) is served at http://127.0.0.1:"), "{line}");
        let url = line.rsplit(' ').next().unwrap().to_owned();
        let header = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let (status, answer) = post(&url, "/predict?top=10", &header, &fs::read(&image).unwrap());
        assert_eq!(status, 200, "{answer}");
        let (found, expected) = (&answer["predictions"][0], &expected["predictions"][0]);
        assert_eq!((&found["class"], &found["probability"]), (&expected["class"], &expected["probability"]));
        for one in found["top"].as_array().unwrap() {
            let class: usize = one["class"].as_str().unwrap().parse().unwrap();
            assert_eq!(one["probability"], expected["probabilities"][class]);
        }
        if key.is_some() {
            assert_eq!(post(&url, "/predict", "", b"x").0, 401);
        }
        let (rest, output) = server.stop(signal);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        assert!(rest.ends_with("1 image predicted in 1 forward pass"), "{rest}");
    }
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    assert!(fail(1, ["serve", "vgg16-builtin"]).contains("vgg16-builtin: "));
    assert!(fail(1, ["serve", "no-such-model"]).contains("no-such-model"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = fail(1, ["serve", text(&shared().run()), "--port", &port]);
    assert!(
        message.contains(&format!("cannot listen on 127.0.0.1:{port}")) && message.contains("--port 0"),
        "{message}"
    );
    let output = lucida(["serve", text(&shared().run())]).env("LUCIDA_KEY", "").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("LUCIDA_KEY: expected a key"), "{}", stderr(&output));
    // Listening on all addresses without a key prints a warning.
    let mut open = Running::start(&["serve", text(&shared().run()), "--port", "0", "--listen", "0.0.0.0"], &[]);
    open.line();
    let (_, output) = open.stop("-INT");
    assert!(stderr(&output).contains("note: anyone who reaches this address"), "{}", stderr(&output));
}

#[test]
fn a_folder_is_watched_and_its_table_continued() {
    let folder = tempfile::tempdir().unwrap();
    let (inbox, csv, model) = (folder.path().join("inbox"), folder.path().join("all.csv"), shared().run());
    fs::create_dir_all(inbox.join("more")).unwrap();
    save(0, &inbox.join("a.png"));
    let arguments = ["predict", text(&model), "--watch", text(&inbox), "--csv", text(&csv)];
    let mut watch = Running::start(&arguments, &[]);
    assert!(watch.line().starts_with(&format!("{}: ", inbox.join("a.png").display())));
    // A slowly written file, and one that is moved in.
    let whole = fs::read(inbox.join("a.png")).unwrap();
    let mut slow = fs::File::create(inbox.join("slow.png")).unwrap();
    slow.write_all(&whole[..100]).unwrap();
    save(1, &folder.path().join("b.png"));
    fs::rename(folder.path().join("b.png"), inbox.join("more/b.png")).unwrap();
    assert!(watch.line().starts_with(&format!("{}: ", inbox.join("more/b.png").display())));
    slow.write_all(&whole[100..]).unwrap();
    drop(slow);
    assert!(watch.line().starts_with(&format!("{}: ", inbox.join("slow.png").display())));
    let (rest, output) = watch.stop("-INT");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("note: 3 images predicted\n"), "{}", stderr(&output));
    assert_eq!(rest, format!("Written to {}", csv.display()));
    let table = fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 4);
    // The rows are those of a plain prediction.
    let plain = run(["predict", text(&model), text(&inbox.join("a.png")), "--csv", "-"]);
    assert_eq!(plain.lines().collect::<Vec<_>>(), table.lines().take(2).collect::<Vec<_>>());

    // With the last row cut off, its image is predicted again, and so is a new one, but none of the others.
    fs::write(&csv, &table[..table.len() - 5]).unwrap();
    save(2, &inbox.join("c.png"));
    let mut watch = Running::start(&arguments, &[]);
    assert!(watch.line().starts_with(&format!("{}: ", inbox.join("c.png").display())));
    assert!(watch.line().starts_with(&format!("{}: ", inbox.join("slow.png").display())));
    let (_, output) = watch.stop("-TERM");
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("has 2 images, which are left out"), "{}", stderr(&output));
    let continued = fs::read_to_string(&csv).unwrap();
    assert_eq!(continued.lines().count(), 5);
    assert!(continued.starts_with(&table[..table.len() - table.lines().last().unwrap().len() - 1]));
    // With --json, one line per image and no table.
    let mut watch = Running::start(&["predict", text(&model), "--watch", text(&inbox), "--json"], &[]);
    let line: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(line["image"], text(&inbox.join("a.png")));
    assert!(line["probabilities"].as_array().unwrap().len() == 10);
    watch.stop("-INT");

    let message = fail(1, ["predict", text(&model), "--watch", text(&folder.path().join("none"))]);
    assert!(message.contains("none: no such folder"), "{message}");
    fs::write(&csv, "something,else\n").unwrap();
    let message = fail(1, arguments);
    assert!(message.contains("its columns are others"), "{message}");
}
