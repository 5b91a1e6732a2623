//! Damaged and malicious Keras files result in an error or are read without harm, in bounded time and memory; never in a
//! panic or a hang.

mod common;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use common::hostile::{cut_anywhere, extreme_numbers, flipped_bytes, random, read_all, rounds, soon};
use hdf5_writer::{AttributeBuilder, DatasetBuilder, Hdf5Builder, WriteOptions};
use lucida::nn::Network;
use lucida::weights;

const FILES: [&str; 5] = ["model.keras", "model.h5", "model_parts.h5", "model.weights.h5", "model_npz.keras"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keras/files")).join(name)
}

fn network() -> Network {
    weights::load_model(file("model.h5")).unwrap().network
}

#[test]
fn files_cut_anywhere_are_refused() {
    cut_anywhere(&FILES.map(file), &network(), |path, len, whole, model, loaded| {
        // The lost part may belong to the optimizer, or be padding; a successful read must then be complete.
        let what = format!("{} cut to {len} of {whole} bytes", path.display());
        assert!(model.is_err() || loaded.is_ok(), "{what}");
        assert!(len * 2 > whole || loaded.is_err(), "{what}");
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

/// Parts of the file replaced by others: pointers to earlier structures, groups that contain themselves.
#[test]
fn structures_that_turn_back_on_themselves_do_no_harm() {
    let (folder, network) = (tempfile::tempdir().unwrap(), network());
    for (seed, name) in (40..).zip(["model.h5", "model_parts.h5", "model.weights.h5"]) {
        let bytes = fs::read(file(name)).unwrap();
        // All positions with a plausible file address.
        let address = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let places: Vec<usize> =
            (0..bytes.len() - 8).step_by(8).filter(|&at| (96..bytes.len() as u64).contains(&address(at))).collect();
        let path = folder.path().join(name);
        let mut random = random(seed);
        for _ in 0..rounds(300) {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let from = places[random.below(places.len())];
                let to = places[random.below(places.len())];
                damaged.copy_within(from..from + 8, to);
            }
            fs::write(&path, &damaged).unwrap();
            let _ = read_all(&path, &network);
        }
    }
}

#[test]
fn a_zip_bomb_is_refused_before_it_unpacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.keras");
    let options = || {
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated).large_file(true)
    };
    let config = {
        let mut archive = zip::ZipArchive::new(fs::File::open(file("model.keras")).unwrap()).unwrap();
        std::io::read_to_string(archive.by_name("config.json").unwrap()).unwrap()
    };
    for bomb in ["config.json", "model.weights.h5", "model.weights.npz"] {
        let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        if bomb != "config.json" {
            archive.start_file("config.json", options()).unwrap();
            archive.write_all(config.as_bytes()).unwrap();
        }
        archive.start_file(bomb, options()).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..300).for_each(|_| archive.write_all(&zeros).unwrap());
        archive.finish().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        let message = soon(&path, || weights::load_model(&path)).unwrap_err().to_string();
        assert!(message.contains("limit") && message.contains(bomb), "{message}");
    }
}

/// A description whose parsed form takes a hundred times its size in memory.
#[test]
fn a_description_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.keras");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    archive.start_file("config.json", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(format!("[{}]", vec![r#"{"a":1}"#; 1_500_000].join(",")).as_bytes()).unwrap();
    archive.finish().unwrap();
    let message = read_all(&path, &network()).0.unwrap_err().to_string();
    assert!(message.contains("config.json") && message.contains("over the limit"), "{message}");
}

/// Writes a NumPy archive inside a model archive.
fn npz(path: &Path, members: &[(String, Vec<u8>)]) {
    let options = || zip::write::SimpleFileOptions::default();
    let mut inner = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        inner.start_file(name.as_str(), options().compression_method(zip::CompressionMethod::Deflated)).unwrap();
        inner.write_all(bytes).unwrap();
    }
    let inner = inner.finish().unwrap().into_inner();
    let mut model = zip::ZipArchive::new(fs::File::open(file("model_npz.keras")).unwrap()).unwrap();
    let config = std::io::read_to_string(model.by_name("config.json").unwrap()).unwrap();
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in [("config.json", config.as_bytes()), ("model.weights.npz", &inner)] {
        archive.start_file(name, options().compression_method(zip::CompressionMethod::Stored)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

/// A pickle as a NumPy array of one object.
fn array(pickle: &[u8]) -> Vec<u8> {
    let header = format!("{:<117}\n", "{'descr': '|O', 'fortran_order': False, 'shape': (), }");
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), pickle].concat()
}

/// A dictionary of one variable, whose declared and actual size may differ.
fn variable(dtype: &str, shape: &[i32], bytes: &[u8]) -> Vec<u8> {
    let number = |number: i32| [b"J", &number.to_le_bytes()[..]].concat();
    [
        b"\x80\x04}\x8c\x010cnumpy\n_reconstruct\n)R(K\x01(".to_vec(),
        shape.iter().flat_map(|&size| number(size)).collect(),
        format!("tcnumpy\ndtype\n(\u{8c}\u{2}{dtype}tR").chars().map(|c| c as u8).collect(),
        b"\x89B".to_vec(),
        (bytes.len() as u32).to_le_bytes().to_vec(),
        bytes.to_vec(),
        b"tbs.".to_vec(),
    ]
    .concat()
}

