use super::*;
use crate::nn::layers::ActivationKind;
use crate::train::RunFolder;
use crate::weights::{keras_h5, modules, safetensors, torch};

fn spec(model: &Path) -> ModelSpec {
    ModelSpec::new(model.to_str().unwrap())
}

#[test]
fn names_files_and_folders() {
    assert_eq!(IN_RUN, RunFolder::FILES[0]);
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let model = Model::of_architecture(applications::find("mnist-cnn").unwrap(), &Options::default().seed(3)).unwrap();
    safetensors::save_model(&model, run.join(IN_RUN)).unwrap();
    let same = |found: Model| {
        assert_eq!(found.preprocessing, model.preprocessing);
        let equal = found.network.weights().iter().zip(model.network.weights()).all(|(a, b)| a.values() == b.values());
        assert!(equal && found.network.weights().len() == model.network.weights().len());
    };
    same(open(&spec(&run)).unwrap());
    same(open(&spec(&run.join(IN_RUN))).unwrap());
    let weights = Some(run.join(IN_RUN));
    same(open(&ModelSpec { weights: weights.clone(), ..ModelSpec::new("mnist-cnn") }).unwrap());

    // Weights alone need a network's name.
    let bare = folder.path().join("bare.weights.h5");
    keras_h5::save_weights(&model.network, &bare).unwrap();
    assert!(matches!(open(&spec(&bare)).unwrap_err(), Error::WeightsOnly { path, .. } if path == bare));
    same(open(&ModelSpec { network: Some("mnist-cnn".into()), ..spec(&bare) }).unwrap());
    let message = open(&ModelSpec { network: Some("lenet5".into()), ..spec(&bare) }).unwrap_err().to_string();
    assert!(message.contains("bare.weights.h5: does not fit network lenet5"), "{message}");

    let fails = |spec: ModelSpec, expected: &str| {
        let message = open(&spec).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    };
    fails(ModelSpec::new("mnist-cnn"), "mnist-cnn: this is the name of a network without weights");
    fails(ModelSpec::new("mnist-cn"), "mnist-cn: no such model file or run folder; unknown network");
    fails(ModelSpec::new("none.keras"), "none.keras: no such model file or run folder");
    fails(ModelSpec { weights: weights.clone(), ..spec(&run) }, "a file of weights goes with the name of a network");
    fails(ModelSpec { weights, ..ModelSpec::new(BUILTIN) }, "has weights of its own");
    fails(ModelSpec { network: Some(BUILTIN.into()), ..spec(&run) }, "vgg16-builtin has weights of its own");
    fails(ModelSpec { network: Some("lenet5".into()), ..ModelSpec::new("none") }, "none: no such weights file");
    fails(ModelSpec { size: Some([56, 56]), ..spec(&run) }, "cannot take 56x56 pixels: dense/kernel");
    fails(ModelSpec { weights: Some("none.h5".into()), ..ModelSpec::new("vgg16") }, "none.h5: cannot read");

    let network = open_network(&ModelSpec { size: Some([150, 150]), ..ModelSpec::new("inception-v3") }).unwrap();
    assert_eq!(network.input_shape().unwrap().as_image(), Some([150, 150, 3]));
    let builtin = open(&ModelSpec { size: Some([40, 64]), ..ModelSpec::new(BUILTIN) }).unwrap();
    assert_eq!(builtin.preprocessing.unwrap().output_shape(), [40, 64, 3]);
}

/// The caller's settings take precedence over those in the file next to the model, and nothing is written.
#[test]
fn settings_in_place_of_those_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.safetensors");
    let layers: [crate::nn::Layer; 2] =
        [crate::nn::layers::Flatten::new().into(), crate::nn::layers::Dense::new(2).into()];
    let network = crate::nn::Network::sequential("small", [4, 4, 3], layers, 1).unwrap();
    safetensors::save_model(&Model::new(network), &file).unwrap();
    let prepared = |text: &str| {
        let unit = crate::data::Preprocessing::unit(9, 9, crate::data::ColorMode::Rgb);
        Some(text.parse::<PreprocessingChoice>().unwrap().apply(unit).unwrap())
    };
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let stored = ModelSettings { preprocessing: prepared("tf"), class_names: names(["a", "b"]), task: None };
    stored.save(&file).unwrap();
    let spec = spec(&file);
    assert_eq!(spec.file().unwrap(), Some(file.clone()));
    assert_eq!(ModelSpec::new(BUILTIN).file().unwrap(), None);
    assert_eq!(ModelSpec::new("vgg16").file().unwrap(), None);
    assert!(ModelSpec::new("none.keras").file().is_err());
    let text = |model: &Model| model.preprocessing.as_ref().unwrap().to_string();
    let found = open(&spec).unwrap();
    assert_eq!((text(&found).as_str(), &found.class_names), ("tf", &stored.class_names));
    let given = ModelSettings {
        preprocessing: prepared("caffe,pad"),
        class_names: names(["c", "d"]),
        task: Some(Task::Regress),
    };
    let found = open_with(&spec, given).unwrap();
    assert_eq!((text(&found).as_str(), found.class_names), ("caffe,pad", names(["c", "d"])));
    assert_eq!(found.preprocessing.unwrap().output_shape(), [4, 4, 3]);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let found = open_with(&spec, ModelSettings::default()).unwrap();
    assert!(found.class_names.is_empty() && found.notes.contains(&Note::Preprocessing));
    let three = ModelSettings { class_names: vec!["a".into(); 3], ..ModelSettings::default() };
    assert!(open_with(&spec, three).is_err());
    assert_eq!(ModelSettings::load(&file).unwrap(), Some(stored));
}

