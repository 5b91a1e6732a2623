//! Damaged and malicious PyTorch files result in an error or are read without harm, in bounded time and memory; never in a
//! panic or a hang, and no code is executed.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::hostile::{cut_anywhere, extreme_numbers, flipped_bytes, random, read_all, rounds};
use lucida::nn::Network;
use lucida::nn::applications::{self, Options};
use lucida::nn::layers::{Activation, ActivationKind, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D};
use lucida::weights::{self, torch};
use zip::CompressionMethod::{self, Deflated, Stored};

const FILES: [&str; 6] =
    ["zip.pth", "legacy.pth", "float16.pth", "strided_legacy.pth", "checkpoint.pth", "checkpoint_legacy.pth"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/files")).join(name)
}

/// The network of the files.
fn network() -> Network {
    let layers = [
        Conv2D::new(4, [3, 3]).into(),
        BatchNormalization::default().into(),
        Activation::new(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(3).into(),
    ];
    Network::sequential("small", [6, 7, 3], layers, 1).unwrap()
}

#[test]
fn files_cut_anywhere_are_refused() {
    cut_anywhere(&FILES.map(file), &network(), |path, len, whole, model, loaded| {
        assert!(model.is_err() && loaded.is_err(), "{} cut to {len} of {whole} bytes", path.display());
    });
}

#[test]
fn flipped_bytes_do_no_harm() {
    flipped_bytes(&FILES.map(file), &network());
}

#[test]
fn extreme_numbers_do_no_harm() {
    extreme_numbers(&FILES.map(file), &network());
}

/// A file recognized as a known network, with damage in its structure at the start and the end.
#[test]
fn damage_to_a_known_network_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("squeezenet.pth");
    let network = applications::squeezenet1_1(&Options::default().seed(1)).unwrap();
    torch::save_weights(&network, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut random = random(60);
    for round in 0..rounds(60) {
        let mut damaged = bytes.clone();
        if round % 3 == 0 {
            damaged.truncate(random.below(bytes.len()));
        } else {
            let at = random.below(8192);
            let at = if round % 3 == 1 { at } else { bytes.len() - 1 - at };
            damaged[at] ^= 1 << random.below(8);
        }
        fs::write(&path, &damaged).unwrap();
        let (model, _) = read_all(&path, &network);
        assert!(round % 3 != 0 || model.is_err());
    }
    // Values are protected by checksums.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let message = weights::load_model(&path).unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
}

/// The pickle of a dictionary with these entries.
fn dictionary(entries: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(", entries, b"u."].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(number: i64) -> Vec<u8> {
    [b"\x8a\x08", &number.to_le_bytes()[..]].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&n| number(n)).collect(), b"t".to_vec()].concat()
}

/// A tensor in storage "0" (or another) of a number of floats.
fn tensor(name: &str, (key, len): (&str, i64), offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let storage =
        [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(key), text("cpu"), number(len)];
    [
        text(name),
        b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
        storage.concat(),
        b"tQ".to_vec(),
        number(offset),
        tuple(shape),
        tuple(strides),
        b"\x89}tR".to_vec(),
    ]
    .concat()
}

/// Writes an archive like PyTorch's.
fn archive(path: &Path, pickle: &[u8], members: &[(&str, &[u8])], method: CompressionMethod) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(true);
    for (name, bytes) in [("archive/data.pkl", pickle)].iter().chain(members) {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

/// Writes a file in the legacy format.
fn legacy(path: &Path, pickle: &[u8], rest: &[u8]) {
    let start = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    fs::write(path, [start, pickle, rest].concat()).unwrap();
}

/// The keys and the storages: a single one, "0", of a number of floats.
fn storage(floats: u64, values: usize) -> Vec<u8> {
    [b"\x80\x02]".to_vec(), text("0"), b"a.".to_vec(), floats.to_le_bytes().to_vec(), vec![0; 4 * values]].concat()
}

/// A dense layer of two inputs and one output.
fn dense() -> Network {
    Network::sequential("dense", [2], [Dense::new(1).without_bias().into()], 1).unwrap()
}

fn refused(path: &Path, expected: &str) {
    let (model, loaded) = read_all(path, &dense());
    assert!(model.is_err());
    let message = loaded.unwrap_err().to_string();
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    assert!(message.len() < 1000, "{} bytes of message", message.len());
}

fn path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    (folder, path)
}

