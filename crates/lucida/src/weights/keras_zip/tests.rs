use std::fs;

use super::*;
use crate::data::Preprocessing;
use crate::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, Add, AspectRatio, AveragePooling2D,
    AxisSlice, BatchNormalization, CenterCrop, Concatenate, Conv2D, Conv2DTranspose, Cropping2D, Dense, DepthToSpace,
    DepthwiseConv2D, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, Input, Interpolation, MaxPooling2D,
    Pad2D, PadMode, Padding, Permute, Reshape, Resizing, SeparableConv2D, Slice, SpaceToDepth, UpSampling2D,
    ZeroPadding2D,
};
use crate::nn::{Layer, Plan};
use crate::weights;
use crate::weights::Note;

/// A network with a layer of each kind.
fn every_layer() -> Network {
    let mut b = Network::builder("every_layer");
    let relu = || Activation::new(ActivationKind::Relu);
    let input = b.add(Input::new([12, 10, 3]), &[]).unwrap();
    let padded = b.add(ZeroPadding2D { padding: [[1, 2], [0, 3]] }, &[input]).unwrap();
    let stem = Conv2D::new(6, [3, 2]).strides([2, 1]).padding(Padding::Same).activation(ActivationKind::Tanh);
    let stem = b.add(stem, &[padded]).unwrap();
    let norm = b.add(BatchNormalization { momentum: 0.9, scale: false, ..Default::default() }, &[stem]).unwrap();
    let left = b.add(relu(), &[norm]).unwrap();
    let right = b.add(Conv2D::new(6, [1, 1]).without_bias(), &[stem]).unwrap();
    let sum = b.add(Add::new(), &[left, right]).unwrap();
    let max = b.add(MaxPooling2D::new([3, 3]).strides([2, 2]), &[sum]).unwrap();
    let mean = b.add(AveragePooling2D::default(), &[sum]).unwrap();
    let adapted = b.add(AdaptiveAveragePooling2D::new([4, 6]), &[mean]).unwrap();
    let flat = b.add(Flatten::new(), &[adapted]).unwrap();
    let a = b.add(GlobalAveragePooling2D::new(), &[max]).unwrap();
    let m = b.add(GlobalMaxPooling2D::new(), &[max]).unwrap();
    let all = b.add_named("mixed", Concatenate::new(), &[a, m, flat]).unwrap();
    let dropped = b.add(Dropout::new(0.25), &[all]).unwrap();
    let out = b.add_named("predictions", Dense::new(4).activation(ActivationKind::Softmax), &[dropped]).unwrap();
    let mut network = b.build(&[out], 9).unwrap();
    network.set_trainable("conv2d_1", false).unwrap();
    network
}

#[test]
fn layers_that_pad_pool_resize_and_move_survive_a_round() {
    let border = [[1, 2], [0, 3]];
    let all = AxisSlice::all();
    let layers: Vec<Layer> = vec![
        Pad2D { padding: [[1, 2], [0, 3]], mode: PadMode::Constant(0.5) }.into(),
        Pad2D { padding: [[1, 0], [2, 0]], mode: PadMode::Reflect }.into(),
        Cropping2D::new(border).into(),
        UpSampling2D::new([2, 3]).interpolation(Interpolation::Bilinear).into(),
        Resizing { antialias: true, aspect_ratio: AspectRatio::Crop, ..Resizing::new(12, 8) }.into(),
        CenterCrop::new(8, 6).into(),
        AdaptiveMaxPooling2D::new([6, 4]).into(),
        SpaceToDepth::new(2).into(),
        DepthToSpace::new(2).into(),
        Slice::new([AxisSlice::Range { start: Some(1), stop: None, step: 2 }, all, all]).into(),
        Permute::new([2, 1, 3]).into(),
        Reshape::new([-1, 2, 6]).into(),
        GlobalAveragePooling2D::keeping_dims().into(),
    ];
    let network = Network::sequential("moved", [12, 10, 3], layers, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.keras");
    save_model(&Model::new(network.clone()), &path).unwrap();
    let again = weights::load_model(&path).unwrap().network;
    assert_eq!(again.architecture(), network.architecture());
}

fn model() -> Model {
    Model {
        preprocessing: Some(Preprocessing::unit(12, 10, crate::data::ColorMode::Rgb)),
        class_names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        training: json!({ "seed": 1 }),
        ..Model::new(every_layer())
    }
}

fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.keras");
    save_model(&model(), &path).unwrap();
    (folder, path)
}

