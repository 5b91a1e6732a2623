use std::fs;

use super::*;
use crate::core::{Purpose, Rng};
use crate::data::Preprocessing;
use crate::nn::applications;

fn model() -> Model {
    Model {
        preprocessing: Some(Preprocessing::mnist()),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        training: json!({ "seed": 1, "val_loss": 0.03 }),
        ..Model::new(applications::mnist_cnn(1).unwrap())
    }
}

fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_model(&model(), &path).unwrap();
    (folder, path)
}

fn refused(path: &Path, expected: &str) {
    let message = load_model(path).unwrap_err().to_string();
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    assert!(message.contains(path.to_str().unwrap()) && !message.contains('\n'), "{message}");
}

#[test]
fn a_model_survives_a_round_to_the_bit() {
    let (folder, path) = saved();
    let again = load_model(&path).unwrap();
    let first = model();
    assert_eq!(again.network.architecture(), first.network.architecture());
    assert_eq!((again.preprocessing.clone(), &again.class_names), (first.preprocessing, &first.class_names));
    assert_eq!(again.training, first.training);
    for (a, b) in again.network.weights().iter().zip(first.network.weights()) {
        assert_eq!((a.name(), a.shape(), a.values()), (b.name(), b.shape(), b.values()));
    }
    let second = folder.path().join("again.safetensors");
    save_model(&again, &second).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&second).unwrap());
}

#[test]
fn frozen_layers_stay_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut first = model();
    first.network.set_trainable("conv2d", false).unwrap();
    save_model(&first, &path).unwrap();
    let again = load_model(&path).unwrap().network;
    assert_eq!(again.parameters(), first.network.parameters());
    assert!(again.parameters().1 < again.parameters().0);
    assert_eq!(again.frozen().collect::<Vec<_>>(), ["conv2d"]);
    // A file without an entry for it, such as an older one, has no frozen layers.
    save_model(&model(), &path).unwrap();
    assert_eq!(load_model(&path).unwrap().network.frozen().count(), 0);
}

#[test]
fn the_reference_implementation_reads_it() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    let tensors = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kernel = tensors.tensor("dense_1/kernel").unwrap();
    assert_eq!(kernel.shape(), [128, 10]);
    let first = f32::from_le_bytes(kernel.data()[..4].try_into().unwrap());
    assert_eq!(first, model().network.weight("dense_1/kernel").unwrap().values()[0]);
    let inspection = inspect(&path).unwrap();
    assert_eq!((inspection.format, inspection.parameters()), ("Lucida model", 113_514));
    assert_eq!(inspection.tensors[0].name, "conv2d/kernel");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for part in 0..50 {
        let cut = bytes.len() * part / 50;
        fs::write(&path, &bytes[..cut]).unwrap();
        refused(&path, "not a model file");
    }
    fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
    refused(&path, "damaged");
}

#[test]
fn flipped_bytes_never_panic() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut rng = Rng::keyed(1, Purpose::Choice, 0);
    for _ in 0..400 {
        let mut damaged = bytes.clone();
        damaged[rng.below(header)] ^= rng.next_u32() as u8 | 1;
        fs::write(&path, &damaged).unwrap();
        // Some bytes (of a name in the training record) may change without harm.
        let _ = load_model(&path);
    }
}

#[test]
fn other_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    fs::write(&path, "").unwrap();
    refused(&path, "it is empty");
    fs::write(&path, "just a text, and not a short one").unwrap();
    refused(&path, "announce a header");
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    refused(&path, "announce a header");
    let text = br#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
    fs::write(&path, [&(text.len() as u64).to_le_bytes()[..], text].concat()).unwrap();
    refused(&path, "cut short");
    let text = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    fs::write(&path, [&(text.len() as u64).to_le_bytes()[..], text, &[0; 4]].concat()).unwrap();
    refused(&path, "no Lucida model");
    let missing = folder.path().join("missing.safetensors");
    assert!(matches!(load_model(&missing), Err(Error::Io { .. })));
    assert!(load_model(folder.path()).unwrap_err().to_string().contains("folder"));
}

#[test]
fn weights_of_another_architecture_are_refused_and_leave_the_network_alone() {
    let (_folder, path) = saved();
    let layers = [crate::nn::layers::Dense::new(10).into()];
    let mut other = Network::sequential("other", [784], layers, 3).unwrap();
    let before = other.weights()[0].values().to_vec();
    let message = load_weights(&path, &mut other).unwrap_err().to_string();
    assert!(message.contains("network other"), "{message}");
    assert_eq!(other.weights()[0].values(), before);
    let mut same = applications::mnist_cnn(99).unwrap();
    load_weights(&path, &mut same).unwrap();
    assert_eq!(same.weights()[0].values(), model().network.weights()[0].values());
}

#[test]
fn a_description_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let mut wrong = model();
    wrong.class_names.pop();
    save_model(&wrong, &path).unwrap();
    refused(&path, "9 class names");
    let mut wrong = model();
    wrong.preprocessing = Some(Preprocessing::vgg());
    save_model(&wrong, &path).unwrap();
    refused(&path, "(224, 224, 3)");
}
