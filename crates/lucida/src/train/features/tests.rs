use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;

use super::*;
use crate::data::{Folder, Mnist, Preprocessing};
use crate::nn::applications;

/// A folder of digits, and an untrained model.
fn setting() -> (tempfile::TempDir, Folder, Model) {
    let folder = tempfile::tempdir().unwrap();
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..40 {
        let class = folder.path().join("data").join(digits.label(index).to_string());
        fs::create_dir_all(&class).unwrap();
        digits.image(index).unwrap().save_png(class.join(format!("{index}.png"))).unwrap();
    }
    let data = Folder::builder(folder.path().join("data")).open().unwrap();
    let model =
        Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(applications::mnist_cnn(1).unwrap()) };
    (folder, data, model)
}

fn compute(store: &mut FeatureStore, model: &Model, set: (&dyn Dataset, Option<u32>, &[Key])) -> Result<usize> {
    features_of_base(store, model, "flatten", set, Cpu::detect(), &mut ())
}

#[test]
fn what_is_remembered_is_what_the_layer_says() {
    let (folder, data, model) = setting();
    let (set, cache) = (&data.train, folder.path().join("cache"));
    let keys = image_keys(set);
    let mut store = FeatureStore::open(&cache, &model, "flatten").unwrap();
    assert_eq!(compute(&mut store, &model, (set, None, &keys)).unwrap(), set.len());
    // Everything is cached, for this store and for one opened later.
    assert_eq!(compute(&mut store, &model, (set, None, &keys)).unwrap(), 0);
    let mut store = FeatureStore::open(&cache, &model, "flatten").unwrap();
    assert_eq!(compute(&mut store, &model, (set, None, &keys)).unwrap(), 0);
    assert_eq!(store.len(), set.len());

    let mut plan = Plan::builder(&model.network).output("flatten").build().unwrap();
    let features = FeatureSet::new(&store, set, &[keys]).unwrap();
    let mut seen = 0;
    let order = [5, 0, 7, 3, 1];
    let each = &mut |batch: Batch<'_>| {
        for ((&index, row), &label) in batch.indices.iter().zip(batch.images.chunks(store.width())).zip(batch.labels) {
            set.fill(index, model.preprocessing().unwrap(), plan.input_mut()).unwrap();
            plan.forward(&model.network).unwrap();
            assert!(row.iter().zip(plan.output(0)).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)));
            assert_eq!(label, set.label(index));
            seen += 1;
        }
        Ok(true)
    };
    features.each(Some(1), &order, 2, each).unwrap();
    assert_eq!(seen, 5);
}

#[test]
fn another_base_or_image_is_another_entry() {
    let (folder, data, model) = setting();
    let cache = folder.path().join("cache");
    let name = |model: &Model, layer: &str| FeatureStore::open(&cache, model, layer).unwrap().folder().to_path_buf();
    let mut changed = model.clone();
    changed.network.weights_mut()[0].values_mut()[0] += 1.0;
    let resized =
        Model { preprocessing: Some(Preprocessing { divisor: 1.0, ..Preprocessing::mnist() }), ..model.clone() };
    let names = [name(&model, "flatten"), name(&model, "conv2d"), name(&changed, "flatten"), name(&resized, "flatten")];
    assert!((0..4).all(|i| (0..i).all(|j| names[i] != names[j])), "{names:?}");
    // Layers after the cached one do not matter.
    let mut head = model.clone();
    head.network.weights_mut().last_mut().unwrap().values_mut()[0] += 1.0;
    assert_eq!(name(&head, "flatten"), names[0]);

    let augment: crate::data::Augment = "rotation=10".parse().unwrap();
    let keys = |seed, pass| augmented_keys(&data.train, &augment, seed, pass)[0];
    assert!(keys(1, 1) != keys(1, 2) && keys(1, 1) != keys(2, 1) && keys(1, 1) != image_keys(&data.train)[0]);
}

#[test]
fn a_cut_off_computation_keeps_what_was_done_and_damage_is_passed_over() {
    let (folder, data, model) = setting();
    let (set, cache) = (&data.train, folder.path().join("cache"));
    let keys = image_keys(set);
    let mut store = FeatureStore::open(&cache, &model, "flatten").unwrap();
    let calls = Cell::new(0);
    let stopped = features_of_base(
        &mut store,
        &model,
        "flatten",
        (&set.take(&[0, 1, 2]), None, &keys[..3]),
        Cpu::detect(),
        &mut |_: &Step<'_>| {
            calls.set(calls.get() + 1);
            ControlFlow::Break(())
        },
    );
    // All three were in the first batch.
    assert_eq!((stopped.unwrap(), calls.get()), (3, 1));
    let file = fs::read_dir(store.folder()).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..10], b"", b"LUCIDAF1\xff\xff\xff\xff\xff\xff\xff\xff"] {
        fs::write(&file, damaged).unwrap();
        assert!(FeatureStore::open(&cache, &model, "flatten").unwrap().is_empty());
    }
    let mut store = FeatureStore::open(&cache, &model, "flatten").unwrap();
    assert_eq!(compute(&mut store, &model, (set, None, &keys)).unwrap(), set.len());
}
