//! Bulk work under `mpirun`: `cargo test -p lucida-cli --features mpi --test mpi_bulk`.

#![cfg(feature = "mpi")]

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lucida::data::Image;
use serde_json::Value;

const LUCIDA: &str = env!("CARGO_BIN_EXE_lucida");

fn mpirun(ranks: usize, arguments: &str, out: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string(), LUCIDA]);
    command.args(arguments.split_whitespace()).args(["--distributed", "mpi", "--out"]).arg(out);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// A barely trained model.
fn model(folder: &Path) -> PathBuf {
    let out = folder.join("model");
    let arguments = "train mnist --epochs 1 --steps-per-epoch 2 --validation-steps 1 -q --out";
    done({
        let mut command = Command::new(LUCIDA);
        command.args(arguments.split_whitespace()).arg(&out);
        command
    });
    out
}

fn images(folder: &Path, count: usize) -> PathBuf {
    let root = folder.join("photos");
    for number in 0..count {
        let path = root.join(format!("{}/{number}.png", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(28, 28, &[(number % 256) as u8]).save_png(&path).unwrap();
    }
    root
}

fn results(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect()
}

#[test]
fn a_job_that_is_killed_three_times_has_every_result_once() {
    let folder = tempfile::tempdir().unwrap();
    let (model, count) = (model(folder.path()), 3000);
    let root = images(folder.path(), count);
    fs::write(root.join("broken.png"), b"no image").unwrap();
    let arguments = format!("predict {} --data {} --threads 1", model.display(), root.display());
    let out = folder.path().join("out");
    let mut done_before = 0;
    for round in 0..3 {
        // Count results rather than time, so that a fast machine does not finish before it is killed.
        let more = random_below(600);
        let round = format!("round {round}, killed after {more} results more than {done_before}");
        let mut job = mpirun(2, &arguments, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while files(&out.join("items")).len() <= done_before + more {
            assert!(job.try_wait().unwrap().is_none(), "{round}: it ended before it was killed");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Kill one rank, which takes the others with it, or all at once.
        let victims = if more % 2 == 1 { children(job.id()) } else { children(job.id()).into_iter().take(1).collect() };
        assert!(!victims.is_empty(), "{round}");
        for victim in victims {
            let _ = Command::new("kill").args(["-KILL", &victim]).status().unwrap();
        }
        assert!(!job.wait().unwrap().success());
        let there = files(&out.join("items")).len();
        assert!(there > done_before && there < count, "{round}: {there}");
        done_before = there;
        assert!(!out.join("results.jsonl").exists());
    }
    let stamps = || -> BTreeSet<_> {
        let stamp = |path: PathBuf| (path.metadata().unwrap().modified().unwrap(), path);
        files(&out.join("items"))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .map(stamp)
            .collect()
    };
    let before = stamps();
    let output = mpirun(3, &arguments, &out).output().unwrap();
    // One image is broken.
    assert!(!output.status.success() && text(&output).contains("1 failed"), "{}", text(&output));
    let after = stamps();
    assert!(before.is_subset(&after), "what was done is not done again");
    assert_eq!(after.len(), count);
    let found = results(&out);
    let names: BTreeSet<&str> = found.iter().map(|result| result["item"].as_str().unwrap()).collect();
    assert_eq!((found.len(), names.len()), (count, count));
    assert!(found.iter().all(|result| result["probabilities"].as_array().unwrap().len() == 10));
    let failures = fs::read_to_string(out.join("failures.csv")).unwrap();
    assert!(failures.lines().count() == 2 && failures.contains("broken.png"), "{failures}");
    // Only the failed image is left.
    fs::remove_file(root.join("broken.png")).unwrap();
    let text = done(mpirun(2, &arguments, &out));
    let all = lucida::nn::thousands(count);
    assert!(text.contains(&format!("{all} of {all} images are done, {all} were before")), "{text}");
    assert!(!out.join("failures.csv").exists() && stamps() == after);
}

/// A different number each time, which the messages of the assertions include.
fn random_below(end: usize) -> usize {
    RandomState::new().hash_one(0) as usize % end
}

fn children(of: u32) -> Vec<String> {
    let mine = |status: &str| status.lines().any(|line| line == format!("PPid:\t{of}"));
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| fs::read_to_string(entry.path().join("status")).is_ok_and(|status| mine(&status)))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn features_maps_and_styles_in_bulk() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let root = images(folder.path(), 6);
    let (model, photos) = (model.display(), root.display());

    let out = folder.path().join("embedded");
    done(mpirun(2, &format!("embed {model} --data {photos}"), &out));
    let found = results(&out);
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|result| result["features"].as_array().unwrap().len() == 128), "{}", found[0]);

    let out = folder.path().join("explained");
    done(mpirun(2, &format!("explain {model} {photos} --method gradient,grad-cam"), &out));
    for result in results(&out) {
        let sheet = Image::open(out.join(result["sheet"].as_str().unwrap())).unwrap();
        assert!(sheet.width() > 28 && result["methods"].as_array().unwrap().len() == 2);
    }

    // A list, with the built-in style.
    let list = folder.path().join("list.txt");
    for name in ["red.png", "gray.png"] {
        let color = if name == "red.png" { &[200, 30, 40][..] } else { &[90] };
        Image::filled(80, 60, color).save_png(folder.path().join(name)).unwrap();
    }
    fs::write(&list, "red.png\ngray.png\n").unwrap();
    let out = folder.path().join("stylized");
    done(mpirun(2, &format!("style {} brushwork --size 64 --steps 2 --coarsest 0", list.display()), &out));
    let found = results(&out);
    assert_eq!(found.len(), 2);
    for result in &found {
        let styled = Image::open(out.join(result["image"].as_str().unwrap())).unwrap();
        assert_eq!((styled.width(), styled.height()), (64, 48));
    }

    // A folder of results belongs to one job, and must not be inside the input folder.
    let output = mpirun(2, &format!("embed {model} --data {photos} --layer dense"), &out).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("another job"), "{}", text(&output));
    let output = mpirun(2, &format!("embed {model} --data {photos}"), &root.join("out")).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("is within"), "{}", text(&output));
}