#[test]
fn a_model_of_all_layers_survives_a_round_to_the_bit() {
    let (folder, path) = saved();
    let (first, again) = (model(), weights::load_model(&path).unwrap());
    let layers = |network: &Network| {
        // After a round trip, the nodes are in Keras's order; the layers are the same.
        let mut layers = network.architecture()["layers"].as_array().unwrap().clone();
        layers.sort_by_key(|layer| layer["name"].to_string());
        layers
    };
    assert_eq!(layers(&again.network), layers(&first.network));
    assert_eq!((&again.preprocessing, &again.class_names), (&first.preprocessing, &first.class_names));
    assert_eq!(again.training, first.training);
    for a in again.network.weights() {
        let b = first.network.weight(a.name()).unwrap();
        assert_eq!((a.shape(), a.values(), a.trainable()), (b.shape(), b.values(), b.trainable()), "{}", a.name());
    }
    let second = folder.path().join("again.keras");
    save_model(&again, &second).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&second).unwrap());
}

/// The other convolutions, with various options.
fn convolutions() -> Network {
    let relu = ActivationKind::Relu;
    let layers = [
        Conv2D::new(6, [3, 3]).dilation_rate([2, 1]).groups(2).padding(Padding::Same).into(),
        DepthwiseConv2D::new([3, 2]).strides([2, 2]).depth_multiplier(2).padding(Padding::Same).activation(relu).into(),
        DepthwiseConv2D::new([3, 3]).dilation_rate([2, 2]).padding(Padding::Explicit([[1, 2], [0, 3]])).into(),
        SeparableConv2D::new(5, [3, 3]).depth_multiplier(2).padding(Padding::Same).activation(relu).into(),
        SeparableConv2D { use_bias: false, ..SeparableConv2D::new(4, [2, 2]) }.into(),
        Conv2DTranspose::new(3, [3, 3]).strides([2, 2]).padding(Padding::Same).activation(relu).into(),
        Conv2DTranspose::new(3, [3, 3]).strides([2, 2]).padding(Padding::Same).output_padding([1, 0]).into(),
        Conv2DTranspose::new(2, [2, 2]).dilation_rate([2, 2]).without_bias().into(),
    ];
    let mut network = Network::sequential("convolutions", [12, 10, 4], layers, 9).unwrap();
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name().ends_with("bias")) {
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = 0.1 * (i % 5) as f32 - 0.15);
    }
    network
}

#[test]
fn convolutions_of_all_kinds_survive_a_round() {
    let folder = tempfile::tempdir().unwrap();
    let first = Model::new(convolutions());
    let run = |network: &Network| {
        let mut plan = crate::nn::Plan::builder(network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 7919 % 101) as f32 - 50.0) / 25.0);
        plan.forward(network).unwrap();
        plan.output(0).to_vec()
    };
    for name in ["model.keras", "model.h5"] {
        let path = folder.path().join(name);
        weights::save_model(&first, &path).unwrap();
        let again = weights::load_model(&path).unwrap();
        assert_eq!(run(&again.network), run(&first.network), "{name}");
        let kinds = |network: &Network| {
            let nodes = network.nodes().iter().filter(|node| node.layer().is_convolution());
            nodes.map(|node| node.layer().class_name()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&again.network), kinds(&first.network));
    }
}

#[test]
fn what_keras_2_writes_of_a_depthwise_convolution_is_read() {
    let options = json!({
        "name": "dw", "trainable": true, "dtype": "float32", "kernel_size": [3, 3], "strides": [1, 1], "padding": "same",
        "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1, "activation": "linear", "use_bias": false,
        "bias_initializer": {"class_name": "Zeros", "config": {}}, "bias_regularizer": null,
        "activity_regularizer": null, "bias_constraint": null, "depth_multiplier": 1,
        "depthwise_initializer": {"class_name": "VarianceScaling", "config": {"scale": 1, "mode": "fan_avg"}},
        "depthwise_regularizer": null, "depthwise_constraint": null,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {}}, "kernel_regularizer": null,
        "kernel_constraint": null
    });
    let (mut notes, input) = (Vec::new(), crate::nn::Shape::from([5, 5, 3]));
    let mut config = crate::nn::keras_config::KerasConfig::new(options.as_object().unwrap(), &input, &mut notes);
    config.dtype().unwrap();
    let layer = crate::nn::Layer::from_keras("DepthwiseConv2D", &mut config).unwrap().unwrap();
    config.nothing_left().unwrap();
    let expected = DepthwiseConv2D::new([3, 3]).padding(Padding::Same).without_bias();
    assert_eq!(layer, expected.into());
    assert_eq!(notes, ["depthwise_initializer VarianceScaling"]);
}

/// Modifies the config, in an archive with the same weights.
fn changed(path: &Path, change: impl FnOnce(&mut Value)) -> Result<Model> {
    let mut file = KerasZip::open(ModelFile::on_disk(path))?;
    let mut config = file.config()?;
    change(&mut config);
    let weights = file.archive.read(H5, u64::MAX)?;
    let mut archive = zip::ZipWriter::new(fs::File::create(path.with_extension("changed")).unwrap());
    // Compressed, which Keras does not do but a user may.
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in [("config.json", config.to_string().into_bytes()), (H5, weights)] {
        archive.start_file(name, options).unwrap();
        archive.write_all(&bytes).unwrap();
    }
    archive.finish().unwrap();
    load_model(path.with_extension("changed"))
}