/// A file determines whether there is a classifier and the number of classes; a command, whether one is needed.
#[test]
fn weights_with_and_without_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let known = applications::find("inception-v3").unwrap();
    let of = |options: Options, name: &str| {
        let mut network = known.build(&options).unwrap();
        network.weights_mut()[0].values_mut()[7] = 0.25;
        let path = folder.path().join(name);
        safetensors::save_model(&Model::new(network), &path).unwrap();
        ModelSpec { weights: Some(path), ..ModelSpec::new("inception-v3") }
    };
    let shape = |spec: &ModelSpec| {
        let model = open(spec).unwrap();
        model.check().unwrap();
        assert_eq!(model.network.weights()[0].values()[7], 0.25);
        let [height, width, _] = model.preprocessing.unwrap().output_shape();
        (model.network.output().unwrap().shape().sizes().to_vec(), [height, width])
    };
    let (size, top) = (Some([150, 120]), IncludeTop::Unneeded);
    let with = of(Options::default().classes(5), "top.safetensors");
    assert_eq!(shape(&with), (vec![5], [299, 299]));
    assert_eq!(shape(&ModelSpec { top, ..with.clone() }), (vec![5], [299, 299]));
    // Its classifier averages over the image, so that any size is possible.
    assert_eq!(shape(&ModelSpec { size, ..with.clone() }), (vec![5], [150, 120]));
    assert_eq!(shape(&ModelSpec { size, top, ..with }), (vec![5], [150, 120]));

    let without = of(Options::without_top(), "bare.safetensors");
    assert_eq!(shape(&ModelSpec { size, top, ..without.clone() }), (vec![3, 2, 2048], [150, 120]));
    let error = open(&without).unwrap_err();
    assert!(matches!(error, Error::NoClassifier { network: "inception-v3", .. }), "{error}");
}

/// The network is the same whether it is recognized or named, in both formats with torchvision's names.
#[test]
fn naming_the_network_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("squeezenet1-1", Options::default().classes(7)),
        ("squeezenet1-1", Options::default()),
        ("resnet18", Options::default().classes(3)),
        ("resnet18", Options::without_top()),
    ] {
        let network = applications::find(name).unwrap().build(&options.clone().seed(2)).unwrap();
        for ending in ["pth", "safetensors"] {
            let path = folder.path().join(format!("weights.{ending}"));
            if ending == "pth" {
                torch::save_weights(&network, &path).unwrap();
            } else {
                modules::save_plain(&network, &path);
            }
            let plain = ModelSpec { top: IncludeTop::Unneeded, ..spec(&path) };
            let model = open(&plain).unwrap();
            // PyTorch has no softmax, which is part of the loss.
            let expected = match options.top {
                true => network.clone().with_output_activation(ActivationKind::Linear).unwrap(),
                false => network.clone(),
            };
            assert_eq!(model.network.architecture(), expected.architecture(), "{name} {ending}");
            let named = [
                ModelSpec { network: Some(name.into()), ..plain.clone() },
                ModelSpec { model: name.into(), weights: Some(path), ..plain },
            ];
            for spec in named {
                let again = open(&spec).unwrap();
                assert_eq!(again.network.architecture(), model.network.architecture(), "{spec:?}");
                assert_eq!(again.preprocessing, model.preprocessing, "{spec:?}");
                let pairs = again.network.weights().iter().zip(network.weights());
                assert!(pairs.into_iter().all(|(a, b)| a.values() == b.values()), "{spec:?}");
            }
        }
    }
}

/// Tensors of a classifier that the network does not have are reported, never silently ignored.
#[test]
fn another_classifier_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let bare = applications::squeezenet1_1(&Options::without_top().seed(2)).unwrap();
    modules::save_plain_with(&bare, &path, &[("classifier.3.bias", &[2])]);
    let message = open(&ModelSpec { network: Some("squeezenet1-1".into()), top: IncludeTop::Unneeded, ..spec(&path) });
    let message = message.unwrap_err().to_string();
    assert!(message.contains("weights.safetensors") && message.contains("classifier.3.bias"), "{message}");
}

/// Keras weights for various numbers of classes: the classifier is a dense layer or a convolution.
#[test]
fn the_classes_of_a_file_of_keras_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.weights.h5");
    for name in ["mobilenet-v2", "mobilenet"] {
        let known = applications::find(name).unwrap();
        let network = known.build(&Options::default().classes(7).seed(1)).unwrap();
        keras_h5::save_weights(&network, &path).unwrap();
        let model = open(&ModelSpec { network: Some(name.into()), ..spec(&path) }).unwrap();
        assert_eq!(model.network.output().unwrap().shape().sizes(), [7], "{name}");
        assert!(model.network.weights().iter().zip(network.weights()).all(|(a, b)| a.values() == b.values()), "{name}");
    }
}
