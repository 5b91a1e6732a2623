use super::*;
use crate::nn::applications;
use crate::nn::layers::{Add, Concatenate, Conv2D, Dense, Flatten, MaxPooling2D, Padding};

#[test]
fn the_mnist_network_has_the_parameters_of_the_notebook() {
    let network = applications::mnist_cnn(1).unwrap();
    assert_eq!(network.parameters(), (113_514, 113_514));
    let names: Vec<_> = network.nodes().iter().map(Node::name).collect();
    assert_eq!(
        names,
        [
            "input_layer",
            "conv2d",
            "max_pooling2d",
            "conv2d_1",
            "max_pooling2d_1",
            "conv2d_2",
            "max_pooling2d_2",
            "flatten",
            "dense",
            "dropout",
            "dense_1"
        ]
    );
    assert_eq!(network.output().unwrap().shape(), &[10].into());
    assert_eq!(network.weight("conv2d_1/kernel").unwrap().shape(), [3, 3, 24, 48]);
}

#[test]
fn an_architecture_survives_a_round_through_json() {
    let mut builder = Network::builder("branches");
    let input = builder.add(Input::new([8, 8, 3]), &[]).unwrap();
    let a = builder.add(Conv2D::new(4, [1, 1]), &[input]).unwrap();
    let b = builder.add(Conv2D::new(4, [1, 1]).without_bias(), &[input]).unwrap();
    let sum = builder.add(Add::new(), &[a, b]).unwrap();
    let both = builder.add_named("mixed", Concatenate::new(), &[sum, a]).unwrap();
    let network = builder.build(&[both], 7).unwrap();
    let text = network.architecture().to_string();
    let again = Network::from_architecture(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(again.architecture(), network.architecture());
    assert_eq!(again.nodes()[4].inputs(), [3, 1]);
    assert!(again.weights().iter().all(|weight| weight.values().iter().all(|&value| value == 0.0)));
}

#[test]
fn a_layer_that_does_not_fit_is_named_with_both_shapes() {
    let layers: [Layer; 2] = [Conv2D::new(8, [3, 3]).into(), Conv2D::new(10, [27, 3]).into()];
    let message = Network::sequential("wrong", [28, 28, 1], layers, 0).unwrap_err().to_string();
    assert!(message.contains("layer conv2d_1") && message.contains("(26, 26, 8)"), "{message}");
}

#[test]
fn an_unknown_layer_gets_the_nearest_name() {
    let network = applications::mnist_cnn(1).unwrap();
    let message = network.find("conv_2").unwrap_err().to_string();
    assert!(message.contains("\"conv2d\"") || message.contains("\"conv2d_2\""), "{message}");
    assert!(message.contains("Its layers are input_layer, conv2d, ") && message.contains("dense_1"), "{message}");
    let message = applications::find("vgg16")
        .unwrap()
        .build(&applications::Options::default())
        .unwrap()
        .find("conv1")
        .unwrap_err()
        .to_string();
    assert!(message.contains("did you mean") && message.contains("Its summary lists all 23 layers"), "{message}");
}

#[test]
fn damaged_architectures_are_refused() {
    let good = applications::mnist_cnn(1).unwrap().architecture();
    let refused = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut value = good.clone();
        change(&mut value);
        let message = Network::from_architecture(&value).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    };
    refused(&|v| v["layers"][1]["inputs"][0] = "dense_1".into(), "\"dense_1\"");
    refused(&|v| v["layers"][1]["class_name"] = "Conv9D".into(), "Conv9D");
    refused(&|v| v["layers"][1]["config"]["filters"] = (1_u64 << 60).into(), "conv2d");
    refused(&|v| v["layers"][1]["config"]["filters"] = (1_u64 << 30).into(), "parameters");
    refused(&|v| v["layers"][1]["config"]["strides"] = serde_json::json!([0, 1]), "conv2d");
    refused(&|v| v["layers"][2]["name"] = "conv2d".into(), "another layer");
    refused(&|v| v["outputs"] = serde_json::json!([]), "no output");
    refused(&|v| v["layers"] = serde_json::json!([]), "dense_1");
    refused(&|v| v["layers"][0]["config"]["shape"] = serde_json::json!([28, 0, 1]), "(28, 0, 1)");
    refused(&|v| v["layers"][0]["config"]["shape"] = serde_json::json!([u64::MAX, 28, 1]), "input_layer");
}

