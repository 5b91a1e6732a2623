//! The same seed, threads and instruction set give the same bits, also in later versions. The outputs of short runs are
//! compared with recorded digests; a commit that changes one says why. `UPDATE=1` writes the digests of the instruction
//! sets of this machine.
//!
//! Functions such as `exp` and `ln` come from the system and differ in their last bits. Where they differ from the recorded
//! ones, and for instruction sets without a record, the test is skipped with a message.

mod common;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{lucida, shared, stderr, text};
use lucida::Isa;

const RECORD: &str = include_str!("digests.txt");

#[test]
fn what_is_written_has_the_digests_on_record() {
    let record: Vec<&str> = RECORD.lines().collect();
    if !record.contains(&format!("math {:016x}", math()).as_str()) {
        return eprintln!("skipped: the functions of this system differ from those on record");
    }
    let update = env::var_os("UPDATE").is_some();
    let (mut found, mut sets) = (String::new(), Vec::new());
    for isa in Isa::available().into_iter().map(Isa::name) {
        if update || record.iter().any(|line| is_of(line, isa)) {
            found += &digests(isa);
            sets.push(isa);
        } else {
            eprintln!("skipped: there is no record of {isa}");
        }
    }
    if update {
        // The other instruction sets keep their lines.
        let others = record.iter().filter(|line| !sets.iter().any(|isa| is_of(line, isa)));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.txt");
        let lines = others.copied().chain(found.lines()).fold(String::new(), |text, line| text + line + "\n");
        return fs::write(path, lines).unwrap();
    }
    let changed: Vec<&str> = found.lines().filter(|line| !record.contains(line)).collect();
    assert!(changed.is_empty(), "not on record; if the change is meant, UPDATE=1 writes it:\n{}", changed.join("\n"));
}

/// Whether a line of the record belongs to an instruction set.
fn is_of(line: &str, isa: &str) -> bool {
    line.split(' ').next() == Some(isa)
}

/// One line per file written by the short runs: instruction set, file, digest.
fn digests(isa: &str) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let at = folder.path();
    photos(&at.join("photos"));
    digit(&at.join("digit.png"));
    let data = shared().data();
    let run = |line: &str| {
        let arguments = line.split(' ').map(|part| if part == "DATA" { text(&data) } else { part });
        let mut command = lucida(arguments);
        let output = command.env("LUCIDA_SIMD", isa).env("LUCIDA_THREADS", "2").current_dir(at).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        output.stdout
    };
    run("train mnist --data DATA --epochs 2 --batch-size 32 --optimizer adam --augment rotation=10 --out mnist");
    run("train photos --model basic-cnn --size 64 --epochs 2 --batch-size 8 --augment flip,zoom=0.2 --out basic");
    let predicted = run("predict mnist/model.safetensors digit.png --json");
    fs::write(at.join("predicted.json"), predicted).unwrap();
    run("explain mnist/model.safetensors digit.png --method all --npy --samples 5 --masks 50 --out explained");
    run("classes mnist/model.safetensors --class 0,7 --steps 20 --each classes --out classes.png");
    run("filters vgg16-builtin --layer block2_conv1 --filters 0,5 --size 48 --steps 10 --out filters.png");
    run("style photos/b/1.png photos/a/0.png --size 64 --steps 40 --out style.png");
    for ending in ["keras", "h5", "weights.h5", "onnx", "pth"] {
        run(&format!("weights convert basic/model.safetensors converted.{ending}"));
    }
    let mut files: Vec<String> = [
        "mnist/model.safetensors",
        "basic/model.safetensors",
        "predicted.json",
        "classes/class-0.png",
        "classes/class-7.png",
        "filters.png",
        "style.png",
        "converted.keras",
        "converted.h5",
        "converted.weights.h5",
        "converted.onnx",
        "converted.pth",
    ]
    .map(str::to_owned)
    .to_vec();
    let maps = common::names(&at.join("explained")).into_iter().filter(|name| name.ends_with(".npy"));
    files.extend(maps.map(|name| format!("explained/{name}")));
    files.iter().fold(String::new(), |mut lines, file| {
        let bytes = fs::read(at.join(file)).unwrap_or_else(|problem| panic!("{file}: {problem}"));
        let _ = writeln!(lines, "{isa} {file} {:016x}", digest(&bytes));
        lines
    })
}

/// FNV-1a hash.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A digest of the system's math functions.
fn math() -> u64 {
    let small =
        (1..2000).map(|i| i as f32 * 0.01).flat_map(|x| [x.exp(), (-x).exp(), x.ln(), x.sin(), x.cos(), x.tanh()]);
    let large = (1..2000).map(|i| f64::from(i) * 0.01).flat_map(|x| [x.exp(), x.ln(), x.sin(), x.cos(), x.powf(0.7)]);
    let bytes: Vec<u8> = small.flat_map(f32::to_le_bytes).chain(large.flat_map(f64::to_le_bytes)).collect();
    digest(&bytes)
}

/// Images of stripes in two directions, in two folders.
fn photos(folder: &Path) {
    for (class, name) in ["a", "b"].iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..10_u32 {
            let pixel = |x: u32, y: u32| {
                let along = if class == 0 { x } else { y };
                image::Rgb([(along * (9 + number) % 256) as u8, (x * y % 251) as u8, (40 * number % 256) as u8])
            };
            image::RgbImage::from_fn(64, 64, pixel).save(folder.join(format!("{name}/{number}.png"))).unwrap();
        }
    }
}

/// A white seven on black.
fn digit(file: &Path) {
    let is_ink = |x: u32, y: u32| {
        (6..22).contains(&x) && (5..8).contains(&y) || (x + y / 2).abs_diff(22) < 2 && (5..24).contains(&y)
    };
    image::GrayImage::from_fn(28, 28, |x, y| image::Luma([if is_ink(x, y) { 255 } else { 0 }])).save(file).unwrap();
}
