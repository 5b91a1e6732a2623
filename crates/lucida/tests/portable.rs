//! What WebAssembly must compute as the machine does that it runs on. A native run records weights, predictions and
//! explanations in `target/tmp`; a run in WebAssembly reads the weights as bytes and compares:
//!
//! ```text
//! cargo test --release -p lucida --test portable
//! cargo test --release -p lucida --test portable --no-default-features --target wasm32-wasip1    # see .ci/run
//! ```
//!
//! No file is opened by the library: models come from bytes, images from those that are built in.

use std::path::{Path, PathBuf};

use lucida::Isa;
use lucida::data::chelsea;
use lucida::explain::{self, Deconvnet, maximize, strongest_filters};
use lucida::files::{read_npy, write_npy};
use lucida::prelude::*;
use lucida::weights::builtin_classifier;

/// Number of digits that are predicted.
const DIGITS: usize = 32;

/// A file of the record. A build for another target has a folder of its own within that of the native one.
fn record(name: &str) -> PathBuf {
    let native = if cfg!(target_family = "wasm") { "../../tmp" } else { "" };
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(native).join("portable").join(name)
}

/// Records values, `[rows, values.len() / rows]`; in WebAssembly, compares them with the record, relative to its largest
/// value. Without a record, says that it skips.
fn check(name: &str, rows: usize, values: &[f32], tolerance: f32) {
    assert!(values.iter().all(|value| value.is_finite()), "{name}");
    let path = record(&format!("{name}.npy"));
    if cfg!(not(target_family = "wasm")) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_npy(&path, &[rows, values.len() / rows], values).unwrap();
        return;
    }
    if !path.exists() {
        eprintln!("skipped: no record of {name}; run this test natively first");
        return;
    }
    let expected = read_npy(&path).unwrap();
    assert_eq!(expected.values().len(), values.len(), "{name}");
    let largest = expected.values().iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let error = expected.values().iter().zip(values).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs())) / largest;
    eprintln!("{name}: relative error {error:.1e}");
    assert!(error <= tolerance, "{name}: {error} > {tolerance}");
}

fn digits() -> (Subset<LabeledImages>, Vec<Image>) {
    let digits = Mnist::builtin().unwrap().train;
    let images = (0..DIGITS).map(|index| digits.image(5000 + index).unwrap()).collect();
    (Subset::new(digits, (0..640).collect()).unwrap(), images)
}

fn probabilities(model: &Model, images: &[Image]) -> Vec<f32> {
    let of = |predicted: Predicted| match predicted {
        Predicted::Class(found) => found.probabilities,
        other => panic!("{other:?}"),
    };
    model.predict(images).unwrap().into_iter().flat_map(of).collect()
}

/// The processor to train on. Training amplifies rounding: after 20 steps, the losses of a fused multiply-add differ by a
/// thousandth from those of a product and a sum, which is what WebAssembly's vectors compute, and the scalar version.
fn unfused() -> Cpu {
    let cpu = Cpu::detect().with_threads(1);
    if cfg!(target_family = "wasm") { cpu } else { cpu.with_isa(Isa::from_name("scalar").unwrap()) }
}

/// Trains a few steps; the losses.
fn train() -> (Model, Vec<f32>) {
    let (train, _) = digits();
    let mut model = Model::new(applications::mnist_cnn(42).unwrap()).with_preprocessing(Preprocessing::mnist());
    let config = TrainConfig { epochs: 2, batch_size: 64, cpu: unfused(), ..TrainConfig::default() };
    let result = Trainer::new(config).fit(&mut model, &train, None).unwrap();
    (model, result.history.epochs.iter().map(|epoch| epoch.loss as f32).collect())
}

#[test]
fn a_network_is_trained() {
    let (model, losses) = train();
    assert!(losses[1] < 0.9 * losses[0], "{losses:?}");
    // Relaxed SIMD may fuse.
    check("losses", 1, &losses, if cfg!(target_feature = "relaxed-simd") { 1e-3 } else { 1e-5 });
    if cfg!(not(target_family = "wasm")) {
        std::fs::create_dir_all(record("")).unwrap();
        for name in MODELS {
            model.save(record(name)).unwrap();
        }
    }
}

/// The trained network in each format that has networks.
const MODELS: [&str; 4] = ["digits.safetensors", "digits.keras", "digits.h5", "digits.onnx"];

/// The recorded network, from bytes. Where there is no record, one that is trained here.
fn recorded(name: &str) -> Model {
    match std::fs::read(record(name)) {
        Ok(bytes) if cfg!(target_family = "wasm") => {
            let model = Model::from_bytes(name, bytes).unwrap();
            model.with_preprocessing(Preprocessing::mnist())
        }
        _ => train().0,
    }
}

#[test]
fn the_same_weights_predict_the_same() {
    let (_, images) = digits();
    let first = probabilities(&recorded(MODELS[0]), &images);
    check("predictions", DIGITS, &first, 1e-5);
    for name in MODELS {
        let found = probabilities(&recorded(name), &images);
        let same = found.iter().zip(&first).all(|(a, b)| (a - b).abs() <= 1e-6);
        assert!(same, "{name}");
    }
}

#[test]
fn explanations_are_the_same() {
    let (model, (_, images)) = (recorded(MODELS[0]), digits());
    let mut input = vec![0.0; 28 * 28];
    model.preprocessing().unwrap().apply(&images[0], &mut input).unwrap();
    let mut explainer = Explainer::new(&model, &ExplainConfig::default()).unwrap();
    let (class, _) = explainer.predict(&input).unwrap();
    let map = explainer.explain(&input, class, Method::GradCam).unwrap();
    check("grad-cam", map.size[0], &map.values, 1e-4);

    let mut deconvnet = Deconvnet::new(&model.network, "conv2d_1", 1, Cpu::detect()).unwrap();
    let layout = deconvnet.field().layout();
    let filter = strongest_filters(deconvnet.activations(&model.network, &input).unwrap(), layout, 1)[0];
    let target = explain::Target { filter, position: None };
    let found = deconvnet.project(&model.network, &[&input], &[target]).unwrap();
    check("deconvnet", 28, &found[0].values, 1e-4);

    let method = maximize::Method::Fourier(Fourier { steps: 16, starts: 1, ..Fourier::default() });
    let (target, filters) = (Target::layer("conv2d_1"), [Objective::Channel(filter)]);
    let preprocessing = model.preprocessing.as_ref();
    let found =
        maximize::maximize(&model.network, preprocessing, &target, &filters, &method, Cpu::detect(), &mut ()).unwrap();
    check("maximization", 1, &[found[0].value], 1e-2);
}

#[test]
fn the_built_in_classifier_predicts_the_same() {
    check("classifier", 1, &probabilities(&builtin_classifier().unwrap(), &[chelsea().unwrap()]), 1e-5);
}

/// Keras's own files, where they are next to the checkout.
#[test]
fn files_of_keras_open_from_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let (_, images) = digits();
    let mut first: Option<Vec<f32>> = None;
    for name in ["mnist_cnn.keras", "mnist_cnn.h5"] {
        let Ok(bytes) = std::fs::read(folder.join(name)) else {
            println!("skipped: there is no ../shared/golden/{name} next to this checkout");
            continue;
        };
        let model = Model::from_bytes(name, bytes).unwrap();
        let found = probabilities(&model, &images);
        check(name, DIGITS, &found, 1e-5);
        let same = first.get_or_insert_with(|| found.clone()).iter().zip(&found).all(|(a, b)| a == b);
        assert!(same, "{name}");
    }
}
