//! Damaged and malicious Keras files: an error or a harmless success, soon, in little memory; never a panic or a hang.

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::hostile::{Random, cut_anywhere, extreme_numbers, flipped_bytes, read_all, rounds};
use lucida::nn::Network;
use lucida::weights;

const FILES: [&str; 5] = ["model.keras", "model.h5", "model_parts.h5", "model.weights.h5", "model_npz.keras"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keras/files")).join(name)
}

fn network() -> Network {
    weights::load_model(&file("model.h5")).unwrap().network
}

#[test]
fn files_cut_anywhere_are_refused() {
    cut_anywhere(&FILES.map(file), &network(), |path, len, whole, model, loaded| {
        // What is cut off may be of the optimizer, or padding; what is read must then be all of it.
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

/// Parts of the file in the place of others: pointers that lead back, groups that contain themselves.
#[test]
fn structures_that_turn_back_on_themselves_do_no_harm() {
    let (folder, network) = (tempfile::tempdir().unwrap(), network());
    for (seed, name) in (40..).zip(["model.h5", "model_parts.h5", "model.weights.h5"]) {
        let bytes = fs::read(file(name)).unwrap();
        // All places that hold what looks like an address in the file.
        let address = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let places: Vec<usize> =
            (0..bytes.len() - 8).step_by(8).filter(|&at| (96..bytes.len() as u64).contains(&address(at))).collect();
        let path = folder.path().join(name);
        let mut random = Random(seed);
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
        let start = Instant::now();
        let message = weights::load_model(&path).unwrap_err().to_string();
        assert!(message.contains("limit") && message.contains(bomb), "{message}");
        assert!(start.elapsed() < Duration::from_secs(1));
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

/// A member of an archive that declares another size than it has.
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