#[test]
fn these_files_are_read_when_nothing_is_wrong_with_them() {
    let (_folder, path) = path();
    let pickle = dictionary(&tensor("dense.weight", ("0", 2), 0, &[1, 2], &[2, 1]));
    for method in [Stored, Deflated] {
        archive(&path, &pickle, &[("archive/data/0", &[0; 8])], method);
        read_all(&path, &dense()).1.unwrap();
    }
    legacy(&path, &pickle, &storage(2, 2));
    read_all(&path, &dense()).1.unwrap();
}

#[test]
fn views_outside_of_their_storage_are_refused() {
    let (_folder, path) = path();
    let huge = 1 << 62;
    for (len, offset, shape, strides) in [
        (2, 0, &[1, 2][..], &[1, 2][..]),
        (2, 1, &[1, 2], &[2, 1]),
        (2, -1, &[1, 2], &[2, 1]),
        (2, 0, &[2, 2], &[0, 1]),
        (2, 0, &[1, 2], &[2, -1]),
        (2, 0, &[-1, -2], &[2, 1]),
        (2, 0, &[1, 2], &[2]),
        (2, 0, &[huge, huge], &[0, 0]),
        (2, 0, &[huge, huge, 0], &[1, 1, 1]),
        (2, 0, &[1, 2], &[2, i64::MAX]),
        (2, i64::MAX, &[1, 2], &[2, 1]),
        (-2, 0, &[1, 2], &[2, 1]),
    ] {
        let pickle = dictionary(&tensor("dense.weight", ("0", len), offset, shape, strides));
        archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Stored);
        refused(&path, "tensor \"dense.weight\"");
        legacy(&path, &pickle, &storage(2, 2));
        refused(&path, "tensor \"dense.weight\"");
    }
    // An empty shape is valid, but does not match this layer.
    let pickle = dictionary(&tensor("dense.weight", ("0", 2), 0, &[0, huge, huge], &[1, 1, 1]));
    archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Stored);
    refused(&path, "has shape");
}

#[test]
fn terabytes_are_refused() {
    let (_folder, path) = path();
    for len in [1 << 40, i64::MAX] {
        let whole = dictionary(&tensor("dense.weight", ("0", len), 0, &[1, len], &[len, 1]));
        let part = dictionary(&tensor("dense.weight", ("0", len), 0, &[1, 2], &[2, 1]));
        for pickle in [whole, part] {
            archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Stored);
            refused(&path, "");
            archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Deflated);
            refused(&path, "");
            legacy(&path, &pickle, &storage(len as u64, 2));
            refused(&path, "cut short in storage \"0\"");
            legacy(&path, &pickle, &storage(2, 2));
            refused(&path, "2 values in storage \"0\"");
        }
    }
    // A classifier with more classes than fit in memory: building the network would exhaust the memory. The file claims to
    // contain the values.
    let classes = 1 << 34;
    let mut pickle = Vec::new();
    for (name, shape) in [
        ("features.0.weight", &[64, 3, 3, 3][..]),
        ("classifier.1.weight", &[classes, 512, 1, 1]),
        ("classifier.1.bias", &[classes]),
    ] {
        let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        pickle.extend(tensor(name, (name, shape.iter().product()), 0, shape, &strides));
    }
    archive(&path, &dictionary(&pickle), &[], Stored);
    refused(&path, "");
}

/// One tensor under many names; and one with many axes.
#[test]
fn pickles_without_end_are_refused() {
    let (_folder, path) = path();
    let weight = tensor("w", ("0", 2), 0, &[1, 2], &[2, 1]);
    let names: Vec<u8> = (0..200_000).flat_map(|index| [text(&format!("{index}")), b"h\0".to_vec()].concat()).collect();
    let many = [weight, b"q\0".to_vec(), names].concat();
    archive(&path, &dictionary(&many), &[("archive/data/0", &[0; 8])], Stored);
    refused(&path, "holds more than 50000 tensors");
    let long = tensor("dense.weight", ("0", 2), 0, &[1; 50_000], &[1; 50_000]);
    archive(&path, &dictionary(&long), &[("archive/data/0", &[0; 8])], Stored);
    refused(&path, "of 50000 axes");
}

#[test]
fn zip_bombs_are_refused_before_they_unpack() {
    let (_folder, path) = path();
    let zeros = vec![0; 300 << 20];
    archive(&path, &zeros, &[], Deflated);
    refused(&path, "limit");
    let len = zeros.len() as i64 / 4;
    let pickle = dictionary(&tensor("dense.weight", ("0", len), 0, &[1, 2], &[2, 1]));
    archive(&path, &pickle, &[("archive/data/0", &zeros)], Deflated);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    refused(&path, "limit");
}