fn layer<'a>(config: &'a mut Value, name: &str) -> &'a mut Value {
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["config"]["name"] == name).unwrap()
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let (_folder, path) = saved();
    changed(&path, |_| {}).unwrap();
    let refused = |name: &str, option: &str, value: Value, expected: &[&str]| {
        let changed = changed(&path, |config| layer(config, name)["config"][option] = value);
        let message = changed.map(drop).unwrap_err().to_string();
        for expected in expected {
            assert!(message.contains(expected) && message.contains(name), "{message:?} does not say {expected:?}");
        }
    };
    refused("conv2d", "dilation_rate", json!([2, 0]), &["dilation of [2, 0]"]);
    refused("conv2d", "groups", json!(2), &["2 groups", "3 channels"]);
    refused("conv2d", "data_format", json!("channels_first"), &["channels_first"]);
    refused("conv2d", "activation", json!("sparsemax"), &["sparsemax", "docs/models.md"]);
    refused("conv2d", "padding", json!("causal"), &["causal"]);
    refused("conv2d", "dtype", json!("int8"), &["int8", "float64"]);
    refused("conv2d", "filters", json!(-3), &["filters is -3"]);
    refused("conv2d", "something_new", json!(7), &["something_new (7)"]);
    refused("batch_normalization", "axis", json!(1), &["axis 1"]);
    refused("batch_normalization", "renorm", json!(true), &["renorm true"]);
    refused("mixed", "axis", json!(2), &["axis 2"]);
    refused("dropout", "rate", json!(1.5), &["got 1.5"]);
    refused("predictions", "units", json!(5), &["[156, 5]", "[156, 4]"]);
    let message = changed(&path, |config| layer(config, "dropout")["class_name"] = json!("LSTM")).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("LSTM") && message.contains("recurrent") && message.contains("dropout"), "{message}");
    // A subclass of a functional model has all of its layers in the file.
    changed(&path, |config| config["class_name"] = json!("MyModel")).unwrap();
}

#[test]
fn what_matters_to_training_alone_is_noted() {
    let (_folder, path) = saved();
    let regularizer = json!({ "class_name": "L2", "config": { "l2": 0.01 } });
    let model = changed(&path, |config| layer(config, "conv2d")["config"]["kernel_regularizer"] = regularizer).unwrap();
    assert_eq!(model.training["not_imported"], json!(["conv2d: kernel_regularizer L2"]));
}

#[test]
fn connections_that_cannot_be_are_refused() {
    let (_folder, path) = saved();
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let message = changed(&path, change).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    };
    refused(&|c| layer(c, "add")["inbound_nodes"] = json!([]), "not connected");
    refused(&|c| layer(c, "add")["inbound_nodes"][0]["args"] = json!([1.5]), "1.5");
    refused(&|c| layer(c, "add")["inbound_nodes"][0]["kwargs"] = json!({ "scale": 2 }), "scale=2");
    refused(&|c| layer(c, "dropout")["inbound_nodes"] = json!([[["nowhere", 0, 0, {}]]]), "\"nowhere\"");
    refused(&|c| layer(c, "dropout")["inbound_nodes"] = json!([[["mixed", 0, 7, {}]]]), "output 7");
    refused(&|c| layer(c, "dropout")["config"]["name"] = json!("mixed"), "another layer");
    refused(&|c| c["config"]["output_layers"] = json!(["nowhere", 0, 0]), "nowhere");
    refused(&|c| layer(c, "input_layer")["config"]["batch_shape"] = json!([null, null, null, null]), "not supported");
    refused(&|c| layer(c, "predictions")["config"]["units"] = json!(1_u64 << 40), "too small to hold");
    let shared = |c: &mut Value, name: &str| {
        let call = layer(c, name)["inbound_nodes"][0].clone();
        layer(c, name)["inbound_nodes"] = json!([call, call]);
    };
    changed(&path, |c| shared(c, "conv2d")).unwrap();
    changed(&path, |c| shared(c, "dropout")).unwrap();
}