#[test]
fn freezing_spares_what_never_trains() {
    let layers: [Layer; 4] = [
        Conv2D::new(8, [3, 3]).into(),
        crate::nn::layers::BatchNormalization::default().into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
    ];
    let mut network = Network::sequential("small", [8, 8, 1], layers, 0).unwrap();
    assert_eq!(network.parameters(), (80 + 32, 80 + 16));
    network.set_trainable("batch_normalization", false).unwrap();
    assert_eq!(network.parameters(), (112, 80));
    network.set_trainable("batch_normalization", true).unwrap();
    assert_eq!(network.parameters(), (112, 96));
}

#[test]
fn seeds_give_the_same_weights_and_only_they() {
    let kernel = |seed| applications::mnist_cnn(seed).unwrap().weight("dense/kernel").unwrap().values().to_vec();
    assert_eq!(kernel(3), kernel(3));
    assert_ne!(kernel(3), kernel(4));
}

#[test]
fn lists_of_layers_may_have_names_with_commas() {
    let mut b = Network::builder("names");
    let mut last = b.add(Input::new([4]), &[]).unwrap();
    for name in ["a", "a,b", "b", "größe, 2"] {
        last = b.add_named(name, Dense::new(2), &[last]).unwrap();
    }
    let network = b.build(&[last], 1).unwrap();
    let names = |list: &str| -> Vec<&str> {
        network.find_list(list).unwrap().into_iter().map(|index| network.nodes()[index].name()).collect()
    };
    assert_eq!(names("b,a"), ["b", "a"]);
    assert_eq!(names("a,b,b"), ["a,b", "b"]);
    assert_eq!(names("größe, 2,a,a"), ["größe, 2", "a", "a"]);
    for wrong in ["", "a,", "c,a", "a,b,c", "größe"] {
        let message = network.find_list(wrong).unwrap_err().to_string();
        assert!(message.contains("has no layer"), "{wrong}: {message}");
    }
}

#[test]
fn shared_layers_keep_their_weights_through_every_change() {
    let mut builder = Network::builder("shared");
    let input = builder.add(Input::new([8, 8, 2]), &[]).unwrap();
    let conv = Conv2D::new(2, [3, 3]).padding(Padding::Same);
    let first = builder.add_named("conv", conv, &[input]).unwrap();
    let second = builder.add_shared("again", first, &[first]).unwrap();
    let flat = builder.add_named("flat", Flatten::new(), &[second]).unwrap();
    let dense = builder.add_named("dense", Dense::new(3), &[flat]).unwrap();
    let network = builder.build(&[dense], 3).unwrap();
    assert_eq!(network.parameters().0, 3 * 3 * 2 * 2 + 2 + 8 * 8 * 2 * 3 + 3);
    assert_eq!(network.parameters_of(second), 0);
    let stored = network.architecture();
    let read = Network::from_architecture(&stored).unwrap();
    assert_eq!((read.weights().len(), read.architecture()), (4, stored));
    // There is no cut point after the first call: training the layers after it would change those before.
    assert_eq!(network.cut_point(second).unwrap(), 0);
    assert_eq!(network.cut_point(dense).unwrap(), flat);
    // After a cut, the second call may be the only one left.
    let tail = network.tail(0).unwrap();
    assert_eq!(tail.weights().len(), 4);
    let cut = network.clone().cut("again").unwrap();
    assert_eq!(cut.weights().len(), 2);
    let resized = cut.clone().with_input_size(4, 4).unwrap();
    assert_eq!(resized.weights()[0].values(), network.weights()[0].values());
    let (headed, head) = cut.with_head([Flatten::new().into(), Dense::new(2).into()]).unwrap();
    assert_eq!((headed.weights().len(), headed.nodes()[head - 1].weights_of()), (4, Some("conv")));
}