#[test]
fn paths_do_not_lead_out() {
    let (folder, path) = path();
    let outside = folder.path().join("secret");
    fs::write(&outside, [0; 8]).unwrap();
    for key in ["../../secret", outside.to_str().unwrap(), "..\\secret", ""] {
        let pickle = dictionary(&tensor("dense.weight", (key, 2), 0, &[1, 2], &[2, 1]));
        archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Stored);
        refused(&path, "is damaged: member archive/data/");
        // A member with such a name is treated like any other; nothing is written outside.
        archive(&path, &pickle, &[(&format!("archive/data/{key}"), &[0; 8]), ("../out", b"x")], Stored);
        read_all(&path, &dense()).1.unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn values_that_contain_themselves_are_refused() {
    let (_folder, path) = path();
    for (pickle, expected) in [
        // A dictionary that is its own state dictionary; and one within a chain of them.
        (&b"\x80\x02}q\0X\x0a\0\0\0state_dicth\0s."[..], "no tensors"),
        (b"\x80\x02}q\0(X\x05\0\0\0modelh\0X\x0a\0\0\0state_dict}X\x05\0\0\0modelh\0su.", "no tensors"),
        // A parameter of itself.
        (
            b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_parameter\n]q\0Rq\x01h\0h\x01a0s.",
            "is a parameter of nothing",
        ),
        // An OrderedDict of itself.
        (b"\x80\x02ccollections\nOrderedDict\n]q\0Rq\x01h\0h\x01a0.", "no tensors"),
        // A list of itself.
        (b"\x80\x02]q\0h\0a.", "no dictionary"),
    ] {
        for whole in [true, false] {
            match whole {
                true => archive(&path, pickle, &[], Stored),
                false => legacy(&path, pickle, &storage(0, 0)),
            }
            refused(&path, expected);
        }
    }
}

#[test]
fn code_is_refused_by_name_and_never_run() {
    let (folder, path) = path();
    let mark = folder.path().join("mark");
    let command = text(&format!("touch {}", mark.display()));
    let good = tensor("dense.weight", ("0", 2), 0, &[1, 2], &[2, 1]);
    let call = |function: &[u8]| [text("run"), function.to_vec(), command.clone(), b"\x85R".to_vec()].concat();
    for (entry, expected) in [
        (call(b"cos\nsystem\n"), "os.system"),
        (call(b"cposix\nsystem\n"), "posix.system"),
        (call(b"\x8c\x02os\x8c\x06system\x93"), "os.system"),
        (call(b"cbuiltins\neval\n"), "builtins.eval"),
        (call(b"ctorch.storage\n_load_from_bytes\n"), "torch.storage._load_from_bytes"),
        (call(b"ctorch.hub\nload\n"), "torch.hub.load"),
        (call(b"ctorch\nload\n"), "torch.load"),
        (call(b"ccollections\nOrderedDict.__class__\n"), "collections.OrderedDict.__class__"),
        (call(b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n"), "__globals__"),
    ] {
        let expected = format!("would run code: {expected}");
        // Before the weights, after them, and in discarded values.
        let hidden = [b"(".to_vec(), entry.clone(), b"0".to_vec(), text("x"), b"t0".to_vec()].concat();
        for entries in [
            [entry.clone(), good.clone()].concat(),
            [good.clone(), entry.clone()].concat(),
            [hidden, good.clone()].concat(),
        ] {
            let pickle = dictionary(&entries);
            archive(&path, &pickle, &[("archive/data/0", &[0; 8])], Stored);
            refused(&path, if expected.contains("__globals__") { "__globals__" } else { &expected });
            legacy(&path, &pickle, &storage(2, 2));
            refused(&path, "refused");
        }
        // In the list of keys.
        let keys = [b"\x80\x02]".to_vec(), entry, b"0a.".to_vec()].concat();
        legacy(&path, &dictionary(&good), &keys);
        refused(&path, "refused");
    }
    for opcode in [b'i', b'o', 0x82, 0x92, b'P', b'2'] {
        archive(&path, &dictionary(&[opcode, b'\n', b'\n']), &[], Stored);
        refused(&path, "opcode");
    }
    assert!(!mark.exists());
}
