//! Machines that give little: few file descriptors, one core, less memory than a file declares.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use common::{names, shared, stderr, text};
use lucida::data::Image;

/// Runs the program after a line of bash that sets a limit.
fn limited(limit: &str, arguments: &str) -> Output {
    let script = format!("{limit}; exec \"$0\" {arguments}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).arg(assert_cmd::cargo::cargo_bin("lucida")).env("LUCIDA_CONFIG", "");
    command.env("LUCIDA_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache")).output().unwrap()
}

fn photos(folder: &Path, count: usize) {
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for number in 0..count {
            let shade = [if class == "a" { 240 } else { 20 }, (number % 250) as u8, 90];
            Image::filled(32, 32, &shade).save_png(folder.join(class).join(format!("{number}.png"))).unwrap();
        }
    }
}

/// A plan is refused before anything is allocated, with the batch size that fits. Where the program chooses the batch size, a
/// small limit makes it smaller, and no prediction depends on it.
#[test]
fn plans_keep_to_the_memory_limit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let train = |batch: &str| {
        limited(
            "true",
            &format!("train mnist --epochs 1 --batch-size {batch} --memory 50M --force --out {}", at("run")),
        )
    };
    let refused = stderr(&train("4096"));
    assert!(
        refused.contains("a batch of 4096 needs at least") && refused.contains("but the limit is 50 MiB"),
        "{refused}"
    );
    let fits = refused.split("or --batch-size ").nth(1).unwrap_or_else(|| panic!("{refused}")).trim();
    let message = stderr(&train(&(fits.parse::<usize>().unwrap() + 1).to_string()));
    assert!(message.contains("but the limit is 50 MiB"), "{message}");
    assert!(train(fits).status.success(), "{fits}");
    photos(Path::new(&at("photos")), 70);
    let predict = |more: &str, csv: &str| {
        let output = limited("true", &format!("predict {} {} --csv {} {more}", at("run"), at("photos"), at(csv)));
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read_to_string(at(csv)).unwrap()
    };
    assert_eq!(predict("--memory 1M", "less.csv"), predict("", "all.csv"));
    let message = stderr(&limited("true", &format!("predict {} {} --memory 1K", at("run"), at("photos"))));
    assert!(message.contains("a batch of 1 needs at least"), "{message}");
}

/// A file descriptor that was not closed would show long before the last image.
#[test]
fn few_file_descriptors_and_one_core_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    photos(Path::new(&at("photos")), 300);
    photos(Path::new(&at("some")), 70);
    let (photos, model) = (at("photos"), shared().run());
    let model = text(&model);
    let one_core = Command::new("taskset").args(["-c", "0", "true"]).status().is_ok_and(|status| status.success());
    let limit = if one_core { "ulimit -n 64; taskset -cp 0 $$ >/dev/null" } else { "ulimit -n 64" };
    for command in [
        format!("predict {model} {photos} --csv {}", at("all.csv")),
        format!("train {photos} --model basic-cnn --size 28 --epochs 1 --tensorboard --out {}", at("run")),
        format!("train {} --size 32 --epochs 1 --features {} --out {}", at("some"), at("features"), at("head")),
        format!("evaluate {} --data {photos}", at("run")),
        format!("embed {model} {photos} --out {}", at("map")),
        format!("style {}/a {photos}/b/0.png --size 32 --steps 1 --coarsest 0 -o {}", at("some"), at("styled")),
        format!("explain {model} --data mnist --index 0 --method gradient --out {}", at("explained")),
        format!("weights convert {model} {}", at("model.keras")),
    ] {
        let output = limited(limit, &format!("{command} --quiet"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(at("all.csv")).unwrap().lines().count(), 601);
    assert_eq!(names(Path::new(&at("styled"))).len(), 70);
}

/// The sizes are those of valid files: only this machine is too small for them.
#[test]
fn memory_that_there_is_not_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Files with holes, which take no space.
    let sparse = |name: &str, head: &[u8], len: u64| {
        fs::write(at(name), head).unwrap();
        File::options().write(true).open(at(name)).unwrap().set_len(head.len() as u64 + len).unwrap();
    };
    let rows = 1_000_000_u64;
    let header =
        format!("{:117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 28, 28, 1)}}"));
    sparse("x.npy", &[b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes()].concat(), rows * 28 * 28 * 4);
    let model = shared().run();
    for (command, expected) in [
        (format!("run {} --input {}", text(&model), text(&at("x.npy"))), "x.npy: cannot read: out of memory"),
        ("summary vgg16".to_owned(), "network vgg16 takes 0.5 GiB of memory, which the system does not give"),
    ] {
        let output = limited("ulimit -v 500000", &format!("{command} --threads 1"));
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {told}");
        assert!(told.starts_with("error: ") && told.contains(expected), "{command}: {told}");
    }
}