#[test]
fn arrays_of_numpy_made_to_do_harm_are_refused() {
    let (folder, network) = (tempfile::tempdir().unwrap(), network());
    let path = folder.path().join("x.keras");
    let mark = folder.path().join("mark");
    let refused = |members: &[(String, Vec<u8>)], expected: &str| {
        npz(&path, members);
        let (model, loaded) = read_all(&path, &network);
        assert!(model.is_err());
        let message = loaded.unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    };
    let one = |bytes: Vec<u8>| [("layers/dense.npy".to_owned(), bytes)];
    // A valid variable, but the only one.
    refused(&one(array(&variable("f4", &[1, 2], &[0; 8]))), "does not fit network");
    // Many members, each of which may be large; one of them all zeros.
    let zeros = array(&variable("u1", &[15 << 20], &vec![0; 15 << 20]));
    let many: Vec<_> = (0..40).map(|index| (format!("layers/l{index}.npy"), zeros.clone())).collect();
    refused(&many, "limit");
    refused(&one(array(&variable("u1", &[1], &vec![0; 100 << 20]))), "limit");
    // Declared terabytes, negative sizes, a header longer than the file.
    refused(&one(array(&variable("f4", &[i32::MAX, i32::MAX], &[0; 8]))), "contains no array");
    refused(&one(array(&variable("f4", &[-1, -2], &[0; 8]))), "contains no array");
    refused(&one(array(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.")), "cut short");
    refused(&one(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec()), "its header is cut short");
    // Code before, inside and after the dictionary; values that contain themselves.
    let call = format!("touch {}", mark.display());
    let call = [b"cposix\nsystem\nX", &(call.len() as u32).to_le_bytes()[..], call.as_bytes(), b"\x85R"].concat();
    refused(&one(array(&[b"\x80\x04}\x8c\x010".to_vec(), call.clone(), b"s.".to_vec()].concat())), "contains no array");
    refused(&one(array(&[b"\x80\x04".to_vec(), call.clone(), b".".to_vec()].concat())), "no dictionary");
    refused(&one(array(&[b"\x80\x04".to_vec(), call, b"0}.".to_vec()].concat())), "");
    refused(&one(array(b"\x80\x04}q\x00\x8c\x010h\x00s.")), "contains no array");
    refused(&one(array(b"\x80\x04]q\x00h\x00a.")), "no dictionary");
    // Names that point outside of the archive are treated like any other.
    let out = array(&variable("f4", &[1], &[0; 4]));
    refused(&[("layers/../../out.npy".to_owned(), out.clone()), ("/out.npy".to_owned(), out)], "");
    assert!(!mark.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Lists that repeat the same group or tensor many times.
#[test]
fn lists_without_end_are_refused() {
    let (folder, network) = (tempfile::tempdir().unwrap(), network());
    let path = folder.path().join("x.h5");
    for (layers, weights) in [(40_000, 1000), (1, 40_000), (60_000, 1)] {
        let list =
            |name: &str, text: &str, len: usize| AttributeBuilder::fixed_string_vector(name, &vec![text; len]).unwrap();
        let file = Hdf5Builder::new()
            .attribute(list("layer_names", "a", layers))
            .group_attribute("a", list("weight_names", "k", weights))
            .dataset(DatasetBuilder::typed_data("a/k", vec![1], &[1.0_f32]).unwrap());
        fs::write(&path, file.into_plan().unwrap().encode(WriteOptions::default()).unwrap()).unwrap();
        let message = read_all(&path, &network).1.unwrap_err().to_string();
        let expected = if layers == 1 { "does not fit network" } else { "over the limit of 50000" };
        assert!(message.contains(expected) && message.len() < 1000, "{message}");
    }
}

#[test]
fn groups_that_contain_themselves_are_refused() {
    let network = network();
    for (name, expected) in [("cycle.weights.h5", "contains itself"), ("links.weights.h5", "")] {
        let (model, loaded) = read_all(&file(name), &network);
        assert!(model.is_err());
        let message = loaded.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// A shape of terabytes in place of (6, 5).
#[test]
fn a_tensor_of_terabytes_is_refused() {
    let (folder, network) = (tempfile::tempdir().unwrap(), network());
    let path = folder.path().join("large.h5");
    let shape = [6_u64.to_le_bytes(), 5_u64.to_le_bytes()].concat();
    for name in ["model.h5", "model.weights.h5", "model.keras"] {
        let mut bytes = fs::read(file(name)).unwrap();
        let places: Vec<usize> = (0..bytes.len() - 16).filter(|&at| bytes[at..at + 16] == shape).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        let (model, loaded) = read_all(&path, &network);
        assert!(model.is_err());
        let message = loaded.unwrap_err().to_string();
        assert!(name == "model.keras" || message.contains("1099511627776"), "{message}");
    }
}

/// An archive member whose declared size is wrong.
#[test]
fn an_archive_that_lies_about_sizes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lie.keras");
    let bytes = fs::read(file("model.keras")).unwrap();
    let entry = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    for (offset, value) in [(20, u32::MAX - 1), (24, u32::MAX - 1), (24, 5), (42, 1 << 30)] {
        let mut damaged = bytes.clone();
        damaged[entry + offset..entry + offset + 4].copy_from_slice(&value.to_le_bytes());
        fs::write(&path, &damaged).unwrap();
        assert!(weights::load_model(&path).is_err(), "{offset} {value}");
    }
}