/// A local bucket: a listing of two pages, and its files.
fn bucket(files: Vec<(&'static str, Vec<u8>)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut line, mut rest) = (String::new(), String::new());
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            while reader.read_line(&mut rest).unwrap() > 2 {
                rest.clear();
            }
            let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let key = |key: &str| format!("<Contents><Key>{key}</Key></Contents>");
            let (status, body) = if path == "/photos?prefix=&list-type=2" {
                let keys: String = files.iter().map(|(name, _)| key(name)).collect();
                let list = format!(
                    "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>{keys}\
                     <NextContinuationToken>a/b</NextContinuationToken></ListBucketResult>"
                );
                (200, list.into_bytes())
            } else if path == "/photos?prefix=&list-type=2&continuation-token=a%2Fb" {
                let list = format!(
                    "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
                    key("missing.png")
                );
                (200, list.into_bytes())
            } else {
                match files.iter().find(|(name, _)| path == format!("/photos/{}", name.replace(' ', "%20"))) {
                    Some((_, bytes)) => (200, bytes.clone()),
                    None => (404, Vec::new()),
                }
            };
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

/// The bytes of a small PNG file.
fn png(folder: &Path, gray: u8) -> Vec<u8> {
    let path = folder.join("one.png");
    Image::filled(28, 28, &[gray]).save_png(&path).unwrap();
    fs::read(path).unwrap()
}

/// Predicts the images listed at an address: of three, the two in `there` exist, and `missing` does not.
fn two_of_three_are_done(folder: &Path, address: &str, there: [&str; 2], missing: &str) {
    let out = folder.join("out");
    let arguments = format!("predict {} --data {address}", model(folder).display());
    let output = mpirun(2, &arguments, &out).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("2 of 3 images are done"), "{}", text(&output));
    let names: Vec<String> = results(&out).iter().map(|result| result["item"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, there);
    let failures = fs::read_to_string(out.join("failures.csv")).unwrap();
    assert!(failures.contains(missing) && failures.contains("404"), "{failures}");
}

#[test]
fn images_of_a_bucket_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let port = bucket(vec![("a/one 1.png", png(folder, 3)), ("b.png", png(folder, 200))]);
    let address = format!("http://127.0.0.1:{port}/photos?prefix=");
    two_of_three_are_done(folder, &address, ["a/one 1.png", "b.png"], "missing.png");
}

#[test]
fn images_of_a_list_on_a_server_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A path relative to the list, an image on another server, and a missing one.
    let elsewhere = format!("http://127.0.0.1:{}/photos/far.png", bucket(vec![("far.png", png(folder, 90))]));
    let list = format!("# two servers\nsub/near.png\n{elsewhere}\nlost.png\n").into_bytes();
    let port = bucket(vec![("list.txt", list), ("sub/near.png", png(folder, 3))]);
    let address = format!("http://127.0.0.1:{port}/photos/list.txt");
    two_of_three_are_done(folder, &address, ["sub/near.png", &elsewhere], "lost.png");
}