#[test]
fn archives_of_something_else_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.keras");
    let write = |members: &[(&str, &[u8])]| {
        let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, bytes) in members {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        load_model(&path).unwrap_err().to_string()
    };
    assert!(write(&[("a.txt", b"a")]).contains("no config.json"));
    assert!(write(&[("config.json", b"{")]).contains("config.json cannot be read"));
    // A member name that would escape the archive is not accessed.
    assert!(write(&[("../../config.json", b"{}")]).contains("no config.json"));
    let description = keras::description(&every_layer(), &path).unwrap().to_string();
    assert!(write(&[("config.json", description.as_bytes())]).contains("neither model.weights.h5 nor"));
    let message = write(&[("config.json", description.as_bytes()), (H5, b"not HDF5 at all")]);
    assert!(message.contains("HDF5"), "{message}");
    assert!(!folder.path().join("config.json").exists() && fs::read_dir(folder.path()).unwrap().count() == 1);
}

#[test]
fn rectifiers_of_all_kinds_survive_a_round() {
    let kinds = [
        ActivationKind::LeakyRelu { negative_slope: 0.01 },
        ActivationKind::Relu6,
        ActivationKind::Clip { min: 0.0, max: 2.5 },
        ActivationKind::Clip { min: -1.0, max: 1.0 },
    ];
    let layers = kinds.iter().flat_map(|&kind| {
        [
            Conv2D::new(2, [1, 1]).activation(kind).into(),
            Activation::new(kind).into(),
            BatchNormalization::default().into(),
        ]
    });
    let network = Network::sequential("rectified", [3, 3, 1], layers, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.keras");
    save_model(&Model::new(network.clone()), &path).unwrap();
    assert_eq!(weights::load_model(&path).unwrap().network.architecture(), network.architecture());
}

#[test]
fn what_keras_cannot_say_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.keras");
    let refused = |layer: crate::nn::Layer, expected: &str| {
        let network = Network::sequential("special", [4, 4, 1], [layer], 5).unwrap();
        let message = save_model(&Model::new(network), &path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("model.keras"), "{message}");
        assert!(!path.exists());
    };
    let border = Padding::Explicit([[1, 0], [0, 1]]);
    refused(MaxPooling2D::new([3, 3]).padding(border).into(), "max_pooling2d: takes the maximum with a border");
    let conv = |min, max| Conv2D::new(2, [1, 1]).activation(ActivationKind::Clip { min, max }).into();
    refused(conv(-2.0, 1.0), "clips to -2 to 1");
    refused(conv(1e-6, f32::MAX), "clips from 0.000001 up;");
    // On its own, it is an operation.
    for (min, max) in [(-2.0, 1.0), (1e-6, f32::MAX)] {
        let clip = Activation::new(ActivationKind::Clip { min, max });
        let network = Network::sequential("clipped", [4, 4, 1], [clip.into()], 5).unwrap();
        save_model(&Model::new(network.clone()), &path).unwrap();
        assert_eq!(weights::load_model(&path).unwrap().network.architecture(), network.architecture());
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn inputs_of_any_size_get_the_size_asked_for_or_a_default() {
    let (_folder, path) = saved();
    let open = |c: &mut Value| layer(c, "input_layer")["config"]["batch_shape"] = json!([null, null, null, 3]);
    let model = changed(&path, open).unwrap();
    assert_eq!(model.network.input_shape().unwrap(), &[224, 224, 3].into());
    assert_eq!(model.notes, [Note::Size([224, 224])]);
    let model = load_model_at(path.with_extension("changed"), Some([64, 48])).unwrap();
    assert_eq!((model.network.input_shape().unwrap(), model.notes.len()), (&[64, 48, 3].into(), 0));
    // Only the height is open.
    let half = |c: &mut Value| layer(c, "input_layer")["config"]["batch_shape"] = json!([null, null, 40, 3]);
    assert_eq!(changed(&path, half).unwrap().network.input_shape().unwrap(), &[224, 40, 3].into());
}

#[test]
fn a_shared_layer_is_written_once() {
    let mut builder = Network::builder("twins");
    let inputs = ["left", "right"].map(|name| builder.add_named(name, Input::new([5, 4, 2]), &[]).unwrap());
    let first = builder.add_named("a/conv", Conv2D::new(3, [2, 2]), &inputs[..1]).unwrap();
    let second = builder.add_shared("again", first, &inputs[1..]).unwrap();
    let sum = builder.add_named("sum", Add::new(), &[first, second]).unwrap();
    let network = builder.build(&[sum], 3).unwrap();
    let output = |network: &Network| {
        let mut plan = Plan::builder(network).build().unwrap();
        for input in 0..2 {
            plan.input_mut_at(input).iter_mut().enumerate().for_each(|(i, x)| *x = (i + input) as f32 / 20.0);
        }
        plan.forward(network).unwrap();
        plan.output(0).to_vec()
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["twins.keras", "twins.h5"] {
        let path = folder.path().join(name);
        weights::save_model(&Model::new(network.clone()), &path).unwrap();
        let read = weights::load_model(&path).unwrap().network;
        assert_eq!((read.weights().len(), output(&read)), (2, output(&network)), "{name}");
    }
}
